"""
Writes what was found: a failed test's text, the gate's verdict as a table, and annotations for GitHub Actions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..api.language import translate
from ..judge.verdict import FindingEntry
from ..reports import github_actions as github
from ..reports import summary, terminal
from ..reports.escaping import escape_markdown, escape_terminal
from ..reports.markdown import render_markdown_summary
from ..reports.report import VerdictReport
from ..reports.text_wrapping import pad

if TYPE_CHECKING:
    from .gate_items import ConformanceGate
    from .session_findings import SessionFindings


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


def annotate_session(
    findings: SessionFindings, gate: ConformanceGate | None, report: VerdictReport | None, terminalreporter: Any
) -> None:
    """
    Write annotations, and add to the step's summary; no effect outside of GitHub Actions.

    Args:
        report: The gate's report, if it has run; its own findings are annotated from there.
    """
    if not github.is_in_github_actions():
        return
    found = [
        f"{node_id}: {line}"
        for node_id, line in findings
        if report is None or gate is None or node_id != gate.verdict_node_id
    ]
    annotations = "" if report is None else github.verdict_annotations(report.verdict)
    annotations += "".join(map(github.error_annotation, found[: github.MAX_ANNOTATIONS]))
    terminalreporter.ensure_newline()
    terminalreporter.write(annotations)
    text = "" if report is None else render_markdown_summary(report)
    text += "".join(f"- {escape_markdown(line)}\n" for line in found)
    if problem := github.append_step_summary(text):
        terminalreporter.write_line(f"the step's summary could not be written: {problem}")
