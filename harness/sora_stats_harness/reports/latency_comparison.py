"""
Decides whether responses became slower or faster from one set of runs to another.

Two runs of the same server differ, so latencies are compared only as sets of runs, with one number per run and a rank
test. A change is claimed only if it is significant and large enough to matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from math import ceil, exp, log, log1p
from statistics import NormalDist, fmean, median
from typing import Final

import msgspec

from ..judge.measured_results import ALL_TARGETS, LatencyDistribution
from ..judge.verdict import Verdict
from .comparison_result import BoundOutcome, ComparisonPolicy, LatencyBound, LatencyChange, LatencyOutcome
from .rank_statistics import (
    hodges_lehmann_shift,
    holm_correction,
    rank_sum_test,
    shift_confidence_interval,
    smallest_possible_p,
)

MIN_RUNS_PER_SIDE: Final = 5
"""The least runs per side: with four, no rank test is significant at 1 %."""

MAX_RUNS_NEEDED: Final = 1000
"""If more runs would be needed, NEW is too close to the bound for any practical number of runs."""


class _LatencyTestRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row before it is tested: the numbers of each side, one per run, in microseconds."""

    target: str
    percentile: float
    base: list[float]
    new: list[float]

    @property
    def smallest_p(self) -> float:
        return smallest_possible_p(len(self.base), len(self.new))


def compare_latencies(
    base: Sequence[Verdict], new: Sequence[Verdict], policy: ComparisonPolicy, notes: list[str], unmeasured: list[str]
) -> list[LatencyChange]:
    """
    Compare each percentile of each target.

    Reasons why latencies can't be compared are added to `notes`, and what NEW did not measure to `unmeasured`.
    """
    before, after = _usable_latency_runs(base, "BASE", policy, notes), _usable_latency_runs(new, "NEW", policy, notes)
    if not before or not after:
        return []
    loads = {describe_load(verdict) for verdict in (*before, *after)}
    if len(loads) > 1:
        notes.append(f"latencies are not compared, since the runs differ in load: {'; '.join(sorted(loads))}")
        return []
    lost = [_failed_requests_note(name, side) for name, side in (("BASE", before), ("NEW", after))]
    notes += [note for note in lost if note is not None]
    unmeasured += [note for note in lost[1:] if note is not None]
    rows = []
    for row in _latency_rows(before, after, policy, notes):
        if row.base and row.new:
            rows.append(row)
        else:
            unmeasured.append(f"{'NEW' if row.base else 'BASE'} has no p{row.percentile:g} of {row.target}")
    tested = _count_testable_rows(rows, policy.alpha)
    corrected = iter(holm_correction([rank_sum_test(row.base, row.new) for row in rows[:tested]]))
    needed = _runs_needed(len(rows), policy.alpha)
    changes = [
        _latency_change(row, policy, next(corrected) if place < tested else None, needed)
        for place, row in enumerate(rows)
    ]
    if policy.no_worse_than is None:
        return changes
    bounds = _judge_bounds(rows, tested, policy.no_worse_than, policy.alpha)
    return [msgspec.structs.replace(change, bound=bound) for change, bound in zip(changes, bounds, strict=True)]


def _usable_latency_runs(
    runs: Sequence[Verdict], name: str, policy: ComparisonPolicy, notes: list[str]
) -> list[Verdict]:
    """The runs that measured the server, not their own generator."""
    kept = []
    limited = 0
    for verdict in runs:
        if verdict.load is None or not any(each.kind == policy.time for each in verdict.load.latency):
            continue
        if verdict.load.generator_limited is not None:
            limited += 1
            continue
        kept.append(verdict)
    if limited:
        notes.append(f"{name}: the latencies of {limited} runs are the generator's own, and left out")
    return kept


def _failed_requests_note(name: str, runs: Sequence[Verdict]) -> str | None:
    """A note about requests without a response, which are in no percentile and may have been the slowest."""
    loads = [verdict.load for verdict in runs if verdict.load is not None]
    sent, lost = sum(load.sent for load in loads), sum(load.errors + load.abandoned for load in loads)
    if lost * 100 < sent or not lost:
        return None
    return f"{name}: {lost / sent:.1%} of the requests had no complete response, and are in no latency"


