"""
The gate: which requests are sent, in which order, so that every requirement can be observed.

What a judge can see depends on how it is asked. Relations need readings of one connection that do not overlap, one
before and one after; the order of counters needs answers that had arrived before the next request; `order.timestamp`
needs overlapping ones; `identity.present` needs a listing before and after; a cluster's nodes have to be asked between
two answers about the whole. So a run repeats rounds in which these come in turn, until its time is over.

It is a gate, no load test: against a server that somebody else started it stays at a polite rate, and what it sends at
most is known in advance.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ..api.exchange import Exchange, Request, Target, valid_request
from .client import Clerk, Prober
from .discovery import Known, connections_in
from .interrupt import Interrupt
from .plan import Plan
from .probes import wrong_requests
from .sender import TRIES, Over, Sender

SAMPLE: Final = 16
"""Connections that are asked for one by one in a round; the next round takes the next ones."""

FIRST_SAMPLE: Final = 4
"""The same in the first round, so that a short run has been through everything once."""

MAX_KNOWN: Final = 10_000
"""Connections of one server that are kept to ask for."""

_LISTINGS_IN_FLIGHT_BYTES: Final = 64 * 1024 * 1024
_IDLE_S: Final = 0.25
_TICK_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a run is."""

    elapsed_s: float
    exchanges: int
    errors: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    How a run ended: cut short by its user, or by itself with a reason; `notes` tell what is worth knowing besides.
    """

    interrupted: bool = False
    aborted: str | None = None
    exchanges: int = 0
    errors: int = 0
    notes: tuple[str, ...] = ()


def run(
    plan: Plan,
    judge: Clerk,
    prober: Prober,
    *,
    interrupt: Interrupt,
    watch: Callable[[Status], None] = lambda status: None,
) -> Result:
    """
    Probe until the plan's time is over, and wait for what is in flight.

    Args:
        plan: What to send.
        judge: Is shown every exchange; finishing it is the caller's.
        prober: Sends; it is closed at the end.
        interrupt: Ends the run at once when it is seen; exchanges in flight end as abandoned.
        watch: Is called four times a second, in this thread.

    Raises:
        UsageError: A header of the plan cannot be written as HTTP.
    """
    return asyncio.run(_main(plan, judge, prober, interrupt, watch))


async def _main(
    plan: Plan, judge: Clerk, prober: Prober, interrupt: Interrupt, watch: Callable[[Status], None]
) -> Result:
    loop = asyncio.get_running_loop()
    run = _Run(plan, Sender(plan, judge, prober))
    rounds = asyncio.create_task(run.rounds())
    ticker = asyncio.create_task(_tick(run, watch))
    interrupt.tell(lambda: loop.call_soon_threadsafe(rounds.cancel))
    interrupted = False
    try:
        async with prober:
            await rounds
    except asyncio.CancelledError:
        interrupted = True
    finally:
        interrupt.tell(None)
        ticker.cancel()
    return run.result(interrupted)


async def _tick(run: _Run, watch: Callable[[Status], None]) -> None:
    while True:
        watch(run.status())
        await asyncio.sleep(_TICK_S)


class _Run:
    """A run's rounds, and which connections are known to ask for."""

    def __init__(self, plan: Plan, sender: Sender) -> None:
        self._plan = plan
        self._sender = sender
        self._known: dict[str, list[Known]] = {}
        self._listing_bytes = 0
        self._offset = 0
        self._rounds = 0
        self._unusable = 0
        """Listings in a row that show no list."""
        self._aborted: str | None = None
        self._notes: set[str] = set()

    def status(self) -> Status:
        return Status(
            elapsed_s=self._sender.elapsed_s,
            exchanges=self._sender.exchanges,
            errors=self._sender.errors,
            connections=sum(map(len, self._known.values())),
        )

    def result(self, interrupted: bool) -> Result:
        aborted = None if interrupted else self._aborted or self._sender.complaint()
        if self._rounds == 0 and not interrupted and aborted is None:
            self._notes.add(
                f"the first round was not through after {self._plan.duration_s:g} s: give a longer --duration"
            )
        return Result(
            interrupted=interrupted,
            aborted=aborted,
            exchanges=self._sender.exchanges,
            errors=self._sender.errors,
            notes=tuple(sorted(self._notes)),
        )

    # The rounds.

    async def rounds(self) -> None:
        """Repeat the rounds until the time is over, or the servers have shown that there is no use."""
        with suppress(Over):
            while not self._sender.has_answered():
                await self._discover()
            for number in itertools.count():
                await self._round(number)
                self._rounds += 1

    async def _round(self, number: int) -> None:
        await self._discover()
        chosen = self._choose(FIRST_SAMPLE if number == 0 else SAMPLE)
        await self._sender.send(request for known in chosen for request in self._one_by_one(known))
        await self._list()
        if number == 0 and self._plan.wrong_requests:
            await self._sender.send(self._wrong(large=self._plan.large_request))
        await self._whole_cluster(number)
        await self._overlapping(chosen, self._wrong() if number == 1 and self._plan.wrong_requests else ())
        if not chosen:
            await asyncio.sleep(_IDLE_S)

    def _one_by_one(self, known: Known) -> list[Request]:
        """Three readings of one connection that do not overlap."""
        asked = self._asked(known)
        return [asked[i % len(asked)] for i in range(3)] if asked else []

    def _asked(self, known: Known) -> list[Request]:
        requests = []
        if Target.CONNECTION in self._plan.targets and known.connection_id is not None:
            requests.append(self._request(Target.CONNECTION, known.server, known))
        if Target.CLIENT in self._plan.targets and known.client_id is not None:
            requests.append(self._request(Target.CLIENT, known.server, known))
        return requests

    async def _whole_cluster(self, number: int) -> None:
        """Every node between two answers about the whole cluster, none overlapping."""
        if Target.ALL not in self._plan.targets:
            return
        servers = self._plan.servers
        whole = self._request(Target.ALL, servers[number % len(servers)], local=False)
        await self._sender.send([whole, *(self._request(Target.ALL, server, local=True) for server in servers), whole])

    async def _overlapping(self, chosen: Sequence[Known], besides: Sequence[Request]) -> None:
        in_flight = self._plan.concurrency
        single = [request for known in chosen for request in self._asked(known)]
        listings = self._overlapping_listings(in_flight)
        turn = itertools.cycle(single)
        mixed = list(itertools.islice(turn, 3 * in_flight - len(listings)))
        step = max(1, len(mixed) // max(1, len(listings)))
        for i, listing in enumerate(listings):
            mixed.insert(i * (step + 1), listing)
        await self._sender.send([*mixed, *besides], in_flight)

    def _overlapping_listings(self, in_flight: int) -> list[Request]:
        """A listing for every third request, as long as they do not take too much memory together."""
        if Target.ALL not in self._plan.targets:
            return []
        fit = max(1, _LISTINGS_IN_FLIGHT_BYTES // max(1, self._listing_bytes))
        ways = itertools.product((None, False, True), self._plan.servers)
        turn = itertools.cycle(list(ways))
        return [
            self._request(Target.ALL, server, local=local)
            for local, server in itertools.islice(turn, min(in_flight, fit))
        ]

    def _wrong(self, *, large: bool = False) -> list[Request]:
        plan = self._plan
        return wrong_requests(plan.server, headers=plan.headers, targets=plan.targets, large=large)

    # What there is to ask for.

    async def _discover(self) -> None:
        if Target.ALL in self._plan.targets:
            await self._list()
        if self._plan.given:
            await self._look_up()

    async def _list(self) -> None:
        """List every node's connections, which also opens or closes a bracket for what is asked in between."""
        if Target.ALL not in self._plan.targets:
            return
        for server in self._plan.servers:
            for exchange in await self._sender.send([self._request(Target.ALL, server)]):
                self._learn(server, exchange)

    def _learn(self, server: str, exchange: Exchange) -> None:
        if exchange.answer is None or not exchange.answer.complete:
            return
        found = connections_in(server, exchange.answer)
        self._listing_bytes = max(self._listing_bytes, len(exchange.answer.body))
        if found is None:
            self._unusable += 1
            if self._unusable >= TRIES and not self._known and not self._plan.given:
                self._aborted = (
                    f"{server} answers, but not with a list of connections (status {exchange.answer.status}): "
                    "nothing to ask for"
                )
                raise Over
            return
        self._unusable = 0
        if not self._plan.given:
            if len(found) > MAX_KNOWN:
                self._notes.add(f"more than {MAX_KNOWN} connections: only that many were asked for one by one")
            self._known[server] = found[:MAX_KNOWN]

    async def _look_up(self) -> None:
        """Ask for what was given; an answer may tell the ids that were not."""
        known: dict[Known, None] = {}
        for given in self._plan.given:
            found: list[Known] = []
            for exchange in await self._sender.send(self._asked(given)):
                if exchange.answer is not None:
                    found += connections_in(given.server, exchange.answer) or []
            known |= dict.fromkeys(found or [given])
        self._known = {self._plan.server: list(known)}

    def _choose(self, count: int) -> list[Known]:
        """The next connections in turn; those whose client has several come first."""
        known = list(itertools.chain.from_iterable(self._known.values()))
        held = Counter((each.server, each.channel_id, each.client_id) for each in known)
        known.sort(key=lambda each: held[each.server, each.channel_id, each.client_id] == 1)
        if len(known) <= count:
            return known
        start = self._offset % len(known)
        self._offset += count
        return (known[start:] + known[:start])[:count]

    def _request(
        self, target: Target, server: str, known: Known | None = None, *, local: bool | None = None
    ) -> Request:
        return valid_request(
            target,
            server=server,
            channel_id=known.channel_id if known else None,
            connection_id=known.connection_id if known else None,
            client_id=known.client_id if known else None,
            local=local,
            headers=self._plan.headers,
        )
