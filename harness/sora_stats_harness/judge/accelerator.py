"""
The scanner in C, where there is one: it accepts bodies in which there is nothing to find, for less than parsing costs.

It is made from the decoder's plans and hands over what `sample_builder` would have taken from the same body, or refuses;
what it refuses is read in Python. It is never needed: without a compiler, or with `SORA_HARNESS_PURE=1`, everything is
judged in Python, with the same findings.
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
from .edition_decoder import MAX_UNCHECKED_CHARACTERS, Counters, EditionDecoder, GroupPlan

INTERFACE_VERSION: Final = 8
"""What the two sides expect of each other; a module built for another one is left alone."""

HANDED_OVER: Final = (*((name,) for name in CONNECTION_TEXTS), UNSTABLE_LEVEL)
"""The connection's leaves that are handed over, besides counters; the first is the time."""

COUNTER, INTEGER, BOOLEAN, STRING, CHOICE, GROUP, LABELS, LOOSE = range(8)
"""What may stand behind a key, in the module's order."""

REPEATED_KEY: Final = 1
"""What a scanner gives for a body that it refuses because a key stands twice; 0 where it is for anything else."""

Blocks = list[Counters | None]
"""A sample's counters."""

Terms = Sequence[tuple[int, int, int]]
"""Of a relation: factor, block and counter."""

RelationTerms = tuple[bool, Terms, Terms, Terms]
"""
Whether the sides are to be equal (else the left one is at most the right one), the sides, and counters of which any that
is not 0 turns "equal" into "at least".
"""


class ScannedConnection(NamedTuple):
    """One connection. The module gives plain tuples, which `sample_builder` takes apart; this says what is in them."""

    leaves: tuple[Any, ...]
    """As HANDED_OVER; None where one is not there. Any: leaves of the edition's types."""
    blocks: Blocks
    labels: dict[str, Counters]
    configuration: dict[str, tuple[Any, ...]]
    """Of each label, its leaves that are no counters. Any: as above."""
    related: bool
    """Whether all relations hold for certain whose groups are there."""
    stamp_ns: int | None
    """The time, where it is written with microseconds, and all leaves are there and short."""
    absent: list[int]
    """Groups that are not there, by their place in the decoder's plans."""
    raws: tuple[bytes | None, ...]
    """What the decoder lets through; None where one is not there, and an empty tuple where none is."""


Scan = Callable[[bytes, bool], list[ScannedConnection] | int]
"""From a body, and whether it should be an array of connections, to these; a number where it is refused."""


def _load_module() -> ModuleType | None:
    if os.environ.get("SORA_HARNESS_PURE", "") not in ("", "0"):
        return None
    try:
        from . import _accelerator  # type: ignore[attr-defined]  # it is there only where it could be built
    except ImportError:
        return None
    module: ModuleType = _accelerator
    return module if getattr(module, "INTERFACE_VERSION", None) == INTERFACE_VERSION else None


MODULE: Final = _load_module()


def is_available() -> bool:
    """Whether bodies are read by it."""
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
Take the blocks that are larger in the second list over into a copy of the first.

Returns:
    That, or the first list itself where none is larger; and the places of the blocks that have to be looked at: a counter
    fell, or a block is in one list only. In the second list, blocks that are the same as in the first become those very
    objects.
"""

find_first_holders: Final[Callable[[tuple[Counters, ...], list[Any], list[Any]], list[Any] | None] | None] = getattr(
    MODULE, "find_first_holders", None
)
"""
Of each counter of a block that never fell in some steps, the owner of the first step that has its last value; what the
third list says where that is the very first step. None where a step was not read by the accelerator. Any: owners.
"""


def make_scanner(codec: EditionDecoder, relations: Sequence[RelationTerms]) -> Scan | None:
    """
    Make a scanner.

    Args:
        codec: What it has learned counts as well; make a new scanner when it learns.
        relations: Those between counters, none of which it has learned to let through.

    Returns:
        None where there is no accelerator, or the decoder knows something that it can't read.
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
            terms=_pack((factor, block, layout.slots[block] + place) for factor, block, place in terms),
            rows=_pack((equal, *map(len, sides)) for equal, *sides in relations),
            nodes=_pack([count] for count in layout.nodes),
            entries=_pack(layout.entries),
            labels=labels is not None,
            unset=msgspec.UNSET,
        ).read
    except (ValueError, struct.error):  # an edition that is larger than there is room for
        return None
    return scan


def _pack(rows: Iterable[Iterable[int]]) -> bytes:
    """
    Rows of numbers as the module takes them.

    Raises:
        struct.error: One has more than 64 bits.
    """
    numbers = [number for row in rows for number in row]
    return struct.pack(f"={len(numbers)}q", *numbers)


class _Entry(NamedTuple):
    """A key of an object."""

    kind: int
    key: int
    """Where it begins."""
    length: int
    required: bool = False
    place: int = -1
    """Of a counter, of a leaf that is handed over, of a group, or of what is let through."""
    block: int = -1
    least: int = 0
    most: int = 0
    start: int = 0
    """The first of a choice's strings, or a group's object."""
    choices: int = 0
    """How many strings a choice has."""


class _Layout:
    """
    An edition's keys, as the tables that the module takes.

    Objects stand behind those that are in them, and each object's entries together.
    """

    def __init__(self, codec: EditionDecoder) -> None:
        self.keys = bytearray()
        self.strings: list[str] = []
        """The words of choices."""
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
        """Add a group, or what stands for every label; its number."""
        below = {attribute: (inner, self.add(inner)) for attribute, inner in plan.below}
        loose = {each.position: each for each in plan.loose}
        fields = {field.name: field for field in plan.group.fields}
        for position, name in enumerate(plan.columns):
            key = self._add_key(name)
            if (let_through := loose.get(position)) is not None:
                entry = _Entry(LOOSE, *key, place=self._loose[id(let_through)])
            elif (group := below.get(f"f{position}")) is not None:
                entry = self._group(*group, key)
            elif (field := fields.get(name)) is not None:
                entry = self._leaf(plan, position, field, key)
            else:
                entry = _Entry(LABELS, *key)
            self.entries.append(entry)
        self.nodes.append(len(plan.columns))
        return len(self.nodes) - 1

    def _group(self, plan: GroupPlan, node: int, key: tuple[int, int]) -> _Entry:
        block = -1 if plan.block is None else plan.block
        return _Entry(GROUP, *key, place=self._places[id(plan)], block=block, start=node)

    def _leaf(self, plan: GroupPlan, position: int, field: FieldDefinition, key: tuple[int, int]) -> _Entry:
        of_label = plan is self._codec.label_plan
        required = field.presence is not FieldPresence.CONDITIONAL
        if field.kind is FieldKind.COUNTER:  # one that is not there is left to Python
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
        """Add a key with its quotes; where it begins, and how long it is."""
        start = len(self.keys)
        self.keys += f'"{name}"'.encode()
        return start, len(self.keys) - start
