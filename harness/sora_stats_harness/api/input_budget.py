"""
Limits on every file that a user names, so that none takes the machine's memory or hangs a run.

Files come from servers, colleagues and build artefacts, so any may be a device, a pipe that nobody writes to, or a few
kilobytes that decompress to gigabytes. `read_small_file` reads small files whole. `recording.input_file` reads
recordings in pieces, within an `InputBudget`. A file that exceeds a limit ends the command with one line and exit code
2; a line that is too long counts as damaged. docs/LIMITS.md lists all limits.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from .errors import UsageError
from .option_values import parse_duration, parse_size

MAX_INPUT_VARIABLE: Final = "SORA_HARNESS_MAX_INPUT"
"""The environment variable that replaces `InputBudget.file_bytes`."""

TIMEOUT_VARIABLE: Final = "SORA_HARNESS_INPUT_TIMEOUT"
"""The environment variable that replaces `InputBudget.idle_s`."""

TOTAL_PER_IDLE: Final = 60
"""How many times `idle_s` a whole pipe may take: with the default of a minute, an hour."""

CONTENT_PER_FILE: Final = 16
"""How many times `file_bytes` the decompressed content may be: recordings are compressed about 24 times."""

MAX_CONFIG_BYTES: Final = 400_000
MAX_HEADER_FILE_BYTES: Final = 65_536
MAX_CERTIFICATES_BYTES: Final = 8 << 20
"""An operating system's whole set of certificates has 250 kB."""
MAX_VERDICT_BYTES: Final = 64 << 20
"""The verdict of a load test of an hour has 1 MB."""
MAX_EVIDENCE_BYTES: Final = 128 << 20

MAX_KEY_PARTS: Final = 64
"""The most parts of a dotted key in TOML; `tomllib` takes quadratic time and memory for them."""

_KEY_PART: Final = r"""(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_LONG_KEY: Final = re.compile(f"(?:{_KEY_PART}){{{MAX_KEY_PARTS}}}")

_PIPE_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class InputBudget:
    """What reading one recording may take."""

    file_bytes: int = 4 << 30
    """The size of the file as it is stored; twice the default limit of a recording."""
    content_bytes: int = CONTENT_PER_FILE * (4 << 30)
    """The size of the decompressed content."""
    expansion: int = 1000
    """How many times its stored size a file may decompress to, beyond `free_bytes`; recordings reach 24 to 250."""
    free_bytes: int = 64 << 20
    """The content that a file may have whatever its stored size."""
    line_bytes: int = 320 << 20
    """The length of a line, or of a body in a file of its own; the prober reads bodies up to 256 MiB."""
    damaged_parts: int = 100_000
    """How many damaged lines and frames are skipped before the file is refused."""
    frames: int = 1_000_000
    """How many zstd frames a file may have; a week's recording has 750,000."""
    runs: int = 10_000
    """How many runs, and clocks within runs, a file may have."""
    passes: int = 32
    """How often a file may be read because its clocks alternate; each clock is read on its own."""
    held_bytes: int = 1 << 30
    """How much may be held in memory because lines are not in order of receipt."""
    idle_s: float = 60.0
    """How long to wait for the next bytes of a pipe; the whole pipe may take TOTAL_PER_IDLE times as long."""

    def content_limit(self, stored_bytes: int) -> int:
        """How many bytes a compressed file of this size may decompress to."""
        return min(self.content_bytes, self.free_bytes + self.expansion * stored_bytes)


def read_input_budget() -> InputBudget:
    """
    The budget, as modified by the environment.

    Raises:
        UsageError: A variable is neither empty nor a size or time.
    """
    budget = InputBudget()
    size, timeout = os.environ.get(MAX_INPUT_VARIABLE), os.environ.get(TIMEOUT_VARIABLE)
    try:
        file_bytes = parse_size(size) if size else budget.file_bytes
    except UsageError as error:
        raise UsageError(f"{MAX_INPUT_VARIABLE}: {error}") from None
    try:
        idle_s = parse_duration(timeout) if timeout else budget.idle_s
    except UsageError as error:
        raise UsageError(f"{TIMEOUT_VARIABLE}: {error}") from None
    return InputBudget(file_bytes=file_bytes, content_bytes=CONTENT_PER_FILE * file_bytes, idle_s=idle_s)


