"""
Counters never fall: the rule, and a connection's memory that decides it as answers come in.

An answer A precedes an answer B where A had arrived before B's request was sent, strictly, on one clock. Counters are
read some time between sending and receipt, so only then must every counter in A be at most the same counter in B; where
the two overlap, nothing follows (real-time order, as in Herlihy and Wing, 1990).

So it is enough to keep, for each connection, the component-wise maximum of what had arrived, in versions with the time at
which each became known: a reading is held against the last version known before its request was sent. With A = 12 known
at 10 and B = 11 sent at 20, B is wrong; sent at 10 or before, B may have been read first.

A version is kept only while a request that is still open can need it, so that one hung request among thousands costs
one version more, not one for each answer that overtakes it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import le
from typing import Final, Generic, TypeVar

import msgspec

Counters = tuple[int, ...]
"""One block of a reading: counters in a fixed order, -1 where one is absent or unsound."""

Holder = TypeVar("Holder")
"""Names the reading that a value came from; only kept and handed back."""

COMPACT_AFTER: Final = 8
"""
Versions of a block whose values wait to be told apart; then each counter's earliest holder is worked out at once.
Larger saves time (0.3 us an answer at 8), and costs memory: that many tuples a block and connection.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall(Generic[Holder]):
    """A counter of a reading that is below what was known before its request was sent."""

    block: int
    counter: int
    before: int
    after: int
    holder: Holder
    """The earliest-received reading that held `before`."""


class Version(msgspec.Struct, gc=False):
    """The largest counters known from a moment on; a block is None until it was seen."""

    known_ns: int
    blocks: list[Counters | None]


class Track(Generic[Holder]):
    """
    Who first held a block's values: answers "which reading was the first to hold this maximum".

    Appending is one list append; every few versions the values are resolved counter by counter.
    """

    __slots__ = ("_pending", "_resolved")

    def __init__(self) -> None:
        self._resolved: list[tuple[int, Holder | None]] = []
        self._pending: list[tuple[Counters, Holder]] = []

    def append(self, maxima: Counters, holder: Holder) -> None:
        """Note a new maximum; `maxima` must not be below the last one anywhere."""
        pending = self._pending
        pending.append((maxima, holder))
        if len(pending) >= COMPACT_AFTER:
            self._compact()

    def first(self, counter: int, value: int) -> Holder:
        """The earliest reading that held this value of this counter, which must be a maximum kept here."""
        if counter < len(self._resolved):
            resolved, holder = self._resolved[counter]
            if resolved == value and holder is not None:
                return holder
        return next(holder for maxima, holder in self._pending if maxima[counter] == value)

    def _compact(self) -> None:
        pending = self._pending
        last, last_holder = pending[-1]
        old = self._resolved or [(-2, None)] * len(last)
        resolved = []
        for (value, holder), column in zip(old, zip(*(maxima for maxima, _ in pending), strict=True), strict=True):
            top = column[-1]
            if top == value:
                resolved.append((value, holder))
            else:
                resolved.append((top, pending[bisect_left(column, top)][1]))
        self._resolved = resolved
        # Open requests may still be held against the values before the last: those versions stay to be searched.
        self._pending = pending[-2:]


class Lineage(Generic[Holder]):
    """
    What is known of one connection's counters, block by block, as its readings come in by order of receipt.

    Args:
        blocks: How many blocks a reading has.
    """

    __slots__ = ("_tracks", "versions")

    def __init__(self, blocks: int) -> None:
        self.versions: list[Version] = [Version(known_ns=-(2**63), blocks=[None] * blocks)]
        self._tracks: list[Track[Holder] | None] = [None] * blocks
