"""
Decodes bodies into structs built from the edition, at about the cost of parsing them.

msgspec checks types, limits, required and unknown fields while it parses, which is cheaper than parsing to dicts. A
body that it accepts has the documented shape. A body that it rejects is parsed by `strict_json` and judged by
`shape_deviations`. The decoder then learns the leaf, group or key that deviated, and from then on accepts it unread, as
raw bytes. So a server that is wrong in every response is read about as fast as one that is right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..api.edition import (
    ANY_LABEL,
    Edition,
    FieldDefinition,
    FieldGroup,
    FieldKind,
    FieldPath,
    FieldPresence,
    FieldType,
    FieldUnit,
)
from ..api.edition_rules import CONNECTION_TEXTS, LABELS_GROUP, shared_label_path

MAX_LEARNED: Final = 256
"""The most deviations that a decoder learns; a server with more is judged on the slow path, which is counted."""

MAX_UNCHECKED_CHARACTERS: Final = 63
"""So many characters of an id never exceed 255 bytes in UTF-8."""

LARGEST_LIMIT: Final = 2**63 - 1
"""The largest limit of an integer that msgspec accepts."""

ABSENT_RAW: Final = Raw(b"")
"""The value of a learned leaf, group or key that the response lacks; unlike any raw value, it is false."""

Counters = Sequence[int]
"""One block's counters in the edition's order; -1 stands for one that is absent or unusable."""

MISSING_COUNTER: Final = -1
"""Stands for a missing counter; less than every valid value, so that it never becomes a maximum."""

Json = Any
"""A decoded struct or a parsed document; its type depends on the edition."""


class CounterBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A group with counters of its own: the unit in which samples are compared."""

    index: int
    path: FieldPath
    counters: tuple[FieldDefinition, ...]


