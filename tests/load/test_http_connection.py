"""The load client over real sockets: what it keeps, what it never uses again, and what it says of a server."""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from collections.abc import Iterator

import gevent
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import RequestRefusedError
from sora_stats_harness.api.exchange import TARGET_HEADER, ErrorCode, Exchange, Request, Target, make_valid_request
from sora_stats_harness.api.server_address import ServerAddress, SocketAddress
from sora_stats_harness.api.server_route import Route
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.load.http_connection import HttpConnection, resolve_server
from sora_stats_harness.load.prepared_request import prepare_request
from sora_stats_harness.load.transport_stats import TransportStats
from sora_stats_harness.simulator.server import Simulator
from tests import hostile
from tests.load.build import Clerk, connection, listing


def counted(url: str) -> tuple[HttpConnection, TransportStats, Clerk]:
    """A connection to a server, what is counted of it, and who hands out its tickets."""
    address = resolve_server(url)
    assert isinstance(address, ServerAddress)
    traffic = TransportStats()
    return HttpConnection(address, traffic), traffic, Clerk()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A good server."""
    with Simulator(connections=3) as running:
        yield running


def ask(behaviour: hostile.Behaviour, *, timeout_s: float = 0.5) -> tuple[Exchange, HttpConnection]:
    """One listing from a misbehaving server."""
    with hostile.serve(behaviour) as server:
        client = connection(server.url, timeout_s=timeout_s)
        exchange = client.send(Clerk(), listing(server.url))
        client.close()
    return exchange, client


def test_many_requests_go_over_one_connection_and_are_judged(simulator: Simulator) -> None:
    """Kept alive, in order, each with the kernel's time of arrival within the exchange; nothing is found."""
    judge = Judge(edition.load_edition())
    address = resolve_server(simulator.url)
    assert isinstance(address, ServerAddress)
    traffic = TransportStats()
    client = HttpConnection(address, traffic)
    exchanges = [client.send(judge, listing(simulator.url)) for _ in range(30)]
    client.close()
    assert traffic.connects == 1
    assert all(each.error is None and each.response is not None for each in exchanges)
    stamped = [each for each in exchanges if each.arrived_ns is not None]
    assert all(each.sent_ns <= (each.arrived_ns or 0) <= each.received_ns for each in stamped)
    judge.finish()
    assert judge.result().findings == []
    assert judge.result().coverage.samples == 90


def test_large_responses_are_judged_in_slices() -> None:
    """More than 256 KiB: 30 connections of 13 KB."""
    with Simulator(connections=30) as simulator:
        clerk = Clerk()
        client = connection(simulator.url)
        client.send(clerk, listing(simulator.url))
        client.close()
    assert clerk.sliced == 1


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (hostile.hang, ErrorCode.TIMEOUT),
        (hostile.slow_headers, ErrorCode.TIMEOUT),
        (hostile.slow_body, ErrorCode.TIMEOUT),
        (hostile.close_at_once, ErrorCode.RESET),
        (hostile.reset, ErrorCode.RESET),
        (hostile.says(hostile.CUT), ErrorCode.CUT),
        (hostile.says(hostile.CUT_CHUNKED), ErrorCode.CUT),
        (hostile.says(hostile.GARBAGE), ErrorCode.PROTOCOL),
    ],
    ids=lambda value: getattr(value, "__name__", None) or getattr(value, "name", None),
)
def test_a_misbehaving_server_is_told_by_its_code(behaviour: hostile.Behaviour, code: ErrorCode) -> None:
    """Never an exception; and the client rests before it asks again."""
    exchange, client = ask(behaviour)
    assert exchange.error is not None
    assert exchange.error.code is code
    assert "\n" not in exchange.error.detail
    assert client.backoff_s > 0


def test_a_second_response_in_one_go_is_a_fault_of_the_first() -> None:
    """The first is judged, the second never taken for one, and the connection is not used again."""
    with hostile.serve(hostile.says(hostile.TWO_RESPONSES)) as server:
        client, traffic, clerk = counted(server.url)
        exchanges = [client.send(clerk, listing(server.url)) for _ in range(2)]
        client.close()
    assert [each.response.body for each in exchanges if each.response is not None] == [b"[]", b"[]"]
    assert [[fault.code for fault in each.faults] for each in exchanges] == [["surplus"], ["surplus"]]
    assert traffic.connects == 2


def test_a_late_response_is_never_taken_for_the_next_one() -> None:
    """After a time-out the socket is closed: the second request goes over another one."""
    with hostile.serve(hostile.late_response(0.4, hostile.response(b"[]"))) as server:
        clerk = Clerk()
        client = connection(server.url, timeout_s=0.2)
        first = client.send(clerk, listing(server.url))
        second = client.send(clerk, listing(server.url))
        client.close()
    assert [each.error.code for each in (first, second) if each.error is not None] == [ErrorCode.TIMEOUT] * 2
    assert len(clerk.ended) == 2


