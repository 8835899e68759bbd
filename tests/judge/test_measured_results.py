"""How many times carry a percentile."""

from __future__ import annotations

import pytest

from sora_stats_harness.judge.measured_results import is_percentile_carried


@pytest.mark.parametrize(("percent", "least"), [(50, 2), (90, 10), (95, 20), (99, 100), (99.9, 1000), (99.99, 10_000)])
def test_a_percentile_takes_as_many_times_as_it_speaks_of(percent: float, least: int) -> None:
    """One in a hundred is told from a hundred on: rounding of the fraction makes it none more and none less."""
    assert is_percentile_carried(least, percent)
    assert not is_percentile_carried(least - 1, percent)
