"""
Bounds a server's clock by its timestamps and our own times of sending and receipt.

Each response was stamped between sending and receipt, so the offset of the server's clock to ours lies within
[stamp - received, stamp - sent]. All of a server's intervals must share a point. A constant offset is only reported; an
offset that jumps is a finding. Clocks drift, so intervals count for ten minutes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from .evidence import EvidenceExchange
    from .stamp_order import StampedSample

JUMP_TOLERANCE_NS: Final = 1_000_000_000
"""The largest step of a clock that is not reported; NTP makes such steps."""

OFFSET_WINDOW_NS: Final = 600_000_000_000
"""For how long an interval counts."""

MIN_REPEATED_JUMPS: Final = 3
"""More jumps within that time can't be explained by setting the clock: it may be set wrongly, and then corrected."""

OFFSET_INTERVAL_NS: Final = 10_000_000_000
"""Intervals within this time are merged into their intersection."""


class OffsetInterval(msgspec.Struct, gc=False):
    """The intersection of a few seconds' offset intervals, in nanoseconds, with the exchanges that bound it."""

    started_ns: int
    low: int
    high: int
    low_from: EvidenceExchange
    high_from: EvidenceExchange


class ClockJump(msgspec.Struct, frozen=True, kw_only=True):
    """Two responses that no single offset explains; the earlier first."""

    earlier: EvidenceExchange
    later: EvidenceExchange
    gap_ns: int
    """How far apart their intervals are."""
    is_repeated: bool
    """Whether the clock jumped several times within ten minutes, which no setting of the clock explains."""


class ClockOffset:
    """The offset of one server's clock to ours."""

    def __init__(self) -> None:
        self._spans: deque[OffsetInterval] = deque()
        self._low = self._high = 0
        """The intersection of all intervals."""
        self._fresh_until_ns = -(2**63)
        """Until when intervals are merged into the newest one."""
        self._jumped_ns: deque[int] = deque(maxlen=MIN_REPEATED_JUMPS)
        """When it jumped."""

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The bounds of the offset in nanoseconds; None if no timestamp was added."""
        return (self._low, self._high) if self._spans else None

    def add_timestamp(self, sample: StampedSample, wall_minus_clock_ns: int) -> ClockJump | None:
        """
        Add a timestamp; returns a jump if it proves one.

        Args:
            sample: A stamped sample; its timestamp is rounded down to its resolution.
            wall_minus_clock_ns: Wall-clock time minus the exchange's own clock, to keep the numbers small.
        """
        stamp_ns, received_ns = sample.stamp_ns - wall_minus_clock_ns, sample.received_ns
        low = stamp_ns - received_ns
        high = stamp_ns + sample.resolution_ns - sample.sent_ns
        if low <= self._low and high >= self._high and received_ns <= self._fresh_until_ns:
            return None  # adds no information, as usual
        return self._narrow_bounds(low, high, sample.evidence)

    def _narrow_bounds(self, low: int, high: int, evidence: EvidenceExchange) -> ClockJump | None:
        spans, received_ns = self._spans, evidence.exchange.received_ns
        if spans and received_ns - spans[0].started_ns > OFFSET_WINDOW_NS:
            while spans and received_ns - spans[0].started_ns > OFFSET_WINDOW_NS:
                spans.popleft()
            self._intersect()
        jump = None
        if spans and max(low - self._high, self._low - high) > JUMP_TOLERANCE_NS:
            jump = self._take_jump(low, high, evidence)
        if not spans or received_ns > self._fresh_until_ns:
            self._fresh_until_ns = received_ns + OFFSET_INTERVAL_NS
            spans.append(OffsetInterval(received_ns, low, high, evidence, evidence))
            self._intersect()
            return jump
        last = spans[-1]
        if low > last.low:
            last.low, last.low_from = low, evidence
            self._low = max(self._low, low)
        if high < last.high:
            last.high, last.high_from = high, evidence
            self._high = min(self._high, high)
        return jump

    def _take_jump(self, low: int, high: int, evidence: EvidenceExchange) -> ClockJump:
        """Report one jump as one finding: later timestamps are compared with the new offset."""
        span = next(each for each in self._spans if max(low - each.high, each.low - high) > JUMP_TOLERANCE_NS)
        earlier = span.high_from if low > span.high else span.low_from
        gap = max(low - span.high, span.low - high)
        self._spans.clear()
        jumped_ns, now_ns = self._jumped_ns, evidence.exchange.received_ns
        jumped_ns.append(now_ns)
        is_repeated = len(jumped_ns) == MIN_REPEATED_JUMPS and now_ns - jumped_ns[0] <= OFFSET_WINDOW_NS
        return ClockJump(earlier=earlier, later=evidence, gap_ns=gap, is_repeated=is_repeated)

    def _intersect(self) -> None:
        self._low = max((span.low for span in self._spans), default=0)
        self._high = min((span.high for span in self._spans), default=0)
