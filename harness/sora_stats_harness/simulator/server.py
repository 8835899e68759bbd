"""
Runs the simulator as a server: in a thread of this process for tests, or in a process of its own.

`Simulator` runs uvicorn in a thread, with one listening socket for each node. `start_simulator_process` runs the
command `simulate` while a context lasts, so that a client under test shares neither its interpreter nor its event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar

import uvicorn

from ..api.errors import SimulatorError, UsageError
from ..api.exchange import TARGET_HEADER, Target
from ..api.server_url import bracket_ipv6
from .asgi_app import SimulatedCluster, SimulatedNode, SimulatorOptions, common_response_headers
from .fault_interface import ReceivedRequest, SimulatedResponse
from .tcp_fault_relay import TcpFaultRelay

START_TIMEOUT_S: Final = 30.0
"""How long a server may take to start listening, or to end."""

START_TIMEOUT_PER_CONNECTION_S: Final = 0.02
"""The additional time for each connection of the world; some 3 ms are usual."""

KEEP_ALIVE_S: Final = 75
"""How long an idle connection is kept: longer than any client of the harness waits before it sends again."""

_NULL_LOG_HANDLER: Final = logging.NullHandler()
"""Keeps uvicorn's warnings about bad requests off stderr if logging is not set up."""

TARGET_VALUE: Final = re.compile(r"[A-Za-z]\w*_[0-9]{8}\.\w+")
"""The form of the target header's values."""

T = TypeVar("T")


