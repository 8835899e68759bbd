"""
A world that a file describes: who joins and leaves when, with which numbers.

Tests of a client need to know beforehand what a response will contain. A connection with a role has that role's
traffic. One without a role has 0 in every counter, except for what the file states: the value at which a field starts,
and by how much it grows per second. Times are seconds from the start of the simulator.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ..api.edition import ANY_LABEL, Edition, FieldDefinition, FieldGroup, FieldKind, FieldPresence, FieldType
from ..api.errors import UsageError, suggest_nearest
from ..api.input_budget import parse_toml, read_small_text
from .client_roles import CLIENT_ROLES, ClientRole
from .connection_ids import draw_connection_id
from .connection_lifetimes import ConnectionLifetime
from .counter_increments import FieldPath
from .counter_model import CounterModel, default_value
from .field_index import DATA_CHANNEL_GROUP
from .ice_history import MS_NS, SECOND_NS, make_stable_history
from .world import ConnectionIds, SimulatedConnection, SimulatedWorld, add_connection_events

MAX_WORLD_BYTES: Final = 4 << 20

_ROLES: Final = {role.name: role for role in CLIENT_ROLES}
_ID_KEYS: Final = frozenset({"channel_id", "client_id", "bundle_id", "connection_id"})
_MICRO: Final = 1_000_000

_Id = Annotated[str, Meta(min_length=1, max_length=255)]
_Seconds = Annotated[float, Meta(ge=-1e8, le=1e8)]
_Json = Any  # what TOML can hold
Numbers = tuple[tuple[FieldPath, Any], ...]  # Any: a number, a text or a truth value, as the field is


class _ConnectionTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One `[[connection]]` of the file."""

    channel_id: _Id
    client_id: _Id | None = None
    bundle_id: _Id | None = None
    connection_id: _Id | None = None
    node: Annotated[int, Meta(ge=1)] = 1
    joins: _Seconds = 0.0
    leaves: _Seconds | None = None
    role: str | None = None
    start: dict[str, _Json] = {}
    per_second: dict[str, _Json] = {}


class _WorldFile(msgspec.Struct, forbid_unknown_fields=True):
    connection: list[_ConnectionTable] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedConnection:
    """One connection of the file, with its fields resolved."""

    table: _ConnectionTable
    role: ClientRole | None
    start: Numbers
    per_second: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldPlan:
    """The world that a file describes."""

    path: str
    edition: Edition
    connections: tuple[PlannedConnection, ...]


def read_world_plan(path: str, edition: Edition) -> WorldPlan:
    """
    Read the file of a world.

    Raises:
        UsageError: It can't be read, is not TOML, or says something impossible; one line names the connection.
    """
    name = f"the world {path}"
    text = read_small_text(path, limit=MAX_WORLD_BYTES, name=name)
    try:
        read = msgspec.convert(parse_toml(text), _WorldFile)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: {error}") from None
    taken: dict[str, int] = {}
    connections = []
    for number, table in enumerate(read.connection, start=1):
        where = f"{name}: connection {number}"
        if table.connection_id is not None and taken.setdefault(table.connection_id, number) != number:
            raise UsageError(f"{where}: connection {taken[table.connection_id]} has the same connection_id")
        connections.append(_resolve(table, edition, where))
    return WorldPlan(path=path, edition=edition, connections=tuple(connections))


def _resolve(table: _ConnectionTable, edition: Edition, where: str) -> PlannedConnection:
    if table.leaves is not None and table.leaves <= table.joins:
        raise UsageError(f"{where}: leaves is {table.leaves:g}, not after joins, {table.joins:g}")
    if table.role is not None and table.role not in _ROLES:
        hint = suggest_nearest(table.role, _ROLES) or f": take one of {', '.join(_ROLES)}"
        raise UsageError(f"{where}: there is no role {table.role!r}{hint}")
    if table.role is not None and (table.start or table.per_second):
        raise UsageError(f"{where}: role and start/per_second exclude each other: leave one of them out")
    start = tuple(_numbers(edition.root, table.start, (), f"{where}: start"))
    growth = tuple(_numbers(edition.root, table.per_second, (), f"{where}: per_second", rates=True))
    return PlannedConnection(table=table, role=_ROLES.get(table.role or ""), start=start, per_second=growth)


