"""
Decides whether a connection's timestamps go forward, and whether the server's clock was set where they don't.

Where response A had arrived before request B was sent, the server read B after A, so B's stamp is later: one that is the
same to the microsecond is A's, from a cache. One that is earlier is wrong as well, unless the clock was set back. A step
of the clock takes all connections of a node back, and once. So an earlier stamp waits until either a stamp of a request
that was sent later, of whatever connection, fits only a clock that was not set back, or one goes back again.

    1. A is received at 5, stamped 100.0.
    2. B is sent at 6 and received at 7, stamped 99.1: the clock went back by at least 0.9, or B is wrong.
    3. Another connection's sample is sent at 8 and received at 9, stamped 103.0. After step 2 the server's clock was at
       most 99.1 when ours was at 6, so at 9 it would show at most 102.1. It was not set back, and B is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from .edition_decoder import Counters
    from .evidence import EvidenceExchange

MIN_FROZEN_NS: Final = 2_000_000_000
MIN_FROZEN_RESPONSES: Final = 3

FINE_RESOLUTION_NS: Final = 1_000
"""Two reads one after the other differ in a stamp this fine."""

MAX_FOLLOWED: Final = 16
"""Samples of a connection that a request under way may follow, and that are kept for it."""

STEP_WINDOW_NS: Final = 600_000_000_000
"""A clock that is set twice within this time is none that NTP keeps."""

MAX_PENDING_STEPS: Final = 1_000

DRIFT_DIVISOR: Final = 2_000
"""A clock that NTP slews gains or loses at most one in so many (500 ppm)."""

SAME_RESPONSE_TOLERANCE_NS: Final = 1_000_000_000
"""How far the stamps of one response may be apart, besides its duration: the clock may have been set while it was made."""


class StampedSample(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A sample with a sound stamp, and the times of its exchange."""

    stamp_ns: int
    resolution_ns: int
    sent_ns: int
    received_ns: int
    evidence: EvidenceExchange
    index: int | None
    blocks: list[Counters | None] = []


