"""Requests written by hand, since no HTTP library would write most of them, and responses read to their last byte."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

CONNECTION = "Sora_20170529.GetStatsConnection"
CLIENT = "Sora_20170529.GetStatsClient"
ALL = "Sora_20171101.GetStatsAllConnections"

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A response as it came; names of headers in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]

    def json(self) -> Any:  # Any: whatever JSON can hold
        """The body, parsed."""
        return json.loads(self.body)


def request(
    target: str | None = None,
    body: bytes | None = None,
    *,
    method: str = "POST",
    path: str = "/",
    headers: tuple[str, ...] = (),
    close: bool = True,
) -> bytes:
    """A request; `headers` are whole lines, and `target` None leaves out that header."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if target is not None:
        lines.append(f"x-sora-target: {target}")
    if close:
        lines.append("Connection: close")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def dial(url: str) -> socket.socket:
    """A TCP connection to a server."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=TIMEOUT_S)


def everything(connection: socket.socket) -> bytes:
    """All bytes until the other side ends the connection, or resets it."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def parse(data: bytes) -> Told:
    """One response, without transfer coding."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return Told(
        status=int(first.split(" ")[1]),
        headers=tuple((name.strip().lower(), value.strip()) for name, _, value in fields),
        body=body,
    )


def ask(url: str, data: bytes) -> Told:
    """Send a request on a connection of its own, which it must ask to be closed, and read the response."""
    with dial(url) as connection:
        connection.sendall(data)
        return parse(everything(connection))


def listing(url: str, body: bytes | None = None) -> list[dict[str, Any]]:  # Any: whatever JSON can hold
    """GetStatsAllConnections of a node."""
    told = ask(url, request(ALL, body))
    assert told.status == 200
    found: list[dict[str, Any]] = told.json()
    return found


def one(url: str, channel_id: str, connection_id: str) -> Told:
    """GetStatsConnection."""
    arguments = {"channel_id": channel_id, "connection_id": connection_id}
    return ask(url, request(CONNECTION, json.dumps(arguments).encode()))
