"""Decodes JSON, HTML and percent escapes, and keeps track of where each byte came from."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_ESCAPE: Final = re.compile(
    rb"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"  # a surrogate pair in JSON
    rb"|\\u([0-9a-fA-F]{4})"
    rb"|(?:\\x|%)([0-9a-fA-F]{2})"
    rb"|\\([^\w])"
    rb"|(&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});?)"
)


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Decoded bytes, each with its place in the original text."""

    data: bytes
    starts: Sequence[int]
    stops: Sequence[int]

    @classmethod
    def of(cls, data: bytes) -> DecodedText:
        """Wrap bytes that are not decoded yet."""
        return cls(data, range(len(data)), range(1, len(data) + 1))

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Where a part stands in the original text; `stop` must be greater than `start`."""
        return self.starts[start], self.stops[stop - 1]

    def decode_once(self) -> DecodedText:
        """Decode one level of escapes."""
        data = bytearray()
        starts: list[int] = []
        stops: list[int] = []
        end = 0
        for match in _ESCAPE.finditer(self.data):
            plain = slice(end, match.start())
            decoded = _decode(match)
            data += self.data[plain] + decoded
            starts += [*self.starts[plain], *[self.starts[match.start()]] * len(decoded)]
            stops += [*self.stops[plain], *[self.stops[match.end() - 1]] * len(decoded)]
            end = match.end()
        return DecodedText(bytes(data + self.data[end:]), [*starts, *self.starts[end:]], [*stops, *self.stops[end:]])


def may_be_escaped(data: bytes) -> bool:
    """Whether the bytes can contain an escape at all; a normal response of the API contains none."""
    return b"\\" in data or b"%" in data or b"&" in data


def unescape(data: bytes) -> bytes:
    r"""
    Decode one level of escapes.

    >>> unescape(rb"a\u0062 %63 &#100;&amp; \/")
    b'ab c d& /'
    """
    return _ESCAPE.sub(_decode, data)


def _decode(match: re.Match[bytes]) -> bytes:
    high, low, unit, byte, single, entity = match.groups()
    if byte is not None:
        return bytes((int(byte, 16),))
    if single is not None:
        return bytes(single)
    if entity is not None:
        return html.unescape(entity.decode("ascii")).encode("utf-8", "surrogatepass")
    if high is not None:
        pair = 0x10000 + ((int(high, 16) & 0x3FF) << 10 | int(low, 16) & 0x3FF)
        return chr(pair).encode()
    return chr(int(unit, 16)).encode("utf-8", "surrogatepass")
