"""
Reads the nested field list of an HTML page, as Sphinx or another generator writes it.

Browsers repair broken markup, each in its own way. Here a list that ends where it should not is an error, since a
repair could silently put fields into other groups. The standard library's parser is not used: on Python 3.11 a hostile
page of 2 MB (`<a <a <a ...`) keeps it busy for many minutes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Final

from .outline import MAX_DEPTH, MAX_ITEMS, MAX_TEXT, OutlineItem, PageText, count_names

_LISTS: Final = frozenset({"ul", "ol", "menu"})
_RAW: Final = frozenset({"script", "style", "textarea", "title"})
"""Elements whose content is neither markup nor text of the page."""
_BLOCKS: Final = frozenset({"p", "div", "br", "section", "dd"})
_PAGE: Final = re.compile(r"\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_LIST: Final = re.compile(r"<(?:ul|ol|menu)[\s>]", re.IGNORECASE)
_ITEM: Final = re.compile(r"<li[\s>]", re.IGNORECASE)
_TAG: Final = re.compile(r"<(/?)([A-Za-z][^\s/<>]*+)(?:[^<>\"']|\"[^\"]*+\"|'[^']*+')*+>")


@dataclass(frozen=True, slots=True, kw_only=True)
class HtmlPage:
    """What an HTML page holds: its field list, and the text of its code."""

    outline: list[OutlineItem]
    code: str


def looks_like_html(text: str) -> bool:
    """Whether a page is HTML: it begins as such a page does, or has the tags of lists."""
    if _PAGE.match(text) is not None:
        return True
    return _LIST.search(text) is not None and _ITEM.search(text) is not None


def parse_html(page: PageText) -> HtmlPage:
    """
    Read the field list of an HTML page; of several lists, the one with the most names.

    Raises:
        EditionError: There is none, or the nesting of a list is broken.
    """
    reader = _HtmlListParser(page)
    reader.read()
    if reader.lists:
        raise page.error_at(reader.lists[-1].line, f"broken nesting: this <{reader.lists[-1].tag}> is never closed")
    best = max(reader.found, key=count_names, default=[])
    if not count_names(best):
        raise page.error_at(1, "no list in this HTML page contains a field's name")
    return HtmlPage(outline=best, code="".join(reader.code))


@dataclass(slots=True, kw_only=True)
class _OpenList:
    tag: str
    line: int
    items: list[OutlineItem]
    item: OutlineItem | None = None
    """The item that is open."""


class _HtmlListParser:
    """Collects the lists of the highest level that are complete, and tracks those that are open."""

    def __init__(self, page: PageText) -> None:
        self.page = page
        self.lists: list[_OpenList] = []
        self.found: list[list[OutlineItem]] = []
        self.code: list[str] = []
        self.preformatted = 0
        self.count = 0
        self.line = 1
        self.counted = 0
        """Up to which character lines are counted."""

    def read(self) -> None:
        """Read the page tag by tag; no character is read twice, so the time is linear in the size."""
        text, place = self.page.text, 0
        while place < len(text):
            opening = text.find("<", place)
            if opening < 0:
                opening = len(text)
            if opening > place:
                self.handle_text(text[place:opening])
            self.count_lines(opening)
            place = self.after_tag(opening) if opening < len(text) else opening

    def count_lines(self, place: int) -> None:
        self.line += self.page.text.count("\n", self.counted, place)
        self.counted = place

    def after_tag(self, opening: int) -> int:
        """Read what begins with `<`, and return where the rest begins."""
        text = self.page.text
        if text.startswith(("<!", "<?"), opening):
            closing = "-->" if text.startswith("<!--", opening) else ">"
            end = text.find(closing, opening)
            return end + len(closing) if end >= 0 else len(text)
        found = _TAG.match(text, opening)
        if found is None:
            self.handle_text("<")
            return opening + 1
        name = found.group(2).lower()
        if not found.group(1) and name in _RAW:
            closed = re.compile(f"</{name}", re.IGNORECASE).search(text, found.end())
            return closed.start() if closed is not None else len(text)
        self.handle_tag(name, closes=bool(found.group(1)))
        return found.end()

    def handle_tag(self, tag: str, *, closes: bool) -> None:
        if tag == "pre":
            self.preformatted = max(0, self.preformatted + (-1 if closes else 1))
            self.code.append("\n")
        elif tag in _LISTS:
            (self.close_list if closes else self.open_list)(tag)
        elif tag == "li":
            (self.close_item if closes else self.open_item)()
        elif tag in _BLOCKS:
            self.add("\n")

    def handle_text(self, raw: str) -> None:
        try:
            text = unescape(raw)
        except ValueError:  # more digits than Python converts to a number
            raise self.page.error_at(self.line, "a character reference that stands for no character") from None
        if self.preformatted:
            self.code.append(text)
        elif self.lists:
            self.add(re.sub(r"\s+", " ", text))

    def open_list(self, tag: str) -> None:
        if len(self.lists) >= MAX_DEPTH:
            raise self.page.error_at(
                self.line, f"lists nested more than {MAX_DEPTH} levels deep, too deep for a field list"
            )
        items: list[OutlineItem] = []
        if self.lists:
            around = self.lists[-1]
            holder = around.item or (around.items[-1] if around.items else None)
            if holder is None:
                raise self.page.error_at(self.line, f"broken nesting: <{tag}> in a list, but not inside an item")
            items = holder.items
        self.lists.append(_OpenList(tag=tag, line=self.line, items=items))

    def close_list(self, tag: str) -> None:
        if not self.lists:
            raise self.page.error_at(self.line, f"broken nesting: </{tag}> where no list is open")
        last = self.lists.pop()
        if last.tag != tag:
            raise self.page.error_at(
                self.line, f"broken nesting: </{tag}> where the <{last.tag}> of line {last.line} is open"
            )
        if not self.lists:
            self.found.append(last.items)

    def open_item(self) -> None:
        if not self.lists:
            raise self.page.error_at(self.line, "broken nesting: <li> outside of any list")
        self.count += 1
        if self.count > MAX_ITEMS:
            raise self.page.error_at(self.line, f"more than {MAX_ITEMS} items, too many for a field list")
        item = OutlineItem(text="", line=self.line)
        self.lists[-1].items.append(item)
        self.lists[-1].item = item

    def close_item(self) -> None:
        if not self.lists or self.lists[-1].item is None:
            where = f": the <{self.lists[-1].tag}> of line {self.lists[-1].line} is open" if self.lists else ""
            raise self.page.error_at(self.line, f"broken nesting: </li> where no item is open{where}")
        self.lists[-1].item = None

    def add(self, text: str) -> None:
        """Add to the open item's text; what follows a list inside the item is not part of its name."""
        item = self.lists[-1].item if self.lists else None
        if item is not None and not item.items and len(item.text) < MAX_TEXT:
            item.text = (item.text + text).lstrip()
