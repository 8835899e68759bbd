"""Decodes a page to text, and words the errors about a line of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import EditionError

MAX_PAGE_BYTES: Final = 2_000_000
"""The largest page read; the real one has 35 kB as text and some 200 kB as HTML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageText:
    """A page that can be read as text."""

    text: str
    origin: str

    def error_at(self, line: int, problem: str) -> EditionError:
        """An error about a line, counted from 1."""
        return EditionError(f"the page {self.origin}, line {line}: {problem}")


def decode_page(data: bytes, origin: str) -> PageText:
    """
    Read a page's bytes as text.

    Raises:
        EditionError: It is empty, too large, or not UTF-8 text.
    """
    if len(data) > MAX_PAGE_BYTES:
        raise EditionError(f"the page {origin} is larger than {MAX_PAGE_BYTES:,} bytes, too large for a field list")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EditionError(f"the page {origin}, line {line}: not UTF-8 text") from None
    page = PageText(text=text.replace("\r\n", "\n").replace("\r", "\n"), origin=origin)
    if (place := page.text.find("\0")) >= 0:
        raise page.error_at(page.text.count("\n", 0, place) + 1, "contains a NUL, so this is not text")
    if not page.text.strip():
        raise EditionError(f"the page {origin} is empty")
    return page
