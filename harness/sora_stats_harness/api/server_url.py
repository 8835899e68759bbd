"""
Reads and validates the URL of a server, wherever it is given.

The result names the server in exchanges, so one server has one name however its URL was written. The module imports no
HTTP library, since `pytest --collect-only` reads URLs as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from .errors import UsageError

URL_VARIABLE: Final = "SORA_URL"
"""The environment variable that may name the server."""

SIMULATOR_URL: Final = "simulator"
"""Stands for the embedded simulator instead of a URL."""

EXAMPLE_URL: Final = "http://127.0.0.1:3000"

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PATH: Final = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?")
"""The path below which a proxy may offer the API."""
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""The last label of a host name, if it has the form of a number: then the host must be an IPv4 address."""
_IPV4_ADDRESS: Final = re.compile(r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?!$)|$)){4}")
_IPV6_ADDRESS: Final = re.compile(r"\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._~-]+|%25[A-Za-z0-9._~-]+)?\](:[0-9]+)?")
_HOST_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")


NamedUrl = tuple[str | None, str]
"""A URL or None, and what to call its place in an error message."""


def environment_url() -> NamedUrl:
    """The URL that the environment names."""
    return os.environ.get(URL_VARIABLE), URL_VARIABLE


def pick_server_url(candidates: Iterable[NamedUrl]) -> NamedUrl | None:
    """
    Take the first candidate that is set, a URL or `simulator`, with its place; None if none is set.

    Raises:
        UsageError: It is set but empty, as an unset CI secret is, or it is not the URL of a server.
    """
    for url, origin in candidates:
        if url is not None:
            return url if url == SIMULATOR_URL else normalize_server_url(url, origin), origin
    return None


def normalize_server_url(url: str, origin: str | None = None) -> str:
    """
    Normalize a URL to the name of its server in exchanges: scheme, host, port, and the path if a proxy maps one.

    Args:
        url: As a person wrote it.
        origin: What to call it in an error message, such as `SORA_URL`.

    Raises:
        UsageError: It is empty, as an unset CI secret is; it is not an absolute http or https URL; or it has
        credentials or a query.

    >>> normalize_server_url("HTTP://Sora.Example:80/")
    'http://sora.example'
    >>> normalize_server_url("https://gateway.example/sora/")
    'https://gateway.example/sora'
    """
    place = origin or "the URL"
    if not url.strip():
        raise UsageError(f"{place} is set but empty: give a URL like {EXAMPLE_URL}")
    if "@" in url:  # checked first, since later messages repeat the URL
        raise UsageError(f"{place} must not hold credentials: pass them as a header, 'Authorization: env:NAME'")
    name = f"{place} {url!r}"
    if not url.isprintable() or " " in url:
        raise UsageError(f"{name} is not a URL: it contains a blank or a control character")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UsageError(f"{name} is not a URL: its host must be a name or an address") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise UsageError(f"{name} is not an http or https URL: give one like {EXAMPLE_URL}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise UsageError(f"{name} is not a URL: its port must be an integer from 1 to 65535")
    if "?" in url or "#" in url:
        raise UsageError(f"{name} has a query: give only scheme, host, port, and the path that a proxy maps to the API")
    if not _PATH.fullmatch(parts.path) or {".", ".."}.intersection(parts.path.split("/")):
        raise UsageError(f"{name} is not a URL: its path must be names with / between, percent-encoded where needed")
    suffix = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{_normalize_host(parts, name)}{suffix}{parts.path.removesuffix('/')}"


def split_server(server: str) -> tuple[str, str, str]:
    """
    Split a server's name as `normalize_server_url` gives it: scheme, host with port, and the path before each
    request's.

    >>> split_server("https://gateway.example:8443/sora")
    ('https', 'gateway.example:8443', '/sora')
    """
    scheme, _, rest = server.partition("://")
    authority, slash, path = rest.partition("/")
    return scheme, authority, slash + path


def bracket_ipv6(host: str) -> str:
    """
    A host as a URL has it: an IPv6 address in brackets.

    >>> bracket_ipv6("::1"), bracket_ipv6("127.0.0.1")
    ('[::1]', '127.0.0.1')
    """
    return f"[{host}]" if ":" in host else host


def _normalize_host(parts: SplitResult, name: str) -> str:
    host = parts.hostname or ""
    if "[" in parts.netloc:
        found = _IPV6_ADDRESS.fullmatch(parts.netloc)  # urlsplit drops what stands behind the bracket, and takes "v1.x"
        if found is None:
            raise UsageError(f"{name} is not a URL: its host must be a name or an address")
        zone = parts.netloc.partition("]")[0].partition("%")[2]
        zone = zone[2:] if re.match("25.", zone) else zone  # %25eth0 as RFC 6874 has it, %eth0 as people do
        return f"[{host.partition('%')[0]}{f'%{zone}' if zone else ''}]"
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise UsageError(f"{name} is not a URL: {error}") from None
    is_number = _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None
    if not (_IPV4_ADDRESS if is_number else _HOST_NAME).fullmatch(host):
        raise UsageError(f"{name} is not a URL: its host must be a name or an address")
    return host
