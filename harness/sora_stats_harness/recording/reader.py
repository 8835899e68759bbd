"""
Reads the exchanges of recordings in the order in which they were received.

The judge needs that order, but lines may be in any order. So a recording is read twice: first for the times only, of
which a few numbers are kept for every block of lines, then for the exchanges. An exchange is held back only until no
later line can have been received earlier, so memory grows with the disorder of the file, not with its length.

Runs, and clocks within a run, are read one after the other, since there is no order across them. The survey notes which
part of a file has which run and clock, so that a file of many runs is still read only twice. Files of one run (each
worker of a load test writes its own) are merged into one order.
"""

from __future__ import annotations

import uuid
from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

import msgspec

from ..api.errors import RecordingError
from ..api.exchange import Exchange, Target
from . import format as lines
from .format import DamagedLineError, RecordingEnd, RecordingHeader
from .input_file import InputFile, LineCursor, UnreadablePart, describe_damage, describe_skipped_lines

BLOCK_LINES: Final = 1024
BLOCK_BYTES: Final = 8 << 20
"""A block ends at whichever limit comes first; one block of each file is in memory at a time."""

LATEST_NS: Final = 2**63 - 1
"""Later than any time of a recording."""

LONG_AGO: Final = -(2**63)

StreamKey = tuple[str, str]
"""Run and clock."""


class OrderedExchange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One exchange, in order of receipt within its run and clock, with facts about those still to come there."""

    exchange: Exchange
    horizon_ns: int
    """The smallest `sent_ns` of the same run and clock that is still to come; 2**63 - 1 after the last."""
    open_sent_ns: Sequence[int]
    """When the open requests were sent, ascending. The list changes with the next exchange: copy it to keep it."""


class RecordingReader:
    """
    One or more surveyed recordings, ready to be read in order; made by `open_recordings`.

    Iterating yields an `OrderedExchange` for each exchange; this may be done several times.
    """

    def __init__(self, stores: Sequence[InputFile], tick: Callable[[], None]) -> None:
        self._tick = tick
        self.headers: list[RecordingHeader] = []
        """The headers of all files."""
        self.ends: list[tuple[str, RecordingEnd]] = []
        """The end lines of all files, each with the file's name."""
        self.notes: list[str] = []
        """The problems of the files, a line for each."""
        self.exchanges: int = 0
        self.damaged: int = 0
        """How many lines, or other parts of a file, could not be read."""
        self.truncated: bool = False
        """Whether exchanges are missing: there is no end line, or it counts more of them."""
        self.probes: bool = False
        """Whether requests that are wrong on purpose are among them."""
        self.targets: set[Target] = set()
        self._surveys = [self._survey_file(store) for store in stores]

    def __iter__(self) -> Iterator[OrderedExchange]:
        keys = dict.fromkeys(key for survey in self._surveys for key in survey.streams)
        cursors = [(survey, LineCursor(survey.store)) for survey in self._surveys]
        for key in keys:
            sources = [_StreamSource(survey, cursor, key) for survey, cursor in cursors if key in survey.streams]
            yield from _merge_by_receipt(sources, self._tick)

    def _survey_file(self, store: InputFile) -> _FileSurvey:
        survey = _FileSurvey(store, self._tick)
        self.exchanges += sum(survey.found.values())
        self.probes = self.probes or survey.probes
        self.targets |= survey.targets
        if not survey.streams and not survey.headers:
            raise RecordingError(f"{store.name} is not a recording: it has neither a header line nor an exchange")
        self.headers += survey.headers
        self.ends += ((store.name, end) for end in survey.ends)
        self.damaged += survey.damaged
        problems = survey.problems()
        self.truncated = self.truncated or bool(problems)
        if survey.damaged:
            problems.append(describe_skipped_lines(survey.damaged))
        self.notes += [f"{store.name}: {problem}" for problem in problems]
        return survey


