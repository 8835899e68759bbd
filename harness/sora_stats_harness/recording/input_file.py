"""
Reads the lines of a recording's file, also of one that is compressed, cut short or damaged.

A recording may be plain or compressed, still growing, cut short by a crash, or damaged in the middle. It may also come
through a pipe, although it has to be read twice. `InputFile` reads each of these as a sequence of lines and gaps, and
stays within an `InputBudget` whatever the file contains.
"""

from __future__ import annotations

import re
import sys
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import IO, Final

from ..api.errors import RecordingError
from ..api.input_budget import (
    MAX_INPUT_VARIABLE,
    TOTAL_PER_IDLE,
    InputBudget,
    is_pipe,
    open_input_file,
    read_input_budget,
    read_pipe,
)
from .zstd_frames import decompress_span, find_spans, is_zstd, read_range

STDIN_NAME: Final = "-"

PLAIN_CHUNK_BYTES: Final = 1 << 20

_BLANK_LINES: Final = re.compile(rb"[ \t\r\n]*\n")


class UnreadablePart(Enum):
    """What a file may contain besides lines."""

    GAP = "gap"
    """A part that cannot be read, or a line that is too long."""


class InputFile:
    """
    A file, or the standard input, that can be read several times with the same result.

    What is appended after it was opened is not read. Pipes are copied to a temporary file.

    Args:
        path: A path, or `-` for the standard input.
        budget: The limits for reading it; those of the environment if None.

    Raises:
        RecordingError: It does not exist, is a folder or a device, may not be read, or exceeds the budget.
    """

    def __init__(self, path: str | Path, budget: InputBudget | None = None) -> None:
        self.path: str = str(path)
        self.name: str = "standard input" if self.path == STDIN_NAME else self.path
        self.budget: InputBudget = budget or read_input_budget()
        self._copy: IO[bytes] | None = None
        self._file = Path(path)
        try:
            self._resolve_pipe()
            self.size: int = self._file.stat().st_size
            if self.size > self.budget.file_bytes:
                raise self._too_large()
            with self._file.open("rb") as file:
                compressed = self.size > 0 and is_zstd(file)  # reading some files without a size, in /proc, would block
                self._spans = find_spans(file, self.size, self.budget, self.name) if compressed else None
        except OSError as error:
            raise RecordingError(f"{self.name} cannot be read: {error.strerror or error}") from None
        self.content_bytes: int = self.size if self._spans is None else sum(span.content_bytes for span in self._spans)
        """The size of what can be read, decompressed."""

    def _resolve_pipe(self) -> None:
        """Copy a pipe to a temporary file."""
        if self.path == STDIN_NAME:
            pipe = sys.stdin.buffer
            is_pipe(pipe.fileno())  # refuses devices
            self._spool_pipe(pipe)
        else:
            file, piped = open_input_file(self.path)
            with file:
                if piped:
                    self._spool_pipe(file)

    def _spool_pipe(self, pipe: IO[bytes]) -> None:
        self._copy = tempfile.NamedTemporaryFile(prefix="sora-harness-")  # noqa: SIM115  # deleted with this object
        size = 0
        for chunk in read_pipe(pipe, self.budget.idle_s, TOTAL_PER_IDLE * self.budget.idle_s):
            size += len(chunk)
            if size > self.budget.file_bytes:
                raise self._too_large()
            self._copy.write(chunk)
        self._copy.flush()
        self._file = Path(self._copy.name)

    def _too_large(self) -> RecordingError:
        return RecordingError(
            f"{self.name} is larger than {self.budget.file_bytes:,} bytes: set {MAX_INPUT_VARIABLE} to read it"
        )

    def read(self) -> bytes:
        """
        Read the whole content, decompressed; for a file that is one body.

        Raises:
            RecordingError: It is larger than a line may be.
        """
        if self.content_bytes > self.budget.line_bytes:
            raise RecordingError(f"{self.name} is not a body: it has more than {self.budget.line_bytes:,} bytes")
        return b"".join(chunk for chunk in self._chunks_from(0) if isinstance(chunk, bytes))

    def lines(self) -> Iterator[bytes | UnreadablePart]:
        """
        Yield lines with their line breaks (the last one may lack it), and gaps where something cannot be read.

        Lines end only at `\\n`; blank ones are left out. Takes the memory of one line.
        """
        return (piece for _, piece in self.lines_from(0))

    def lines_from(self, start: int) -> Iterator[tuple[int, bytes | UnreadablePart]]:
        """
        Yield the same from a place in the content at which a line begins, each with the place where it ends.

        Raises:
            RecordingError: More is damaged than the budget allows.
        """
        limit, gaps = self.budget.line_bytes, 0
        for place, piece in _split_lines(self._chunks_from(start), start, limit):
            if isinstance(piece, UnreadablePart):
                gaps += 1
                if gaps > self.budget.damaged_parts:
                    raise RecordingError(describe_damage(self.name, self.budget))
            yield place, piece

    def restart_place(self, place: int) -> int:
        """The latest place at or before this one where reading can begin; only compressed files take time."""
        if not self._spans:
            return place
        return self._spans[self._span_at(place)].content_start

    def _span_at(self, place: int) -> int:
        assert self._spans is not None
        return max(0, bisect_right(self._spans, place, key=lambda span: span.content_start) - 1)

    def _chunks_from(self, start: int) -> Iterator[bytes | UnreadablePart]:
        try:
            with self._file.open("rb") as file:
                if self._spans is None:
                    yield from read_range(file, start, self.size, PLAIN_CHUNK_BYTES)
                    return
                first = 0 if start == 0 else self._span_at(start)
                for span in self._spans[first:]:
                    if not span.is_sound:
                        yield UnreadablePart.GAP
                        continue
                    skip = max(0, start - span.content_start)
                    for chunk in decompress_span(file, span):
                        if skip < len(chunk):
                            yield chunk[skip:]
                        skip = max(0, skip - len(chunk))
        except OSError as error:
            raise RecordingError(f"{self.name} cannot be read: {error.strerror or error}") from None


