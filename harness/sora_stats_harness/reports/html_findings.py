"""The page's sections about incidents and findings, each finding with the samples that prove it side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..api.exchange import Exchange
from ..api.language import translate
from ..judge.verdict import FindingEntry, Incident, Verdict
from . import html_elements as html
from . import incident_summary, summary
from .picture_svg import render_picture
from .report import VerdictReport
from .sample_table import SampleTable, SampleTableRow, make_sample_table
from .violation_picture import make_violation_picture

MAX_FINDINGS: Final = 200
MAX_UNFOLDED_FINDINGS: Final = 3
"""How many findings have their samples unfolded initially, and so also when printed."""
UNFOLDED_ROWS: Final = 8
"""
How many rows of samples are shown; in a live system nearly every counter differs, and the relevant one comes first.
"""
MAX_SAMPLE_TABLES: Final = 40
"""How many findings show their samples; so an ordinary report stays below 1 MB."""
MAX_PICTURES: Final = 20
"""How many findings are drawn."""


def incidents_section(report: VerdictReport) -> html.HtmlContent:
    """The incidents, each with the findings that it explains folded below it."""
    return [_incident(each, report) for each in incident_summary.incidents_by_weight(report.verdict)]


def _incident(incident: Incident, report: VerdictReport) -> html.SafeHtml:
    members = incident_summary.incident_findings(report.verdict, incident)
    style = summary.finding_style(report, members[0][1]) if members else "info"
    pictures = (_picture(report, entry, f"incident-{incident.id}-{place}") for place, entry in members)
    return html.element(
        "article",
        html.element("h3", html.code_text(incident.id)),
        html.element("p", html.element("strong", incident.summary)),
        next((picture for picture in pictures if picture is not None), None),
        _facts(incident_summary.incident_facts(report.verdict, incident)),
        _explained_findings(report, members),
        class_=f"finding {style}",
    )


def _facts(rows: Iterable[tuple[str, str]]) -> html.SafeHtml:
    """The facts of a finding; a command line is shown in full, to be copied."""
    return html.definition_list(
        (label, html.code_text(text if label == "reproduce" else translate(text), limit=summary.fact_limit(label)))
        for label, text in rows
    )


def _explained_findings(report: VerdictReport, members: Sequence[tuple[int, FindingEntry]]) -> html.HtmlContent:
    if not members:
        return None
    shown = [_finding(place, entry, report) for place, entry in members if place <= MAX_FINDINGS]
    more = len(members) - len(shown)
    return html.folded_details(
        f"{summary.count_with_noun(len(members), 'finding')} that it explains",
        *shown,
        html.element("p", f"… and {more:,} more, in verdict.json") if more > 0 else None,
    )


def findings_section(report: VerdictReport) -> html.HtmlContent:
    """The top findings as links, and an index by requirement."""
    if not report.verdict.findings:
        return html.element("p", "None.")
    note = incident_summary.incident_note(report.verdict)
    return [_top_findings(report.verdict), html.small_note(note) if note else None, _index(report)]


def details_section(report: VerdictReport) -> html.HtmlContent:
    """Every finding in the verdict's order, except those that an incident explains."""
    entries = report.verdict.findings
    explained = summary.explained_fingerprints(report.verdict)
    shown = [
        _finding(place, entry, report)
        for place, entry in enumerate(entries[:MAX_FINDINGS], start=1)
        if entry.fingerprint not in explained
    ]
    more = sum(entry.fingerprint not in explained for entry in entries[MAX_FINDINGS:])
    if more:
        shown.append(html.element("p", f"… and {more:,} more, in verdict.json"))
    return shown


def finding_link(place: int, text: str) -> html.SafeHtml:
    """A link to a finding, or where it is not shown the text alone."""
    shown = html.breakable_text(translate(text))
    return html.element("a", shown, href=f"#finding-{place}") if place <= MAX_FINDINGS else html.element("span", shown)


def _top_findings(verdict: Verdict) -> html.HtmlContent:
    items = [
        html.element(
            "li",
            html.element("strong", finding_link(place, entry.requirement)),
            " ",
            html.element("span", entry.level if entry.status == "new" else entry.status, class_="level"),
            f" {entry.message} ",
            html.element(
                "small", html.breakable_text(f"{summary.finding_location(entry)}; {summary.occurrence_text(entry)}")
            ),
            value=str(place),
        )
        for place, entry in summary.top_findings(verdict)
    ]
    return html.element("ol", items, class_="top") if items else None


