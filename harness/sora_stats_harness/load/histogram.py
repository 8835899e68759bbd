"""
Times counted in buckets whose width grows with the time: small, exact in count, and mergeable.

Locust's own buckets count 0.4 ms as 0 and are up to a third off below 10 ms; HdrHistogram costs 2 us a value. Here one
value costs a fraction of a microsecond, and an answer is at most 1/128 too high. Buckets that were never hit take no
room, so that one histogram a second can be kept for a run's timeline; packed, for a run of hours.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping

_LINEAR = 256
"""Microseconds that have a bucket each; above, each power of two has 128."""

_BITS = 8
_HALF = _LINEAR // 2


class Histogram:
    """Times in nanoseconds, kept in microseconds; negative ones count as 0."""

    __slots__ = ("_buckets", "_packed", "count", "max_us", "min_us", "sum_us")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._packed: array[int] | None = None
        """Indices and counts by turns, instead of the buckets."""
        self.count = 0
        self.sum_us = 0
        self.max_us = 0
        self.min_us: int | None = None

    def record(self, time_ns: int) -> None:
        """Count one time."""
        self.count_in(*place_of(time_ns))

    def count_in(self, us: int, index: int) -> None:
        """Count one time, whose place was looked up already: for those that count it several times."""
        buckets = self._buckets or self._open()
        buckets[index] = buckets.get(index, 0) + 1
        self.count += 1
        self.sum_us += us
        if us > self.max_us:
            self.max_us = us
        if self.min_us is None or us < self.min_us:
            self.min_us = us

    def merge(self, other: Histogram) -> None:
        """Count everything that another one counted; the result is as if all had been recorded here."""
        buckets = self._open()
        for index, count in other._items():
            buckets[index] = buckets.get(index, 0) + count
        self.count += other.count
        self.sum_us += other.sum_us
        self.max_us = max(self.max_us, other.max_us)
        if other.min_us is not None:
            self.min_us = other.min_us if self.min_us is None else min(self.min_us, other.min_us)

    def pack(self) -> None:
        """Take a tenth of the room, until something more is counted."""
        if self._packed is None:
            self._packed = array("Q", [number for item in sorted(self._buckets.items()) for number in item])
            self._buckets = {}

    def _open(self) -> dict[int, int]:
        """The buckets, to be added to."""
        if self._packed is not None:
            self._buckets = dict(self._items())
            self._packed = None
        return self._buckets

    def _items(self) -> Iterable[tuple[int, int]]:
        """Indices and counts, ascending."""
        if self._packed is None:
            return sorted(self._buckets.items())
        return zip(self._packed[::2], self._packed[1::2], strict=True)

    def percentile(self, percent: float) -> int | None:
        """
        The time, in microseconds, that so many percent did not exceed; None of nothing.

        It is the upper end of a bucket, never above the largest time: at most 1/128 too high, never too low.

        >>> times = Histogram()
        >>> for ms in range(1, 101):
        ...     times.record(ms * 1_000_000)
        >>> times.percentile(50), times.percentile(100)
        (50175, 100000)
        """
        if not self.count:
            return None
        wanted = max(1, math.ceil(self.count * percent / 100 - 1e-9))
        seen = 0
        for index, count in self._items():
            seen += count
            if seen >= wanted:
                return min(_upper_us(index), self.max_us)
        raise AssertionError("the buckets hold all that was counted")

    @property
    def mean_us(self) -> float | None:
        """The mean, exact; None of nothing."""
        return self.sum_us / self.count if self.count else None

    @property
    def buckets(self) -> list[tuple[int, int]]:
        """The upper bound in microseconds and the count of each bucket that was hit, ascending."""
        return [(_upper_us(index), count) for index, count in self._items()]

    def dump(self) -> dict[str, object]:
        """The state as plain values, for a message or a file."""
        return {
            "buckets": [list(item) for item in self._items()],
            "sum_us": self.sum_us, "max_us": self.max_us, "min_us": self.min_us,
        }  # fmt: skip

    @classmethod
    def load(cls, state: Mapping[str, object]) -> Histogram:
        """
        The histogram whose state was dumped.

        Raises:
            KeyError, TypeError, ValueError: It is no such state.
        """
        made = cls()
        buckets, sum_us, max_us, min_us = (state[key] for key in ("buckets", "sum_us", "max_us", "min_us"))
        if not (isinstance(buckets, list) and isinstance(sum_us, int) and isinstance(max_us, int)):
            raise TypeError("no state of a histogram")
        made._buckets = {int(index): int(count) for index, count in buckets}
        made.count = sum(made._buckets.values())
        made.sum_us, made.max_us = sum_us, max_us
        made.min_us = min_us if isinstance(min_us, int) else None
        return made


def place_of(time_ns: int) -> tuple[int, int]:
    """A time in whole microseconds, and the bucket that it belongs to."""
    us = time_ns // 1000
    if us < _LINEAR:
        return (us, us) if us > 0 else (0, 0)
    shift = us.bit_length() - _BITS
    return us, shift * _HALF + (us >> shift)


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All of them in a new one."""
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def _upper_us(index: int) -> int:
    if index < _LINEAR:
        return index
    shift = index // _HALF - 1
    return ((index - shift * _HALF + 1) << shift) - 1
