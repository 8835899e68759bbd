"""
Files that lines go to: plain or compressed, and for their owner alone.

A compressed one consists of frames, each of which can be read without the others and ends in a checksum; so what a
crash or a bad disk leaves behind is whole up to the last one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Protocol

ZSTD_PARAMETERS: Final = {"window_log": 21, "hash_log": 14, "min_match": 7, "target_length": 3}
"""
Responses about many connections come by turns, and each is much like the one before it about the same connection: what is
looked back at is 2 MiB, some 150 responses, and only longer matches count. What comes of it is as small as by zstd's level 1,
in two thirds of the time; more would be smaller, and cost a run more by what it takes from the processor's caches.
"""


def open_recording_file(path: Path) -> RecordingFile:
    """
    Open a file for lines: compressed where its name ends in `.zst`, for its owner alone, what was in it gone.

    Raises:
        OSError: It cannot be written.
    """
    return RecordingFile(_create_private_file(path), make_compressor(path))


def make_compressor(path: Path) -> LineCompressor:
    """What makes lines into a file's bytes, by the file's name."""
    return _ZstdFrames() if path.suffix == ".zst" else _UncompressedLines()


class LineCompressor(Protocol):
    """Makes lines into the bytes of a file; knows nothing of the file."""

    def add_line(self, parts: Sequence[bytes]) -> bytes:
        """Take a line in parts, its line break included; gives what is to be written by now, often nothing."""

    def finish_frame(self) -> bytes:
        """What is still to be written for everything so far to be readable."""


class RecordingFile:
    """A file that lines go to."""

    def __init__(self, file: IO[bytes], packer: LineCompressor) -> None:
        self._file = file
        self._packer = packer
        self.size = 0
        """Bytes handed to the operating system so far, and what waits in our own buffer."""

    def write(self, line: bytes) -> None:
        """Take a line, its line break included."""
        self.write_compressed(self._packer.add_line((line,)))

    def end_frame(self) -> None:
        """Have everything written so far readable by others."""
        self.write_compressed(self._packer.finish_frame())
        self._file.flush()

    def write_compressed(self, data: bytes) -> None:
        """Take what a packer made; between two frames of our own."""
        self._file.write(data)
        self.size += len(data)

    def flush(self) -> None:
        """Hand over what was put."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _UncompressedLines:
    def add_line(self, parts: Sequence[bytes]) -> bytes:
        return b"".join(parts)

    def finish_frame(self) -> bytes:
        return b""


class _ZstdFrames:
    def __init__(self) -> None:
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(1, **ZSTD_PARAMETERS, write_checksum=True)
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters)
        self._frame: zstandard.ZstdCompressionObj | None = None
        self._left = b""
        """The end of the last line, if it is a part of its own: it goes with the next one's beginning, which saves a call."""

    def add_line(self, parts: Sequence[bytes]) -> bytes:
        frame = self._frame
        if frame is None:
            frame = self._frame = self._compressor.compressobj()
        left = self._left
        if len(parts) == 3:
            head, body, self._left = parts
            return frame.compress(left + head) + frame.compress(body)
        self._left = b""
        return b"".join(map(frame.compress, (left, *parts)))

    def finish_frame(self) -> bytes:
        frame, left = self._frame, self._left
        self._frame, self._left = None, b""
        return b"" if frame is None else frame.compress(left) + frame.flush()


def _create_private_file(path: Path) -> IO[bytes]:
    """Open a file for writing that only its owner can read, also if it was there before."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode) and hasattr(os, "fchmod"):
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb", buffering=1 << 18)
