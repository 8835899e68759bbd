"""
A worker: a process with its own users, which follows a master's orders and reports the results.

Locust connects it to the master, and starts and stops its users. The worker judges every exchange. If the master is on
the same machine it also writes every exchange to a spool, so that all workers' exchanges are judged together, in order.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gevent
import msgspec
from gevent.event import Event
from gevent.queue import Queue
from locust.env import Environment

from ..api.edition import Edition, load_edition, parse_edition
from ..api.errors import ExitCode, HarnessError, UsageError, describe_break
from ..api.exchange import TransportError
from ..api.secret_redaction import Secrets
from ..api.server_address import ServerAddress
from ..probe.interrupt import ABANDONING_INTERRUPT_COUNT, FORCED_INTERRUPT_COUNT, SIGNALS, end_process_at_signal
from . import worker_messages as messages
from .capacity.rate_search import LoadAborted, SearchEnded
from .capacity.step_runner import StepRunner
from .capacity.stepped_session import SteppedSession
from .greenlets import note_greenlet_breaks
from .http_connection import resolve_server
from .load_session import LoadSession
from .load_users import drain_users, forgo_caller_lookup
from .run_measurements import RunStopwatch
from .sample_trail import SampleTrail
from .scenario_users import SCENARIO_USERS
from .slo import parse_abort_limit
from .spools import WorkerSpool
from .worker_results import make_worker_result

PROGRESS_INTERVAL_S: Final = 0.5

STANDING_UP_INTERVAL_S: Final = 0.05
"""The same before the run has begun, while the master waits for all users to be ready."""

MASTER_SILENCE_TURNS: Final = 20
"""
After so many intervals of `PROGRESS_INTERVAL_S` without a sign of the master it counts as gone, since nothing would end
the load. Intervals are counted instead of seconds, so that a worker that was itself stopped doesn't blame the master.
"""

FLUSH_TIMEOUT_MS: Final = 2000
"""How long the last reports may take to be sent."""

MIN_STALL_S: Final = 1.0
"""If the loop did not run for this long, the process was stopped or blocked."""


class WorkerInterrupt:
    """A worker's counterpart of `InterruptHandler`: says whether to stop waiting."""

    def __init__(self) -> None:
        self.is_interrupted = self.gives_up = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreparedRun:
    """A worker's share of a run."""

    order: messages.PrepareOrder
    session: LoadSession
    trail: SampleTrail
    spool: WorkerSpool | None
    """None on another machine than the master's."""
    steps: StepRunner | None
    """None unless load is driven in steps."""


