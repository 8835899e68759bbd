"""
A connection's largest counters so far, and the rule that decides by them whether a counter fell.

A response A precedes a response B if A had arrived strictly before B's request was sent, on one clock. The server reads
its counters at some time between sending and receipt. So only if A precedes B must every counter in A be at most the
same counter in B; if the two overlap, nothing follows (real-time order, as in Herlihy and Wing, 1990).

So it is enough to keep, for each connection, the component-wise maximum of what has arrived, in versions with the time
at which each became known. A sample is compared with the last version known before its request was sent. With A = 12
known at 10 and B = 11 sent at 20, B is wrong. If B was sent at 10 or before, it may have been read first.

A version is kept only as long as an open request may need it. So one hung request among thousands costs one more
version, not one for each response that overtakes it.

Data channels may close and reopen under the same label. After a sample L without a label, only samples that were
requested after L had arrived count for that label. A `#` label may even reopen between two samples that both have it:
if all its counters have restarted, the later sample is treated like one without the label. If only some are smaller, the
others may have passed their old values in the new channel; `LabelStart` says when they can't have. If the counters
continue after a sample without the label, the channel was open all the time, and that sample is wrong.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter, le
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from .accelerator import find_first_holders, merge_risen_blocks, merge_risen_labels
from .messaging_channels import MESSAGING_PREFIX, MIN_BUSY_MESSAGES, MIN_REOPENING_NS, LabelStart

Counters = Sequence[int]
"""One block of a sample: counters in a fixed order, -1 for one that is absent or unusable."""


class Evidence(Protocol):
    """A response that values came from."""

    @property
    def sent_ns(self) -> int:
        """When its request was sent."""


EvidenceT = TypeVar("EvidenceT", bound=Evidence)
"""Identifies the response that a value came from; it is kept and returned."""

MAX_VERSION_CHAIN: Final = 32
"""
How many versions the search for a value's first holder walks back; beyond that, the holders of all counters are
computed at once. A larger number saves time (about 1 us per response at 32) but costs memory: that many tuples of each
growing block.
"""

MAX_LABELS: Final = 4096
"""How many labels of one connection are tracked: far more than a server has, so that a hostile one can't flood us."""

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
    is_certain: bool = True
    """False if a data channel may have been closed and reopened in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelGap(Generic[EvidenceT]):
    """A response without a data channel that the responses before and after have, with counters that continue."""

    label: str
    before: Counters
    """The channel's counters known before the request was sent."""
    earlier: EvidenceT
    """A response that had these counters."""
    holder: EvidenceT
    """The one that lacks it."""
    start: LabelStart
    """Since when no response had shown its counters to start again."""
    after: Counters = ()
    """What its counters are afterwards."""


class CounterMaxima(msgspec.Struct, Generic[EvidenceT], gc=False, eq=False):
    """
    The largest counters known from `known_ns` on; a block is None until it was seen.

    `previous` is the version before, until `held` has the holders of all values.
    """

    known_ns: int
    blocks: list[Counters | None]
    labels: dict[str, Counters]
    holder: EvidenceT | None = None
    previous: CounterMaxima[EvidenceT] | None = None
    depth: int = 0
    """How many previous versions it has."""
    held: dict[int | str, list[EvidenceT | None]] | None = None

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
        holder = version.holder if version.held is None else version.held[block][counter]
        assert holder is not None, "a version without a holder has no values"
        return holder

    def resolve_evidence(self) -> None:
        """Compute the first holder of every value, and drop the previous versions."""
        chain: list[CounterMaxima[EvidenceT]] = [self]
        while (before := chain[-1].previous) is not None:
            chain.append(before)
        chain.reverse()
        first, owners = chain[0], [version.holder for version in chain]
        known, held = first.held or {}, dict[int | str, list[EvidenceT | None]]()
        steps = [version.blocks for version in chain]
        for block, counters in enumerate(self.blocks):
            if counters is not None:
                held[block] = _find_first_holders(steps, block, owners, known.get(block, []))
        steps = [[*map(version.labels.get, self.labels)] for version in chain]
        for place, label in enumerate(self.labels):
            held[label] = _find_first_holders(steps, place, owners, known.get(label, []))
        self.held = held
        self.previous = None
        self.depth = 0


