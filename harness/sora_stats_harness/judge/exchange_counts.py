"""
What a judge counts of the exchanges themselves, whatever becomes of them.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from ..api.exchange import Target
from .check import Observed
from .verdict import CoverageSummary, SubjectKind


class ExchangeCounts:
    """Counts for the verdict's coverage, and whose responses these are."""

    def __init__(self, documented_fields: int) -> None:
        self._summary = CoverageSummary(fields_documented=documented_fields)
        self._by_target: Counter[Target] = Counter()
        self._connections: set[str] = set()
        self._has_server = False
        self._has_simulator = False
        self.complete = 0
        """Exchanges with a complete response."""
        self.bodies = self.searched_bodies = 0
        """Bodies that were read, and those in which repeated keys were looked for."""
        self.rewritten_bodies = 0
        """Of these, those that a recorder wrote."""
        self.samples = self.labelled_samples = 0
        """Samples, and those with data channels."""

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one response said so; `recording` where there were bare bodies only."""
        if self._has_simulator:
            return "simulator"
        return "server" if self._has_server else "recording"

    def add_exchange(self, seen: Observed) -> None:
        """Count an exchange, whether it has a complete response or not."""
        self._summary.exchanges += 1
        if seen.headers is not None and seen.headers.simulator:
            self._has_simulator = True
        if seen.response is None:
            self._summary.errors += 1
        else:
            self.complete += 1
        if seen.response is None or not seen.bare:
            self._has_server = True

    def add_late(self) -> None:
        """Count an exchange that came out of order."""
        self._summary.late += 1

    def add_bare_body(self, target: Target) -> None:
        """Count a body without an exchange."""
        self._summary.exchanges += 1
        self._by_target[target] += 1

    def add_response(self, target: Target, *, withheld: bool) -> None:
        """Count a response whose body is judged."""
        self._by_target[target] += 1
        self._summary.withheld += withheld

    def add_slow_samples(self, count: int) -> None:
        """Count samples that the fast decoder did not accept."""
        self._summary.slow_path += count

    def add_connection(self, name: str, *, returned: bool = False) -> None:
        """Count a connection, and whether it came back after it was forgotten."""
        self._connections.add(name)
        self._summary.forgotten += returned

    def summarize(self) -> CoverageSummary:
        """A copy of the counts; what else belongs into the summary is still to be filled in."""
        return msgspec.structs.replace(
            self._summary,
            samples=self.samples,
            connections=len(self._connections),
            by_target={target.operation: count for target, count in self._by_target.items()},
            notes=[],
        )
