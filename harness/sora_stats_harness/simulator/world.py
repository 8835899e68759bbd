"""
The simulated world: channels, clients, and connections whose counters grow.

Callers pass the time, in nanoseconds since the world began, and every value is a function of it. So a seed gives the
same ids and the same numbers at the same time, however often they are read; only a restart, which raises the
incarnation, changes them. Nothing here waits, or depends on HTTP. Threads must not share a world.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Final

from ..api.edition import Edition, make_json_pointer, split_json_pointer
from ..api.errors import UsageError
from . import ice_history as ice
from . import network_stability as network
from . import turn_traffic as turn
from .client_roles import CLIENT_ROLES, ClientRole, TurnTransport
from .connection_ids import draw_connection_id
from .connection_lifetimes import ConnectionLifetime, connection_lifetimes
from .counter_model import CounterModel
from .data_channel_traffic import DataChannelTraffic
from .field_index import FieldIndex
from .media_traffic import MediaTraffic
from .sample_template import TEAR_MOMENTS, SampleTemplate

CHANNEL_NAMES: Final = ("sora", "会議室", "zakuro", "town hall/1")
"""Names of the first channels; further ones add a number."""

CONNECTIONS_PER_CHANNEL: Final = 5

MAX_KEPT_PLANS: Final = 256
"""How many connections' plans are cached: those of a dozen worlds of 20."""

_STABILITY_INTERVAL_NS: Final = 4 * ice.SECOND_NS
_LOSSY_STABILITY_INTERVAL_NS: Final = ice.SECOND_NS


