"""Parses an edition's file: tables of groups and fields become an `Edition`, and every error names its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final, TypeVar

from .edition_rules import LABELS_GROUP, NAME_RULE, find_problems
from .errors import EditionError
from .field_definitions import (
    Edition,
    FieldDefinition,
    FieldGroup,
    FieldKind,
    FieldPath,
    FieldPresence,
    FieldType,
    FieldUnit,
)

EDITION_FORMAT: Final = "sora-harness/edition/1"

MAX_FIELDS: Final = 5_000
"""The most fields and groups; real editions have 374. With `same_as` a few groups could expand to any number."""
MAX_DEPTH: Final = 12
"""Groups in groups; real ones go three levels deep."""
MAX_PATH_CHARACTERS: Final = 6_000
"""The most characters of a path; real ones have 70."""
MAX_SAME_AS: Final = 12
"""The longest chain of groups that are `same_as` another; real ones have one step."""
E = TypeVar("E", bound=Enum)

_LIMITS_OF_STRINGS: Final = tuple((key, FieldType.STRING) for key in ("values", "max_bytes", "form"))
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
        self.part_count: int = 0
        """Fields and groups so far."""

    def fail(self, place: str, problem: str) -> EditionError:
        message = f"the edition file {self.origin}, {place}: {problem}"
        return EditionError("".join(char if char.isprintable() else "?" for char in message))

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
        return self.check_edition(edition)

    def check_edition(self, edition: Edition) -> Edition:
        for place, problem in find_problems(edition):
            raise self.fail(place, problem)
        return edition

    def check_format(self) -> None:
        if self.document.get("format") != EDITION_FORMAT:
            raise self.fail("format", f"must be {EDITION_FORMAT!r}")

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
                raise self.fail(place, f"same_as leads back to itself at {'.'.join(target)}")
            if len(seen) > MAX_SAME_AS:
                raise self.fail(place, f"same_as has a chain of more than {MAX_SAME_AS} groups")
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
        optional = table.get("optional", path[:1] == (LABELS_GROUP,))
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
        """Count a field or group, and refuse numbers and lengths that only a broken or hostile file has."""
        self.part_count += 1
        if self.part_count > MAX_FIELDS:
            raise self.fail(place, f"more than {MAX_FIELDS:,} fields and groups, too many for a field list")
        if len(path) > MAX_DEPTH:
            raise self.fail(place, f"groups in groups, on more than {MAX_DEPTH} levels")
        if not all(name.isprintable() for name in path):
            raise self.fail(place, NAME_RULE)
        if sum(map(len, path)) > MAX_PATH_CHARACTERS:
            raise self.fail(place, f"a path of more than {MAX_PATH_CHARACTERS:,} characters")

    def lookup(self, path: tuple[str, ...], place: str) -> Mapping[str, Any]:
        table: Any = self.document
        for name in path:
            groups = table.get("groups", {})
            table = groups.get(name) if isinstance(groups, dict) else None
            if not isinstance(table, dict):
                raise self.fail(place, f"same_as names {'.'.join(path)}, which is not a group of this file")
        return table  # type: ignore[no-any-return]  # checked to be a dict in the loop; path is never empty

    def field(self, path: tuple[str, ...], entry: object) -> FieldDefinition:
        place = f"field {_show_path(path)}"
        if not isinstance(entry, dict):
            raise self.fail(place, "must be a table like { type = ..., kind = ..., unit = ..., description = ... }")
        self.refuse_unknown_keys(entry, FIELD_KEYS, place)
        self.count_part(path, place)
        below_label = len(path) > 2 and path[0] == LABELS_GROUP
        default = FieldPresence.WITH_LABEL if below_label else FieldPresence.ALWAYS
        type_ = self.enum_member(FieldType, entry, "type", place)
        self.check_limits(entry, type_, place)
        values = entry.get("values")
        field = FieldDefinition(
            path=path,
            type=type_,
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
        if field.kind is FieldKind.COUNTER and (field.minimum is None or field.minimum < 0):
            raise self.fail(place, "a counter must be an integer with a minimum, which is at least 0")
        return field

    def check_limits(self, entry: Mapping[str, Any], type_: FieldType, place: str) -> None:
        """Refuse limits that exclude every value, or that don't apply to this type."""
        for key, owner in (("minimum", FieldType.INTEGER), ("maximum", FieldType.INTEGER), *_LIMITS_OF_STRINGS):
            if key in entry and type_ is not owner:
                raise self.fail(place, f"`{key}` is for fields of type {owner.value}")
        for key in ("minimum", "maximum", "max_bytes"):
            value = entry.get(key, 0)
            if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**64:
                raise self.fail(place, f"`{key}` must be an integer of 64 bits")
        if entry.get("minimum", -(2**63)) > entry.get("maximum", 2**64) or entry.get("max_bytes", 0) < 0:
            raise self.fail(place, "no value could be within these limits")
        values = entry.get("values", [""])
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise self.fail(place, "`values` must be a list of at least one string")
        if len(set(values)) < len(values):
            raise self.fail(place, "`values` must not repeat a value")
        if entry.get("form") not in (None, "rfc3339-utc"):
            raise self.fail(place, "`form` must be 'rfc3339-utc'")

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
            raise self.fail(place, f"`{key}` must be a string")
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
    """The limits that a field has unless its entry states others."""
    return {"minimum": 0} if entry.get("kind") == FieldKind.COUNTER.value else {}


def _show_path(path: FieldPath) -> str:
    """A path for an error message, shortened if it is long."""
    return ".".join(path)[:200]
