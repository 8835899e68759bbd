"""
Several processes under Locust's own `--processes` or `--master` and `--worker`, and one verdict.

Each worker judges what it sees for Locust's tables. On the master's machine it also spools every exchange, and at the end
the master judges all spools together; a worker on another machine sends what its own judge found.

Locust's master fires `test_stopping` before its workers stop, and would quit half a second after asking them to. In that
event stands the barrier: workers are told to send no more, wait for what is in flight, close their spools and report; the
master waits for each of them, and names those that never did.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Final

import gevent
from locust.runners import STATE_MISSING, STATE_STOPPED, MasterRunner, WorkerRunner

from ..api.errors import HarnessError, UsageError
from ..api.exchange import clock_id
from ..recording.writer import Recorder
from ..reports.assemble import Judged, utc_now
from ..reports.report import Report
from .measures import Measures
from .merged import Merged, report_of
from .page import add_to, state
from .plain import OfOne, Stopwatch, conclude, drain, edition_of, session_notes, tell
from .session import Session
from .spools import Together, spool

DRAIN: Final = "sora_drain"
"""Master to worker: the test is over."""

FINAL: Final = "sora_final"
"""Worker to master: all that it counted, and what it found if it is on another machine."""

BARRIER_S: Final = 30.0
"""How long a worker may take from the one to the other; the longest exchange and judging it lie within."""

MISSING_S: Final = 3.0
"""
How long one that Locust misses is still waited for, where no other is: after three silent seconds Locust takes a worker
for dead that may only be busy with a large answer.
"""


def set_up(environment: Any, runner: Any, **_: Any) -> None:  # Any: as Locust calls it
    """Get ready for the part that this process plays."""
    # Locust's run time would otherwise begin when its loop last looked at the clock: before all that it imported.
    gevent.get_hub().loop.update_now()
    # Python raises KeyboardInterrupt in whichever greenlet happens to run; Locust ends in the same way at SIGTERM.
    gevent.signal_handler(signal.SIGINT, os.kill, os.getpid(), signal.SIGTERM)
    if isinstance(runner, MasterRunner):
        _Master(environment, runner)
    elif isinstance(runner, WorkerRunner):
        environment.sora_worker = _Worker(environment, runner)
    else:
        add_to(environment, OfOne(environment))


def start_spool(environment: Any) -> None:  # Any: locust.env.Environment
    """
    Have a worker's exchanges written down from now on; nothing of the kind where the process is no worker.

    Then ask who is there, before any user goes on: else all of them would begin with a listing, at one time.
    """
    worker = getattr(environment, "sora_worker", None)
    if isinstance(worker, _Worker):
        worker.begin()
    session: Session = environment.sora_session
    session.discover()  # where nobody answers the users will find out as well, and tell Locust
    session.begin()


class _Worker:
    def __init__(self, environment: Any, runner: Any) -> None:  # Any: Locust's own, here and below
        self._environment = environment
        self._runner = runner
        self._recorder: Recorder | None = None
        self._clock = Stopwatch()
        self._spools = 0
        self._problem: str | None = None
        runner.register_message(DRAIN, self._finish, concurrent=True)
        environment.events.test_start.add_listener(self._resume)
        environment.events.quitting.add_listener(self._finish)
        environment.events.report_to_master.add_listener(self._tell)

    def _tell(self, data: dict[str, Any], **_: Any) -> None:
        session = self._session
        if session is not None:
            data["sora"] = state(session)

    @property
    def _session(self) -> Session | None:
        session = getattr(self._environment, "sora_session", None)
        return session if isinstance(session, Session) else None

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the master is on another machine."""
        return bool(getattr(self._environment.parsed_options, "sora_clock", "") != clock_id())

    def _resume(self, **_: Any) -> None:
        session = self._session
        if session is not None and session.draining:
            session.draining = False
            self.begin()

    def begin(self) -> None:
        """A test begins: the first one, or another."""
        self._clock.start()
        session = self._session
        folder = getattr(self._environment.parsed_options, "sora_spool", "")
        if session is None or not folder or self._is_elsewhere:
            return
        self._spools += 1
        try:
            self._recorder = spool(
                Path(folder) / f"{self._runner.client_id}-{self._spools}.jsonl.zst", subject=session.address.server,
                edition=session.judge.edition.name, run=session.judge.run,
            )  # fmt: skip
            self._recorder.__enter__()
        except (OSError, UsageError) as error:
            self._problem = f"worker {self._runner.client_id} cannot spool: {error}"
            return
        session.observer = self._recorder.add

    def _finish(self, **_: Any) -> None:
        session = self._session
        self._clock.stop()
        if session is not None:
            drain(self._runner, session)
            session.observer = None
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
            self._problem = self._problem or recorder.problem
        self._runner.send_message(FINAL, {
            "clock": clock_id(),
            "index": self._runner.worker_index,
            "server": session.address.server if session is not None else None,
            "measures": self._clock.measures(session).dump() if session is not None else None,
            "found": report_of(session.judge) if session is not None and self._is_elsewhere else None,
            "notes": session_notes(session) if session is not None else [],
            "problem": self._problem or (session.silence if session is not None else None),
        })  # fmt: skip


