"""
Assembles a verdict from a judge's result and the facts of a run, for the command line and the pytest plugin.

Findings get their order, their evidence files and their command lines here, and secrets are removed from every string,
so that no report format has to do it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Protocol

import msgspec

from .. import __version__
from ..api.edition import Edition
from ..api.exchange import Exchange
from ..api.secret_redaction import NO_SECRETS, Secrets
from ..judge import drift
from ..judge.incident_evidence import IncidentEvidence
from ..judge.incidents import recognize_incidents
from ..judge.measured_results import CapacityResult, ListingCost, LoadResult, MediaResult, PollingEstimate
from ..judge.requirements import REQUIREMENTS, Level
from ..judge.verdict import EvidenceSource, FindingEntry, JudgeResult, SubjectKind, Verdict, VerdictName
from ..judge.verdict_decision import RAN_TO_ITS_END, RunEnding, RunScope, decide_verdict
from . import evidence_files as files
from .baseline import compare_with_baseline
from .curl_command import curl_command
from .escaping import replace_surrogates
from .pass_policy import DEFAULT_POLICY, PassPolicy, waiver_report
from .report import VerdictReport


class JudgeResultSource(Protocol):
    """The part of a judge that a verdict is made from; a sum of several judges has it as well."""

    @property
    def subject_kind(self) -> SubjectKind:
        """The kind of subject, as far as the responses show."""

    def finish(self) -> None:
        """Decide what is pending."""

    def result(self) -> JudgeResult:
        """The judge's result."""

    def evidence(self, fingerprint: str) -> Sequence[Exchange]:
        """The exchanges that prove the first finding of an entry, the earlier first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a command knows about its run, besides the judge's result."""

    command: str
    """The command that made the verdict: `conform`, `check`, `pytest`, …"""
    edition: Edition
    subject: str
    """The URL, or names of files."""
    judged_from: EvidenceSource = "live"
    scope: RunScope
    ending: RunEnding = RAN_TO_ITS_END
    started_at: str
    """RFC 3339 in UTC."""
    finished_at: str | None = None
    """The same; now if None."""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)  # Any: whatever a command's options hold, as JSON
    diagnosis: Mapping[str, str] = field(default_factory=dict)
    """What is at the URL, if nothing of Sora was seen; not shown if a complete run has findings."""
    notes: Collection[str] = ()
    """Facts worth knowing, one line each, in addition to the judge's."""
    secrets: Secrets = NO_SECRETS
    """Secrets that are removed from the report, evidence included."""
    load: LoadResult | None = None
    capacity: CapacityResult | None = None
    estimate: PollingEstimate | None = None
    cost: ListingCost | None = None
    media: MediaResult | None = None


