"""
Turns a page of the documentation into an edition, by reading the page's field list.

The documentation changes more often than this project; a user with a newer page need not wait for a release. The
page comes as HTML with nested lists, as a text with bullets and indentation, as Markdown in which a parent and its
first child share a line, and as a plain text that has lost both bullets and indentation. All four become one outline;
what follows (names, groups, "as r0", inferred kinds, the page's own example) is the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..edition import Edition, FieldPath, load_edition, parse_edition, shipped_edition_names
from . import bullet_list as bullets
from . import edition_writer as toml
from . import example_response as example
from . import flat_text as flat
from . import html_list as markup
from .field_tree import build_field_tree
from .outline import OutlineItem, decode_page

MIN_SHARE_BEFORE_CUT: Final = 0.9
"""The share of a known list's beginning that a page must have to be taken for a cut copy of that list."""

MIN_FIELDS_SEEN: Final = 5
"""A list with fewer fields is never taken for a cut copy."""

__all__ = ["ImportedEdition", "import_edition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEdition:
    """An edition that was read from a page."""

    text: str
    """The edition's file, in TOML."""
    edition: Edition
    inferred: tuple[FieldPath, ...]
    """Fields that no edition of this package has; their kind and unit are inferred."""
    comparison: example.ExampleComparison | None
    """The page's example compared with its list; None if the page shows no complete response."""
    notes: tuple[str, ...]
    """What a reader of the edition should know about how it was read, a line each."""


def import_edition(data: bytes, *, origin: str, name: str) -> ImportedEdition:
    """
    Read the field list of a documentation page.

    A field that an edition of this package has under the same path is taken over from the newest such edition. For any
    other, type, kind and unit are inferred from the name, and the description says so.

    Args:
        data: The page: HTML, text or Markdown, in UTF-8.
        origin: What to call the page in messages and in the edition.

    Raises:
        EditionError: The page cannot be read as a field list; the message is one line that names the page's line.
    """
    page = decode_page(data, origin)
    notes: list[str] = []
    outline: list[OutlineItem] | None
    if markup.looks_like_html(page.text):
        document = markup.parse_html(page)
        outline, shown = document.outline, example.find_example(document.code)
    else:
        outline, shown = bullets.parse_bullets(page), example.find_example(page.text)
    if outline is None:
        outline = flat.parse_flat_text(page, shown)
        notes.append("the page has neither bullets nor indentation: the groups are those of its own example response")
    listed = build_field_tree(page, outline, notes)
    comparison = example.compare_with_example(listed, shown) if shown is not None else None
    text = toml.write_edition(listed, comparison, name=name, origin=origin)
    edition = parse_edition(text, origin=name)
    if comparison is not None:
        comparison = replace(
            comparison, contradictions=(*comparison.contradictions, *_find_mistyped_fields(edition, comparison))
        )
    inferred = tuple(field.path for field in edition.fields if field.path not in toml.known_fields())
    if cut := _describe_cut([field.path for field in edition.fields]):
        notes.append(cut)
    notes += [f"kind and unit are inferred, since no known edition has it: {each}" for each in _join_paths(inferred)]
    return ImportedEdition(
        text=text,
        edition=edition,
        inferred=inferred,
        comparison=comparison,
        notes=(*notes, *_describe_comparison(comparison)),
    )


def _describe_cut(listed: Sequence[FieldPath]) -> str:
    """
    Say where a list ends too early; an empty text if it doesn't.

    A page that was cut has nearly all of the fields that every edition has up to some field, and none after it.
    """
    editions = [[field.path for field in load_edition(each).fields] for each in shipped_edition_names()]
    everywhere = set.intersection(*map(set, editions))
    present = everywhere.intersection(listed)
    last = next((path for path in reversed(listed) if path in everywhere), None)
    for paths in editions:
        order = [path for path in paths if path in everywhere]
        if last is None:
            continue
        place = order.index(last) + 1
        before, after = order[:place], order[place:]
        if (
            after
            and present.isdisjoint(after)
            and len(present) >= MIN_SHARE_BEFORE_CUT * len(before) >= MIN_FIELDS_SEEN
        ):
            return (
                f"the page's list ends with {'.'.join(last)}, where every known edition goes on with "
                f"{'.'.join(after[0])} ({len(after)} fields): the page may be cut"
            )
    return ""


def _find_mistyped_fields(edition: Edition, comparison: example.ExampleComparison) -> list[tuple[FieldPath, str]]:
    return [
        (field.path, f"{field.type.value} in the edition, {seen.value} in the page's example")
        for field in edition.fields
        if (seen := comparison.types.get(field.path)) not in (None, field.type)
    ]


def _describe_comparison(comparison: example.ExampleComparison | None) -> tuple[str, ...]:
    """The comparison for people, a line for each field."""
    if comparison is None:
        return ("the page shows no complete response to compare its list with",)
    return (
        *(f"in the page's example, not in its list: {each}" for each in _join_paths(comparison.undocumented)),
        *(f"in the page's list, not in its example: {each}" for each in _join_paths(comparison.absent)),
        *(f"{'.'.join(path)}: {what}" for path, what in comparison.contradictions),
    )


def _join_paths(paths: Sequence[FieldPath]) -> list[str]:
    """
    Paths for people; the same name in several groups side by side is one line.

    >>> _join_paths([("a", "r0", "x"), ("a", "r1", "x"), ("b", "y")])
    ['a.*.x (2 fields)', 'b.y']
    """
    alike: dict[tuple[FieldPath, str], list[FieldPath]] = {}
    for path in paths:
        alike.setdefault((path[:-2], path[-1]), []).append(path)
    return [
        ".".join(group[0]) if len(group) == 1 else f"{'.'.join((*above, '*', name))} ({len(group)} fields)"
        for (above, name), group in alike.items()
    ]
