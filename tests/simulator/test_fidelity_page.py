"""docs/FIDELITY.md, which says how far the simulator is to be believed, keeps up with the simulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sora_stats_harness.simulator.fault_interface import SimulatedResponse
from sora_stats_harness.simulator.request_parser import parse_request

TARGET = b"Sora_20170529.GetStatsConnection"
PAGE = (Path(__file__).parents[2] / "docs" / "FIDELITY.md").read_text(encoding="utf-8")
FACTS = re.findall(r"^\| ([^|]+) \| (documented|measured|assumed) \| ([^|]+) \|$", PAGE, re.MULTILINE)
"""Behaviour, status and source."""

REFUSED: tuple[tuple[str, list[bytes], bytes, str], ...] = (
    ("GET", [TARGET], b"", "UnexpectedMethod"),
    ("POST", [], b"", "MissingHeaderName"),
    ("POST", [b""], b"", "MissingService"),
    ("POST", [TARGET, TARGET], b"", "MissingService"),
    ("POST", [b"Nobody_20170529.GetStatsConnection"], b"", "InvalidTarget"),
    ("POST", [b"Sora_20170529.Nothing"], b"", "MissingTarget"),
    ("POST", [b"Sora_20170529.Nothing"], b"{}", "SchemaNotFound"),
    ("POST", [TARGET], b"", "MissingTargetFunction"),
    ("POST", [TARGET], b"{", "InvalidJSON"),
    ("POST", [TARGET], b"{}", "InvalidJSON"),
)


@pytest.mark.parametrize(("method", "targets", "body", "error"), REFUSED)
def test_page_names_each_refusal(method: str, targets: list[bytes], body: bytes, error: str) -> None:
    """Whatever the simulator refuses a request with is on the page, as measured."""
    reply = parse_request(method, "/", targets, body)
    assert isinstance(reply, SimulatedResponse)
    assert f'"{error}"'.encode() in reply.body
    assert {status for behaviour, status, _ in FACTS if f"`{error}`" in behaviour} == {"measured"}


def test_each_behaviour_stands_on_the_page_once() -> None:
    """Every row of a table is a fact, none is told twice, and each status is explained."""
    assert len({behaviour for behaviour, _, _ in FACTS}) == len(FACTS) > 60
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and line != "| behaviour | status | source |"]
    assert len(rows) == len(FACTS) + 2
    for status in {status for _, status, _ in FACTS}:
        assert PAGE.count(f"- **{status}**: ") == 1
