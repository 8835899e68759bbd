"""
Decides whether a series rises despite scatter, with the Theil-Sen slope.

A stall makes one value huge, and a least-squares line would follow it; the median slope of all pairs does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import median
from typing import Final

Z_95: Final = 1.959964
"""The 97.5th percentile of the normal distribution."""

MIN_TREND_POINTS: Final = 8
"""With fewer points the interval of the slope has no meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendSlope:
    """A slope with its 95 % interval, in units of y for one of x."""

    low: float
    middle: float
    high: float


def theil_sen_slope(points: Sequence[tuple[float, float]]) -> TrendSlope | None:
    """
    The median slope of all pairs of points, and its 95 % interval.

    Args:
        points: (x, y), independent of each other; 200 of them take some 10 ms, the time grows with the square.

    Returns:
        The slope; None for fewer than 8 points, or if all have the same x.

    Source:
        Theil, 1950; Sen, 1968; the interval from the variance of Kendall's S, as Sen gives it.

    >>> slope = theil_sen_slope([(x, 2 * x + (x % 3)) for x in range(30)])
    >>> 1.9 < slope.low <= slope.middle <= slope.high < 2.1
    True
    >>> theil_sen_slope([(0, 0), (1, 1)]) is None
    True
    """
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if a[0] != b[0])
    if len(points) < MIN_TREND_POINTS or not slopes:
        return None
    n = len(points)
    reach = Z_95 * sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, round((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, round((len(slopes) + reach) / 2))
    return TrendSlope(low=slopes[low], middle=median(slopes), high=slopes[high])