def _index(report: VerdictReport) -> html.HtmlContent:
    """Every requirement that has findings; nothing if the top findings are all."""
    verdict = report.verdict
    if len(verdict.findings) <= summary.MAX_TOP_FINDINGS:
        return None
    rows = [
        html.table_row(
            finding_link(group.place, group.first.requirement),
            group.first.level if group.first.status == "new" else group.first.status,
            f"{group.count:,}",
            group.first.message,
            right=(2,),
        )
        for group in summary.finding_groups(verdict)
    ]
    note = summary.drift_note(verdict)
    columns = ("Requirement", "Level", "Findings", "The first one")
    table = html.data_table("Findings by requirement", columns, rows, right=(2,)) if rows else None
    return [table, html.small_note(note) if note else None]


def _finding(place: int, entry: FindingEntry, report: VerdictReport) -> html.SafeHtml:
    style = summary.finding_style(report, entry)
    return html.element(
        "article",
        html.element(
            "h3",
            f"{place}. ",
            html.code_text(entry.requirement),
            " ",
            html.status_badge("violated" if entry.status == "new" else entry.status, style),
            html.element("span", f" {entry.level}", class_="level"),
        ),
        html.element("p", entry.message),
        _picture(report, entry, f"finding-{place}") if place <= MAX_PICTURES else None,
        _facts(summary.finding_facts(report, entry)),
        _sample_table(entry, report.evidence_of(entry), place) if place <= MAX_SAMPLE_TABLES else None,
        class_=f"finding {style}",
        id=f"finding-{place}",
    )


def _picture(report: VerdictReport, entry: FindingEntry, name: str) -> html.HtmlContent:
    picture = make_violation_picture(entry, report.evidence_of(entry))
    return None if picture is None else render_picture(picture, name)


def _sample_table(entry: FindingEntry, exchanges: Sequence[Exchange], place: int) -> html.HtmlContent:
    sides = make_sample_table(entry, exchanges)
    if sides is None:
        return None
    heads = [_sample_column_head(exchange, i, len(exchanges)) for i, exchange in enumerate(exchanges)]
    caption = f"Finding {place}: " + (
        "the responses that prove it" if len(exchanges) > 1 else "the response that shows it"
    )
    first, others = sides.rows[:UNFOLDED_ROWS], sides.rows[UNFOLDED_ROWS:]

    def rows(caption: str, shown: Sequence[SampleTableRow]) -> html.SafeHtml:
        return html.data_table(
            caption, ("Field", *heads), [_sample_row(row) for row in shown], right=range(1, len(heads) + 1)
        )

    return html.folded_details(
        "Evidence side by side" if len(heads) > 1 else "Evidence",
        rows(caption, first),
        html.folded_details(f"{len(others)} more fields", rows(f"{caption}, continued", others)) if others else None,
        _omitted_rows_note(sides),
        shown=place <= MAX_UNFOLDED_FINDINGS,
    )


def _sample_column_head(exchange: Exchange, place: int, count: int) -> html.HtmlContent:
    name = (
        {0: "Earlier response", count - 1: "Later response"}.get(place, "Response between") if count > 1 else "Response"
    )
    took_ms = (exchange.received_ns - exchange.sent_ns) / 1e6
    target = exchange.request.target.operation if exchange.request.target else "a wrong request"
    part = summary.excerpt_text(exchange)
    sent_at = exchange.sent_at_text
    text = f"{target}, exchange {exchange.seq}, sent {sent_at}, took {took_ms:,.1f} ms{part and f', {part}'}"
    return [name, html.element("small", text)]


def _sample_row(row: SampleTableRow) -> html.SafeHtml:
    words = [word for word, holds in (("this field", row.culprit), ("falls", row.falls and row.culprit)) if holds]
    classes = [name for name, holds in (("culprit", row.culprit), ("differs", row.differs)) if holds]
    *earlier, last = row.values
    return html.table_row(
        [html.code_text(row.field), html.element("small", ", ".join(words)) if words else None],
        *(html.element("samp", value) for value in earlier),
        html.element("mark" if row.differs else "samp", last),
        right=range(1, len(row.values) + 1),
        class_=" ".join(classes) or None,
    )


def _omitted_rows_note(sides: SampleTable) -> html.HtmlContent:
    parts = []
    if sides.more:
        parts.append(f"{sides.more:,} more fields that differ are in the evidence file")
    if sides.equal:
        parts.append(f"{sides.equal:,} fields are the same in all responses and not shown")
    return html.small_note("; ".join(parts), ".") if parts else None
