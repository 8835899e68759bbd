"""Several processes under Locust's own options: one verdict, and nothing lost however the run ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.simulator.server import Simulator
from tests import forked, hostile
from tests.hostile import closed_port

from .build import Customized, OnOtherMachines, SlowAtTheEnd, UntilSeen, count_listings, often_listing

ROOT = Path(__file__).parents[2]

OF_ANOTHER_VERSION = """
from sora_stats_harness.load.histogram import Histogram

Histogram.state = lambda self: {"other": []}
"""
"""What has processes send histograms in another form."""


def interrupt(process: subprocess.Popen[str]) -> None:
    """As a terminal does: the whole group gets it."""
    os.killpg(process.pid, signal.SIGINT)


def interrupt_workers(process: subprocess.Popen[str]) -> None:
    """As where the terminal's signal comes to the master last."""
    for worker in forked.workers(process):
        os.kill(worker, signal.SIGINT)


def terminate(process: subprocess.Popen[str]) -> None:
    """As a supervisor does: the master alone gets it."""
    process.terminate()


def hang_up(process: subprocess.Popen[str]) -> None:
    """As where a terminal is gone: the master gets it, and its workers must not go on."""
    process.send_signal(signal.SIGHUP)


def let_go(process: subprocess.Popen[str]) -> None:
    """Nothing: its run time ends it."""


def see_enough(process: subprocess.Popen[str]) -> None:
    """Nothing: it ends by itself."""


def kill_a_worker(process: subprocess.Popen[str]) -> None:
    """One of the workers is gone at once; then the run is ended."""
    os.kill(forked.workers(process)[0], signal.SIGKILL)
    process.terminate()


def run(
    end: Callable[[subprocess.Popen[str]], None],
    folder: Path,
    *options: str,
    processes: int = 2,
    requests: int = 60,
    slow: Customized | None = None,
) -> tuple[int, dict[str, Any], int]:
    """Workers, or one process, on the simulator; exit code, verdict, and how many requests it saw."""  # Any: JSON
    port, until = closed_port().rpartition(":")[2], UntilSeen(folder.parent)
    with Simulator(connections=5) as simulator:
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            f"{often_listing(folder.parent)},{until.locustfile}",
            "--headless",
            "-u",
            "4",
            "-r",
            "100",
            "--host",
            simulator.url,
            "--sora-interval",
            "0.04",
            "--sora-output",
            str(folder),
            *options,
        ]
        if processes > 1:
            command += ["--processes", str(processes), "--master-bind-port", port, "--master-port", port]
        process = forked.start(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env=None if slow is None else slow.environment,
        )
        try:
            give_up_s = time.monotonic() + 30
            while len(simulator.requests) < requests or count_listings(simulator) < requests // 20:
                if end is let_go and process.poll() is not None:
                    break  # on a slow machine its time is over before that
                assert process.poll() is None
                assert time.monotonic() < give_up_s, "the workers never began"
                time.sleep(0.05)
            if slow is not None:
                slow.begin()
            if end is see_enough:
                until.end()
            end(process)
            _, said = process.communicate(timeout=50)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        served = len(simulator.requests)
    assert "Traceback" not in said, said
    return process.returncode, json.loads((folder / "verdict.json").read_text()), served


def counts(told: dict[str, Any]) -> list[int]:  # Any: JSON
    """Sent, judged, errors, abandoned."""
    return [told["load"][name] for name in ("sent", "judged", "errors", "abandoned")]


def test_two_workers_do_what_one_does(tmp_path: Path) -> None:
    """What the server saw is what was sent, and all of it is judged by the master."""
    code, told, served = run(see_enough, tmp_path / "out", requests=160)
    assert counts(told) == [served, served, 0, 0]
    assert told["coverage"]["exchanges"] == served
    assert (code, told["verdict"], told["findings"]) == (0, "pass", [])


