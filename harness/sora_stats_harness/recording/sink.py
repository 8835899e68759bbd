"""
Files that lines go to: plain or compressed, and for their owner alone.

A compressed one consists of frames, each of which can be read without the others and ends in a checksum; so what a
crash or a bad disk leaves behind is whole up to the last one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO, Protocol


def open_sink(path: Path) -> Sink:
    """
    Open a file for lines: compressed where its name ends in `.zst`, for its owner alone, what was in it gone.

    Raises:
        OSError: It cannot be written.
    """
    file = _create(path)
    return _Compressed(file) if path.suffix == ".zst" else _Plain(file)


class Sink(Protocol):
    """A file that lines go to."""

    size: int
    """Bytes handed to the operating system so far, and what waits in our own buffer."""

    def write(self, line: bytes) -> None:
        """Take a line, its line break included."""

    def end_frame(self) -> None:
        """Have everything written so far readable by others."""

    def close(self) -> None:
        """Close the file."""


class _Plain:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0

    def write(self, line: bytes) -> None:
        self._file.write(line)
        self.size += len(line)

    def end_frame(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Compressed:
    def __init__(self, file: IO[bytes]) -> None:
        import zstandard

        self._file = file
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
        self._frame: zstandard.ZstdCompressionObj | None = None
        self.size = 0

    def write(self, line: bytes) -> None:
        if self._frame is None:
            self._frame = self._compressor.compressobj()
        self._put(self._frame.compress(line))

    def end_frame(self) -> None:
        if self._frame is not None:
            self._put(self._frame.flush())
            self._frame = None
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)


def _create(path: Path) -> IO[bytes]:
    """Open a file for writing that only its owner can read, also if it was there before."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode) and hasattr(os, "fchmod"):
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb", buffering=1 << 18)
