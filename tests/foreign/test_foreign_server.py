"""The judge on a correct server that it doesn't know: nothing is found; and on one with a fault: that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .faults import FAULTS
from .running import run_on_foreign_server

TORN: dict[str, Any] = {  # Any: as Manners
    "nodes": 2,
    "connections": 9,
    "late_s": 0.15,
    "listing_s": 0.05,
    "stamp_first": False,
    "step_s": 0.4,
    "changes_per_s": 3,
}


@pytest.mark.parametrize(
    ("command", "limit", "manners"),
    [("conform", ("--max-duration", "10"), TORN), ("load", ("--duration", "2s"), {"listing_s": 0.02})],
)
def test_a_correct_server_has_no_findings(
    command: str, limit: tuple[str, str], manners: dict[str, Any], tmp_path: Path
) -> None:
    """However its counters are read, its clocks step, and its connections come and go."""
    outcome = run_on_foreign_server(command, "none", tmp_path, *limit, manners=manners)
    assert outcome.verdict["verdict"] == "pass", (outcome.verdict["reason"], outcome.verdict["findings"])
    assert outcome.requirements("MUST", "PROVEN", "HABIT") == set()


@pytest.mark.parametrize("fault", ["one-counter-falls-once", "bytes-are-5-percent-too-high", "one-is-never-listed"])
def test_a_fault_is_found(fault: str, tmp_path: Path) -> None:
    """Some of them; `make proof` plants all."""
    outcome = run_on_foreign_server(FAULTS[fault].command, fault, tmp_path)
    assert outcome.requirements("MUST", "PROVEN", "HABIT") & set(FAULTS[fault].found_by), outcome.verdict["findings"]
