"""
What a release manager decides by: which findings are new, which are waived and by whom, and whether the server still is
what its documentation says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..judge.verdict import BaselineReport, Drift, EarlierFinding, Verdict, WaiverReport
from . import summary
from .html_parts import pairs, row, small, table
from .markup import Content, element

_STATES: Final = {
    "used": "in use",
    "unused": "nothing trips it any more: remove it",
    "not_observed": "not checked in this run",
    "expired": "expired: what it waived counts again",
}

_WAYS: Final = {
    "absent": "documented, not there",
    "undocumented": "there, not documented",
    "changed": "otherwise than documented",
    "moved": "at another place",
}


def baseline(report: BaselineReport | None) -> Content:
    """This run held against an earlier one."""
    if report is None:
        return None
    return [
        pairs([
            ("earlier run", f"{report.source}, ended {report.finished_at}"),
            ("new", summary.number(report.new, "finding")),
            ("known", summary.number(report.known, "finding")),
            ("fixed", summary.number(len(report.fixed), "finding")),
        ]),
        _earlier("Fixed: looked for in this run, and not found", report.fixed),
        _earlier("Not found, but this run could not have found them", report.not_seen),
    ]  # fmt: skip


def _earlier(caption: str, entries: Sequence[EarlierFinding]) -> Content:
    rows = [
        row(
            element("code", each.requirement), each.level,
            element("code", f"{each.target or 'a wrong request'} {each.field}"), each.message,
        )
        for each in entries
    ]  # fmt: skip
    return table(caption, ("Requirement", "Level", "Where", "What it said"), rows) if rows else None


def waivers(reports: Sequence[WaiverReport]) -> Content:
    """Each waiver, and what became of it."""
    if not reports:
        return None
    rows = [
        row(
            element("code", each.requirement), element("code", each.field), each.reason, each.by, each.until,
            element("strong", _STATES[each.state]) if each.state in ("unused", "expired") else _STATES[each.state],
            f"{each.waived:,}",
            right=(6,),
        )
        for each in reports
    ]  # fmt: skip
    columns = ("Requirement", "Field", "Why", "Decided by", "Until", "State", "Findings")
    return table("Waivers", columns, rows, right=(6,))


def drift(report: Drift | None, verdict: Verdict) -> Content:
    """How far the server and its documentation have come apart."""
    if report is None:
        return None
    rows = [
        row(
            element("code", each.field), _WAYS[each.way], element("code", each.documented or "-"),
            element("code", each.seen or "-"),
            f"{each.connections:,}" if each.connections else summary.number(each.readings, "reading"),
            f"{each.connections_without:,}", each.first_seen_at, each.known_from or "-",
            right=(4, 5),
        )
        for each in report.entries
    ]  # fmt: skip
    columns = ("Field", "How", "Documented", "Seen", "Connections", "Without it", "First seen", "Known from")
    near = ", ".join(f"{name}: {summary.number(count, 'field')}" for name, count in report.distance.items())
    return [
        element("p", report.headline) if report.headline else None,
        table(f"Differences from {verdict.edition}", columns, rows, right=(4, 5))
        if rows
        else element("p", f"The answers are as {verdict.edition} says."),
        small(f"Fields that differ, by edition: {near}." if near else ""),
    ]
