"""
Makes connection objects that are legal in every known respect, without Hypothesis.

Each is a fixed base with a few changes. After the changes the relations between counters are restored by raising what
must be larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from random import Random
from typing import Any, Final, Literal

from ..api.edition import (
    ANY_LABEL,
    Edition,
    FieldDefinition,
    FieldKind,
    FieldPresence,
    FieldType,
    load_edition,
    make_json_pointer,
    split_json_pointer,
)
from ..api.errors import UsageError
from .connection_ids import draw_connection_id
from .counter_bounds import counter_bounds
from .counter_increments import FieldPath

JsonValue = Any
"""Whatever JSON can hold."""

Leaves = dict[FieldPath, JsonValue]

BaseName = Literal["quiet", "busy"]
"""
`quiet`: just made, every counter 0, no data channel. `busy`: every counter that can move has moved, to a different
value.
"""

BASE_LABEL: Final = "#chat"
"""The messaging label of every base."""

BASE_TIMESTAMP: Final = datetime(2024, 7, 1, tzinfo=UTC)

_TIMESTAMP_RANGE_NS: Final = 10**18
"""About 31 years."""

_ALWAYS_ZERO_COUNTERS: Final = {"rtp.total_received_srtp_invalid"} | {
    f"packet_loss_simulator.total_dropped_{way}_rtp" for way in ("received", "sent")
}
"""Counters that are 0 in every base, so that packets are exactly the sum of their kinds."""

MAX_KEPT_IDS: Final = 4096
"""How many ids of `make_connection_id` are kept."""

LEGAL_TEXTS: Final = (
    *("sora", "", " ", "日本語", '"quoted"', "back\\slash", "a/b~c", "<script>alert(1)</script>", "=cmd()"),
    *("\x00", "\x1b[31m", "\u202etxt", "line\nbreak", "\u2028", "😀" * 63, "x" * 255, "null", "0"),
)
"""Legal values of free strings, the plain one first; any text of up to 255 bytes is legal."""


class GeneratedConnection(dict[str, Any]):  # Any: whatever JSON can hold
    """A connection object that prints as the call that makes it."""

    def __init__(
        self,
        base: BaseName,
        changes: Mapping[str, JsonValue],
        document: Mapping[str, JsonValue],
        without: Sequence[str] = (),
    ) -> None:
        super().__init__(document)
        self.base = base
        self.changes: dict[str, JsonValue] = dict(changes)
        self.without: tuple[str, ...] = tuple(without)

    def __repr__(self) -> str:
        without = f", without={self.without!r}" if self.without else ""
        return f"make_connection({self.base!r}, {self.changes!r}{without})"


def make_connection(
    base: BaseName = "busy",
    changes: Mapping[str, JsonValue] | None = None,
    edition: Edition | None = None,
    *,
    without: Sequence[str] = (),
) -> GeneratedConnection:
    """
    Make one legal connection.

    Args:
        changes: Values by JSON Pointer; counters that must then be larger are raised.
        without: Optional groups that are left out, by JSON Pointer.

    Raises:
        UsageError: A pointer leads to no documented leaf; the name of a messaging label begins with `#`.

    >>> make_connection("quiet", {"/rtp/total_received_rtp": 3})["rtp"]["total_received_rtp_byte_size"]
    36
    """
    model = connection_model(edition or load_edition())
    leaves = dict(model.bases[base])
    for pointer, value in (changes or {}).items():
        model.set_leaf(leaves, split_json_pointer(pointer), value)
    for gone in map(split_json_pointer, without):
        leaves = {path: value for path, value in leaves.items() if path[: len(gone)] != gone}
    model.restore_relations(leaves)
    return GeneratedConnection(base, changes or {}, nest_leaves(leaves), without)


@lru_cache(MAX_KEPT_IDS)
def make_connection_id(number: int) -> str:
    """A connection_id that belongs to a number."""
    return draw_connection_id(Random(number))


class ConnectionModel:
    """An edition with its bases and the bounds between its counters; `connection_model` caches them."""

    def __init__(self, edition: Edition) -> None:
        self.edition = edition
        self.fields: tuple[FieldDefinition, ...] = edition.fields
        self._by_path = {field.path: field for field in edition.fields}
        self._always_present: dict[FieldPath, list[FieldDefinition]] = {
            group.path: always_present(group.fields) for group in edition.root.walk_groups()
        }
        self._bounds = counter_bounds(self._by_path)
        self.bases: dict[BaseName, Leaves] = {"quiet": self._quiet_leaves(), "busy": self._busy_leaves()}

    def find_field(self, path: FieldPath) -> FieldDefinition | None:
        """The field at a response's keys; any messaging label stands for `#*`."""
        if path in self._by_path or len(path) < 2 or not path[1].startswith(ANY_LABEL[0]):
            return self._by_path.get(path)
        return self._by_path.get((path[0], ANY_LABEL, *path[2:]))

    @property
    def optional_groups(self) -> list[str]:
        """JSON Pointers of the groups that a connection may lack, with the bases' label for `#*`."""
        groups = [group for group in self.edition.root.walk_groups() if group.optional]
        return [make_json_pointer(concrete_path(group.path)) for group in groups]

    def draw_change(self, base: BaseName, field: FieldDefinition, number: int) -> tuple[str, JsonValue]:
        """The pointer of a field, and its legal value for a drawn number; 0 gives the plainest value."""
        path = concrete_path(field.path)
        return make_json_pointer(path), _legal_value(field, number, self.bases[base].get(path))

    def set_leaf(self, leaves: Leaves, path: FieldPath, value: JsonValue) -> None:
        """Set one leaf; an absent label that contains it is added."""
        field = self.find_field(path)
        if field is None:
            raise UsageError(f"edition {self.edition.name} has no field {make_json_pointer(path)}")
        if field.presence is not FieldPresence.ALWAYS:
            group, members = path[:-1], self._always_present[field.path[:-1]]
            if not any((*group, member.name) in leaves for member in members):
                leaves.update({(*group, member.name): _plainest_value(member) for member in members})
        leaves[path] = value

    def restore_relations(self, leaves: Leaves) -> None:
        """Restore the relations by raising counters; relations that hold are left alone."""
        level = leaves.get(("network_status", "unstable_level"))
        counter = ("network_status", f"total_unstable_level{level}")
        if counter in leaves and any(leaves[path] for path in leaves if path[0] == counter[0]):
            leaves[counter] = max(leaves[counter], 1)
        changed = True
        while changed:
            changed = False
            for bound in self._bounds:
                missing = 0
                for weight, path in bound.small:
                    missing += weight * leaves.get(path, 0)
                for path in bound.large:
                    missing -= leaves.get(path, 0)
                if missing > 0 and bound.large[0] in leaves:
                    leaves[bound.large[0]] += missing
                    changed = True

    def _quiet_leaves(self) -> Leaves:
        fields = always_present(self.fields)
        return {f.path: _plainest_value(f) for f in fields if f.presence is not FieldPresence.WITH_LABEL}

    def _busy_leaves(self) -> Leaves:
        leaves = {concrete_path(field.path): _plainest_value(field) for field in always_present(self.fields)}
        for number, field in enumerate(self.edition.counters):
            if field.dotted not in _ALWAYS_ZERO_COUNTERS:
                leaves[concrete_path(field.path)] = 10 + number
        for field in self.fields:
            if field.kind is FieldKind.GAUGE and field.maximum is None:
                leaves[concrete_path(field.path)] = 1000 * len(field.name)
        self.restore_relations(leaves)
        return leaves


