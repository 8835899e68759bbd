"""
Servers that misbehave on purpose, on raw sockets: what no HTTP library would let a test send.

`serve(behaviour)` listens on a free port of 127.0.0.1 and runs the behaviour for each connection, in a thread of its own,
after the request's head and body have been read. A behaviour that waits does so on `talk.over`, which is set when the
server ends, so that no thread outlives its test.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

DRIP_S = 0.05
"""Between two bytes of a slow response."""


@dataclass
class Talk:
    """One connection: the socket, the request's bytes, and the event that ends all waiting."""

    socket: socket.socket
    request: bytes
    over: threading.Event

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)


Behaviour = Callable[[Talk], None]


@dataclass
class Server:
    """A running server; `seen` holds the bytes of each connection, in the order of accepting."""

    url: str
    seen: list[bytes] = field(default_factory=list)


@contextmanager
def serve(
    behaviour: Behaviour,
    *,
    read_request: bool = True,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Server]:
    """Run a behaviour for each connection to a server of its own, behind TLS where a context is given."""
    listener = socket.create_server((host, 0), backlog=128)
    server = Server(url=f"http{'s' if tls else ''}://{host}:{listener.getsockname()[1]}")
    over = threading.Event()
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def handle(raw: socket.socket) -> None:
        with suppress(OSError), tls.wrap_socket(raw, server_side=True) if tls else raw as connection:
            request = _read_request(connection) if read_request else b""
            server.seen.append(request)
            behaviour(Talk(connection, request, over))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            sockets.append(connection)
            thread = threading.Thread(target=handle, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for connection in sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def closed_port() -> str:
    """A URL where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


TLS_FILES = Path(__file__).parent / "data" / "tls"
CERTIFICATE = TLS_FILES / "cert.pem"
"""Nobody signed it but itself."""


def self_signed() -> ssl.SSLContext:
    """For a server whose certificate is good for 127.0.0.1, and trusted by nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS_FILES / "server.pem")
    return context


def response(
    body: bytes, *, status: int = 200, content_type: str = "application/json", length: int | None = None
) -> bytes:
    """A response's bytes; `length` is what it claims where that is not the truth."""
    claimed = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: {content_type}\r\nContent-Length: {claimed}\r\n\r\n"
    return head.encode() + body


def says(data: bytes) -> Behaviour:
    """Write these bytes, then close in an orderly way."""
    return lambda talk: talk.write(data)


def hang(talk: Talk) -> None:
    """Read the request, and never response."""
    talk.over.wait()


def close_at_once(talk: Talk) -> None:
    """Close without a word."""


def reset(talk: Talk) -> None:
    """Reset the connection instead of responding."""
    talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_in_body(talk: Talk) -> None:
    """Reset the connection after half of the body."""
    talk.write(response(b"[]        ", length=20))
    talk.over.wait(0.1)  # so that the half has been read before the reset throws it away
    reset(talk)


def slow_headers(talk: Talk) -> None:
    """Drip the head of a response, a byte now and then, for as long as anybody listens."""
    talk.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not talk.over.wait(DRIP_S):
        talk.write(b"x")


def slow_body(talk: Talk) -> None:
    """Announce a body, and drip it."""
    talk.write(response(b"[", length=100_000))
    while not talk.over.wait(DRIP_S):
        talk.write(b" ")


def endless_headers(talk: Talk) -> None:
    """Write header lines as fast as they are taken, without end."""
    talk.write(b"HTTP/1.1 200 OK\r\n")
    line = b"X-More: " + b"x" * 1000 + b"\r\n"
    while not talk.over.is_set():
        talk.write(line)


def endless_body(talk: Talk) -> None:
    """Write chunks of a body as fast as they are taken, without end."""
    talk.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    while not talk.over.is_set():
        talk.write(chunk)


def late_response(delay_s: float, data: bytes) -> Behaviour:
    """Response when the client has given up, on the connection that it asked on."""

    def behave(talk: Talk) -> None:
        talk.over.wait(delay_s)
        talk.write(data)

    return behave


HTML = response(b"<!DOCTYPE html><title>502</title>", content_type="text/html")
CUT = response(b'[{"channel_id":', length=5000)
CUT_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[   "
GARBAGE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no HTTP at all\r\n\r\n"
TWO_RESPONSES = response(b"[]") + response(b'["surplus"]')
HUGE_LENGTH = response(b"[", length=10**15)
DEEP = response(b"[" * 100_000 + b"]" * 100_000)
UNAVAILABLE = response(b'{"error_type":"Unavailable"}', status=503)
WRONG_TYPE = response(b'{"channel_id":1,"connection_id":[]}')
LENGTH_TOO_SHORT = response(b"[      ]", length=2)

WHOLE: dict[str, bytes] = {
    "html": HTML,
    "deep": DEEP,
    "unavailable": UNAVAILABLE,
    "wrong_type": WRONG_TYPE,
}
"""Complete responses that are wrong in what they say."""

NEVER: dict[str, Behaviour] = {"hang": hang, "close_at_once": close_at_once, "reset": reset}
"""Servers that never give a byte of a response."""

TLS_HANDSHAKE = b"\x16"
"""How a client begins that speaks TLS."""

GARBLED: dict[str, Behaviour] = {
    "cut": says(CUT),
    "cut_chunked": says(CUT_CHUNKED),
    "garbage": says(GARBAGE),
    "endless_headers": endless_headers,
}
"""Servers whose every response is cut or garbled, and soon over."""


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        data += more
        if not more or data[:1] == TLS_HANDSHAKE:  # which no server of HTTP waits for the end of
            return data
    head, _, body = data.partition(b"\r\n\r\n")
    announced = re.search(rb"(?im)^content-length: *(\d+)", head)
    missing = int(announced[1]) - len(body) if announced else 0
    while missing > 0:
        more = connection.recv(min(missing, 65536))
        if not more:
            break
        data += more
        missing -= len(more)
    return data
