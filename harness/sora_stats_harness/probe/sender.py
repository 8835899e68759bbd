"""
Sends a plan's requests: in turn or several at a time, never faster than agreed, and no longer than there is any use.

It keeps what the servers have shown of themselves so far, for a server that never answers is left alone after a few
tries, while one that has answered and falls silent may be restarting, and is asked until the time is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from ..api.exchange import Exchange, Request
from .client import Clerk, Prober
from .plan import Plan

BYTES_RATE: Final = 64 * 1024 * 1024
"""Bytes of bodies a second at most, over each call of `send`."""

TRIES: Final = 3
"""Answers that may fail to come before we stop asking a server that has never given one."""

BACK_OFF_S: Final = 0.3
"""After a request that brought no whole answer."""


class Over(Exception):
    """The run has come to its end: its time is over, or a server never answers."""


class Sender:
    """Sends for one plan, counting from when it is made; it belongs to one running loop."""

    def __init__(self, plan: Plan, judge: Clerk, prober: Prober) -> None:
        self._plan = plan
        self._judge = judge
        self._prober = prober
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._answered: set[str] = set()
        self._silent: Counter[str] = Counter()
        """By server, exchanges without a whole answer since the last one with it."""
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

    def has_answered(self) -> bool:
        """Whether every server of the plan has given a whole answer."""
        return self._answered.issuperset(self._plan.servers)

    def complaint(self) -> str | None:
        """Why too little may have been seen, in one line: a server that never answered, or does so no more."""
        for server, error in self._last_error.items():
            if server not in self._answered:
                return f"{server} gives no whole answer: {error}"
            if self._silent[server] >= TRIES:
                return f"{server} stopped answering: {error}"
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
                if self._is_over():
                    return
                started_s = self._loop.time()
                exchange = await self._prober.send(self._judge, request)
                exchanges.append(exchange)
                self._count(exchange)
                pause_s = in_flight / self._plan.rate  # so that all workers together keep the rate
                await self._sleep_until(started_s + (pause_s if exchange.error is None else max(pause_s, BACK_OFF_S)))

        await asyncio.gather(*(work() for _ in range(in_flight)))
        received_bytes = sum(len(exchange.answer.body) for exchange in exchanges if exchange.answer is not None)
        await self._sleep_until(begun_s + received_bytes / BYTES_RATE)
        if self._is_over():
            raise Over
        return exchanges

    async def _sleep_until(self, due_s: float) -> None:
        """Sleep until a time of the loop, or until the plan's time is over."""
        await asyncio.sleep(max(0.0, min(due_s - self._loop.time(), self.left_s)))

    def _is_over(self) -> bool:
        hopeless = any(count >= TRIES and server not in self._answered for server, count in self._silent.items())
        return hopeless or self.left_s <= 0

    def _count(self, exchange: Exchange) -> None:
        server = exchange.request.server
        self.exchanges += 1
        if exchange.answer is not None and exchange.answer.complete:
            self._answered.add(server)
            self._silent[server] = 0
            return
        self.errors += 1
        self._silent[server] += 1
        if exchange.error is not None:
            self._last_error[server] = f"{exchange.error.code.value}: {exchange.error.detail}"
