"""
The documented field list as data.

An edition is the one source of truth: the JSON Schemas, the fast decoder, the list of counters, the simulator's columns
and the reference table all come from it, so that a change of the documentation is a change of one file. Nothing else
spells a field's name, except a relation that is about that field.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from . import edition_rules as rules
from .errors import EditionError

FORMAT = "sora-harness/edition/1"
DEFAULT = "doc-2024"
ANY_LABEL = rules.ANY_LABEL
"""Stands for every messaging label: in paths, tables and schemas."""


class Kind(Enum):
    """What may be expected of a field's value from one reading to the next."""

    COUNTER = "counter"
    """Cumulative since the connection began; never falls."""
    GAUGE = "gauge"
    """May move both ways."""
    CONFIGURATION = "configuration"
    """Fixed for the life of the data channel."""
    IDENTITY = "identity"
    """Fixed for the life of the connection."""
    TIME = "time"


class Unit(Enum):
    """Unit of a field's value."""

    BYTES = "bytes"
    MS = "ms"
    US = "us"
    COUNT = "count"
    NONE = "none"


class Type(Enum):
    """JSON type of a field's value, in the words of JSON Schema."""

    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"


class Standing(Enum):
    """How it is known that a field belongs to the edition."""

    DOCUMENTED = "documented"
    """The edition's page lists it."""
    SEEN = "seen"
    """Servers of that time answer it; the part of the page that would list it was not to be had."""
    CARRIED_OVER = "carried-over"
    """An earlier edition lists it, and nothing is known of its fate: that it is absent or different is no MUST."""


class Presence(Enum):
    """When a field has to be there."""

    ALWAYS = "always"
    """Whenever the group that it belongs to is."""
    WITH_LABEL = "with-label"
    """Whenever the data-channel label that it belongs to is."""
    CONDITIONAL = "conditional"
    """May be absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    One entry of the field list.

    `path` leads from the connection object to the leaf, with `#*` for any messaging label. `minimum` and `maximum` are
    inclusive; `max_bytes` counts UTF-8; `values` is a closed set; `form` names a lexical form ("rfc3339-utc").
    """

    path: tuple[str, ...]
    type: Type
    kind: Kind
    unit: Unit
    presence: Presence
    description: str
    minimum: int | None = None
    maximum: int | None = None
    max_bytes: int | None = None
    values: tuple[str, ...] | None = None
    form: str | None = None
    seen_in: str | None = None
    """Where an undocumented field was seen; None for documented ones."""
    standing: Standing = Standing.DOCUMENTED
    source: str | None = None
    """What says so, where it is not the edition's source."""
    former: tuple[tuple[str, ...], ...] = ()
    """Its paths in the editions that this one extends, where it had others; the latest first."""

    @property
    def name(self) -> str:
        """The key on the wire."""
        return self.path[-1]

    @property
    def dotted(self) -> str:
        """The path for people: `rtp.total_received`."""
        return ".".join(self.path)

    @property
    def pointer(self) -> str:
        """The path as a JSON Pointer from the connection on: `/rtp/total_received`."""
        return pointer(self.path)

    @property
    def undocumented(self) -> bool:
        """Known from answers, but not from the field list."""
        return self.seen_in is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An object of the answer: its own leaves, then the groups below it, both in the page's order."""

    path: tuple[str, ...]
    description: str
    fields: tuple[Field, ...]
    groups: tuple[Group, ...]
    optional: bool = False
    """Whether it may be absent without a word (data_channel, and each label in it)."""

    @property
    def name(self) -> str:
        """The key on the wire; empty for the connection object."""
        return self.path[-1] if self.path else ""

    @property
    def is_label(self) -> bool:
        """Whether this is the group that stands for every messaging label."""
        return self.name == ANY_LABEL

    def walk(self) -> Iterator[Group]:
        """This group and all below it, parents first."""
        yield self
        for group in self.groups:
            yield from group.walk()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One version of the documented field list; `doc-2024` has 374 leaves."""

    name: str
    title: str
    source: str
    root: Group
    undocumented: tuple[Field, ...] = ()

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every documented leaf, parents' own leaves before those of their groups."""
        return tuple(field for group in self.root.walk() for field in group.fields)

    @property
    def counters(self) -> tuple[Field, ...]:
        """The documented leaves that never fall."""
        return tuple(field for field in self.fields if field.kind is Kind.COUNTER)


