"""Counts the exchanges, bodies and samples that a judge has seen, by target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..api.exchange import Target
from .verdict import CoverageSummary, SubjectKind

AskedFor = Target | None
"""A target; None stands for requests that are wrong on purpose."""

ASKED_FOR: Final[tuple[AskedFor, ...]] = (*Target, None)


@dataclass(slots=True)
class TargetCounts:
    """The counts of one target's responses."""

    complete: int = 0
    without_http: int = 0
    bare_bodies: int = 0
    """Exchanges with a complete response; those from recordings of samples only; bodies from files."""
    accepted: int = 0
    withheld: int = 0
    unsearched_bodies: int = 0
    """
    Responses whose body is judged; those with a withheld body; those that were not searched for repeated keys.
    """
    samples: int = 0
    labelled_samples: int = 0
    slow_samples: int = 0
    comparable_samples: int = 0
    named_samples: int = 0
    """
    Samples; those with data channels, not accepted by the fast decoder, with one before to compare with, and of the
    very connection that the request has named.
    """

    @property
    def accepted_by_http(self) -> int:
        """Responses to valid requests with status 200."""
        return self.accepted - self.without_http - self.bare_bodies

    @property
    def bodies(self) -> int:
        """How many bodies were read."""
        return self.accepted - self.withheld

    @property
    def bodies_by_http(self) -> int:
        """Those of them that came by HTTP, or from a file."""
        return self.bodies - self.without_http

    @property
    def searched_bodies(self) -> int:
        """Those that were searched for repeated keys."""
        return self.bodies - self.unsearched_bodies

    @property
    def comparable_channels(self) -> int:
        """How many samples with data channels had one before to compare with, at most."""
        return min(self.comparable_samples, self.labelled_samples)


class ExchangeCounts:
    """Counts for the verdict's coverage, and what kind of subject the responses come from."""

    def __init__(self, documented_fields: int) -> None:
        self._documented_fields = documented_fields
        self._connections: set[str] = set()
        self.returned: int = 0
        """Connections that reappeared after they were forgotten."""
        self.has_simulator = False
        """Whether a response said that it came from the simulator."""
        self.errors = 0
        """Exchanges without a complete response."""
        self.late = 0
        """Exchanges that came out of order."""
        self.of_target: dict[AskedFor, TargetCounts] = {target: TargetCounts() for target in ASKED_FOR}

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one response said so; `recording` if there were only bare bodies."""
        if self.has_simulator:
            return "simulator"
        return "server" if self.errors or self.complete > self._total("without_http") else "recording"

    @property
    def complete(self) -> int:
        """Exchanges with a complete response."""
        return self._total("complete")

    def add_connection(self, name: str, *, returned: bool = False) -> None:
        """Count a connection, and whether it reappeared after it was forgotten."""
        self._connections.add(name)
        self.returned += returned

    def summarize(self) -> CoverageSummary:
        """The summary with these counts; the caller fills in the rest."""
        return CoverageSummary(
            fields_documented=self._documented_fields,
            exchanges=self.complete + self.errors + self._total("bare_bodies"),
            errors=self.errors,
            late=self.late,
            withheld=self._total("withheld"),
            slow_path=self._total("slow_samples"),
            forgotten=self.returned,
            samples=self._total("samples"),
            connections=len(self._connections),
            by_target={
                target.operation: counts.accepted
                for target, counts in self.of_target.items()
                if target is not None and counts.accepted
            },
        )

    def _total(self, name: str) -> int:
        total: int = sum(getattr(counts, name) for counts in self.of_target.values())
        return total
