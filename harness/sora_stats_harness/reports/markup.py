"""
HTML that is escaped by construction.

Elements are made by `element`, whose plain strings are always escaped and whose attributes are always quoted; only what
it made itself, an `Html`, goes in as it is. So there is no place in a report where escaping can be forgotten, and no
template language to install.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from . import escape


class Html(str):
    """Text that is HTML already; made by `element` and `join` only."""

    __slots__ = ()


Content = str | Html | None | Iterable["Content"]
"""What an element may hold: text (to be escaped), HTML, nothing, or several of these."""

_VOID: Final = frozenset({"meta", "link", "br", "hr"})


def element(name: str, *content: Content, limit: int = escape.LIMIT, **attributes: str | None) -> Html:
    """
    Make one element.

    Args:
        name: The tag.
        content: Strings are escaped, made visible and cut at `limit`; HTML stays; None is nothing.
        limit: Characters of one string.
        attributes: A trailing `_` of a name is dropped (`class_`), `_` within it is `-`; None leaves it out.

    >>> element("p", "a<b", element("b", "&"), class_="x")
    '<p class="x">a&lt;b<b>&amp;</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape.html(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(*content, limit=limit)}</{name}>")


def join(*content: Content, limit: int = escape.LIMIT) -> Html:
    """Put content in a row."""
    return Html("".join(_piece(piece, limit) for piece in content))


def _piece(piece: Content, limit: int) -> str:
    if piece is None:
        return ""
    if isinstance(piece, Html):
        return piece
    if isinstance(piece, str):
        return escape.html(piece, limit)
    return join(*piece, limit=limit)


def scrolled(content: Content, label: str) -> Html:
    """What may be wider than a narrow screen, and then scrolls within itself, by keyboard too."""
    return element("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def document(title: str, style: str, body: Content) -> str:
    """
    A whole page that loads nothing and runs nothing, and says so to the browser.

    Args:
        title: Of the window.
        style: CSS of our own.
        body: The content.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content_="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content_="default-src 'none'; style-src 'unsafe-inline'"),
        element("meta", name_="color-scheme", content_="light dark"),
        element("title", title),
        Html(f"<style>\n{style}</style>"),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}\n"
