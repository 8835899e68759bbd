"""
A fixed rate for long: does the harness grow, and does the latency drift?

`load` runs in a process of its own, whose resident memory is looked at every second. Nothing is judged by eye: memory at
the end is held against that of the second minute, and latency over time is tested by the slope of Theil and Sen, which
a stall now and then does not move. The second minute, since in the first worlds are built and caches fill.

    python scripts/soak.py [--duration 10m] [--rate 100] [URL]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sora_stats_harness.api.option_values import parse_duration
from sora_stats_harness.load.capacity.trend import theil_sen_slope

MINUTE_S: Final = 60.0

GROWS: Final = 0.05
"""Of its memory the harness may be larger at the end."""

DRIFTS: Final = 0.1
"""Over the run the median latency may rise by this part, if it rises at all: less is no news."""


def main() -> int:
    """Run, and tell; 1 where something drifts, or the verdict is not pass."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0] if __doc__ else None)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--duration", type=parse_duration, default=600.0)
    parser.add_argument("--rate", type=float, default=100.0)
    given = parser.parse_args()
    if given.duration < 3 * MINUTE_S:
        parser.error("less than three minutes tell nothing of drift")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "soak"
        command = [
            sys.executable,
            "-m",
            "sora_stats_harness",
            "load",
            *([given.url] if given.url else []),
            "--scenario",
            "mixed",
            "--rate",
            f"{given.rate:g}",
            "--duration",
            f"{given.duration:g}",
            "--output",
            str(out),
        ]
        memory, status = watch(command)
        if not (out / "verdict.json").exists():
            print(f"no verdict was written (exit status {status})")
            return 1
        verdict: dict[str, Any] = json.loads((out / "verdict.json").read_text())
    sound = [tell_memory(memory), tell_latency(timeline(verdict)), verdict["verdict"] == "pass"]
    print(f"verdict: {verdict['verdict']}, {verdict['coverage']['exchanges']:,} exchanges")
    return 0 if all(sound) else 1


def watch(command: Sequence[str]) -> tuple[list[tuple[float, float]], int]:
    """(seconds, MiB resident) once a second while a command runs, and its exit status."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    began_s, seen = time.monotonic(), []
    try:
        while process.poll() is None:
            if (mib := resident_mib(process.pid)) is not None:
                seen.append((time.monotonic() - began_s, mib))
            time.sleep(1)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return seen, process.returncode


def resident_mib(pid: int) -> float | None:
    """What a process holds of memory; None once it has gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tell_memory(seen: Sequence[tuple[float, float]]) -> bool:
    """Whether memory at the end is about that of the second minute."""
    last_s = seen[-1][0] - 2  # the report is written in the last moments
    early = [mib for at_s, mib in seen if MINUTE_S <= at_s < 2 * MINUTE_S]
    late = [mib for at_s, mib in seen if last_s - MINUTE_S / 2 <= at_s < last_s]
    before, after = statistics.median(early), statistics.median(late)
    slope = theil_sen_slope([each for each in seen if MINUTE_S <= each[0] < last_s][:: max(1, len(seen) // 200)])
    hourly = "" if slope is None else f", slope {slope.low * 3600:.2f} to {slope.high * 3600:.2f} MiB an hour"
    flat = after <= before * (1 + GROWS)
    print(
        f"memory: {before:.1f} MiB after the first minute, {after:.1f} at the end ({after / before - 1:+.1%}){hourly}: "
        f"{'flat' if flat else 'GROWS'}"
    )
    return flat


def timeline(verdict: dict[str, Any]) -> list[tuple[float, float, float]]:
    """(from s, p50 ms, p99 ms) of each row of a run."""
    rows = (verdict.get("load") or {}).get("timeline") or []
    return [
        (row["from_s"], row["p50_us"] / 1000, row["p99_us"] / 1000)
        for row in rows
        if row["p50_us"] is not None and row["p99_us"] is not None
    ]


def tell_latency(rows: Sequence[tuple[float, float, float]]) -> bool:
    """Whether neither the median nor p99 rises over the run."""
    rows = [row for row in rows if row[0] >= MINUTE_S / 2][:: max(1, len(rows) // 200)]
    steady = True
    for name, place in (("p50", 1), ("p99", 2)):
        slope = theil_sen_slope([(row[0], row[place]) for row in rows])
        if slope is None:
            print(f"latency {name}: too few rows to tell")
            return False
        lasts_s = rows[-1][0] - rows[0][0]
        middle = statistics.median(row[place] for row in rows)
        drifts = slope.low > 0 and slope.middle * lasts_s > DRIFTS * middle
        low, high = (bound * lasts_s / middle for bound in (slope.low, slope.high))
        print(
            f"latency {name}: {middle:.2f} ms, over the run {low:+.1%} to {high:+.1%} (95 %): "
            f"{'DRIFTS' if drifts else 'no drift'}"
        )
        steady &= not drifts
    return steady


if __name__ == "__main__":
    sys.exit(main())