def open_recordings(
    files: Sequence[str | Path | InputFile], *, tick: Callable[[], None] = lambda: None
) -> RecordingReader:
    """
    Survey recordings, and make them ready to be read in order of receipt; what `tick` raises passes through.

    A last line that is cut short is dropped with a note; a damaged line is skipped and counted.

    Args:
        files:
            Paths, `-` for the standard input, or open files; plain or zstd. Files of one run are merged. Lines may be
            in any order, except that each of several runs in one file must begin with its header.

    Raises:
        RecordingError: A file cannot be read, is not a recording, has an unknown version, or exceeds its budget.
    """
    return RecordingReader([file if isinstance(file, InputFile) else InputFile(file) for file in files], tick)


class _SizedExchange(msgspec.Struct, frozen=True, gc=False):
    """An exchange and the length of its line."""

    exchange: Exchange
    size: int


class _FileSurvey:
    """One file: its lines other than exchanges, and the places and times of its streams."""

    def __init__(self, store: InputFile, tick: Callable[[], None]) -> None:
        self.store = store
        self.streams: dict[StreamKey, _StreamTimes] = {}
        self.headers: list[RecordingHeader] = []
        self.ends: list[RecordingEnd] = []
        self.damaged = 0
        self.cut = False
        self.found: dict[str, int] = {}
        """How many exchanges of each run were found."""
        self.probes = False
        self.targets: set[Target] = set()
        self._survey_lines(tick)
        for stream in self.streams.values():
            stream.finish_minima()
        self._check_passes()

    def _first_run(self) -> str:
        """The run of exchanges before the first header; a made-up id if there is no header."""
        for piece in self.store.lines():
            if isinstance(piece, bytes) and (header := _read_header(piece)) is not None:
                return header.run
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.store.name))

    def _survey_lines(self, tick: Callable[[], None]) -> None:
        run = self._first_run()
        place = 0
        for end, piece in self.store.lines_from(0):
            tick()
            try:
                if isinstance(piece, UnreadablePart):
                    raise DamagedLineError("unreadable")
                line = lines.decode_line(piece)
                if isinstance(line, RecordingHeader):
                    lines.check_recording_version(line, self.store.name)
                    run = line.run
                    self.headers.append(line)
                elif isinstance(line, RecordingEnd):
                    self.ends.append(line)
                else:
                    self._add_exchange(_SizedExchange(lines.line_to_exchange(line, run), len(piece)), place, end)
            except DamagedLineError:
                if isinstance(piece, UnreadablePart) or piece.endswith(b"\n"):
                    self.damaged += 1
                else:
                    self.cut = True
            place = end
            budget = self.store.budget
            if self.damaged > budget.damaged_parts:
                raise RecordingError(describe_damage(self.store.name, budget))
            if max(len(self.headers), len(self.ends), len(self.streams)) > budget.runs:
                raise RecordingError(f"{self.store.name} has more than {budget.runs:,} runs: split it")

    def _add_exchange(self, item: _SizedExchange, place: int, end: int) -> None:
        exchange = item.exchange
        self.found[exchange.run] = self.found.get(exchange.run, 0) + 1
        self.probes = self.probes or exchange.request.probe is not None
        if exchange.request.target is not None:
            self.targets.add(exchange.request.target)
        key = (exchange.run, exchange.clock)
        if (stream := self.streams.get(key)) is None:
            stream = self.streams[key] = _StreamTimes(place)
        stream.end = end
        stream.add(item)

    def _check_passes(self) -> None:
        """Refuse a file that would have to be read many times, because its clocks alternate."""
        to_read = sum(stream.end - stream.start for stream in self.streams.values())
        budget = self.store.budget
        if to_read > budget.free_bytes + budget.passes * self.store.content_bytes:
            raise RecordingError(
                f"{self.store.name} has {len(self.streams):,} runs and clocks that alternate: sort its lines by clock"
            )

    def exchanges(self, key: StreamKey, cursor: LineCursor) -> Iterator[_SizedExchange]:
        """Every exchange of one run and clock in the order of the file; only its part of the file is read."""
        stream = self.streams[key]
        run, clock = key
        cursor.seek(stream.start)
        while cursor.place < stream.end and (piece := cursor.read_line()) is not None:
            if isinstance(piece, UnreadablePart):
                continue
            try:
                line = lines.decode_line(piece)
                if isinstance(line, RecordingHeader):
                    run = line.run
                elif not isinstance(line, RecordingEnd) and line.clock == clock and run == key[0]:
                    yield _SizedExchange(lines.line_to_exchange(line, run), len(piece))
            except DamagedLineError:
                continue

    def problems(self) -> list[str]:
        """The reasons why exchanges may be missing, a line for each."""
        problems = []
        if self.cut:
            problems.append("the last line is cut short and was dropped")
        if not self.headers:
            problems.append("the header line is missing")
        ends: dict[str, int] = {}
        for end in self.ends:
            ends[end.end] = ends.get(end.end, 0) + end.sent
        for run in dict.fromkeys((*(header.run for header in self.headers), *self.found)):
            if run not in ends:
                problems.append(f"run {run} has no end line: it was still being written, or was cut off")
            elif (missing := ends[run] - self.found.get(run, 0)) > 0:
                problems.append(f"{missing} of the {ends[run]} exchanges of run {run} are missing")
        return problems


