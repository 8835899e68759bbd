"""Judges raw values one by one: those that the decoder accepts unread because the server was wrong there before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from ..api import strict_json
from ..api.edition import FieldDefinition, FieldPath, FieldPresence
from . import shape_deviations as shape
from . import value_text
from .edition_decoder import Json, LenientLeaf
from .shape_deviations import ShapeDeviation


class NeedsSlowPath(Exception):
    """The decoder accepted the connection, but the value needs the slow path: the connection must be surveyed."""


@dataclass(slots=True)
class LenientPlace:
    """One place where the decoder accepts any value, and what is known of the values there."""

    loose: LenientLeaf
    block: int | None
    """The block of its counter; None if it is not a counter."""
    absence: ShapeDeviation | None
    """The deviation if there is no value."""
    field: FieldDefinition | None
    """The documented leaf, if the value was learned: without a value, that may be wrong as well."""
    alone: frozenset[FieldPath]
    """A set with only its path."""
    text: bytes = b""
    """The last text there, if it was short: a server that is wrong mostly repeats itself."""
    value: Any = None
    """The value of that text, if it is valid. Any: a leaf."""
    deviation: ShapeDeviation | None = None


def judge_raw_value(
    field: FieldDefinition | None, learned: bool, path: FieldPath, wire: FieldPath, text: bytes, index: int | None
) -> tuple[Any, ShapeDeviation | None]:  # Any: a sound leaf's value, None where it is not
    if not text:
        if field is None or field.presence is FieldPresence.CONDITIONAL:
            return None, None
        return None, shape.absent_leaf_deviation(field, path, wire)
    if learned and field is not None:
        value = parse_raw_value(text, path, index)
        deviation = shape.check_leaf(field, path, wire, value)
        return shape.usable_value(value, deviation), deviation
    value = text if _is_plain(text) else parse_raw_value(text, path, index)
    if field is not None:
        return None, shape.undocumented_field_deviation(field, wire, value)
    return None, shape.unknown_key_deviation(path, wire, value)


def _is_plain(text: bytes) -> bool:
    """Whether a raw value is obviously JSON: a short string, integer or word."""
    if len(text) > value_text.MAX_SHOWN_CHARACTERS:
        return False
    if text[:1] == b'"':
        return b"\\" not in text and text.isascii()
    return (text.isdigit() and (text[:1] != b"0" or len(text) == 1)) or text in (b"true", b"false", b"null")


def parse_raw_value(raw: Raw | bytes, path: FieldPath, index: int | None) -> Json:
    """Parse a raw value strictly; if it repeats keys, the whole connection must be surveyed."""
    document = strict_json.parse_strict_json(bytes(raw), depth=len(path) + (index is not None))
    if document.duplicates:
        raise NeedsSlowPath
    return document.value