def describe_load(verdict: Verdict) -> str:
    """Describe the load of a run; two runs' latencies are comparable only if these are equal."""
    load = verdict.load
    if load is None:
        return "none"
    options = verdict.options
    if load.model == "open":
        # The measured rate of the schedule differs in the last digits from run to run.
        how = f"{options.get('rate') or load.planned_per_s or 0:.3g}/s"
    else:
        how = f"{options.get('users', '?')} users every {options.get('interval_s') or 0} s"
    fresh = ", a connection each" if options.get("new_connection_each") else ""
    return f"{load.scenario}, {load.model} model, {how}{fresh}"


def _latency_rows(
    base: Sequence[Verdict], new: Sequence[Verdict], policy: ComparisonPolicy, notes: list[str]
) -> Iterable[_LatencyTestRow]:
    """
    The rows in order of importance: each percentile for all targets together, and then for each target.

    The value of all targets together is the mean of their percentiles, weighted by the number of responses over all
    runs of both sides. So every run has the same weights, and a rare and therefore uncertain target does not dominate.
    """

    weights = Counter[str]()
    for verdict in (*base, *new):
        for one in _latency_by_target(verdict, policy.time):
            weights[one.target] += one.count

    def values(runs: Sequence[Verdict], targets: Collection[str], percentile: float) -> list[float]:
        found = []
        for verdict in runs:
            times = {
                one.target: one.percentiles.get(f"{percentile:g}") for one in _latency_by_target(verdict, policy.time)
            }
            known = {target: us for target in targets if (us := times.get(target)) is not None}
            if known:
                found.append(fmean(known.values(), [max(1, weights[target]) for target in known]))
        return found

    everywhere = _targets([*base, *new], policy.time, all)
    targets = _targets([*base, *new], policy.time, any)
    if left := [target for target in targets if target not in everywhere]:
        notes.append(f"not every run asked for {', '.join(left)}: not in '{ALL_TARGETS}'")
    groups = {ALL_TARGETS: everywhere} if len(everywhere) > 1 else {}
    groups |= {target: [target] for target in targets}
    for percentile in policy.percentiles:
        for name, members in groups.items():
            before, after = values(base, members, percentile), values(new, members, percentile)
            yield _LatencyTestRow(target=name, percentile=percentile, base=before, new=after)


def _latency_by_target(verdict: Verdict, time: str) -> list[LatencyDistribution]:
    return (
        [
            each
            for each in verdict.load.latency
            if each.kind == time and each.target != ALL_TARGETS and not each.includes_failures
        ]
        if verdict.load
        else []
    )


def _targets(runs: Sequence[Verdict], time: str, rule: Callable[[Iterable[bool]], bool]) -> list[str]:
    asked = [{each.target for each in _latency_by_target(verdict, time)} for verdict in runs]
    return [target for target in sorted(set().union(*asked)) if rule(target in each for each in asked)]


def _count_testable_rows(rows: Sequence[_LatencyTestRow], alpha: float) -> int:
    """
    How many rows, from the first on, can be tested together so that each could still show a difference.

    This depends only on the number of runs, not on any measured time, and so doesn't bias the tests.
    """
    tested = 0
    for count, row in enumerate(rows, start=1):
        enough = min(len(row.base), len(row.new)) >= MIN_RUNS_PER_SIDE
        if not enough or count * max(other.smallest_p for other in rows[:count]) > alpha:
            break
        tested = count
    return tested


def _runs_needed(rows: int, alpha: float) -> int:
    """How many runs per side are needed to test this many rows together."""
    runs = MIN_RUNS_PER_SIDE
    while rows * smallest_possible_p(runs, runs) > alpha:
        runs += 1
    return runs


def _judge_bounds(rows: Sequence[_LatencyTestRow], tested: int, allowed: float, alpha: float) -> list[LatencyBound]:
    """
    Whether each row is within the bound.

    A row keeps the bound if the whole confidence interval of NEW / BASE is below it. A claim needs all rows to keep it,
    so no correction for their number is necessary. A row exceeds the bound if the rank test distinguishes NEW from a
    BASE that is slower by the whole bound; one such row is enough to fail, so these p-values are corrected.
    """
    raised = [rank_sum_test([value * (1 + allowed) for value in row.base], row.new) for row in rows[:tested]]
    beyond = [p <= alpha for p in holm_correction(raised)] + [False] * (len(rows) - tested)
    return [_judge_bound(row, log1p(allowed), alpha, beyond=each) for row, each in zip(rows, beyond, strict=True)]


