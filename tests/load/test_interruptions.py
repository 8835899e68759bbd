"""Ctrl-C, SIGTERM and SIGHUP at any moment; `make proof` does hundreds of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sora_stats_harness.simulator.server import Simulator

from .interruptions import interrupt_once, interrupt_one_of_three


@pytest.mark.parametrize(("interrupt", "seed"), [(interrupt_once, 1), (interrupt_once, 7), (interrupt_one_of_three, 2)])
def test_a_signal_at_any_moment_leaves_whole_reports_or_one_line(
    interrupt: Callable[[str, Path, int], int], seed: int, tmp_path: Path
) -> None:
    """And a documented exit code; nothing hangs."""
    with Simulator(connections=3) as simulator:
        interrupt(simulator.url, tmp_path / "run", seed)