class LineCursor:
    """A file's lines, read forward from any place; continuing at the current place costs nothing."""

    def __init__(self, store: InputFile) -> None:
        self._store = store
        self._lines = store.lines_from(0)
        self.place: int = 0
        """Where the next line begins, or the blank lines before it."""

    def seek(self, place: int) -> None:
        """Go to a place at which a line ended."""
        anchor = self._store.restart_place(place)
        if not anchor <= self.place <= place:
            self._lines, self.place = self._store.lines_from(place), place
        while self.place < place and self.read_line() is not None:
            pass

    def read_line(self) -> bytes | UnreadablePart | None:
        """The next line or gap; None at the end."""
        self.place, piece = next(self._lines, (self.place, None))
        return piece


def _split_lines(
    chunks: Iterator[bytes | UnreadablePart], place: int, limit: int
) -> Iterator[tuple[int, bytes | UnreadablePart]]:
    rest: list[bytes] = []
    rest_bytes = 0
    too_long = False
    """Whether the beginning of the current line was dropped."""
    for chunk in chunks:
        if isinstance(chunk, UnreadablePart):
            rest, rest_bytes, too_long = [], 0, False
            yield place, chunk
            continue
        start = 0
        while True:
            if not rest and not too_long and (blank := _BLANK_LINES.match(chunk, start)):
                start = blank.end()
            stop = chunk.find(b"\n", start) + 1
            if not stop:
                break
            if too_long or rest_bytes + stop - start > limit:
                yield place + stop, UnreadablePart.GAP
            else:
                line = chunk[start:stop]
                yield place + stop, b"".join((*rest, line)) if rest else line
            rest, rest_bytes, too_long = [], 0, False
            start = stop
        if start < len(chunk) and not too_long:
            rest.append(chunk[start:])
            rest_bytes += len(chunk) - start
            if rest_bytes > limit:
                rest, rest_bytes, too_long = [], 0, True
        place += len(chunk)
    if too_long:
        yield place, UnreadablePart.GAP
    elif rest:
        yield place, b"".join(rest)


def describe_skipped_lines(count: int) -> str:
    """Say how many lines could not be read."""
    return "1 damaged line was skipped" if count == 1 else f"{count:,} damaged lines were skipped"


def describe_damage(name: str, budget: InputBudget) -> str:
    """Say that a file is too damaged to be read."""
    return f"{name} is not a recording, or damaged: more than {budget.damaged_parts:,} of its lines cannot be read"
