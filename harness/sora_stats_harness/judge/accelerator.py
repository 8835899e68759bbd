"""
The optional scanner in C: it accepts bodies in which there is nothing to find, for less than parsing costs.

It is built from the decoder's plans. For each body it either returns what `sample_builder` would have taken from it, or
refuses; Python reads what it refuses. It is never required: without a compiler, or with `SORA_HARNESS_PURE=1`,
everything is judged in Python, with the same findings.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from operator import le
from types import ModuleType
from typing import Any, Final, NamedTuple

import msgspec

from ..api.edition import FieldDefinition, FieldKind, FieldPresence, FieldType
from ..api.edition_rules import CONNECTION_TEXTS, LABELS_GROUP, UNSTABLE_LEVEL
from .edition_decoder import LARGEST_LIMIT, MAX_UNCHECKED_CHARACTERS, Counters, EditionDecoder, GroupPlan, LenientLeaf

INTERFACE_VERSION: Final = 11
"""The version of the interface between the C module and Python; a module with another version is not used."""

HANDED_OVER: Final = (*((name,) for name in CONNECTION_TEXTS), UNSTABLE_LEVEL)
"""The connection's leaves that the module returns besides counters; the first is the time."""

COUNTER, INTEGER, BOOLEAN, STRING, CHOICE, GROUP, LABELS, LOOSE = range(8)
"""The kinds of value that a key may have, in the module's order."""

REPEATED_KEY: Final = 1
"""What a scanner returns if it refuses a body because a key is repeated; for any other reason it returns 0."""

Blocks = list[Counters | None]
"""A sample's counters."""

Labels = dict[str, Counters]
"""The counters of its data channels."""

Terms = Sequence[tuple[int, int, int]]
"""A term of a relation: factor, block and counter."""

RelationTerms = tuple[bool, Terms, Terms, Terms]
"""
Whether the sides must be equal (else the left one must be at most the right one), the sides, and counters any of which,
if not 0, turns "equal" into "at least".
"""


class ScannedConnection(NamedTuple):
    """One connection. The module returns plain tuples, which `sample_builder` unpacks; this describes their content."""

    fields: tuple[Any, ...]
    """
    The first fields of a `Sample`: the values of HANDED_OVER, None for an absent one; blocks; labels; each label's leaves
    that are not counters; whether all relations whose groups are present certainly hold; and the time, if it has
    microseconds and all leaves are present and short. Any: leaves of the edition's types.
    """
    absent: list[int]
    """Absent groups, by their index in the decoder's plans."""
    raws: tuple[bytes | None, ...]
    """The raw values that the decoder accepts unread; None for an absent one, and an empty tuple if all are absent."""
    unknown: list[tuple[int, str, bytes]]
    """Keys that the decoder does not know, which may be repeated: the group in its plans, the key and the raw value."""


Scan = Callable[[bytes, bool], list[ScannedConnection] | int]
"""
Takes a body, and whether it should be an array of connections; returns the connections, or a number if it refuses.
"""


def _load_module() -> ModuleType | None:
    if os.environ.get("SORA_HARNESS_PURE", "") not in ("", "0"):
        return None
    try:
        from . import _accelerator  # type: ignore[attr-defined]  # exists only if it could be built
    except ImportError:
        return None
    module: ModuleType = _accelerator
    return module if getattr(module, "INTERFACE_VERSION", None) == INTERFACE_VERSION else None


MODULE: Final = _load_module()


def is_available() -> bool:
    """Whether the accelerator reads bodies."""
    return MODULE is not None


def _merge_risen_blocks(known: Blocks, blocks: Blocks) -> tuple[Blocks, Sequence[int]]:
    merged = known
    undecided: list[int] = []
    for place, (most, mine) in enumerate(zip(known, blocks, strict=True)):
        if most is None or mine is None:
            if most is not mine:
                undecided.append(place)
        elif most == mine:
            blocks[place] = most
        elif all(map(le, most, mine)):
            if merged is known:
                merged = known.copy()
            merged[place] = mine
        else:
            undecided.append(place)
    return merged, undecided


