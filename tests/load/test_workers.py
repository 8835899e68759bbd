"""`load --processes`: counts as of one process, one verdict over all, and no failure of a worker goes unnoticed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.recording.reader import open_recordings
from sora_stats_harness.simulator.server import Simulator
from tests import forked, hostile

from .build import EXAMPLE, Customized, Halved, SlowAtTheEnd
from .test_command import assert_check_says_the_same

Process = subprocess.Popen[str]


def start(url: str, *options: str, environment: Mapping[str, str] | None = None) -> Process:
    """Two processes and their parent, in a group of their own."""
    command = [sys.executable, "-m", "sora_stats_harness", "load", url, "--processes", "2", "--json", *options]
    return forked.start(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=environment
    )


def result(process: Process, end: Callable[[], None] = lambda: None) -> tuple[int, dict[str, Any]]:
    """Exit code and verdict; Any: JSON."""
    try:
        end()
        out, said = process.communicate(timeout=50)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert "Traceback" not in said, said
    assert out, said
    return process.returncode, json.loads(out)


def await_requests(process: Process, simulator: Simulator, more: int) -> None:
    """Until so many more were sent."""
    enough = len(simulator.requests) + more
    while len(simulator.requests) < enough:
        assert process.poll() is None
        time.sleep(0.02)


def interrupt(process: Process, simulator: Simulator) -> None:
    """As a terminal does: the whole group gets it."""
    os.killpg(process.pid, signal.SIGINT)


def terminate(process: Process, simulator: Simulator) -> None:
    """As a supervisor does: the parent alone gets it."""
    process.terminate()


def kill_one(process: Process, simulator: Simulator) -> None:
    """One of the two is gone at once; then the run is ended."""
    os.kill(forked.workers(process)[0], signal.SIGKILL)
    await_requests(process, simulator, 45)  # the other goes on
    process.terminate()


def let_go(process: Process, simulator: Simulator) -> None:
    """Nothing: its time ends it."""


def run(
    end: Callable[[Process, Simulator], None],
    folder: Path,
    *options: str,
    rate: int = 60,
    slow: SlowAtTheEnd | None = None,
) -> tuple[int, dict[str, Any], int]:
    """
    On a simulator, ended when a second of it is over; exit code, verdict, and how many requests it saw besides the one
    that looks what stands there.
    """
    with Simulator(connections=5) as simulator:
        process = start(
            simulator.url,
            "--rate",
            str(rate),
            "--output",
            str(folder / "out"),
            "--weights",  # in three seconds on a busy machine the usual mix may have one listing, which shows too little
            "connection=60,client=30,all=10",
            *options,
            environment=None if slow is None else slow.environment,
        )
        give_up_s = time.monotonic() + 30
        while len(simulator.requests) < rate:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < give_up_s, "they never began"
            time.sleep(0.05)
        if slow is not None:
            slow.begin()
        code, told = result(process, lambda: end(process, simulator))
        return code, told, len(simulator.requests) - 1


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    """Every request that was due is sent once, all are judged together, and the recording gives the same again."""
    path = tmp_path / "run.jsonl.zst"
    code, told, served = run(let_go, tmp_path, "--duration", "2s", "--record", str(path))
    load = told["load"]
    assert (code, told["verdict"], told["findings"]) == (0, "pass", [])
    assert load["sent"] == load["judged"] == served == told["coverage"]["exchanges"]
    assert (load["errors"], load["abandoned"], load["processes"]) == (0, 0, 2)
    assert abs(load["due"] + 2 - load["sent"]) <= 2  # each asks first who is there
    check = [sys.executable, "-m", "sora_stats_harness", "check", str(path), "--json"]
    again = forked.run(check, timeout=60)
    assert again.returncode == 0
    assert json.loads(again.stdout)["coverage"]["samples"] == told["coverage"]["samples"]
    assert list(tmp_path.glob("*.parts")) == []


@pytest.mark.parametrize(
    ("end", "lasts", "interrupted"),
    [(interrupt, "60s", True), (terminate, "60s", True), (let_go, "2s", False)],
)
def test_nothing_is_lost_at_the_end(
    end: Callable[[Process, Simulator], None], lasts: str, interrupted: bool, tmp_path: Path
) -> None:
    """Whoever ends the run, and although every judge then stands still for a second: what is in flight is waited for."""
    path = tmp_path / "run.jsonl.zst"
    code, told, served = run(end, tmp_path, "--duration", lasts, "--record", str(path), slow=SlowAtTheEnd(tmp_path))
    load = told["load"]
    assert (code, told["interrupted"], told["findings"]) == (3 if interrupted else 0, interrupted, []), told["reason"]
    assert [load[name] for name in ("sent", "judged", "errors", "abandoned")] == [served, served, 0, 0]
    assert told["coverage"]["exchanges"] == served
    assert_check_says_the_same(told, path)


def test_a_process_that_dies_is_named_and_what_it_had_spooled_is_judged(tmp_path: Path) -> None:
    """The verdict is at best inconclusive, its recording's as well, and what was sent stands beside what was planned."""
    path = tmp_path / "run.jsonl.zst"
    code, told, served = run(kill_one, tmp_path, "--duration", "60s", "--record", str(path))
    load = told["load"]
    assert (code, told["verdict"]) == (3, "inconclusive")
    assert re.search(r"worker 1 \(pid \d+\) was killed by signal 9", told["reason"])
    assert 0 < load["sent"] == load["judged"] + load["errors"] + load["abandoned"] <= served
    assert told["coverage"]["exchanges"] == load["sent"]
    assert load["due"] > load["sent"], "what the dead worker did not send counts as planned"
    assert load["planned_per_s"] == pytest.approx(60, rel=0.02)
    assert_check_says_the_same(told, path)


