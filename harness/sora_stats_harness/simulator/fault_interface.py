"""
What passes between the simulator's server and the faults that are set in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .world import SimulatedConnection, SimulatedWorld

SampleObject = dict[str, Any]
"""A connection object of a response; Any: whatever JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """One request that was understood, or not."""

    node: int
    operation: str | None
    """GetStatsConnection, GetStatsClient or GetStatsAllConnections; None for any other request."""
    arguments: Mapping[str, Any]  # Any: checked to be of the documented types where there is an operation
    number: int
    """Counts the requests of all nodes, from 0."""
    now_ns: int
    """The world's time when the request had come."""
    method: str
    path: str
    query: str
    target: str
    """The value of the target header; empty where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedResponse:
    """What is sent back; Server and Date are added on the way, Content-Length where it is not among the headers."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def with_body(self, body: bytes) -> SimulatedResponse:
        """The same with another body."""
        return replace(self, body=body)


RelayAction = tuple[str, float]
"""What a relay does to one response, by its name in `relay.WAYS`, and how long it pauses, in seconds."""


class Fault(Protocol):
    """A way in which the simulator is wrong. It keeps its own state; all calls come from one thread."""

    transport: Callable[[], RelayAction | None] | None
    """What the relay in front does to the next response, None for nothing. None itself where no relay is needed."""

    def on_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change what was asked for, before it is looked up; Any: as in Call."""

    def on_connections(
        self, call: RequestContext, world: SimulatedWorld, found: Sequence[SimulatedConnection]
    ) -> Sequence[SimulatedConnection]:
        """Change which connections get a response; none at all is an unknown id."""

    def delay_s(self, call: RequestContext) -> float:
        """How much longer this response takes."""

    def on_samples(self, call: RequestContext, samples: Sequence[SampleObject]) -> Sequence[SampleObject]:
        """Change what gets a response; the samples belong to this call alone."""

    def on_response(self, call: RequestContext, reply: SimulatedResponse) -> SimulatedResponse:
        """Change the finished response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """A request that the simulator was sent, for tests that look."""

    node: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    operation: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)  # Any: as in Call
