"""`sora-harness report`: writes a verdict in another format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ..reports.report_formats import REPORT_FORMATS, report_renderer
from .framework import Arguments, Choice, Command, Option, with_value
from .options import verbose_option
from .output import report_width, wants_colour, write_result

EXAMPLES: Final = """\
examples:
  sora-harness report reports/gate
  sora-harness report reports/gate --verbose
  sora-harness report reports/gate --format html --output gate.html
"""


def run(arguments: Arguments) -> int:
    """Write the same report as the run itself would have written."""
    from ..reports import report_folder as files
    from ..reports import terminal

    report = files.read_report(arguments.verdict)
    if arguments.format == "text" and arguments.output is None:
        detail = terminal.Detail.FULL if arguments.verbose else terminal.Detail.SUMMARY
        text = terminal.render_terminal(
            report, colour=wants_colour(sys.stdout), width=report_width(sys.stdout), detail=detail
        )
    else:
        text = report_renderer(arguments.format)(report)
    write_result(text, arguments.output)
    return 0


command: Command = Command(
    "report",
    [
        click.Argument(
            ["verdict"],
            type=Path,
            metavar="VERDICT",
            help="a verdict.json, or the folder of a run; the evidence beside it is used",
        ),
        Option(["--format"], type=Choice(list(REPORT_FORMATS)), default="text", help="what to write (default: text)"),
        verbose_option(),
        with_value("--output", "FILE", "where to write it (default: stdout)", type=Path),
    ],
    examples=EXAMPLES,
    run=run,
)
