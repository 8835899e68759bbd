"""
Writing a recording beside a run, without ever holding the run up.

`Recorder.add` only puts an exchange into a queue; a thread of its own encodes, compresses and writes. What goes wrong
there (a full disk, a full queue, a file as large as allowed) ends the recording, never the run, and is said.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Literal, Protocol, Self

import msgspec

from .. import __version__
from ..errors import UsageError
from ..exchange import ErrorCode, Exchange
from ..redaction import Secrets
from . import lines
from .lines import VERSION, End, Header

DEFAULT_LIMIT: Final = 2 << 30
"""Bytes of a recording's file."""

QUEUE_COUNT: Final = 20_000
QUEUE_BYTES: Final = 64 << 20
"""What may wait for the thread; at 5,000 answers of 13 KB a second, a second's worth."""

FRAME_S: Final = 1.0
"""After which a frame is ended and written, so that a crash costs no more than this."""

POLL_S: Final = 0.02
"""How long the thread rests where nothing waits: asking costs a run less than being woken at every answer."""

OVERHEAD: Final = 1024
"""Bytes by which an exchange takes more memory than its bodies, about."""


class Recorder:
    """
    Records exchanges to a file, from a `with` block; `add` may be handed to a judge as its observer.

    The file is readable by its owner alone. It is compressed where its name ends in `.zst`, and one that exists is
    written over. All exchanges must be of one run. On leaving the block what waits is written, and the end line.

    Args:
        path: Where to write.
        subject: What is asked: a URL without credentials.
        subject_kind: What answers.
        edition: The edition's name.
        options: What the command was told, for the header line; secrets in it are replaced.
        secrets: What may not be written down. An answer in which one occurs is marked as withheld.
        run: The run's id; where it is left out, that of the first exchange.
        limit_bytes: The recording ends at this size, give or take what is written at a time.
        queue_count: Exchanges that may wait to be written.
        queue_bytes: The memory that these may take.

    Raises:
        UsageError: The file cannot be written to.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        subject: str,
        subject_kind: Literal["server", "simulator", "recording"],
        edition: str,
        options: Mapping[str, object] | None = None,
        secrets: Secrets | None = None,
        run: str | None = None,
        limit_bytes: int = DEFAULT_LIMIT,
        queue_count: int = QUEUE_COUNT,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self.path = Path(path)
        self.problem: str | None = None
        """Why the recording ended before the run, in one line for a person; None where it did not."""
        self._secrets = secrets or Secrets()
        self._header = Header(
            v=VERSION,
            run=run or "",
            subject_kind=subject_kind,
            subject=self._secrets.redact(subject),
            edition=edition,
            harness_version=__version__,
            options=_clean(options or {}, self._secrets),
        )
        self._limit_bytes = limit_bytes
        self._queue_count = queue_count
        self._queue_bytes = queue_bytes
        self._queue: deque[Exchange] = deque()
        self._waiting_bytes = 0
        self._sent = self._errors = self._abandoned = self._written = 0
        self._closing = False
        self._closed = False
        self._sink: Sink | None = None
        # gevent turns threads and locks into its own kind, which would stop with the loop that they are to relieve
        self._lock = _native("_thread", "allocate_lock")()
        self._finished = _native("_thread", "allocate_lock")()
        self._sleep: Callable[[float], None] = _native("time", "sleep")

    def __enter__(self) -> Self:
        try:
            self._sink = open_sink(self.path)
        except OSError as error:
            raise UsageError(f"the recording {self.path} cannot be written: {error.strerror or error}") from None
        self._finished.acquire()
        _native("_thread", "start_new_thread")(self._work, (self._sink,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, exchange: Exchange) -> None:
        """Have an exchange recorded; takes about a microsecond, never blocks and never raises. For any thread."""
        size = _size(exchange)
        with self._lock:
            self._sent += 1
            if exchange.error is not None:
                if exchange.error.code is ErrorCode.ABANDONED:
                    self._abandoned += 1
                else:
                    self._errors += 1
            if self.problem is not None or self._closing:
                return
            if self._queue and (
                len(self._queue) >= self._queue_count or self._waiting_bytes + size > self._queue_bytes
            ):
                self.problem = self._ended(
                    f"{len(self._queue):,} exchanges ({self._waiting_bytes >> 20:,} MiB) were waiting to be written"
                )
                return
            self._queue.append(exchange)
            self._waiting_bytes += size

    def close(self) -> None:
        """Write what waits, and the end line if nothing is missing; returns when the file is closed."""
        if self._sink is None or self._closed:
            return
        self._closed = True
        self._closing = True
        self._finished.acquire()

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _work(self, sink: Sink) -> None:
        try:
            self._write_all(sink)
        except OSError as error:
            self._stop(error.strerror or str(error))
        except Exception as error:  # noqa: BLE001  # whatever is wrong with us here is no reason to stop a run
            self._stop(f"{type(error).__name__}: {error}".splitlines()[0])
        finally:
            with suppress(OSError):
                sink.close()
            self._finished.release()

    def _write_all(self, sink: Sink) -> None:
        frame_began = time.monotonic()
        header = self._header
        while True:
            closing = self._closing  # read before the queue is: nothing is added afterwards
            while (exchange := self._take()) is not None:
                if self._written == 0:
                    header = msgspec.structs.replace(header, run=header.run or exchange.run)
                    sink.write(lines.encode(header))
                if exchange.run != header.run:
                    raise ValueError(f"an exchange of run {exchange.run} in a recording of run {header.run}")
                sink.write(lines.encode(lines.to_line(exchange, self._secrets)))
                self._written += 1
                if sink.size >= self._limit_bytes:
                    self._stop(f"it has reached its limit of {self._limit_bytes:,} bytes")
                    return
                if (now := time.monotonic()) - frame_began >= FRAME_S:
                    sink.end_frame()
                    frame_began = now
            if closing or self.problem is not None:
                break
            if (now := time.monotonic()) - frame_began >= FRAME_S:
                sink.end_frame()
                frame_began = now
            self._sleep(POLL_S)
        if self.problem is None:
            if self._written == 0:
                header = msgspec.structs.replace(header, run=header.run or "none")
                sink.write(lines.encode(header))
            sink.write(lines.encode(self._end(header.run)))
        sink.end_frame()

    def _take(self) -> Exchange | None:
        with self._lock:
            if not self._queue:
                return None
            exchange = self._queue.popleft()
            self._waiting_bytes -= _size(exchange)
            return exchange

    def _end(self, run: str) -> End:
        judged = self._sent - self._errors - self._abandoned
        return End(end=run, sent=self._sent, judged=judged, errors=self._errors, abandoned=self._abandoned)

    def _stop(self, reason: str) -> None:
        with self._lock:
            self.problem = self.problem or self._ended(reason)
            self._queue.clear()

    def _ended(self, reason: str) -> str:
        return f"the recording {self.path} ended early, after exchange {self._sent:,} of the run: {reason}"


def _size(exchange: Exchange) -> int:
    answer, request = exchange.answer, exchange.request.body
    return OVERHEAD + (len(answer.body) if answer is not None else 0) + (len(request) if request is not None else 0)


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


def _native(module: str, name: str) -> Any:  # Any: functions of several modules
    """A function of the standard library as it was before gevent, where that is in use."""
    if (monkey := sys.modules.get("gevent.monkey")) is not None:
        return monkey.get_original(module, name)
    return getattr(import_module(module), name)


def _clean(value: object, secrets: Secrets) -> Any:  # Any: JSON
    """An option as JSON, without secrets."""
    if isinstance(value, str):
        return lines.plain(secrets.redact(value))
    if isinstance(value, Mapping):
        return {str(key): _clean(below, secrets) for key, below in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(below, secrets) for below in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return lines.plain(secrets.redact(str(value)))
