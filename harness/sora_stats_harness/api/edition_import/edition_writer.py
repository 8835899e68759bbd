"""Writes the edition that was read from a page, in the form of the editions that ship with the package."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from ..edition import (
    EDITION_FORMAT,
    Edition,
    FieldDefinition,
    FieldGroup,
    FieldKind,
    FieldPath,
    FieldPresence,
    FieldType,
    load_edition,
    shipped_edition_names,
)
from ..edition_rules import LABELS_GROUP
from .example_response import ExampleComparison
from .field_inference import GUESSED_NOTE, describe_inferred, infer_field
from .field_tree import ListedField

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def write_edition(listed: ListedField, comparison: ExampleComparison | None, *, name: str, origin: str) -> str:
    """Write an edition's file; the comparison supplies undocumented fields, and types that a name doesn't tell."""
    types = comparison.types if comparison is not None else {}
    lines = [
        f"# Read from the documentation page {_printable(origin)}.",
        "# Fields that an edition of sora-stats-harness has are described as there. For all others kind and unit are "
        "inferred",
        "# from the name, and the description says so: check these before judging a server by them.",
        "",
        f"format = {_toml_string(EDITION_FORMAT)}",
        f"name = {_toml_string(name)}",
        f"title = {_toml_string(f'Statistics API of WebRTC SFU Sora, as the page {origin} lists it')}",
        f"source = {_toml_string(origin)}",
    ]
    lines += _write_group(listed, types)
    for path in comparison.undocumented if comparison is not None else ():
        lines += _write_undocumented(path, types[path], origin)
    return "\n".join(lines) + "\n"


def _write_group(group: ListedField, types: Mapping[FieldPath, FieldType]) -> Iterator[str]:
    table = ".".join(f"groups.{_toml_key(part)}" for part in group.path)
    known = _known_groups().get(group.path)
    keys = []
    if known is not None and known.description:
        keys.append(f"description = {_toml_string(known.description)}")
    if known.optional if known is not None else group.path[:1] == (LABELS_GROUP,):
        keys.append("optional = true")
    if group.same_as is not None:
        keys.append(f"same_as = {_toml_string('.'.join(group.same_as.path))}")
    if keys and group.path:
        yield from ("", f"[{table}]", *keys)
    fields = [child for child in group.children if not child.is_group]
    if fields:
        yield from ("", f"[{table}.fields]" if table else "[fields]")
        for child in fields:
            yield f"{_toml_key(child.path[-1])} = {{ {', '.join(_field_entries(child.path, types))} }}"
    for child in group.children:
        if child.is_group:
            yield from _write_group(child, types)


def _field_entries(path: FieldPath, types: Mapping[FieldPath, FieldType]) -> Iterator[str]:
    """The keys and values of one field, from a known edition or inferred."""
    field = known_fields().get(path) or infer_field(path, types.get(path))
    yield f"type = {_toml_string(field.type.value)}"
    yield f"kind = {_toml_string(field.kind.value)}"
    yield f"unit = {_toml_string(field.unit.value)}"
    if field.presence is FieldPresence.CONDITIONAL:
        yield 'presence = "conditional"'
    for key in ("minimum", "maximum", "max_bytes"):
        if (limit := getattr(field, key)) is not None:
            yield f"{key} = {limit}"
    if field.values is not None:
        yield f"values = [{', '.join(map(_toml_string, field.values))}]"
    if field.form is not None:
        yield f"form = {_toml_string(field.form)}"
    yield f"description = {_toml_string(field.description)}"


def _write_undocumented(path: FieldPath, type_: FieldType, origin: str) -> Iterator[str]:
    """The entry of a field that only the example has; nothing if its path cannot be written with dots."""
    if any("." in part or not part.strip() or not part.isprintable() for part in path):
        return
    known = {field.path: field for edition in _shipped_editions() for field in edition.undocumented}.get(path)
    guess = infer_field(path, type_)
    if guess.type is not type_:
        guess = replace(guess, kind=FieldKind.GAUGE, description=describe_inferred(path, GUESSED_NOTE))
    yield from ("", "[[undocumented]]", f"path = {_toml_string('.'.join(path))}", f"type = {_toml_string(type_.value)}")
    yield f"kind = {_toml_string(guess.kind.value)}"
    yield f"unit = {_toml_string(guess.unit.value)}"
    yield f"seen_in = {_toml_string(f'the example response of {origin}')}"
    yield f"description = {_toml_string((known or guess).description)}"


@cache
def _shipped_editions() -> tuple[Edition, ...]:
    """The editions that ship with the package, the newest last."""
    return tuple(load_edition(name) for name in shipped_edition_names())


@cache
def known_fields() -> dict[FieldPath, FieldDefinition]:
    """The fields that an edition of this package has, each as in the newest."""
    return {field.path: field for edition in _shipped_editions() for field in edition.fields}


@cache
def _known_groups() -> dict[FieldPath, FieldGroup]:
    return {group.path: group for edition in _shipped_editions() for group in edition.root.walk_groups()}


def _toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml_string(name)


def _toml_string(text: str) -> str:
    """A TOML string; a character that cannot be printed becomes the replacement character."""
    text = _printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
