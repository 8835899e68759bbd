"""Counts the exchanges, bodies and samples that a judge has seen."""

from __future__ import annotations

from ..api.exchange import Target
from .verdict import CoverageSummary, SubjectKind


class ExchangeCounts:
    """Counts for the verdict's coverage, and whose responses these are."""

    def __init__(self, documented_fields: int) -> None:
        self._documented_fields = documented_fields
        self._connections: set[str] = set()
        self._returned = 0
        self.has_simulator = False
        """Whether a response said that it came from the simulator."""
        self.complete = self.errors = self.bare_bodies = 0
        """Exchanges with a complete response, those without one, and bodies without an exchange."""
        self.without_http = 0
        """Of the complete ones, those of which a recording has the samples alone."""
        self.late = 0
        """Exchanges that came out of order."""
        self.by_target: dict[Target, int] = dict.fromkeys(Target, 0)
        """Responses whose body is judged, those with a withheld body included."""
        self.withheld = 0
        self.unsearched_bodies = 0
        """Bodies that were read, and in which repeated keys were not looked for."""
        self.samples = self.labelled_samples = self.slow_samples = self.comparable_samples = self.named_samples = 0
        """
        Samples; those with data channels, not accepted by the fast decoder, with one before to compare with, and of the
        very connection that the request has named.
        """

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one response said so; `recording` where there were bare bodies only."""
        if self.has_simulator:
            return "simulator"
        return "server" if self.errors or self.complete > self.without_http else "recording"

    @property
    def accepted(self) -> int:
        """Responses to valid requests with status 200."""
        return sum(self.by_target.values()) - self.without_http - self.bare_bodies

    @property
    def bodies(self) -> int:
        """Bodies that were read."""
        return sum(self.by_target.values()) - self.withheld

    def add_connection(self, name: str, *, returned: bool = False) -> None:
        """Count a connection, and whether it came back after it was forgotten."""
        self._connections.add(name)
        self._returned += returned

    def summarize(self) -> CoverageSummary:
        """The counts; what else belongs into the summary is still to be filled in."""
        return CoverageSummary(
            fields_documented=self._documented_fields,
            exchanges=self.complete + self.errors + self.bare_bodies,
            errors=self.errors,
            late=self.late,
            withheld=self.withheld,
            slow_path=self.slow_samples,
            forgotten=self._returned,
            samples=self.samples,
            connections=len(self._connections),
            by_target={target.operation: count for target, count in self.by_target.items() if count},
        )
