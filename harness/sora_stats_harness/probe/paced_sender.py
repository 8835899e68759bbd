"""
Sends a plan's requests: in turn or several at a time, never faster than agreed, and no longer than there is any use.

It keeps what the servers have shown of themselves so far, for a server that never responds is left alone after a few
tries, while one that has responded and falls silent may be restarting, and is asked until the time is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from ..api.exchange import Exchange, Request
from .conformance_plan import ConformancePlan
from .prober import ExchangeOpener, Prober

MAX_RESPONSE_BYTES_PER_SECOND: Final = 64 * 1024 * 1024
"""Bytes of bodies a second at most, over each call of `send`."""

MAX_FAILURES_BEFORE_GIVING_UP: Final = 3
"""Responses that may fail to come before we stop asking a server that has never given one."""

FAILURE_PAUSE_S: Final = 0.3
"""After a request that brought no complete response."""


class RunEnded(Exception):
    """The run has come to its end: its time is over, or a server never responds."""


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
        """By server, exchanges without a complete response since the last one with it."""
        self._last_error: dict[str, str] = {}
        self.exchanges = 0
        self.errors = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time() - self._started_s

    @property
    def left_s(self) -> float:
        """Seconds until the plan's time is over; negative after that."""
        return self._plan.duration_s - self.elapsed_s

    def have_all_responded(self) -> bool:
        """Whether every server of the plan has given a complete response."""
        return self._responded.issuperset(self._plan.servers)

    def no_response_reason(self) -> str | None:
        """Why too little may have been seen, in one line: a server that never responded, or does so no more."""
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
            Over: Nothing more is to be sent; what was in flight has come back.
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
                pause_s = in_flight / self._plan.rate  # so that all workers together keep the rate
                await self._sleep_until(
                    started_s + (pause_s if exchange.error is None else max(pause_s, FAILURE_PAUSE_S))
                )

        await asyncio.gather(*(work() for _ in range(in_flight)))
        received_bytes = sum(len(exchange.response.body) for exchange in exchanges if exchange.response is not None)
        await self._sleep_until(begun_s + received_bytes / MAX_RESPONSE_BYTES_PER_SECOND)
        if self._has_ended():
            raise RunEnded
        return exchanges

    async def _sleep_until(self, due_s: float) -> None:
        """Sleep until a time of the loop, or until the plan's time is over."""
        await asyncio.sleep(max(0.0, min(due_s - self._loop.time(), self.left_s)))

    def _has_ended(self) -> bool:
        hopeless = any(
            count >= MAX_FAILURES_BEFORE_GIVING_UP and server not in self._responded
            for server, count in self._silent.items()
        )
        return hopeless or self.left_s <= 0

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
