"""
Finds the deviations of a connection from its documented shape, by jsonschema.

There are two entries. `find_all_deviations` surveys a whole document that the fast decoder did not accept, with
jsonschema as the authority and a walk for what JSON Schema can't express. `check_leaf` judges a single leaf that the
decoder accepts unread. Both give the same deviations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Final, cast

import msgspec

from ..api.edition import ANY_LABEL, Edition, FieldDefinition, FieldGroup, FieldPath, FieldType
from ..api.edition_rules import LABELS_GROUP, edition_path, shared_label_path
from ..api.edition_schemas import TIMESTAMP_PATTERN, connection_schema
from ..api.strict_json import MAX_DIGITS, is_integral
from .checks.shape import ABSENT, ENUM, GROUP, LEXICAL, PATTERN, RANGE, REQUIRED, TYPE, UNDOCUMENTED, UNKNOWN
from .value_text import Json, format_value, json_type_name

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

TIMESTAMP_REGEX: Final = re.compile(TIMESTAMP_PATTERN)

_DEVIATION_ORDER: Final = (TYPE.id, REQUIRED.id, ENUM.id, RANGE.id, PATTERN.id, LEXICAL.id)
"""The order of precedence: of several deviations of one leaf, only the first is reported."""

_REQUIREMENT_OF_KEYWORD: Final = {
    "type": TYPE.id,
    "enum": ENUM.id,
    "minimum": RANGE.id,
    "maximum": RANGE.id,
    "maxLength": RANGE.id,
    "pattern": PATTERN.id,
    "not": PATTERN.id,
    "required": REQUIRED.id,
}


class ShapeDeviation(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which one connection is not as documented; paths are relative to the connection."""

    requirement: str
    path: FieldPath
    """The edition's path, with `#*` for any messaging label."""
    wire: FieldPath
    """The response's own keys."""
    expected: str
    actual: str
    fault: str
    masks: bool = True
    """Whether no other check can use the value."""


def describe_expected(field: FieldDefinition) -> str:
    """What a leaf should be, in a few words: `integer, at least 0`."""
    parts: list[str] = [field.type.value]
    if field.minimum is not None:
        parts.append(f"at least {field.minimum}")
    if field.maximum is not None:
        parts.append(f"at most {field.maximum}")
    if field.max_bytes is not None:
        parts.append(f"at most {field.max_bytes} bytes")
    if field.values is not None:
        parts.append("one of " + ", ".join(field.values))
    if field.form is not None:
        parts.append("RFC 3339 in UTC")
    return ", ".join(parts)


def integer_value(value: Json) -> int | None:
    """
    The integer value of a JSON number, however it is written; every check gets a counter's value from here.

    None for anything else, and for a number with an absurd number of digits, such as 1e5000.

    >>> [integer_value(each) for each in (20000, Decimal("20000.0"), Decimal("2e4"), Decimal("1.5"), True, "1")]
    [20000, 20000, 20000, None, None, None]
    """
    if type(value) is int:
        return value
    if isinstance(value, Decimal) and is_integral(value) and value.adjusted() < MAX_DIGITS:
        return int(value)
    return None


def usable_value(value: Json, deviation: ShapeDeviation | None) -> Json:
    """The value of a leaf for other checks; None if it can't be used."""
    if deviation is None:
        return value
    return None if deviation.masks else integer_value(value)


def check_value(field: FieldDefinition, value: Json) -> tuple[str, str] | None:
    """
    Compare one leaf's value with its entry, without jsonschema.

    Returns:
        The requirement that it violates and the class of fault; None if the leaf is valid.
    """
    found = json_type_name(value)
    if found != field.type.value:
        return TYPE.id, f"is {found}"
    if field.values is not None and value not in field.values:
        return ENUM.id, "another value"
    if field.minimum is not None and value < field.minimum:
        return RANGE.id, "too small"
    if field.maximum is not None and value > field.maximum:
        return RANGE.id, "too large"
    if isinstance(value, str):
        return check_string(field, value)
    if field.type is FieldType.INTEGER and isinstance(value, Decimal):
        return LEXICAL.id, "fraction or exponent"
    return None


