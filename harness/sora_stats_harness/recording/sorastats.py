"""
Reads the recordings of sorastats, a terminal viewer that polls GetStatsAllConnections and records the responses.

A line is `{"time": {"secs_since_epoch": S, "nanos_since_epoch": N}, "values": [connection, …]}`. It does not say when
the request was sent, or anything about HTTP. But the viewer sends one request at a time, so each request was sent after
the response before it was recorded, which is enough to judge the order of counters.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw

from ..api.exchange import Exchange, Response, Target, make_valid_request
from ..api.utc_time import format_utc_ns
from .input_file import InputFile, UnreadablePart, describe_skipped_lines
from .reader import LATEST_NS, OrderedExchange

FIRST_SENT_NS: Final = 60_000_000_000
"""
How long before the first line its request is assumed to be sent. The real time is unknown, and a wider interval is
safe.
"""


class _SystemTime(msgspec.Struct, frozen=True):
    """A system time as Serde writes it."""

    secs_since_epoch: Annotated[int, Meta(ge=0, le=2**33)]
    nanos_since_epoch: Annotated[int, Meta(ge=0, lt=1_000_000_000)]


class SorastatsLine(msgspec.Struct, frozen=True):
    """One response."""

    time: _SystemTime
    values: Raw


_TIMESTAMP: Final = re.compile(rb'"timestamp" ?: ?"([^"]*)"')

_DECODER: Final = msgspec.json.Decoder(SorastatsLine)


def decode_sorastats_line(line: bytes) -> SorastatsLine | None:
    """Read one line; None if it is not a line of sorastats."""
    try:
        line.decode("utf-8")
        decoded = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return decoded if bytes(decoded.values).startswith(b"[") else None


class SorastatsReader:
    """
    A file of sorastats: iterating yields exchanges of GetStatsAllConnections, in the order of their lines.

    A line's time, taken after its response, counts as the time of receipt; the previous line's time counts as the time
    of sending.
    """

    def __init__(self, store: InputFile, tick: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._tick = tick
        self.runs: list[str] = []
        """One run, or several if recordings were joined in a different order than they were made."""
        self.damaged: int = 0
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[OrderedExchange]:
        """Yield each response; afterwards `notes` has the file's problems."""
        self.damaged, self.notes = 0, []
        self.runs = [str(uuid.uuid4())]
        stamp = b""
        request = make_valid_request(Target.ALL, server=f"sorastats:{self._store.name}")
        before_ns: int | None = None
        cut = False
        for seq, piece in enumerate(self._store.lines()):
            self._tick()
            line = None if isinstance(piece, UnreadablePart) else decode_sorastats_line(piece)
            if line is None:
                cut = isinstance(piece, bytes) and not piece.endswith(b"\n")
                self.damaged += not cut
                continue
            time_ns = line.time.secs_since_epoch * 1_000_000_000 + line.time.nanos_since_epoch
            body, before_stamp = bytes(line.values), stamp
            found = _TIMESTAMP.search(body)
            stamp = found[1] if found is not None else stamp
            if before_ns is not None and time_ns < before_ns and stamp < before_stamp:
                self.runs.append(str(uuid.uuid4()))  # the server's clock went back too: an older recording follows
                before_ns = None
            sent_ns = before_ns + 1 if before_ns is not None else time_ns - FIRST_SENT_NS
            received_ns = max(time_ns, sent_ns)  # the system's clock may have been set back
            headers = (("content-type", "application/json"), ("content-length", str(len(body))))
            yield OrderedExchange(
                exchange=Exchange(
                    run=self.runs[-1],
                    seq=seq,
                    request=request,
                    clock=f"sorastats/{self.runs[-1]}",
                    sent_ns=sent_ns,
                    received_ns=received_ns,
                    sent_at=format_utc_ns(max(sent_ns, 0)),
                    response=Response(status=200, headers=headers, body=body),
                ),
                horizon_ns=min(received_ns + 1, LATEST_NS),
                open_sent_ns=(),
            )
            before_ns = received_ns
        if cut:
            self.notes.append(f"{self._store.name}: the last line is cut short and was dropped")
        if len(self.runs) > 1:
            self.notes.append(
                f"{self._store.name}: {len(self.runs)} recordings, joined in a different order than they were made: "
                "each is judged separately"
            )
        if self.damaged:
            self.notes.append(f"{self._store.name}: {describe_skipped_lines(self.damaged)}")
