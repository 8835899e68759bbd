"""What GetStatsConnection and GetStatsClient find before a listing and after it is in the listing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sora_stats_harness.api.exchange import Request
from sora_stats_harness.judge import node_presence
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.judge.requirements import Finding, Level
from sora_stats_harness.judge.unlisted_connections import FoundConnections

from .build import DOC, IDS, MS, SERVER, Talk, ask, ask_client, connection, list_all
from .test_presence import exchange

OTHER = "http://127.0.0.1:3001"
Step = tuple[Request, Sequence[str]]
"""A request, and the connections in its response."""

ONE = (ask(IDS[0]), IDS[:1])
CLIENT = (ask_client(), IDS[:2])


def told(*steps: Step, every: int = 10, lasts: int = 5, nodes: Sequence[str] = ()) -> tuple[list[Finding], int]:
    """What is said of responses that follow each other, and how often identity.listed was checked."""
    findings: list[Finding] = []
    talk = Talk(Judge(DOC, on_finding=findings.append, options=JudgeOptions(nodes=nodes)))
    for place, (request, ids) in enumerate(steps):
        sent = place * every
        samples = [connection(each, stamp_ns=(sent + 1) * MS) for each in ids]
        single = request.asked.connection_id is not None
        talk.add(request, sent * MS, (sent + lasts) * MS, samples[0] if single else samples)
    return findings, talk.end().checked["identity.listed"]


@pytest.mark.parametrize(
    ("steps", "levels", "checked"),
    [
        pytest.param([ONE, (list_all(), IDS[:1]), ONE], [], 1, id="listed"),
        pytest.param([ONE, (list_all(), ()), ONE], [Level.HABIT], 1, id="not in what the node lists of itself"),
        pytest.param([ONE, (list_all(local=True), ()), ONE], [Level.HABIT], 1, id="the same, said in words"),
        pytest.param([ONE, (list_all(local=False), ()), ONE], [Level.MUST], 1, id="not in what it lists of all"),
        pytest.param([ONE, (list_all(local=False), ())], [], 0, id="it may have left"),
        pytest.param([(list_all(local=False), ()), ONE], [], 0, id="it may have come"),
        pytest.param(
            [CLIENT, (list_all(local=False), IDS[:1]), (ask(IDS[1]), IDS[1:2])], [Level.MUST], 1, id="one of a client's"
        ),
        pytest.param(
            [ONE, (list_all(local=False), ()), (list_all(local=False), ()), ONE], [Level.MUST] * 2, 2, id="twice"
        ),
        pytest.param([ONE, (list_all(server=OTHER), ()), ONE], [], 0, id="another server's listing"),
    ],
)
def test_a_listing_between_two_responses(steps: Sequence[Step], levels: list[Level], checked: int) -> None:
    """It has what both have."""
    findings, count = told(*steps)
    assert [(finding.requirement, finding.level) for finding in findings] == [
        ("identity.listed", each) for each in levels
    ]
    assert count == checked


@pytest.mark.parametrize(("lasts", "found"), [(9, 1), (10, 0), (11, 0)])
def test_responses_that_overlap_the_listing_prove_nothing(lasts: int, found: int) -> None:
    """Received at the very moment at which the other is sent is not before it."""
    assert len(told(ONE, (list_all(local=False), ()), ONE, lasts=lasts)[0]) == found


def test_the_proof_is_what_was_before_the_listing_and_what_came_after() -> None:
    """The finding names the connection and the targets that found it."""
    ((finding,), _) = told(CLIENT, (list_all(local=False), ()), ONE)
    assert [exchange.seq for exchange in finding.exchanges] == [0, 1, 2]
    assert finding.connection_id == IDS[0]
    assert finding.message == (
        "the listing lacks a connection that GetStatsClient and GetStatsConnection found before and after"
    )


def test_a_cluster_s_listing_has_what_any_node_found() -> None:
    """Where the nodes are known."""
    steps = (ONE, (list_all(local=False, server=OTHER), ()), ONE)
    assert told(*steps)[0] == []
    assert [each.requirement for each in told(*steps, nodes=(SERVER, OTHER))[0]] == ["identity.listed"]


@pytest.mark.parametrize("nodes", [(), (SERVER,)])
def test_servers_that_are_not_said_to_be_nodes_of_a_cluster_are_apart(nodes: Sequence[str]) -> None:
    """What one lists, or finds, need not be in what the other lists of all."""
    steps = ((list_all(), IDS[1:2]), ONE, (list_all(local=False, server=OTHER), ()), ONE, (list_all(), IDS[1:2]))
    assert told(*steps, nodes=nodes) == ([], 0)


def test_what_a_node_lists_itself_is_the_concern_of_other_requirements() -> None:
    """One fault, one finding: the union misses it, or the other targets do."""
    listing = (list_all(), IDS[:1])
    findings, _ = told(listing, ONE, (list_all(local=False, server=OTHER), ()), ONE, listing, nodes=(SERVER, OTHER))
    assert {each.requirement for each in findings} == {"cluster.union"}
    findings, _ = told(listing, ONE, (list_all(local=False), ()), ONE, listing)
    assert {each.requirement for each in findings} == {"identity.present"}


def found_again(found: FoundConnections, seq: int, id: str = "a") -> list[int]:
    """A response that has the connection; the listings that it proves wrong, by their numbers."""
    gaps = found.add_sighting(exchange(seq, 10 * seq, 10 * seq + 1), id)
    return [gap.exchange.key[1] for gap in gaps]


@pytest.mark.parametrize(("sent_ns", "proved"), [(10, []), (11, []), (12, [2])])
def test_a_listing_that_was_sent_before_the_first_response_had_arrived_proves_nothing(
    sent_ns: int, proved: list[int]
) -> None:
    """The connection may have come in between."""
    found = FoundConnections()
    found_again(found, 1)
    found.add_listing(exchange(2, sent_ns, 20), (), ())
    assert found_again(found, 5) == proved


def test_listings_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that lack the connection which waits for longest give way."""
    monkeypatch.setattr(node_presence, "MAX_PENDING_ABSENCES", 2)
    found = FoundConnections()
    for id in "ab":
        found_again(found, 1, id)
    found.add_listing(exchange(2, 20, 21), ("b",), ())
    found.add_listing(exchange(3, 30, 31), ("a",), ())
    found.add_listing(exchange(4, 40, 41), ("a",), ())
    assert (found_again(found, 6, "a"), found_again(found, 6, "b")) == ([], [3, 4])


def test_of_a_connection_that_is_forgotten_nothing_is_known() -> None:
    """It is found for the first time again."""
    found = FoundConnections()
    found_again(found, 1)
    found.remove_connection("a")
    found.add_listing(exchange(2, 20, 21), (), ())
    assert found_again(found, 3) == []