class Simulator(SimulatorOptions):
    """
    The simulated API, listening while the context lasts; takes its options, as in `Simulator(connections=3, seed=2)`.

    Raises:
        UsageError: The port is in use, or a value is out of range.
        SimulatorError: The simulator did not start.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.urls: list[str] = []
        self._cluster = SimulatedCluster(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = asyncio.Event()
        self._servers: list[uvicorn.Server] = []
        self._relays: list[TcpFaultRelay] = []
        self._error: BaseException | None = None

    @property
    def url(self) -> str:
        """The URL of the first node."""
        return self.urls[0]

    @property
    def requests(self) -> Sequence[ReceivedRequest]:
        """The newest 10,000 requests that the simulator received, oldest first."""
        return tuple(self._cluster.requests)

    @property
    def is_frozen(self) -> bool:
        """Whether the world and its time of day are frozen."""
        return self._cluster.is_frozen

    def freeze(self) -> None:
        """Freeze the world and its time of day."""
        self._run_on_loop(self._cluster.freeze)

    def advance(self, seconds: float) -> None:
        """Advance the world's time and its time of day at once."""
        self._run_on_loop(lambda: self._cluster.advance(seconds))

    def restart(self) -> None:
        """Restart the server: the same clients, other connection ids."""
        self._run_on_loop(self._cluster.restart)

    def reset(self) -> None:
        """
        Start from the beginning at the same URLs: the world, the faults, the received requests, and whatever was set.

        A fault that was given as an object keeps its state.
        """
        self._run_on_loop(self._cluster.reset)

    def set_value(self, connection_id: str, pointer: str, value: Any) -> None:  # Any: a fault may set any JSON
        """
        Keep one value of a connection constant from now on.

        Raises:
            UsageError: There is no such connection, or it has no place for the value.
        """
        self._run_on_loop(lambda: self._cluster.world.set_value(connection_id, pointer, value))

    def set_canned_response(self, target: str, reply: SimulatedResponse) -> None:
        """
        Give a fixed response to a target, by the whole value of its header.

        Raises:
            UsageError: The target is not such a value, or `reply` is not a response.
        """
        if not TARGET_VALUE.fullmatch(target):
            value = next((each.value for each in Target if each.operation == target), f"Sora_20160711.{target}")
            raise UsageError(f"{target!r} is not a whole value of {TARGET_HEADER}: write one such as {value}")
        if not isinstance(reply, SimulatedResponse):
            raise UsageError(f"a response must be a CannedResponse, such as CannedResponse(status=200), not {reply!r}")
        self._run_on_loop(lambda: self._cluster.canned.__setitem__(target, reply))

    def _run_on_loop(self, action: Callable[[], T]) -> T:
        """Run an action on the server's own event loop, since the world is not safe for several threads."""
        loop = self._loop
        if loop is None or not loop.is_running():
            return action()

        async def do() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(do(), loop).result(START_TIMEOUT_S)

    def __enter__(self) -> Simulator:
        sockets = self._listen()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run_thread, args=(sockets, started), name="simulator", daemon=True)
        self._thread.start()
        if not started.wait(START_TIMEOUT_S) or self._error is not None:
            self._stop()
            if isinstance(self._error, UsageError):
                raise self._error
            raise SimulatorError(f"the simulator did not start: {self._error or 'it took too long'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._stopping.set)
        else:
            self._stopping.set()
        if self._thread is not None:
            self._thread.join(START_TIMEOUT_S)

    def _listen(self) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        relayed = any(fault.transport is not None for fault in self._cluster.faults)
        for node in range(self.nodes):
            port = self.port + node if self.port and not relayed else 0
            try:
                sockets.append(socket.create_server((self.host, port), family=family, backlog=1024))
            except (OSError, OverflowError) as error:
                for other in sockets:
                    other.close()
                raise self._listen_error(port, error) from None
            # asyncio does so for the sockets that it makes. Without it a body waits for the acknowledgement of its head:
            # 40 ms on every kept connection, and 340 responses a second where there could be thousands.
            sockets[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sockets

    def _listen_error(self, port: int, error: Exception) -> UsageError:
        # not the error's own text, since asyncio and socket add the address to it in different ways
        number = error.errno if isinstance(error, OSError) else None
        own = getattr(error, "strerror", None) or str(error)
        reason = os.strerror(number) if number is not None and number > 0 else own
        return UsageError(f"cannot listen on {self.host} port {port}: {reason}")

    def _run_thread(self, sockets: list[socket.socket], started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(sockets, started))
        except BaseException as error:  # `__enter__` reports it
            self._error = error
        finally:
            for each in sockets:
                each.close()
            started.set()

    async def _serve(self, sockets: list[socket.socket], started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        logging.getLogger("uvicorn").addHandler(_NULL_LOG_HANDLER)
        for node in range(len(sockets)):
            self._servers.append(uvicorn.Server(server_config(SimulatedNode(self._cluster, node), self.cors)))
        serving = [
            asyncio.ensure_future(server.serve(sockets=[each]))
            for server, each in zip(self._servers, sockets, strict=True)
        ]
        while not all(server.started for server in self._servers):
            for task in serving:
                if task.done():
                    task.result()  # raises the reason why it did not start
            await asyncio.sleep(0.001)
        ports = await self._start_relays([each.getsockname()[1] for each in sockets])
        self.urls = [f"http://{bracket_ipv6(self.host)}:{port}" for port in ports]
        started.set()
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([stopping, *serving], return_when=asyncio.FIRST_COMPLETED)
        # uvicorn's own shutdown takes 0.2 s, which would be most of a simulator's cost in a test
        for server in self._servers:
            for listener in server.servers:
                listener.close()
            for connection in list(server.server_state.connections):
                connection.transport.abort()  # so that waiting clients learn that there will be no response
        for relay in self._relays:
            await relay.close()
        stopping.cancel()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0)  # lets the loop close them

    async def _start_relays(self, ports: list[int]) -> list[int]:
        """Put a relay before each server if there is a transport fault; returns the ports for clients."""
        if all(fault.transport is None for fault in self._cluster.faults):
            return ports
        fronts = []
        for node, port in enumerate(ports):
            relay = TcpFaultRelay(self.host, port, self._cluster.next_relay_action)
            wanted = self.port + node if self.port else 0
            try:
                fronts.append(await relay.open(wanted))
            except (OSError, OverflowError) as error:
                raise self._listen_error(wanted, error) from None
            self._relays.append(relay)
        return fronts


def server_config(app: SimulatedNode, cors: str | None) -> uvicorn.Config:
    """uvicorn's configuration for one node."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=common_response_headers(cors),
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=1024,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorProcess:
    """A simulator in a process of its own."""

    urls: list[str]
    pid: int

    @property
    def url(self) -> str:
        """The URL of the first node."""
        return self.urls[0]


@contextmanager
def start_simulator_process(
    *,
    seed: int | None = None,
    connections: int | None = None,
    nodes: int | None = None,
    faults: Sequence[str] = (),
    edition: str | None = None,
    options: Mapping[str, str | None] | None = None,
) -> Iterator[SimulatorProcess]:
    """
    Run the simulator in a separate process while the context lasts; it ends with this process, however that ends.

    Args:
        seed, connections, nodes, faults, edition: As the command's options; None leaves them at their defaults.
        options: Further options of the command, by name without dashes; None for those without a value.

    Raises:
        UsageError: The command refuses its options; the message is its own.
        SimulatorError: It did not start, or did not end.
    """
    given = {"seed": seed, "connections": connections, "nodes": nodes, "edition": edition}
    command = [sys.executable, "-m", "sora_stats_harness", "simulate", "--port", "0", "--with-parent"]
    command += [f"--{name}={value}" for name, value in given.items() if value is not None]
    command += [f"--fault={fault}" for fault in faults]
    command += [f"--{name}" if value is None else f"--{name}={value}" for name, value in (options or {}).items()]
    process = subprocess.Popen(  # noqa: S603  # the harness's own command
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    watchdog = threading.Timer(START_TIMEOUT_S + START_TIMEOUT_PER_CONNECTION_S * (connections or 0), process.kill)
    watchdog.daemon = True
    watchdog.start()
    assert process.stdout is not None
    assert process.stderr is not None
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        urls = []
        for _ in range(nodes or 1):
            line = process.stdout.readline().strip()
            if not line.startswith("http"):
                raise _process_start_error(process)
            urls.append(line)
        watchdog.cancel()
        drain.start()  # so that the process never waits for a reader
        yield SimulatorProcess(urls=urls, pid=process.pid)
    finally:
        watchdog.cancel()
        _stop_process(process, drain)


def _process_start_error(process: subprocess.Popen[str]) -> UsageError | SimulatorError:
    try:
        _, complaint = process.communicate(timeout=START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return SimulatorError("the simulator did not start in time")
    lines = [line for line in complaint.splitlines() if line.strip()]
    last = lines[-1].removeprefix("sora-harness: ") if lines else f"exit status {process.returncode}"
    if process.returncode == UsageError.exit_code:
        return UsageError(last)
    return SimulatorError(f"the simulator did not start: {last}")


def _stop_process(process: subprocess.Popen[str], drain: threading.Thread) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=START_TIMEOUT_S)
    if drain.ident is not None:
        drain.join(timeout=5)  # it reads from the pipe that is closed next
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            try:
                pipe.close()
            except OSError:
                pass  # the process has gone already
