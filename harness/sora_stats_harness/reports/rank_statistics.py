"""
Tests whether two small groups of numbers differ, without assumptions about their distribution.

The values, one per run, are few, skewed and rounded, so means and t-tests mislead. The rank test of Mann and Whitney
only compares which of two numbers is larger. Its p-value is exact here, also with ties: every way of distributing the
numbers over the two groups is counted, which takes big integers but no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb
from statistics import median


def rank_sum_test(base: Sequence[float], new: Sequence[float]) -> float:
    """
    The two-sided p-value of the rank test: how often chance alone distributes the numbers as unevenly as this.

    Args:
        base, new: The two groups, with at least one number each; ties get the mean of their ranks.

    Returns:
        Exact, at most 1, and without ties at least `smallest_possible_p` of the sizes. A few milliseconds up to 50
        numbers a side.

    Raises:
        ValueError: A group is empty.

    Source:
        Mann and Whitney, 1947; with ties the permutation distribution of the sum of mid-ranks.

    >>> round(rank_sum_test([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 5)
    0.00794
    >>> rank_sum_test([1, 1], [1, 1])
    1.0
    """
    if not base or not new:
        raise ValueError("a rank test needs numbers on both sides")
    ranks = _doubled_ranks([*base, *new])
    size, total = len(base), len(base) + len(new)
    expected = size * (total + 1)  # in doubled ranks, whose mean is total + 1
    off = abs(sum(ranks[:size]) - expected)
    counts = _rank_sum_counts(tuple(sorted(ranks)), size)
    as_far = sum(count for value, count in enumerate(counts) if abs(value - expected) >= off)
    return as_far / comb(total, size)


def smallest_possible_p(base: int, new: int) -> float:
    """
    The smallest p-value of groups of these sizes without ties: that of two groups which do not overlap.

    >>> round(smallest_possible_p(5, 5), 5), round(smallest_possible_p(7, 7), 5)
    (0.00794, 0.00058)
    """
    return min(1.0, 2 / comb(base + new, base))


def hodges_lehmann_shift(base: Sequence[float], new: Sequence[float]) -> float:
    """
    By how much the new numbers are higher: the median of all differences between one of each group.

    Source:
        Hodges and Lehmann, 1963.

    >>> hodges_lehmann_shift([1, 2, 3], [11, 12, 13])
    10
    """
    return median(_pairwise_differences(base, new))


def shift_confidence_interval(base: Sequence[float], new: Sequence[float], alpha: float) -> tuple[float, float] | None:
    """
    The confidence interval of the shift, at 1 - alpha.

    Returns:
        None if the groups are too small for any bound at this confidence.

    >>> shift_confidence_interval([1, 2, 3, 4, 5], [11, 12, 13, 14, 15], 0.01)
    (6, 14)
    """
    sizes = len(base), len(new)
    # The rank sum minus its smallest value is Mann and Whitney's U, the number of differences below 0.
    counts = _rank_sum_counts(tuple(range(2, 2 * sum(sizes) + 1, 2)), sizes[0])
    smallest = sizes[0] * (sizes[0] + 1)
    below, cut = 0, 0
    for count in counts[smallest::2]:
        below += count
        if 2 * below > alpha * comb(sum(sizes), sizes[0]):
            break
        cut += 1
    differences = _pairwise_differences(base, new)
    return (differences[cut - 1], differences[-cut]) if cut else None


def holm_correction(values: Sequence[float]) -> list[float]:
    """
    Correct p-values for their number, so that any false alarm among them is as rare as for a single one.

    Source:
        Holm, 1979.

    >>> [round(p, 3) for p in holm_correction([0.01, 0.04, 0.02])]
    [0.03, 0.04, 0.04]
    """
    corrected = [0.0] * len(values)
    worst = 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        worst = max(worst, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = worst
    return corrected


def _pairwise_differences(base: Sequence[float], new: Sequence[float]) -> list[float]:
    return sorted(after - before for before in base for after in new)


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the mid-rank of each value, which is an integer: the number below, plus the number not above, plus one."""
    return [sum(other < value for other in values) + sum(other <= value for other in values) + 1 for value in values]


@lru_cache(maxsize=64)
def _rank_sum_counts(ranks: tuple[int, ...], size: int) -> tuple[int, ...]:
    """In how many ways `size` of the ranks add up to 0, 1, 2, …; computed as a polynomial packed into one integer."""
    width = (comb(len(ranks), size).bit_length() + 7) // 8
    ways = [1] + [0] * size
    for rank in ranks:
        for taken in range(size, 0, -1):
            ways[taken] += ways[taken - 1] << (8 * width * rank)
    most = sum(sorted(ranks)[len(ranks) - size :])
    packed = ways[size].to_bytes(width * (most + 1), "little")
    return tuple(int.from_bytes(packed[at : at + width], "little") for at in range(0, len(packed), width))