class LenientLeaf(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf or key that is accepted as raw bytes: where it is, and what it should be."""

    get: Callable[[Json], Raw]
    """Gets the raw value from the decoded connection or label; raises AttributeError if its group is absent."""
    path: FieldPath
    field: FieldDefinition | None
    """None for a key that the edition does not know."""
    learned: bool
    """False for undocumented fields that the edition knows."""
    position: int
    """Its index in its struct's tuple."""


class GroupPlan(msgspec.Struct, kw_only=True):
    """How to unpack one group's struct: `msgspec.structs.astuple` returns counters, other leaves, groups, extras."""

    group: FieldGroup
    attributes: FieldPath
    """The attributes that lead from the connection's struct to this one."""
    struct: type[msgspec.Struct]
    decoder: msgspec.json.Decoder[Json]
    counters: int
    """How many elements of the tuple, from the first on, are counters."""
    block: int | None
    """The index of the block of its counters."""
    columns: tuple[str, ...]
    """Wire names in the order of the tuple."""
    below: tuple[tuple[str, GroupPlan], ...]
    """The groups within it, by attribute."""
    raw: bool
    """Whether the whole group is accepted as raw bytes."""
    loose: tuple[LenientLeaf, ...]
    whole: bool
    """Whether its tuple consists of counters only."""


class EditionDecoder:
    """
    The decoders for one edition, with what they have learned.

    `plans` describes every group but labels, parents first. `fetch` gets all structs of groups with leaves (`fetched`)
    at once, and raises AttributeError if a group around one of them is absent.
    """

    def __init__(self, edition: Edition) -> None:
        self.edition = edition
        self._undecidable = frozenset(
            shared_label_path(field.path) for field in edition.fields if not _is_decidable(field)
        )
        self.learned: set[FieldPath] = set(self._undecidable)
        """Paths that are accepted as raw bytes, including keys unknown to the edition."""
        self.labels_raw: bool = False
        """Whether labels are unpacked one by one, since some were not objects of the documented shape."""
        labels = next((group for group in edition.root.groups if group.name == LABELS_GROUP), None)
        members = labels.groups if labels is not None else ()
        self.has_labels: bool = labels is not None
        self.label_group: FieldGroup | None = next((group for group in members if group.is_label), None)
        self.known_labels: dict[str, FieldGroup] = {group.name: group for group in members if not group.is_label}
        self._label_model = self.label_group or (members[0] if members else None)
        self.blocks: tuple[CounterBlock, ...] = tuple(self._make_blocks())
        self.block_of: dict[FieldPath, int] = {block.path: block.index for block in self.blocks}
        self.counter_places: dict[FieldPath, tuple[int, int]] = {
            (*block.path, field.name): (block.index, place)
            for block in self.blocks
            for place, field in enumerate(block.counters)
        }
        """Each counter's block and its index there, by path."""
        self.undocumented: dict[FieldPath, FieldDefinition] = {
            shared_label_path(field.path): field for field in edition.undocumented
        }
        self.label_counters: tuple[FieldDefinition, ...] = (
            _counter_fields(self._label_model) if self._label_model else ()
        )
        self.label_messages: tuple[int, ...] = tuple(
            place for place, field in enumerate(self.label_counters) if field.unit is FieldUnit.COUNT
        )
        """The places of the counters of a label that count messages, and not bytes."""
        self.label_others: tuple[FieldDefinition, ...] = (
            tuple(field for field in self._label_model.fields if field.kind is not FieldKind.COUNTER)
            if self._label_model
            else ()
        )
        """A label's leaves that are not counters, in their order in the tuple."""
        self.split: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])
        paths = [group.path for group in edition.root.walk_groups()]
        paths += [field.path for field in (*edition.fields, *edition.undocumented)]
        self.is_usable: bool = all(_is_valid_field_name(name) for path in paths for name in path)
        """
        Whether msgspec accepts all names. If not, there are no decoders or plans, and each connection is surveyed.
        """
        self._plans: dict[FieldPath, GroupPlan] = {}
        """The plans of groups as they are, by path."""
        if self.is_usable:
            self._build_decoders()

    def copy(self) -> EditionDecoder:
        """One that knows the same, and learns by itself."""
        made = copy.copy(self)
        made.learned = self.learned.copy()
        made._plans = self._plans.copy()
        return made

    def edition_path_of_label(self, label: str) -> FieldPath | None:
        """The edition's path of a label in a response; None for an undocumented label."""
        if label in self.known_labels:
            return (LABELS_GROUP, label)
        if self.label_group is not None and label.startswith(ANY_LABEL[0]):
            return (LABELS_GROUP, ANY_LABEL)
        return None

    def path_of_known_label(self, label: str) -> FieldPath:
        """The same of a label in a sample: it has no others."""
        path = self.edition_path_of_label(label)
        assert path is not None, "readers take documented labels only"
        return path

    def accept_deviation(self, path: FieldPath) -> bool:
        """
        Accept a deviating leaf, group or unknown key as raw bytes from now on.

        `path` is the edition's. Returns False if nothing changes: it was learned before, or 256 deviations were, or
        msgspec can't use the key as a name.
        """
        if not self.is_usable:
            return False
        if path[:1] == (LABELS_GROUP,) and len(path) >= 2 and self.has_labels:
            if len(path) == 2:
                if self.labels_raw:
                    return False
                self.labels_raw = True
                self._build_decoders_again(())
                return True
            path = shared_label_path(path)
        is_full = len(self.learned) - len(self._undecidable) >= MAX_LEARNED
        if path in self.learned or is_full or not path or not _is_valid_field_name(path[-1]):
            return False
        self.learned.add(path)
        self._build_decoders_again(path)
        return True

    def _make_blocks(self) -> Iterator[CounterBlock]:
        index = 0
        for group in self.edition.root.walk_groups():
            if group.path[:1] == (LABELS_GROUP,) or not (counters := _counter_fields(group)):
                continue
            yield CounterBlock(index=index, path=group.path, counters=counters)
            index += 1

    def _build_decoders_again(self, learned: FieldPath) -> None:
        """Plan the groups again that hold what was learned."""
        for depth in range(len(learned) + 1):
            self._plans.pop(learned[:depth], None)
        self._build_decoders()

    def _build_decoders(self) -> None:
        self.label_plan: GroupPlan | None = (
            self._plan_group(self._label_model, (), (LABELS_GROUP, ANY_LABEL)) if self._label_model else None
        )
        self.plan: GroupPlan = self._plan_group(self.edition.root, (), ())
        self.plans: tuple[GroupPlan, ...] = tuple(_walk_plan(self.plan))
        # Also groups without leaves, and raw ones: if one is absent or not a struct, each group is visited separately.
        self.fetched: tuple[GroupPlan, ...] = tuple(plan for plan in self.plans if plan.attributes)
        self.fetch: Callable[[Json], tuple[Json, ...]] = _attribute_getter(
            [".".join(p.attributes) for p in self.fetched]
        )
        self.trims: tuple[tuple[int, int], ...] = tuple(
            (place, plan.counters)
            for place, plan in enumerate(self.fetched)
            if plan.block is not None and not plan.whole
        )
        """The groups of `fetched` whose tuples have more than counters, and how many counters come first."""
        self.fetch_counters: Callable[[Any], tuple[Any, ...]] = _attribute_getter(
            [f"f{place}" for place in range(len(self.label_counters))]
        )
        """Gets the counters of a label's struct."""
        self.fetch_others: Callable[[Any], tuple[Any, ...]] = _attribute_getter(
            [f"f{len(self.label_counters) + place}" for place in range(len(self.label_others))]
        )
        """Gets the other leaves of a label's struct."""
        self.loose: tuple[LenientLeaf, ...] = tuple(loose for plan in self.plans for loose in plan.loose)
        struct = self.plan.struct
        self.one: msgspec.json.Decoder[Json] = msgspec.json.Decoder(struct)
        self.many: msgspec.json.Decoder[list[Json]] = msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]

    def _plan_group(self, group: FieldGroup, attributes: FieldPath, path: FieldPath) -> GroupPlan:
        """Plan a group; `path` is its own, or `data_channel.#*` for the struct that serves all labels."""
        if path in self._plans:
            return self._plans[path]
        leaves = sorted(group.fields, key=lambda field: field.kind is not FieldKind.COUNTER)
        counters = sum(field.kind is FieldKind.COUNTER for field in leaves)
        columns: list[str] = []
        types: list[tuple[str, Any, Any]] = []
        loose: list[LenientLeaf] = []
        below: list[tuple[str, GroupPlan]] = []

        def add(wire: str, type_: Any, default: Any) -> str:  # Any: types made at run time
            attribute = f"f{len(columns)}"
            columns.append(wire)
            types.append((attribute, type_, default))
            return attribute

        def let_through(wire: str, field: FieldDefinition | None, *, learned: bool) -> None:
            attribute = add(wire, Raw, ABSENT_RAW)
            loose.append(
                LenientLeaf(
                    get=attrgetter(".".join((*attributes, attribute))),
                    path=(*path, wire),
                    field=field,
                    learned=learned,
                    position=len(columns) - 1,
                )
            )

        for field in leaves:
            if (*path, field.name) in self.learned:
                let_through(field.name, field, learned=True)
            else:
                add(field.name, *_leaf_column(field))
        for inner in group.groups:
            if inner.path == (LABELS_GROUP,):
                add(inner.name, self._labels_type(), UNSET)
                continue
            plan = self._plan_group(inner, (*attributes, f"f{len(columns)}"), inner.path)
            below.append((f"f{len(columns)}", plan))
            add(inner.name, *((Raw, ABSENT_RAW) if plan.raw else (plan.struct | UnsetType, UNSET)))
        for other in (*self.undocumented, *sorted(self.learned)):
            if other[:-1] == path and other[-1] not in columns:
                known = self.undocumented.get(other)
                let_through(other[-1], known, learned=known is None)
        struct = _make_struct("_".join(path) or "connection", types, columns)
        plan = self._plans[path] = GroupPlan(
            group=group,
            attributes=attributes,
            struct=struct,
            decoder=msgspec.json.Decoder(struct),
            counters=counters,
            block=self.block_of.get(path),
            columns=tuple(columns),
            below=tuple(below),
            raw=path in self.learned,
            loose=tuple(loose),
            whole=len(columns) == counters,
        )
        return plan

    def _labels_type(self) -> Any:  # Any: a type made at run time
        if (LABELS_GROUP,) in self.learned:
            return Raw | UnsetType
        if self.labels_raw or self.label_plan is None:
            return dict[str, Raw] | UnsetType
        return dict[str, self.label_plan.struct] | UnsetType  # type: ignore[name-defined]


