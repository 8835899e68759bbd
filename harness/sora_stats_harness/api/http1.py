"""
One reader of HTTP/1.1 responses, without a socket: bytes go in, and a response or the reason why there is none comes out.

The contract. `begin` makes the reader ready for a response. `feed` takes what came from the socket, in whatever pieces,
and `end` says that the peer has closed. As soon as no more bytes are needed, `over` is true: then either `error` is None
and `response()` is complete, or `error` tells what is wrong, and `response()` is what had come by then. `faults` lists
all deviations from the standard that were met. Bytes that are fed after that are surplus: they are counted, they are a
fault, and they are never part of a response. What comes out depends on the bytes and the end alone, never on the pieces.

Every state is a method that takes bytes and gives back those which it has no use for:

    head ── 1xx ──> head
      │
      ├── no body ──────────────────────────────> over
      ├── Content-Length ──> body by length ────> over
      ├── chunked ──> chunks ──> trailers ──────> over
      └── neither ──> body until the close ─────> over

The common case under load costs a look-up: a head seen before, and its whole body behind it. A large body of known
length is received where it stays: `buffer` gives the memory to receive into, and `advance` says how much came.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Final

from .exchange import Answer, ErrorCode, TransportError
from .http1_faults import FramingFault
from .http1_head import (
    USUAL_HEAD_BYTES,
    BodyEnd,
    FaultList,
    ResponseHead,
    excerpt,
    fault,
    head_of,
    known_heads,
    parse_fields,
    parse_status_line,
    split_lines,
    status_line_so_far,
)

HEAD_LIMIT: Final = 100 * 1024
"""Bytes until the final head has to be over, interim responses and blank lines included; of a trailer section as well."""

CHUNK_LINE_LIMIT: Final = 4096
"""Bytes of a chunk's size line, extensions included."""

BODY_LIMIT: Final = 256 * 1024 * 1024
"""Bytes behind a head, as they are on the wire, unless another limit is asked for."""

KEPT_OF_PARTIAL: Final = 64 * 1024
"""Bytes of a body that is not complete that are kept to show what it was."""

DIRECT_BYTES: Final = 64 * 1024
"""Where at least so many bytes of a body are missing, they are received into the body's own memory."""

FIRST_LINE_BYTES: Final = 64
"""Of a first line without an end, after which it has to look like a status line."""

_HEAD_END: Final = re.compile(rb"\r\n\r\n")
_ANY_HEAD_END: Final = re.compile(rb"\n\r?\n")
_BLANK_LINES: Final = re.compile(rb"(?:\r?\n)+")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})([ \t]*)(;[^\r\n]*)?")
_LINE_END: Final = re.compile(rb"\n")
_CRLF: Final = b"\r\n"

Bytes = bytes | memoryview
"""What comes from a socket; a memoryview's memory may be used again as soon as `feed` has returned."""