def check_string(field: FieldDefinition, value: str) -> tuple[str, str] | None:
    """Check what the decoder can't check of a string: its length in bytes, and whether a time is valid."""
    most = field.max_bytes
    if most is not None and len(value.encode("utf-8", "surrogatepass")) > most:
        return RANGE.id, "too long"
    if field.form is not None and not is_valid_timestamp(value):
        return PATTERN.id, "no time in UTC"
    return None


def is_valid_timestamp(text: str) -> bool:
    """Whether a string is an RFC 3339 time in UTC that exists in the calendar; leap seconds do."""
    if TIMESTAMP_REGEX.fullmatch(text) is None:
        return False
    try:
        date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return False
    return True


def check_leaf(field: FieldDefinition, path: FieldPath, wire: FieldPath, value: Json) -> ShapeDeviation | None:
    """Judge one leaf; None if it is valid."""
    missed = check_value(field, value)
    if missed is None:
        return None
    requirement, fault = missed
    return ShapeDeviation(
        requirement=requirement,
        path=path,
        wire=wire,
        expected=describe_expected(field),
        actual=format_value(value),
        fault=fault,
        masks=requirement != LEXICAL.id or integer_value(value) is None,
    )


def absent_leaf_deviation(field: FieldDefinition, path: FieldPath, wire: FieldPath) -> ShapeDeviation:
    """The deviation of an absent leaf."""
    return ShapeDeviation(
        requirement=REQUIRED.id, path=path, wire=wire, expected=describe_expected(field), actual="absent", fault=ABSENT
    )


def absent_group_deviation(path: FieldPath) -> ShapeDeviation:
    """The deviation of an absent group."""
    return ShapeDeviation(
        requirement=GROUP.id, path=path, wire=path, expected="an object", actual="absent", fault=ABSENT
    )


def not_an_object_deviation(path: FieldPath, wire: FieldPath, value: Json) -> ShapeDeviation:
    """The deviation of a value in place of an object."""
    return ShapeDeviation(
        requirement=TYPE.id,
        path=path,
        wire=wire,
        expected="object",
        actual=format_value(value),
        fault=f"is {json_type_name(value)}",
    )


def unknown_key_deviation(path: FieldPath, wire: FieldPath, value: Json) -> ShapeDeviation:
    """The deviation of a key that the edition does not know."""
    return ShapeDeviation(
        requirement=UNKNOWN.id,
        path=path,
        wire=wire,
        expected="no such key in the edition",
        actual=format_value(value),
        fault="unknown",
        masks=False,
    )


def undocumented_field_deviation(field: FieldDefinition, wire: FieldPath, value: Json) -> ShapeDeviation:
    """The note about an undocumented field that the edition knows."""
    return ShapeDeviation(
        requirement=UNDOCUMENTED.id,
        path=field.path,
        wire=wire,
        expected="not in the documented list",
        actual=format_value(value),
        fault="undocumented",
        masks=False,
    )


UNKNOWN_LABEL: Final = b"a label"
"""Shown for an undocumented label: its value may be long, and the decoder doesn't keep it."""


@cache
def connection_validator(edition: Edition) -> Validator:
    """The jsonschema validator for one connection of an edition; as JSON Schema says, 1.0 counts as an integer."""
    import jsonschema  # slow to import, and most commands don't need it

    checker = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: json_type_name(value) == "integer"
    ).redefine("number", lambda _, value: json_type_name(value) in {"integer", "number"})
    kind = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=checker)  # type: ignore[no-untyped-call]
    built: Validator = kind(connection_schema(edition))
    return built


