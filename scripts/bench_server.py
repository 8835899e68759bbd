"""
A server that responses faster than any generator here can judge, for scripts/bench_load.py.

Every response about a connection differs from the one before: its counters have grown by what a second of the simulated
world makes of them. A template is filled anew each time, with numbers that keep the documented relations, since these
hold for what was counted in that second as well. HTTP is done by hand, and only as far as generators need it.

Run it as `bench_server.py [--wrong] [--wrong-anew] [--static] [--delay SECONDS] [--connections N] [--seed N]`; it prints its URL.
"""

from __future__ import annotations

import argparse
import heapq
import re
import select
import socket
import sys
import time
from collections.abc import Callable
from operator import add
from typing import Any, Final

import msgspec

from sora_stats_harness.api import edition
from sora_stats_harness.api.edition import FieldKind
from sora_stats_harness.simulator.world import SimulatedWorld

DOC: Final = edition.load_edition()
YOUNG_NS: Final = 300_000_000_000
OLD_NS: Final = 301_000_000_000
"""From one to the other a response goes on by a second of the world's time, and so does each that follows."""

NO_TIME: Final = "0000-00-00T00:00:00.000000Z"
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
ID: Final = re.compile(rb'"connection_id":"([^"]+)"')


class Template:
    """The response about one connection, and how it goes on."""

    def __init__(self, young: dict[str, Any], old: dict[str, Any], *, wrong: bool) -> None:  # Any: JSON
        paths = [
            field.path for field in DOC.fields if field.kind is FieldKind.COUNTER and _get(old, field.path) is not None
        ]
        if wrong:
            for sample in (young, old):
                del sample["dtls"]["total_received_dtls"]
                sample["rtp"]["total_brand_new"] = 1
        paths = [path for path in paths if (_get(old, path) or 0) > (_get(young, path) or 0)]
        self._now = [_get(young, path) or 0 for path in paths]
        self._step = [_get(old, path) - now for path, now in zip(paths, self._now, strict=True)]
        marked = msgspec.json.decode(msgspec.json.encode(young))
        for place, path in enumerate(paths):
            _set(marked, path, f"@{place}@")
        marked["timestamp"] = "@time@"
        text = msgspec.json.encode(marked).replace(b"%", b"%%")
        order: list[int] = []

        def number(found: re.Match[bytes]) -> bytes:
            order.append(int(found[1]))
            return b"%d"

        text = re.sub(rb'"@(\d+)@"', number, text)
        before, after = text.split(b"@time@")
        self._now = [self._now[place] for place in order]
        self._step = [self._step[place] for place in order]
        self._text = before + b"%b" + after
        self._times = before.count(b"%d")

    def body(self, stamp: bytes) -> bytes:
        """The next response."""
        now = self._now = list(map(add, self._now, self._step))
        times = self._times
        return self._text % (*now[:times], stamp, *now[times:])


def _get(sample: Any, path: tuple[str, ...]) -> Any:  # Any: JSON
    for key in path:
        if not isinstance(sample, dict) or key not in sample:
            return None
        sample = sample[key]
    return sample


def _set(sample: Any, path: tuple[str, ...], value: object) -> None:  # Any: JSON
    for key in path[:-1]:
        sample = sample[key]
    sample[path[-1]] = value


class Responses:
    """What is said to a request."""

    def __init__(self, connections: int, *, wrong: bool, anew: bool, static: bool, seed: int = 1) -> None:
        world = SimulatedWorld(DOC, seed=seed, connections=connections, churn=False)
        world.advance(YOUNG_NS)
        young = {each.connection_id: each.read_sample(YOUNG_NS, NO_TIME) for each in world.connections_of_node(0)}
        world.advance(OLD_NS)
        self._templates = {
            each.connection_id.encode(): Template(
                young[each.connection_id], each.read_sample(OLD_NS, NO_TIME), wrong=wrong
            )
            for each in world.connections_of_node(0)
        }
        self._static = next(iter(self._templates.values())).body(NO_TIME.encode()) if static else None
        self._second = 0
        self._prefix = b""
        self._anew = anew
        self._given = 0

    def response(self, request: bytes) -> bytes:
        """Head and body."""
        if self._static is not None:
            return HEAD % len(self._static) + self._static
        stamp = self._stamp()
        found = ID.search(request)
        template = self._templates.get(found[1]) if found is not None else None
        if template is not None:
            body = template.body(stamp)
            if self._anew:
                self._given += 1
                body = b'{"new_%d":1,%b' % (self._given, body[1:])
        else:
            body = b"[" + b",".join(each.body(stamp) for each in self._templates.values()) + b"]"
        return HEAD % len(body) + body

    def _stamp(self) -> bytes:
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return b"%b.%06dZ" % (self._prefix, rest // 1000)


def serve(response: Callable[[bytes], bytes], delay_s: float) -> None:
    """One thread, until it is killed; a response is given `delay_s` after its request."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    sockets: dict[int, socket.socket] = {}
    waiting: list[tuple[float, int, bytes]] = []
    unsent: dict[int, bytes] = {}

    def send(number: int, data: bytes) -> None:
        try:
            sent = sockets[number].send(data)
        except BlockingIOError:
            sent = 0
        except (OSError, KeyError):
            return
        if sent < len(data):
            unsent[number] = data[sent:]
            poll.modify(number, select.EPOLLIN | select.EPOLLOUT)

    while True:
        # Whole milliseconds, rounded down: Python rounds up, and then requests that come in a burst, as from a fast
        # generator, would get a response later than those of a slow one, whose requests wake this loop now and then.
        left_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else -1
        for number, event in poll.poll(left_s // 0.001 * 0.001 if waiting else -1):
            if number == listener.fileno():
                connection, _ = listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sockets[connection.fileno()] = connection
                poll.register(connection.fileno(), select.EPOLLIN)
                continue
            if event & select.EPOLLOUT and number in unsent:
                data = unsent.pop(number)
                poll.modify(number, select.EPOLLIN)
                send(number, data)
                continue
            try:
                request = sockets[number].recv(65536)
            except OSError:
                request = b""
            if not request:
                poll.unregister(number)
                sockets.pop(number).close()
                unsent.pop(number, None)
                waiting = [each for each in waiting if each[1] != number]  # the next connection may have its number
                heapq.heapify(waiting)
            elif delay_s:
                heapq.heappush(waiting, (time.monotonic() + delay_s, number, response(request)))
            else:
                send(number, response(request))
        while waiting and waiting[0][0] <= time.monotonic():
            _, number, made = heapq.heappop(waiting)
            send(number, made)


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--wrong", action="store_true")
    parser.add_argument("--wrong-anew", action="store_true", help="a field of another name in each response")
    parser.add_argument("--static", action="store_true")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    responses = Responses(
        given.connections, wrong=given.wrong, anew=given.wrong_anew, static=given.static, seed=given.seed
    )
    serve(responses.response, given.delay)
    return 0


if __name__ == "__main__":
    sys.exit(main())
