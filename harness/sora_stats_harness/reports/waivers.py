"""
Known deviations that somebody has decided to live with, for a while.

A waiver names a requirement, a place, a reason, who decided, and its last day. What it covers is shown as waived and
fails nothing. It must not outlive its cause in silence, so one that has expired, and one that nothing trips any more,
are reported themselves; what an expired one covered counts again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from ..judge.verdict import FindingEntry, WaiverReport

_Text = Annotated[str, msgspec.Meta(pattern=r"\S")]


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One waiver; every part of it has to be given."""

    requirement: Annotated[str, msgspec.Meta(description="The id of a requirement, such as shape.unknown")]
    field: Annotated[
        str,
        msgspec.Meta(
            description="Where: a pattern over the finding's field, such as /rtp/total_* (* any characters, ? one, "
            "[ab] one of these; empty for findings about a complete response)"
        ),
    ]
    reason: Annotated[_Text, msgspec.Meta(description="Why the deviation may stay")]
    by: Annotated[_Text, msgspec.Meta(description="Who decided")]
    until: Annotated[date, msgspec.Meta(description="The last day on which it holds, in UTC")]

    def covers(self, entry: FindingEntry) -> bool:
        """
        Whether a finding is what this is about; the day is another question.

        Source:
            fnmatch.fnmatchcase over `FindingEntry.field`: `*` crosses `/`, and matches the `#*` of a label as well.
        """
        return entry.requirement == self.requirement and fnmatchcase(entry.field, self.field)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverResult:
    """What waivers come to in one run."""

    entries: list[FindingEntry]
    """Copies, in the same order, those that are covered with the status `waived`."""
    lapsed: frozenset[str]
    """Fingerprints that only waivers cover that have expired: they count, whatever a baseline says of them."""
    reports: list[WaiverReport]


def apply_waivers(
    waivers: Sequence[Waiver], entries: Sequence[FindingEntry], *, checked: Mapping[str, int], today: date
) -> WaiverResult:
    """
    Mark the findings that are waived, and tell what became of each waiver.

    Args:
        waivers: As configured.
        entries: The run's findings; left as they are.
        checked: How often each requirement was held against something.
        today: The day of the run, in UTC.
    """
    living = [waiver for waiver in waivers if today <= waiver.until]
    expired = [waiver for waiver in waivers if today > waiver.until]
    marked = [
        msgspec.structs.replace(entry, status="waived")
        if any(waiver.covers(entry) for waiver in living)
        else msgspec.structs.replace(entry)
        for entry in entries
    ]
    live = [entry for entry in marked if entry.status != "waived"]
    lapsed = frozenset(entry.fingerprint for entry in live if any(waiver.covers(entry) for waiver in expired))
    return WaiverResult(
        entries=marked,
        lapsed=lapsed,
        reports=[_waiver_report(waiver, live if waiver in expired else marked, checked, today) for waiver in waivers],
    )


def _waiver_report(
    waiver: Waiver, entries: Sequence[FindingEntry], checked: Mapping[str, int], today: date
) -> WaiverReport:
    count = sum(waiver.covers(entry) for entry in entries)
    report = WaiverReport(
        requirement=waiver.requirement,
        field=waiver.field,
        reason=waiver.reason,
        by=waiver.by,
        until=waiver.until.isoformat(),
        state="used",
        waived=count,
    )
    if today > waiver.until:
        return msgspec.structs.replace(report, state="expired")
    if count == 0:
        return msgspec.structs.replace(report, state="unused" if checked.get(waiver.requirement) else "not_observed")
    return report
