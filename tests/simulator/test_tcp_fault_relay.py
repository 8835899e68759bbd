"""What the relay does to responses, byte by byte: each way is what its fault says, and the rest passes unharmed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from sora_stats_harness.simulator.faults.transport import CONTENT_LENGTH_ERROR_BYTES
from sora_stats_harness.simulator.server import Simulator

from .raw import ALL, Told, ask, dial, everything, listing, parse, request

LISTING = request(ALL)


def mangled(fault: str) -> Simulator:
    """A simulator whose second response is mangled, and no other."""
    sign = "," if ":" in fault else ":"
    return Simulator(connections=1, churn=False, faults=[f"{fault}{sign}every=2,times=1"])


def second(simulator: Simulator, sent: bytes = LISTING) -> bytes:
    """The bytes of the second response, once the first has come whole."""
    assert_whole(ask(simulator.url, LISTING))
    with dial(simulator.url) as connection:
        connection.sendall(sent)
        return everything(connection)


def assert_whole(told: Told) -> None:
    assert told.status == 200
    assert told.header("content-length") == [str(len(told.body))]
    assert len(told.json()) == 1


def announced(data: bytes) -> tuple[int, Told]:
    """The Content-Length, and the response."""
    told = parse(data)
    return int(told.header("content-length")[0]), told


def test_cut_is_half_of_the_body_and_the_end() -> None:
    """The announced length is the true one."""
    with mangled("cut") as simulator:
        length, told = announced(second(simulator))
        assert len(told.body) == length // 2
        assert_whole(ask(simulator.url, LISTING))


def test_a_reset_is_one() -> None:
    """Half of the body comes before it."""
    with mangled("connection-reset") as simulator:
        assert_whole(ask(simulator.url, LISTING))
        got = b""
        with dial(simulator.url) as connection, pytest.raises(ConnectionResetError):  # noqa: PT012  # it comes late
            connection.sendall(LISTING)
            while part := connection.recv(1 << 16):
                got += part
        length, told = announced(got)
        assert len(told.body) == length // 2


def test_a_length_too_long_is_followed_by_the_end() -> None:
    """A whole document, and fewer bytes than announced."""
    with mangled("too-long") as simulator:
        length, told = announced(second(simulator))
        assert len(told.json()) == 1
        assert length == len(told.body) + CONTENT_LENGTH_ERROR_BYTES


def test_a_length_too_short_leaves_bytes_over() -> None:
    """What is announced is no whole document; refusals stay as they are."""
    with mangled("too-short") as simulator:
        length, told = announced(second(simulator))
        assert len(told.json()) == 1
        assert length == len(told.body) - CONTENT_LENGTH_ERROR_BYTES
    with mangled("too-short") as simulator:
        length, told = announced(second(simulator, request("Sora_20170529.NoSuchOperation")))
        assert (told.status, length) == (400, len(told.body))


def test_garbage_is_no_http() -> None:
    """Nothing of the response is sent."""
    with mangled("garbage") as simulator:
        assert not second(simulator).startswith(b"HTTP/")


def test_two_responses_come_at_once() -> None:
    """The same bytes twice."""
    with mangled("two-responses") as simulator:
        data = second(simulator)
        half = len(data) // 2
        assert data[:half] == data[half:]
        assert_whole(parse(data[:half]))


def test_a_drip_is_whole_in_the_end() -> None:
    """Byte by byte."""
    with mangled("drip:pause=0.0005") as simulator:
        assert_whole(ask(simulator.url, LISTING))
        with dial(simulator.url) as connection:
            connection.sendall(request(path="/elsewhere"))
            parts = []
            while part := connection.recv(1 << 16):
                parts.append(part)
        assert len(parts) > 100
        assert parse(b"".join(parts)).status == 404


def test_a_late_response_is_whole() -> None:
    """It comes on the same connection, and that stays of use."""
    with mangled("late-response:pause=0.3") as simulator:
        with dial(simulator.url) as connection:
            connection.sendall(request(ALL, close=False))
            begun = time.monotonic()
            connection.sendall(request(ALL, close=False) + LISTING)
            data = everything(connection)
        assert time.monotonic() - begun >= 0.3
        assert data.count(b"HTTP/1.1 200 OK") == 3


def test_a_hung_request_gets_nothing_and_others_are_served() -> None:
    """Until the client goes; then the relay lets go as well."""
    with mangled("hang") as simulator:
        assert_whole(ask(simulator.url, LISTING))
        with dial(simulator.url) as hung:
            hung.sendall(LISTING)
            assert_whole(ask(simulator.url, LISTING))
            hung.settimeout(0.2)
            with pytest.raises(TimeoutError):
                hung.recv(1)
        relay = simulator._relays[0]
        deadline = time.monotonic() + 20
        while relay._open:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("fault", "start"), [("endless-headers", b"HTTP/1.1 200 OK\r\n"), ("huge", b"HTTP/1.1 200 OK")]
)
def test_what_is_endless_goes_on_for_megabytes(fault: str, start: bytes) -> None:
    """And ends as soon as the client does."""
    with mangled(fault) as simulator:
        assert_whole(ask(simulator.url, LISTING))
        with dial(simulator.url) as connection:
            connection.sendall(LISTING)
            got = bytearray()
            while len(got) < 4 << 20:
                part = connection.recv(1 << 16)
                assert part
                got += part
        assert got.startswith(start)
        assert (b"\r\n\r\n" in got) == (fault == "huge")
        assert_whole(ask(simulator.url, LISTING))


@pytest.fixture(scope="module")
def unharmed() -> Iterator[Simulator]:
    """A simulator behind a relay that never strikes."""
    with Simulator(connections=2, nodes=2, churn=False, faults=["cut:every=1000000"]) as simulator:
        yield simulator


PASSED = [
    ("a listing", LISTING, 200),
    ("a chunked request", request(ALL, headers=("Transfer-Encoding: chunked",)) + b"2\r\n{}\r\n0\r\n\r\n", 200),
    ("a refusal", request(), 400),
    ("an empty response", request(path="/x"), 404),
    ("a response without a body", request(method="HEAD"), 400),
    ("a large body", request(ALL, b"x" * 8_000_001), 413),
    ("bytes that are no HTTP", b"GET / SSH-2.0\r\n\r\n", 400),
]


@pytest.mark.parametrize(("sentence", "sent", "status"), PASSED, ids=[row[0] for row in PASSED])
def test_the_rest_passes_unharmed(unharmed: Simulator, sentence: str, sent: bytes, status: int) -> None:
    """As if there were no relay."""
    told = ask(unharmed.url, sent)
    assert told.status == status
    assert told.header("server")
    if b"HEAD" not in sent and status != 400:
        assert told.header("content-length") == [str(len(told.body))]


def test_each_node_has_a_relay_of_its_own(unharmed: Simulator) -> None:
    """The URLs are theirs."""
    assert [len(listing(url)) for url in unharmed.urls] == [1, 1]


def test_a_relayed_connection_serves_many_requests(unharmed: Simulator) -> None:
    """One after the other, and closes when the client does."""
    with dial(unharmed.url) as connection:
        for _ in range(5):
            connection.sendall(request(ALL, close=False))
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection).count(b"HTTP/1.1 200 OK") == 5
