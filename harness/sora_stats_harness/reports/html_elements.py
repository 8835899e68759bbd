"""
HTML that is escaped by construction, and the components of all pages: tables, badges, lists.

`element` makes elements: it escapes all plain strings and quotes all attributes; only its own results, which are
`SafeHtml`, are inserted unchanged. So no report can forget to escape, and no template language is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from ..api.language import LANGUAGE, translate
from .escaping import DEFAULT_LIMIT_CHARACTERS, escape_html


class SafeHtml(str):
    """Text that is HTML already; `element` inserts it unchanged."""

    __slots__ = ()


HtmlContent = str | SafeHtml | None | Iterable["HtmlContent"]
"""The content of an element: text (to be escaped), HTML, nothing, or several of these."""

_VERBATIM: Final = frozenset({"code", "mark", "samp", "script", "style"})
"""Elements whose text is not translated: it is from the server, or meant to be copied."""

_SPOKEN: Final = frozenset({"alt", "aria_label", "title"})
"""Attributes whose text is for people, and is translated."""

_VOID_ELEMENTS: Final = frozenset({"meta", "link", "br", "hr"})


def element(
    name: str, *content: HtmlContent, limit: int = DEFAULT_LIMIT_CHARACTERS, **attributes: str | None
) -> SafeHtml:
    """
    Make one element.

    Args:
        content: Strings are escaped and shortened to `limit`; HTML stays unchanged; None is dropped.
        limit: The most characters of one string.
        attributes: A trailing `_` of a name is dropped (`class_`), an inner `_` becomes `-`; None leaves it out.

    >>> element("p", "a<b", element("b", "&"), class_="x")
    '<p class="x">a&lt;b<b>&amp;</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape_html(translate(value) if key in _SPOKEN else value)}"'
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
        return escape_html(piece if name in _VERBATIM else translate(piece), limit)
    return _render_contents(piece, limit, name)


def scrollable(content: HtmlContent, label: str) -> SafeHtml:
    """Wide content that scrolls within itself on a narrow screen, also by keyboard."""
    return element("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def document(title: str, style: str, body: HtmlContent) -> str:
    """A whole page without scripts or external resources, which its security policy tells the browser."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content_="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content_="default-src 'none'; style-src 'unsafe-inline'"),
        element("meta", name_="color-scheme", content_="light dark"),
        element("title", title),
        SafeHtml(f"<style>\n{style}</style>"),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang=LANGUAGE.get())}\n"


@cache
def page_style() -> str:
    """The style sheet of every page."""
    return (resources.files(__package__) / "report.css").read_text(encoding="utf-8")


STATUS_SIGNS: Final = {
    "met": "✓",
    "fail": "✗",
    "warn": "!",
    "info": "i",
    "known": "=",
    "waived": "~",
    "not_checked": "?",
    "not_applicable": "–",
}
"""Signs for statuses, always shown with the word."""


_BREAK_BEHIND: Final = re.compile(r"(?<=[^/\s]/|\w_)(?=[^\s/_])|(?<=\.)(?=[A-Za-z])")
"""Where a path, an id or a command line may be broken."""


def code_text(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> SafeHtml:
    """
    A path, an id or a command line that can be broken between its parts on a narrow screen.

    >>> code_text("/rtp/x_y")
    '<code>/rtp/<wbr>x_<wbr>y</code>'
    """
    return element("code", breakable_text(text, limit))


def breakable_text(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> SafeHtml:
    """The same without the enclosing element."""
    return SafeHtml(_BREAK_BEHIND.sub("<wbr>", escape_html(text, limit)))


class PageSection(NamedTuple):
    """A part of a page."""

    name: str
    link: str
    """The text of its link in the index."""
    title: str
    content: HtmlContent


def status_badge(text: str, style: str) -> SafeHtml:
    """A status or a verdict; the colour only repeats what the word says."""
    return element("span", text, class_=f"badge {style}")


def definition_list(rows: Iterable[tuple[str, HtmlContent]]) -> SafeHtml:
    """A list of names with their content."""
    return element("dl", [(element("dt", name), element("dd", content)) for name, content in rows])


def bullet_list(
    items: Iterable[HtmlContent], *, class_: str | None = None, limit: int = DEFAULT_LIMIT_CHARACTERS
) -> SafeHtml:
    """A list without numbers."""
    return element("ul", [element("li", item, limit=limit) for item in items], class_=class_)


def figure_tiles(figures: Iterable[tuple[str, str, str]]) -> SafeHtml:
    """Headline figures: a number, what it means, and a style or an empty text."""
    tiles = [
        element("li", element("strong", number), " ", element("span", text), class_=style or None)
        for number, text, style in figures
    ]
    return element("ul", tiles, class_="tiles")


def data_table(
    caption: str, columns: Sequence[HtmlContent], rows: Sequence[SafeHtml], right: Sequence[int] = ()
) -> SafeHtml:
    """A table of rows that are elements already; `right` are the columns with numbers."""
    heads = [
        element("th", column, scope="col", class_="number" if place in right else None)
        for place, column in enumerate(columns)
    ]
    whole = element(
        "table", element("caption", caption), element("thead", element("tr", heads)), element("tbody", rows)
    )
    return scrollable(whole, caption)


def table_row(
    *cells: HtmlContent, right: Sequence[int] = (), class_: str | None = None, id: str | None = None
) -> SafeHtml:
    """A row; the first cell is its head."""
    first, *rest = cells
    return element(
        "tr",
        element("th", first, scope="row"),
        [element("td", cell, class_="number" if i in right else None) for i, cell in enumerate(rest, start=1)],
        class_=class_,
        id=id,
    )


def page_sections(sections: Sequence[PageSection]) -> list[SafeHtml]:
    """The index and the main part of a page; sections without content are left out."""
    shown = [section for section in sections if section.content]
    links = bullet_list(element("a", each.link, href=f"#{each.name}") for each in shown)
    parts = [
        element("section", element("h2", each.title, id=each.name), each.content, aria_labelledby=each.name)
        for each in shown
    ]
    return [element("nav", links, aria_label="Sections"), element("main", parts)]


def folded_details(title: str, *content: HtmlContent, shown: bool = False) -> SafeHtml:
    """Long content that a reader can unfold, without a script."""
    return element("details", element("summary", title), *content, open="" if shown else None)


MAX_NOTE_CHARACTERS: Final = 1000


def small_note(*content: HtmlContent) -> SafeHtml:
    """A remark in small print."""
    return element("p", *content, class_="rest", limit=MAX_NOTE_CHARACTERS)