class LoadWorker:
    """Follows the orders of a master; Locust's environment has a worker's runner."""

    def __init__(self, environment: Any) -> None:  # Any: Locust's own types are not checked
        self._environment = environment
        self._runner = environment.runner
        self.leaves: bool = False
        """Whether it leaves by itself, not because its master says so."""
        self._signals = 0
        self._interrupt = WorkerInterrupt()
        self._orders: Queue = Queue()
        self._drains = False
        self._run: _PreparedRun | None = None
        self._has_run = Event()
        self._stopwatch = RunStopwatch()
        self._step_began_ns = 0
        self._stalled_s = 0.0
        # in a greenlet of its own: Locust would only log an exception
        self._runner.register_message(messages.ORDER_MESSAGE, self._on_order, concurrent=True)
        note_greenlet_breaks(self.note_break)
        forgo_caller_lookup()
        self._report(messages.HelloReport.of_this_process())

    @property
    def exit_code(self) -> ExitCode:
        """That of an interrupted or a broken run if it leaves by itself."""
        if not self.leaves:
            return ExitCode.PASS
        is_broken = self._run is not None and self._run.session.break_text is not None
        return ExitCode.BROKEN if is_broken else ExitCode.INCONCLUSIVE

    def _report(self, report: msgspec.Struct) -> None:
        self._runner.send_message(messages.REPORT_MESSAGE, messages.encode_message(report))

    def _on_order(self, environment: Any, msg: Any) -> None:  # Any: as Locust calls it
        order = messages.decode_order(msg.data)
        if isinstance(order, messages.HaltOrder | messages.DrainOrder):
            self._interrupt.is_interrupted = True
        if not isinstance(order, messages.HaltOrder):
            self._orders.put(order)
        if isinstance(order, messages.DrainOrder):
            self._begin_drain(order)

    def run(self) -> None:
        """Follow orders until the run is over; runs in its own greenlet."""
        reporting = gevent.spawn(self._report_progress)
        try:
            while not isinstance(order := self._orders.get(), messages.DrainOrder):
                self._follow(order)
            self._finish()
        except (HarnessError, SearchEnded) as error:
            self._report(messages.FailedReport(reason=str(error)))
        except Exception as error:  # the master names it
            self._report(messages.FailedReport(reason=describe_break(error), is_broken=True))
        finally:
            reporting.kill()

    def _begin_drain(self, order: messages.DrainOrder) -> None:
        self._drains = True
        self._interrupt.gives_up = order.give_up
        if self._run is not None:
            self._run.session.drain()

    def leave(self, *, give_up: bool = False) -> None:
        """Leave without an order: stop sending, and report what was seen."""
        self.leaves = True
        self._interrupt.is_interrupted = True
        order = messages.DrainOrder(give_up=give_up)
        self._orders.put(order)
        self._begin_drain(order)

    def note_break(self, text: str) -> None:
        """Leave at a fault of the harness, after reporting it with what was seen; raises nothing, as gevent demands."""
        try:
            if self._run is not None and not self.leaves:
                self._run.session.note_break(text)
                self.leave()
                return
        except Exception:
            self.leaves = True  # not even that works
        gevent.spawn(self._report, messages.FailedReport(reason=text, is_broken=True))

    def obey_signal(self, number: int) -> None:
        """Handle a signal to this worker: the second one gives up open requests, and the third ends the process."""
        self._signals += 1
        if self._signals >= FORCED_INTERRUPT_COUNT:
            end_process_at_signal(number, None)
        self.leave(give_up=self._signals >= ABANDONING_INTERRUPT_COUNT)

    def _follow(self, order: messages.Order) -> None:
        run = self._run
        match order:
            case messages.PrepareOrder():
                self._prepare(order)
            case messages.StepOrder() if run is not None and run.steps is not None:
                self._start_step(order, run, run.steps)
            case messages.StartOrder() if run is not None and run.steps is None:
                self._start(order, run)
            case messages.WindowOrder() if run is not None and run.steps is not None:
                self._report(self._wait_for_window(order, run.steps))
            case messages.EndStepOrder() if run is not None and run.steps is not None:
                self._report(self._end_step(order, run, run.steps))
            case _:
                raise HarnessError(f"an order that is invalid now: {order!r}")

    # -- orders -------------------------------------------------------------------------------------------------------

    def _prepare(self, order: messages.PrepareOrder) -> None:
        spec = order.spec
        edition = (
            load_edition(spec.edition)
            if order.edition_text is None
            else parse_edition(order.edition_text, origin=spec.edition)
        )
        at = order.addresses if order.is_on_masters_machine else None
        address = resolve_server(order.server, order.route, at=at)
        if isinstance(address, TransportError):
            raise HarnessError(f"{order.server}: {address.detail}")
        session, steps = self._make_session(order, edition, address)
        trail, spool = SampleTrail(session.judge), None
        if order.is_on_masters_machine:
            spool = WorkerSpool(Path(order.spool_folder), order.index)
            session.observer = spool.open(session, order.subject_kind, Secrets(order.secrets))
        else:
            trail.start()
        self._run = _PreparedRun(order=order, session=session, trail=trail, spool=spool, steps=steps)
        self._has_run.set()
        self._environment.sora_session = session
        self._environment.user_classes = [SCENARIO_USERS[spec.scenario]]
        no_server = session.discover(lambda: self._interrupt.is_interrupted)
        if steps is not None:
            session.start()
        self._report(messages.ReadyReport(no_server=no_server))

    def _make_session(
        self, order: messages.PrepareOrder, edition: Edition, address: ServerAddress
    ) -> tuple[LoadSession, StepRunner | None]:
        if order.patience_s is None:
            return LoadSession(edition, address, order.spec, share=order.share), None
        session = SteppedSession(edition, address, order.spec, share=order.share, tolerance=order.tolerance)
        limits = tuple(parse_abort_limit(text) for text in order.limits)
        return session, StepRunner(session, patience_s=order.patience_s, limits=limits, interrupt=self._interrupt)

    def _start(self, order: messages.StartOrder, run: _PreparedRun) -> None:
        begins_ns = order.local_begins_ns(same_clock=run.order.is_on_masters_machine)
        if self._interrupt.is_interrupted:
            return
        run.session.start(begins_ns)
        self._stopwatch.start(begins_ns)

    def _start_step(self, order: messages.StepOrder, run: _PreparedRun, steps: StepRunner) -> None:
        begins_ns = order.local_begins_ns(same_clock=run.order.is_on_masters_machine)
        share = run.order.share
        self._interrupt.is_interrupted = self._drains
        self._step_began_ns = time.monotonic_ns()
        self._stopwatch.start()
        steps.start_step(order.rate / share.count, begins_ns + round(share.index * 1e9 / order.rate))

    def _wait_for_window(self, order: messages.WindowOrder, steps: StepRunner) -> messages.WindowReport:
        try:
            return messages.WindowReport(window=steps.wait_for_window(order.lasts_s))
        except LoadAborted as aborted:
            return messages.WindowReport(aborted=str(aborted), window=aborted.partial_window)
        except SearchEnded:
            return messages.WindowReport(window=None)

    def _end_step(self, order: messages.EndStepOrder, run: _PreparedRun, steps: StepRunner) -> messages.StepReport:
        self._interrupt.is_interrupted = order.at_once or self._drains
        outage: str | None = None
        findings: tuple[str, ...] = ()
        try:
            findings = steps.end_step()
        except SearchEnded as ended:
            outage = str(ended)
        return messages.StepReport(
            findings=findings,
            metrics=run.session.metrics.state(),
            outage=outage,
            index=run.order.index,
            samples=run.trail.newest_since(self._step_began_ns) if run.order.workers > 1 else {},
        )

    def _finish(self) -> None:
        run = self._run
        if run is None:
            if self.leaves:
                self._report(messages.FailedReport(reason="it was ended before it had a share of the run"))
            return
        session = run.session
        drain_users(self._runner, session, lambda: self._interrupt.gives_up)
        self._stopwatch.stop(session.drained_ns)
        if self._runner.user_count:
            self._runner.stop()  # in case open requests were given up
        session.judge.judge_pending()
        self._report(_progress(session, is_over=True))
        measures = self._stopwatch.measures(session)
        self._report(make_worker_result(session, measures, spool=run.spool, trail=run.trail, stalled_s=self._stalled_s))

    def _report_progress(self) -> None:
        looked_s = time.monotonic()
        while True:
            session = None if self._run is None else self._run.session
            stands_up = session is not None and not session.metrics.started_ns
            rest_s = STANDING_UP_INTERVAL_S if stands_up else PROGRESS_INTERVAL_S
            if session is None:
                self._has_run.wait(rest_s)
            else:
                gevent.sleep(rest_s)
            late_s = time.monotonic() - looked_s - rest_s
            looked_s = time.monotonic()
            if session is None:
                self._report(messages.ProgressReport())
                continue
            if late_s > MIN_STALL_S:
                self._stalled_s = max(self._stalled_s, late_s)
            self._report(_progress(session))


