"""
The world that the simulator's server tells of: channels, clients, and connections whose counters grow.

Time is given from outside, in nanoseconds since the world began, and every value is a function of it. So a seed gives
the same ids and the same numbers at the same time, whoever asks how often; only the incarnation, which a restart
raises, changes them. Nothing here waits, and nothing here knows HTTP. Not to be shared by threads.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from ..api.edition import Edition
from ..api.edition import pointer as join_pointer
from ..api.errors import UsageError
from . import ice, network, turn
from .cast import CAST, Role, Turn
from .columns import Columns
from .ids import connection_id
from .ledger import Ledger
from .media import Media
from .messaging import Messaging
from .sheet import MOMENTS
from .stays import Visit, visits

CHANNELS: Final = ("sora", "会議室", "zakuro", "town hall/1")
"""Names of the first channels; more have a number behind."""

CONNECTIONS_A_CHANNEL: Final = 5

_JUDGED_EVERY_NS: Final = 4 * ice.SECOND_NS
_UNSTABLE_JUDGED_EVERY_NS: Final = ice.SECOND_NS


def enter(ledger: Ledger, role: Role, history: ice.History) -> None:
    """Enter all that happens on a connection of a role."""
    Media(ledger, role).enter()
    Messaging(ledger, role).enter()
    turn.enter(ledger, role)
    ledger.source(history.at, ice.effects(over_turn=role.turn is not Turn.NONE))
    every_ns = _UNSTABLE_JUDGED_EVERY_NS if role.lossy else _JUDGED_EVERY_NS
    ledger.source(network.judgements(ledger.random, every_ns=every_ns, unstable=role.lossy), network.EFFECTS)


class Connection:
    """
    One connection of the world: its ids, and its statistics at any time.

    `joins_ns` and `leaves_ns` are in nanoseconds since the world began; `leaves_ns` is None for one that stays.
    """

    __slots__ = (
        "_overrides",
        "_seed",
        "_sheet",
        "bundle_id",
        "channel_id",
        "client_id",
        "connection_id",
        "joins_ns",
        "leaves_ns",
        "node",
        "role",
    )

    def __init__(self, columns: Columns, role: Role, visit: Visit, *, slot: int, node: int) -> None:
        random = Random(visit.key)
        self.role = role.name
        self.node = node
        self.joins_ns = visit.joins_ns
        self.leaves_ns = visit.leaves_ns
        self.connection_id = connection_id(random)
        self.channel_id = channel_name(slot // CONNECTIONS_A_CHANNEL)
        self.client_id = role.client or self.connection_id
        self.bundle_id = f"{role.client}@{self.channel_id}" if role.shares_bundle else self.connection_id
        self._seed = random.getrandbits(64)
        ledger = Ledger(columns, [label.name for label in role.labels], random)
        for name in ("channel_id", "client_id", "bundle_id", "connection_id"):
            ledger.constant((name,), getattr(self, name))
        enter(ledger, role, visit.ice)
        self._sheet = ledger.sheet()
        self._overrides: dict[tuple[str, ...], Any] = {}  # Any: a fault may set whatever JSON can hold

    def reading(self, now_ns: int, timestamp: str, tear_ns: int = 0) -> dict[str, Any]:
        """
        The statistics at a moment, as the object that an answer holds; fresh, so the caller may change it.

        Args:
            now_ns:
                Nanoseconds since the world began. After the connection has left, and before it has joined, its last and
                first values.
            timestamp: What the answer says of when it was read.
            tear_ns:
                0 gives all values of one moment. Otherwise every leaf is read at one of several moments, all within
                [now_ns - tear_ns, now_ns]: whoever answers with it must have got the request before them, and must
                not have answered before now_ns.

        Cost: about 50 us, torn about 160 us.
        """
        if tear_ns:
            random = Random(self._seed + now_ns)
            moments = [now_ns, now_ns - tear_ns, *(now_ns - random.randrange(tear_ns) for _ in range(MOMENTS - 2))]
            found = self._sheet.torn([self._age(moment) for moment in moments], timestamp, random)
        else:
            found = self._sheet.snapshot(self._age(now_ns), timestamp)
        for path, value in self._overrides.items():
            _place(found, path)[path[-1]] = value
        return found

    def override(self, pointer: str, value: Any) -> None:  # Any: see _overrides
        """
        Hold one value still from now on, or add one.

        Raises:
            UsageError: The pointer is none, or leads through a group that the connection does not have.
        """
        path = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
        if not pointer.startswith("/"):
            raise UsageError(f"{pointer!r} is no JSON Pointer to a field: it must begin with a slash")
        _place(self.reading(self.joins_ns, ""), path)
        self._overrides[path] = value

    def _age(self, now_ns: int) -> int:
        if self.leaves_ns is not None and now_ns > self.leaves_ns:
            now_ns = self.leaves_ns
        return max(now_ns - self.joins_ns, 0)


def _place(reading: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The object that holds, or is to hold, the leaf at the path."""
    place = reading
    for depth, name in enumerate(path[:-1]):
        below = place.get(name)
        if not isinstance(below, dict):
            raise UsageError(f"the connection has no group {join_pointer(path[: depth + 1])}: nothing can be set there")
        place = below
    return place