def _is_valid_field_name(key: str) -> bool:
    """Whether msgspec accepts a key as a field's name."""
    return not any(char in '"\\' or char < " " for char in key)


def _walk_plan(plan: GroupPlan) -> Iterator[GroupPlan]:
    yield plan
    if not plan.raw:
        for _, inner in plan.below:
            yield from _walk_plan(inner)


def _attribute_getter(names: list[str]) -> Callable[[Json], tuple[Json, ...]]:
    """As `attrgetter` with several names, but for any number of names."""
    if len(names) > 1:
        return attrgetter(*names)
    one = attrgetter(*names) if names else None
    return lambda decoded: (one(decoded),) if one is not None else ()


def _counter_fields(group: FieldGroup) -> tuple[FieldDefinition, ...]:
    return tuple(field for field in group.fields if field.kind is FieldKind.COUNTER)


def _is_decidable(field: FieldDefinition) -> bool:
    """
    Whether the decoder, with a look at ids' lengths and at the time, fully checks a leaf.

    The decoder can't check limits beyond 63 bits, lengths in bytes, or times.
    """
    if any(limit is not None and limit > LARGEST_LIMIT for limit in (field.minimum, field.maximum)):
        return False
    if len(field.path) > 1 or field.name not in CONNECTION_TEXTS:
        return field.max_bytes is None and field.form is None
    if field.name == CONNECTION_TEXTS[0]:
        return field.max_bytes is None
    return field.form is None and (field.max_bytes is None or field.max_bytes >= 4 * MAX_UNCHECKED_CHARACTERS)