def add_connection_events(model: CounterModel, role: ClientRole, history: ice.IceHistory) -> None:
    """Add everything that happens on a connection of a role."""
    MediaTraffic(model, role).add_events()
    DataChannelTraffic(model, role).add_events()
    turn.add_turn_events(model, role)
    model.add_column_source(
        history.counts_at, ice.ice_counter_increments(over_turn=role.turn is not TurnTransport.NONE)
    )
    every_ns = _LOSSY_STABILITY_INTERVAL_NS if role.has_lossy_network else _STABILITY_INTERVAL_NS
    model.add_column_source(
        network.instability_source(model.random, every_ns=every_ns, unstable=role.has_lossy_network),
        network.INSTABILITY_INCREMENTS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionIds:
    """The ids of a connection."""

    channel_id: str
    client_id: str
    bundle_id: str
    connection_id: str

    def set_on(self, model: CounterModel) -> None:
        """Put the ids into the connection's samples."""
        for name in ("channel_id", "client_id", "bundle_id", "connection_id"):
            model.set_constant((name,), getattr(self, name))


class SimulatedConnection:
    """
    One connection of the world: its ids, and its statistics at any time, by the model of its counters.

    `joins_ns` and `leaves_ns` are in nanoseconds since the world began; `leaves_ns` is None for one that stays.
    """

    def __init__(
        self,
        template: SampleTemplate,
        ids: ConnectionIds,
        lifetime: ConnectionLifetime,
        *,
        role: str,
        node: int,
        seed: int = 0,
    ) -> None:
        self.role: str = role
        self.node: int = node
        self.joins_ns: int = lifetime.joins_ns
        self.leaves_ns: int | None = lifetime.leaves_ns
        self.connection_id: str = ids.connection_id
        self.channel_id: str = ids.channel_id
        self.client_id: str = ids.client_id
        self.bundle_id: str = ids.bundle_id
        self._seed = seed
        self._template = template
        self._overrides: dict[tuple[str, ...], Any] = {}  # Any: a fault may set whatever JSON can hold

    def read_sample(self, now_ns: int, timestamp: str, tear_ns: int = 0) -> dict[str, Any]:
        """
        The statistics at a moment, as the object in a response; it is a new object, so the caller may change it.

        Args:
            now_ns:
                Nanoseconds since the world began. Before the connection has joined this gives its first values, after
                it has left its last ones.
            timestamp: The time that the sample shows.
            tear_ns:
                0 reads all values at one moment. Otherwise every leaf is read at one of several moments, all within
                [now_ns - tear_ns, now_ns]: the request must have come before the first of them, and the response must
                not be sent before the last.

        Cost: about 50 us, torn about 160 us.
        """
        if tear_ns:
            random = Random(self._seed + now_ns)
            moments = [now_ns, now_ns - tear_ns, *(now_ns - random.randrange(tear_ns) for _ in range(TEAR_MOMENTS - 2))]
            found = self._template.torn_sample([self._age(moment) for moment in moments], timestamp, random)
        else:
            found = self._template.consistent_sample(self._age(now_ns), timestamp)
        for path, value in self._overrides.items():
            _find_group(found, path)[path[-1]] = value
        return found

    def override_value(self, pointer: str, value: Any) -> None:  # Any: see _overrides
        """
        Keep one value constant from now on, or add one.

        Raises:
            UsageError: It is not a JSON Pointer, or leads through a group that the connection does not have.
        """
        path = split_json_pointer(pointer)
        if not pointer.startswith("/"):
            raise UsageError(f"{pointer!r} is not a JSON Pointer to a field: it must begin with a slash")
        _find_group(self.read_sample(self.joins_ns, ""), path)
        self._overrides[path] = value

    def _age(self, now_ns: int) -> int:
        if self.leaves_ns is not None and now_ns > self.leaves_ns:
            now_ns = self.leaves_ns
        return max(now_ns - self.joins_ns, 0)


def _find_group(sample: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The object that contains, or would contain, the leaf at the path."""
    place = sample
    for depth, name in enumerate(path[:-1]):
        below = place.get(name)
        if not isinstance(below, dict):
            raise UsageError(
                f"the connection has no group {make_json_pointer(path[: depth + 1])}: nothing can be set there"
            )
        place = below
    return place


def channel_name(number: int) -> str:
    """The id of a channel, by its number."""
    round_, place = divmod(number, len(CHANNEL_NAMES))
    return f"{CHANNEL_NAMES[place]}-{round_ + 1}" if round_ else CHANNEL_NAMES[place]


@lru_cache(maxsize=MAX_KEPT_PLANS)
def _plan_connection(
    columns: FieldIndex, role: ClientRole, lifetime: ConnectionLifetime, slot: int
) -> tuple[SampleTemplate, ConnectionIds, int]:
    """
    Plan a connection: its samples, its ids, and the seed of its torn samples.

    This takes about 4 ms, and most tests use the same few worlds, so the results are cached; they must not be changed.
    """
    random = Random(lifetime.key)
    connection_id = draw_connection_id(random)
    channel_id = channel_name(slot // CONNECTIONS_PER_CHANNEL)
    ids = ConnectionIds(
        connection_id=connection_id,
        channel_id=channel_id,
        client_id=role.client_id or connection_id,
        bundle_id=f"{role.client_id}@{channel_id}" if role.shares_bundle else connection_id,
    )
    seed = random.getrandbits(64)
    model = CounterModel(columns, [label.name for label in role.labels], random)
    ids.set_on(model)
    add_connection_events(model, role, lifetime.ice)
    return model.build_template(), ids, seed


@lru_cache(maxsize=8)
def _field_index(edition: Edition) -> FieldIndex:
    return FieldIndex(edition)


class SimulatedWorld:
    """
    Every connection of a cluster.

    Args:
        connections: The number of slots; with churn some are empty for a second or two, now and then.
        incarnation: How often the server was restarted; each time the same clients return with new connection_ids.

    Raises:
        UsageError: There are fewer than one node, or a negative number of connections.
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
            raise UsageError("a simulated world needs at least one node, and at least 0 connections")
        self.nodes = nodes
        self.now_ns: int = 0
        self._columns = _field_index(edition)
        self._roles = [CLIENT_ROLES[slot % len(CLIENT_ROLES)] for slot in range(connections)]
        self._living: list[SimulatedConnection | None] = [None] * connections
        self._lifetimes: list[Iterator[ConnectionLifetime]] = []
        self._changes: list[tuple[int, int, ConnectionLifetime, bool]] = []
        for slot, role in enumerate(self._roles):
            self._lifetimes.append(connection_lifetimes(role, f"{seed}/{incarnation}/{slot}", slot=slot, churn=churn))
            self._schedule_next_join(slot)
        self._by_node: list[tuple[SimulatedConnection, ...]] = []
        self._by_id: dict[str, SimulatedConnection] = {}
        self.advance(0)

    def advance(self, now_ns: int) -> None:
        """
        Let connections join and leave up to a time; going back in time changes nothing.

        Takes about 4 ms for each connection that joins for the first time in this process, otherwise a negligible time.
        """
        self.now_ns = max(now_ns, self.now_ns)
        changed = not self._by_node
        while self._changes and self._changes[0][0] <= self.now_ns:
            _, slot, lifetime, joins = heapq.heappop(self._changes)
            over = lifetime.leaves_ns is not None and lifetime.leaves_ns <= self.now_ns
            if joins and not over:
                self._living[slot] = self._make_connection(slot, lifetime)
            elif not joins:
                self._living[slot] = None
            if joins and lifetime.leaves_ns is not None:
                heapq.heappush(self._changes, (lifetime.leaves_ns, slot, lifetime, False))
            elif not joins:
                self._schedule_next_join(slot)
            changed = True
        if changed:
            self._rebuild_indexes()

    def connections_of_node(self, node: int) -> Sequence[SimulatedConnection]:
        """
        The connections that a node has now, in a sequence that does not change later.

        Raises:
            IndexError: There is no such node.
        """
        return self._by_node[node]

    def find_connection(self, channel_id: str, connection_id: str) -> SimulatedConnection | None:
        """The living connection with this id, if it is in the channel, on any node."""
        found = self._by_id.get(connection_id)
        return found if found is not None and found.channel_id == channel_id else None

    def find_client_connections(self, channel_id: str, client_id: str) -> Sequence[SimulatedConnection]:
        """The living connections of a client in a channel, on all nodes."""
        return [
            found for found in self._by_id.values() if found.client_id == client_id and found.channel_id == channel_id
        ]

    def set_value(self, connection_id: str, pointer: str, value: Any) -> None:  # Any: a fault may set any JSON
        """
        Keep one value of a living connection constant from now on, or add one.

        Args:
            pointer: JSON Pointer within the connection object.

        Raises:
            UsageError: No such connection lives, or it has no place for the value.
        """
        found = self._by_id.get(connection_id)
        if found is None:
            raise UsageError(f"the simulated world has no connection {connection_id!r}")
        found.override_value(pointer, value)

    def _make_connection(self, slot: int, lifetime: ConnectionLifetime) -> SimulatedConnection:
        role = self._roles[slot]
        template, ids, seed = _plan_connection(self._columns, role, lifetime, slot)
        return SimulatedConnection(template, ids, lifetime, role=role.name, node=slot % self.nodes, seed=seed)

    def _schedule_next_join(self, slot: int) -> None:
        """Note when the slot's next connection joins."""
        lifetime = next(self._lifetimes[slot], None)
        if lifetime is not None:
            heapq.heappush(self._changes, (lifetime.joins_ns, slot, lifetime, True))

    def _rebuild_indexes(self) -> None:
        living = [connection for connection in self._living if connection is not None]
        self._by_id = {connection.connection_id: connection for connection in living}
        self._by_node = [
            tuple(connection for connection in living if connection.node == node) for node in range(self.nodes)
        ]
