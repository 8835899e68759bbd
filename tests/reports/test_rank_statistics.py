"""The rank test: exact, symmetric, and of the size that it claims."""

from __future__ import annotations

import itertools
import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.reports.rank_statistics import (
    hodges_lehmann_shift,
    holm_correction,
    rank_sum_test,
    shift_confidence_interval,
    smallest_possible_p,
)

FEW = st.lists(st.integers(0, 6), min_size=1, max_size=5)


def by_hand(base: list[int], new: list[int]) -> float:
    """The p-value by dealing the numbers out in every way, each pair of a dealing compared as it is."""
    every = [*base, *new]

    def wins(chosen: set[int]) -> float:
        return sum(
            (every[i] > every[j]) + (every[i] == every[j]) / 2
            for i in chosen
            for j in range(len(every))
            if j not in chosen
        )

    middle = len(base) * len(new) / 2
    off = abs(wins(set(range(len(base)))) - middle)
    dealt = itertools.combinations(range(len(every)), len(base))
    return sum(abs(wins(set(chosen)) - middle) >= off for chosen in dealt) / comb(len(every), len(base))


@given(FEW, FEW)
def test_p_value_is_that_of_all_dealings(base: list[int], new: list[int]) -> None:
    """With ties, unequal sizes and single numbers: the same as counting pairs in every dealing."""
    assert rank_sum_test(base, new) == pytest.approx(by_hand(base, new))
    assert rank_sum_test(base, new) == rank_sum_test(new, base)


@pytest.mark.parametrize(("base", "new"), [(1, 1), (2, 1), (3, 4), (5, 5), (7, 6)])
def test_least_p_value_is_that_of_groups_apart(base: int, new: int) -> None:
    """No numbers without ties give a smaller one; it is what two groups without overlap give."""
    low, high = list(range(base)), list(range(base, base + new))
    assert rank_sum_test(low, high) == pytest.approx(smallest_possible_p(base, new))


@pytest.mark.parametrize(
    ("base", "new", "p"),
    [
        ([1, 2, 3], [4, 5, 6], 0.1),  # 2 of 20
        ([1, 2, 3, 4], [5, 6, 7, 8], 2 / 70),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252),
        ([1, 2, 3, 4, 6], [5, 7, 8, 9, 10], 4 / 252),  # one pair the other way round
        ([1, 1, 1], [1, 1, 1], 1.0),
    ],
)
def test_p_values_of_the_tables(base: list[float], new: list[float], p: float) -> None:
    """Small cases that can be counted by hand."""
    assert rank_sum_test(base, new) == pytest.approx(p)


def test_false_positives_are_as_rare_as_the_level() -> None:
    """On numbers of one distribution the share of p-values up to 5 % is at most 5 %, save for chance."""
    dice = random.Random(7)
    tries = 2000
    hits = 0
    for _ in range(tries):
        base, new = ([dice.lognormvariate(0, 0.5) for _ in range(6)] for _ in range(2))
        hits += rank_sum_test(base, new) <= 0.05
    assert 0.02 < hits / tries < 0.06


def test_interval_holds_the_true_shift_as_often_as_it_says() -> None:
    """A confidence of 95 %: the true shift lies outside in at most about a twentieth of tries."""
    dice = random.Random(8)
    missed = 0
    for _ in range(1000):
        base = [dice.gauss(0, 1) for _ in range(7)]
        new = [dice.gauss(3, 1) for _ in range(7)]
        bounds = shift_confidence_interval(base, new, 0.05)
        assert bounds is not None and bounds[0] <= hodges_lehmann_shift(base, new) <= bounds[1]
        missed += not bounds[0] <= 3 <= bounds[1]
    assert 10 < missed < 70


def test_too_small_groups_have_no_interval() -> None:
    """Four against four say nothing at 99 %."""
    assert shift_confidence_interval([1, 2, 3, 4], [5, 6, 7, 8], 0.01) is None
    assert shift_confidence_interval([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 0.01) == (1, 9)


def test_holm_corrects_in_order() -> None:
    """Each p-value by how many are not smaller, never falling, never above 1; order of input is kept."""
    assert holm_correction([0.04, 0.01, 0.03, 0.9]) == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm_correction([0.6, 0.6]) == [1.0, 1.0]
    assert holm_correction([]) == []


def test_empty_groups_are_refused() -> None:
    """Nothing cannot be compared with something."""
    with pytest.raises(ValueError, match="both sides"):
        rank_sum_test([], [1])