def find_all_deviations(edition: Edition, document: Json) -> list[ShapeDeviation]:
    """
    Find every deviation of one connection, with jsonschema as the authority.

    Args:
        document: The connection as parsed by strict_json; may be any JSON value.

    Returns:
        At most one deviation for each place, in the order of the edition.
    """
    if not isinstance(document, dict):
        return [not_an_object_deviation((), (), document)]
    found: dict[FieldPath, ShapeDeviation] = {}
    for deviation in [*_find_schema_deviations(edition, document), *_find_other_deviations(edition, document)]:
        other = found.get(deviation.wire)
        if other is None or _deviation_rank(deviation) < _deviation_rank(other):
            found[deviation.wire] = deviation
    return list(found.values())


def _deviation_rank(deviation: ShapeDeviation) -> int:
    return (
        _DEVIATION_ORDER.index(deviation.requirement)
        if deviation.requirement in _DEVIATION_ORDER
        else len(_DEVIATION_ORDER)
    )


def _find_schema_deviations(edition: Edition, document: Json) -> Iterator[ShapeDeviation]:
    entries = _entries_by_path(edition)
    for error in connection_validator(edition).iter_errors(document):
        wire = tuple(str(key) for key in error.absolute_path)
        keys: Iterable[FieldPath] = [wire]
        if error.validator == "required":
            required, given = cast("list[str]", error.validator_value), cast("dict[str, Json]", error.instance)
            keys = [(*wire, name) for name in required if name not in given]
        for key in keys:
            path = edition_path(edition, key)
            entry = entries[path]
            if isinstance(entry, FieldGroup):
                yield not_an_object_deviation(path, key, error.instance)
            elif error.validator == "required":
                yield absent_leaf_deviation(entry, path, key)
            else:
                requirement = _REQUIREMENT_OF_KEYWORD[str(error.validator)]
                missed = check_value(entry, error.instance)
                yield ShapeDeviation(
                    requirement=requirement,
                    path=path,
                    wire=key,
                    expected=describe_expected(entry),
                    actual=format_value(error.instance),
                    fault=missed[1] if missed else str(error.validator),
                )


@cache
def _entries_by_path(edition: Edition) -> dict[FieldPath, FieldDefinition | FieldGroup]:
    groups: dict[FieldPath, FieldDefinition | FieldGroup] = {group.path: group for group in edition.root.walk_groups()}
    return groups | {field.path: field for field in edition.fields}


@cache
def _undocumented_by_path(edition: Edition) -> dict[FieldPath, FieldDefinition]:
    return {shared_label_path(field.path): field for field in edition.undocumented}


def _find_other_deviations(edition: Edition, document: dict[str, Json]) -> Iterator[ShapeDeviation]:
    """
    Find what JSON Schema can't express: whole groups, unknown keys, bytes, calendar, and how integers are written.
    """
    entries, undocumented = _entries_by_path(edition), _undocumented_by_path(edition)
    todo: list[tuple[FieldGroup, FieldPath, dict[str, Json]]] = [(edition.root, (), document)]
    while todo:
        group, wire, value = todo.pop()
        for inner in group.groups:
            if not (inner.is_label or inner.optional) and inner.name not in value:
                yield absent_group_deviation((*wire, inner.name))
        for key, below in value.items():
            path, here = (*group.path, key), (*wire, key)
            known = entries.get(path)
            if known is None and key.startswith(ANY_LABEL[0]):
                known = entries.get((*group.path, ANY_LABEL))
            if isinstance(known, FieldDefinition):
                if deviation := check_leaf(known, path, here, below):
                    yield deviation
            elif known is not None:
                if isinstance(below, dict):
                    todo.append((known, here, below))
            elif (field := undocumented.get(shared_label_path(path))) is not None:
                yield undocumented_field_deviation(field, here, below if wire != (LABELS_GROUP,) else UNKNOWN_LABEL)
            else:
                yield unknown_key_deviation(path, here, below if wire != (LABELS_GROUP,) else UNKNOWN_LABEL)
