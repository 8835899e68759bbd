"""A recording is answered from in its order, and never goes back in time for whoever asks, in whatever order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sora_stats_harness.simulator.played import Played, Recorded, connections_in
from sora_stats_harness.simulator.wire import Asked

ALL, CONNECTION, CLIENT = "GetStatsAllConnections", "GetStatsConnection", "GetStatsClient"


def recorded(
    at: tuple[int, int],
    operation: str,
    value: Any,
    *,
    node: int = 0,
    status: int = 200,
    clock: int = 0,
    **arguments: Any,
) -> Recorded:
    """An answer by when its request was sent and it came back; ids of connections are its keys `connection_id`."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Recorded(
        sent=(clock, at[0]), received=(clock, at[1]), node=node, operation=operation, arguments=arguments,
        connections=connections_in(operation, body) if status == 200 else (), status=status,
        headers=(("content-type", "application/json"),), body=lambda: body,
    )  # fmt: skip


def reading(connection_id: str, counter: int) -> dict[str, Any]:
    return {"connection_id": connection_id, "total": counter}


def ask(played: Played, operation: str, *, node: int = 0, **arguments: Any) -> Any:
    reply = played.reply(node, Asked(operation=operation, arguments=arguments))
    return json.loads(reply.body) if reply.status == 200 else reply.status


def one(connection_id: str) -> dict[str, Any]:
    return {"channel_id": "sora", "connection_id": connection_id}


def test_answers_come_in_recorded_order_and_stay_at_the_last() -> None:
    """The n-th request about the same ids gets the n-th answer; to begin anew would let counters fall."""
    played = Played([recorded((n, n), CONNECTION, reading("a", n), **one("a")) for n in range(3)])
    assert [ask(played, CONNECTION, **one("a"))["total"] for _ in range(5)] == [0, 1, 2, 2, 2]
    assert played.answers == 3


def test_other_ids_are_lines_of_their_own() -> None:
    """Two connections are answered independently of each other; what is in no answer is an unknown id."""
    played = Played([recorded((n, n), CONNECTION, reading(key, n), **one(key)) for n in range(2) for key in "ab"])
    asked = [ask(played, CONNECTION, **one(key))["total"] for key in "bbab"]
    assert asked == [0, 1, 0, 1]
    assert ask(played, CONNECTION, **one("c")) == 400
    assert ask(played, CLIENT, channel_id="sora", client_id="a") == 400


def test_what_would_go_back_in_time_is_passed_over() -> None:
    """After a listing, answers about its connections that had been asked for before it was in are not given any more."""
    played = Played([
        recorded((0, 1), CONNECTION, reading("a", 1), **one("a")),
        recorded((2, 5), ALL, [reading("a", 5)], local=True),
        recorded((4, 6), CONNECTION, reading("a", 4), **one("a")),  # overlaps the listing, read before it
        recorded((7, 8), CONNECTION, reading("a", 8), **one("a")),
    ])  # fmt: skip
    assert [each["total"] for each in ask(played, ALL)] == [5]
    assert ask(played, CONNECTION, **one("a"))["total"] == 8


def test_a_line_at_its_end_shows_connections_as_they_were_last_shown() -> None:
    """A listing that was recorded once goes on with what later answers say, to the byte, in its own order."""
    played = Played([
        recorded((0, 1), ALL, [reading("b", 1), reading("a", 1)], local=True),
        recorded((2, 3), CLIENT, [reading("a", 2**70)], channel_id="sora", client_id="x"),
    ])  # fmt: skip
    assert ask(played, ALL) == [reading("b", 1), reading("a", 1)]
    assert ask(played, CLIENT, channel_id="sora", client_id="x") == [reading("a", 2**70)]
    assert ask(played, ALL) == [reading("b", 1), reading("a", 2**70)]


def test_what_cannot_be_taken_apart_is_given_as_it_is() -> None:
    """Bodies without ids, refusals and what is no JSON play like any other answer, and repeat as they are."""
    values = [["x"], {"error_type": "NotFound"}]
    played = Played([
        recorded((0, 1), ALL, values[0], local=True),
        recorded((2, 3), CONNECTION, values[1], status=400, **one("a")),
    ])  # fmt: skip
    assert ask(played, ALL) == ask(played, ALL) == ["x"]
    assert ask(played, CONNECTION, **one("a")) == ask(played, CONNECTION, **one("a")) == 400


@pytest.mark.parametrize(("nodes", "expected"), [(1, [reading("a", 1)]), (2, 400)])
def test_one_node_is_the_whole_cluster(nodes: int, expected: Any) -> None:
    """Where `local: false` was never recorded, a single node answers it with its listing; one of several cannot."""
    answers = [recorded((n, n), ALL, [reading("a", 1)], node=n, local=True) for n in range(nodes)]
    played = Played(answers)
    assert played.nodes == nodes
    assert ask(played, ALL, local=False) == expected
    assert ask(played, ALL, node=nodes - 1) == [reading("a", 1)]


def test_a_later_clock_is_later() -> None:
    """Runs are played one after the other, though each has a clock that may show less than the one before."""
    played = Played([
        recorded((100, 101), ALL, [reading("a", 1)], local=True), recorded((5, 6), ALL, [reading("a", 2)], clock=1, local=True),
    ])  # fmt: skip
    assert [ask(played, ALL)[0]["total"] for _ in range(2)] == [1, 2]
