"""
Writes a load run to a CSV file during the run: a row per second for all targets together, and one for each target.

The report's timeline has at most 600 rows, so a row of a long run stands for several seconds. Here each second has its
own rows, by the wall clock, also one without responses, which is how a stall looks.
"""

from __future__ import annotations

import csv
import io
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from ..api.errors import UsageError
from ..judge.measured_results import ALL_TARGETS
from ..recording.output_file import create_file
from .request_metrics import TimelineInterval, TrafficCounts
from .run_measurements import carried_percentile, format_wall_time

_PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)

COLUMNS: Final = (
    "time",
    "second",
    "target",
    "requests",
    "responses",
    "status_5xx",
    "errors",
    "body_bytes",
    *(f"p{percent:g}_ms" for percent in _PERCENTILES),
    "max_ms",
)
"""Times are response times, or how long requests without a complete response waited; empty if there are too few."""


class TimelineCsv:
    """
    The CSV file, which is overwritten; a context.

    Raises:
        UsageError: It cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.problem: str | None = None
        """Why the file ends before the run; None if it does not."""
        self._began_at_s = 0.0
        self._next_s = 0
        try:
            file = create_file(Path(path))
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                os.set_blocking(file.fileno(), False)  # a reader that stays but does not read must not hold up the run
            self._file: TextIO = io.TextIOWrapper(file, encoding="utf-8", newline="")
        except OSError as error:
            raise UsageError(f"--csv: {path} can't be written: {error.strerror or error}") from None
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._write([COLUMNS])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:
            pass  # a failed write was reported before

    def begin(self, began_ns: int) -> None:
        """Set the time of second 0, by the monotonic clock."""
        self._began_at_s = time.time() + (began_ns - time.monotonic_ns()) / 1e9

    def add(self, seconds: Sequence[TimelineInterval]) -> None:
        """Write completed seconds in order, and the empty ones before them."""
        rows: list[Sequence[object]] = []
        for each in seconds:
            while self._next_s < each.from_s:
                rows.append(self._row(self._next_s, ALL_TARGETS, TrafficCounts()))
                self._next_s += 1
            rows.append(self._row(each.from_s, ALL_TARGETS, each.together))
            rows += [self._row(each.from_s, name, counts) for name, counts in sorted(each.targets.items())]
            self._next_s = each.from_s + 1
        if rows:
            self._write(rows)

    def _row(self, second: int, target: str, counts: TrafficCounts) -> Sequence[object]:
        times = counts.response
        percentiles_us = [carried_percentile(times, percent) for percent in _PERCENTILES]
        longest_us = times.max_us if times.count else None
        return (
            format_wall_time(self._began_at_s + second),
            second,
            target,
            counts.responses + counts.errors,
            counts.responses,
            counts.server_errors,
            counts.errors,
            counts.bytes,
            *("" if us is None else us / 1000 for us in (*percentiles_us, longest_us)),
        )

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        if self.problem is not None:
            return
        try:
            self._writer.writerows(rows)
            self._file.flush()  # a reader may follow the file
        except OSError as error:
            self.problem = f"{self._path} ends before the run: {error.strerror or error}"
