"""
The addresses of a server's name, and the order in which they are tried.

A name may have several addresses, and a server may listen on only some of them: `localhost` is `::1` and `127.0.0.1` on
most machines. Every client tries them one after the other, beginning with the one that worked last.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from .exchange import ErrorCode, TransportError
from .server_route import Proxy, TunnelRequest
from .server_url import DEFAULT_PORTS, bracket_ipv6
from .transport_errors import describe_error


class SocketAddress(msgspec.Struct, frozen=True, gc=False):
    """One address of a server, as sockets take it."""

    family: int
    sockaddr: tuple[str | int, ...]
    """Host and port; for IPv6 also flow and scope."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a connection before any response."""

    address: str | None = None
    """The address that accepted it, and how many others there are; None if none did."""
    tls: str | None = None
    """The version of TLS, and the certificate; None for plain HTTP."""


NO_PEER: Final = Peer()
"""A peer of which nothing is known."""


def describe_tls(connection: Any) -> str:  # Any: an SSLObject, or gevent's socket
    """The version of TLS, and until when the certificate is valid."""
    certificate = connection.getpeercert()
    until = certificate.get("notAfter") if certificate else None
    return f"{connection.version()}, {f'certificate valid until {until}' if until else 'certificate not looked at'}"


class ServerAddress:
    """
    A server by its name, with all of its addresses.

    Args:
        server: Scheme, host and port, as `normalize_server_url` gives them.
        addresses: At least one, in the order in which to try them; the proxy's, if there is a proxy.
        tls: How to encrypt; None for plain HTTP.
        proxy: The proxy in front of the server, if any.
    """

    def __init__(
        self,
        server: str,
        addresses: Sequence[SocketAddress],
        tls: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self.server = server
        self._proxy = proxy
        self.host: str = urlsplit(server).hostname or ""
        self.addresses: tuple[SocketAddress, ...] = tuple(addresses)
        self.tls = tls
        self._best = self.addresses[0]

    @property
    def display_address(self) -> str:
        """The address that is tried first, and how many others there are."""
        host, port = self._best.sockaddr[:2]
        others = len(self.addresses) - 1
        through = "" if self._proxy is None else "the proxy "
        return f"{through}{bracket_ipv6(str(host))}:{port}" + (f" (of {others + 1} addresses)" if others else "")

    @property
    def resolution_note(self) -> str | None:
        """The address of the URL's host name; None if the URL contains the address."""
        is_said = self._proxy is None and self.host == self.addresses[0].sockaddr[0]
        return None if is_said else f"{self.server} is {self.display_address}"

    def tunnel_request(self) -> TunnelRequest | None:
        """The exchange that opens a tunnel through a connected proxy; None if no tunnel is needed."""
        return None if self._proxy is None or self.tls is None else TunnelRequest(self._proxy, self.server)

    def bytes_to_write(self, data: bytes) -> bytes:
        """A request as it goes to the socket: with the whole URL if a proxy forwards it."""
        return data if self._proxy is None or self.tls is not None else self._proxy.forward(self.server, data)

    def attempts(self, timeout_s: float | None) -> Iterator[tuple[SocketAddress, float | None]]:
        """
        The addresses to try, the one that worked last first, each with the seconds that its attempt may take.

        The remaining time is divided evenly, so that an address that drops packets leaves time for the others.
        """
        began_s = time.monotonic()
        others = [address for address in self.addresses if address is not self._best]
        for tried, address in enumerate((self._best, *others)):
            left_s = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - began_s))
            yield address, None if left_s is None else left_s / (len(self.addresses) - tried)

    def prefer(self, address: SocketAddress) -> None:
        """Begin with this address from now on, since it accepted a connection."""
        self._best = address


def look_up_addresses(server: str, proxy: Proxy | None = None) -> tuple[SocketAddress, ...] | TransportError:
    """
    Look up all addresses of a server's name, or of the proxy's. This blocks.

    >>> look_up_addresses("http://127.0.0.1:3000")[0].sockaddr
    ('127.0.0.1', 3000)
    """
    parts = urlsplit(server if proxy is None else proxy.url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        whose = "" if proxy is None else f"the proxy {parts.hostname}: "
        return TransportError(code=ErrorCode.DNS, detail=f"{whose}{describe_error(error)}")
    return tuple(dict.fromkeys(SocketAddress(family, (*sockaddr,)) for family, _, _, _, sockaddr in found))