def _find_first_holders(
    steps: list[list[Counters | None]], block: int, owners: list[Any], known: list[Any]
) -> list[Any]:
    """As `accelerator.find_first_holders`, for blocks of any kind. Any: owners."""
    if find_first_holders is not None and (found := find_first_holders(steps, block, owners, known)) is not None:
        return found
    since = next((place for place in range(len(steps), 0, -1) if steps[place - 1][block] is None), 0)
    mine: list[Any] = [step[block] for step in steps]
    if since:
        known = [owners[since]] * len(mine[-1])
    return [
        # values never fall from step to step
        known[place]
        if value == mine[since][place]
        else owners[bisect_left(mine, value, lo=since, key=itemgetter(place))]
        for place, value in enumerate(mine[-1])
    ]


class CounterHistory(Generic[EvidenceT]):
    """
    The history of one connection's counters, to which samples are added in order of receipt.

    Args:
        blocks: How many blocks a sample has.
        messages: Which counters of a data channel count messages, and not bytes.
    """

    __slots__ = (
        "_absent_since_ns",
        "_doubtful_labels",
        "_last_absence_ns",
        "_messages",
        "first",
        "gaps",
        "grown_labels",
        "label_starts",
        "last_received_ns",
        "prune_threshold",
        "reopened",
        "versions",
        "waiting_gaps",
    )

    def __init__(self, blocks: int, messages: Sequence[int] = ()) -> None:
        self.versions: list[CounterMaxima[EvidenceT]] = [CounterMaxima(EARLIEST_NS, [None] * blocks, {})]
        self.first: list[Counters | None] = [None] * blocks
        """Each block as it was first seen; a counter that differs now has grown."""
        self.label_starts: dict[str, LabelStart] = {}
        """Where each label begins, if it is open; else, where it began."""
        self.grown_labels: dict[str, tuple[bool, ...]] = {}
        """Which counters of labels that have closed had grown."""
        self.last_received_ns: int = EARLIEST_NS
        self.reopened: int = 0
        """How often a data channel was closed and reopened between two samples that both have it."""
        self._absent_since_ns: dict[str, int] = {}
        """For each label ever seen, when the last sample without it had arrived."""
        self._last_absence_ns = EARLIEST_NS
        """The latest of these."""
        self._doubtful_labels: dict[str, tuple[Counters, LabelStart]] = {}
        """Labels of which the last sample shows only some counters smaller: what they had counted, and since when."""
        self._messages = messages
        self.prune_threshold: int = 8
        """With more versions than this, `drop_unneeded_maxima` is due."""
        self.waiting_gaps: dict[str, LabelGap[EvidenceT]] = {}
        """Labels that are absent since they were last seen, with the first response without each."""
        self.gaps: list[LabelGap[EvidenceT]] = []
        """The gaps that the last sample proved."""

    @property
    def current_maxima(self) -> CounterMaxima[EvidenceT]:
        """The largest values known by now."""
        return self.versions[-1]

    def maxima_before(self, sent_ns: int) -> CounterMaxima[EvidenceT] | None:
        """The last version known before a request was sent; None if it is no longer kept."""
        for version in reversed(self.versions):
            if version.known_ns < sent_ns:
                return version
        return None

    def add_sample(
        self,
        sent_ns: int,
        received_ns: int,
        blocks: list[Counters | None],
        labels: dict[str, Counters],
        holder: EvidenceT,
    ) -> list[CounterDecrease[EvidenceT]]:
        """
        Compare a sample with what was known before its request was sent, and add it to the history.

        Args:
            sent_ns: When its request was sent.
            received_ns: When its response arrived; at or after that of the previous sample.
            blocks: Its counters; a block equal to the known maximum is replaced with that very tuple, to share memory.
            labels: The counters of its data channels.
            holder: Identifies its response.

        Returns:
            Every counter that fell below the largest value known before.
        """
        latest = self.versions[-1]
        base = latest if latest.known_ns < sent_ns else self.maxima_before(sent_ns)
        falls: list[CounterDecrease[EvidenceT]] = []
        known = latest.blocks
        top, undecided = merge_risen_blocks(known, blocks)
        for index in undecided:
            if (merged := self._merge_block(index, blocks, known, base, falls)) is not None:
                top = known.copy() if top is known else top
                top[index] = merged
            elif top is not known:
                top[index] = known[index]
        top_labels = None
        if sent_ns > self._last_absence_ns and len(labels) == len(self._absent_since_ns):
            top_labels = merge_risen_labels(latest.labels, labels)
        if top_labels is None:  # some label came, went or fell lately
            top_labels = self._merge_labels(sent_ns, received_ns, labels, base, falls)
            self._find_gaps(sent_ns, labels, base, holder)
        elif self.gaps:
            self.gaps = []
        if top is not known or top_labels is not latest.labels:
            version = CounterMaxima(received_ns, top, top_labels, holder, latest, latest.depth + 1)
            if version.depth >= MAX_VERSION_CHAIN:
                version.resolve_evidence()
            self.versions.append(version)
        self.last_received_ns = received_ns
        return falls

    def _merge_block(
        self,
        index: int,
        blocks: list[Counters | None],
        known: list[Counters | None],
        base: CounterMaxima[EvidenceT] | None,
        falls: list[CounterDecrease[EvidenceT]],
    ) -> Counters | None:
        """The maximum with one block of a sample; None if the known maximum doesn't change."""
        mine, most = blocks[index], known[index]
        if mine is None:
            return None
        if most is None:
            self.first[index] = mine
        elif mine == most:
            if type(most) is tuple and type(mine) is not tuple:
                known[index] = mine  # the accelerator can only compare counters below this
            else:
                blocks[index] = most
            return None
        elif not all(map(le, most, mine)):
            if base is not None and (before := base.blocks[index]) is not None:
                falls += _find_decreases(index, before, mine, base)
            mine = tuple(map(max, most, mine))
            if mine == most:
                return None
        return mine

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
        all_fall = bool(falls)  # if the connection's own counters fall, a channel's fall for the same reason
        if labels.keys() != floors.keys():
            for label in floors:
                if label not in labels:
                    floors[label] = received_ns
                    self._last_absence_ns = received_ns
                    self._doubtful_labels.pop(label, None)
                    if label in top:
                        self._close_label(label, top[label])
                        top = {other: counters for other, counters in top.items() if other != label}
        for label, mine in labels.items():
            most = known.get(label)
            if mine == most:
                if type(most) is tuple and type(mine) is not tuple:
                    known[label] = mine  # as above; if `top` is a copy, it gets this with a later sample
                continue
            floor = floors.get(label)
            if floor is None:
                if len(floors) >= MAX_LABELS:
                    continue
                floor = floors[label] = self.last_received_ns
                self._last_absence_ns = max(self._last_absence_ns, floor)
            if most is not None and not all(map(le, most, mine)):
                if base is not None and base.known_ns > floor and (before := base.labels.get(label)) is not None:
                    lower = _find_decreases(label, before, mine, base)
                    if lower and not all_fall and label.startswith(MESSAGING_PREFIX):
                        has_restarted = self._has_restarted(before, mine)
                        self.reopened += has_restarted
                        if has_restarted or not self._was_open(mine, received_ns, base, lower):
                            if not has_restarted:
                                falls += [replace(each, is_certain=False) for each in lower]
                                self._doubtful_labels[label] = (before, self.label_starts[label])
                            floors[label] = self._last_absence_ns = received_ns
                            self._close_label(label, most)
                            top = {other: counters for other, counters in top.items() if other != label}
                            continue
                    falls += lower
                mine = tuple(map(max, most, mine))
                if mine == most:
                    continue
            if sent_ns > floor:
                if top is known:
                    top = known.copy()
                top[label] = mine
                if most is None:
                    doubt = self._doubtful_labels.pop(label, None)
                    carries_on = doubt is not None and all(map(le, doubt[0], mine))
                    self.label_starts[label] = doubt[1] if doubt and carries_on else LabelStart(received_ns, mine)
        return top

    def _was_open(
        self,
        mine: Counters,
        received_ns: int,
        base: CounterMaxima[EvidenceT],
        lower: Sequence[CounterDecrease[EvidenceT]],
    ) -> bool:
        """Whether a channel, some of whose counters are smaller, can't have been closed and reopened."""
        label = str(lower[0].block)
        start, before = self.label_starts[label], base.labels[label]
        lately = received_ns - max(each.holder.sent_ns for each in lower) < MIN_REOPENING_NS
        return lately or any(
            start.excludes_reopening(
                place, before[place], base.first_evidence(label, place, before[place]).sent_ns, received_ns
            )
            for place in self._messages
            if mine[place] >= before[place]
        )

    def _has_restarted(self, before: Counters, after: Counters) -> bool:
        """Whether every counter that was not 0 is smaller now, or the same small number of messages."""
        return all(
            0 <= new < old or (new == old < MIN_BUSY_MESSAGES and place in self._messages)
            for place, (old, new) in enumerate(zip(before, after, strict=True))
            if old > 0
        )

    def _find_gaps(
        self,
        sent_ns: int,
        labels: Mapping[str, Counters],
        base: CounterMaxima[EvidenceT] | None,
        holder: EvidenceT,
    ) -> None:
        """Note which labels a sample lacks, and which earlier samples it proves to have lacked an open one."""
        self.gaps = []
        floors, waiting = self._absent_since_ns, self.waiting_gaps
        for label in [*waiting]:
            if label in labels and sent_ns > floors[label]:
                gap = waiting.pop(label)
                if all(map(le, gap.before, labels[label])):
                    self.gaps.append(replace(gap, after=labels[label]))
                    self.label_starts[label] = gap.start
        for label, before in base.labels.items() if base is not None else ():
            counted = max(before, default=0)
            if label not in labels and label not in waiting and counted > 0:
                assert base is not None, "it has labels"
                earlier = base.first_evidence(label, tuple(before).index(counted), counted)
                start = self.label_starts[label]
                waiting[label] = LabelGap(label=label, before=before, earlier=earlier, holder=holder, start=start)

    def forget_gaps(self, holder: EvidenceT) -> None:
        """Undo the gaps of the last sample, whose labels could not be read."""
        self.waiting_gaps = {label: gap for label, gap in self.waiting_gaps.items() if gap.holder is not holder}

    def _close_label(self, label: str, counters: Counters) -> None:
        first = self.label_starts[label].counters
        grew = tuple(old < new for old, new in zip(first, counters, strict=True))
        before = self.grown_labels.get(label, (False,) * len(grew))
        self.grown_labels[label] = tuple(a or b for a, b in zip(grew, before, strict=True))

    def drop_unneeded_maxima(self, opened: Collection[int], horizon_ns: int | None = None) -> None:
        """
        Drop versions that no open request can need.

        Args:
            opened: When the requests that are still open were sent, ascending.
            horizon_ns: If the open requests are not known one by one: no response to come was requested before this.
        """
        versions = self.versions
        open_sent_ns = tuple(opened)
        oldest_ns = min((each for each in (*open_sent_ns[:1], horizon_ns) if each is not None), default=None)
        kept = [versions[-1]]
        for following, version in pairwise(reversed(versions)):
            if oldest_ns is None or following.known_ns < oldest_ns:
                break  # nor the versions before, which became known earlier still
            place = bisect_right(open_sent_ns, version.known_ns)
            needed = place < len(open_sent_ns) and open_sent_ns[place] <= following.known_ns
            if needed or (horizon_ns is not None and following.known_ns >= horizon_ns):
                kept.append(version)
        self.versions = kept[::-1]
        self.prune_threshold = max(8, 2 * len(kept))


def _find_decreases(
    block: int | str, before: Counters, after: Counters, base: CounterMaxima[EvidenceT]
) -> list[CounterDecrease[EvidenceT]]:
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
