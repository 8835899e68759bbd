"""
Puts a verdict together from what a judge counted: the one way to it, for the command line and for the pytest plugin.

Here the findings get their order, their evidence files and their command lines, and every string passes the secrets
once, so that no reporter has to think of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol

import msgspec

from .. import __version__
from ..api.edition import Edition
from ..api.exchange import Exchange
from ..api.secret_redaction import NO_SECRETS, Secrets
from ..judge import drift
from ..judge.requirements import REQUIREMENTS, Level, RequiredCapability
from ..judge.verdict import (
    CapacityResult,
    EvidenceSource,
    FindingEntry,
    JudgeResult,
    ListingCost,
    LoadResult,
    MediaResult,
    PollingEstimate,
    ReportTable,
    SubjectKind,
    Verdict,
    decide_verdict,
)
from . import evidence_files as files
from . import waivers
from .baseline import Baseline, compare_with_baseline
from .curl_command import curl_command
from .escaping import replace_surrogates
from .report import VerdictReport
from .summary import count_with_noun
from .waivers import Waiver


class JudgeResultSource(Protocol):
    """What is read from a judge, or from whoever adds up several."""

    @property
    def subject_kind(self) -> SubjectKind:
        """What responded, as far as the responses tell."""

    def finish(self) -> None:
        """Settle what waits; once."""

    def result(self) -> JudgeResult:
        """What was counted."""

    def evidence(self, fingerprint: str) -> Sequence[Exchange]:
        """The exchanges that prove the first finding of an entry, the earlier first."""


def assemble_verdict(
    judge: JudgeResultSource,
    *,
    command: str,
    edition: str,
    subject: str,
    judged_from: EvidenceSource,
    observes: Collection[RequiredCapability],
    started_at: str,
    finished_at: str | None = None,
    strict: bool = False,
    require: Collection[str] = (),
    excluded: Collection[str] = (),
    interrupted: bool = False,
    aborted: str | None = None,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,  # Any: whatever a command's options hold, as JSON
    notes: Collection[str] = (),
    sections: Sequence[ReportTable] = (),
    violated_slo: str | None = None,
    load: LoadResult | None = None,
    capacity: CapacityResult | None = None,
    estimate: PollingEstimate | None = None,
    cost: ListingCost | None = None,
    media: MediaResult | None = None,
    waived: Sequence[Waiver] = (),
    baseline: Baseline | None = None,
    name_evidence: bool = True,
    fields: Edition | None = None,
    secrets: Secrets = NO_SECRETS,
) -> VerdictReport:
    """
    Finish the judge and sum up.

    Args:
        judge: Is finished here, and read.
        command: What made the verdict: `conform`, `check`, `pytest`, …
        edition: Its name.
        subject: URL, or names of files.
        judged_from: Exchanges seen live, a recording, or bare bodies.
        observes, strict, require, excluded, interrupted, aborted: As in `verdict.conclude`.
        started_at, finished_at: RFC 3339 in UTC; the end is now, unless given.
        labels, options: Go into the verdict as they are.
        notes: Facts worth knowing, one line each, besides those that the judge has.
        sections: Tables of the command's own.
        violated_slo: As in `verdict.conclude`.
        load, capacity, estimate, cost, media: Go into the verdict as they are.
        waived: The configuration's waivers; whether one has expired is a question of the day on which the run started.
        baseline: An earlier verdict, of the same edition and kind of subject.
        fields: The edition itself, for what the server and the documentation differ in; that is left out without it.
        name_evidence: Whether findings name their evidence files; not where none will be written.
        secrets: Nothing of them stands in the result, evidence included.

    Returns:
        The report: findings with the weightiest first, each with evidence and a command line.
    """
    judge.finish()
    tally = judge.result()
    day = date.fromisoformat(started_at[:10])
    excused = waivers.apply_waivers(waived, tally.findings, checked=tally.checked, today=day)
    entries = excused.entries
    held = None
    if baseline is not None:
        held = compare_with_baseline(baseline, entries, tally=tally, lapsed=excused.lapsed)
        entries = held.entries
    tally = msgspec.structs.replace(tally, findings=entries)
    outcome = decide_verdict(
        tally,
        observes=observes,
        strict=strict,
        require=require,
        excluded=excluded,
        interrupted=interrupted,
        aborted=aborted,
        violated_slo=violated_slo,
    )
    findings = sorted(entries, key=_finding_rank)
    # A bare body was never asked for: there is no exchange to show, and the file itself is the evidence.
    proven = findings if judged_from != "body" else []
    proof = {entry.fingerprint: tuple(judge.evidence(entry.fingerprint)) for entry in proven}
    left_out = files.name_evidence_files(findings, proof)
    shown = {
        entry.fingerprint: files.redact_exchanges(proof[entry.fingerprint], secrets)
        for entry in findings
        if entry.evidence
    }
    if not name_evidence:
        left_out = 0
        for entry in findings:
            entry.evidence = []
    for entry in findings:
        if exchanges := proof.get(entry.fingerprint):
            entry.reproduce = curl_command(exchanges[-1].request)
    all_notes = [*tally.coverage.notes, *notes]
    if left_out:
        what = count_with_noun(left_out, "finding")
        all_notes.append(f"the evidence of {what} is too large, or one too many, to be written beside the verdict")
    verdict = Verdict(
        command=command,
        verdict=outcome.verdict,
        exit_code=int(outcome.exit_code),
        reason=outcome.reason,
        interrupted=interrupted,
        strict=strict,
        edition=edition,
        subject_kind=verdict_subject_kind(judge, judged_from),
        subject=subject,
        judged_from=judged_from,
        labels=dict(labels or {}),
        started_at=started_at,
        finished_at=finished_at or format_utc_now(),
        harness_version=__version__,
        options=dict(options or {}),
        requirements=outcome.requirements,
        findings=findings,
        coverage=msgspec.structs.replace(tally.coverage, notes=all_notes),
        sections=list(sections),
        load=load,
        capacity=capacity,
        estimate=estimate,
        cost=cost,
        media=media,
        drift=drift.measure_drift(fields, findings, tally.coverage, judge.evidence) if fields is not None else None,
        baseline=held.report if held is not None else None,
        waivers=excused.reports,
    )
    return VerdictReport(verdict=redact_verdict(verdict, secrets), evidence=shown)


def verdict_subject_kind(judge: JudgeResultSource, judged_from: EvidenceSource) -> SubjectKind:
    """What responded; of a bare body nobody knows that."""
    kind = judge.subject_kind
    return "recording" if judged_from == "body" and kind == "server" else kind


def format_utc_now() -> str:
    """This instant as verdicts write it: RFC 3339 in UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def redact_verdict(verdict: Verdict, secrets: Secrets) -> Verdict:
    """Redact every string of a verdict, and replace what UTF-8 cannot hold."""

    def walk(value: Any) -> Any:  # Any: JSON
        if isinstance(value, str):
            return replace_surrogates(secrets.redact(value))
        if isinstance(value, dict):
            return {walk(key): walk(below) for key, below in value.items()}
        if isinstance(value, list | tuple):
            return [walk(below) for below in value]
        return value

    return msgspec.convert(walk(msgspec.to_builtins(verdict)), Verdict)


def _finding_rank(entry: FindingEntry) -> tuple[bool, int, int, str, str]:
    """What counts before what is known or waived, and of these the weightiest first."""
    place = _REQUIREMENT_ORDER.get(entry.requirement, len(_REQUIREMENT_ORDER))
    return (entry.status != "new", -Level[entry.level], place, entry.target or "", entry.field)


_REQUIREMENT_ORDER = {id: place for place, id in enumerate(REQUIREMENTS)}