def channel_name(number: int) -> str:
    """The channel's id, by its number: any text will do, and not all are ASCII."""
    turn_of, place = divmod(number, len(CHANNELS))
    return f"{CHANNELS[place]}-{turn_of + 1}" if turn_of else CHANNELS[place]


class World:
    """
    Every connection of a cluster.

    Args:
        edition: What fields there are.
        seed: Decides on everything.
        connections: How many slots there are; with churn some are empty for a second or two, now and then.
        nodes: Over how many nodes the connections are spread.
        incarnation: How often the servers have been restarted: the same clients come back with new connection_ids.
        churn: Whether connections leave at all.

    Raises:
        UsageError: There must be at least one node, and no negative number of connections.
    """

    def __init__(
        self,
        edition: Edition,
        *,
        seed: int = 1,
        connections: int = 20,
        nodes: int = 1,
        incarnation: int = 0,
        churn: bool = True,
    ) -> None:
        if connections < 0 or nodes < 1:
            raise UsageError("a simulated world needs at least one node, and no fewer than 0 connections")
        self.nodes = nodes
        self.now_ns = 0
        self._columns = Columns(edition)
        self._roles = [CAST[slot % len(CAST)] for slot in range(connections)]
        self._living: list[Connection | None] = [None] * connections
        self._visits: list[Iterator[Visit]] = []
        self._changes: list[tuple[int, int, Visit, bool]] = []
        for slot, role in enumerate(self._roles):
            self._visits.append(visits(role, f"{seed}/{incarnation}/{slot}", slot=slot, churn=churn))
            self._expect(slot)
        self._by_node: list[tuple[Connection, ...]] = []
        self._by_id: dict[str, Connection] = {}
        self.advance(0)

    def advance(self, now_ns: int) -> None:
        """
        Let connections join and leave up to a time; going back in time changes nothing.

        Cost: nothing to speak of while nobody joins; about 4 ms for each who does.
        """
        self.now_ns = max(now_ns, self.now_ns)
        changed = not self._by_node
        while self._changes and self._changes[0][0] <= self.now_ns:
            _, slot, visit, joins = heapq.heappop(self._changes)
            over = visit.leaves_ns is not None and visit.leaves_ns <= self.now_ns
            if joins and not over:
                self._living[slot] = Connection(
                    self._columns, self._roles[slot], visit, slot=slot, node=slot % self.nodes
                )
            elif not joins:
                self._living[slot] = None
            if joins and visit.leaves_ns is not None:
                heapq.heappush(self._changes, (visit.leaves_ns, slot, visit, False))
            elif not joins:
                self._expect(slot)
            changed = True
        if changed:
            self._index()

    def connections(self, node: int) -> Sequence[Connection]:
        """
        The connections that a node holds now; the sequence is not changed later.

        Raises:
            IndexError: There is no such node.
        """
        return self._by_node[node]

    def find(self, channel_id: str, connection_id: str) -> Connection | None:
        """The living connection of that name, if it is in that channel, whatever its node."""
        found = self._by_id.get(connection_id)
        return found if found is not None and found.channel_id == channel_id else None

    def find_client(self, channel_id: str, client_id: str) -> Sequence[Connection]:
        """The living connections of a client in a channel, on all nodes; empty where there are none."""
        return [
            found for found in self._by_id.values() if found.client_id == client_id and found.channel_id == channel_id
        ]

    def set(self, connection_id: str, pointer: str, value: Any) -> None:  # Any: a fault may set any JSON
        """
        Hold one value of a living connection still from now on, or add one.

        Args:
            connection_id: The connection.
            pointer: JSON Pointer from the connection object on.
            value: Anything that JSON can hold.

        Raises:
            UsageError: No such connection lives, or it has no place for the value.
        """
        found = self._by_id.get(connection_id)
        if found is None:
            raise UsageError(f"no connection {connection_id!r} lives in the simulated world")
        found.override(pointer, value)

    def _expect(self, slot: int) -> None:
        """Note when the slot's next connection joins."""
        visit = next(self._visits[slot], None)
        if visit is not None:
            heapq.heappush(self._changes, (visit.joins_ns, slot, visit, True))

    def _index(self) -> None:
        living = [connection for connection in self._living if connection is not None]
        self._by_id = {connection.connection_id: connection for connection in living}
        self._by_node = [
            tuple(connection for connection in living if connection.node == node) for node in range(self.nodes)
        ]
