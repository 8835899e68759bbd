"""
The verdict of a run as data: these structs are verdict.json, key for key.

A report made later from the file is therefore the report that the run itself would have made. How counts become statuses
and a verdict stands in `verdict_decision`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

import msgspec

from ..api.errors import UsageError
from .incident import Incident, ListingChanges
from .requirement import Requirement

VERDICT_FORMAT = "sora-harness/verdict/2"

LevelName = Literal["MUST", "SHOULD", "INFO"]
FindingStatus = Literal["new", "known", "waived"]
Status = Literal["violated", "known", "waived", "not_checked", "met", "not_applicable"]
NotCheckedReason = Literal["not_observed", "no_traffic", "late", "withheld", "check_crashed", "masked"]
WaiverState = Literal["used", "unused", "not_observed", "expired"]
VerdictName = Literal["pass", "fail", "inconclusive"]
SloStatus = Literal["met", "violated", "not_checked"]
SubjectKind = Literal["server", "simulator", "recording"]
EvidenceSource = Literal["live", "recording", "body"]


class RequirementStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one requirement: how often it was checked and violated, and what follows."""

    id: str
    level: str
    status: Status
    violated_level: LevelName | None = None
    """The highest level among its findings that count; None unless it is violated. At most the requirement's own."""
    fails: bool = False
    """Whether it makes the verdict `fail`."""
    reason: NotCheckedReason | None
    """Why it was not checked."""
    checked: int
    violations: int
    """Occurrences, those that are known or waived included."""
    title: str = ""
    """What it says, where it is of a check of the user's own."""


class FindingEntry(msgspec.Struct, kw_only=True):
    """All findings with one fingerprint: the first one's evidence, and exact counts."""

    requirement: str
    level: str
    status: FindingStatus = "new"
    fingerprint: str
    target: str | None
    field: str
    pointer: str
    connection_id: str | None
    message: str
    expected: str
    actual: str
    count: int = 1
    connections: int = 0
    """Distinct connections that it was seen on."""
    compared: dict[str, int] = {}
    """
    By target, how often one of its responses was what this is held against: what a counter fell from, the sample of the
    connection before, or, of a request that failed, the last response before, unless another request failed since.
    """
    exchanges: list[tuple[str, int]]
    """(run, seq) of the exchanges that prove it, the earlier first."""
    wrong_exchange: tuple[str, int] | None = None
    """(run, seq) of the one that went wrong; the others are what it is compared with."""
    evidence: list[str] = []
    """Names of files beside verdict.json."""
    reproduce: str = ""
    """A command line that sends the request again."""


class CoverageSummary(msgspec.Struct, kw_only=True):
    """What was seen, and what was not."""

    exchanges: int = 0
    samples: int = 0
    connections: int = 0
    by_target: dict[str, int] = {}
    """Responses judged, by operation."""
    errors: int = 0
    """Requests that ended without a complete response."""
    longest_gap_s: float = 0
    """The longest time in which a server that had responded gave no complete response, although it was asked."""
    late: int = 0
    forgotten: int = 0
    """Connections that came back after having been forgotten: their order could not be checked across the gap."""
    slow_path: int = 0
    """Samples that the fast decoder did not accept."""
    relations_unconfirmed: int = 0
    """Relations that did not hold in a response without neighbours that could confirm it."""
    fields_documented: int = 0
    fields_seen: int = 0
    never_seen: list[str] = []
    counters_grew: int = 0
    never_grew: list[str] = []
    """Counters that were seen and never moved: nothing is known of their order."""
    unusable: list[str] = []
    """Counters of which some value could not be used, such as a string: these are neither among the grown nor above."""
    truncated: bool = False
    """A recording that does not end as it should, or has damaged lines."""
    damaged: int = 0
    withheld: int = 0
    notes: list[str] = []
    """Facts worth knowing that are no findings, one line each."""


ALL_TARGETS: Final = "all targets"
"""In place of a target, for all of them together."""


class LatencyDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of time of one target, in microseconds."""

    target: str
    """Its operation; `(connecting)` for the times of making connections, `ALL_TARGETS` in a step of a capacity search."""
    kind: Literal["response", "service", "receive delay", "send delay", "connect", "tls"]
    count: int
    percentiles: dict[str, int]
    """By percent: 50, 90, 95, 99, 99.9, 99.99."""
    min: int | None = None
    mean: float | None = None
    max: int
    includes_failures: bool = False
    """Whether a request without a complete response counts, with the time that it waited."""
    buckets: list[tuple[int, int]] = []
    """(upper bound in us, count), ascending, empty ones left out; the last one's bound may be above the maximum."""


