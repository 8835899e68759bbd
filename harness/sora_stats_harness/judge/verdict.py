"""
The verdict of a run as data: these structs are verdict.json, key for key.

A report made later from the file is therefore the report that the run itself would have made. How counts become statuses
and a verdict stands in `verdict_decision`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import msgspec

from ..api.errors import UsageError
from ..api.exchange import Target
from .incident import Incident, ListingChanges
from .measured_results import CapacityResult, ListingCost, LoadResult, MediaResult, PollingEstimate
from .requirement import Requirement

VERDICT_FORMAT = "sora-harness/verdict/2"

LevelName = Literal["MUST", "PROVEN", "HABIT", "INFO"]
FindingStatus = Literal["new", "known", "waived"]
Status = Literal["violated", "known", "waived", "not_checked", "met", "not_applicable"]
NotCheckedReason = Literal["not_observed", "no_traffic", "late", "forgotten", "withheld", "check_crashed", "masked"]
WaiverState = Literal["used", "unused", "not_observed", "expired"]
VerdictName = Literal["pass", "fail", "inconclusive"]
SubjectKind = Literal["server", "simulator", "recording"]
EvidenceSource = Literal["live", "recording", "body"]


class TargetStrength(msgspec.Struct, frozen=True, kw_only=True):
    """How strong a pass is for one requirement and one target."""

    checked: int
    excludes_above: float
    """A fault in a larger share than this of what was checked would have been seen, with 95 %."""


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
    excludes_above: float | None = None
    """A fault in a larger share of what was checked would have been seen, with 95 %; None unless it is met."""
    by_target: dict[str, TargetStrength] = {}
    """The same by operation, of those that were checked; empty unless it is met."""
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
    diagnosis: dict[str, str] = {}
    """Where the run ended before it saw anything of Sora: what stands there, row by row, and what to do next."""
    fail_on: LevelName = "PROVEN"
    """The lowest level of a finding that fails."""
    severity: dict[str, LevelName] = {}
    """The requirements of which the user has decided what they weigh."""
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
    checked_by_target: dict[str, dict[str, int]] = {}
    """The same by operation, of requests for one: by requirement."""
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
    """Requirements whose comparisons some responses were left out of, since they came out of order."""
    forgotten: Collection[str] = ()
    """The same, since a connection had been forgotten when it came back."""
    listing_changes: Sequence[ListingChanges] = ()
    user_requirements: Sequence[Requirement] = ()
    """Those of the user's own checks."""

    def count(self, requirement: Requirement, target: Target | None, times: int) -> None:
        """Note how often a requirement was held against responses of a target, or (None) to wrong requests."""
        self.checked[requirement.id] = self.checked.get(requirement.id, 0) + times
        if target is not None and times:
            by_target = self.checked_by_target.setdefault(requirement.id, {})
            by_target[target.operation] = by_target.get(target.operation, 0) + times


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
