"""SLOs of a load run in every report."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from sora_stats_harness.judge.measured_results import LoadResult, SloResult
from sora_stats_harness.reports.html_report import render_html
from sora_stats_harness.reports.junit import render_junit
from sora_stats_harness.reports.markdown import render_markdown_summary
from sora_stats_harness.reports.report import VerdictReport
from sora_stats_harness.reports.terminal import render_terminal

from .verdicts import passing

SLOS = [
    SloResult(slo="p99<50ms", target=None, status="violated", actual="87.25 ms", requests=1234),
    SloResult(slo="p50<50ms", target=None, status="met", actual="12.5 ms", requests=1234),
    SloResult(
        slo="errors<0.1%", target=None, status="not_checked", actual="0%", requests=40, reason="40 requests are too few"
    ),
]


def report() -> VerdictReport:
    """A load run with one SLO of each status."""
    made = passing()
    made.verdict.load = LoadResult(
        scenario="mixed",
        model="open",
        planned_per_s=1.0,
        offered_per_s=1.0,
        lasted_s=1.0,
        sent=1,
        judged=1,
        errors=0,
        abandoned=0,
        bytes_sent=1,
        bytes_received=1,
        slos=SLOS,
    )
    return made


@pytest.mark.parametrize("render", [render_terminal, render_markdown_summary, render_html])
def test_each_slo_has_a_row_with_what_became_of_it(render: Callable[[VerdictReport], str]) -> None:
    """The figure, and why it was not checked."""
    text = render(report())
    for said in ("violated", "87.25 ms", "12.5 ms", "not checked", "40 requests are too few"):
        assert said in text


def test_each_slo_is_a_test_case_in_junit() -> None:
    """Failed, passed and skipped."""
    suite = ElementTree.fromstring(render_junit(report()).encode())  # our own
    cases = {case.get("name"): case for case in suite.iter("testcase") if case.get("classname") == "sora.slo"}
    assert set(cases) == {"p99<50ms", "p50<50ms", "errors<0.1%"}
    failure, skipped = cases["p99<50ms"].find("failure"), cases["errors<0.1%"].find("skipped")
    assert failure is not None and failure.get("message") == "p99<50ms is violated: 87.25 ms of 1,234 requests"
    assert skipped is not None and skipped.get("message") == "40 requests are too few"
    assert cases["p50<50ms"].find("failure") is None


def test_an_aborted_run_says_so_where_a_finding_decides() -> None:
    """In the headline of every report."""
    made = passing()
    made.verdict.verdict, made.verdict.reason, made.verdict.aborted = "fail", "x is violated", "aborted at errors>5%"
    assert "x is violated (aborted at errors>5%" in render_terminal(made).replace("\n", " ")
