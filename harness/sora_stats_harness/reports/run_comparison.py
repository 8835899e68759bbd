"""
What has changed between two verdicts, or two sets of runs.

A finding that one side has and the other lacks is a fact, so long as the other looked. A latency is not: two runs of
the same server differ. So latencies are compared only as sets of runs, one number a run, by a rank test, and a change is
claimed only if chance would hardly do it and somebody would care. Whatever else is shown is described, not claimed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import fmean, median
from typing import Final, Literal, get_args

import msgspec

from ..api.errors import ExitCode, UsageError
from ..judge.requirements import Level
from ..judge.verdict import CapacityResult, FindingEntry, LatencyDistribution, SubjectKind, Verdict, VerdictName
from .rank_statistics import (
    hodges_lehmann_shift,
    holm_correction,
    rank_sum_test,
    shift_confidence_interval,
    smallest_possible_p,
)

COMPARISON_FORMAT: Final = "sora-harness/comparison/1"

MIN_RUNS_PER_SIDE: Final = 5
"""A side; four against four cannot be told from chance at 1 %."""

ALL_TARGETS: Final = "all targets"

Threshold = Literal["new-findings", "fields-gone", "latency", "capacity"]
THRESHOLDS: Final[tuple[Threshold, ...]] = get_args(Threshold)
"""What a comparison can be told to fail on."""

ComparedTime = Literal["response", "service"]


class ComparisonPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared, and from when on a change counts."""

    time: ComparedTime = "response"
    percentiles: tuple[float, ...] = (50.0, 99.0)
    """In the order of their weight: where runs are few the first are tested alone."""
    min_effect: float = 0.05
    """The least change that counts, as a share of BASE."""
    alpha: float = 0.01
    """How often a comparison in which nothing has changed may claim otherwise, over all of its latencies together."""
    fail_on: frozenset[Threshold] = frozenset()


