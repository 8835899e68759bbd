"""A search with several workers: windows that are added up, and workers that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.load.capacity.load_window import LoadWindow, merge_windows, violated_slos, void_reason
from sora_stats_harness.load.histogram import Histogram
from sora_stats_harness.load.slo import parse_slo
from sora_stats_harness.load.worker_messages import WindowReport, decode_report, encode_message
from sora_stats_harness.simulator.server import Simulator
from tests import forked, hostile
from tests.load.build import Halved

from .test_command import LAX, command, verdict

ONE, ALL = "GetStatsConnection", "GetStatsAllConnections"


def seen(times_ms: dict[str, list[float]], **settings: Any) -> LoadWindow:
    """What a process says of its window."""
    times = {name: Histogram() for name in times_ms}
    for name, values in times_ms.items():
        for value in values:
            times[name].record(int(value * 1e6))
    window = LoadWindow(
        rate=50,
        lasts_s=2,
        times=times,
        service_times=times,
        **{"due": sum(each.count for each in times.values()), "max_in_flight": 40, **settings},
    )
    report = decode_report(encode_message(WindowReport(window=window)))
    assert isinstance(report, WindowReport) and report.window is not None
    return report.window


def test_counts_and_times_are_of_all() -> None:
    """Two windows of 50 a second are one of 100; what one process alone saw is in it."""
    found = merge_windows(
        [
            seen({ONE: [10] * 60, ALL: [70]}, errors={ONE: 1}, due=62, backlog=[(0.6, 2.0), (0.7, 3.0)]),
            seen(
                {ONE: [90] * 40},
                errors={ONE: 2},
                unfinished={ALL: 1},
                due=43,
                backlog=[(0.6, 1.0), (0.7, 1.0), (0.8, 9.0)],
            ),
        ]
    )
    assert (found.rate, found.due, found.completed, found.max_in_flight) == (100, 105, 101, 80)
    assert (found.errors, found.unfinished) == ({ONE: 3}, {ALL: 1})
    assert found.times[ONE].count == 100
    assert found.times[ONE].percentile(60) == pytest.approx(10_000, rel=0.01)
    assert found.service_times[ALL].percentile(50) == pytest.approx(70_000, rel=0.01)
    assert list(found.backlog) == [(0.6, 3.0), (0.7, 4.0)]
    assert [each.text for each in violated_slos(found, [parse_slo("p50<50ms"), parse_slo("p90<50ms")])] == ["p90<50ms"]


@pytest.mark.parametrize("late", ["receive_delay_p99_us", "send_delay_p99_us"])
def test_one_late_process_voids_the_window(late: str) -> None:
    """However good the other was: nobody can tell what its share would have met."""
    good, bad = seen({ONE: [1] * 100}), seen({ONE: [1] * 100}, **{late: 6_000})
    assert void_reason(merge_windows([good, good]), [parse_slo("p99<50ms")]) is None
    assert void_reason(merge_windows([good, bad]), [parse_slo("p99<50ms")]) is not None


def test_one_process_that_had_all_under_way_is_said() -> None:
    """And a finding of one is a finding."""
    found = merge_windows([seen({ONE: [1]}), seen({ONE: [1]}, users_exhausted=True, findings=("counter.monotonic",))])
    assert found.users_exhausted
    assert found.findings == ("counter.monotonic",)


def test_a_finding_of_one_process_fails_the_step(tmp_path: Path) -> None:
    """Each of them judges: exit 1, and the evidence is there; what is found at two rates ends the search."""
    rates = ("--start", "80", "--max-rate", "80", "--processes", "2")
    with Simulator(connections=3, faults=["counter-falls:every=2"]) as simulator:
        code, told = verdict(simulator.url, *LAX, *rates, "--output", str(tmp_path / "out"))
    assert (code, told["verdict"]) == (1, "fail")
    assert (told["capacity"]["limited_by"], told["capacity"]["interval"]) == ("a finding: counter.monotonic", [0, 20])
    assert {finding["requirement"] for finding in told["findings"]} == {"counter.monotonic"}
    assert told["options"]["processes"] == 2
    assert told["coverage"]["exchanges"] >= sum(step["completed"] for step in told["capacity"]["steps"])
    assert any("worker 2" in note for note in told["coverage"]["notes"])


def test_a_waived_finding_fails_no_step(tmp_path: Path) -> None:
    """The workers know what is let pass: the capacity beside a steady deviation is found."""
    waivers = tmp_path / "waived.toml"
    waiver = {"requirement": "counter.monotonic", "field": "*", "reason": "known", "by": "us", "until": date.max}
    values = (f"{name} = {value if name == 'until' else json.dumps(value)}" for name, value in waiver.items())
    waivers.write_text("\n".join(["[[waivers]]", *values]))
    rates = ("--start", "40", "--max-rate", "40", "--processes", "2")
    with Simulator(connections=3, faults=["counter-falls:every=2"]) as simulator:
        options = (simulator.url, *LAX, *rates, "--config", str(waivers), "--output", str(tmp_path / "out"))
        code, told = verdict(*options)
    assert (code, told["verdict"], told["capacity"]["interval"]) == (0, "pass", [40, None])
    assert {(each["requirement"], each["status"]) for each in told["findings"]} == {("counter.monotonic", "waived")}


def test_a_process_that_dies_is_named(tmp_path: Path) -> None:
    """Exit 3: nothing is told of what it would have seen."""
    options = (*LAX, "--start", "20", "--max-rate", "40", "--processes", "2", "--output", str(tmp_path), "--json")
    with (
        Simulator(connections=3) as simulator,
        forked.start(command(simulator.url, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        try:
            assert process.stderr is not None
            assert any("/s from 2 workers" in line for line in process.stderr)
            victim = forked.workers(process)[-1]
            os.kill(victim, signal.SIGKILL)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    told = json.loads(out)
    assert (process.returncode, told["verdict"]) == (3, "inconclusive")
    assert told["capacity"]["at_least"]
    assert f"(pid {victim}) was killed by signal 9" in json.dumps(told)


def test_a_counter_that_falls_between_two_workers_ends_the_search(tmp_path: Path) -> None:
    """Neither saw it fall: each has one connection, on which it stood still. It is found at the end of a step."""
    with hostile.serve(Halved()) as server:
        code, told = verdict(
            server.url,
            *LAX,
            *("--start", "20", "--max-rate", "20", "--max-in-flight", "2", "--processes", "2"),
            *("--fail-on", "must"),  # halves of counters violate relations as well
            *("--output", str(tmp_path / "out")),
        )
    assert (code, told["capacity"]["limited_by"]) == (1, "a finding: counter.monotonic")
    fallen = [each for each in told["findings"] if each["requirement"] == "counter.monotonic"]
    (_, first), (_, second) = next(each for each in fallen if each["target"] == ONE)["exchanges"]
    assert {first >> 40, second >> 40} == {0, 1}
