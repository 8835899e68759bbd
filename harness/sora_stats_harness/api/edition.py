"""
Editions: versions of the documented field list, read from files.

An edition is the one source of truth. The JSON Schemas, the fast decoder, the list of counters, the simulator's columns
and the reference table all come from it, so a change of the documentation is a change of one file. Nothing else spells a
field's name, except a relation that is about that field.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

from .errors import EditionError
from .field_definitions import (
    ANY_LABEL,
    Edition,
    FieldDefinition,
    FieldGroup,
    FieldKind,
    FieldPresence,
    FieldProvenance,
    FieldType,
    FieldUnit,
    escape_json_pointer,
    make_json_pointer,
    split_json_pointer,
)
from .input_budget import parse_toml, read_small_file

__all__ = [
    "ANY_LABEL",
    "DEFAULT_EDITION",
    "EDITION_FORMAT",
    "Edition",
    "FieldDefinition",
    "FieldGroup",
    "FieldKind",
    "FieldPresence",
    "FieldProvenance",
    "FieldType",
    "FieldUnit",
    "escape_json_pointer",
    "load_edition",
    "make_json_pointer",
    "parse_edition",
    "shipped_edition_names",
    "split_json_pointer",
]

EDITION_FORMAT = "sora-harness/edition/1"
DEFAULT_EDITION = "doc-2024"

MAX_FILE_BYTES: Final = 400_000
"""The largest edition file; those that ship with the package have 60 kB, and TOML takes up to 2 s a megabyte."""
MAX_FIELDS: Final = 5_000
"""The most fields and groups; real editions have 374. A few groups that stand for others could amount to any number."""
MAX_DEPTH: Final = 12
"""Groups in groups; real ones go three levels deep."""
MAX_STATEMENTS: Final = 200
"""The most statements of one kind in an edition that builds on another; each looks at all fields."""
MAX_STARS: Final = 2
"""The most `*` in a path: a pattern with many of them takes exponential time."""


def shipped_edition_names() -> list[str]:
    """The editions that ship with the package."""
    folder = resources.files(__package__) / "editions"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@cache
def load_edition(name_or_file: str = DEFAULT_EDITION) -> Edition:
    """
    Load an edition by its name, or from a user's own file.

    Args:
        name_or_file:
            The name of an edition that ships with the package, or a path to a TOML file.

    Raises:
        EditionError: There is no such edition, or the file is wrong; the message names the place in the file.
    """
    if name_or_file in shipped_edition_names():
        text = (resources.files(__package__) / "editions" / f"{name_or_file}.toml").read_text(encoding="utf-8")
        return parse_edition(text, origin=name_or_file)
    path = Path(name_or_file)
    if path.suffix != ".toml" and not path.exists():
        hint = "; auto is for commands that see responses" if name_or_file == "auto" else ""
        raise EditionError(
            f"no edition is called {name_or_file!r}: take one of {', '.join(shipped_edition_names())}, or a .toml file{hint}"
        )
    name = f"the edition file {name_or_file}"
    data = read_small_file(path, limit=MAX_FILE_BYTES, name=name, error=EditionError)
    try:
        return parse_edition(data.decode("utf-8"), origin=name_or_file)
    except UnicodeDecodeError:
        raise EditionError(f"{name} cannot be read: not UTF-8 text") from None


def parse_edition(text: str, *, origin: str) -> Edition:
    """
    Read an edition from the text of its file.

    Args:
        text: TOML; the shipped `doc-2024.toml` shows the form.
        origin: What to call it in an error message.

    Raises:
        EditionError: The text is no TOML, or larger than any field list, or a statement in it is missing, unknown or
            contradictory.
    """
    if len(text) > MAX_FILE_BYTES:
        raise EditionError(f"the edition file {origin} is larger than {MAX_FILE_BYTES:,} bytes, which no field list is")
    try:
        document = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise EditionError(f"the edition file {origin} is not TOML: {error}") from None
    return _EditionParser(document, origin).edition()


E = TypeVar("E", bound=Enum)

_LIMIT_KEYS = {"minimum", "maximum", "max_bytes", "values", "form"}
_FIELD_KEYS = {"type", "kind", "unit", "presence", "description"} | _LIMIT_KEYS
_GROUP_KEYS = {"description", "fields", "groups", "optional", "same_as"}
_UNDOCUMENTED_KEYS = {"path", "type", "kind", "unit", "description", "seen_in"}
_EDITION_KEYS = {"format", "name", "title", "source", "fields", "groups", "undocumented"}
_EXTENDING_KEYS = (_EDITION_KEYS - {"fields", "groups"}) | {"extends", "standing", "rename", "add", "remove"}
_STANDING_KEYS = {"paths", "is", "source"}
_RENAME_KEYS = {"from", "to", "is", "source", "description"}
_REMOVE_KEYS = {"path", "source"}
_ADD_KEYS = _FIELD_KEYS | {"path", "is", "source"}


_Path = tuple[str, ...]
_Fields = dict[_Path, FieldDefinition]


class _EditionParser:
    """Turns the TOML document into an Edition; every error names the place."""

    def __init__(self, document: dict[str, Any], origin: str) -> None:  # Any: whatever TOML can hold
        self.document = document
        self.origin = origin
        self.part_count = 0
        """Fields and groups so far."""

    def fail(self, place: str, problem: str) -> EditionError:
        return EditionError(f"the edition file {self.origin}, {place}: {problem}")

    def edition(self) -> Edition:
        document = self.document
        if document.get("format") != EDITION_FORMAT:
            raise self.fail("format", f"must be {EDITION_FORMAT!r}")
        if "extends" in document:
            return self.extended_edition()
        self.refuse_unknown_keys(document, _EDITION_KEYS, "top level")
        root = self.group((), {key: document[key] for key in ("fields", "groups") if key in document})
        if not root.fields and not root.groups:
            raise self.fail("top level", "no fields and no groups")
        edition = Edition(
            name=self.text(document, "name", "top level"),
            title=self.text(document, "title", "top level"),
            source=self.text(document, "source", "top level"),
            root=root,
            undocumented=self.undocumented(),
        )
        self.check_undocumented(edition)
        return edition

    def check_undocumented(self, edition: Edition) -> None:
        documented = {field.path for field in edition.fields}
        for field in edition.undocumented:
            if field.path in documented:
                raise self.fail("undocumented", f"{field.dotted} is documented in the same file")

    # -- an edition that builds on another ----------------------------------------------------------------------------

    def extended_edition(self) -> Edition:
        """What another edition has, changed by statements that each name a source."""
        document = self.document
        self.refuse_unknown_keys(document, _EXTENDING_KEYS, "top level")
        name = self.text(document, "name", "top level")
        base_name = self.text(document, "extends", "top level")
        if base_name not in shipped_edition_names():
            raise self.fail("extends", f"{base_name!r} is no edition that ships with the package")
        if base_name == name:
            raise self.fail("extends", "an edition cannot extend itself")
        base = load_edition(base_name)
        fields = {
            field.path: replace(
                field, standing=FieldProvenance.CARRIED_OVER, source=f"{base.name}, nothing newer was seen"
            )
            for field in base.fields
        }
        groups = {group.path: group for group in base.root.walk_groups()}
        for number, entry in enumerate(self.read_statements("standing"), 1):
            self.set_provenance(fields, entry, f"standing {number}")
        for number, entry in enumerate(self.read_statements("rename"), 1):
            fields = self.rename(fields, groups, entry, f"rename {number}")
        for number, entry in enumerate(self.read_statements("remove"), 1):
            fields = self.remove(fields, entry, f"remove {number}")
        for number, entry in enumerate(self.read_statements("add"), 1):
            self.add(fields, entry, f"add {number}")
        documented = set(fields)
        edition = Edition(
            name=name,
            title=self.text(document, "title", "top level"),
            source=self.text(document, "source", "top level"),
            root=self.build_group((), fields, groups),
            undocumented=(
                *(field for field in base.undocumented if field.path not in documented),
                *self.undocumented(),
            ),
        )
        self.check_undocumented(edition)
        return edition

    def read_statements(self, key: str) -> list[dict[str, Any]]:
        entries = self.document.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.fail(key, "must be an array of tables")
        if len(entries) > MAX_STATEMENTS:
            raise self.fail(key, f"more than {MAX_STATEMENTS} statements")
        return entries

    def path_pattern(self, text: str, place: str) -> re.Pattern[str]:
        """The pattern of a path in which each `*` stands for any text without a dot."""
        if text.count("*") > MAX_STARS:
            raise self.fail(place, f"a path may have {MAX_STARS} *")
        return re.compile("([^.]*)".join(re.escape(piece) for piece in text.split("*")))

    def split_path(self, text: str, place: str) -> _Path:
        """The parts of a dotted path."""
        path = tuple(text.split("."))
        if len(path) > MAX_DEPTH:
            raise self.fail(place, f"a path of more than {MAX_DEPTH} parts")
        return path

    def set_provenance(self, fields: _Fields, entry: dict[str, Any], place: str) -> None:
        self.refuse_unknown_keys(entry, _STANDING_KEYS, place)
        paths = entry.get("paths")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise self.fail(place, "`paths` must be a list of texts")
        standing, source = self.enum_member(FieldProvenance, entry, "is", place), self.text(entry, "source", place)
        for text in paths:
            path = self.split_path(text, place)
            below = [known for known in fields if known[: len(path)] == path]
            if not below:
                raise self.fail(place, f"{text} is no field or group of {self.document['extends']}")
            for known in below:
                fields[known] = replace(fields[known], standing=standing, source=source)

    def rename(self, fields: _Fields, groups: dict[_Path, FieldGroup], entry: dict[str, Any], place: str) -> _Fields:
        self.refuse_unknown_keys(entry, _RENAME_KEYS, place)
        old, new = self.text(entry, "from", place), self.text(entry, "to", place)
        standing, source = self.enum_member(FieldProvenance, entry, "is", place), self.text(entry, "source", place)
        described: dict[str, Any] = (
            {"description": self.text(entry, "description", place)} if "description" in entry else {}
        )
        if old.count("*") != new.count("*"):
            raise self.fail(place, "`from` and `to` must have as many * each")
        renamed: _Fields = {}
        hits = 0
        pattern = self.path_pattern(old, place)
        for path, field in fields.items():
            parts = pattern.fullmatch(".".join(path))
            if parts is None:
                target = path
            else:
                hits += 1
                pieces = new.split("*")
                text = pieces[0] + "".join(a + b for a, b in zip(parts.groups(), pieces[1:], strict=True))
                target = self.split_path(text, place)
                field = replace(
                    field, path=target, standing=standing, source=source, former=(path, *field.former), **described
                )
                for length in range(1, len(target)):
                    if length < len(path) and path[:length] in groups:
                        groups.setdefault(target[:length], replace(groups[path[:length]], path=target[:length]))
            if target in renamed:
                raise self.fail(place, f"{'.'.join(target)} is there already")
            renamed[target] = field
        if not hits:
            raise self.fail(place, f"nothing of {self.document['extends']} is called {old}")
        return renamed

    def remove(self, fields: _Fields, entry: dict[str, Any], place: str) -> _Fields:
        self.refuse_unknown_keys(entry, _REMOVE_KEYS, place)
        self.text(entry, "source", place)
        gone = self.path_pattern(self.text(entry, "path", place), place)
        kept = {path: field for path, field in fields.items() if not gone.fullmatch(".".join(path))}
        if len(kept) == len(fields):
            raise self.fail(place, f"nothing of {self.document['extends']} is called {entry['path']}")
        return kept

    def add(self, fields: _Fields, entry: dict[str, Any], place: str) -> None:
        self.refuse_unknown_keys(entry, _ADD_KEYS, place)
        path = self.split_path(self.text(entry, "path", place), place)
        if path in fields:
            raise self.fail(place, f"{'.'.join(path)} is there already")
        field = self.field(path, {key: entry[key] for key in entry if key in _FIELD_KEYS} | _value_limits(entry))
        fields[path] = replace(
            field,
            standing=self.enum_member(FieldProvenance, entry, "is", place),
            source=self.text(entry, "source", place),
        )

    def build_group(self, path: _Path, fields: _Fields, groups: Mapping[_Path, FieldGroup]) -> FieldGroup:
        inner = [below for below in fields if below[: len(path)] == path]
        own = [below for below in inner if len(below) == len(path) + 1]
        children = dict.fromkeys(below[: len(path) + 1] for below in inner if len(below) > len(path) + 1)
        if clash := set(own) & set(children):
            raise self.fail("add", f"{'.'.join(sorted(clash)[0])} is both a field and a group")
        known = groups.get(path)
        return FieldGroup(
            path=path,
            description=known.description if known is not None else "",
            fields=tuple(fields[below] for below in own),
            groups=tuple(self.build_group(child, fields, groups) for child in children),
            optional=known.optional if known is not None else False,
        )

    # -- groups and fields --------------------------------------------------------------------------------------------

    def group(self, path: tuple[str, ...], table: Mapping[str, Any]) -> FieldGroup:
        place = f"group {_show_path(path)}" if path else "top level"
        if not isinstance(table, dict):
            raise self.fail(place, "must be a table")
        self.count_part(path, place)
        self.refuse_unknown_keys(table, _GROUP_KEYS, place)
        model: Mapping[str, Any] = table
        seen = [path]
        while "same_as" in model:
            target = self.split_path(str(model["same_as"]), place)
            if target in seen:
                raise self.fail(place, f"same_as leads round in a circle at {'.'.join(target)}")
            seen.append(target)
            model = self.lookup(target, place)
        fields = model.get("fields", {})
        groups = model.get("groups", {})
        if not isinstance(fields, dict) or not isinstance(groups, dict):
            raise self.fail(place, "`fields` and `groups` must be tables")
        if clash := set(fields) & set(groups):
            raise self.fail(place, f"{sorted(clash)[0]} is both a field and a group")
        if any(target == path[: len(target)] for target in seen[1:]):
            raise self.fail(place, "same_as names a group that holds this one")
        optional = table.get("optional", False)
        if not isinstance(optional, bool):
            raise self.fail(place, "`optional` must be true or false")
        return FieldGroup(
            path=path,
            description=str(table.get("description", "")),
            fields=tuple(self.field((*path, name), entry) for name, entry in fields.items()),
            groups=tuple(self.group((*path, name), entry) for name, entry in groups.items()),
            optional=optional,
        )

    def count_part(self, path: _Path, place: str) -> None:
        """Refuse what no field list has."""
        self.part_count += 1
        if self.part_count > MAX_FIELDS:
            raise self.fail(place, f"more than {MAX_FIELDS:,} fields and groups, which no field list has")
        if len(path) > MAX_DEPTH:
            raise self.fail(place, f"groups in groups, on more than {MAX_DEPTH} levels")
        if not all(name.isprintable() for name in path):
            raise self.fail(place, "a name must consist of printable characters")

    def lookup(self, path: tuple[str, ...], place: str) -> Mapping[str, Any]:
        table: Any = self.document
        for name in path:
            table = table.get("groups", {}).get(name)
            if not isinstance(table, dict):
                raise self.fail(place, f"same_as names {'.'.join(path)}, which is no group of this file")
        return table  # type: ignore[no-any-return]  # checked to be a dict in the loop; path is never empty

    def field(self, path: tuple[str, ...], entry: object) -> FieldDefinition:
        place = f"field {_show_path(path)}"
        if not isinstance(entry, dict):
            raise self.fail(place, "must be a table like { type = ..., kind = ..., unit = ..., description = ... }")
        self.refuse_unknown_keys(entry, _FIELD_KEYS, place)
        self.count_part(path, place)
        below_label = len(path) > 2 and path[0] == "data_channel"
        default = FieldPresence.WITH_LABEL if below_label else FieldPresence.ALWAYS
        values = entry.get("values")
        if values is not None and not (isinstance(values, list) and all(isinstance(v, str) for v in values)):
            raise self.fail(place, "`values` must be a list of strings")
        for key in ("minimum", "maximum", "max_bytes"):
            if key in entry and (not isinstance(entry[key], int) or isinstance(entry[key], bool)):
                raise self.fail(place, f"`{key}` must be an integer")
        if entry.get("form") not in (None, "rfc3339-utc"):
            raise self.fail(place, "`form` must be 'rfc3339-utc'")
        field = FieldDefinition(
            path=path,
            type=self.enum_member(FieldType, entry, "type", place),
            kind=self.enum_member(FieldKind, entry, "kind", place),
            unit=self.enum_member(FieldUnit, entry, "unit", place),
            presence=self.enum_member(FieldPresence, entry, "presence", place) if "presence" in entry else default,
            description=self.text(entry, "description", place),
            minimum=entry.get("minimum"),
            maximum=entry.get("maximum"),
            max_bytes=entry.get("max_bytes"),
            values=tuple(values) if values is not None else None,
            form=entry.get("form"),
        )
        if field.kind is FieldKind.COUNTER and (field.type is not FieldType.INTEGER or field.minimum is None):
            raise self.fail(place, "a counter must be an integer with a minimum")
        return field

    def undocumented(self) -> tuple[FieldDefinition, ...]:
        found = []
        entries = self.document.get("undocumented", [])
        if not isinstance(entries, list):
            raise self.fail("undocumented", "must be an array of tables")
        for entry in entries:
            place = "undocumented"
            if not isinstance(entry, dict):
                raise self.fail(place, "must be an array of tables")
            self.refuse_unknown_keys(entry, _UNDOCUMENTED_KEYS, place)
            path = self.split_path(self.text(entry, "path", place), place)
            found.append(
                replace(
                    self.field(path, {key: entry[key] for key in entry if key in _FIELD_KEYS} | _value_limits(entry)),
                    presence=FieldPresence.CONDITIONAL,
                    seen_in=self.text(entry, "seen_in", place),
                )
            )
        return tuple(found)

    def refuse_unknown_keys(self, table: Mapping[str, Any], known: Collection[str], place: str) -> None:
        if unknown := sorted(set(table) - set(known)):
            raise self.fail(place, f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")

    def text(self, table: Mapping[str, Any], key: str, place: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fail(place, f"`{key}` must be a text")
        return value

    def enum_member(self, kind: type[E], table: Mapping[str, Any], key: str, place: str) -> E:
        try:
            return kind(table.get(key))
        except ValueError:
            raise self.fail(place, f"`{key}` must be one of {', '.join(str(m.value) for m in kind)}") from None


def _value_limits(entry: Mapping[str, Any]) -> dict[str, int]:
    return {"minimum": 0} if entry.get("kind") == FieldKind.COUNTER.value else {}


def _show_path(path: _Path) -> str:
    """A path in an error message: one printable line, not too long."""
    return "".join(char if char.isprintable() else "?" for char in ".".join(path))[:200]
