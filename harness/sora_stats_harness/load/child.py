"""
One of several processes of a load run: takes its job and its orders from standard input, and reports on standard output.

The first line of the input is the job. Then come orders, a line each: `go NS` (begin at that time of the monotonic
clock), `drain` (send no more), `give up`. An end of the input means that whoever started us is gone: no more is sent. The
output is lines of JSON: `ready`, every half second a `tick`, and at last `final`; or `failed` with a reason.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gevent
import msgspec
from gevent.event import Event
from gevent.fileobject import FileObject

from ..api.errors import HarnessError
from ..api.exchange import TransportError
from ..api.secret_redaction import Secrets
from .http_connection import resolve_server
from .load_run import run_load
from .load_session import LoadSession
from .load_spec import WorkerJob
from .request_metrics import TimelineInterval
from .scenarios import SCENARIOS
from .spools import create_spool

TICK_S: Final = 0.5


class Orders:
    """What the parent wants, as a run asks for it: the first order to end, and each that follows."""

    def __init__(self, told: Any) -> None:  # Any: a file object of gevent, which has no types
        self._told = told
        self._call: Callable[[], object] | None = None
        self._go = Event()
        self.begins_ns = 0
        self.is_interrupted = False

    def set_callback(self, call: Callable[[], object] | None) -> None:
        """Have something called at every order to end."""
        self._call = call
        if call is not None and self.is_interrupted:
            call()

    def listen(self) -> None:
        """Follow orders until there are no more; for a greenlet of its own."""
        for line in self._told:
            word, _, at = line.decode("ascii").strip().partition(" ")
            if word == "go":
                self.begins_ns = int(at)
                self._go.set()
            else:
                self._end()
        self._end()

    def wait(self) -> int:
        """When to begin, as soon as that is known."""
        self._go.wait()
        return self.begins_ns or time.monotonic_ns()

    def _end(self) -> None:
        self.is_interrupted = True
        self._go.set()
        if self._call is not None:
            self._call()


class Voice:
    """Reports to the parent; what would be printed by anybody else goes to standard error."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def say(self, **what: Any) -> None:  # Any: plain values
        """Write a line; a parent that is gone hears nothing."""
        try:
            self._file.write(msgspec.json.encode(what) + b"\n")
            self._file.flush()
        except BrokenPipeError:
            os._exit(1)  # nobody is left to report to, and what was seen is in the spool up to its last second


def main() -> int:
    """Do the job; gives the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a whole group gets them; the parent says what follows
    voice = Voice()
    told = FileObject(sys.stdin.fileno(), "rb", close=False)
    try:
        work(msgspec.json.decode(told.readline(), type=WorkerJob), Orders(told), voice)
    except HarnessError as error:
        voice.say(failed=str(error))
        return 1
    except Exception as error:  # the parent names it
        voice.say(failed=f"{type(error).__name__}: {error}")
        return 1
    return 0


def work(job: WorkerJob, orders: Orders, voice: Voice) -> None:
    """Send, judge, spool and report."""
    address = resolve_server(job.server, ca_file=job.ca_file, insecure=job.insecure, at=job.addresses)
    if isinstance(address, TransportError):
        raise HarnessError(address.detail)
    recorder = create_spool(
        Path(job.spool),
        edition=job.edition_name,
        subject=job.server,
        run=job.run,
        excluded=job.spec.unobservable_requirements,
        secrets=Secrets(job.secrets),
        subject_kind=job.subject_kind,
    )
    with recorder:
        session = job.spec.create_session(
            address, observer=recorder.add_exchange, run=job.run, index=job.index, processes=job.processes
        )
        listening = gevent.spawn(orders.listen)

        def ready() -> int:
            voice.say(ready=True)
            return orders.wait()

        ticking = gevent.spawn(_tick, session, voice)
        ended = run_load(
            session,
            SCENARIOS[job.spec.scenario],
            users=job.spec.users,
            duration_s=job.spec.duration_s,
            limits=(),
            interrupt=orders,
            begins_at=ready,
        )
        ticking.kill()
        listening.kill()
        recorder.mark_early_end(interrupted=ended.interrupted, aborted=ended.aborted)
    voice.say(
        final=ended.measures.serialize(),
        aborted=ended.aborted,
        problem=recorder.problem,
        in_flight=session.in_flight,
    )


def _tick(session: LoadSession, voice: Voice) -> None:
    told_s = 0
    while True:
        gevent.sleep(TICK_S)
        seconds: list[TimelineInterval] = session.metrics.intervals_since(told_s)
        if seconds:
            told_s = seconds[-1].from_s + 1
        voice.say(tick=session.metrics.counts(), seconds=[each.serialize() for each in seconds])


if __name__ == "__main__":
    sys.exit(main())
