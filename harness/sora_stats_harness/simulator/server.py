"""
The simulator as a server: in this process for tests, or in one of its own.

`Simulator` runs uvicorn in a thread, one listening socket a node. `start_simulator_process` starts the command `simulate` and ends it
again, so that whoever probes it shares neither its interpreter nor its event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
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

from ..api.edition import Edition, load_edition
from ..api.errors import SimulatorError, UsageError
from .asgi_app import ScheduledDisturbances, ServiceModel, SimulatedCluster, SimulatedNode, common_response_headers
from .fault_interface import Fault, ReceivedRequest, SimulatedResponse
from .faults import parse_fault
from .recording_player import RecordingPlayer
from .tcp_fault_relay import TcpFaultRelay

START_TIMEOUT_S: Final = 30.0
"""How long a server may take to listen, or to end."""

START_TIMEOUT_PER_CONNECTION_S: Final = 0.02
"""And for each connection of the world: some 3 ms are usual."""

KEEP_ALIVE_S: Final = 75
"""How long an idle connection is kept: longer than any client of ours waits before it sends again."""

_NULL_LOG_HANDLER: Final = logging.NullHandler()
"""Keeps what uvicorn says of bad requests off stderr, where nobody has set up logging."""

T = TypeVar("T")


class Simulator:
    """
    The simulated API, listening while the context lasts.

    Args:
        edition: Whose fields it serves; `doc-2024` unless given.
        seed: Decides on the world: same ids and growth for the same seed.
        connections: Of all nodes together.
        nodes: How many; each listens on a port of its own.
        faults: Ways in which it is wrong; see `simulator.faults`.
        port: Of the first node, the others follow; 0 takes free ones.
        host: Loopback, unless told otherwise.
        churn: Whether connections join and leave.
        pace: How long responses take.
        upsets: Restarts and steps of the clock that a good server may have.
        cors: Web pages of which origin may read responses; None for none, and no response to OPTIONS.
        empty_for_unknown: Whether GetStatsClient responds an unknown client with `[]`, and not with 400; both are right.
        play: A recording to respond from, on as many nodes as it has. Then there is no world: `seed`, `connections`,
            `nodes`, `churn` and `empty_for_unknown` mean nothing, and of the faults only those of complete responses strike.

    Raises:
        UsageError: The port is in use, or a value is out of range.
        SimulatorError: It did not start.
    """

    def __init__(
        self,
        edition: Edition | None = None,
        *,
        seed: int = 1,
        connections: int = 20,
        nodes: int = 1,
        faults: Sequence[Fault | str] = (),
        port: int = 0,
        host: str = "127.0.0.1",
        churn: bool = True,
        pace: ServiceModel | None = None,
        upsets: ScheduledDisturbances | None = None,
        cors: str | None = "*",
        empty_for_unknown: bool = False,
        play: RecordingPlayer | None = None,
    ) -> None:
        if cors is not None and not (cors.isascii() and cors.isprintable() and cors.strip()):
            raise UsageError(f"{cors!r} is no origin: give one like http://127.0.0.1:5000, or *")
        self._host = host
        self._port = port
        self._plant = SimulatedCluster(
            edition or load_edition(),
            seed=seed,
            connections=connections if play is None else 0,
            nodes=nodes if play is None else play.nodes,
            churn=churn,
            faults=[parse_fault(fault) if isinstance(fault, str) else fault for fault in faults],
            pace=pace or ServiceModel(),
            upsets=upsets,
            cors=cors is not None,
            empty_for_unknown=empty_for_unknown,
            played=play,
        )
        self._headers = common_response_headers(cors)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._servers: list[uvicorn.Server] = []
        self._relays: list[TcpFaultRelay] = []
        self._error: BaseException | None = None
        self.urls: list[str] = []

    @property
    def url(self) -> str:
        """Of the first node."""
        return self.urls[0]

    @property
    def requests(self) -> Sequence[ReceivedRequest]:
        """What was asked, the oldest first; the newest 10,000."""
        return tuple(self._plant.requests)

    def freeze(self) -> None:
        """Let the world and its time of day stand still."""
        self._run_on_loop(self._plant.freeze)

    def advance(self, seconds: float) -> None:
        """Let this much of the world's time pass at once, its time of day included."""
        self._run_on_loop(lambda: self._plant.advance(seconds))

    def restart(self) -> None:
        """As a server that was restarted: the same clients, other connection ids."""
        self._run_on_loop(self._plant.restart)

    def step_clock(self, seconds: float) -> None:
        """Set the server's clock forward (or back)."""

        def step() -> None:
            self._plant.wall_offset_s += seconds

        self._run_on_loop(step)

    def set_value(self, connection_id: str, pointer: str, value: Any) -> None:  # Any: a fault may set any JSON
        """
        Hold one value of a connection still from now on.

        Raises:
            UsageError: No such connection lives, or it has no place for the value.
        """
        self._run_on_loop(lambda: self._plant.world.set_value(connection_id, pointer, value))

    def set_canned_response(self, target: str, reply: SimulatedResponse) -> None:
        """Give a fixed response to another operation, by the whole value of its target header."""
        self._run_on_loop(lambda: self._plant.canned.__setitem__(target, reply))

    def _run_on_loop(self, action: Callable[[], T]) -> T:
        """Do something on the server's own loop, since the world is not for several threads."""
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
            raise SimulatorError(f"the simulator did not start: {self._error or 'no response in time'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for server in self._servers:
            server.should_exit = True
            server.force_exit = True
        if self._thread is not None:
            self._thread.join(START_TIMEOUT_S)

    def _listen(self) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        relayed = any(fault.transport is not None for fault in self._plant.faults)
        for node in range(self._plant.nodes):
            port = self._port + node if self._port and not relayed else 0
            try:
                sockets.append(socket.create_server((self._host, port), family=family, backlog=1024))
            except (OSError, OverflowError) as error:
                for other in sockets:
                    other.close()
                raise self._listen_error(port, error) from None
            # asyncio does so for sockets that it made itself. Without, a body waits for the acknowledgement of its
            # head: 40 ms on every connection that is kept, and 340 responses a second where there could be thousands.
            sockets[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sockets

    def _listen_error(self, port: int, error: Exception) -> UsageError:
        # not its own text, to which asyncio and socket each add the address in their own way
        number = error.errno if isinstance(error, OSError) else None
        own = getattr(error, "strerror", None) or str(error)
        reason = os.strerror(number) if number is not None and number > 0 else own
        return UsageError(f"cannot listen on {self._host} port {port}: {reason}")

    def _run_thread(self, sockets: list[socket.socket], started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(sockets, started))
        except BaseException as error:  # told to whoever waits for the start
            self._error = error
        finally:
            for each in sockets:
                each.close()
            started.set()

    async def _serve(self, sockets: list[socket.socket], started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        logging.getLogger("uvicorn").addHandler(_NULL_LOG_HANDLER)
        for node in range(len(sockets)):
            config = uvicorn.Config(
                SimulatedNode(self._plant, node),
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                headers=self._headers,
                timeout_keep_alive=KEEP_ALIVE_S,
                backlog=1024,
            )
            self._servers.append(uvicorn.Server(config))
        serving = [
            asyncio.ensure_future(server.serve(sockets=[each]))
            for server, each in zip(self._servers, sockets, strict=True)
        ]
        while not all(server.started for server in self._servers):
            if any(task.done() for task in serving):
                break
            await asyncio.sleep(0.005)
        ports = await self._start_relays([each.getsockname()[1] for each in sockets])
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.urls = [f"http://{shown}:{port}" for port in ports]
        started.set()
        await asyncio.gather(*serving)
        for server in self._servers:  # who still waits for a response is told that there will be none
            for connection in list(server.server_state.connections):
                connection.transport.abort()
        for relay in self._relays:
            await relay.close()
        await asyncio.sleep(0)  # in which they are closed

    async def _start_relays(self, ports: list[int]) -> list[int]:
        """Put relays before the servers where a fault of the transport is set; the ports that clients are told."""
        transports = [fault for fault in self._plant.faults if fault.transport is not None]
        if not transports:
            return ports
        fronts = []
        for node, port in enumerate(ports):
            relay = TcpFaultRelay(self._host, port, transports)
            wanted = self._port + node if self._port else 0
            try:
                fronts.append(await relay.open(wanted))
            except (OSError, OverflowError) as error:
                raise self._listen_error(wanted, error) from None
            self._relays.append(relay)
        return fronts


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorProcess:
    """A simulator in a process of its own."""

    urls: list[str]
    pid: int

    @property
    def url(self) -> str:
        """Of the first node."""
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
    Run the simulator in a process of its own while the context lasts; it ends with this process, however that ends.

    Args:
        seed, connections, nodes, faults, edition: As the command's options; None leaves them at their defaults.
        options: More of the command's options, by name without dashes; None for those that take no value.

    Raises:
        UsageError: It refuses its options; the message is its own.
        SimulatorError: It did not start, or did not end.
    """
    given = {"seed": seed, "connections": connections, "nodes": nodes, "edition": edition}
    command = [sys.executable, "-m", "sora_stats_harness", "simulate", "--port", "0", "--with-parent"]
    command += [f"--{name}={value}" for name, value in given.items() if value is not None]
    command += [f"--fault={fault}" for fault in faults]
    command += [f"--{name}" if value is None else f"--{name}={value}" for name, value in (options or {}).items()]
    process = subprocess.Popen(  # noqa: S603  # our own command
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
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        urls = []
        for _ in range(nodes or 1):
            line = process.stdout.readline().strip()
            if not line.startswith("http"):
                raise _process_start_error(process)
            urls.append(line)
        watchdog.cancel()
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()  # so that it never waits for us to read
        yield SimulatorProcess(urls=urls, pid=process.pid)
    finally:
        watchdog.cancel()
        _stop_process(process)


def _process_start_error(process: subprocess.Popen[str]) -> UsageError | SimulatorError:
    try:
        _, said = process.communicate(timeout=START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return SimulatorError("the simulator did not start in time")
    lines = [line for line in said.splitlines() if line.strip()]
    last = lines[-1].removeprefix("sora-harness: ") if lines else f"exit status {process.returncode}"
    if process.returncode == UsageError.exit_code:
        return UsageError(last)
    return SimulatorError(f"the simulator did not start: {last}")


def _stop_process(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=START_TIMEOUT_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            try:
                pipe.close()
            except OSError:
                pass  # it has gone already
