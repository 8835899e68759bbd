"""
The addresses of a server's name, and the order in which they are tried.

A name may have several addresses, of which a server need not listen on each: `localhost` is `::1` and `127.0.0.1` on most
machines. Every client tries all of them, one after the other, and begins with the one that worked last.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import certifi
import msgspec

from .errors import UsageError
from .exchange import ErrorCode, TransportError
from .transport_errors import describe_error

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class SocketAddress(msgspec.Struct, frozen=True, gc=False):
    """One address of a server, as sockets take it."""

    family: int
    sockaddr: tuple[str | int, ...]
    """Host and port; for IPv6 also flow and scope."""


class ServerAddress:
    """
    A server by its name, with all of its addresses.

    Args:
        server: Scheme, host and port, as `normalize_server_url` gives them.
        addresses: At least one, in the order in which they are to be tried.
        tls: How to encrypt; None for plain HTTP.
    """

    def __init__(self, server: str, addresses: Sequence[SocketAddress], tls: ssl.SSLContext | None = None) -> None:
        self.server = server
        self.host: str = urlsplit(server).hostname or ""
        self.addresses: tuple[SocketAddress, ...] = tuple(addresses)
        self.tls = tls
        self._best = self.addresses[0]

    @property
    def display_address(self) -> str:
        """The address that is tried first, and how many others there are."""
        host, port = self._best.sockaddr[:2]
        others = len(self.addresses) - 1
        return f"{host}:{port}" + (f" (of {others + 1} addresses)" if others else "")

    def attempts(self, timeout_s: float | None) -> Iterator[tuple[SocketAddress, float | None]]:
        """
        The addresses to try, the one that worked last first, each with the seconds that its attempt may take.

        The time that is left is shared out evenly, so that one address that swallows packets leaves some to the others.
        """
        began_s = time.monotonic()
        others = [address for address in self.addresses if address is not self._best]
        for tried, address in enumerate((self._best, *others)):
            left_s = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - began_s))
            yield address, None if left_s is None else left_s / (len(self.addresses) - tried)

    def prefer(self, address: SocketAddress) -> None:
        """Begin with this one from now on: somebody connected to it."""
        self._best = address


def look_up_addresses(server: str) -> tuple[SocketAddress, ...] | TransportError:
    """
    Look up all addresses of a server's name; blocks.

    >>> look_up_addresses("http://127.0.0.1:3000")[0].sockaddr
    ('127.0.0.1', 3000)
    """
    parts = urlsplit(server)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return TransportError(code=ErrorCode.DNS, detail=describe_error(error))
    return tuple(dict.fromkeys(SocketAddress(family, (*sockaddr,)) for family, _, _, _, sockaddr in found))


def make_tls_context(ca_file: str | None, insecure: bool, kind: Any = ssl.SSLContext) -> ssl.SSLContext:  # Any: a class
    """
    Say whom to trust.

    Args:
        ca_file: PEM file of the authorities to trust instead of the usual ones.
        insecure: Whether to accept any certificate.
        kind: The class of the context; gevent has one of its own.

    Raises:
        UsageError: `ca_file` can't be read.
    """
    context: ssl.SSLContext = kind(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(ca_file or certifi.where())
    except (OSError, ValueError) as error:
        raise UsageError(f"--ca-file {ca_file} can't be read as certificates: {describe_error(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
