"""
The parser of an edition's file: tables of groups and fields become an `Edition`, and every error names its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final, TypeVar

from .errors import EditionError
from .field_definitions import Edition, FieldDefinition, FieldGroup, FieldKind, FieldPresence, FieldType, FieldUnit

EDITION_FORMAT: Final = "sora-harness/edition/1"

MAX_FIELDS: Final = 5_000
"""The most fields and groups; real editions have 374. A few groups that stand for others could amount to any number."""
MAX_DEPTH: Final = 12
"""Groups in groups; real ones go three levels deep."""
E = TypeVar("E", bound=Enum)

FieldPath = tuple[str, ...]

_LIMIT_KEYS: Final = {"minimum", "maximum", "max_bytes", "values", "form"}
FIELD_KEYS: Final = {"type", "kind", "unit", "presence", "description"} | _LIMIT_KEYS
_GROUP_KEYS: Final = {"description", "fields", "groups", "optional", "same_as"}
_UNDOCUMENTED_KEYS: Final = {"path", "type", "kind", "unit", "description", "seen_in"}
EDITION_KEYS: Final = {"format", "name", "title", "source", "fields", "groups", "undocumented"}


class EditionParser:
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
        self.check_format()
        self.refuse_unknown_keys(document, EDITION_KEYS, "top level")
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

    def check_format(self) -> None:
        if self.document.get("format") != EDITION_FORMAT:
            raise self.fail("format", f"must be {EDITION_FORMAT!r}")

    def check_undocumented(self, edition: Edition) -> None:
        documented = {field.path for field in edition.fields}
        for field in edition.undocumented:
            if field.path in documented:
                raise self.fail("undocumented", f"{field.dotted} is documented in the same file")

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

    def count_part(self, path: FieldPath, place: str) -> None:
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
        self.refuse_unknown_keys(entry, FIELD_KEYS, place)
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
                    self.field(path, {key: entry[key] for key in entry if key in FIELD_KEYS} | value_limits(entry)),
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

    def split_path(self, text: str, place: str) -> FieldPath:
        """The parts of a dotted path."""
        path = tuple(text.split("."))
        if len(path) > MAX_DEPTH:
            raise self.fail(place, f"a path of more than {MAX_DEPTH} parts")
        return path


def value_limits(entry: Mapping[str, Any]) -> dict[str, int]:
    """What holds of a field's values without being said."""
    return {"minimum": 0} if entry.get("kind") == FieldKind.COUNTER.value else {}


def _show_path(path: FieldPath) -> str:
    """A path in an error message: one printable line, not too long."""
    return "".join(char if char.isprintable() else "?" for char in ".".join(path))[:200]
