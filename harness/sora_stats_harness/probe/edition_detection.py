"""
`--edition auto`: which edition a server responds by is asked of its own responses, before anything is judged.

One listing is enough, or the first responses in the files. Where there is nothing to go by, the default edition holds, and
that is said. Whoever sends under load asks over a connection of that kind, since Locust replaces what others stand on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..api.exchange import Exchange, Headers
    from ..api.server_address import ServerAddress
    from .file_check import OpenedFile
    from .interrupt import InterruptHandler
    from .prober import Prober

AUTO_EDITION: Final = "auto"

MAX_RESPONSES_READ: Final = 100
"""Of a recording, how many responses are looked at."""

MAX_DETECTION_BODY_BYTES: Final = 64 << 20
"""A body beyond this is not looked into."""


def detect_by_server(
    server: str, headers: Headers, prober: Prober, interrupt: InterruptHandler | None = None
) -> tuple[str, list[str]]:
    """
    Ask a server for its connections once.

    Args:
        server: As `client.server_of` gives it.
        headers: Sent with the request.
        prober: Sends; it is closed at the end.
        interrupt: Ends it at once.

    Returns:
        The edition's name, and a line that says how near it is.
    """
    from ..api.edition import DEFAULT_EDITION, load_edition
    from ..api.exchange import Target, make_valid_request
    from ..judge.pipeline import Judge

    async def ask() -> Exchange | None:
        loop = asyncio.get_running_loop()
        request = make_valid_request(Target.ALL, server=server, headers=headers)
        async with prober:
            asking = asyncio.create_task(prober.send(Judge(load_edition(DEFAULT_EDITION)), request))
            if interrupt is not None:
                interrupt.set_callback(lambda: loop.call_soon_threadsafe(asking.cancel))
            try:
                return await asking
            except asyncio.CancelledError:
                return None
            finally:
                if interrupt is not None:
                    interrupt.set_callback(None)

    return _nearest_edition(_exchange_bodies(asyncio.run(ask())))


def detect_by_address(
    address: ServerAddress, headers: Headers, timeout_s: float, interrupt: InterruptHandler
) -> tuple[str, list[str]]:
    """As `detect_by_server`, where Locust has been loaded or may be; the first Ctrl-C ends it."""
    from ..api.edition import DEFAULT_EDITION, load_edition
    from ..api.exchange import Target, make_valid_request
    from ..judge.pipeline import Judge
    from ..load.http_connection import HttpConnection, TransportStats
    from ..load.interruptible_request import send_interruptibly, silence_keyboard_interrupt
    from ..load.prepared_request import prepare_request

    connection = HttpConnection(address, TransportStats(), timeout_s=timeout_s)
    request = make_valid_request(Target.ALL, server=address.server, headers=headers)
    try:
        silence_keyboard_interrupt()
        exchange = send_interruptibly(
            lambda: connection.send(Judge(load_edition(DEFAULT_EDITION)), prepare_request(request)),
            lambda: interrupt.is_interrupted,
        )
    finally:
        connection.close()
    return _nearest_edition(_exchange_bodies(exchange))


def _exchange_bodies(exchange: Exchange | None) -> list[bytes]:
    response = exchange.response if exchange is not None else None
    return [response.body] if response is not None and response.complete and response.status == 200 else []


def detect_by_files(files: Sequence[OpenedFile]) -> tuple[str, list[str]]:
    """As `detect_by_server`, by the first responses in some files."""
    return _nearest_edition(body for file in files for body in _file_bodies(file))


def _file_bodies(file: OpenedFile) -> Iterable[bytes]:
    from ..recording import format as lines
    from ..recording import sorastats
    from .file_check import FileKind

    if file.kind is FileKind.BODY:
        yield file.store.read()
        return
    looked = 0
    for piece in file.store.lines():
        if not isinstance(piece, bytes):
            continue
        if file.kind is FileKind.SORASTATS:
            poll = sorastats.decode_sorastats_line(piece)
            body = None if poll is None else bytes(poll.values)
        else:
            try:
                line = lines.decode_line(piece)
            except lines.DamagedLineError:
                continue
            found = line.response if isinstance(line, lines.RecordedExchange) and line.target is not None else None
            body = bytes(found.json) if found is not None and found.status == 200 and found.json else None
        if body is None:
            continue
        yield body
        looked += 1
        if looked == MAX_RESPONSES_READ:
            return


def _nearest_edition(bodies: Iterable[bytes]) -> tuple[str, list[str]]:
    from ..api.edition import DEFAULT_EDITION
    from ..judge.drift import find_nearest_edition

    samples: list[Any] = []  # Any: JSON
    for body in bodies:
        if len(body) > MAX_DETECTION_BODY_BYTES:
            continue
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            continue
        samples += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    if not samples:
        return DEFAULT_EDITION, [f"--edition auto: there was no response to tell by, so {DEFAULT_EDITION} was taken"]
    name, distance = find_nearest_edition(samples)
    how = "in every field" if distance == 0 else f"but for {distance} field{'s' if distance > 1 else ''}"
    return name, [f"--edition auto: the responses are like {name} {how}"]
