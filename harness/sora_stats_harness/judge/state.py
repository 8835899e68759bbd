"""What the judge remembers within one run and one clock: nothing is compared across."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from ..api.exchange import Target
from .availability import ServerAvailability
from .check import MemoryT
from .connection_state import ConnectionState
from .requirement import Requirement

EXPIRY_CHECK_EXCHANGES: Final = 1024
"""Exchanges between two looks for connections to forget, at most."""

EXPIRY_CHECK_INTERVAL_NS: Final = 10_000_000_000
"""And time between them: with a listing a second, a thousand exchanges are a quarter of an hour."""

MAX_EXPIRED_CONNECTIONS: Final = 100_000
"""Forgotten connections whose return is noticed."""

SILENCE_FACTOR: Final = 5
"""A connection that is silent for so many times its longest interval until now has probably left."""

MAX_SILENT_CONNECTIONS: Final = 10_000
"""Of those that have probably left so many are remembered, at some 15 KB each; the longest silent are forgotten first."""


class State:
    """
    Connections by id, what is known of servers, and each check's own memory.

    Args:
        blocks: How many blocks of counters a sample has.
        checked: By requirement, how often it was checked, of the target that is looked at.
        nodes: Servers that together are one cluster.
    """

    def __init__(self, blocks: int, checked: dict[str, int], nodes: frozenset[str]) -> None:
        self.checked = checked
        """Another one for each target: the stages set it."""
        self.nodes = nodes
        self.connections: dict[str, ConnectionState] = {}
        self.leaving: dict[str, ConnectionState] = {}
        """Those of which no more is heard; for `Check.finish`."""
        self.unusable: set[tuple[str, ...]] = set()
        """Paths at which a value stood that no other check could use."""
        self.expired: dict[str, None] = {}
        """Ids of forgotten connections."""
        self.expired_count: int = 0
        self.availability: ServerAvailability = ServerAvailability()
        self.responding: Target | None = None
        """The target of the last response with status 200; None since a request failed."""
        self.last_received_ns = -(2**63)
        self._blocks = blocks
        self.memory: dict[object, Any] = {}  # Any: each check's own
        """What checks keep, by check; `recall` makes it."""
        self.exchanges_until_expiry: int = EXPIRY_CHECK_EXCHANGES
        self.expiry_due_ns: int = -(2**63)

    def count(self, requirement: Requirement, times: int = 1) -> None:
        """Note that a requirement was held against something."""
        self.checked[requirement.id] += times

    def is_unusable(self, path: tuple[str, ...]) -> bool:
        """Whether a field's value, or what stood in place of its group, could not be used in some sample."""
        return bool(self.unusable) and any(path[:depth] in self.unusable for depth in range(1, len(path) + 1))

    def recall(self, owner: object, make: Callable[[], MemoryT]) -> MemoryT:
        """What a check keeps here, made when it is first asked for; `owner` is the check, or whatever tells it apart."""
        memory: MemoryT | None = self.memory.get(owner)
        if memory is None:
            memory = self.memory[owner] = make()
        return memory

    def add_connection(self, connection_id: str) -> ConnectionState:
        """Begin to remember a connection."""
        made = self.connections[connection_id] = ConnectionState(self._blocks)
        return made

    def expire(self, connection_ids: Collection[str]) -> None:
        """Have connections leave."""
        self.leaving = {each: self.connections.pop(each) for each in connection_ids}
        self.expired_count += len(connection_ids)
        for each in connection_ids:
            self.expired[each] = None
            if len(self.expired) > MAX_EXPIRED_CONNECTIONS:
                del self.expired[next(iter(self.expired))]

    def find_expired(self) -> list[str]:
        """
        Connections to be forgotten; looked for now and then only.

        How long is too long follows from how often a connection is asked for: never a fixed time, or a poller that takes
        longer would never be judged. Memory alone decides how many are remembered.
        """
        now_ns = self.last_received_ns
        self.exchanges_until_expiry = EXPIRY_CHECK_EXCHANGES
        self.expiry_due_ns = now_ns + EXPIRY_CHECK_INTERVAL_NS
        usual_ns = max((each.longest_gap_ns for each in self.connections.values()), default=0)
        silent = sorted(
            (connection.silent_since_ns, connection_id)
            for connection_id, connection in self.connections.items()
            if now_ns - connection.silent_since_ns > SILENCE_FACTOR * (connection.longest_gap_ns or usual_ns)
        )
        return [connection_id for _, connection_id in silent[: max(0, len(silent) - MAX_SILENT_CONNECTIONS)]]

    def __iter__(self) -> Iterator[tuple[str, ConnectionState]]:
        return iter(self.connections.items())
