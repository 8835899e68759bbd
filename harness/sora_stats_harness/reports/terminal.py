"""
The summary that a person reads at the end of a run, in the order in which questions come up.

What was tested, family by family; each finding with where, expected, actual and how to see it again; what was covered,
and what was not; and last, where the eye rests when the prompt comes back, the verdict.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ..judge.verdict import FindingEntry, ReportTable, Verdict
from . import summary
from .escaping import escape_terminal
from .report import VerdictReport

MAX_FINDINGS: Final = 20
"""Shown; the files have all of them."""

MAX_FINDINGS_PER_REQUIREMENT: Final = 4
"""Shown of one requirement: a server without a whole group must not hide the one counter that fell."""

_WIDTH: Final = 110
_COLOURS: Final = {
    "fail": "\x1b[1;31m",
    "warn": "\x1b[33m",
    "inconclusive": "\x1b[35m",
    "not_checked": "\x1b[35m",
    "known": "\x1b[36m",
    "waived": "\x1b[36m",
    "info": "\x1b[36m",
    "pass": "\x1b[32m",
    "met": "\x1b[32m",
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
}
_RESET: Final = "\x1b[0m"

Colouriser = Callable[[str, str], str]
"""Colours a text by the name of a status."""


def render_terminal(report: VerdictReport, *, colour: bool = False) -> str:
    """Write the summary; without `colour` it holds no control character but the line break."""
    verdict = report.verdict
    paint: Colouriser = _colour if colour else _without_colour
    blocks = [
        _head(verdict, paint),
        _families(verdict, paint),
        _findings(report, paint),
        _labelled_lines("Differences from the documentation", summary.drift_lines(verdict), paint),
        _labelled_lines("Waivers", summary.waiver_lines(verdict), paint),
        _labelled_lines("Baseline", summary.baseline_lines(verdict), paint),
        *(_section(section, paint) for section in verdict.sections),
        _coverage(verdict, paint),
        _unobserved(verdict, paint),
        _notes(verdict, paint),
        _verdict(verdict, paint),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _colour(text: str, name: str) -> str:
    code = _COLOURS.get(name)
    return f"{code}{text}{_RESET}" if code else text


def _without_colour(text: str, name: str) -> str:
    return text


def _head(verdict: Verdict, paint: Colouriser) -> list[str]:
    what = " ".join(part for part in ("sora-harness", verdict.command) if part)
    took = summary.run_duration_s(verdict)
    parts = [f"edition {verdict.edition}"] + ([f"{took:,.1f} s"] if took is not None else [])
    lines = [paint(escape_terminal(text), "warn")] if (text := summary.other_edition_note(verdict)) else []
    lines.append(
        f"{paint(escape_terminal(what), 'bold')}  {escape_terminal(verdict.subject)}  ({escape_terminal(', '.join(parts))})"
    )
    if labels := ", ".join(f"{key}={value}" for key, value in verdict.labels.items()):
        lines.append(f"labels  {escape_terminal(labels)}")
    return lines


def _families(verdict: Verdict, paint: Colouriser) -> list[str]:
    rows = summary.family_summaries(verdict)
    if not rows:
        return []
    wide = max(len(row.name) for row in rows)
    counts = max(len(row.status_counts()) for row in rows)
    return [
        f"  {escape_terminal(row.name):<{wide}}  {paint(f'{row.status_counts():<{counts}}', summary.status_style(row.worst))}  {row.checked:>12,} checked"
        for row in rows
    ]


def _findings(report: VerdictReport, paint: Colouriser) -> list[str]:
    entries = report.verdict.findings
    if not entries:
        return []
    lines = [paint(f"Findings ({len(entries)})", "bold")]
    shown: Counter[str] = Counter()
    apart = summary.fingerprints_shown_as_drift(report.verdict)
    for place, entry in enumerate(entries, start=1):
        if entry.fingerprint in apart:
            continue
        if shown[entry.requirement] < MAX_FINDINGS_PER_REQUIREMENT and shown.total() < MAX_FINDINGS:
            shown[entry.requirement] += 1
            lines += _finding(place, entry, report, paint)
    if apart:
        lines += [
            "",
            *_wrap_line(f"  {len(apart)} of them are differences from the documentation: see below", indent=4),
        ]
    more = Counter(entry.requirement for entry in entries if entry.fingerprint not in apart) - shown
    if more:
        kinds = ", ".join(f"{escape_terminal(name)} {count}" for name, count in more.items())
        lines += ["", *_wrap_line(f"  … and {more.total()} more, in the reports: {kinds}", indent=4)]
    return lines


def _finding(place: int, entry: FindingEntry, report: VerdictReport, paint: Colouriser) -> list[str]:
    mark = entry.status if entry.status != "new" else ""
    name = paint(escape_terminal(entry.requirement), summary.finding_style(report, entry))
    lines = ["", f"  {place}. {name}  {entry.level}{f', {mark}' if mark else ''}  {escape_terminal(entry.message)}"]
    for label, text in summary.finding_facts(report, entry):
        lines.append(f"     {paint(f'{label:<11}', 'dim')}  {escape_terminal(text, summary.fact_limit(label))}")
    return lines


def _section(section: ReportTable, paint: Colouriser) -> list[str]:
    table = [[escape_terminal(cell) for cell in section.columns]]
    table += [[_cell(value) for value in row] for row in section.rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(section.columns))]
    lines = [paint(escape_terminal(section.title), "bold")]
    for row in table:
        cells = [
            f"{cell:>{wide}}" if right else f"{cell:<{wide}}"
            for cell, wide, right in zip(row, widths, summary.numeric_columns(section), strict=True)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines + ([f"  {escape_terminal(section.note)}"] if section.note else [])


def _cell(value: str | float | None) -> str:
    return escape_terminal(value) if isinstance(value, str) else summary.format_cell(value)


def _coverage(verdict: Verdict, paint: Colouriser) -> list[str]:
    return _labelled_lines("Covered", summary.coverage_lines(verdict), paint)


def _labelled_lines(title: str, rows: Sequence[tuple[str, str]], paint: Colouriser) -> list[str]:
    if not rows:
        return []
    wide = max(10, *(len(label) for label, _ in rows))
    lines = [paint(title, "bold")]
    for label, text in rows:
        first, *rest = _wrap_line(f"  {label:<{wide}}  {escape_terminal(text, 1000)}", indent=wide + 4)
        lines += [first.replace(label, paint(label, "dim"), 1), *rest]
    return lines


def _unobserved(verdict: Verdict, paint: Colouriser) -> list[str]:
    rows = summary.unobserved_requirements(verdict)
    if not rows:
        return []
    lines = [paint("Not observed", "bold")]
    for why, ids in rows:
        lines.append(f"  {escape_terminal(why)}:")
        lines += _wrap_line("    " + escape_terminal(", ".join(ids), 4000), indent=4)
    return lines


def _notes(verdict: Verdict, paint: Colouriser) -> list[str]:
    notes = verdict.coverage.notes
    return [paint("Notes", "bold"), *(f"  {escape_terminal(note)}" for note in notes)] if notes else []


def _verdict(verdict: Verdict, paint: Colouriser) -> list[str]:
    lines = [paint(summary.SELF_TEST_NOTE, "bold")] if summary.is_self_test(verdict) else []
    word = paint(verdict.verdict.upper(), verdict.verdict)
    return [*lines, f"{word}  {escape_terminal(summary.verdict_headline(verdict))}  (exit {verdict.exit_code})"]


def _wrap_line(line: str, *, indent: int) -> list[str]:
    return textwrap.wrap(line, _WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
