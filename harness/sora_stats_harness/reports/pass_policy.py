"""
The policy that decides whether a finding fails: levels, waivers and the baseline.

Both the verdict at the end of `conform`, `check` and `load`, and a capacity search during its run, use it.

A waiver names a requirement, a place, a reason, who decided, and its last day. A finding that it covers is shown as
waived and doesn't fail. Reports also name a waiver that has expired, whose findings count again, and one that no
finding needs any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase

import msgspec

from ..api.errors import HarnessError, worst_exit_code
from ..api.project_config import Waiver
from ..judge.requirements import DEFAULT_SEVERITY, Finding, Level, Severity
from ..judge.verdict import FindingEntry, FindingStatus, Verdict, WaiverReport, WaiverState
from .baseline import Baseline


def _today() -> date:
    return datetime.now(UTC).date()


def covers_finding(waiver: Waiver, finding: Finding | FindingEntry) -> bool:
    """
    Whether a waiver covers a finding, regardless of its last day.

    Source:
        fnmatch.fnmatchcase on the finding's field: `*` also matches `/`, and the `#*` of a label.
    """
    return finding.requirement == waiver.requirement and fnmatchcase(finding.field, waiver.field)


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings don't fail a run; the part of the policy that is sent to workers."""

    severity: Severity = DEFAULT_SEVERITY
    """The level from which on findings fail, and the levels that the user set."""
    waivers: tuple[Waiver, ...] = ()
    known: frozenset[str] = frozenset()
    """The fingerprints of the baseline's findings."""
    day: date = msgspec.field(default_factory=_today)
    """The day on which the run started, in UTC, to which the waivers' last days are compared."""

    def status_of(self, finding: Finding | FindingEntry) -> FindingStatus:
        """
        Decide whether a finding is new, known or waived.

        A finding that only an expired waiver covers is new, even if the baseline has it.
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
    """The user's settings that decide a pass."""

    severity: Severity = DEFAULT_SEVERITY
    """The level from which on findings fail, and the levels that the user set."""
    require: Collection[str] = ()
    """Requirements that must have been observed."""
    waivers: Sequence[Waiver] = ()
    baseline: Baseline | None = None
    """An earlier verdict, of the same edition and kind of subject."""
    day: date = field(default_factory=_today)
    """The day on which the run started, in UTC."""

    @property
    def tolerance(self) -> Tolerance:
        """The part that is needed during a run."""
        known = frozenset[str]() if self.baseline is None else self.baseline.known_fingerprints
        return Tolerance(severity=self.severity, waivers=tuple(self.waivers), known=known, day=self.day)

    def mark(self, entries: Iterable[FindingEntry]) -> list[FindingEntry]:
        """Copy findings, with their status by this policy."""
        status_of = self.tolerance.status_of
        return [
            msgspec.structs.replace(entry, status=status_of(entry) if entry.status == "new" else entry.status)
            for entry in entries
        ]


def withhold_pass(verdict: Verdict, problem: HarnessError) -> None:
    """
    Record a problem outside of the run in its verdict, so that the verdict alone does not say PASS.

    A finding outranks it.
    """
    code = worst_exit_code(verdict.exit_code, problem.exit_code)
    if code != verdict.exit_code:
        reasons = (str(problem), verdict.reason if verdict.verdict == "inconclusive" else None)
        verdict.verdict, verdict.exit_code = "inconclusive", int(code)
        verdict.reason = "; ".join(filter(None, reasons))


def waiver_report(
    waiver: Waiver, entries: Sequence[FindingEntry], checked: Mapping[str, int], day: date
) -> WaiverReport:
    """
    The effect of a waiver.

    Args:
        entries: The run's findings, with their status.
        day: The day on which the run started, in UTC.
    """
    expired = day > waiver.until
    count = sum(covers_finding(waiver, entry) and not (expired and entry.status == "waived") for entry in entries)
    state: WaiverState = "expired" if expired else "used"
    if not expired and count == 0:
        state = "unused" if checked.get(waiver.requirement) else "not_observed"
    return WaiverReport(
        requirement=waiver.requirement,
        field=waiver.field,
        reason=waiver.reason,
        by=waiver.by,
        until=waiver.until.isoformat(),
        state=state,
        waived=count,
    )


DEFAULT_POLICY = PassPolicy()
