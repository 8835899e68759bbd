"""Judges what the decoder has learned to let through: raw values, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from ..api import strict_json
from ..api.edition import FieldDefinition, FieldPresence
from . import shape_deviations as shape
from . import value_text
from .edition_decoder import Json, LenientLeaf
from .shape_deviations import ShapeDeviation

Path = tuple[str, ...]


class NeedsSlowPath(Exception):
    """The decoder accepted it, but the careful path cannot tell what it is: to be surveyed."""


@dataclass(slots=True)
class LenientPlace:
    """One place where anything is let through, and what is known of what comes there."""

    loose: LenientLeaf
    block: int | None
    """The block that its counter is in; None where it is none."""
    absence: ShapeDeviation | None
    """What it comes to where nothing stands there."""
    field: FieldDefinition | None
    """The documented leaf that it is, if it was learned: where nothing stands there, that may be wrong as well."""
    alone: frozenset[Path]
    """Its path and no other."""
    text: bytes = b""
    """What stood there last, if it was short: a server that is wrong mostly says the same again."""
    value: Any = None
    """That, if it is sound. Any: a leaf."""
    deviation: ShapeDeviation | None = None


def judge_raw_value(
    field: FieldDefinition | None, learned: bool, path: Path, wire: Path, text: bytes, index: int | None
) -> tuple[Any, ShapeDeviation | None]:  # Any: a sound leaf's value, None where it is not
    if not text:
        if field is None or field.presence is FieldPresence.CONDITIONAL:
            return None, None
        return None, shape.absent_leaf_deviation(field, path, wire)
    if learned and field is not None:
        value = parse_raw_value(text, path, index)
        deviation = shape.check_leaf(field, path, wire, value)
        return shape.usable_value(value, deviation), deviation
    if not _is_plain(text):
        parse_raw_value(text, path, index)
    if field is not None:
        return None, shape.undocumented_field_deviation(field, wire, text)
    return None, shape.unknown_key_deviation(path, wire, text)


def _is_plain(text: bytes) -> bool:
    """Whether a value that was let through is strict JSON at a glance: a short string, whole number or word."""
    if len(text) > value_text.MAX_SHOWN_CHARACTERS:
        return False
    if text[:1] == b'"':
        return b"\\" not in text and text.isascii()
    return text.isdigit() or text in (b"true", b"false", b"null")


def parse_raw_value(raw: Raw | bytes, path: Path, index: int | None) -> Json:
    """A value that was let through, strictly; with repeated keys in it, the whole connection is surveyed."""
    document = strict_json.parse_strict_json(bytes(raw), depth=len(path) + (index is not None))
    if document.duplicates:
        raise NeedsSlowPath
    return document.value
