"""
The master's control of workers: starts them or waits for them, sends orders, and names those that fail.

Locust's master connects the workers and tells them how many users to have. Locust's heartbeat is not used, since it
considers a worker dead that is busy for three seconds. A process that we started is dead when the system says so, and
one on another machine when it has been silent for half a minute.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar

import gevent
import msgspec
from locust.env import Environment
from locust.exception import RPCError
from locust.rpc import Message
from locust.runners import MasterRunner

from .. import __version__
from ..api.errors import HarnessError, UsageError
from ..probe.interrupt import SIGNALS
from . import worker_messages as messages
from .greenlets import note_greenlet_breaks, silence_keyboard_interrupt
from .load_spec import WorkerPlan
from .load_users import InterruptSignal, wait_for_users
from .request_metrics import REQUEST_COUNTS, RequestMetrics, TimelineInterval
from .scenario_users import SCENARIO_USERS
from .worker_results import WorkerNames

START_TIMEOUT_S: Final = 60.0
"""How long a process may take to become ready."""

RESULT_TIMEOUT_S: Final = 30.0
"""How long a worker may take from the end of sending to its result, beyond the longest exchange."""

SILENCE_TIMEOUT_S: Final = 30.0
"""A worker on another machine that is silent for this long counts as dead."""

EXIT_TIMEOUT_S: Final = 5.0

START_LEAD_NS: Final = 200_000_000
"""The time between the order to begin and the beginning, for garbage collection and the users' first turns."""

POLL_S: Final = 0.02

ReportType = TypeVar("ReportType", bound=msgspec.Struct)


@dataclass(slots=True)
class _Worker:
    index: int
    process: subprocess.Popen[bytes] | None = None
    client_id: str | None = None
    hello: messages.HelloReport | None = None
    has_share: bool = False
    """Whether it got a share of the work; if not, it has nothing to report."""
    progress: messages.ProgressReport | None = None
    result: messages.WorkerResult | None = None
    trouble: str | None = None
    """Why nothing more is expected from it."""
    is_broken: bool = False
    """Whether the harness is at fault for that."""
    heard_s: float = field(default_factory=time.monotonic)
    reports: list[messages.Report] = field(default_factory=list)
    """The reports that are waited for."""

    @property
    def name(self) -> str:
        pid = self.process.pid if self.process is not None else self.hello.pid if self.hello is not None else None
        host = f"{self.hello.host}, " if self.hello is not None and self.process is None else ""
        return f"worker {self.index + 1}" + ("" if pid is None else f" ({host}pid {pid})")

    @property
    def is_active(self) -> bool:
        return self.trouble is None and self.result is None

    def find_trouble(self) -> str | None:
        """What happened to an active worker: its process ended, or a remote one has become silent; None if nothing."""
        if self.process is not None:
            if (status := self.process.poll()) is None:
                return None
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            return f"{how} before it had reported: what it saw last is missing"
        if self.hello is not None and time.monotonic() > self.heard_s + SILENCE_TIMEOUT_S:
            return f"was not heard of for {SILENCE_TIMEOUT_S:g} s: what it saw is missing"
        return None

    def give_up(self, trouble: str) -> None:
        """Expect nothing more from it, and end its process if we started it."""
        self.trouble = trouble
        if self.process is not None:
            self.process.kill()


class _Master(MasterRunner):
    """Locust's master without its heartbeat, which would move the users of a busy worker to the others."""

    def heartbeat_worker(self) -> NoReturn:
        """Do nothing, as long as there is a master."""
        while True:
            gevent.sleep(3600)

    def dismiss_workers(self) -> None:
        """Tell all workers to end, as `quit` does, which waits for half a second then."""
        self.stop(send_stop_to_client=False)
        for client in self.clients.all:
            self.server.send_to_client(Message("quit", None, client.id))


