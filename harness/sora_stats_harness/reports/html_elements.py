"""
HTML that is escaped by construction.

Elements are made by `html_element`, whose plain strings are always escaped and whose attributes are always quoted; only what
it made itself, an `SafeHtml`, goes in as it is. So there is no place in a report where escaping can be forgotten, and no
template language to install.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..api.language import LANGUAGE, translate
from . import escaping as escape


class SafeHtml(str):
    """Text that is HTML already; made by `html_element` and `join_html` only."""

    __slots__ = ()


HtmlContent = str | SafeHtml | None | Iterable["HtmlContent"]
"""What an element may hold: text (to be escaped), HTML, nothing, or several of these."""

_VERBATIM: Final = frozenset({"code", "mark", "samp", "script", "style"})
"""Elements whose text is not for translation: it is the server's, or there to be copied."""

_SPOKEN: Final = frozenset({"alt", "aria_label", "title"})
"""Attributes that are for people."""

_VOID_ELEMENTS: Final = frozenset({"meta", "link", "br", "hr"})


def html_element(
    name: str, *content: HtmlContent, limit: int = escape.DEFAULT_LIMIT_CHARACTERS, **attributes: str | None
) -> SafeHtml:
    """
    Make one element.

    Args:
        content: Strings are escaped, made visible and cut at `limit`; HTML stays; None is nothing.
        limit: Characters of one string.
        attributes: A trailing `_` of a name is dropped (`class_`), `_` within it is `-`; None leaves it out.

    >>> html_element("p", "a<b", html_element("b", "&"), class_="x")
    '<p class="x">a&lt;b<b>&amp;</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape.escape_html(translate(value) if key in _SPOKEN else value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID_ELEMENTS:
        return SafeHtml(f"<{name}{given}>")
    return SafeHtml(f"<{name}{given}>{_render_contents(content, limit, name)}</{name}>")


def join_html(*content: HtmlContent, limit: int = escape.DEFAULT_LIMIT_CHARACTERS) -> SafeHtml:
    """Put content in a row."""
    return SafeHtml(_render_contents(content, limit, ""))


def _render_contents(content: Iterable[HtmlContent], limit: int, name: str) -> str:
    return "".join(_render_content(piece, limit, name) for piece in content)


def _render_content(piece: HtmlContent, limit: int, name: str) -> str:
    if piece is None:
        return ""
    if isinstance(piece, SafeHtml):
        return piece
    if isinstance(piece, str):
        return escape.escape_html(piece if name in _VERBATIM else translate(piece), limit)
    return _render_contents(piece, limit, name)


def scrollable(content: HtmlContent, label: str) -> SafeHtml:
    """What may be wider than a narrow screen, and then scrolls within itself, by keyboard too."""
    return html_element("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def html_document(title: str, style: str, body: HtmlContent) -> str:
    """A whole page that loads nothing and runs nothing, and says so to the browser."""
    head = html_element(
        "head",
        html_element("meta", charset="utf-8"),
        html_element("meta", name_="viewport", content_="width=device-width, initial-scale=1"),
        html_element(
            "meta", http_equiv="Content-Security-Policy", content_="default-src 'none'; style-src 'unsafe-inline'"
        ),
        html_element("meta", name_="color-scheme", content_="light dark"),
        html_element("title", title),
        SafeHtml(f"<style>\n{style}</style>"),
    )
    return f"<!doctype html>\n{html_element('html', head, html_element('body', body), lang=LANGUAGE.get())}\n"
