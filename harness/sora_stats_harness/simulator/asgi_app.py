"""
The simulated API as an ASGI application: the three targets, on one node or several, over one world.

A `SimulatedCluster` holds everything that nodes share; a `SimulatedNode` is one node of it. All of it runs on one event
loop.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from .. import __version__
from ..api.edition import Edition, load_edition
from ..api.errors import UsageError
from ..api.exchange import TARGET_HEADER
from ..api.request_guard import INVENTED_TARGETS
from .fault_interface import Connections, Fault, ReceivedRequest, SampleObject, SimulatedResponse
from .faults import parse_fault
from .planned_world import PlannedWorld, WorldPlan
from .recording_player import RecordingPlayer
from .request_parser import (
    SERVED_TARGETS,
    TARGET_HEADER_BYTES,
    ParsedRequest,
    make_error_response,
    make_json_response,
    parse_request,
)
from .tcp_fault_relay import RelayAction
from .world import SimulatedWorld

AsgiScope = MutableMapping[str, Any]  # Any: ASGI's own types
AsgiMessage = MutableMapping[str, Any]  # Any: the same
AsgiReceive = Callable[[], Awaitable[AsgiMessage]]
AsgiSend = Callable[[AsgiMessage], Awaitable[None]]

SERVER_HEADER_VALUE: Final = f"sora-harness-simulator/{__version__}"
"""The value of the Server header, which shows that a response is not from Sora."""

INITIAL_WORLD_AGE_NS: Final = 30_000_000_000
"""The world's age when the server starts: counters have grown, and clients have joined."""

MAX_READ_REQUEST_BYTES: Final = 64 << 20
"""The most that is kept of a request's body while it is read."""

MAX_LOGGED_REQUESTS: Final = 10_000
"""How many requests are kept for tests to look at."""

MAX_LOGGED_BODY_BYTES: Final = 16 << 10
"""How much is kept of each of their bodies."""

