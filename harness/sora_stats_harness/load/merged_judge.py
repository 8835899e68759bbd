"""
Merges the results of judges on several machines.

Processes of one machine share a clock, and their exchanges are judged together. From another machine only its own
judges' results are available: counts, findings with their evidence, and coverage. They are merged here.

Only the server's timestamps can show that a counter fell between responses to different machines. So each judge also
sends samples of each connection, and of two samples the one with the earlier timestamp must not have a larger counter;
as for overlapping responses, that is PROVEN. Each judge has compared its own samples itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from ..api.edition import Edition, FieldKind, make_json_pointer
from ..api.exchange import Exchange
from ..api.secret_redaction import NO_SECRETS
from ..judge.checks.monotonic import MONOTONIC
from ..judge.checks.timestamp_order import TIMESTAMP_ORDER
from ..judge.connection_state import DEFAULT_TEAR_NS
from ..judge.edition_decoder import EditionDecoder
from ..judge.evidence import EvidenceStore
from ..judge.findings import FindingAggregator
from ..judge.pipeline import Judge
from ..judge.requirements import DEFAULT_SEVERITY, Finding, Level, Severity
from ..judge.verdict import CoverageSummary, FindingEntry, JudgeResult, SubjectKind
from ..recording import format as lines
from ..recording.format import DamagedLineError
from ..reports.verdict_assembly import JudgeResultSource
from .sample_trail import NotedSample, SampleTrail, fallen_counters
from .step_falls import StepFall

_SUMMED_COVERAGE_FIELDS: Final = (
    "exchanges",
    "samples",
    "errors",
    "late",
    "forgotten",
    "slow_path",
    "relations_unconfirmed",
    "damaged",
    "withheld",
)


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one judge, as a message."""

    subject_kind: SubjectKind
    result: JudgeResult
    exchanges: list[tuple[str, str]]
    """The exchanges that prove findings, each as its run and its line of a recording."""
    evidence: dict[str, list[int]]
    """The indexes of the exchanges that prove each fingerprint, the earlier first."""
    samples: dict[str, list[NotedSample]] = {}
    """The samples of each connection, the earliest first."""
    responses: list[tuple[str, str, str]] = []
    """Exchanges that contain these samples, up to a limit: connection, run and line."""


def make_worker_report(judge: Judge, trail: SampleTrail) -> WorkerReport:
    """A judge's result for another machine."""
    judge.finish()
    result = judge.result()
    proofs = {entry.fingerprint: judge.evidence(entry.fingerprint) for entry in result.findings}
    distinct = {id(exchange): exchange for proof in proofs.values() for exchange in proof}
    places = {each: place for place, each in enumerate(distinct)}
    return WorkerReport(
        subject_kind=judge.subject_kind,
        result=result,
        exchanges=[_encode_exchange(exchange) for exchange in distinct.values()],
        evidence={fingerprint: [places[id(each)] for each in proof] for fingerprint, proof in proofs.items()},
        samples=trail.samples(),
        responses=[(connection_id, *_encode_exchange(exchange)) for connection_id, exchange in trail.evidence()],
    )


def _encode_exchange(exchange: Exchange) -> tuple[str, str]:
    return exchange.run, lines.encode_line(lines.exchange_to_line(exchange, NO_SECRETS)).decode()


