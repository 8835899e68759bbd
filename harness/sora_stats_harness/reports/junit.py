"""
JUnit XML, which every CI server draws: a test case for each requirement, and one for the verdict.

JUnit knows passed, failed, error and skipped, and a job that reads nothing else must not turn green on a run that saw
too little. So a case called `verdict` fails with the verdict, and is an error where it is unknown.

Names of cases are unique, and evidence is named as GitLab (and Jenkins with its plugin) look for attachments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree

from ..judge.verdict import FindingEntry, RequirementStatus, Verdict
from . import summary
from .escape import plain
from .report import Report

_SKIPPED: Final = ("unknown", "not_applicable", "known", "waived")
"""What is let pass is shown as skipped, which every CI server lists, and not as passed."""

MAX_FINDINGS: Final = 50
"""Of one requirement, in its case's text."""


def render(report: Report) -> str:
    """Write the document; every text in it is of characters that XML 1.0 allows."""
    verdict = report.verdict
    cases = [_case(row, report) for row in verdict.requirements] + [_verdict_case(verdict)]
    seconds = f"{summary.seconds(verdict) or 0.0:.3f}"
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
    }
    numbers = {name: str(count) for name, count in counts.items()}
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": plain(f"sora-harness {verdict.command}".strip()),
            **numbers,
            "time": seconds,
            "timestamp": plain(verdict.started_at),
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(verdict):
        ElementTree.SubElement(properties, "property", {"name": plain(name), "value": plain(value)})
    suite.extend(cases)
    if verdict.coverage.notes:
        ElementTree.SubElement(suite, "system-out").text = "\n".join(map(plain, verdict.coverage.notes))
    root = ElementTree.Element("testsuites", {"name": "sora-harness", **numbers, "time": seconds})
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
        ("strict", str(verdict.strict).lower()),
        ("interrupted", str(verdict.interrupted).lower()),
    )
    for key, value in verdict.labels.items():
        yield f"label.{key}", value
    for label, text in summary.waivers(verdict):
        yield f"waiver.{label.replace(' ', '_')}", text
    for label, text in summary.baseline(verdict):
        yield f"baseline.{label.replace(' ', '_')}", text
    for name, text in summary.coverage(verdict):
        yield f"coverage.{name.replace(' ', '_')}", text


def _case(row: RequirementStatus, report: Report) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", {"classname": plain(f"sora.{row.id.partition('.')[0]}"), "name": plain(row.id), "time": "0"}
    )
    entries = [entry for entry in report.verdict.findings if entry.requirement == row.id]
    told = "\n\n".join(_text(entry, report) for entry in entries[:MAX_FINDINGS])
    if len(entries) > MAX_FINDINGS:
        told += f"\n\n… and {len(entries) - MAX_FINDINGS} more findings, in verdict.json"
    title = summary.title(row.id)
    if row.status == "fail":
        failure = ElementTree.SubElement(
            case, "failure", {"type": row.level, "message": plain(entries[0].message if entries else title)}
        )
        failure.text = told
        attached = [f"[[ATTACHMENT|{path}]]" for entry in entries if (path := report.attachment(entry))]
        if attached:
            ElementTree.SubElement(case, "system-out").text = "\n".join(attached[:MAX_FINDINGS])
        return case
    if row.status in _SKIPPED:
        ElementTree.SubElement(case, "skipped", {"message": plain(_why(row, report.verdict))})
    out = [f"{row.level}: {title}", f"{row.status}, checked {row.checked:,} times", *([told] if told else [])]
    ElementTree.SubElement(case, "system-out").text = "\n".join(out)
    return case


def _why(row: RequirementStatus, verdict: Verdict) -> str:
    """Why a case is neither passed nor failed."""
    if row.status == "known":
        return "known from the baseline"
    if row.status == "waived":
        told = [summary.waiver(each) for each in verdict.waivers if each.requirement == row.id and each.state == "used"]
        return "; ".join(["waived", *told])
    return summary.reason(row)


def _text(entry: FindingEntry, report: Report) -> str:
    told = [f"{entry.status}: {entry.level} {plain(entry.message)}"]
    told += [f"{label}: {plain(text, summary.limit(label))}" for label, text in summary.facts(report, entry)]
    return "\n".join(told)


def _verdict_case(verdict: Verdict) -> ElementTree.Element:
    case = ElementTree.Element("testcase", {"classname": "sora", "name": "verdict", "time": "0"})
    text = f"{verdict.verdict}: {summary.headline(verdict)}"
    if summary.is_self_test(verdict):
        text = f"{summary.SELF_TEST} {text}"
    if verdict.verdict == "fail":
        ElementTree.SubElement(case, "failure", {"type": "fail", "message": plain(text)})
    elif verdict.verdict == "unknown":
        ElementTree.SubElement(case, "error", {"type": "unknown", "message": plain(text)})
    else:
        ElementTree.SubElement(case, "system-out").text = plain(text)
    return case
