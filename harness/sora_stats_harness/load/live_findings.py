"""
Keeps the newest findings of a running test, for Locust's page and for metrics.

The judge's own result is complete and exact, but takes time to compute. This one is updated with each finding, and is
small enough to be sent to a master every few seconds. A verdict is never made from it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import msgspec

from ..judge.requirements import DEFAULT_SEVERITY, Finding, Level, Severity
from ..judge.verdict import SubjectKind
from .request_metrics import MetricsState

MAX_SHOWN_FINDINGS: Final = 50
"""How many findings are shown, the newest first."""

MAX_TEXT_CHARACTERS: Final = 200
"""The most characters of one text from a server that are passed on."""


OTEL_COUNTER_NAME: Final = "sora.findings"


@dataclass(frozen=True, slots=True)
class _RepeatedFinding:
    """What there is to count when a finding comes again."""

    finding: Finding
    """Kept, so that no other one gets its id()."""
    level: Level
    rule: tuple[str, str]
    """The requirement and the name of the level."""
    fails: bool
    row: dict[str, Any]  # Any: texts and numbers


class LiveFindings:
    """The newest kinds of finding, and how many findings there were of each level."""

    def __init__(self, severity: Severity = DEFAULT_SEVERITY) -> None:
        self._severity = severity
        self.failing: int = 0
        """The number of findings whose level fails the run, unless they are waived or known."""
        self.counts: dict[str, int] = {level.name: 0 for level in Level}
        self.kinds: dict[str, int] = {level.name: 0 for level in Level}
        """How many kinds of findings there are, by requirement, target and field."""
        self.requirement_counts: dict[tuple[str, str], int] = {}
        """The number of findings by requirement and level."""
        self._kinds: dict[tuple[str, str | None, str], dict[str, Any]] = {}  # Any: texts and numbers
        self._newest: deque[dict[str, Any]] = deque(maxlen=MAX_SHOWN_FINDINGS)
        self._repeated: dict[int, _RepeatedFinding] = {}
        """By the id() of the finding: a server that is wrong in every response repeats itself."""

    def add(self, finding: Finding, level: Level) -> bool:
        """Add a finding: the first one of its kind, and the level of this one. Returns whether it fails the run."""
        repeated = self._repeated.get(id(finding))
        if repeated is None or repeated.level is not level:
            repeated = self._repeated[id(finding)] = self._prepare(finding, level)
        self.counts[repeated.rule[1]] += 1
        self.failing += repeated.fails
        self.requirement_counts[repeated.rule] += 1
        repeated.row["count"] += 1
        return repeated.fails

    def _prepare(self, finding: Finding, level: Level) -> _RepeatedFinding:
        rule = finding.requirement, level.name
        self.requirement_counts.setdefault(rule, 0)
        return _RepeatedFinding(finding, level, rule, self._severity.fails(level), self._row_of(finding, level))

    def _row_of(self, finding: Finding, level: Level) -> dict[str, Any]:  # Any: texts and numbers
        key = (finding.requirement, finding.target, finding.field)
        row = self._kinds.get(key)
        if row is not None:
            return row
        row = {
            "at": time.time(),
            "requirement": finding.requirement,
            "level": level.name,
            "target": finding.target or "",
            "field": finding.field[:MAX_TEXT_CHARACTERS],
            "message": finding.message[:MAX_TEXT_CHARACTERS],
            "expected": finding.expected[:MAX_TEXT_CHARACTERS],
            "actual": finding.actual[:MAX_TEXT_CHARACTERS],
            "count": 0,
        }
        if len(self._kinds) < 1000:
            self._kinds[key] = row
            self.kinds[level.name] += 1
        self._newest.appendleft(row)
        return row

    def state(self) -> FindingsState:
        """The state as a message; it changes with this object."""
        return FindingsState(
            failing=self.failing,
            counts=self.counts,
            kinds=self.kinds,
            requirements=[(*rule, count) for rule, count in self.requirement_counts.items()],
            newest=list(self._newest),
        )


class FindingsState(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one process so far, as a message."""

    failing: int
    counts: dict[str, int]
    kinds: dict[str, int]
    requirements: list[tuple[str, str, int]]
    """Requirement, level, and number of findings."""
    newest: list[dict[str, Any]]  # Any: texts and numbers


class LiveState(msgspec.Struct, frozen=True, kw_only=True):
    """What one process counted, timed and found so far, as a message."""

    metrics: MetricsState
    lasted_s: float
    findings: FindingsState
    subject_kind: SubjectKind


def merge_requirement_counts(states: Iterable[FindingsState]) -> Counter[tuple[str, str]]:
    """The number of findings by requirement and level, over several processes."""
    counts = Counter[tuple[str, str]]()
    for state in states:
        for requirement, level, count in state.requirements:
            counts[requirement, level] += count
    return counts


def merge_live_findings(
    states: Iterable[FindingsState],
) -> tuple[dict[str, int], dict[str, int], list[dict[str, Any]]]:  # Any: as above
    """
    Occurrences and kinds by level, and the newest kinds, over several processes; a kind that two have counts once.

    For kinds that are no longer among the newest it is unknown whether they are the same, so the largest number is
    used.
    """
    counts, kinds = ({level.name: 0 for level in Level} for _ in range(2))
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for state in states:
        for level, count in state.counts.items():
            counts[level] += count
            kinds[level] = max(kinds[level], state.kinds[level])
        for row in state.newest:
            key = (row["requirement"], row["target"], row["field"])
            known = rows.get(key)
            if known is None:
                rows[key] = dict(row)
            else:
                known["count"] += row["count"]
                known["at"] = min(known["at"], row["at"])
    shown = Counter(row["level"] for row in rows.values())
    kinds = {level: max(count, shown[level]) for level, count in kinds.items()}
    return counts, kinds, sorted(rows.values(), key=lambda row: row["at"], reverse=True)[:MAX_SHOWN_FINDINGS]


def export_findings(environment: Any, findings: LiveFindings) -> None:  # Any: locust.env.Environment
    """
    Export the number of findings by requirement and level to OpenTelemetry if Locust's `--otel` is given; Locust itself
    exports the times of requests. No effect if OpenTelemetry is not installed.
    """
    if not getattr(environment.parsed_options, "otel", False) or find_spec("opentelemetry") is None:
        return
    from opentelemetry import metrics

    def observe(_: object) -> Iterable[metrics.Observation]:
        for (requirement, level), count in list(findings.requirement_counts.items()):
            yield metrics.Observation(count, {"requirement": requirement, "level": level})

    metrics.get_meter("sora-harness").create_observable_counter(
        OTEL_COUNTER_NAME, callbacks=[observe], unit="{finding}", description="Violations found so far"
    )
