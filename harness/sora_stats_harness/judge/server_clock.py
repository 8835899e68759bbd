"""
Bounds a server's clock by its timestamps and our own times of sending and receipt.

Each response was stamped between sending and receipt, so the offset of the server's clock to ours lies within
[stamp - received, stamp - sent]. All of a server's intervals must share a point; a constant offset is a fact to report,
one that jumps is a finding. Clocks drift, so intervals count for ten minutes.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from ..api.exchange import Exchange, without_response

JUMP_TOLERANCE_NS: Final = 1_000_000_000
"""How far a clock may be stepped (NTP does so) without a word."""

OFFSET_WINDOW_NS: Final = 600_000_000_000
"""How long an interval counts."""

OFFSET_INTERVAL_NS: Final = 10_000_000_000
"""Intervals within this time are kept as one, their intersection."""


class OffsetInterval(msgspec.Struct, gc=False):
    """The intersection of a few seconds' offset intervals, in nanoseconds, and who bounded it."""

    started_ns: int
    low: int
    high: int
    low_from: Exchange
    high_from: Exchange


class ClockJump(msgspec.Struct, frozen=True, kw_only=True):
    """Two responses that no one offset explains; the earlier first."""

    earlier: Exchange
    later: Exchange
    gap_ns: int
    """How far apart their intervals lie."""


class ClockOffset:
    """One server's clock against ours."""

    def __init__(self) -> None:
        self._spans: deque[OffsetInterval] = deque()
        self._low = self._high = 0
        """The intersection of all spans."""
        self.checked = 0

    @property
    def bounds(self) -> tuple[int, int] | None:
        """What the offset must be, in nanoseconds, where all spans agree; None where nothing was seen."""
        return (self._low, self._high) if self._spans else None

    def add_timestamp(
        self, stamp_ns: int, resolution_ns: int, exchange: Exchange, wall_minus_clock_ns: int
    ) -> ClockJump | None:
        """
        Take in one stamp.

        Args:
            stamp_ns: When the server says it was read; true to `resolution_ns`, rounded down.
            wall_minus_clock_ns: Wall-clock time less the exchange's own clock, to keep the numbers small.
        """
        low = stamp_ns - exchange.received_ns - wall_minus_clock_ns
        high = stamp_ns + resolution_ns - exchange.sent_ns - wall_minus_clock_ns
        spans = self._spans
        if spans:
            self.checked += 1
            fresh = exchange.received_ns - spans[-1].started_ns <= OFFSET_INTERVAL_NS
            if low <= self._low and high >= self._high and fresh:
                return None  # says nothing new, as most do
        return self._narrow_bounds(low, high, exchange)

    def _narrow_bounds(self, low: int, high: int, exchange: Exchange) -> ClockJump | None:
        spans = self._spans
        while spans and exchange.received_ns - spans[0].started_ns > OFFSET_WINDOW_NS:
            spans.popleft()
        jump = None
        for span in spans:
            gap = max(low - span.high, span.low - high)
            if gap > JUMP_TOLERANCE_NS:
                earlier = span.high_from if low > span.high else span.low_from
                jump = ClockJump(earlier=earlier, later=exchange, gap_ns=gap)
                spans.clear()  # one jump is one finding; what follows is held against the new clock
                break
        last = spans[-1] if spans else None
        if last is None or exchange.received_ns - last.started_ns > OFFSET_INTERVAL_NS:
            kept = without_response(exchange)
            spans.append(OffsetInterval(exchange.received_ns, low, high, kept, kept))
        else:
            if low > last.low:
                last.low, last.low_from = low, without_response(exchange)
            if high < last.high:
                last.high, last.high_from = high, without_response(exchange)
        self._low = max(span.low for span in spans)
        self._high = min(span.high for span in spans)
        return jump
