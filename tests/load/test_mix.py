"""Each scenario's mix, by what the server received: the same whoever sends it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from sora_stats_harness.load.request_source import RequestSource
from sora_stats_harness.simulator.server import Simulator
from tests.hostile import closed_port

ROOT = Path(__file__).parents[2]
CONNECTION, CLIENT, ALL = "GetStatsConnection", "GetStatsClient", "GetStatsAllConnections"
MIXES = {
    **{name: {CONNECTION: 0.7, CLIENT: 0.29, ALL: 0.01} for name in ("mixed", "spike", "soak")},
    **{name: {ALL: 1.0} for name in ("scrape", "scrape-cluster")},
    "drill": {CONNECTION: 1.0},
}


def shares(operations: Iterable[str | None]) -> dict[str, float]:
    """Which part of the requests each operation is."""
    counts = Counter(each for each in operations if each is not None)
    return {name: count / counts.total() for name, count in counts.items()}


def assert_mix(found: dict[str, float], scenario: str, *, within: float) -> None:
    """Each operation's share is near to that of the scenario."""
    wanted = MIXES[scenario]
    for name in {*found, *wanted}:
        assert abs(found.get(name, 0.0) - wanted.get(name, 0.0)) < within, (name, found)


CHOOSING = """
import json
from collections import Counter

from sora_stats_harness.load.scenarios import SCENARIOS
from sora_stats_harness.load.request_source import RequestSource
from sora_stats_harness.probe.discovery import KnownConnection

chosen = {}
for name, scenario in SCENARIOS.items():
    source = RequestSource("http://127.0.0.1:3000")
    source.known_connections = [
        KnownConnection(server="http://127.0.0.1:3000", channel_id="c", connection_id=str(number), client_id=str(number)) for number in range(20)
    ]
    chosen[name] = Counter(scenario.choose(source).operation_name for _ in range(20_000))
print(json.dumps(chosen))
"""


def test_each_scenario_chooses_its_mix() -> None:
    """Of 20,000 requests, within one in a hundred; in a process of its own, for Locust replaces sockets."""
    done = subprocess.run([sys.executable, "-c", CHOOSING], capture_output=True, text=True, timeout=60, check=True)
    chosen = json.loads(done.stdout)
    assert chosen.keys() == MIXES.keys()
    for scenario, counts in chosen.items():
        assert_mix(shares(Counter(counts).elements()), scenario, within=0.01)


def test_workers_together_list_as_often_as_one() -> None:
    """A listing that the mix did not give is sent every so many seconds by all of them, not by each."""
    one, of_four = RequestSource("http://127.0.0.1:3000"), RequestSource("http://127.0.0.1:3000", workers=4)
    for each in (one, of_four):
        each.listing_request()
        each._listed_ns -= 3_000_000_000
    assert one.is_listing_due(2.0)
    assert not of_four.is_listing_due(2.0)


def load(url: str, folder: Path) -> list[str]:
    return ["load", url, "--rate", "250", "--duration", "6s", "--output", str(folder / "out")]


def capacity(url: str, folder: Path) -> list[str]:
    words = ["capacity", url, "--slo", "p50<200ms", "--window", "1500ms", "--start", "250", "--max-rate", "250"]
    return [*words, "--output", str(folder / "out")]


def locust(url: str, folder: Path) -> list[str]:
    file = str(ROOT / "locustfiles" / "mixed.py")
    words = ["-m", "locust", "-f", file, "--headless", "-u", "25", "-r", "100", "-t", "7s", "--only-summary"]
    return [*words, "--host", url, "--sora-interval", "0.1"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("entry", [load, capacity, locust])
def test_every_entry_point_sends_the_mix(entry: object, workers: int, tmp_path: Path) -> None:
    """1,200 requests or more, within five in a hundred: 3.8 times what chance makes of a share of 70."""
    with Simulator(connections=20, churn=False) as simulator:
        words = entry(simulator.url, tmp_path)  # type: ignore[operator]  # one of three
        words = words if entry is locust else ["-m", "sora_stats_harness", *words]
        if workers > 1:
            words += ["--processes", str(workers)]
            if entry is locust:
                port = closed_port().rpartition(":")[2]
                words += ["--master-bind-port", port, "--master-port", port]
        subprocess.run([sys.executable, *words], capture_output=True, timeout=120, check=False)
        operations = [seen.operation for seen in simulator.requests]
    assert len(operations) > 1200
    assert_mix(shares(operations), "mixed", within=0.05)
