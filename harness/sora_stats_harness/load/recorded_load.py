"""
Computes the figures of a load run from its recording, so that `check` prints the same as the run itself.

A recording has the times of every exchange, so counts and times are the same, bucket by bucket. It does not have the
generator's own figures: its CPU time, and how late its users woke up.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ..api.exchange import Exchange
from ..judge.measured_results import LoadResult
from ..recording.format import RecordingEnd, RecordingHeader
from ..recording.reader import RecordingReader
from .run_measurements import LoadPlan, RunMeasurements, summarize_recording


class RecordedLoad:
    """Measures the exchanges of a recording, if it is of one complete load run."""

    def __init__(self) -> None:
        self._measured = RunMeasurements()
        self._header: RecordingHeader | None = None
        self._end: RecordingEnd | None = None
        self._has_begun = False

    def open(self, recordings: RecordingReader) -> None:
        """Read the plan from the header line, and the times of the run from the end line."""
        ends = [end for _, end in recordings.ends]
        if len(recordings.headers) == len(ends) == 1 and "scenario" in recordings.headers[0].options:
            (self._header,), (self._end,) = recordings.headers, ends

    def add(self, exchange: Exchange) -> None:
        """Add a judged exchange."""
        began_ns = None if self._end is None else self._end.began_ns
        if self._header is None or began_ns is None:
            return
        metrics = self._measured.metrics
        if not self._has_begun and exchange.received_ns >= began_ns:
            self._has_begun = True
            metrics.start(began_ns, warm_up_ns=int(_number(self._header.options.get("warm_up_s")) * 1e9))
        metrics.sent += 1
        metrics.record(exchange)

    def result(self) -> LoadResult | None:
        """All figures; None if the files are not the recording of a complete load run."""
        if self._header is None or self._end is None or not self._has_begun:
            return None
        began_ns, ended_ns, began_at_ns = self._end.began_ns, self._end.ended_ns, self._end.began_at_ns
        if began_ns is None or ended_ns is None or began_at_ns is None:
            return None
        options, measured = self._header.options, self._measured
        measured.lasted_s = (ended_ns - began_ns) / 1e9
        measured.scheduled = self._end.due
        rate = options.get("rate")
        users, interval_s = _number(options.get("users")), _number(options.get("interval_s"))
        plan = LoadPlan(
            scenario=str(options["scenario"]),
            model="closed" if rate is None else "open",
            planned_per_s=users / interval_s if rate is None and interval_s else None,
            processes=int(_number(options.get("processes"))) or 1,
        )
        summary = summarize_recording(measured, plan, began_at_ns / 1e9)
        return replace(summary, generator_limited=self._end.limited)


def _number(value: Any) -> float:  # Any: JSON
    return float(value) if isinstance(value, int | float) else 0.0
