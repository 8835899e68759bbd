"""Times in buckets: exact in count, close in value, and the same whether merged or recorded in one place."""

from __future__ import annotations

import random

import pytest

from sora_stats_harness.load.histogram import Histogram


def recorded(times_ns: list[int]) -> Histogram:
    """All in one."""
    histogram = Histogram()
    for time_ns in times_ns:
        histogram.record(time_ns)
    return histogram


TIMES = [int(random.Random(7).lognormvariate(14, 2)) for _ in range(5000)]


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.9, 99.99, 100])
def test_a_percentile_is_close_to_the_true_one_and_never_below(percent: float) -> None:
    """At most 1/128 and a microsecond above what sorting gives."""
    ordered = sorted(time_ns // 1000 for time_ns in TIMES)
    true = ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]
    found = recorded(TIMES).percentile(percent)
    assert found is not None
    assert true <= found <= true * (1 + 1 / 128) + 1


def test_merging_is_as_if_all_had_been_recorded_in_one() -> None:
    """In two halves, through a dump, and whole."""
    one, other = recorded(TIMES[:1000]), recorded(TIMES[1000:])
    merged = Histogram.of(one.state())
    merged.merge(Histogram.of(other.state()))
    assert merged.state() == recorded(TIMES).state()
    assert merged.count == len(TIMES)


def test_nothing_recorded_has_no_percentile() -> None:
    """Rather than one of 0."""
    assert Histogram().percentile(99) is None


def test_packing_changes_nothing() -> None:
    """A packed one says the same, takes a fraction of the room, and goes on counting and merging."""
    plain, packed = recorded(TIMES[:2000]), recorded(TIMES[:2000])
    packed.compact()
    packed.compact()
    assert packed.state() == plain.state() and packed.buckets == plain.buckets
    assert packed.percentile(99) == plain.percentile(99)
    assert not packed._buckets and packed._packed is not None
    other = Histogram()
    other.merge(packed)
    assert other.state() == plain.state()
    for each in (plain, packed):
        each.record(5_000_000)
        each.merge(recorded(TIMES[2000:]))
    assert packed.state() == plain.state()
    assert packed.count == len(TIMES) + 1
