"""
The reader in C, where there is one: bodies in which there is nothing to find, for less than parsing them costs.

It is made from the codec's plans and hands over what `checks.body` would have taken from the same body, or refuses; what
it refuses is read in Python. It is never needed: without a compiler, or with `SORA_HARNESS_PURE=1`, everything is judged
in Python, with the same findings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import msgspec

from ..api.accelerator_loader import ACCELERATOR_MODULE
from ..api.edition import FieldDefinition, FieldKind, FieldPresence, FieldType
from .edition_decoder import LABELS_GROUP, Counters, EditionDecoder, GroupPlan, LenientLeaf

ROOT_STRING_LEAVES: Final = ("timestamp", "channel_id", "client_id", "bundle_id", "connection_id")
"""The connection's own leaves that are handed over."""

UNSTABLE_LEVEL_PATH: Final = ("network_status", "unstable_level")
"""The one gauge that is handed over."""

Terms = Sequence[tuple[int, int, int]]
"""Of a relation: factor, block and counter."""

RelationTerms = tuple[bool, Terms, Terms, Terms]
"""
Whether the sides are to be equal (else the left one is at most the right one), the sides, and counters of which any that
is not 0 turns "equal" into "at least".
"""

ScannedConnection = tuple[
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,  # as TEXTS
    int | None,  # the timestamp in nanoseconds, where it has microseconds
    bool,  # whether all texts are there and short
    int | None,  # LEVEL
    list[Counters | None],
    dict[str, Counters],
    dict[str, tuple[Any, ...]],  # blocks, labels, their other leaves
    bool,  # whether all relations hold whose groups are there
    tuple[int, ...] | None,  # groups that are not there, by their place in the codec's plans
    tuple[bytes | None, ...] | None,  # the codec's loose leaves; None of a group that is not there
]
"""One connection. Any: leaves of their own types."""

_Entry = tuple[bytes, int, bool, int, int | None, int | None, tuple[str, ...], tuple[Any, ...], int]
"""Key, kind, whether it must be there, place, limits, words, entries below, block. Any: entries again."""


merge_risen_blocks: Final[
    Callable[[list[Counters | None], list[Counters | None]], list[Counters | None] | None] | None
] = getattr(ACCELERATOR_MODULE, "rise", None)
"""
The larger of two lists of blocks, where the second is nowhere smaller; else None. Blocks of the second that are equal to
the first's become those very objects.
"""

merge_highest_blocks: Final[
    Callable[[list[Counters | None], list[Counters | None]], list[Counters | None] | None] | None
] = getattr(ACCELERATOR_MODULE, "highest", None)
"""
The larger of each two counters: the first list itself where that has them all. None where a block is in one of the lists
only, or was not read by the accelerator.
"""

merge_risen_labels: Final[
    Callable[[dict[str, Counters], Mapping[str, Counters]], dict[str, Counters] | None] | None
] = getattr(ACCELERATOR_MODULE, "rise_labels", None)
"""The same of counters by label; None also where the labels are not the same, in the same order."""

find_first_evidence: Final[
    Callable[[list[list[Counters | None]], list[Any], list[list[Any] | None]], list[list[Any] | None]] | None
] = getattr(ACCELERATOR_MODULE, "first_holders", None)
"""
For each counter of each block of the last of some samples, in which no counter ever fell: the owner of the first that
had its value, of those since which the block was always there; where the very first sample had it, what the third list
says of the block, unless that is None. Any: whatever holds samples.
"""


def is_available() -> bool:
    """Whether responses are read by it."""
    return ACCELERATOR_MODULE is not None


def make_scanner(
    codec: EditionDecoder, relations: Sequence[RelationTerms]
) -> Callable[[bytes, bool], list[ScannedConnection] | int] | None:
    """
    Make a reader.

    Args:
        codec: What it has learned counts as well; make a new reader when it learns.
        relations: Those between counters, none of which it has learned to let through.

    Returns:
        A function of a body and whether it is an array of connections. It gives these, or, where it refuses, 1 for a
        key that stands twice and 0 for anything else. None where there is no accelerator, or the codec knows something
        that it cannot read.
    """
    if ACCELERATOR_MODULE is None:
        return None
    try:
        return _make_module_scanner(ACCELERATOR_MODULE, codec, relations)
    except _UnsupportedEdition:
        return None


class _UnsupportedEdition(Exception):
    """It cannot read that."""


