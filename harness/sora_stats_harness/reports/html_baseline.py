"""
The page's sections for a release decision: new and known findings, waivers, and differences from the documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..judge.verdict import BaselineFinding, BaselineReport, DocumentationDrift, Verdict, WaiverReport
from . import html_elements as html
from . import summary

_WAIVER_STATES: Final = {
    "used": "in use",
    "unused": "no finding needs it any more: remove it",
    "not_observed": "not checked in this run",
    "expired": "expired: what it waived counts again",
}

_DRIFT_TEXTS: Final = {
    "absent": "documented, not there",
    "undocumented": "there, not documented",
    "changed": "different from the documentation",
    "moved": "at another place",
}


def baseline_section(report: BaselineReport | None) -> html.HtmlContent:
    """This run compared with an earlier one."""
    if report is None:
        return None
    return [
        html.definition_list(
            [
                ("earlier run", f"{report.source}, ended {report.finished_at}"),
                ("new", summary.count_with_noun(report.new, "finding")),
                ("known", summary.count_with_noun(report.known, "finding")),
                ("fixed", summary.count_with_noun(len(report.fixed), "finding")),
            ]
        ),
        _baseline_findings_table("Fixed: looked for in this run, and not found", report.fixed),
        _baseline_findings_table("Not found, but this run could not have found them", report.not_seen),
    ]


def _baseline_findings_table(caption: str, entries: Sequence[BaselineFinding]) -> html.HtmlContent:
    rows = [
        html.table_row(
            html.code_text(each.requirement),
            each.level,
            html.code_text(f"{each.target or 'a wrong request'} {each.field}"),
            each.message,
        )
        for each in entries
    ]
    return html.data_table(caption, ("Requirement", "Level", "Where", "What it said"), rows) if rows else None


def waivers_section(reports: Sequence[WaiverReport]) -> html.HtmlContent:
    """Each waiver, and its effect."""
    if not reports:
        return None
    rows = [
        html.table_row(
            html.code_text(each.requirement),
            html.code_text(each.field),
            each.reason,
            each.by,
            each.until,
            html.element("strong", _WAIVER_STATES[each.state])
            if each.state in ("unused", "expired")
            else _WAIVER_STATES[each.state],
            f"{each.waived:,}",
            right=(6,),
        )
        for each in reports
    ]
    columns = ("Requirement", "Field", "Why", "Decided by", "Until", "State", "Findings")
    return html.data_table("Waivers", columns, rows, right=(6,))


def drift_section(report: DocumentationDrift | None, verdict: Verdict) -> html.HtmlContent:
    """How the server and its documentation differ."""
    if report is None:
        return None
    rows = [
        html.table_row(
            html.code_text(each.field),
            _DRIFT_TEXTS[each.way],
            html.code_text(each.documented or "-"),
            html.code_text(each.seen or "-"),
            f"{each.connections:,}" if each.connections else summary.count_with_noun(each.samples, "sample"),
            f"{each.connections_without:,}",
            each.first_seen_at,
            each.known_from or "-",
            right=(4, 5),
        )
        for each in report.entries
    ]
    columns = ("Field", "How", "Documented", "Seen", "Connections", "Without it", "First seen", "Known from")
    near = ", ".join(f"{name}: {summary.count_with_noun(count, 'field')}" for name, count in report.distance.items())
    return [
        html.element("p", report.headline) if report.headline else None,
        html.data_table(f"Differences from {verdict.edition}", columns, rows, right=(4, 5))
        if rows
        else html.element("p", f"The responses are as {verdict.edition} says."),
        html.small_note(f"Fields that differ, by edition: {near}." if near else ""),
    ]
