"""
Fits the cost of a listing: a constant, and an amount for each connection.

Sizes differ by factors of ten or a hundred, and so do times. The fit minimises relative errors, so that each size has
the same weight; otherwise only the largest would count, and the constant would be arbitrary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ...judge.measured_results import ListingCost, ListingCostPoint
from ..slo import Slo

MIN_SIZES: Final = 3
"""How many different numbers of connections a line needs; any two points are on a line."""

MIN_SIZE_RATIO: Final = 1.5
"""The least ratio of the largest to the smallest number of connections, to tell constant and slope apart."""

MAX_LINEAR_DEVIATION: Final = 0.1
"""How far off the line a size may be, relative to the line's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingMeasurement:
    """One listing: its connections, service time, and bytes of body."""

    connections: int
    time_us: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFit:
    """constant + slope times n."""

    constant: float
    slope: float

    def value_at(self, connections: float) -> float:
        """The value for a number of connections."""
        return self.constant + self.slope * connections


def fit_line(points: Sequence[tuple[int, float]]) -> LinearFit | None:
    """
    The line through points (n, value) with the least relative error.

    Returns:
        The line; None if there are fewer than three different n, if they are too similar, or if a value is not
        positive.

    >>> line = fit_line([(10, 120.0), (100, 300.0), (1000, 2100.0)])
    >>> round(line.constant, 6), round(line.slope, 6)
    (100.0, 2.0)
    """
    sizes = {n for n, _ in points}
    if (
        len(sizes) < MIN_SIZES
        or max(sizes) < MIN_SIZE_RATIO * max(min(sizes), 1)
        or any(value <= 0 for _, value in points)
    ):
        return None
    weights = [1 / value**2 for _, value in points]
    total = sum(weights)
    mean_n = sum(weight * n for weight, (n, _) in zip(weights, points, strict=True)) / total
    mean_v = sum(weight * value for weight, (_, value) in zip(weights, points, strict=True)) / total
    along = sum(weight * (n - mean_n) * (value - mean_v) for weight, (n, value) in zip(weights, points, strict=True))
    across = sum(weight * (n - mean_n) ** 2 for weight, (n, _) in zip(weights, points, strict=True))
    slope = along / across
    return LinearFit(constant=mean_v - slope * mean_n, slope=slope)


def fit_listing_cost(
    samples: Sequence[ListingMeasurement], *, scrapers: int = 1, slo: Slo | None = None
) -> ListingCost:
    """
    Fit the cost of listings.

    Args:
        samples: The listings, in any order; each size has the same weight, however often it occurred.
        scrapers: How many scrapers will request listings.
        slo: An objective for the response time of a listing; the shortest interval is one in which even the last of all
        scrapers, served one after another, keeps it.
    """
    by_size: dict[int, list[ListingMeasurement]] = defaultdict(list)
    for sample in samples:
        by_size[sample.connections].append(sample)
    sizes = sorted(by_size)
    middle = {n: float(median(sample.time_us for sample in by_size[n])) for n in sizes}
    line = fit_line([(n, middle[n]) for n in sizes])
    bytes_line = fit_line([(n, float(median(sample.bytes for sample in by_size[n]))) for n in sizes])
    points = [_cost_point(by_size[n], middle[n], line) for n in sizes]
    linear = None if line is None else all(abs(point.residual) <= MAX_LINEAR_DEVIATION for point in points)
    shortest = _shortest_interval_s(points, scrapers, slo)
    return ListingCost(
        points=points,
        constant_us=None if line is None else line.constant,
        per_connection_us=None if line is None else line.slope,
        per_connection_bytes=None if bytes_line is None else bytes_line.slope,
        linear=linear,
        statement=_cost_statement(points, line),
        scrapers=scrapers,
        slo=None if slo is None else slo.text,
        shortest_interval_s=shortest,
    )


def _cost_point(samples: Sequence[ListingMeasurement], middle_us: float, line: LinearFit | None) -> ListingCostPoint:
    n = samples[0].connections
    expected = middle_us if line is None else line.value_at(n)
    return ListingCostPoint(
        connections=n,
        responses=len(samples),
        time_us=round(middle_us),
        high_us=max(sample.time_us for sample in samples),
        bytes=round(median(sample.bytes for sample in samples)),
        fit_us=round(expected),
        residual=round(middle_us / expected - 1, 4) if expected > 0 else 0.0,
    )


def _shortest_interval_s(points: Sequence[ListingCostPoint], scrapers: int, slo: Slo | None) -> float | None:
    """The interval for all scrapers one after another, at the largest size with its slowest response."""
    if not points:
        return None
    all_us = scrapers * points[-1].high_us
    if slo is not None and slo.limit_us is not None and all_us >= slo.limit_us:
        return None
    return all_us / 1e6


def _cost_statement(points: Sequence[ListingCostPoint], line: LinearFit | None) -> str:
    if line is None:
        met = f"{points[0].connections:,} to {points[-1].connections:,}" if points else "none"
        return (
            f"no fit: it takes {MIN_SIZES} different numbers of connections, the largest at least {MIN_SIZE_RATIO:g} "
            f"times the smallest; there were {met}"
        )
    worst = max(points, key=lambda point: abs(point.residual))
    shape = f"{line.constant / 1000:.3g} ms and {line.slope:.4g} us for each connection"
    if abs(worst.residual) <= MAX_LINEAR_DEVIATION:
        return f"linear: {shape}; no size is more than {abs(worst.residual):.1%} off"
    return (
        f"not linear: at {worst.connections:,} connections a listing takes {1 + worst.residual:.2f} times what the "
        f"nearest line ({shape}) gives, so the line must not be used for other sizes"
    )


def interval_statement(found: ListingCost) -> str:
    """How often the scrapers can poll, in a sentence."""
    largest = f"{found.points[-1].connections:,} connections" if found.points else "no connections"
    who = "1 scraper" if found.scrapers == 1 else f"{found.scrapers} scrapers, served one after another"
    if found.shortest_interval_s is None:
        return f"at {largest} no interval keeps {found.slo or 'the SLO'} for {who}"
    keeps = f" keeps {found.slo} and" if found.slo else ""
    return f"at {largest} an interval of {found.shortest_interval_s:.3g} s or more{keeps} lets no two listings of {who} overlap"
