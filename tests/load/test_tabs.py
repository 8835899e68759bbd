"""The tabs on Locust's page: cell by cell what the reports print of the same run."""

from __future__ import annotations

import pytest

from sora_stats_harness.api.exchange import ErrorCode
from sora_stats_harness.load.live_findings import LiveFindings, LiveState
from sora_stats_harness.load.locust_web_page import tab_tables
from sora_stats_harness.load.run_measurements import LoadPlan, RunMeasurements
from sora_stats_harness.load.worker_messages import decode_state, encode_message
from sora_stats_harness.reports.load_tables import load_section

from .test_arrival_schedule import exchange

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize("processes", [1, 2])
def test_tabs_have_the_cells_of_the_reports(processes: int) -> None:
    """Traffic, times and errors of one process, and of two that are added up."""
    whole, states = RunMeasurements(lasted_s=10.0), []
    for number in range(processes):
        measured = RunMeasurements(lasted_s=10.0)
        measured.metrics.start(0)
        for place in range(120):
            sent_ns = place * SECOND_NS // 12 + number
            error = {50: ErrorCode.TIMEOUT, 60: ErrorCode.LOCAL}.get(place)
            measured.metrics.sent += 1
            measured.metrics.record(exchange(sent_ns, sent_ns + 1_000_000 * (place + 1), error=error))
        whole.add(measured.state())
        findings = LiveFindings().state()
        metrics = measured.metrics.state(timeline=False)
        state = LiveState(metrics=metrics, lasted_s=10.0, findings=findings, subject_kind="server")
        states.append(decode_state(encode_message(state)))
    tables = {each.name: each for each in load_section(whole.to_load_summary(LoadPlan(scenario="scrape"))).tables}
    shown = {each["key"]: each["data"] for each in tab_tables(states, None)}
    for key, name in (("sora-targets", "targets"), ("sora-times", "latency"), ("sora-errors", "errors")):
        table = tables[name]
        told = [["name", *(column.replace(" ", "_") for column in table.columns[1:])]]
        told += [list(row) for row in table.rows]
        assert [[row[column] for column in told[0]] for row in shown[key]] == told[1:]
    about = {row["name"]: row["value"] for row in shown["sora-verdict"]}
    assert about["requests sent"] == 120 * processes
    assert about["without a complete response"] == 2 * processes