def _read_header(piece: bytes) -> RecordingHeader | None:
    try:
        line = lines.decode_line(piece)
    except DamagedLineError:
        return None
    return line if isinstance(line, RecordingHeader) else None


class _StreamTimes:
    """
    The times of one run and clock in one file, block by block; about 100 bytes a block, and 8 for each exchange that
    was open when a block ended.
    """

    def __init__(self, start: int) -> None:
        self._blocks = _BlockAssigner()
        self.start = self.end = start
        """Where its first line begins in the file's content, and where its last line ends."""
        self.count = 0
        self.first_received: list[int] = []
        """The earliest time of receipt in a block or any after it."""
        self.first_sent: list[int] = []
        """The earliest time of sending in a block or any after it."""
        self.last_received: list[int] = []
        """The latest time of receipt in a block or any before it."""
        self.early: dict[int, array[int]] = {}
        """For a block, the times of sending of exchanges in later blocks that were in flight when this one ended."""

    def add(self, entry: _SizedExchange) -> None:
        exchange = entry.exchange
        self.count += 1
        block = self._blocks.block_of_next_line(entry.size)
        if block == len(self.first_received):
            self.first_received.append(LATEST_NS)
            self.first_sent.append(LATEST_NS)
            self.last_received.append(self.last_received[-1] if block else LONG_AGO)
        self.first_received[block] = min(self.first_received[block], exchange.received_ns)
        self.first_sent[block] = min(self.first_sent[block], exchange.sent_ns)
        self.last_received[block] = max(self.last_received[block], exchange.received_ns)
        if (announced := self.block_to_announce_after(exchange, block)) is not None:
            self.early.setdefault(announced, array("q")).append(exchange.sent_ns)

    def block_to_announce_after(self, exchange: Exchange, block: int) -> int | None:
        """The earlier block after which this exchange of a later block is known to be open; None if there is none."""
        earlier = bisect_left(self.last_received, exchange.sent_ns, 0, block)
        return earlier if earlier < block else None

    def finish_minima(self) -> None:
        """Turn each block's minima into minima of the block and all that follow."""
        for times in (self.first_received, self.first_sent):
            for block in range(len(times) - 2, -1, -1):
                times[block] = min(times[block], times[block + 1])


class _BlockAssigner:
    """Assigns lines to blocks, in the same way both times that a file is read."""

    def __init__(self) -> None:
        self._block = 0
        self._lines = 0
        self._bytes = 0

    def block_of_next_line(self, size: int) -> int:
        if self._lines >= BLOCK_LINES or self._bytes >= BLOCK_BYTES:
            self._block += 1
            self._lines = self._bytes = 0
        self._lines += 1
        self._bytes += size
        return self._block


