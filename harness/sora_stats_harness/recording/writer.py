"""
Writing a recording beside a run, without ever holding the run up.

`Recorder.add` only puts an exchange into a queue; a thread of its own encodes, compresses and writes. What goes wrong
there (a full disk, a full queue, a file as large as allowed) ends the recording, never the run, and is said.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

from .. import __version__
from ..errors import UsageError
from ..exchange import ErrorCode, Exchange
from ..redaction import Secrets
from . import lines
from .lines import VERSION, End, Header
from .sink import Sink, open_sink

DEFAULT_LIMIT: Final = 2 << 30
"""Bytes of a recording's file."""

QUEUE_COUNT: Final = 20_000
QUEUE_BYTES: Final = 64 << 20
"""What may wait for the thread; at 5,000 answers of 13 KB a second, a second's worth."""

FRAME_S: Final = 1.0
"""After which a frame is ended and written, so that a crash costs no more than this."""

POLL_S: Final = 0.02
"""How long the thread rests where nothing waits: asking costs a run less than being woken at every answer."""

BATCH_BYTES: Final = 1 << 20
"""
Compressed and written in one go. Each of these lets go of Python's lock, and a run that keeps its processor busy hardly
gives it back: line by line, the thread came to a few hundred answers a second.
"""

BEHIND: Final = 8
"""
When this part of the queue is taken, `add` encodes by itself. The processor's time is the same, and the thread then
needs Python's lock only once a batch: beside a loop that never rests, 6,300 answers a second were recorded, none lost.
"""

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
            run="",
            subject_kind=subject_kind,
            subject=self._secrets.redact(subject),
            edition=edition,
            harness_version=__version__,
            options=_clean(options or {}, self._secrets),
        )
        self._run = run or ""
        self._limit_bytes = max(1, limit_bytes)
        self._queue_count = queue_count
        self._queue_bytes = queue_bytes
        self._queue: deque[Exchange | bytes] = deque()
        self._waiting_bytes = 0
        self._sent = self._errors = self._abandoned = 0
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
        """
        Have an exchange recorded; never waits and never raises. For any thread.

        Takes about a microsecond; 20 where the thread has fallen behind.
        """
        with self._lock:
            self._sent += 1
            if exchange.error is not None:
                if exchange.error.code is ErrorCode.ABANDONED:
                    self._abandoned += 1
                else:
                    self._errors += 1
            if self.problem is not None or self._closing:
                return
            if self._waiting_bytes <= self._queue_bytes // BEHIND:
                self._put(exchange)
                return
        try:
            encoded = self._encode(exchange)
        except Exception as error:  # as in the thread
            self._stop(_describe(error))
            return
        with self._lock:
            self._put(encoded)

    def _put(self, item: Exchange | bytes) -> None:
        size = _size(item)
        if self._queue and (len(self._queue) >= self._queue_count or self._waiting_bytes + size > self._queue_bytes):
            self.problem = self.problem or self._ended(
                f"{len(self._queue):,} exchanges ({self._waiting_bytes >> 20:,} MiB) were waiting to be written"
            )
            return
        self._queue.append(item)
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
        except Exception as error:  # whatever is wrong with us here is no reason to stop a run
            self._stop(_describe(error))
        finally:
            with suppress(OSError):
                sink.close()
            self._finished.release()

    def _write_all(self, sink: Sink) -> None:
        began = False
        frame_began = time.monotonic()
        while True:
            closing = self._closing  # read before the queue is: nothing is added afterwards
            while batch := self._take(min(BATCH_BYTES, self._limit_bytes - sink.size)):
                encoded: list[bytes] = []
                try:
                    encoded.extend(item if isinstance(item, bytes) else self._encode(item) for item in batch)
                finally:
                    if not began:
                        sink.write(self._begin())
                        began = True
                    sink.write(b"".join(encoded))
                frame_began = _end_old_frame(sink, frame_began)
                if sink.size >= self._limit_bytes:
                    self._stop(f"it has reached its limit of {self._limit_bytes:,} bytes")
                    break
            if closing or self.problem is not None:
                break
            frame_began = _end_old_frame(sink, frame_began)
            self._sleep(POLL_S)
        if self.problem is None:
            sink.write((b"" if began else self._begin()) + self._end())
        sink.end_frame()

    def _begin(self) -> bytes:
        self._run = self._run or str(uuid.uuid4())
        return lines.encode(msgspec.structs.replace(self._header, run=self._run))

    def _encode(self, exchange: Exchange) -> bytes:
        self._run = self._run or exchange.run
        if exchange.run != self._run:
            raise ValueError(f"an exchange of run {exchange.run} in the recording of run {self._run}")
        return lines.encode(lines.to_line(exchange, self._secrets))

    def _take(self, enough_bytes: int) -> list[Exchange | bytes]:
        """What has waited longest, until it is as large as that; nothing where nothing waits."""
        batch = []
        size = 0
        with self._lock:
            while self._queue and size < enough_bytes:
                item = self._queue.popleft()
                batch.append(item)
                size += _size(item)
            self._waiting_bytes -= size
        return batch

    def _end(self) -> bytes:
        judged = self._sent - self._errors - self._abandoned
        return lines.encode(
            End(end=self._run, sent=self._sent, judged=judged, errors=self._errors, abandoned=self._abandoned)
        )  # fmt: skip

    def _stop(self, reason: str) -> None:
        with self._lock:
            self.problem = self.problem or self._ended(reason)
            self._queue.clear()

    def _ended(self, reason: str) -> str:
        return f"the recording {self.path} ended early, after exchange {self._sent:,} of the run: {reason}"


def _end_old_frame(sink: Sink, began: float) -> float:
    """End a frame that is old enough; gives the time at which the current one began."""
    now = time.monotonic()
    if now - began < FRAME_S:
        return began
    sink.end_frame()
    return now


def _size(item: Exchange | bytes) -> int:
    if isinstance(item, bytes):
        return len(item)
    answer, request = item.answer, item.request.body
    return OVERHEAD + (len(answer.body) if answer is not None else 0) + (len(request) if request is not None else 0)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


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
