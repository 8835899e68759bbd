"""The headers of a response that matter to the judge, found once for heads that repeat."""

from __future__ import annotations

from typing import Final

import msgspec

from ..api.exchange import Headers, Response

SIMULATOR_SERVER_PREFIX: Final = "sora-harness-simulator/"
"""How the embedded simulator's Server header begins."""

MAX_CACHED_HEADERS: Final = 256
"""Heads that are remembered: servers say much the same again and again."""

MAX_CACHED_HEADER_BYTES: Final = 2048

MAX_LENGTH_DIGITS: Final = 18


class RelevantHeaders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The headers that matter."""

    content_type: str | None
    """Of several lines, all of them, as a proxy would join them."""
    content_length: str | None
    """Of several that are equal, one."""
    usual_body_bytes: int
    """How long the body is if nothing is wrong with these; -1 where that can't be told at a glance."""
    simulator: bool


class HeaderReader:
    """Picks out the headers that matter, names in any case."""

    def __init__(self) -> None:
        self.known: dict[Headers, RelevantHeaders] = {}
        """Heads that were read before; a caller in a hurry looks here first."""

    def read(self, response: Response) -> RelevantHeaders:
        """Those of one response."""
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
