"""
Puts a verdict together from what a judge counted, for the command line and for the pytest plugin.

Here findings get their order, their evidence files and their command lines, and secrets are removed from every string,
so that no reporter has to do it.
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
from .pass_policy import DEFAULT_POLICY, PassPolicy
from .report import VerdictReport
from .waivers import waiver_reports


class JudgeResultSource(Protocol):
    """What is read from a judge, or from the sum of several."""

    @property
    def subject_kind(self) -> SubjectKind:
        """What responded, as far as the responses tell."""

    def finish(self) -> None:
        """Settle what waits; once."""

    def result(self) -> JudgeResult:
        """What was counted."""

    def evidence(self, fingerprint: str) -> Sequence[Exchange]:
        """The exchanges that prove the first finding of an entry, the earlier first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a command knows of its run, besides what the judge counted."""

    command: str
    """What made the verdict: `conform`, `check`, `pytest`, …"""
    edition: Edition
    subject: str
    """URL, or names of files."""
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
    """What stands at the URL, where nothing of Sora was seen; not told where there are findings of a run to its end."""
    notes: Collection[str] = ()
    """Facts worth knowing, one line each, besides those that the judge has."""
    secrets: Secrets = NO_SECRETS
    """Nothing of them stands in the report, evidence included."""
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
    Finish the judge and sum up.

    Args:
        judge: Is finished here, and read.
        name_evidence: Whether findings name their evidence files; not where none will be written.
        measure_drift: Whether to compare the server with the documentation.

    Returns:
        The report: findings with the weightiest first, each with evidence and a command line.
    """
    judge.finish()
    policy = replace(policy, day=date.fromisoformat(facts.started_at[:10]))
    result = judge.result()
    result = msgspec.structs.replace(result, findings=sorted(policy.mark(result.findings), key=_finding_rank))
    decision = decide_verdict(result, facts.scope, facts.ending, severity=policy.severity, require=policy.require)
    # A bare body was never asked for: there is no exchange to show, and the file itself is the evidence.
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
        waivers=waiver_reports(policy.waivers, result.findings, result.checked, policy.day),
    )
    return VerdictReport(verdict=redact_verdict(verdict, facts.secrets), evidence=evidence)


def _saw_nothing(verdict: VerdictName, ending: RunEnding, result: JudgeResult) -> bool:
    """Whether nothing of Sora was seen, and no run to its end has findings to show."""
    return not result.coverage.connections and (
        verdict == "inconclusive" or (verdict == "fail" and ending.aborted is not None)
    )


def _attach_evidence(
    findings: Sequence[FindingEntry],
    proof: Mapping[str, Sequence[Exchange]],
    facts: RunFacts,
    *,
    name_evidence: bool,
) -> dict[str, Sequence[Exchange]]:
    """Give findings their evidence files and command lines; returns the exchanges by fingerprint."""
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
