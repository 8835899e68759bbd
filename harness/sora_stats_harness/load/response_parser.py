"""
Putting a response together from what the socket gives, by llhttp, the parser that Node.js trusts.

Callbacks only collect and set flags: what a strange response means is decided by who reads the socket. A second response, or
anything else behind the end of the first, is `surplus`, and never part of a response.

Servers begin their responses with much the same bytes again and again. What the parser made of a head whose Content-Length
says where the response ends is remembered by its bytes, and a response that comes in one piece and begins with them is not
shown to the parser at all: that would cost as much as reading it from the socket does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import httptools

from ..api.exchange import ErrorCode, Headers, Response, TransportError

MAX_RESPONSE_HEAD_BYTES: Final = 100 * 1024
"""Bytes until a response's head has to be over; the same as the prober's."""

MAX_PARTIAL_BODY_BYTES: Final = 64 * 1024
"""Bytes of a body that is not whole that are kept to show what it was."""

MAX_CACHED_HEADS: Final = 256
"""Heads that are remembered, of at most `MAX_CACHED_HEAD_BYTES` bytes each: servers say much the same again and again."""

MAX_CACHED_HEAD_BYTES: Final = 2048

MAX_CACHED_RAW_HEADS: Final = 256
"""Heads that are remembered by their bytes: with every length of body there is another one."""

RawHeaderFields = tuple[tuple[bytes, bytes], ...]
"""Header fields as they came."""


_HEAD_TERMINATOR: Final = b"\r\n\r\n"
"""Of a head."""

_HEAD_TERMINATOR_PATTERN: Final = re.compile(_HEAD_TERMINATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """What a response's header fields say; equal fields give the same object, and so the same headers."""

    headers: Headers
    length: int | None
    until_end: bool
    """Whether the body lasts until the server closes."""


_HEAD_CACHE: dict[RawHeaderFields, ResponseHead] = {}

_RAW_HEAD_CACHE: dict[bytes, tuple[ResponseHead, int, int, bool]] = {}
"""By the bytes of a head: itself, the status, the bytes of body behind it, and whether the connection may be used again."""


def parse_head(fields: RawHeaderFields) -> ResponseHead:
    """
    Read header fields.

    >>> parse_head(((b"Content-Length", b"2"),))
    ResponseHead(headers=(('Content-Length', '2'),), length=2, until_end=False)
    """
    head = _HEAD_CACHE.get(fields)
    if head is None:
        head = _parse_head_uncached(fields)
        if sum(len(name) + len(value) for name, value in fields) <= MAX_CACHED_HEAD_BYTES:
            if len(_HEAD_CACHE) >= MAX_CACHED_HEADS:
                _HEAD_CACHE.clear()
            _HEAD_CACHE[fields] = head
    return head


def _parse_head_uncached(fields: RawHeaderFields) -> ResponseHead:
    length: int | None = None
    until_end = True
    for name, value in fields:
        lower = name.lower()
        if lower == b"content-length":
            until_end = False
            length = int(value) if value.isdigit() else None
        elif lower == b"transfer-encoding":
            until_end = not value.rstrip().lower().endswith(b"chunked")
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
    return ResponseHead(headers=headers, length=length, until_end=until_end)


class ResponseParser:
    """The response that a connection is reading; `begin` makes it ready for the next one."""

    __slots__ = (
        "_chunks",
        "_fields",
        "_head",
        "_parser",
        "body_bytes",
        "keep",
        "over",
        "status",
        "surplus",
        "wire_bytes",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.reset()

    def reset(self) -> None:
        """Forget the response before."""
        self.over = False
        """Whether the response is whole."""
        self.surplus = False
        """Whether there was more behind its end."""
        self.keep = False
        """Whether the connection may be used again."""
        self.wire_bytes = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._head: ResponseHead | None = None
        self._chunks: list[bytes] = []
        self.body_bytes = 0
        self.status = 0

    @property
    def is_head_complete(self) -> bool:
        """Whether the whole head has come."""
        return self._head is not None

    def feed(self, data: bytes | memoryview) -> TransportError | None:
        """Take bytes; an error if they are no HTTP, or the head grows too long."""
        start = None
        if (
            self.wire_bytes == 0
            and (found := _HEAD_TERMINATOR_PATTERN.search(data, 0, MAX_CACHED_HEAD_BYTES)) is not None
        ):
            start = bytes(data[: found.end()])
            known = _RAW_HEAD_CACHE.get(start)
            if known is not None and len(data) - len(start) == known[2]:
                self._head, self.status, self.body_bytes, self.keep = known
                self._chunks = [bytes(data[len(start) :])]
                self.wire_bytes = len(data)
                self.over = True
                return None
        self.wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:  # an upgrade that nobody asked for
            if self.over:
                self.surplus = True
                return None
            text = " ".join(str(error).split()) or type(error).__name__
            return TransportError(code=ErrorCode.PROTOCOL, detail=f"the response is no HTTP: {text[:150]}")
        if self._head is None and self.wire_bytes > MAX_RESPONSE_HEAD_BYTES:
            return TransportError(
                code=ErrorCode.TOO_LARGE,
                detail=f"the head of the response does not end within {MAX_RESPONSE_HEAD_BYTES >> 10} KiB",
            )
        if start is not None and self.over and not self.surplus:
            self._cache_head(start, len(data))
        return None

    def _cache_head(self, start: bytes, size: int) -> None:
        """What the parser made of a response that came in one piece, where its head alone decides that."""
        head = self._head
        if head is None or not head.length == self.body_bytes == size - len(start):
            return
        if len(_RAW_HEAD_CACHE) >= MAX_CACHED_RAW_HEADS:
            _RAW_HEAD_CACHE.clear()
        _RAW_HEAD_CACHE[start] = (head, self.status, self.body_bytes, self.keep)

    def finish(self) -> TransportError | None:
        """The peer has closed: an error unless the response is whole, or was to last until now."""
        if self.over:
            return None
        if self._head is None:
            return TransportError(
                code=ErrorCode.CUT if self.wire_bytes else ErrorCode.RESET,
                detail="the connection was closed within the head of the response"
                if self.wire_bytes
                else "the connection was closed before a response",
            )
        if self._head.until_end:
            self.over = True
            return None
        expected = "" if self._head.length is None else f" of {self._head.length}"
        return TransportError(code=ErrorCode.CUT, detail=f"the body ended after {self.body_bytes}{expected} bytes")

    def response(self) -> Response | None:
        """What has come so far; None before the head was over."""
        if self._head is None:
            return None
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if not self.over:
            body = body[:MAX_PARTIAL_BODY_BYTES]
        return Response(status=self.status, headers=self._head.headers, body=body, complete=self.over)

    # -- called by the parser -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.over:
            self.surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is None:  # else of a second response, or a trailer
            self._fields.append((name, value.strip(b" \t")))  # blanks around it are none of it (RFC 9110, 5.5)

    def on_headers_complete(self) -> None:
        if not self.over:
            self.status = self._parser.get_status_code()
            self._head = parse_head(tuple(self._fields))

    def on_body(self, body: bytes) -> None:
        if not self.over:
            self._chunks.append(body)
            self.body_bytes += len(body)

    def on_message_complete(self) -> None:
        if self.over:
            return
        if self.status < 200:  # 100 Continue and the like: the response proper is still to come
            wire_bytes = self.wire_bytes
            self.reset()
            self.wire_bytes = wire_bytes
            return
        self.over = True
        self.keep = self._parser.should_keep_alive()
