"""
Renders a summary in Markdown, for the step summary of a CI job or a comment on a merge request.

Texts from a server are in code spans, where Markdown interprets neither markup nor links nor mentions, and never in a
table, where a `|` ends a cell even within a code span.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from ..judge.verdict import FindingEntry, Verdict
from . import incident_summary, summary
from .escaping import DEFAULT_LIMIT_CHARACTERS, escape_terminal
from .escaping import escape_markdown as code
from .figure_cells import MeasurementSection, MeasurementTable
from .headline import headline_figures, leads_with_measurements
from .measurement_tables import measurement_sections
from .report import VerdictReport

MAX_FINDINGS: Final = 50
"""How many findings are shown; GitHub allows 1 MiB per step."""

MAX_EXPLAINED_FINDINGS: Final = 10
"""How many findings are shown below one incident."""

MAX_TITLE_CHARACTERS: Final = 500
"""The most characters of a section's title, which may contain the whole result."""

_SIGNS: Final = {"pass": "✅", "fail": "❌", "inconclusive": "❔"}


def render_markdown_summary(report: VerdictReport) -> str:
    """Render the summary, in the Markdown that GitHub and GitLab share."""
    verdict = report.verdict
    conformance = [
        _families(verdict),
        _labelled("Differences from the documentation", summary.drift_lines(verdict)),
        _labelled("Waivers", summary.waiver_lines(verdict)),
        _labelled("Baseline", summary.baseline_lines(verdict)),
    ]
    measured = [_section(section) for section in measurement_sections(verdict)]
    blocks = [
        _head(verdict),
        _labelled("What is at the URL", list(verdict.diagnosis.items())),
        _incidents(report),
        _findings(report),
        *([*measured, *conformance] if leads_with_measurements(verdict) else [*conformance, *measured]),
        _labelled("Covered", summary.coverage_lines(verdict)),
        _unobserved(verdict),
        _notes(verdict),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _head(verdict: Verdict) -> str:
    lines = [f"## {_SIGNS[verdict.verdict]} Sora statistics API: {verdict.verdict.upper()}", ""]
    if summary.is_self_test(verdict):
        lines += [f"**{summary.SELF_TEST_NOTE}**", ""]
    if text := summary.other_edition_note(verdict):
        lines += [f"**{escape_inline(text)}**", ""]
    took = summary.run_duration_s(verdict)
    lines.append(f"{escape_inline(summary.verdict_headline(verdict))} (exit {verdict.exit_code})")
    figures = headline_figures(verdict)
    lines += ["", *(f"- **{escape_inline(figure.number)}** {escape_inline(figure.text)}" for figure in figures)]
    lines += [
        "",
        f"- subject: {code(verdict.subject)} ({verdict.subject_kind}, judged from: {verdict.judged_from})",
        f"- command: {code(f'sora-harness {verdict.command}'.strip())}, version {code(verdict.harness_version)}",
        f"- edition: {code(verdict.edition)}",
        f"- started: {code(verdict.started_at)}" + (f", {took:,.1f} s" if took is not None else ""),
    ]
    if verdict.labels:
        lines.append("- labels: " + ", ".join(code(f"{key}={value}") for key, value in verdict.labels.items()))
    return "\n".join(lines)


def _families(verdict: Verdict) -> str:
    rows = [
        (escape_inline(each.name), summary.status_counts(each.members), f"{each.checked:,}", f"{each.violations:,}")
        for each in summary.family_summaries(verdict)
    ]
    heads = (("family", "requirements", "checked", "violations"), ("---", "---", "---:", "---:"))
    return "\n".join(map(_row, (*heads, *rows)))


def _incidents(report: VerdictReport) -> str:
    """The incidents, each with the findings that it explains folded below it."""
    verdict = report.verdict
    if not verdict.incidents:
        return ""
    blocks = [f"### {incident_summary.incidents_title(verdict)}"]
    for incident in incident_summary.incidents_by_weight(verdict):
        facts = _facts(incident_summary.incident_facts(verdict, incident))
        blocks.append("\n".join([f"**{incident.id}**: {escape_inline(incident.summary)}", "", *facts]))
        if members := incident_summary.incident_findings(verdict, incident):
            title = f"{summary.count_with_noun(len(members), 'finding')} explained by {incident.id}"
            shown = [_finding(place, entry, report) for place, entry in members[:MAX_EXPLAINED_FINDINGS]]
            if len(members) > len(shown):
                shown.append(f"… and {len(members) - len(shown)} more, in verdict.json")
            blocks += [f"<details><summary>{title}</summary>", *shown, "</details>"]
    return "\n\n".join(blocks)


def _findings(report: VerdictReport) -> str:
    entries = report.verdict.findings
    if not entries:
        return ""
    blocks = [f"### {summary.findings_title(report.verdict)}"]
    apart = summary.fingerprints_shown_apart(report.verdict)
    parts = [(place, entry) for place, entry in enumerate(entries, start=1) if entry.fingerprint not in apart]
    blocks += [_finding(place, entry, report) for place, entry in parts[:MAX_FINDINGS]]
    blocks += filter(None, (incident_summary.incident_note(report.verdict), summary.drift_note(report.verdict)))
    if len(parts) > MAX_FINDINGS:
        blocks.append(f"… and {len(parts) - MAX_FINDINGS} more, in verdict.json")
    return "\n\n".join(blocks)


def _finding(place: int, entry: FindingEntry, report: VerdictReport) -> str:
    mark = "" if entry.status == "new" else f", {entry.status}"
    head = f"{place}. {code(entry.requirement)} ({entry.level}{mark}) {escape_inline(entry.message)}"
    return "\n".join([head, *_facts(summary.finding_facts(report, entry), indent=3)])


def _facts(rows: Iterable[tuple[str, str]], *, indent: int = 0) -> list[str]:
    return [f"{' ' * indent}- {label}: {code(text, summary.fact_limit(label))}" for label, text in rows]


def _section(section: MeasurementSection) -> str:
    blocks = [f"### {escape_inline(section.title, MAX_TITLE_CHARACTERS)}"]
    if section.warning:
        blocks.append(f"**{escape_inline(section.warning)}**")
    blocks += [_table(table) for table in section.tables if not table.folded]
    return "\n\n".join(blocks)


def _table(table: MeasurementTable) -> str:
    lines = [f"{escape_inline(table.title)}:", "", _row(map(escape_inline, table.columns))]
    lines.append(_row("---:" if place in table.numeric else "---" for place in range(len(table.columns))))
    lines += [_row(map(escape_inline, row)) for row in table.rows]
    return "\n".join([*lines, "", escape_inline(table.note)] if table.note else lines)


def _labelled(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A list of short names with a line each; the names are our own, the lines may contain anything."""
    if not rows:
        return ""
    return "\n".join([f"### {title}", "", *(f"- {label}: {escape_inline(text)}" for label, text in rows)])


def _unobserved(verdict: Verdict) -> str:
    rows = summary.unobserved_requirements(verdict)
    if not rows:
        return ""
    lines = ["### Not observed", ""]
    lines += [f"- {why}: {', '.join(map(code, ids))}" for why, ids in rows]
    return "\n".join(lines)


def _notes(verdict: Verdict) -> str:
    notes = verdict.coverage.notes
    return "\n".join(["### Notes", "", *(f"- {code(note)}" for note in notes)]) if notes else ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


_MARKUP: Final = re.compile(r"[&<>|`*\[\]\\~#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)")
"""Characters that may be markup, or the beginning of a link."""


def escape_inline(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> str:
    """
    Escape text that is probably our own, for places where a code span would be ugly or, in a table, unsafe.

    Markup characters become numeric references, which Markdown never interprets. Mentions are searched for afterwards,
    so `@` has to be removed.
    """
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", escape_terminal(text, limit)).replace("@", "＠")
