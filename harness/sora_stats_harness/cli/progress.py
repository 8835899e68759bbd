"""
How far a run is, for whoever waits: one line that is rewritten on a terminal, a line every few seconds elsewhere.

It goes to stderr, since stdout is for data.
"""

from __future__ import annotations

import sys
from typing import Final, TextIO

PLAIN_INTERVAL_S: Final = 5.0
"""Between two lines where there is no terminal."""

_CLEAR_LINE: Final = "\r\x1b[K"


class ProgressLine:
    """
    Shows lines of progress; `end` leaves the terminal as it was.

    Args:
        stream: Where to write; stderr if None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._next_s = PLAIN_INTERVAL_S
        self._shown = ""

    def show(self, elapsed_s: float, text: str) -> None:
        """Tell how far the run is; cheap enough to be called often."""
        if self._terminal:
            if text != self._shown:
                self._write(f"{_CLEAR_LINE}{text}")
                self._shown = text
        elif elapsed_s >= self._next_s:
            self._next_s = elapsed_s + PLAIN_INTERVAL_S
            self._write(f"{text}\n")

    def end(self) -> None:
        """Take the updating line away."""
        if self._shown:
            self._write(_CLEAR_LINE)
            self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
