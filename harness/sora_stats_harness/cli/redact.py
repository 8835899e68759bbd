"""`sora-harness redact`: a recording that can be passed on."""

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
"""How many of the texts that were kept are shown."""


def run(arguments: Arguments) -> int:
    """
    Redact a recording.

    Raises:
        UsageError: It cannot be read, or OUT not be written.
    """
    from ..recording.pseudonymize import redact_recording

    progress = ProgressLine()
    tick = make_line_ticker(progress, "redact: {:,} lines; each is read, and searched when it is written".format)
    try:
        summary = redact_recording(arguments.recording, arguments.out, tick=tick)
    finally:
        progress.end()
    replaced = ", ".join(f"{count:,} {kind}" for kind, count in summary.replaced.items() if count)
    text = f"{arguments.out}: {summary.exchanges:,} exchanges; replaced: {replaced or 'nothing'}"
    if summary.damaged:
        text += f"; {summary.damaged:,} lines could not be read, and stay marked as damaged"
    kept = ", ".join(["numbers, times, documented keys", *summary.kept[:MAX_SHOWN_TEXTS]])
    if (more := len(summary.kept) - MAX_SHOWN_TEXTS) > 0:
        kept += f" and {more:,} more"
    text += f"\nkept: {kept}; the file was searched for everything that was replaced"
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