REQUEST_TIMEOUT = b"HTTP/1.0 408 Request Timeout\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("stray", "faults"),
    [
        (hostile.response(b'["stray"]'), ["unasked"]),
        (b"x", ["unasked"]),
        (b"\r\n", ["blank_line"]),
        (REQUEST_TIMEOUT, []),
        (b"", []),
    ],
    ids=["a response", "a byte", "a blank line", "a time-out", "the end"],
)
def test_what_comes_between_two_requests_is_never_taken_for_a_response(
    stray: bytes, faults: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server says unasked, or if it closes: the next request goes over another connection, and gets a response there."""
    monkeypatch.setattr("sora_stats_harness.load.http_connection.MIN_IDLE_BEFORE_CHECK_NS", 0)
    numbers = itertools.count(1)
    read, strayed = threading.Event(), threading.Event()

    def behave(talk: hostile.Talk) -> None:
        number = next(numbers)
        talk.write(hostile.response(b"[%d]" % number))
        if number == 1:
            read.wait(10)
            talk.write(stray) if stray else talk.socket.shutdown(socket.SHUT_WR)
            strayed.set()
        talk.over.wait()

    with hostile.serve(behave) as server:
        client, traffic, clerk = counted(server.url)
        first = client.send(clerk, listing(server.url))
        read.set()
        assert strayed.wait(10)
        second = client.send(clerk, listing(server.url))
        client.close()
    assert [each.response.body for each in (first, second) if each.response is not None] == [b"[1]", b"[2]"]
    assert (traffic.connects, traffic.unsolicited, traffic.idle_closes) == (2, 1 if stray else 0, 0)
    assert [[fault.code for fault in each.faults] for each in (first, second)] == [[], faults]


def test_a_server_that_was_seen_to_close_unasked_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once after a response as well: one request may meet it, and then no more do."""

    def behave(talk: hostile.Talk) -> None:
        talk.write(hostile.response(b"[]"))

    looks: list[bool] = []
    quiet = HttpConnection._has_no_stray_data

    def looking(self: HttpConnection) -> bool:
        looks.append(quiet(self))
        return looks[-1]

    monkeypatch.setattr(HttpConnection, "_has_no_stray_data", looking)
    monkeypatch.setattr("sora_stats_harness.load.http_connection.MIN_IDLE_BEFORE_CHECK_NS", 10**18)
    with hostile.serve(behave) as server:
        client, traffic, clerk = counted(server.url)
        for _ in range(4):
            client.send(clerk, listing(server.url))
            if client._socket is not None:
                select.select([client._socket.fileno()], [], [])  # until the server has closed
        client.close()
    met = [each.error is not None and each.error.code is ErrorCode.RESET for each in clerk.ended]
    assert [[fault.code for fault in each.faults] for each in clerk.ended] == [[], ["closed_unannounced"], [], []]
    assert met == [False, True, False, False]
    assert (traffic.idle_closes, traffic.connects, looks) == (1, 3, [False])


def test_connections_that_receive_at_one_time_do_not_mix() -> None:
    """All receive into the same memory: each body of many pieces is its own connection's."""
    numbers = itertools.count()

    def behave(talk: hostile.Talk) -> None:
        body = bytes([ord("a") + next(numbers)]) * 3_000_000
        data = hostile.response(body)
        for at in range(0, len(data), 100_000):
            talk.write(data[at : at + 100_000])
        talk.over.wait()

    with hostile.serve(behave) as server:
        address = resolve_server(server.url)
        assert isinstance(address, ServerAddress)
        traffic = TransportStats()
        clients = [HttpConnection(address, traffic, timeout_s=60) for _ in range(6)]
        asking = [gevent.spawn(client.send, Clerk(), listing(server.url)) for client in clients]
        gevent.joinall(asking, raise_error=True)
        for client in clients:
            client.close()
    bodies = [each.value.response.body for each in asking]
    assert sorted(bodies) == [letter.encode() * 3_000_000 for letter in "abcdef"]
    assert traffic.buffered_body_bytes == 0


def test_no_time_out_is_early() -> None:
    """Neither where nothing comes nor where something does again and again."""
    for behaviour in (hostile.hang, hostile.slow_body):
        began_ns = time.monotonic_ns()
        exchange, _ = ask(behaviour, timeout_s=0.3)
        assert exchange.error is not None and exchange.error.code is ErrorCode.TIMEOUT
        assert time.monotonic_ns() - began_ns >= 300_000_000


def test_a_closed_port_is_refused() -> None:
    """There is nobody: that is an exchange as well, with its reason."""
    url = hostile.closed_port()
    exchange = connection(url).send(Clerk(), listing(url))
    assert exchange.error is not None
    assert exchange.error.code is ErrorCode.REFUSED


def test_other_operations_cannot_even_be_prepared() -> None:
    """The port that responses statistics also disconnects users."""
    target = "Sora_20151104.DisconnectChannel"
    request = Request(server="http://127.0.0.1:1", headers=((TARGET_HEADER, target),), body=b"{}", target=None)
    with pytest.raises(RequestRefusedError):
        prepare_request(request)


def test_what_is_prepared_is_what_is_sent() -> None:
    """The bytes of a valid request, with its true length."""
    request = make_valid_request(Target.CONNECTION, server="http://h:1", channel_id="会", connection_id="x")
    data = prepare_request(request).request_bytes
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\nHost: h:1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert body == request.body


def test_a_server_that_closes_every_second_connection_without_a_word_is_found() -> None:
    """The lost requests are errors, told apart from a server that fails, and no reason to rest."""
    judge = Judge(edition.load_edition())
    with Simulator(connections=1, churn=False, faults=["closes-silently"]) as simulator:
        address = resolve_server(simulator.url)
        assert isinstance(address, ServerAddress)
        traffic = TransportStats()
        client = HttpConnection(address, traffic)
        exchanges = []
        for _ in range(30):
            exchanges.append(client.send(judge, listing(simulator.url)))
            assert client.backoff_s == 0
        client.close()
    judge.finish()
    lost = [each for each in exchanges if each.error is not None]
    assert {each.error.code for each in lost if each.error is not None} == {ErrorCode.RESET}
    assert traffic.idle_closes == len(lost) > 5
    assert {(entry.requirement, entry.level, entry.count) for entry in judge.result().findings} == {
        ("http.keep_alive", "HABIT", len(lost))
    }
    assert judge.outage is None


def test_a_single_close_is_worth_knowing_and_no_more() -> None:
    """A request may meet an idle time-out, which RFC 9112 lets a server have at any time."""
    judge = Judge(edition.load_edition())
    with Simulator(connections=1, churn=False, faults=["closes-silently:every=20,times=1"]) as simulator:
        client = connection(simulator.url)
        for _ in range(40):
            client.send(judge, listing(simulator.url))
        client.close()
    assert [(entry.requirement, entry.level) for entry in judge.result().findings] == [("http.keep_alive", "INFO")]


@pytest.mark.parametrize("order", [1, -1])
def test_all_addresses_of_a_name_are_tried(order: int) -> None:
    """A server that listens on one of the two addresses of `localhost` is reached, whichever comes first."""
    with hostile.serve(hostile.says(hostile.response(b"[]"))) as server:
        port = int(server.url.rpartition(":")[2])
        both = [SocketAddress(socket.AF_INET6, ("::1", port, 0, 0)), SocketAddress(socket.AF_INET, ("127.0.0.1", port))]
        url = f"http://localhost:{port}"
        address = ServerAddress(url, both[::order])
        for _ in range(2):
            client = HttpConnection(address, TransportStats())
            exchange = client.send(Clerk(), listing(url))
            client.close()
            assert exchange.error is None
    assert address.display_address == f"127.0.0.1:{port} (of 2 addresses)"


def test_where_no_address_takes_it_the_last_error_counts() -> None:
    """And none is tried beyond the time-out."""
    port = int(hostile.closed_port().rpartition(":")[2])
    url = f"http://localhost:{port}"
    address = ServerAddress(url, [SocketAddress(socket.AF_INET, (host, port)) for host in ("127.0.0.1", "127.0.0.2")])
    exchange = HttpConnection(address, TransportStats()).send(Clerk(), listing(url))
    assert exchange.error is not None and exchange.error.code is ErrorCode.REFUSED


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_large_body_is_received_whole(tls: bool) -> None:
    """Into memory of its own, and what follows it is noticed."""
    body = b"[" + b" " * 3_000_000 + b"]"
    behaviour = hostile.says(hostile.response(body) + b"more")
    with hostile.serve(behaviour, tls=hostile.self_signed() if tls else None) as server:
        address = resolve_server(server.url, Route(insecure=True))
        assert isinstance(address, ServerAddress)
        traffic = TransportStats()
        exchange = HttpConnection(address, traffic, timeout_s=30).send(Clerk(), listing(server.url))
    assert exchange.response is not None and exchange.response.body == body
    assert [fault.code for fault in exchange.faults] == ["surplus"]
    assert traffic.buffered_body_bytes == 0