merge_risen_blocks: Final[Callable[[Blocks, Blocks], tuple[Blocks, Sequence[int]]]] = getattr(
    MODULE, "merge_risen_blocks", _merge_risen_blocks
)
"""
Merge the blocks that are larger in the second list into a copy of the first.

Returns:
    The copy, or the first list itself if no block is larger; and the indexes of blocks that need a closer look: a
    counter fell, or only one list has the block. In the second list, blocks that are equal to the first's are replaced
    by these very objects.
"""


def _merge_risen_labels(known: Labels, labels: Labels) -> Labels | None:
    if [*known] != [*labels]:
        return None
    before: Blocks = [*known.values()]
    top, undecided = _merge_risen_blocks(before, [*labels.values()])
    return None if undecided else known if top is before else labels


merge_risen_labels: Final[Callable[[Labels, Labels], Labels | None]] = getattr(
    MODULE, "merge_risen_labels", _merge_risen_labels
)
"""
Merge labels of which no counter fell.

Returns:
    The second dict if a block in it is larger, the first one if all are the same. None where that needs a closer look: a
    counter fell, the labels or their order differ, or the accelerator has not read one of the blocks.
"""

FindFirstHolders = Callable[[list[Blocks], int, list[Any], list[Any]], list[Any] | None]
"""
Takes some steps in which the counters of a block never fall, and the owner of each step. Gives, of each counter of the
block, the owner of the first step that has its last value; what the last list says where that is the very first step.
Only the steps since which the block is there count. None where the accelerator has not read the block in
each of them. Any: owners.
"""

find_first_holders: Final[FindFirstHolders | None] = getattr(MODULE, "find_first_holders", None)


def make_scanner(codec: EditionDecoder, relations: Sequence[RelationTerms]) -> Scan | None:
    """
    Make a scanner.

    Args:
        codec: The decoder, with what it has learned; make a new scanner whenever it learns.
        relations: Relations between counters.

    Returns:
        None if there is no accelerator, or the decoder knows something that the accelerator can't read.
    """
    if MODULE is None:
        return None
    labels = codec.label_plan
    if codec.labels_raw or (LABELS_GROUP,) in codec.learned or any(plan.raw for plan in codec.plans):
        return None
    if labels is not None and labels.loose:
        return None
    layout = _Layout(codec)
    if labels is not None:
        layout.add(labels)
    layout.add(codec.plan)
    terms = [term for _, *sides in relations for side in sides for term in side]
    counts = (
        len(HANDED_OVER),
        len(codec.label_counters),
        len(codec.label_others),
        len(codec.plans),
        len(codec.loose),
        CONNECTION_TEXTS.index("connection_id"),
        MAX_UNCHECKED_CHARACTERS,
    )
    try:
        scan: Scan = MODULE.Scanner(
            keys=bytes(layout.keys),
            strings=tuple(layout.strings),
            counts=_pack([counts]),
            blocks=_pack([len(block.counters)] for block in codec.blocks),
            terms=_pack((factor, layout.slots[block] + place) for factor, block, place in terms),
            rows=_pack((equal, *map(len, sides)) for equal, *sides in relations),
            nodes=_pack([count] for count in layout.nodes),
            entries=_pack(layout.entries),
            labels=labels is not None,
            unset=msgspec.UNSET,
        ).read
    except (ValueError, struct.error):  # the edition is larger than the module's tables
        return None
    return scan


def _pack(rows: Iterable[Iterable[int]]) -> bytes:
    """
    Pack rows of numbers for the module.

    Raises:
        struct.error: One has more than 64 bits.
    """
    numbers = [number for row in rows for number in row]
    return struct.pack(f"={len(numbers)}q", *numbers)


class _Entry(NamedTuple):
    """A key of an object."""

    kind: int
    key: int
    """Where the key begins in `keys`."""
    length: int
    required: bool = False
    place: int = -1
    """The index of a counter, of a returned leaf, of a group, or of a raw value."""
    block: int = -1
    """A group's block; for a raw value that should be a counter, the counter's index."""
    least: int = 0
    most: int = 0
    start: int = 0
    """The index of a choice's first string, or of a group's object."""
    choices: int = 0
    """How many strings a choice has."""