class FailureCount(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that ended without a complete response for one reason."""

    target: str
    code: str
    """As `api.exchange.ErrorCode` has it."""
    count: int
    detail: str
    """Of the first one."""


class SloResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one SLO."""

    slo: str
    """As it was given, such as `p99<50ms`."""
    target: str | None
    """An operation; None for all requests."""
    status: SloStatus
    actual: str
    """The figure that was measured, such as `37.2 ms`; a dash where there is none."""
    requests: int
    """How many it is a figure of; also those that had no complete response, or were due and never sent."""
    reason: str | None = None
    """Why it was not checked."""


class TimelineRow(msgspec.Struct, frozen=True, kw_only=True):
    """One second of a run, or several of a long one."""

    from_s: int
    lasts_s: int
    responses: int
    errors: int
    bytes: int
    p50_us: int | None
    p99_us: int | None
    max_us: int | None


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a load run offered and measured; times without warm-up."""

    scenario: str
    model: Literal["open", "closed"]
    planned_per_s: float | None
    """What the schedule had due; None in a closed model without an interval."""
    offered_per_s: float
    """What was sent."""
    lasted_s: float
    """Until no more was sent."""
    due: int | None = None
    """Requests that the schedule had due; None in a closed model."""
    sent: int
    judged: int
    errors: int
    abandoned: int
    """sent = judged + errors + abandoned."""
    bytes_sent: int
    bytes_received: int
    """Heads included; without TCP and TLS."""
    connections: int = 0
    """That were made."""
    processes: int = 1
    generator_limited: str | None = None
    """Why the generator was the bottleneck; None where it was not."""
    cpu_cores: float | None = None
    """Cores that the busiest process of the generator took."""
    slos: list[SloResult] = []
    failures: list[FailureCount] = []
    """The errors, by target and code."""
    latency: list[LatencyDistribution] = []
    timeline: list[TimelineRow] = []


class DriftEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the server's responses and the documentation differ."""

    way: Literal["absent", "undocumented", "changed", "moved"]
    field: str
    """JSON Pointer from the connection on, a label as `#*`."""
    documented: str
    """What the edition says: a type and range, or nothing."""
    seen: str
    connections: int
    """That showed it; 0 where the responses do not name connections."""
    connections_without: int
    samples: int = 0
    """That showed it, under the target that showed it most."""
    first_seen_at: str
    """RFC 3339, of the first response that showed it."""
    known_from: str | None = None
    """An edition in which it is as seen here."""


class DocumentationDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far the server and its documentation have come apart."""

    entries: list[DriftEntry]
    nearest: str
    """The shipped edition that the responses are nearest to."""
    distance: dict[str, int]
    """Differing fields, by edition."""
    headline: str | None = None
    """Says so where another edition fits better."""


class BaselineFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the baseline that this run did not have."""

    requirement: str
    level: str
    fingerprint: str
    target: str | None
    field: str
    message: str


class BaselineReport(msgspec.Struct, frozen=True, kw_only=True):
    """This run compared with an earlier one; a waived finding is neither new nor known."""

    source: str
    """The earlier verdict's file."""
    finished_at: str
    """When the earlier run ended, RFC 3339."""
    new: int
    known: int
    fixed: list[BaselineFinding]
    """Looked for in this run, and not found."""
    not_seen: list[BaselineFinding]
    """Not found, and this run could not have found them: nothing of what they are about was observed."""


class WaiverReport(msgspec.Struct, frozen=True, kw_only=True):
    """One waiver of the configuration, and what became of it."""

    requirement: str
    field: str
    """A pattern over `FindingEntry.field`."""
    reason: str
    by: str
    until: str
    """The last day on which it holds, in UTC."""
    state: WaiverState
    """`unused`: its requirement was checked, and nothing tripped it; `not_observed`: that was not checked at all."""
    waived: int
    """Entries that it waived; for an expired one those that it would have waived, and that count again."""


class CapacityStepResult(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that was tried, once."""

    rate: float
    """Requests a second."""
    outcome: Literal["passed", "failed", "void"]
    """Void: nothing shows whether the server or the generator was too slow."""
    windows: int
    windows_passed: int
    windows_void: int = 0
    reason: str | None
    """Which SLO, or what else, decided against it."""
    due: int = 0
    completed: int = 0
    """Of those due in its windows, ended with a complete response by the time that the SLOs give them."""
    backlog_per_s: tuple[float, float, float] | None = None
    """Growth of what was due and had not ended, requests a second: low, middle and high of the 95 % interval."""
    latency: list[LatencyDistribution] = []


class CapacityResult(msgspec.Struct, frozen=True, kw_only=True):
    """How much the server bears."""

    interval: tuple[float, float | None]
    """Highest rate confirmed (0 if none), lowest that failed (None if none did); requests a second."""
    at_least: bool
    """The server bears at least the lower end: the search ended for another reason than the server."""
    limited_by: str | None
    """The SLO, or what else, by which the lowest rate failed; for `at_least` what ended the search."""
    steps: list[CapacityStepResult]
    """In the order in which they were run."""
    slos: list[str] = []
    scenario: str = ""


class PollingEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a planned polling costs, worked out from a few requests."""

    requests: int
    responses: int
    connections: int | None
    """In the last response; None where it was no list."""
    response_bytes: int
    """Of a body, the median."""
    wire_bytes: int
    """Of a response with status line and headers, the median; without TCP and IP."""
    time_us: int
    """From before connecting until the last byte was read, the median."""
    longest_us: int
    pollers: int
    interval_s: float
    mbit_per_s: float
    """Of all pollers together."""
    open_share: float
    """Of the interval, in which one poller's request is open; above 1 its polls overlap."""
    shortest_interval_s: float
    """In which the polls of all pollers, one after another, do not overlap."""


class ListingCostPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing of so many connections cost."""

    connections: int
    responses: int
    time_us: int
    """Service time, the median."""
    high_us: int
    """The slowest of them."""
    bytes: int
    fit_us: int
    residual: float
    """Time over fit, less 1."""


class ListingCost(msgspec.Struct, frozen=True, kw_only=True):
    """How the cost of GetStatsAllConnections grows with the number of connections."""

    points: list[ListingCostPoint]
    constant_us: float | None
    """Of the fit; None where the sizes are too few, or too much alike, for one."""
    per_connection_us: float | None
    per_connection_bytes: float | None
    linear: bool | None
    statement: str
    """In a sentence: the fit, or why there is none, or where it does not hold."""
    scrapers: int = 1
    slo: str | None = None
    shortest_interval_s: float | None = None
    """For so many scrapers at the largest size, if they are served one after another; None where the SLO forbids any."""


class MediaQuantityResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one quantity of the media fared while the server was polled, against the quiet before and after."""

    quantity: str
    unit: str
    quiet: float
    """The mean over connections and quiet phases."""
    polled: float
    difference: tuple[float, float] | None
    """Polled less quiet, the interval; None of too few phases."""
    result: Literal["effect", "no effect seen", "too little data"]


class MediaResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether polling hurts the media."""

    result: Literal["effect", "no effect seen", "too little data"]
    statement: str
    rate: float
    """Requests a second in the polled phases."""
    phase_s: float
    polled_phases: int
    connections: int
    """That were there from the first phase to the last."""
    confidence: float
    """Of each interval, so that all of them hold together with 95 %."""
    quantities: list[MediaQuantityResult]


class Verdict(msgspec.Struct, kw_only=True):
    """verdict.json."""

    format: str = VERDICT_FORMAT
    command: str = ""
    """What made it: `conform`, `check`, `load`, …"""
    verdict: VerdictName
    exit_code: int
    reason: str | None
    interrupted: bool = False
    aborted: str | None = None
    """Why the run ended itself early; None where it did not."""
    strict: bool = False
    edition: str
    subject_kind: SubjectKind
    subject: str
    judged_from: EvidenceSource
    labels: dict[str, str] = {}
    started_at: str
    finished_at: str
    harness_version: str
    options: dict[str, Any] = {}  # Any: whatever a command's options hold, as JSON
    requirements: list[RequirementStatus]
    incidents: list[Incident] = []
    findings: list[FindingEntry]
    coverage: CoverageSummary
    load: LoadResult | None = None
    drift: DocumentationDrift | None = None
    baseline: BaselineReport | None = None
    waivers: list[WaiverReport] = []
    capacity: CapacityResult | None = None
    estimate: PollingEstimate | None = None
    cost: ListingCost | None = None
    media: MediaResult | None = None


class JudgeResult(msgspec.Struct, kw_only=True):
    """What a judge counted, before any rule is applied."""

    checked: dict[str, int]
    """How often each requirement was checked."""
    findings: list[FindingEntry]
    coverage: CoverageSummary
    crashed: dict[str, str] = {}
    """Requirements whose check raised, with one line of what it said."""
    withheld: Collection[str] = ()
    """Requirements that could not be judged because a body was withheld."""
    masked: Collection[str] = ()
    unusable: Collection[str] = ()
    """Requirements that needed a value which could not be used: these are not met, however often they were checked."""
    late: Collection[str] = ()
    listing_changes: Sequence[ListingChanges] = ()
    user_requirements: Sequence[Requirement] = ()
    """Those of the user's own checks."""


def decode_verdict(data: bytes, name: str) -> Verdict:
    """
    Read a verdict.json.

    Args:
        data: The file's content.
        name: What to call it in an error message.

    Raises:
        UsageError: It is no verdict, or one of another version of the format.
    """
    try:
        found = msgspec.json.decode(data, type=_FormatLine).format
        if found != VERDICT_FORMAT:
            raise UsageError(
                f"{name} has the format {found!r}, and this version reads {VERDICT_FORMAT!r}: run the command again, or "
                f"read it with the version that wrote it"
            )
        return msgspec.json.decode(data, type=Verdict)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is no verdict: {error}") from None


class _FormatLine(msgspec.Struct):
    format: str = VERDICT_FORMAT
