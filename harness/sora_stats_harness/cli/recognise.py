"""
`--edition auto`: which edition a server answers by is asked of its own answers, before anything is judged.

One listing is enough, or the first answers in the files. Where there is nothing to go by, the default edition holds, and
that is said.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..check import File
    from ..client import Prober
    from ..exchange import Headers

AUTO: Final = "auto"

ANSWERS: Final = 100
"""Of a recording, how many answers are looked at."""

LARGE_BYTES: Final = 64 << 20
"""A body beyond this is not looked into."""


def of_server(server: str, headers: Headers, prober: Prober) -> tuple[str, list[str]]:
    """
    Ask a server for its connections once.

    Returns:
        The edition's name, and a line that says how near it is.
    """
    from ..edition import DEFAULT, load
    from ..exchange import Target, valid_request
    from ..judge import Judge

    async def ask() -> bytes | None:
        request = valid_request(Target.ALL, server=server, headers=headers)
        async with prober:
            exchange = await prober.send(Judge(load(DEFAULT)), request)
        answer = exchange.answer
        return answer.body if answer is not None and answer.complete and answer.status == 200 else None

    body = asyncio.run(ask())
    return _of([body] if body is not None else [])


def of_files(files: Sequence[File]) -> tuple[str, list[str]]:
    """As `of_server`, by the first answers in some files."""
    return _of(body for file in files for body in _bodies(file))


def _bodies(file: File) -> Iterable[bytes]:
    from ..check import Kind
    from ..recording import lines, sorastats

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
    from ..drift import nearest_to
    from ..edition import DEFAULT

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
