"""
The scanner in C, where there is one: it accepts bodies in which there is nothing to find, for less than parsing costs.

It is made from the codec's plans and hands over what `checks.body` would have taken from the same body, or refuses; what
it refuses is read in Python. It is never needed: without a compiler, or with `SORA_HARNESS_PURE=1`, everything is judged
in Python, with the same findings.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from operator import le
from types import ModuleType
from typing import Any, Final, NamedTuple

import msgspec

from . import edition_rules as rules
from .codec import LABELS, Codec, Counters, Loose, Plan
from .edition import Field, Kind, Presence, Type

CONTRACT: Final = 7
"""What the two sides expect of each other; a module built for another one is left alone."""

OWN: Final = (*((name,) for name in rules.OWN_TEXTS), rules.LEVEL)
"""The connection's leaves that are handed over, besides counters."""

_COUNTER, _INTEGER, _BOOLEAN, _STRING, _CHOICE, _GROUP, _LABELS, _LOOSE = range(8)
"""What may stand behind a key, in the module's order."""

Blocks = list[Counters | None]
"""A sample's counters."""

Terms = Sequence[tuple[int, int, int]]
"""Of a relation: factor, block and counter."""

Relation = tuple[bool, Terms, Terms, Terms]
"""
Whether the sides are to be equal (else the left one is at most the right one), the sides, and counters of which any that
is not 0 turns "equal" into "at least".
"""

Scanned = tuple[
    tuple[Any, ...],  # as OWN; Any: leaves of the edition's types, None where one is not there
    Blocks, dict[str, Counters], dict[str, tuple[Any, ...]],  # blocks, labels, their other leaves
    bool,  # whether it is certain that all relations hold whose groups are there
    int | None,  # the timestamp in nanoseconds, where it has microseconds
    list[int],  # groups that are not there, by their place in the codec's plans
    tuple[bytes | None, ...],  # the codec's loose leaves; None of a group that is not there
]  # fmt: skip
"""One connection. Any: leaves of their own types."""

Scan = Callable[[bytes, bool], list[Scanned] | None]
"""From a body, and whether it should be an array of connections, to these; None where it is refused."""


def _module() -> ModuleType | None:
    if os.environ.get("SORA_HARNESS_PURE", "") not in ("", "0"):
        return None
    try:
        from . import _accelerator  # type: ignore[attr-defined]  # it is there only where it could be built
    except ImportError:
        return None
    module: ModuleType = _accelerator
    return module if getattr(module, "CONTRACT", None) == CONTRACT else None


_MODULE: Final = _module()


def is_there() -> bool:
    """Whether bodies are read by it."""
    return _MODULE is not None


def _rise(known: Blocks, blocks: Blocks) -> tuple[Blocks, list[int]]:
    top = known
    left: list[int] = []
    for place, (most, mine) in enumerate(zip(known, blocks, strict=True)):
        if most is None or mine is None:
            if most is not mine:
                left.append(place)
        elif most == mine:
            blocks[place] = most
        elif all(map(le, most, mine)):
            if top is known:
                top = known.copy()
            top[place] = mine
        else:
            left.append(place)
    return top, left


rise: Final[Callable[[Blocks, Blocks], tuple[Blocks, list[int]]]] = getattr(_MODULE, "rise", _rise)
"""
Take the blocks that are larger in the second list over into the first, or rather into a copy of it.

Returns:
    That, and the places of the blocks that have to be looked at: a counter fell, or a block is in one list only. In the
    second list, blocks that are the same as in the first become those very objects.
"""


first_holders: Final[Callable[[tuple[Counters, ...], list[Any], list[Any]], list[Any] | None] | None] = getattr(
    _MODULE, "first_holders", None
)
"""
Of each counter of a block that never fell in some steps, the owner of the first step that has its last value; what the
third list says where that is the very first step. None where a step was not read by the accelerator. Any: owners.
"""


