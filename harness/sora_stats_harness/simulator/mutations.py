"""Single faults in a connection object, each with the requirement that it violates and where."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from ..api.edition import Edition, FieldDefinition, FieldGroup, FieldType, make_json_pointer, split_json_pointer
from .legal_connections import JsonValue, always_present, concrete_path

_WRONG_TIMES: Final = (
    "2024-07-01 00:00:00Z",
    "2024-02-30T00:00:00Z",
    "2024-07-01T00:00:00+09:00",
    "2024-07-01T00:00:00",
)
_OTHER_TYPES: Final[dict[FieldType, JsonValue]] = {
    FieldType.INTEGER: "1",
    FieldType.STRING: 1,
    FieldType.BOOLEAN: "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """
    One way to make a legal connection wrong.

    `requirement` is what it then violates, at `pointer`. `value` is the new value; a `drop` has none.
    """

    operator: str
    pointer: str
    requirement: str
    value: JsonValue = None

    def apply_to(self, document: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """A changed copy of a connection; the group that contains the pointer must be present."""
        changed: dict[str, JsonValue] = _copy(document)
        *groups, name = split_json_pointer(self.pointer)
        inner = changed
        for key in groups:
            inner = inner[key]
        if self.operator == "drop":
            del inner[name]
        else:
            inner[name] = self.value
        return changed


def _copy(value: JsonValue) -> JsonValue:
    """As `deepcopy` of JSON, in a fifth of its time."""
    if isinstance(value, Mapping):
        return {key: _copy(below) for key, below in value.items()}
    return [_copy(below) for below in value] if isinstance(value, list) else value


@cache
def all_mutations(edition: Edition) -> tuple[Mutation, ...]:
    """All mutations, leaf by leaf and then group by group."""
    rows = [(field.path, row) for field in always_present(edition.fields) for row in _leaf_mutations(field)]
    rows += [(group.path, row) for group in edition.root.walk_groups() for row in _group_mutations(group)]
    rows += [((*group.path, "new_field"), _unknown_field(group)) for group in edition.root.walk_groups()]
    return tuple(
        Mutation(
            operator=operator, pointer=make_json_pointer(concrete_path(path)), requirement=requirement, value=value
        )
        for path, (operator, requirement, value) in rows
    )


_Row = tuple[str, str, JsonValue]
"""Operator, requirement and value."""


def _leaf_mutations(field: FieldDefinition) -> Iterator[_Row]:
    yield "drop", "shape.required", None
    yield "null", "shape.type", None
    yield "retype", "shape.type", _OTHER_TYPES[field.type]
    yield "nest", "shape.type", {} if field.type is FieldType.STRING else []
    if field.type is FieldType.INTEGER:
        yield "fraction", "shape.type", 1.5
        yield "lexical", "shape.lexical", 1.0
    if field.name == "connection_id":
        yield "other_form", "identity.form", str(uuid.UUID(int=0, version=4))
    if field.minimum is not None:
        yield "too_small", "shape.range", field.minimum - 1
    if field.maximum is not None:
        yield "too_large", "shape.range", field.maximum + 1
    if field.max_bytes is not None:
        yield "too_long", "shape.range", "é" * (field.max_bytes // 2 + 1)
    if field.values:
        yield "other_value", "shape.enum", field.values[0].upper()
    if field.form is not None:
        for text in _WRONG_TIMES:
            yield "no_time", "shape.pattern", text


def _group_mutations(group: FieldGroup) -> Iterator[_Row]:
    if group.path:
        yield "null", "shape.type", None
        yield "retype", "shape.type", []
        if not group.optional:
            yield "drop", "shape.group", None


def _unknown_field(group: FieldGroup) -> _Row:
    return "unknown", "shape.unknown", {} if group.path == ("data_channel",) else 0
