"""
Writing to stdout and stderr: tables, colour or not, and readers who go away.

`| head` closes a pipe as soon as it has what it wants. That is no error, so it must neither be complained of nor change
an exit code.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from typing import TextIO

from ..reports.escaping import escape_terminal


def write_output(text: str, stream: TextIO | None = None) -> None:
    """Write to stdout (or `stream`) at once; a reader who has gone away has seen enough."""
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _redirect_to_null(stream)


def discard_broken_streams() -> bool:
    """
    Send nowhere what is still to come on stdout and stderr where the reader has gone: Python would complain at its end.

    Returns:
        Whether a reader has gone.
    """
    gone = [stream for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream)]
    for stream in gone:
        _redirect_to_null(stream)
    return bool(gone)


def _has_no_reader(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return bool(poll.poll(0))  # with nothing asked for, only errors and hang-ups are told
    except (AttributeError, OSError):  # no poll on this platform, or no file behind the stream
        return False


def _redirect_to_null(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour: on a terminal that can, unless NO_COLOR is set and not empty."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def format_columns(rows: Sequence[Sequence[str]]) -> str:
    """
    Lay out a table for the terminal, every string made harmless.

    >>> print(format_columns([("A", "B"), ("long", "x")]), end="")
    A     B
    long  x
    """
    shown = [[escape_terminal(cell, 1000) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in shown) for place in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip() for row in shown)
    return "\n".join(lines) + "\n"
