"""
A small TCP relay before the server, for what no HTTP library would send: cuts, resets, drips, second answers.

It takes one exchange at a time from each connection: a request is passed on, its answer is read whole, and then sent on
as it is, or mangled.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from .calls import Fault, Mangle

MAX_HEAD: Final = 1 << 20
ENDLESS_BYTES: Final = 300 << 20
"""Where what never ends does end all the same."""

Bytes = tuple[bytes, bytes]
"""A message's head, with the blank line, and its body."""


class Relay:
    """
    Listens, and passes everything to another port of the same host.

    Args:
        host: Of both ends.
        port: The server's.
        faults: Those that say what happens to answers; the first that has something to say counts.
    """

    def __init__(self, host: str, port: int, faults: Sequence[Fault]) -> None:
        self._host = host
        self._port = port
        self._faults = faults
        self._answers = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def open(self, port: int = 0) -> int:
        """Start to listen; the port on which it does."""
        self._server = await asyncio.start_server(self._accept, self._host, port, limit=MAX_HEAD)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop, and drop whatever is open."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        try:
            up_reader, up_writer = await asyncio.open_connection(self._host, self._port, limit=MAX_HEAD)
        except OSError:
            writer.close()
            return
        try:
            while (request := await _read_message(reader, answer=False)) is not None:
                up_writer.write(b"".join(request))
                await up_writer.drain()
                head_only = request[0].startswith(b"HEAD ")
                answer = await _read_message(up_reader, answer=True, head_only=head_only)
                if answer is None or not await self._pass_on(answer, writer):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # one side has gone: so does the other
        except asyncio.CancelledError:
            pass  # the relay is closed
        finally:
            writer.close()
            up_writer.close()

    async def _pass_on(self, answer: Bytes, writer: asyncio.StreamWriter) -> bool:
        """Send an answer on; whether the connection is still of use."""
        number = self._answers
        self._answers += 1
        mangle = next((m for f in self._faults if f.transport is not None and (m := f.transport(number))), None)
        if mangle is None:
            writer.write(b"".join(answer))
            await writer.drain()
            return True
        return await _mangle(mangle, answer, writer)


async def _mangle(mangle: Mangle, answer: Bytes, writer: asyncio.StreamWriter) -> bool:
    way, parameters = mangle
    head, body = answer
    whole = head + body
    if way == "hang":
        await asyncio.sleep(3600)
    elif way == "drip":
        for place in range(len(whole)):
            writer.write(whole[place : place + 1])
            await writer.drain()
            await asyncio.sleep(float(parameters["pause"]))
    elif way == "cut":
        writer.write(head + body[: len(body) // 2])
        await writer.drain()
    elif way == "reset":
        writer.write(head + body[: len(body) // 2])
        await writer.drain()
        await asyncio.sleep(0.01)  # so that the half is read before the reset throws it away
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
        writer.transport.abort()
    elif way == "too-long":
        longer = b"content-length: %d" % (len(body) + 100)
        writer.write(head.replace(b"content-length: %d" % len(body), longer, 1) + body)
        await writer.drain()
    elif way == "garbage":
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()
    elif way == "endless-headers":
        writer.write(head.partition(b"\r\n")[0] + b"\r\n")
        await _endless(writer, b"x-more: " + b"x" * 1000 + b"\r\n")
    elif way == "huge":
        start = head.replace(b"content-length: %d" % len(body), b"content-length: %d" % ENDLESS_BYTES, 1)
        writer.write(start)
        await _endless(writer, b" " * 65536)
    elif way == "two-answers":
        writer.write(whole + whole)
        await writer.drain()
        return True
    elif way == "late-answer":
        await asyncio.sleep(float(parameters["after"]))
        writer.write(whole)
        await writer.drain()
        return True
    return False


async def _endless(writer: asyncio.StreamWriter, part: bytes) -> None:
    for _ in range(ENDLESS_BYTES // len(part)):
        writer.write(part)
        await writer.drain()


async def _read_message(reader: asyncio.StreamReader, *, answer: bool, head_only: bool = False) -> Bytes | None:
    """One HTTP message as it came; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial and not answer:
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
