"""
Faults of the bytes on the wire that no HTTP server library would send; the relay in front of the server causes them.

Each is a function that sends a response in its own way, and returns whether the connection can still be used.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from socket import SO_LINGER, SOL_SOCKET
from typing import Final, TypeVar

from ..fault_interface import Fault
from ..tcp_fault_relay import RelayedResponse
from .fault_kind import FaultFamily
from .parameters import FaultParameters

FAULTS: Final = FaultFamily()

MAX_ENDLESS_BYTES: Final = 300 << 20
"""The size at which an endless response does end."""

CONTENT_LENGTH_ERROR_BYTES: Final = 100
"""By how much a wrong Content-Length is off."""

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[bool]])


def _fault(
    name: str, description: str, violates: str, *, kept: bool = False, **own: str
) -> Callable[[Handler], Handler]:
    """Add the decorated function as a fault; it takes `pause_s` if the fault has a pause."""

    def add(handle: Handler) -> Handler:
        def build(parameters: FaultParameters) -> Fault:
            strikes = parameters.strikes()
            action = partial(handle, pause_s=parameters.seconds("pause")) if "pause" in parameters else handle
            return Fault(transport=lambda: action if strikes() else None)

        traits = {"needs_relay": True, "needs_kept_connections": kept}
        FAULTS.fault(name, description, violates, own={"every": "20"} | own, **traits)(build)
        return handle

    return add


@_fault("hang", "no response, and the connection stays open", "http.complete")
async def _hang(response: RelayedResponse) -> bool:
    while await response.reader.read(1 << 16):  # until the client gives up
        pass
    return False


@_fault("drip", "a byte now and then", "http.complete", pause="0.2")
async def _drip(response: RelayedResponse, pause_s: float) -> bool:
    for byte in response.head + response.body:
        await response.write(bytes((byte,)))
        await asyncio.sleep(pause_s)
    return True


@_fault("cut", "half of the body, then the end", "http.complete")
async def _cut(response: RelayedResponse) -> bool:
    await response.write(response.head + response.body[: len(response.body) // 2])
    return False


@_fault("connection-reset", "half of the body, then a reset", "http.complete", pause="0.01")
async def _reset(response: RelayedResponse, pause_s: float) -> bool:
    await _cut(response)
    await asyncio.sleep(pause_s)  # so that the client reads the half before the reset discards it
    response.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    response.writer.transport.abort()
    return False


@_fault("too-long", "a Content-Length that is larger than the body", "http.complete")
async def _announce_too_much(response: RelayedResponse) -> bool:
    await response.write(response.head_with_length(len(response.body) + CONTENT_LENGTH_ERROR_BYTES) + response.body)
    return False


@_fault("too-short", "a Content-Length that is smaller than the body", "http.length")
async def _announce_too_little(response: RelayedResponse) -> bool:
    length = len(response.body) - CONTENT_LENGTH_ERROR_BYTES
    if not response.head.startswith(b"HTTP/1.1 200 ") or length <= 0:
        return await response.write_all()  # leave a refusal unchanged
    await response.write(response.head_with_length(length) + response.body)
    return False


@_fault("garbage", "bytes that are not HTTP", "http.complete")
async def _send_garbage(response: RelayedResponse) -> bool:
    await response.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    return False


@_fault("endless-headers", "header lines without end", "http.complete")
async def _send_endless_headers(response: RelayedResponse) -> bool:
    await response.write(response.head.partition(b"\r\n")[0] + b"\r\n")
    await _write_endlessly(response, b"x-more: " + b"x" * 1000 + b"\r\n")
    return False


@_fault("huge", "a body that never ends", "http.complete", every="40")
async def _send_endless_body(response: RelayedResponse) -> bool:
    await response.write(response.head_with_length(MAX_ENDLESS_BYTES))
    await _write_endlessly(response, b" " * 65536)
    return False


@_fault("two-responses", "the response twice in one go", "http.length")
async def _send_twice(response: RelayedResponse) -> bool:
    await response.write((response.head + response.body) * 2)
    return True


@_fault("late-response", "a response after the client has given up", "http.complete", pause="6")
async def _send_late(response: RelayedResponse, pause_s: float) -> bool:
    await asyncio.sleep(pause_s)
    return await response.write_all()


@_fault("two-types", "a second Content-Type, another one", "http.header")
async def _add_type(response: RelayedResponse) -> bool:
    if b"\r\ncontent-type:" not in response.head:
        return await response.write_all()  # without a body there is nothing to mistake
    await response.write(response.head.replace(b"\r\n\r\n", b"\r\ncontent-type: text/html\r\n\r\n") + response.body)
    return True


@_fault("bare-lf", "a head whose lines end with LF alone", "http.framing")
async def _end_lines_with_lf(response: RelayedResponse) -> bool:
    await response.write(response.head.replace(b"\r\n", b"\n") + response.body)
    return True


@_fault("http-1-0", "HTTP/1.0, without a Content-Length, until the close", "http.unusual", every="1")
async def _speak_http_1_0(response: RelayedResponse) -> bool:
    lines = response.head.replace(b"HTTP/1.1", b"HTTP/1.0", 1).split(b"\r\n")
    kept = [line for line in lines if not line.startswith(b"content-length:")]
    await response.write(b"\r\n".join(kept) + response.body)
    return False


@_fault(
    "closes-silently",
    "after a response the connection is closed under the next request",
    "http.keep_alive",
    kept=True,
    every="2",
)
async def _close_under_the_next(response: RelayedResponse) -> bool:
    await response.write_all()
    await response.reader.read(1)
    return False


async def _write_endlessly(response: RelayedResponse, part: bytes) -> None:
    for _ in range(MAX_ENDLESS_BYTES // len(part)):
        await response.write(part)
