"""The command `load` as people start it: in a process of its own, since Locust replaces the socket module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.simulator.server import Simulator

ROOT = Path(__file__).parents[2]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """The command, and what it printed."""
    command = [sys.executable, "-m", "sora_stats_harness", "load", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def verdict(*options: str) -> tuple[int, dict[str, Any], dict[str, Any]]:  # Any: JSON
    """Exit code, verdict, and the traffic table by its first column."""
    done = run(*options, "--json")
    told = json.loads(done.stdout)
    (traffic,) = [section for section in told["sections"] if section["title"] == "Traffic"]
    return done.returncode, told, {row[0]: row[1] for row in traffic["rows"]}


@pytest.mark.parametrize(
    "model", [("--rate", "60"), ("--users", "2", "--interval", "0.05"), ("--scenario", "drill", "--rate", "60")]
)
def test_a_good_simulator_passes_and_everything_sent_is_accounted_for(model: tuple[str, ...], tmp_path: Path) -> None:
    """Sent is judged, errors and abandoned; and a recording gives the same again."""
    path = tmp_path / "run.jsonl"
    code, told, traffic = verdict(
        *model, "--duration", "3s", "--connections", "10", "--record", str(path), "--output", str(tmp_path / "out")
    )
    assert (code, told["verdict"], told["findings"]) == (0, "pass", [])
    assert told["subject_kind"] == "simulator"
    assert traffic["sent"] == traffic["judged"] + traffic["errors"] + traffic["abandoned"] > 30
    assert told["coverage"]["exchanges"] == traffic["sent"]
    check = [sys.executable, "-m", "sora_stats_harness", "check", str(path), "--json"]
    again = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 0
    assert json.loads(again.stdout)["coverage"]["readings"] == told["coverage"]["readings"]


def test_a_counter_that_falls_is_found_with_both_answers(tmp_path: Path) -> None:
    """Exit 1, and Locust's users go on."""
    code, told, _ = verdict(
        "--rate", "60", "--duration", "3s", "--connections", "5", "--fault", "counter-falls",
        "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert code == 1
    assert {finding["requirement"] for finding in told["findings"]} == {"order.realtime"}
    assert all(len(finding["exchanges"]) == 2 for finding in told["findings"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "say how hard"),
        (("--rate", "10"), "say for how long"),
        (("--users", "2", "--duration", "2s"), "say how hard"),
        (("--rate", "10", "--users", "2", "--duration", "2s"), "two models"),
        (("--scenario", "nonsense", "--rate", "10", "--duration", "2s"), "is none of"),
        (("--rate", "10", "--duration", "2s", "--abort-when", "never"), "is no limit"),
        (("--rate", "10", "--duration", "2s", "--seed", "2"), "for the embedded simulator"),
    ],
)
def test_a_server_of_somebody_else_is_not_hammered_unasked(options: tuple[str, ...], said: str) -> None:
    """Loopback included: one line, exit 2, and nothing is sent."""
    with Simulator(connections=1) as simulator:
        done = run(simulator.url, *options)
        assert len(simulator.requests) == 0
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_prints_the_plan_and_sends_nothing() -> None:
    """The plan is what would be done."""
    with Simulator(connections=1) as simulator:
        done = run(simulator.url, "--rate", "500", "--duration", "20s", "--dry-run")
        assert len(simulator.requests) == 0
    assert done.returncode == 0
    assert "500 requests/s (open model)" in done.stderr


def test_nobody_there_is_unknown(tmp_path: Path) -> None:
    """It aborts by itself, long before its time is over."""
    done = run("http://127.0.0.1:9", "--rate", "100", "--duration", "40s", "--output", str(tmp_path / "out"), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"]) == (3, "unknown")


def test_the_scenario_files_run_under_plain_locust() -> None:
    """With Locust's own command line, a verdict at the end, and Locust's exit code."""
    with Simulator(connections=5) as simulator:
        command = [
            sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles" / "mixed.py"), "--headless", "-u", "2",
            "-t", "3s", "--host", simulator.url, "--only-summary",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "sora-harness: pass" in done.stderr
    assert "GetStatsConnection" in done.stdout + done.stderr
