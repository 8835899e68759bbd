"""
HTML that is escaped by construction.

`html_element` makes elements: it escapes all plain strings and quotes all attributes; only its own results, which are
`SafeHtml`, are inserted unchanged. So no report can forget to escape, and no template language is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..api.language import LANGUAGE, translate
from . import escaping as escape


class SafeHtml(str):
    """Text that is HTML already; `html_element` inserts it unchanged."""

    __slots__ = ()


HtmlContent = str | SafeHtml | None | Iterable["HtmlContent"]
"""The content of an element: text (to be escaped), HTML, nothing, or several of these."""

_VERBATIM: Final = frozenset({"code", "mark", "samp", "script", "style"})
"""Elements whose text is not translated: it is from the server, or meant to be copied."""

_SPOKEN: Final = frozenset({"alt", "aria_label", "title"})
"""Attributes whose text is for people, and is translated."""

_VOID_ELEMENTS: Final = frozenset({"meta", "link", "br", "hr"})


def html_element(
    name: str, *content: HtmlContent, limit: int = escape.DEFAULT_LIMIT_CHARACTERS, **attributes: str | None
) -> SafeHtml:
    """
    Make one element.

    Args:
        content: Strings are escaped and shortened to `limit`; HTML stays unchanged; None is dropped.
        limit: The most characters of one string.
        attributes: A trailing `_` of a name is dropped (`class_`), an inner `_` becomes `-`; None leaves it out.

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
    """Wide content that scrolls within itself on a narrow screen, also by keyboard."""
    return html_element("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def html_document(title: str, style: str, body: HtmlContent) -> str:
    """A whole page without scripts or external resources, which its security policy tells the browser."""
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
