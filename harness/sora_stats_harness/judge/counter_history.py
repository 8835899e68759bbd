"""
Counters never fall: the rule, and a connection's memory that decides it as responses come in.

A response A precedes a response B where A had arrived before B's request was sent, strictly, on one clock. Counters are
read some time between sending and receipt, so only then must every counter in A be at most the same counter in B; where
the two overlap, nothing follows (real-time order, as in Herlihy and Wing, 1990).

So it is enough to keep, for each connection, the component-wise maximum of what had arrived, in versions with the time at
which each became known: a sample is held against the last version known before its request was sent. With A = 12 known
at 10 and B = 11 sent at 20, B is wrong; sent at 10 or before, B may have been read first.

A version is kept only while a request that is still open can need it, so that one hung request among thousands costs
one version more, not one for each response that overtakes it.

Data channels may close and open again under their label. Where a sample L lacks a label, only samples that were sent
after L had arrived count for it from then on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import le
from typing import Any, Final, Generic, TypeVar

import msgspec

from .accelerator import find_first_evidence, merge_highest_blocks, merge_risen_blocks, merge_risen_labels

Counters = Sequence[int]
"""One block of a sample: counters in a fixed order, -1 where one is absent or unsound."""

EvidenceT = TypeVar("EvidenceT")
"""Names the response that a value came from; only kept and handed back."""

MAX_VERSION_CHAIN: Final = 32
"""
Versions whose first holders are looked up by walking back; then they are worked out for every counter at once. Larger
saves time (about 1 us a response at 32), and costs memory: that many tuples of each growing block.
"""

MAX_LABELS: Final = 4096
"""Labels of one connection whose counters are followed; far beyond what a server has, so that none can flood us."""

EARLIEST_NS: Final = -(2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterDecrease(Generic[EvidenceT]):
    """A counter of a sample that is below what was known before its request was sent."""

    block: int | str
    """The block's index, or the data channel's label."""
    counter: int
    before: int
    after: int
    holder: EvidenceT
    """The earliest-received response that held `before`."""


class CounterMaxima(msgspec.Struct, Generic[EvidenceT], gc=False, eq=False):
    """
    The largest counters known from a moment on; a block is None until it was seen.

    `previous` leads back to the version before, until the holders of all values are worked out in `held`.
    """

    known_ns: int
    blocks: list[Counters | None]
    labels: dict[str, Counters]
    holder: EvidenceT | None = None
    previous: CounterMaxima[EvidenceT] | None = None
    depth: int = 0
    """How many versions lead back from it."""
    held: dict[int | str, list[EvidenceT | None]] = msgspec.field(default_factory=dict)

    def counters_of(self, block: int | str) -> Counters | None:
        """A block's maximum by its index, or a label's by its name."""
        return self.blocks[block] if isinstance(block, int) else self.labels.get(block)

    def first_evidence(self, block: int | str, counter: int, value: int) -> EvidenceT:
        """The earliest-received response that held this version's value of a counter."""
        version = self
        while version.previous is not None:
            counters = version.previous.counters_of(block)
            if counters is None or counters[counter] != value:
                break
            version = version.previous
        held = version.held.get(block) if version.previous is None else None
        holder = held[counter] if held is not None else version.holder
        assert holder is not None, "a version without a holder has no values"
        return holder

    def resolve_evidence(self) -> None:
        """Work out the first holder of every value, and let the versions before go."""
        chain: list[CounterMaxima[EvidenceT]] = [self]
        while (before := chain[-1].previous) is not None:
            chain.append(before)
        chain.reverse()
        labels = [*self.labels]
        self._resolve_first_holders(range(len(self.blocks)), chain, [version.blocks for version in chain])
        self._resolve_first_holders(labels, chain, [[*map(version.labels.get, labels)] for version in chain])
        self.previous = None
        self.depth = 0

    def _resolve_first_holders(
        self, keys: Sequence[int | str], chain: Sequence[CounterMaxima[EvidenceT]], steps: list[list[Counters | None]]
    ) -> None:
        found = (find_first_evidence or _find_first_holders)(
            steps, [version.holder for version in chain], [chain[0].held.get(key) for key in keys]
        )
        self.held.update({key: each for key, each in zip(keys, found, strict=True) if each is not None})


