"""Formats findings as the text of a failed test, and the gate's verdict as a table."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..api.language import translate
from ..judge.verdict import FindingEntry
from ..reports import summary, terminal
from ..reports.escaping import escape_terminal
from ..reports.report import VerdictReport
from ..reports.text_wrapping import pad


def finding_headline(entry: FindingEntry) -> str:
    """One line, in English: the requirement, its level, and what is wrong."""
    mark = f", {entry.status}" if entry.status != "new" else ""
    return f"{entry.requirement} ({entry.level}{mark}): {escape_terminal(entry.message)}"


def format_finding(report: VerdictReport, entry: FindingEntry, *, folder: Path | None = None) -> str:
    """
    Describe one finding, in the language of the session; strings of the server are escaped.

    Args:
        folder: Where the reports were written; None if they weren't, and then no file is named.
    """
    lines = [translate(finding_headline(entry))]
    evidence = report.evidence_of(entry)
    is_bare_body = bool(evidence) and evidence[-1].clock == "none"  # the test judged a body without a request
    for label, text in summary.finding_facts(report, entry):
        if label == "evidence" and folder is None:
            continue
        if label in ("sent by", "reproduce") and is_bare_body:
            continue
        shown = text if label == "reproduce" else translate(text)
        shown = f"{folder}: {shown}" if label == "evidence" else shown
        lines.append(f"  {pad(translate(label), 11)}  {escape_terminal(shown, summary.fact_limit(label))}")
    return "\n".join(lines)


def format_verdict_table(report: VerdictReport, *, colour: bool) -> str:
    """Format the verdict by families, and the coverage; without findings, which the failed tests show."""
    verdict = msgspec.structs.replace(report.verdict, findings=[])
    return terminal.render_terminal(VerdictReport(verdict=verdict), colour=colour)
