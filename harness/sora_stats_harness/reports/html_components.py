"""Components of all HTML pages: tables, badges, definition lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from .escaping import DEFAULT_LIMIT_CHARACTERS, escape_html
from .html_elements import HtmlContent, SafeHtml, html_element, scrollable


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
    return html_element("code", breakable_text(text, limit))


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
    return html_element("span", text, class_=f"badge {style}")


def definition_list(rows: Iterable[tuple[str, HtmlContent]]) -> SafeHtml:
    """A list of names with their content."""
    return html_element("dl", [(html_element("dt", name), html_element("dd", content)) for name, content in rows])


def data_table(
    caption: str, columns: Sequence[HtmlContent], rows: Sequence[SafeHtml], right: Sequence[int] = ()
) -> SafeHtml:
    """A table of rows that are elements already; `right` are the columns with numbers."""
    heads = [
        html_element("th", column, scope="col", class_="number" if place in right else None)
        for place, column in enumerate(columns)
    ]
    whole = html_element(
        "table",
        html_element("caption", caption),
        html_element("thead", html_element("tr", heads)),
        html_element("tbody", rows),
    )
    return scrollable(whole, caption)


def table_row(
    *cells: HtmlContent, right: Sequence[int] = (), class_: str | None = None, id: str | None = None
) -> SafeHtml:
    """A row; the first cell is its head."""
    first, *rest = cells
    return html_element(
        "tr",
        html_element("th", first, scope="row"),
        [html_element("td", cell, class_="number" if i in right else None) for i, cell in enumerate(rest, start=1)],
        class_=class_,
        id=id,
    )


def page_sections(sections: Sequence[PageSection]) -> list[SafeHtml]:
    """The index and the main part of a page; sections without content are left out."""
    shown = [section for section in sections if section.content]
    links = [html_element("li", html_element("a", each.link, href=f"#{each.name}")) for each in shown]
    parts = [
        html_element("section", html_element("h2", each.title, id=each.name), each.content, aria_labelledby=each.name)
        for each in shown
    ]
    return [html_element("nav", html_element("ul", links), aria_label="Sections"), html_element("main", parts)]


def folded_details(title: str, *content: HtmlContent, shown: bool = False) -> SafeHtml:
    """Long content that a reader can unfold, without a script."""
    return html_element("details", html_element("summary", title), *content, open="" if shown else None)


MAX_NOTE_CHARACTERS: Final = 1000


def small_note(*content: HtmlContent) -> SafeHtml:
    """A remark in small print."""
    return html_element("p", *content, class_="rest", limit=MAX_NOTE_CHARACTERS)
