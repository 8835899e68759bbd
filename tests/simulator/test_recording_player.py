"""A recording gets a response from in its order, and never goes back in time for whoever asks, in whatever order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sora_stats_harness.simulator.recording_player import PlayableResponse, RecordingPlayer, connection_ids_in_body
from sora_stats_harness.simulator.request_parser import ParsedRequest

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
) -> PlayableResponse:
    """A response by when its request was sent and it came back; ids of connections are its keys `connection_id`."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return PlayableResponse(
        sent=(clock, at[0]),
        received=(clock, at[1]),
        node=node,
        operation=operation,
        arguments=arguments,
        connections=connection_ids_in_body(operation, body) if status == 200 else (),
        status=status,
        headers=(("content-type", "application/json"),),
        body=lambda: body,
    )


def sample(connection_id: str, counter: int) -> dict[str, Any]:
    return {"connection_id": connection_id, "total": counter}


def ask(played: RecordingPlayer, operation: str, *, node: int = 0, **arguments: Any) -> Any:
    reply = played.next_response(node, ParsedRequest(operation=operation, arguments=arguments))
    return json.loads(reply.body) if reply.status == 200 else reply.status


def one(connection_id: str) -> dict[str, Any]:
    return {"channel_id": "sora", "connection_id": connection_id}


def test_responses_come_in_recorded_order_and_stay_at_the_last() -> None:
    """The n-th request about the same ids gets the n-th response; to begin anew would let counters fall."""
    played = RecordingPlayer([recorded((n, n), CONNECTION, sample("a", n), **one("a")) for n in range(3)])
    assert [ask(played, CONNECTION, **one("a"))["total"] for _ in range(5)] == [0, 1, 2, 2, 2]
    assert played.responses == 3


def test_other_ids_are_lines_of_their_own() -> None:
    """Two connections get a response independently of each other; what is in no response is an unknown id."""
    played = RecordingPlayer(
        [recorded((n, n), CONNECTION, sample(key, n), **one(key)) for n in range(2) for key in "ab"]
    )
    asked = [ask(played, CONNECTION, **one(key))["total"] for key in "bbab"]
    assert asked == [0, 1, 0, 1]
    assert ask(played, CONNECTION, **one("c")) == 400
    assert ask(played, CLIENT, channel_id="sora", client_id="a") == 400


def test_what_would_go_back_in_time_is_passed_over() -> None:
    """After a listing, responses about its connections that had been asked for before it was in are not given any more."""
    played = RecordingPlayer(
        [
            recorded((0, 1), CONNECTION, sample("a", 1), **one("a")),
            recorded((2, 5), ALL, [sample("a", 5)], local=True),
            recorded((4, 6), CONNECTION, sample("a", 4), **one("a")),  # overlaps the listing, read before it
            recorded((7, 8), CONNECTION, sample("a", 8), **one("a")),
        ]
    )
    assert [each["total"] for each in ask(played, ALL)] == [5]
    assert ask(played, CONNECTION, **one("a"))["total"] == 8


def test_a_line_at_its_end_shows_connections_as_they_were_last_shown() -> None:
    """A listing that was recorded once goes on with what later responses say, to the byte, in its own order."""
    played = RecordingPlayer(
        [
            recorded((0, 1), ALL, [sample("b", 1), sample("a", 1)], local=True),
            recorded((2, 3), CLIENT, [sample("a", 2**70)], channel_id="sora", client_id="x"),
        ]
    )
    assert ask(played, ALL) == [sample("b", 1), sample("a", 1)]
    assert ask(played, CLIENT, channel_id="sora", client_id="x") == [sample("a", 2**70)]
    assert ask(played, ALL) == [sample("b", 1), sample("a", 2**70)]


def test_what_cannot_be_taken_apart_is_given_as_it_is() -> None:
    """Bodies without ids, refusals and what is no JSON play like any other response, and repeat as they are."""
    values = [["x"], {"error_type": "NotFound"}]
    played = RecordingPlayer(
        [
            recorded((0, 1), ALL, values[0], local=True),
            recorded((2, 3), CONNECTION, values[1], status=400, **one("a")),
        ]
    )
    assert ask(played, ALL) == ask(played, ALL) == ["x"]
    assert ask(played, CONNECTION, **one("a")) == ask(played, CONNECTION, **one("a")) == 400


@pytest.mark.parametrize(("nodes", "expected"), [(1, [sample("a", 1)]), (2, 400)])
def test_one_node_is_the_whole_cluster(nodes: int, expected: Any) -> None:
    """Where `local: false` was never recorded, a single node responds with its own listing; one of several cannot."""
    responses = [recorded((n, n), ALL, [sample("a", 1)], node=n, local=True) for n in range(nodes)]
    played = RecordingPlayer(responses)
    assert played.nodes == nodes
    assert ask(played, ALL, local=False) == expected
    assert ask(played, ALL, node=nodes - 1) == [sample("a", 1)]


def test_a_later_clock_is_later() -> None:
    """Runs are played one after the other, though each has a clock that may show less than the one before."""
    played = RecordingPlayer(
        [
            recorded((100, 101), ALL, [sample("a", 1)], local=True),
            recorded((5, 6), ALL, [sample("a", 2)], clock=1, local=True),
        ]
    )
    assert [ask(played, ALL)[0]["total"] for _ in range(2)] == [1, 2]
