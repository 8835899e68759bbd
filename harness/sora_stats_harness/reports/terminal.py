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

from ..judge.verdict import FindingEntry, Section, Verdict
from . import summary
from .escape import plain
from .report import Report

MAX_FINDINGS: Final = 20
"""Shown; the files have all of them."""

MAX_SAME: Final = 4
"""Shown of one requirement: a server without a whole group must not hide the one counter that fell."""

_WIDTH: Final = 110
_COLOURS: Final = {
    "fail": "\x1b[1;31m", "warn": "\x1b[33m", "unknown": "\x1b[35m", "known": "\x1b[36m", "waived": "\x1b[36m", "info": "\x1b[36m",
    "pass": "\x1b[32m", "bold": "\x1b[1m", "dim": "\x1b[2m",
}  # fmt: skip
_RESET: Final = "\x1b[0m"

Paint = Callable[[str, str], str]
"""Colours a text by the name of a status."""


def render(report: Report, *, colour: bool = False) -> str:
    """Write the summary; without `colour` it holds no control character but the line break."""
    verdict = report.verdict
    paint: Paint = _colour if colour else _leave
    blocks = [
        _head(verdict, paint),
        _families(verdict, paint),
        _findings(report, paint),
        _labelled("Differences from the documentation", summary.drift(verdict), paint),
        _labelled("Waivers", summary.waivers(verdict), paint),
        _labelled("Baseline", summary.baseline(verdict), paint),
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


def _leave(text: str, name: str) -> str:
    return text


def _head(verdict: Verdict, paint: Paint) -> list[str]:
    what = " ".join(part for part in ("sora-harness", verdict.command) if part)
    took = summary.seconds(verdict)
    parts = [f"edition {verdict.edition}"] + ([f"{took:,.1f} s"] if took is not None else [])
    lines = [paint(plain(text), "warn")] if (text := summary.recognised(verdict)) else []
    lines.append(f"{paint(plain(what), 'bold')}  {plain(verdict.subject)}  ({plain(', '.join(parts))})")
    if labels := ", ".join(f"{key}={value}" for key, value in verdict.labels.items()):
        lines.append(f"labels  {plain(labels)}")
    return lines


def _families(verdict: Verdict, paint: Paint) -> list[str]:
    rows = summary.families(verdict)
    if not rows:
        return []
    wide = max(len(row.name) for row in rows)
    counts = max(len(row.counts()) for row in rows)
    return [
        f"  {plain(row.name):<{wide}}  {paint(f'{row.counts():<{counts}}', row.worst)}  {row.checked:>12,} checked"
        for row in rows
    ]


def _findings(report: Report, paint: Paint) -> list[str]:
    entries = report.verdict.findings
    if not entries:
        return []
    lines = [paint(f"Findings ({len(entries)})", "bold")]
    shown: Counter[str] = Counter()
    apart = summary.set_apart(report.verdict)
    for place, entry in enumerate(entries, start=1):
        if entry.fingerprint in apart:
            continue
        if shown[entry.requirement] < MAX_SAME and shown.total() < MAX_FINDINGS:
            shown[entry.requirement] += 1
            lines += _finding(place, entry, report, paint)
    if apart:
        lines += ["", *_wrapped(f"  {len(apart)} of them are differences from the documentation: see below", indent=4)]
    more = Counter(entry.requirement for entry in entries if entry.fingerprint not in apart) - shown
    if more:
        kinds = ", ".join(f"{plain(name)} {count}" for name, count in more.items())
        lines += ["", *_wrapped(f"  … and {more.total()} more, in the reports: {kinds}", indent=4)]
    return lines


def _finding(place: int, entry: FindingEntry, report: Report, paint: Paint) -> list[str]:
    status = summary.statuses(report.verdict).get(entry.requirement, "fail")
    mark = entry.status if entry.status != "new" else ""
    name = paint(plain(entry.requirement), mark or status)
    lines = ["", f"  {place}. {name}  {entry.level}{f', {mark}' if mark else ''}  {plain(entry.message)}"]
    for label, text in summary.facts(report, entry):
        lines.append(f"     {paint(f'{label:<11}', 'dim')}  {plain(text, summary.limit(label))}")
    return lines


def _section(section: Section, paint: Paint) -> list[str]:
    table = [[plain(cell) for cell in section.columns]]
    table += [[_cell(value) for value in row] for row in section.rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(section.columns))]
    lines = [paint(plain(section.title), "bold")]
    for row in table:
        cells = [
            f"{cell:>{wide}}" if right else f"{cell:<{wide}}"
            for cell, wide, right in zip(row, widths, summary.numeric(section), strict=True)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines + ([f"  {plain(section.note)}"] if section.note else [])


def _cell(value: str | float | None) -> str:
    return plain(value) if isinstance(value, str) else summary.cell(value)


def _coverage(verdict: Verdict, paint: Paint) -> list[str]:
    return _labelled("Covered", summary.coverage(verdict), paint)


def _labelled(title: str, rows: Sequence[tuple[str, str]], paint: Paint) -> list[str]:
    if not rows:
        return []
    wide = max(10, *(len(label) for label, _ in rows))
    lines = [paint(title, "bold")]
    for label, text in rows:
        first, *rest = _wrapped(f"  {label:<{wide}}  {plain(text, 1000)}", indent=wide + 4)
        lines += [first.replace(label, paint(label, "dim"), 1), *rest]
    return lines


def _unobserved(verdict: Verdict, paint: Paint) -> list[str]:
    rows = summary.unobserved(verdict)
    if not rows:
        return []
    lines = [paint("Not observed", "bold")]
    for why, ids in rows:
        lines.append(f"  {plain(why)}:")
        lines += _wrapped("    " + plain(", ".join(ids), 4000), indent=4)
    return lines


def _notes(verdict: Verdict, paint: Paint) -> list[str]:
    notes = verdict.coverage.notes
    return [paint("Notes", "bold"), *(f"  {plain(note)}" for note in notes)] if notes else []


def _verdict(verdict: Verdict, paint: Paint) -> list[str]:
    lines = [paint(summary.SELF_TEST, "bold")] if summary.is_self_test(verdict) else []
    word = paint(verdict.verdict.upper(), verdict.verdict)
    return [*lines, f"{word}  {plain(summary.headline(verdict))}  (exit {verdict.exit_code})"]


def _wrapped(line: str, *, indent: int) -> list[str]:
    return textwrap.wrap(line, _WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
