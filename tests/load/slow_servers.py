"""Servers that are slow in a known way, on a clock of the test's own and on real sockets, with logs of their own."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests import hostile

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
    """From reading a request about one connection to its response."""
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
            talk.write(hostile.response(json.dumps([sample] if is_listing else sample).encode()))
            if not is_listing:
                with self._lock:
                    self.service_us.append((time.monotonic_ns() - read_ns) / 1000)
            request = talk.socket.recv(65536)
