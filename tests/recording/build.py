"""Small exchanges and recordings, for tests that look at recordings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api.exchange import Exchange, Request, Response, Target, TransportError, make_valid_request
from sora_stats_harness.api.secret_redaction import NO_SECRETS, Secrets
from sora_stats_harness.api.zstd import CompressionParameter, ZstdCompressor
from sora_stats_harness.recording.writer import RecordedRun, RecordingWriter

RUN = "11111111-2222-4333-8444-555555555555"
SERVER = "http://127.0.0.1:3000"
JSON_HEADERS = (("content-type", "application/json"),)


def compress_frame(content: bytes) -> bytes:
    """One zstd frame that ends in a checksum."""
    compressor = ZstdCompressor(options={CompressionParameter.checksum_flag: 1})
    return compressor.compress(content, compressor.FLUSH_FRAME)


def exchange(
    seq: int = 0,
    *,
    body: bytes | None = b"[]",
    sent_ns: int = 0,
    received_ns: int = 10,
    run: str = RUN,
    clock: str = "clock",
    server: str = SERVER,
    request: Request | None = None,
    response: Response | None = None,
    error: TransportError | None = None,
) -> Exchange:
    """An exchange of GetStatsAllConnections; without a body there is no response."""
    if response is None and body is not None:
        response = Response(status=200, headers=JSON_HEADERS, body=body)
    return Exchange(
        run=run,
        seq=seq,
        request=request or make_valid_request(Target.ALL, server=server),
        clock=clock,
        sent_ns=sent_ns,
        received_ns=received_ns,
        sent_at="2026-11-24T03:15:00.000000Z",
        response=response,
        error=error,
    )


def recorded_run(**changes: Any) -> RecordedRun:
    """What a header line says."""
    return RecordedRun(**{"subject": SERVER, "subject_kind": "server", "edition": "doc-2024"} | changes)


def record(path: Path, exchanges: Iterable[Exchange], *, secrets: Secrets = NO_SECRETS) -> Path:
    """Write exchanges to a file, whole."""
    with RecordingWriter(path, recorded_run(), secrets=secrets) as recorder:
        for item in exchanges:
            recorder.add_exchange(item)
    assert recorder.problem is None
    return path


@contextmanager
def pipe_to_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> Iterator[None]:
    """Let a pipe with so much content, at most 64 KiB, be the standard input."""
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield
