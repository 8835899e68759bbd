"""Each scenario's mix, by what the server received: the same whoever sends it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from sora_stats_harness.load.request_source import RequestSource

from .mixes import MIXES, Entry, Workers, capacity, count_all, deviation, load, locust

CHOOSING = """
import json
from collections import Counter

from sora_stats_harness.load.request_metrics import operation_name
from sora_stats_harness.load.scenarios import SCENARIOS
from sora_stats_harness.load.request_source import RequestSource
from sora_stats_harness.probe.discovery import KnownConnection

chosen = {}
for name, scenario in SCENARIOS.items():
    source = RequestSource("http://127.0.0.1:3000")
    source.known_connections = [
        KnownConnection(server="http://127.0.0.1:3000", channel_id="c", connection_id=str(number), client_id=str(number)) for number in range(20)
    ]
    chosen[name] = Counter(operation_name(scenario.choose(source).request) for _ in range(20_000))
print(json.dumps(chosen))
"""


def test_each_scenario_chooses_its_mix() -> None:
    """Of 20,000 requests, within one in a hundred; in a process of its own, for Locust replaces sockets."""
    done = subprocess.run([sys.executable, "-c", CHOOSING], capture_output=True, text=True, timeout=60, check=True)
    chosen = json.loads(done.stdout)
    assert chosen.keys() == MIXES.keys()
    for scenario, counts in chosen.items():
        assert deviation(Counter(counts).elements(), scenario) < 0.015


def test_workers_together_list_as_often_as_one() -> None:
    """A listing that the mix did not give is sent every so many seconds by all of them, not by each."""
    one, of_four = RequestSource("http://127.0.0.1:3000"), RequestSource("http://127.0.0.1:3000", workers=4)
    for each in (one, of_four):
        each.listing_request()
        each._listed_ns -= 3_000_000_000
    assert one.is_listing_due(2.0)
    assert not of_four.is_listing_due(2.0)


@pytest.mark.parametrize(
    ("entry", "workers", "scale"), [(load, "1 process", 0.5), (capacity, "2 processes", 1), (locust, "master", 0.5)]
)
def test_every_entry_point_sends_the_mix(entry: Entry, workers: Workers, scale: float) -> None:
    """Within 3 %, or what chance makes of so few; the other cases are in `make proof`, with more."""
    count_all([(entry, "mixed", workers)], scale)
