"""How a session paces those who send by what can be judged."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import msgspec
import pytest
from gevent.event import Event

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import Answer, Exchange, Target, valid_request
from sora_stats_harness.load.http import IN_PLACE_BYTES, Address, resolve
from sora_stats_harness.load.session import Session
from sora_stats_harness.load.wire import Prepared, prepare
from sora_stats_harness.simulator.world import World

SERVER = "http://127.0.0.1:3000"
LISTING = prepare(valid_request(Target.ALL, server=SERVER))
WORLD = World(edition.load(), seed=1, connections=40, churn=False)
WORLD.advance(1_000_000_000)
SMALL = b"[]"
LARGE = msgspec.json.encode(
    [each.reading(1_000_000_000, "2026-11-24T03:15:00.000000Z") for each in WORLD.connections(0)]
)


class Answering:
    """A connection to a server that answers at once; judging a large answer goes on when `go` is set."""

    def __init__(self, body: bytes, go: Event) -> None:
        self._body = body
        self._go = go

    def send(self, clerk: Session, prepared: Prepared, intended_ns: int | None) -> Exchange:
        ticket = clerk.sent(prepared.request, intended_ns)
        answer = Answer(status=200, headers=(("content-type", "application/json"),), body=self._body)
        if len(self._body) > IN_PLACE_BYTES:
            return ticket.end_in_slices(answer, self._go.wait)
        return ticket.end(answer)


@pytest.fixture
def session() -> Session:
    address = resolve(SERVER)
    assert isinstance(address, Address)
    return Session(edition.load(), address)


def test_whoever_has_a_large_answer_waits_for_its_turn_to_be_judged(session: Session) -> None:
    """Else dozens of them would pile up; a small one is not waited for."""
    go = Event()

    def sending(body: bytes) -> Callable[[], Exchange]:
        return lambda: session.send(Answering(body, go), LISTING, None)  # type: ignore[arg-type]  # as a connection

    assert len(LARGE) > IN_PLACE_BYTES
    first = gevent.spawn(sending(LARGE))
    gevent.sleep(0.01)
    second, small = gevent.spawn(sending(LARGE)), gevent.spawn(sending(SMALL))
    gevent.sleep(0.01)
    assert session.judge.behind == 2
    assert small.ready()
    assert not first.ready() and not second.ready()
    go.set()
    gevent.joinall([first, second], timeout=10, raise_error=True)
    assert first.ready() and second.ready()
    assert session.judge.behind == 0
    assert session.metrics.judged == 3
