"""
Reads HTTP/1.1 responses, without a socket: bytes go in, and a response or the reason why there is none comes out.

The contract: `begin` makes the reader ready for a response. `feed` takes what came from the socket, in pieces of any
size. `end` says that the peer has closed, and `give_up` that we stop reading. As soon as no more bytes are needed,
`over` is true. Then either `response` is complete and `error` is None, or `error` says what is wrong and `response` is
what had come by then. `faults` lists all deviations from the standard, and `keep` says whether the connection may be
used again. Bytes fed after the end are surplus: they are a fault, and never part of a response. The outcome depends
only on the bytes and on where they end, never on the pieces.

    head ── 1xx ──> head
      │
      ├── no body ──────────────────────────────> over
      ├── Content-Length ──> body by length ────> over
      ├── chunked ──> chunks ──> trailers ──────> over
      └── neither ──> body until the close ─────> over

The common case under load is a head and its whole body in one piece. A large body of known
length is received where it stays: `buffer` gives the memory to receive into, and `advance` says how much came.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from .exchange import ErrorCode, Response, TransportError
from .http1_body import (
    SECTION_END,
    SECTION_LIMIT,
    SPARE_BYTES,
    BodyMemory,
    BodyPieces,
    Bytes,
    ChunkedBody,
    whole_chunked_body,
)
from .http1_faults import FRAMING_RULES, Effect, FramingFault
from .http1_head import (
    MAX_HEADS,
    USUAL_HEAD_BYTES,
    BodyEnd,
    FaultList,
    ResponseHead,
    excerpt,
    fault,
    head_of,
    parse_status_line,
    status_line_so_far,
)

BODY_LIMIT: Final = 256 * 1024 * 1024
"""The default limit of bytes after a head, counted as they are on the wire."""

KEPT_OF_PARTIAL: Final = 64 * 1024
"""How many bytes of an incomplete body are kept to show what it was."""

DIRECT_BYTES: Final = 64 * 1024
"""If at least so many bytes of a body are missing, they can be received into the body's own memory."""

FIRST_LINE_BYTES: Final = 64
"""After so many bytes, an unfinished first line must look like a status line."""

_BLANK_LINES: Final = re.compile(rb"(?:\r?\n)+")
_HEAD_END: Final = b"\r\n\r\n"
_TOO_LARGE: Final = ("head_too_large", "chunk_line_too_large")


@lru_cache(MAX_HEADS)
def _find_final_head(raw: bytes) -> ResponseHead | None:
    """The head that these bytes are; None if they are more than one head, or none that a body follows."""
    head = head_of(raw) if raw.count(b"\n\r\n") == 1 and b"\n\n" not in raw else None
    return head if isinstance(head, ResponseHead) and head.status >= 200 else None


