"""Parses an edition that extends another one: its file states each change with its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from .edition_parser import EDITION_KEYS, FIELD_KEYS, EditionParser, value_limits
from .edition_rules import LABELS_GROUP
from .field_definitions import Edition, FieldDefinition, FieldGroup, FieldPath, FieldProvenance

MAX_STATEMENTS: Final = 200
"""The most statements of one kind in an edition that builds on another; each looks at all fields."""
MAX_NAMED_PATHS: Final = 1_000
"""The most paths whose standing is stated, for the same reason."""
MAX_RENAMED_CHARACTERS: Final = 500
"""How long a path may become by renaming: every former name is kept."""
MAX_STARS: Final = 2
"""The most `*` in a path: a pattern with many of them takes exponential time."""


_EXTENDING_KEYS: Final = (EDITION_KEYS - {"fields", "groups"}) | {"extends", "standing", "rename", "add", "remove"}
_STANDING_KEYS: Final = {"paths", "is", "source"}
_RENAME_KEYS: Final = {"from", "to", "is", "source", "description"}
_REMOVE_KEYS: Final = {"path", "source"}
_ADD_KEYS: Final = FIELD_KEYS | {"path", "is", "source"}

_Fields = dict[FieldPath, FieldDefinition]


class EditionExtensionParser(EditionParser):
    """Turns the document of an edition that has `extends` into an Edition."""

    def __init__(
        self,
        document: dict[str, Any],  # Any: whatever TOML can hold
        origin: str,
        shipped: Collection[str],
        base_edition: Callable[[str], Edition],
    ) -> None:
        super().__init__(document, origin)
        self.shipped = shipped
        """The names of editions that can be built on."""
        self.base_edition = base_edition
        """Loads one of them."""
        self.named_paths: int = 0
        """Paths of `standing` so far."""

    def edition(self) -> Edition:
        """The base edition with the file's changes applied."""
        document = self.document
        self.check_format()
        self.refuse_unknown_keys(document, _EXTENDING_KEYS, "top level")
        name = self.text(document, "name", "top level")
        base_name = self.text(document, "extends", "top level")
        if base_name not in self.shipped:
            raise self.fail("extends", f"{base_name!r} is not an edition that ships with the package")
        if base_name == name:
            raise self.fail("extends", "an edition cannot extend itself")
        base = self.base_edition(base_name)
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
        root = self.build_group((), fields, groups)
        edition = Edition(
            name=name,
            title=self.text(document, "title", "top level"),
            source=self.text(document, "source", "top level"),
            root=root,
            undocumented=(*(field for field in base.undocumented if field.path not in fields), *self.undocumented()),
        )
        return self.check_edition(edition)

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
            raise self.fail(place, f"a path may have at most {MAX_STARS} *")
        return re.compile("([^.]*)".join(re.escape(piece) for piece in text.split("*")))

    def set_provenance(self, fields: _Fields, entry: dict[str, Any], place: str) -> None:
        self.refuse_unknown_keys(entry, _STANDING_KEYS, place)
        paths = entry.get("paths")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise self.fail(place, "`paths` must be a list of strings")
        self.named_paths += len(paths)
        if self.named_paths > MAX_NAMED_PATHS:
            raise self.fail(place, f"more than {MAX_NAMED_PATHS:,} paths in all")
        standing, source = self.enum_member(FieldProvenance, entry, "is", place), self.text(entry, "source", place)
        for text in paths:
            path = self.split_path(text, place)
            below = [known for known in fields if known[: len(path)] == path]
            if not below:
                raise self.fail(place, f"{text} is no field or group of {self.document['extends']}")
            for known in below:
                fields[known] = replace(fields[known], standing=standing, source=source)

    def rename(
        self, fields: _Fields, groups: dict[FieldPath, FieldGroup], entry: dict[str, Any], place: str
    ) -> _Fields:
        self.refuse_unknown_keys(entry, _RENAME_KEYS, place)
        old, new = self.text(entry, "from", place), self.text(entry, "to", place)
        standing, source = self.enum_member(FieldProvenance, entry, "is", place), self.text(entry, "source", place)
        described: dict[str, Any] = (
            {"description": self.text(entry, "description", place)} if "description" in entry else {}
        )
        if old.count("*") != new.count("*"):
            raise self.fail(place, "`from` and `to` must have the same number of *")
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
                if len(text) > MAX_RENAMED_CHARACTERS:
                    raise self.fail(place, f"a renamed path is longer than {MAX_RENAMED_CHARACTERS} characters")
                field = replace(
                    field, path=target, standing=standing, source=source, former=(path, *field.former), **described
                )
                for length in range(1, len(target)):
                    if length < len(path) and path[:length] in groups:
                        groups.setdefault(target[:length], replace(groups[path[:length]], path=target[:length]))
            if target in renamed:
                raise self.fail(place, f"{'.'.join(target)} already exists")
            renamed[target] = field
        if not hits:
            raise self.fail(place, f"{self.document['extends']} has no field or group {old}")
        return renamed

    def remove(self, fields: _Fields, entry: dict[str, Any], place: str) -> _Fields:
        self.refuse_unknown_keys(entry, _REMOVE_KEYS, place)
        self.text(entry, "source", place)
        gone = self.path_pattern(self.text(entry, "path", place), place)
        kept = {path: field for path, field in fields.items() if not gone.fullmatch(".".join(path))}
        if len(kept) == len(fields):
            raise self.fail(place, f"{self.document['extends']} has no field or group {entry['path']}")
        return kept

    def add(self, fields: _Fields, entry: dict[str, Any], place: str) -> None:
        self.refuse_unknown_keys(entry, _ADD_KEYS, place)
        path = self.split_path(self.text(entry, "path", place), place)
        if path in fields:
            raise self.fail(place, f"{'.'.join(path)} already exists")
        field = self.field(path, {key: entry[key] for key in entry if key in FIELD_KEYS} | value_limits(entry))
        fields[path] = replace(
            field,
            standing=self.enum_member(FieldProvenance, entry, "is", place),
            source=self.text(entry, "source", place),
        )

    def build_group(self, path: FieldPath, fields: _Fields, groups: Mapping[FieldPath, FieldGroup]) -> FieldGroup:
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
            optional=known.optional if known is not None else path[:1] == (LABELS_GROUP,),
        )
