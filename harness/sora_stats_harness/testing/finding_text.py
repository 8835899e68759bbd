"""
What a person reads of the gate: a finding as the text of a failed test, and the verdict as a table.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..judge.verdict import FindingEntry
from ..reports import summary, terminal
from ..reports.escaping import escape_terminal
from ..reports.report import VerdictReport


def finding_headline(entry: FindingEntry) -> str:
    """One line: the requirement, its level, and what is wrong."""
    mark = f", {entry.status}" if entry.status != "new" else ""
    return f"{entry.requirement} ({entry.level}{mark}): {escape_terminal(entry.message)}"


def format_finding(report: VerdictReport, entry: FindingEntry, *, folder: Path | None = None) -> str:
    """
    Tell of one finding, every string of a server made harmless.

    Args:
        report: Holds its evidence.
        entry: The finding.
        folder: Where the reports are; None where nothing was written, so that no file is named.
    """
    lines = [finding_headline(entry)]
    proof = report.evidence_of(entry)
    bare = bool(proof) and proof[-1].clock == "none"  # a body that nobody asked for
    for label, text in summary.finding_facts(report, entry):
        if label == "evidence" and folder is None:
            continue
        if label in ("sent by", "reproduce") and bare:
            continue
        shown = f"{folder}: {text}" if label == "evidence" else text
        lines.append(f"  {label:<11}  {escape_terminal(shown, summary.fact_limit(label))}")
    return "\n".join(lines)


def format_verdict_table(report: VerdictReport, *, colour: bool) -> str:
    """The verdict family by family, and what was covered; without the findings, which failed tests tell of."""
    verdict = msgspec.structs.replace(report.verdict, findings=[])
    return terminal.render_terminal(VerdictReport(verdict=verdict), colour=colour)
