"""Extracts the response headers that matter to the judge, once for heads that repeat."""

from __future__ import annotations

from typing import Final

import msgspec

from ..api.exchange import Headers, Response

SIMULATOR_SERVER_PREFIX: Final = "sora-harness-simulator/"
"""The beginning of the embedded simulator's Server header."""

MAX_CACHED_HEADERS: Final = 256
"""The size of the cache of heads; servers repeat the same ones."""

MAX_CACHED_HEADER_BYTES: Final = 2048

MAX_LENGTH_DIGITS: Final = 18


class RelevantHeaders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The headers that matter."""

    content_type: str | None
    """Several lines are joined, as a proxy would do."""
    content_length: str | None
    """Equal repeated values are given once."""
    usual_body_bytes: int
    """The body's length if the headers are regular; -1 if that needs a closer look."""
    simulator: bool


class HeaderReader:
    """Extracts the headers that matter; names may be in any case."""

    def __init__(self) -> None:
        self.known: dict[Headers, RelevantHeaders] = {}
        """The cache; a hot path may look here first."""

    def read(self, response: Response) -> RelevantHeaders:
        """The relevant headers of one response."""
        found = self.known.get(response.headers)
        if found is None:
            found = _parse_relevant_headers(response)
            if sum(len(name) + len(value) for name, value in response.headers) <= MAX_CACHED_HEADER_BYTES:
                if len(self.known) >= MAX_CACHED_HEADERS:
                    self.known.clear()
                self.known[response.headers] = found
        return found


def _parse_relevant_headers(response: Response) -> RelevantHeaders:
    content_type = content_length = None
    simulator = False
    for name, value in response.headers:
        lower = name.lower()
        if lower == "content-type":
            content_type = value if content_type is None else f"{content_type}, {value}"
        elif lower == "content-length":
            content_length = value.partition(",")[0].strip()
        elif lower == "server" and value.startswith(SIMULATOR_SERVER_PREFIX):
            simulator = True
    length = content_length or ""
    is_plain = length.isascii() and length.isdecimal() and len(length) <= MAX_LENGTH_DIGITS
    return RelevantHeaders(
        content_type=content_type,
        content_length=content_length,
        usual_body_bytes=int(length) if is_plain and content_type == "application/json" else -1,
        simulator=simulator,
    )
