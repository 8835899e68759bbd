"""
The verdict of a run as data: these structs are verdict.json, key for key.

So a report made later from the file is the same as the run's own. `verdict_decision` turns counts into statuses and a
verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import msgspec

from ..api.errors import UsageError
from ..api.exchange import Target
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
    """A fault in a larger share of what was checked would have been seen, with 95 % confidence."""


class RequirementStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of one requirement: how often it was checked and violated, and what follows."""

    id: str
    level: str
    status: Status
    violated_level: LevelName | None = None
    """The highest level among its counted findings; None unless it is violated. At most the requirement's own."""
    fails: bool = False
    """Whether it makes the verdict `fail`."""
    reason: NotCheckedReason | None
    """Why it was not checked."""
    checked: int
    excludes_above: float | None = None
    """
    A fault in a larger share of what was checked would have been seen, with 95 % confidence; None unless it is met.
    """
    by_target: dict[str, TargetStrength] = {}
    """The same by operation; empty unless it is met."""
    violations: int
    """How often it was violated, known and waived findings included."""
    title: str = ""
    """Its title, for a requirement of the user's own check."""


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
    """On how many different connections it was seen."""
    compared: dict[str, int] = {}
    """
    By target, how often this was compared with one of its responses: the one that a counter fell from, the connection's
    previous sample, or, for a failed request, the last response before it, unless another request failed in between.
    """
    exchanges: list[tuple[str, int]]
    """(run, seq) of the exchanges that prove it, the earlier first."""
    wrong_exchange: tuple[str, int] | None = None
    """(run, seq) of the one that is wrong; the others are what it is compared with."""
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
    """How many requests ended without a complete response."""
    longest_gap_s: float = 0
    """The longest time in which a server that had responded before gave no complete response to any request."""
    late: int = 0
    forgotten: int = 0
    """Connections that reappeared after they were forgotten: their order could not be checked across the gap."""
    slow_path: int = 0
    """How many samples the fast decoder did not accept."""
    relations_unconfirmed: int = 0
    """Relations that did not hold in a response without neighbours to confirm it."""
    fields_documented: int = 0
    fields_seen: int = 0
    never_seen: list[str] = []
    counters_grew: int = 0
    never_grew: list[str] = []
    """Counters that were seen but never moved: nothing is known about their order."""
    unusable: list[str] = []
    """Counters with some unusable value, such as a string; they are in neither of the counts above."""
    truncated: bool = False
    """Whether a recording does not end properly, or has damaged lines."""
    damaged: int = 0
    withheld: int = 0
    notes: list[str] = []
    """Facts worth knowing that are not findings, one line each."""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """The one cause behind many findings; it does not change any status."""

    id: str
    """The kind of cause, such as `restart-same-ids`; docs/GATE.md lists them."""
    summary: str
    """What happened, in a sentence."""
    advice: str
    """What to do."""
    explains: list[str]
    """Fingerprints of the findings that it explains."""
    exchanges: list[tuple[str, int]]
    """(run, seq) of at most two exchanges that prove it, the earlier first."""


class ListingChanges(msgspec.Struct, frozen=True, kw_only=True):
    """How the listings of one server changed as a whole."""

    server: str
    replacements: int
    """How often a listing had none of the previous listing's connections."""
    alternations: int
    """How often a listing had those of the listing before the previous one instead."""
    exchanges: list[tuple[str, int]]
    """(run, seq) of two listings that show it, the earlier first."""


class DriftEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the server's responses and the documentation differ."""

    way: Literal["absent", "undocumented", "changed", "moved"]
    field: str
    """JSON Pointer within the connection, with `#*` for a label."""
    documented: str
    """What the edition says: a type and range, or nothing."""
    seen: str
    connections: int
    """How many connections showed it; 0 if the responses do not name connections."""
    connections_without: int
    samples: int = 0
    """How many samples showed it, for the target that showed it most."""
    first_seen_at: str
    """When the first response showed it, RFC 3339."""
    known_from: str | None = None
    """An edition that has it as seen here."""


class DocumentationDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How much the server and its documentation differ."""

    entries: list[DriftEntry]
    nearest: str
    """The shipped edition that fits the responses best."""
    distance: dict[str, int]
    """The number of differing fields, by edition."""
    headline: str | None = None
    """The recommendation of another edition, if that fits better."""


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
    """Findings that this run looked for and did not find."""
    not_seen: list[BaselineFinding]
    """Findings that this run could not have found: it observed nothing of what they are about."""


class WaiverReport(msgspec.Struct, frozen=True, kw_only=True):
    """One waiver of the configuration, and its effect."""

    requirement: str
    field: str
    """A pattern over `FindingEntry.field`."""
    reason: str
    by: str
    until: str
    """The last day on which it is valid, in UTC."""
    state: WaiverState
    """
    `unused`: its requirement was checked, but there was nothing to waive; `not_observed`: it was not checked at all.
    """
    waived: int
    """How many entries it waived; for an expired one, those that it would have waived and that count again."""


class Verdict(msgspec.Struct, kw_only=True):
    """verdict.json."""

    format: str = VERDICT_FORMAT
    command: str = ""
    """The command that made it: `conform`, `check`, `load`, …"""
    verdict: VerdictName
    exit_code: int
    reason: str | None
    interrupted: bool = False
    aborted: str | None = None
    """Why the run ended itself early; None if it did not."""
    diagnosis: dict[str, str] = {}
    """If the run ended before it saw anything of Sora: what is at the URL, row by row, and what to do next."""
    fail_on: LevelName = "PROVEN"
    """The lowest level of a finding that fails."""
    severity: dict[str, LevelName] = {}
    """The levels that the user set, by requirement."""
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
    """What a judge counted, before statuses and the verdict are decided."""

    checked: dict[str, int]
    """How often each requirement was checked."""
    checked_by_target: dict[str, dict[str, int]] = {}
    """The same by operation: for each, by requirement."""
    findings: list[FindingEntry]
    coverage: CoverageSummary
    crashed: dict[str, str] = {}
    """Requirements whose check raised, with one line about the exception."""
    withheld: Collection[str] = ()
    """Requirements that could not be judged because a body was withheld."""
    masked: Collection[str] = ()
    unusable: Collection[str] = ()
    """Requirements that needed an unusable value: these are not met, however often they were checked."""
    late: Collection[str] = ()
    """Requirements for which some responses were not compared, since they came out of order."""
    forgotten: Collection[str] = ()
    """The same, because a connection had been forgotten when it reappeared."""
    listing_changes: Sequence[ListingChanges] = ()
    user_requirements: Sequence[Requirement] = ()
    """The requirements of the user's own checks."""

    def count(self, requirement: Requirement, target: Target | None, times: int) -> None:
        """Add how often a requirement was checked, for a target or (None) for wrong requests."""
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
        UsageError: It is not a verdict, or has another version of the format.
    """
    try:
        found = msgspec.json.decode(data, type=_FormatLine).format
        if found != VERDICT_FORMAT:
            raise UsageError(
                f"{name} has the format {found!r}, and this version reads {VERDICT_FORMAT!r}: run the command again, "
                f"or read it with the version that wrote it"
            )
        return msgspec.json.decode(data, type=Verdict)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is not a verdict: {error}") from None


class _FormatLine(msgspec.Struct):
    format: str = VERDICT_FORMAT
