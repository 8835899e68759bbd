"""
Renders a comparison of runs as an HTML page, with the same tables as the other formats; lists the formats by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..api.language import translate
from .comparison_formats import (
    TextTable,
    comparison_headline,
    comparison_notes,
    comparison_sides,
    comparison_tables,
    render_json,
    render_markdown,
    render_text,
    verdict_word,
)
from .comparison_result import RunComparison
from .html_components import (
    PageSection,
    breakable_text,
    code_text,
    data_table,
    definition_list,
    page_sections,
    page_style,
    small_note,
    status_badge,
    table_row,
)
from .html_elements import HtmlContent, SafeHtml, html_document, html_element

_MAX_LINE_CHARACTERS: Final = 1000
_LIST_COLUMNS: Final = {
    "Findings": ("Change", "Level", "Requirement", "Where", "What it says", "Runs"),
    "Documented fields": ("Change", "Field"),
}
"""The columns of tables that the other formats show as lists."""


def render_page(comparison: RunComparison) -> str:
    """The comparison as one HTML file without scripts or external resources."""
    notes = [html_element("li", note, limit=_MAX_LINE_CHARACTERS) for note in comparison_notes(comparison)]
    sections = [_section(table) for table in comparison_tables(comparison)]
    sections.append(PageSection("notes", "Notes", "Notes", html_element("ul", notes) if notes else None))
    title = f"{verdict_word(comparison)} {translate(comparison_headline(comparison))}"
    return html_document(title, page_style(), [_head(comparison), *page_sections(sections)])


def _head(comparison: RunComparison) -> SafeHtml:
    word = verdict_word(comparison)
    style = comparison.verdict if word != "COMPARED" else "info"
    sides = [
        (name, breakable_text(translate(line), _MAX_LINE_CHARACTERS)) for name, line in comparison_sides(comparison)
    ]
    facts = (f"edition {comparison.edition}", comparison.subject_kind, f"exit code {comparison.exit_code}")
    return html_element(
        "header",
        html_element("h1", status_badge(word, style), " ", "Comparison of runs"),
        html_element("p", comparison_headline(comparison), class_="headline", limit=_MAX_LINE_CHARACTERS),
        definition_list(sides),
        html_element("ul", [html_element("li", fact) for fact in facts], class_="facts"),
        class_=f"verdict {style}",
    )


def _section(table: TextTable) -> PageSection:
    title, columns, rows, note = table
    right = range(1, len(columns))
    heads = columns or _LIST_COLUMNS[title]
    shown = [table_row(*(row if columns else map(_list_cell, row)), right=right) for row in rows]
    content: list[HtmlContent] = [data_table(f"{title} of BASE and NEW", heads, shown, right=right)] if shown else []
    return PageSection(
        title.lower().replace(" ", "-"),
        f"{title} ({len(rows)})",
        title,
        [*content, small_note(note) if note else None],
    )


def _list_cell(text: str) -> HtmlContent:
    """A cell of paths, ids or words; paths and ids may be broken between their parts."""
    return code_text(text) if "/" in text or ("." in text and " " not in text) else text


COMPARISON_RENDERERS: Final[dict[str, Callable[[RunComparison], str]]] = {
    "text": render_text,
    "markdown": render_markdown,
    "json": render_json,
    "html": render_page,
}
"""The formats by their names on the command line."""
