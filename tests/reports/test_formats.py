"""Each format on five kinds of run, and on hostile strings."""

from __future__ import annotations

import html.parser
import re
import unicodedata
from functools import cache
from typing import Final
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sora_stats_harness.api import edition
from sora_stats_harness.judge.verdict import FindingEntry
from sora_stats_harness.reports import summary, terminal
from sora_stats_harness.reports.figure_cells import NO_FIGURE
from sora_stats_harness.reports.report_formats import REPORT_FORMATS, report_renderer

from ..examples import some_of
from . import golden, verdicts

HOSTILE_TEXTS = st.one_of(
    st.sampled_from(verdicts.HOSTILE),
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=40),
    st.text(st.sampled_from("<>&'\"`|\\*_[]()!#@:=+-\n\r\t\x00\x1b\x9b\u202e\ufffe\ud800 a"), min_size=1, max_size=40),
)


class Page(html.parser.HTMLParser):
    """Collects what a browser would see of a page, and whether its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "wbr":  # where a word may be broken
            return
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag not in {"meta", "link", "br", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(("kind", "form"), golden.CASES)
def test_reports_look_as_they_are_meant_to(kind: str, form: str) -> None:
    """A change of a report shows in a golden file (`python -m tests.reporters.golden` writes them again)."""
    assert golden.report(kind, form) == golden.path(kind, form).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", verdicts.KINDS)
def test_html_is_one_quiet_file(kind: str) -> None:
    """Balanced tags, no script, nothing that is fetched, no handler; headings begin with one h1."""
    text = report_renderer("html")(verdicts.KINDS[kind]())
    page = Page(text)
    assert not page.open
    assert page.tags.count("h1") == 1
    assert not {"script", "iframe", "img", "link", "object", "form"} & set(page.tags)
    assert not [key for key, _ in page.attributes if key.startswith("on") or key in {"src", "srcset", "action"}]
    assert all(value is not None and value.startswith("#") for key, value in page.attributes if key == "href")
    assert len(page.ids) == len(set(page.ids))
    assert {value[1:] for key, value in page.attributes if key == "href" and value} <= set(page.ids)
    assert "url(" not in text
    assert "@import" not in text
    assert len(text) < 200_000


@pytest.mark.parametrize("form", REPORT_FORMATS)
def test_a_self_test_says_so(form: str) -> None:
    """No report on the simulator's responses can be taken for one on a Sora."""
    reports = {kind: report_renderer(form)(make()) for kind, make in verdicts.KINDS.items()}
    assert "SELF-TEST" in reports["passing"]
    assert "SELF-TEST" not in reports["failing"]


@pytest.mark.parametrize("form", REPORT_FORMATS)
def test_a_finding_is_told_whole(form: str) -> None:
    """Where, expected, actual, on which connection, how often, the evidence and the command line."""
    text = report_renderer(form)(verdicts.failing()).replace("<wbr>", "")
    for part in (
        "counter.monotonic",
        "/1/rtp/total_received_rtp",
        verdicts.CONNECTION_ID,
        "at least 1,017",
        "1,016",
        "3 times on 2 connections",
        "Age: 3",
        "evidence/001-counter.monotonic.jsonl",
        "curl -gsSi",
    ):
        assert part in text, part


def test_html_lays_the_two_responses_side_by_side() -> None:
    """The field that fell comes first and is marked; leaves that are equal are only counted."""
    text = report_renderer("html")(verdicts.failing()).replace("<wbr>", "")
    row = re.search(r'<tr class="culprit differs">.*?</tr>', text)
    assert row is not None
    assert "/rtp/total_received_rtp<" in row[0]
    assert "falls" in row[0]
    assert row[0].index("1017") < row[0].index("<mark>1016</mark>")
    assert "5 fields are the same in all responses" in text
    assert "total_sent_rtp<" not in text[row.start() : text.index("</table>", row.start())]


@pytest.mark.parametrize(
    ("kind", "verdict_child", "requirement", "child"),
    [
        ("passing", None, "counter.monotonic", None),
        ("failing", "failure", "counter.monotonic", "failure"),
        ("failing", "failure", "shape.unknown", None),
        ("inconclusive", "error", "counter.monotonic", "skipped"),
        ("waived", None, "counter.monotonic", "skipped"),
        ("interrupted", "error", "cluster.union", "skipped"),
    ],
)
def test_junit_cases(kind: str, verdict_child: str | None, requirement: str, child: str | None) -> None:
    """A CI server that reads nothing but this turns red on fail and on inconclusive; a warning stays a pass."""
    root = ElementTree.fromstring(report_renderer("junit")(verdicts.KINDS[kind]()))
    cases = {case.get("name"): case for case in root.iter("testcase")}
    for name, expected in (("verdict", verdict_child), (requirement, child)):
        found = [below.tag for below in cases[name] if below.tag != "system-out"]
        assert found == ([expected] if expected else [])
    suite = root.find("testsuite")
    assert suite is not None
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(attribute) == root.get(attribute) == str(len(list(root.iter(tag))))


