"""
A summary in Markdown, for the step summary of a CI job or a comment on a merge request.

Whatever a server may have chosen stands in a code span, where Markdown sees neither markup nor links nor mentions, and
never in a table, whose cells a `|` ends even there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..judge.verdict import FindingEntry, ReportTable, Verdict
from . import summary
from .escaping import escape_markdown as code
from .escaping import escape_terminal
from .report import VerdictReport

MAX_FINDINGS: Final = 50
"""Shown; GitHub takes 1 MiB a step."""

_SIGNS: Final = {"pass": "✅", "fail": "❌", "inconclusive": "❔"}


def render_markdown_summary(report: VerdictReport) -> str:
    """Write the summary, in the Markdown that GitHub and GitLab share."""
    verdict = report.verdict
    blocks = [
        _head(verdict),
        _families(verdict),
        _findings(report),
        _labelled("Differences from the documentation", summary.drift_lines(verdict)),
        _labelled("Waivers", summary.waiver_lines(verdict)),
        _labelled("Baseline", summary.baseline_lines(verdict)),
        *(_section(section) for section in verdict.sections),
        _coverage(verdict),
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
    lines = ["| family | requirements | checked | violations |", "| --- | --- | ---: | ---: |"]
    lines += [
        f"| {escape_inline(row.name)} | {row.status_counts()} | {row.checked:,} | {row.violations:,} |"
        for row in summary.family_summaries(verdict)
    ]
    return "\n".join(lines)


def _findings(report: VerdictReport) -> str:
    entries = report.verdict.findings
    if not entries:
        return ""
    blocks = [f"### Findings ({len(entries)})"]
    apart = summary.fingerprints_shown_as_drift(report.verdict)
    told = [(place, entry) for place, entry in enumerate(entries, start=1) if entry.fingerprint not in apart]
    blocks += [_finding(place, entry, report) for place, entry in told[:MAX_FINDINGS]]
    if apart:
        blocks.append(f"{len(apart)} of them are differences from the documentation: see below")
    if len(told) > MAX_FINDINGS:
        blocks.append(f"… and {len(told) - MAX_FINDINGS} more, in verdict.json")
    return "\n\n".join(blocks)


def _finding(place: int, entry: FindingEntry, report: VerdictReport) -> str:
    mark = "" if entry.status == "new" else f", {entry.status}"
    lines = [f"{place}. {code(entry.requirement)} ({entry.level}{mark}) {escape_inline(entry.message)}"]
    lines += [
        f"   - {label}: {code(text, summary.fact_limit(label))}" for label, text in summary.finding_facts(report, entry)
    ]
    return "\n".join(lines)


def _section(section: ReportTable) -> str:
    lines = [f"### {escape_inline(section.title)}", "", _row([escape_inline(cell) for cell in section.columns])]
    lines.append(_row(["---:" if right else "---" for right in summary.numeric_columns(section)]))
    lines += [
        _row([escape_inline(v) if isinstance(v, str) else summary.format_cell(v) for v in row]) for row in section.rows
    ]
    return "\n".join([*lines, "", escape_inline(section.note)] if section.note else lines)


def _coverage(verdict: Verdict) -> str:
    return _labelled("Covered", summary.coverage_lines(verdict))


def _labelled(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A list of short names with a line each; names are ours, lines may hold anything."""
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


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


_MARKUP: Final = re.compile(r"[&<>|`*\[\]\\~#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)")
"""What may be markup, or the beginning of a link."""


def escape_inline(text: str) -> str:
    """
    Text that is ours in all likelihood, in a place where a code span would be ugly or, in a table, unsafe.

    Markup becomes a number, which Markdown never takes for markup. A mention is looked for in the outcome, so `@` has
    to go.
    """
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", escape_terminal(text)).replace("@", "＠")