def test_workers_on_other_machines_tell_what_they_found(tmp_path: Path) -> None:
    """Their clocks are nobody else's: counts are added up, and the server's timestamps order what each saw last."""
    (tmp_path / "lib").mkdir()
    machines = OnOtherMachines(tmp_path / "lib")
    code, told, served = run(see_enough, tmp_path / "out", requests=240, slow=machines)
    assert counts(told) == [served, served, 0, 0]
    assert told["coverage"]["exchanges"] == served
    assert (code, told["verdict"], told["findings"]) == (0, "pass", [])
    assert any(note.startswith("2 workers are on other machines") for note in told["coverage"]["notes"])
    (order,) = [row for row in told["requirements"] if row["id"] == "counter.timestamp_order"]
    assert order["status"] == "met" and order["checked"] > 0


@pytest.mark.parametrize(
    ("end", "processes"),
    [(let_go, 1), (interrupt, 1), (terminate, 2), (hang_up, 2), (interrupt, 2), (interrupt_workers, 2)],
)
def test_nothing_is_lost_at_the_end(
    end: Callable[[subprocess.Popen[str]], None], processes: int, tmp_path: Path
) -> None:
    """
    Whoever ends the run, and although every judge then stands still for a second: the master waits for all.

    A run that a signal ends is inconclusive.
    """
    lasts, slow = "3s" if end is let_go else "60s", SlowAtTheEnd(tmp_path)
    code, told, served = run(end, tmp_path / "out", "-t", lasts, processes=processes, slow=slow)
    assert counts(told) == [served, served, 0, 0]
    assert told["coverage"]["exchanges"] == served
    assert (told["findings"], told["interrupted"]) == ([], end is not let_go)
    assert code == told["exit_code"]
    assert {each["reason"] for each in told["requirements"]} <= {None, "not_observed", "no_traffic"}


def test_a_second_signal_gives_up_what_is_open(tmp_path: Path) -> None:
    """A server that responds once and then never again would be waited for; the verdict is printed once, and is whole."""

    def respond_once(talk: hostile.Talk) -> None:
        hostile.says(hostile.response(b"[]"))(talk) if len(server.seen) == 1 else hostile.hang(talk)

    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles" / "mixed.py"), "--headless", "-u", "2"]
    command += ["--only-summary", "--sora-timeout", "10m", "--sora-output", str(tmp_path)]
    with hostile.serve(respond_once) as server:
        process = forked.start(
            [*command, "--host", server.url], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            while len(server.seen) < 3:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            while process.poll() is None:  # a second one that comes at once counts as the same
                process.send_signal(signal.SIGHUP)
                time.sleep(0.2)
            _, said = process.communicate(timeout=50)
        finally:
            process.kill()
            process.wait()
    told = json.loads((tmp_path / "verdict.json").read_text())
    assert (process.returncode, told["interrupted"], told["findings"]) == (3, True, []), said
    assert counts(told) == [3, 1, 0, 2]
    assert "Traceback" not in said and said.count("(exit 3)") == 1, said


def test_a_worker_that_dies_is_named_and_what_it_had_spooled_is_kept(tmp_path: Path) -> None:
    """The verdict is at best inconclusive."""
    code, told, served = run(kill_a_worker, tmp_path / "out", "-t", "60s")
    assert (code, told["verdict"]) == (3, "inconclusive")
    assert re.search(r"worker \S+ never reported", told["reason"])
    sent, judged, errors, abandoned = counts(told)
    assert 0 < sent == judged + errors + abandoned <= served
    assert 0 < told["coverage"]["exchanges"] <= served


def test_a_worker_of_another_version_is_named(tmp_path: Path) -> None:
    """Its reports are in another form: the master neither waits for another one nor logs a traceback for each."""
    (tmp_path / "old").mkdir()
    code, told, _ = run(let_go, tmp_path / "out", "-t", "2s", slow=Customized(tmp_path / "old", OF_ANOTHER_VERSION))
    assert (code, told["verdict"]) == (4, "inconclusive")
    assert len(re.findall(r"worker \S+ failed: a message can.t be read", told["reason"])) == 2
