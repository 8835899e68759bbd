"""What each entry point sends of each scenario, by what the server received; all of it in `make proof`, a little in the tests."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Final, Literal

from sora_stats_harness.load.scenarios import SCENARIOS
from sora_stats_harness.simulator.server import Simulator
from tests import forked
from tests.hostile import closed_port

LOCUSTFILES: Final = Path(__file__).parents[2] / "locustfiles"

CONNECTION, CLIENT, ALL = "GetStatsConnection", "GetStatsClient", "GetStatsAllConnections"

MIXES: Final = {
    **{name: {CONNECTION: 0.7, CLIENT: 0.29, ALL: 0.01} for name in ("mixed", "spike", "soak")},
    **{name: {ALL: 1.0} for name in ("scrape", "scrape-cluster")},
    "drill": {CONNECTION: 1.0},
}

Workers = Literal["1 process", "2 processes", "master"]

Entry = Callable[[str, str, str, float], list[str]]
"""From scenario, URL, a folder for reports and how much is to be sent to the words of a command."""

DEVIATION: Final = 0.03
"""That a share may be off, or what chance makes of so few requests: 4.5 standard deviations of a share of a half."""


def load(scenario: str, url: str, folder: str, scale: float) -> list[str]:
    """Open model; a spike is five times as much."""
    rate = {"spike": "250", "scrape": "30", "scrape-cluster": "30"}.get(scenario, "400")
    words = ["sora_stats_harness", "load", url, "--scenario", scenario, "--rate", rate, "--duration", f"{4 * scale:g}s"]
    return [*words, "--max-in-flight", "32", "--output", folder]


def capacity(scenario: str, url: str, folder: str, scale: float) -> list[str]:
    """One rate, twice: it passes, and is confirmed."""
    rate = "30" if scenario.startswith("scrape") else f"{100 * scale:g}"
    words = ["sora_stats_harness", "capacity", url, "--scenario", scenario, "--slo", "errors<30%"]
    return [*words, "--window", f"{500 * scale:g}ms", "--start", rate, "--max-rate", rate, "--output", folder]


def locust(scenario: str, url: str, folder: str, scale: float) -> list[str]:
    """Closed model, with users that send every 50 ms."""
    file = str(LOCUSTFILES / f"{scenario}.py")
    words = ["locust", "-f", file, "--headless", "-u", "20", "-r", "100", "-t", f"{ceil(5 * scale)}s"]
    words += ["--only-summary", "--host", url]
    return [*words, "--sora-interval", "0.5" if scenario == "scrape" else "0.05"]


CASES: Final[Sequence[tuple[Entry, str, Workers]]] = [
    (entry, scenario, workers)
    for entry, scenarios in (
        (load, MIXES),
        (capacity, [name for name in MIXES if name not in ("spike", "soak")]),
        (locust, [name for name in MIXES if name != "scrape-cluster"]),
    )
    for scenario in scenarios
    for workers in ("1 process", "2 processes", "master")
]


@dataclass(frozen=True)
class Counted:
    """What came of one run."""

    requests: int
    deviation: float
    """By how much the share is off that is furthest off."""
    listings: int
    cluster_listings: int
    """Those with `local: false`."""


def deviation(operations: Iterable[str], scenario: str) -> float:
    """By how much the share of any operation is off what the scenario says."""
    counts, wanted = Counter(operations), MIXES[scenario]
    return max(abs(counts[name] / counts.total() - wanted.get(name, 0.0)) for name in {*counts, *wanted})


def count(entry: Entry, scenario: str, workers: Workers, scale: float) -> Counted:
    """Run a case on a simulator."""
    connections = 5 if scenario.startswith("scrape") else 20
    with Simulator(connections=connections, churn=False) as simulator, tempfile.TemporaryDirectory() as folder:
        words = entry(scenario, simulator.url, folder, scale)
        port = closed_port().rpartition(":")[2]
        if workers == "1 process":
            _run_all(words)
        elif workers == "2 processes":
            _run_all([*words, "--processes", "2", *_ports(port, ours=entry is not locust)])
        else:
            as_worker = ["--worker", "--master-port", port]
            worker = [*words[:3], *as_worker] if entry is locust else [*words[:2], *as_worker]
            _run_all([*words, "--master", "--expect-workers", "2", "--master-bind-port", port], worker, worker)
        asked = [seen for seen in simulator.requests if seen.operation is not None]
    operations = [seen.operation for seen in asked if seen.operation is not None]
    return Counted(
        requests=len(operations),
        deviation=deviation(operations, scenario),
        listings=operations.count(ALL),
        cluster_listings=sum(seen.arguments.get("local") is False for seen in asked),
    )


def _ports(port: str, *, ours: bool) -> list[str]:
    return [] if ours else ["--master-bind-port", port, "--master-port", port]


def _run_all(*commands: Sequence[str]) -> None:
    """Run them side by side; each ends by itself."""
    with tempfile.TemporaryFile() as said:
        started = [forked.start([sys.executable, "-m", *words], stdout=said, stderr=said) for words in commands]
        try:
            codes = [each.wait(600) for each in started]
        finally:
            for each in started:
                each.kill()
                each.wait()
        said.seek(0)
        assert set(codes) == {0}, said.read().decode()


def count_all(cases: Iterable[tuple[Entry, str, Workers]], scale: float = 1) -> list[Counted]:
    """Run cases; each sends what its scenario says."""
    counted = []
    for entry, scenario, workers in cases:
        one = count(entry, scenario, workers, scale)
        what = f"{entry.__name__}, {scenario}, {workers}: {one}"
        assert one.requests >= 50, what
        assert one.deviation < max(DEVIATION, 4.5 * sqrt(0.25 / one.requests)), what
        if not scenario.startswith("scrape"):  # every third, of each process; each begins with some for the ids
            of_mix = one.listings if SCENARIOS[scenario].is_mixed else 0
            assert of_mix // 3 - 4 <= one.cluster_listings <= of_mix // 3, what
        counted.append(one)
    return counted