class ResponseReader:
    """
    Reads the responses of one connection, one after the other.

    Args:
        limit_bytes: The most bytes after a head, counted on the wire: the framing of chunks counts as well.

    >>> reader = ResponseReader()
    >>> reader.feed(b"HTTP/1.1 200 OK\\r\\nContent-Le")
    False
    >>> reader.feed(b"ngth: 2\\r\\n\\r\\n[]")
    True
    >>> reader.response.status, reader.response.body, reader.response.complete
    (200, b'[]', True)
    """

    wire_bytes: int

    keep: bool

    # Set when a body begins, not for each response.
    _pieces: BodyPieces
    """The part of a body that has come."""
    _memory: BodyMemory | None
    """The same, if it was received into the body's own memory."""
    _chunks: ChunkedBody | None
    _announced: int
    """The announced length of a body, or the limit if that is less."""
    _is_beyond_limit: bool
    """Whether the head announces a body beyond the limit; the body may still be cut before the limit."""
    _room: int
    """How many more bytes a body of unknown length may have, counted on the wire."""

    def __init__(self, *, limit_bytes: int = BODY_LIMIT) -> None:
        self._limit = limit_bytes
        self.begin()

    def begin(self, method: str = "POST") -> None:
        """Forget the previous response, and expect one to a request with this method."""
        self.over: bool = False
        """Whether no more bytes are needed."""
        self.response: Response | None = None
        """The response, or the part that came; None before the end, or if its head is incomplete."""
        self.error: TransportError | None = None
        """Why the response is not complete."""
        self.faults: tuple[FramingFault, ...] = ()
        """The deviations so far, each rule once, in the order of the bytes."""
        self.keep = False
        """Whether the connection may be used again: the response is complete, and had no fault that forbids it."""
        self.wire_bytes = 0
        """All bytes taken."""
        self._method = method
        self._head: ResponseHead | None = None
        """The final head, while its body is read."""
        self._missing = 0
        """How many bytes of a body of known length are missing; 0 unless such a body is being read."""
        self._head_reader: HeadReader | None = None
        """Reads a head that was not recognised by its bytes."""
        self._surplus = b""
        """The first bytes after the end."""

    def feed(self, data: Bytes) -> bool:
        """Take all bytes that came; returns `over`."""
        size = len(data)
        if not self.wire_bytes and self._method != "HEAD":
            start = bytes(data[:USUAL_HEAD_BYTES])
            end = start.find(_HEAD_END) + len(_HEAD_END)
            head = _find_final_head(start[:end])
            if head is not None:
                self.wire_bytes = size
                self.faults = head.faults
                body: bytes | None = None
                if size - end == head.length <= self._limit:
                    body = bytes(data[end:])
                elif head.body_end is BodyEnd.CHUNKED and size - end <= self._limit:
                    body = whole_chunked_body(data[end:])
                if body is not None:
                    self.response = Response(head.status, head.headers, body)  # by place: names take twice as long
                    self.keep = head.keep
                    self.over = True
                    return True
                self._enter_body(head)
                return self._take(data[end:])
        self.wire_bytes += size
        if size < self._missing and self._memory is None:
            self._pieces.add(bytes(data))
            self._missing -= size
            return False
        return self._take(data)

    def buffer(self) -> memoryview | None:
        """
        Memory to receive into instead of calling `feed`, if much of a body of known length is missing; else None.

        Call `advance` with the number of bytes that came, before any other method. The memory is a few bytes longer
        than the body, so that surplus is noticed.
        """
        if self._missing < DIRECT_BYTES or self._is_beyond_limit:
            return self._memory.view() if self._missing and self._memory is not None else None
        if self._memory is None:
            self._memory = BodyMemory(b"".join(self._pieces), self._missing)
            self._pieces = BodyPieces()
        return self._memory.view()

    def advance(self, size: int) -> bool:
        """Say how many bytes came into `buffer`; returns `over`."""
        assert self._memory is not None, "only after `buffer`"
        self.wire_bytes += size
        behind = self._memory.advance(size, self._missing)
        self._missing -= size - len(behind)
        if not self._missing:
            self._complete(self._memory.body())
        return self._take(behind)

    def end(self) -> None:
        """The peer has closed its side in an orderly way: no more bytes will come."""
        head = self._head
        if self.over:
            return
        if head is None:
            self._end_in_head()
        elif self._missing:
            self._cut(f"the body ended after {self.body_bytes} of {head.length} bytes")
        elif self._chunks is not None and (missing := self._chunks.end()) is not None:
            self._cut(missing)
        else:
            self._complete(b"".join(self._pieces))

    def give_up(self, error: TransportError) -> None:
        """Stop reading for a reason outside the bytes: a time-out, a reset, a limit on all bodies together."""
        if self.over:
            return
        self.error = error
        self.over = True
        head, self._missing = self._head, 0
        if head is not None:
            self.response = Response(status=head.status, headers=head.headers, body=self._start(), complete=False)
            self._memory, self._chunks, self._pieces = (
                None,
                None,
                BodyPieces(),
            )  # at once: the bodies that are being read share a limit

    def too_late(self, timeout_s: float) -> TransportError:
        """The error of a response that was not complete in time; it says how much had come."""
        so_far = "" if self.status is None else f" (status {self.status}, {self.body_bytes} bytes of body so far)"
        return TransportError(code=ErrorCode.TIMEOUT, detail=f"no complete response within {timeout_s:g} s{so_far}")

    @property
    def status(self) -> int | None:
        """The status of the final response; None until its head is complete."""
        if self.response is not None:
            return self.response.status
        return None if self._head is None else self._head.status

    @property
    def body_bytes(self) -> int:
        """Bytes of the body that are held."""
        if self.response is not None:
            return len(self.response.body)
        if self._head is None:
            return 0
        if self._chunks is not None:
            return self._chunks.size
        return self._announced - self._missing if self._announced else self._limit - self._room

    def _take(self, data: Bytes) -> bool:
        """Pass bytes to head and body; what is left is surplus."""
        while len(data) and not self.over:
            if self._head is None:
                data = self._take_head(data)
            elif self._missing:
                data = self._take_of_length(data)
            else:
                data = self._take_of_unknown_length(data)
        if len(data) and self.error is None:
            self._take_surplus(data)
        return self.over

    # -- the head -----------------------------------------------------------------------------------------------------

    def _take_head(self, data: Bytes) -> Bytes:
        if self._head_reader is None:
            self._head_reader = HeadReader(self._note)
        reader = self._head_reader
        left = reader.take(data)
        if reader.wrong is not None:
            return self._fail(reader.wrong)
        if reader.head is not None:
            self._enter_body(reader.head)
        return left

    def _end_in_head(self) -> None:
        reader = self._head_reader
        if reader is None:
            error = TransportError(code=ErrorCode.RESET, detail="the connection was closed before a response")
            self.give_up(error)
        elif (wrong := reader.end()) is not None:
            self._fail(wrong)
        else:
            self._cut("the connection was closed within the head of the response")

    # -- the body -----------------------------------------------------------------------------------------------------

    def _enter_body(self, head: ResponseHead) -> None:
        self._head = head
        self._pieces = BodyPieces()
        self._memory = self._chunks = None
        self._announced = 0
        self._is_beyond_limit = head.length > self._limit
        self._room = self._limit
        if self._method == "HEAD" or head.body_end is BodyEnd.HEAD or head.length == 0:
            self._complete(b"")
        elif head.body_end is BodyEnd.LENGTH:
            self._announced = self._missing = min(head.length, self._limit + 1)
        elif head.body_end is BodyEnd.CHUNKED:
            self._chunks = ChunkedBody(self._pieces, self._note)

    def _take_of_length(self, data: Bytes) -> Bytes:
        part = bytes(data[: self._missing])
        self._missing -= len(part)
        if self._memory is not None:
            self._memory.write(part)
        else:
            self._pieces.add(part)
        if not self._missing:
            if self._is_beyond_limit:
                return self._exceed()
            body = b"".join(self._pieces) if self._memory is None else self._memory.body()
            self._complete(body)
        return data[len(part) :]

    def _take_of_unknown_length(self, data: Bytes) -> Bytes:
        """Take bytes of a body of unknown length, up to the limit."""
        allowed = data[: self._room]
        chunks = self._chunks
        rest: Bytes = b""
        if chunks is None:
            self._pieces.add(bytes(allowed))
        else:
            rest = chunks.take(allowed)
        taken = len(allowed) - len(rest)
        self._room -= taken
        if chunks is not None and chunks.wrong is not None:
            return self._fail(chunks.wrong)
        if chunks is not None and chunks.done:
            self._complete(b"".join(self._pieces))
        elif taken < len(data):
            return self._exceed()
        return data[taken:]

    # -- ends ---------------------------------------------------------------------------------------------------------

    def _complete(self, body: bytes) -> None:
        head = self._head
        assert head is not None, "a body has begun"
        self.response = Response(status=head.status, headers=head.headers, body=body)
        self.keep = head.keep and all(FRAMING_RULES[each.code].effect is Effect.ALLOWED for each in self.faults)
        self._memory, self._chunks, self._pieces = None, None, BodyPieces()
        self.over = True

    def _cut(self, detail: str) -> None:
        self.give_up(TransportError(code=ErrorCode.CUT, detail=detail))

    def _exceed(self) -> Bytes:
        detail = f"the body exceeds {self._limit} bytes"
        self.give_up(TransportError(code=ErrorCode.TOO_LARGE, detail=detail))
        return b""

    def _fail(self, wrong: FramingFault) -> Bytes:
        self._note(wrong)
        code = ErrorCode.TOO_LARGE if wrong.code in _TOO_LARGE else ErrorCode.PROTOCOL
        self.give_up(TransportError(code=code, detail=wrong.text))
        return b""

    def _start(self) -> bytes:
        """The first bytes of the body."""
        if self._memory is not None:
            return self._memory.start(KEPT_OF_PARTIAL)
        pieces, size = [], 0
        for piece in self._pieces:
            if size >= KEPT_OF_PARTIAL:
                break
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)[:KEPT_OF_PARTIAL]

    def _note(self, found: FramingFault) -> None:
        if all(each.code != found.code for each in self.faults):
            self.faults += (found,)

    def _take_surplus(self, data: Bytes) -> None:
        """Note the bytes after the end of a response as one fault, whose text is updated as more come."""
        self.keep = False
        if self._surplus:
            before = _surplus_fault(self._surplus)
            self.faults = tuple(each for each in self.faults if each != before)
        self._surplus += bytes(data[: SPARE_BYTES - len(self._surplus)])
        self._note(_surplus_fault(self._surplus))


class HeadReader:
    """
    Reads a head that comes in pieces of any size; skips blank lines and interim responses before it.

    `note` is called with each deviation from the standard.
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


def _surplus_fault(first: bytes) -> FramingFault:
    if not first.strip(b"\r\n"):
        return fault("blank_line", "a blank line stands behind the response")
    return fault("surplus", f"bytes follow the end of the response: {excerpt(first)}")
