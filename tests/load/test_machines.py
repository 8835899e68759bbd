"""A master here and two workers on machines of their own, which share neither a network nor a clock with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.simulator.server import Simulator
from tests import hostile

from .build import ByAddress
from .machines import Machine, machines, with_hosts

FALLEN = ("/sctp/total_received_sctp", "at least 100", "50")

ANYWHERE = "0.0.0.0"  # the workers' networks are ours


def run(there: Sequence[Machine], words: Sequence[str], url: str, folder: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and verdict of a master with a worker on each machine."""  # Any: JSON
    port = hostile.closed_port().rpartition(":")[2]
    program = [sys.executable, "-m", "sora_stats_harness", words[0]]
    workers = [
        subprocess.Popen(
            machine.command([*program, "--worker", "--master-host", machine.host_address, "--master-port", port]),
            stderr=subprocess.PIPE,
            text=True,
        )
        for machine in there
    ]
    try:
        as_master = ["--master", "--expect-workers", str(len(there)), "--master-bind-host", ANYWHERE]
        master = subprocess.run(
            [*program, url, *words[1:], *as_master, "--master-bind-port", port, "--json", "--output", str(folder)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert master.stdout, master.stderr
        for worker, machine in zip(workers, there, strict=True):
            _, said = worker.communicate(timeout=60)
            assert (worker.returncode, said) == (0, f"working for the master at {machine.host_address}:{port}\n")
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return master.returncode, json.loads(master.stdout)


def reachable(url: str, there: Sequence[Machine]) -> str:
    """A URL of a server that listens everywhere, as the machines see it."""
    return f"http://{there[0].host_address}:{url.rpartition(':')[2]}"


def test_two_machines_do_what_one_does(tmp_path: Path) -> None:
    """Every request is sent once and judged; what the server saw is what is told."""
    with machines(2) as there, Simulator(connections=5, host=ANYWHERE) as simulator:
        url = reachable(simulator.url, there)
        words = ["load", "--rate", "60", "--duration", "2s", "--weights", "connection=60,client=25,all=15"]
        code, told = run(there, words, url, tmp_path / "out")
        served = len(simulator.requests)
    assert (code, told["reason"], told["findings"]) == (0, None, [])
    assert [told["load"][name] for name in ("sent", "judged", "errors", "abandoned")] == [served, served, 0, 0]
    assert any(note.startswith("2 workers are on other machines") for note in told["coverage"]["notes"])


def test_a_counter_that_falls_between_two_machines_ends_the_search(tmp_path: Path) -> None:
    """Each is told a value that stands still, and the second one a smaller one: what ends a step orders all of it."""
    search = ["capacity", "--slo", "errors<30%", "--scenario", "drill", "--window", "300ms", "--max-in-flight", "2"]
    search += ["--fail-on", "must"]  # halves of counters violate relations as well
    with machines(2) as there, hostile.serve(ByAddress(), host=ANYWHERE) as server:
        url = reachable(server.url, there)
        code, told = run(there, [*search, "--start", "20", "--max-rate", "20"], url, tmp_path / "out")
    assert (code, told["reason"]) == (1, "counter.monotonic is violated")
    assert told["capacity"]["limited_by"] == "a finding: counter.monotonic"
    fallen = [each for each in told["findings"] if each["requirement"] == "counter.monotonic"]
    assert {(each["field"], each["expected"], each["actual"]) for each in fallen} == {FALLEN}
    assert all(len({number >> 40 for _, number in each["exchanges"]}) == 2 for each in fallen)


LOCUST = ("-m", "locust", "-f", str(Path(__file__).parents[2] / "locustfiles" / "mixed.py"), "--headless", "-u", "2")


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "sora_stats_harness", "load", "{url}", "--rate", "50", "--duration", "2s", "--processes", "2"),
        (*LOCUST, "-t", "2s", "--host", "{url}"),
    ],
    ids=["load", "locust"],
)
def test_a_server_on_the_second_address_of_a_name_is_reached(words: Sequence[str], tmp_path: Path) -> None:
    """`localhost` is ::1 before 127.0.0.1 on many machines, and a server may listen on the latter only."""
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    with Simulator(connections=3, churn=False) as simulator:
        url = simulator.url.replace("127.0.0.1", "localhost")
        output = "--sora-output" if "locust" in words else "--output"
        command = [sys.executable, *(word.format(url=url) for word in words), output, str(tmp_path / "out")]
        done = subprocess.run(with_hosts(tmp_path / "hosts", command), capture_output=True, text=True, check=False)
    told = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert (told["load"]["errors"], told["findings"]) == (0, []), done.stderr
    assert told["load"]["judged"] > 10
    address = simulator.url.removeprefix("http://")
    assert f"{url} is {address} (of 2 addresses)" in told["coverage"]["notes"]
