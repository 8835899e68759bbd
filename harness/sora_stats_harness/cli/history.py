"""`sora-harness history`: one page over all runs below a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ..api.language import translate
from .framework import Arguments, Command, with_value
from .output import print_table, write_message, write_result

EXAMPLES: Final = """\
examples:
  sora-harness history reports
  sora-harness history reports --by build --output public/index.html
"""

DEFAULT_PAGE: Final = Path("history.html")


def run(arguments: Arguments) -> int:
    """Write the page, and print the table of runs."""
    from ..reports.escaping import escape_terminal
    from ..reports.history_page import HISTORY_COLUMNS, history_row, render_history
    from ..reports.run_history import read_history
    from ..reports.summary import count_with_noun

    history = read_history(arguments.folder, label=arguments.by)
    page = arguments.output or DEFAULT_PAGE
    write_result(render_history(history, beside=page.parent), page)
    print_table(
        [[translate(column).upper() for column in HISTORY_COLUMNS], *(history_row(each) for each in history.runs)]
    )
    for text in history.left_out:
        write_message(f"left out: {escape_terminal(text, 1000)}\n", sys.stderr)
    write_message(f"{count_with_noun(len(history.runs), 'run')} in {page}\n")
    return 0


command: Command = Command(
    "history",
    [
        click.Argument(["folder"], type=Path, metavar="DIR", help="every verdict.json below it is a run"),
        with_value("--by", "LABEL", "the label that names the release (default: release, version or build)"),
        with_value("--output", "FILE", f"where to write the page (default: {DEFAULT_PAGE})", type=Path),
    ],
    examples=EXAMPLES,
    run=run,
)
