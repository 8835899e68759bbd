"""A correct server is accused of nothing, however slow it is; `make proof` polls it for much longer."""

from __future__ import annotations

from collections import Counter

from sora_stats_harness.api.edition import load_edition

from . import slow_server


def test_a_slow_server_is_accused_of_nothing() -> None:
    """Each service time from 0 to 2 s, one and three nodes, torn reads with their tear stated."""
    edition = load_edition()
    total: Counter[str] = Counter()
    for seed in range(2 * len(slow_server.SERVICE_TIMES_S)):
        total += slow_server.judge_slow_server(edition, seed, exchanges=60)
    assert total["exchanges"] == 14 * 60
    assert min(total["samples"], total["overlapping"]) > 100