MAX_UNSERVED_TARGETS: Final = 100
"""How many different unserved targets are reported, since a header may contain anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where the simulator reads the time, and how it waits; a test can pass a clock that it controls."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall_ns: Callable[[], int] = time.time_ns
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledDisturbances:
    """
    Events on a correct server that must not cause findings; in seconds from the first request on.

    `restart_after_s`: the server restarts, with other connection ids. `clock_step_s`: its clock is set by this much,
    once, after `clock_step_after_s`.
    """

    restart_after_s: float | None = None
    clock_step_s: float = 0.0
    clock_step_after_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceModel:
    """
    How long responses take.

    `workers` requests are served at a time, each for `service_s`, and for `per_connection_s` for every connection in
    its response. `tear_s` is the time over which one response's counters are read.
    """

    service_s: float = 0.0
    workers: int = 1
    per_connection_s: float = 0.0
    tear_s: float = 0.0


@dataclass(kw_only=True, eq=False)
class SimulatorOptions:
    """
    The options of a simulated cluster.

    Raises:
        UsageError: `cors` is not an origin, or a fault is unknown.
    """

    edition: Edition | None = field(default=None, kw_only=False)
    """The edition whose fields it serves; None for `doc-2024`."""
    seed: int = 1
    """The seed of the world: the same seed gives the same ids and the same growth."""
    connections: int = 20
    """How many connections all nodes have together."""
    nodes: int = 1
    """How many nodes there are; each listens on a port of its own."""
    faults: Sequence[Fault | str] = ()
    """The faults of the simulator; see `simulator.faults`."""
    port: int = 0
    """The port of the first node, the others follow; 0 takes free ones."""
    host: str = "127.0.0.1"
    churn: bool = True
    """Whether connections join and leave."""
    pace: ServiceModel = field(default_factory=ServiceModel)
    upsets: ScheduledDisturbances = field(default_factory=ScheduledDisturbances)
    cors: str | None = "*"
    """The origin of the web pages that may read responses; None for none, and then OPTIONS is refused."""
    empty_for_unknown: bool = False
    """Whether GetStatsClient responds to an unknown client with `[]` instead of 400; both are right."""
    play: RecordingPlayer | None = None
    """
    A recording to respond from, on as many nodes as it has. Then there is no world: `seed`, `connections`, `nodes`,
    `churn` and `empty_for_unknown` have no effect, and of the faults only those of complete responses do.
    """
    responses: Mapping[str, SimulatedResponse] = field(default_factory=dict)
    """Responses to any target, by the whole value of the target header."""
    world: WorldPlan | None = None
    """Who joins and leaves when, with which numbers; then `connections` and `churn` have no effect."""
    unserved: Callable[[str], None] | None = None
    """Called once with each target header's value that was requested but is not served."""
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        if self.cors is not None and not (self.cors.isascii() and self.cors.isprintable() and self.cors.strip()):
            raise UsageError(f"{self.cors!r} is not an origin: give one like http://127.0.0.1:5000, or *")
        if isinstance(self.faults, str):
            raise UsageError(f"faults must be a list: write faults=[{self.faults!r}]")
        for fault in self.faults:
            if not isinstance(fault, Fault):
                parse_fault(fault)  # refuses unknown faults
        for name in ("seed", "connections", "nodes", "port"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise UsageError(f"{name} must be an integer, not {value!r}")
        if self.play is not None:
            self.connections, self.nodes = 0, self.play.nodes


class SimulatedCluster:
    """What the nodes of one simulated cluster share: the world, its clock, its faults, and the received requests."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.nodes: int = options.nodes
        self._clock = options.clock
        self.reset()

    def reset(self) -> None:
        """Start from the beginning: the same world, without anything that was set, received or counted since."""
        options = self.options
        self.faults: list[Fault] = [parse_fault(fault) if isinstance(fault, str) else fault for fault in options.faults]
        self.canned: dict[str, SimulatedResponse] = dict(options.responses)
        """The user's responses, by the whole value of the target header."""
        self._unserved: set[str] = set()
        self.requests: deque[ReceivedRequest] = deque(maxlen=MAX_LOGGED_REQUESTS)
        self.wall_offset_s: float = 0.0
        """How far the server's clock is ahead of this machine's."""
        self._requests = 0
        self._incarnation = 0
        self._due = options.upsets
        self._first_ns: int | None = None
        """When the first request came, on the monotonic clock."""
        self._free_at_ns = [0] * max(options.pace.workers, 1)
        """When each worker is free again, on the monotonic clock."""
        self._frozen_ns: int | None = None
        self._zero_ns = self._clock.monotonic_ns() - INITIAL_WORLD_AGE_NS
        self._epoch_ns = self._clock.wall_ns() - INITIAL_WORLD_AGE_NS
        """The time of day at which the world began."""
        self.world: SimulatedWorld = self._create_world()

    def next_relay_action(self) -> RelayAction | None:
        """What the transport faults do to the next response; each fault counts the response."""
        actions = [fault.transport() for fault in self.faults if fault.transport is not None]
        return next(filter(None, actions), None)

    def _create_world(self) -> SimulatedWorld:
        plan = self.options.world
        if plan is not None:
            return PlannedWorld(
                plan,
                seed=self.options.seed,
                nodes=self.nodes,
                incarnation=self._incarnation,
                origin_ns=INITIAL_WORLD_AGE_NS,
            )
        return SimulatedWorld(
            self.options.edition or load_edition(),
            seed=self.options.seed,
            connections=self.options.connections,
            nodes=self.nodes,
            incarnation=self._incarnation,
            churn=self.options.churn,
        )

    def now_ns(self) -> int:
        """The world's time."""
        return self._frozen_ns if self._frozen_ns is not None else self._clock.monotonic_ns() - self._zero_ns

    def current_timestamp(self) -> str:
        """
        The server's own clock, as its responses show it.

        It follows the world's time, so that the growth of a counter divided by that of the timestamp is its rate, also
        when the world is frozen and advanced.
        """
        wall_s = (self._epoch_ns + self.now_ns()) / 1e9 + self.wall_offset_s
        return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    @property
    def is_frozen(self) -> bool:
        """Whether the world stands still."""
        return self._frozen_ns is not None

    def freeze(self) -> None:
        """Let the world stand still; `advance` moves it."""
        self._frozen_ns = self.now_ns()

    def advance(self, seconds: float) -> None:
        """Advance the world's time at once."""
        step_ns = int(seconds * 1e9)
        if self._frozen_ns is not None:
            self._frozen_ns += step_ns
        else:
            self._zero_ns -= step_ns

    def restart(self) -> None:
        """Restart: the same clients, with other connection ids and new counters. The time of day continues."""
        self._incarnation += 1
        wall_ns = self._epoch_ns + self.now_ns()
        self._zero_ns = self._clock.monotonic_ns() - INITIAL_WORLD_AGE_NS
        if self._frozen_ns is not None:
            self._frozen_ns = INITIAL_WORLD_AGE_NS
        self._epoch_ns = wall_ns - INITIAL_WORLD_AGE_NS
        self.world = self._create_world()

    def count_request(self) -> int:
        """Count a request, and apply the disturbances that are due; returns the request's number."""
        self._requests += 1
        self._apply_due_disturbances()
        return self._requests - 1

    def notice_target(self, targets: Sequence[bytes]) -> None:
        """Report a target that isn't served, once; targets that the harness makes up are not reported."""
        if self.options.unserved is None or len(self._unserved) >= MAX_UNSERVED_TARGETS:
            return
        for name in targets:
            text = name.decode("latin-1").strip(" \t")
            known = SERVED_TARGETS | INVENTED_TARGETS | self.canned.keys() | self._unserved
            if text not in known:
                self._unserved.add(text)
                self.options.unserved(text)

    def _apply_due_disturbances(self) -> None:
        now_ns, due = self._clock.monotonic_ns(), self._due
        if self._first_ns is None:
            self._first_ns = now_ns
        since_s = (now_ns - self._first_ns) / 1e9
        if due.clock_step_s and since_s >= due.clock_step_after_s:
            self.wall_offset_s += due.clock_step_s
            self._due = due = replace(due, clock_step_s=0.0)
        if due.restart_after_s is not None and since_s >= due.restart_after_s:
            self._due = replace(due, restart_after_s=None)
            self.restart()

    async def wait_for_service(self, call: ReceivedRequest) -> None:
        """Wait until this request has been served, except for the cost of its connections."""
        await self._occupy_worker(self.options.pace.service_s, sum(fault.delay_s(call) for fault in self.faults))

    async def wait_for_connections(self, connections: int) -> None:
        """
        Wait for as long as this number of connections costs.

        Call this after the response was made: making it takes a tenth longer after a wait of seconds, so a connection
        would seem to cost more than it was set to.
        """
        await self._occupy_worker(self.options.pace.per_connection_s * connections)

    async def wait_for_tear(self) -> None:
        """Wait for as long as the counters are read, so that all are read while the request is open."""
        if self.options.pace.tear_s > 0:
            await self._clock.sleep(self.options.pace.tear_s)

    async def _occupy_worker(self, service_s: float, delay_s: float = 0.0) -> None:
        """
        Keep a worker busy for a time, and wait until it is done.

        The end is computed beforehand, so that the delays of timers don't add up.
        """
        if service_s > 0:
            worker = min(range(len(self._free_at_ns)), key=self._free_at_ns.__getitem__)
            now_ns = self._clock.monotonic_ns()
            self._free_at_ns[worker] = max(now_ns, self._free_at_ns[worker]) + int(service_s * 1e9)
            delay_s += (self._free_at_ns[worker] - now_ns) / 1e9
        if delay_s > 0:
            await self._clock.sleep(delay_s)


class SimulatedNode:
    """One node, as an ASGI application."""

    def __init__(self, cluster: SimulatedCluster, node: int) -> None:
        self._cluster = cluster
        self._node = node

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Respond to one request; anything but HTTP is not served."""
        if scope["type"] != "http":
            return
        body = await _read_request_body(receive)
        if body is None:
            return
        try:
            response = await self._make_response(scope, body)
        except Exception as error:  # an exception in a fault acts like a crash of the handler
            response = make_json_response(500, {"error_type": "Crash", "error_reason": type(error).__name__})
        await _send_response(response, send)

    async def _make_response(self, scope: AsgiScope, body: bytes) -> SimulatedResponse:
        cluster, options = self._cluster, self._cluster.options
        targets = [value for name, value in scope["headers"] if name == TARGET_HEADER_BYTES]
        parsed = parse_request(
            scope["method"], scope["path"], targets, body, canned=cluster.canned, cors=options.cors is not None
        )
        if isinstance(parsed, SimulatedResponse):
            cluster.notice_target(targets)
        else:
            for fault in cluster.faults:
                parsed = replace(parsed, arguments=fault.on_arguments(parsed.arguments))
        call = self._log_request(scope, body, parsed)
        await cluster.wait_for_service(call)
        if isinstance(parsed, SimulatedResponse):
            response = parsed
        elif options.play is not None:
            response = options.play.next_response(self._node, parsed)
        else:
            response = await self._read_world(call)
        for fault in cluster.faults:
            response = fault.on_response(call, response)
        return response

    def _log_request(self, scope: AsgiScope, body: bytes, parsed: ParsedRequest | SimulatedResponse) -> ReceivedRequest:
        valid = parsed if isinstance(parsed, ParsedRequest) else None
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        call = ReceivedRequest(
            node=self._node,
            operation=valid.operation if valid is not None else None,
            arguments=valid.arguments if valid is not None else {},
            number=self._cluster.count_request(),
            now_ns=self._cluster.now_ns(),
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            target=next((value for name, value in headers if name == TARGET_HEADER), ""),
            headers=headers,
            body=body[:MAX_LOGGED_BODY_BYTES],
        )
        self._cluster.requests.append(call)
        return call

    async def _read_world(self, call: ReceivedRequest) -> SimulatedResponse:
        """The response to a valid request, from the world."""
        cluster = self._cluster
        await cluster.wait_for_tear()
        cluster.world.advance(cluster.now_ns())
        found = self._find_connections(call)
        for fault in cluster.faults:
            found = fault.on_connections(call, cluster.world, found)
        is_listing = call.operation == "GetStatsAllConnections"
        may_be_empty = is_listing or (call.operation == "GetStatsClient" and cluster.options.empty_for_unknown)
        if not found and not may_be_empty:
            return make_error_response("NotFound")
        now_ns, timestamp = cluster.now_ns(), cluster.current_timestamp()
        # never from before the request, even if the world was frozen or restarted meanwhile
        tear_ns = max(min(int(cluster.options.pace.tear_s * 1e9), now_ns - call.now_ns), 0)
        samples: Sequence[SampleObject] = [each.read_sample(now_ns, timestamp, tear_ns) for each in found]
        for fault in cluster.faults:
            samples = fault.on_samples(call, samples)
        body = _encode_json(samples if call.operation != "GetStatsConnection" else samples[0])
        await cluster.wait_for_connections(len(found))
        return SimulatedResponse(status=200, headers=(("content-type", "application/json"),), body=body)

    def _find_connections(self, call: ReceivedRequest) -> Connections:
        """The connections that a request asks for."""
        world, arguments = self._cluster.world, call.arguments
        if call.operation == "GetStatsAllConnections":
            nodes = [self._node] if arguments.get("local", True) else range(self._cluster.nodes)
            return [connection for node in nodes for connection in world.connections_of_node(node)]
        if call.operation == "GetStatsClient":
            found = world.find_client_connections(arguments["channel_id"], arguments["client_id"])
            return [connection for connection in found if connection.node == self._node]
        one = world.find_connection(arguments["channel_id"], arguments["connection_id"])
        return [one] if one is not None and one.node == self._node else []


def _encode_json(value: object) -> bytes:
    """Encode as compact JSON; integers beyond 64 bits and the like are left to the standard library."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, ValueError, msgspec.MsgspecError):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


async def _read_request_body(receive: AsgiReceive) -> bytes | None:
    """Read the request's body, cut if it is too large; None if the client has disconnected."""
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
    """The headers of every response, also of the HTTP library's own: the server, and which web pages may read it."""
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
