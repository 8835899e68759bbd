"""Each format is what others take it for: JSON by its schema, JUnit by an XSD, Markdown by a parser, on all kinds of run."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from markdown_it import MarkdownIt

from sora_stats_harness.judge.verdict import decode_verdict
from sora_stats_harness.reports import markdown, report_schemas
from sora_stats_harness.reports import report_folder as files
from sora_stats_harness.reports.report import VerdictReport
from sora_stats_harness.reports.report_formats import report_renderer

from . import verdicts

XSD = Path(__file__).parent.parent / "data" / "junit.xsd"


@cache
def junit_schema() -> xmlschema.XMLSchema:
    """Built once; that takes as long as all that is held against it."""
    return xmlschema.XMLSchema(XSD)


def junit(report: VerdictReport) -> ElementTree.Element:
    """The document, parsed."""
    return ElementTree.fromstring(report_renderer("junit")(report))


@pytest.mark.parametrize("kind", verdicts.PAGES)
def test_verdict_json_is_valid(kind: str) -> None:
    """Against the published schema, and it comes back as it was."""
    report = verdicts.PAGES[kind]()
    text = files.verdict_to_json(report.verdict)
    jsonschema.Draft202012Validator(report_schemas.verdict_schema()).validate(json.loads(text))
    assert decode_verdict(text.encode("ascii"), "it") == report.verdict


@pytest.mark.parametrize("kind", verdicts.PAGES)
def test_junit_xml_is_valid(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against our XSD, as the run writes it, and its counts are those of its elements."""
    monkeypatch.chdir(tmp_path)
    files.write_reports(verdicts.PAGES[kind](), tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    junit_schema().validate(root)
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(root.attrib[attribute]) == len(list(root.iter(tag)))


@pytest.mark.parametrize("text", verdicts.HOSTILE)
def test_junit_xml_of_hostile_strings_is_valid(text: str) -> None:
    """No id of a connection makes it anything else."""
    junit_schema().validate(junit(verdicts.hostile(text)))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (".", {"tests": None}),
        ("testsuite", {"time": "-1"}),
        ("testsuite/testcase", {"name": ""}),
        ("testsuite/testcase", {"id": "1"}),
        ("testsuite/testcase", {"name": "http.json", "classname": "sora.http"}),
        ("testsuite/testcase/failure", {"message": None}),
    ],
)
def test_the_xsd_refuses_what_is_no_junit(path: str, change: dict[str, str | None]) -> None:
    """Missing counts, negative times, cases without a name or with that of another, attributes nobody knows."""
    root = junit(verdicts.failing())
    junit_schema().validate(root)
    element = root.find(path)
    assert element is not None
    for name, value in change.items():
        if value is None:
            del element.attrib[name]
        else:
            element.set(name, value)
    assert not junit_schema().is_valid(root)


def test_evidence_is_attached_as_gitlab_looks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed case names its file from the top of the checkout; outside of that, and on a report to stdout, none."""
    top = tmp_path / "checkout"
    monkeypatch.setenv("CI_PROJECT_DIR", str(top))
    files.write_reports(verdicts.failing(), top / "reports" / "gate")
    text = (top / "reports" / "gate" / "junit.xml").read_text(encoding="utf-8")
    name = "reports/gate/evidence/001-counter.monotonic.jsonl"
    assert f"<system-out>[[ATTACHMENT|{name}]]</system-out>" in text
    assert (top / name).is_file()
    assert report_renderer("junit")(files.read_report(top / "reports" / "gate" / "verdict.json")) == text
    files.write_reports(verdicts.failing(), tmp_path / "elsewhere")
    files.write_reports(verdicts.failing(), top / "a]b")
    for folder in (tmp_path / "elsewhere", top / "a]b"):
        assert "ATTACHMENT" not in (folder / "junit.xml").read_text(encoding="utf-8")


def tokens(text: str) -> list[Any]:  # Any: markdown-it's tokens
    """What a parser makes of Markdown with tables, inline parts included."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    return [token for block in parsed for token in (block, *(block.children or []))]


@pytest.mark.parametrize("kind", verdicts.PAGES)
def test_summary_md_parses_to_what_it_means(kind: str) -> None:
    """One heading of the second level, then sections; tables with as many cells in each row; no markup beside ours."""
    report = verdicts.PAGES[kind]()
    parsed = tokens(markdown.render_markdown_summary(report))
    heads = [token.tag for token in parsed if token.type == "heading_open"]
    assert heads[0] == "h2" and set(heads[1:]) == {"h3"}
    assert not {token.type for token in parsed} & {
        "html_inline",
        "html_block",
        "link_open",
        "image",
        "fence",
        "code_block",
    }
    widths: list[int] = []
    for token in parsed:
        if token.type == "tr_open":
            widths.append(0)
        elif token.type in ("th_open", "td_open"):
            widths[-1] += 1
        elif token.type == "table_close":
            assert len(set(widths)) == 1 and widths[0] > 1
            widths = []
    listed = [token for token in parsed if token.type == "ordered_list_open"]
    assert bool(listed) == bool(report.verdict.findings)


@pytest.mark.parametrize("text", verdicts.HOSTILE)
def test_summary_md_of_hostile_strings_has_no_markup_of_theirs(text: str) -> None:
    """Neither tags nor links nor images, whatever a channel is called."""
    parsed = tokens(markdown.render_markdown_summary(verdicts.hostile(text)))
    assert not {token.type for token in parsed} & {"html_inline", "html_block", "link_open", "image"}
