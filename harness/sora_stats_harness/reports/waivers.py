"""
Applies waivers: known deviations that somebody has decided to accept for a while.

A waiver names a requirement, a place, a reason, who decided, and its last day. A finding that it covers is shown as
waived and doesn't fail. Reports also name a waiver that has expired, whose findings count again, and one that no
finding needs any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase

from ..api.project_config import Waiver
from ..judge.requirements import Finding
from ..judge.verdict import FindingEntry, WaiverReport, WaiverState


def covers_finding(waiver: Waiver, finding: Finding | FindingEntry) -> bool:
    """
    Whether a waiver covers a finding, regardless of its last day.

    Source:
        fnmatch.fnmatchcase on the finding's field: `*` also matches `/`, and the `#*` of a label.
    """
    return finding.requirement == waiver.requirement and fnmatchcase(finding.field, waiver.field)


def waiver_reports(
    waivers: Sequence[Waiver], entries: Sequence[FindingEntry], checked: Mapping[str, int], day: date
) -> list[WaiverReport]:
    """
    Report the effect of each waiver.

    Args:
        entries: The run's findings, with their status.
        day: The day on which the run started, in UTC.
    """
    return [_waiver_report(waiver, entries, checked, day) for waiver in waivers]


def _waiver_report(
    waiver: Waiver, entries: Sequence[FindingEntry], checked: Mapping[str, int], day: date
) -> WaiverReport:
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
