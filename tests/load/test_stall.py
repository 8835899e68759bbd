"""A server that stalls: what waited in its queue is charged to it, and the figures are those that the recording gives."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sora_stats_harness.recording.reader import open_recordings
from tests import forked, hostile

from .slow_servers import SlowServer, percentile, stalling


def by_hand(path: Path, percent: float, *, from_schedule: bool) -> float:
    """A percentile in microseconds of GetStatsConnection, by sorting what was recorded."""
    times = []
    for step in open_recordings([path]):
        exchange = step.exchange
        if exchange.request.target is not None and exchange.request.target.operation == "GetStatsConnection":
            arrived_ns = exchange.received_ns if exchange.arrived_ns is None else exchange.arrived_ns
            begun_ns = exchange.intended_ns if from_schedule else exchange.sent_ns
            assert begun_ns is not None, "an open model has a schedule"
            times.append((arrived_ns - begun_ns) / 1000)
    return percentile(times, percent)


def run(folder: Path, stall_s: float, every_s: float, rate: int, in_flight: int) -> dict[str, Any]:  # Any: JSON
    """Two periods and a half of it, recorded."""
    with hostile.serve(SlowServer(stalling(stall_s, every_s))) as server:
        command = [
            sys.executable,
            "-m",
            "sora_stats_harness",
            "load",
            server.url,
            "--scenario",
            "drill",
            "--rate",
            str(rate),
            "--max-in-flight",
            str(in_flight),
            "--duration",
            f"{2.5 * every_s:g}s",
            "--record",
            str(folder / "run.jsonl"),
            "--output",
            str(folder / "out"),
            "--json",
        ]
        done = forked.run(command, timeout=120)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_stalled_server_is_not_forgiven_its_queue(tmp_path: Path) -> None:
    """One may be in flight, so what fell due meanwhile waited here: response time has it, service time hides it."""
    stall_s = 0.5
    told = run(tmp_path, stall_s, every_s=2.0, rate=100, in_flight=1)
    kinds = {each["kind"]: each for each in told["load"]["latency"] if each["target"] == "GetStatsConnection"}
    for kind, from_schedule in (("response", True), ("service", False)):
        for percent in ("50", "90", "99"):
            true_us = by_hand(tmp_path / "run.jsonl", float(percent), from_schedule=from_schedule)
            assert true_us - 1 <= kinds[kind]["percentiles"][percent] <= true_us * (1 + 1 / 128) + 1, (kind, percent)
    response_us, service_us = (kinds[kind]["percentiles"]["99"] for kind in ("response", "service"))
    assert response_us > stall_s * 1e6 * 0.8
    assert service_us < response_us / 2
