"""
What a run does beside its reports where it runs in GitHub Actions: annotations, and the step's summary.
"""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, TextIO

from .output import write_output

if TYPE_CHECKING:
    from ..reports.report import VerdictReport


def guard_log_text(text: str) -> str:
    """A text as the runner's log may hold it; as it is, where there is no runner."""
    from ..reports import github_actions as github

    return github.guard_log_commands(text, secrets.token_hex(16)) if github.is_in_github_actions() else text


def annotate_error(text: str) -> None:
    """Annotate why there is no verdict; nothing where there is no runner."""
    from ..reports import github_actions as github

    if github.is_in_github_actions():
        write_output(github.error_annotation(text), sys.stderr)


def annotate_report(report: VerdictReport, stream: TextIO) -> None:
    """Annotate, and add to the step's summary; nothing where there is no runner. A summary that fails fails nothing."""
    from ..reports import github_actions as github
    from ..reports import markdown

    if not github.is_in_github_actions():
        return
    write_output(github.verdict_annotations(report.verdict), stream)
    if problem := github.append_step_summary(markdown.render_markdown_summary(report)):
        write_output(f"sora-harness: the step's summary could not be written: {problem}\n", sys.stderr)