def open_input_file(path: str | Path | int) -> tuple[IO[bytes], bool]:
    """
    Open a file or a pipe; never waits for a pipe's writer.

    Returns:
        The file, and whether it is a pipe, whose bytes come from `read_pipe`.

    Raises:
        OSError: It can't be opened, or is neither a file nor a pipe; `strerror` says which.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.dup(path) if isinstance(path, int) else os.open(path, flags)
    try:
        piped = is_pipe(handle)
        return os.fdopen(handle, "rb"), piped
    except BaseException:
        os.close(handle)
        raise


def is_pipe(handle: int) -> bool:
    """
    Whether an open file is a pipe or a terminal; False for a regular file and for the null device.

    Raises:
        OSError: It is a folder, a socket or another device.
    """
    status = os.fstat(handle)
    if stat.S_ISFIFO(status.st_mode) or os.isatty(handle):
        return True
    if stat.S_ISREG(status.st_mode) or status.st_rdev == Path(os.devnull).stat().st_rdev != 0:
        return False
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is a device, not a file")


def read_pipe(file: IO[bytes], idle_s: float, total_s: float) -> Iterator[bytes]:
    """
    The bytes of a pipe until its writer closes it.

    Raises:
        OSError: It can't be read, nothing comes for `idle_s` seconds, or it has not ended after `total_s`. A terminal
        has no such limits.
    """
    handle = file.fileno()
    os.set_blocking(handle, True)
    waits = select.poll() if hasattr(select, "poll") and not os.isatty(handle) else None
    if waits is not None:
        waits.register(handle, select.POLLIN)
    ends_s = time.monotonic() + total_s
    while True:
        left_s = ends_s - time.monotonic()
        if waits is not None and not (left_s > 0 and waits.poll(min(idle_s, left_s) * 1000)):
            if left_s <= idle_s:
                raise OSError(errno.ETIMEDOUT, f"the pipe did not end within {total_s:g} s ({TIMEOUT_VARIABLE})")
            raise OSError(errno.ETIMEDOUT, f"nothing came through the pipe for {idle_s:g} s ({TIMEOUT_VARIABLE})")
        if not (chunk := os.read(handle, _PIPE_CHUNK_BYTES)):
            return
        yield chunk


def path_exists(path: str | Path) -> bool:
    """Whether something exists at a path; also False for a name that no file can have."""
    return os.path.exists(path)  # noqa: PTH110  # Path.exists raises where a name is too long


def is_folder(path: str | Path) -> bool:
    """Whether a path is a folder; also False for a name that no file can have."""
    return os.path.isdir(path)  # noqa: PTH112  # as above


def read_small_file(path: str | Path | int, *, limit: int, name: str, error: type[UsageError] = UsageError) -> bytes:
    """
    Read a whole file that is small by its nature.

    Args:
        path: The file, or the descriptor of an open one; may be a pipe.
        limit: The most bytes that it may have.
        name: What to call it in an error message, with its path.

    Raises:
        UsageError: It can't be read, or is larger.
    """
    try:
        file, piped = open_input_file(path)
        with file:
            data = _read_pipe_up_to(file, limit + 1) if piped else file.read(limit + 1)
        if data is None:
            raise BlockingIOError(
                errno.EAGAIN, os.strerror(errno.EAGAIN)
            )  # the size may be wrong, as for files in /proc
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        reason = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
        raise error(f"{name} cannot be read: {reason}") from None
    if len(data) > limit:
        raise error(f"{name} is larger than {limit:,} bytes, the limit for such a file")
    return data


def read_small_text(path: str | Path, *, limit: int, name: str, error: type[UsageError] = UsageError) -> str:
    """As `read_small_file`, for a text in UTF-8, with or without a byte order mark."""
    try:
        return read_small_file(path, limit=limit, name=name, error=error).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise error(f"{name} cannot be read: not UTF-8 text") from None


def _read_pipe_up_to(file: IO[bytes], size: int) -> bytes:
    data = bytearray()
    idle_s = read_input_budget().idle_s
    for chunk in read_pipe(file, idle_s, idle_s):
        data += chunk
        if len(data) >= size:
            break
    return bytes(data[:size])


def parse_toml(text: str) -> dict[str, Any]:  # Any: whatever TOML can hold
    """
    Parse TOML in linear time.

    Raises:
        tomllib.TOMLDecodeError: It is not TOML, or nested too deeply; the message says where, if possible.
    """
    if _LONG_KEY.search(text):
        raise tomllib.TOMLDecodeError(f"a key has more than {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None
    except ValueError as error:  # an integer with thousands of digits, among others
        if isinstance(error, tomllib.TOMLDecodeError):
            raise
        raise tomllib.TOMLDecodeError(str(error)) from None