class ResponseReader:
    """
    Reads the responses of one connection, one after the other.

    Args:
        limit_bytes: Of everything behind a head, as it is on the wire: many small chunks count with their framing.

    >>> reader = ResponseReader()
    >>> reader.feed(b"HTTP/1.1 200 OK\\r\\nContent-Le")
    False
    >>> reader.feed(b"ngth: 2\\r\\n\\r\\n[]")
    True
    >>> response = reader.response()
    >>> response.status, response.body, response.complete
    (200, b'[]', True)
    """

    __slots__ = (
        "_bodiless",
        "_body",
        "_body_step",
        "_buffer",
        "_chunk_bytes",
        "_chunk_ends",
        "_faults",
        "_have",
        "_head",
        "_head_bytes",
        "_is_direct",
        "_left",
        "_limit",
        "_line_seen",
        "_room",
        "_scanned",
        "_sink",
        "_step",
        "_surplus",
        "_views",
        "error",
        "over",
        "wire_bytes",
    )

    def __init__(self, *, limit_bytes: int = BODY_LIMIT) -> None:
        self._limit = limit_bytes
        self.begin()

    def begin(self, method: str = "POST") -> None:
        """Forget the response before, and expect one to a request of this method."""
        self.over = False
        """Whether no more bytes are needed."""
        self.error: TransportError | None = None
        """Why the response is not complete, where its bytes say so."""
        self.wire_bytes = 0
        """Bytes taken, whatever they were."""
        self._bodiless = method == "HEAD"
        self._head: ResponseHead | None = None
        """The final one."""
        self._body = b""
        self._sink: io.BytesIO | None = None
        """What has come of the body, unless it came in one piece; hands its bytes out without a second copy."""
        self._faults: FaultList | None = None
        """All of them, as soon as there are others than the head's own."""
        self._surplus: bytes | None = None
        """The first bytes behind the end."""
        self._step: Callable[[Bytes], Bytes] | None = None

    def feed(self, data: Bytes) -> bool:
        """Take bytes as they came, none left out; gives `over`."""
        if not self.wire_bytes and (found := _HEAD_END.search(data, 0, USUAL_HEAD_BYTES)) is not None:
            end = found.end()
            head = known_heads.get(bytes(data[:end]))
            if head is not None and head.status >= 200 and not self._bodiless:
                self.wire_bytes = len(data)
                self._head = head
                if head.length == len(data) - end:
                    self._body = bytes(data[end:])
                    self.over = True
                    return True
                self._enter_body(head)
                return self._take(data[end:])
        self.wire_bytes += len(data)
        return self._take(data)

    def buffer(self) -> memoryview | None:
        """
        Memory to receive into instead of feeding, where much of a body of known length is missing.

        Call `advance` before anything else of the reader. A few bytes more than the body are offered, so that what
        follows it is noticed.
        """
        if self._step != self._read_body or self._body_step != self._read_length or self.over:
            return None
        if self._left < DIRECT_BYTES or self._left > self._room:
            return None
        assert self._sink is not None, "it is there from the beginning of a body"
        if not self._is_direct:
            first = self._sink.getvalue()
            # The system gives zeroed pages only when they are touched: an announced length alone takes no memory.
            self._sink = io.BytesIO(bytes(self._have + self._left + FIRST_LINE_BYTES))
            self._sink.write(first)
            self._is_direct = True
        whole = self._sink.getbuffer()
        self._views = (whole, whole[self._have :])
        return self._views[1]

    def advance(self, size: int) -> bool:
        """Say how many bytes came into `buffer`; gives `over`."""
        assert self._sink is not None and self._views is not None, "only after `buffer`"
        taken = min(size, self._left)
        behind = bytes(self._views[1][taken:size])
        self._release()
        self.wire_bytes += size
        self._have += taken
        self._left -= taken
        self._room -= taken
        self._sink.seek(self._have)
        if not self._left:
            self._complete()
        if behind:
            self._take(behind)
        return self.over

    def end(self) -> None:
        """The peer has closed its side in an orderly way: no more bytes will come."""
        if self.over:
            return
        if self._head is None:
            self._end_in_head()
        elif self._head.body_end is BodyEnd.CLOSE:
            self._complete()
        elif self._head.body_end is BodyEnd.LENGTH:
            self._fail(ErrorCode.CUT, f"the body ended after {self._have} of {self._head.length} bytes")
        elif self._body_step == self._read_trailers:
            # "A message body that uses the chunked transfer coding is incomplete if the zero-sized chunk that
            # terminates the encoding has not been received" (RFC 9112, 8): it has.
            self._note("trailer_end_missing")
            self._complete()
        else:
            self._fail(ErrorCode.CUT, f"the body ended after {self._have} bytes, without a last chunk")

    def response(self) -> Answer | None:
        """What has come so far; None before the head was over. The same bytes are given each time."""
        head = self._head
        if head is None:
            return None
        complete = self.over and self.error is None
        body = self._body if complete else self._partial()
        return Answer(status=head.status, headers=head.headers, body=body, complete=complete)

    @property
    def faults(self) -> tuple[FramingFault, ...]:
        """The deviations met so far, each rule once, in the order of the bytes."""
        if self._surplus is not None:
            return (*self._faults_before_end(), _surplus_fault(self._surplus))
        return self._faults_before_end()

    @property
    def keep(self) -> bool:
        """Whether the connection may be used for another request: the response is complete, and nothing was odd."""
        return (
            self.over
            and self.error is None
            and self._surplus is None
            and self._head is not None
            and self._head.keep
            and (self._faults is None or self._faults.all_allowed)
        )

    @property
    def status(self) -> int | None:
        """The status of the final response; None before its head was over."""
        return None if self._head is None else self._head.status

    @property
    def body_bytes(self) -> int:
        """Bytes of the body that have come."""
        return len(self._body) or (0 if self._sink is None else self._have)

    # -- states -------------------------------------------------------------------------------------------------------

    def _take(self, data: Bytes) -> bool:
        """Hand bytes to one state after the other; what is left behind the end is surplus."""
        if self._step is None and not self.over:
            self._enter_head()
        while len(data) and not self.over:
            assert self._step is not None, "a response that is not over is in some state"
            data = self._step(data)
        if len(data) and self.error is None:
            surplus = self._surplus or b""
            self._surplus = surplus + bytes(data[: FIRST_LINE_BYTES - len(surplus)])
        return self.over

    def _enter_head(self) -> None:
        self._step = self._read_head
        self._buffer = bytearray()
        """Of the head, of a trailer section, or of a chunk's size line: what is not yet whole."""
        self._scanned = 0
        """Bytes of it in which no end was found."""
        self._line_seen = False
        """Whether the first line was looked at."""
        self._head_bytes = 0
        """Of interim responses, and of blank lines."""

    def _read_head(self, data: Bytes) -> Bytes:
        buffer = self._buffer
        buffer += data
        if not self._line_seen:
            self._skip_blank_lines()
            if (wrong := self._look_at_first_line()) is not None:
                return self._fail_by(wrong)
        found = _ANY_HEAD_END.search(buffer, max(0, self._scanned - 2))
        size = len(buffer) if found is None else found.end()
        if self._head_bytes + size > HEAD_LIMIT - (found is None):
            return self._fail_by(self._too_large())
        if found is None:
            self._scanned = size
            return b""
        raw, left = bytes(buffer[:size]), len(buffer) - size
        buffer.clear()
        head = head_of(raw)
        if isinstance(head, FramingFault):
            return self._fail_by(head)
        if 100 <= head.status < 200:
            self._head_bytes += size
            self._scanned, self._line_seen = 0, False
            if head.status == 101:
                return self._fail_by(fault("switched", "the server changed the protocol, unasked: status 101"))
            self._note("interim", f"an interim response came first: status {head.status}")
            self._faults_list().extend(head.faults)
        else:
            self._head = head
            if self._faults is not None:
                self._faults.extend(head.faults)
            self._enter_body(head)
        return data[len(data) - left :]

    def _skip_blank_lines(self) -> None:
        if (blank := _BLANK_LINES.match(self._buffer)) is not None:
            self._note("blank_line", "a blank line stands before the status line")
            self._head_bytes += blank.end()
            del self._buffer[: blank.end()]

    def _look_at_first_line(self) -> FramingFault | None:
        """What is no HTTP may go on for ever: the first line is judged as soon as it is there."""
        end = self._buffer.find(b"\n")
        if end < 0:
            long = len(self._buffer) >= FIRST_LINE_BYTES
            return status_line_so_far(bytes(self._buffer)) if long else None
        self._line_seen = True
        line = parse_status_line(bytes(self._buffer[:end]).removesuffix(b"\r"), FaultList())
        return line if isinstance(line, FramingFault) else None

    def _too_large(self) -> FramingFault:
        where = "interim responses" if self._head_bytes else "the head of the response"
        return fault("head_too_large", f"{where} did not end within {HEAD_LIMIT >> 10} KiB")

    def _end_in_head(self) -> None:
        if not self.wire_bytes:
            self._fail(ErrorCode.RESET, "the connection was closed before a response")
        elif (wrong := status_line_so_far(bytes(self._buffer))) is not None and not self._line_seen:
            self._fail_by(wrong)
        else:
            self._fail(ErrorCode.CUT, "the connection was closed within the head of the response")

    def _enter_body(self, head: ResponseHead) -> None:
        """Go on behind a final head."""
        self._have = 0
        """Bytes of the body that have come."""
        self._room = self._limit
        """Bytes on the wire that may still come."""
        self._left = max(head.length, 0)
        """Bytes missing of the body, or of the chunk."""
        if self._bodiless or head.body_end is BodyEnd.HEAD or head.length == 0:
            self.over = True
            return
        self._step = self._read_body
        self._sink = io.BytesIO()
        self._is_direct = False
        """Whether the sink has room for the whole body."""
        self._views: tuple[memoryview, memoryview] | None = None
        """Of the sink's memory, while somebody receives into it."""
        if head.body_end is BodyEnd.LENGTH:
            self._body_step: Callable[[Bytes], Bytes] = self._read_length
        elif head.body_end is BodyEnd.CLOSE:
            self._body_step = self._read_until_close
        else:
            self._body_step = self._read_chunks
            self._buffer = bytearray()
            self._scanned = 0
            self._chunk_bytes = 0
            """Size of the chunk."""
            self._chunk_ends = False
            """Whether the line end behind a chunk's data is due."""

    def _read_body(self, data: Bytes) -> Bytes:
        """Whatever kind of body it is, no more than the limit of it is looked at."""
        allowed = data[: self._room]
        rest = self._body_step(allowed)
        taken = len(allowed) - len(rest)
        self._room -= taken
        if self.over or taken == len(data):
            return data[taken:]
        on_the_wire = " on the wire" if self._body_step != self._read_length else ""
        self._fail(ErrorCode.TOO_LARGE, f"the body exceeds {self._limit} bytes{on_the_wire}")
        return b""

    def _write(self, data: Bytes) -> None:
        assert self._sink is not None, "it is there from the beginning of a body"
        self._sink.write(data)
        self._have += len(data)

    def _read_length(self, data: Bytes) -> Bytes:
        part = data[: self._left]
        self._write(part)
        self._left -= len(part)
        if not self._left:
            self._complete()
        return data[len(part) :]

    def _read_until_close(self, data: Bytes) -> Bytes:
        self._write(data)
        return b""

    def _read_chunks(self, data: Bytes) -> Bytes:
        view = memoryview(data)
        if self._buffer:
            view = memoryview(bytes(self._buffer) + data)
            self._buffer.clear()
        at = 0
        while True:
            if self._left:
                part = view[at : at + self._left]
                self._write(part)
                at += len(part)
                self._left -= len(part)
                if self._left:
                    return b""
                self._chunk_ends = True
            if self._chunk_ends:
                end = bytes(view[at : at + 2])
                if end != _CRLF:
                    return self._keep_line(view, at) if _CRLF.startswith(end) else self._fail_by(self._wrong_end())
                at += 2
                self._chunk_ends = False
            if (usual := _CHUNK.match(view, at)) is not None:
                self._left, at = int(usual[1], 16), usual.end()
            elif (line := _LINE_END.search(view, at, at + CHUNK_LINE_LIMIT)) is not None:
                size = self._chunk_size(bytes(view[at : line.start()]))
                if isinstance(size, FramingFault):
                    return self._fail_by(size)
                self._left, at = size, line.end()
            else:
                return self._keep_line(view, at)
            self._chunk_bytes = self._left
            if not self._left:
                self._body_step = self._read_trailers
                return self._read_trailers(view[at:])

    def _keep_line(self, view: memoryview, at: int) -> Bytes:
        """A line that has not ended waits for more."""
        if len(view) - at >= CHUNK_LINE_LIMIT:
            limit = f"the size line of a chunk does not end within {CHUNK_LINE_LIMIT} bytes"
            return self._fail_by(fault("chunk_line_too_large", limit))
        self._buffer += view[at:]
        return b""

    def _wrong_end(self) -> FramingFault:
        return fault("chunk_end", f"no line end follows the {self._chunk_bytes} bytes of a chunk")

    def _chunk_size(self, line: bytes) -> int | FramingFault:
        """The size in a line that is not just a size; a LF alone ends header lines at most (RFC 9112, 2.2)."""
        if not line.endswith(b"\r"):
            return fault("chunk_size", f"the size line {excerpt(line)} of a chunk ends with LF alone")
        parts = _CHUNK_LINE.fullmatch(line, 0, len(line) - 1)
        if parts is None:
            return fault("chunk_size", f"a chunk's size is {excerpt(line[:-1])}")
        if parts[3] is not None:
            self._note("chunk_extension")
        elif parts[2]:
            self._note("chunk_size_blanks")
        return int(parts[1], 16)

    def _read_trailers(self, data: Bytes) -> Bytes:
        buffer = self._buffer
        buffer += data
        if buffer.startswith((_CRLF, b"\n")):
            size = buffer.index(b"\n") + 1
        elif (found := _ANY_HEAD_END.search(buffer, max(0, self._scanned - 2))) is not None:
            size = found.end()
        else:
            self._scanned = len(buffer)
            if self._scanned < HEAD_LIMIT:
                return b""
            size = HEAD_LIMIT + 1
        if size > HEAD_LIMIT:
            limit = f"the trailer section does not end within {HEAD_LIMIT >> 10} KiB"
            return self._fail_by(fault("head_too_large", limit))
        wrong = self._look_at_trailers(bytes(buffer[:size]))
        if wrong is not None:
            return self._fail_by(wrong)
        left = len(buffer) - size
        self._complete()
        return data[len(data) - left :]

    def _look_at_trailers(self, raw: bytes) -> FramingFault | None:
        """They add nothing to a response of this API; what deviates is noted all the same."""
        if raw == _CRLF:
            return None
        faults = FaultList()
        fields = parse_fields(split_lines(raw, faults), faults)
        if isinstance(fields, FramingFault):
            return fields
        if fields:
            self._note("trailers")
        self._faults_list().extend(faults.found())
        return None

    # -- ends ---------------------------------------------------------------------------------------------------------

    def _complete(self) -> None:
        assert self._sink is not None, "a body has begun"
        if self._is_direct:
            self._sink.truncate(self._have)
        self._body = self._sink.getvalue()
        self.over = True

    def _fail(self, code: ErrorCode, detail: str) -> Bytes:
        self._release()
        self.error = TransportError(code=code, detail=detail)
        self.over = True
        if self._sink is not None:  # at once: the bodies that are being read share a limit
            self._body, self._sink = self._partial(), None
        return b""

    def _fail_by(self, wrong: FramingFault) -> Bytes:
        self._faults_list().extend((wrong,))
        too_large = wrong.code in ("head_too_large", "chunk_line_too_large")
        return self._fail(ErrorCode.TOO_LARGE if too_large else ErrorCode.PROTOCOL, wrong.text)

    def _partial(self) -> bytes:
        if self._sink is None:
            return self._body
        self._release()
        with self._sink.getbuffer() as view:
            return bytes(view[: min(self._have, KEPT_OF_PARTIAL)])

    def _release(self) -> None:
        if self._sink is not None and self._views is not None:
            for view in reversed(self._views):
                view.release()
            self._views = None

    # -- faults -------------------------------------------------------------------------------------------------------

    def _faults_list(self) -> FaultList:
        if self._faults is None:
            self._faults = FaultList()
            if self._head is not None:
                self._faults.extend(self._head.faults)
        return self._faults

    def _note(self, code: str, text: str | None = None) -> None:
        self._faults_list().add(code, text)

    def _faults_before_end(self) -> tuple[FramingFault, ...]:
        if self._faults is not None:
            return self._faults.found()
        return () if self._head is None else self._head.faults


def _surplus_fault(first: bytes) -> FramingFault:
    """What follows the end of a response, as far as it was looked at."""
    if not first.strip(_CRLF):
        return fault("blank_line", "a blank line stands behind the response")
    return fault("surplus", f"bytes follow the end of the response: {excerpt(first)}")
