"""
A small TCP relay in front of the simulator, for what no HTTP library would send: cuts, resets, drips, second responses.

It takes one exchange at a time from each connection. It passes the request on, reads the whole response, and sends that
on as it is, or with a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

MAX_HEAD_BYTES: Final = 1 << 20


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
        action = self._next_action()
        return await (response.write_all() if action is None else action(response))


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

    def head_with_length(self, length: int) -> bytes:
        """The head with a wrong Content-Length."""
        return self.head.replace(b"content-length: %d" % len(self.body), b"content-length: %d" % length, 1)


RelayAction = Callable[[RelayedResponse], Awaitable[bool]]
"""Sends a response in another way than it is; returns whether the connection can still be used."""


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
