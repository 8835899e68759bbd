"""The formats of a report by name. Each row names a module, which is imported only when a report is written."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from .report import VerdictReport


class ReportFormat(NamedTuple):
    """One format."""

    module: str
    function: str
    """Takes a report and returns the text."""
    file_name: str | None = None
    """Its file in the folder of a run; None if it has none."""


REPORT_FORMATS: Final = {
    "text": ReportFormat("terminal", "render_terminal"),
    "html": ReportFormat("html_report", "render_html", "report.html"),
    "junit": ReportFormat("junit", "render_junit", "junit.xml"),
    "markdown": ReportFormat("markdown", "render_markdown_summary", "summary.md"),
}


def report_renderer(name: str) -> Callable[[VerdictReport], str]:
    """Import the function that renders a format."""
    row = REPORT_FORMATS[name]
    renderer: Callable[[VerdictReport], str] = getattr(import_module(f".{row.module}", __package__), row.function)
    return renderer
