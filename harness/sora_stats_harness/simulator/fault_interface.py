"""The interface between the simulator's server and its faults: requests, responses, and a fault's hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .tcp_fault_relay import RelayAction
from .world import SimulatedConnection, SimulatedWorld

SampleObject = dict[str, Any]
"""A connection object of a response. Any: whatever JSON can hold."""

Arguments = Mapping[str, Any]
"""A request's arguments. Any: checked to be of the documented types where the request names an operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request that the simulator got, valid or not."""

    node: int = 0
    operation: str | None = None
    """GetStatsConnection, GetStatsClient or GetStatsAllConnections; None for any other request."""
    arguments: Arguments = field(default_factory=dict)
    number: int = 0
    """Counts the requests of all nodes, from 0."""
    now_ns: int = 0
    """The world's time when the request had come."""
    method: str = "POST"
    path: str = "/"
    query: str = ""
    target: str = ""
    """The value of the target header; empty if there was none."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    """The first 16 KiB of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedResponse:
    """A response to send. The server adds Server and Date, and Content-Length if the headers lack it."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def with_body(self, body: bytes) -> SimulatedResponse:
        """The same response with another body."""
        return replace(self, body=body)


Connections = Sequence[SimulatedConnection]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """
    A way in which the simulator is wrong: a hook for each step of a response, which changes nothing unless given.

    Hooks may keep state; all calls come from one thread.
    """

    on_arguments: Callable[[Arguments], Arguments] = lambda arguments: arguments
    """Changes the request's arguments before the look-up."""
    on_connections: Callable[[ReceivedRequest, SimulatedWorld, Connections], Connections] = lambda _, __, found: found
    """Changes which connections the response is about; none at all is an unknown id."""
    delay_s: Callable[[ReceivedRequest], float] = lambda _: 0.0
    """Returns an additional delay for this response."""
    on_samples: Callable[[ReceivedRequest, Sequence[SampleObject]], Sequence[SampleObject]] = lambda _, samples: samples
    """Changes the samples; they belong to this response only."""
    on_response: Callable[[ReceivedRequest, SimulatedResponse], SimulatedResponse] = lambda _, response: response
    """Changes the finished response."""
    transport: Callable[[], RelayAction | None] | None = None
    """Returns what the relay does to the next response, or None for nothing. None itself if no relay is needed."""
