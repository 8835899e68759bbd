"""
Output for GitHub Actions: annotations, a step summary, and a log in which no server can inject commands.

The runner treats any line that begins with `::` as a command, and `##[` anywhere in a line. So a summary is enclosed by
two lines that switch commands off and on again with an unguessable token, and the text of a command is escaped by the
runner's own rules.

Source: actions/runner, ActionCommand.cs; GitHub's page on workflow commands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from ..judge.requirements import Level
from ..judge.verdict import FindingEntry, Verdict
from . import summary
from .escaping import escape_terminal
from .headline import measured_figures

MAX_ANNOTATIONS: Final = 10
"""How many annotations of one kind GitHub shows for a step."""

MAX_SUMMARY_BYTES: Final = 1_000_000
"""A step's summary may have 1 MiB; GitHub does not show a larger one at all."""

ACTIONS_VARIABLE: Final = "GITHUB_ACTIONS"
STEP_SUMMARY_VARIABLE: Final = "GITHUB_STEP_SUMMARY"

AnnotationLevel = Literal["error", "warning", "notice"]


def is_in_github_actions() -> bool:
    """Whether this is a step of a workflow."""
    return os.environ.get(ACTIONS_VARIABLE) == "true"


def append_step_summary(text: str) -> str | None:
    """Add Markdown to the step's summary, if there is one. Returns why that failed; None if it didn't."""
    path = os.environ.get(STEP_SUMMARY_VARIABLE)
    if not path:
        return None
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(limit_step_summary(text))
    except OSError as error:
        return error.strerror or str(error)
    return None


def guard_log_commands(text: str, token: str) -> str:
    """Enclose a text in which the runner must not look for commands; `token` must be new and unguessable."""
    return f"::stop-commands::{token}\n{text}::{token}::\n"


def verdict_annotations(verdict: Verdict) -> str:
    """
    Workflow commands: one for the verdict, one for each counted finding, one for each waiver that needs attention.
    """
    kind: AnnotationLevel = "notice" if verdict.verdict == "pass" else "error"
    text = f"{verdict.verdict.upper()}: {summary.verdict_headline(verdict)}"
    if summary.is_self_test(verdict):
        text = f"{summary.SELF_TEST_NOTE} {text}"
    if figures := measured_figures(verdict):
        text += "; " + ", ".join(f"{figure.number} {figure.text}" for figure in figures)
    errors = list(_findings(verdict, "error"))
    warnings = [*_findings(verdict, "warning"), *_waivers(verdict)]
    room = MAX_ANNOTATIONS - (kind == "error")
    more = max(0, len(errors) - room) + max(0, len(warnings) - MAX_ANNOTATIONS)
    if more:
        text += f"; {more} more than GitHub shows are in the reports"
    name = f"sora-harness {verdict.command}".strip()
    return "".join([_workflow_command(kind, name, text), *errors[:room], *warnings[:MAX_ANNOTATIONS]])


def error_annotation(text: str) -> str:
    """A workflow command for a run without a verdict."""
    return _workflow_command("error", "sora-harness", text)


def limit_step_summary(text: str) -> str:
    """A summary in Markdown, cut if it is larger than GitHub accepts."""
    if len(text.encode("utf-8")) <= MAX_SUMMARY_BYTES:
        return text
    cut = text.encode("utf-8")[:MAX_SUMMARY_BYTES].decode("utf-8", "ignore").rpartition("\n")[0]
    return f"{cut}\n\n… and more, in the reports\n"


def _findings(verdict: Verdict, kind: AnnotationLevel) -> Iterator[str]:
    for entry in verdict.findings:
        if entry.status == "new" and kind == _annotation_level(entry, verdict):
            yield _workflow_command(kind, entry.requirement, f"{entry.message} ({summary.finding_location(entry)})")


def _annotation_level(entry: FindingEntry, verdict: Verdict) -> AnnotationLevel:
    if Level[entry.level] >= Level[verdict.fail_on]:
        return "error"
    return "notice" if entry.level == "INFO" else "warning"


def _waivers(verdict: Verdict) -> Iterator[str]:
    for waiver in verdict.waivers:
        if waiver.state in ("expired", "unused"):
            yield _workflow_command("warning", f"waiver of {waiver.requirement}", summary.waiver_line(waiver))


def _workflow_command(kind: AnnotationLevel, title: str, message: str) -> str:
    return (
        f"::{kind} title={_escape_property(escape_terminal(title))}::{_escape_data(escape_terminal(message, 1000))}\n"
    )


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
