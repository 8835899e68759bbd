"""
Decides whether a connection's timestamps go forward; if not, whether the server's clock was set or the stamps are
wrong.

If response A had arrived before request B was sent, the server read B after A, so B's stamp must be later. A stamp that
is the same to the microsecond means that B is A's response from a cache. An earlier stamp is wrong as well, unless the
clock was set back, which affects all connections of a node, and only once. So an earlier stamp is pending until a later
request, about any connection, has a stamp that fits only a clock that was not set back, or until another stamp goes
back.

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
"""In stamps of this resolution or finer, two consecutive reads differ."""

MAX_FOLLOWED: Final = 16
"""How many earlier samples of a connection are kept for open requests."""

STEP_WINDOW_NS: Final = 600_000_000_000
"""NTP does not set a clock twice within this time."""

MAX_PENDING_STEPS: Final = 1_000

DRIFT_DIVISOR: Final = 2_000
"""A clock that NTP slews gains or loses at most one part in so many (500 ppm)."""

SAME_RESPONSE_TOLERANCE_NS: Final = 1_000_000_000
"""How far apart the stamps of one response may be, beyond its duration: the clock may be set in the meantime."""


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
        """By how much it went back, at least."""
        return self.earlier.stamp_ns - self.later.stamp_ns

    @property
    def step_ns(self) -> int:
        """By how much the clock was set back, at least, if it was."""
        return self.by_ns + self.later.sent_ns - self.earlier.received_ns


def is_stale(first: StampedSample, last: StampedSample) -> bool:
    """
    Whether a later sample with the same stamp repeats the first one, because more time passed than the stamp's
    resolution.
    """
    apart_ns, resolution_ns = last.sent_ns - first.received_ns, first.resolution_ns
    return apart_ns > (resolution_ns if resolution_ns <= FINE_RESOLUTION_NS else 2 * resolution_ns)


class StampRepeats(msgspec.Struct, gc=False, eq=False):
    """Samples with one stamp, each requested after the one before had arrived."""

    last: StampedSample
    responses: int
    """How many there are, the first included."""
    is_stale: bool = True
    """Whether they have yet to be reported as stale."""
    reported: bool = False
    """Whether they were reported as frozen."""


class StampHistory:
    """The stamps of one connection from one server."""

    __slots__ = ("_followed", "_newest", "first", "repeats")

    def __init__(self, sample: StampedSample) -> None:
        self._newest = sample
        """The latest stamp known."""
        self._followed: list[StampedSample] = []
        """Earlier samples that an open request may follow."""
        self.first: StampedSample = sample
        """The first sample with the newest stamp."""
        self.repeats: StampRepeats | None = None
        """The later samples with the same stamp, if any."""

    @property
    def is_reported(self) -> bool:
        """Whether the stamp was reported as frozen."""
        return self.repeats is not None and self.repeats.reported

    def repeat(self, sample: StampedSample) -> bool:
        """Add a sample with the same stamp; returns True once, when the stamp is known to be frozen."""
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
        The samples with one stamp, after the last of them came: the first, the last and how many.

        None if there is only one, if the stamp was reported as frozen instead, or if its resolution is too coarse to
        tell. Returns them only once.
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
        Add a sample with a different stamp than the last one's.

        Args:
            sample: The sample that was received last.
            open_from_ns: When the oldest open request was sent; None if there is none.

        Returns:
            The latest stamp known before its request was sent; None if there is none, or it is no longer kept. If that
            stamp is later than the sample's, later samples are compared with the sample.
        """
        followed, newest, sent_ns = self._followed, self._newest, sample.sent_ns
        preceding: StampedSample | None = newest
        if newest.received_ns >= sent_ns:
            for preceding in reversed(followed):
                if preceding.received_ns < sent_ns:
                    break
            else:
                preceding = None
        if preceding is not None and sample.stamp_ns < preceding.stamp_ns:
            followed.clear()
            self._newest = sample
        elif sample.stamp_ns > newest.stamp_ns:
            if open_from_ns is not None:
                followed.append(newest)
                while len(followed) > 1 and (followed[1].received_ns < open_from_ns or len(followed) > MAX_FOLLOWED):
                    del followed[0]
            elif followed:
                followed.clear()
            self._newest = sample
        self.first, self.repeats = sample, None
        return preceding


class ClockSteps:
    """Decides whether stamps of one server that went back are wrong, or its clock was set."""

    def __init__(self) -> None:
        self.pending: list[BackwardStamp] = []
        """Pending stamps: of one step of the clock, if it was one."""
        self._stepped_by_ns = 0
        """When that step must have happened, at the latest."""
        self._highest_offset_ns = 0
        """How far the clock can be ahead of ours since then."""
        self._refuted_until_ns = -(2**63)

    def add_backward(self, found: BackwardStamp) -> list[BackwardStamp]:
        """Add a stamp that went back; returns those now known to be wrong."""
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
        """Add a stamp that went forward, while any are pending; returns those now known to be wrong."""
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
        """Conclude that the clock was not set; returns the pending stamps, which are wrong."""
        found, self.pending = self.pending, []
        self._refuted_until_ns = now_ns + STEP_WINDOW_NS
        return found

    def _has_stepped_before(self, earlier: StampedSample) -> bool:
        """Whether a sample was read after the pending step."""
        return earlier.sent_ns > self._stepped_by_ns or any(earlier is each.later for each in self.pending)