class MergedJudge:
    """
    Combines several judges, and is used like one.

    Args:
        here: The judge of this machine's exchanges, or a source of its result; None if there were none.
        reports: The results of judges on other machines.
        trail: The samples that this machine's judge saw; None if there was none.
        tear_s, severity: The same as the judges had.
    """

    def __init__(
        self,
        edition: Edition,
        here: JudgeResultSource | None,
        reports: Sequence[WorkerReport],
        trail: SampleTrail | None = None,
        *,
        tear_s: float | None = None,
        severity: Severity = DEFAULT_SEVERITY,
    ) -> None:
        self._edition = edition
        self._here = here
        self._reports = reports
        self._trail = trail
        self._tear_ns = DEFAULT_TEAR_NS if tear_s is None else int(tear_s * 1e9)
        self._severity = severity
        self._level = Level.INFO if tear_s is None else Level.PROVEN
        self._compared_findings: FindingAggregator | None = None
        """The findings from comparing samples; None before that."""
        self._compared = 0
        self._falls: Sequence[StepFall] = ()

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one response said so."""
        kinds = {each.subject_kind for each in self._reports}
        if self._here is not None:
            kinds.add(self._here.subject_kind)
        return next((kind for kind in ("simulator", "server") if kind in kinds), "recording")

    def add_falls(self, falls: Sequence[StepFall]) -> None:
        """Add the counters that fell between steps of a search; call this before `finish`."""
        self._falls = falls

    def finish(self) -> None:
        """Finish this machine's judge, and compare samples across machines."""
        if self._here is not None:
            self._here.finish()
        if self._compared_findings is None:
            self._compared_findings = FindingAggregator(EvidenceStore())
            self._compare_samples(self._compared_findings)

    def result(self) -> JudgeResult:
        """The merged result."""
        results = [each.result for each in self._reports]
        if self._here is not None:
            results.insert(0, self._here.result())
        result = merge_judge_results(self._edition, results)
        if self._compared_findings is not None:
            result.checked[TIMESTAMP_ORDER.id] = result.checked.get(TIMESTAMP_ORDER.id, 0) + self._compared
            result.findings = _merge_findings([result.findings, self._compared_findings.entries()])
        return result

    def evidence(self, fingerprint: str) -> Sequence[Exchange]:
        """The evidence of the first judge that found it, in the order of `result`."""
        if self._here is not None and (found := self._here.evidence(fingerprint)):
            return found
        for each in self._reports:
            if places := each.evidence.get(fingerprint):
                exchanges = [_decode_exchange(*each.exchanges[place]) for place in places]
                return [exchange for exchange in exchanges if exchange is not None]
        return self._compared_findings.evidence_of(fingerprint) if self._compared_findings is not None else ()

    def _compare_samples(self, findings: FindingAggregator) -> None:
        """Compare the samples of each judge with what the others had seen before, by the server's timestamps."""
        parts = [each.samples for each in self._reports]
        responses = {
            (connection_id, exchange.key): exchange
            for each in self._reports
            for connection_id, *exchange_text in each.responses
            if (exchange := _decode_exchange(*exchange_text)) is not None
        }
        if self._trail is not None:
            parts.append(self._trail.samples())
            responses |= {(connection_id, each.key): each for connection_id, each in self._trail.evidence()}
        blocks = EditionDecoder(self._edition).blocks
        for connection_id in sorted({id for part in parts for id in part}):
            seen = [part[connection_id] for part in parts if connection_id in part]
            for early, late in _ordered_pairs(seen, self._tear_ns):
                self._compared += 1
                keys = [(connection_id, each.exchange) for each in (early, late)]
                proof = tuple(responses[key] for key in keys if key in responses)
                for path, before, after in fallen_counters(blocks, early, late):
                    found = _timestamp_order_finding(path, connection_id, before, after, late, proof)
                    findings.add_finding(replace(found, level=self._severity.weigh(TIMESTAMP_ORDER, self._level)))
        for fall in self._falls:
            assert fall.finding.connection_id is not None, "it fell between samples of one connection"
            keys = [(fall.finding.connection_id, each.exchange) for each in (fall.early, fall.late)]
            proof = tuple(responses[key] for key in keys if key in responses)
            level = self._severity.weigh(MONOTONIC, fall.finding.level)
            findings.add_finding(replace(fall.finding, exchanges=proof, level=level))


def _ordered_pairs(seen: Sequence[Sequence[NotedSample]], tear_ns: int) -> Iterator[tuple[NotedSample, NotedSample]]:
    """
    Pairs of samples of one connection from different judges, where the first was stamped before the second.

    Each sample is paired with the newest earlier one of each other judge; still earlier ones can't be larger, or that
    judge has found so itself. The counters of a response may have been read up to `tear_ns` after its timestamp.
    """
    for place, later in enumerate(seen):
        for other in (*seen[:place], *seen[place + 1 :]):
            number = 0
            for late in later:
                while number < len(other) and other[number].stamp_ns < late.stamp_ns - tear_ns:
                    number += 1
                if number and other[number - 1].server == late.server:
                    yield other[number - 1], late


