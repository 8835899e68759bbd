"""
A small TCP relay before the server, for what no HTTP library would send: cuts, resets, drips, second responses.

It takes one exchange at a time from each connection: a request is passed on, its response is read whole, and then sent on
as it is, or mangled.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from .fault_interface import Fault

MAX_HEAD_BYTES: Final = 1 << 20
MAX_ENDLESS_BYTES: Final = 300 << 20
"""Where what never ends does end all the same."""

CONTENT_LENGTH_ERROR_BYTES: Final = 100
"""Bytes by which a Content-Length lies."""

HttpMessageBytes = tuple[bytes, bytes]
"""A message's head, with the blank line, and its body."""


class TcpFaultRelay:
    """
    Listens, and passes everything to another port of the same host.

    Args:
        host: Of both ends.
        port: The server's.
        faults: Those that say what happens to responses; the first that has something to say counts.
    """

    def __init__(self, host: str, port: int, faults: Sequence[Fault]) -> None:
        self._host = host
        self._port = port
        self._faults = faults
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def open(self, port: int = 0) -> int:
        """Start to listen; the port on which it does."""
        self._server = await asyncio.start_server(self._relay_connection, self._host, port, limit=MAX_HEAD_BYTES)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop, and drop whatever is open."""
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
            while (request := await _read_message(reader, response=False)) is not None:
                up_writer.write(b"".join(request))
                await up_writer.drain()
                head_only = request[0].startswith(b"HEAD ")
                response = await _read_message(up_reader, response=True, head_only=head_only)
                if response is None or not await self._forward_response(response, reader, writer):
                    return
                if b"\r\nconnection: close\r\n" in response[0]:
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # one side has gone: so does the other
        except asyncio.CancelledError:
            pass  # the relay is closed
        finally:
            writer.close()
            up_writer.close()

    async def _forward_response(
        self, response: HttpMessageBytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send a response on; whether the connection is still of use."""
        mangles = [fault.transport() for fault in self._faults if fault.transport is not None]
        mangle = next(filter(None, mangles), None)
        if mangle is None:
            return await _send_unchanged(response, writer)
        way, pause_s = mangle
        return await RELAY_HANDLERS[way](response, pause_s, reader, writer)


# What a way does with a response; each gives whether the connection is still of use.


async def _send_nothing(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    while await reader.read(1 << 16):  # until the client has had enough
        pass
    return False


async def _send_slowly(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    whole = b"".join(response)
    for place in range(len(whole)):
        await _write(writer, whole[place : place + 1])
        await asyncio.sleep(pause_s)
    return True


async def _send_half(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    head, body = response
    await _write(writer, head + body[: len(body) // 2])
    return False


async def _send_half_and_reset(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    await _send_half(response, pause_s, reader, writer)
    await asyncio.sleep(pause_s)  # so that the half is read before the reset throws it away
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _send_too_long_content_length(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    await _write(writer, _replace_content_length(response, len(response[1]) + CONTENT_LENGTH_ERROR_BYTES) + response[1])
    return False


async def _send_too_short_content_length(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    head, body = response
    if not head.startswith(b"HTTP/1.1 200 ") or len(body) <= CONTENT_LENGTH_ERROR_BYTES:
        return await _send_unchanged(response, writer)  # a refusal stays as it is
    await _write(writer, _replace_content_length(response, len(body) - CONTENT_LENGTH_ERROR_BYTES) + body)
    return False


async def _send_garbage(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    await _write(writer, b"SSH-2.0-OpenSSH_9.9\r\n")
    return False


async def _send_endless_headers(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    await _write(writer, response[0].partition(b"\r\n")[0] + b"\r\n")
    await _write_endlessly(writer, b"x-more: " + b"x" * 1000 + b"\r\n")
    return False


async def _send_endless_body(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    await _write(writer, _replace_content_length(response, MAX_ENDLESS_BYTES))
    await _write_endlessly(writer, b" " * 65536)
    return False


async def _send_twice(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    await _write(writer, b"".join(response) * 2)
    return True


async def _send_late(
    response: HttpMessageBytes, pause_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    await asyncio.sleep(pause_s)
    return await _send_unchanged(response, writer)


RelayHandler = Callable[[HttpMessageBytes, float, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]

RELAY_HANDLERS: Final[Mapping[str, RelayHandler]] = {
    "hang": _send_nothing,
    "drip": _send_slowly,
    "cut": _send_half,
    "connection-reset": _send_half_and_reset,
    "too-long": _send_too_long_content_length,
    "too-short": _send_too_short_content_length,
    "garbage": _send_garbage,
    "endless-headers": _send_endless_headers,
    "huge": _send_endless_body,
    "two-responses": _send_twice,
    "late-response": _send_late,
}
"""What can be done to a response, by the names of the faults."""


async def _send_unchanged(response: HttpMessageBytes, writer: asyncio.StreamWriter) -> bool:
    await _write(writer, b"".join(response))
    return True


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _write_endlessly(writer: asyncio.StreamWriter, part: bytes) -> None:
    for _ in range(MAX_ENDLESS_BYTES // len(part)):
        await _write(writer, part)


def _replace_content_length(response: HttpMessageBytes, length: int) -> bytes:
    """The head, with another Content-Length than the body's."""
    head, body = response
    return head.replace(b"content-length: %d" % len(body), b"content-length: %d" % length, 1)


async def _read_message(
    reader: asyncio.StreamReader, *, response: bool, head_only: bool = False
) -> HttpMessageBytes | None:
    """One HTTP message as it came; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial and not response:
            return error.partial, b""  # nothing that HTTP knows: the server is to say so
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
