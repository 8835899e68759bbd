"""Renders the history of a server as a page: a table of all runs, new and fixed findings, and charts of figures."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from . import charts, summary
from . import html_elements as html
from .comparison_result import FindingChange
from .html_measurements import NO_CHARTS_NOTE
from .latency_comparison import describe_load
from .load_tables import response_times
from .report_formats import REPORT_FORMATS
from .run_history import HistoryRun, RunHistory

MAX_CHANGES: Final = 50
"""How many findings of one run are listed; its own report has all of them."""

HISTORY_COLUMNS: Final = (
    "Release",
    "Verdict",
    "Started",
    "Command",
    "Findings",
    "New",
    "Fixed",
    "p99 ms",
    "Capacity/s",
    "Fields seen",
)

NO_RELEASE: Final = "(no label)"


def history_row(run: HistoryRun) -> list[str]:
    """The cells of a run, in the order of `HISTORY_COLUMNS`."""
    verdict = run.verdict
    return [
        run.release or NO_RELEASE,
        verdict.verdict.upper(),
        moment_text(verdict.started_at),
        verdict.command,
        f"{len(verdict.findings):,}",
        "-" if run.is_first else f"{len(run.new):,}",
        "-" if run.is_first else f"{len(run.fixed):,}",
        run.p99_ms,
        run.capacity,
        run.fields,
    ]


def moment_text(moment: str) -> str:
    """
    A time of verdict.json to the second.

    >>> moment_text("2026-11-30T04:08:21.757Z")
    '2026-11-30 04:08:21Z'
    """
    day, _, time = moment.partition("T")
    return f"{day} {time.partition('.')[0].removesuffix('Z')}Z" if time else moment


def render_history(history: RunHistory, *, beside: Path) -> str:
    """Write the page; links to the runs' own reports are relative to its folder, `beside`."""
    sections = [
        html.PageSection("runs", f"Runs ({len(history.runs)})", "Runs", _runs(history, beside)),
        html.PageSection("trends", "Trends", "Trends", _trends(history.runs)),
        html.PageSection("changes", "Changes", "Findings new and fixed", _changes(history.runs)),
        html.PageSection(
            "left-out",
            f"Left out ({len(history.left_out)})",
            f"Left out: {summary.count_with_noun(len(history.left_out), 'file')}",
            html.bullet_list(history.left_out, limit=1000) if history.left_out else None,
        ),
    ]
    title = f"History of {summary.count_with_noun(len(history.runs), 'run')}"
    return html.document(title, html.page_style(), [_head(history, title), *html.page_sections(sections)])


def _head(history: RunHistory, title: str) -> html.SafeHtml:
    last = max(history.runs, key=lambda run: run.verdict.started_at).verdict
    counts = Counter[str](run.verdict.verdict for run in history.runs)
    styles = {"pass": "met", "fail": "fail", "inconclusive": "not_checked"}
    tiles = [(f"{counts[word]:,}", word, styles[word]) for word in styles if counts[word]]
    if history.label:
        tiles.append((f"{len(history.releases()):,}", f"releases, by the label {history.label}", ""))
    simulated = sum(summary.is_self_test(run.verdict) for run in history.runs)
    note = f"{summary.count_with_noun(simulated, 'run')} of {len(history.runs):,}: {summary.SELF_TEST_NOTE}"
    first = moment_text(min(run.verdict.started_at for run in history.runs))
    return html.element(
        "header",
        html.element("p", note, class_="self-test") if simulated else None,
        html.element("h1", title),
        html.element("p", f"The last one, of {last.subject}: {summary.verdict_headline(last)}", class_="headline"),
        html.figure_tiles(tiles),
        html.bullet_list([f"first started {first}", f"last started {moment_text(last.started_at)}"], class_="facts"),
        class_=f"verdict {last.verdict}",
    )


