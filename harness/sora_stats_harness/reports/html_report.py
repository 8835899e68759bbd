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

from ..judge.verdict import RequirementStatus, Verdict
from . import html_baseline as html_gate
from . import html_coverage, html_findings, incident_summary, summary
from .html_components import (
    STATUS_SIGNS,
    data_table,
    definition_list,
    folded_details,
    status_badge,
    table_row,
)
from .html_elements import HtmlContent, SafeHtml, html_document, html_element
from .html_measurements import measurement_content
from .measurement_tables import key_figures, measurement_sections
from .report import VerdictReport


def render_html(report: VerdictReport) -> str:
    """Write the page."""
    verdict = report.verdict
    figures = [
        (section.name, section.title, measurement_content(section, verdict))
        for section in measurement_sections(verdict)
    ]
    sections: list[tuple[str, str, HtmlContent]] = [
        ("glance", "At a glance", _figure_tiles(verdict)),
        ("incidents", incident_summary.incidents_title(verdict), html_findings.incidents_section(report)),
        ("findings", summary.findings_title(verdict), html_findings.findings_section(report)),
        ("baseline", _baseline_title(verdict), html_gate.baseline_section(verdict.baseline)),
        ("waivers", f"Waivers ({len(verdict.waivers)})", html_gate.waivers_section(verdict.waivers)),
        *figures,
        ("requirements", _requirements_title(verdict), _requirements(verdict)),
        ("drift", _drift_title(verdict), html_gate.drift_section(verdict.drift, verdict)),
        ("coverage", _coverage_title(verdict), html_coverage.coverage_section(verdict)),
        ("unobserved", "Not observed", _unobserved(verdict)),
        ("notes", "Notes", _notes(verdict)),
        ("run", "The run", _run(verdict)),
    ]
    shown = [section for section in sections if section[2]]
    links = [html_element("li", html_element("a", title, href=f"#{name}")) for name, title, _ in shown]
    body = [
        html_element("a", "Skip to the findings", class_="skip", href="#findings"),
        _head(verdict),
        html_element("nav", html_element("ul", links), aria_label="Sections"),
        html_element(
            "main",
            [
                html_element("section", html_element("h2", title, id=name), content, aria_labelledby=name)
                for name, title, content in shown
            ],
        ),
    ]
    title = f"{verdict.verdict.upper()} {verdict.subject}"
    return html_document(title, _style(), body)


@cache
def _style() -> str:
    return (resources.files(__package__) / "report.css").read_text(encoding="utf-8")


def _head(verdict: Verdict) -> SafeHtml:
    what = f"sora-harness {verdict.command}".strip()
    facts = [what, verdict.finished_at, *(f"{key}={value}" for key, value in verdict.labels.items())]
    return html_element(
        "header",
        html_element("p", summary.SELF_TEST_NOTE, class_="self-test") if summary.is_self_test(verdict) else None,
        html_element(
            "h1",
            status_badge(verdict.verdict, verdict.verdict),
            " ",
            html_element("span", verdict.subject, class_="subject"),
        ),
        html_element("p", summary.verdict_headline(verdict), class_="headline"),
        html_element("ul", [html_element("li", fact) for fact in facts], class_="facts"),
        class_=f"verdict {verdict.verdict}",
    )


def _baseline_title(verdict: Verdict) -> str:
    report = verdict.baseline
    return "" if report is None else f"Since the earlier run: {report.new:,} new, {len(report.fixed):,} fixed"


def _requirements_title(verdict: Verdict) -> str:
    counts = Counter(summary.status_text(row) for row in verdict.requirements)
    return "Requirements: " + ", ".join(f"{counts[text]} {text}" for text in summary.STATUS_ORDER if counts[text])


def _drift_title(verdict: Verdict) -> str:
    count = 0 if verdict.drift is None else len(verdict.drift.entries)
    return f"Server and documentation: {summary.count_with_noun(count, 'difference')}"


def _coverage_title(verdict: Verdict) -> str:
    return (
        f"Coverage: {verdict.coverage.fields_seen:,} of {verdict.coverage.fields_documented:,} documented fields seen"
    )


def _figure_tiles(verdict: Verdict) -> SafeHtml:
    """The few numbers that a reader wants first."""
    tiles = [
        html_element("li", html_element("strong", number), " ", html_element("span", text))
        for number, text in [*key_figures(verdict), *_figure_list(verdict)]
    ]
    return html_element("ul", tiles, class_="tiles")


