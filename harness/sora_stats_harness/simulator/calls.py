"""
What passes between the simulator's server and the faults that are set in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .world import Connection, World

Reading = dict[str, Any]
"""A connection object of an answer; Any: whatever JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
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
class Reply:
    """What is sent back; Server and Date are added on the way, Content-Length where it is not among the headers."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def with_body(self, body: bytes) -> Reply:
        """The same with another body."""
        return replace(self, body=body)


Mangle = tuple[str, float]
"""What a relay does to one answer, by its name in `relay.WAYS`, and how long it pauses, in seconds."""


class Fault(Protocol):
    """A way in which the simulator is wrong. It keeps its own state; all calls come from one thread."""

    transport: Callable[[], Mangle | None] | None
    """What the relay in front does to the next answer, None for nothing. None itself where no relay is needed."""

    def on_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change what was asked for, before it is looked up; Any: as in Call."""

    def on_found(self, call: Call, world: World, found: Sequence[Connection]) -> Sequence[Connection]:
        """Change which connections are answered; none at all is an unknown id."""

    def delay_s(self, call: Call) -> float:
        """How much longer this answer takes."""

    def on_readings(self, call: Call, readings: Sequence[Reading]) -> Sequence[Reading]:
        """Change what is answered; the readings belong to this call alone."""

    def on_reply(self, call: Call, reply: Reply) -> Reply:
        """Change the finished answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request that the simulator was sent, for tests that look."""

    node: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    operation: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)  # Any: as in Call
