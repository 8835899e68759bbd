"""
The API over ASGI: the three targets, on one node or several, over one world.

Everything that nodes share is in a `SimulatedCluster`; an `SimulatedNode` is one node of it. All of it runs on one event loop.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from .. import __version__
from ..api.edition import Edition
from .fault_interface import Fault, ReceivedRequest, RequestContext, SampleObject, SimulatedResponse
from .recording_player import RecordingPlayer
from .request_parser import TARGET_HEADER_BYTES, ParsedRequest, make_error_response, make_json_response, parse_request
from .world import SimulatedConnection, SimulatedWorld

AsgiScope = MutableMapping[str, Any]  # Any: ASGI's own types
AsgiMessage = MutableMapping[str, Any]  # Any: the same
AsgiReceive = Callable[[], Awaitable[AsgiMessage]]
AsgiSend = Callable[[AsgiMessage], Awaitable[None]]

SERVER_HEADER_VALUE: Final = f"sora-harness-simulator/{__version__}"
"""By this header whoever reads a response knows that no Sora gave it."""

INITIAL_WORLD_AGE_NS: Final = 30_000_000_000
"""How old the world is when the server starts: counters have grown, and clients have joined."""

MAX_READ_REQUEST_BYTES: Final = 64 << 20
"""A request's body beyond this is not read to its end."""

MAX_LOGGED_REQUESTS: Final = 10_000
"""Requests that are kept for tests to look at."""

