"""Wraps text for a terminal: between words, and between the characters of a language without blanks."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final
from unicodedata import combining, east_asian_width

_WIDE: Final = "\u3000-\u30ff\u3400-\u9fff\uff00-\uffef"
_CLOSING: Final = "、。」』）：；ーぁぃぅぇぉっゃゅょァィゥェォッャュョ"
"""Characters that must not begin a line."""

_WORD: Final = re.compile(
    rf"\([^\s()]+ [0-9]+\)\s*|[「『（(]*(?:[{_WIDE}][{_CLOSING}):,.\]]*|[^\s{_WIDE}]+[{_CLOSING}]*)\s*|\s+"
)


def columns(text: str) -> int:
    """
    The width of a text on a terminal, in columns.

    >>> columns("Sora"), columns("統計")
    (4, 4)
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "FW" else 1 for each in text)


def break_points(text: str, width: int) -> list[int]:
    """
    Where to break a text into lines of at most `width` columns; a longer word has its own line.

    >>> break_points("a long line", 6), break_points("応答がない。", 8), break_points("fail (exit 1)", 11)
    ([7], [4], [5])
    """
    column, breaks = 0, []
    for word in _WORD.finditer(text):
        if column and column + columns(word[0].rstrip()) > width:
            breaks.append(word.start())
            column = 0
        column += columns(word[0])
    return breaks


def wrap_text(text: str, width: int) -> list[str]:
    """The lines of a text."""
    places = [0, *break_points(text, width), len(text)]
    return [text[start:end].rstrip() for start, end in pairwise(places)]


def longest_word(text: str) -> int:
    """The width of the longest unbreakable part."""
    return max((columns(word[0].rstrip()) for word in _WORD.finditer(text)), default=0)


def pad(text: str, width: int) -> str:
    """Pad a text with blanks to a width in columns."""
    return text + " " * (width - columns(text))
