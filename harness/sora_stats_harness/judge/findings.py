"""
Aggregates findings: those with one fingerprint are one entry, with the first one's evidence and an exact count.

A server that is wrong in every response causes thousands of findings a second. So adding one to an existing entry is a
dictionary look-up; only the first one is worded and hashed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from ..api.exchange import Exchange, Target
from .check import Violation
from .evidence import EvidenceStore
from .requirement import DEFAULT_SEVERITY, Finding, Level, Severity
from .verdict import FindingEntry

MAX_FINGERPRINTS: Final = 1000
"""
Different fingerprints of one requirement that are listed one by one; whatever is beyond is one entry. Every counter under every
target is 972. It is a limit of each requirement: of a flood of one kind, the others' causes must not become a matter of chance.
"""

MAX_COUNTED_CONNECTIONS: Final = 100_000
"""The most connections that one entry counts."""


@dataclass(slots=True)  # counting in one of msgspec's takes ten times as long
class _AggregatedFinding:
    finding: Finding
    level: Level
    count: int = 0
    connections: set[str] = field(default_factory=set)
    compared: dict[Target, int] = field(default_factory=dict)


class FindingAggregator:
    """
    Findings by fingerprint.

    Args:
        on_finding: Called with every single finding; without it, only first findings are worded.
        on_occurrence: Called as often, with the entry's first finding and the level of this one.
    """

    def __init__(
        self,
        evidence: EvidenceStore,
        on_finding: Callable[[Finding], None] | None = None,
        on_occurrence: Callable[[Finding, Level], None] | None = None,
        severity: Severity = DEFAULT_SEVERITY,
    ) -> None:
        self._evidence = evidence
        self._on_finding = on_finding
        self._on_occurrence = on_occurrence
        self._severity = severity
        self._entries: dict[tuple[object, ...], _AggregatedFinding] = {}
        self._listed: Counter[object] = Counter()
        """By requirement, the entries."""
        self.unlisted_counts: Counter[str] = Counter()
        """How many findings went into a requirement's entry for all the rest."""

    def add_violation(self, violation: Violation, compared: Target | None = None) -> None:
        """
        Add what a check found; costs a look-up, unless it is the first of its entry.

        `compared` is the target of the response with which the wrong one was compared.
        """
        requirement, level = violation.requirement, violation.level
        if level is None:
            level = requirement.level
        if self._severity.by_requirement:
            level = self._severity.weigh(requirement, level)
        key = (requirement.id, violation.exchange.request.target, violation.field, violation.fault)
        self._add(key, level, violation, compared)

    def add_finding(self, finding: Finding) -> None:
        """Add a finding that is worded already."""
        self._add((finding.requirement, finding.target, finding.field, finding.fault), finding.level, finding)

    def _to_finding(self, found: Violation | Finding) -> Finding:
        """In words, with what proves it."""
        if isinstance(found, Violation):
            return found.to_finding(self._evidence)
        exchanges = found.exchanges
        if not exchanges:
            return found
        proof = self._evidence.prove(exchanges, found.wrong or exchanges[-1], connection_id=found.connection_id)
        return replace(found, exchanges=proof)

    def _add(
        self, key: tuple[object, ...], level: Level, found: Violation | Finding, compared: Target | None = None
    ) -> None:
        entry = self._entries.get(key) or self._add_entry(key, found, level)
        if self._on_finding is not None:
            self._on_finding(self._to_finding(found) if entry.count else entry.finding)
        if self._on_occurrence is not None:
            self._on_occurrence(entry.finding, level)
        entry.count += 1
        connections, connection_id = entry.connections, found.connection_id
        if (
            connection_id not in connections
            and connection_id is not None
            and len(connections) < MAX_COUNTED_CONNECTIONS
        ):
            connections.add(connection_id)
        if level is not entry.level and level > entry.level:
            entry.level = level
        if compared is not None:
            counts = entry.compared
            counts[compared] = counts.get(compared, 0) + 1

    def _add_entry(self, key: tuple[object, ...], found: Violation | Finding, level: Level) -> _AggregatedFinding:
        if self._listed[key[0]] >= MAX_FINGERPRINTS:
            self.unlisted_counts[str(key[0])] += 1
            key = (key[0], None, None, "more")
            if (entry := self._entries.get(key)) is not None:
                return entry
        entry = self._entries[key] = _AggregatedFinding(finding=self._to_finding(found), level=level)
        self._listed[key[0]] += 1
        return entry

    def evidence_of(self, fingerprint: str) -> tuple[Exchange, ...]:
        """The exchanges that prove the first finding with a fingerprint, the earlier first."""
        for entry in self._entries.values():
            if entry.finding.fingerprint == fingerprint:
                return entry.finding.exchanges
        return ()

    def entries(self) -> list[FindingEntry]:
        """All findings in the form of the verdict, in the order in which they first occurred."""
        return [
            FindingEntry(
                requirement=entry.finding.requirement,
                level=entry.level.name,
                fingerprint=entry.finding.fingerprint,
                target=entry.finding.target,
                field=entry.finding.field,
                pointer=entry.finding.pointer,
                connection_id=entry.finding.connection_id,
                message=entry.finding.message,
                expected=entry.finding.expected,
                actual=entry.finding.actual,
                count=entry.count,
                connections=len(entry.connections),
                compared={target.operation: count for target, count in entry.compared.items()},
                exchanges=[exchange.key for exchange in entry.finding.exchanges],
                wrong_exchange=None if entry.finding.wrong is None else entry.finding.wrong.key,
            )
            for entry in self._entries.values()
        ]
