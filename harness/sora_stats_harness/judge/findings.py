"""
Aggregates findings: those with one fingerprint are one entry, with the first one's evidence and an exact count.

A server that is wrong in every response causes thousands of findings a second. So adding one to an existing entry is a
dictionary look-up; only the first one is worded and hashed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final

import msgspec

from ..api.exchange import Exchange
from .check import Violation
from .evidence import EvidenceStore
from .requirement import DEFAULT_SEVERITY, Finding, Level, Severity
from .verdict import FindingEntry

MAX_FINGERPRINTS: Final = 1000
"""How many fingerprints are listed one by one; beyond that, there is one entry for each requirement."""

MAX_COUNTED_CONNECTIONS: Final = 100_000
"""The most connections that one entry counts."""


class _AggregatedFinding(msgspec.Struct, kw_only=True):
    finding: Finding
    level: Level
    count: int = 0
    connections: set[str] = msgspec.field(default_factory=set)
    compared: dict[str, int] = msgspec.field(default_factory=dict)


class FindingAggregator:
    """
    Findings by fingerprint.

    Args:
        evidence: Keeps the proof of each entry's first finding.
        on_finding: Called with every single finding; without it, only first findings are worded.
        on_occurrence: Called as often, with the entry's first finding and the level of this one.
        severity: What each requirement weighs in this run.
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
        self._entries: dict[tuple[Hashable, ...], _AggregatedFinding] = {}
        self.unlisted_counts: Counter[str] = Counter()
        """How many findings went into a requirement's entry for all the rest."""

    def add_violation(self, violation: Violation, compared: str | None = None) -> None:
        """
        Add what a check found; costs a look-up, unless it is the first of its entry.

        `compared` is the target of the response with which the wrong one was compared.
        """
        requirement, target = violation.requirement, violation.exchange.request.target
        key = (requirement.id, None if target is None else target.operation, violation.field, violation.fault)
        level = self._severity.weigh(requirement, violation.weight)
        entry = self._add(key, level, violation.connection_id, lambda: violation.to_finding(self._evidence))
        if compared is not None:
            entry.compared[compared] = entry.compared.get(compared, 0) + 1

    def add_finding(self, finding: Finding) -> None:
        """Add a finding that is worded already."""
        key = (finding.requirement, finding.target, finding.field, finding.fault)
        self._add(key, finding.level, finding.connection_id, lambda: self._prove(finding))

    def _prove(self, finding: Finding) -> Finding:
        exchanges = finding.exchanges
        if not exchanges:
            return finding
        proof = self._evidence.prove(exchanges, finding.wrong or exchanges[-1], connection_id=finding.connection_id)
        return replace(finding, exchanges=proof)

    def _add(
        self, key: tuple[Hashable, ...], level: Level, connection_id: str | None, make: Callable[[], Finding]
    ) -> _AggregatedFinding:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._add_entry(key, make, level)
        if self._on_finding is not None:
            self._on_finding(make() if entry.count else entry.finding)
        if self._on_occurrence is not None:
            self._on_occurrence(entry.finding, level)
        entry.count += 1
        connections = entry.connections
        if connection_id is not None and len(connections) < MAX_COUNTED_CONNECTIONS:
            connections.add(connection_id)
        if level > entry.level:
            entry.level = level
        return entry

    def _add_entry(self, key: tuple[Hashable, ...], make: Callable[[], Finding], level: Level) -> _AggregatedFinding:
        if len(self._entries) >= MAX_FINGERPRINTS:
            self.unlisted_counts[str(key[0])] += 1
            key = (key[0], None, None, "more")
            if (entry := self._entries.get(key)) is not None:
                return entry
        entry = self._entries[key] = _AggregatedFinding(finding=make(), level=level)
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
                compared=dict(entry.compared),
                exchanges=[exchange.key for exchange in entry.finding.exchanges],
                wrong_exchange=None if entry.finding.wrong is None else entry.finding.wrong.key,
            )
            for entry in self._entries.values()
        ]
