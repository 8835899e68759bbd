"""
The report to send to somebody who wasn't there: one HTML file that loads nothing and runs nothing.

Status is always said in words, colour only repeats it. Headings and tables are real ones, for screen readers and for
print; long tables are folded with <details>, which needs no script.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from importlib import resources

from ..judge.verdict import RequirementStatus, Section, Verdict
from . import html_coverage, html_findings, html_gate, html_measures, summary
from .html_parts import SIGNS, badge, folded, pairs, row, small, table
from .markup import Content, Html, document, element
from .report import Report


def render(report: Report) -> str:
    """Write the page."""
    verdict = report.verdict
    sections: list[tuple[str, str, Content]] = [
        ("glance", "At a glance", _glance(verdict)),
        ("baseline", "Since the earlier run", html_gate.baseline(verdict.baseline)),
        ("requirements", "Requirements", _requirements(verdict)),
        ("findings", f"Findings ({len(verdict.findings)})", html_findings.findings(report)),
        ("waivers", f"Waivers ({len(verdict.waivers)})", html_gate.waivers(verdict.waivers)),
        ("load", "Load", html_measures.load(verdict.load)),
        ("capacity", "Capacity", html_measures.capacity(verdict.capacity)),
        ("cost", "What a listing costs", html_measures.cost(verdict.cost)),
        *((f"section-{i}", section.title, _section(section)) for i, section in enumerate(_sections(verdict), start=1)),
        ("drift", "Server and documentation", html_gate.drift(verdict.drift, verdict)),
        ("coverage", "Coverage of the field list", html_coverage.coverage(verdict)),
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
    what = f"sora-harness {verdict.command}".strip()
    facts = [what, verdict.finished_at, *(f"{key}={value}" for key, value in verdict.labels.items())]
    return element(
        "header",
        element("p", summary.SELF_TEST, class_="self-test") if summary.is_self_test(verdict) else None,
        element("h1", badge(verdict.verdict), " ", element("span", verdict.subject, class_="subject")),
        element("p", summary.headline(verdict), class_="headline"),
        element("ul", [element("li", fact) for fact in facts], class_="facts"),
        class_=f"verdict {verdict.verdict}",
    )


def _glance(verdict: Verdict) -> Html:
    """The few numbers that a reader wants first."""
    tiles = [element("li", element("strong", number), " ", element("span", text)) for number, text in _numbers(verdict)]
    return element("ul", tiles, class_="tiles")


def _numbers(verdict: Verdict) -> list[tuple[str, str]]:
    seen = verdict.coverage
    held = [each for each in verdict.requirements if each.status not in ("unknown", "not_applicable")]
    counting = Counter(entry.level for entry in verdict.findings if entry.status == "new")
    excused = Counter(entry.status for entry in verdict.findings)
    new = "new " if verdict.baseline else ""
    numbers = [
        (f"{len(held)} of {len(verdict.requirements)}", "requirements observed"),
        (f"{counting['MUST']:,}", f"{new}MUST findings"),
        (f"{counting['SHOULD']:,}", f"{new}SHOULD findings"),
        *((f"{excused[name]:,}", f"{name} findings") for name in ("known", "waived") if excused[name]),
        (f"{seen.exchanges - seen.errors:,}", "answers judged"),
        (f"{seen.connections:,}", "connections seen"),
        (f"{seen.fields_seen:,} of {seen.fields_documented:,}", "documented fields seen"),
        (f"{seen.counters_grew:,}", "counters that grew"),
    ]
    if verdict.load is not None:
        p99 = [each.percentiles.get("99") for each in verdict.load.latency if each.kind == "response"]
        known = [us for us in p99 if us is not None]
        numbers += [(f"{max(known) / 1000:,.4g} ms", "highest p99 of a target")] if known else []
    if verdict.capacity is not None:
        numbers.append((f"{verdict.capacity.interval[0]:,.4g}/s", "confirmed capacity"))
    return numbers


def _requirements(verdict: Verdict) -> list[Content]:
    """The matrix: each requirement as one cell, family by family; and a table with their texts."""
    rows = [
        element(
            "div",
            element("h3", family.name, " ", badge(family.worst)),
            element(
                "p", f"{family.counts()}; checked {family.checked:,} times, missed {family.failed:,}", class_="rest"
            ),
            element(
                "ul", [_cell(each) for each in verdict.requirements if _family(each) == family.name], class_="cells"
            ),
            class_="family",
        )
        for family in summary.families(verdict)
    ]
    every = [_requirement(each) for each in verdict.requirements]
    columns = ("Requirement", "Level", "Status", "Checked", "Missed", "What it says")
    return [
        element("div", rows, class_="matrix"),
        folded(f"All {len(every)} requirements", table("Every requirement", columns, every, right=(3, 4))),
    ]


def _family(requirement: RequirementStatus) -> str:
    return requirement.id.partition(".")[0]


def _cell(requirement: RequirementStatus) -> Html:
    return element(
        "li",
        element("span", SIGNS[requirement.status], class_="sign", aria_hidden="true"),
        requirement.id.partition(".")[2],
        element("span", f": {summary.word(requirement.status)}", class_="unseen"),
        class_=f"cell {requirement.status}",
    )


def _requirement(requirement: RequirementStatus) -> Html:
    why = summary.reason(requirement)
    return row(
        element("code", requirement.id),
        requirement.level,
        badge(requirement.status),
        f"{requirement.checked:,}",
        f"{requirement.failed:,}",
        [summary.title(requirement.id), f" ({why})" if why else None],
        right=(3, 4),
    )


def _sections(verdict: Verdict) -> list[Section]:
    """The command's own tables, but for those whose content the page shows in full elsewhere."""
    shown = {"Latency", "Timeline"} if verdict.load is not None else set()
    if verdict.capacity is not None and any(step.latency for step in verdict.capacity.steps):
        shown.add("Capacity")
    return [section for section in verdict.sections if section.title not in shown]


def _section(section: Section) -> list[Content]:
    numeric = summary.numeric(section)
    right = [i for i, is_number in enumerate(numeric) if is_number]
    rows = [
        row(*(each if isinstance(each, str) else summary.cell(each) for each in cells), right=right)
        for cells in section.rows
    ]
    return [table(section.title, section.columns, rows, right=right), small(section.note) if section.note else None]


def _unobserved(verdict: Verdict) -> Content:
    rows = summary.unobserved(verdict)
    return pairs((why, [(element("code", id), " ") for id in ids]) for why, ids in rows) if rows else None


def _notes(verdict: Verdict) -> Content:
    notes = verdict.coverage.notes
    return element("ul", [element("li", note) for note in notes]) if notes else None


def _run(verdict: Verdict) -> Html:
    took = summary.seconds(verdict)
    return pairs([
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
    ])  # fmt: skip