def _figure_list(verdict: Verdict) -> list[tuple[str, str]]:
    seen = verdict.coverage
    observed = [each for each in verdict.requirements if each.status not in ("not_checked", "not_applicable")]
    counting = Counter(entry.level for entry in verdict.findings if entry.status == "new")
    excused = Counter(entry.status for entry in verdict.findings)
    new = "new " if verdict.baseline else ""
    return [
        (f"{len(observed)} of {len(verdict.requirements)}", "requirements observed"),
        (f"{counting['MUST']:,}", f"{new}MUST findings"),
        (f"{counting['PROVEN']:,}", f"{new}PROVEN findings"),
        (f"{counting['HABIT']:,}", f"{new}HABIT findings"),
        *((f"{excused[name]:,}", f"{name} findings") for name in ("known", "waived") if excused[name]),
        (f"{seen.exchanges - seen.errors:,}", "responses judged"),
        (f"{seen.connections:,}", "connections seen"),
        (f"{seen.fields_seen:,} of {seen.fields_documented:,}", "documented fields seen"),
        (f"{seen.counters_grew:,}", "counters that grew"),
    ]


def _requirements(verdict: Verdict) -> list[HtmlContent]:
    """The matrix: each requirement as one cell, family by family; and a table with their texts."""
    rows = [
        html_element(
            "div",
            html_element("h3", family.name, " ", _badge(family.worst)),
            html_element(
                "p",
                f"{family.status_counts()}; checked {family.checked:,} times, {family.violations:,} violations",
                class_="rest",
            ),
            html_element(
                "ul",
                [_requirement_cell(each) for each in verdict.requirements if _family(each) == family.name],
                class_="cells",
            ),
            class_="family",
        )
        for family in summary.family_summaries(verdict)
    ]
    every = [_requirement(each) for each in verdict.requirements]
    columns = ("Requirement", "Level", "Status", "Checked", "Violations", "What it says")
    return [
        html_element("div", rows, class_="matrix"),
        folded_details(f"All {len(every)} requirements", data_table("Every requirement", columns, every, right=(3, 4))),
    ]


def _family(requirement: RequirementStatus) -> str:
    return requirement.id.partition(".")[0]


def _badge(requirement: RequirementStatus) -> SafeHtml:
    return status_badge(summary.status_text(requirement), summary.status_style(requirement))


def _requirement_cell(requirement: RequirementStatus) -> SafeHtml:
    return html_element(
        "li",
        html_element("span", STATUS_SIGNS[summary.status_style(requirement)], class_="sign", aria_hidden="true"),
        requirement.id.partition(".")[2],
        html_element("span", f": {summary.status_text(requirement)}", class_="unseen"),
        class_=f"cell {summary.status_style(requirement)}",
    )


def _requirement(requirement: RequirementStatus) -> SafeHtml:
    why = summary.not_checked_reason(requirement)
    return table_row(
        html_element("code", requirement.id),
        requirement.level,
        _badge(requirement),
        f"{requirement.checked:,}",
        f"{requirement.violations:,}",
        [summary.requirement_title(requirement), f" ({why})" if why else None],
        right=(3, 4),
    )


def _unobserved(verdict: Verdict) -> HtmlContent:
    rows = summary.unobserved_requirements(verdict)
    return (
        definition_list((why, [(html_element("code", id), " ") for id in ids]) for why, ids in rows) if rows else None
    )


def _notes(verdict: Verdict) -> HtmlContent:
    notes = verdict.coverage.notes
    return html_element("ul", [html_element("li", note) for note in notes]) if notes else None


def _run(verdict: Verdict) -> SafeHtml:
    took = summary.run_duration_s(verdict)
    return definition_list(
        [
            ("command", f"sora-harness {verdict.command}".strip()),
            ("subject", f"{verdict.subject} ({verdict.subject_kind})"),
            ("judged from", verdict.judged_from),
            ("edition", verdict.edition),
            ("fails on", summary.fail_on_text(verdict)),
            ("interrupted", "yes" if verdict.interrupted else "no"),
            ("started", verdict.started_at),
            ("finished", verdict.finished_at + (f" ({took:,.1f} s)" if took is not None else "")),
            ("harness version", verdict.harness_version),
            ("exit code", str(verdict.exit_code)),
            *((f"label {key}", value) for key, value in verdict.labels.items()),
            *((f"option {key}", json.dumps(value, ensure_ascii=False)) for key, value in verdict.options.items()),
        ]
    )
