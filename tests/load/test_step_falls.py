"""Counters that fell between two workers, from one step to the next: histories small enough to check by eye."""

from __future__ import annotations

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.judge.edition_decoder import EditionDecoder
from sora_stats_harness.load.sample_trail import NotedSample
from sora_stats_harness.load.step_falls import StepFallFinder

EDITION = load_edition("doc-2024")


def sample(value: int, *, server: str = "http://127.0.0.1:3000", number: int = 0) -> NotedSample:
    """A sample whose first counter has this value; all others are absent."""
    first, *rest = EditionDecoder(EDITION).blocks
    counters = [value] + [-1] * (len(first.counters) - 1)
    blocks = [counters, *(None for _ in rest)]
    return NotedSample(server=server, stamp_ns=0, blocks=blocks, exchange=("run", number), target="GetStatsConnection")


@pytest.mark.parametrize(
    ("steps", "fallen"),
    [
        ([{0: 7}, {1: 5}], [("at least 7", "5")]),
        ([{0: 7, 1: 5}], []),  # of one step nobody knows which was first
        ([{0: 7, 1: 5}, {0: 7, 1: 5}], [("at least 7", "5")]),
        ([{0: 7}, {0: 5}], []),  # its own judge finds that
        ([{0: 7}, {1: 7}, {0: 8}], []),
        ([{0: 7}, {}, {1: 5}], [("at least 7", "5")]),
        ([{0: -1}, {1: 5}], []),
        ([{0: 7}, {1: -1}], []),
    ],
)
def test_what_ends_a_step_orders_the_workers(steps: list[dict[int, int]], fallen: list[tuple[str, str]]) -> None:
    """Each step maps workers to the value that they saw last of one connection."""
    finder = StepFallFinder(EDITION)
    found = [
        fall
        for step in steps
        for fall in finder.add_step({index: {"connection": sample(value)} for index, value in step.items()})
    ]
    assert [(each.finding.expected, each.finding.actual) for each in found] == fallen
    assert {each.finding.requirement for each in found} <= {"counter.monotonic"}


def test_connections_of_two_servers_are_not_compared() -> None:
    """Nor are two connections of one."""
    finder = StepFallFinder(EDITION)
    assert finder.add_step({0: {"a": sample(7), "b": sample(9)}}) == []
    assert finder.add_step({1: {"a": sample(5, server="http://127.0.0.2:3000"), "c": sample(5)}}) == []
