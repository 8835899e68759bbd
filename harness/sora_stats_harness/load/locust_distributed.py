"""
Makes one verdict for plain Locust in several processes (`--processes`, or `--master` and `--worker`).

Each worker judges what it sees for Locust's tables. On the master's machine it also spools every exchange, and at the
end the master judges all spools together. A worker on another machine sends the result of its own judge.

Locust's master fires `test_stopping` before its workers stop, and would quit half a second after telling them to. That
event is used as a barrier: workers are told to send no more, wait for open requests, close their spools and report. The
master waits for each of them, and names those that never report.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import gevent
from locust import runners
from locust.runners import STATE_MISSING, STATE_STOPPED, MasterRunner, WorkerRunner

from ..api.errors import HarnessError, describe_break
from ..api.exchange import monotonic_clock_id
from ..judge.verdict_decision import RunEnding, join_reasons
from ..probe.interrupt import SIGNALS, handle_signals
from ..reports.report import VerdictReport
from ..reports.verdict_assembly import format_utc_now
from . import locust_standalone as standalone
from .live_findings import LiveState
from .load_session import LoadSession
from .load_users import forgo_caller_lookup
from .locust_settings import begin_with_settings, check_locust_options
from .locust_web_page import add_web_page, is_test_running, live_state
from .run_measurements import RunStopwatch
from .sample_trail import SampleTrail
from .spools import WorkerSpool
from .worker_messages import UNREADABLE, FailedReport, WorkerResult, decode_report, decode_state, encode_message
from .worker_results import WorkerNames, judge_workers, make_worker_result

DRAIN_MESSAGE: Final = "sora_drain"
"""Master to worker: the test is over."""

GIVE_UP: Final = "sora_give_up"
"""What a second such message says: open requests are not waited for any more."""

RESULT_MESSAGE: Final = "sora_final"
"""Worker to master: its counts, and its judge's result if it is on another machine."""

WORKER_RESULT_TIMEOUT_S: Final = 30.0
"""How long a worker may take from one message to the other, including the longest exchange and its judging."""

WORKER_SILENCE_S: Final = 10
"""
After so many silent seconds a worker counts as missing. Locust itself allows three, in which a worker on a busy machine
may not even have made its judge, and stops the test if all are missing.
"""

MISSING_WORKER_GRACE_S: Final = 3.0
"""How long to wait for missing workers after all others have reported: they may be busy with a large response."""


def set_up_distributed(environment: Any, runner: Any, **_: Any) -> None:  # Any: as Locust calls it
    """Set up the role of this process."""
    # Otherwise Locust's run time would begin when its loop last updated its clock, which was before all imports.
    gevent.get_hub().loop.update_now()
    forgo_caller_lookup()
    environment.sora_signals = _LocustSignals(environment)
    if not isinstance(runner, WorkerRunner):
        try:
            check_locust_options(environment)
        except HarnessError as error:
            standalone.say_error(error)
            sys.exit(int(error.exit_code))
    # Locust calls the listeners to `quitting` in reverse order, and this one has to be the last.
    environment.events.quitting._handlers.insert(0, standalone.decide_exit_code)
    if isinstance(runner, MasterRunner):
        _LocustMaster(environment, runner)
    elif isinstance(runner, WorkerRunner):
        environment.sora_worker = _LocustWorker(environment, runner)
    else:
        add_web_page(environment, standalone.StandalonePageSource(environment))


class _LocustSignals:
    """
    Signals to a process of Locust: the first one ends the run, and the second gives up open requests.

    At SIGTERM Locust ends in order. At SIGINT Python would raise KeyboardInterrupt in whichever greenlet is running, and
    at SIGHUP end the process, so that workers would go on. At each further SIGTERM Locust would begin to end once more.
    """

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._is_first = True
        self._gives_up = False
        self.ended_run = False
        """Whether the first one came while a test was running."""
        environment.events.quit.add_listener(lambda **_: handle_signals(signal.SIG_IGN))  # the verdict is decided
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                gevent.signal_handler(number, self._obey_first, number)

    def gives_up(self) -> bool:
        """Whether open requests are given up."""
        return self._gives_up

    def give_up(self) -> None:
        """Give up open requests."""
        self._gives_up = True

    def _obey_first(self, number: int) -> None:
        if not self._is_first:
            return
        self._is_first = False
        self.ended_run = is_test_running(self._environment)
        if number != signal.SIGTERM:
            os.kill(os.getpid(), signal.SIGTERM)
            gevent.sleep(0)  # Locust's own handler comes first
        handle_signals(self._obey_next)

    def _obey_next(self, number: int, frame: object) -> None:
        self.give_up()


def start_spool(environment: Any) -> None:  # Any: locust.env.Environment
    """
    Spool a worker's exchanges from now on; no effect if the process is not a worker.

    Then request a listing before any user continues; otherwise all of them would begin with a listing at the same time.
    """
    worker = getattr(environment, "sora_worker", None)
    if isinstance(worker, _LocustWorker):
        worker.start_test()
    session: LoadSession = environment.sora_session
    session.discover()  # if the server does not respond, the users will notice as well, and tell Locust
    session.start()


