"""Reads response bodies: the memory that receives a long one, and the parser of chunked ones."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Final

from .http1_faults import FramingFault
from .http1_head import FaultList, excerpt, fault, parse_fields, split_lines

SECTION_LIMIT: Final = 100 * 1024
"""
The most bytes before the end of the final head, with interim responses and blank lines; also of a trailer section.
"""

SECTION_END: Final = re.compile(rb"\n\r?\n")
"""The end of a head or a trailer section, with CRLF or LF alone."""

CHUNK_LINE_LIMIT: Final = 4096
"""The most bytes of a chunk's size line, extensions included."""

MAX_PIECES: Final = 1024
"""Small ones of a body, until they are joined."""

LARGE_PIECE_BYTES: Final = 16 * 1024
"""A piece that is left as it came: to join such takes as much memory again as they hold."""

SPARE_BYTES: Final = 64
"""Extra bytes after a body's own memory, so that surplus is noticed."""

_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,20})\r\n")
"""A regular size line."""

_NEXT_CHUNK: Final = re.compile(rb"\r\n([0-9A-Fa-f]{1,20})\r\n")
"""The same after another chunk's data."""

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,20})([ \t]*)(;[^\r\n]*)?")
_CRLF: Final = b"\r\n"

Bytes = bytes | memoryview
"""What comes from a socket; the memory of a memoryview may be overwritten once it was taken."""


class BodyMemory:
    """
    The memory that receives a body of known length; `io.BytesIO` returns its bytes without another copy.

    The system allocates pages only when they are touched, so an announced length alone takes no memory.
    """

    def __init__(self, start: bytes, missing: int) -> None:
        self._memory = io.BytesIO(bytes(len(start) + missing + SPARE_BYTES))
        self._memory.write(start)
        self._views: list[memoryview] = []
        self.size: int = len(start)
        """How many bytes have come."""

    def view(self) -> memoryview:
        """The memory for all missing bytes and a few more; call `advance` next."""
        self._release()
        whole = self._memory.getbuffer()
        self._views = [whole[self.size :], whole]
        return self._views[0]

    def advance(self, size: int, missing: int) -> bytes:
        """Count what came into the view; returns the surplus bytes."""
        behind = bytes(self._views[0][missing:size])
        self._release()
        self.size += min(size, missing)
        self._memory.seek(self.size)
        return behind

    def write(self, data: Bytes) -> None:
        """Add bytes that were not received into the view."""
        self._memory.write(data)
        self.size += len(data)

    def body(self) -> bytes:
        """All that has come."""
        self._release()
        self._memory.truncate(self.size)
        return self._memory.getvalue()

    def start(self, limit: int) -> bytes:
        """The first of the bytes that have come."""
        self._release()
        with self._memory.getbuffer() as view:
            return bytes(view[: min(self.size, limit)])

    def _release(self) -> None:
        while self._views:
            self._views.pop(0).release()


def whole_chunked_body(data: Bytes) -> bytes | None:
    """
    Decode a chunked body that is complete and regular, with no trailers or surplus; None for any other.

    `ChunkedBody` would give the same, in twice the time.
    """
    view = memoryview(data)
    pieces: list[memoryview] = []
    chunk = _CHUNK.match(view)
    while chunk is not None:
        begin, size = chunk.end(), int(chunk[1], 16)
        if size == 0:
            return b"".join(pieces) if len(view) == begin + 2 and bytes(view[begin:]) == _CRLF else None
        pieces.append(view[begin : begin + size])
        chunk = _NEXT_CHUNK.match(view, min(begin + size, len(view)))  # beyond 64 bits would be an OverflowError
    return None


class BodyPieces(list[bytes]):
    """What has come of a body. Many small pieces become one: each alone takes 40 bytes more than it holds."""

    def __init__(self) -> None:
        super().__init__()
        self._joined = 0
        """Of the pieces those that are many in one, or large."""

    def add(self, piece: bytes) -> None:
        """Take the next one."""
        loose, is_large = len(self) - self._joined, len(piece) >= LARGE_PIECE_BYTES
        if loose > MAX_PIECES or (is_large and loose):
            self[self._joined :] = [b"".join(self[self._joined :])]
            self._joined += 1
        self.append(piece)
        self._joined += is_large


