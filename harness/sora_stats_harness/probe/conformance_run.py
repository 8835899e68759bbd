"""
Runs a conformance plan: sends requests in such an order that every requirement can be observed.

Relations need consecutive samples of one connection that don't overlap. The order of counters needs responses that
arrived before the next request was sent, `counter.timestamp_order` needs overlapping ones. A connection's presence
needs a listing before and after. A cluster's nodes are asked between two responses about the whole cluster. A round
does all of these in turn, and the run repeats rounds until it has seen enough.

This is not a load test: the rate for a server that we did not start is low, and stated in advance.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ..api.errors import describe_break
from ..api.exchange import Exchange, Request, Target, make_valid_request
from ..judge.verdict_decision import RunEnding
from .completion import CompletionTracker, ConformanceJudge
from .conformance_plan import ConformancePlan
from .discovery import KnownConnection, connections_in_response
from .interrupt import InterruptHandler
from .paced_sender import MAX_FAILURES_BEFORE_GIVING_UP, PacedSender, RunEnded
from .prober import Prober, finish_unless_interrupted
from .wrong_requests import build_wrong_requests

CONNECTIONS_PER_ROUND: Final = 16
"""How many connections a round requests one by one; the next round takes the next ones."""

CONNECTIONS_IN_FIRST_ROUND: Final = 4
"""The same for the first round, so that it ends soon."""

SEQUENTIAL_SAMPLES: Final = 3
"""How many samples of each that do not overlap."""

MAX_KNOWN_CONNECTIONS: Final = 10_000
"""How many connections of one server the run remembers."""

_MAX_LISTING_BYTES_IN_FLIGHT: Final = 64 * 1024 * 1024
_EMPTY_ROUND_PAUSE_S: Final = 0.25
_PROGRESS_INTERVAL_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceProgress:
    """The progress of a run."""

    elapsed_s: float
    exchanges: int
    errors: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceResult:
    """How a run ended; `notes` are facts worth knowing."""

    ending: RunEnding
    exchanges: int
    errors: int
    notes: tuple[str, ...]


def run_conformance(
    plan: ConformancePlan,
    judge: ConformanceJudge,
    prober: Prober,
    *,
    interrupt: InterruptHandler,
    watch: Callable[[ConformanceProgress], None] = lambda status: None,
) -> ConformanceResult:
    """
    Probe until enough was seen, within the plan's times, and wait for open requests.

    Args:
        judge: Judges every exchange; the caller finishes it.
        interrupt: A signal ends the run at once; open exchanges end as abandoned.
        watch: Called four times a second, in this thread.

    Raises:
        UsageError: A header of the plan cannot be written as HTTP.
    """
    return asyncio.run(_run_until_done(plan, judge, prober, interrupt, watch))


async def _run_until_done(
    plan: ConformancePlan,
    judge: ConformanceJudge,
    prober: Prober,
    interrupt: InterruptHandler,
    watch: Callable[[ConformanceProgress], None],
) -> ConformanceResult:
    run = _ConformanceRun(plan, PacedSender(plan, judge, prober), CompletionTracker(plan, judge))
    ticker = asyncio.create_task(_report_progress(run, watch))
    interrupted, broken = False, None
    try:
        interrupted = not await finish_unless_interrupted(run.run_rounds(), interrupt)
    except Exception as error:
        broken = describe_break(error)
    finally:
        ticker.cancel()
    return run.make_result(interrupted, broken)


async def _report_progress(run: _ConformanceRun, watch: Callable[[ConformanceProgress], None]) -> None:
    while True:
        watch(run.current_progress())
        await asyncio.sleep(_PROGRESS_INTERVAL_S)


class _ConformanceRun:
    """A run's rounds, and the connections that it knows."""

    def __init__(self, plan: ConformancePlan, sender: PacedSender, completion: CompletionTracker) -> None:
        self._plan = plan
        self._sender = sender
        self._completion = completion
        self._known: dict[str, list[KnownConnection]] = {}
        self._listing_bytes = 0
        self._offset = 0
        self._rounds = 0
        self._unusable = 0
        """How many listing requests in a row got a response without a list."""
        self._aborted: str | None = None
        self._notes: set[str] = set()

    def current_progress(self) -> ConformanceProgress:
        return ConformanceProgress(
            elapsed_s=self._sender.elapsed_s,
            exchanges=self._sender.exchanges,
            errors=self._sender.errors,
            connections=sum(map(len, self._known.values())),
        )

    def make_result(self, interrupted: bool, broken: str | None) -> ConformanceResult:
        aborted = None if interrupted or broken else self._aborted or self._sender.no_response_reason()
        weakest = self._completion.weakest()
        if self._rounds == 0 and not interrupted and not broken and aborted is None:
            self._notes.add(
                f"the first round of requests was not finished within {self._plan.time_limit_s:g} s: "
                "give a longer --max-duration"
            )
        return ConformanceResult(
            ending=RunEnding(
                interrupted=interrupted,
                aborted=aborted,
                broken=broken,
                weak=weakest.describe(self._sender.elapsed_s) if weakest else None,
            ),
            exchanges=self._sender.exchanges,
            errors=self._sender.errors,
            notes=tuple(sorted(self._notes)),
        )

    # The rounds.

    async def run_rounds(self) -> None:
        """Repeat the rounds until enough was seen, or a server turns out to be unusable."""
        with suppress(RunEnded):
            while not self._sender.have_all_responded():
                await self._discover()
            for number in itertools.count():
                await self._run_round(number)
                self._rounds += 1
                self._sender.may_end = self._sender.may_end or self._completion.finish_round()

    async def _run_round(self, number: int) -> None:
        await self._discover()
        chosen = self._next_connections(CONNECTIONS_IN_FIRST_ROUND if number == 0 else CONNECTIONS_PER_ROUND)
        await self._sender.send(request for known in chosen for request in self._sequential_requests(known))
        await self._list_connections()
        if number == 0 and self._plan.send_wrong_requests:
            await self._sender.send(self._build_wrong_requests(large=self._plan.send_large_request))
        await self._send_cluster_listings(number)
        await self._send_overlapping(
            chosen, self._build_wrong_requests() if number == 1 and self._plan.send_wrong_requests else ()
        )
        if not chosen:
            await asyncio.sleep(_EMPTY_ROUND_PAUSE_S)

    def _sequential_requests(self, known: KnownConnection) -> list[Request]:
        """Samples of one connection that do not overlap."""
        asked = self._requests_about(known)
        return [asked[i % len(asked)] for i in range(SEQUENTIAL_SAMPLES)] if asked else []

    def _requests_about(self, known: KnownConnection) -> list[Request]:
        requests = []
        if Target.CONNECTION in self._plan.targets and known.connection_id is not None:
            requests.append(self._build_request(Target.CONNECTION, known.server, known))
        if Target.CLIENT in self._plan.targets and known.client_id is not None:
            requests.append(self._build_request(Target.CLIENT, known.server, known))
        return requests

    async def _send_cluster_listings(self, number: int) -> None:
        """Ask every node between two requests about the whole cluster, without overlap."""
        if Target.ALL not in self._plan.targets:
            return
        servers = self._plan.servers
        whole = self._build_request(Target.ALL, servers[number % len(servers)], local=False)
        await self._sender.send(
            [whole, *(self._build_request(Target.ALL, server, local=True) for server in servers), whole]
        )

    async def _send_overlapping(self, chosen: Sequence[KnownConnection], besides: Sequence[Request]) -> None:
        in_flight = self._plan.concurrency
        single = [request for known in chosen for request in self._requests_about(known)]
        listings = self._overlapping_listings(in_flight)
        turn = itertools.cycle(single)
        mixed = list(itertools.islice(turn, 3 * in_flight - len(listings)))
        step = max(1, len(mixed) // max(1, len(listings)))
        for i, listing in enumerate(listings):
            mixed.insert(i * (step + 1), listing)
        await self._sender.send([*mixed, *besides], in_flight)

    def _overlapping_listings(self, in_flight: int) -> list[Request]:
        """Make a third of the requests listings, or fewer if they would take too much memory together."""
        if Target.ALL not in self._plan.targets:
            return []
        fit = max(1, _MAX_LISTING_BYTES_IN_FLIGHT // max(1, self._listing_bytes))
        ways = itertools.product((None, False, True), self._plan.servers)
        turn = itertools.cycle(list(ways))
        return [
            self._build_request(Target.ALL, server, local=local)
            for local, server in itertools.islice(turn, min(in_flight, fit))
        ]

    def _build_wrong_requests(self, *, large: bool = False) -> list[Request]:
        plan = self._plan
        return build_wrong_requests(plan.server, headers=plan.headers, targets=plan.targets, large=large)

    # The connections to request.

    async def _discover(self) -> None:
        if Target.ALL in self._plan.targets:
            await self._list_connections()
        if self._plan.given_connections:
            await self._query_given()

    async def _list_connections(self) -> None:
        """List every node's connections, also for `identity.present`, which needs one listing before and one after."""
        if Target.ALL not in self._plan.targets:
            return
        for server in self._plan.servers:
            for exchange in await self._sender.send([self._build_request(Target.ALL, server)]):
                self._update_known(server, exchange)

    def _update_known(self, server: str, exchange: Exchange) -> None:
        if exchange.response is None or not exchange.response.complete:
            return
        found = connections_in_response(server, exchange.response)
        self._listing_bytes = max(self._listing_bytes, len(exchange.response.body))
        if found is None:
            self._unusable += 1
            if self._unusable >= MAX_FAILURES_BEFORE_GIVING_UP and not self._known and not self._plan.given_connections:
                self._aborted = (
                    f"{server} responds, but not with a list of connections (status {exchange.response.status}): "
                    "nothing to ask for"
                )
                raise RunEnded
            return
        self._unusable = 0
        if not self._plan.given_connections:
            if len(found) > MAX_KNOWN_CONNECTIONS:
                self._notes.add(
                    f"more than {MAX_KNOWN_CONNECTIONS} connections: only that many were requested one by one"
                )
            self._known[server] = found[:MAX_KNOWN_CONNECTIONS]

    async def _query_given(self) -> None:
        """Request the given connections; a response may supply the ids that weren't given."""
        known: dict[KnownConnection, None] = {}
        for given in self._plan.given_connections:
            found: list[KnownConnection] = []
            for exchange in await self._sender.send(self._requests_about(given)):
                if exchange.response is not None:
                    found += connections_in_response(given.server, exchange.response) or []
            known |= dict.fromkeys(found or [given])
        self._known = {self._plan.server: list(known)}

    def _next_connections(self, count: int) -> list[KnownConnection]:
        """The next connections in turn; those whose client has several come first."""
        known = list(itertools.chain.from_iterable(self._known.values()))
        held = Counter((each.server, each.channel_id, each.client_id) for each in known)
        known.sort(key=lambda each: held[each.server, each.channel_id, each.client_id] == 1)
        if len(known) <= count:
            return known
        start = self._offset % len(known)
        self._offset += count
        return (known[start:] + known[:start])[:count]

    def _build_request(
        self, target: Target, server: str, known: KnownConnection | None = None, *, local: bool | None = None
    ) -> Request:
        return make_valid_request(
            target,
            server=server,
            channel_id=known.channel_id if known else None,
            connection_id=known.connection_id if known else None,
            client_id=known.client_id if known else None,
            local=local,
            headers=self._plan.headers,
        )
