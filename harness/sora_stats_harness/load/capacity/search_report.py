"""Converts the result of a search to the structs of verdict.json, and to words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from ...judge.measured_results import CapacityResult, CapacityStepResult, LatencyDistribution
from .rate_search import RateStep, SearchGoal, SearchResult

MIN_TIMES_FOR_P99: Final = 100


def build_capacity(
    found: SearchResult, goal: SearchGoal, scenario: str, latencies: Sequence[list[LatencyDistribution]] = ()
) -> CapacityResult:
    """The verdict's key `capacity`; `latencies` are the measurements of each step, in order."""
    return CapacityResult(
        interval=(round_rate(found.low), None if found.high is None else round_rate(found.high)),
        at_least=found.at_least,
        limited_by=found.limited_by,
        steps=[
            _capacity_step(step, latency or [])
            for step, latency in zip_longest(found.steps, latencies[: len(found.steps)])
            if step is not None
        ],
        slos=[slo.text for slo in goal.slos],
        scenario=scenario,
    )


def round_rate(rate: float) -> float:
    """A rate rounded to the digits that are known."""
    return round(rate, 1 if rate >= 100 else 3)


def _capacity_step(step: RateStep, latency: list[LatencyDistribution]) -> CapacityStepResult:
    slope = step.backlog.slope if step.backlog is not None else None
    return CapacityStepResult(
        rate=round_rate(step.rate),
        outcome=step.outcome.value,
        windows=len(step.windows),
        windows_passed=step.passed,
        windows_void=step.void_windows,
        reason=step.reason,
        due=sum(window.due for window in step.windows),
        completed=sum(window.completed for window in step.windows),
        backlog_per_s=None if slope is None else (slope.low, slope.middle, slope.high),
        window_p99_us=[
            us
            for window in step.windows
            if window.all_times.count >= MIN_TIMES_FOR_P99 and (us := window.all_times.percentile(99)) is not None
        ],
        latency=latency,
    )


def search_statement(found: SearchResult, goal: SearchGoal) -> str:
    """The result in a sentence."""
    slos = ", ".join(slo.text for slo in goal.slos)
    low = f"{round_rate(found.low):,g}"
    if found.at_least and not found.low:
        return f"nothing is known of the capacity: {found.ended or found.limited_by or 'no step was decided'}"
    if found.at_least:
        why = found.ended or found.limited_by or "no higher rate was allowed"
        return f"at least {low} requests/s keep {slos} ({why})"
    high = f"{round_rate(found.high or 0):,g}"
    if not found.low:
        return f"no rate that was tried keeps {slos}: {high} requests/s violate {found.limited_by}"
    return f"{low} requests/s keep {slos}, {high} do not: {found.limited_by}"


def _percentile_ms(step: RateStep, percent: float) -> float | None:
    values = sorted(us for window in step.windows if (us := window.all_times.percentile(percent)) is not None)
    return values[len(values) // 2] / 1000 if values else None


def step_line(step: RateStep) -> str:
    """A step in a line, as progress of a search."""
    voids = f", {step.void_windows} void" if step.void_windows else ""
    why = f": {step.reason}" if step.reason else ""
    return (
        f"{round_rate(step.rate):>10,g}/s  {step.outcome.value:<6}  {step.passed} of {len(step.windows)} windows{voids}"
        f"  p99 of the median window {_percentile_ms(step, 99) or 0:g} ms{why}"
    )
