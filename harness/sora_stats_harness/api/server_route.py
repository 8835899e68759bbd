"""
How a server is reached: which authorities to trust, which client certificate to present, and through which proxy.

Every client takes the same `Route`. Only a proxy that the user named is used, never one from the environment, which may
be meant for other programs. It forwards plain requests, which are sent to it with their whole URL; for https it opens a
tunnel, and sees nothing of the content.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec

from .errors import UsageError
from .server_url import DEFAULT_PORTS, normalize_server_url, split_server

if TYPE_CHECKING:  # not imported earlier, since Locust replaces it
    import ssl

_ENV_REFERENCE: Final = "env:"
_MAX_TUNNEL_HEAD_BYTES: Final = 16 * 1024


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy in front of the server."""

    url: str
    """Without credentials."""
    credentials: str | None = None
    """`user:password`."""

    @property
    def authorization(self) -> bytes:
        """The Proxy-Authorization header with its line end; empty without credentials."""
        if self.credentials is None:
            return b""
        return b"Proxy-Authorization: Basic " + base64.b64encode(self.credentials.encode()) + b"\r\n"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must not be written down."""
        if self.credentials is None:
            return ()
        return (self.credentials.partition(":")[2], base64.b64encode(self.credentials.encode()).decode("ascii"))

    def forward(self, server: str, data: bytes) -> bytes:
        """Rewrite a request to the server into one that asks the proxy to forward it."""
        method, target = data.split(b" ", 1)
        line, rest = target.split(b"\r\n", 1)
        scheme, authority, _ = split_server(server)
        return b"%b %b://%b%b\r\n%b%b" % (method, scheme.encode(), authority.encode(), line, self.authorization, rest)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is reached; by default directly, trusting the usual authorities for TLS."""

    ca_file: str | None = None
    """PEM file of the authorities to trust instead of the usual ones."""
    insecure: bool = False
    """Whether to accept any certificate."""
    client_cert: str | None = None
    """PEM file of the client certificate to present, with its key unless `client_key` names another file."""
    client_key: str | None = None
    proxy: Proxy | None = None

    @property
    def names_files(self) -> bool:
        """Whether certificates of the user's own are to be read."""
        return self.ca_file is not None or self.client_cert is not None

    def make_tls_context(self, kind: Any = None) -> ssl.SSLContext:  # Any: a class
        """
        Make the TLS context: the authorities to trust, and the client certificate.

        Args:
            kind: The class of the context, since gevent has one of its own; None for Python's.

        Raises:
            UsageError: A file can't be read.
        """
        import ssl

        import certifi

        from .transport_errors import describe_error

        context: ssl.SSLContext = (kind or ssl.SSLContext)(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(self.ca_file or certifi.where())
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--ca-file {self.ca_file} can't be read as certificates: {describe_error(error)}"
            ) from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_cert is not None:
            self._show_certificate(context)
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        from .transport_errors import describe_error

        assert self.client_cert is not None
        asked: list[bool] = []

        def refuse_to_ask() -> str:
            asked.append(True)
            return ""

        try:
            context.load_cert_chain(self.client_cert, self.client_key, refuse_to_ask)
        except (OSError, ValueError) as error:
            why = "its key has a passphrase" if asked else describe_error(error)
            both = "" if self.client_key is None else f" with --client-key {self.client_key}"
            raise UsageError(
                f"--client-cert {self.client_cert}{both} can't be used: {why}; it takes a certificate and its key as "
                f"PEM"
            ) from None


DIRECT_ROUTE: Final = Route()


def parse_proxy(text: str) -> Proxy:
    """
    Read the URL of a proxy, or a reference to a variable that holds it.

    Raises:
        UsageError: The variable isn't set, or the URL is not http with a host and port. No message repeats credentials.

    >>> parse_proxy("http://user:pass@10.0.0.1:3128")
    Proxy(url='http://10.0.0.1:3128', credentials='user:pass')
    """
    url = text
    if text.startswith(_ENV_REFERENCE):
        name = text.removeprefix(_ENV_REFERENCE)
        url = os.environ.get(name, "")
        if not url:
            raise UsageError(f"the environment variable {name} is not set, or empty")
    scheme, separator, rest = url.partition("://")
    credentials, at, rest = rest.rpartition("@")
    if scheme.lower() != "http" or not separator:
        raise UsageError("a proxy is given as http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT")
    server = normalize_server_url(f"http://{rest}", "the proxy")
    if split_server(server)[2]:
        raise UsageError("a proxy has no path: give it as http://HOST:PORT")
    decoded = unquote(credentials)
    if at and (not decoded.partition(":")[0] or not decoded.isprintable()):
        raise UsageError("a proxy's credentials are given as USER:PASSWORD, percent-encoded where needed")
    return Proxy(url=server, credentials=decoded if at else None)


class TunnelRequest:
    """Asks a proxy for a tunnel to an https server; has no socket of its own, so that every client can use it."""

    def __init__(self, proxy: Proxy, server: str) -> None:
        scheme, authority, _ = split_server(server)
        host = authority if authority.rpartition(":")[2].isdecimal() else f"{authority}:{DEFAULT_PORTS[scheme]}"
        self._proxy, self._host = proxy, host
        self._head = b""
        self.request_bytes: bytes = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (
            host.encode(),
            host.encode(),
            proxy.authorization,
        )

    def feed(self, data: bytes) -> bool:
        """
        Take what the proxy sent; empty bytes if it has closed the connection.

        Returns:
            Whether the tunnel is open.

        Raises:
            ConnectionRefusedError: The proxy refuses.
        """
        self._head += data
        if b"\r\n\r\n" not in self._head and data and len(self._head) < _MAX_TUNNEL_HEAD_BYTES:
            return False
        words = self._head.split(b"\r\n", 1)[0].split(b" ", 2)
        if not (
            len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit() and b"\r\n\r\n" in self._head
        ):
            raise ConnectionRefusedError(f"the proxy {self._proxy.url} does not respond to CONNECT with HTTP")
        if not words[1].startswith(b"2"):
            status = b" ".join(words[1:]).decode("latin-1")
            raise ConnectionRefusedError(f"the proxy {self._proxy.url} refuses a tunnel to {self._host}: {status}")
        return True
