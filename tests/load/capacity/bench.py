"""Made-up servers, and the windows that a bench would see of them: seeded, without sockets and without waiting."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sora_stats_harness.load.capacity.load_window import LoadWindow
from sora_stats_harness.load.capacity.rate_search import LoadAborted, SearchEnded
from sora_stats_harness.load.histogram import Histogram

SAMPLES = 20


@dataclass
class Server:
    """
    Serves at most `capacity` requests a second, one after another, each in `service_s` and a little more by chance.

    `stall` is the chance that a window has a stall of 0.2 s in it. `breaks_at` is the rate above which one response of
    twenty takes 0.3 s longer. `own_capacity` is what the generator can offer: beyond, its own delay grows.
    `goes_back_at` is the rate above which a counter goes back.
    """

    capacity: float
    service_s: float = 0.002
    noise: float = 0.0
    """How much p99 scatters from window to window: a factor of up to 1 + noise."""
    stall: float = 0.0
    breaks_at: float = float("inf")
    own_capacity: float = float("inf")
    goes_back_at: float = float("inf")
    overruns_at: float = float("inf")
    failing: float = 0.0
    """Share of responses of status 500."""


@dataclass
class Bench:
    """What a search drives, over such a server; counts what it was asked to do."""

    server: Server
    seed: int = 1
    ends_after: int = 10_000
    rates: list[float] = field(default_factory=list)
    seconds: float = 0.0
    windows: int = 0
    in_flight: int = 1000

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._backlog = 0.0
        self._elapsed_s = 0.5
        self._running = False

    def start_step(self, rate: float) -> None:
        assert not self._running
        self.rates.append(rate)
        self._backlog, self._elapsed_s, self._running = 0.0, 0.5, True

    def end_step(self) -> tuple[str, ...]:
        self._running = False
        return ("counter.monotonic",) if self.rates[-1] > self.server.goes_back_at else ()

    def wait_for_window(self, lasts_s: float) -> LoadWindow:
        assert self._running
        server, rate, draw = self.server, self.rates[-1], self._random
        self.windows += 1
        self.seconds += lasts_s
        if self.windows > self.ends_after:
            raise SearchEnded("interrupted")
        if rate > server.overruns_at:
            raise LoadAborted("errors>5%")
        due = round(rate * lasts_s)
        slow = 1 + draw.random() * server.noise
        stalls_at = draw.random() * lasts_s if draw.random() < server.stall else None
        response = Histogram()
        samples: list[tuple[float, float]] = []
        for number in range(200):
            at_s = lasts_s * number / 200
            if number % 10 == 0:
                samples.append(
                    (self._elapsed_s + at_s, self._backlog + rate * server.service_s * draw.uniform(0.5, 1.5))
                )
            stalled = stalls_at is not None and stalls_at <= at_s < stalls_at + 0.2
            served = 0.0 if stalled else min(server.capacity, rate + self._backlog * 200 / lasts_s)
            self._backlog = max(0.0, self._backlog + (rate - served) * lasts_s / 200)
            for each in range(max(1, due // 200)):
                time_s = server.service_s * slow * draw.uniform(1, 1.2) + self._backlog / server.capacity
                if rate > server.breaks_at and (number + each) % 20 == 0:
                    time_s += 0.3
                response.record(int(time_s * 1e9))
        self._elapsed_s += lasts_s
        delay_us = 50_000 if rate > server.own_capacity else 100
        whole = response.count
        return LoadWindow(
            rate=rate,
            lasts_s=lasts_s,
            due=whole,
            times={"GetStatsConnection": response},
            server_errors={"GetStatsConnection": round(whole * server.failing)} if server.failing else {},
            findings=("counter.monotonic",) if rate > server.goes_back_at else (),
            receive_delay_p99_us=delay_us,
            send_delay_p99_us=100,
            max_in_flight=self.in_flight,
            backlog=samples,
        )


def fixed(lasts_s: float) -> Callable[[float], float]:
    """Windows of one length at every rate."""
    return lambda rate: lasts_s
