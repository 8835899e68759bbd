"""The types of the documented field list: fields, groups, and an edition of them; also JSON Pointers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

ANY_LABEL = "#*"
"""Stands for every messaging label: in paths, tables and schemas."""

FieldPath = tuple[str, ...]
"""Keys from the connection to a field or group; an edition's own paths have `#*` for any messaging label."""


class FieldKind(Enum):
    """How a field's value may change from one sample to the next."""

    COUNTER = "counter"
    """Cumulative since the connection began; never falls."""
    GAUGE = "gauge"
    """May rise and fall."""
    CONFIGURATION = "configuration"
    """Fixed for the life of the data channel."""
    IDENTITY = "identity"
    """Fixed for the life of the connection."""
    TIME = "time"


class FieldUnit(Enum):
    """Unit of a field's value."""

    BYTES = "bytes"
    MS = "ms"
    US = "us"
    COUNT = "count"
    NONE = "none"


class FieldType(Enum):
    """JSON type of a field's value, in the words of JSON Schema."""

    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"


class FieldProvenance(Enum):
    """How it is known that the edition has a field."""

    DOCUMENTED = "documented"
    """The edition's page lists it."""
    SEEN = "seen"
    """Servers of that time send it; the part of the page that would list it was not available."""
    CARRIED_OVER = "carried-over"
    """An earlier edition lists it, and nothing newer is known: its absence or change violates no MUST."""


class FieldPresence(Enum):
    """When a field must be present."""

    ALWAYS = "always"
    """Whenever its group is."""
    WITH_LABEL = "with-label"
    """Whenever its data-channel label is."""
    CONDITIONAL = "conditional"
    """May be absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDefinition:
    """
    One entry of the field list.

    `path` leads from the connection object to the leaf, with `#*` for any messaging label. `minimum` and `maximum` are
    inclusive; `max_bytes` counts UTF-8; `values` is a closed set; `form` names a lexical form ("rfc3339-utc").
    """

    path: tuple[str, ...]
    type: FieldType
    kind: FieldKind
    unit: FieldUnit
    presence: FieldPresence
    description: str
    minimum: int | None = None
    maximum: int | None = None
    max_bytes: int | None = None
    values: tuple[str, ...] | None = None
    form: str | None = None
    seen_in: str | None = None
    """Where an undocumented field was seen; None for documented ones."""
    standing: FieldProvenance = FieldProvenance.DOCUMENTED
    source: str | None = None
    """Where this is known from, unless it is the edition's source."""
    former: tuple[tuple[str, ...], ...] = ()
    """Its different paths in the editions that this one extends, the latest first."""

    @property
    def name(self) -> str:
        """The key on the wire."""
        return self.path[-1]

    @property
    def dotted(self) -> str:
        """The path as reports show it: `rtp.total_received`."""
        return ".".join(self.path)

    @property
    def pointer(self) -> str:
        """The path as a JSON Pointer within the connection: `/rtp/total_received`."""
        return make_json_pointer(self.path)

    @property
    def undocumented(self) -> bool:
        """Whether it is known from responses only, not from the field list."""
        return self.seen_in is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldGroup:
    """An object of the response: its own leaves, then the groups in it, both in the page's order."""

    path: tuple[str, ...]
    description: str
    fields: tuple[FieldDefinition, ...]
    groups: tuple[FieldGroup, ...]
    optional: bool = False
    """Whether it may be absent (data_channel, and each label in it)."""

    @property
    def name(self) -> str:
        """The key on the wire; empty for the connection object."""
        return self.path[-1] if self.path else ""

    @property
    def is_label(self) -> bool:
        """Whether this is the group that stands for every messaging label."""
        return self.name == ANY_LABEL

    def walk_groups(self) -> Iterator[FieldGroup]:
        """This group and all below it, parents first."""
        yield self
        for group in self.groups:
            yield from group.walk_groups()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One version of the documented field list; `doc-2024` has 374 leaves."""

    name: str
    title: str
    source: str
    root: FieldGroup
    undocumented: tuple[FieldDefinition, ...] = ()

    def __hash__(self) -> int:
        return hash(
            (self.name, self.title, self.source)
        )  # an edition is a key of caches: that of all fields takes 0.4 ms

    @property
    def fields(self) -> tuple[FieldDefinition, ...]:
        """Every documented leaf; a group's own leaves come before those of its groups."""
        return tuple(field for group in self.root.walk_groups() for field in group.fields)

    @property
    def counters(self) -> tuple[FieldDefinition, ...]:
        """The documented leaves that never fall."""
        return tuple(field for field in self.fields if field.kind is FieldKind.COUNTER)


def make_json_pointer(path: tuple[str | int, ...]) -> str:
    """Join keys and indices into a JSON Pointer (RFC 6901); the empty path is the whole document."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)


def split_json_pointer(pointer: str) -> tuple[str, ...]:
    """Split a JSON Pointer into its keys."""
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:])