class _ReportedSeconds:
    """Collects the seconds of all workers, until they are taken."""

    def __init__(self) -> None:
        self._seconds: dict[int, TimelineInterval] = {}

    def add(self, second: TimelineInterval) -> None:
        self._seconds.setdefault(second.from_s, TimelineInterval(second.from_s)).merge(second)

    def take(self, before_s: float) -> list[TimelineInterval]:
        return [self._seconds.pop(each) for each in sorted(self._seconds) if each < before_s]


def _read_report(data: object) -> tuple[messages.Report, bool]:
    """A worker's report, and whether it could be read; what can't be is a failure of the worker."""
    try:
        return messages.decode_report(data), True
    except HarnessError as error:
        return messages.FailedReport(reason=str(error), is_broken=True), False


class Workers:
    """
    The `LoadGenerator` of all workers of a run; a context, at whose end the ones started here end.

    Args:
        order: The order for all of them together.
        interrupt: The first signal ends every wait except that for results, the second gives up open requests.
    """

    def __init__(self, plan: WorkerPlan, order: messages.PrepareOrder, interrupt: InterruptSignal) -> None:
        self.plan = plan
        self.order = order
        self.watch: Callable[[], None] = lambda: None
        """Called repeatedly during waits."""
        self.live_metrics: RequestMetrics = RequestMetrics()
        """The last seconds of all workers, for abort limits."""
        self._seconds = _ReportedSeconds()
        self._interrupt = interrupt
        self._is_draining = False
        self._break: str | None = None
        self._workers = [_Worker(index=index) for index in range(plan.count)]
        self._by_client: dict[str, _Worker] = {}
        self._runner: Any = None  # Any: Locust's own types are not checked

    def __enter__(self) -> Self:
        silence_keyboard_interrupt()
        note_greenlet_breaks(self._note_break)
        logging.getLogger("locust.runners").setLevel(logging.ERROR)
        environment = Environment(user_classes=[], catch_exceptions=False)
        try:
            self._runner = environment.runner = _Master(environment, self.plan.bind_host, self.plan.bind_port)
        except (RPCError, SystemExit):  # Locust would end the process if the port is taken
            raise UsageError(
                f"port {self.plan.bind_port} of {self.plan.bind_host} can't be listened on: is it in use?"
            ) from None
        # in a greenlet of its own: Locust would only log an exception
        self._runner.register_message(messages.REPORT_MESSAGE, self._on_report, concurrent=True)
        if self.plan.are_started_here:
            try:
                for worker in self._workers:
                    self._start_process(worker)
            except BaseException:
                _kill_processes(self._workers)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and not self.plan.are_started_here:
                self._runner.quit()
            elif error is None:
                self._runner.dismiss_workers()
                until_s = time.monotonic() + EXIT_TIMEOUT_S
                while any(_is_running(worker) for worker in self._workers) and time.monotonic() < until_s:
                    gevent.sleep(POLL_S)
                self._runner.greenlet.kill(block=True)
        finally:
            _kill_processes(self._workers)

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> WorkerNames:
        """The workers' names for people."""
        return WorkerNames({worker.index: worker.name for worker in self._workers})

    @property
    def results(self) -> list[messages.WorkerResult]:
        """The results of workers that have reported, by index."""
        return [worker.result for worker in self._workers if worker.result is not None]

    def counts(self) -> dict[str, int]:
        progress = [worker.progress.counts for worker in self._workers if worker.progress is not None]
        return {name: sum(counts.get(name, 0) for counts in progress) for name in REQUEST_COUNTS}

    def take_seconds(self, *, is_over: bool = False) -> list[TimelineInterval]:
        reported = [each.progress.through_s if each.progress else 0 for each in self._workers if each.is_active]
        return self._seconds.take(math.inf if is_over else min(reported, default=0))

    def sent_by_silent(self) -> dict[str, int]:
        """For workers without a result, how many requests they had sent by their last report, by name."""
        return {
            worker.name: 0 if worker.progress is None else worker.progress.counts.get("sent", 0)
            for worker in self._workers
            if worker.result is None
        }

    def trouble(self) -> str | None:
        """Which workers failed, and how; None if none did."""
        self._check_processes()
        troubles = [f"{worker.name} {worker.trouble}" for worker in self._workers if worker.trouble is not None]
        return "; ".join(troubles) or None

    def end_reason(self) -> str | None:
        return None if self._active() else self.trouble()  # the others go on without a worker that failed

    def break_text(self) -> str | None:
        """The fault of the harness that was noticed here, or that left a worker without a result; None if none was."""
        broken = (f"{worker.name} {worker.trouble}" for worker in self._workers if worker.is_broken)
        return self._break or "; ".join(broken) or None

    def _note_break(self, text: str) -> None:
        self._break = self._break or text

    # -- the course of a run ------------------------------------------------------------------------------------------

    def prepare(self) -> str | None:
        """
        Wait until all workers have connected, give each its share of the work, and wait until all users are ready.

        Returns:
            Why the run can't begin; None if it can, or if the user interrupted.
        """
        if (problem := self._wait_for_hello()) is not None or self._should_stop():
            return problem
        order, count = self.order, self.plan.count
        for worker in self._workers:
            worker.has_share = True
            self._send(
                worker,
                msgspec.structs.replace(
                    order, index=worker.index, workers=count, spec=order.spec.share_for_worker(worker.index, count)
                ),
            )
        reports = self.gather(messages.ReadyReport, START_TIMEOUT_S)
        no_server = next((report.no_server for report in reports if report.no_server is not None), None)
        if (problem := self.trouble() or no_server) is not None or self._should_stop():
            return problem
        return self._stand_up(order.spec.users)

    def _stand_up(self, users: int) -> str | None:
        """Let Locust start the users, and wait until all are ready."""
        self._runner.environment.user_classes = [SCENARIO_USERS[self.order.spec.scenario]]
        gevent.spawn(self._runner.start, users, users)

        def standing() -> int:
            self.watch()
            return sum(worker.progress.standing for worker in self._workers if worker.progress is not None)

        problem = wait_for_users(standing, users, lambda: self._should_stop() or self.trouble() is not None)
        return self.trouble() or problem

    def start(self) -> int:
        begins_ns = time.monotonic_ns() + START_LEAD_NS
        self.send_all(messages.StartOrder(begins_ns=begins_ns, lead_ns=START_LEAD_NS))
        return begins_ns

    def drain(self) -> None:
        """
        Order all workers to stop sending, and to report everything.

        Waits for the result of each living worker; one without a result in time is ended, and named.
        """
        self._is_draining = True
        self.send_all(messages.DrainOrder(give_up=False))
        timeout_s = self.order.spec.timeout_s + RESULT_TIMEOUT_S
        until_s = time.monotonic() + timeout_s
        gave_up = False
        for worker in self._active():
            if not worker.has_share:
                worker.give_up("was not ready when the run ended")
        while active := self._active():
            if self._interrupt.gives_up and not gave_up:
                gave_up = True
                self.send_all(messages.DrainOrder(give_up=True))
            if time.monotonic() > until_s:
                for worker in active:
                    worker.give_up(f"did not report within {timeout_s:g} s")
            self.watch()
            gevent.sleep(POLL_S)

    def send_all(self, order: msgspec.Struct) -> None:
        """Send an order to all active workers."""
        for worker in self._workers:
            if worker.is_active:
                self._send(worker, order)

    def gather(
        self,
        kind: type[ReportType],
        timeout_s: float,
        *,
        heed: bool = True,
        halt_at: Callable[[ReportType], bool] = lambda report: False,
    ) -> list[ReportType]:
        """
        Wait for the next report of a kind from each worker; other reports are skipped.

        Args:
            timeout_s: A worker that has not reported by then is ended.
            heed: Whether an interrupt or a worker's failure ends the wait; if not, it continues for the remaining ones.
            halt_at: Whether a report halts the other workers.

        Returns:
            The reports, in the order of the workers.
        """
        got: dict[int, ReportType] = {}
        until_s = time.monotonic() + timeout_s
        while active := [worker for worker in self._active() if worker.index not in got]:
            for worker in active:
                while worker.reports and worker.index not in got:
                    report = worker.reports.pop(0)
                    if isinstance(report, kind):
                        got[worker.index] = report
                        if halt_at(report):
                            self.send_all(messages.HaltOrder())
            if heed and (self._should_stop() or self.trouble() is not None):
                break
            if time.monotonic() > until_s:
                for worker in active:
                    if worker.index not in got:
                        worker.give_up(f"did not report within {timeout_s:.0f} s")
            self.watch()
            gevent.sleep(POLL_S)
        return [got[index] for index in sorted(got)]

    def _should_stop(self) -> bool:
        return self._interrupt.is_interrupted

    # -- one worker ---------------------------------------------------------------------------------------------------

    def _start_process(self, worker: _Worker) -> None:
        command = [sys.executable, "-m", "sora_stats_harness.load.worker", self.plan.bind_host]
        command += [str(self._runner.server.port), str(os.getpid())]
        # It inherits the signal mask, and imports Locust with signals blocked, since a terminal's Ctrl-C reaches it as well.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            worker.process = subprocess.Popen(  # noqa: S603  # our own command
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except OSError as error:
            raise HarnessError(f"{worker.name} could not be started: {error.strerror or error}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _wait_for_hello(self) -> str | None:
        until_s = time.monotonic() + START_TIMEOUT_S
        while not self._should_stop() and any(worker.hello is None for worker in self._workers):
            if (trouble := self.trouble()) is not None:
                return trouble
            if self.plan.are_started_here and time.monotonic() > until_s:
                for worker in self._workers:
                    if worker.hello is None:
                        worker.give_up(f"was not ready within {START_TIMEOUT_S:g} s")
            self.watch()
            gevent.sleep(POLL_S)
        return None

    def _on_report(self, environment: Any, msg: Any) -> None:  # Any: as Locust calls it
        report, is_readable = _read_report(msg.data)
        worker = self._worker_of(msg.node_id, report)
        if worker is None or not (is_readable or worker.trouble is None):
            return
        worker.heard_s = time.monotonic()
        if isinstance(report, messages.ProgressReport):
            worker.progress = report
            for each in report.intervals:
                self._seconds.add(each)
                self.live_metrics.add_interval(each)
        elif isinstance(report, messages.WorkerResult):
            worker.result = report
            if not self._is_draining:
                worker.trouble = "was ended before the run was over"
        elif isinstance(report, messages.FailedReport):
            worker.trouble, worker.is_broken = f"failed: {report.reason}", report.is_broken
        elif not isinstance(report, messages.HelloReport):
            worker.reports.append(report)

    def _worker_of(self, client_id: str, report: messages.Report) -> _Worker | None:
        """The worker that sent a report; None if there are too many workers."""
        if not isinstance(report, messages.HelloReport):
            return self._by_client.get(client_id)
        for worker in self._workers:
            expected = worker.process is None or worker.process.pid == report.pid
            if worker.hello is None and expected:
                worker.hello, worker.client_id = report, client_id
                self._by_client[client_id] = worker
                if report.version != __version__:  # its messages may mean something else
                    worker.trouble = f"is of sora-harness {report.version}, and this is {__version__}: install the same"
                return worker
        return None

    def _send(self, worker: _Worker, order: msgspec.Struct) -> None:
        if worker.client_id is not None:
            self._runner.send_message(messages.ORDER_MESSAGE, messages.encode_message(order), worker.client_id)

    def _active(self) -> Sequence[_Worker]:
        self._check_processes()
        return [worker for worker in self._workers if worker.is_active]

    def _check_processes(self) -> None:
        for worker in self._workers:
            if worker.is_active:
                worker.trouble = worker.find_trouble()


def _kill_processes(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if _is_running(worker):
            assert worker.process is not None, "it runs"
            worker.process.kill()
            worker.process.wait()


def _is_running(worker: _Worker) -> bool:
    return worker.process is not None and worker.process.poll() is None
