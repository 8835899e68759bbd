"""
Locust's web page with the verdict on it: three tabs that follow the run, and a page of ours with the final report.

Locust shows tables of any kind in tabs of ours, with rows that ride along with its own figures, and escapes every text.
What a server said goes there, and through the HTML report's own escaping, and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from ..reports import html
from ..reports.report import Report
from .histogram import Histogram
from .news import together
from .session import Session

PATH: Final = "/sora-report"

PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 99.99)

_TABS: Final = {
    "sora-verdict": ("Verdict", {"name": "What", "value": "So far"}),
    "sora-findings": ("Findings", {
        "name": "Requirement", "level": "Level", "target": "Target", "field": "Field", "message": "What is wrong",
        "expected": "Expected", "actual": "Actual", "count": "Count", "at": "First seen",
    }),
    "sora-times": ("Response times", {
        "name": "Target", "count": "Answers", **{f"p{percent:g}": f"p{percent:g} ms" for percent in PERCENTILES},
        "max": "Longest ms",
    }),
}  # fmt: skip

_NOT_YET: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>No verdict yet</title>"
    "<p>There is no final verdict yet: it is made when the test has stopped. Reload this page then."
)


class Source(Protocol):
    """Where the page has its figures from: one process's session, or a master of several."""

    def states(self) -> Iterable[Mapping[str, Any]]:  # Any: plain values
        """What `state` gave in each process."""

    def final(self) -> Report | None:
        """The report, where nothing is being sent any more; None until then."""


def state(session: Session) -> dict[str, Any]:  # Any: plain values
    """What a process has to tell while it runs."""
    return {
        "counts": session.metrics.counts(),
        "news": session.news.dump(),
        "times": {name: kinds["response"].dump() for name, kinds in session.metrics.times.items()},
    }


def add_to(environment: Any, source: Source) -> None:  # Any: locust.env.Environment
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
    ]  # fmt: skip
    given["extended_csv_files"] = [
        *given.get("extended_csv_files", []), {"href": f".{PATH}", "title": "Sora: final verdict and report"}
    ]  # fmt: skip
    app = web.app

    def add_rows(response: Any) -> Any:  # Any: flask's
        from flask import request

        if request.path.endswith("/stats/requests") and response.is_json and response.status_code == 200:
            told = response.get_json()
            told["extended_stats"] = [*told.get("extended_stats", []), *tables(source.states())]
            response.set_data(app.json.dumps(told))
        return response

    def sora_report() -> tuple[str, int]:
        report = source.final()
        return (_NOT_YET, 404) if report is None else (html.render(report), 200)

    app.after_request(add_rows)
    app.add_url_rule(PATH, view_func=web.auth_required_if_enabled(sora_report))


def tables(states: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:  # Any: plain values
    """The rows of all tabs."""
    all_states = list(states)
    counts, newest = together(each["news"] for each in all_states)
    verdict = "fail" if counts["MUST"] else "nothing amiss so far" if all_states else "nothing was asked yet"
    summed = {
        name: sum(each["counts"][name] for each in all_states) for name in ("sent", "judged", "errors", "abandoned")
    }
    about = {
        "verdict": verdict,
        "answers judged": summed["judged"],
        "requests sent": summed["sent"],
        "without a whole answer": summed["errors"],
        "abandoned": summed["abandoned"],
        "findings that miss a MUST": counts["MUST"],
        "findings that miss a SHOULD": counts["SHOULD"],
        "final report, once the test has stopped": f"Download Data, or {PATH}",
    }
    return [
        {"key": "sora-verdict", "data": [{"name": name, "value": value} for name, value in about.items()]},
        {"key": "sora-findings", "data": [_row(each) for each in newest]},
        {"key": "sora-times", "data": _times(all_states)},
    ]


def _row(finding: Mapping[str, Any]) -> dict[str, Any]:  # Any: plain values
    shown = {name: value for name, value in finding.items() if name not in ("requirement", "at")}
    return {"name": finding["requirement"], **shown, "at": time.strftime("%H:%M:%S", time.localtime(finding["at"]))}


def _times(states: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:  # Any: plain values
    merged: dict[str, Histogram] = {}
    for each in states:
        for name, dumped in each["times"].items():
            merged.setdefault(name, Histogram()).merge(Histogram.load(dumped))
    return [
        {
            "name": name,
            "count": times.count,
            **{f"p{percent:g}": (times.percentile(percent) or 0) / 1000 for percent in PERCENTILES},
            "max": times.max_us / 1000,
        }
        for name, times in sorted(merged.items())
        if times.count
    ]