class BackwardStamp(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A stamp that is earlier than one of an earlier response about the same connection."""

    connection_id: str
    earlier: StampedSample
    later: StampedSample

    @property
    def by_ns(self) -> int:
        """By how much, at least."""
        return self.earlier.stamp_ns - self.later.stamp_ns

    @property
    def step_ns(self) -> int:
        """By how much the clock was set back, if it was, at least."""
        return self.by_ns + self.later.sent_ns - self.earlier.received_ns


def is_stale(first: StampedSample, last: StampedSample) -> bool:
    """Whether a later sample with the same stamp repeats the first one: more time passed than the stamp's resolution hides."""
    apart_ns, resolution_ns = last.sent_ns - first.received_ns, first.resolution_ns
    return apart_ns > (resolution_ns if resolution_ns <= FINE_RESOLUTION_NS else 2 * resolution_ns)


class StampRepeats(msgspec.Struct, gc=False, eq=False):
    """Samples that came with one stamp, each asked for after the one before had arrived."""

    last: StampedSample
    responses: int
    """The first is one of them."""
    is_stale: bool = True
    """Whether they are still to be reported as stale."""
    reported: bool = False
    """Whether they were reported as standing still."""


class StampHistory:
    """The stamps of one connection, as one server gave them."""

    __slots__ = ("_followed", "_newest", "first", "repeats")

    def __init__(self, sample: StampedSample) -> None:
        self._newest = sample
        """The latest stamp known."""
        self._followed: list[StampedSample] = []
        """Earlier ones, which a request still under way may follow."""
        self.first: StampedSample = sample
        """The first sample with the stamp that came last."""
        self.repeats: StampRepeats | None = None
        """Those that came with the same stamp, where there are any."""

    @property
    def is_reported(self) -> bool:
        """Whether the stamp was reported as standing still."""
        return self.repeats is not None and self.repeats.reported

    def repeat(self, sample: StampedSample) -> bool:
        """Take in a sample with the same stamp; whether the stamp is now known to stand still, which is said once."""
        repeats = self.repeats
        if sample.sent_ns <= (self.first if repeats is None else repeats.last).received_ns:
            return False
        if repeats is None:
            self.repeats = StampRepeats(sample, 2)
            return False
        repeats.last, repeats.is_stale = sample, True
        repeats.responses += 1
        if not repeats.reported and repeats.responses >= MIN_FROZEN_RESPONSES:
            repeats.reported = sample.sent_ns - self.first.received_ns >= MIN_FROZEN_NS
            return repeats.reported
        return False

    def take_stale(self) -> tuple[StampedSample, StampedSample, int] | None:
        """
        What the samples with one stamp come to, once there are no more: the first, the last and how many.

        None where there is one only, where the stamp stood still for so long that this was said instead, and where it is
        so coarse that two reads may well have the same. Told once.
        """
        repeats, first = self.repeats, self.first
        if repeats is None or repeats.reported or not repeats.is_stale:
            return None
        repeats.is_stale = False
        if not is_stale(first, repeats.last):
            return None
        return first, repeats.last, repeats.responses

    def add(self, sample: StampedSample, open_from_ns: int | None) -> StampedSample | None:
        """
        Take in a sample with another stamp than the last one's.

        Args:
            sample: The newest, by receipt.
            open_from_ns: When the oldest request was sent that is still under way; None where there is none.

        Returns:
            The latest stamp that was known before its request was sent; None where there is none, or none is kept. Where
            that is later than the sample's, what follows is held against the sample.
        """
        followed, newest, sent_ns = self._followed, self._newest, sample.sent_ns
        preceding: StampedSample | None = newest
        if newest.received_ns >= sent_ns:
            preceding = next((each for each in reversed(followed) if each.received_ns < sent_ns), None)
        if preceding is not None and sample.stamp_ns < preceding.stamp_ns:
            followed.clear()
            self._newest = sample
        elif sample.stamp_ns > newest.stamp_ns:
            if open_from_ns is not None:
                followed.append(newest)
                while len(followed) > MAX_FOLLOWED or (len(followed) > 1 and followed[1].received_ns < open_from_ns):
                    del followed[0]
            elif followed:
                followed.clear()
            self._newest = sample
        self.first, self.repeats = sample, None
        return preceding


class ClockSteps:
    """Stamps of one server that went back: because its clock was set, or because they are wrong."""

    def __init__(self) -> None:
        self.pending: list[BackwardStamp] = []
        """Of one step of the clock, if it was one."""
        self._stepped_by_ns = 0
        """When that must have happened, at the latest."""
        self._highest_offset_ns = 0
        """How far the clock can be ahead of ours since."""
        self._refuted_until_ns = -(2**63)

    def add_backward(self, found: BackwardStamp) -> list[BackwardStamp]:
        """Take in a stamp that went back; give those that are now known to be wrong."""
        later, pending = found.later, self.pending
        now_ns = later.received_ns
        if now_ns <= self._refuted_until_ns:
            return [found]
        if pending and now_ns - self._stepped_by_ns > STEP_WINDOW_NS:
            pending.clear()
        if pending and self._has_stepped_before(found.earlier):
            return [*self.refute(now_ns), found]
        offset_ns = later.stamp_ns + later.resolution_ns - later.sent_ns
        if not pending:
            self._stepped_by_ns, self._highest_offset_ns = now_ns, offset_ns
        self._highest_offset_ns = min(self._highest_offset_ns, offset_ns)
        if len(pending) < MAX_PENDING_STEPS:
            pending.append(found)
        return []

    def add_forward(self, sample: StampedSample) -> list[BackwardStamp]:
        """Take in a stamp that went forward, where any are pending; give those that are now known to be wrong."""
        since_ns = sample.sent_ns - self._stepped_by_ns
        if since_ns > STEP_WINDOW_NS:
            self.pending.clear()
            return []
        gap_ns = sample.stamp_ns - sample.received_ns - self._highest_offset_ns
        if since_ns > 0:
            tolerance_ns = since_ns // DRIFT_DIVISOR
        elif sample.evidence is self.pending[-1].later.evidence:
            tolerance_ns = SAME_RESPONSE_TOLERANCE_NS
        else:
            return []  # it may have been read before the clock was set
        return self.refute(sample.received_ns) if gap_ns > tolerance_ns else []

    def refute(self, now_ns: int) -> list[BackwardStamp]:
        """The clock was not set: give what is pending, which is wrong."""
        found, self.pending = self.pending, []
        self._refuted_until_ns = now_ns + STEP_WINDOW_NS
        return found

    def _has_stepped_before(self, earlier: StampedSample) -> bool:
        """Whether a sample was read after the step that is pending."""
        return earlier.sent_ns > self._stepped_by_ns or any(earlier is each.later for each in self.pending)
