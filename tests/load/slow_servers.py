"""Servers that are slow in a known way, on a clock of the test's own and on real sockets, with logs of their own."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests import forked, hostile

EXAMPLE: Final = json.loads((Path(__file__).parents[1] / "data" / "example_response.json").read_text())

Delay = Callable[[int, float], float | None]
"""Of a request by its number and by seconds since the server's start: how long it takes; None for no response."""


def stalling(stall_s: float, every_s: float) -> Delay:
    """At once, but at the end of each period: then not before the next one begins."""

    def delay_s(_: int, at_s: float) -> float:
        phase_s = at_s % every_s
        return every_s - phase_s if phase_s > every_s - stall_s else 0.0

    return delay_s


def silent_now_and_then(every: int) -> Delay:
    """One request of so many gets no response."""
    return lambda number, _: None if number % every == every - 1 else 0.0


def bimodal(every: int, slow_s: float) -> Delay:
    """One request of so many takes long, the others none."""
    return lambda number, _: slow_s if number % every == every - 1 else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """By sorting: the smallest that so many percent do not exceed."""
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100 - 1e-9)) - 1]


@dataclass(slots=True)
class SlowServer:
    """The behaviour of a server on real sockets, which logs what it did."""

    delay: Delay
    began_s: float = field(default_factory=time.monotonic)
    service_us: list[float] = field(default_factory=list)
    """From having read a request about one connection to writing its response."""
    unanswered: int = 0
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, talk: hostile.Talk) -> None:
        request = talk.request
        while request:
            read_ns = time.monotonic_ns()
            is_listing = b"GetStatsAll" in request
            delay_s: float | None = 0.0
            if not is_listing:
                with self._lock:
                    number, self._number = self._number, self._number + 1
                delay_s = self.delay(number, time.monotonic() - self.began_s)
            if delay_s is None:
                with self._lock:
                    self.unanswered += 1
                talk.over.wait()
                return
            if delay_s and talk.over.wait(delay_s):
                return
            sample = EXAMPLE | {"timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
            response = hostile.response(json.dumps([sample] if is_listing else sample).encode())
            if not is_listing:
                with self._lock:
                    self.service_us.append((time.monotonic_ns() - read_ns) / 1000)
            talk.write(response)
            request = talk.socket.recv(65536)


PROVEN: Final[dict[str, tuple[Delay, float, tuple[str, ...]]]] = {
    "stalls for 2 s in 10": (stalling(2.0, 10.0), 25, ()),
    "lets one request in forty time out": (silent_now_and_then(40), 10, ("--timeout", "0.5s")),
    "takes 80 ms for one request in ten": (bimodal(10, 0.08), 10, ()),
}
"""What a server does, for how long it is asked, and what `load` is told besides."""


def prove(name: str, folder: Path) -> str:
    """
    Have a real server asked at 60 requests/s, and compare; gives a sentence.

    `check` of the recording gives the buckets of the run itself. No percentile of service time is below that of the server's
    own log; by how much it is above depends on how soon the two processes are woken.
    """
    delay, lasts_s, options = PROVEN[name]
    recording = folder / "run.jsonl.zst"
    program = [sys.executable, "-m", "sora_stats_harness"]
    server = SlowServer(delay)
    with hostile.serve(server) as address:
        command = [*program, "load", address.url, "--scenario", "drill", "--rate", "60", "--duration", f"{lasts_s:g}s"]
        command += ["--abort-when", "errors>50%", "--record", str(recording), "--output", str(folder / "out"), *options]
        forked.run([*command, "--json"])
    told = json.loads((folder / "out" / "verdict.json").read_text())["load"]
    check = forked.run([*program, "check", str(recording), "--json"])
    again = json.loads(check.stdout)["load"]
    measured = [row for row in told["latency"] if row["kind"] != "connect"]
    assert again["latency"] == measured, f"{name}: check gives other times"
    assert again["timeline"] == told["timeline"], f"{name}: check gives another timeline"
    (row,) = [row for row in measured if (row["kind"], row["target"]) == ("service", "GetStatsConnection")]
    assert (row["count"], told["errors"]) == (len(server.service_us), server.unanswered), f"{name}: other counts"
    differences = []
    for percent, us in row["percentiles"].items():
        logged_us = percentile(server.service_us, float(percent))
        assert us >= logged_us - 1, f"{name}: p{percent} is {us} us, and by the server's log {logged_us:.0f} us"
        differences.append(us - logged_us)
    buckets = sum(len(each["buckets"]) for each in measured)
    return (
        f"- A server that {name}, at 60 requests/s for {lasts_s:g} s: {row['count']:,} responses and {told['errors']} "
        f"time-outs in both; `check` gives the same {buckets:,} buckets; service times up to p"
        f"{max(map(float, row['percentiles'])):g} are above the server's own by at most {max(differences) / 1000:.2g} ms."
    )