class ChunkedBody:
    """
    Parses a chunked body and its trailer section; trailers don't matter to this API.

    `pieces` receives the data of the chunks, and `note` each fault that does not end the body.
    """

    def __init__(self, pieces: BodyPieces, note: Callable[[FramingFault], None]) -> None:
        self._pieces = pieces
        self._note = note
        self._line = b""
        """An unfinished size line."""
        self._chunk_bytes = self._missing = 0
        """The current chunk's size, and how many of its bytes are missing."""
        self._is_end_due = False
        """Whether the line end after a chunk's data comes next."""
        self._section: bytearray | None = None
        """The bytes after the last chunk so far."""
        self.size: int = 0
        """How many bytes of data have come."""
        self.done: bool = False
        """Whether the end has come."""
        self.wrong: FramingFault | None = None
        """The fault that makes the end unknowable."""

    def take(self, taken: Bytes) -> Bytes:
        """Take bytes; returns those after the end."""
        if self._section is not None:
            return self._take_trailers(self._section, taken)
        view, at = memoryview(self._line + taken if self._line else taken), 0
        self._line = b""
        pieces, missing = self._pieces, self._missing
        while True:
            if missing:
                part = bytes(view[at : at + missing])
                pieces.add(part)
                at += len(part)
                self.size += len(part)
                if len(part) < missing:
                    self._missing = missing - len(part)
                    return b""
                self._missing = missing = 0
                self._is_end_due = True
            usual = (_NEXT_CHUNK if self._is_end_due else _CHUNK).match(view, at)
            if usual is not None:
                size, at = int(usual[1], 16), usual.end()
            else:
                size, at = self._read_odd(view, at)
                if size < 0:
                    return b""
            self._is_end_due = False
            if size == 0:
                self._section = bytearray()
                return self._take_trailers(self._section, view[at:])
            self._chunk_bytes = self._missing = missing = size

    def end(self) -> str | None:
        """Describe what is missing when the peer closes; None if the body is complete."""
        if self._section is None:
            return f"the body ended after {self.size} bytes, before its last chunk"
        # The chunk of size zero was received, which is what completes a body (RFC 9112, 8).
        self._note(fault("trailer_end_missing"))
        return None

    def _read_odd(self, view: memoryview, at: int) -> tuple[int, int]:
        """
        Read an irregular or partial size line; returns the size and the line's end. The size is -1 if there is none
        (yet).
        """
        rest = bytes(view[at : at + CHUNK_LINE_LIMIT])
        line = rest
        if self._is_end_due:
            if not rest.startswith(_CRLF[: len(rest)]):
                self._fail("chunk_end", f"no line end follows the {self._chunk_bytes} bytes of a chunk")
                return -1, at
            line = rest[2:]
        end = line.find(b"\n")
        if end >= 0:
            return self._read_size(line[:end]), at + len(rest) - len(line) + end + 1
        if len(rest) < CHUNK_LINE_LIMIT:
            self._line = rest
        else:
            limit = f"the size line of a chunk does not end within {CHUNK_LINE_LIMIT} bytes"
            self._fail("chunk_line_too_large", limit)
        return -1, at

    def _fail(self, code: str, text: str) -> Bytes:
        self.wrong = fault(code, text)
        return b""

    def _read_size(self, line: bytes) -> int:
        """The size in a line without its LF; -1 if there is none."""
        if not line.endswith(b"\r"):  # LF alone may end header lines (RFC 9112, 2.2), but no other lines
            self._fail("chunk_size", f"the size line {excerpt(line)} of a chunk ends with LF alone")
            return -1
        parts = _CHUNK_LINE.fullmatch(line, 0, len(line) - 1)
        if parts is None:
            self._fail("chunk_size", f"a chunk's size is {excerpt(line[:-1])}")
            return -1
        if parts[3] is not None:
            self._note(fault("chunk_extension"))
        elif parts[2]:
            self._note(fault("chunk_size_blanks"))
        return int(parts[1], 16)

    def _take_trailers(self, section: bytearray, data: Bytes) -> Bytes:
        scanned = len(section)
        section += data
        if section.startswith((_CRLF, b"\n")):
            size = section.index(b"\n") + 1
        elif (found := SECTION_END.search(section, max(0, scanned - 2))) is not None:
            size = found.end()
        elif len(section) < SECTION_LIMIT:
            return b""
        else:
            size = SECTION_LIMIT + 1
        if size > SECTION_LIMIT:
            limit = f"the trailer section does not end within {SECTION_LIMIT >> 10} KiB"
            return self._fail("head_too_large", limit)
        self.wrong = self._look_at_trailers(bytes(section[:size]))
        self.done = self.wrong is None
        return data[len(data) - (len(section) - size) :]

    def _look_at_trailers(self, raw: bytes) -> FramingFault | None:
        if raw == _CRLF:
            return None
        faults = FaultList()
        fields = parse_fields(split_lines(raw, faults), faults)
        if isinstance(fields, FramingFault):
            return fields
        if fields:
            self._note(fault("trailers"))
        for each in faults.found():
            self._note(each)
        return None
