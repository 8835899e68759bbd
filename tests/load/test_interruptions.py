"""Ctrl-C, SIGTERM and SIGHUP at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from sora_stats_harness.simulator.server import Simulator

from .interruptions import interrupt_once


@pytest.mark.parametrize("first", range(0, 20, 5))
def test_a_signal_at_any_moment_leaves_whole_reports_or_one_line(first: int, tmp_path: Path) -> None:
    """And a documented exit code; nothing hangs. `make proof` does ten times as many."""
    with Simulator(connections=3) as simulator:
        for seed in range(first, first + 5):
            assert interrupt_once(simulator.url, tmp_path / str(seed), seed) == 3
