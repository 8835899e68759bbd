"""
Several processes under Locust's own `--processes` or `--master` and `--worker`, and one verdict.

A counter that falls may be seen by one worker before and by another after. So each worker judges what it sees for Locust's
tables, and spools every exchange to a file; at the end the master judges all spools together, in order of receipt on the
clock that the processes of a machine share, with the very code of `check`. The verdict is that one.

Locust's master fires `test_stopping` before its workers stop, and would quit half a second after asking them to. In that
event stands the barrier: workers are told to send no more, wait for what is in flight, close their spools and report; the
master waits for each of them, and names those that never did.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Final

import gevent
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from ..check import check, open_files
from ..edition import DEFAULT, load
from ..errors import HarnessError, UsageError
from ..exchange import clock_id
from ..judge import Judge
from ..recording.writer import Recorder
from ..reporters.assemble import utc_now
from ..reporters.report import Report
from .metrics import Metrics
from .plain import NEEDS, conclude, drain, tell
from .session import Session

DRAIN: Final = "sora_drain"
"""Master to worker: the test is over."""

FINAL: Final = "sora_final"
"""Worker to master: all that it counted, and where its spool is."""

BARRIER_S: Final = 30.0
"""How long a worker may take from the one to the other; the longest exchange and judging it lie within."""


def set_up(environment: Any, runner: Any, **_: Any) -> None:  # Any: as Locust calls it
    """Get ready for the part that this process plays; Locust alone needs nothing."""
    if isinstance(runner, MasterRunner):
        _Master(environment, runner)
    elif isinstance(runner, WorkerRunner):
        environment.sora_worker = _Worker(environment, runner)


def start_spool(environment: Any) -> None:  # Any: locust.env.Environment
    """Have a worker's exchanges written down from now on; nothing where the process is no worker."""
    worker = getattr(environment, "sora_worker", None)
    if isinstance(worker, _Worker):
        worker.start_spool()


class _Worker:
    def __init__(self, environment: Any, runner: Any) -> None:  # Any: Locust's own, here and below
        self._environment = environment
        self._runner = runner
        self._recorder: Recorder | None = None
        self._spools = 0
        self._problem: str | None = None
        runner.register_message(DRAIN, self._finish, concurrent=True)
        environment.events.test_start.add_listener(self._resume)
        environment.events.quitting.add_listener(self._finish)

    @property
    def _session(self) -> Session | None:
        session = getattr(self._environment, "sora_session", None)
        return session if isinstance(session, Session) else None

    def _resume(self, **_: Any) -> None:
        session = self._session
        if session is not None and session.draining:
            session.draining = False
            self.start_spool()

    def start_spool(self) -> None:
        session = self._session
        folder = getattr(self._environment.parsed_options, "sora_spool", "")
        if session is None or not folder:
            return
        self._spools += 1
        try:
            Path(folder).mkdir(mode=0o700, exist_ok=True)  # on another machine than the master's it is not there yet
            self._recorder = Recorder(
                Path(folder) / f"{self._runner.client_id}-{self._spools}.jsonl.zst", subject=session.address.server,
                subject_kind="server", edition=session.judge.edition.name, run=session.judge.run,
                options={"observes": sorted(need.value for need in NEEDS), "excluded": []},
            )  # fmt: skip
            self._recorder.__enter__()
        except (OSError, UsageError) as error:
            self._problem = f"worker {self._runner.client_id} cannot spool: {error}"
            return
        session.observer = self._recorder.add

    def _finish(self, **_: Any) -> None:
        session = self._session
        if session is not None:
            drain(self._runner, session)
            session.observer = None
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
            self._problem = self._problem or recorder.problem
        self._runner.send_message(FINAL, {
            "clock": clock_id(),
            "server": session.address.server if session is not None else None,
            "metrics": session.metrics.dump() if session is not None else None,
            "problem": self._problem,
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

    def _start(self, **_: Any) -> None:
        if self._spool is None:
            self._spool = Path(tempfile.mkdtemp(prefix="sora-harness-"))
            options = self._environment.parsed_options  # of which the workers get what is ours
            options.sora_run, options.sora_spool = str(uuid.uuid4()), str(self._spool)
        self._awaited = {client.id for client in self._runner.clients.all}
        self._asked |= self._awaited

    def _hear(self, msg: Any, **_: Any) -> None:
        self._finals[msg.node_id] = msg.data
        self._awaited.discard(msg.node_id)

    def _barrier(self, **_: Any) -> None:
        """Wait until each worker that is alive has reported."""
        clients = self._runner.clients
        self._awaited |= {client.id for client in clients.all} - set(self._finals)
        self._asked |= self._awaited
        for client_id in self._awaited:
            self._runner.send_message(DRAIN, None, client_id)
        until_s = time.monotonic() + BARRIER_S
        while self._awaited and time.monotonic() < until_s:
            gone = {id for id in self._awaited if id not in clients or clients[id].state == STATE_MISSING}
            if gone == self._awaited:
                break
            gevent.sleep(0.05)

    def _conclude(self, **_: Any) -> None:
        if not self._asked or self._spool is None:
            return
        if self._awaited:
            self._barrier()
        metrics = Metrics()
        reasons: list[str] = []
        for client_id, final in sorted(self._finals.items()):
            if final["metrics"] is not None:
                metrics.add_dump(final["metrics"])
            if final["problem"]:
                reasons.append(final["problem"])
            if final["clock"] != clock_id():
                reasons.append(f"worker {client_id} ran on another machine: what it saw is not judged here")
        reasons += [
            f"worker {client_id} never reported: what it saw last is missing" for client_id in sorted(self._awaited)
        ]
        servers = sorted({final["server"] for final in self._finals.values() if final["server"]})
        judge = Judge(load(getattr(self._environment.parsed_options, "sora_edition", DEFAULT)))
        try:
            spools = sorted(str(path) for path in self._spool.iterdir() if path.stat().st_size)
            checked = check(judge, open_files(spools))
            seen = checked.tally().coverage.exchanges
            if seen != metrics.sent and not reasons:
                reasons.append(f"the workers sent {metrics.sent} requests, and their spools hold {seen}")
            self._report = conclude(
                self._environment, checked, metrics, subject=", ".join(servers), started_at=self._started_at,
                aborted="; ".join(reasons) or None, notes=[*checked.notes, f"{len(self._finals)} workers reported"],
            )  # fmt: skip
        except HarnessError as error:
            sys.stderr.write(f"sora-harness: {error}\n")
            self._environment.process_exit_code = int(error.exit_code)

    def _end(self, **_: Any) -> None:
        tell(self._environment, self._report)
        if self._spool is not None:
            shutil.rmtree(self._spool, ignore_errors=True)