def _make_struct(name: str, types: list[tuple[str, Any, Any]], wire_names: list[str]) -> type[msgspec.Struct]:
    """Make a struct with typed attributes and defaults, which are decoded by their names on the wire."""
    return msgspec.defstruct(
        name,
        types,
        rename={attribute: wire for (attribute, _, _), wire in zip(types, wire_names, strict=True)},
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )


def _leaf_column(field: FieldDefinition) -> tuple[Any, Any]:  # Any: a type made at run time
    """The type of a valid leaf in its struct, and the default if it may be absent."""
    if field.presence is not FieldPresence.CONDITIONAL:
        return _msgspec_type(field), msgspec.NODEFAULT
    if field.kind is FieldKind.COUNTER:
        return _msgspec_type(field), MISSING_COUNTER
    return _msgspec_type(field) | UnsetType, UNSET


def _msgspec_type(field: FieldDefinition) -> Any:  # Any: a type made at run time
    """The msgspec type of a valid leaf."""
    if field.type is FieldType.BOOLEAN:
        return bool
    if field.type is FieldType.INTEGER:
        if field.minimum is None and field.maximum is None:
            return int
        return Annotated[int, msgspec.Meta(ge=field.minimum, le=field.maximum)]
    if field.values is not None:
        return Literal[field.values]
    return str
