"""
Estimates what a planned polling will cost, from five requests, which is safe for a server in use.

The requests are sent one after the other, with pauses, and are judged like all others. `load --scenario scrape` can
verify the estimate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ..api.exchange import Exchange, ExchangeOpener, Request, Response
from ..judge.checks.identity import ASKED, CLIENT
from ..judge.checks.presence import LISTED, PRESENT
from ..judge.measured_results import PollingEstimate
from ..judge.requirements import OBSERVED_BY_CLIENTS
from ..judge.verdict_decision import RunScope
from .discovery import connections_in_response
from .interrupt import InterruptHandler
from .prober import Prober, finish_unless_interrupted

MAX_ESTIMATE_REQUESTS: Final = 5

MIN_PAUSE_S: Final = 1.0
"""The least pause between the end of an exchange and the next request."""

PAUSE_TO_DURATION_RATIO: Final = 4
"""The pause is this many times as long as the exchange, so that the server is busy at most a fifth of the time."""

ESTIMATE_SCOPE: Final = RunScope(observes=OBSERVED_BY_CLIENTS, excluded={ASKED.id, CLIENT.id, PRESENT.id, LISTED.id})
"""What a few requests for all connections can show."""

_STATUS_LINE_BYTES: Final = len("HTTP/1.1 200 OK\r\n") + len("\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingPlan:
    """How many pollers there will be, and how often each of them polls."""

    pollers: int
    interval_s: float


def measure_requests(
    request: Request,
    judge: ExchangeOpener,
    prober: Prober,
    *,
    interrupt: InterruptHandler,
    watch: Callable[[int], None],
) -> list[Exchange]:
    """
    Send a request five times, with pauses in between; once where that brings no list of connections.

    A signal ends this at once. `watch` gets the number of each request, before it is sent.
    """
    return asyncio.run(_measure_requests(request, judge, prober, interrupt, watch))


async def _measure_requests(
    request: Request,
    judge: ExchangeOpener,
    prober: Prober,
    interrupt: InterruptHandler,
    watch: Callable[[int], None],
) -> list[Exchange]:
    exchanges: list[Exchange] = []

    async def send_all() -> None:
        for number in range(1, MAX_ESTIMATE_REQUESTS + 1):
            watch(number)
            exchange = await prober.send(judge, request)
            exchanges.append(exchange)
            if number == 1 and (
                exchange.response is None or connections_in_response(request.server, exchange.response) is None
            ):
                return
            if number < MAX_ESTIMATE_REQUESTS:
                took_s = (exchange.received_ns - exchange.sent_ns) / 1e9
                await asyncio.sleep(max(MIN_PAUSE_S, PAUSE_TO_DURATION_RATIO * took_s))

    await finish_unless_interrupted(send_all(), interrupt)
    return exchanges


def response_wire_bytes(response: Response) -> int:
    """The size of a response with a Content-Length above TCP: status line, headers and body."""
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in response.headers)
    return _STATUS_LINE_BYTES + headers + len(response.body)


def estimate_polling_cost(exchanges: Sequence[Exchange], polling: PollingPlan) -> PollingEstimate | None:
    """
    Estimate what a polling costs, from requests for all connections in the order of sending.

    Returns:
        None if there is no complete response of status 200.
    """
    complete = [
        (exchange, response)
        for exchange in exchanges
        if (response := exchange.response) is not None and exchange.error is None and response.status == 200
    ]
    if not complete:
        return None
    times_us = [(exchange.received_ns - exchange.sent_ns) // 1000 for exchange, _ in complete]
    wire = median(response_wire_bytes(response) for _, response in complete)
    time_us, longest_us = median(times_us), max(times_us)
    last_exchange, last = complete[-1]
    found = connections_in_response(last_exchange.request.server, last)
    return PollingEstimate(
        requests=len(exchanges),
        responses=len(complete),
        connections=None if found is None else len(found),
        response_bytes=round(median(len(response.body) for _, response in complete)),
        wire_bytes=round(wire),
        time_us=round(time_us),
        longest_us=longest_us,
        pollers=polling.pollers,
        interval_s=polling.interval_s,
        mbit_per_s=polling.pollers * wire * 8 / polling.interval_s / 1e6,
        open_share=time_us / 1e6 / polling.interval_s,
        shortest_interval_s=polling.pollers * longest_us / 1e6,
    )
