"""
Reads a page's example response, and compares it with the page's field list.

Both are the documentation, and they contradict each other: the example has a field that the list forgot, and the list
has fields that the example doesn't show. Whoever imports a page wants to know before judging a server by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..edition import ANY_LABEL, FieldPath, FieldType
from .field_tree import ListedField

_OPENING: Final = re.compile(r"^[ \t]*(\{)", re.MULTILINE)
_MAX_OBJECTS_TRIED: Final = 100
"""How many opening braces are tried; the real page has seven."""

ExampleObject = Mapping[str, Any]
"""A response's object, with one `#*` for all labels that begin with `#`. Any: whatever JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleComparison:
    """How a page's example and its list differ; in paths `#*` stands for messaging labels."""

    undocumented: tuple[FieldPath, ...]
    """In the example only."""
    absent: tuple[FieldPath, ...]
    """In the list only."""
    contradictions: tuple[tuple[FieldPath, str], ...]
    """A field in one and a group in the other, or a value that an edition has no type for."""
    types: Mapping[FieldPath, FieldType]
    """The JSON types of the example's values."""


def find_example(text: str) -> ExampleObject | None:
    """
    Find the example response in a page: of all JSON objects that hold objects, the one with the most leaves.

    Returns:
        None if the page has no such object in valid JSON.
    """
    decoder = json.JSONDecoder()
    best: tuple[int, ExampleObject | None] = (0, None)
    end = 0
    for tries, opening in enumerate(_OPENING.finditer(text)):
        if tries >= _MAX_OBJECTS_TRIED:
            break
        if opening.start(1) < end:
            continue
        try:
            value, end = decoder.raw_decode(text, opening.start(1))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
            shown = _merge_labels(value)
            size = sum(1 for _ in _leaves(shown))
            if size > best[0]:
                best = size, shown
    return best[1]


def _merge_labels(value: dict[str, Any]) -> dict[str, Any]:
    """Merge the labels that begin with `#` into the one name that stands for them all."""
    joined: dict[str, Any] = {}
    for key, inner in value.items():
        inner = _merge_labels(inner) if isinstance(inner, dict) else inner
        if not key.startswith("#"):
            joined[key] = inner
        elif isinstance(inner, dict):
            joined[ANY_LABEL] = {**joined.get(ANY_LABEL, {}), **inner}
    return joined


def _leaves(shown: ExampleObject, path: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    for key, value in shown.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def compare_with_example(listed: ListedField, shown: ExampleObject) -> ExampleComparison:
    """Compare an example with the list of the same page."""
    documented = dict.fromkeys(listed.leaves())
    values = dict(_leaves(shown))
    types = {path: type_ for path, value in values.items() if (type_ := _field_type(value)) is not None}
    groups = {path[:length] for path in values for length in range(1, len(path))}
    fields_below = {path[:length] for path in documented for length in range(1, len(path))}
    contradictions = [
        *((path, "a field in the list, an object in the example") for path in documented if path in groups),
        *((path, "a group in the list, a value in the example") for path in values if path in fields_below),
        *(
            (path, "its value in the example has a type that no field of an edition has")
            for path in values
            if path not in types
        ),
    ]
    apart = {path for path, _ in contradictions}
    return ExampleComparison(
        undocumented=tuple(path for path in types if path not in documented and not _is_inside(path, apart)),
        absent=tuple(path for path in documented if path not in values and not _is_inside(path, apart)),
        contradictions=tuple(contradictions),
        types=types,
    )


def _is_inside(path: FieldPath, apart: set[FieldPath]) -> bool:
    return any(path[:length] in apart for length in range(1, len(path) + 1))


def _field_type(value: object) -> FieldType | None:
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    if isinstance(value, int):
        return FieldType.INTEGER
    return FieldType.STRING if isinstance(value, str) else None
