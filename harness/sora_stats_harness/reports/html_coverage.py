"""The page's section about coverage: a bar for each group of fields, and a list of all fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from ..api import edition as editions
from ..api.edition import Edition, FieldDefinition, FieldKind
from ..judge.verdict import Verdict
from . import html_elements as html
from . import summary

FIELD_STATES: Final = ("grew", "constant", "other, seen", "not seen")
"""The states of a field: counters that moved or did not, other fields that were seen, and fields that were not."""


def coverage_section(verdict: Verdict) -> list[html.HtmlContent]:
    """The facts in short, and, for a known edition, every field."""
    facts = html.definition_list(summary.coverage_lines(verdict))
    if verdict.edition in editions.shipped_edition_names():
        return [facts, _fields(verdict, editions.load_edition(verdict.edition))]
    lists = (
        ("Never seen", verdict.coverage.never_seen),
        ("Seen and never moved", verdict.coverage.never_grew),
        ("Values that could not be used", verdict.coverage.unusable),
    )
    return [facts, [_listed(title, paths) for title, paths in lists if paths]]


def _listed(title: str, paths: Sequence[str]) -> html.SafeHtml:
    """A list of fields of an unknown edition."""
    return html.folded_details(
        f"{title} ({len(paths):,})", html.element("p", html.code_text(", ".join(paths), limit=20_000))
    )


def _fields(verdict: Verdict, edition: Edition) -> list[html.HtmlContent]:
    states = _states(verdict, edition)
    groups: dict[str, list[FieldDefinition]] = {}
    for field in edition.fields:
        groups.setdefault(field.path[0] if len(field.path) > 1 else "the connection", []).append(field)
    rows = []
    for name, members in groups.items():
        counts = Counter(states[field.dotted] for field in members)
        numbers = [f"{counts[state]:,}" if counts[state] else "" for state in FIELD_STATES]
        rows.append(
            html.table_row(
                html.code_text(name),
                _coverage_bar(counts, len(members)),
                f"{len(members):,}",
                *numbers,
                right=range(2, 7),
            )
        )
    every = [
        html.table_row(
            html.code_text(field.dotted),
            field.kind.value,
            states[field.dotted],
            class_=_state_class(states[field.dotted]),
        )
        for field in edition.fields
    ]
    columns = ("Group", "Share", "Fields", "Grew", "Constant", "Other, seen", "Not seen")
    key = html.bullet_list(
        [html.element("span", "", class_=f"swatch {_state_class(each)}"), each] for each in FIELD_STATES
    )
    return [
        html.element("div", key, class_="key", aria_hidden="true"),
        html.data_table("The field list, group by group", columns, rows, right=range(2, 7)),
        html.small_note("Nothing is known of the order of counters that never moved."),
        html.folded_details(
            f"All {len(every)} fields", html.data_table("Every field", ("Field", "Kind", "State"), every)
        ),
    ]


def _states(verdict: Verdict, edition: Edition) -> dict[str, str]:
    unseen, still = set(verdict.coverage.never_seen), set(verdict.coverage.never_grew)

    def state(field: FieldDefinition) -> str:
        if field.dotted in unseen or not verdict.coverage.samples:
            return "not seen"
        if field.kind is not FieldKind.COUNTER or field.dotted in verdict.coverage.unusable:
            return "other, seen"
        return "constant" if field.dotted in still else "grew"

    return {field.dotted: state(field) for field in edition.fields}


def _coverage_bar(counts: Counter[str], whole: int) -> html.SafeHtml:
    """A bar that shows the numbers beside it; purely visual."""
    pieces = [
        html.element("span", "", class_=_state_class(state), style=f"flex-grow: {counts[state]}")
        for state in FIELD_STATES
        if counts[state]
    ]
    return html.element("div", pieces, class_="bar", aria_hidden="true")


def _state_class(state: str) -> str:
    return f"state-{state.replace(', ', '-').replace(' ', '-')}"
