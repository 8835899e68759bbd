"""The page that says how far the simulator is to be believed keeps up with the simulator."""

from __future__ import annotations

import pytest

from sora_stats_harness.simulator import fidelity_page as fidelity
from sora_stats_harness.simulator import fidelity_world_facts as fidelity_world
from sora_stats_harness.simulator import request_parser as wire
from sora_stats_harness.simulator.fault_interface import SimulatedResponse

TARGET = b"Sora_20170529.GetStatsConnection"

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
    """Whatever the simulator refuses a request with is told on the page, as measured."""
    reply = wire.parse_request(method, "/", targets, body)
    assert isinstance(reply, SimulatedResponse)
    assert f'"{error}"'.encode() in reply.body
    assert {fact.status for fact in fidelity.API_FACTS if f"`{error}`" in fact.behaviour} == {"measured"}


def test_each_behaviour_stands_on_the_page_once() -> None:
    """Every fact is a row, none is told twice, and each kind of knowledge is explained."""
    page = fidelity.render_fidelity_page()
    facts = [*fidelity.API_FACTS, *fidelity_world.WORLD_FACTS]
    assert len({fact.behaviour for fact in facts}) == len(facts)
    for fact in facts:
        assert page.count(f"\n| {fact.behaviour} | {fact.status} | {fact.source} |\n") == 1
    for status in {fact.status for fact in facts}:
        assert page.count(f"- **{status}**: ") == 1
