"""
The lines of a recording's file, also of one that is compressed, cut short or damaged.

A recording may be plain or compressed, still growing, cut short by a crash, or damaged in the middle, and it may come
through a pipe although it has to be read twice. `InputFile` gives each of these as a sequence of lines and of gaps.
"""

from __future__ import annotations

import io
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import IO, Final

import msgspec

from ..api.errors import RecordingError

STDIN_NAME: Final = "-"

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
"""The first bytes of every zstd frame."""

PLAIN_CHUNK_BYTES: Final = 1 << 20
FRAME_CHUNK_BYTES: Final = 1 << 12
"""Compressed bytes read at a time: a block of 128 KiB may be a run of one byte, compressed to four bytes."""


class UnreadablePart(Enum):
    """What a file holds besides lines."""

    GAP = "gap"
    """A part that cannot be read."""


class InputFile:
    """
    A file, or the standard input, that can be read several times with the same result.

    What is appended after it was opened is not read. Pipes are copied to a temporary file.

    Args:
        path: A path, or `-` for the standard input.

    Raises:
        RecordingError: It does not exist, is a folder, or may not be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.name = "standard input" if self.path == STDIN_NAME else self.path
        self._copy: IO[bytes] | None = None
        try:
            if self.path == STDIN_NAME:
                self._spool_pipe(sys.stdin.buffer)
            elif stat.S_ISREG(Path(path).stat().st_mode):
                self._file = Path(path)
            else:
                with Path(path).open("rb") as pipe:
                    self._spool_pipe(pipe)
            self.size = self._file.stat().st_size
            with self.open() as file:
                compressed = file.read(len(ZSTD_MAGIC)) == ZSTD_MAGIC
            self._frames = list(_find_frames(self)) if compressed else None
        except OSError as error:
            raise RecordingError(f"{self.name} cannot be read: {error.strerror or error}") from None

    def _spool_pipe(self, pipe: IO[bytes]) -> None:
        self._copy = tempfile.NamedTemporaryFile(prefix="sora-harness-")  # noqa: SIM115  # deleted with this object
        shutil.copyfileobj(pipe, self._copy)
        self._copy.flush()
        self._file = Path(self._copy.name)

    def open(self) -> IO[bytes]:
        """The file's bytes as they are, from the beginning."""
        return self._file.open("rb")

    def read(self) -> bytes:
        """The whole content, decompressed: for a file that is one body."""
        return b"".join(chunk for chunk in self._decompressed_chunks() if isinstance(chunk, bytes))

    def lines(self) -> Iterator[bytes | UnreadablePart]:
        """
        Lines with their line breaks (the last one may lack it), and gaps where something cannot be read.

        Lines end only at `\\n`. Takes the memory of one line, and of a frame where the file is compressed.
        """
        rest: list[bytes] = []
        for chunk in self._decompressed_chunks():
            if isinstance(chunk, UnreadablePart):
                rest.clear()
                yield chunk
                continue
            start = 0
            while (stop := chunk.find(b"\n", start) + 1) > 0:
                line = chunk[start:stop]
                yield b"".join((*rest, line)) if rest else line
                rest.clear()
                start = stop
            if start < len(chunk):
                rest.append(chunk[start:])
        if rest:
            yield b"".join(rest)

    def _decompressed_chunks(self) -> Iterator[bytes | UnreadablePart]:
        try:
            with self.open() as file:
                if self._frames is None:
                    yield from _read_range(file, 0, self.size, PLAIN_CHUNK_BYTES)
                    return
                for frame in self._frames:
                    if frame.sound:
                        yield from _decompress_frame(file, frame)
                    else:
                        yield UnreadablePart.GAP
        except OSError as error:
            raise RecordingError(f"{self.name} cannot be read: {error.strerror or error}") from None


def describe_skipped_lines(count: int) -> str:
    """Say that so many lines could not be read."""
    return "1 damaged line was skipped" if count == 1 else f"{count:,} damaged lines were skipped"


class _ZstdFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A zstd frame by its place in the file; one that the file's end cuts short counts as sound."""

    start: int
    stop: int
    sound: bool


def _find_frames(store: InputFile) -> Iterator[_ZstdFrame]:
    """
    Find the frames, and check which are sound.

    The checksum is at a frame's end, so only reading the whole frame tells whether its first line is as it was written,
    and a server must not be accused because of a damaged digit.
    """
    import zstandard

    with store.open() as file:
        start = 0
        while start < store.size:
            decompressor = zstandard.ZstdDecompressor().decompressobj()
            position = start
            sound = True
            try:
                for chunk in _read_range(file, start, store.size, FRAME_CHUNK_BYTES):
                    decompressor.decompress(chunk)
                    position += len(chunk)
                    if decompressor.eof:
                        position -= len(decompressor.unused_data)
                        break
            except zstandard.ZstdError:
                sound = False
                position = _find_magic(file, start + 1, store.size)
            yield _ZstdFrame(start=start, stop=position, sound=sound)
            start = position


def _decompress_frame(file: IO[bytes], frame: _ZstdFrame) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor().decompressobj()
    for chunk in _read_range(file, frame.start, frame.stop, FRAME_CHUNK_BYTES):
        if data := decompressor.decompress(chunk):
            yield data


def _read_range(file: IO[bytes], start: int, stop: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while start < stop and (chunk := file.read(min(size, stop - start))):
        start += len(chunk)
        yield chunk


def _find_magic(file: IO[bytes], start: int, stop: int) -> int:
    """The place where the next frame may begin; `stop` where there is none."""
    tail = b""
    for chunk in _read_range(file, start, stop, io.DEFAULT_BUFFER_SIZE):
        window = tail + chunk
        if (found := window.find(ZSTD_MAGIC)) >= 0:
            return start - len(tail) + found
        start += len(chunk)
        tail = window[-(len(ZSTD_MAGIC) - 1) :]
    return stop
