"""Files made to exhaust whoever reads them, and what `sora-harness check` takes to refuse or to read each."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

from sora_stats_harness.api.secret_redaction import NO_SECRETS
from sora_stats_harness.api.zstd import ZstdCompressor
from sora_stats_harness.recording import format as lines

from . import falling_listings

RUNS: Final = 400
RUN_EXCHANGES: Final = 500


def write_zstd_bomb(file: IO[bytes], shrink: int) -> None:
    """131 kB of zstd that hold 4 GiB"""
    compressor = ZstdCompressor(level=19)
    for _ in range(4096 // shrink):
        file.write(compressor.compress(bytes(1 << 20)))
    file.write(compressor.flush())


def write_long_line(file: IO[bytes], shrink: int) -> None:
    """One line of 2 GiB"""
    file.truncate((2 << 30) // shrink)


def write_newlines(file: IO[bytes], shrink: int) -> None:
    """1 GiB of newlines"""
    for _ in range(1024 // shrink):
        file.write(b"\n" * (1 << 20))


def write_short_lines(file: IO[bytes], shrink: int) -> None:
    """A header line and 1 GiB of lines with one letter"""
    file.write(_header("one"))
    for _ in range(1024 // shrink):
        file.write(b"a\n" * (1 << 19))


def write_runs(file: IO[bytes], shrink: int) -> None:
    """400 runs of 500 exchanges in one file"""
    for number in range(RUNS // shrink):
        _write_run(file, f"run {number}")


def write_compressed_runs(file: IO[bytes], shrink: int) -> None:
    """The same in one zstd frame"""
    compressor = ZstdCompressor()

    class Compressed(io.RawIOBase):
        def write(self, data: Any) -> int:  # Any: whatever has bytes
            return file.write(compressor.compress(data))

    write_runs(cast("IO[bytes]", Compressed()), shrink)
    file.write(compressor.flush())


def write_skippable_frames(file: IO[bytes], shrink: int) -> None:
    """256 MiB of zstd frames without content"""
    frame = b"\x50\x2a\x4d\x18" + bytes(4)
    for _ in range(256 // shrink):
        file.write(frame * ((1 << 20) // len(frame)))


def write_broken_frames(file: IO[bytes], shrink: int) -> None:
    """256 MiB of zstd's magic bytes"""
    for _ in range(256 // shrink):
        file.write(b"\x28\xb5\x2f\xfd" * (1 << 18))


def write_two_listings(file: IO[bytes], shrink: int) -> None:
    """Two listings of 10,000 connections, 134 MB each, and a counter that falls"""
    _write_listings(file, 10_000 // shrink, 2)


def write_many_listings(file: IO[bytes], shrink: int) -> None:
    """Eight of them, and another counter falls in each"""
    _write_listings(file, 10_000 // shrink, 8)


FILES: Final[tuple[Callable[[IO[bytes], int], None], ...]] = (
    write_zstd_bomb,
    write_long_line,
    write_newlines,
    write_short_lines,
    write_runs,
    write_compressed_runs,
    write_skippable_frames,
    write_broken_frames,
    write_two_listings,
    write_many_listings,
)


def measure_files(folder: Path, shrink: int) -> Iterator[str]:
    """A row of a Markdown table for each file: time, peak memory, exit code and the last line on stderr."""
    yield "| File | Time | Peak memory | Exit code | Message |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for write in FILES:
        path = folder / write.__name__.removeprefix("write_")
        with path.open("wb") as file:
            write(file, shrink)
        yield _measure(str(path), (write.__doc__ or "").strip())
        path.unlink()
    yield _measure("/dev/zero", "/dev/zero")
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    yield _measure(str(pipe), "A pipe that nobody writes to, with a limit of 1 s", {"SORA_HARNESS_INPUT_TIMEOUT": "1s"})


_MEASURED: Final = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Runs a command and prints its peak memory, in KiB. A process begins with the peak of whoever starts it: a small one here."""


def _measure(path: str, title: str, variables: dict[str, str] | None = None) -> str:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURED, sys.executable, "-m", "sora_stats_harness", "check", path],
        capture_output=True,
        text=True,
        env=os.environ | (variables or {}),
    )
    took, peak = time.monotonic() - started, int(done.stdout) / 1024
    said = done.stderr.replace(path, "FILE").strip()
    message = said.rpartition("\n")[2].removeprefix("sora-harness: ")
    return f"| {title} | {took:.1f} s | {peak:,.0f} MiB | {done.returncode} | {message} |"


def _write_listings(file: IO[bytes], connections: int, count: int) -> None:
    file.write(_header("r"))
    for exchange in falling_listings.listings(connections, count):
        file.write(lines.encode_line(lines.exchange_to_line(exchange, NO_SECRETS)))
    file.write(lines.encode_line(lines.RecordingEnd(end="r", sent=count, judged=count, errors=0, abandoned=0)))


def _header(run: str) -> bytes:
    return lines.encode_line(
        lines.RecordingHeader(
            format=lines.RECORDING_FORMAT,
            run=run,
            subject_kind="server",
            subject="http://127.0.0.1:3000",
            edition="doc-2024",
            harness_version="0",
        )
    )


def _write_run(file: IO[bytes], run: str) -> None:
    file.write(_header(run))
    for seq in range(RUN_EXCHANGES):
        exchange = lines.RecordedExchange(
            seq=seq,
            server="http://127.0.0.1:3000",
            target="GetStatsAllConnections",
            request=lines.RecordedRequest(method="POST", path="/", headers=()),
            clock="clock",
            sent_ns=seq,
            received_ns=seq + 1,
            sent_at="2026-11-24T03:15:00.000000Z",
            response=lines.RecordedResponse(status=200, headers=(("content-type", "application/json"),), body="[]"),
        )
        file.write(lines.encode_line(exchange))
    end = lines.RecordingEnd(end=run, sent=RUN_EXCHANGES, judged=RUN_EXCHANGES, errors=0, abandoned=0)
    file.write(lines.encode_line(end))
