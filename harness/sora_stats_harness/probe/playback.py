"""
Makes a simulator respond from a recording, for `simulate --play`.

The simulator doesn't depend on recordings, just as it doesn't depend on the judge. So this module reads them and passes
plain data to the simulator. Bodies go to a temporary file: a recording of an hour doesn't fit into memory.
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
from ..api.exchange import Exchange, RequestArguments, Target
from ..recording.reader import open_recordings
from ..recording.sorastats import SorastatsReader
from ..simulator.recording_player import PlayableResponse, RecordingPlayer, connection_ids_in_body
from .file_check import FileKind, OpenedFile, open_files

KEPT_HEADERS: Final = frozenset({"content-type", "content-encoding"})
"""Headers that belong to a body; the simulator sends its own length, date and server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPlayback:
    """A recording that a simulator can respond from, and notes about it."""

    player: RecordingPlayer
    notes: tuple[str, ...]


@contextmanager
def open_playback(files: Sequence[str]) -> Iterator[RecordedPlayback]:
    """
    Read recordings of the harness or of sorastats, of one run or of several that are played in turn, for a context.

    Raises:
        RecordingError: One is missing, unusable or not a recording, or none contains a response.
    """
    opened = open_files(files, Target.ALL)  # with a target, any file that is not a recording would count as a body
    for file in opened:
        if file.kind is FileKind.BODY:
            raise RecordingError(f"{file.store.name} is not a recording: there is nothing to play")
    names = ", ".join(file.store.name for file in opened)
    with tempfile.TemporaryFile(prefix="sora-harness-") as spool:
        reader = _PlaybackReader(opened, spool)
        try:
            player = RecordingPlayer(reader.responses())
        except OSError as error:
            raise RecordingError(f"{names} cannot be played: {error.strerror or error}") from None
        if not player.responses:
            raise RecordingError(f"{names} contains no complete response to a valid request: there is nothing to play")
        yield RecordedPlayback(player=player, notes=tuple(reader.notes()))


class _PlaybackReader:
    """Reads responses from files, with their bodies going to a temporary file."""

    def __init__(self, files: Sequence[OpenedFile], spool: IO[bytes]) -> None:
        stores = [file.store for file in files if file.kind is FileKind.RECORDING]
        self._recordings = open_recordings(stores) if stores else None
        self._sorastats = [SorastatsReader(file.store) for file in files if file.kind is FileKind.SORASTATS]
        self._spool = spool
        self._nodes: dict[str, dict[str, int]] = {}
        """Each run's servers, in the order of their first response."""
        self._clocks: dict[tuple[str, str], int] = {}
        self._skipped: Counter[str] = Counter()

    def responses(self) -> Iterator[PlayableResponse]:
        for source in (self._recordings or (), *self._sorastats):
            for step in source:
                if (response := self._make_response(step.exchange)) is not None:
                    yield response

    def notes(self) -> Iterator[str]:
        if self._recordings is not None:
            yield from self._recordings.notes
        for polls in self._sorastats:
            yield from polls.notes
        for reason, count in self._skipped.items():
            yield f"{reason}: {count:,}"

    def _make_response(self, exchange: Exchange) -> PlayableResponse | None:
        response, request = exchange.response, exchange.request
        if request.target is None or request.probe is not None:
            return None  # the simulator itself refuses wrong requests
        if response is None or exchange.error is not None or not response.complete:
            self._skipped["requests without a complete response, left out"] += 1
            return None
        if response.withheld:
            self._skipped["responses that were withheld when they were recorded, left out"] += 1
            return None
        servers = self._nodes.setdefault(exchange.run, {})
        clock = self._clocks.setdefault((exchange.run, exchange.clock), len(self._clocks))
        start = self._spool.seek(0, 2)
        self._spool.write(response.body)
        return PlayableResponse(
            sent=(clock, exchange.sent_ns),
            received=(clock, exchange.received_ns),
            node=servers.setdefault(request.server, len(servers)),
            operation=request.target.operation,
            arguments=_playback_arguments(request.target, request.asked),
            connections=connection_ids_in_body(request.target.operation, response.body),
            status=response.status,
            headers=tuple((name, value) for name, value in response.headers if name.lower() in KEPT_HEADERS and value),
            body=partial(self._read_body, start, len(response.body)),
        )

    def _read_body(self, start: int, size: int) -> bytes:
        self._spool.seek(start)
        return self._spool.read(size)


def _playback_arguments(target: Target, asked: RequestArguments) -> dict[str, Any]:  # Any: a string or a truth value
    if target is Target.ALL:
        return {"local": asked.local}
    key = "connection_id" if target is Target.CONNECTION else "client_id"
    return {"channel_id": asked.channel_id, key: getattr(asked, key)}
