"""Reports a session to GitHub Actions: annotations, and the step's summary."""

from __future__ import annotations

from typing import Any

from ..reports import github_actions as github
from ..reports.escaping import escape_markdown
from ..reports.markdown import render_markdown_summary
from ..reports.report import VerdictReport
from .gate_items import ConformanceGate
from .session_findings import SessionFindings


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
