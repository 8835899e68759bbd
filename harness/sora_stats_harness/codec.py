"""
From bytes to readings, for about what parsing them costs.

The decoder is built from the edition: msgspec checks types, limits, required and unknown fields while it parses, which
is cheaper than parsing alone. What it accepts has the documented shape. What it does not accept is judged elsewhere
(`checks.shape`, behind `strict_json`); the decoder then learns the leaf, group or key that deviated, lets it through
as raw bytes from then on, and so reads a server that is wrong in every answer as fast as one that is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from .edition import ANY_LABEL, Edition, Field, Group, Kind, Presence, Type
from .errors import EditionError

MAX_LEARNED: Final = 256
"""Deviations that a decoder takes in; a server with more is judged on the slow path, and that is counted."""

LABELS: Final = "data_channel"
"""The group whose members are labels, free to come and go."""

ABSENT: Final = Raw(b"")
"""What a learned leaf, group or key holds where the answer lacks it."""

Counters = tuple[int, ...]
"""One block's counters in the edition's order; -1 stands for one that is not there or not sound."""

MISSING: Final = -1
"""Below every sound counter, so that a maximum passes over it."""

Json = Any
"""A decoded struct or a parsed document: its type is known only when the edition is."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A group with counters of its own: the unit in which readings are compared."""

    index: int
    path: tuple[str, ...]
    counters: tuple[Field, ...]


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """A learned leaf, group or key: where it stands in its struct's tuple, and what it ought to be."""

    position: int
    path: tuple[str, ...]
    expected: Field | Group | None
    """None for a key that the edition does not know."""
    counter: int | None
    """Its place among the block's counters."""


class Plan(msgspec.Struct, kw_only=True):
    """How to take one group's struct apart. `msgspec.structs.astuple` gives counters, other leaves, groups, extras."""

    group: Group
    struct: type[msgspec.Struct]
    decoder: msgspec.json.Decoder[Json]
    counters: int
    """How many of the tuple's first places are counters."""
    block: int | None
    """The block that its counters are."""
    below: tuple[tuple[int, Plan], ...]
    """The groups in it, by position in the tuple."""
    learned: tuple[Leaf, ...]
    undocumented: tuple[Leaf, ...]
    colons: int
    """Colons between keys and values that are always there, groups and optional leaves not counted."""
    conditional: tuple[tuple[int, Field], ...]
    flat: bool
    """No groups below, nothing learned, nothing undocumented: its tuple is its counters and nothing else matters."""


