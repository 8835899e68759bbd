"""The figures: one value each, the same cell in every format; sums over targets, and percentiles that a count carries."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree import ElementTree

import msgspec
import pytest

from sora_stats_harness.judge.measured_results import ALL_TARGETS, CapacityResult, CapacityStepResult, SloResult
from sora_stats_harness.load.histogram import Histogram
from sora_stats_harness.load.request_metrics import FAILED_WAIT, TIME_KINDS, RequestMetrics
from sora_stats_harness.load.run_measurements import summarize_latencies, summarize_step_latencies
from sora_stats_harness.reports.figure_cells import MeasurementTable, percentile_ms
from sora_stats_harness.reports.github_actions import verdict_annotations
from sora_stats_harness.reports.headline import headline_figures
from sora_stats_harness.reports.measurement_tables import measurement_sections
from sora_stats_harness.reports.report import VerdictReport
from sora_stats_harness.reports.report_formats import report_renderer
from sora_stats_harness.reports.terminal import render_terminal

from . import verdicts

MEASURED = ("loaded", "sized", "polled")


def tables(report: VerdictReport) -> Iterator[MeasurementTable]:
    """All tables of a report."""
    for section in measurement_sections(report.verdict):
        yield from section.tables


def html_tables(text: str) -> dict[str, list[list[str]]]:
    """The rows of each table of a page, heads included, by caption."""
    found = {}
    for source in re.findall(r"<table>.*?</table>", text.replace("<wbr>", ""), re.DOTALL):
        table = ElementTree.fromstring(source)
        rows = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
        found[table.findtext("caption") or ""] = rows
    return found


def markdown_tables(text: str) -> list[list[str]]:
    """The rows of all tables."""
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return [[html.unescape(cell) for cell in line.removeprefix("| ").removesuffix(" |").split(" | ")] for line in rows]


def whole_rows(table: MeasurementTable) -> Iterable[list[str]]:
    """Heads and rows."""
    return [list(row) for row in (table.columns, *table.rows)]


@pytest.mark.parametrize("kind", MEASURED)
def test_every_cell_is_the_same_in_every_format(kind: str) -> None:
    """HTML, Markdown, a wide terminal and JUnit hold each cell as the table has it; the page alone has what is long."""
    report = verdicts.PAGES[kind]()
    page = html_tables(report_renderer("html")(report))
    markdown = markdown_tables(report_renderer("markdown")(report))
    terminal = [re.split(r"\s{2,}", line.strip()) for line in render_terminal(report, width=400).splitlines()]
    root = ElementTree.fromstring(report_renderer("junit")(report))
    properties = {each.get("name"): each.get("value") for each in root.iter("property")}
    checked = 0
    for table in tables(report):
        assert page[table.title] == whole_rows(table)
        if table.folded:
            continue
        for row in whole_rows(table):
            assert row in markdown
            assert [cell for cell in row if cell] in terminal
        for cells in table.rows:
            for column, cell in list(zip(table.columns, cells, strict=True))[table.keys :]:
                name = ".".join((table.name, *cells[: table.keys], column)).replace(" ", "_")
                assert properties[name] == cell
                checked += 1
    assert checked > 10


@pytest.mark.parametrize("kind", MEASURED)
@pytest.mark.parametrize("width", [60, 80, 110])
def test_a_narrow_terminal_leaves_columns_out_and_changes_no_cell(kind: str, width: int) -> None:
    """Each word of a narrow table stands in the wide one."""
    report = verdicts.PAGES[kind]()
    wide = set(render_terminal(report, width=400).split())
    assert set(render_terminal(report, width=width).split()) <= wide


def test_what_a_run_is_read_for_leads_every_format() -> None:
    """Rate, errors and percentiles of a load run; interval and SLO of a capacity run; in an annotation, too."""
    for kind, wanted in (("loaded", ("119.4/s", "15.65 ms")), ("sized", ("300/s", "340/s", "p99 < 50 ms"))):
        report = verdicts.PAGES[kind]()
        assert {figure.number for figure in headline_figures(report.verdict)} >= set(wanted)
        texts = [
            html.unescape(report_renderer("html")(report).partition('id="findings"')[0]),
            html.unescape(report_renderer("markdown")(report).partition("###")[0]),
            "\n".join(render_terminal(report, width=400).splitlines()[:6]),
            verdict_annotations(report.verdict).splitlines()[0],
        ]
        for text in texts:
            assert all(number in text for number in wanted)


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [("loaded", "Load:", "identity"), ("sized", "Capacity:", "identity"), ("checked", "identity", "Load:")],
)
def test_what_a_run_is_not_read_for_stands_below(kind: str, first: str, second: str) -> None:
    """A load run shows its figures before its requirements, and a recording of one that is checked shows them behind."""
    report = verdicts.PAGES["loaded" if kind == "checked" else kind]()
    report.verdict.command = {"checked": "check"}.get(kind, report.verdict.command)
    for form in ("html", "markdown", "text"):
        text = report_renderer(form)(report)
        # Both are named by their headings before anything else names them.
        assert 0 < text.index(f"{first}") < text.index(f"{second}"), form


def test_slos_stand_in_the_headline_with_what_became_of_them() -> None:
    """Violated ones first, and a long list is cut and counted."""
    report = verdicts.loaded()
    assert report.verdict.load is not None
    slos = [SloResult(slo=f"p99<{i}ms", target=None, status="met", actual="1 ms", requests=1) for i in range(9)]
    slos.append(SloResult(slo="p50<1ms", target=None, status="violated", actual="2 ms", requests=1))
    report.verdict.load = msgspec.structs.replace(report.verdict.load, slos=slos)
    figures = headline_figures(report.verdict)[5:]
    assert figures[0] == ("violated", "p50<1ms, actual 2 ms", "fail")
    assert figures[-1] == ("4 more", "SLOs, in the table", "")
    assert len(figures) == 7


def measured(times_us: Mapping[str, Sequence[int]], **failed: int) -> RequestMetrics:
    """Times by target as a run measures them, and how many requests failed after a second."""
    metrics = RequestMetrics()
    for name, values in times_us.items():
        kinds = metrics.times[name] = {kind: Histogram() for kind in TIME_KINDS}
        for us in values:
            kinds["response"].record(us * 1000)
        for _ in range(failed.get(name, 0)):
            kinds[FAILED_WAIT].record(1_000_000_000)
    return metrics


def test_all_targets_are_what_one_histogram_of_all_times_gives() -> None:
    """Count, percentiles, least, mean and longest; of complete responses, and of all requests."""
    fast, slow = [100 + 7 * i for i in range(900)], [50_000 + 1_013 * i for i in range(100)]
    complete, every, *_ = summarize_latencies(measured({"a": fast, "b": slow}, b=50))
    whole = Histogram()
    for us in (*fast, *slow):
        whole.record(us * 1000)
    assert (complete.target, complete.count, complete.min, complete.max) == (ALL_TARGETS, 1000, 100, slow[-1])
    assert complete.percentiles == {each: whole.percentile(float(each)) for each in ("50", "90", "95", "99", "99.9")}
    assert complete.mean == pytest.approx(sum((*fast, *slow)) / 1000, rel=1e-3)
    assert (every.count, every.includes_failures, every.percentiles["99"]) == (1050, True, 1_000_000)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, []), (2, ["50"]), (10, ["50", "90"]), (99, ["50", "90", "95"]), (100, ["50", "90", "95", "99"])],
)
def test_a_percentile_is_shown_where_the_count_carries_it(count: int, shown: list[str]) -> None:
    """p99 speaks of one time in a hundred: of fewer there is none."""
    (times,) = summarize_latencies(measured({"a": range(1000, 1000 + count)}))
    assert [each for each in ("50", "90", "95", "99", "99.9") if percentile_ms(times, each) != "-"] == shown


def test_a_capacity_step_has_one_p99_of_all_targets() -> None:
    """A frequent fast target and a rare slow one: the p99 of all requests, and beside it the slowest target's."""
    latency = summarize_step_latencies(measured({"fast": [20_000] * 9900, "slow": [247_800] * 100}))
    step = CapacityStepResult(rate=1.0, outcome="passed", windows=1, windows_passed=1, reason=None, latency=latency)
    report = verdicts.build(verdicts.Counted())
    report.verdict.capacity = CapacityResult(interval=(1.0, None), at_least=True, limited_by=None, steps=[step])
    table = next(tables(report))
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert cells["p99 ms"] == "20.09"
    assert cells["slowest p99 ms"] == f"slow {percentile_ms(latency[-1], '99')}"
