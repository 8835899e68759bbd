"""
How much of the field list a run has seen: group by group as a bar, and field by field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from ..api import edition as editions
from ..api.edition import Edition, Field, Kind
from ..judge.verdict import Verdict
from . import summary
from .html_parts import folded, pairs, row, small, table
from .markup import Content, Html, element

STATES: Final = ("grew", "constant", "other, seen", "not seen")
"""What can become of a field: counters that moved and that did not, all else that was there, and what was not."""


def coverage(verdict: Verdict) -> list[Content]:
    """The facts in short, and every field of an edition that we know."""
    facts = pairs(summary.coverage(verdict))
    if verdict.edition in editions.names():
        return [facts, _fields(verdict, editions.load(verdict.edition))]
    lists = (("Never seen", verdict.coverage.never_seen), ("Seen and never moved", verdict.coverage.never_grew))
    return [facts, [_listed(title, paths) for title, paths in lists if paths]]


def _listed(title: str, paths: Sequence[str]) -> Html:
    """A long list of fields of an edition that we do not know."""
    return folded(f"{title} ({len(paths):,})", element("p", element("code", ", ".join(paths), limit=20_000)))


def _fields(verdict: Verdict, edition: Edition) -> list[Content]:
    states = _states(verdict, edition)
    groups: dict[str, list[Field]] = {}
    for field in edition.fields:
        groups.setdefault(field.path[0] if len(field.path) > 1 else "the connection", []).append(field)
    rows = []
    for name, members in groups.items():
        counts = Counter(states[field.dotted] for field in members)
        numbers = [f"{counts[state]:,}" if counts[state] else "" for state in STATES]
        rows.append(
            row(element("code", name), _bar(counts, len(members)), f"{len(members):,}", *numbers, right=range(2, 7))
        )
    every = [
        row(element("code", field.dotted), field.kind.value, states[field.dotted], class_=_class(states[field.dotted]))
        for field in edition.fields
    ]
    columns = ("Group", "Share", "Fields", "Grew", "Constant", "Other, seen", "Not seen")
    key = element(
        "ul", [element("li", element("span", "", class_=f"swatch {_class(state)}"), state) for state in STATES]
    )
    return [
        element("div", key, class_="key", aria_hidden="true"),
        table("The field list, group by group", columns, rows, right=range(2, 7)),
        small("Nothing is known of the order of counters that never moved."),
        folded(f"All {len(every)} fields", table("Every field", ("Field", "Kind", "State"), every)),
    ]


def _states(verdict: Verdict, edition: Edition) -> dict[str, str]:
    unseen, still = set(verdict.coverage.never_seen), set(verdict.coverage.never_grew)

    def state(field: Field) -> str:
        if field.dotted in unseen or not verdict.coverage.readings:
            return "not seen"
        if field.kind is not Kind.COUNTER:
            return "other, seen"
        return "constant" if field.dotted in still else "grew"

    return {field.dotted: state(field) for field in edition.fields}


def _bar(counts: Counter[str], whole: int) -> Html:
    """The same as the numbers beside it, for the eye alone."""
    pieces = [
        element("span", "", class_=_class(state), style=f"flex-grow: {counts[state]}")
        for state in STATES
        if counts[state]
    ]
    return element("div", pieces, class_="bar", aria_hidden="true")


def _class(state: str) -> str:
    return f"state-{state.replace(', ', '-').replace(' ', '-')}"
