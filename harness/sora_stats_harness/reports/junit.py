"""
Renders JUnit XML, which every CI server displays: a test case for each requirement and each SLO, and one for the
verdict.

JUnit has the outcomes passed, failed, error and skipped, and a job that reads only this must not become green after a
run that saw too little. So a case called `verdict` fails with the verdict, and is an error if it is inconclusive.

Names of cases are unique. Evidence is attached as GitLab, and Jenkins with its plugin, expect it. Figures are
properties.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from xml.etree import ElementTree

from ..judge.measured_results import SloResult
from ..judge.verdict import FindingEntry, RequirementStatus, Verdict
from . import incident_summary, summary
from .escaping import escape_terminal
from .figure_cells import MeasurementTable
from .measurement_tables import measurement_sections
from .report import VerdictReport

_SKIPPED_STATUSES: Final = ("not_checked", "not_applicable", "known", "waived")
"""Statuses of findings that don't fail; they are shown as skipped, which every CI server lists, not as passed."""

MAX_FINDINGS: Final = 50
"""How many findings of one requirement its case shows."""


def render_junit(report: VerdictReport) -> str:
    """Render the document; every text in it has only characters that XML 1.0 allows."""
    verdict = report.verdict
    slos = [] if verdict.load is None else [_slo_case(each) for each in verdict.load.slos]
    cases = [*(_requirement_case(row, report) for row in verdict.requirements), *slos, _verdict_case(verdict)]
    seconds = f"{summary.run_duration_s(verdict) or 0.0:.3f}"
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    numbers = {name: f"{sum(case.find(kind) is not None for case in cases)}" for name, kind in kinds.items()}
    counts = {"tests": f"{len(cases)}", **numbers, "time": seconds}
    name = escape_terminal(f"sora-harness {verdict.command}".strip())
    suite = ElementTree.Element("testsuite", {"name": name, **counts, "timestamp": escape_terminal(verdict.started_at)})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(verdict):
        ElementTree.SubElement(properties, "property", {"name": escape_terminal(name), "value": escape_terminal(value)})
    suite.extend(cases)
    if verdict.coverage.notes:
        ElementTree.SubElement(suite, "system-out").text = "\n".join(map(escape_terminal, verdict.coverage.notes))
    root = ElementTree.Element("testsuites", {"name": "sora-harness", **counts})
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _properties(verdict: Verdict) -> Iterable[tuple[str, str]]:
    yield from (
        ("verdict", verdict.verdict),
        ("subject", verdict.subject),
        ("subject_kind", verdict.subject_kind),
        ("judged_from", verdict.judged_from),
        ("edition", verdict.edition),
        ("harness_version", verdict.harness_version),
        ("fail_on", verdict.fail_on),
        ("interrupted", str(verdict.interrupted).lower()),
    )
    for number, incident in enumerate(incident_summary.incidents_by_weight(verdict), start=1):
        yield f"incident.{number}.{incident.id}", incident.summary
        for label, text in incident_summary.incident_facts(verdict, incident):
            yield f"incident.{number}.{incident.id}.{label}", text
    for key, value in verdict.labels.items():
        yield f"label.{key}", value
    labelled = {"waiver": summary.waiver_lines, "baseline": summary.baseline_lines, "coverage": summary.coverage_lines}
    for part, lines in labelled.items():
        yield from ((f"{part}.{label.replace(' ', '_')}", text) for label, text in lines(verdict))
    for section in measurement_sections(verdict):
        for table in section.tables:
            yield from _table_properties(table)


def _table_properties(table: MeasurementTable) -> Iterator[tuple[str, str]]:
    """Each cell, named after its row and column; long tables are only in report.html."""
    for row in table.rows if not table.folded else ():
        key = ".".join(row[: table.keys])
        for column, text in list(zip(table.columns, row, strict=True))[table.keys :]:
            yield f"{table.name}.{key}.{column}".replace(" ", "_"), text


def _requirement_case(row: RequirementStatus, report: VerdictReport) -> ElementTree.Element:
    case = _case(f"sora.{row.id.partition('.')[0]}", row.id)
    entries = [entry for entry in report.verdict.findings if entry.requirement == row.id]
    parts = "\n\n".join(_text(entry, report) for entry in entries[:MAX_FINDINGS])
    if len(entries) > MAX_FINDINGS:
        parts += f"\n\n… and {len(entries) - MAX_FINDINGS} more findings, in verdict.json"
    title = summary.requirement_title(row)
    if row.fails:
        message = escape_terminal(entries[0].message if entries else title)
        ElementTree.SubElement(case, "failure", {"type": row.level, "message": message}).text = parts
        attached = [f"[[ATTACHMENT|{path}]]" for entry in entries if (path := report.evidence_path(entry))]
        if attached:
            ElementTree.SubElement(case, "system-out").text = "\n".join(attached[:MAX_FINDINGS])
        return case
    if row.status in _SKIPPED_STATUSES:
        ElementTree.SubElement(case, "skipped", {"message": escape_terminal(_skip_reason(row, report.verdict))})
    out = [
        f"{row.level}: {title}",
        summary.status_text(row) + (f", checked {row.checked:,} times" if row.checked else ""),
        *([parts] if parts else []),
    ]
    ElementTree.SubElement(case, "system-out").text = "\n".join(out)
    return case


def _skip_reason(row: RequirementStatus, verdict: Verdict) -> str:
    """Why a case is skipped."""
    if row.status == "known":
        return "known from the baseline"
    if row.status == "waived":
        parts = [
            summary.waiver_line(each) for each in verdict.waivers if each.requirement == row.id and each.state == "used"
        ]
        return "; ".join(["waived", *parts])
    return summary.not_checked_reason(row)


def _text(entry: FindingEntry, report: VerdictReport) -> str:
    parts = [f"{entry.status}: {entry.level} {escape_terminal(entry.message)}"]
    parts += [
        f"{label}: {escape_terminal(text, summary.fact_limit(label))}"
        for label, text in summary.finding_facts(report, entry)
    ]
    return "\n".join(parts)


def _slo_case(result: SloResult) -> ElementTree.Element:
    case = _case("sora.slo", result.slo)
    text = escape_terminal(f"{result.actual} of {result.requests:,} requests")
    if result.status == "violated":
        ElementTree.SubElement(case, "failure", {"type": "SLO", "message": f"{case.get('name')} is violated: {text}"})
    elif result.status == "not_checked":
        ElementTree.SubElement(case, "skipped", {"message": escape_terminal(result.reason or "")})
    else:
        ElementTree.SubElement(case, "system-out").text = text
    return case


def _verdict_case(verdict: Verdict) -> ElementTree.Element:
    case = _case("sora", "verdict")
    text = f"{verdict.verdict}: {summary.verdict_headline(verdict)}"
    text = escape_terminal(f"{summary.SELF_TEST_NOTE} {text}" if summary.is_self_test(verdict) else text)
    if verdict.verdict == "pass":
        ElementTree.SubElement(case, "system-out").text = text
    else:
        kind = "failure" if verdict.verdict == "fail" else "error"
        ElementTree.SubElement(case, kind, {"type": verdict.verdict, "message": text})
    return case


def _case(classname: str, name: str) -> ElementTree.Element:
    attributes = {"classname": escape_terminal(classname), "name": escape_terminal(name), "time": "0"}
    return ElementTree.Element("testcase", attributes)
