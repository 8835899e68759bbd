"""
Adds tabs, metrics for Prometheus and the final report to Locust's web page, and refuses what the page must not change.

Locust can show custom tables in tabs after its own, with rows that are sent along with its own figures, and escapes
every text. A script moves the verdict to the front, and opens it first. Texts from a server only go into these tables,
and through the HTML report's own escaping.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from ..api.language import environment_language, use_language
from ..reports import html_report as html
from ..reports.figure_cells import MeasurementTable, percentile_ms
from ..reports.load_tables import failure_table, latency_table, response_times, target_table
from ..reports.report import VerdictReport
from ..reports.summary import SELF_TEST_NOTE
from .live_findings import LiveState, merge_live_findings
from .load_session import LoadSession
from .locust_settings import OPTIONS_ON_PAGE
from .prometheus_metrics import encode_metrics, metric_families
from .request_metrics import RequestMetrics
from .run_measurements import summarize_latencies, summarize_traffic

REPORT_PATH: Final = "/sora-report"
METRICS_PATH: Final = "/sora-metrics"


def _column_keys(table: MeasurementTable) -> list[str]:
    """The keys of the columns on Locust's page; its rows need a `name`."""
    return ["name", *(column.replace(" ", "_") for column in table.columns[1:])]


_TABLE_TABS: Final = {
    "sora-targets": ("Traffic", target_table([])),
    "sora-times": ("Times", latency_table([])),
    "sora-errors": ("Errors", failure_table([], 0)),
}
"""Tabs that show the current state of a report's table."""

_TABS: Final = {
    "sora-verdict": ("Verdict", {"name": "What", "value": "Value"}),
    "sora-findings": (
        "Findings",
        {
            "name": "Requirement",
            "level": "Level",
            "count": "Count",  # at the top, where it is seen without scrolling
            "target": "Target",
            "field": "Field",
            "message": "What is wrong",
            "expected": "Expected",
            "actual": "Actual",
            "at": "First seen",
        },
    ),
    **{
        key: (title, dict(zip(_column_keys(table), table.columns, strict=True)))
        for key, (title, table) in _TABLE_TABS.items()
    },
}

_VERDICT_FIRST: Final = """\
<script>
if (!new URLSearchParams(location.search).has("tab")) history.replaceState(null, "", "?tab=sora-verdict");
new MutationObserver(() => {
  for (const tab of document.querySelectorAll("[role=tab]"))
    if (tab.textContent === "Verdict") tab.style.order = -1;
}).observe(document, {childList: true, subtree: true});
</script>
"""

_NO_VERDICT_PAGE: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>No verdict yet</title>"
    "<p>There is no final verdict yet: it is made when the test has stopped. Reload this page then."
)


class WebPageSource(Protocol):
    """The source of the page's figures: the session of a single process, or a master of several."""

    def live_states(self) -> Sequence[LiveState]:
        """The state of each process."""

    def final_report(self) -> VerdictReport | None:
        """The report, after sending has stopped; None until then."""


def live_state(session: LoadSession) -> LiveState:
    """The state of a running process."""
    metrics = session.metrics
    until_ns = session.drained_ns if session.draining and session.drained_ns else time.monotonic_ns()
    return LiveState(
        metrics=metrics.state(timeline=False),
        lasted_s=max(0.0, (until_ns - metrics.started_ns) / 1e9) if metrics.started_ns else 0.0,
        findings=session.live_findings.state(),
        subject_kind=session.judge.subject_kind,
    )


def add_web_page(environment: Any, source: WebPageSource) -> None:  # Any: locust.env.Environment
    """Add tabs and pages to Locust's web page; no effect if there is none."""
    web = environment.web_ui
    if web is None:
        return
    given = web.template_args
    for key, (title, columns) in _TABS.items():
        structure = [{"key": column, "title": name} for column, name in columns.items()]
        given.setdefault("extended_tabs", []).append({"title": title, "key": key})
        given.setdefault("extended_tables", []).append({"key": key, "structure": structure})
    report_link = {"href": f".{REPORT_PATH}", "title": "Sora: final verdict and report"}
    given.setdefault("extended_csv_files", []).append(report_link)
    app = web.app

    def add_rows(response: Any) -> Any:  # Any: flask's
        from flask import request

        if request.path.endswith("/stats/requests") and response.is_json and response.status_code == 200:
            told = response.get_json()
            tables = tab_tables(source.live_states(), source.final_report())
            ours = {each["key"] for each in tables}  # Locust keeps a response for a while, with our rows
            told["extended_stats"] = [
                each for each in told.get("extended_stats", []) if each["key"] not in ours
            ] + tables
            response.set_data(app.json.dumps(told))
        elif response.mimetype == "text/html" and request.path.endswith("/") and response.status_code == 200:
            response.set_data(response.get_data(as_text=True).replace("<head>", f"<head>{_VERDICT_FIRST}", 1))
        return response

    def sora_report() -> tuple[str, int]:
        report = source.final_report()
        with use_language(environment_language()):
            return (_NO_VERDICT_PAGE, 404) if report is None else (html.render_html(report), 200)

    def refuse() -> Any:  # Any: as above
        refused = _refuse_request(environment)
        # not as HTML, which Flask takes a text for: it names what somebody typed
        return refused and app.response_class(*refused, content_type="text/plain; charset=utf-8")

    app.before_request(refuse)
    app.after_request(add_rows)

    def sora_metrics() -> Any:  # Any: as above
        from flask import request

        body, content_type = encode_metrics(metric_families(source.live_states()), request.headers.get("Accept", ""))
        return app.response_class(body, content_type=content_type)

    app.add_url_rule(METRICS_PATH, view_func=web.auth_required_if_enabled(sora_metrics))
    app.add_url_rule(REPORT_PATH, view_func=web.auth_required_if_enabled(sora_report))


