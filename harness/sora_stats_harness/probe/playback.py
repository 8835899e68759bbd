"""
Makes a recording ready to be answered from, for `simulate --play`.

The simulator knows nothing of recordings, as it knows nothing of the judge. So this module reads them, and hands it what
it needs as plain data. Bodies wait in a temporary file, since a recording of an hour does not fit into memory.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Final

from ..api.errors import RecordingError
from ..api.exchange import Asked, Exchange, Target
from ..recording import read
from ..recording.sorastats import Sorastats
from ..simulator.played import Played, Recorded, connections_in
from .check import File, Kind, open_files

KEPT_HEADERS: Final = frozenset({"content-type", "content-encoding"})
"""What belongs to a body; all else (length, date, server) is said by whoever answers now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """A recording that can be answered from, and what is worth knowing about it."""

    played: Played
    notes: tuple[str, ...]


@contextmanager
def open_recording(files: Sequence[str]) -> Iterator[Playback]:
    """
    Read recordings, of the harness or of sorastats; what is in them can be answered while the context lasts.

    Args:
        files: Paths; several are files of one run, or runs that are answered from one after the other.

    Raises:
        RecordingError: One is missing, damaged beyond use or no recording, or there is nothing in them to answer with.
    """
    opened = open_files(files, Target.ALL)  # with a target given, whatever is no recording counts as a body
    for file in opened:
        if file.kind is Kind.BODY:
            raise RecordingError(f"{file.store.name} is no recording: there is nothing to play")
    names = ", ".join(file.store.name for file in opened)
    with tempfile.TemporaryFile(prefix="sora-harness-") as spool:
        reading = _Reading(opened, spool)
        try:
            played = Played(reading.answers())
        except OSError as error:
            raise RecordingError(f"{names} cannot be played: {error.strerror or error}") from None
        if not played.answers:
            raise RecordingError(f"{names} holds no whole answer to a valid request: there is nothing to play")
        yield Playback(played=played, notes=tuple(reading.notes()))


class _Reading:
    def __init__(self, files: Sequence[File], spool: IO[bytes]) -> None:
        stores = [file.store for file in files if file.kind is Kind.RECORDING]
        self._recordings = read(stores) if stores else None
        self._sorastats = [Sorastats(file.store) for file in files if file.kind is Kind.SORASTATS]
        self._spool = spool
        self._nodes: dict[str, dict[str, int]] = {}
        """By run, its servers in the order in which they first answered."""
        self._clocks: dict[tuple[str, str], int] = {}
        self._skipped: Counter[str] = Counter()

    def answers(self) -> Iterator[Recorded]:
        for source in (self._recordings or (), *self._sorastats):
            for step in source:
                if (answer := self._answer(step.exchange)) is not None:
                    yield answer

    def notes(self) -> Iterator[str]:
        if self._recordings is not None:
            yield from self._recordings.notes
        for one in self._sorastats:
            yield from one.notes
        for what, count in self._skipped.items():
            yield f"{what}: {count:,}"

    def _answer(self, exchange: Exchange) -> Recorded | None:
        answer, request = exchange.answer, exchange.request
        if request.target is None or request.probe is not None:
            return None  # wrong requests are refused as the simulator refuses them
        if answer is None or exchange.error is not None or not answer.complete:
            self._skipped["requests without a whole answer, left out"] += 1
            return None
        if answer.withheld:
            self._skipped["answers that were withheld when they were recorded, left out"] += 1
            return None
        servers = self._nodes.setdefault(exchange.run, {})
        clock = self._clocks.setdefault((exchange.run, exchange.clock), len(self._clocks))
        start = self._spool.seek(0, 2)
        self._spool.write(answer.body)
        return Recorded(
            sent=(clock, exchange.sent_ns),
            received=(clock, exchange.received_ns),
            node=servers.setdefault(request.server, len(servers)),
            operation=request.target.operation,
            arguments=_arguments(request.target, request.asked),
            connections=connections_in(request.target.operation, answer.body),
            status=answer.status,
            headers=tuple((name, value) for name, value in answer.headers if name.lower() in KEPT_HEADERS and value),
            body=partial(self._fetch, start, len(answer.body)),
        )

    def _fetch(self, start: int, size: int) -> bytes:
        self._spool.seek(start)
        return self._spool.read(size)


def _arguments(target: Target, asked: Asked) -> dict[str, Any]:  # Any: a string or a truth value
    if target is Target.ALL:
        return {"local": asked.local}
    key = "connection_id" if target is Target.CONNECTION else "client_id"
    return {"channel_id": asked.channel_id, key: getattr(asked, key)}
