"""The result of a comparison of runs as data: `compare --json` prints these structs."""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from ..judge.verdict import SubjectKind, VerdictName

COMPARISON_FORMAT: Final = "sora-harness/comparison/1"

Threshold = Literal["new-findings", "fields-gone", "latency", "capacity"]
THRESHOLDS: Final[tuple[Threshold, ...]] = get_args(Threshold)
"""What a comparison can fail on."""

ComparedTime = Literal["response", "service"]


class ComparisonPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What to compare, and how large a change must be to count."""

    time: ComparedTime = "response"
    percentiles: tuple[float, ...] = (50.0, 99.0)
    """The most important first: with few runs, only the first ones are tested."""
    min_effect: float = 0.05
    """The least change that counts, as a share of BASE."""
    alpha: float = 0.01
    """The probability of a false alarm, over all latencies of a comparison together."""
    fail_on: frozenset[Threshold] = frozenset()
    no_worse_than: float | None = None
    """By what share of BASE a figure of NEW may be worse at most; None for no such bound."""


class ComparedRuns(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two sets of runs."""

    sources: list[str]
    runs: int
    verdicts: dict[str, int]
    """How many runs passed, failed, and were inconclusive."""
    subjects: list[str]
    labels: dict[str, str]
    """The labels that all runs share."""
    started_at: str
    finished_at: str


class FindingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that only one side has."""

    change: Literal["new", "fixed", "not_seen"]
    """`not_seen`: no run of NEW checked the requirement."""
    requirement: str
    level: str
    waived: bool
    fingerprint: str
    target: str | None
    field: str
    message: str
    runs: int
    """How many runs have it, on that side."""
    observed_before: bool
    """Whether BASE checked the requirement at all; if not, a new finding need not be a new fault."""


class CoverageChange(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the coverage: the median over each side's runs."""

    name: str
    base: float
    new: float


LatencyOutcome = Literal["slower", "faster", "below_min_effect", "not_shown", "not_tested", "too_few_runs"]


BoundOutcome = Literal["kept", "exceeded", "undecided"]
"""What the runs show about a bound: the figure is within it, exceeds it, or may be either."""


class LatencyBound(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a percentile of NEW is worse than BASE by more than the stated bound."""

    ratio_interval: tuple[float, float] | None
    """The confidence interval of NEW / BASE at 1 - alpha; None if there are too few runs."""
    outcome: BoundOutcome
    runs_needed: int | None
    """How many runs per side would decide it, if they vary like these; None if it is decided, or no number would."""


class LatencyChange(msgspec.Struct, frozen=True, kw_only=True):
    """One percentile of one target, compared with one value per run; times in milliseconds."""

    target: str
    percentile: float
    base_runs: int
    new_runs: int
    base_ms: float
    """The median over its runs."""
    new_ms: float
    shift_ms: float
    """By how much NEW is higher: the median of all differences between a run of NEW and one of BASE."""
    shift_interval_ms: tuple[float, float] | None
    """The confidence interval of the shift, at 1 - alpha for this row alone."""
    effect: float | None
    """The shift as a share of `base_ms`; None if that is 0."""
    p: float | None
    p_holm: float | None
    """Corrected for all tested rows; None if this row was not tested."""
    outcome: LatencyOutcome
    runs_needed: int | None
    """How many runs per side are needed to test this row."""
    bound: LatencyBound | None = None
    """None if no bound was stated."""


class CapacityChange(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity of each side: from the lowest rate that a run confirmed to the highest that a run left open."""

    base: tuple[float, float | None]
    new: tuple[float, float | None]
    outcome: Literal["lower", "higher", "overlap"]
    bound: BoundOutcome | None = None
    """None if no bound was stated."""


class RunComparison(msgspec.Struct, kw_only=True):
    """Everything that changed; `compare --json` prints it."""

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
    unmeasured: list[str]
    """What NEW did not measure; with any of this, NEW can't be shown not to be slower."""
    capacity: CapacityChange | None
    notes: list[str]
