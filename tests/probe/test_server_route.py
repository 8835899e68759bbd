"""How a server is reached: through a proxy, with a certificate of one's own, below a path; by each client alike."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.exchange import ErrorCode, Exchange, Target, make_valid_request
from sora_stats_harness.api.server_route import Proxy, Route, parse_proxy
from sora_stats_harness.load.single_request import ConnectionAsk
from sora_stats_harness.probe.interrupt import InterruptHandler
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.probe.single_request import ProberAsk

from .. import hostile

Ask = Callable[[str, Route], Exchange]
BODY = b"[]"
AUTHORIZATION = b"Proxy-Authorization: Basic " + base64.b64encode(b"mori:sesame")


def by_prober(url: str, route: Route) -> Exchange:
    """As `conform` sends."""
    ask = ProberAsk(lambda: Prober(timeout_s=5.0, route=route), InterruptHandler())
    exchange = ask(make_valid_request(Target.ALL, server=url))
    assert exchange is not None
    return exchange


def by_load(url: str, route: Route) -> Exchange:
    """As `load` sends."""
    exchange = ConnectionAsk(route, 5.0, InterruptHandler())(make_valid_request(Target.ALL, server=url))
    assert exchange is not None
    return exchange


CLIENTS = pytest.mark.parametrize("ask", [by_prober, by_load], ids=["prober", "load"])


def tunnel(talk: hostile.Talk) -> None:
    """A proxy that lets CONNECT pass to any port of this machine."""
    port = int(talk.request.split()[1].rpartition(b":")[2])
    with socket.create_connection(("127.0.0.1", port)) as far:
        talk.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=copy, args=(far, talk.socket), daemon=True)
        back.start()
        copy(talk.socket, far)
        back.join(5)


def copy(source: socket.socket, sink: socket.socket) -> None:
    """Hand bytes on until there are no more."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@CLIENTS
def test_plain_requests_are_handed_to_the_proxy_with_their_whole_url(ask: Ask) -> None:
    """The server's name is the proxy's to look up, and the password goes to the proxy alone."""
    with hostile.serve(hostile.says(hostile.response(BODY))) as server:
        proxy = parse_proxy(server.url.replace("//", "//mori:sesame@"))
        exchange = ask("http://sora.invalid:3000/api", Route(proxy=proxy))
    assert exchange.response is not None and exchange.response.body == BODY
    (seen,) = server.seen
    assert seen.startswith(b"POST http://sora.invalid:3000/api/ HTTP/1.1\r\n") and AUTHORIZATION in seen
    assert b"Host: sora.invalid:3000\r\n" in seen


@CLIENTS
def test_https_goes_through_a_tunnel(ask: Ask) -> None:
    """The proxy sees nothing of it but the host, and the certificate is the server's."""
    says = hostile.says(hostile.response(BODY))
    with hostile.serve(says, tls=hostile.self_signed()) as server, hostile.serve(tunnel) as proxy:
        route = Route(ca_file=str(hostile.CERTIFICATE), proxy=Proxy(url=proxy.url, credentials="mori:sesame"))
        exchange = ask(server.url, route)
    assert exchange.response is not None and exchange.response.body == BODY
    (asked,) = proxy.seen
    assert asked.startswith(b"CONNECT 127.0.0.1:") and AUTHORIZATION in asked and b"x-sora-target" not in asked.lower()
    assert AUTHORIZATION not in server.seen[0]


@CLIENTS
def test_a_proxy_that_refuses_accuses_nobody(ask: Ask) -> None:
    """No response of the server's was seen, so it is as if nobody listened."""
    with hostile.serve(hostile.says(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as server:
        exchange = ask("https://sora.invalid", Route(proxy=Proxy(url=server.url)))
    assert exchange.error is not None and exchange.error.code is ErrorCode.REFUSED
    assert "refuses a tunnel to sora.invalid:443: 403 Forbidden" in exchange.error.detail


@CLIENTS
def test_a_certificate_of_ones_own_is_shown(ask: Ask, tmp_path: Path) -> None:
    """A server that wants one gets it, its key in the same file or beside it."""
    context = hostile.self_signed()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(hostile.CERTIFICATE)
    both = hostile.TLS_FILES / "server.pem"
    with hostile.serve(hostile.says(hostile.response(BODY)), tls=context) as server:
        without = ask(server.url, Route(ca_file=str(hostile.CERTIFICATE)))
        shown = ask(server.url, Route(ca_file=str(hostile.CERTIFICATE), client_cert=str(both)))
        beside = Route(ca_file=str(hostile.CERTIFICATE), client_cert=str(hostile.CERTIFICATE), client_key=str(both))
        apart = ask(server.url, beside)
    assert without.response is None
    assert shown.response is not None and apart.response is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://p:1", "as http://HOST:PORT"),
        ("p:3128", "as http://HOST:PORT"),
        ("http://u:sesame@p:0", "its port must be"),
        ("http://p:1/x", "has no path"),
        ("http://:sesame@p:1", "USER:PASSWORD"),
        ("env:NOT_SET", "NOT_SET is not set"),
    ],
)
def test_what_is_no_proxy_is_wrong_usage(text: str, told: str) -> None:
    """And no message repeats a password."""
    with pytest.raises(UsageError, match=told) as caught:
        parse_proxy(text)
    assert "sesame" not in str(caught.value)
