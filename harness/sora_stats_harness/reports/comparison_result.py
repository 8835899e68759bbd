"""What a comparison of runs finds, as data: these structs are what `compare --json` prints."""

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
    """What is compared, and how large a change must be to count."""

    time: ComparedTime = "response"
    percentiles: tuple[float, ...] = (50.0, 99.0)
    """The most important first: where there are few runs, only the first are tested."""
    min_effect: float = 0.05
    """The least change that counts, as a share of BASE."""
    alpha: float = 0.01
    """The chance of claiming a change where there is none, over all latencies of a comparison together."""
    fail_on: frozenset[Threshold] = frozenset()
    no_worse_than: float | None = None
    """By what share of BASE a figure of NEW may at most be worse; None where nothing is to be shown of that."""


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
    """`not_seen`: no run of NEW checked the requirement."""
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


BoundOutcome = Literal["kept", "exceeded", "undecided"]
"""What the runs show of a bound: the figure is within it, is beyond it, or may be either."""


class LatencyBound(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a percentile of NEW is worse than BASE by more than the stated bound."""

    ratio_interval: tuple[float, float] | None
    """Where NEW / BASE lies, with a confidence of 1 - alpha; None where there are too few runs."""
    outcome: BoundOutcome
    runs_needed: int | None
    """Runs a side that would decide it if they scatter as these do; None where it is decided, or no number would do."""


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
    bound: LatencyBound | None = None
    """None where no bound was stated."""


class CapacityChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a server bears: from the lowest rate that any run confirmed to the highest that any run left open."""

    base: tuple[float, float | None]
    new: tuple[float, float | None]
    outcome: Literal["lower", "higher", "overlap"]
    bound: BoundOutcome | None = None
    """None where no bound was stated."""


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
    unmeasured: list[str]
    """What of NEW is in no latency: with any of this, NEW can't be shown to be no slower."""
    capacity: CapacityChange | None
    notes: list[str]
