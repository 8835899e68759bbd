"""
Recordings of sorastats, the terminal viewer that polls GetStatsAllConnections and writes down what it got.

A line is `{"time": {"secs_since_epoch": S, "nanos_since_epoch": N}, "values": [connection, …]}`. Nothing tells when a
request was sent, or what HTTP said; but the viewer polls one request at a time, so each response was asked for after the
one before it had been written down. That is all that the order of counters needs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw

from ..api.exchange import Exchange, Response, Target, make_valid_request
from .input_file import InputFile, UnreadablePart, describe_skipped_lines
from .reader import LATEST_NS, OrderedExchange

FIRST_SENT_NS: Final = 60_000_000_000
"""How long before the first line its request may have been sent: nobody knows, and an interval may be too wide."""


class _SystemTime(msgspec.Struct, frozen=True):
    """Serde's form of a system time."""

    secs_since_epoch: Annotated[int, Meta(ge=0, le=2**33)]
    nanos_since_epoch: Annotated[int, Meta(ge=0, lt=1_000_000_000)]


class SorastatsLine(msgspec.Struct, frozen=True):
    """One poll."""

    time: _SystemTime
    values: Raw


_DECODER: Final = msgspec.json.Decoder(SorastatsLine)


def decode_sorastats_line(line: bytes) -> SorastatsLine | None:
    """Read one line; None where it is no line of sorastats."""
    try:
        line.decode("utf-8")
        decoded = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return decoded if bytes(decoded.values).startswith(b"[") else None


class SorastatsReader:
    """
    A file of sorastats, to be iterated over as exchanges of GetStatsAllConnections in the order of their lines.

    The time of a line, taken after its response, stands for the time of receipt; the one before it for that of sending.
    """

    def __init__(self, store: InputFile, tick: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._tick = tick
        self.run = str(uuid.uuid4())
        self.damaged = 0
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[OrderedExchange]:
        """Give each response; what is wrong with the file is told when all was read."""
        self.damaged, self.notes = 0, []
        request = make_valid_request(Target.ALL, server=f"sorastats:{self._store.name}")
        before_ns: int | None = None
        cut = False
        for seq, piece in enumerate(self._store.lines()):
            self._tick()
            if isinstance(piece, bytes) and not piece.strip():
                continue
            line = None if isinstance(piece, UnreadablePart) else decode_sorastats_line(piece)
            if line is None:
                cut = isinstance(piece, bytes) and not piece.endswith(b"\n")
                self.damaged += not cut
                continue
            time_ns = line.time.secs_since_epoch * 1_000_000_000 + line.time.nanos_since_epoch
            sent_ns = before_ns + 1 if before_ns is not None else time_ns - FIRST_SENT_NS
            received_ns = max(time_ns, sent_ns)  # the system's clock may have been set back
            body = bytes(line.values)
            headers = (("content-type", "application/json"), ("content-length", str(len(body))))
            yield OrderedExchange(
                exchange=Exchange(
                    run=self.run,
                    seq=seq,
                    request=request,
                    clock=f"sorastats/{self.run}",
                    sent_ns=sent_ns,
                    received_ns=received_ns,
                    sent_at=_format_rfc3339(sent_ns),
                    response=Response(status=200, headers=headers, body=body),
                ),
                horizon_ns=min(received_ns + 1, LATEST_NS),
                open_sent_ns=(),
            )
            before_ns = received_ns
        if cut:
            self.notes.append(f"{self._store.name}: the last line is cut short and was dropped")
        if self.damaged:
            self.notes.append(f"{self._store.name}: {describe_skipped_lines(self.damaged)}")


def _format_rfc3339(time_ns: int) -> str:
    seconds, rest = divmod(max(time_ns, 0), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
