"""
The faultless simulator, as slow as it may be: its event loop is one of virtual time, so a response of two seconds costs none.

Pollers ask one after the other, with delays on the way there and back. The judge hears of each exchange at its receipt, as
it does live, with the requests that are still under way.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import MutableMapping
from contextlib import ExitStack
from random import Random
from typing import Any, Final

from sora_stats_harness.api.edition import Edition
from sora_stats_harness.api.exchange import Exchange, Request, Response, Target, make_valid_request
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import Level
from sora_stats_harness.probe.conformance_plan import ConformancePlan
from sora_stats_harness.probe.conformance_run import run_conformance
from sora_stats_harness.probe.interrupt import InterruptHandler
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.simulator.asgi_app import ServiceModel, SimulatedCluster, SimulatedNode, SimulatorOptions
from sora_stats_harness.simulator.server import start_simulator_process
from tests.virtual_time import EPOCH_NS, VirtualClock

from . import judged

CONNECTIONS: Final = 6
IDS: Final = ("channel_id", "client_id", "connection_id")
POLLERS: Final = 6
BUSY_LOOPS: Final = 4

SERVICE_TIMES_S: Final = (0.0, 0.002, 0.05, 0.3, 0.5, 1.0, 2.0)
WORKERS: Final = (1, 4, 16)
TEARS_S: Final = (0.0, 0.02, 0.1)
LEAST_TEAR_S: Final = 0.001
DELAYS_S: Final = (0.0001, 0.01, 0.5)
"""How long a request or a response is on its way, at most; the last as on a machine that has other things to do."""


def judge_slow_server(edition: Edition, seed: int, exchanges: int) -> Counter[str]:
    """
    Poll a faultless simulator that a seed makes slow, and judge it.

    Raises:
        AssertionError: Anything but INFO was found.
    """
    rng = Random(seed)
    nodes = 3 if seed % 2 else 1
    urls = [f"http://127.0.0.1:{3000 + node}" for node in range(nodes)]
    pace = ServiceModel(
        service_s=SERVICE_TIMES_S[seed % len(SERVICE_TIMES_S)], workers=rng.choice(WORKERS), tear_s=rng.choice(TEARS_S)
    )
    # With its tear stated, a server is held to it.
    judge, heard = judged.listen(edition, nodes=urls if nodes > 1 else (), tear_s=pace.tear_s or LEAST_TEAR_S)
    _Polling(rng, judge, edition, urls, pace).run(exchanges)
    judge.finish()
    result = judge.result()
    found = [(each.requirement, each.field, each.actual) for each in heard.findings if each.level > Level.INFO]
    assert found == [], f"seed {seed}, {nodes} nodes, {pace}: {found[:3]}"
    assert not result.crashed, result.crashed
    return Counter(
        exchanges=result.coverage.exchanges,
        samples=result.coverage.samples,
        overlapping=result.checked["counter.timestamp_order"],
    )


def judge_among_busy_loops(edition: Edition, seed: int, service: str, duration_s: float) -> Counter[str]:
    """
    Run the gate against faultless simulators of one and of three nodes, in real time, beside four processes that never rest.

    Raises:
        AssertionError: Anything but INFO was found.
    """
    counted: Counter[str] = Counter()
    with ExitStack() as stack:
        for _ in range(BUSY_LOOPS):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        for nodes in (1, 3):
            options = {"service-time": service, "workers": "16"}
            with (
                start_simulator_process(seed=seed, connections=CONNECTIONS, nodes=nodes, options=options) as spawned,
                InterruptHandler() as interrupt,
            ):
                judge, heard = judged.listen(edition, nodes=spawned.urls if nodes > 1 else ())
                plan = ConformancePlan(
                    server=spawned.urls[0], nodes=tuple(spawned.urls[1:]), duration_s=duration_s, rate=400.0
                )
                ran = run_conformance(plan, judge, Prober(timeout_s=60.0), interrupt=interrupt)
            judge.finish()
            found = [(each.requirement, each.field, each.actual) for each in heard.findings if each.level > Level.INFO]
            assert (ran.ending.aborted, found) == (None, []), (
                f"{service}, {nodes} nodes: {ran.ending.aborted}, {found[:3]}"
            )
            coverage = judge.result().coverage
            counted += Counter(exchanges=coverage.exchanges, samples=coverage.samples)
    return counted


class _Polling:
    def __init__(self, rng: Random, judge: Judge, edition: Edition, urls: list[str], pace: ServiceModel) -> None:
        self._rng, self._judge, self._edition, self._urls, self._pace = rng, judge, edition, urls, pace
        self._clock = VirtualClock()
        self._delay_s = rng.choice(DELAYS_S)
        self._open: dict[int, int] = {}
        """When the requests were sent that are under way, by number."""
        self._seq = 0
        self._known: list[dict[str, str]] = []

    def run(self, exchanges: int) -> None:
        """Poll until so many exchanges were begun."""
        self._clock.run(self._run(exchanges))

    async def _run(self, exchanges: int) -> None:
        cluster = SimulatedCluster(
            SimulatorOptions(
                self._edition,
                seed=self._rng.randrange(1000),
                connections=CONNECTIONS,
                nodes=len(self._urls),
                pace=self._pace,
                clock=self._clock.of_simulator(),
            )
        )
        apps = [SimulatedNode(cluster, node) for node in range(len(self._urls))]
        await asyncio.gather(*(self._poll(apps, exchanges) for _ in range(POLLERS)))

    async def _poll(self, apps: list[SimulatedNode], exchanges: int) -> None:
        while self._seq < exchanges:
            seq, self._seq = self._seq, self._seq + 1
            node = self._rng.randrange(len(apps))
            request = self._next_request(self._urls[node])
            sent_ns = self._open[seq] = self._clock.monotonic_ns()
            await self._travel()
            response = await _ask(apps[node], request)
            await self._travel()
            received_ns = self._clock.monotonic_ns()
            del self._open[seq]
            exchange = Exchange(
                run="r",
                seq=seq,
                request=request,
                clock="c",
                sent_ns=sent_ns,
                received_ns=received_ns,
                sent_at=EPOCH_NS + sent_ns,
                response=response,
            )
            if request.target is Target.ALL and not self._known:
                self._known = [{name: each[name] for name in IDS} for each in json.loads(response.body)]
            self._judge.judge_recorded(exchange, open_sent_ns=sorted(self._open.values()))

    async def _travel(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.00005, self._delay_s))

    def _next_request(self, server: str) -> Request:
        choice = self._rng.random()
        if not self._known or choice < 0.3:
            return make_valid_request(Target.ALL, server=server, local=self._rng.choice((None, True, False)))
        known = self._rng.choice(self._known)
        if choice < 0.7:
            return make_valid_request(
                Target.CONNECTION,
                server=server,
                channel_id=known["channel_id"],
                connection_id=known["connection_id"],
            )
        return make_valid_request(
            Target.CLIENT, server=server, channel_id=known["channel_id"], client_id=known["client_id"]
        )


async def _ask(app: SimulatedNode, request: Request) -> Response:
    """Hand a request over as an ASGI server would."""
    sent: list[MutableMapping[str, Any]] = []
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers]
    scope = {"type": "http", "method": request.method, "path": request.path, "query_string": b"", "headers": headers}

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": request.body or b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    shown = tuple((name.decode(), value.decode()) for name, value in sent[0]["headers"])
    return Response(status=sent[0]["status"], headers=shown, body=sent[1]["body"])