def stop_one_for_a_while(process: Process, simulator: Simulator) -> None:
    """
    One of the two does not run while the other sends 15 requests a second for four seconds, in which Locust would take
    it for dead; then it goes on.
    """
    worker = forked.workers(process)[0]
    os.kill(worker, signal.SIGSTOP)
    await_requests(process, simulator, 60)
    os.kill(worker, signal.SIGCONT)


def test_a_worker_that_was_stopped_is_named_and_goes_on(tmp_path: Path) -> None:
    """All that was due is sent, late, and judged."""
    code, told, served = run(stop_one_for_a_while, tmp_path, "--duration", "7s", rate=30)
    assert (code, told["verdict"], told["findings"]) == (0, "pass", [])
    assert [told["load"][name] for name in ("sent", "judged")] == [served, served]
    assert any(
        re.search(r"worker 1 \(pid \d+\) did not run for ([3-9]|\d\d)\.\d s", note)
        for note in told["coverage"]["notes"]
    )


def test_a_worker_that_cannot_start_is_named(tmp_path: Path) -> None:
    """The run ends at once, and nothing is sent but the request that looks what stands there."""
    (tmp_path / "lib").mkdir()
    broken = Customized(
        tmp_path / "lib",
        "import os\nimport sys\nif 'sora_stats_harness.load.worker' in sys.orig_argv:\n    os._exit(5)\n",
    )
    with Simulator(connections=1) as simulator:
        process = start(
            simulator.url,
            *("--rate", "50", "--duration", "60s", "--output", str(tmp_path / "out")),
            environment=broken.environment,
        )
        code, told = result(process)
        assert len(simulator.requests) == 1
    assert (code, told["verdict"]) == (3, "inconclusive")
    assert re.search(r"worker 1 \(pid \d+\) ended with status 5", told["reason"])


