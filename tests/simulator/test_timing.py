"""How long responses take, and what happens after a time: on a clock that the test moves, without sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from sora_stats_harness.simulator.asgi_app import (
    Clock,
    ScheduledDisturbances,
    ServiceModel,
    SimulatedCluster,
    SimulatedNode,
    SimulatorOptions,
)
from sora_stats_harness.simulator.request_parser import TARGET_HEADER_BYTES

from .raw import ALL, CONNECTION

EPOCH_NS = 1_700_000_000_000_000_000


@dataclass
class MovedClock:
    """Time that passes only while somebody sleeps; sleepers wake in the order of their times."""

    now_ns: int = 0

    def clock(self) -> Clock:
        return Clock(monotonic_ns=lambda: self.now_ns, wall_ns=lambda: EPOCH_NS + self.now_ns, sleep=self._sleep)

    def __post_init__(self) -> None:
        self._wakes: list[int] = []

    async def _sleep(self, seconds: float) -> None:
        wakes_ns = self.now_ns + round(seconds * 1e9)
        self._wakes.append(wakes_ns)
        await asyncio.sleep(0)  # lets all requests of a burst come to their waits
        while min(self._wakes) < wakes_ns:
            await asyncio.sleep(0)
        self._wakes.remove(wakes_ns)
        self.now_ns = max(self.now_ns, wakes_ns)


class Server:
    """A cluster on a moved clock, asked without sockets."""

    def __init__(self, **options: Any) -> None:  # Any: of the types in SimulatorOptions
        self.time = MovedClock()
        self.cluster = SimulatedCluster(SimulatorOptions(churn=False, clock=self.time.clock(), **options))

    def burst(self, *requests: tuple[str, bytes], node: int = 0) -> tuple[float, list[Any]]:
        """Send requests at once; seconds until all got a response, and their bodies."""
        begun_ns = self.time.now_ns

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*(self._ask(node, target, body) for target, body in requests))

        bodies = asyncio.run(all_at_once())
        return (self.time.now_ns - begun_ns) / 1e9, bodies

    def listing(self) -> list[dict[str, Any]]:
        """GetStatsAllConnections."""
        found: list[dict[str, Any]] = self.burst((ALL, b""))[1][0]
        return found

    async def _ask(self, node: int, target: str, body: bytes) -> Any:
        sent: list[MutableMapping[str, Any]] = []
        headers = [(TARGET_HEADER_BYTES, target.encode())]
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await SimulatedNode(self.cluster, node)(scope, receive, send)
        assert sent[0]["status"] == 200
        return json.loads(sent[1]["body"])


def stamp_s(connection: dict[str, Any]) -> float:
    return datetime.fromisoformat(connection["timestamp"]).timestamp()


def test_workers_serve_by_deadline() -> None:
    """12 requests of 50 ms on 3 workers take 4 services."""
    server = Server(connections=1, pace=ServiceModel(service_s=0.05, workers=3))
    assert server.burst(*[(ALL, b"")] * 12)[0] == pytest.approx(0.2)


def test_a_listing_costs_by_its_connections() -> None:
    """A connection's own response costs for one, a node's for its own, the cluster's for all."""
    server = Server(connections=8, nodes=2, pace=ServiceModel(per_connection_s=0.05))
    some = server.listing()[0]
    arguments = json.dumps({key: some[key] for key in ("channel_id", "connection_id")}).encode()
    assert server.burst((CONNECTION, arguments))[0] == pytest.approx(0.05)
    assert server.burst((ALL, b""))[0] == pytest.approx(0.2)
    assert server.burst((ALL, b'{"local":false}'))[0] == pytest.approx(0.4)


def test_a_torn_sample_lies_within_its_request() -> None:
    """Every counter is between those of whole samples before and after; the response takes as long as the tear."""
    server = Server(connections=10, pace=ServiceModel(tear_s=0.1))
    first = server.cluster.world.connections_of_node(0)[0]
    before = first.read_sample(server.cluster.now_ns(), "")
    took_s, [[torn, *_]] = server.burst((ALL, b""))
    assert took_s == pytest.approx(0.1)
    after = first.read_sample(server.cluster.now_ns(), "")
    for group in ("rtp", "rtcp", "turn", "sctp"):
        for name, value in torn[group].items():
            assert before[group][name] <= value <= after[group][name], name


def test_frozen_nothing_is_torn() -> None:
    """A sample from before the request, of a world that stands still, would be one of a counter that falls."""
    server = Server(connections=10, pace=ServiceModel(tear_s=0.02))
    server.cluster.freeze()
    first = server.listing()
    assert [server.listing() for _ in range(2)] == [first, first]


def test_disturbances_come_by_themselves_and_once() -> None:
    """A step of the clock and a restart, so long after the first request."""
    upsets = ScheduledDisturbances(restart_after_s=2.0, clock_step_s=5.0, clock_step_after_s=1.0)
    disturbed = Server(connections=3, upsets=upsets)
    disturbed.time.now_ns += 10**10  # nothing happens before the first request
    ids, stamps = [], []
    for _ in range(6):
        listing = disturbed.listing()
        ids.append(frozenset(each["connection_id"] for each in listing))
        stamps.append(stamp_s(listing[0]))
        disturbed.time.now_ns += 600_000_000
    assert [b - a for a, b in pairwise(stamps)] == pytest.approx([0.6, 5.6, 0.6, 0.6, 0.6])
    assert [ids[0] == each for each in ids] == [True, True, True, True, False, False]
    assert not ids[0] & ids[4]
    assert ids[4] == ids[5]
