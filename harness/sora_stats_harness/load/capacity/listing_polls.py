"""
Requests listings at intervals: to time them by size, or to observe the media.

Both run in a session whose users are idle, or poll at a set rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import gevent

from ...api.exchange import Exchange
from ...probe.discovery import connections_in_response
from ...probe.interrupt import InterruptHandler
from ..load_session import MAX_DISCOVERY_ATTEMPTS, LoadSession
from .listing_cost import ListingMeasurement
from .media_impact import MediaSnapshot, PollingPhase, read_media_snapshot
from .rate_search import LoadAborted, SearchEnded
from .step_task import PhaseDriver
from .stepped_session import SteppedSession

SNAPSHOTS_PER_PHASE: Final = 3
"""How many listings each phase has, at even distances."""

PAUSE_FACTOR: Final = 1.0
"""The pause between two listings of a size, relative to the time that the last one took."""


def measure_listings(
    session: SteppedSession,
    *,
    interrupt: InterruptHandler,
    count: int | None = None,
    for_s: float | None = None,
    every_s: float = 0.0,
    add: Callable[[ListingMeasurement], None],
) -> None:
    """
    Request listings one at a time, `count` of them or for a time, and measure each; a signal ends this.

    Raises:
        SearchEnded: There was no complete response in three tries.
    """
    connection = session.new_connection()
    silent = taken = 0
    until_s = None if for_s is None else time.monotonic() + for_s
    while not interrupt.is_interrupted and (count is None or taken < count):
        began_s = time.monotonic()
        if until_s is not None and began_s >= until_s:
            break
        exchange = session.send(connection, session.requests.listing_request(), None)
        sample = _listing_measurement(session, exchange)
        silent = 0 if sample is not None else silent + 1
        if sample is not None:
            taken += 1
            add(sample)
        elif silent >= MAX_DISCOVERY_ATTEMPTS:
            connection.close()
            detail = exchange.error.detail if exchange.error is not None else "no list"
            raise SearchEnded(f"{session.address.server} gives no complete response: {detail}")
        took_s = (exchange.received_ns - exchange.sent_ns) / 1e9
        gevent.sleep(max(PAUSE_FACTOR * took_s, began_s + every_s - time.monotonic(), connection.backoff_s, 0.01))
    connection.close()


def _listing_measurement(session: SteppedSession, exchange: Exchange) -> ListingMeasurement | None:
    response = exchange.response
    if response is None or exchange.error is not None:
        return None
    found = connections_in_response(session.address.server, response)
    if found is None:
        return None
    arrived_ns = exchange.received_ns if exchange.arrived_ns is None else exchange.arrived_ns
    return ListingMeasurement(
        connections=len(found), time_us=(arrived_ns - exchange.sent_ns) // 1000, bytes=len(response.body)
    )


def run_media_phases(
    session: LoadSession,
    steps: PhaseDriver,
    *,
    rate: float,
    rounds: int,
    phase_s: float,
    phases: list[PollingPhase],
) -> str | None:
    """
    Alternate quiet and polled phases of one length, with a quiet one first and last; `phases` gets the complete ones.

    Returns:
        Why some phases are missing; None if none is.
    """
    connection = session.new_connection()
    try:
        for number in range(2 * rounds + 1):
            polled = bool(number % 2)
            if polled:
                steps.start_step(rate)
            try:
                seen: list[MediaSnapshot] = []
                for place in range(SNAPSHOTS_PER_PHASE):
                    if place:
                        steps.wait(phase_s / (SNAPSHOTS_PER_PHASE - 1))
                    exchange = session.send(connection, session.requests.listing_request(), None)
                    if exchange.response is not None and exchange.error is None:
                        at_s = (exchange.sent_ns + exchange.received_ns) / 2e9
                        found = read_media_snapshot(exchange.response.body, at_s)
                        seen += [found] if found is not None else []
            finally:
                if polled:
                    steps.end_step()
            phases.append(PollingPhase(polled=polled, snapshots=seen))
    except SearchEnded as ended:
        return str(ended)
    except LoadAborted as aborted:
        return f"aborted at {aborted}"
    finally:
        connection.close()
    return None