class _Master:
    def __init__(self, environment: Any, runner: Any) -> None:
        self._environment = environment
        self._runner = runner
        self._started_at = utc_now()
        self._spool: Path | None = None
        self._finals: dict[str, dict[str, Any]] = {}
        """By worker, its last report; of several tests in a row the last one has the sums."""
        self._awaited: set[str] = set()
        self._asked: set[str] = set()
        """All that ever took part."""
        self._report: Report | None = None
        runner.register_message(FINAL, self._hear)
        events = environment.events
        events.test_start.add_listener(self._start)
        events.test_stopping.add_listener(self._barrier)
        events.quitting.add_listener(self._conclude)
        events.quit.add_listener(self._end)
        events.worker_report.add_listener(self._note)
        self._states: dict[str, dict[str, Any]] = {}
        """By worker, how far it was when it last told."""
        self._concluded: Report | None = None
        self._running = False
        self._is_over = False
        """Whether a test was stopped, and no other has begun."""
        self._send_on = runner.server.send_to_client
        runner.server.send_to_client = self._send
        self._go = runner.start
        runner.start = self._begin
        add_to(environment, self)

    def _note(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        if "sora" in data:
            self._states[client_id] = data["sora"]

    def states(self) -> list[dict[str, Any]]:
        """As `page.Source`."""
        return list(self._states.values())

    def final(self) -> Report | None:
        """As `page.Source`."""
        if self._spool is None or self._running or self._awaited:
            return None
        if self._concluded is None:
            self._concluded = self._summed_up(self._spool)
        return self._concluded

    def _start(self, **_: Any) -> None:
        if self._spool is None:
            self._spool = Path(tempfile.mkdtemp(prefix="sora-harness-"))
            options = self._environment.parsed_options  # of which the workers get what is ours
            options.sora_run, options.sora_spool = str(uuid.uuid4()), str(self._spool)
            options.sora_clock = clock_id()
        self._running, self._is_over, self._concluded = True, False, None
        self._awaited = {client.id for client in self._runner.clients.all}
        self._asked |= self._awaited

    def _send(self, msg: Any) -> None:
        """
        Hand a message of Locust's on to a worker, unless it is to start users of a test that is over.

        A master that is stopped while it is still starting users goes on with that: they would send until Locust quits.
        """
        if not (self._is_over and msg.type == "spawn"):
            self._send_on(msg)

    def _begin(self, *arguments: Any, **options: Any) -> Any:
        """As `MasterRunner.start`, which takes a test for running where that ramp has come to its end after the stop."""
        if self._is_over:
            self._runner.update_state(STATE_STOPPED)
        return self._go(*arguments, **options)

    def _hear(self, msg: Any, **_: Any) -> None:
        self._finals[msg.node_id] = msg.data
        self._awaited.discard(msg.node_id)

    def _barrier(self, **_: Any) -> None:
        """Wait until each worker that is alive has reported."""
        self._is_over = True
        clients = self._runner.clients
        self._awaited |= {client.id for client in clients.all} - set(self._finals)
        self._asked |= self._awaited
        for client_id in self._awaited:
            self._runner.send_message(DRAIN, None, client_id)
        heard_s = time.monotonic()
        until_s = heard_s + BARRIER_S
        while self._awaited and (now_s := time.monotonic()) < until_s:
            if any(id in clients and clients[id].state != STATE_MISSING for id in self._awaited):
                heard_s = now_s
            elif now_s > heard_s + MISSING_S:
                break
            gevent.sleep(0.05)
        self._running = False

    def _conclude(self, **_: Any) -> None:
        if not self._asked or self._spool is None:
            return
        if self._running:
            self._barrier()
        try:
            self._report = self.final() or self._summed_up(self._spool)
            self._environment.process_exit_code = self._report.verdict.exit_code
        except HarnessError as error:
            sys.stderr.write(f"sora-harness: {error}\n")
            self._environment.process_exit_code = int(error.exit_code)

    def _summed_up(self, folder: Path) -> Report:
        measures = Measures()
        elsewhere: list[str] = []
        reasons: list[str] = []
        notes: list[str] = []
        here: set[int] = set()
        sent_here = 0
        for _, final in sorted(self._finals.items()):
            is_here = final["clock"] == clock_id()
            if is_here:
                here.add(final["index"])
            if final["measures"] is not None:
                measures.add_dump(final["measures"], same_clock=is_here)
                sent_here += final["measures"]["metrics"]["sent"] if is_here else 0
            if final["found"] is not None:
                elsewhere.append(final["found"])
            if final["problem"]:
                reasons.append(final["problem"])
            notes += final["notes"]
        reasons += [
            f"worker {client_id} never reported: what it saw last is missing" for client_id in sorted(self._awaited)
        ]
        edition = edition_of(self._environment)
        together = Together(edition, reported=here, began_ns=measures.metrics.began_ns)
        judge: Judged = together.judge
        if any(folder.iterdir()):
            checked = together.check(folder)
            judge = checked
            notes += checked.notes
        measures.add_metrics(together.others)
        seen = sum(together.found.values())
        if seen != sent_here and not reasons:
            reasons.append(f"the workers sent {sent_here} requests, and their spools hold {seen}")
        if elsewhere:
            judge = Merged(edition, judge, elsewhere, together.judge)
            count = len(elsewhere)
            what = "1 worker is" if count == 1 else f"{count} workers are"
            notes.append(
                f"{what} on other machines: each judged the order of what it saw itself, and of each connection its last "
                "answer was held against the others' by the server's timestamps"
            )
        servers = sorted({final["server"] for final in self._finals.values() if final["server"]})
        return conclude(
            self._environment, judge, measures, subject=", ".join(servers), started_at=self._started_at,
            aborted="; ".join(reasons) or None, processes=len(self._asked),
            notes=[*dict.fromkeys(notes), f"{len(self._finals)} of {len(self._asked)} workers reported"],
        )  # fmt: skip

    def _end(self, **_: Any) -> None:
        tell(self._environment, self._report)
        if self._spool is not None:
            shutil.rmtree(self._spool, ignore_errors=True)
