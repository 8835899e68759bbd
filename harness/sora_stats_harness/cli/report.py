"""`sora-harness report`: a verdict in another format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from ..api.errors import UsageError
from .output import wants_colour, write_output

HELP: Final = "write a verdict in another format"

EXAMPLES: Final = """\
examples:
  sora-harness report reports/gate/verdict.json
  sora-harness report reports/gate/verdict.json --format html --output gate.html
"""

_REPORT_FORMATS: Final = ("text", "html", "junit", "markdown")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("verdict", type=Path, metavar="VERDICT", help="a verdict.json; evidence beside it is used")
    parser.add_argument("--format", choices=_REPORT_FORMATS, default="text", help="what to write (default: text)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default: stdout)")


def run(arguments: argparse.Namespace) -> int:
    """
    Write the report that the run itself would have written.

    Raises:
        UsageError: The verdict cannot be read, or the file not be written.
    """
    from ..reports import report_folder as files
    from ..reports import terminal

    report = files.read_report(arguments.verdict)
    if arguments.format == "text" and arguments.output is None:
        text = terminal.render_terminal(report, colour=wants_colour(sys.stdout))
    else:
        text = files.REPORT_RENDERERS[arguments.format](report)
    if arguments.output is None:
        write_output(text)
        return 0
    try:
        files.write_file_atomically(arguments.output, text.encode("utf-8"))
    except OSError as error:
        raise UsageError(f"{arguments.output} cannot be written: {error.strerror or error}") from None
    return 0
