"""
The findings in the page, each with the readings that prove it beside each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..api.exchange import Exchange
from ..judge.verdict import FindingEntry
from . import summary
from .html_parts import badge, folded, small, table
from .markup import Content, Html, element
from .report import Report
from .sides import Row, Sides, compare

MAX_FINDINGS: Final = 200
OPEN_SIDES: Final = 3
"""Findings whose readings are unfolded from the start, which is also what gets printed."""
FIRST_ROWS: Final = 8
"""Of the readings; in a live system nearly every counter differs, and the one that matters comes first."""
MAX_SIDES: Final = 40
"""Findings that show their readings; an ordinary report stays below 1 MB."""


def findings(report: Report) -> Content:
    """Every finding in the verdict's order, up to a number that somebody may read."""
    entries = report.verdict.findings
    if not entries:
        return element("p", "None.")
    statuses = summary.statuses(report.verdict)
    shown = [
        _finding(place, entry, report, statuses.get(entry.requirement, "fail"))
        for place, entry in enumerate(entries[:MAX_FINDINGS], start=1)
    ]
    more = len(entries) - MAX_FINDINGS
    return [*shown, element("p", f"… and {more:,} more, in verdict.json") if more > 0 else None]


def _finding(place: int, entry: FindingEntry, report: Report, status: str) -> Html:
    status = status if entry.status == "new" else entry.status
    rows = [
        (element("dt", label), element("dd", element("code", text, limit=summary.limit(label))))
        for label, text in summary.facts(report, entry)
    ]
    return element(
        "article",
        element(
            "h3",
            f"{place}. ",
            element("code", entry.requirement),
            " ",
            badge(status),
            element("span", f" {entry.level}", class_="level"),
        ),
        element("p", entry.message),
        element("dl", rows),
        _sides(entry, report.proof(entry), place) if place <= MAX_SIDES else None,
        class_=f"finding {status}",
        id=f"finding-{place}",
    )


def _sides(entry: FindingEntry, exchanges: Sequence[Exchange], place: int) -> Content:
    sides = compare(entry, exchanges)
    if sides is None:
        return None
    heads = [_side_head(exchange, i, len(exchanges)) for i, exchange in enumerate(exchanges)]
    caption = f"Finding {place}: " + ("the answers that prove it" if len(exchanges) > 1 else "the answer that shows it")
    first, others = sides.rows[:FIRST_ROWS], sides.rows[FIRST_ROWS:]

    def rows(caption: str, shown: Sequence[Row]) -> Html:
        return table(caption, ("Field", *heads), [_side_row(row) for row in shown], right=range(1, len(heads) + 1))

    return folded(
        "Evidence side by side" if len(heads) > 1 else "Evidence",
        rows(caption, first),
        folded(f"{len(others)} more fields", rows(f"{caption}, continued", others)) if others else None,
        _rest(sides),
        shown=place <= OPEN_SIDES,
    )


def _side_head(exchange: Exchange, place: int, count: int) -> Content:
    name = {0: "Earlier answer", count - 1: "Later answer"}.get(place, "Answer between") if count > 1 else "Answer"
    took_ms = (exchange.received_ns - exchange.sent_ns) / 1e6
    target = exchange.request.target.operation if exchange.request.target else "a wrong request"
    text = f"{target}, exchange {exchange.seq}, sent {exchange.sent_at}, took {took_ms:,.1f} ms"
    return [name, element("small", text)]


def _side_row(row: Row) -> Html:
    words = [word for word, holds in (("this field", row.culprit), ("falls", row.falls and row.culprit)) if holds]
    classes = [name for name, holds in (("culprit", row.culprit), ("differs", row.differs)) if holds]
    last = len(row.values) - 1
    return element(
        "tr",
        element("th", element("code", row.field), element("small", ", ".join(words)) if words else None, scope="row"),
        [
            element("td", element("mark" if row.differs and i == last else "span", value), class_="number")
            for i, value in enumerate(row.values)
        ],
        class_=" ".join(classes) or None,
    )


def _rest(sides: Sides) -> Content:
    told = []
    if sides.more:
        told.append(f"{sides.more:,} more fields that differ are in the evidence file")
    if sides.equal:
        told.append(f"{sides.equal:,} fields are the same in all answers and not shown")
    return small("; ".join(told), ".") if told else None
