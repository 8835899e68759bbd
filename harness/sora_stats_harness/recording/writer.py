"""
Writes a recording during a run, without ever waiting for the disk.

`RecordingWriter.add_exchange` encodes and compresses exchanges in batches, while their responses are still in the
processor's caches, and queues the result, a fortieth of the bytes. A thread writes the queue. The thread also encodes
exchanges when few come, and bodies so large that they would delay the run. A problem (a full disk, a full queue, a file
at its size limit) ends the recording, never the run, and is reported.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

from .. import __version__
from ..api.errors import UsageError
from ..api.exchange import ErrorCode, Exchange
from ..api.secret_redaction import NO_SECRETS, Secrets
from . import format as lines
from .exchange_encoder import ExchangeEncoder
from .format import RECORDING_FORMAT, RecordingEnd, RecordingHeader
from .output_file import RecordingFile, make_compressor, open_recording_file

DEFAULT_LIMIT_BYTES: Final = 2 << 30
"""The default limit on the size of a recording's file."""

MAX_QUEUED_EXCHANGES: Final = 20_000
MAX_QUEUED_BYTES: Final = 64 << 20
"""The most memory that may wait for the thread."""

THREAD_ENCODED_BYTES: Final = 256 * 1024
"""The thread encodes bodies above this size: a listing of 130 MB takes a third of a second."""

ENCODE_BATCH_EXCHANGES: Final = 64
"""
How many exchanges are encoded and compressed in one batch: the encoder's data is fetched into the processor's caches
only once, and the run is delayed by half a millisecond. If fewer have come, the thread encodes them when it wakes up.
"""

MAX_BATCHED_BODY_BYTES: Final = 32 * 1024
"""Responses above this size end a batch at once, so that a batch takes little memory and time."""

FRAME_INTERVAL_S: Final = 0.8
"""How often a frame is ended and written, so that a crash costs at most a second."""

QUEUE_POLL_S: Final = 0.05
"""How long the thread sleeps while nothing waits; polling costs less than a wake-up at every response."""

WRITE_BATCH_BYTES: Final = 1 << 20
"""How much is written at once. Each write releases the GIL, and gets it back late while the run is busy."""