class _LocustWorker:
    def __init__(self, environment: Any, runner: Any) -> None:  # Any: Locust's own, here and below
        self._environment = environment
        self._runner = runner
        self._spool: WorkerSpool | None = None
        self._trail: SampleTrail | None = None
        self._stopwatch = RunStopwatch()
        self._tests = 0
        runner.register_message(DRAIN_MESSAGE, self._on_drain, concurrent=True)
        environment.events.test_start.add_listener(self._on_test_start)
        environment.events.quitting.add_listener(self._on_drain)
        environment.events.report_to_master.add_listener(self._add_heartbeat_data)

    def _add_heartbeat_data(self, data: dict[str, Any], **_: Any) -> None:
        session = self._session
        if session is not None:
            data["sora"] = encode_message(live_state(session))

    @property
    def _session(self) -> LoadSession | None:
        session = getattr(self._environment, "sora_session", None)
        return session if isinstance(session, LoadSession) else None

    @property
    def _is_on_masters_machine(self) -> bool:
        return bool(getattr(self._environment.parsed_options, "sora_clock", "") == monotonic_clock_id())

    def _on_test_start(self, **_: Any) -> None:
        session = self._session
        if session is not None and session.draining:
            standalone.begin_another_test(self._environment, session, self.start_test)

    def start_test(self) -> None:
        """Start a test: the first one, or another."""
        self._stopwatch.start()
        session = self._session
        folder = getattr(self._environment.parsed_options, "sora_spool", "")
        if session is None or not folder:
            return
        if not self._is_on_masters_machine:
            self._trail = self._trail or SampleTrail(session.judge)
            self._trail.start()
            return
        self._tests += 1
        self._spool = WorkerSpool(Path(folder), session.share.index, self._tests)
        session.observer = self._spool.open(session, secrets=begin_with_settings(self._environment).looked_up[1])

    def _on_drain(self, msg: Any = None, **_: Any) -> None:
        if msg is not None and msg.data == GIVE_UP:
            self._environment.sora_signals.give_up()
            return
        session = self._session
        self._stopwatch.stop()
        if session is None:
            self._runner.send_message(RESULT_MESSAGE, None)
            return
        standalone.drain_or_break(self._environment, session)
        session.observer = None
        trail = self._trail or SampleTrail(session.judge)
        report: WorkerResult | FailedReport
        try:
            report = make_worker_result(session, self._stopwatch.measures(session), spool=self._spool, trail=trail)
        except Exception as error:
            report = FailedReport(reason=describe_break(error), is_broken=True)
        self._runner.send_message(RESULT_MESSAGE, encode_message(report))


