"""report.html: what each part shows, charts that no server's word can break, and what is there without charts."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

import msgspec
import pytest

from sora_stats_harness.judge.measured_results import CapacityResult, CapacityStepResult, LoadResult
from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.reports import charts, html_measurements
from sora_stats_harness.reports.charts import ChartLine, percentile_position
from sora_stats_harness.reports.report_formats import report_renderer

from . import verdicts
from .test_formats import Page

SVG = re.compile(r'<svg(?![^>]*class="(?:wide|narrow)").*?</svg>', re.DOTALL)
"""A chart, and no picture of a violation."""


def page(kind: str) -> str:
    """The page of a kind of run, without the marks at which a word may be broken."""
    return report_renderer("html")(verdicts.PAGES[kind]()).replace("<wbr>", "")


@pytest.mark.parametrize("kind", verdicts.PAGES)
def test_every_page_is_small_quiet_and_well_formed(kind: str) -> None:
    """Balanced tags, unique ids, nothing that is fetched or runs, far below 1 MB, each section in the list of links."""
    text = page(kind)
    parsed = Page(text)
    assert not parsed.open
    assert len(parsed.ids) == len(set(parsed.ids))
    assert not {"script", "iframe", "img", "link", "object", "form", "use", "image"} & set(parsed.tags)
    assert not [key for key, _ in parsed.attributes if key.startswith("on") or key in {"src", "xlink:href"}]
    assert "url(" not in text and "@import" not in text
    assert len(text.encode()) < 300_000
    assert parsed.tags.count("h2") == text.count('<li><a href="#')


def test_every_requirement_is_a_cell_of_the_matrix() -> None:
    """Once each, under its family, with its status as a word; it leads to its row, and explains itself on hover."""
    text = page("failing")
    pattern = r'<a class="cell (\w+)" href="#(rule-[^"]+)" title="([^"]+)">.*?</span>([^<]+)<span class="unseen">: ([^<]+)</span></a>'
    found = re.findall(pattern, text)
    cells = [(style, name, word) for style, _, _, name, word in found]
    assert len(cells) == len(verdicts.ROWS)
    assert ("fail", "monotonic", "MUST violated") in cells
    assert ("not_applicable", "union", "not applicable") in cells
    for style, row, about, name, word in found:
        assert f'<tr id="{row}">' in text
        assert row.endswith(f".{name}")
        assert word in about
        assert REQUIREMENTS[row.removeprefix("rule-")].title in html.unescape(about), style
    words = {"fail": "MUST violated", "warn": "HABIT violated", "info": "INFO violated"}
    assert all(words.get(style, style.replace("_", " ")) == word for style, _, word in cells)


def test_load_shows_percentiles_timeline_sizes_and_their_tables() -> None:
    """Four charts with a title and a description each, every time in a table, and the generator's fault in words."""
    text = page("loaded")
    drawn = SVG.findall(text)
    assert [ElementTree.fromstring(svg)[0].text for svg in drawn] == [
        "Response time by percentile",
        "Response time over time",
        "Responses and errors a second",
        "Mean size of a response",
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        title, about = root[0], root[1]
        assert root.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"
        assert about.text
        assert "style" not in {key for part in root.iter() for key in part.attrib}
    for part in (
        "119.4 requests/s offered of 120 planned, p99 15.65 ms",
        "The generator was the bottleneck",
        "p99.99",
        "15,053",
    ):
        assert part in text, part
    for label in ("50", "90", "99", "99.9"):
        assert f">{label}</text>" in drawn[0]
    for svg in drawn[1:]:
        assert all(f">{at}</text>" in svg for at in ("03:14:59", "03:15:23", "03:16:35")), "by the wall clock"


def test_tail_gives_every_nine_the_same_room() -> None:
    """The way from 90 to 99 is as long as that from 99 to 99.9, on the axis and in the picture."""
    assert percentile_position(99) - percentile_position(90) == pytest.approx(
        percentile_position(99.9) - percentile_position(99)
    )
    svg = SVG.findall(page("loaded"))[0]
    at = {label: float(x) for x, label in re.findall(r'<text x="([0-9.]+)" y="[0-9.]+" class="">([0-9.]+)</text>', svg)}
    assert at["99"] - at["90"] == pytest.approx(at["99.9"] - at["99"], rel=1e-3)


def test_capacity_shows_the_interval_and_every_rate() -> None:
    """The interval in words, a dot for each rate in the colour of its outcome, and why a rate failed."""
    text = page("sized")
    svg, curve = SVG.findall(text)
    assert "0.4 ms and 0.096 ms for each connection" in curve
    assert "300 requests/s keep p99 &lt; 50 ms, 340 do not" in text
    outcomes = {
        part.get("class", "").split()[-1]: len([dot for dot in part.iter() if dot.tag.endswith("circle")])
        for part in ElementTree.fromstring(svg).iter()
        if part.get("class", "").startswith("series") and any(dot.tag.endswith("circle") for dot in part.iter())
    }
    assert outcomes == {"color-pass": 3, "color-fail": 2, "color-inconclusive": 1}
    assert "p99 &lt; 50 ms" in text


def test_windows_at_one_rate_are_a_spread() -> None:
    """A rate that was tried twice has one point on each line: the median window, the best and the worst."""
    step = CapacityStepResult(rate=10.0, outcome="passed", windows=2, windows_passed=2, reason=None)
    steps = [
        msgspec.structs.replace(step, window_p99_us=[3_000, 9_000]),
        msgspec.structs.replace(step, rate=20.0, outcome="failed", window_p99_us=[40_000, 50_000, 90_000]),
        msgspec.structs.replace(step, window_p99_us=[4_000]),
    ]
    report = verdicts.sized()
    report.verdict.capacity = CapacityResult(interval=(10.0, 20.0), at_least=False, limited_by="p99<50ms", steps=steps)
    text = report_renderer("html")(report)
    svg = SVG.findall(text)[0]
    assert "the best and the worst" in svg
    drawn = re.findall(r'<path d="([^"]+)" class="line', svg)
    assert [each.count("L") for each in drawn if "L" in each] == [1, 1, 1]  # the others have dots alone
    for line in ("median window", "best window", "worst window"):
        assert line in text


def test_gate_shows_what_is_known_fixed_and_waived() -> None:
    """The earlier run, what is fixed, what was not looked for, and each waiver with its reason, decider and end."""
    text = page("gated")
    for part in (
        "reports/release/verdict.json",
        "Fixed",
        "could not have found",
        "Mori",
        "2026-12-31",
        "expired",
        "known",
    ):
        assert part in text, part


def test_drift_shows_both_sides() -> None:
    """What is documented and what was seen, and an edition that says the latter."""
    text = page("loaded")
    for part in (
        "/data_channel/#*/max_retransmits",
        "documented, not there",
        "integer of 0 or more",
        "doc-2022: 31 fields",
    ):
        assert part in text, part


@pytest.mark.parametrize("text", verdicts.HOSTILE)
def test_no_word_of_a_server_breaks_a_chart(text: str) -> None:
    """Names of lines and texts are well-formed XML, with what cannot be shown made visible."""
    figure = charts.line_chart(
        "x",
        [ChartLine(text, [(1, 2), (2, 3)]), ChartLine(text, [(1, 1)])],
        title=text,
        about=text,
        axes=charts.Axes(text, text),
    )
    root = ElementTree.fromstring(figure)
    assert not {part.tag.rpartition("}")[2] for part in root.iter()} & {"script", "style", "foreignObject"}
    assert "\x1b" not in "".join(root.itertext())


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1.0, 0.0)],
        [(1.0, 5.0)],
        [(0.0, 0.0), (1.0, 0.0)],
        [(0.0, 1e-3), (1.0, 1e6)],
        [(0.0, 7.0), (1e9, 7.0)],
    ],
)
def test_charts_bear_few_and_extreme_points(points: list[tuple[float, float]]) -> None:
    """No point, one, none above zero, a billion between the smallest and the largest."""
    for zero in (False, True):
        figure = charts.line_chart(
            "x",
            [ChartLine("a", points)],
            title="t",
            about="a",
            axes=charts.Axes("x", "y", zero=zero),
        )
        assert "NaN" not in figure
        assert ElementTree.fromstring(figure).tag == "figure"


def test_without_the_extra_there_are_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a line that says which extra draws the charts."""
    monkeypatch.setattr(charts, "charts_available", lambda: False)
    text = page("loaded")
    assert SVG.findall(text) == []
    assert "pip install pygal" in text
    assert "p99.99" in text
    assert "Timeline as a table" in text


def test_an_empty_run_of_load_has_a_page() -> None:
    """Nothing was measured: no chart, no table, no error."""
    report = verdicts.loaded()
    measured = report.verdict.load
    assert measured is not None
    report.verdict.load = msgspec.structs.replace(measured, judged=0, latency=[], timeline=[])
    assert SVG.findall(report_renderer("html")(report)) == []


def test_curve_ends_at_the_longest_time() -> None:
    """The buckets' last point is the longest time, and the points never fall."""
    measured: LoadResult | None = verdicts.loaded().verdict.load
    assert measured is not None
    curve = html_measurements.percentile_curve(measured.latency[0])
    heights = [ms for _, ms in curve]
    assert heights == sorted(heights)
    assert heights[-1] == measured.latency[0].max / 1000
    assert curve[0][0] == 0
