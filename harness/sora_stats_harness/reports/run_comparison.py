"""
Compares two verdicts, or two sets of runs.

A finding that only one side has is a fact, if the other side checked the requirement. A difference in latency is not,
since two runs of the same server differ; `latency_comparison` compares latencies as sets of runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import median
from typing import Final, Literal

import msgspec

from ..api.errors import ExitCode, UsageError
from ..judge.measured_results import CapacityResult
from ..judge.requirements import Level
from ..judge.verdict import FindingEntry, Verdict
from .comparison_result import (
    BoundOutcome,
    CapacityChange,
    ComparedRuns,
    ComparisonPolicy,
    CoverageChange,
    FindingChange,
    LatencyBound,
    LatencyChange,
    RunComparison,
    Threshold,
)
from .latency_comparison import MAX_RUNS_NEEDED, compare_latencies

NamedVerdicts = Sequence[tuple[str, Verdict]]
"""The runs of a side, each with its file and its verdict."""


def compare_runs(base: NamedVerdicts, new: NamedVerdicts, policy: ComparisonPolicy | None = None) -> RunComparison:
    """
    Compare two sets of runs.

    Args:
        base, new: At least one run each; a verdict that is given twice counts once.
        policy: What to compare; the defaults if None.

    Returns:
        The comparison. Its verdict is `pass` unless something in `policy.fail_on` is true (fail) or cannot be decided
        (inconclusive), or a figure is worse than `policy.no_worse_than` allows (fail) or may be (inconclusive).

    Raises:
        UsageError: A side is empty, both sides have the same run, or subjects' kinds or editions differ.
    """
    policy = policy or ComparisonPolicy()
    notes: list[str] = []
    before, after = _remove_duplicate_runs(base, "BASE", notes), _remove_duplicate_runs(new, "NEW", notes)
    every = [*before, *after]
    if {_run_identity(verdict) for _, verdict in before} & {_run_identity(verdict) for _, verdict in after}:
        raise UsageError("a run is on both sides: give each run to BASE or to NEW")
    _refuse_mixture("subject_kind", {verdict.subject_kind for _, verdict in every})
    _refuse_mixture("edition", {verdict.edition for _, verdict in every})
    old_runs, new_runs = [verdict for _, verdict in before], [verdict for _, verdict in after]
    notes += _order_notes(old_runs, new_runs)
    findings, in_both = compare_findings(old_runs, new_runs)
    fields_new, fields_gone = compare_fields(old_runs, new_runs, notes)
    unmeasured: list[str] = []
    comparison = RunComparison(
        verdict="pass",
        exit_code=int(ExitCode.PASS),
        reason=None,
        subject_kind=new_runs[0].subject_kind,
        edition=new_runs[0].edition,
        policy=policy,
        base=_summarize_side(before),
        new=_summarize_side(after),
        findings=findings,
        findings_in_both=in_both,
        fields_new=fields_new,
        fields_gone=fields_gone,
        coverage=_coverage(old_runs, new_runs),
        latency=compare_latencies(old_runs, new_runs, policy, notes, unmeasured),
        unmeasured=unmeasured,
        capacity=_capacity(old_runs, new_runs, policy.no_worse_than),
        notes=notes,
    )
    _decide_comparison(comparison, new_runs)
    return comparison


# The runs to compare.


def _run_identity(verdict: Verdict) -> bytes:
    return msgspec.json.encode(verdict)


def _remove_duplicate_runs(runs: NamedVerdicts, name: str, notes: list[str]) -> NamedVerdicts:
    """Keep each run once: a copy would count as another measurement."""
    if not runs:
        raise UsageError(f"there is no run in {name}")
    kept = {_run_identity(verdict): (source, verdict) for source, verdict in reversed(runs)}
    if len(kept) < len(runs):
        notes.append(f"{name}: {len(runs) - len(kept)} of {len(runs)} verdicts are copies of another and left out")
    return sorted(kept.values(), key=lambda run: run[1].started_at)


def _refuse_mixture(what: str, values: Collection[str]) -> None:
    if len(values) > 1:
        raise UsageError(f"runs of different {what} are not comparable: {', '.join(sorted(values))}")


def _summarize_side(runs: NamedVerdicts) -> ComparedRuns:
    verdicts = [verdict for _, verdict in runs]
    shared = set(verdicts[0].labels.items()).intersection(*(verdict.labels.items() for verdict in verdicts))
    return ComparedRuns(
        sources=[source for source, _ in runs],
        runs=len(runs),
        verdicts=dict(Counter(verdict.verdict for verdict in verdicts)),
        subjects=sorted({verdict.subject for verdict in verdicts}),
        labels=dict(sorted(shared)),
        started_at=min(verdict.started_at for verdict in verdicts),
        finished_at=max(verdict.finished_at for verdict in verdicts),
    )


def _order_notes(base: Sequence[Verdict], new: Sequence[Verdict]) -> list[str]:
    """
    A note if all runs of one side came before all of the other, since other changes in between have an effect, too.
    """
    if min(len(base), len(new)) < 2:
        return []
    first = max(run.started_at for run in base) < min(run.started_at for run in new)
    last = max(run.started_at for run in new) < min(run.started_at for run in base)
    if not first and not last:
        return []
    return [
        "the runs were not interleaved: whatever else changed between the two sets looks like a change of the server"
    ]


# Findings, fields, coverage.


def compare_findings(base: Sequence[Verdict], new: Sequence[Verdict]) -> tuple[list[FindingChange], int]:
    """The findings that only one side has, and how many findings both have."""
    before, after = _by_fingerprint(base), _by_fingerprint(new)
    looked_before, looked_after = _observed_requirements(base), _observed_requirements(new)
    changes = []
    for fingerprint in [*after, *before]:
        if fingerprint in before and fingerprint in after:
            continue
        is_new = fingerprint in after
        entries = after[fingerprint] if is_new else before[fingerprint]
        first = entries[0]
        gone: Literal["fixed", "not_seen"] = "fixed" if first.requirement in looked_after else "not_seen"
        changes.append(
            FindingChange(
                change="new" if is_new else gone,
                requirement=first.requirement,
                level=first.level,
                waived=all(entry.status == "waived" for entry in entries),
                fingerprint=fingerprint,
                target=first.target,
                field=first.field,
                message=first.message,
                runs=len(entries),
                observed_before=first.requirement in looked_before,
            )
        )
    order = ("new", "not_seen", "fixed")
    changes.sort(key=lambda each: (order.index(each.change), -Level[each.level], each.requirement, each.field))
    return changes, len(before.keys() & after.keys())


def _by_fingerprint(runs: Sequence[Verdict]) -> dict[str, list[FindingEntry]]:
    found: dict[str, list[FindingEntry]] = {}
    for verdict in runs:
        for entry in verdict.findings:
            found.setdefault(entry.fingerprint, []).append(entry)
    return found


def _observed_requirements(runs: Sequence[Verdict]) -> set[str]:
    return {row.id for verdict in runs for row in verdict.requirements if row.checked}


def compare_fields(base: Sequence[Verdict], new: Sequence[Verdict], notes: list[str]) -> tuple[list[str], list[str]]:
    """Documented fields that only one side has seen; runs without a sample are ignored."""
    before, after = _never_seen_fields(base), _never_seen_fields(new)
    if before is None or after is None:
        notes.append(f"no run of {'BASE' if before is None else 'NEW'} judged a sample: fields are not compared")
        return [], []
    return [path for path in before if path not in after], [path for path in after if path not in before]


def _never_seen_fields(runs: Sequence[Verdict]) -> dict[str, None] | None:
    lists = [verdict.coverage.never_seen for verdict in runs if verdict.coverage.samples]
    if not lists:
        return None
    return dict.fromkeys(path for path in lists[0] if all(path in other for other in lists[1:]))


_COMPARED_COVERAGE: Final = (
    "exchanges",
    "errors",
    "samples",
    "connections",
    "fields_seen",
    "counters_grew",
    "slow_path",
    "forgotten",
)


def _coverage(base: Sequence[Verdict], new: Sequence[Verdict]) -> list[CoverageChange]:
    def number(runs: Sequence[Verdict], name: str) -> float:
        return float(median(getattr(verdict.coverage, name) for verdict in runs))

    return [CoverageChange(name=name, base=number(base, name), new=number(new, name)) for name in _COMPARED_COVERAGE]


# Capacity, and the decision.


def _capacity(base: Sequence[Verdict], new: Sequence[Verdict], allowed: float | None) -> CapacityChange | None:
    before = [verdict.capacity for verdict in base if verdict.capacity is not None]
    after = [verdict.capacity for verdict in new if verdict.capacity is not None]
    if not before or not after:
        return None
    (low, high), (new_low, new_high) = _capacity_hull(before), _capacity_hull(after)
    outcome: Literal["lower", "higher", "overlap"] = "overlap"
    if new_high is not None and new_high < low:
        outcome = "lower"
    elif high is not None and high < new_low:
        outcome = "higher"
    bound: BoundOutcome | None = None
    if allowed is not None:
        # "Worse by 10 %" means a capacity of 1 / 1.1, as it means 1.1 times the latency.
        bound = "undecided"
        if high is not None and high < new_low * (1 + allowed):
            bound = "kept"
        elif new_high is not None and new_high * (1 + allowed) < low:
            bound = "exceeded"
    return CapacityChange(base=(low, high), new=(new_low, new_high), outcome=outcome, bound=bound)


def _capacity_hull(runs: Sequence[CapacityResult]) -> tuple[float, float | None]:
    """The interval from the lowest to the highest end; None stands for no upper end."""
    highs = [None if run.at_least else run.interval[1] for run in runs]
    known = [high for high in highs if high is not None]
    return min(run.interval[0] for run in runs), max(known) if len(known) == len(highs) else None


def _decide_comparison(comparison: RunComparison, new: Sequence[Verdict]) -> None:
    """Apply the thresholds: one that is exceeded fails; one that cannot be decided makes the verdict inconclusive."""
    policy = comparison.policy
    results = [each for name in sorted(policy.fail_on) for each in _THRESHOLD_JUDGES[name](comparison, new)]
    if policy.no_worse_than is not None:
        results += _judge_no_worse(comparison, f"{policy.no_worse_than * 100:.4g} %")
    failed = [why for fails, why in results if fails]
    undecided = [why for fails, why in results if not fails]
    if failed:
        comparison.verdict, comparison.exit_code = "fail", int(ExitCode.FAIL)
    elif undecided:
        comparison.verdict, comparison.exit_code = "inconclusive", int(ExitCode.INCONCLUSIVE)
    comparison.reason = "; ".join(failed or undecided) or None


ThresholdResult = tuple[bool, str]
"""Whether a threshold fails, or cannot be decided, and why; there is none where it is kept."""


def _judge_findings(comparison: RunComparison, new: Sequence[Verdict]) -> Iterable[ThresholdResult]:
    bad = [
        each
        for each in comparison.findings
        if each.change == "new" and not each.waived and Level[each.level] >= Level.HABIT
    ]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        yield True, f"new finding: {bad[0].requirement} at {bad[0].field or 'the whole response'}{more}"
    elif inconclusive := [verdict for verdict in new if verdict.verdict == "inconclusive"]:
        yield False, f"{len(inconclusive)} of {len(new)} runs of NEW are inconclusive: {inconclusive[0].reason}"


def _judge_fields(comparison: RunComparison, new: Sequence[Verdict]) -> Iterable[ThresholdResult]:
    if gone := comparison.fields_gone:
        yield True, f"{len(gone)} fields are gone: {', '.join(gone[:3])}{', …' if len(gone) > 3 else ''}"
    elif not any(verdict.coverage.samples for verdict in new):
        yield False, "no run of NEW judged a sample"


def _judge_latency(comparison: RunComparison, new: Sequence[Verdict]) -> Iterable[ThresholdResult]:
    rows = comparison.latency
    if worst := next((each for each in rows if each.outcome == "slower"), None):
        yield True, f"slower: {worst.target}, p{worst.percentile:g}, {worst.shift_ms:+,.3g} ms"
    elif not rows:
        yield False, "there are no latencies to compare"
    elif all(each.p_holm is None for each in rows):
        yield False, f"too few runs to compare latencies: {rows[0].base_runs} and {rows[0].new_runs}"


def _judge_no_worse(comparison: RunComparison, allowed: str) -> Iterable[ThresholdResult]:
    """The figures that are worse by more than the bound, and those that may be."""
    rows = [(row, row.bound) for row in comparison.latency if row.bound is not None]
    for row, bound in rows:
        if bound.outcome == "exceeded":
            yield True, f"{row.target} p{row.percentile:g} is slower by more than {allowed}: {describe_ratio(bound)}"
            break
    open_rows = [(row, bound) for row, bound in rows if bound.outcome == "undecided"]
    if open_rows:
        hardest = max(open_rows, key=lambda each: each[1].runs_needed or MAX_RUNS_NEEDED + 1)
        yield False, _undecided_text(*hardest, len(open_rows), allowed)
    capacity = comparison.capacity
    if capacity is not None and capacity.bound == "exceeded":
        yield True, f"the capacity is lower by more than {allowed}"
    elif capacity is not None and capacity.bound == "undecided":
        yield False, f"the intervals of the capacities do not tell whether it is lower by more than {allowed}"
    elif not rows and capacity is None:
        yield False, "there are no latencies and no capacities to compare"
    if comparison.unmeasured:
        yield False, f"not all of NEW was measured: {comparison.unmeasured[0]}"


def _undecided_text(row: LatencyChange, bound: LatencyBound, rows: int, allowed: str) -> str:
    more = f" and {rows - 1} more" if rows > 1 else ""
    text = f"cannot tell whether {row.target} p{row.percentile:g}{more} is slower by more than {allowed}"
    if bound.ratio_interval is None:
        return f"{text}: {row.base_runs} and {row.new_runs} runs; at least {bound.runs_needed} per side are needed"
    if bound.runs_needed is None:
        return f"{text}: {describe_ratio(bound)}, too close to the bound for any number of runs"
    return f"{text}: {describe_ratio(bound)}; about {bound.runs_needed} runs per side would decide"


def describe_ratio(bound: LatencyBound) -> str:
    """The interval of NEW relative to BASE, in percent."""
    if bound.ratio_interval is None:
        return "-"
    low, high = bound.ratio_interval
    return f"{low - 1:+.1%} … {high - 1:+.1%}"


def _judge_capacity(comparison: RunComparison, new: Sequence[Verdict]) -> Iterable[ThresholdResult]:
    if comparison.capacity is None:
        yield False, "there are no capacities to compare"
    elif comparison.capacity.outcome == "lower":
        yield True, "the capacity is lower"


_THRESHOLD_JUDGES: Final[dict[Threshold, Callable[[RunComparison, Sequence[Verdict]], Iterable[ThresholdResult]]]] = {
    "new-findings": _judge_findings,
    "fields-gone": _judge_fields,
    "latency": _judge_latency,
    "capacity": _judge_capacity,
}
