"""
The tabs with the verdict on Locust's web page, and a page with the final report.

Locust shows tables of any kind in tabs of ours, with rows that ride along with its own figures, and escapes every text.
What a server said goes there, and through the HTML report's own escaping, and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from ..reports import html_report as html
from ..reports.report import VerdictReport
from .histogram import Histogram
from .live_findings import merge_live_findings
from .load_session import LoadSession

REPORT_PATH: Final = "/sora-report"

TAB_PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 99.99)

_TABS: Final = {
    "sora-verdict": ("Verdict", {"name": "What", "value": "So far"}),
    "sora-findings": (
        "Findings",
        {
            "name": "Requirement",
            "level": "Level",
            "target": "Target",
            "field": "Field",
            "message": "What is wrong",
            "expected": "Expected",
            "actual": "Actual",
            "count": "Count",
            "at": "First seen",
        },
    ),
    "sora-times": (
        "Response times",
        {
            "name": "Target",
            "count": "Responses",
            **{f"p{percent:g}": f"p{percent:g} ms" for percent in TAB_PERCENTILES},
            "max": "Longest ms",
        },
    ),
}

_NO_VERDICT_PAGE: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>No verdict yet</title>"
    "<p>There is no final verdict yet: it is made when the test has stopped. Reload this page then."
)


class WebPageSource(Protocol):
    """Where the page has its figures from: one process's session, or a master of several."""

    def live_states(self) -> Iterable[Mapping[str, Any]]:  # Any: plain values
        """What `live_state` gave in each process."""

    def final_report(self) -> VerdictReport | None:
        """The report, where nothing is being sent any more; None until then."""


def live_state(session: LoadSession) -> dict[str, Any]:  # Any: plain values
    """What a process has to tell while it runs."""
    return {
        "counts": session.metrics.counts(),
        "news": session.live_findings.serialize(),
        "times": {name: kinds["response"].serialize() for name, kinds in session.metrics.times.items()},
    }


def add_web_page(environment: Any, source: WebPageSource) -> None:  # Any: locust.env.Environment
    """Put tabs and page into Locust's web page; nothing where there is none."""
    web = environment.web_ui
    if web is None:
        return
    given = web.template_args
    given["extended_tabs"] = [
        *given.get("extended_tabs", []),
        *({"title": title, "key": key} for key, (title, _) in _TABS.items()),
    ]
    given["extended_tables"] = [
        *given.get("extended_tables", []),
        *(
            {"key": key, "structure": [{"key": column, "title": name} for column, name in columns.items()]}
            for key, (_, columns) in _TABS.items()
        ),
    ]
    given["extended_csv_files"] = [
        *given.get("extended_csv_files", []),
        {"href": f".{REPORT_PATH}", "title": "Sora: final verdict and report"},
    ]
    app = web.app

    def add_rows(response: Any) -> Any:  # Any: flask's
        from flask import request

        if request.path.endswith("/stats/requests") and response.is_json and response.status_code == 200:
            told = response.get_json()
            told["extended_stats"] = [*told.get("extended_stats", []), *tab_tables(source.live_states())]
            response.set_data(app.json.dumps(told))
        return response

    def sora_report() -> tuple[str, int]:
        report = source.final_report()
        return (_NO_VERDICT_PAGE, 404) if report is None else (html.render_html(report), 200)

    def refuse_foreign_origin() -> tuple[str, int] | None:
        from flask import request

        origin = request.headers.get("Origin")
        if request.method in ("GET", "HEAD", "OPTIONS") or origin is None:
            return None
        return None if urlsplit(origin).netloc == request.host else ("this page is driven from itself only\n", 403)

    app.before_request(refuse_foreign_origin)
    app.after_request(add_rows)
    app.add_url_rule(REPORT_PATH, view_func=web.auth_required_if_enabled(sora_report))


def tab_tables(states: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:  # Any: plain values
    """The rows of all tabs."""
    all_states = list(states)
    counts, newest = merge_live_findings(each["news"] for each in all_states)
    verdict = "fail" if counts["MUST"] else "no MUST violated so far" if all_states else "nothing was asked yet"
    summed = {
        name: sum(each["counts"][name] for each in all_states) for name in ("sent", "judged", "errors", "abandoned")
    }
    about = {
        "verdict": verdict,
        "responses judged": summed["judged"],
        "requests sent": summed["sent"],
        "without a complete response": summed["errors"],
        "abandoned": summed["abandoned"],
        "findings that miss a MUST": counts["MUST"],
        "findings that miss a SHOULD": counts["SHOULD"],
        "final report, once the test has stopped": f"Download Data, or {REPORT_PATH}",
    }
    return [
        {"key": "sora-verdict", "data": [{"name": name, "value": value} for name, value in about.items()]},
        {"key": "sora-findings", "data": [_finding_row(each) for each in newest]},
        {"key": "sora-times", "data": _response_time_rows(all_states)},
    ]


def _finding_row(finding: Mapping[str, Any]) -> dict[str, Any]:  # Any: plain values
    shown = {name: value for name, value in finding.items() if name not in ("requirement", "at")}
    return {"name": finding["requirement"], **shown, "at": time.strftime("%H:%M:%S", time.localtime(finding["at"]))}


def _percentile_ms(times: Histogram, percent: float) -> float | str:
    """A dash where there are too few times for it: p99 takes 100."""
    us = times.percentile(percent) if times.count * (100 - percent) >= 100 - 1e-9 else None
    return "-" if us is None else us / 1000


def _response_time_rows(states: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:  # Any: plain values
    merged: dict[str, Histogram] = {}
    for each in states:
        for name, dumped in each["times"].items():
            merged.setdefault(name, Histogram()).merge(Histogram.deserialize(dumped))
    return [
        {
            "name": name,
            "count": times.count,
            **{f"p{percent:g}": _percentile_ms(times, percent) for percent in TAB_PERCENTILES},
            "max": times.max_us / 1000,
        }
        for name, times in sorted(merged.items())
        if times.count
    ]
