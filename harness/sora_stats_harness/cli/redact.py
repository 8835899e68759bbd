"""`sora-harness redact`: makes a copy of a recording that can be passed on."""

from __future__ import annotations

import sys
from typing import Final

import click

from .framework import Arguments, Command
from .output import ProgressLine, make_line_ticker, write_message

EXAMPLES: Final = """\
examples:
  sora-harness redact run.jsonl.zst shared.jsonl.zst
  sora-harness redact run.jsonl.zst shared.jsonl && sora-harness check shared.jsonl
"""

MAX_SHOWN_TEXTS: Final = 20
"""How many of the kept texts are shown."""


def run(arguments: Arguments) -> int:
    """Redact a recording."""
    from ..recording.pseudonymize import redact_recording

    progress = ProgressLine()
    tick = make_line_ticker(progress, "redact: {:,} lines read, or searched after writing".format)
    try:
        summary = redact_recording(arguments.recording, arguments.out, tick=tick)
    finally:
        progress.end()
    replaced = ", ".join(f"{count:,} {kind}" for kind, count in summary.replaced.items() if count)
    text = f"{arguments.out}: {summary.exchanges:,} exchanges; replaced: {replaced or 'nothing'}"
    if summary.damaged:
        text += f"; {summary.damaged:,} lines could not be read, and are still marked as damaged"
    kept = ", ".join(["numbers, times, documented keys", *summary.kept[:MAX_SHOWN_TEXTS]])
    if (more := len(summary.kept) - MAX_SHOWN_TEXTS) > 0:
        kept += f" and {more:,} more"
    text += f"\nkept: {kept}; the file was searched for whatever was replaced"
    write_message(f"{text}\n", sys.stderr)
    return 0


command: Command = Command(
    "redact",
    [
        click.Argument(["recording"], metavar="RECORDING", help="what to read, compressed or not; - for stdin"),
        click.Argument(["out"], metavar="OUT", help="what to write, compressed where the name ends in .zst"),
    ],
    examples=EXAMPLES,
    run=run,
)
