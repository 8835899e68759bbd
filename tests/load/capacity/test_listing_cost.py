"""What a listing costs by size: fits of made-up times."""

from __future__ import annotations

import random

import pytest

from sora_stats_harness.load.capacity.listing_cost import (
    ListingMeasurement,
    fit_line,
    fit_listing_cost,
    interval_statement,
)
from sora_stats_harness.load.slo import parse_slo


def samples(constant_us: float, each_us: float, power: float = 1.0, noise: float = 0.02) -> list[ListingMeasurement]:
    draw = random.Random(1)
    return [
        ListingMeasurement(
            connections=n,
            time_us=round((constant_us + each_us * n**power) * draw.uniform(1 - noise, 1 + noise)),
            bytes=13_000 * n + 2,
        )
        for n in (10, 100, 1000, 10_000)
        for _ in range(9)
    ]


def test_constant_and_slope_are_recovered() -> None:
    """Over three powers of ten, with noise: both within a few percent, and it is called linear."""
    found = fit_listing_cost(samples(3000, 250))
    assert found.constant_us == pytest.approx(3000, rel=0.05)
    assert found.per_connection_us == pytest.approx(250, rel=0.03)
    assert found.per_connection_bytes == pytest.approx(13_000, rel=0.01)
    assert found.linear is True
    assert found.statement.startswith("linear: ")
    assert len(found.points) == 4


def test_what_is_not_linear_is_said_to_be_so() -> None:
    """Which size is off, and by how much; the line is not to be used."""
    found = fit_listing_cost(samples(3000, 2, power=1.5))
    assert found.linear is False
    assert found.statement.startswith("not linear: at ")
    assert max(abs(point.residual) for point in found.points) > 0.1


@pytest.mark.parametrize(
    "sizes", [[100, 100, 100], [10, 1000], [100, 110, 120], []], ids=["one", "two", "too much alike", "none"]
)
def test_no_line_through_sizes_that_do_not_tell(sizes: list[int]) -> None:
    """Fewer than three sizes, or all much alike: there is no fit, and that is said."""
    found = fit_listing_cost([ListingMeasurement(connections=n, time_us=1000 + n, bytes=n) for n in sizes])
    assert (found.linear, found.per_connection_us) == (None, None)
    assert found.statement.startswith("no fit")


def test_the_shortest_interval_is_for_the_last_of_all_scrapers() -> None:
    """Three scrapers at 1,000 connections, 100 ms a listing at worst: 0.3 s, and an SLO below that allows none."""
    made = [ListingMeasurement(connections=n, time_us=n * 100, bytes=n) for n in (10, 100, 1000)]
    assert fit_listing_cost(made, scrapers=3).shortest_interval_s == pytest.approx(0.3)
    assert fit_listing_cost(made, scrapers=3, slo=parse_slo("p99<800ms")).shortest_interval_s == pytest.approx(0.3)
    refused = fit_listing_cost(made, scrapers=3, slo=parse_slo("p99<200ms"))
    assert refused.shortest_interval_s is None
    assert "no interval keeps p99<200ms" in interval_statement(refused)


def test_a_fit_weighs_sizes_by_relative_error() -> None:
    """A hundredth too much at the largest size does not move the constant, as it would in a plain least-squares fit."""
    line = fit_line([(10, 110.0), (100, 200.0), (1000, 1100.0), (10_000, 10_100.0 * 1.01)])
    assert line is not None
    assert line.constant == pytest.approx(100, abs=3)