STALL_S: Final = 30.0
"""A file that takes nothing for so long, such as a pipe whose reader stays but does not read, is not waited for at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """What the header line says about a run."""

    subject: str
    """The server's URL, without credentials."""
    subject_kind: Literal["server", "simulator", "recording"]
    edition: str
    """The edition's name."""
    options: Mapping[str, object] = field(default_factory=dict)
    """The command's options; secrets in them are replaced."""
    id: str | None = None
    """The run's id; None for that of the first exchange."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpan:
    """When a load run sent, how much was due, and what limited it; as in the end line."""

    began_ns: int | None = None
    ended_ns: int | None = None
    began_at_ns: int | None = None
    due: int | None = None
    limited: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingLimits:
    """Limits of a recording; beyond these it ends, and the run continues."""

    file_bytes: int = DEFAULT_LIMIT_BYTES
    """The approximate size at which the recording ends."""
    queue_count: int = MAX_QUEUED_EXCHANGES
    """How many exchanges, or pieces of the file, may wait to be written."""
    queue_bytes: int = MAX_QUEUED_BYTES
    """How much memory these may take."""


class RecordingWriter:
    """
    Records exchanges to a file while a `with` block lasts; `add_exchange` can be a judge's observer.

    The file is readable only by its owner. It is compressed if its name ends in `.zst`, and an existing file is
    overwritten. All exchanges must be of one run. Leaving the block writes the queue and the end line.

    Args:
        secrets: Values that must not be written. A response that contains one is marked as withheld.

    Raises:
        UsageError: The file cannot be written to.
    """

    def __init__(
        self,
        path: str | Path,
        run: RecordedRun,
        *,
        secrets: Secrets = NO_SECRETS,
        limits: RecordingLimits | None = None,
    ) -> None:
        self.path: Path = Path(path)
        self.problem: str | None = None
        """Why the recording ended before the run, in one line for a person; None if it did not."""
        self._secrets = secrets
        self._header = RecordingHeader(
            format=RECORDING_FORMAT,
            run="",
            subject_kind=run.subject_kind,
            subject=secrets.redact(run.subject),
            edition=run.edition,
            harness_version=__version__,
            options=_redact_option(run.options, secrets),
        )
        self._run = run.id or ""
        self._limits = limits or RecordingLimits()
        self._queue = _WriteQueue()
        """Only used while holding the lock."""
        self._added: deque[tuple[Exchange, bool]] = deque()
        """Exchanges of the current batch that are not encoded yet."""
        self._batches_added = 0
        """How many batches `add_exchange` has encoded."""
        self._encoder = ExchangeEncoder(self._secrets)
        """Only used while holding the lock; the thread has its own encoder, since encoders have caches."""
        self._compressor = make_compressor(self.path)
        """Only used while holding the lock, for exchanges that the thread doesn't encode."""
        self._frame_began_s: float | None = None
        self._began = False
        """Whether the header line was written."""
        self._made_bytes = 0
        self._sent = self._errors = self._abandoned = 0
        self._interrupted = False
        self._aborted: str | None = None
        self._span = RunSpan()
        self._closing = False
        self._over = False
        """Whether the end line was written; exchanges that come later are ignored."""
        self._sink: RecordingFile | None = None
        # gevent replaces threads and locks with its own, which would run in the very event loop that they should relieve
        self._lock = _unpatched_function("_thread", "allocate_lock")()
        self._finished = _unpatched_function("_thread", "allocate_lock")()
        self._sleep: Callable[[float], None] = _unpatched_function("time", "sleep")

    def __enter__(self) -> Self:
        try:
            self._sink = open_recording_file(self.path)
        except OSError as error:
            raise UsageError(f"the recording {self.path} cannot be written: {error.strerror or error}") from None
        self._finished.acquire()
        _unpatched_function("_thread", "start_new_thread")(self._run_thread, (self._sink,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.mark_early_end(interrupted=True)
        elif error is not None:
            self.mark_early_end(aborted=f"the run was cut off: {_describe_error(error)}")
        self.close()

    def add_exchange(self, exchange: Exchange, strict: bool = False) -> None:
        """
        Record an exchange, in about 12 us; never waits for the file and never raises. Any thread may call it.

        Args:
            strict: Whether its response's body is known to be strict JSON.
        """
        added, response = self._added, exchange.response
        added.append((exchange, strict))
        if len(added) >= ENCODE_BATCH_EXCHANGES or (
            response is not None and len(response.body) > MAX_BATCHED_BODY_BYTES
        ):
            with self._lock:
                self._batches_added += 1
                self._encode_batch()

    def mark_early_end(self, *, interrupted: bool = False, aborted: str | None = None) -> None:
        """
        Make the end line say that the run ended early, so that `check` reaches the same verdict as the run.

        Call this before `close`. An exception that leaves the block has the same effect.

        Args:
            aborted: Why the run ended itself, as in the verdict; None if it did not.
        """
        self._interrupted = self._interrupted or interrupted
        self._aborted = self._aborted or aborted

    def mark_span(self, span: RunSpan) -> None:
        """Make the end line say when a load run began and ended; call this before `close`."""
        self._span = span

    def close(self) -> None:
        """Write what waits, and the end line if the recording is complete; returns when the file is closed, or has stalled."""
        if self._sink is None or self._closing:
            return
        self._closing = True
        size = self._sink.size
        while not self._finished.acquire(timeout=STALL_S):
            if self._sink.size == size:
                self._stop(f"nothing of it could be written for {STALL_S:g} s")
                break
            size = self._sink.size

    # Only called while holding the lock.

    def _encode_batch(self) -> None:
        """Encode and compress the current batch."""
        added, encode, compress = self._added, self._encoder.encode, self._compressor.add_line
        for _ in range(len(added)):
            exchange, strict = added.popleft()
            if self._over:
                continue
            response, asked = exchange.response, exchange.request.body
            self._sent += 1
            if exchange.error is not None:
                if exchange.error.code is ErrorCode.ABANDONED:
                    self._abandoned += 1
                else:
                    self._errors += 1
            if self.problem is not None:
                continue
            try:
                if exchange.run != self._run or not self._began:
                    self._write_header(exchange.run)
                if len(self._queue.items) > self._limits.queue_count or self._queue.bytes >= self._limits.queue_bytes:
                    waiting, mib = len(self._queue.items), self._queue.bytes >> 20
                    self._abandon_recording(f"{waiting:,} exchanges ({mib:,} MiB) were waiting to be written")
                elif (response is not None and len(response.body) > THREAD_ENCODED_BYTES) or (
                    asked is not None and len(asked) > THREAD_ENCODED_BYTES
                ):
                    self._end_frame()
                    self._queue.add(exchange)
                elif made := compress(encode(exchange, strict)):
                    self._write_compressed(made)
                    self._stop_at_size_limit()
            except Exception as error:  # a problem of the recording must not stop the run
                self._abandon_recording(_describe_error(error))
        if self._frame_began_s is None:
            self._frame_began_s = time.monotonic()

    def _write_header(self, run: str) -> None:
        self._run = self._run or run
        if run != self._run:
            raise ValueError(f"an exchange of run {run} in the recording of run {self._run}")
        self._began = True
        self._write_compressed(
            self._compressor.add_line((lines.encode_line(msgspec.structs.replace(self._header, run=self._run)),))
        )

    def _end_old_frame(self) -> None:
        """End the frame if it is old enough, with everything that was added so far."""
        if self._frame_began_s is None:
            if self._added:
                self._frame_began_s = time.monotonic()
        elif time.monotonic() - self._frame_began_s >= FRAME_INTERVAL_S:
            self._encode_batch()
            self._end_frame()

    def _end_frame(self) -> None:
        self._frame_began_s = None
        self._write_compressed(self._compressor.finish_frame())

    def _write_compressed(self, data: bytes) -> None:
        if data:
            self._queue.add(data)
            self._made_bytes += len(data)

    def _stop_at_size_limit(self) -> bool:
        """End the recording, with a complete frame, if it has reached its limit; returns whether it has."""
        if self._made_bytes < self._limits.file_bytes:
            return False
        if self.problem is None:
            self._abandon_recording(f"it has reached its limit of {self._limits.file_bytes:,} bytes")
            self._end_frame()
        return True

    def _discard_queue(self) -> None:
        """Drop everything that waits to be written."""
        self._queue = _WriteQueue()
        self._compressor = make_compressor(
            self.path
        )  # the old queue contains part of a frame that will never be complete

    def _abandon_recording(self, reason: str) -> None:
        ended = f"the recording {self.path} ended early, after exchange {self._sent:,} of the run: {reason}"
        self.problem = self.problem or ended

    # Runs in the thread.

    def _run_thread(self, sink: RecordingFile) -> None:
        try:
            self._write_all(sink)
        except OSError as error:
            self._stop(error.strerror or str(error))
        except Exception as error:  # as above
            self._stop(_describe_error(error))
        finally:
            with suppress(OSError):
                sink.close()
            self._finished.release()

    def _write_all(self, sink: RecordingFile) -> None:
        batches_added = 0
        encoder = ExchangeEncoder(self._secrets)
        while not self._closing:
            self._write_queue(sink, encoder)
            with self._lock:
                self._end_old_frame()
            if not self._queue.items:
                self._sleep(QUEUE_POLL_S)
                with self._lock:
                    # When few exchanges come, the thread does this work for the run.
                    if self._batches_added == batches_added:
                        self._encode_batch()
                    batches_added = self._batches_added
        with self._lock:
            self._encode_batch()
            self._over = True
            if self.problem is None:
                self._write_end_line()
            self._end_frame()
        self._write_queue(sink, encoder)

    def _write_queue(self, sink: RecordingFile, encoder: ExchangeEncoder) -> None:
        while batch := self._take_batch():
            ready: list[bytes] = []
            for item in batch:
                if isinstance(item, bytes):
                    ready.append(item)
                    continue
                sink.write_compressed(b"".join(ready))
                ready.clear()
                before = sink.size
                sink.write(b"".join(encoder.encode(item)))
                sink.end_frame()
                with self._lock:
                    self._made_bytes += sink.size - before
                    if self._stop_at_size_limit():
                        self._discard_queue()
                        return
            sink.write_compressed(b"".join(ready))
            sink.flush()

    def _take_batch(self) -> list[Exchange | bytes]:
        """Take as much as is written at once."""
        with self._lock:
            return self._queue.take(WRITE_BATCH_BYTES)

    def _write_end_line(self) -> None:
        """Write the end line; only called while holding the lock."""
        if not self._began:
            self._write_header(self._run or str(uuid.uuid4()))
        aborted = self._aborted
        end = RecordingEnd(
            end=self._run,
            sent=self._sent,
            judged=self._sent - self._errors - self._abandoned,
            errors=self._errors,
            abandoned=self._abandoned,
            ended="interrupted" if self._interrupted else "aborted" if aborted is not None else None,
            why=lines.replace_lone_surrogates(self._secrets.redact(aborted)) if aborted is not None else None,
            **asdict(self._span),
        )
        self._write_compressed(self._compressor.add_line((lines.encode_line(end),)))

    def _stop(self, reason: str) -> None:
        with self._lock:
            self._abandon_recording(reason)
            self._discard_queue()


class _WriteQueue:
    """The queue: bytes for the file, and exchanges that the thread has to encode first."""

    def __init__(self) -> None:
        self.items: deque[Exchange | bytes] = deque()
        self.bytes = 0
        """Roughly the memory that the items take."""

    def add(self, item: Exchange | bytes) -> None:
        self.items.append(item)
        self.bytes += _queued_size(item)

    def take(self, size: int) -> list[Exchange | bytes]:
        """Take the oldest items, until they have this size."""
        batch = []
        while self.items and size > 0:
            item = self.items.popleft()
            batch.append(item)
            size -= _queued_size(item)
            self.bytes -= _queued_size(item)
        return batch


def _queued_size(item: Exchange | bytes) -> int:
    return len(item) if isinstance(item, bytes) else lines.memory_of(item)


def _describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _unpatched_function(module: str, name: str) -> Any:  # Any: functions of several modules
    """A function of the standard library as it was before gevent patched it, if it did."""
    if (monkey := sys.modules.get("gevent.monkey")) is not None:
        return monkey.get_original(module, name)
    return getattr(import_module(module), name)


def _redact_option(value: object, secrets: Secrets) -> Any:  # Any: JSON
    """An option as JSON, without secrets."""
    if isinstance(value, str):
        return lines.replace_lone_surrogates(secrets.redact(value))
    if isinstance(value, Mapping):
        return {str(key): _redact_option(below, secrets) for key, below in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_option(below, secrets) for below in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return lines.replace_lone_surrogates(secrets.redact(str(value)))
