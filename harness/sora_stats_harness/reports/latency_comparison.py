"""
Whether responses have become slower or faster from one set of runs to another.

Two runs of the same server differ, so latencies are compared only as sets of runs, one number a run, by a rank test, and a
change is claimed only if it is significant and large enough to matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import fmean, median
from typing import Final

import msgspec

from ..judge.measured_results import ALL_TARGETS, LatencyDistribution
from ..judge.verdict import Verdict
from .comparison_result import ComparisonPolicy, LatencyChange, LatencyOutcome
from .rank_statistics import (
    hodges_lehmann_shift,
    holm_correction,
    rank_sum_test,
    shift_confidence_interval,
    smallest_possible_p,
)

MIN_RUNS_PER_SIDE: Final = 5
"""With four runs a side, no rank test is significant at 1 %."""


class _LatencyTestRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row to be: the numbers of each side, one a run, in microseconds."""

    target: str
    percentile: float
    base: list[float]
    new: list[float]

    @property
    def smallest_p(self) -> float:
        return smallest_possible_p(len(self.base), len(self.new))


def compare_latencies(
    base: Sequence[Verdict], new: Sequence[Verdict], policy: ComparisonPolicy, notes: list[str]
) -> list[LatencyChange]:
    """Compare each percentile of each target; what keeps latencies from being compared is added to the notes."""
    before, after = _usable_latency_runs(base, "BASE", policy, notes), _usable_latency_runs(new, "NEW", policy, notes)
    if not before or not after:
        return []
    loads = {_load_conditions(verdict) for verdict in (*before, *after)}
    if len(loads) > 1:
        notes.append(f"latencies are not compared, since the runs differ in load: {'; '.join(sorted(loads))}")
        return []
    notes += [note for name, side in (("BASE", before), ("NEW", after)) if (note := _failed_requests_note(name, side))]
    rows = list(_latency_rows(before, after, policy, notes))
    tested = _count_testable_rows(rows, policy.alpha)
    corrected = iter(holm_correction([rank_sum_test(row.base, row.new) for row in rows[:tested]]))
    needed = _runs_needed(len(rows), policy.alpha)
    return [
        _latency_change(row, policy, next(corrected) if place < tested else None, needed)
        for place, row in enumerate(rows)
    ]


def _usable_latency_runs(
    runs: Sequence[Verdict], name: str, policy: ComparisonPolicy, notes: list[str]
) -> list[Verdict]:
    """The runs that measured the server, and not their own generator."""
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
    """What was never responded is in no percentile, and may have been the slowest."""
    loads = [verdict.load for verdict in runs if verdict.load is not None]
    sent, lost = sum(load.sent for load in loads), sum(load.errors + load.abandoned for load in loads)
    if lost * 100 < sent or not lost:
        return None
    return f"{name}: {lost / sent:.1%} of the requests had no complete response, and are in no latency"


def _load_conditions(verdict: Verdict) -> str:
    """What two runs must share for their latencies to be comparable, for a person."""
    load = verdict.load
    if load is None:
        return "none"
    options = verdict.options
    if load.model == "open":
        # What was due by the schedule, as measured, differs from run to run in the last digits.
        how = f"{options.get('rate') or load.planned_per_s or 0:.3g}/s"
    else:
        how = f"{options.get('users', '?')} users every {options.get('interval_s') or 0} s"
    fresh = ", a connection each" if options.get("new_connection_each") else ""
    return f"{load.scenario}, {load.model} model, {how}{fresh}"


def _latency_rows(
    base: Sequence[Verdict], new: Sequence[Verdict], policy: ComparisonPolicy, notes: list[str]
) -> Iterable[_LatencyTestRow]:
    """
    The rows in the order of their weight: a percentile of all targets together, and then of each.

    All targets together are the mean of their percentiles, each as often as it responded in all runs of both sides: the
    same weights for every run, so that a listing that is rare, and therefore uncertain, does not drown the rest.
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
            if before and after:
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
    How many rows, from the first, can be tested together such that each could still be found to differ.

    This is decided by the number of runs alone, before any time is looked at, and so costs no error.
    """
    tested = 0
    for count, row in enumerate(rows, start=1):
        enough = min(len(row.base), len(row.new)) >= MIN_RUNS_PER_SIDE
        if not enough or count * max(other.smallest_p for other in rows[:count]) > alpha:
            break
        tested = count
    return tested


def _runs_needed(rows: int, alpha: float) -> int:
    """Runs a side with which so many rows can be tested together."""
    runs = MIN_RUNS_PER_SIDE
    while rows * smallest_possible_p(runs, runs) > alpha:
        runs += 1
    return runs


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
