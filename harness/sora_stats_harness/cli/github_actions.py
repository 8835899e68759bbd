"""
What a run does beside its reports where it runs in GitHub Actions: annotations, and the step's summary.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from .output import write_output

if TYPE_CHECKING:
    from ..reports.report import VerdictReport

ACTIONS_VARIABLE: Final = "GITHUB_ACTIONS"
STEP_SUMMARY_VARIABLE: Final = "GITHUB_STEP_SUMMARY"


def in_github_actions() -> bool:
    """Whether this is a step of a workflow."""
    return os.environ.get(ACTIONS_VARIABLE) == "true"


def guard_log_text(text: str) -> str:
    """A text as the runner's log may hold it; as it is, where there is no runner."""
    from ..reports import github_actions as github

    return github.guard_log_commands(text, secrets.token_hex(16)) if in_github_actions() else text


def annotate_error(text: str) -> None:
    """Annotate why there is no verdict; nothing where there is no runner."""
    if in_github_actions():
        from ..reports import github_actions as github

        write_output(github.error_annotation(text), sys.stderr)


def annotate_report(report: VerdictReport, stream: TextIO) -> None:
    """Annotate, and add to the step's summary; nothing where there is no runner. A summary that fails fails nothing."""
    if not in_github_actions():
        return
    from ..reports import github_actions as github
    from ..reports import markdown

    write_output(github.verdict_annotations(report.verdict), stream)
    path = os.environ.get(STEP_SUMMARY_VARIABLE)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(github.limit_step_summary(markdown.render_markdown_summary(report)))
    except OSError as error:
        write_output(f"sora-harness: the step's summary could not be written: {error.strerror or error}\n", sys.stderr)