MAX_LOGGED_BODY_BYTES: Final = 16 << 10
"""Of each of their bodies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledDisturbances:
    """
    What happens to a good server, and must be held against nobody; in seconds, from the first request on.

    `restart_after_s`: the server begins anew, with other connection ids. `clock_step_s`: its clock is set by so much,
    once, after `clock_step_after_s`.
    """

    restart_after_s: float | None = None
    clock_step_s: float = 0.0
    clock_step_after_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceModel:
    """
    How long responses take.

    `workers` requests are served at a time, each for `service_s` and `per_connection_s` for every connection in its
    response. `tear_s` is the time over which one response's counters are read.
    """

    service_s: float = 0.0
    workers: int = 1
    per_connection_s: float = 0.0
    tear_s: float = 0.0


class SimulatedCluster:
    """What the nodes of one simulated cluster share: the world, its clock, its faults, and what was asked."""

    def __init__(
        self,
        edition: Edition,
        *,
        seed: int,
        connections: int,
        nodes: int,
        churn: bool,
        faults: Sequence[Fault],
        pace: ServiceModel,
        upsets: ScheduledDisturbances | None = None,
        cors: bool = True,
        empty_for_unknown: bool = False,
        played: RecordingPlayer | None = None,
    ) -> None:
        self.played = played
        """A recording to respond valid requests from, instead of the world."""
        self._edition = edition
        self._seed = seed
        self._connections = connections
        self._churn = churn
        self._incarnation = 0
        self.nodes = nodes
        self.faults = tuple(faults)
        self.pace = pace
        self.cors = cors
        self.empty_for_unknown = empty_for_unknown
        self.canned: dict[str, SimulatedResponse] = {}
        """Responses for other operations, by the whole value of the target header."""
        self.requests: deque[ReceivedRequest] = deque(maxlen=MAX_LOGGED_REQUESTS)
        self.wall_offset_s = 0.0
        """How far the server's clock is ahead of this machine's."""
        self._number = 0
        self._upsets = upsets or ScheduledDisturbances()
        self._first_ns: int | None = None
        """When the first request came, on this machine's monotonic clock."""
        self._free = [0.0] * max(pace.workers, 1)
        self._frozen_ns: int | None = None
        self._zero_ns = time.monotonic_ns() - INITIAL_WORLD_AGE_NS
        self._epoch_ns = time.time_ns() - INITIAL_WORLD_AGE_NS
        """The time of day at which the world began."""
        self.world = self._create_world()

    def _create_world(self) -> SimulatedWorld:
        return SimulatedWorld(
            self._edition,
            seed=self._seed,
            connections=self._connections,
            nodes=self.nodes,
            incarnation=self._incarnation,
            churn=self._churn,
        )

    def now_ns(self) -> int:
        """The world's time."""
        return self._frozen_ns if self._frozen_ns is not None else time.monotonic_ns() - self._zero_ns

    def current_timestamp(self) -> str:
        """
        The server's own clock, as responses bear it.

        It goes with the world's time, so that whoever divides what counters grew by what stamps did gets the rate, also
        where the world was frozen and advanced.
        """
        wall_s = (self._epoch_ns + self.now_ns()) / 1e9 + self.wall_offset_s
        return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def freeze(self) -> None:
        """Let the world stand still; `advance` moves it."""
        self._frozen_ns = self.now_ns()

    def advance(self, seconds: float) -> None:
        """Let this much of the world's time pass at once."""
        step_ns = int(seconds * 1e9)
        if self._frozen_ns is not None:
            self._frozen_ns += step_ns
        else:
            self._zero_ns -= step_ns

    def restart(self) -> None:
        """
        Begin anew: the same clients, with other connection ids and counters from the start. The time of day goes on.
        """
        self._incarnation += 1
        wall_ns = self._epoch_ns + self.now_ns()
        self._zero_ns = time.monotonic_ns() - INITIAL_WORLD_AGE_NS
        if self._frozen_ns is not None:
            self._frozen_ns = INITIAL_WORLD_AGE_NS
        self._epoch_ns = wall_ns - INITIAL_WORLD_AGE_NS
        self.world = self._create_world()

    def count_request(self) -> int:
        """Count a request, and let happen what is due."""
        self._number += 1
        self._apply_due_disturbances()
        return self._number - 1

    def _apply_due_disturbances(self) -> None:
        now_ns, upsets = time.monotonic_ns(), self._upsets
        if self._first_ns is None:
            self._first_ns = now_ns
        since_s = (now_ns - self._first_ns) / 1e9
        if upsets.clock_step_s and since_s >= upsets.clock_step_after_s:
            self.wall_offset_s += upsets.clock_step_s
            self._upsets = upsets = replace(upsets, clock_step_s=0.0)
        if upsets.restart_after_s is not None and since_s >= upsets.restart_after_s:
            self._upsets = replace(upsets, restart_after_s=None)
            self.restart()

    async def wait_for_service(self, call: RequestContext) -> None:
        """Wait until this request has been served, but for what its connections cost."""
        await self._occupy_worker(self.pace.service_s, sum(fault.delay_s(call) for fault in self.faults))

    async def wait_for_connections(self, connections: int) -> None:
        """
        Wait for as long as so many connections cost.

        When their response has been made: after a wait of seconds making it would take a tenth longer than without, and the
        cost of a connection would seem to be more than was told.
        """
        await self._occupy_worker(self.pace.per_connection_s * connections)

    async def _occupy_worker(self, lasts_s: float, delay_s: float = 0.0) -> None:
        """
        Keep a worker busy for a time, and wait until it has had that.

        By deadline: each worker is busy until a moment that is worked out, so that late timers do not add up.
        """
        if lasts_s > 0:
            worker = min(range(len(self._free)), key=self._free.__getitem__)
            now_s = time.monotonic()
            self._free[worker] = max(now_s, self._free[worker]) + lasts_s
            delay_s += self._free[worker] - now_s
        if delay_s > 0:
            await asyncio.sleep(delay_s)


