"""
What the judge remembers of one connection, and the checks that need that memory.

Everything here is fed in order of receipt. Bodies are kept by few: each connection keeps its last answer, and a ring of
limited size the newest; older ones live on as their times only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from weakref import ref

import msgspec

from ..accelerator import rise
from ..codec import Counters
from ..exchange import Exchange, light
from .body import Reading
from .clock import Stillness
from .order import Lineage
from .relations import Row

KEPT_BYTES: Final = 64 << 20
"""Bodies that are kept for evidence, newest first."""

PORTIONS: Final = 64
"""Of the kept bodies one is let go at a time."""

TEAR_NS: Final = 50_000_000
"""Stamps closer than this say nothing of which answer was read first: a server stamps and reads at different moments."""

RECENT: Final = 16
"""Readings of a connection that are compared with those that overlap them."""


class Held(msgspec.Struct, eq=False, weakref=True):
    """An exchange that loses its body when memory runs short, wherever it is referred to."""

    exchange: Exchange


class Ring:
    """
    The newest exchanges, up to a number of bytes and a portion of them; those that fall out become light.

    It does not keep alive what nobody else refers to: most are proof of nothing any more once their connection has
    answered a few times, and their memory is still at hand then for the next answers.
    """

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._portion_bytes = limit_bytes // PORTIONS
        self._bytes = self._newest_bytes = 0
        self._newest: list[ref[Held]] = []
        self._portions: deque[tuple[int, list[ref[Held]]]] = deque()

    def keep(self, exchange: Exchange) -> Held:
        """Have an exchange lose its body once so many bytes came after it."""
        held = Held(exchange)
        self._newest.append(ref(held))
        answer = exchange.answer
        if answer is not None:
            self._newest_bytes += len(answer.body)
            if self._newest_bytes > self._portion_bytes:
                self._end_portion()
        return held

    def _end_portion(self) -> None:
        portions = self._portions
        portions.append((self._newest_bytes, self._newest))
        self._bytes += self._newest_bytes
        self._newest, self._newest_bytes = [], 0
        while self._bytes > self._limit_bytes and len(portions) > 1:
            size, oldest = portions.popleft()
            self._bytes -= size
            for each in oldest:
                held = each()
                if held is not None:
                    held.exchange = light(held.exchange)


class Suspicion(msgspec.Struct, kw_only=True, gc=False):
    """A relation that did not hold in a reading, waiting for the next one to tell whether that means anything."""

    row: Row | None
    """None for the unstable level."""
    exchange: Exchange
    reading: Reading
    blocks: list[Counters | None]
    before: Sequence[Counters | None] | None
    before_held: Held | None
    level_before: int | None


class Recent(msgspec.Struct, kw_only=True, gc=False):
    """A reading that a request still open may overlap."""

    exchange: Exchange
    index: int | None
    stamp_ns: int
    blocks: list[Counters | None]


class Misstamped(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Two overlapping readings of which the earlier stamped has the larger counter."""

    early: Recent
    late: Recent
    index: int | None
    """The place of the later stamped in its answer."""


class Subject:
    """One connection."""

    __slots__ = (
        "blocks", "configuration", "fallen", "first", "found_ns", "identity", "last", "last_blocks", "last_held", "level", "lineage",
        "misstamped", "readings", "recent", "still", "suspicions", "told",
    )  # fmt: skip

    def __init__(self, blocks: int) -> None:
        self.lineage: Lineage[Held] = Lineage(blocks)
        self.identity: tuple[str | None, str | None, str | None] | None = None
        """Channel, client and bundle, as they were first told."""
        self.first: Held | None = None
        self.configuration: dict[str, tuple[Any, ...]] = {}  # Any: leaves of any type
        """Of each label that is open, its leaves that are no counters."""
        self.told: Mapping[str, tuple[Any, ...]] | None = None
        """The same as the last reading had it: the accelerator gives the same object while nothing changes."""
        self.blocks: list[Counters | None] | None = None
        """Of the reading before: blocks that are the same tuples need not be looked at again."""
        self.last: Exchange | None = None
        """Always with its body: at least one witness of the largest values is left to be shown."""
        self.last_held: Held | None = None
        self.last_blocks: Sequence[Counters | None] | None = None
        """Of the last reading, whatever it was: a relation's lower bound, which a maximum that was wrong cannot spoil."""
        self.level: int | None = None
        self.readings = 0
        self.recent: list[Recent] = []
        self.suspicions: list[Suspicion] = []
        self.fallen: set[tuple[int | str, int]] = set()
        """Counters that fell: their order by stamp would be the same fault again."""
        self.misstamped: dict[tuple[int, int], list[Misstamped]] = {}
        """By counter, pairs in which the earlier stamp has the larger value; held back until it is known not to fall."""
        self.still: dict[str, Stillness] = {}

    def spare(self, server: str, most_bytes: int) -> None:
        """
        Let go of the larger answers of a server that are kept of a connection which its newest one lacks.

        Else each connection that leaves would hold the whole of another listing until it is forgotten.
        """
        if self.last is not None and _is_larger(self.last, server, most_bytes):
            self.last = light(self.last)
        if self.recent:
            self.recent = [each for each in self.recent if not _is_larger(each.exchange, server, most_bytes)]
        for still in self.still.values():
            if _is_larger(still.first, server, most_bytes):
                still.first = light(still.first)

    def compare_stamps(self, mine: Recent, tear_ns: int) -> tuple[int, list[tuple[Recent, Recent, int, int]]]:
        """
        Hold a reading against those that overlap it.

        Returns:
            How many pairs were compared, and for each pair in which the earlier stamp has the larger counter: that
            reading, the other, the block and the counter.
        """
        compared = 0
        misses: list[tuple[Recent, Recent, int, int]] = []
        for other in self.recent:
            apart = abs(mine.stamp_ns - other.stamp_ns)
            if apart <= tear_ns:
                continue
            one, two = other.exchange, mine.exchange
            if one.received_ns < two.sent_ns or one.request.server != two.request.server:
                continue
            if apart > one.received_ns - one.sent_ns + two.received_ns - two.sent_ns:
                continue
            compared += 1
            early, late = (other, mine) if other.stamp_ns < mine.stamp_ns else (mine, other)
            miss = _first_larger(early.blocks, late.blocks, self.fallen)
            if miss is not None:
                misses.append((early, late, *miss))
        return compared, misses

    def remember(self, mine: Recent, open_from_ns: int | None) -> None:
        """Keep a reading, the newest, while a request still open may overlap it."""
        recent = self.recent
        if open_from_ns is None:
            recent.clear()
            return
        while recent and (len(recent) >= RECENT or recent[0].exchange.received_ns < open_from_ns):
            del recent[0]
        recent.append(mine)


def _is_larger(exchange: Exchange, server: str, most_bytes: int) -> bool:
    answer = exchange.answer
    return answer is not None and len(answer.body) > most_bytes and exchange.request.server == server


def _first_larger(
    early: list[Counters | None], late: list[Counters | None], but: Collection[tuple[int | str, int]]
) -> tuple[int, int] | None:
    for block in rise(early, [*late])[1]:
        one, two = early[block], late[block]
        if one is None or two is None:
            continue
        for counter, (old, new) in enumerate(zip(one, two, strict=True)):
            if 0 <= new < old and (block, counter) not in but:
                return block, counter
    return None
