"""Percentiles of a run, of its recording and of the server's own log: the same bucket, on a clock of the test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sora_stats_harness.api.exchange import ErrorCode, Exchange, Response, Target, TransportError, make_valid_request
from sora_stats_harness.cli import main
from sora_stats_harness.judge.measured_results import REPORTED_PERCENTILES, is_percentile_carried
from sora_stats_harness.load.histogram import Histogram
from sora_stats_harness.load.run_measurements import LoadPlan, RunMeasurements
from sora_stats_harness.recording.writer import RecordedRun, RecordingWriter, RunSpan

from .slow_servers import Delay, bimodal, percentile, silent_now_and_then, stalling

RATE, LASTS_S, TIMEOUT_S = 60, 25, 5.0
BEGAN_NS = 1_000_000_000_000
SERVERS = {
    "stalls for 2 s in 10": stalling(2.0, 10.0),
    "lets one request in forty time out": silent_now_and_then(40),
    "takes 80 ms for one in ten": bimodal(10, 0.08),
}


def exchanges(delay: Delay, in_flight: int) -> Iterator[Exchange]:
    """What a run at a constant rate sees: a request waits until one of so many before it has ended."""
    free_s = [0.0] * in_flight
    request = make_valid_request(Target.CONNECTION, server="http://127.0.0.1:1", channel_id="c", connection_id="d")
    for number in range(RATE * LASTS_S):
        due_s = number / RATE
        place = min(range(in_flight), key=free_s.__getitem__)
        sent_s = max(due_s, free_s[place])
        took_s = delay(number, sent_s)
        ended_s = free_s[place] = sent_s + (TIMEOUT_S if took_s is None else took_s + 0.000_3)
        ended_ns = BEGAN_NS + round(ended_s * 1e9)
        yield Exchange(
            run="r",
            seq=number,
            request=request,
            clock="c",
            sent_ns=BEGAN_NS + round(sent_s * 1e9),
            received_ns=ended_ns + 50_000,
            arrived_ns=None if took_s is None else ended_ns,
            intended_ns=BEGAN_NS + round(due_s * 1e9),
            sent_at="2026-11-24T03:15:00.000000Z",
            response=None if took_s is None else Response(status=200, headers=(), body=b"{}"),
            error=TransportError(code=ErrorCode.TIMEOUT, detail="none") if took_s is None else None,
        )


def in_its_bucket(values_us: list[float], percent: float) -> int:
    """The upper end of the bucket of a percentile by sorting, as reports have it."""
    times = Histogram()
    times.record(int(percentile(values_us, percent) * 1000))
    return min(times.buckets[0][0], int(max(values_us)))


@pytest.mark.parametrize("in_flight", [1, 64])
@pytest.mark.parametrize("server", SERVERS)
def test_all_three_give_the_same_bucket(
    server: str, in_flight: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Response time with its queue, service time as the server logs it, and with the wait of what never came."""
    seen = sorted(exchanges(SERVERS[server], in_flight), key=lambda each: each.received_ns)
    measured = RunMeasurements(lasted_s=LASTS_S, scheduled=RATE * LASTS_S)
    measured.metrics.start(BEGAN_NS)
    log: dict[tuple[str, bool], list[float]] = {("response", False): [], ("service", False): [], ("response", True): []}
    path = tmp_path / "run.jsonl.zst"
    options = {"scenario": "drill", "rate": RATE}
    about = RecordedRun(
        subject="http://127.0.0.1:1", subject_kind="server", edition="doc-2024", options=options, id="r"
    )
    with RecordingWriter(path, about) as recording:
        for each in seen:
            measured.metrics.sent += 1
            measured.metrics.record(each)
            recording.add_exchange(each)
            assert each.intended_ns is not None, "of a schedule"
            if each.arrived_ns is not None:
                log["service", False].append((each.arrived_ns - each.sent_ns) / 1000)
                log["response", False].append((each.arrived_ns - each.intended_ns) / 1000)
            log["response", True].append(((each.arrived_ns or each.received_ns) - each.intended_ns) / 1000)
        ended_ns = BEGAN_NS + LASTS_S * 10**9
        recording.mark_span(RunSpan(began_ns=BEGAN_NS, ended_ns=ended_ns, began_at_ns=0, due=RATE * LASTS_S))
    rows = measured.to_load_summary(LoadPlan(scenario="drill", model="open")).latency
    main(["check", str(path), "--json"])
    again = json.loads(capsys.readouterr().out)["load"]
    checked = 0
    for row in rows:
        same = next(
            each
            for each in again["latency"]
            if (each["kind"], each["includes_failures"]) == (row.kind, row.includes_failures)
        )
        assert (same["count"], same["percentiles"]) == (row.count, row.percentiles)
        if (values := log.get((row.kind, row.includes_failures))) is None:
            continue
        assert row.count == len(values)
        assert row.percentiles == {
            percent: in_its_bucket(values, float(percent))
            for percent in REPORTED_PERCENTILES
            if is_percentile_carried(len(values), float(percent))
        }
        checked += len(row.percentiles)
    assert checked >= 10
    assert again["due"] == again["sent"] == RATE * LASTS_S
    assert again["errors"] == sum(each.error is not None for each in seen)