def assemble_verdict(  # long: half of it names the fields of the verdict
    judge: JudgeResultSource,
    facts: RunFacts,
    policy: PassPolicy = DEFAULT_POLICY,
    *,
    name_evidence: bool = True,
    measure_drift: bool = True,
) -> VerdictReport:
    """
    Finish the judge, and assemble the report.

    Args:
        name_evidence: Whether findings name their evidence files; False if none will be written.
        measure_drift: Whether to compare the server with the documentation.

    Returns:
        The report: findings by level, each with evidence and a command line.
    """
    judge.finish()
    policy = replace(policy, day=date.fromisoformat(facts.started_at[:10]))
    result = judge.result()
    result = msgspec.structs.replace(result, findings=sorted(policy.mark(result.findings), key=_finding_rank))
    decision = decide_verdict(result, facts.scope, facts.ending, severity=policy.severity, require=policy.require)
    # A bare body has no request: there is no exchange to show, and the file itself is the evidence.
    proven = result.findings if facts.judged_from != "body" else []
    proof = {entry.fingerprint: tuple(judge.evidence(entry.fingerprint)) for entry in proven}
    evidence = _attach_evidence(result.findings, proof, facts, name_evidence=name_evidence)
    differences = (
        drift.measure_drift(facts.edition, result.findings, result.coverage, judge.evidence) if measure_drift else None
    )
    incidents = recognize_incidents(IncidentEvidence(result=result, proof=proof, drift=differences))
    verdict = Verdict(
        command=facts.command,
        verdict=decision.verdict,
        exit_code=int(decision.exit_code),
        reason=decision.reason,
        interrupted=facts.ending.interrupted,
        aborted=facts.ending.broken or facts.ending.aborted,
        diagnosis=dict(facts.diagnosis) if _saw_nothing(decision.verdict, facts.ending, result) else {},
        fail_on=policy.severity.fail_on.name,  # type: ignore[arg-type]  # the same names
        severity={id: level.name for id, level in policy.severity.by_requirement.items()},  # type: ignore[misc]  # as above
        edition=facts.edition.name,
        subject_kind=verdict_subject_kind(judge, facts.judged_from),
        subject=facts.subject,
        judged_from=facts.judged_from,
        labels=dict(facts.labels),
        started_at=facts.started_at,
        finished_at=facts.finished_at or format_utc_now(),
        harness_version=__version__,
        options=dict(facts.options),
        requirements=decision.requirements,
        incidents=incidents,
        findings=result.findings,
        coverage=msgspec.structs.replace(result.coverage, notes=[*result.coverage.notes, *facts.notes]),
        load=facts.load,
        capacity=facts.capacity,
        estimate=facts.estimate,
        cost=facts.cost,
        media=facts.media,
        drift=differences,
        baseline=compare_with_baseline(policy.baseline, result, [each.path for each in facts.edition.fields])
        if policy.baseline is not None
        else None,
        waivers=[waiver_report(each, result.findings, result.checked, policy.day) for each in policy.waivers],
    )
    return VerdictReport(verdict=redact_verdict(verdict, facts.secrets), evidence=evidence)


def _saw_nothing(verdict: VerdictName, ending: RunEnding, result: JudgeResult) -> bool:
    """Whether nothing of Sora was seen, and no run to its end has findings to show."""
    return not result.coverage.connections and (
        verdict == "inconclusive" or (verdict == "fail" and ending.aborted is not None)
    )


def _attach_evidence(
    findings: Sequence[FindingEntry], proof: Mapping[str, Sequence[Exchange]], facts: RunFacts, *, name_evidence: bool
) -> dict[str, Sequence[Exchange]]:
    """Set the evidence files and command lines of findings; returns the exchanges by fingerprint."""
    files.name_evidence_files(findings, proof)
    shown: dict[str, Sequence[Exchange]] = {
        entry.fingerprint: files.redact_exchanges(proof[entry.fingerprint], facts.secrets)
        for entry in findings
        if entry.evidence
    }
    for entry in findings:
        if not name_evidence:
            entry.evidence = []
        exchanges = proof.get(entry.fingerprint, ())
        wrong = next(
            (each for each in exchanges if each.key == entry.wrong_exchange), exchanges[-1] if exchanges else None
        )
        if wrong is not None and "://" in wrong.request.server:
            entry.reproduce = curl_command(wrong.request)
    return shown


def verdict_subject_kind(judge: JudgeResultSource, judged_from: EvidenceSource) -> SubjectKind:
    """The kind of subject; unknown for bare bodies, which count as recordings."""
    kind = judge.subject_kind
    return "recording" if judged_from == "body" and kind == "server" else kind


def format_utc_now() -> str:
    """The current time in the form of verdicts: RFC 3339 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def redact_verdict(verdict: Verdict, secrets: Secrets) -> Verdict:
    """Redact every string of a verdict, and replace lone surrogates."""

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
    """The order of findings: counted ones before known and waived ones, then by level."""
    place = _REQUIREMENT_ORDER.get(entry.requirement, len(_REQUIREMENT_ORDER))
    return (entry.status != "new", -Level[entry.level], place, entry.target or "", entry.field)


_REQUIREMENT_ORDER = {id: place for place, id in enumerate(REQUIREMENTS)}
