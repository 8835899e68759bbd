"""
What every part of the page is made of: tables, badges, pairs of name and text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from . import summary
from .markup import Content, Html, element, scrolled

SIGNS: Final = {
    "pass": "✓", "fail": "✗", "warn": "!", "info": "i", "known": "=", "waived": "~", "unknown": "?",
    "not_applicable": "–",
}  # fmt: skip
"""Beside the word for a status, never alone."""


def badge(status: str) -> Html:
    """A status or a verdict; colour repeats what the word says."""
    return element("span", summary.word(status), class_=f"badge {status}")


def pairs(rows: Iterable[tuple[str, Content]]) -> Html:
    """Names, and what they stand for."""
    return element("dl", [(element("dt", name), element("dd", content)) for name, content in rows])


def table(caption: str, columns: Sequence[Content], rows: Sequence[Html], right: Sequence[int] = ()) -> Html:
    """A table of rows that are elements already; the columns at `right` hold numbers."""
    heads = [
        element("th", column, scope="col", class_="number" if place in right else None)
        for place, column in enumerate(columns)
    ]
    whole = element(
        "table", element("caption", caption), element("thead", element("tr", heads)), element("tbody", rows)
    )
    return scrolled(whole, caption)


def row(*cells: Content, right: Sequence[int] = (), class_: str | None = None) -> Html:
    """A row; its first cell names it."""
    first, *rest = cells
    return element(
        "tr",
        element("th", first, scope="row"),
        [element("td", cell, class_="number" if i in right else None) for i, cell in enumerate(rest, start=1)],
        class_=class_,
    )


def folded(title: str, *content: Content, shown: bool = False) -> Html:
    """Something long that a reader may unfold, without a script."""
    return element("details", element("summary", title), *content, open="" if shown else None)


def small(*content: Content) -> Html:
    """A remark below."""
    return element("p", *content, class_="rest")