def _find_first_holders(
    steps: list[list[Counters | None]], owners: list[Any], held: list[list[Any] | None]
) -> list[list[Any] | None]:
    """As the accelerator's. Any: holders."""
    found: list[list[Any] | None] = []
    for block, last in enumerate(steps[-1]):
        if last is None:
            found.append(None)
            continue
        since = len(steps) - 1
        while since > 0 and steps[since - 1][block] is not None:
            since -= 1
        mine = [step[block] or () for step in steps[since:]]
        before = held[block] if since == 0 else None
        known = [owners[since]] * len(last) if before is None else before
        found.append(
            [
                known[place] if (first := _first_step_with_value(mine, place)) == 0 else owners[since + first]
                for place in range(len(last))
            ]
        )
    return found


def _first_step_with_value(steps: Sequence[Counters], place: int) -> int:
    """Since which step a counter has had the value that it has in the last one."""
    step = len(steps) - 1
    while step > 0 and (steps[step] is steps[step - 1] or steps[step][place] == steps[step - 1][place]):
        step -= 1
    return step


class CounterHistory(Generic[EvidenceT]):
    """
    What is known of one connection's counters, as its samples come in by order of receipt.

    Args:
        blocks: How many blocks a sample has.
    """

    __slots__ = (
        "_absent_since_ns",
        "_last_absence_ns",
        "_prune_threshold",
        "first",
        "first_labels",
        "grown_labels",
        "last_received_ns",
        "versions",
    )

    def __init__(self, blocks: int) -> None:
        self.versions: list[CounterMaxima[EvidenceT]] = [CounterMaxima(EARLIEST_NS, [None] * blocks, {})]
        self.first: list[Counters | None] = [None] * blocks
        """Each block as it was first seen: what moved since has grown."""
        self.first_labels: dict[str, Counters] = {}
        self.grown_labels: dict[str, tuple[bool, ...]] = {}
        """Which counters grew of labels that have closed."""
        self.last_received_ns = EARLIEST_NS
        self._absent_since_ns: dict[str, int] = {}
        """For each label ever seen, when the last sample without it had arrived."""
        self._last_absence_ns = EARLIEST_NS
        """The latest of these."""
        self._prune_threshold = 8

    @property
    def current_maxima(self) -> CounterMaxima[EvidenceT]:
        """The largest values known by now."""
        return self.versions[-1]

    def maxima_before(self, sent_ns: int) -> CounterMaxima[EvidenceT] | None:
        """The last version known before a request was sent; None where that is no longer kept."""
        for version in reversed(self.versions):
            if version.known_ns < sent_ns:
                return version
        return None

    def add_sample(
        self,
        sent_ns: int,
        received_ns: int,
        blocks: list[Counters | None],
        labels: Mapping[str, Counters],
        holder: EvidenceT,
    ) -> list[CounterDecrease[EvidenceT]]:
        """
        Hold a sample against what was known before its request was sent, and add what it has to what is known.

        Args:
            sent_ns: When its request was sent.
            received_ns: When its response had arrived; not before that of the sample taken last.
            blocks: Its counters; a block equal to the known maximum is replaced by that very tuple, to share memory.
            labels: The counters of its data channels.
            holder: Names its response.

        Returns:
            Every counter that fell, against the largest value known before.
        """
        latest = self.versions[-1]
        base = latest if latest.known_ns < sent_ns else self.maxima_before(sent_ns)
        falls: list[CounterDecrease[EvidenceT]] = []
        known = latest.blocks
        top = merge_risen_blocks(known, blocks) if merge_risen_blocks is not None else None
        if top is None and base is not latest:
            top = _merge_overtaken(known, blocks, base)
        if top is None:
            top = self._merge_blocks(blocks, known, base, falls)
        top_labels = self._merge_labels_quickly(sent_ns, labels, latest.labels)
        if top_labels is None:
            top_labels = self._merge_labels(sent_ns, received_ns, labels, base, falls)
        if top is not known or top_labels is not latest.labels:
            version = CounterMaxima(received_ns, top, top_labels, holder, latest, latest.depth + 1)
            if version.depth >= MAX_VERSION_CHAIN:
                version.resolve_evidence()
            self.versions.append(version)
        self.last_received_ns = received_ns
        return falls

    def _merge_blocks(
        self,
        blocks: list[Counters | None],
        known: list[Counters | None],
        base: CounterMaxima[EvidenceT] | None,
        falls: list[CounterDecrease[EvidenceT]],
    ) -> list[Counters | None]:
        top = known
        for index, (mine, most) in enumerate(zip(blocks, known, strict=True)):
            if mine == most:
                blocks[index] = most
                continue
            if mine is None:
                continue
            if most is None:
                self.first[index] = mine
            elif not all(map(le, most, mine)):
                if base is not None and (before := base.blocks[index]) is not None:
                    falls += _find_decreases(index, before, mine, base)
                mine = tuple(map(max, most, mine))
                if mine == most:
                    continue
            if top is known:
                top = known.copy()
            top[index] = mine
        return top

    def _merge_labels_quickly(
        self, sent_ns: int, labels: Mapping[str, Counters], known: dict[str, Counters]
    ) -> dict[str, Counters] | None:
        """The labels as they are now, where none came or went lately and no counter fell; else None: look closer."""
        if len(labels) != len(self._absent_since_ns):
            return None
        if merge_risen_labels is None or sent_ns <= self._last_absence_ns:
            return known if labels == known else None
        return merge_risen_labels(known, labels)

    def _merge_labels(
        self,
        sent_ns: int,
        received_ns: int,
        labels: Mapping[str, Counters],
        base: CounterMaxima[EvidenceT] | None,
        falls: list[CounterDecrease[EvidenceT]],
    ) -> dict[str, Counters]:
        known = top = self.versions[-1].labels
        floors = self._absent_since_ns
        if labels.keys() != floors.keys():
            for label in floors:
                if label not in labels:
                    floors[label] = received_ns
                    self._last_absence_ns = received_ns
                    if label in top:
                        self._close_label(label, top[label])
                        top = {other: counters for other, counters in top.items() if other != label}
        for label, mine in labels.items():
            most = known.get(label)
            if mine == most:
                continue
            floor = floors.get(label)
            if floor is None:
                if len(floors) >= MAX_LABELS:
                    continue
                floor = floors[label] = self.last_received_ns
                self._last_absence_ns = max(self._last_absence_ns, floor)
            if most is not None and not all(map(le, most, mine)):
                if base is not None and base.known_ns > floor and (before := base.labels.get(label)) is not None:
                    falls += _find_decreases(label, before, mine, base)
                mine = tuple(map(max, most, mine))
                if mine == most:
                    continue
            if sent_ns > floor:
                if top is known:
                    top = known.copy()
                top[label] = mine
                self.first_labels.setdefault(label, mine)
        return top

    def _close_label(self, label: str, counters: Counters) -> None:
        first = self.first_labels.pop(label, counters)
        grew = tuple(old < new for old, new in zip(first, counters, strict=True))
        before = self.grown_labels.get(label, (False,) * len(grew))
        self.grown_labels[label] = tuple(a or b for a, b in zip(grew, before, strict=True))

    def drop_unneeded_maxima(self, opened: Collection[int], horizon_ns: int | None = None) -> None:
        """
        Let go of versions that no request still open can need, once there are many.

        Args:
            opened: When the requests that are still open were sent, ascending.
            horizon_ns: Where the open requests are not known one by one: no response to come was sent before this.
        """
        versions = self.versions
        if len(versions) <= self._prune_threshold:
            return
        open_sent_ns = tuple(opened)
        kept = []
        for version, following in pairwise(versions):
            place = bisect_right(open_sent_ns, version.known_ns)
            needed = place < len(open_sent_ns) and open_sent_ns[place] <= following.known_ns
            if needed or (horizon_ns is not None and following.known_ns >= horizon_ns):
                kept.append(version)
        kept.append(versions[-1])
        self.versions = kept
        self._prune_threshold = max(8, 2 * len(kept))


def _merge_overtaken(
    known: list[Counters | None], blocks: list[Counters | None], base: CounterMaxima[Any] | None
) -> list[Counters | None] | None:
    """
    What is known with a sample that was read before it came to be: larger counters overtook it.

    None where that is not all, and has to be looked at closely.
    """
    if merge_risen_blocks is None or merge_highest_blocks is None:
        return None
    if base is not None and merge_risen_blocks(base.blocks, [*blocks]) is None:
        return None
    return merge_highest_blocks(known, blocks)


def _find_decreases(
    block: int | str, before: Counters, after: Counters, base: CounterMaxima[EvidenceT]
) -> Iterable[CounterDecrease[EvidenceT]]:
    return [
        CounterDecrease(
            block=block,
            counter=counter,
            before=old,
            after=new,
            holder=base.first_evidence(block, counter, old),
        )
        for counter, (old, new) in enumerate(zip(before, after, strict=True))
        if 0 <= new < old
    ]