class ComparedRuns(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two sets of runs."""

    sources: list[str]
    runs: int
    verdicts: dict[str, int]
    """How many runs passed, failed, and were inconclusive."""
    subjects: list[str]
    labels: dict[str, str]
    """Those that all runs share."""
    started_at: str
    finished_at: str


class FindingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that one side has and the other lacks."""

    change: Literal["new", "fixed", "not_seen"]
    """`not_seen`: no run of NEW held anything against the requirement, so that nothing is known."""
    requirement: str
    level: str
    waived: bool
    fingerprint: str
    target: str | None
    field: str
    message: str
    runs: int
    """Runs that have it, on the side that does."""
    observed_before: bool
    """Whether BASE looked at the requirement at all; a new finding need not be a new fault where it did not."""


class CoverageChange(msgspec.Struct, frozen=True, kw_only=True):
    """A number of the coverage: the median of the runs of each side."""

    name: str
    base: float
    new: float


LatencyOutcome = Literal["slower", "faster", "below_min_effect", "not_shown", "not_tested", "too_few_runs"]


class LatencyChange(msgspec.Struct, frozen=True, kw_only=True):
    """One percentile of one target, a number a run; times in milliseconds."""

    target: str
    percentile: float
    base_runs: int
    new_runs: int
    base_ms: float
    """The median of its runs."""
    new_ms: float
    shift_ms: float
    """By how much NEW is higher: the median of all differences between a run of either."""
    shift_interval_ms: tuple[float, float] | None
    """Where the shift lies, with a confidence of 1 - alpha for this row alone."""
    effect: float | None
    """The shift as a share of `base_ms`; None where that is 0."""
    p: float | None
    p_holm: float | None
    """Corrected for all rows that were tested; None where this one was not."""
    outcome: LatencyOutcome
    runs_needed: int | None
    """A side, for this row to be tested."""


class CapacityChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a server bears: from the lowest rate that any run confirmed to the highest that any run left open."""

    base: tuple[float, float | None]
    new: tuple[float, float | None]
    outcome: Literal["lower", "higher", "overlap"]


class RunComparison(msgspec.Struct, kw_only=True):
    """All that has changed; what `compare --json` prints."""

    format: str = COMPARISON_FORMAT
    verdict: VerdictName
    exit_code: int
    reason: str | None
    subject_kind: SubjectKind
    edition: str
    policy: ComparisonPolicy
    base: ComparedRuns
    new: ComparedRuns
    findings: list[FindingChange]
    findings_in_both: int
    fields_new: list[str]
    fields_gone: list[str]
    coverage: list[CoverageChange]
    latency: list[LatencyChange]
    capacity: CapacityChange | None
    notes: list[str]


NamedVerdicts = Sequence[tuple[str, Verdict]]
"""Each run of a side: where it was read, and its verdict."""


def compare_runs(base: NamedVerdicts, new: NamedVerdicts, policy: ComparisonPolicy | None = None) -> RunComparison:
    """
    Compare two sets of runs.

    Args:
        base, new: One run or more each; a verdict that is given twice counts once.
        policy: The defaults if None.

    Returns:
        The verdict is `pass` unless `policy.fail_on` names something that is so (fail) or cannot be decided (inconclusive).

    Raises:
        UsageError: A side is empty, the two share a run, or they are of different kinds of subject or editions.
    """
    policy = policy or ComparisonPolicy()
    notes: list[str] = []
    before, after = _remove_duplicate_runs(base, "BASE", notes), _remove_duplicate_runs(new, "NEW", notes)
    every = [*before, *after]
    if {_run_identity(verdict) for _, verdict in before} & {_run_identity(verdict) for _, verdict in after}:
        raise UsageError("a run stands on both sides: give each to BASE or to NEW")
    _refuse_mixture("subject_kind", {verdict.subject_kind for _, verdict in every})
    _refuse_mixture("edition", {verdict.edition for _, verdict in every})
    old_runs, new_runs = [verdict for _, verdict in before], [verdict for _, verdict in after]
    notes += _order_notes(old_runs, new_runs)
    findings, in_both = _findings(old_runs, new_runs)
    fields_new, fields_gone = _fields(old_runs, new_runs, notes)
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
        latency=_latency(old_runs, new_runs, policy, notes),
        capacity=_capacity(old_runs, new_runs),
        notes=notes,
    )
    _decide_comparison(comparison, new_runs)
    return comparison


# What is compared at all.


def _run_identity(verdict: Verdict) -> bytes:
    return msgspec.json.encode(verdict)


def _remove_duplicate_runs(runs: NamedVerdicts, name: str, notes: list[str]) -> NamedVerdicts:
    """Each run once: a copy would pass for another measurement."""
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
    """Says so where all runs of one side came before all of the other: what else changed meanwhile counts as well."""
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


def _findings(base: Sequence[Verdict], new: Sequence[Verdict]) -> tuple[list[FindingChange], int]:
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


def _fields(base: Sequence[Verdict], new: Sequence[Verdict], notes: list[str]) -> tuple[list[str], list[str]]:
    """Documented fields that only one side has ever seen; a run without a sample tells nothing of fields."""
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


# Latency.


class _LatencyTestRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row to be: the numbers of each side, one a run, in microseconds."""

    target: str
    percentile: float
    base: list[float]
    new: list[float]

    @property
    def smallest_p(self) -> float:
        return smallest_possible_p(len(self.base), len(self.new))


def _latency(
    base: Sequence[Verdict], new: Sequence[Verdict], policy: ComparisonPolicy, notes: list[str]
) -> list[LatencyChange]:
    before, after = _usable_latency_runs(base, "BASE", policy, notes), _usable_latency_runs(new, "NEW", policy, notes)
    if not before or not after:
        return []
    loads = {_load_conditions(verdict) for verdict in (*before, *after)}
    if len(loads) > 1:
        notes.append(f"latencies are not compared, since the runs differ in load: {'; '.join(sorted(loads))}")
        return []
    notes += [note for name, side in (("BASE", before), ("NEW", after)) if (note := _unanswered_note(name, side))]
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


def _unanswered_note(name: str, runs: Sequence[Verdict]) -> str | None:
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
    return [each for each in verdict.load.latency if each.kind == time] if verdict.load else []


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


# Capacity, and the end.


def _capacity(base: Sequence[Verdict], new: Sequence[Verdict]) -> CapacityChange | None:
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
    return CapacityChange(base=(low, high), new=(new_low, new_high), outcome=outcome)


def _capacity_hull(runs: Sequence[CapacityResult]) -> tuple[float, float | None]:
    """From the lowest to the highest; None is without an upper end."""
    highs = [None if run.at_least else run.interval[1] for run in runs]
    known = [high for high in highs if high is not None]
    return min(run.interval[0] for run in runs), max(known) if len(known) == len(highs) else None


def _decide_comparison(comparison: RunComparison, new: Sequence[Verdict]) -> None:
    """Apply the thresholds: what is so fails; what was asked for and cannot be decided is inconclusive."""
    failed, open_ = [], []
    for threshold in sorted(comparison.policy.fail_on):
        so, undecided = _THRESHOLD_JUDGES[threshold](comparison, new)
        failed += [so] if so else []
        open_ += [undecided] if undecided else []
    if failed:
        comparison.verdict, comparison.exit_code, comparison.reason = "fail", int(ExitCode.FAIL), "; ".join(failed)
    elif open_:
        comparison.verdict, comparison.exit_code, comparison.reason = (
            "inconclusive",
            int(ExitCode.INCONCLUSIVE),
            "; ".join(open_),
        )


ThresholdResult = tuple[str | None, str | None]
"""Why it fails, and why nothing can be said; at most one of them."""


def _judge_findings(comparison: RunComparison, new: Sequence[Verdict]) -> ThresholdResult:
    bad = [
        each
        for each in comparison.findings
        if each.change == "new" and not each.waived and Level[each.level] >= Level.SHOULD
    ]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        return f"new finding: {bad[0].requirement} at {bad[0].field or 'the complete response'}{more}", None
    inconclusive = [verdict for verdict in new if verdict.verdict == "inconclusive"]
    if inconclusive:
        return None, f"{len(inconclusive)} of {len(new)} runs of NEW are inconclusive: {inconclusive[0].reason}"
    return None, None


def _judge_fields(comparison: RunComparison, new: Sequence[Verdict]) -> ThresholdResult:
    if comparison.fields_gone:
        gone = comparison.fields_gone
        return f"{len(gone)} fields are gone: {', '.join(gone[:3])}{', …' if len(gone) > 3 else ''}", None
    if not any(verdict.coverage.samples for verdict in new):
        return None, "no run of NEW judged a sample"
    return None, None


def _judge_latency(comparison: RunComparison, new: Sequence[Verdict]) -> ThresholdResult:
    slower = [each for each in comparison.latency if each.outcome == "slower"]
    if slower:
        worst = slower[0]
        return f"slower: {worst.target}, p{worst.percentile:g}, {worst.shift_ms:+,.3g} ms", None
    if not comparison.latency:
        return None, "there are no latencies to compare"
    if all(each.p_holm is None for each in comparison.latency):
        return (
            None,
            f"too few runs to compare latencies: {comparison.latency[0].base_runs} and {comparison.latency[0].new_runs}",
        )
    return None, None


def _judge_capacity(comparison: RunComparison, new: Sequence[Verdict]) -> ThresholdResult:
    if comparison.capacity is None:
        return None, "there are no capacities to compare"
    if comparison.capacity.outcome == "lower":
        return "the capacity is lower", None
    return None, None


_THRESHOLD_JUDGES: Final[dict[Threshold, Callable[[RunComparison, Sequence[Verdict]], ThresholdResult]]] = {
    "new-findings": _judge_findings,
    "fields-gone": _judge_fields,
    "latency": _judge_latency,
    "capacity": _judge_capacity,
}
