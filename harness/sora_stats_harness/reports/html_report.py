"""
Renders report.html, the report to pass on: one HTML file without scripts or external resources.

Every status is stated in words; colour only repeats it. Headings and tables are real ones, for screen readers and
print; long tables are folded with <details>, which needs no script.
"""

from __future__ import annotations

import json

from ..judge.verdict import RequirementStatus, Verdict
from . import html_baseline as html_gate
from . import html_coverage, html_findings, incident_summary, summary
from . import html_elements as html
from .figure_cells import STRENGTH_NOTE, strength_text
from .headline import conformance_figures, headline_figures, leads_with_measurements
from .html_measurements import measurement_content
from .measurement_tables import measurement_sections
from .report import VerdictReport


def render_html(report: VerdictReport) -> str:
    """Write the page."""
    verdict = report.verdict
    body = [
        html.element("a", "Skip to the findings", class_="skip", href="#findings"),
        _head(verdict),
        *html.page_sections(_sections(report)),
    ]
    title = f"{verdict.verdict.upper()} {verdict.subject}"
    return html.document(title, html.page_style(), body)


def _sections(report: VerdictReport) -> list[html.PageSection]:
    """The sections: incidents and top findings, then the part that leads, then the rest; some are empty."""
    verdict = report.verdict
    measured = [
        html.PageSection(each.name, each.name.capitalize(), each.title, measurement_content(each, verdict))
        for each in measurement_sections(verdict)
    ]
    counts = f"Requirements: {summary.status_counts(verdict.requirements)}"
    rules = html.PageSection("requirements", "Requirements", counts, _requirements(verdict))
    details = html.PageSection(
        "details", "Findings in detail", "Findings in detail", html_findings.details_section(report)
    )
    parts = [*measured, rules, details] if leads_with_measurements(verdict) else [details, rules, *measured]
    drift = 0 if verdict.drift is None else len(verdict.drift.entries)
    earlier, seen = verdict.baseline, verdict.coverage
    since = "" if earlier is None else f"Since the earlier run: {earlier.new:,} new, {len(earlier.fixed):,} fixed"
    fields = f"Coverage: {seen.fields_seen:,} of {seen.fields_documented:,} documented fields seen"
    diagnosis = html.definition_list(verdict.diagnosis.items()) if verdict.diagnosis else None
    return [
        html.PageSection("diagnosis", "Diagnosis", "What is at the URL", diagnosis),
        html.PageSection(
            "incidents",
            f"Causes ({len(verdict.incidents)})",
            incident_summary.incidents_title(verdict),
            html_findings.incidents_section(report),
        ),
        html.PageSection(
            "findings",
            f"Findings ({len(verdict.findings)})",
            summary.findings_title(verdict),
            html_findings.findings_section(report),
        ),
        *parts,
        html.PageSection("baseline", "Baseline", since, html_gate.baseline_section(earlier)),
        html.PageSection(
            "waivers",
            f"Waivers ({len(verdict.waivers)})",
            f"Waivers ({len(verdict.waivers)})",
            html_gate.waivers_section(verdict.waivers),
        ),
        html.PageSection(
            "drift",
            f"Documentation ({drift})",
            f"Server and documentation: {summary.count_with_noun(drift, 'difference')}",
            html_gate.drift_section(verdict.drift, verdict),
        ),
        html.PageSection("coverage", "Coverage", fields, html_coverage.coverage_section(verdict)),
        html.PageSection("unobserved", "Not observed", "Not observed", _unobserved(verdict)),
        html.PageSection(
            "rules", "Every requirement", f"All {len(verdict.requirements)} requirements", _rules(verdict)
        ),
        html.PageSection("notes", "Notes", "Notes", _notes(verdict)),
        html.PageSection("run", "The run", "The run", _run(verdict)),
    ]