class _Layout:
    """
    An edition's keys, as the tables that the module takes.

    An object comes after the objects within it; an object's entries are consecutive.
    """

    def __init__(self, codec: EditionDecoder) -> None:
        self.keys = bytearray()
        self.strings: list[str] = []
        """The strings of choices."""
        self.entries: list[_Entry] = []
        self.nodes: list[int] = []
        """How many entries each object has."""
        sizes = [len(block.counters) for block in codec.blocks]
        self.slots = [sum(sizes[:block]) for block in range(len(sizes))]
        """The first counter of each block."""
        self._codec = codec
        self._loose = {id(each): place for place, each in enumerate(codec.loose)}
        self._places = {id(plan): place for place, plan in enumerate(codec.plans)}

    def add(self, plan: GroupPlan) -> int:
        """Add a group, or the group for every label; returns its number."""
        below = {attribute: (inner, self.add(inner)) for attribute, inner in plan.below}
        loose = {each.position: each for each in plan.loose}
        fields = {field.name: field for field in plan.group.fields}
        for position, name in enumerate(plan.columns):
            key = self._add_key(name)
            if (let_through := loose.get(position)) is not None:
                entry = self._lenient_leaf(plan, let_through, key)
            elif (group := below.get(f"f{position}")) is not None:
                entry = self._group(*group, key)
            elif (field := fields.get(name)) is not None:
                entry = self._leaf(plan, position, field, key)
            else:
                entry = _Entry(LABELS, *key)
            self.entries.append(entry)
        self.nodes.append(len(plan.columns))
        return len(self.nodes) - 1

    def _lenient_leaf(self, plan: GroupPlan, leaf: LenientLeaf, key: tuple[int, int]) -> _Entry:
        field, place = leaf.field, self._loose[id(leaf)]
        if not leaf.learned or field is None or field.kind is not FieldKind.COUNTER:
            return _Entry(LOOSE, *key, place=place)
        least, most = field.minimum or 0, -1 if field.maximum is None else field.maximum
        if plan.block is None or max(least, most) > LARGEST_LIMIT:
            return _Entry(LOOSE, *key, place=place)
        return _Entry(LOOSE, *key, place=place, block=self.slots[plan.block] + leaf.position, least=least, most=most)

    def _group(self, plan: GroupPlan, node: int, key: tuple[int, int]) -> _Entry:
        block = -1 if plan.block is None else plan.block
        return _Entry(GROUP, *key, place=self._places[id(plan)], block=block, start=node)

    def _leaf(self, plan: GroupPlan, position: int, field: FieldDefinition, key: tuple[int, int]) -> _Entry:
        of_label = plan is self._codec.label_plan
        required = field.presence is not FieldPresence.CONDITIONAL
        if field.kind is FieldKind.COUNTER:  # a body without it is left to Python
            assert field.minimum is not None, "counters have a minimum"
            place = position if of_label else self.slots[-1 if plan.block is None else plan.block] + position
            most = -1 if field.maximum is None else field.maximum
            return _Entry(COUNTER, *key, True, place, least=field.minimum, most=most)
        place = -1
        if of_label:
            place = position - plan.counters
        elif field.path in HANDED_OVER:
            place = HANDED_OVER.index(field.path)
        if field.type is FieldType.BOOLEAN:
            return _Entry(BOOLEAN, *key, required, place)
        if field.type is FieldType.INTEGER:
            least = -(2**63) if field.minimum is None else field.minimum
            most = 2**63 - 1 if field.maximum is None else field.maximum
            return _Entry(INTEGER, *key, required, place, least=least, most=most)
        if field.values is None:
            return _Entry(STRING, *key, required, place)
        start = len(self.strings)
        self.strings += field.values
        return _Entry(CHOICE, *key, required, place, start=start, choices=len(field.values))

    def _add_key(self, name: str) -> tuple[int, int]:
        """Add a key with its quotes; returns where it begins, and its length."""
        start = len(self.keys)
        self.keys += f'"{name}"'.encode()
        return start, len(self.keys) - start
