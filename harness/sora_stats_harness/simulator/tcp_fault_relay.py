"""
A small TCP relay in front of the simulator, for what no HTTP library would send: cuts, resets, drips, second responses.

It takes one exchange at a time from each connection. It passes the request on, reads the whole response, and sends that
on as it is, or with a fault.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from socket import SO_LINGER, SOL_SOCKET
from typing import Final, NamedTuple

from .fault_interface import RelayAction

MAX_HEAD_BYTES: Final = 1 << 20
MAX_ENDLESS_BYTES: Final = 300 << 20
"""The size at which an endless response does end."""

CONTENT_LENGTH_ERROR_BYTES: Final = 100
"""By how much a wrong Content-Length is off."""


class TcpFaultRelay:
    """
    Listens on a port of its own, and passes everything to another port of the same host.

    Args:
        next_action: Returns what happens to the next response; None for nothing.
    """

    def __init__(self, host: str, port: int, next_action: Callable[[], RelayAction | None]) -> None:
        self._host = host
        self._port = port
        self._next_action = next_action
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def open(self, port: int = 0) -> int:
        """Start to listen, and return the port."""
        self._server = await asyncio.start_server(self._relay_connection, self._host, port, limit=MAX_HEAD_BYTES)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop, and drop all open connections."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _relay_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        try:
            up_reader, up_writer = await asyncio.open_connection(self._host, self._port, limit=MAX_HEAD_BYTES)
        except OSError:
            writer.close()
            return
        try:
            while (request := await read_message(reader, response=False)) is not None:
                up_writer.write(b"".join(request))
                await up_writer.drain()
                response = await read_message(up_reader, response=True, head_only=request[0].startswith(b"HEAD "))
                if response is None or not await self._forward_response(RelayedResponse(*response, reader, writer)):
                    return
                if b"\r\nconnection: close\r\n" in response[0]:
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # one side has disconnected, so close the other as well
        except asyncio.CancelledError:
            pass  # the relay is closed
        finally:
            writer.close()
            up_writer.close()

    async def _forward_response(self, response: RelayedResponse) -> bool:
        """Forward a response; returns whether the connection can still be used."""
        name, pause_s = self._next_action() or ("", 0.0)
        return await (RELAY_HANDLERS[name](response, pause_s) if name else response.write_all())


class RelayedResponse(NamedTuple):
    """A response on its way to the client."""

    head: bytes
    """The head, with the blank line."""
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        self.writer.write(data)
        await self.writer.drain()

    async def write_all(self) -> bool:
        """Send the response as it is."""
        await self.write(self.head + self.body)
        return True

    async def write_endlessly(self, part: bytes) -> None:
        """Send a part again and again."""
        for _ in range(MAX_ENDLESS_BYTES // len(part)):
            await self.write(part)

    def head_with_length(self, length: int) -> bytes:
        """The head with a wrong Content-Length."""
        return self.head.replace(b"content-length: %d" % len(self.body), b"content-length: %d" % length, 1)


# What the relay can do to a response. Each handler returns whether the connection can still be used.


async def _hang(response: RelayedResponse, pause_s: float) -> bool:
    while await response.reader.read(1 << 16):  # until the client gives up
        pass
    return False


async def _drip(response: RelayedResponse, pause_s: float) -> bool:
    for byte in response.head + response.body:
        await response.write(bytes((byte,)))
        await asyncio.sleep(pause_s)
    return True


async def _cut(response: RelayedResponse, pause_s: float) -> bool:
    await response.write(response.head + response.body[: len(response.body) // 2])
    return False


async def _reset(response: RelayedResponse, pause_s: float) -> bool:
    await _cut(response, pause_s)
    await asyncio.sleep(pause_s)  # so that the client reads the half before the reset discards it
    response.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    response.writer.transport.abort()
    return False


async def _announce_too_much(response: RelayedResponse, pause_s: float) -> bool:
    await response.write(response.head_with_length(len(response.body) + CONTENT_LENGTH_ERROR_BYTES) + response.body)
    return False


async def _announce_too_little(response: RelayedResponse, pause_s: float) -> bool:
    length = len(response.body) - CONTENT_LENGTH_ERROR_BYTES
    if not response.head.startswith(b"HTTP/1.1 200 ") or length <= 0:
        return await response.write_all()  # leave a refusal unchanged
    await response.write(response.head_with_length(length) + response.body)
    return False


async def _send_garbage(response: RelayedResponse, pause_s: float) -> bool:
    await response.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    return False


async def _send_endless_headers(response: RelayedResponse, pause_s: float) -> bool:
    await response.write(response.head.partition(b"\r\n")[0] + b"\r\n")
    await response.write_endlessly(b"x-more: " + b"x" * 1000 + b"\r\n")
    return False


async def _send_endless_body(response: RelayedResponse, pause_s: float) -> bool:
    await response.write(response.head_with_length(MAX_ENDLESS_BYTES))
    await response.write_endlessly(b" " * 65536)
    return False


async def _send_twice(response: RelayedResponse, pause_s: float) -> bool:
    await response.write((response.head + response.body) * 2)
    return True


async def _send_late(response: RelayedResponse, pause_s: float) -> bool:
    await asyncio.sleep(pause_s)
    return await response.write_all()


async def _add_type(response: RelayedResponse, pause_s: float) -> bool:
    if b"\r\ncontent-type:" not in response.head:
        return await response.write_all()  # without a body there is nothing to mistake
    await response.write(response.head.replace(b"\r\n\r\n", b"\r\ncontent-type: text/html\r\n\r\n") + response.body)
    return True


async def _end_lines_with_lf(response: RelayedResponse, pause_s: float) -> bool:
    await response.write(response.head.replace(b"\r\n", b"\n") + response.body)
    return True


async def _speak_http_1_0(response: RelayedResponse, pause_s: float) -> bool:
    lines = response.head.replace(b"HTTP/1.1", b"HTTP/1.0", 1).split(b"\r\n")
    kept = [line for line in lines if not line.startswith(b"content-length:")]
    await response.write(b"\r\n".join(kept) + response.body)
    return False


async def _close_under_the_next(response: RelayedResponse, pause_s: float) -> bool:
    await response.write_all()
    await response.reader.read(1)
    return False


RELAY_HANDLERS: Final[Mapping[str, Callable[[RelayedResponse, float], Awaitable[bool]]]] = {
    "hang": _hang,
    "drip": _drip,
    "cut": _cut,
    "connection-reset": _reset,
    "too-long": _announce_too_much,
    "too-short": _announce_too_little,
    "garbage": _send_garbage,
    "endless-headers": _send_endless_headers,
    "huge": _send_endless_body,
    "two-responses": _send_twice,
    "late-response": _send_late,
    "two-types": _add_type,
    "bare-lf": _end_lines_with_lf,
    "http-1-0": _speak_http_1_0,
    "closes-silently": _close_under_the_next,
}
"""The handlers, by the names of the faults."""


async def read_message(
    reader: asyncio.StreamReader, *, response: bool, head_only: bool = False
) -> tuple[bytes, bytes] | None:
    """Read one HTTP message, as its head with the blank line and its body; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial and not response:
            return error.partial, b""  # this is not HTTP, which the server has to say
        return None
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    if head_only:
        return head, b""
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        return head, await _read_chunks(reader)
    length = fields.get(b"content-length", b"0")
    return head, await reader.readexactly(int(length)) if length.isdigit() else b""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        rest = await reader.readexactly(size + 2)
        parts += [line, rest]
        if size == 0:
            return b"".join(parts)
