"""
The HTTP side: one thread for each connection, responses put together sample by sample, some of them late.

`python -m tests.foreign.server --manners '{"nodes": 2}'` writes the nodes' URLs, one a line, then an empty one, and serves
until its standard input ends.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from .faults import FAULTS, Fault, Reply
from .world import Clock, Connection, Tree, World, read_slowly

CONNECTION: Final = "Sora_20170529.GetStatsConnection"
CLIENT: Final = "Sora_20170529.GetStatsClient"
ALL: Final = "Sora_20171101.GetStatsAllConnections"
NEEDS: Final = {CONNECTION: ("channel_id", "connection_id"), CLIENT: ("channel_id", "client_id"), ALL: ()}


class Refused(Exception):
    """A request that gets 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How this server, which is correct, differs from another correct one."""

    connections: int = 6
    nodes: int = 1
    seed: int = 1
    listing_s: float = 0.1
    """How long a listing takes to put together."""
    stamp_first: bool = True
    """Whether a sample is stamped before it is read, else after."""
    late_s: float = 0.05
    """A response leaves up to so long after it is ready."""
    skew_s: float = 0.03
    """From one node's clock to the next one's."""
    slew: float = 3e-4
    step_s: float = 0.0
    """By which a clock is set forward, and back again."""
    changes_per_s: float = 1.0
    packets_per_s: float = 2000.0


class Node:
    """One of the cluster; `reply` is what it responds."""

    def __init__(self, world: World, number: int, manners: Manners, fault: Fault) -> None:
        self.world = world
        self.number = number
        self.manners = manners
        self.fault = fault
        self.clock = Clock(
            number * manners.skew_s, slew=manners.slew * (-1) ** number, step_s=manners.step_s, step_at_s=1.5
        )
        self.peers: list[Node] = [self]

    def sample(self, connection: Connection, rest_s: float) -> Tree:
        """Read one connection, over a while."""
        stamp_s = self.clock.now_s()
        tree = dict(read_slowly(connection.tree, rest_s / 16))
        if not self.manners.stamp_first:
            stamp_s = self.clock.now_s()
        stamp = datetime.fromtimestamp(stamp_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"timestamp": stamp, **tree}

    def listing(self, *, whole_cluster: bool) -> list[Tree]:
        """Of this node, or of all."""
        nodes = self.peers if whole_cluster else [self]
        asked = [(node, connection) for node in nodes for connection in self.world.of_node(node.number)]
        return [node.sample(each, self.manners.listing_s / max(1, len(asked))) for node, each in asked]

    def find(self, **ids: str) -> list[Tree]:
        """Those of this node that have these ids."""
        found = [
            connection
            for connection in self.world.of_node(self.number)
            if all(connection.tree[name] == value for name, value in ids.items())
        ]
        return [self.sample(connection, 0.002) for connection in found]

    def reply(self, target: str, arguments: Tree) -> Any:  # Any: JSON
        """What a valid request gets."""
        if target == ALL:
            return self.listing(whole_cluster=arguments.get("local") is False)
        found = self.find(**{name: arguments[name] for name in NEEDS[target]})
        if target == CLIENT:
            return found
        if not found:
            raise Refused({"error_type": "UNKNOWN-CONNECTION"})
        return found[0]


def read_request(headers: Any, body: bytes) -> tuple[str, Tree]:  # Any: email.message.Message
    """Target and arguments; in the order in which a dispatcher refuses."""
    values = headers.get_all("x-sora-target")
    if not values:
        raise Refused({"type": "MissingHeaderName"})
    name = values[0].strip()
    service, _, rest = name.partition("_")
    version, _, operation = rest.partition(".")
    if len(values) > 1 or not (service and version.isdigit() and len(version) == 8 and operation.isalnum()):
        raise Refused({"error_type": "MissingService"})
    if service != "Sora":
        raise Refused({"error_type": "InvalidTarget"})
    arguments: Any = None
    if body:
        try:
            arguments = json.loads(body.decode("utf-8"), parse_constant=lambda text: 1 / 0)
        except (ValueError, ZeroDivisionError, RecursionError):
            raise Refused({"error_type": "InvalidJSON", "error_reason": [{"invalid": "parse"}]}) from None
    about = {"service": service, "version": version, "operation": operation}
    if name not in NEEDS:
        known = {"error_type": "SchemaNotFound", "error_reason": about} if body else {"error_type": "MissingTarget"}
        raise Refused(known)
    if not body and NEEDS[name]:
        raise Refused({"error_type": "MissingTargetFunction", "error_reason": about})
    return name, check_arguments(name, {} if arguments is None else arguments)


def invalid(data: Any, error: str, path: list[str], schema: Tree) -> Refused:  # Any: JSON
    """A body that the schema refuses."""
    reason = {"data": data, "error": error, "invalid": "data", "path": path, "schema": schema}
    return Refused({"error_type": "InvalidJSON", "error_reason": [reason]})


def check_arguments(name: str, arguments: Any) -> Tree:  # Any: JSON
    """Refuse what is missing or of another type."""
    schema = {"type": "object"}
    if not isinstance(arguments, dict):
        raise invalid(arguments, "wrong_type", [], schema)
    for key in NEEDS[name]:
        if key not in arguments:
            raise invalid(key, "missing_required_property", [], schema)
    for key in NEEDS[name]:
        if not isinstance(arguments[key], str):
            raise invalid(arguments[key], "wrong_type", [key], {"type": "string"})
    if not isinstance(arguments.get("local", True), bool) and name == ALL:
        raise invalid(arguments["local"], "wrong_type", ["local"], {"type": "boolean"})
    return arguments


def first_pairs(pairs: list[tuple[str, Any]]) -> Tree:  # Any: JSON
    """Of a repeated key the first counts."""
    return dict(reversed(pairs))


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    node: Node
    draw = random.Random(5)

    def handle_any(self) -> None:
        """Any method."""
        body = self.read_body()
        if self.path.partition("?")[0] != "/":
            self.send(Reply(404, b"", None))
            return
        target: str | None = None
        arguments: Tree = {}
        try:
            if self.command != "POST":
                raise Refused({"type": "UnexpectedMethod"})
            target, arguments = read_request(self.headers, body)
            document = self.node.reply(target, arguments)
            reply = Reply(200, document, "application/json")
        except Refused as refused:
            reply = Reply(400, refused.args[0], "application/json")
        reply.target, reply.arguments, reply.node = target, arguments, self.node.number
        self.node.fault.spoil(reply)
        time.sleep(self.draw.random() * self.node.manners.late_s)
        self.send(reply)

    def __getattr__(self, name: str) -> Any:  # Any: as object has it
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def read_body(self) -> bytes:
        """By its length, or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, reply: Reply) -> None:
        """Write it, with the faults that are of the wire."""
        body = reply.body()
        head = [f"HTTP/1.1 {reply.status} Whatever"]
        head += [f"{name}: {value}" for name, value in reply.headers(len(body))]
        wire = "\r\n".join([*head, "", ""]).encode("latin-1") + (b"" if self.command == "HEAD" else body)
        if reply.cut_at is not None:
            wire = wire[: int(len(wire) * reply.cut_at)]
        self.wfile.write(wire)
        self.wfile.flush()
        if reply.closes:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # Any: as its base has it
        """Nothing is logged."""