def _progress(session: LoadSession, *, is_over: bool = False) -> messages.ProgressReport:
    return messages.ProgressReport(
        standing=session.ready_users,
        counts=session.metrics.counts(),
        intervals=session.metrics.take_seconds(is_over=is_over),
        through_s=session.metrics.taken_s,
    )


def run_worker(
    master_host: str,
    master_port: int,
    *,
    parent: int | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> int:
    """
    Work for a master until it says that the run is over; returns the exit code.

    Args:
        parent: The master's process, if it has started this one: then the master handles signals, and this process ends
            with it.
        say: Called with a message once there is a master.

    Raises:
        UsageError: There is no master.
    """
    worker: LoadWorker | None = None

    def end_with_parent() -> None:
        while os.getppid() == parent:
            gevent.sleep(PROGRESS_INTERVAL_S)
        if worker is None:
            os._exit(ExitCode.INCONCLUSIVE)
        worker.leave()

    if parent is not None:
        gevent.spawn(end_with_parent)
    logging.getLogger("locust.runners").setLevel(logging.ERROR)
    environment = Environment(user_classes=[], catch_exceptions=False)
    try:
        runner = environment.create_worker_runner(master_host, master_port)
    except ConnectionError:
        raise UsageError(f"no master responds at {master_host}:{master_port}") from None
    worker = LoadWorker(environment)
    for number in SIGNALS:
        if parent is not None:
            signal.signal(number, signal.SIG_IGN)  # the whole process group gets them; the master decides
        elif signal.getsignal(number) is not signal.SIG_IGN:
            gevent.signal_handler(number, worker.obey_signal, number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    say(f"working for the master at {master_host}:{master_port}")
    working = gevent.spawn(worker.run)
    if not _wait_for_end(runner, worker):
        say(f"the master at {master_host}:{master_port} is gone")
        worker.leave()
    if worker.leaves:
        working.join()
        runner.greenlet.kill()  # it would read from a closed connection
        runner.client.close(linger=FLUSH_TIMEOUT_MS)
        runner.client.socket.context.term()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # everything was sent
    return worker.exit_code


def _wait_for_end(runner: Any, worker: LoadWorker) -> bool:  # Any: a Locust runner
    """Wait until the run is over or the worker has to leave; returns whether the master is still there."""
    heard, silent = None, 0
    while not worker.leaves and not runner.greenlet.join(timeout=PROGRESS_INTERVAL_S) and len(runner.greenlet):
        silent = silent + 1 if runner.last_heartbeat_timestamp == heard else 0
        heard = runner.last_heartbeat_timestamp
        if silent > MASTER_SILENCE_TURNS:
            return False
    return True


def main() -> int:
    """The entry point of a process that a master starts, with host, port and the master's process as arguments."""
    host, port, parent = sys.argv[1:]
    return run_worker(host, int(port), parent=int(parent))


if __name__ == "__main__":
    sys.exit(main())
