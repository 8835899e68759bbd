"""
Putting an answer together from what the socket gives, by llhttp, the parser that Node.js trusts.

Callbacks only collect and set flags: what a strange answer means is decided by who reads the socket. A second answer, or
anything else behind the end of the first, is `surplus`, and never part of an answer.
"""

from __future__ import annotations

from typing import Final

import httptools

from ..exchange import Answer, ErrorCode, Headers, TransportError

HEAD_LIMIT: Final = 100 * 1024
"""Bytes until an answer's head has to be over; the same as the prober's."""

KEPT_OF_PARTIAL: Final = 64 * 1024
"""Bytes of a body that is not whole that are kept to show what it was."""


class Reading:
    """The answer that a connection is reading; `begin` makes it ready for the next one."""

    __slots__ = (
        "_chunks", "_headers", "_length", "_parser", "_until_end", "body_bytes", "head_over", "keep", "over", "status",
        "surplus", "wire_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Forget the answer before."""
        self.over = False
        """Whether the answer is whole."""
        self.surplus = False
        """Whether there was more behind its end."""
        self.keep = False
        """Whether the connection may be used again."""
        self.wire_bytes = 0
        self._begin()

    def _begin(self) -> None:
        self._headers: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []
        self._until_end = True
        self._length: int | None = None
        self.body_bytes = 0
        self.head_over = False
        self.status = 0

    def feed(self, data: bytes) -> TransportError | None:
        """Take bytes; an error if they are no HTTP, or the head grows too long."""
        self.wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:  # an upgrade that nobody asked for
            if self.over:
                self.surplus = True
                return None
            text = " ".join(str(error).split()) or type(error).__name__
            return TransportError(code=ErrorCode.PROTOCOL, detail=f"the answer is no HTTP: {text[:150]}")
        if not self.head_over and not self.over and self.wire_bytes > HEAD_LIMIT:
            return TransportError(
                code=ErrorCode.TOO_LARGE, detail=f"the head of the answer does not end within {HEAD_LIMIT >> 10} KiB"
            )
        return None

    def end(self) -> TransportError | None:
        """The peer has closed: an error unless the answer is whole, or was to last until now."""
        if self.over:
            return None
        if not self.head_over:
            return TransportError(
                code=ErrorCode.CUT if self.wire_bytes else ErrorCode.RESET,
                detail="the connection was closed within the head of the answer"
                if self.wire_bytes
                else "the connection was closed before an answer",
            )
        if self._until_end:
            self.over = True
            return None
        expected = "" if self._length is None else f" of {self._length}"
        return TransportError(code=ErrorCode.CUT, detail=f"the body ended after {self.body_bytes}{expected} bytes")

    def answer(self) -> Answer | None:
        """What has come so far; None before the head was over."""
        if not self.head_over:
            return None
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if not self.over:
            body = body[:KEPT_OF_PARTIAL]
        headers: Headers = tuple(self._headers)
        return Answer(status=self.status, headers=headers, body=body, complete=self.over)

    # -- called by the parser -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.over:
            self.surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_over:  # of a second answer, or a trailer
            return
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))
        lower = name.lower()
        if lower == b"content-length":
            self._until_end = False
            self._length = int(value) if value.isdigit() else None
        elif lower == b"transfer-encoding":
            self._until_end = not value.rstrip().lower().endswith(b"chunked")

    def on_headers_complete(self) -> None:
        if not self.over:
            self.status = self._parser.get_status_code()
            self.head_over = True

    def on_body(self, body: bytes) -> None:
        if not self.over:
            self._chunks.append(body)
            self.body_bytes += len(body)

    def on_message_complete(self) -> None:
        if self.over:
            return
        if self.status < 200:  # 100 Continue and the like: the answer proper is still to come
            self._begin()
            return
        self.over = True
        self.keep = self._parser.should_keep_alive()
