"""
A page as text, and the outline of its list: items within items, as every reader of pages returns it.

An item is a field's or a group's name, a text about the item that holds it, or a word like "as r0", which stands for
the fields of another group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ..edition import ANY_LABEL
from ..errors import EditionError

MAX_PAGE_BYTES: Final = 2_000_000
"""The largest page read; the real one has 35 kB as text and some 200 kB as HTML."""
MAX_DEPTH: Final = 12
"""Levels of a list; the real one has four and a description below them."""
MAX_ITEMS: Final = 20_000
"""Items of a list; the real one has some 350 with its descriptions."""
MAX_TEXT: Final = 4_000
"""Characters of an item's text that are kept; names and whatever says "as r0" are short."""

_NAME: Final = re.compile(r"[a-z][A-Za-z0-9_]{0,199}")
_NAME_AND_MORE: Final = re.compile(r"([a-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+)\s*[:：(（–—-]")
"""A name and a description in one item; the name must have an underscore, since any sentence may begin with `word:`."""
_SAME_AS: Final = re.compile(
    r"(?:(?:the\s+)?same\s+as|as)\s+([a-z][A-Za-z0-9_]*)\.?|([a-z][A-Za-z0-9_]*)\s*と(?:同様|同じ)(?:です)?。?",
    re.IGNORECASE,
)


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


@dataclass(slots=True, kw_only=True, eq=False)
class OutlineItem:
    """One item of a list, with the items below it."""

    text: str
    line: int
    items: list[OutlineItem] = field(default_factory=list)

    def walk(self) -> Iterator[OutlineItem]:
        """The items below this one, parents first."""
        for item in self.items:
            yield item
            yield from item.walk()


def strip_markup(text: str) -> str:
    """
    Remove Markdown's marks and escapes, and the sign that Sphinx puts behind titles.

    >>> strip_markup("`total_received\\\\_rtp` ¶")
    'total_received_rtp'
    """
    text = re.sub(r"\\([\\`*_#<>\[\](){}+.!|~-])", r"\1", text)
    return re.sub(r"[`¶]|\*\*", "", text).strip()


def field_name_of(text: str) -> str | None:
    """
    The field name in an item; `#*` for the labels that begin with `#`, None for a text.

    >>> field_name_of("total_sent"), field_name_of("# and so on"), field_name_of("Packets sent."), field_name_of("max_age: in days")
    ('total_sent', '#*', None, 'max_age')
    """
    text = strip_markup(text.partition("\n")[0])
    if _NAME.fullmatch(text):
        return text
    if text.startswith("#"):
        return ANY_LABEL
    more = _NAME_AND_MORE.match(text)
    return more.group(1) if more else None


def referenced_group(text: str) -> str | None:
    """
    The group that an item refers to with "as".

    >>> referenced_group("r0 と同様"), referenced_group("as signaling"), referenced_group("As a whole, packets.")
    ('r0', 'signaling', None)
    """
    found = _SAME_AS.fullmatch(" ".join(strip_markup(text).split()))
    return found.group(1) or found.group(2) if found else None


def count_names(items: list[OutlineItem]) -> int:
    """How many items have a field name: of a page's lists, the one with the most is the field list."""
    return sum(1 for top in items for item in (top, *top.walk()) if field_name_of(item.text) is not None)