class _LocustMaster:
    def __init__(self, environment: Any, runner: Any) -> None:
        runners.HEARTBEAT_LIVENESS = WORKER_SILENCE_S
        self._environment = environment
        self._runner = runner
        self._started_at = format_utc_now()
        self._spool: Path | None = None
        self._results: dict[str, WorkerResult | None] = {}
        """
        The last result of each worker, None for one that sent nothing; of several tests in a row the last has the sums.
        """
        self._broken: list[str] = []
        """What the harness is at fault for where a worker has no result."""
        self._strangers: list[str] = []
        """Which workers reported in another form."""
        self._awaited: set[str] = set()
        self._asked: set[str] = set()
        """All workers that ever took part."""
        self._left: set[str] = set()
        """
        Workers that have reported unasked because a signal ended them. A terminal's Ctrl-C may reach all workers before
        the master, and Locust then stops the test when the last one leaves.
        """
        self._is_deserted = False
        """Whether the test was stopped because no worker was left; their results may come later."""
        self._report: VerdictReport | None = None
        runner.register_message(RESULT_MESSAGE, self._on_worker_result)
        events = environment.events
        events.test_start.add_listener(self._on_test_start)
        events.test_stopping.add_listener(self._wait_for_workers)
        events.quitting.add_listener(self._on_test_stop)
        events.quit.add_listener(self._on_quit)
        events.worker_report.add_listener(self._on_heartbeat)
        self._states: dict[str, LiveState] = {}
        """The last reported progress of each worker."""
        self._concluded: VerdictReport | None = None
        self._running = False
        self._is_interrupted = False
        self._is_over = False
        """Whether a test was stopped, and no other one has begun."""
        self._is_ending = self._is_quitting = False
        self._send_on = runner.server.send_to_client
        runner.server.send_to_client = self._send_message
        self._go = runner.start
        runner.start = self._start_runner
        add_web_page(environment, self)

    def _on_heartbeat(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        if "sora" in data:
            with suppress(*UNREADABLE):  # of a worker of another version, whose result is told of at the end
                self._states[client_id] = decode_state(data["sora"])

    def live_states(self) -> list[LiveState]:
        """As `WebPageSource`."""
        return list(self._states.values())

    def final_report(self) -> VerdictReport | None:
        """As `WebPageSource`."""
        if self._spool is None or self._running or self._awaited:
            return None
        if self._concluded is None:
            self._concluded = self._build_report(self._spool)
        return self._concluded

    def _on_test_start(self, **_: Any) -> None:
        try:
            begin_with_settings(self._environment)
        except HarnessError as error:
            standalone.refuse_test(self._environment, error)
            return
        if self._spool is None:
            self._spool = Path(tempfile.mkdtemp(prefix="sora-harness-"))
            options = self._environment.parsed_options  # the workers get our options from it
            options.sora_run, options.sora_spool = str(uuid.uuid4()), str(self._spool)
            options.sora_clock = monotonic_clock_id()
            options.sora_workers = str(max(1, self._runner.worker_count))
        self._running, self._is_over, self._is_deserted, self._concluded = True, False, False, None
        self._awaited = {client.id for client in self._runner.clients.all}
        self._asked |= self._awaited

    def _send_message(self, msg: Any) -> None:
        """
        Pass a message of Locust's to a worker, unless it would start users of a test that is over.

        A master that is stopped while it is starting users continues to do so, and these would send until Locust quits.
        """
        if not (self._is_over and msg.type == "spawn"):
            self._send_on(msg)

    def _start_runner(self, *arguments: Any, **options: Any) -> Any:
        """
        As `MasterRunner.start`, which considers a test running if its ramp ends after the stop.

        No test starts while one is ending: Locust calls this to give the users of a worker that left to the others.
        """
        if self._is_ending:
            return None
        if self._is_over:
            self._runner.update_state(STATE_STOPPED)
        return self._go(*arguments, **options)

    def _on_worker_result(self, msg: Any, **_: Any) -> None:
        report = None
        try:
            report = None if msg.data is None else decode_report(msg.data)
        except UNREADABLE:
            self._strangers.append(f"worker {msg.node_id} is of another version: its report cannot be read")
        self._results[msg.node_id] = report if isinstance(report, WorkerResult) else None
        if isinstance(report, FailedReport):
            self._broken.append(f"worker {msg.node_id} failed: {report.reason}")
        self._awaited.discard(msg.node_id)
        if not self._is_over:
            self._left.add(msg.node_id)

    def _wait_for_workers(self, **_: Any) -> None:
        """Wait until each worker that is alive has reported."""
        self._is_over = self._is_ending = True
        clients = self._runner.clients
        if self._running:
            self._is_deserted = bool(self._asked) and not any(id in clients for id in self._asked)
        self._awaited |= {client.id for client in clients.all} - set(self._results)
        self._asked |= self._awaited
        for client_id in self._awaited:
            self._runner.send_message(DRAIN_MESSAGE, None, client_id)
        heard_s = time.monotonic()
        until_s = heard_s + WORKER_RESULT_TIMEOUT_S
        gave_up = False
        while self._awaited and (now_s := time.monotonic()) < until_s:
            if self._environment.sora_signals.gives_up() and not gave_up:
                gave_up = True
                for client_id in self._awaited:
                    self._runner.send_message(DRAIN_MESSAGE, GIVE_UP, client_id)
            if any(id in clients and clients[id].state != STATE_MISSING for id in self._awaited):
                heard_s = now_s
            elif now_s > heard_s + MISSING_WORKER_GRACE_S:
                break
            gevent.sleep(0.05)
        self._running, self._is_ending = False, self._is_quitting

    def _on_test_stop(self, **_: Any) -> None:
        self._is_quitting = True
        if not self._asked or self._spool is None:
            return
        is_ended = is_test_running(self._environment) or self._environment.sora_signals.ended_run
        self._is_interrupted = is_ended or self._is_deserted or self._asked <= self._left
        if self._running:
            self._wait_for_workers()
        with standalone.saying_breaks(self._environment):
            self._report = self.final_report() or self._build_report(self._spool)
            standalone.add_exit_code(self._environment, self._report.verdict.exit_code)

    def _build_report(self, folder: Path) -> VerdictReport:
        results = [result for _, result in sorted(self._results.items()) if result is not None]
        names = WorkerNames({self._runner.get_worker_index(id): f"worker {id}" for id in self._asked})
        judged = judge_workers(begin_with_settings(self._environment).rules, results, folder, names=names)
        reasons = [
            *judged.reasons,
            *self._strangers,
            *(f"worker {id} never reported: what it saw last is missing" for id in sorted(self._awaited)),
        ]
        run = standalone.LocustRun(
            subject=", ".join(sorted({result.server for result in results})),
            started_at=self._started_at,
            ending=RunEnding(
                interrupted=self._is_interrupted,
                aborted=join_reasons(*reasons) or judged.outage,
                broken=join_reasons(*self._broken, judged.broken),
            ),
            processes=len(self._asked),
            notes=[*judged.notes, f"{len(self._results)} of {len(self._asked)} workers reported"],
        )
        return standalone.build_load_report(self._environment, judged.judge, judged.measures, run)

    def _on_quit(self, **_: Any) -> None:
        standalone.print_load_report(self._environment, self._report)
        if self._spool is not None:
            shutil.rmtree(self._spool, ignore_errors=True)