def _make_module_scanner(
    module: ModuleType, codec: EditionDecoder, relations: Sequence[RelationTerms]
) -> Callable[[bytes, bool], list[ScannedConnection] | int]:
    labels = codec.label_plan
    if codec.labels_raw or (LABELS_GROUP,) in codec.learned or any(plan.raw for plan in codec.plans):
        raise _UnsupportedEdition
    if labels is not None and labels.loose:
        raise _UnsupportedEdition
    sizes = tuple(len(block.counters) for block in codec.blocks)
    starts = [sum(sizes[:block]) for block in range(len(sizes))]
    loose = {id(each): place for place, each in enumerate(codec.loose)}
    layout = _KeyLayout(module, codec, starts, loose)
    try:
        made = module.Scanner(
            root=layout.entries_of_group(codec.plan),
            label=None if labels is None else layout.entries_of_group(labels),
            label_counters=len(codec.label_counters),
            label_others=len(codec.label_others),
            sizes=sizes,
            groups=len(codec.plans),
            loose=len(codec.loose),
            rows=tuple(
                (equal, *(tuple((factor, starts[block] + at) for factor, block, at in side) for side in sides))
                for equal, *sides in relations
            ),
            unset=msgspec.UNSET,
        )
    except (OverflowError, ValueError):  # an edition of one's own, with limits beyond 64 bits, say
        raise _UnsupportedEdition from None
    read: Callable[[bytes, bool], list[ScannedConnection] | int] = made.read
    return read


class _KeyLayout:
    """An edition's keys as the module takes them."""

    def __init__(self, module: ModuleType, codec: EditionDecoder, starts: Sequence[int], loose: dict[int, int]) -> None:
        self._module = module
        self._codec = codec
        self._starts = starts
        self._loose = loose
        self._places = {id(plan): place for place, plan in enumerate(codec.plans)}

    def entries_of_group(self, plan: GroupPlan) -> tuple[_Entry, ...]:
        """All keys of a group, or of a label."""
        below = dict(plan.below)
        let_through = {each.position: each for each in plan.loose}
        fields = {field.name: field for field in plan.group.fields}
        return tuple(
            self._entry(plan, position, name, below.get(f"f{position}"), let_through.get(position), fields.get(name))
            for position, name in enumerate(plan.columns)
        )

    def _entry(
        self,
        plan: GroupPlan,
        position: int,
        name: str,
        below: GroupPlan | None,
        loose: LenientLeaf | None,
        field: FieldDefinition | None,
    ) -> _Entry:
        key = name.encode()
        module = self._module
        if not name.isprintable() or '"' in name or "\\" in name:
            raise _UnsupportedEdition
        if loose is not None:
            return _make_key_entry(key, module.LOOSE, place=self._loose[id(loose)])
        if below is not None:
            block = -1 if below.block is None else below.block
            return _make_key_entry(
                key, module.GROUP, place=self._places[id(below)], below=self.entries_of_group(below), block=block
            )
        if field is None:
            if not plan.attributes and name == LABELS_GROUP:
                return _make_key_entry(key, module.LABELS)
            raise _UnsupportedEdition
        required = field.presence is not FieldPresence.CONDITIONAL
        least, most = field.minimum, field.maximum
        of_label = plan is self._codec.label_plan
        if field.kind is FieldKind.COUNTER:
            if not required or field.type is not FieldType.INTEGER or least is None or least < 0:
                raise _UnsupportedEdition
            place = position if of_label else self._starts[-1 if plan.block is None else plan.block] + position
            return _make_key_entry(key, module.COUNTER, place=place, required=True, least=least, most=most)
        place = position - plan.counters if of_label else -1
        if field.type is FieldType.BOOLEAN:
            return _make_key_entry(key, module.BOOLEAN, place=place, required=required)
        if field.type is FieldType.INTEGER:
            kind = module.LEVEL if field.path == UNSTABLE_LEVEL_PATH else module.INTEGER
            return _make_key_entry(key, kind, place=place, required=required, least=least, most=most)
        if field.values is not None:
            return _make_key_entry(key, module.CHOICE, place=place, required=required, choices=tuple(field.values))
        if not of_label and not plan.attributes and name in ROOT_STRING_LEAVES:
            return _make_key_entry(key, module.TEXT, place=ROOT_STRING_LEAVES.index(name), required=required)
        return _make_key_entry(key, module.STRING, place=place, required=required)


def _make_key_entry(
    key: bytes,
    kind: int,
    *,
    required: bool = False,
    place: int = -1,
    least: int | None = None,
    most: int | None = None,
    choices: tuple[str, ...] = (),
    below: tuple[_Entry, ...] = (),
    block: int = -1,
) -> _Entry:
    return key, kind, required, place, least, most, choices, below, block