class SimulatedNode:
    """One node, as an ASGI application."""

    def __init__(self, plant: SimulatedCluster, node: int) -> None:
        self._plant = plant
        self._node = node

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Response one request; anything but HTTP is not served."""
        if scope["type"] != "http":
            return
        body = await _read_request_body(receive)
        if body is None:
            return
        try:
            reply = await self._make_response(scope, body)
        except Exception as error:  # a fault that crashes is a handler that crashes
            reply = make_json_response(500, {"error_type": "Crash", "error_reason": type(error).__name__})
        await _send_response(reply, send)

    async def _make_response(self, scope: AsgiScope, body: bytes) -> SimulatedResponse:
        plant = self._plant
        method, path = scope["method"], scope["path"]
        targets = [value for name, value in scope["headers"] if name == TARGET_HEADER_BYTES]
        asked = parse_request(method, path, targets, body, canned=plant.canned, cors=plant.cors)
        if isinstance(asked, ParsedRequest):
            for fault in plant.faults:
                asked = replace(asked, arguments=fault.on_arguments(asked.arguments))
        operation = asked.operation if isinstance(asked, ParsedRequest) else None
        arguments = asked.arguments if isinstance(asked, ParsedRequest) else {}
        plant.requests.append(
            ReceivedRequest(
                node=self._node,
                method=method,
                path=path,
                body=body[:MAX_LOGGED_BODY_BYTES],
                operation=operation,
                arguments=arguments,
                headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
            )
        )
        call = RequestContext(
            node=self._node,
            operation=operation,
            arguments=arguments,
            number=plant.count_request(),
            now_ns=plant.now_ns(),
            method=method,
            path=path,
            query=scope["query_string"].decode("latin-1"),
            target=targets[0].decode("latin-1") if targets else "",
        )
        if isinstance(asked, SimulatedResponse):
            await plant.wait_for_service(call)
            return self._apply_response_faults(call, asked)
        if plant.played is not None:
            await plant.wait_for_service(call)
            return self._apply_response_faults(call, plant.played.next_response(self._node, asked))
        await plant.wait_for_service(call)
        if plant.pace.tear_s > 0:
            await asyncio.sleep(plant.pace.tear_s)  # so that all that is read is read while the request is open
        plant.world.advance(plant.now_ns())
        found = self._find_connections(asked)
        for fault in plant.faults:
            found = fault.on_connections(call, plant.world, found)
        if not found and not self._allows_empty_array(operation):
            return self._apply_response_faults(call, make_error_response("NotFound"))
        now_ns, stamp = plant.now_ns(), plant.current_timestamp()
        # no moment before the request had come, also where the world stood still or began anew meanwhile
        tear_ns = max(min(int(plant.pace.tear_s * 1e9), now_ns - call.now_ns), 0)
        samples: Sequence[SampleObject] = [connection.read_sample(now_ns, stamp, tear_ns) for connection in found]
        for fault in plant.faults:
            samples = fault.on_samples(call, samples)
        value: object = samples if operation != "GetStatsConnection" else samples[0]
        body = _encode_json(value)
        await plant.wait_for_connections(len(found))
        return self._apply_response_faults(
            call, SimulatedResponse(status=200, headers=(("content-type", "application/json"),), body=body)
        )

    def _find_connections(self, asked: ParsedRequest) -> Sequence[SimulatedConnection]:
        """The connections that are asked for."""
        world, arguments = self._plant.world, asked.arguments
        if asked.operation == "GetStatsAllConnections":
            nodes = [self._node] if arguments.get("local", True) else range(self._plant.nodes)
            return [connection for node in nodes for connection in world.connections_of_node(node)]
        if asked.operation == "GetStatsClient":
            found = world.find_client_connections(arguments["channel_id"], arguments["client_id"])
            return [connection for connection in found if connection.node == self._node]
        one = world.find_connection(arguments["channel_id"], arguments["connection_id"])
        return [one] if one is not None and one.node == self._node else []

    def _allows_empty_array(self, operation: str | None) -> bool:
        """Whether nothing found is an empty array, not an unknown id."""
        listing = operation == "GetStatsAllConnections"
        return listing or (operation == "GetStatsClient" and self._plant.empty_for_unknown)

    def _apply_response_faults(self, call: RequestContext, reply: SimulatedResponse) -> SimulatedResponse:
        for fault in self._plant.faults:
            reply = fault.on_response(call, reply)
        return reply


def _encode_json(value: object) -> bytes:
    """Compact JSON. Integers of any size; json where msgspec cannot."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, ValueError, msgspec.MsgspecError):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


async def _read_request_body(receive: AsgiReceive) -> bytes | None:
    """The request's body, cut where it is beyond all measure; None where the client has gone."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if size <= MAX_READ_REQUEST_BYTES:
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        if not message.get("more_body", False):
            return b"".join(parts)


def common_response_headers(cors: str | None) -> list[tuple[str, str]]:
    """What every response bears, those of the HTTP library too: who gave it, and which web pages may read it."""
    headers = [("server", SERVER_HEADER_VALUE)]
    if cors is not None:
        headers += [
            ("access-control-allow-origin", cors),
            ("access-control-allow-methods", "POST, OPTIONS"),
            ("access-control-allow-headers", "Origin, X-Requested-With, Content-Type, Accept, x-sora-target"),
            ("access-control-max-age", "1000"),
        ]
    return headers


async def _send_response(reply: SimulatedResponse, send: AsgiSend) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    names = {name.lower() for name, _ in headers}
    if b"content-length" not in names and b"transfer-encoding" not in names:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
