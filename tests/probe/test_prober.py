"""The prober brings back a response's bytes or one line of reason, and nothing else ever reaches a socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx
import pytest

from sora_stats_harness.api.errors import RequestRefusedError, UsageError
from sora_stats_harness.api.exchange import (
    ErrorCode,
    Exchange,
    Request,
    Response,
    Target,
    TransportError,
    make_valid_request,
)
from sora_stats_harness.api.http1_faults import FramingFault
from sora_stats_harness.api.server_address import SocketAddress
from sora_stats_harness.api.server_route import Route
from sora_stats_harness.api.server_url import normalize_server_url
from sora_stats_harness.probe import transport
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.probe.transport import OneConnectionTransport

from .. import hostile

T = TypeVar("T")


class Clerk:
    """A judge that only keeps what it is handed."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.open = 0

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> FakeTicket:
        self.open += 1
        return FakeTicket(self, request)


class FakeTicket:
    def __init__(self, clerk: Clerk, request: Request) -> None:
        self.clerk, self.request = clerk, request

    def complete(
        self,
        response: Response | None = None,
        error: TransportError | None = None,
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        clerk = self.clerk
        clerk.open -= 1
        exchange = Exchange(
            run="run",
            seq=len(clerk.exchanges),
            request=self.request,
            clock="clock",
            sent_ns=0,
            received_ns=1,
            sent_at="2026-01-01T00:00:00Z",
            response=response,
            error=error,
            faults=faults,
        )
        clerk.exchanges.append(exchange)
        return exchange


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


def listing(url: str) -> Request:
    return make_valid_request(Target.ALL, server=url)


def exchange_with(url: str, *, timeout_s: float = 5.0, **options: Any) -> Exchange:
    """One exchange through a prober of its own; every ticket must have come back."""

    async def main() -> Exchange:
        clerk = Clerk()
        prober = Prober(timeout_s=timeout_s, **options)
        result = await prober.send(clerk, listing(url))
        assert clerk.open == 0 and clerk.exchanges == [result]
        return result

    return run(main())


def test_a_whole_response_comes_back_byte_for_byte() -> None:
    """Status, headers in the order and case of the wire, and the undecoded body."""
    body = b'[{"a": "\xc3\xa9" }]\r\n'
    with hostile.serve(hostile.says(hostile.response(body))) as server:
        result = exchange_with(server.url)
    assert result.error is None
    assert result.response == Response(
        status=200, headers=(("Content-Type", "application/json"), ("Content-Length", "16")), body=body
    )


def test_the_request_on_the_wire_is_the_one_asked_for() -> None:
    """The target once, no body but Content-Length 0, identity encoding, and nothing from the environment."""
    with hostile.serve(hostile.says(hostile.response(b"[]"))) as server:
        exchange_with(server.url)
    head = server.seen[0].decode()
    assert head.startswith("POST / HTTP/1.1\r\n")
    lines = [line.lower() for line in head.split("\r\n")]
    assert lines.count("x-sora-target: sora_20171101.getstatsallconnections") == 1
    assert "x-sora-target: Sora_20171101.GetStatsAllConnections" in head
    assert {"content-length: 0", "accept-encoding: identity"} <= set(lines)
    assert not any(line.startswith(("cookie:", "authorization:", "content-type:")) for line in lines)


@pytest.mark.parametrize(
    ("behaviour", "code", "status", "body"),
    [
        (hostile.hang, ErrorCode.TIMEOUT, None, None),
        (hostile.slow_headers, ErrorCode.TIMEOUT, None, None),
        (hostile.slow_body, ErrorCode.TIMEOUT, 200, b"[ "),
        (hostile.close_at_once, ErrorCode.RESET, None, None),
        (hostile.reset, ErrorCode.RESET, None, None),
        (hostile.reset_in_body, ErrorCode.RESET, 200, b"[]        "),
        (hostile.says(hostile.CUT), ErrorCode.CUT, 200, b'[{"channel_id":'),
        (hostile.says(hostile.CUT_CHUNKED), ErrorCode.CUT, 200, b"[   "),
        (hostile.says(hostile.GARBAGE), ErrorCode.PROTOCOL, None, None),
        (hostile.endless_headers, ErrorCode.TOO_LARGE, None, None),
        (hostile.endless_body, ErrorCode.TOO_LARGE, 200, b" " * 100),
        (hostile.says(hostile.HUGE_LENGTH), ErrorCode.CUT, 200, b"["),
        (hostile.late_response(2.0, hostile.response(b"[]")), ErrorCode.TIMEOUT, None, None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_goes_wrong_is_told_by_a_code_and_one_line(
    behaviour: hostile.Behaviour, code: ErrorCode, status: int | None, body: bytes | None
) -> None:
    """Each misbehaviour has its code; what had come of the response by then is kept, and said to be incomplete."""
    with hostile.serve(behaviour) as server:
        result = exchange_with(server.url, timeout_s=0.4, limit_bytes=1_000_000)
    assert result.error is not None
    assert result.error.code is code, result.error
    assert result.error.detail and "\n" not in result.error.detail
    assert (result.response and result.response.status) == status
    if result.response is not None and body is not None:
        assert result.response.body.startswith(body)
        assert not result.response.complete


@pytest.mark.parametrize("data", hostile.WHOLE.values(), ids=hostile.WHOLE)
def test_an_response_that_says_nonsense_is_an_response(data: bytes) -> None:
    """What a response says is the judge's to look at, not the prober's."""
    with hostile.serve(hostile.says(data)) as server:
        result = exchange_with(server.url)
    assert result.error is None and result.response is not None
    assert result.response.body == data.partition(b"\r\n\r\n")[2]


def test_nothing_listens() -> None:
    """A closed port is `refused`, in the system's words."""
    error = exchange_with(hostile.closed_port()).error
    assert error == TransportError(code=ErrorCode.REFUSED, detail="Connection refused")


@pytest.mark.parametrize("order", [1, -1])
def test_all_addresses_of_a_name_are_tried(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that listens on one of the two addresses of `localhost` is reached, whichever comes first."""
    with hostile.serve(hostile.says(hostile.response(b"[]"))) as server:
        port = int(server.url.rpartition(":")[2])
        both = (SocketAddress(socket.AF_INET6, ("::1", port, 0, 0)), SocketAddress(socket.AF_INET, ("127.0.0.1", port)))
        monkeypatch.setattr(transport, "look_up_addresses", lambda server, proxy: both[::order])
        result = exchange_with(f"http://localhost:{port}")
    assert result.error is None and result.response is not None


def test_a_large_body_is_received_whole() -> None:
    """Into memory of its own, plain and behind TLS, and what follows it is noticed."""
    body = b"[" + b" " * 3_000_000 + b"]"
    for tls in (None, hostile.self_signed()):
        with hostile.serve(hostile.says(hostile.response(body) + b"more"), tls=tls) as server:
            result = exchange_with(server.url, route=Route(insecure=True))
        assert result.response is not None and result.response.body == body
        assert [fault.code for fault in result.faults] == ["surplus"]


def test_a_name_that_does_not_resolve() -> None:
    """`.invalid` never resolves (RFC 6761)."""
    error = exchange_with("http://sora.invalid:3000").error
    assert error is not None and error.code is ErrorCode.DNS


def test_tls_to_a_server_without_it() -> None:
    """Plain HTTP behind an https URL is `tls`, told in one line."""
    with hostile.serve(hostile.says(hostile.HTML), read_request=False) as server:
        error = exchange_with(server.url.replace("http:", "https:")).error
    assert error is not None and error.code is ErrorCode.TLS and "\n" not in error.detail


def test_a_certificate_that_nobody_signed_is_not_accepted() -> None:
    """Unless it was named as an authority, or whoever asks wants to know nothing."""
    with hostile.serve(hostile.says(hostile.response(b"[]")), tls=hostile.self_signed()) as server:
        refused = exchange_with(server.url)
        trusted = exchange_with(server.url, route=Route(ca_file=str(hostile.CERTIFICATE)))
        insecure = exchange_with(server.url, route=Route(insecure=True))
    assert refused.response is None and refused.error is not None
    assert refused.error.code is ErrorCode.TLS
    assert refused.error.detail.startswith("the certificate is not accepted: self")
    for accepted in (trusted, insecure):
        assert accepted.error is None and accepted.response is not None and accepted.response.body == b"[]"


def test_surplus_bytes_are_never_paired_with_the_next_request() -> None:
    """Two responses in one segment: each exchange has a connection of its own, and the surplus goes with it."""

    async def main(url: str) -> list[bytes]:
        clerk = Clerk()
        prober = Prober()
        responses = [(await prober.send(clerk, listing(url))).response for _ in range(3)]
        return [response.body for response in responses if response is not None]

    with hostile.serve(hostile.says(hostile.TWO_RESPONSES)) as server:
        assert run(main(server.url)) == [b"[]"] * 3
        assert len(server.seen) == 3


def test_redirects_and_cookies_are_not_followed() -> None:
    """A redirect is a response like any other, and a cookie is never sent back."""
    data = b"HTTP/1.1 307 Away\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"

    async def main(url: str) -> list[Exchange]:
        prober = Prober()
        clerk = Clerk()
        return [await prober.send(clerk, listing(url)) for _ in range(2)]

    with hostile.serve(hostile.says(data)) as server:
        results = run(main(server.url))
        assert [result.response.status for result in results if result.response] == [307, 307]
        assert all(seen.startswith(b"POST / ") and b"a=b" not in seen for seen in server.seen)


def test_a_body_over_the_limit_is_kept_in_part() -> None:
    """Of an endless body 64 KiB stay as evidence, and the detail tells the limit."""
    with hostile.serve(hostile.endless_body) as server:
        result = exchange_with(server.url, limit_bytes=1_000_000)
    assert result.error == TransportError(code=ErrorCode.TOO_LARGE, detail="the body exceeds 1000000 bytes")
    assert result.response is not None and len(result.response.body) == 65536


def test_bodies_in_flight_share_one_limit() -> None:
    """Eight endless bodies at once never hold more than one limit, and all but the last are our own giving up."""
    count, chunk, limit = 8, 65536, 2_000_000
    under_way = threading.Event()

    def endless_once_all_are_under_way(talk: hostile.Talk) -> None:
        talk.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%s\r\n" % (chunk, b" " * chunk)
        talk.write(piece)
        under_way.wait()
        while not talk.over.is_set():
            talk.write(piece)

    async def main(url: str) -> list[Exchange]:
        clerk = Clerk()
        prober = Prober(limit_bytes=limit)
        sent = asyncio.gather(*(prober.send(clerk, listing(url)) for _ in range(count)))
        try:
            while (
                prober._transport.held_bytes < count * chunk
            ):  # each has its first piece: none is alone before the others end
                assert not sent.done()
                await asyncio.sleep(0.001)
        finally:
            under_way.set()
        return await sent

    with hostile.serve(endless_once_all_are_under_way) as server:
        codes = [result.error.code for result in run(main(server.url)) if result.error]
    assert Counter(codes) == {ErrorCode.ABANDONED: count - 1, ErrorCode.TOO_LARGE: 1}


def test_a_cancelled_exchange_is_abandoned() -> None:
    """A run that ends gives its open tickets back before the cancellation goes on."""

    async def main(server: hostile.Server) -> Clerk:
        clerk = Clerk()
        prober = Prober()
        task = asyncio.create_task(prober.send(clerk, listing(server.url)))
        while not server.seen:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return clerk

    with hostile.serve(hostile.hang) as server:
        clerk = run(main(server))
    assert clerk.open == 0
    assert [exchange.error and exchange.error.code for exchange in clerk.exchanges] == [ErrorCode.ABANDONED]


REFUSED = [
    pytest.param("POST", "/", [("x-sora-target", value)], id=value or "blank")
    for value in (
        "Sora_20151104.DisconnectChannel",
        "Sora_20151104.DisconnectClient",
        "Sora_20151104.DisconnectConnection",
        "Sora_20201013.DisconnectConnection",
        "Sora_20180820.ListConnections",
        "Sora_20161101.PushChannel",
        "Sora_20231220.StartRecording",
        "Sora_20231220.StopRecording",
        "Sora_20170529.DisconnectChannel",
        "sora_20170529.GetStatsConnection",
        "SORA_20170529.GETSTATSCONNECTION",
        "Sora_20170529.getStatsConnection",
        " Sora_20170529.GetStatsConnection",
        "Sora_20170529.GetStatsConnection ",
        "Sora_20170529.GetStatsConnection\t",
        "Sora_20170529.GetStatsConnection, Sora_20151104.DisconnectChannel",
        "Sora_20170529.GetStatsConnection\r\nX: y",
        "Sora_20170529.GetStatsAllConnections",
        "Sora_20171101.GetStatsConnection",
        "Sora_20170529",
        " ",
        "x",
        "sora_20170529.soraharnessnosuchoperation",
        "SoraHarnessMalformed ",
        "Sora_20170529.GetStatsConnection\x00",
        "\uff33ora_20170529.GetStatsConnection",
    )
] + [
    pytest.param("POST", "/", [("x-sora-target", Target.ALL.value)] * 2, id="a real one twice"),
    pytest.param("POST", "/", [("x-sora-target", ""), ("X-Sora-Target", Target.ALL.value)], id="empty and real"),
    pytest.param("POST", "/", [("x-sora-target", Target.ALL.value), ("x-sora-target", "Sora_20151104.X")], id="two"),
    pytest.param("POST", "/", [("X-SORA-TARGET", "Sora_20151104.DisconnectChannel")], id="header in capitals"),
    pytest.param("POST", "/", [("x_sora_target", "Sora_20151104.DisconnectChannel")], id="header with underscores"),
    pytest.param("POST", "/", [(" x-sora-target ", "Sora_20151104.DisconnectChannel")], id="header with blanks"),
    pytest.param("DELETE", "/", [], id="DELETE"),
    pytest.param("PATCH", "/", [], id="PATCH"),
    pytest.param("POST", "/other", [], id="a path"),
    pytest.param("POST", "/?x-sora-target=Sora_20151104.DisconnectChannel", [], id="a query"),
]


@pytest.mark.parametrize(("method", "path", "headers"), REFUSED)
def test_the_transport_itself_refuses_what_may_not_be_sent(
    method: str, path: str, headers: list[tuple[str, str]]
) -> None:
    """Real other operations and near misses, pushed into the transport, leave a listening socket without a byte."""

    async def main(url: str) -> None:
        sender = OneConnectionTransport()
        message = httpx.Request(
            method, url + path, headers=[(name.encode(), value.encode("utf-8")) for name, value in headers]
        )
        with pytest.raises(RequestRefusedError):
            await sender.handle_async_request(message)
        await sender.aclose()

    with hostile.serve(hostile.says(hostile.response(b"[]")), read_request=False) as server:
        run(main(server.url))
        assert server.seen == []


def test_a_refused_request_takes_no_ticket() -> None:
    """The prober asks the guard before it takes the time, so that nothing is left open."""

    async def main() -> None:
        clerk = Clerk()
        request = Request(
            server="http://127.0.0.1:9",
            headers=(("x-sora-target", "Sora_20151104.DisconnectChannel"),),
            body=None,
            target=Target.ALL,
        )
        prober = Prober()
        with pytest.raises(RequestRefusedError, match="DisconnectChannel"):
            await prober.send(clerk, request)
        assert clerk.open == 0 and clerk.exchanges == []

    run(main())


@pytest.mark.parametrize("header", [("X-A", "a\r\nb"), ("X A", "b"), ("X-\u00e9", "b"), ("X-A", "a\x00")])
def test_a_header_that_cannot_be_written_is_the_callers_mistake(header: tuple[str, str]) -> None:
    """It is wrong usage, never a protocol error of the server, and its ticket does not stay open."""

    async def main(url: str) -> None:
        clerk = Clerk()
        prober = Prober()
        with pytest.raises(UsageError):
            await prober.send(clerk, make_valid_request(Target.ALL, server=url, headers=(header,)))
        assert clerk.open == 0

    with hostile.serve(hostile.says(hostile.response(b"[]"))) as server:
        run(main(server.url))


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
        ("HTTP://Sora.Example:80", "http://sora.example"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("http://[fe80::1%25eth0]:3000", "http://[fe80::1%eth0]:3000"),
        ("http://[FE80::1%Eth0]", "http://[fe80::1%Eth0]"),
        ("http://[fe80::1%25]", "http://[fe80::1%25]"),
    ],
)
def test_one_server_has_one_name(url: str, server: str) -> None:
    """Scheme, host and port, whatever the way in which they were written."""
    assert normalize_server_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:3000",
        "ftp://a",
        "http://",
        "http://u:p@a",
        "http://a/api/../b",
        "http://a//b",
        "http://a/b c",
        "http://a/%zz",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://1",
        "http://256.1.1.1",
        "http://1.2.3",
        "http://a?x=1",
        "http://a#b",
        "http://a:port",
        "http://\x00",
        "http:/a",
        "//a:1",
        "http://[::1]x:30",
        "http://[v1.x]:3000",
        "http://[::1",
        "http://a[::1]",
        "http://a:\uff13",
        "http://a:1_0",
    ],
)
def test_what_is_no_servers_url_is_wrong_usage(url: str) -> None:
    """One line says so, and credentials are not repeated in it."""
    with pytest.raises(UsageError) as caught:
        normalize_server_url(url)
    assert "\n" not in str(caught.value) and "u:p" not in str(caught.value)


def test_a_missing_ca_file_is_wrong_usage(tmp_path: Any) -> None:
    """The file is named, and nothing was sent."""
    with pytest.raises(UsageError, match=r"nowhere\.pem"):
        Prober(route=Route(ca_file=str(tmp_path / "nowhere.pem")))
