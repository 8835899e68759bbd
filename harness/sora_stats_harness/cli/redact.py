"""`sora-harness redact`: a recording that can be passed on."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from .output import write_output
from .progress import ProgressLine

HELP: Final = "copy a recording with ids and labels replaced"

EXAMPLES: Final = """\
examples:
  sora-harness redact run.jsonl.zst shared.jsonl.zst
  sora-harness redact run.jsonl.zst shared.jsonl && sora-harness check shared.jsonl
"""

INTERRUPT_GRACE_S: Final = 2.0
"""After which progress is shown."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("recording", metavar="RECORDING", help="what to read, compressed or not; - for stdin")
    parser.add_argument("out", metavar="OUT", help="what to write, compressed where the name ends in .zst")


def run(arguments: argparse.Namespace) -> int:
    """
    Redact a recording.

    Raises:
        UsageError: It cannot be read, or OUT not be written.
    """
    from ..recording.pseudonymize import redact_recording

    progress = ProgressLine()
    started = time.monotonic()
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count % 64 == 0 and (elapsed := time.monotonic() - started) > INTERRUPT_GRACE_S:
            progress.show(elapsed, f"redact: {count:,} lines read, each is read twice")

    try:
        summary = redact_recording(arguments.recording, arguments.out, tick=tick)
    finally:
        progress.end()
    text = (
        f"{arguments.out}: {summary.exchanges:,} exchanges; replaced: {summary.ids:,} ids, {summary.labels:,} labels "
        f"and {summary.hosts:,} hosts"
    )
    if summary.damaged:
        text += f"; {summary.damaged:,} lines could not be read, and stay marked as damaged"
    write_output(f"{text}\n", sys.stderr)
    return 0
