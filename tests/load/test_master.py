"""A master and workers that others start: one verdict, also where the workers are on other machines."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.simulator.server import Simulator
from tests import forked
from tests.hostile import closed_port

from .build import OnOtherMachines

LOAD = ("load", "--rate", "100", "--duration", "2s", "--weights", "connection=60,client=25,all=15")
CAPACITY = ("capacity", "--scenario", "drill", "--slo", "errors<30%", "--window", "300ms")
"""An objective without a time, which no machine is too busy to decide."""


def start(*words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """One of them."""
    command = [sys.executable, "-m", "sora_stats_harness", *words]
    return forked.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


@contextmanager
def workers(
    command: str, port: str, environment: Mapping[str, str] | None = None
) -> Iterator[list[subprocess.Popen[str]]]:
    """Two of them, which end by themselves."""
    words = (command, "--worker", "--master-port", port)
    started = [start(*words, environment=environment) for _ in range(2)]
    try:
        yield started
        for each in started:
            _, said = each.communicate(timeout=30)
            assert (each.returncode, said) == (0, f"working for the master at 127.0.0.1:{port}\n")
    finally:
        for each in started:
            each.kill()
            each.communicate()


def run(folder: Path, command: tuple[str, ...], url: str, environment: Mapping[str, str] | None) -> tuple[int, Any]:
    """Exit code and verdict of a master of two workers; Any: JSON."""
    port = closed_port().rpartition(":")[2]
    words = [command[0], url, *command[1:], "--master", "--expect-workers", "2", "--master-bind-port", port]
    with workers(command[0], port, environment):
        master = start(*words, "--json", "--output", str(folder / "out"))
        out, said = master.communicate(timeout=900)
    assert "Traceback" not in said
    return master.returncode, json.loads(out)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_two_workers_do_what_one_process_does(elsewhere: bool, tmp_path: Path) -> None:
    """Every request that was due is sent once and judged; what the server saw is what is told."""
    (tmp_path / "lib").mkdir()
    environment = OnOtherMachines(tmp_path / "lib").environment if elsewhere else None
    with Simulator(connections=5) as simulator:
        code, told = run(tmp_path, LOAD, simulator.url, environment)
        served = len(simulator.requests)
    load, notes = told["load"], told["coverage"]["notes"]
    assert (code, told["verdict"], told["findings"]) == (0, "pass", [])
    assert [load[name] for name in ("sent", "judged", "errors", "abandoned")] == [served, served, 0, 0]
    assert told["coverage"]["exchanges"] == served
    assert load["due"] == pytest.approx(200, abs=20 if elsewhere else 5)
    assert load["processes"] == 2
    assert any(note.startswith("2 workers are on other machines") for note in notes) == elsewhere


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_a_search_by_two_workers_finds_the_interval(elsewhere: bool, tmp_path: Path) -> None:
    """40/s pass on a server of 100/s, and more is not allowed."""
    (tmp_path / "lib").mkdir()
    environment = OnOtherMachines(tmp_path / "lib").environment if elsewhere else None
    with Simulator(connections=3, churn=False) as simulator:
        code, told = run(tmp_path, (*CAPACITY, "--start", "40", "--max-rate", "40"), simulator.url, environment)
    assert (code, told["verdict"], told["findings"]) == (0, "pass", []), told["reason"]
    assert (told["capacity"]["interval"], told["capacity"]["at_least"]) == ([40.0, None], True)


@pytest.mark.parametrize("expected", ["1", "2"])
def test_a_worker_that_its_user_ends_reports_and_goes(expected: str, tmp_path: Path) -> None:
    """
    Alone it has a share of the run; where another one is waited for it has none yet. The master ends, and names it.
    """
    port = closed_port().rpartition(":")[2]
    with Simulator(connections=3) as simulator:
        options = ("--master", "--expect-workers", expected, "--master-bind-port", port, "--output", str(tmp_path))
        master = start("load", simulator.url, "--rate", "20", "--duration", "60s", *options, "--json")
        worker = start("load", "--worker", "--master-port", port)
        try:
            assert worker.stderr is not None
            assert worker.stderr.readline().startswith("working for the master")
            while expected == "1" and len(simulator.requests) < 3:
                time.sleep(0.02)
            worker.send_signal(signal.SIGTERM)
            assert (worker.wait(60), worker.communicate()[1]) == (3, "")
            out, said = master.communicate(timeout=60)
        finally:
            for each in (worker, master):
                each.kill()
                each.communicate()
        served = len(simulator.requests)
    told = json.loads(out)
    assert (master.returncode, told["verdict"]) == (3, "inconclusive"), said
    assert f"pid {worker.pid})" in told["reason"]
    reason = "was ended before the run was over" if expected == "1" else "it was ended before it had a share of the run"
    assert reason in told["reason"]
    assert told["coverage"]["exchanges"] == served


def test_a_port_that_is_taken_is_one_line() -> None:
    """Exit 2, and nothing is sent."""
    with Simulator(connections=1) as simulator:
        port = simulator.url.rpartition(":")[2]
        master = start("load", simulator.url, *LOAD[1:], "--master", "--master-bind-port", port)
        _, said = master.communicate(timeout=30)
        assert len(simulator.requests) == 0
    assert master.returncode == 2
    assert said.splitlines()[-1] == f"sora-harness: port {port} of 127.0.0.1 can't be listened on: is it in use?"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("load", "--worker", "--master"), "leave --master"),
        (("load", "http://127.0.0.1:9", "--worker"), "its master names"),
        (("capacity", "--worker", "--processes", "2"), "leave --master"),
        (("load", "--master", "--processes", "2"), "exclude each other"),
        (("load", "--worker", "--master-host", "nowhere.invalid"), "--master-host nowhere.invalid: "),
        (("load", "--master", "--master-bind-host", "nowhere.invalid"), "--master-bind-host nowhere.invalid: "),
        (("load", "--master", "--expect-workers", "9", "--users", "4"), "at most 4"),
        (("capacity", "--master", "--by-size", "--connections", "1,2"), "--by-size requests one listing at a time"),
    ],
)
def test_a_worker_is_no_master(words: tuple[str, ...], said: str) -> None:
    """One line, exit 2."""
    process = start(*words)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in told
    assert "Traceback" not in told