class Server(ThreadingHTTPServer):
    """With a queue for all who come at once."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:  # Any: as its base has it
        """A client that goes away is none."""


@contextmanager
def serving(manners: Manners, fault: Fault) -> Iterator[list[str]]:
    """The URLs of the nodes, while they serve."""
    world = World(
        manners.connections,
        manners.nodes,
        manners.seed,
        packets_per_s=manners.packets_per_s,
        changes_per_s=manners.changes_per_s,
    )
    nodes = [Node(world, number, manners, fault) for number in range(manners.nodes)]
    servers = []
    for node in nodes:
        node.peers = nodes
        handler = type("NodeHandler", (Handler,), {"node": node})
        servers.append(Server(("127.0.0.1", 0), handler))
    fault.world = world
    world.start()
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield [f"http://127.0.0.1:{server.server_address[1]}" for server in servers]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        world.stop()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--manners", type=json.loads, default={})
    parser.add_argument("--fault", default="none", choices=sorted(FAULTS))
    arguments = parser.parse_args()
    sys.setswitchinterval(0.001)
    planted = FAULTS[arguments.fault]
    fault = planted.make()
    with serving(Manners(**planted.manners | arguments.manners), fault) as urls:
        print(*urls, sep="\n", flush=True)
        print(flush=True)
        sys.stdin.read()
    print(fault.first_wrong_ns, flush=True)


if __name__ == "__main__":
    main()
