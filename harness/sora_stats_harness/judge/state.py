"""What the judge remembers within one run and one clock; nothing is compared across these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..api.exchange import Target
from .availability import ServerAvailability
from .check import MemoryT
from .connection_state import ConnectionState
from .counter_history import CounterHistory
from .requirement import Requirement

if TYPE_CHECKING:
    from .edition_decoder import Counters, EditionDecoder
    from .evidence import EvidenceExchange

EXPIRY_CHECK_EXCHANGES: Final = 1024
"""The most exchanges between two searches for connections to forget."""

EXPIRY_CHECK_INTERVAL_NS: Final = 10_000_000_000
"""The most time between them: at a listing per second, a thousand exchanges take a quarter of an hour."""

MAX_EXPIRED_CONNECTIONS: Final = 100_000
"""How many forgotten connections are still recognised if they reappear."""

SILENCE_FACTOR: Final = 5
"""A connection that is silent for this many times its longest interval so far has probably left."""

MAX_SILENT_CONNECTIONS: Final = 10_000
"""How many connections that have probably left are kept, at some 15 KB each; the longest silent are forgotten first."""


class LastSample(NamedTuple):
    """The newest sample of a connection."""

    connection_id: str
    exchange: EvidenceExchange
    stamp_ns: int
    """The server's timestamp."""
    blocks: Sequence[Counters | None]


class State:
    """The connections by id, the state of servers, and each check's own memory."""

    def __init__(self, decoder: EditionDecoder, checked: dict[str, int], nodes: frozenset[str]) -> None:
        self.checked = checked
        """The counts of the current target; the stages set it."""
        self.set_nodes(nodes)
        self.connections: dict[str, ConnectionState] = {}
        self.leaving: dict[str, ConnectionState] = {}
        """Connections that have ended; for `Check.finish`."""
        self.unusable: set[tuple[str, ...]] = set()
        """Paths at which some value could not be used by other checks."""
        self.expired: dict[str, None] = {}
        """Ids of forgotten connections."""
        self.expired_count: int = 0
        self.availability: ServerAvailability = ServerAvailability()
        self.responding: Target | None = None
        """The target of the last response with status 200; None after a failed request."""
        self.last_received_ns = -(2**63)
        self._decoder = decoder
        self.memory: dict[object, Any] = {}  # Any: each check's own
        """Each check's memory; made by `recall`."""
        self.exchanges_until_expiry: int = EXPIRY_CHECK_EXCHANGES
        self.expiry_due_ns: int = -(2**63)

    def set_nodes(self, nodes: frozenset[str]) -> None:
        """Say which servers form one cluster."""
        self.nodes: frozenset[str] = nodes
        self.is_cluster: bool = len(nodes) > 1

    def count(self, requirement: Requirement, times: int = 1) -> None:
        """Note that a requirement was checked."""
        self.checked[requirement.id] += times

    def is_unusable(self, path: tuple[str, ...]) -> bool:
        """Whether the value of a field, or of its group, could not be used in some sample."""
        return bool(self.unusable) and any(path[:depth] in self.unusable for depth in range(1, len(path) + 1))

    def recall(self, owner: object, make: Callable[[], MemoryT]) -> MemoryT:
        """A check's memory, made on first use; `owner` is the check, or any object that identifies it."""
        memory: MemoryT | None = self.memory.get(owner)
        if memory is None:
            memory = self.memory[owner] = make()
        return memory

    def add_connection(self, connection_id: str) -> ConnectionState:
        """Add a connection."""
        made = self.connections[connection_id] = ConnectionState(
            CounterHistory(len(self._decoder.blocks), self._decoder.label_messages)
        )
        return made

    def expire(self, connection_ids: Collection[str]) -> None:
        """Move connections to `leaving`."""
        self.leaving = {each: self.connections.pop(each) for each in connection_ids}
        self.expired_count += len(connection_ids)
        for each in connection_ids:
            self.expired[each] = None
            if len(self.expired) > MAX_EXPIRED_CONNECTIONS:
                del self.expired[next(iter(self.expired))]

    def find_expired(self) -> list[str]:
        """
        Find connections to forget; searches only now and then.

        How long a silence is too long depends on how often the connection is requested: with a fixed time, a slower
        poller would never be judged. Only memory limits how many are kept.
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

    def last_samples(self) -> Iterator[LastSample]:
        """As `Judge.last_samples`."""
        for connection_id, connection in self.connections.items():
            last, blocks = connection.last, connection.last_blocks
            if last is None or blocks is None or connection.decreased_counters:
                continue
            stamps = connection.stamp_histories.get(last.request.server)
            if stamps is not None and (last.request.target is not Target.ALL or last.request.asked.local):
                yield LastSample(connection_id, last, stamps.first.stamp_ns, blocks)

    def __iter__(self) -> Iterator[tuple[str, ConnectionState]]:
        return iter(self.connections.items())
