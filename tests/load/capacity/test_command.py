"""The command `capacity` as people start it; what needs load in a process of its own, since Locust replaces sockets."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.cli import main
from sora_stats_harness.simulator.server import Simulator
from tests import forked

LAX = ("--slo", "errors<30%", "--window", "300ms", "--scenario", "drill")
"""Where the objective is not the point: without a time in it windows are short, and none is void."""


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "sora_stats_harness", "capacity", *options]


def verdict(*options: str) -> tuple[int, dict[str, Any]]:  # Any: JSON
    """Exit code and verdict."""
    done = forked.run(command(*options, "--json"), timeout=600)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_finding_ends_the_interval_below_it(tmp_path: Path) -> None:
    """
    A counter goes back above 22/s only: exit 1, the capacity is below, and the finding is the reason of that step.
    """
    options = ("--start", "20", "--max-rate", "25", "--output", str(tmp_path / "out"))
    with Simulator(connections=3, faults=["counter-falls:above=22,every=2"]) as simulator:
        code, told = verdict(simulator.url, *LAX, *options)
    found = told["capacity"]
    assert code == 1
    assert told["verdict"] == "fail"
    assert told["options"]["slo"] == ["errors<30%"]
    for step in found["steps"]:
        if step["outcome"] == "passed":
            assert step["windows"] >= 3
            assert step["completed"] >= 0.9 * step["due"] > 0
            assert {each["kind"] for each in step["latency"]} >= {"response", "service"}
    assert {finding["requirement"] for finding in told["findings"]} == {"counter.monotonic"}
    assert found["limited_by"] == "a finding: counter.monotonic"
    low, high = found["interval"]
    assert low < 22.5  # halfway between 20 and 25 a step may pass, which is sent at 22.4/s on average
    # a busy machine may fail that step by a backlog as well
    reasons = {step["reason"] for step in found["steps"] if step["rate"] == high and step["outcome"] == "failed"}
    assert "a finding: counter.monotonic" in reasons <= {"a finding: counter.monotonic", "backlog"}


def test_ctrl_c_leaves_a_whole_verdict(tmp_path: Path) -> None:
    """What was found by then is kept: exit 3, interrupted, and at least what passed."""
    options = (*LAX, "--start", "10", "--max-rate", "40", "--output", str(tmp_path / "out"), "--json")
    with (
        Simulator(connections=3) as simulator,
        forked.start(command(simulator.url, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        try:
            assert process.stderr is not None
            assert any(" passed " in line for line in process.stderr)  # the line of a step
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    told = json.loads(out)
    assert (process.returncode, told["verdict"], told["interrupted"]) == (3, "inconclusive", True)
    assert told["capacity"]["at_least"]
    assert len(told["capacity"]["steps"]) >= 1


def test_what_a_listing_costs_by_size(tmp_path: Path) -> None:
    """2 ms for each connection is what the line's slope is, or more by what the simulator needs itself."""
    code, told = verdict(
        "--connections", "2,6,18", "--per-connection-cost", "2ms", "--scrapers", "2", "--output", str(tmp_path / "out")
    )
    cost = told["cost"]
    assert code == 0
    assert [point["connections"] for point in cost["points"]] == [2, 6, 18]
    assert all(point["time_us"] >= 2000 * point["connections"] for point in cost["points"])
    assert cost["per_connection_us"] >= 1900
    assert cost["shortest_interval_s"] >= 2 * 18 * 0.002


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_short_watch_over_the_media_says_too_little(processes: str, tmp_path: Path) -> None:
    """One polled phase is no proof of anything: exit 3. Where workers poll, the master's own listings count as well."""
    code, told = verdict(
        "--watch-media",
        "--phase",
        "400ms",
        "--phases",
        "1",
        "--max-rate",
        "40",
        "--connections",
        "3",
        "--processes",
        processes,
        "--output",
        str(tmp_path / "out"),
    )
    assert told["options"]["processes"] == int(processes)
    assert told["coverage"]["by_target"]["GetStatsAllConnections"] >= 9
    assert (code, told["media"]["result"], told["media"]["polled_phases"]) == (3, "too little data", 1)
    assert told["coverage"]["exchanges"] > 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-rate", "100"], "state the objective"),
        (["--slo", "p99<50ms"], "state the highest rate"),
        (["--slo", "p99", "--max-rate", "10"], "is not an SLO"),
        (["--slo", "GetStatsClient:p99<50ms", "--max-rate", "10", "--scenario", "drill"], "never sends that target"),
        (["--slo", "p99<50ms", "--max-rate", "10", "--scenario", "spike"], "must be one of"),
        (["--slo", "p99<50ms", "--max-rate", "10", "--start", "20"], "is above --max-rate"),
        (["--slo", "p99<50ms", "--max-rate", "10", "--service-time", "1ms"], "for the embedded simulator"),
        (["--slo", "p99<50ms", "--max-rate", "10", "--connections", "10"], "for the embedded simulator"),
        (["--slo", "p99<50ms", "--max-rate", "-1"], "must be a rate"),
        (["--slo", "p99<50ms", "--max-rate", "10", "--max-in-flight", "0"], "--max-in-flight"),
        (["--by-size", "--watch-media", "--max-rate", "10"], "two different measurements"),
        (["--by-size"], "state the highest rate, and how long"),
        (["--watch-media"], "the rate of the polled phases"),
        (["--watch-media", "--slo", "p99<1s", "--max-rate", "10"], "leave it out"),
    ],
)
def test_a_run_that_is_not_bounded_is_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2, and nothing was sent."""
    with Simulator(connections=1) as simulator:
        assert main(["capacity", simulator.url, *options]) == 2
        assert len(simulator.requests) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sora-harness: ")]
    assert said in line


def test_sizes_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """And at least two of them are a question of their own."""
    assert main(["capacity", "--connections", "10,x"]) == 2
    assert main(["capacity", "--by-size"]) == 2
    said = capsys.readouterr().err
    assert "separated by commas" in said
    assert "state the numbers of connections" in said


@pytest.mark.parametrize(("start", "processes"), [("50", "1"), ("4", "1"), ("50", "2")])
def test_a_server_that_goes_away_ends_the_search(tmp_path: Path, start: str, processes: str) -> None:
    """It is asked three times more, and not at ever lower rates; nor until a window is over that takes a minute."""
    with Simulator(connections=3) as simulator:
        process = forked.start(
            command(
                simulator.url,
                *LAX,
                "--start",
                start,
                "--max-rate",
                "400",
                "--processes",
                processes,
                "--json",
                "--output",
                str(tmp_path / "out"),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        give_up_s = time.monotonic() + 30
        while len(simulator.requests) < 10 and time.monotonic() < give_up_s:
            time.sleep(0.02)
    out, said = process.communicate(timeout=120)
    told = json.loads(out)
    assert (process.returncode, told["verdict"]) == (1, "fail"), said
    assert told["reason"].startswith("http.complete is violated"), said
    assert told["capacity"]["steps"] == []
    assert "spawn rate" not in said
