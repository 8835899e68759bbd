"""
What a planned polling costs, from a handful of requests: safe to ask of a server that people are using.

Nothing here is a load: requests go one after the other with rests in between, and are judged like all others. From what
they cost follows what the planned polling will; the command `load --scenario scrape` verifies it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ..api.exchange import Exchange, Headers, Response, Target, make_valid_request
from ..judge.verdict import PollingEstimate, ReportTable
from .discovery import connections_in_response
from .interrupt import InterruptHandler
from .prober import ExchangeOpener, Prober

MAX_ESTIMATE_REQUESTS: Final = 5

MIN_PAUSE_S: Final = 1.0
"""Between the end of an exchange and the next request, at least."""

PAUSE_TO_DURATION_RATIO: Final = 4
"""And so many times as long as the exchange took: a server that is busy with us is so a fifth of the time at most."""

_STATUS_LINE_BYTES: Final = len("HTTP/1.1 200 OK\r\n") + len("\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingPlan:
    """Who is going to poll: so many, each once in so many seconds."""

    pollers: int
    interval_s: float


def measure_requests(
    server: str,
    judge: ExchangeOpener,
    prober: Prober,
    *,
    cluster: bool,
    headers: Headers = (),
    requests: int = MAX_ESTIMATE_REQUESTS,
    interrupt: InterruptHandler,
    watch: Callable[[int], None] = lambda sent: None,
) -> list[Exchange]:
    """
    Ask for everything a few times, with rests.

    Args:
        server: As `client.server_of` gives it.
        judge: Is shown every exchange.
        prober: Sends; it is closed at the end.
        cluster: Whether to ask for all nodes' connections.
        headers: Sent with every request.
        requests: How many; five at most.
        interrupt: Ends it at once.
        watch: Is told how many were sent.
    """
    return asyncio.run(_measure_requests(server, judge, prober, cluster, headers, requests, interrupt, watch))


async def _measure_requests(
    server: str,
    judge: ExchangeOpener,
    prober: Prober,
    cluster: bool,
    headers: Headers,
    requests: int,
    interrupt: InterruptHandler,
    watch: Callable[[int], None],
) -> list[Exchange]:
    loop = asyncio.get_running_loop()
    request = make_valid_request(Target.ALL, server=server, headers=headers, local=False if cluster else None)
    exchanges: list[Exchange] = []

    async def ask() -> None:
        for number in range(min(requests, MAX_ESTIMATE_REQUESTS)):
            watch(number + 1)
            exchange = await prober.send(judge, request)
            exchanges.append(exchange)
            if number + 1 < min(requests, MAX_ESTIMATE_REQUESTS):
                took_s = (exchange.received_ns - exchange.sent_ns) / 1e9
                await asyncio.sleep(max(MIN_PAUSE_S, PAUSE_TO_DURATION_RATIO * took_s))

    asking = asyncio.create_task(ask())
    interrupt.set_callback(lambda: loop.call_soon_threadsafe(asking.cancel))
    try:
        async with prober:
            await asking
    except asyncio.CancelledError:
        pass
    finally:
        interrupt.set_callback(None)
    return exchanges


def response_wire_bytes(response: Response) -> int:
    """What a response takes on the wire above TCP: status line, headers and body, as it comes with a Content-Length."""
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in response.headers)
    return _STATUS_LINE_BYTES + headers + len(response.body)


def estimate_polling_cost(exchanges: Sequence[Exchange], polling: PollingPlan) -> PollingEstimate | None:
    """
    Work out what a polling costs.

    Args:
        exchanges: Of requests for everything, in the order of sending.
        polling: What is planned.

    Returns:
        None where not one response was whole and of status 200.
    """
    whole = [
        (exchange, response)
        for exchange in exchanges
        if (response := exchange.response) is not None and exchange.error is None and response.status == 200
    ]
    if not whole:
        return None
    times_us = [(exchange.received_ns - exchange.sent_ns) // 1000 for exchange, _ in whole]
    wire = median(response_wire_bytes(response) for _, response in whole)
    time_us, longest_us = median(times_us), max(times_us)
    last_exchange, last = whole[-1]
    found = connections_in_response(last_exchange.request.server, last)
    return PollingEstimate(
        requests=len(exchanges),
        responses=len(whole),
        connections=None if found is None else len(found),
        response_bytes=round(median(len(response.body) for _, response in whole)),
        wire_bytes=round(wire),
        time_us=round(time_us),
        longest_us=longest_us,
        pollers=polling.pollers,
        interval_s=polling.interval_s,
        mbit_per_s=polling.pollers * wire * 8 / polling.interval_s / 1e6,
        open_share=time_us / 1e6 / polling.interval_s,
        shortest_interval_s=polling.pollers * longest_us / 1e6,
    )


def estimate_section(found: PollingEstimate) -> ReportTable:
    """The estimate as a table."""
    rows: list[list[str | int | float | None]] = [
        ["connections", found.connections, ""],
        ["bytes of a response's body", found.response_bytes, f"median of {found.responses}"],
        ["time of a response, ms", round(found.time_us / 1000, 3), f"median; longest {found.longest_us / 1000:g}"],
        [
            "planned: Mbit/s",
            _round_to_four_digits(found.mbit_per_s),
            f"{found.pollers} pollers, every {found.interval_s:g} s",
        ],
        [
            "planned: share of the interval with a request open, %",
            _round_to_four_digits(found.open_share * 100),
            "of one poller",
        ],
        [
            "shortest interval of one poller, s",
            _round_to_four_digits(found.longest_us / 1e6),
            "its own polls don't overlap",
        ],
        [
            "shortest interval of all, s",
            _round_to_four_digits(found.shortest_interval_s),
            "no two polls overlap, one after another",
        ],
    ]
    note = (
        "Times include connecting, which a poller that keeps its connection is spared. Of so few responses the longest "
        "is no bound; `sora-harness load --scenario scrape` verifies it."
    )
    return ReportTable(title="Estimate", columns=["what", "value", "of"], rows=rows, note=note)


def _round_to_four_digits(value: float) -> float:
    return float(f"{value:.4g}")