def _judge_bound(row: _LatencyTestRow, limit: float, alpha: float, *, beyond: bool) -> LatencyBound:
    # The shift of logarithms is the logarithm of the ratio. A time of 0 can't be distinguished from 1 us.
    before, after = ([log(max(1.0, value)) for value in side] for side in (row.base, row.new))
    bounds = shift_confidence_interval(before, after, alpha)
    if bounds is None or min(len(before), len(after)) < MIN_RUNS_PER_SIDE:
        return LatencyBound(ratio_interval=None, outcome="undecided", runs_needed=MIN_RUNS_PER_SIDE)
    shift = hodges_lehmann_shift(before, after)
    outcome: BoundOutcome = "undecided"
    if bounds[1] < limit:
        outcome = "kept"
    elif beyond and shift > limit:
        outcome = "exceeded"
    ratios = round(exp(bounds[0]), 4), round(exp(bounds[1]), 4)
    # NEW is assumed to be as fast as BASE unless the runs show otherwise: the shift of a few runs is mostly chance.
    expected = shift if bounds[0] > 0 or bounds[1] < 0 else 0.0
    needed = _runs_to_decide(before, after, abs(limit - expected), alpha)
    return LatencyBound(ratio_interval=ratios, outcome=outcome, runs_needed=needed if outcome == "undecided" else None)


def _runs_to_decide(before: Sequence[float], after: Sequence[float], distance: float, alpha: float) -> int | None:
    """
    How many runs per side are needed for four of five intervals to exclude a bound at this distance.

    The standard error of the shift, which shrinks with the square root of the number of runs, is estimated from an
    interval of 80 %: with few runs its bounds vary less than those of 99 %, and a single slow run doesn't move them.
    """
    bounds = shift_confidence_interval(before, after, 0.2)
    if bounds is None:
        return None
    normal = NormalDist()
    error = (bounds[1] - bounds[0]) / 2 / normal.inv_cdf(0.9)
    reach = error * (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(0.8))
    runs = 2 * len(before) * len(after) / (len(before) + len(after))
    if distance * MAX_RUNS_NEEDED**0.5 <= reach * runs**0.5:
        return None
    return max(len(before) + 1, len(after) + 1, ceil(runs * (reach / distance) ** 2))


def _latency_change(
    row: _LatencyTestRow, policy: ComparisonPolicy, corrected: float | None, needed: int
) -> LatencyChange:
    moved = hodges_lehmann_shift(row.base, row.new)
    middle = median(row.base)
    effect = moved / middle if middle else None
    bounds = shift_confidence_interval(row.base, row.new, policy.alpha)
    runs = min(len(row.base), len(row.new))
    return LatencyChange(
        target=row.target,
        percentile=row.percentile,
        base_runs=len(row.base),
        new_runs=len(row.new),
        base_ms=_ms(middle),
        new_ms=_ms(median(row.new)),
        shift_ms=_ms(moved),
        shift_interval_ms=(_ms(bounds[0]), _ms(bounds[1])) if bounds else None,
        effect=effect if effect is None else round(effect, 4),
        p=rank_sum_test(row.base, row.new) if corrected is not None else None,
        p_holm=corrected,
        outcome=_latency_outcome(runs, moved, effect, corrected, policy),
        runs_needed=needed if corrected is None else None,
    )


def _latency_outcome(
    runs: int, moved: float, effect: float | None, corrected: float | None, policy: ComparisonPolicy
) -> LatencyOutcome:
    if corrected is None:
        return "too_few_runs" if runs < MIN_RUNS_PER_SIDE else "not_tested"
    if corrected > policy.alpha or moved == 0:
        return "not_shown"
    if effect is not None and abs(effect) < policy.min_effect:
        return "below_min_effect"
    return "slower" if moved > 0 else "faster"


def _ms(us: float) -> float:
    return round(us / 1000, 4)