def _numbers(
    group: FieldGroup, values: Mapping[str, _Json], path: FieldPath, where: str, *, rates: bool = False
) -> Iterator[tuple[FieldPath, Any]]:
    """Each field that a table sets, with its path in the response."""
    fields = {field.name: field for field in group.fields if (*path, field.name)[0] not in _ID_KEYS}
    groups = {below.name: below for below in group.groups if not below.is_label}
    label = next((below for below in group.groups if below.is_label), None)
    for key, value in values.items():
        dotted = ".".join((*path, key))
        if field := fields.get(key):
            problem = _rate_problem(field, value) if rates else _value_problem(field, value)
            if problem:
                raise UsageError(f"{where}: {dotted} {problem}")
            yield (*path, key), value
            continue
        below = label if label is not None and key.startswith(ANY_LABEL[0]) else groups.get(key)
        if below is None:
            raise UsageError(f"{where}: there is no field {dotted}{suggest_nearest(key, [*fields, *groups])}")
        if not isinstance(value, dict):
            raise UsageError(f"{where}: {dotted} is a group of fields, not a value")
        yield from _numbers(below, value, (*path, key), where, rates=rates)


def _value_problem(field: FieldDefinition, value: _Json) -> str | None:
    wanted = {FieldType.INTEGER: int, FieldType.BOOLEAN: bool, FieldType.STRING: str}[field.type]
    right_type: bool = type(value) is wanted  # a separate name, so that mypy keeps Any for the value
    if not right_type or field.kind is FieldKind.TIME:
        return "is the time of each response" if field.kind is FieldKind.TIME else f"must be of type {field.type.value}"
    if field.values is not None and value not in field.values:
        return f"must be one of {', '.join(field.values)}"
    if field.minimum is not None and value < field.minimum:
        return f"must be at least {field.minimum}"
    if field.maximum is not None and value > field.maximum:
        return f"must be at most {field.maximum}"
    return None


def _rate_problem(field: FieldDefinition, value: _Json) -> str | None:
    if field.type is not FieldType.INTEGER:
        return f"is of type {field.type.value}, and cannot grow"
    if type(value) not in (int, float) or not 0 <= value <= 1e15:
        return "must be a number of at least 0"
    return None


class PlannedWorld(SimulatedWorld):
    """
    The connections of a plan; second 0 of the plan is `origin_ns` of the world.

    Raises:
        UsageError: A connection is on a node that doesn't exist.
    """

    def __init__(self, plan: WorldPlan, *, seed: int, nodes: int, incarnation: int, origin_ns: int) -> None:
        super().__init__(plan.edition, connections=0, nodes=nodes)
        self._plan = plan.connections
        self._living = [None] * len(self._plan)
        for slot, planned in enumerate(self._plan):
            table = planned.table
            if table.node > nodes:
                raise UsageError(
                    f"the world {plan.path}: connection {slot + 1}: node {table.node}, and --nodes is {nodes}"
                )
            lifetime = ConnectionLifetime(
                joins_ns=origin_ns + round(table.joins * SECOND_NS),
                leaves_ns=None if table.leaves is None else origin_ns + round(table.leaves * SECOND_NS),
                ice=make_stable_history(response_after_ns=20 * MS_NS, outage_ns=None),
                key=f"{seed}/{incarnation}/{slot}/plan",
            )
            self._lifetimes.append(iter([lifetime]))
            self._schedule_next_join(slot)
        self.advance(0)

    def _make_connection(self, slot: int, lifetime: ConnectionLifetime) -> SimulatedConnection:
        planned = self._plan[slot]
        table, random = planned.table, Random(lifetime.key)
        connection_id = table.connection_id or draw_connection_id(random)
        ids = ConnectionIds(
            connection_id=connection_id,
            channel_id=table.channel_id,
            client_id=table.client_id or connection_id,
            bundle_id=table.bundle_id or connection_id,
        )
        model = CounterModel(self._columns, _labels(planned), random)
        ids.set_on(model)
        if planned.role is not None:
            add_connection_events(model, planned.role, lifetime.ice)
        else:
            _set_numbers(model, planned)
        return SimulatedConnection(model.build_template(), ids, lifetime, role=table.role or "", node=table.node - 1)


def _labels(planned: PlannedConnection) -> list[str]:
    if planned.role is not None:
        return [label.name for label in planned.role.labels]
    given = [path[1] for path, _ in (*planned.start, *planned.per_second) if path[0] == DATA_CHANNEL_GROUP]
    return list(dict.fromkeys(given))


def _set_numbers(model: CounterModel, planned: PlannedConnection) -> None:
    """
    Set the numbers of the file; every other field gets the least value that it may have, and optional ones are absent.
    """
    start, rates = dict(planned.start), dict(planned.per_second)
    for path, field in model.unmodelled_leaves().items():
        absent = field.presence is FieldPresence.CONDITIONAL and path not in rates
        value: Any = start.get(path, None if absent else default_value(field, model.random))  # Any: as in Numbers
        if path in rates:
            model.add_initial_event({path: value})
        else:
            model.set_constant(path, value)
    # in integer millionths, so that a value is exact even after years
    growing = [round(rate * _MICRO) for rate in rates.values()]
    model.add_column_source(
        lambda age_ns: [rate * age_ns // (_MICRO * SECOND_NS) for rate in growing], [{path: 1} for path in rates]
    )
