"""An edition's file from a page's list, in the form of the editions that ship with the package."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from ..edition import FORMAT, Edition, Field, Group, Kind, Presence, Type, load, names
from .example import Comparison
from .infer import DATA_CHANNEL, infer
from .listing import Listed, Path

INFERRED: Final = "kind and unit inferred from the name"
GUESSED: Final = "type, kind and unit guessed, for the name tells nothing"

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def write(listed: Listed, comparison: Comparison | None, *, name: str, origin: str) -> str:
    """
    Write an edition's file.

    Args:
        listed: The page's fields and groups.
        comparison: Its example against its list: gives types where a name does not tell, and undocumented fields.
        name: The edition's name.
        origin: The page's name.
    """
    types = comparison.types if comparison is not None else {}
    lines = [
        f"# Read from the documentation page {_printable(origin)}.",
        "# Fields that an edition of sora-stats-harness has are described as there. Of all others kind and unit are inferred",
        "# from the name, and the description says so: look at these before a server is judged by them.",
        "",
        f"format = {_quoted(FORMAT)}",
        f"name = {_quoted(name)}",
        f"title = {_quoted(f'Statistics API of WebRTC SFU Sora, as the page {origin} lists it')}",
        f"source = {_quoted(origin)}",
    ]
    lines += _group(listed, types)
    for path in comparison.undocumented if comparison is not None else ():
        lines += _undocumented(path, types[path], origin)
    return "\n".join(lines) + "\n"


def _group(group: Listed, types: Mapping[Path, Type]) -> Iterator[str]:
    table = ".".join(f"groups.{_key(part)}" for part in group.path)
    known = _known_groups().get(group.path)
    keys = []
    if known is not None and known.description:
        keys.append(f"description = {_quoted(known.description)}")
    if known.optional if known is not None else group.path[:1] == (DATA_CHANNEL,):
        keys.append("optional = true")
    if group.same_as is not None:
        keys.append(f"same_as = {_quoted('.'.join(group.same_as.path))}")
    if keys and group.path:
        yield from ("", f"[{table}]", *keys)
    fields = [child for child in group.children if not child.is_group]
    if fields:
        yield from ("", f"[{table}.fields]" if table else "[fields]")
        for child in fields:
            yield f"{_key(child.path[-1])} = {{ {', '.join(_pairs(child.path, types))} }}"
    for child in group.children:
        if child.is_group:
            yield from _group(child, types)


def _pairs(path: Path, types: Mapping[Path, Type]) -> Iterator[str]:
    """The keys and values of one field: as a known edition has them, or as inferred."""
    rule = known_fields().get(path)
    guess = rule if rule is not None else infer(path, types.get(path))
    yield f"type = {_quoted(guess.type.value)}"
    yield f"kind = {_quoted(guess.kind.value)}"
    yield f"unit = {_quoted(guess.unit.value)}"
    if isinstance(guess, Field):
        conditional, description = guess.presence is Presence.CONDITIONAL, guess.description
    else:
        conditional, description = guess.conditional, _described(path, by_name=guess.by_name)
    if conditional:
        yield 'presence = "conditional"'
    for key in ("minimum", "maximum", "max_bytes"):
        if (limit := getattr(guess, key)) is not None:
            yield f"{key} = {limit}"
    if guess.values is not None:
        yield f"values = [{', '.join(map(_quoted, guess.values))}]"
    if guess.form is not None:
        yield f"form = {_quoted(guess.form)}"
    yield f"description = {_quoted(description)}"


def _described(path: Path, *, by_name: bool) -> str:
    words = path[-1].replace("_", " ").strip() or path[-1]
    return f"{words[:1].upper()}{words[1:]} ({INFERRED if by_name else GUESSED})."


def _undocumented(path: Path, type_: Type, origin: str) -> Iterator[str]:
    """A field that only the example has; none whose path cannot be written with dots."""
    if any("." in part or not part.strip() or not part.isprintable() for part in path):
        return
    known = {field.path: field for edition in _editions() for field in edition.undocumented}.get(path)
    guess = infer(path, type_)
    fitting = guess.type is type_
    yield from ("", "[[undocumented]]", f"path = {_quoted('.'.join(path))}", f"type = {_quoted(type_.value)}")
    yield f"kind = {_quoted((guess.kind if fitting else Kind.GAUGE).value)}"
    yield f"unit = {_quoted(guess.unit.value)}"
    yield f"seen_in = {_quoted(f'the example answer of {origin}')}"
    description = known.description if known is not None else _described(path, by_name=guess.by_name and fitting)
    yield f"description = {_quoted(description)}"


@cache
def _editions() -> tuple[Edition, ...]:
    """The editions that ship with the package, the newest last."""
    return tuple(load(name) for name in names())


@cache
def known_fields() -> dict[Path, Field]:
    """The fields that an edition of this package has, each as in the newest."""
    return {field.path: field for edition in _editions() for field in edition.fields}


@cache
def _known_groups() -> dict[Path, Group]:
    return {group.path: group for edition in _editions() for group in edition.root.walk()}


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """A TOML string; what cannot be printed becomes the sign for that."""
    text = _printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
