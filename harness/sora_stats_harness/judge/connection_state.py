"""
What the judge remembers of one connection.

Everything is added in order of receipt. Responses are kept as `evidence.EvidenceExchange`, which bounds the memory for
their bodies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..api.exchange import Target
from .accelerator import merge_risen_blocks
from .counter_history import CounterHistory
from .edition_decoder import Counters
from .evidence import EvidenceExchange
from .stamp_order import StampedSample, StampHistory

if TYPE_CHECKING:
    from .checks.relation_check import PendingViolation
    from .sample import Sample

DEFAULT_TEAR_NS: Final = 50_000_000
"""
Without `--tear`, stamps closer than this don't show which response was read first; larger differences are compared for
information only.
"""

MAX_OVERLAPPING_SAMPLES: Final = 16
"""How many overlapping samples of a connection are kept for comparison."""


class TimestampOrderViolation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Two overlapping samples of which the one with the earlier stamp has the larger counter."""

    early: StampedSample
    late: StampedSample


@dataclass(slots=True, eq=False)  # setting an attribute of one of msgspec's takes ten times as long
class ConnectionState:
    """The state of one connection."""

    counter_history: CounterHistory[EvidenceExchange]
    identity: tuple[str | None, str | None, str | None] | None = None
    """Channel, client and bundle, as first seen."""
    first: EvidenceExchange | None = None
    configuration: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # Any: leaves of any type
    """The leaves of each open label that are not counters."""
    last_configuration: Mapping[str, tuple[Any, ...]] | None = None
    """The last sample's object for these: the accelerator returns the same object while nothing changes."""
    blocks: list[Counters | None] | None = None
    """The previous sample's blocks: identical tuples need not be judged again."""
    last: EvidenceExchange | None = None
    """The response that had its last sample."""
    last_blocks: Sequence[Counters | None] | None = None
    """The last sample's counters: a lower bound for relations that a wrong maximum can't spoil."""
    longest_gap_ns: int = 0
    """The longest time between the receipt of a sample and the sending of the next one's request."""
    level: int | None = None
    samples_of: dict[Target | None, int] = field(default_factory=dict)
    """How many, by target."""
    overlapping_samples: list[StampedSample] = field(default_factory=list)
    """Those that a request still open may overlap."""
    pending_violations: list[PendingViolation] = field(default_factory=list)
    relation_samples: dict[Target | None, int] = field(default_factory=dict)
    """In how many of `samples_of` the relations are known to have been checked."""
    decreased_counters: set[tuple[int | str, int]] = field(default_factory=set)
    """Counters that fell; judging their order by timestamp would report the same fault again."""
    timestamp_violations: dict[tuple[int, int], list[TimestampOrderViolation]] = field(default_factory=dict)
    """
    By counter, pairs in which the earlier stamp has the larger value; held back until it is known whether it falls.
    """
    stamp_histories: dict[str, StampHistory] = field(default_factory=dict)
    cluster_stamp_histories: dict[str, StampHistory] = field(default_factory=dict)
    """
    By server; the second for responses about the whole cluster, since then another node may have made the stamp.
    """

    def add_sample(self, exchange: EvidenceExchange, sample: Sample, target: Target | None) -> None:
        """Add the newest sample, after every check has seen it."""
        last, samples_of = self.last, self.samples_of
        if last is not None and (gap_ns := exchange.exchange.sent_ns - last.exchange.received_ns) > self.longest_gap_ns:
            self.longest_gap_ns = gap_ns
        samples_of[target] = samples_of.get(target, 0) + 1
        self.level = sample.level
        self.last = exchange
        self.last_blocks = sample.blocks

    def unchecked_samples(self, checked: dict[Target | None, int]) -> dict[Target | None, int]:
        """By target, the samples in which a relation is not known to have been checked."""
        return {target: count - checked.get(target, 0) for target, count in self.samples_of.items()}

    @property
    def silent_since_ns(self) -> int:
        """When its last sample arrived."""
        return self.counter_history.last_received_ns

    def check_timestamp_order(
        self, mine: StampedSample, tear_ns: int
    ) -> tuple[int, list[tuple[StampedSample, StampedSample, int, int]]]:
        """
        Compare a sample with those that overlap it.

        Returns:
            How many pairs were compared, and for each pair in which the earlier stamp has the larger counter: that
            sample, the other one, the block and the counter.
        """
        compared = 0
        misses: list[tuple[StampedSample, StampedSample, int, int]] = []
        stamp_ns, least_ns = mine.stamp_ns, tear_ns + mine.resolution_ns
        for other in self.overlapping_samples:
            apart = abs(stamp_ns - other.stamp_ns)
            if apart <= least_ns + other.resolution_ns:
                continue
            if other.received_ns < mine.sent_ns or other.evidence.request.server != mine.evidence.request.server:
                continue
            if apart > other.received_ns - other.sent_ns + mine.received_ns - mine.sent_ns:
                continue
            compared += 1
            early, late = (other, mine) if other.stamp_ns < mine.stamp_ns else (mine, other)
            miss = _find_first_decrease(early.blocks, late.blocks, self.decreased_counters)
            if miss is not None:
                misses.append((early, late, *miss))
        return compared, misses

    def add_overlapping(self, mine: StampedSample, open_from_ns: int | None) -> None:
        """Keep the newest sample as long as an open request may overlap it."""
        recent = self.overlapping_samples
        if open_from_ns is None:
            recent.clear()
            return
        while recent and (len(recent) >= MAX_OVERLAPPING_SAMPLES or recent[0].received_ns < open_from_ns):
            del recent[0]
        recent.append(mine)


def _find_first_decrease(
    early: list[Counters | None], late: list[Counters | None], but: Collection[tuple[int | str, int]]
) -> tuple[int, int] | None:
    for block in merge_risen_blocks(early, late)[1]:
        one, two = early[block], late[block]
        if one is None or two is None:
            continue
        for counter, (old, new) in enumerate(zip(one, two, strict=True)):
            if 0 <= new < old and (block, counter) not in but:
                return block, counter
    return None
