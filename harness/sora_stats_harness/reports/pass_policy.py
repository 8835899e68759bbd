"""
What a user lets pass: waivers, an earlier verdict, and findings below a level.

Whatever asks whether a finding makes a run fail asks here: the verdict at the end of `conform`, `check` and `load`, and a
capacity search while it is under way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import msgspec

from ..api.errors import HarnessError, worst_exit_code
from ..api.project_config import Waiver
from ..judge.requirements import DEFAULT_SEVERITY, Finding, Level, Severity
from ..judge.verdict import FindingEntry, FindingStatus, Verdict
from .baseline import Baseline
from .waivers import covers_finding


def _today() -> date:
    return datetime.now(UTC).date()


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """What may be found without a run failing; what the workers of a run are told of it."""

    severity: Severity = DEFAULT_SEVERITY
    """From which level on a finding fails, and what the user lets each requirement weigh."""
    waivers: tuple[Waiver, ...] = ()
    known: frozenset[str] = frozenset()
    """Fingerprints of what a baseline has."""
    day: date = msgspec.field(default_factory=_today)
    """On which the run started, in UTC: a waiver holds until its last day."""

    def status_of(self, finding: Finding | FindingEntry) -> FindingStatus:
        """
        Tell whether a finding is new.

        What only an expired waiver covers is new, even where the baseline has it.
        """
        covering = [waiver for waiver in self.waivers if covers_finding(waiver, finding)]
        if any(self.day <= waiver.until for waiver in covering):
            return "waived"
        return "known" if not covering and self.known and finding.fingerprint in self.known else "new"

    def fails(self, finding: Finding, level: Level) -> bool:
        """Whether a finding, weighed at this level, makes the run fail."""
        return self.severity.fails(level) and self.status_of(finding) == "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassPolicy:
    """What decides a pass, besides what was seen."""

    severity: Severity = DEFAULT_SEVERITY
    """From which level on a finding fails, and what the user lets each requirement weigh."""
    require: Collection[str] = ()
    """Requirements that must have been observed, whatever the reason that they were not."""
    waivers: Sequence[Waiver] = ()
    baseline: Baseline | None = None
    """An earlier verdict, of the same edition and kind of subject."""
    day: date = field(default_factory=_today)
    """As that of its tolerance."""

    @property
    def tolerance(self) -> Tolerance:
        """What of it matters while a run is under way."""
        known = frozenset[str]() if self.baseline is None else self.baseline.known_fingerprints
        return Tolerance(severity=self.severity, waivers=tuple(self.waivers), known=known, day=self.day)

    def mark(self, entries: Iterable[FindingEntry]) -> list[FindingEntry]:
        """Copy findings, those that are new with the status that they have by this policy."""
        status_of = self.tolerance.status_of
        return [
            msgspec.structs.replace(entry, status=status_of(entry) if entry.status == "new" else entry.status)
            for entry in entries
        ]


def withhold_pass(verdict: Verdict, problem: HarnessError) -> None:
    """
    Put what went wrong beside a run into its verdict: who reads that alone must not read PASS.

    A finding outranks it.
    """
    code = worst_exit_code(verdict.exit_code, problem.exit_code)
    if code != verdict.exit_code:
        reasons = (str(problem), verdict.reason if verdict.verdict == "inconclusive" else None)
        verdict.verdict, verdict.exit_code = "inconclusive", int(code)
        verdict.reason = "; ".join(filter(None, reasons))


DEFAULT_POLICY = PassPolicy()