@cache
def connection_model(edition: Edition) -> ConnectionModel:
    """The model of an edition, computed once."""
    return ConnectionModel(edition)


def always_present(fields: Iterable[FieldDefinition]) -> list[FieldDefinition]:
    """The fields that are present whenever their group is."""
    return [field for field in fields if field.presence is not FieldPresence.CONDITIONAL]


def concrete_path(path: FieldPath) -> FieldPath:
    """A field's path in the bases, with their messaging label for `#*`."""
    return tuple(BASE_LABEL if key == ANY_LABEL else key for key in path)


def nest_leaves(leaves: Mapping[FieldPath, JsonValue]) -> dict[str, JsonValue]:
    """The document that has these leaves."""
    document: dict[str, JsonValue] = {}
    for path, value in leaves.items():
        inner = document
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
    return document


def format_timestamp(nanoseconds: int, digits: int = 6) -> str:
    """
    The timestamp this long after that of the bases, with 0, 6 or 9 digits after the point; it wraps after 31 years.
    """
    seconds, rest = divmod(nanoseconds % _TIMESTAMP_RANGE_NS, 10**9)
    moment = BASE_TIMESTAMP + timedelta(seconds=seconds)
    fraction = f".{rest:09d}"[: digits + 1] if digits else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _plainest_value(field: FieldDefinition) -> JsonValue:
    if field.kind is FieldKind.IDENTITY:
        return "sora" if field.name in ("channel_id", "group_id") else make_connection_id(0)
    if field.name == "ordered":
        return True
    return "" if field.name == "protocol" else _legal_value(field, 0, 0)


def _legal_value(field: FieldDefinition, number: int, old: JsonValue) -> JsonValue:
    if field.type is FieldType.BOOLEAN:
        return number % 2 == 1
    if field.values is not None:
        return field.values[number % len(field.values)]
    if field.kind is FieldKind.TIME:
        return format_timestamp(1000 * number)
    if field.type is FieldType.STRING:
        return make_connection_id(number) if field.name == "connection_id" else LEGAL_TEXTS[number % len(LEGAL_TEXTS)]
    if (
        field.kind is FieldKind.COUNTER
    ):  # a large number gives the same value on every base, so that shrinking ends at `quiet`
        return number if number > int(old or 0) else int(old or 0) + number
    if field.minimum is not None and field.maximum is not None:
        return field.minimum + number % (field.maximum - field.minimum + 1)
    return -(number // 2) - 1 if number % 2 else number // 2  # a gauge without limits may rise and fall
