"""
What a run does beside its reports where it runs in GitHub Actions: annotations, and the step's summary.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from .output import emit

if TYPE_CHECKING:
    from ..reports.report import Report

RUNS_THERE: Final = "GITHUB_ACTIONS"
STEP_SUMMARY: Final = "GITHUB_STEP_SUMMARY"


def runs_there() -> bool:
    """Whether this is a step of a workflow."""
    return os.environ.get(RUNS_THERE) == "true"


def guarded(text: str) -> str:
    """A text as the runner's log may hold it; as it is, where there is no runner."""
    from ..reports import github

    return github.guarded(text, secrets.token_hex(16)) if runs_there() else text


def complain(text: str) -> None:
    """Annotate why there is no verdict; nothing where there is no runner."""
    if runs_there():
        from ..reports import github

        emit(github.error(text), sys.stderr)


def tell(report: Report, stream: TextIO) -> None:
    """Annotate, and add to the step's summary; nothing where there is no runner. A summary that fails fails nothing."""
    if not runs_there():
        return
    from ..reports import github, markdown

    emit(github.annotate(report.verdict), stream)
    path = os.environ.get(STEP_SUMMARY)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(github.step_summary(markdown.render(report)))
    except OSError as error:
        emit(f"sora-harness: the step's summary could not be written: {error.strerror or error}\n", sys.stderr)