def _timestamp_order_finding(
    path: tuple[str, ...],
    connection_id: str,
    before: int,
    after: int,
    late: NotedSample,
    proof: tuple[Exchange, ...],
) -> Finding:
    target = proof[-1].request.target if proof and proof[-1].key == late.exchange else None
    return Finding(
        requirement=TIMESTAMP_ORDER.id,
        level=TIMESTAMP_ORDER.level,
        target=target.operation if target is not None else None,
        field=make_json_pointer(path),
        pointer=make_json_pointer(path),
        connection_id=connection_id,
        message="the response with the earlier timestamp, to another worker, has the larger counter",
        expected=f"at least {before}",
        actual=str(after),
        fault="stamped late",
        exchanges=proof,
    )


def _decode_exchange(run: str, line: str) -> Exchange | None:
    try:
        decoded = lines.decode_line(line.encode())
        return lines.line_to_exchange(decoded, run) if isinstance(decoded, lines.RecordedExchange) else None
    except DamagedLineError:
        return None


def merge_judge_results(edition: Edition, results: Sequence[JudgeResult]) -> JudgeResult:
    """
    Merge the results of several judges.

    An entry keeps the first one's evidence. Its number of connections is the largest one, since it is unknown whether
    they are the same.
    """
    checked: Counter[str] = Counter()
    by_target: defaultdict[str, Counter[str]] = defaultdict(Counter)
    crashed: dict[str, str] = {}
    for result in results:
        checked.update(result.checked)
        for requirement, counts in result.checked_by_target.items():
            by_target[requirement].update(counts)
        crashed = result.crashed | crashed
    return JudgeResult(
        checked=dict(checked),
        checked_by_target={requirement: dict(counts) for requirement, counts in by_target.items()},
        findings=_merge_findings([result.findings for result in results]),
        coverage=_merge_coverage(edition, [result.coverage for result in results]),
        crashed=crashed,
        withheld=_sorted_union(result.withheld for result in results),
        masked=_sorted_union(result.masked for result in results),
        unusable=_sorted_union(result.unusable for result in results),
        late=_sorted_union(result.late for result in results),
        forgotten=_sorted_union(result.forgotten for result in results),
        listing_changes=[change for result in results for change in result.listing_changes],
        user_requirements=list({row.id: row for result in results for row in result.user_requirements}.values()),
    )


def _merge_findings(parts: Sequence[Sequence[FindingEntry]]) -> list[FindingEntry]:
    entries: dict[str, FindingEntry] = {}
    for entry in (entry for part in parts for entry in part):
        known = entries.get(entry.fingerprint)
        if known is None:
            entries[entry.fingerprint] = msgspec.structs.replace(entry)
        else:
            known.count += entry.count
            known.connections = max(known.connections, entry.connections)
            known.compared = dict(Counter(known.compared) + Counter(entry.compared))
    return list(entries.values())


def _sorted_union(parts: Any) -> list[str]:  # Any: collections of texts
    return sorted(set().union(*parts))


def _merge_coverage(edition: Edition, parts: Sequence[CoverageSummary]) -> CoverageSummary:
    by_target: Counter[str] = Counter()
    for part in parts:
        by_target.update(part.by_target)
    documented = [field.dotted for field in edition.fields]
    counters = [field.dotted for field in edition.fields if field.kind is FieldKind.COUNTER]
    never_seen = set(documented).intersection(*(part.never_seen for part in parts))
    unusable = set().union(*(part.unusable for part in parts))
    grown = set().union(*(set(counters) - {*part.never_grew, *part.never_seen} for part in parts)) - unusable
    return CoverageSummary(
        **{name: sum(getattr(part, name) for part in parts) for name in _SUMMED_COVERAGE_FIELDS},
        connections=max((part.connections for part in parts), default=0),
        by_target=dict(by_target),
        fields_documented=len(documented),
        fields_seen=len(documented) - len(never_seen),
        never_seen=[path for path in documented if path in never_seen],
        counters_grew=len(grown),
        never_grew=[path for path in counters if path not in grown | never_seen | unusable],
        unusable=[path for path in counters if path in unusable],
        longest_gap_s=max((part.longest_gap_s for part in parts), default=0),
        truncated=any(part.truncated for part in parts),
        notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
    )