class _StreamSource:
    """The second reading of one run and clock in one file, a block at a time."""

    def __init__(self, survey: _FileSurvey, cursor: LineCursor, key: StreamKey) -> None:
        self.name = survey.store.name
        self._stream = survey.streams[key]
        self.held_limit = survey.store.budget.held_bytes
        self._entries = survey.exchanges(key, cursor)
        self._blocks = _BlockAssigner()
        self._ahead: tuple[int, Exchange] | None = None
        self._next = 0
        self._left = self._stream.count

    @property
    def is_exhausted(self) -> bool:
        """Whether all blocks have been read."""
        return self._next == len(self._stream.first_received)

    @property
    def complete_until_ns(self) -> int:
        """The time up to which this file is completely known: all received exchanges, and all open ones."""
        if self.is_exhausted:
            return LATEST_NS
        if self._next == 0:
            return LONG_AGO
        return min(self._stream.first_received[self._next], self._stream.last_received[self._next - 1])

    @property
    def first_sent_ns(self) -> int:
        """The earliest time of sending in the blocks that are still to be read."""
        return LATEST_NS if self.is_exhausted else self._stream.first_sent[self._next]

    def read_block(self) -> Iterator[tuple[Exchange | None, int | None]]:
        """
        Yield exchanges of the next block and times of sending that become known with it, as pairs of either or both.
        """
        block = self._next
        self._next += 1
        while True:
            if self._ahead is None:
                entry = next(self._entries, None)
                if entry is None:
                    if self._left:
                        raise RecordingError(f"{self.name} changed while it was read")
                    break
                self._left -= 1
                self._ahead = self._blocks.block_of_next_line(entry.size), entry.exchange
            place, exchange = self._ahead
            if place != block:
                break
            self._ahead = None
            announced = self._stream.block_to_announce_after(exchange, block)
            yield exchange, exchange.sent_ns if announced is None else None
        for sent_ns in self._stream.early.get(block, ()):
            yield None, sent_ns


def _merge_by_receipt(sources: Sequence[_StreamSource], tick: Callable[[], None]) -> Iterator[OrderedExchange]:
    """Merge the files of one run and clock; takes O(log n) for each exchange, where n is the number held back."""
    waiting: list[tuple[int, int, int, Exchange]] = []
    """By time of receipt; then by seq, and by order of reading."""
    held_bytes = 0
    held_limit = max(source.held_limit for source in sources)
    unsent: list[int] = []
    """Times of sending that are later than the receipt of the last exchange yielded."""
    sent: list[int] = []
    count = 0
    while True:
        behind = min(sources, key=lambda source: source.complete_until_ns)
        while not behind.is_exhausted and (not waiting or waiting[0][0] > behind.complete_until_ns):
            for exchange, sent_ns in behind.read_block():
                if exchange is not None:
                    tick()
                    count += 1
                    held_bytes += lines.memory_of(exchange)
                    heappush(waiting, (exchange.received_ns, exchange.seq, count, exchange))
                if sent_ns is not None:
                    heappush(unsent, sent_ns)
            if held_bytes > held_limit:
                raise RecordingError(
                    f"{behind.name}: its lines are too far out of order, {held_bytes:,} bytes wait in memory: sort "
                    f"them by received_ns"
                )
            behind = min(sources, key=lambda source: source.complete_until_ns)
        if not waiting:
            return
        now_ns, _, _, exchange = heappop(waiting)
        held_bytes -= lines.memory_of(exchange)
        while unsent and unsent[0] <= now_ns:
            insort(sent, heappop(unsent))
        del sent[bisect_left(sent, exchange.sent_ns)]
        if sent:
            horizon_ns = sent[0]
        else:
            horizon_ns = min(unsent[0] if unsent else LATEST_NS, *(source.first_sent_ns for source in sources))
        yield OrderedExchange(exchange=exchange, horizon_ns=horizon_ns, open_sent_ns=sent)