def scanner(codec: Codec, relations: Sequence[Relation]) -> Scan | None:
    """
    Make a scanner.

    Args:
        codec: What it has learned counts as well; make a new scanner when it learns.
        relations: Those between counters, none of which it has learned to let through.

    Returns:
        None where there is no accelerator, or the codec knows something that it cannot read.
    """
    if _MODULE is None:
        return None
    labels = codec.label_plan
    if codec.labels_raw or (LABELS,) in codec.learned or any(plan.raw for plan in codec.plans):
        return None
    if labels is not None and labels.loose:
        return None
    layout = _Layout(codec)
    try:
        if labels is not None:
            layout.add(labels)
        layout.add(codec.plan)
        terms = [
            (factor, block, layout.slots[block] + place)
            for _, *sides in relations
            for side in sides
            for factor, block, place in side
        ]
        counts = (
            len(OWN),
            len(codec.label_counters),
            len(codec.label_others),
            len(codec.plans),
            len(codec.loose),
            rules.OWN_TEXTS.index("connection_id"),
        )
        scan: Scan = _MODULE.Scanner(
            keys=bytes(layout.keys),
            strings=tuple(layout.strings),
            counts=_table([counts]),
            blocks=_table([len(block.counters)] for block in codec.blocks),
            terms=_table(terms),
            rows=_table((equal, *map(len, sides)) for equal, *sides in relations),
            nodes=_table(layout.nodes),
            entries=_table(layout.entries),
            labels=labels is not None,
            unset=msgspec.UNSET,
        ).read
    except (_Beyond, ValueError):  # it is larger than anything that was thought of
        return None
    return scan


class _Beyond(Exception):
    """The accelerator cannot read that."""


def _table(rows: Iterable[Iterable[int]]) -> bytes:
    """Numbers as the module takes them."""
    numbers = [number for row in rows for number in row]
    try:
        return struct.pack(f"={len(numbers)}q", *numbers)
    except struct.error:
        raise _Beyond from None


class _Entry(NamedTuple):
    """A key of an object: what the module takes of it."""

    kind: int
    key: int
    """Where its key begins."""
    length: int
    required: bool = False
    place: int = -1
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

    def __init__(self, codec: Codec) -> None:
        self.keys = bytearray()
        self.strings: list[str] = []
        """The words of choices."""
        self.entries: list[_Entry] = []
        self.nodes: list[tuple[int]] = []
        """How many entries each object has."""
        sizes = [len(block.counters) for block in codec.blocks]
        self.slots = [sum(sizes[:block]) for block in range(len(sizes))]
        """The first counter of each block."""
        self._codec = codec
        self._loose = {id(each): place for place, each in enumerate(codec.loose)}
        self._places = {id(plan): place for place, plan in enumerate(codec.plans)}

    def add(self, plan: Plan) -> int:
        """Add a group, or what stands for every label; its number."""
        below = {attribute: (inner, self.add(inner)) for attribute, inner in plan.below}
        loose = {each.position: each for each in plan.loose}
        fields = {field.name: field for field in plan.group.fields}
        self.entries += [
            self._entry(plan, position, name, below.get(f"f{position}"), loose.get(position), fields.get(name))
            for position, name in enumerate(plan.columns)
        ]
        self.nodes.append((len(plan.columns),))
        return len(self.nodes) - 1

    def _entry(
        self,
        plan: Plan,
        position: int,
        name: str,
        below: tuple[Plan, int] | None,
        loose: Loose | None,
        field: Field | None,
    ) -> _Entry:
        key = self._key(name)
        if loose is not None:
            return _Entry(_LOOSE, *key, place=self._loose[id(loose)])
        if below is not None:
            inner, node = below
            block = -1 if inner.block is None else inner.block
            return _Entry(_GROUP, *key, place=self._places[id(inner)], block=block, start=node)
        if field is None:
            return _Entry(_LABELS, *key)
        return self._leaf(plan, position, field, key)

    def _leaf(self, plan: Plan, position: int, field: Field, key: tuple[int, int]) -> _Entry:
        of_label = plan is self._codec.label_plan
        required = field.presence is not Presence.CONDITIONAL
        if field.kind is Kind.COUNTER:
            assert field.minimum is not None, "a counter has a minimum"
            place = position if of_label else self.slots[-1 if plan.block is None else plan.block] + position
            most = -1 if field.maximum is None else field.maximum
            return _Entry(_COUNTER, *key, True, place, least=field.minimum, most=most)
        place = position - plan.counters if of_label else OWN.index(field.path) if field.path in OWN else -1
        if field.type is Type.BOOLEAN:
            return _Entry(_BOOLEAN, *key, required, place)
        if field.type is Type.INTEGER:
            least = -(2**63) if field.minimum is None else field.minimum
            most = 2**63 - 1 if field.maximum is None else field.maximum
            return _Entry(_INTEGER, *key, required, place, least=least, most=most)
        if field.values is None:
            return _Entry(_STRING, *key, required, place)
        start = len(self.strings)
        self.strings += field.values
        return _Entry(_CHOICE, *key, required, place, start=start, choices=len(field.values))

    def _key(self, name: str) -> tuple[int, int]:
        """Add a key; where it begins, and how long it is."""
        start = len(self.keys)
        self.keys += f'"{name}"'.encode()
        return start, len(self.keys) - start
