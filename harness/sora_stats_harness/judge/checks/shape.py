"""
The documented shape of a connection: what a leaf, a group, or a key that nobody documented comes to.

Two ways lead here. A document that the fast decoder did not accept is surveyed whole, with jsonschema as the authority
and a walk for what JSON Schema cannot say. A leaf that the decoder has learned to let through is judged alone. Both give
the same deviations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

import jsonschema
import msgspec
from jsonschema.protocols import Validator

from ...api.edition import ANY_LABEL, Edition, Field, Group, Type, pointer
from ...api.schemas import TIME_PATTERN, connection
from ...api.strict_json import is_integral
from ..requirements import Level

Json = Any
"""A value that strict_json gave: numbers with a fraction or an exponent are Decimals."""

Path = tuple[str, ...]

TIME: Final = re.compile(TIME_PATTERN)

SHOWN: Final = 200
"""Characters of a value that are shown in a finding."""

MAX_BITS: Final = 14_000
"""Bits of an integer that Python writes out; it refuses at 4,300 digits, which a sum of two counters can exceed."""

_ORDER: Final = ("shape.type", "shape.required", "shape.enum", "shape.range", "shape.pattern", "shape.lexical")
"""Of several deviations of one leaf, the first counts: one fault, one finding."""

_RULES: Final = {
    "type": "shape.type",
    "enum": "shape.enum",
    "minimum": "shape.range",
    "maximum": "shape.range",
    "maxLength": "shape.range",
    "pattern": "shape.pattern",
    "required": "shape.required",
}


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which one connection is not as documented; paths lead from the connection on."""

    requirement: str
    path: Path
    """The edition's, with `#*` for any messaging label."""
    wire: Path
    """The answer's own keys."""
    expected: str
    actual: str
    fault: str
    masks: bool = True
    """Whether the value there is unfit for every other check."""


def show(value: Json) -> str:
    """A value (or its JSON as bytes) as a person would write it, cut where it is long."""
    if isinstance(value, bytes):
        text = value[: 4 * SHOWN].decode("utf-8", "replace")
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(value)} bytes)"
    if isinstance(value, Decimal):
        return str(value)[:SHOWN]
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace")
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def show_leaf(value: Json) -> str:
    """As `show`, for a leaf that may not be there."""
    return "absent" if value is msgspec.UNSET else show(value)


def type_name(value: Json) -> str:
    """The JSON type of a value, in the words of JSON Schema."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, Decimal) and is_integral(value)):
        return "integer"
    if isinstance(value, Decimal):
        return "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names[type(value)]


def expectation(field: Field) -> str:
    """What a leaf ought to be, in a few words: `integer, at least 0`."""
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


def judge_value(field: Field, value: Json) -> tuple[str, str] | None:
    """
    Hold one leaf's value against its entry, without jsonschema.

    Returns:
        The requirement that it misses and the class of fault; None where the leaf is sound.
    """
    found = type_name(value)
    if found != field.type.value:
        return "shape.type", f"is {found}"
    if field.values is not None and value not in field.values:
        return "shape.enum", "another value"
    if field.minimum is not None and value < field.minimum:
        return "shape.range", "too small"
    if field.maximum is not None and value > field.maximum:
        return "shape.range", "too large"
    if isinstance(value, str):
        return judge_text(field, value)
    if field.type is Type.INTEGER and isinstance(value, Decimal):
        return "shape.lexical", "fraction or exponent"
    return None


def judge_text(field: Field, value: str) -> tuple[str, str] | None:
    """What no decoder checks of a string: its bytes, and whether a time is one."""
    most = field.max_bytes
    if most is not None and len(value) * 4 > most and len(value.encode("utf-8", "surrogatepass")) > most:
        return "shape.range", "too long"
    if field.form is not None and not is_time(value):
        return "shape.pattern", "no time in UTC"
    return None


def is_time(text: str) -> bool:
    """Whether a string is an RFC 3339 time in UTC that the calendar knows; a leap second is one."""
    if TIME.fullmatch(text) is None:
        return False
    try:
        date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return False
    return True


def leaf_deviation(field: Field, path: Path, wire: Path, value: Json) -> Deviation | None:
    """Judge one leaf alone; None where it is sound."""
    missed = judge_value(field, value)
    if missed is None:
        return None
    requirement, fault = missed
    return Deviation(
        requirement=requirement, path=path, wire=wire, expected=expectation(field), actual=show(value), fault=fault
    )  # fmt: skip


def absent_leaf(field: Field, path: Path, wire: Path) -> Deviation:
    """The deviation of a leaf that is not there."""
    return Deviation(
        requirement="shape.required", path=path, wire=wire, expected=expectation(field), actual="absent", fault="absent"
    )  # fmt: skip


def absent_group(path: Path) -> Deviation:
    """The deviation of a whole group that is not there."""
    return Deviation(
        requirement="shape.group", path=path, wire=path, expected="an object", actual="absent", fault="absent"
    )


def wrong_group(path: Path, wire: Path, value: Json) -> Deviation:
    """The deviation of something that stands where an object should."""
    return Deviation(
        requirement="shape.type", path=path, wire=wire, expected="object", actual=show(value),
        fault=f"is {type_name(value)}",
    )  # fmt: skip


def unknown_key(path: Path, wire: Path, value: Json) -> Deviation:
    """The deviation of a key that the edition does not know."""
    return Deviation(
        requirement="shape.unknown", path=path, wire=wire, expected="no such key in the edition", actual=show(value),
        fault="unknown", masks=False,
    )  # fmt: skip


def known_extra(field: Field, wire: Path, value: Json) -> Deviation:
    """The note about a field that is known though undocumented."""
    return Deviation(
        requirement="shape.undocumented", path=field.path, wire=wire, expected="not in the documented list",
        actual=show(value), fault="undocumented", masks=False,
    )  # fmt: skip


@cache
def validator(edition: Edition) -> Validator:
    """jsonschema for one connection of an edition; integers written with a fraction count as integers, as it says."""
    checker = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type_name(value) == "integer"
    ).redefine("number", lambda _, value: type_name(value) in {"integer", "number"})
    kind = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=checker)  # type: ignore[no-untyped-call]
    built: Validator = kind(connection(edition))
    return built


def survey(edition: Edition, document: Json) -> list[Deviation]:
    """
    Find every deviation of one connection, slowly and surely.

    Args:
        document: What strict_json gave for the connection; anything at all.

    Returns:
        One deviation a place at most, in the order of the edition.
    """
    if not isinstance(document, dict):
        return [wrong_group((), (), document)]
    found: dict[Path, Deviation] = {}
    for deviation in [*_by_schema(edition, document), *_by_walk(edition, document)]:
        other = found.get(deviation.wire)
        if other is None or _rank(deviation) < _rank(other):
            found[deviation.wire] = deviation
    return list(found.values())


def _rank(deviation: Deviation) -> int:
    return _ORDER.index(deviation.requirement) if deviation.requirement in _ORDER else len(_ORDER)


def _by_schema(edition: Edition, document: Json) -> Iterator[Deviation]:
    entries = _entries(edition)
    for error in validator(edition).iter_errors(document):
        wire = tuple(str(key) for key in error.absolute_path)
        keys: Iterable[Path] = [wire]
        if error.validator == "required":
            required, given = cast("list[str]", error.validator_value), cast("dict[str, Json]", error.instance)
            keys = [(*wire, name) for name in required if name not in given]
        for key in keys:
            path = edition_path(edition, key)
            entry = entries[path]
            if isinstance(entry, Group):
                yield wrong_group(path, key, error.instance)
            elif error.validator == "required":
                yield absent_leaf(entry, path, key)
            else:
                requirement = _RULES[str(error.validator)]
                missed = judge_value(entry, error.instance)
                yield Deviation(
                    requirement=requirement, path=path, wire=key, expected=expectation(entry),
                    actual=show(error.instance), fault=missed[1] if missed else str(error.validator),
                )  # fmt: skip


@cache
def _entries(edition: Edition) -> dict[Path, Field | Group]:
    groups: dict[Path, Field | Group] = {group.path: group for group in edition.root.walk()}
    return groups | {field.path: field for field in edition.fields}


def edition_path(edition: Edition, wire: Path) -> Path:
    """The edition's path for keys of an answer: a messaging label that it does not name becomes `#*`."""
    group: Group | None = edition.root
    path: list[str] = []
    for key in wire:
        below = {inner.name: inner for inner in group.groups} if group is not None else {}
        if key not in below and ANY_LABEL in below and key.startswith(ANY_LABEL[0]):
            key = ANY_LABEL
        path.append(key)
        group = below.get(key)
    return tuple(path)


