"""
Writes files: whole files that are put in place at the end, and recordings, plain or compressed.

Recordings are readable only by their owner. A compressed one consists of frames. Each can be read without the others
and ends with a checksum, so a crash or a bad disk costs at most the last frame.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

from ..api.input_budget import path_exists

ZSTD_PARAMETERS: Final = {
    "compression_level": 1,
    "window_log": 21,
    "hash_log": 14,
    "min_match": 7,
    "target_length": 3,
    "checksum_flag": 1,
}
"""
Responses about many connections alternate, and each is much like the last one about the same connection. So the window
is 2 MiB, some 150 responses, and only long matches are searched for. The result is as small as with zstd's level 1 and
takes two thirds of the time. A larger window would save more bytes, and slow the run by using the processor's caches.
"""


TEMPORARY_PREFIX: Final = ".sora-harness-"
"""The prefix of a file that is being written; a killed run may leave one behind."""

_KEPT_OF_NAME: Final = 100
"""How many characters of a file's name its temporary file's name repeats, so that it doesn't become too long."""


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """
    Write a file beside its place: the block writes to the given path, which replaces the file at the end.

    If the block raises, its file is removed and the old one stays. A device or a pipe is written to directly. Of a link
    the target is replaced, not the link.

    Raises:
        OSError: Nothing can be written there.
    """
    if path_exists(path) and not path.is_file():
        yield path
        return
    target = path.resolve() if path.is_symlink() else path
    beside = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name[-_KEPT_OF_NAME:]}")
    beside.unlink(missing_ok=True)
    try:
        yield beside
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def create_file(path: Path, *, private: bool = False) -> IO[bytes]:
    """
    Open a file for writing; a private one is readable only by its owner, even if it existed before.

    Raises:
        OSError: It cannot be written.
    """
    mode = 0o600 if private else 0o666
    # don't wait for a reader of a pipe
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, mode)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads this pipe") from None
        raise
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    if private and stat.S_ISREG(os.fstat(descriptor).st_mode) and hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    return os.fdopen(descriptor, "wb", buffering=1 << 18)


def open_recording_file(path: Path) -> RecordingFile:
    """
    Create a file for lines, readable only by its owner, and compressed if its name ends in `.zst`.

    Raises:
        OSError: It cannot be written.
    """
    return RecordingFile(create_file(path, private=True), make_compressor(path))


def make_compressor(path: Path) -> LineCompressor:
    """Make the compressor that fits a file's name."""
    return _ZstdFrames() if path.suffix == ".zst" else _UncompressedLines()


class LineCompressor(Protocol):
    """Turns lines into the bytes of a file."""

    def add_line(self, parts: Sequence[bytes]) -> bytes:
        """Take a line in parts, with its line break; returns the bytes to write now, often none."""

    def finish_frame(self) -> bytes:
        """End the frame; returns the remaining bytes to write."""


class RecordingFile:
    """A file that lines are written to."""

    def __init__(self, file: IO[bytes], compressor: LineCompressor) -> None:
        self._file = file
        self._compressor = compressor
        self.size: int = 0
        """Bytes written so far, those in the buffer included."""

    def write(self, line: bytes) -> None:
        """Write a line with its line break."""
        self.write_compressed(self._compressor.add_line((line,)))

    def end_frame(self) -> None:
        """Make everything written so far readable by others."""
        self.write_compressed(self._compressor.finish_frame())
        self._file.flush()

    def write_compressed(self, data: bytes) -> None:
        """Write what another compressor made, between two frames of this one."""
        self._file.write(data)
        self.size += len(data)

    def flush(self) -> None:
        """Hand the buffer over to the operating system."""
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
        from ..api.zstd import CompressionParameter, ZstdCompressor

        self._compressor = ZstdCompressor(
            options={CompressionParameter[name]: value for name, value in ZSTD_PARAMETERS.items()}
        )
        self._is_open = False
        """Whether a frame has begun."""
        self._left = b""
        """The last part of the last line; it is compressed together with the next line's first part, to save a call."""

    def add_line(self, parts: Sequence[bytes]) -> bytes:
        compress, left = self._compressor.compress, self._left
        self._is_open = True
        if len(parts) == 3:
            head, body, self._left = parts
            return compress(left + head) + compress(body)
        self._left = b""
        return b"".join(map(compress, (left, *parts)))

    def finish_frame(self) -> bytes:
        is_open, left = self._is_open, self._left
        self._is_open, self._left = False, b""
        return self._compressor.compress(left, self._compressor.FLUSH_FRAME) if is_open else b""