def _runs(history: RunHistory, beside: Path) -> html.HtmlContent:
    right = range(4, len(HISTORY_COLUMNS))
    rows = []
    for run in history.runs:
        release, word, started, command, *figures = history_row(run)
        rows.append(
            html.table_row(
                release,
                html.status_badge(word, run.verdict.verdict),
                _report_link(run, started, beside),
                [command, html.element("small", run.verdict.subject)],
                *figures,
                right=right,
            )
        )
    return [
        html.data_table("By release and time", HISTORY_COLUMNS, rows, right=right),
        html.small_note(
            "New and fixed are relative to the previous run of the same command, edition and kind of subject. Fixed "
            "is what that run found, and this one looked for and did not find."
        ),
    ]


def _report_link(run: HistoryRun, text: str, beside: Path) -> html.HtmlContent:
    """A link to the run's own page, if there is one."""
    page = run.path.with_name(REPORT_FORMATS["html"].file_name or "")
    moment = html.element("time", text)
    if not page.exists():
        return moment
    path = os.path.relpath(page.resolve(), beside.resolve())
    return html.element("a", moment, href=quote(path, safe="/"))


def _moment(run: HistoryRun) -> html.SafeHtml:
    return html.element("time", moment_text(run.verdict.started_at))


def _changes(runs: Sequence[HistoryRun]) -> html.HtmlContent:
    rows = []
    for run in runs:
        changes = [*run.new, *run.fixed]
        rows += [_change(run, each) for each in changes[:MAX_CHANGES]]
        if len(changes) > MAX_CHANGES:
            more = f"… and {len(changes) - MAX_CHANGES:,} more, in verdict.json"
            rows.append(html.table_row(run.release or NO_RELEASE, _moment(run), "", "", "", "", more))
    if not rows:
        return html.element("p", "None.")
    columns = ("Release", "Started", "Change", "Level", "Requirement", "Where", "What it says")
    return html.data_table("Against the run before of the same kind", columns, rows)


def _change(run: HistoryRun, each: FindingChange) -> html.SafeHtml:
    return html.table_row(
        run.release or NO_RELEASE,
        _moment(run),
        html.status_badge(each.change, "fail" if each.change == "new" else "met"),
        each.level,
        html.code_text(each.requirement),
        html.code_text(f"{each.target or 'a wrong request'} {each.field or 'the whole response'}"),
        each.message,
    )


def _trends(runs: Sequence[HistoryRun]) -> html.HtmlContent:
    """Charts of p99 and capacity over the runs that have them, with a line for each set of comparable runs."""
    p99, capacity = defaultdict[str, list[charts.ChartPoint]](list), defaultdict[str, list[charts.ChartPoint]](list)
    for place, run in enumerate(runs, start=1):
        load, found = run.verdict.load, run.verdict.capacity
        times = None if load is None else response_times(load.latency)
        if load is not None and times is not None and "99" in times.percentiles:
            p99[describe_load(run.verdict)].append((place, times.percentiles["99"] / 1000))
        if found is not None and found.interval[0]:
            low, high = found.interval
            capacity[f"{found.scenario or 'capacity'}, passed"].append((place, low))
            if high is not None:
                capacity[f"{found.scenario or 'capacity'}, failed"].append((place, high))
    drawn = [
        ("p99", "p99 of response time", "ms", p99),
        ("capacity", "Capacity: highest rate that passed, lowest that failed", "requests a second", capacity),
    ]
    shown = [each for each in drawn if any(len(points) > 1 for points in each[3].values())]
    if not shown:
        return None
    if not charts.charts_available():
        return html.small_note(NO_CHARTS_NOTE)
    labels = _axis_labels(runs)
    figures = [
        charts.line_chart(
            f"trend-{name}",
            [charts.ChartLine(line, points) for line, points in lines.items()],
            title=f"{title}: {next(iter(lines))}" if len(lines) == 1 else title,
            about=f"Over {len(runs):,} runs, in the order of the table.",
            axes=charts.Axes("run", unit, labels, zero=True),
        )
        for name, title, unit, lines in shown
    ]
    return html.element("div", figures, class_="charts")


def _axis_labels(runs: Sequence[HistoryRun]) -> list[tuple[float, str]]:
    """The positions of releases on the axis; if there are many, as many as fit."""
    starts = [
        (float(place), run.release or f"{place}")
        for place, run in enumerate(runs, start=1)
        if place == 1 or not run.release or run.release != runs[place - 2].release
    ]
    step = -(-len(starts) // 6)
    return starts[::step]