def _by_walk(edition: Edition, document: dict[str, Json]) -> Iterator[Deviation]:
    """What JSON Schema does not say: whole groups, unknown keys, bytes, calendar, and how integers are written."""
    undocumented = {field.path: field for field in edition.undocumented}
    todo: list[tuple[Group, Path, dict[str, Json]]] = [(edition.root, (), document)]
    while todo:
        group, wire, value = todo.pop()
        fields = {field.name: field for field in group.fields}
        groups = {inner.name: inner for inner in group.groups if not inner.is_label}
        labels = next((inner for inner in group.groups if inner.is_label), None)
        for inner in groups.values():
            if inner.name not in value and not inner.optional:
                yield absent_group((*wire, inner.name))
        for key, below in value.items():
            path, here = (*group.path, key), (*wire, key)
            known = groups.get(key)
            if known is None and labels is not None and key.startswith(ANY_LABEL[0]):
                known = labels
            if key in fields:
                if deviation := leaf_deviation(fields[key], path, here, below):
                    yield deviation
            elif known is not None:
                if isinstance(below, dict):
                    todo.append((known, here, below))
            elif path in undocumented:
                yield known_extra(undocumented[path], here, below)
            else:
                yield unknown_key(path, here, below)


def finding(
    deviation: Deviation, *, level: Level, target: str | None, connection_id: str | None, at: tuple[str | int, ...]
) -> dict[str, Any]:  # Any: keyword arguments of Finding
    """A deviation as the arguments of a finding; `at` leads from the body to the connection."""
    where = ".".join(deviation.path) or "the connection"
    return {
        "requirement": deviation.requirement,
        "level": level,
        "target": target,
        "field": pointer(deviation.path),
        "pointer": pointer((*at, *deviation.wire)),
        "connection_id": connection_id,
        "message": _MESSAGES[deviation.requirement].format(where=where),
        "expected": deviation.expected,
        "actual": deviation.actual,
        "fault": deviation.fault,
    }


_MESSAGES: Final = {
    "shape.required": "{where} is missing",
    "shape.group": "the whole group {where} is missing",
    "shape.type": "{where} has another type",
    "shape.range": "{where} is out of its limits",
    "shape.enum": "{where} has a value that is not in the list",
    "shape.pattern": "{where} is no time as documented",
    "shape.lexical": "{where} is an integer written with a fraction or an exponent",
    "shape.unknown": "{where} is in no documentation",
    "shape.undocumented": "{where} is known, though undocumented",
}