@pytest.mark.parametrize(("processes", "files"), [("1", ["run.jsonl.zst"]), ("2", ["1.jsonl.zst", "2.jsonl.zst"])])
def test_what_is_killed_as_a_whole_leaves_a_recording(processes: str, files: list[str], tmp_path: Path) -> None:
    """All but the last second of it can be judged by `check`; that its end is missing is said, and is no pass."""
    path = tmp_path / "run.jsonl.zst"
    with Simulator(connections=5) as simulator:
        process = start(
            simulator.url, "--rate", "50", "--duration", "60s", "--record", str(path), "--processes", processes
        )
        try:
            for sent in (40, 140):  # of which the last hundred took two seconds
                while len(simulator.requests) < sent:
                    assert process.poll() is None, process.communicate()
                    time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        served = len(simulator.requests)
    left = [path] if processes == "1" else sorted(Path(f"{path}.parts").iterdir())
    assert [each.name for each in left] == files
    check = [sys.executable, "-m", "sora_stats_harness", "check", *map(str, left), "--json"]
    done = forked.run(check, timeout=60)
    told = json.loads(done.stdout)
    assert 40 <= told["coverage"]["exchanges"] <= served
    assert (done.returncode, told["verdict"], told["findings"]) == (3, "inconclusive", [])
    assert told["coverage"]["truncated"]


def test_a_counter_that_falls_between_two_processes_is_found(tmp_path: Path) -> None:
    """Neither saw it fall: each has one connection, on which it stood still. Both responses prove it."""
    with hostile.serve(Halved()) as server:
        code, told = result(
            start(
                server.url,
                "--scenario",
                "drill",
                "--users",
                "2",
                "--sockets",
                "2",
                "--interval",
                "0.05",
                "--duration",
                "1s",
                "--output",
                str(tmp_path / "out"),
            )
        )
    assert code == 1
    # A process's first request is a listing, and may come after the other process was told 100: that falls as well.
    fallen = [
        each
        for each in told["findings"]
        if each["requirement"] == "counter.monotonic" and each["target"] == "GetStatsConnection"
    ]
    assert [each["field"] for each in fallen] == ["/sctp/total_received_sctp"]
    (_, first), (_, second) = fallen[0]["exchanges"]
    assert {first >> 40, second >> 40} == {0, 1}


class FallsOnce:
    """A server that counts its responses, and in one of them tells fewer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 1000

    def __call__(self, talk: hostile.Talk) -> None:
        request = talk.request
        while request:
            sample = json.loads(json.dumps(EXAMPLE))
            with self._lock:
                self._count += 1
                sample["sctp"]["total_received_sctp"] = self._count - 900 * (self._count == 1030)
            sample["timestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            talk.write(hostile.response(json.dumps([sample] if b"GetStatsAll" in request else sample).encode()))
            request = talk.socket.recv(65536)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_counter_that_falls_once_is_found_once(processes: str, tmp_path: Path) -> None:
    """Exit 1, one finding, and both responses beside it."""
    with hostile.serve(FallsOnce()) as server:
        code, told = result(
            start(
                server.url,
                "--scenario",
                "drill",
                "--users",
                "4",
                "--interval",
                "0.04",
                "--duration",
                "1s",
                "--processes",
                processes,
                "--output",
                str(tmp_path / "out"),
            )
        )
    assert code == 1
    (fallen,) = [each for each in told["findings"] if each["requirement"] == "counter.monotonic"]
    assert (fallen["field"], fallen["count"], fallen["actual"]) == ("/sctp/total_received_sctp", 1, "130")
    (evidence,) = fallen["evidence"]
    values = [
        json.loads(step.exchange.response.body)["sctp"]["total_received_sctp"]
        for step in open_recordings([tmp_path / "out" / evidence])
        if step.exchange.response is not None
    ]
    assert len(values) == 2
    assert values[1] == 130 < 1000 < values[0]


def test_nobody_there_is_inconclusive(tmp_path: Path) -> None:
    """Each process tries, and says why it gave up."""
    code, told = result(
        start("http://127.0.0.1:9", "--rate", "100", "--duration", "40s", "--output", str(tmp_path / "out"))
    )
    assert (code, told["verdict"]) == (3, "inconclusive")
    assert "refused" in told["reason"]
