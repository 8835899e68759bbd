"""
The lines of a file, whatever has happened to it.

A recording may be plain or compressed, still growing, cut short by a crash, or damaged in the middle, and it may come
through a pipe although it has to be read twice. Here each of these turns into a sequence of lines and of gaps.
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
"""Begins every frame of zstd."""

PLAIN_CHUNK_BYTES: Final = 1 << 20
FRAME_CHUNK_BYTES: Final = 1 << 12
"""Compressed bytes fed at a time: a block of 128 KiB may be a run of one byte that takes up four."""


class UnreadablePart(Enum):
    """What stands in a file beside whole lines."""

    GAP = "gap"
    """Something was here and cannot be read."""


class InputFile:
    """
    One file, or the standard input, that can be read several times and is the same each time.

    What a writer appends after it was opened is not seen. Pipes are copied to a temporary file.

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
        self._copy = tempfile.NamedTemporaryFile(prefix="sora-harness-")  # noqa: SIM115  # gone with this object
        shutil.copyfileobj(pipe, self._copy)
        self._copy.flush()
        self._file = Path(self._copy.name)

    def open(self) -> IO[bytes]:
        """The file's bytes as they are, from the beginning."""
        return self._file.open("rb")

    def read(self) -> bytes:
        """All of it in one piece, decompressed: for a file that is one body."""
        return b"".join(chunk for chunk in self._decompressed_chunks() if isinstance(chunk, bytes))

    def lines(self) -> Iterator[bytes | UnreadablePart]:
        """
        Lines with their line breaks (the last one may lack it), and gaps where there is something unreadable.

        Lines end at `\\n` alone. Memory is one line's, and a frame's where it is compressed.
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
    """How to say that so many lines could not be read."""
    return "1 damaged line was skipped" if count == 1 else f"{count:,} damaged lines were skipped"


class _ZstdFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A frame of zstd by its bytes in the file; one that is cut short by the file's end counts as sound."""

    start: int
    stop: int
    sound: bool


def _find_frames(store: InputFile) -> Iterator[_ZstdFrame]:
    """
    Find the frames, and see which can be relied on.

    A checksum stands at a frame's end: only reading all of it tells whether its first line is what was written, and a
    wrong digit must not be held against a server.
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
    """Where the next frame may begin; `stop` where none does."""
    tail = b""
    for chunk in _read_range(file, start, stop, io.DEFAULT_BUFFER_SIZE):
        window = tail + chunk
        if (found := window.find(ZSTD_MAGIC)) >= 0:
            return start - len(tail) + found
        start += len(chunk)
        tail = window[-(len(ZSTD_MAGIC) - 1) :]
    return stop
