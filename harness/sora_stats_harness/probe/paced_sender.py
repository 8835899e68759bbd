"""
Sends a plan's requests, one or several at a time, at the plan's rate and within the plan's time.

It counts each server's failures. A server that never responds is given up after a few requests. One that has responded
before may be restarting, so requests continue until the plan's minimum time is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from ..api.exchange import Exchange, ExchangeOpener, Request
from .conformance_plan import ConformancePlan
from .prober import Prober

MAX_FAILURES_BEFORE_GIVING_UP: Final = 3
"""After so many requests in a row without a complete response, a server counts as silent."""

FAILURE_PAUSE_S: Final = 0.3
"""The least pause after a request that got no complete response."""


class RunEnded(Exception):
    """Raised when the run's time is over, or a server never responds."""


class PacedSender:
    """Sends for one plan, counting from when it is made; it belongs to one running loop."""

    def __init__(self, plan: ConformancePlan, judge: ExchangeOpener, prober: Prober) -> None:
        self._plan = plan
        self._judge = judge
        self._prober = prober
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._responded: set[str] = set()
        self._silent: Counter[str] = Counter()
        """By server, the exchanges since its last complete response."""
        self._last_error: dict[str, str] = {}
        self._paid_s = 0.0
        """How many seconds were waited because of large bodies."""
        self.may_end = False
        """Whether the run has seen enough: then it ends at the plan's minimum time instead of its time limit."""
        self.exchanges: int = 0
        self.errors: int = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time() - self._started_s

    @property
    def left_s(self) -> float:
        """Seconds until the planned end of the run; negative after it."""
        if self.may_end or self._is_silent():
            return self._plan.duration_s - self.elapsed_s
        # a large server gets its requests more slowly, not fewer of them
        paid_s = self._paid_s if self._plan.max_duration_s is None else 0.0
        return self._plan.time_limit_s + paid_s - self.elapsed_s

    def have_all_responded(self) -> bool:
        """Whether every server of the plan has given a complete response."""
        return self._responded.issuperset(self._plan.servers)

    def no_response_reason(self) -> str | None:
        """Name a server that never responded, or that has stopped responding, with its last error; None without one."""
        for server, error in self._last_error.items():
            if server not in self._responded:
                return f"{server} gives no complete response: {error}"
            if self._silent[server] >= MAX_FAILURES_BEFORE_GIVING_UP:
                return f"{server} stopped responding: {error}"
        return None

    async def send(self, requests: Iterable[Request], in_flight: int = 1) -> list[Exchange]:
        """
        Send requests in their order, `in_flight` at a time, at no more than the plan's rate.

        Returns:
            The exchanges, in order of receipt.

        Raises:
            RunEnded: The run has ended; open requests have completed.
        """
        queue = iter(requests)
        exchanges: list[Exchange] = []
        begun_s = self._loop.time()

        async def work() -> None:
            for request in queue:
                if self._has_ended():
                    return
                started_s = self._loop.time()
                exchange = await self._prober.send(self._judge, request)
                exchanges.append(exchange)
                self._count_exchange(exchange)
                pause_s = in_flight / self._plan.rate  # so that all tasks together keep the rate
                await self._sleep_until(
                    started_s + (pause_s if exchange.error is None else max(pause_s, FAILURE_PAUSE_S))
                )

        await asyncio.gather(*(work() for _ in range(in_flight)))
        received_bytes = sum(len(exchange.response.body) for exchange in exchanges if exchange.response is not None)
        began_to_pay_s = self._loop.time()
        await self._sleep_until(begun_s + received_bytes / self._plan.bytes_per_s)
        self._paid_s += self._loop.time() - began_to_pay_s
        if self._has_ended():
            raise RunEnded
        return exchanges

    async def _sleep_until(self, due_s: float) -> None:
        """Sleep until a time of the loop, or until the run ends."""
        await asyncio.sleep(max(0.0, min(due_s - self._loop.time(), self.left_s)))

    def _has_ended(self) -> bool:
        return self.left_s <= 0 or self._is_silent(never_responded=True)

    def _is_silent(self, *, never_responded: bool = False) -> bool:
        """Whether a server doesn't respond: at the moment, or since the beginning."""
        return any(
            count >= MAX_FAILURES_BEFORE_GIVING_UP and not (never_responded and server in self._responded)
            for server, count in self._silent.items()
        )

    def _count_exchange(self, exchange: Exchange) -> None:
        server = exchange.request.server
        self.exchanges += 1
        if exchange.response is not None and exchange.response.complete:
            self._responded.add(server)
            self._silent[server] = 0
            return
        self.errors += 1
        self._silent[server] += 1
        if exchange.error is not None:
            self._last_error[server] = f"{exchange.error.code.value}: {exchange.error.detail}"
