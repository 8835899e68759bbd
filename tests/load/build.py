"""What the tests of load/ share: a clerk that judges nothing, requests to send, and processes whose judges are slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sora_stats_harness.api.exchange import Exchange, Request, Response, Target, TransportError, make_valid_request
from sora_stats_harness.api.http1_faults import FramingFault
from sora_stats_harness.api.server_address import ServerAddress
from sora_stats_harness.load.http_connection import HttpConnection, resolve_server
from sora_stats_harness.load.prepared_request import PreparedRequest, prepare_request
from sora_stats_harness.load.transport_stats import TransportStats
from sora_stats_harness.simulator.server import Simulator
from tests import forked, hostile

EXAMPLE: Final = json.loads((Path(__file__).parents[1] / "data" / "example_response.json").read_text())


class Ticket:
    """As a judge's, without judging."""

    def __init__(self, clerk: Clerk, request: Request, intended_ns: int | None) -> None:
        self._clerk = clerk
        self._request = request
        self._intended_ns = intended_ns
        self.sent_ns = time.monotonic_ns()

    def complete(
        self,
        response: Response | None = None,
        error: TransportError | None = None,
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        exchange = Exchange(
            run="test",
            seq=len(self._clerk.ended),
            request=self._request,
            clock="test",
            sent_ns=self.sent_ns,
            received_ns=time.monotonic_ns(),
            sent_at="",
            response=response,
            error=error,
            intended_ns=self._intended_ns,
            arrived_ns=arrived_ns,
            faults=faults,
        )
        self._clerk.ended.append(exchange)
        return exchange

    def complete_in_slices(
        self,
        response: Response,
        pause: Callable[[], None],
        arrived_ns: int | None = None,
        faults: tuple[FramingFault, ...] = (),
    ) -> Exchange:
        self._clerk.sliced += 1
        return self.complete(response, None, arrived_ns, faults)


class Clerk:
    """Hands out tickets; `taken` counts them, `ended` holds the exchanges."""

    def __init__(self) -> None:
        self.taken = 0
        self.sliced = 0
        self.ended: list[Exchange] = []

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> Ticket:
        self.taken += 1
        return Ticket(self, request, intended_ns)


def listing(server: str) -> PreparedRequest:
    return prepare_request(make_valid_request(Target.ALL, server=server))


def connection(server: str, *, timeout_s: float = 5.0, **settings: object) -> HttpConnection:
    address = resolve_server(server)
    assert isinstance(address, ServerAddress)
    return HttpConnection(address, TransportStats(), timeout_s=timeout_s, **settings)  # type: ignore[arg-type]


_SLOWING: Final = """
import sys
import time
from pathlib import Path

from sora_stats_harness.judge.exchange_queue import PendingExchange
from sora_stats_harness.judge.pipeline import Judge

since = Path({since!r})
monkey = sys.modules.get("gevent.monkey")
sleep = monkey.get_original("time", "sleep") if monkey else time.sleep  # that of gevent lets others go on
init, complete_in_slices = Judge.__init__, PendingExchange.complete_in_slices


def slowly(self, edition, run=None, observer=None, **options):
    awaited = [since]

    def observe(exchange):
        if awaited and since.exists():
            awaited.clear()
            sleep(1.0)
        if observer is not None:
            observer(exchange)

    init(self, edition, run, observe, **options)


def slowly_in_slices(self, response, pause, *arguments):
    with since.with_name("arrived").open("a") as arrived:
        arrived.write(".")

    def longer():
        pause()
        while since.exists() and time.time() < since.stat().st_mtime + 3.0:
            time.sleep(0.1)

    return complete_in_slices(self, response, longer, *arguments)


Judge.__init__, PendingExchange.complete_in_slices = slowly, slowly_in_slices
"""


_MOVING: Final = """
import os
import sys

from sora_stats_harness.api import exchange

clock_id, first = exchange.monotonic_clock_id, os.getpid()
is_worker = "--worker" in sys.orig_argv


def moved():
    return f"another machine's, for {os.getpid()}" if is_worker or os.getpid() != first else clock_id()


for module in list(sys.modules.values()):
    if getattr(module, "monotonic_clock_id", None) is clock_id:
        module.monotonic_clock_id = moved
"""


class Customized:
    """
    What Python imports of itself when other processes start.

    Args:
        folder: An empty one.
        text: What it is to do.
    """

    def __init__(self, folder: Path, text: str) -> None:
        file = folder / "sitecustomize.py"
        file.write_text(text)
        path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.environment = os.environ | {"PYTHONPATH": path, forked.CUSTOMIZED_BY: str(file)}
        """To start them with."""
        if sys.platform != "linux":  # there a forked process runs the file, and fails where that does
            command = [sys.executable, "-c", ""]  # Python goes on
            tried = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
            assert tried.stderr == "", tried.stderr

    def begin(self) -> None:
        """Whatever is to happen later."""


class OnOtherMachines(Customized):
    """Has workers believe that they are on other machines than their master, each on its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _MOVING)


class SlowAtTheEnd(Customized):
    """
    Slows the judges of other processes down: after `begin` the next response that each of them judges takes it a second
    more, in which it does nothing else, before that response is counted; and one that is judged in slices is not done
    before three seconds have passed, in which others go on.

    Args:
        folder: An empty one, for what Python imports of itself when those processes start.
    """

    def __init__(self, folder: Path) -> None:
        self._since = folder / "slow-now"
        super().__init__(folder, _SLOWING.format(since=str(self._since)))

    def begin(self) -> None:
        self._since.touch()

    def count_arrived(self) -> int:
        """How many responses have arrived that are judged in slices."""
        return len(self._since.with_name("arrived").read_text())


class Halved:
    """A server that tells each connection another value of one counter, and never a smaller one on the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: dict[object, int] = {}

    def __call__(self, talk: hostile.Talk) -> None:
        request = talk.request
        while request:
            listing = b"GetStatsAll" in request
            talk.write(hostile.response(self._body(self._value(talk, listing=listing), listing=listing)))
            request = talk.socket.recv(65536)

    def _value(self, talk: hostile.Talk, *, listing: bool) -> int:
        return 0 if listing else self._next_value(talk.socket)

    def _next_value(self, asked_by: object) -> int:
        with self._lock:
            return self._given.setdefault(asked_by, 100 - 50 * len(self._given))

    def _body(self, value: int, *, listing: bool) -> bytes:
        sample = json.loads(json.dumps(EXAMPLE))
        sample["timestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        sample["sctp"]["total_received_sctp"] = value
        return json.dumps([sample] if listing else sample).encode()


class ByAddress(Halved):
    """The same for each machine that asks, in listings as well."""

    def _value(self, talk: hostile.Talk, *, listing: bool) -> int:
        return self._next_value(talk.socket.getpeername()[0])


_OFTEN_LISTING: Final = """
import random

from sora_stats_harness.load.sora_user import SoraUser


class OftenListing(SoraUser):
    def choose(self, requests):
        return requests.next_listing_request() if random.random() < 0.1 else requests.random_request()
"""


def often_listing(folder: Path) -> Path:
    """A locustfile whose users list often enough for a short run to show that connections are listed."""
    file = folder / "often_listing.py"
    file.write_text(_OFTEN_LISTING)
    return file


class UntilSeen:
    """
    A run of plain Locust, with or without workers, that ends when its server has seen enough, and not after a time.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._enough = folder / "enough"
        self.locustfile = folder / "until_seen.py"
        """To be given to Locust as well."""
        self.locustfile.write_text(_QUITTING.format(enough=str(self._enough)))

    def end(self) -> None:
        """It has seen enough."""
        self._enough.touch()

    def run(
        self, simulator: Simulator, command: Sequence[str], *, requests: int = 200, listings: int = 4, **options: Any
    ) -> tuple[int, str]:  # Any: those of subprocess.Popen
        """Run it; exit code, and all that it printed."""
        printed = self.locustfile.with_suffix(".txt")  # a pipe would be full
        with printed.open("w") as out, forked.start(command, stdout=out, stderr=out, **options) as process:
            try:
                while process.poll() is None and (
                    len(simulator.requests) < requests or count_listings(simulator) < listings
                ):
                    time.sleep(0.02)
                self.end()
                process.wait(timeout=120)
            finally:
                process.kill()
        return process.returncode, printed.read_text()


_QUITTING: Final = """
from pathlib import Path

import gevent
from locust import events
from locust.runners import WorkerRunner


@events.init.add_listener
def quit_once_enough_was_seen(environment, runner, **_):
    if isinstance(runner, WorkerRunner):
        return

    def watch():
        while not Path({enough!r}).exists():
            gevent.sleep(0.02)
        environment.runner.quit()

    gevent.spawn(watch)
"""


def count_listings(simulator: Simulator) -> int:
    """How often the connections were listed so far."""
    return sum(seen.operation == "GetStatsAllConnections" for seen in simulator.requests)
