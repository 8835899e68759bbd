"""
The report to send to somebody who wasn't there: one HTML file that loads nothing and runs nothing.

Status is always said in words, colour only repeats it. Headings and tables are real ones, for screen readers and for
print; long tables are folded with <details>, which needs no script.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

from .. import edition as editions
from ..edition import Edition, Field, Kind
from ..exchange import Exchange
from ..verdict import FindingEntry, RequirementStatus, Section, Verdict
from . import summary
from .markup import Content, Html, document, element
from .report import Report
from .sides import Row, Sides, compare

MAX_FINDINGS: Final = 200
OPEN_SIDES: Final = 3
"""Findings whose readings are unfolded from the start, which is also what gets printed."""
MAX_SIDES: Final = 40
"""Findings that show their readings; an ordinary report stays below 1 MB."""


def render(report: Report) -> str:
    """Write the page."""
    verdict = report.verdict
    sections: list[tuple[str, str, Content]] = [
        ("requirements", "Requirements", [_families(verdict), _matrix(verdict)]),
        ("findings", f"Findings ({len(verdict.findings)})", _findings(report)),
        *((f"section-{i}", section.title, _section(section)) for i, section in enumerate(verdict.sections, start=1)),
        ("coverage", "Coverage", _coverage(verdict)),
        ("unobserved", "Not observed", _unobserved(verdict)),
        ("notes", "Notes", _notes(verdict)),
        ("run", "The run", _run(verdict)),
    ]
    shown = [section for section in sections if section[2]]
    links = [element("li", element("a", title, href=f"#{name}")) for name, title, _ in shown]
    body = [
        element("a", "Skip to the findings", class_="skip", href="#findings"),
        _head(verdict),
        element("nav", element("ul", links), aria_label="Sections"),
        element(
            "main",
            [
                element("section", element("h2", title, id=name), content, aria_labelledby=name)
                for name, title, content in shown
            ],
        ),
    ]
    title = f"{verdict.verdict.upper()} {verdict.subject}"
    return document(title, _style(), body)


@cache
def _style() -> str:
    return (resources.files(__package__) / "report.css").read_text(encoding="utf-8")


def _head(verdict: Verdict) -> Html:
    return element(
        "header",
        element("p", summary.SELF_TEST, class_="self-test") if summary.is_self_test(verdict) else None,
        element("h1", _badge(verdict.verdict), " ", element("span", verdict.subject, class_="subject")),
        element("p", summary.headline(verdict), class_="headline"),
        class_=f"verdict {verdict.verdict}",
    )


def _badge(status: str) -> Html:
    return element("span", summary.word(status), class_=f"badge {status}")


def _families(verdict: Verdict) -> Html:
    rows = [
        element(
            "tr",
            element("th", row.name, scope="row"),
            element("td", _badge(row.worst)),
            element("td", row.counts()),
            element("td", f"{row.checked:,}", class_="number"),
            element("td", f"{row.failed:,}", class_="number"),
        )
        for row in summary.families(verdict)
    ]
    return _table("Family by family", ("Family", "Status", "Requirements", "Checked", "Missed"), rows, right=(3, 4))


def _matrix(verdict: Verdict) -> Html:
    rows = [_requirement(row) for row in verdict.requirements]
    table = _table(
        "Every requirement",
        ("Requirement", "Level", "Status", "Checked", "Missed", "What it says"),
        rows,
        right=(3, 4),
    )
    return element("details", element("summary", f"All {len(rows)} requirements"), table)


def _requirement(row: RequirementStatus) -> Html:
    why = summary.reason(row)
    return element(
        "tr",
        element("th", element("code", row.id), scope="row"),
        element("td", row.level),
        element("td", _badge(row.status)),
        element("td", f"{row.checked:,}", class_="number"),
        element("td", f"{row.failed:,}", class_="number"),
        element("td", summary.title(row.id), f" ({why})" if why else None),
    )


def _findings(report: Report) -> Content:
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
    rows = [
        (element("dt", label), element("dd", element("code", text, limit=summary.limit(label))))
        for label, text in summary.facts(report, entry)
    ]
    proof = report.proof(entry)
    return element(
        "article",
        element(
            "h3",
            f"{place}. ",
            element("code", entry.requirement),
            " ",
            _badge("waived" if entry.status == "waived" else status),
            element("span", f" {entry.level}", f", {entry.status}" if entry.status != "new" else None, class_="level"),
        ),
        element("p", entry.message),
        element("dl", rows),
        _sides(entry, proof, place) if place <= MAX_SIDES else None,
        class_=f"finding {status}",
    )


def _sides(entry: FindingEntry, exchanges: Sequence[Exchange], place: int) -> Content:
    sides = compare(entry, exchanges)
    if sides is None:
        return None
    heads = [_side_head(exchange, i, len(exchanges)) for i, exchange in enumerate(exchanges)]
    caption = f"Finding {place}: " + ("the answers that prove it" if len(exchanges) > 1 else "the answer that shows it")
    table = _table(caption, ("Field", *heads), [_side_row(row) for row in sides.rows], right=range(1, len(heads) + 1))
    return element(
        "details",
        element("summary", "Evidence side by side" if len(heads) > 1 else "Evidence"),
        table,
        _rest(sides),
        open="" if place <= OPEN_SIDES else None,
    )


def _side_head(exchange: Exchange, place: int, count: int) -> Content:
    name = {0: "Earlier answer", count - 1: "Later answer"}.get(place, "Answer between") if count > 1 else "Answer"
    took_ms = (exchange.received_ns - exchange.sent_ns) / 1e6
    target = exchange.request.target.operation if exchange.request.target else "a wrong request"
    small = f"{target}, exchange {exchange.seq}, sent {exchange.sent_at}, took {took_ms:,.1f} ms"
    return [name, element("small", small)]


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
    return element("p", "; ".join(told), ".", class_="rest") if told else None


def _section(section: Section) -> list[Content]:
    numeric = summary.numeric(section)
    rows = [
        element(
            "tr",
            [
                element(
                    "td", value if isinstance(value, str) else summary.cell(value), class_="number" if right else None
                )
                for value, right in zip(row, numeric, strict=True)
            ],
        )
        for row in section.rows
    ]
    right = [i for i, is_number in enumerate(numeric) if is_number]
    return [
        _table(section.title, section.columns, rows, right=right),
        element("p", section.note, class_="rest") if section.note else None,
    ]


def _coverage(verdict: Verdict) -> list[Content]:
    facts = element("dl", [(element("dt", label), element("dd", text)) for label, text in summary.coverage(verdict)])
    if verdict.edition in editions.names():
        return [facts, _fields(verdict, editions.load(verdict.edition))]
    lists = (("Never seen", verdict.coverage.never_seen), ("Seen and never moved", verdict.coverage.never_grew))
    return [facts, [_folded(title, paths) for title, paths in lists if paths]]


def _folded(title: str, paths: Sequence[str]) -> Html:
    """A long list of fields of an edition that we do not know."""
    names = element("code", ", ".join(paths), limit=20_000)
    return element("details", element("summary", f"{title} ({len(paths):,})"), element("p", names))


def _fields(verdict: Verdict, edition: Edition) -> list[Content]:
    unseen, still = set(verdict.coverage.never_seen), set(verdict.coverage.never_grew)

    def state(field: Field) -> str:
        if field.dotted in unseen:
            return "not seen"
        if field.kind is not Kind.COUNTER:
            return "seen"
        return "constant" if field.dotted in still else "grew"

    groups: dict[str, list[Field]] = {}
    for field in edition.fields:
        groups.setdefault(field.path[0] if len(field.path) > 1 else "the connection", []).append(field)
    rows = []
    for name, members in groups.items():
        counts = Counter(state(field) for field in members)
        numbers = (len(members), counts["grew"], counts["constant"], counts["seen"], counts["not seen"])
        rows.append(
            element(
                "tr",
                element("th", name, scope="row"),
                [element("td", f"{count:,}" if count else "", class_="number") for count in numbers],
            )
        )
    columns = ("Group", "Fields", "Grew", "Constant", "Other, seen", "Not seen")
    every = [
        element(
            "tr",
            element("th", element("code", field.dotted), scope="row"),
            element("td", field.kind.value),
            element("td", state(field)),
        )
        for field in edition.fields
    ]
    all_fields = _table("Every field", ("Field", "Kind", "State"), every)
    return [
        _table("The field list, group by group", columns, rows, right=range(1, 6)),
        element("p", "Nothing is known of the order of counters that never moved.", class_="rest"),
        element("details", element("summary", f"All {len(every)} fields"), all_fields),
    ]


def _unobserved(verdict: Verdict) -> Content:
    rows = [
        (element("dt", why), element("dd", [(element("code", id), " ") for id in ids]))
        for why, ids in summary.unobserved(verdict)
    ]
    return element("dl", rows) if rows else None


def _notes(verdict: Verdict) -> Content:
    notes = verdict.coverage.notes
    return element("ul", [element("li", note) for note in notes]) if notes else None


def _run(verdict: Verdict) -> Html:
    took = summary.seconds(verdict)
    rows = [
        ("command", f"sora-harness {verdict.command}".strip()),
        ("subject", f"{verdict.subject} ({verdict.subject_kind})"),
        ("judged from", verdict.judged_from),
        ("edition", verdict.edition),
        ("strict", "yes" if verdict.strict else "no"),
        ("interrupted", "yes" if verdict.interrupted else "no"),
        ("started", verdict.started_at),
        ("finished", verdict.finished_at + (f" ({took:,.1f} s)" if took is not None else "")),
        ("harness version", verdict.harness_version),
        ("exit code", str(verdict.exit_code)),
        *((f"label {key}", value) for key, value in verdict.labels.items()),
        *((f"option {key}", json.dumps(value, ensure_ascii=False)) for key, value in verdict.options.items()),
    ]
    return element("dl", [(element("dt", label), element("dd", text)) for label, text in rows])


def _table(caption: str, columns: Sequence[Content], rows: Sequence[Html], right: Sequence[int] = ()) -> Html:
    heads = [
        element("th", column, scope="col", class_="number" if place in right else None)
        for place, column in enumerate(columns)
    ]
    table = element(
        "table", element("caption", caption), element("thead", element("tr", heads)), element("tbody", rows)
    )
    # Wide tables scroll within themselves on a narrow screen, by keyboard too.
    return element("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0")
