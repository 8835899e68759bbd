"""
The schedule of the open model: when each request is due, decided before the run.

A schedule that waited for responses would stop sending exactly when the server stalls, and so leave the stall out of
the figures (coordinated omission). Here the n-th request has a fixed time; if it is sent later, it counts as late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSegment:
    """A segment in which the rate changes linearly from one value to another; in seconds and requests per second."""

    lasts_s: float
    from_rate: float
    to_rate: float

    @property
    def request_count(self) -> float:
        """How many requests are due in it."""
        return (self.from_rate + self.to_rate) / 2 * self.lasts_s

    def time_of_request_s(self, number: float) -> float:
        """The time after its beginning at which this many requests are due."""
        slope = (self.to_rate - self.from_rate) / self.lasts_s
        if slope == 0:
            return number / self.from_rate
        # from * t + slope / 2 * t^2 = number, solved in a numerically stable form
        root = max(0.0, self.from_rate**2 + 2 * slope * number) ** 0.5
        return 2 * number / (self.from_rate + root) if self.from_rate + root > 0 else 0.0

    def requests_due(self, elapsed_s: float) -> float:
        """How many requests are due by this time after its beginning."""
        slope = (self.to_rate - self.from_rate) / self.lasts_s
        return self.from_rate * elapsed_s + slope / 2 * elapsed_s**2


def ramp_segments(rate: float, ramp_s: float) -> list[RateSegment]:
    """The segments before a constant rate, which rises from 0 over `ramp_s`."""
    return [RateSegment(lasts_s=ramp_s, from_rate=0.0, to_rate=rate)] if ramp_s > 0 else []


def spike_segments(rate: float, factor: float, duration_s: float, ramp_s: float = 0.0) -> list[RateSegment]:
    """The segments of a run whose third fifth has `factor` times the rate."""
    fifth_s = duration_s / 5
    calm = RateSegment(lasts_s=2 * fifth_s - ramp_s, from_rate=rate, to_rate=rate)
    return [
        *ramp_segments(rate, ramp_s),
        calm,
        RateSegment(lasts_s=fifth_s, from_rate=rate * factor, to_rate=rate * factor),
    ]


class ArrivalSchedule:
    """
    Hands out due times, each once.

    Args:
        rate: Requests per second after the segments.
        pieces: The segments before that.
        begins_ns: The beginning, on the monotonic clock.
        share: The index of this process, and the number of processes that share the schedule; each takes every n-th
            turn.
    """

    def __init__(
        self, rate: float, pieces: Sequence[RateSegment] = (), *, begins_ns: int, share: tuple[int, int] = (0, 1)
    ) -> None:
        self._rate = rate
        self._pieces = list(pieces)
        self._begins_ns = begins_ns
        self._first, self._step = share
        self._number = self._first
        self._at = 0
        self._before = 0.0
        """How many requests the finished segments had."""
        self._before_s = 0.0

    def next_due_ns(self) -> int:
        """When the next request is due."""
        number = self._number
        self._number += self._step
        while self._at < len(self._pieces) and number - self._before >= self._pieces[self._at].request_count:
            self._before += self._pieces[self._at].request_count
            self._before_s += self._pieces[self._at].lasts_s
            self._at += 1
        within = number - self._before
        time_of_request_s = (
            self._pieces[self._at].time_of_request_s(within) if self._at < len(self._pieces) else within / self._rate
        )
        return self._begins_ns + round((self._before_s + time_of_request_s) * 1e9)

    def scheduled_count(self, until_ns: int) -> int:
        """How many of this process's requests were due by a time."""
        return max(0, self._scheduled_by_all(until_ns) - self._first + self._step - 1) // self._step

    def _scheduled_by_all(self, until_ns: int) -> int:
        left_s = max(0.0, (until_ns - self._begins_ns) / 1e9)
        due = 0.0
        for piece in self._pieces:
            if left_s < piece.lasts_s:
                return int(due + piece.requests_due(left_s))
            due += piece.request_count
            left_s -= piece.lasts_s
        return int(due + self._rate * left_s)
