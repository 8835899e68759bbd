"""How a session paces those who send by what can be judged."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import msgspec
import pytest
from gevent.event import Event

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import Exchange, Response, Target, make_valid_request
from sora_stats_harness.api.server_address import ServerAddress
from sora_stats_harness.load.http_connection import MAX_UNSLICED_BODY_BYTES, resolve_server
from sora_stats_harness.load.load_session import LoadSession
from sora_stats_harness.load.load_spec import LoadSpec
from sora_stats_harness.load.prepared_request import PreparedRequest, prepare_request
from sora_stats_harness.simulator.world import SimulatedWorld

SERVER = "http://127.0.0.1:3000"
LISTING = prepare_request(make_valid_request(Target.ALL, server=SERVER))
WORLD = SimulatedWorld(edition.load_edition(), seed=1, connections=40, churn=False)
WORLD.advance(1_000_000_000)
SMALL = b"[]"
LARGE = msgspec.json.encode(
    [each.read_sample(1_000_000_000, "2026-11-24T03:15:00.000000Z") for each in WORLD.connections_of_node(0)]
)


class Responding:
    """A connection to a server that responses at once; judging a large response goes on when `go` is set."""

    def __init__(self, body: bytes, go: Event) -> None:
        self._body = body
        self._go = go

    def send(self, clerk: LoadSession, prepared: PreparedRequest, intended_ns: int | None) -> Exchange:
        ticket = clerk.begin_exchange(prepared.request, intended_ns)
        response = Response(status=200, headers=(("content-type", "application/json"),), body=self._body)
        if len(self._body) > MAX_UNSLICED_BODY_BYTES:
            return ticket.complete_in_slices(response, self._go.wait)
        return ticket.complete(response)


@pytest.fixture
def session() -> LoadSession:
    address = resolve_server(SERVER)
    assert isinstance(address, ServerAddress)
    return LoadSession(edition.load_edition(), address, LoadSpec(edition=edition.DEFAULT_EDITION))


def test_whoever_has_a_large_response_waits_for_its_turn_to_be_judged(session: LoadSession) -> None:
    """Else dozens of them would pile up; a small one is not waited for."""
    go = Event()

    def sending(body: bytes) -> Callable[[], Exchange]:
        return lambda: session.send(Responding(body, go), LISTING, None)  # type: ignore[arg-type]  # as a connection

    assert len(LARGE) > MAX_UNSLICED_BODY_BYTES
    first = gevent.spawn(sending(LARGE))
    gevent.sleep(0)  # it goes on until it waits
    second, small = gevent.spawn(sending(LARGE)), gevent.spawn(sending(SMALL))
    small.join()  # which begins last
    assert len(session.judge.waiting) == 2
    assert small.ready()
    assert not first.ready() and not second.ready()
    go.set()
    gevent.joinall([first, second], timeout=10, raise_error=True)
    assert first.ready() and second.ready()
    assert len(session.judge.waiting) == 0
    assert session.metrics.judged == 3
