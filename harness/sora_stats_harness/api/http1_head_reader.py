"""Reads a response head that comes in pieces of any size, and skips what may stand before it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .http1_body import SECTION_END, SECTION_LIMIT, Bytes
from .http1_faults import FramingFault
from .http1_head import FaultList, ResponseHead, fault, head_of, parse_status_line, status_line_so_far

FIRST_LINE_BYTES: Final = 64
"""After so many bytes, an unfinished first line must look like a status line."""

_BLANK_LINES: Final = re.compile(rb"(?:\r?\n)+")


class HeadReader:
    """
    Reads the head of one response; skips blank lines and interim responses before it.

    Args:
        note: Called with each deviation from the standard.
    """

    def __init__(self, note: Callable[[FramingFault], None]) -> None:
        self.head: ResponseHead | None = None
        """The head, once it is complete."""
        self.wrong: FramingFault | None = None
        """The fault, if the bytes can't be a head."""
        self._note = note
        self._buffer = bytearray()
        self._scanned = 0
        """How many bytes of the buffer were searched without finding the end."""
        self._passed_bytes = 0
        """How many bytes of blank lines and interim responses were skipped."""
        self._line_seen = False
        """Whether the first line was checked."""

    def take(self, data: Bytes) -> Bytes:
        """Take bytes until `head` or `wrong` is set; returns what is left."""
        buffer = self._buffer
        buffer += data
        if not self._line_seen:
            self._skip_blank_lines()
            self._look_at_first_line()
            if self.wrong is not None:
                return b""
        found = SECTION_END.search(buffer, max(0, self._scanned - 2))
        self._scanned = len(buffer)
        size = len(buffer) + 1 if found is None else found.end()
        if self._passed_bytes + size > SECTION_LIMIT:
            where = "interim responses did" if self._passed_bytes else "the head of the response does"
            self.wrong = fault("head_too_large", f"{where} not end within {SECTION_LIMIT >> 10} KiB")
        if found is None or self.wrong is not None:
            return b""
        left = len(buffer) - size
        head = head_of(bytes(buffer[:size]))
        buffer.clear()
        if isinstance(head, FramingFault):
            self.wrong = head
            return b""
        for each in head.faults:
            self._note(each)
        if 100 <= head.status < 200:
            self._pass_over(head.status, size)
        else:
            self.head = head
        return data[len(data) - left :]

    def end(self) -> FramingFault | None:
        """The fault that keeps the bytes so far from being the start of a head; None if they may be one."""
        return None if self._line_seen else status_line_so_far(bytes(self._buffer))

    def _skip_blank_lines(self) -> None:
        if (blank := _BLANK_LINES.match(self._buffer)) is not None:
            self._note(fault("blank_line", "a blank line stands before the status line"))
            self._passed_bytes += blank.end()
            self._scanned = 0
            del self._buffer[: blank.end()]

    def _look_at_first_line(self) -> None:
        """Check the first line as soon as it is there, since a stream that is not HTTP may never end."""
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            if len(self._buffer) >= FIRST_LINE_BYTES:
                self.wrong = status_line_so_far(bytes(self._buffer))
            return
        self._line_seen = True
        line = parse_status_line(bytes(self._buffer[:end]).removesuffix(b"\r"), FaultList())
        self.wrong = line if isinstance(line, FramingFault) else None

    def _pass_over(self, status: int, size: int) -> None:
        """Skip an interim response."""
        self._passed_bytes += size
        self._scanned, self._line_seen = 0, False
        if status == 101:
            self.wrong = fault("switched", "the server changed the protocol, unasked: status 101")
        else:
            self._note(fault("interim", f"an interim response came first: status {status}"))