def escape_pointer(key: str) -> str:
    """Escape one key for a JSON Pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def pointer(path: tuple[str | int, ...]) -> str:
    """Join keys and indices into a JSON Pointer (RFC 6901); the empty path is the whole document."""
    return "".join("/" + escape_pointer(str(key)) for key in path)


def names() -> list[str]:
    """The editions that ship with the package."""
    folder = resources.files(__package__) / "editions"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@cache
def load(name_or_file: str = DEFAULT) -> Edition:
    """
    Load an edition by its name, or from a user's own file.

    Args:
        name_or_file:
            The name of an edition that ships with the package, or a path to a TOML file (recognised by its ending or
            by a path separator).

    Raises:
        EditionError: No such edition, or the file is not one; the message names the place inside the file.
    """
    if name_or_file in names():
        text = (resources.files(__package__) / "editions" / f"{name_or_file}.toml").read_text(encoding="utf-8")
        return parse(text, origin=name_or_file)
    path = Path(name_or_file)
    if path.suffix != ".toml" and not path.exists():
        hint = "; auto is for commands that see answers" if name_or_file == "auto" else ""
        raise EditionError(
            f"no edition is called {name_or_file!r}: take one of {', '.join(names())}, or a .toml file{hint}"
        )
    try:
        if not path.is_file():
            path.stat()
            raise EditionError(f"the edition file {name_or_file} cannot be read: not a file")
        with path.open("rb") as file:
            text = file.read(rules.MAX_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        raise EditionError(f"the edition file {name_or_file} cannot be read: {reason}") from None
    return parse(text, origin=name_or_file)


def parse(text: str, *, origin: str) -> Edition:
    """
    Read an edition from the text of its file.

    Args:
        text: TOML; the shipped `doc-2024.toml` shows the form.
        origin: What to call it in an error message.

    Raises:
        EditionError: The text is no TOML, or a statement in it is missing, unknown or contradictory.
    """
    if len(text) > rules.MAX_BYTES:
        raise EditionError(f"the edition file {origin} is larger than {rules.MAX_BYTES:,} bytes")
    if long := _LONG_KEY.search(text):
        line = text.count("\n", 0, long.start()) + 1
        raise EditionError(f"the edition file {origin}, line {line}: a key of more than {rules.MAX_PARTS} parts")
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise EditionError(f"the edition file {origin} is not TOML: nested too deep") from None
    except ValueError as error:  # also of a number with thousands of digits
        reason = str(error).splitlines()[0]
        raise EditionError(f"the edition file {origin} is not TOML: {reason}") from None
    return _Reader(document, origin).edition()


E = TypeVar("E", bound=Enum)

_FIELD_KEYS = {
    "type", "kind", "unit", "presence", "description", "minimum", "maximum", "max_bytes", "values", "form",
}  # fmt: skip
_GROUP_KEYS = {"description", "fields", "groups", "optional", "same_as"}
_UNDOCUMENTED_KEYS = {"path", "type", "kind", "unit", "description", "seen_in"}
_EDITION_KEYS = {"format", "name", "title", "source", "fields", "groups", "undocumented"}
_EXTENDING_KEYS = {
    "format",
    "name",
    "title",
    "source",
    "extends",
    "standing",
    "rename",
    "add",
    "remove",
    "undocumented",
}
_STANDING_KEYS = {"paths", "is", "source"}
_RENAME_KEYS = {"from", "to", "is", "source", "description"}
_REMOVE_KEYS = {"path", "source"}
_ADD_KEYS = _FIELD_KEYS | {"path", "is", "source"}


_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""

_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{rules.MAX_PARTS},}}+")

_Path = tuple[str, ...]
_Fields = dict[_Path, Field]


class _Reader:
    """Turns the TOML document into an Edition; every complaint names the place."""

    def __init__(self, document: dict[str, Any], origin: str) -> None:  # Any: whatever TOML can hold
        self.document = document
        self.origin = origin
        self.leaves = self.groups = 0
        """How many were read."""

    def fail(self, place: str, problem: str) -> EditionError:
        message = f"the edition file {self.origin}, {place}: {problem}"
        return EditionError("".join(char if char.isprintable() else ascii(char)[1:-1] for char in message))

    def edition(self) -> Edition:
        document = self.document
        if document.get("format") != FORMAT:
            raise self.fail("format", f"must be {FORMAT!r}")
        if "extends" in document:
            return self.extending()
        self.known_keys(document, _EDITION_KEYS, "top level")
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
        return self.checked(edition)

    def checked(self, edition: Edition) -> Edition:
        for place, problem in rules.problems(edition):
            raise self.fail(place, problem)
        return edition

    # -- an edition that builds on another ----------------------------------------------------------------------------

    def extending(self) -> Edition:
        """What another edition has, changed by statements each of which has a source."""
        document = self.document
        self.known_keys(document, _EXTENDING_KEYS, "top level")
        name = self.text(document, "name", "top level")
        base_name = self.text(document, "extends", "top level")
        if base_name not in names():
            raise self.fail("extends", f"{base_name!r} is no edition that ships with the package")
        if base_name == name:
            raise self.fail("extends", "an edition cannot extend itself")
        base = load(base_name)
        fields = {
            field.path: replace(field, standing=Standing.CARRIED_OVER, source=f"{base.name}, nothing newer was seen")
            for field in base.fields
        }
        groups = {group.path: group for group in base.root.walk()}
        for number, entry in enumerate(self.statements("standing"), 1):
            self.stand(fields, entry, f"standing {number}")
        for number, entry in enumerate(self.statements("rename"), 1):
            fields = self.rename(fields, groups, entry, f"rename {number}")
        for number, entry in enumerate(self.statements("remove"), 1):
            fields = self.remove(fields, entry, f"remove {number}")
        for number, entry in enumerate(self.statements("add"), 1):
            self.add(fields, entry, f"add {number}")
        root = self.tree((), fields, groups)
        groups_now = {group.path for group in root.walk()}
        edition = Edition(
            name=name,
            title=self.text(document, "title", "top level"),
            source=self.text(document, "source", "top level"),
            root=root,
            undocumented=(
                *(field for field in base.undocumented if field.path not in fields and field.path[:-1] in groups_now),
                *self.undocumented(),
            ),
        )
        return self.checked(edition)

    def statements(self, key: str) -> list[dict[str, Any]]:
        entries = self.document.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.fail(key, "must be an array of tables")
        return entries

    def stand(self, fields: _Fields, entry: dict[str, Any], place: str) -> None:
        self.known_keys(entry, _STANDING_KEYS, place)
        paths = entry.get("paths")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise self.fail(place, "`paths` must be a list of texts")
        standing, source = self.member(Standing, entry, "is", place), self.text(entry, "source", place)
        for text in paths:
            path = self.path(text, place)
            below = [known for known in fields if known[: len(path)] == path]
            if not below:
                raise self.fail(place, f"{text} is no field or group of {self.document['extends']}")
            for known in below:
                fields[known] = replace(fields[known], standing=standing, source=source)

    def rename(self, fields: _Fields, groups: dict[_Path, Group], entry: dict[str, Any], place: str) -> _Fields:
        self.known_keys(entry, _RENAME_KEYS, place)
        old, new = self.text(entry, "from", place), self.text(entry, "to", place)
        standing, source = self.member(Standing, entry, "is", place), self.text(entry, "source", place)
        described: dict[str, Any] = (
            {"description": self.text(entry, "description", place)} if "description" in entry else {}
        )
        if old.count("*") != new.count("*"):
            raise self.fail(place, "`from` and `to` must have as many * each")
        self.path(new, place)
        renamed: _Fields = {}
        hits = 0
        for path, field in fields.items():
            parts = self.pattern(old, place).fullmatch(".".join(path))
            if parts is None:
                target = path
            else:
                hits += 1
                pieces = new.split("*")
                text = pieces[0] + "".join(a + b for a, b in zip(parts.groups(), pieces[1:], strict=True))
                target = tuple(text.split("."))
                field = replace(
                    field, path=target, standing=standing, source=source, former=(path, *field.former), **described
                )  # fmt: skip
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
        self.known_keys(entry, _REMOVE_KEYS, place)
        self.text(entry, "source", place)
        gone = self.pattern(self.text(entry, "path", place), place)
        kept = {path: field for path, field in fields.items() if not gone.fullmatch(".".join(path))}
        if len(kept) == len(fields):
            raise self.fail(place, f"nothing of {self.document['extends']} is called {entry['path']}")
        return kept

    def add(self, fields: _Fields, entry: dict[str, Any], place: str) -> None:
        self.known_keys(entry, _ADD_KEYS, place)
        path = self.path(self.text(entry, "path", place), place)
        if path in fields:
            raise self.fail(place, f"{'.'.join(path)} is there already")
        field = self.field(path, {key: entry[key] for key in entry if key in _FIELD_KEYS} | _limits(entry))
        fields[path] = replace(
            field, standing=self.member(Standing, entry, "is", place), source=self.text(entry, "source", place)
        )  # fmt: skip

    def tree(self, path: _Path, fields: _Fields, groups: Mapping[_Path, Group]) -> Group:
        inner = [below for below in fields if below[: len(path)] == path]
        own = [below for below in inner if len(below) == len(path) + 1]
        children = dict.fromkeys(below[: len(path) + 1] for below in inner if len(below) > len(path) + 1)
        if clash := set(own) & set(children):
            raise self.fail("add", f"{'.'.join(sorted(clash)[0])} is both a field and a group")
        known = groups.get(path)
        return Group(
            path=path,
            description=known.description if known is not None else "",
            fields=tuple(fields[below] for below in own),
            groups=tuple(self.tree(child, fields, groups) for child in children),
            optional=known.optional if known is not None else False,
        )

    # -- groups and fields --------------------------------------------------------------------------------------------

    def group(self, path: tuple[str, ...], table: Mapping[str, Any]) -> Group:
        place = f"group {'.'.join(path)}" if path else "top level"
        if not isinstance(table, dict):
            raise self.fail(place, "must be a table")
        self.groups += 1
        if len(path) > rules.MAX_DEPTH or self.groups > rules.MAX_GROUPS:
            raise self.fail(place, f"groups may be nested {rules.MAX_DEPTH} deep, and be {rules.MAX_GROUPS} in all")
        self.known_keys(table, _GROUP_KEYS, place)
        model: Mapping[str, Any] = table
        seen = [path]
        while "same_as" in model:
            target = tuple(str(model["same_as"]).split("."))
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
        return Group(
            path=path,
            description=str(table.get("description", "")),
            fields=tuple(self.field((*path, name), entry) for name, entry in fields.items()),
            groups=tuple(self.group((*path, name), entry) for name, entry in groups.items()),
            optional=optional,
        )

    def lookup(self, path: tuple[str, ...], place: str) -> Mapping[str, Any]:
        table: Any = self.document
        for name in path:
            groups = table.get("groups", {})
            table = groups.get(name) if isinstance(groups, dict) else None
            if not isinstance(table, dict):
                raise self.fail(place, f"same_as names {'.'.join(path)}, which is no group of this file")
        return table  # type: ignore[no-any-return]  # checked to be a dict in the loop; path is never empty

    def field(self, path: tuple[str, ...], entry: object) -> Field:
        place = f"field {'.'.join(path)}"
        if not isinstance(entry, dict):
            raise self.fail(place, "must be a table like { type = ..., kind = ..., unit = ..., description = ... }")
        self.known_keys(entry, _FIELD_KEYS, place)
        below_label = len(path) > 2 and path[0] == "data_channel"
        default = Presence.WITH_LABEL if below_label else Presence.ALWAYS
        type_ = self.member(Type, entry, "type", place)
        self.leaves += 1
        if self.leaves > rules.MAX_LEAVES:
            raise self.fail(place, f"more than {rules.MAX_LEAVES:,} fields")
        for key in ("values", "max_bytes", "form"):
            if key in entry and type_ is not Type.STRING:
                raise self.fail(place, f"`{key}` is for strings")
        for key in ("minimum", "maximum"):
            if key in entry and type_ is not Type.INTEGER:
                raise self.fail(place, f"`{key}` is for integers")
            self.integer(entry, key, rules.SMALLEST, place)
        if entry.get("minimum", rules.SMALLEST) > entry.get("maximum", rules.LARGEST):
            raise self.fail(place, "`minimum` is above `maximum`")
        self.integer(entry, "max_bytes", 0, place)
        values = entry.get("values")
        if values is not None and not (isinstance(values, list) and all(isinstance(v, str) for v in values)):
            raise self.fail(place, "`values` must be a list of strings")
        if values is not None and (not values or len(set(values)) < len(values)):
            raise self.fail(place, "`values` must have one value at least, and each once")
        if entry.get("form") not in (None, "rfc3339-utc"):
            raise self.fail(place, "`form` must be 'rfc3339-utc'")
        field = Field(
            path=path,
            type=type_,
            kind=self.member(Kind, entry, "kind", place),
            unit=self.member(Unit, entry, "unit", place),
            presence=self.member(Presence, entry, "presence", place) if "presence" in entry else default,
            description=self.text(entry, "description", place),
            minimum=entry.get("minimum"),
            maximum=entry.get("maximum"),
            max_bytes=entry.get("max_bytes"),
            values=tuple(values) if values is not None else None,
            form=entry.get("form"),
        )
        if field.kind is Kind.COUNTER and (field.minimum is None or field.minimum < 0):
            raise self.fail(place, "a counter must be an integer with a minimum, which is at least 0")
        return field

    def integer(self, entry: Mapping[str, Any], key: str, least: int, place: str) -> None:
        value = entry.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= rules.LARGEST:
            raise self.fail(place, f"`{key}` must be an integer from {least} to {rules.LARGEST}")

    def undocumented(self) -> tuple[Field, ...]:
        found = []
        entries = self.document.get("undocumented", [])
        if not isinstance(entries, list):
            raise self.fail("undocumented", "must be an array of tables")
        for entry in entries:
            place = "undocumented"
            if not isinstance(entry, dict):
                raise self.fail(place, "must be an array of tables")
            self.known_keys(entry, _UNDOCUMENTED_KEYS, place)
            path = self.path(self.text(entry, "path", place), place)
            found.append(
                replace(
                    self.field(path, {key: entry[key] for key in entry if key in _FIELD_KEYS} | _limits(entry)),
                    presence=Presence.CONDITIONAL,
                    seen_in=self.text(entry, "seen_in", place),
                )
            )
        return tuple(found)

    def path(self, text: str, place: str) -> _Path:
        path = tuple(text.split(".", rules.MAX_DEPTH + 1))
        if len(path) > rules.MAX_DEPTH + 1:
            raise self.fail(place, f"a path of more than {rules.MAX_DEPTH + 1} names")
        return path

    def pattern(self, text: str, place: str) -> re.Pattern[str]:
        """A path in which each `*` stands for something without a dot."""
        if text.count("*") > rules.MAX_STARS:
            raise self.fail(place, f"more than {rules.MAX_STARS} *")
        return re.compile("([^.]*)".join(re.escape(piece) for piece in text.split("*")))

    def known_keys(self, table: Mapping[str, Any], known: set[str], place: str) -> None:
        if unknown := sorted(set(table) - known):
            raise self.fail(place, f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")

    def text(self, table: Mapping[str, Any], key: str, place: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fail(place, f"`{key}` must be a text")
        return value

    def member(self, kind: type[E], table: Mapping[str, Any], key: str, place: str) -> E:
        try:
            return kind(table.get(key))
        except ValueError:
            raise self.fail(place, f"`{key}` must be one of {', '.join(str(m.value) for m in kind)}") from None


def _limits(entry: Mapping[str, Any]) -> dict[str, int]:
    return {"minimum": 0} if entry.get("kind") == Kind.COUNTER.value else {}