class Codec:
    """
    Decoders for one edition, and what they have learned.

    A decoded connection is a struct whose tuple is described by `plan`; labels are in a dict of `label_plan` structs.
    """

    def __init__(self, edition: Edition) -> None:
        self.edition = edition
        self.learned: set[tuple[str, ...]] = set()
        """Paths that are let through as raw bytes; keys unknown to the edition among them."""
        self.labels_raw = False
        """Whether labels are taken apart one by one, since some were not even objects of the documented shape."""
        labels = next((group for group in edition.root.groups if group.name == LABELS), None)
        self._label_groups = labels.groups if labels is not None else ()
        self.label_group = next((group for group in self._label_groups if group.is_label), None)
        self.known_labels = {group.name: group for group in self._label_groups if not group.is_label}
        if labels is not None and labels.fields:
            raise EditionError(f"edition {edition.name}: {LABELS} may hold labels only")
        shapes = {tuple(_signature(field) for field in group.fields) for group in self._label_groups}
        if len(shapes) > 1 or any(group.groups for group in self._label_groups):
            raise EditionError(f"edition {edition.name}: all labels of {LABELS} must have the same fields")
        self.blocks: tuple[Block, ...] = tuple(self._number_blocks())
        self._block_of = {block.path: block.index for block in self.blocks}
        self._undocumented = {field.path: field for field in edition.undocumented}
        self._build()

    @cached_property
    def label_counters(self) -> tuple[Field, ...]:
        """The counters of any label, as fields of `#*`."""
        model = self.label_group or (self._label_groups[0] if self._label_groups else None)
        return tuple(_counters(model)) if model is not None else ()

    def label_path(self, label: str) -> tuple[str, ...] | None:
        """The edition's path of a label in an answer; None where the label is not documented."""
        if label in self.known_labels:
            return (LABELS, label)
        if self.label_group is not None and label.startswith(ANY_LABEL[0]):
            return (LABELS, ANY_LABEL)
        return None

    def learn(self, path: tuple[str, ...]) -> bool:
        """
        Let a deviating leaf, group or unknown key through as raw bytes from now on.

        `path` is the edition's (with `#*` for any messaging label). Returns False where nothing changes: learned
        before, or 256 deviations are.
        """
        if path[:1] == (LABELS,) and len(path) == 2:
            if self.labels_raw:
                return False
            self.labels_raw = True
            self._build()
            return True
        if path[:1] == (LABELS,) and len(path) == 3:
            path = (LABELS, ANY_LABEL, path[2])  # one struct serves all labels
        if path in self.learned or len(self.learned) >= MAX_LEARNED:
            return False
        self.learned.add(path)
        self._build()
        return True

    def _number_blocks(self) -> Iterator[Block]:
        index = 0
        for group in self.edition.root.walk():
            if group.path[:1] == (LABELS,) or not (counters := tuple(_counters(group))):
                continue
            yield Block(index=index, path=group.path, counters=counters)
            index += 1

    def _build(self) -> None:
        self.label_plan = self._plan_label()
        self.plan = self._plan(self.edition.root)
        struct = self.plan.struct
        self.one: msgspec.json.Decoder[Json] = msgspec.json.Decoder(struct)
        self.many: msgspec.json.Decoder[list[Json]] = msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]
        self.split: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])

    def _plan_label(self) -> Plan | None:
        model = self.label_group or (self._label_groups[0] if self._label_groups else None)
        return self._plan(model) if model is not None else None

    def _plan(self, group: Group) -> Plan:
        leaves = sorted(group.fields, key=lambda field: field.kind is not Kind.COUNTER)
        counters = sum(field.kind is Kind.COUNTER for field in leaves)
        names: list[tuple[str, str]] = []
        columns: list[tuple[str, Any, Any]] = []
        learned: list[Leaf] = []
        undocumented: list[Leaf] = []
        conditional: list[tuple[int, Field]] = []
        below: list[tuple[int, Plan]] = []

        def add(wire: str, type_: Any, default: Any) -> int:
            attribute = f"f{len(columns)}"
            columns.append((attribute, type_, default))
            names.append((attribute, wire))
            return len(columns) - 1

        for field in leaves:
            position = len(columns)
            if field.path in self.learned:
                place = position if position < counters else None
                learned.append(Leaf(position=position, path=field.path, expected=field, counter=place))
                add(field.name, Raw, ABSENT)
            elif field.presence is Presence.CONDITIONAL:
                conditional.append((position, field))
                add(field.name, _type(field) | UnsetType, UNSET)
            else:
                add(field.name, _type(field), msgspec.NODEFAULT)
        fixed = len(leaves) - len(learned) - len(conditional)
        for inner in group.groups:
            if inner.path == (LABELS,):
                if inner.path in self.learned:
                    learned.append(Leaf(position=len(columns), path=inner.path, expected=inner, counter=None))
                    add(inner.name, Raw, ABSENT)
                elif self.labels_raw or self.label_plan is None:
                    add(inner.name, dict[str, Raw] | UnsetType, UNSET)
                else:
                    add(inner.name, dict[str, self.label_plan.struct] | UnsetType, UNSET)  # type: ignore[name-defined]
                continue
            plan = self._plan(inner)
            below.append((len(columns), plan))
            if inner.path in self.learned:
                learned.append(Leaf(position=len(columns), path=inner.path, expected=inner, counter=None))
                add(inner.name, Raw, ABSENT)
            else:
                add(inner.name, plan.struct | UnsetType, UNSET)
        known = {field.name for field in group.fields} | {inner.name for inner in group.groups}
        for path, field in self._undocumented.items():
            if path[:-1] == group.path:
                undocumented.append(Leaf(position=len(columns), path=path, expected=field, counter=None))
                add(path[-1], Raw, ABSENT)
                known.add(path[-1])
        for path in sorted(self.learned):
            if path[:-1] == group.path and path[-1] not in known:
                learned.append(Leaf(position=len(columns), path=path, expected=None, counter=None))
                add(path[-1], Raw, ABSENT)
        struct = msgspec.defstruct(
            "_".join(group.path) or "connection", columns,
            rename=dict(names), forbid_unknown_fields=True, kw_only=True, gc=False,
        )  # fmt: skip
        return Plan(
            group=group,
            struct=struct,
            decoder=msgspec.json.Decoder(struct),
            counters=counters,
            block=self._block_of.get(group.path),
            below=tuple(below),
            learned=tuple(learned),
            undocumented=tuple(undocumented),
            colons=fixed,
            conditional=tuple(conditional),
            flat=not (below or learned or undocumented or conditional) and group.path[:1] != () and counters == len(leaves),
        )  # fmt: skip


def _counters(group: Group) -> Iterator[Field]:
    return (field for field in group.fields if field.kind is Kind.COUNTER)


def _signature(field: Field) -> tuple[object, ...]:
    return (field.name, field.type, field.kind, field.presence, field.minimum, field.maximum, field.values)


def _type(field: Field) -> Any:  # Any: a type made at run time
    """The msgspec type of a sound leaf; what it cannot say (bytes, calendar) is checked after decoding."""
    if field.type is Type.BOOLEAN:
        return bool
    if field.type is Type.INTEGER:
        if field.minimum is None and field.maximum is None:
            return int
        return Annotated[int, msgspec.Meta(ge=field.minimum, le=field.maximum)]
    if field.values is not None:
        return Literal[field.values]  # type: ignore[valid-type]
    return str
