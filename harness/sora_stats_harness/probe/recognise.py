"""
`--edition auto`: which edition a server answers by is asked of its own answers, before anything is judged.

One listing is enough, or the first answers in the files. Where there is nothing to go by, the default edition holds, and
that is said. Whoever sends under load asks over a connection of that kind, since Locust replaces what others stand on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..api.exchange import Exchange, Headers
    from ..load.http import Address
    from .check import File
    from .client import Prober
    from .interrupt import Interrupt

AUTO: Final = "auto"

ANSWERS: Final = 100
"""Of a recording, how many answers are looked at."""

LARGE_BYTES: Final = 64 << 20
"""A body beyond this is not looked into."""


def of_server(
    server: str, headers: Headers, prober: Prober, interrupt: Interrupt | None = None
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
    from ..api.edition import DEFAULT, load
    from ..api.exchange import Target, valid_request
    from ..judge.judge import Judge

    async def ask() -> Exchange | None:
        loop = asyncio.get_running_loop()
        request = valid_request(Target.ALL, server=server, headers=headers)
        async with prober:
            asking = asyncio.create_task(prober.send(Judge(load(DEFAULT)), request))
            if interrupt is not None:
                interrupt.tell(lambda: loop.call_soon_threadsafe(asking.cancel))
            try:
                return await asking
            except asyncio.CancelledError:
                return None
            finally:
                if interrupt is not None:
                    interrupt.tell(None)

    return _of(_bodies_of(asyncio.run(ask())))


def of_address(address: Address, headers: Headers, timeout_s: float, interrupt: Interrupt) -> tuple[str, list[str]]:
    """As `of_server`, where Locust has been loaded or may be; the first Ctrl-C ends it."""
    from ..api.edition import DEFAULT, load
    from ..api.exchange import Target, valid_request
    from ..judge.judge import Judge
    from ..load.asking import ask, end_quietly
    from ..load.http import Connection, Traffic
    from ..load.wire import prepare

    connection = Connection(address, Traffic(), timeout_s=timeout_s)
    request = valid_request(Target.ALL, server=address.server, headers=headers)
    try:
        end_quietly()
        exchange = ask(lambda: connection.send(Judge(load(DEFAULT)), prepare(request)), lambda: interrupt.seen)
    finally:
        connection.close()
    return _of(_bodies_of(exchange))


def _bodies_of(exchange: Exchange | None) -> list[bytes]:
    answer = exchange.answer if exchange is not None else None
    return [answer.body] if answer is not None and answer.complete and answer.status == 200 else []


def of_files(files: Sequence[File]) -> tuple[str, list[str]]:
    """As `of_server`, by the first answers in some files."""
    return _of(body for file in files for body in _bodies(file))


def _bodies(file: File) -> Iterable[bytes]:
    from ..recording import lines, sorastats
    from .check import Kind

    if file.kind is Kind.BODY:
        yield file.store.read()
        return
    looked = 0
    for piece in file.store.lines():
        if not isinstance(piece, bytes):
            continue
        if file.kind is Kind.SORASTATS:
            poll = sorastats.decode(piece)
            body = None if poll is None else bytes(poll.values)
        else:
            try:
                line = lines.decode(piece)
            except lines.Damaged:
                continue
            found = line.answer if isinstance(line, lines.ExchangeLine) and line.target is not None else None
            body = bytes(found.json) if found is not None and found.status == 200 and found.json else None
        if body is None:
            continue
        yield body
        looked += 1
        if looked == ANSWERS:
            return


def _of(bodies: Iterable[bytes]) -> tuple[str, list[str]]:
    from ..api.edition import DEFAULT
    from ..judge.drift import nearest_to

    readings: list[Any] = []  # Any: JSON
    for body in bodies:
        if len(body) > LARGE_BYTES:
            continue
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            continue
        readings += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    if not readings:
        return DEFAULT, [f"--edition auto: there was no answer to tell by, so {DEFAULT} was taken"]
    name, distance = nearest_to(readings)
    how = "in every field" if distance == 0 else f"but for {distance} field{'s' if distance > 1 else ''}"
    return name, [f"--edition auto: the answers are like {name} {how}"]