def _refuse_request(environment: Any) -> tuple[str, int] | None:  # Any: locust.env.Environment
    """Why a request that would change something isn't served, if it isn't."""
    from flask import request

    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return "this page is driven from itself only\n", 403
    # Locust takes any option that a form names, shown or not: a header from a file, and a host that gets it.
    if hidden := [name for name in request.form if name.startswith("sora_") and name not in OPTIONS_ON_PAGE]:
        return f"{hidden[0]} is for the command line\n", 403
    # the users would keep the old host
    if is_test_running(environment) and request.form.get("host") not in (None, "", environment.host):
        return f"a test of {environment.host} is running: stop it before you start another\n", 409
    return None


def is_test_running(environment: Any) -> bool:  # Any: the same
    """Whether Locust's test was neither stopped nor finished; if Locust quits then, a signal ended it."""
    from locust.runners import STATE_RUNNING, STATE_SPAWNING  # which replaces sockets: not in every process

    return environment.runner.state in (STATE_SPAWNING, STATE_RUNNING)


def tab_tables(states: Sequence[LiveState], final: VerdictReport | None) -> list[dict[str, Any]]:  # Any: plain values
    """The rows of all tabs; there is a final report once the test has stopped."""
    counts, kinds, newest = merge_live_findings(each.findings for each in states)
    if final is not None:
        reason = final.verdict.reason
        verdict = final.verdict.verdict + (f": {reason}" if reason else "")
    else:
        failing = any(each.findings.failing for each in states)
        so_far = "fail so far" if failing else "nothing that fails so far"
        verdict = so_far if states else "nothing was sent yet"
    metrics = RequestMetrics()
    for each in states:
        metrics.add(each.metrics)
    lasted_s = max((each.lasted_s for each in states), default=0.0)
    latency = summarize_latencies(metrics)
    times = response_times(latency)
    about = {
        "verdict": verdict,
        **({"server": SELF_TEST_NOTE} if any(each.subject_kind == "simulator" for each in states) else {}),
        "responses judged": metrics.judged,
        "requests sent": metrics.sent,
        "without a complete response": metrics.errors,
        "abandoned": metrics.abandoned,
        **(
            {}
            if times is None
            else {f"p{each} of response time, ms": percentile_ms(times, each) for each in ("50", "99")}
        ),
        **{
            f"{level}: {what}": number[level]
            for level in ("MUST", "PROVEN", "HABIT")
            for what, number in (("kinds of findings", kinds), ("occurrences", counts))
        },
        "final report, once the test has stopped": f"Download Data, or {REPORT_PATH}",
    }
    tables = {
        "sora-targets": target_table(summarize_traffic(metrics, lasted_s)),
        "sora-times": latency_table(latency),
        "sora-errors": failure_table(metrics.failure_counts(), metrics.sent),
    }
    return [
        {"key": "sora-verdict", "data": [{"name": name, "value": value} for name, value in about.items()]},
        {"key": "sora-findings", "data": [_finding_row(each) for each in newest]},
        *({"key": key, "data": _table_rows(table)} for key, table in tables.items()),
    ]


def _finding_row(finding: Mapping[str, Any]) -> dict[str, Any]:  # Any: plain values
    shown = {name: value for name, value in finding.items() if name not in ("requirement", "at")}
    return {"name": finding["requirement"], **shown, "at": time.strftime("%H:%M:%S", time.localtime(finding["at"]))}


def _table_rows(table: MeasurementTable) -> list[dict[str, str]]:
    return [dict(zip(_column_keys(table), row, strict=True)) for row in table.rows]
