"""The CSV file of a load run: a row a second, also of one in which nothing came, whoever sends."""

from __future__ import annotations

import csv
import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.judge.measured_results import ALL_TARGETS
from sora_stats_harness.load.request_metrics import RequestMetrics, TimelineInterval
from sora_stats_harness.load.timeline_csv import COLUMNS, TimelineCsv
from sora_stats_harness.simulator.server import Simulator
from tests import forked

from .test_arrival_schedule import exchange

ONE, LISTING = "GetStatsConnection", "GetStatsAllConnections"


def rows(path: Path) -> list[dict[str, str]]:
    """All rows but the head."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def second(at_s: int, **times_ms: list[float]) -> TimelineInterval:
    """A second in which responses took so long."""
    made = TimelineInterval(at_s)
    for target, values in times_ms.items():
        counts = made.counts_of(target)
        for value in values:
            counts.responses += 1
            counts.response.record(int(value * 1e6))
    return made


def test_a_pipe_holds_up_no_run(tmp_path: Path) -> None:
    """Neither one that nobody has opened, nor one whose reader never reads."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="nobody reads this pipe"):
        TimelineCsv(str(pipe))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with TimelineCsv(str(pipe)) as file:
        file.begin(0)
        for at_s in range(5000):
            file.add([second(at_s, **{ONE: [1.0]})])
        assert file.problem is not None and "ends before the run" in file.problem
    os.close(reader)


def test_a_stall_has_its_rows(tmp_path: Path) -> None:
    """Seconds in which nothing came are there, with zeros; a percentile is where the second carries it."""
    with TimelineCsv(str(tmp_path / "run.csv")) as file:
        file.begin(0)
        file.add([second(0, **{ONE: [1.0] * 10, LISTING: [9.0] * 2})])
        file.add([])
        file.add([second(3, **{ONE: [3000.0]})])
    told = rows(tmp_path / "run.csv")
    assert tuple(told[0]) == COLUMNS
    assert [(row["second"], row["target"], row["requests"]) for row in told] == [
        ("0", ALL_TARGETS, "12"),
        ("0", LISTING, "2"),
        ("0", ONE, "10"),
        ("1", ALL_TARGETS, "0"),
        ("2", ALL_TARGETS, "0"),
        ("3", ALL_TARGETS, "1"),
        ("3", ONE, "1"),
    ]
    assert [told[2][name] for name in ("p50_ms", "p90_ms", "p95_ms", "max_ms")] == ["1.0", "1.0", "", "1.0"]
    assert (told[3]["p50_ms"], told[3]["max_ms"]) == ("", "")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before the run where it cannot be opened; with the reason, and no sooner end of the run, where the disk is full."""
    with pytest.raises(UsageError, match=r"--csv: .* can't be written"):
        TimelineCsv(str(tmp_path / "missing" / "run.csv"))
    with TimelineCsv("/dev/full") as file:
        assert file.problem == "/dev/full ends before the run: No space left on device"
        file.add([second(0, **{ONE: [1.0]})])


@pytest.mark.parametrize("processes", [1, 2])
def test_all_requests_of_a_run_are_in_it(processes: int, tmp_path: Path) -> None:
    """By target, as the verdict has them; the discovery before the run is in none of its seconds."""
    path = tmp_path / "run.csv"
    with Simulator(connections=3) as simulator:
        command = [sys.executable, "-m", "sora_stats_harness", "load", simulator.url, "--rate", "100", "--duration"]
        command += [
            "1.3s",
            "--processes",
            str(processes),
            "--csv",
            str(path),
            "--json",
            "--output",
            str(tmp_path / "o"),
        ]
        done = forked.run(command, timeout=120)
    load = json.loads(done.stdout)["load"]
    told = rows(path)
    discovered = processes
    for target in load["targets"]:
        written = sum(int(row["responses"]) for row in told if row["target"] == target["target"])
        assert written == target["responses"] - (discovered if target["target"] == LISTING else 0)
    assert sum(int(row["requests"]) for row in told if row["target"] == ALL_TARGETS) == load["sent"] - discovered
    apart = datetime.fromisoformat(told[0]["time"]) - datetime.fromisoformat(load["began_at"])
    assert abs(apart) < timedelta(seconds=1)


def test_each_second_is_taken_once_and_a_new_beginning_counts_from_0() -> None:
    """Each step of a search is one: its seconds reach the master again."""
    metrics, second_ns = RequestMetrics(), 1_000_000_000
    for begins_ns in (0, 10 * second_ns):
        metrics.start(begins_ns)
        for place in range(3):
            metrics.record(exchange(begins_ns + place * second_ns, begins_ns + place * second_ns + 1000))
        assert [each.from_s for each in metrics.take_seconds()] == [0, 1]
        assert [each.from_s for each in metrics.take_seconds(is_over=True)] == [2]
        assert metrics.take_seconds(is_over=True) == []