def test_colour_changes_nothing_but_colour() -> None:
    """Without the escape sequences the coloured summary is the plain one."""
    report = verdicts.failing()
    coloured = terminal.render_terminal(report, colour=True)
    assert "\x1b[1;31mcounter.monotonic\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == terminal.render_terminal(report)


WORD = re.compile(r"\S+")


@pytest.mark.parametrize("kind", verdicts.PAGES)
@pytest.mark.parametrize("width", [40, 80, 110, 200])
def test_no_word_is_broken_at_any_width(kind: str, width: int) -> None:
    """
    Only a line without a blank to break at is longer than the terminal, and command lines, which are to be copied.

    Nothing is lost on a narrow terminal, but for columns of figures that may be left out.
    """
    report = verdicts.PAGES[kind]()
    shown = terminal.render_terminal(report, width=width)
    words, wide = set(WORD.findall(shown)), set(WORD.findall(terminal.render_terminal(report, width=1000)))
    assert words <= wide
    assert words == wide or kind in ("loaded", "sized", "polled")
    for line in shown.splitlines():
        assert len(line) <= width or "reproduce" in line or " " not in line.strip() or width == 40, line


TARGETS: Final = ("GetStatsConnection", "GetStatsClient")
"""Of one target alone they would be an incident."""


def test_long_lists_of_findings_are_cut_and_counted() -> None:
    """A server that is wrong in a thousand ways still gives a report that can be opened."""
    entries = [
        verdicts.entry("shape.unknown", level="INFO", field=f"/f{i}", fingerprint=f"{i:016x}", target=TARGETS[i % 2])
        for i in range(1000)
    ]
    report = verdicts.build(verdicts.Counted(entries))
    texts = {form: report_renderer(form)(report) for form in REPORT_FORMATS}
    assert "shape.unknown  995 more, from number 6: " in texts["text"]
    assert "and 950 more" in texts["markdown"]
    assert "and 800 more" in texts["html"]
    assert "and 950 more" in texts["junit"]
    assert all(len(text) < 1_000_000 for text in texts.values())


def test_no_finding_hides_behind_many_of_another_kind() -> None:
    """They are folded below their cause; and every one has its evidence."""
    many = [
        verdicts.entry("shape.required", field=f"/f{i}", fingerprint=f"{i:016x}", target=TARGETS[i % 2])
        for i in range(300)
    ]
    last = verdicts.entry("counter.monotonic", fingerprint="f" * 16)
    kept = {entry.fingerprint: verdicts.EARLIER_AND_LATER for entry in (*many, last)}
    report = verdicts.build(verdicts.Counted([*many, last], evidence=kept))
    assert report.verdict.findings[-1].evidence == ["evidence/301-counter.monotonic.jsonl"]
    assert sum(bool(entry.evidence) for entry in report.verdict.findings) == 301
    text = report_renderer("text")(report)
    assert "301. counter.monotonic" in text
    assert "explains     300 findings: 300 shape.required (MUST)" in text


FIELDS: Final = {field.dotted for field in edition.load_edition().fields} | {
    group.name for group in edition.load_edition().root.groups
}


@cache
def harmless_page() -> Page:
    """What the page is made of where all strings are harmless."""
    return Page(report_renderer("html")(verdicts.hostile("harmless")))


@settings(max_examples=some_of(60))
@given(HOSTILE_TEXTS)
def test_hostile_strings_do_nothing_anywhere(text: str) -> None:
    """One report, every format: the terminal gets no control, XML parses, HTML has no tag, Markdown no mention."""
    assume(text not in FIELDS)  # a field's name is shown as one
    assume(text != NO_FIGURE)  # a column of nothing else is left out
    report = verdicts.hostile(text)
    shown = {form: report_renderer(form)(report) for form in REPORT_FORMATS}
    for form, rendered in shown.items():
        rendered.encode("utf-8")
        bad = {char for char in rendered if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} - {"\n"}
        assert not bad, (form, bad)
    root = ElementTree.fromstring(shown["junit"])
    assert {element.tag for element in root.iter()} <= {
        "testsuites",
        "testsuite",
        "properties",
        "property",
        "testcase",
        "failure",
        "skipped",
        "system-out",
        "error",
    }
    page, known = Page(shown["html"]), harmless_page()
    assert not page.open
    assert page.tags == known.tags
    assert [key for key, _ in page.attributes] == [key for key, _ in known.attributes]
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", shown["markdown"])
    assert "<" not in outside
    assert "@" not in outside
    assert "](" not in outside


@given(st.lists(st.sampled_from(["expected", "actual", "message"]), unique=True))
def test_facts_without_text_are_left_out(empty: list[str]) -> None:
    """An entry that knows less is shown with fewer rows, not with empty ones."""
    entry: FindingEntry = verdicts.entry("counter.monotonic", connection_id=None, **dict.fromkeys(empty, ""))
    labels = [label for label, _ in summary.finding_facts(verdicts.passing(), entry)]
    assert not {"connection", "evidence", "reproduce", *empty} & set(labels)
    assert {"where", "seen"} <= set(labels)