def _head(verdict: Verdict) -> html.SafeHtml:
    what = f"sora-harness {verdict.command}".strip()
    facts = [what, verdict.finished_at, *(f"{key}={value}" for key, value in verdict.labels.items())]
    return html.element(
        "header",
        html.element("p", summary.SELF_TEST_NOTE, class_="self-test") if summary.is_self_test(verdict) else None,
        html.element(
            "h1",
            html.status_badge(verdict.verdict, verdict.verdict),
            " ",
            html.element("span", verdict.subject, class_="subject"),
        ),
        html.element("p", summary.verdict_headline(verdict), class_="headline"),
        html.figure_tiles(headline_figures(verdict)),
        html.bullet_list(facts, class_="facts"),
        class_=f"verdict {verdict.verdict}",
    )


def _requirements(verdict: Verdict) -> list[html.HtmlContent]:
    """The matrix: a cell for each requirement, family by family, with a link to its row."""
    rows = [
        html.element(
            "div",
            html.element("h3", family.name, " ", _badge(family.worst)),
            html.element(
                "p",
                f"{summary.status_counts(family.members)}; checked {family.checked:,} times, "
                f"{summary.count_with_noun(family.violations, 'violation')}",
                class_="rest",
            ),
            html.bullet_list(map(_requirement_cell, family.members), class_="cells"),
            class_="family",
        )
        for family in summary.family_summaries(verdict)
    ]
    figures = html.figure_tiles(conformance_figures(verdict)) if leads_with_measurements(verdict) else None
    return [figures, html.element("div", rows, class_="matrix")]


def _badge(requirement: RequirementStatus) -> html.SafeHtml:
    return html.status_badge(summary.status_text(requirement), summary.status_style(requirement))


def _row_name(requirement: RequirementStatus) -> str:
    return f"rule-{requirement.id}"


def _requirement_cell(requirement: RequirementStatus) -> html.SafeHtml:
    style, status = summary.status_style(requirement), summary.status_text(requirement)
    counts = f"{requirement.violations:,} of {requirement.checked:,}" if requirement.violations else ""
    parts = [f"{requirement.level}, {status}", counts, summary.not_checked_reason(requirement)]
    return html.element(
        "a",
        html.element("span", html.STATUS_SIGNS[style], class_="sign", aria_hidden="true"),
        html.breakable_text(requirement.id.partition(".")[2]),
        html.element("span", f": {status}", class_="unseen"),
        class_=f"cell {style}",
        href=f"#{_row_name(requirement)}",
        title=f"{summary.requirement_title(requirement)} ({'; '.join(filter(None, parts))})",
    )


def _rules(verdict: Verdict) -> list[html.HtmlContent]:
    """The table of all requirements, with their status."""
    places: dict[str, int] = {}
    for place, entry in enumerate(verdict.findings, start=1):
        places.setdefault(entry.requirement, place)
    columns = ("Requirement", "Level", "Status", "Checked", "Excluded", "Violations", "What it says")
    rows = [_rule(each, places.get(each.id)) for each in verdict.requirements]
    return [
        html.element("p", STRENGTH_NOTE, class_="rest"),
        html.data_table("Every requirement", columns, rows, right=(3, 5)),
    ]


def _rule(requirement: RequirementStatus, place: int | None) -> html.SafeHtml:
    why = summary.not_checked_reason(requirement)
    return html.table_row(
        html.code_text(requirement.id),
        requirement.level,
        _badge(requirement),
        f"{requirement.checked:,}",
        strength_text(requirement),
        f"{requirement.violations:,}",
        [
            summary.requirement_title(requirement),
            f" ({why})" if why else None,
            None if place is None else [" ", html_findings.finding_link(place, "its first finding")],
        ],
        right=(3, 5),
        id=_row_name(requirement),
    )


def _unobserved(verdict: Verdict) -> html.HtmlContent:
    rows = summary.unobserved_requirements(verdict)
    return html.definition_list((why, [(html.code_text(id), " ") for id in ids]) for why, ids in rows) if rows else None


def _notes(verdict: Verdict) -> html.HtmlContent:
    notes = verdict.coverage.notes
    return html.bullet_list(notes) if notes else None


def _run(verdict: Verdict) -> html.SafeHtml:
    took = summary.run_duration_s(verdict)
    return html.definition_list(
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
