"""
Listings that are asked for now and then, for what they say: how long they took by size, and how the media fare.

Both run in a session whose users are idle, or poll at a set rate meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import gevent

from ..api.exchange import Exchange
from ..probe.discovery import connections_in
from ..probe.interrupt import Interrupt
from .capacity.cost import Sample
from .capacity.media import Phase, Snapshot, snapshot
from .capacity.search import Ended, Overrun
from .http import Address
from .session import TRIES
from .window import Rig, Tap

SNAPSHOTS: Final = 3
"""In each phase, at even distances."""

REST_SHARE: Final = 1.0
"""Between two listings of a size, over the time that the last one took."""


def listings(
    tap: Tap,
    *,
    interrupt: Interrupt,
    count: int | None = None,
    for_s: float | None = None,
    every_s: float = 0.0,
    watch: Callable[[int], None] = lambda done: None,
) -> list[Sample]:
    """
    Ask for everything again and again, one at a time, and note what it took.

    Args:
        tap: The session; its users do nothing.
        interrupt: Ends it.
        count, for_s: How many, or for how long.
        every_s: From one sending to the next, at least.
        watch: Is told how many there were.

    Raises:
        Ended: No whole answer in three tries.
    """
    connection = tap.connection()
    samples: list[Sample] = []
    silent = 0
    until_s = None if for_s is None else time.monotonic() + for_s
    while not interrupt.seen and (count is None or len(samples) < count):
        began_s = time.monotonic()
        if until_s is not None and began_s >= until_s:
            break
        exchange = tap.send(connection, tap.listing(), None)
        sample = _sample(tap, exchange)
        silent = 0 if sample is not None else silent + 1
        if sample is not None:
            samples.append(sample)
            watch(len(samples))
        elif silent >= TRIES:
            connection.close()
            detail = exchange.error.detail if exchange.error is not None else "no list"
            raise Ended(f"{tap.address.server} gives no whole answer: {detail}")
        took_s = (exchange.received_ns - exchange.sent_ns) / 1e9
        gevent.sleep(max(REST_SHARE * took_s, began_s + every_s - time.monotonic(), connection.rest_s, 0.01))
    connection.close()
    return samples


def _sample(tap: Tap, exchange: Exchange) -> Sample | None:
    answer = exchange.answer
    if answer is None or exchange.error is not None:
        return None
    found = connections_in(tap.address.server, answer)
    if found is None:
        return None
    arrived_ns = exchange.received_ns if exchange.arrived_ns is None else exchange.arrived_ns
    return Sample(connections=len(found), time_us=(arrived_ns - exchange.sent_ns) // 1000, bytes=len(answer.body))


def move(tap: Tap, address: Address) -> None:
    """Ask another server from now on; its ids are other ones."""
    tap.address = address
    tap.forget()


def media(
    tap: Tap,
    rig: Rig,
    *,
    rate: float,
    rounds: int,
    phase_s: float,
    watch: Callable[[int, bool], None] = lambda number, polled: None,
) -> tuple[list[Phase], str | None]:
    """
    Quiet and polled phases in turn, a quiet one first and last.

    Args:
        tap, rig: With users ready.
        rate: Requests a second in the polled phases.
        rounds: How many polled phases.
        phase_s: How long each phase lasts.
        watch: Is told the number of each phase, and whether it is polled.

    Returns:
        The phases that were whole, and why there are no more of them; None where there are all.
    """
    phases: list[Phase] = []
    connection = tap.connection()
    try:
        for number in range(2 * rounds + 1):
            polled = bool(number % 2)
            watch(number, polled)
            if polled:
                rig.begin(rate)
            try:
                seen: list[Snapshot] = []
                for place in range(SNAPSHOTS):
                    if place:
                        rig.pause(phase_s / (SNAPSHOTS - 1))
                    exchange = tap.send(connection, tap.listing(), None)
                    if exchange.answer is not None and exchange.error is None:
                        at_s = (exchange.sent_ns + exchange.received_ns) / 2e9
                        found = snapshot(exchange.answer.body, at_s)
                        seen += [found] if found is not None else []
            finally:
                if polled:
                    rig.end()
            phases.append(Phase(polled=polled, snapshots=seen))
    except Ended as ended:
        return phases, str(ended)
    except Overrun as overrun:
        return phases, f"aborted at {overrun}"
    finally:
        connection.close()
    return phases, None
