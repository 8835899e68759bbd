"""
A histogram of times with buckets that grow with the time: small, exact in counts, and mergeable.

Locust's own buckets count 0.4 ms as 0 and are up to a third off below 10 ms; HdrHistogram costs 2 us per value. Here a
value costs a fraction of a microsecond, and a percentile is at most 1/128 too high. Empty buckets take no memory, so
that a run's timeline can have a histogram for each second; in compact form, even for a run of hours.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec

_LINEAR_BUCKETS = 256
"""Each microsecond up to this has its own bucket; above, each power of two has 128 buckets."""

_SUB_BUCKET_BITS = 8
_SUB_BUCKETS = _LINEAR_BUCKETS // 2

MAX_BUCKET: Final = 64 * _SUB_BUCKETS
"""Larger than the bucket of any time in nanoseconds that has 64 bits."""

_BATCH_SIZE: Final = 2048
"""How many times are put into their buckets together, since most share their microsecond with others."""

_Amount = Annotated[int, msgspec.Meta(ge=0)]


class Histogram:
    """Times in nanoseconds, kept in microseconds; negative ones count as 0."""

    __slots__ = ("_buckets", "_count", "_max_us", "_min_us", "_packed", "_sum_us", "_waiting")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._packed: array[int] | None = None
        """Alternating indexes and counts, instead of the buckets."""
        self._waiting: list[int] = []
        """Recorded times that are in no bucket yet."""
        self._count = 0
        self._sum_us = 0
        self._max_us = 0
        self._min_us: int | None = None

    @property
    def count(self) -> int:
        """How many times were recorded."""
        return self._count + len(self._waiting)

    @property
    def sum_us(self) -> int:
        """The sum of all times."""
        self._count_pending()
        return self._sum_us

    @property
    def max_us(self) -> int:
        """The largest time; 0 if there is none."""
        self._count_pending()
        return self._max_us

    @property
    def min_us(self) -> int | None:
        """The smallest time; None if there is none."""
        self._count_pending()
        return self._min_us

    def record(self, time_ns: int) -> None:
        """Record one time."""
        waiting = self._waiting
        waiting.append(time_ns)
        if len(waiting) >= _BATCH_SIZE:
            self._count_pending()

    def _count_pending(self) -> None:
        """Put pending times into their buckets."""
        waiting = self._waiting
        if not waiting:
            return
        buckets = self._unpacked_counts()
        times = Counter([time_ns // 1000 for time_ns in waiting])
        waiting.clear()
        for us, count in times.items():
            index = bucket_index(us)
            buckets[index] = buckets.get(index, 0) + count
            self._count += count
            if us > 0:
                self._sum_us += us * count
        least, most = max(0, min(times)), max(times)
        if most > self._max_us:
            self._max_us = most
        if self._min_us is None or least < self._min_us:
            self._min_us = least

    def merge(self, other: Histogram) -> None:
        """Add another histogram, as if all of its times had been recorded here."""
        self._count_pending()
        buckets = self._unpacked_counts()
        for index, count in other._bucket_counts():
            buckets[index] = buckets.get(index, 0) + count
        self._count += other._count
        self._sum_us += other._sum_us
        self._max_us = max(self._max_us, other._max_us)
        if other._min_us is not None:
            self._min_us = other._min_us if self._min_us is None else min(self._min_us, other._min_us)

    def compact(self) -> None:
        """Reduce the memory to a tenth, until another time is recorded."""
        self._count_pending()
        if self._packed is None:
            self._packed = array("Q", [number for item in sorted(self._buckets.items()) for number in item])
            self._buckets = {}

    def _unpacked_counts(self) -> dict[int, int]:
        """The buckets in the form to which times can be added."""
        if self._packed is not None:
            self._buckets = dict(zip(self._packed[::2], self._packed[1::2], strict=True))
            self._packed = None
        return self._buckets

    def _bucket_counts(self) -> Iterable[tuple[int, int]]:
        """The indexes and counts of all buckets, ascending."""
        self._count_pending()
        if self._packed is None:
            return sorted(self._buckets.items())
        return zip(self._packed[::2], self._packed[1::2], strict=True)

    def percentile(self, percent: float) -> int | None:
        """
        A percentile in microseconds; None if there is no time.

        It is the upper bound of a bucket but at most the largest time: up to 1/128 too high, never too low.

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
        for index, count in self._bucket_counts():
            seen += count
            if seen >= wanted:
                return min(_bucket_upper_us(index), self.max_us)
        raise AssertionError("the buckets hold all that was counted")

    @property
    def buckets(self) -> list[tuple[int, int]]:
        """The upper bound in microseconds and the count of each bucket that is not empty, ascending."""
        return [(_bucket_upper_us(index), count) for index, count in self._bucket_counts()]

    def state(self) -> HistogramState:
        """The histogram as a message."""
        return HistogramState(
            buckets=list(self._bucket_counts()), sum_us=self.sum_us, max_us=self.max_us, min_us=self.min_us
        )

    @classmethod
    def of(cls, state: HistogramState) -> Histogram:
        """The histogram that a message holds."""
        made = cls()
        made._buckets = dict(state.buckets)
        made._count = sum(made._buckets.values())
        made._sum_us, made._max_us, made._min_us = state.sum_us, state.max_us, state.min_us
        return made


class HistogramState(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram as a message."""

    buckets: list[tuple[Annotated[int, msgspec.Meta(ge=0, le=MAX_BUCKET)], _Amount]]
    """Indexes and counts."""
    sum_us: _Amount
    max_us: _Amount
    min_us: _Amount | None


def encode_histogram(value: object) -> object:
    """The hook with which msgspec encodes structs that have histograms."""
    assert isinstance(value, Histogram), "the only type that msgspec doesn't know"
    return value.state()


def decode_histogram(kind: type, state: Any) -> Histogram:  # Any: whatever another process sent
    """
    The hook with which msgspec decodes them.

    Raises:
        msgspec.ValidationError: It is no histogram.
    """
    return Histogram.of(msgspec.convert(state, HistogramState))


def bucket_index(us: int) -> int:
    """The bucket of a time in microseconds."""
    if us < _LINEAR_BUCKETS:
        return us if us > 0 else 0
    shift = us.bit_length() - _SUB_BUCKET_BITS
    return shift * _SUB_BUCKETS + (us >> shift)


def merge_histograms(histograms: Iterable[Histogram]) -> Histogram:
    """Merge histograms into a new one."""
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def _bucket_upper_us(index: int) -> int:
    if index < _LINEAR_BUCKETS:
        return index
    shift = index // _SUB_BUCKETS - 1
    return ((index - shift * _SUB_BUCKETS + 1) << shift) - 1
