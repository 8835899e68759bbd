"""
One of several processes of a search for capacity: opens and shuts its tap as it is told, and reports each window.

The first line of standard input is the errand. Then come orders, a line each: `begin RATE NS` (let requests fall due at
that rate from that time of the monotonic clock on), `window SECONDS`, `halt` (whatever is waited for is no longer wanted),
`end`, `quit`; an end of the input is `quit` as well. Each is sent by a line of JSON, a window by all that was counted
in it. What the windows mean is for whoever gives the orders to say.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

import gevent
import msgspec
from gevent.fileobject import FileObject
from gevent.queue import Queue

from ..api.edition import load_edition
from ..api.errors import HarnessError
from ..api.exchange import TransportError
from .abort_limit import parse_abort_limit
from .capacity.rate_search import LoadAborted, SearchEnded
from .capacity.step_runner import SteppedSession, StepRunner, run_users
from .child import Voice
from .http_connection import resolve_server
from .load_spec import WORKER_SEQUENCE_BITS
from .merged_judge import encode_worker_report
from .scenarios import SCENARIOS
from .shares import Errand, dump


class Word:
    """Whether the run is to end, as whoever gives the orders says."""

    def __init__(self) -> None:
        self.is_interrupted = False

    def set_callback(self, call: Callable[[], object] | None) -> None:
        """What is in flight is waited for in any case."""


def main() -> int:
    """Run the errand; gives the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a whole group gets them; whoever gives the orders says what follows
    voice = Voice()
    told = FileObject(sys.stdin.fileno(), "rb", close=False)
    try:
        work(msgspec.json.decode(told.readline(), type=Errand), told, voice)
    except (HarnessError, SearchEnded) as error:
        voice.say(failed=str(error))
        return 1
    except Exception as error:  # whoever gives the orders names it
        voice.say(failed=f"{type(error).__name__}: {error}")
        return 1
    return 0


def work(errand: Errand, told: Any, voice: Voice) -> None:  # Any: a file object of gevent, which has no types
    """Follow orders until there are no more."""
    address = resolve_server(errand.server, ca_file=errand.ca_file, insecure=errand.insecure, at=errand.addresses)
    if isinstance(address, TransportError):
        raise HarnessError(address.detail)
    tap = SteppedSession(
        load_edition(errand.edition),
        address,
        headers=errand.headers,
        timeout_s=errand.timeout_s,
        first_seq=errand.index << WORKER_SEQUENCE_BITS,
    )
    word = Word()
    rig = StepRunner(
        tap,
        patience_s=errand.patience_s,
        limits=tuple(parse_abort_limit(text) for text in errand.limits),
        interrupt=word,
    )
    orders: Queue = Queue()

    def listen() -> None:
        for line in told:
            words = line.decode("ascii").split()
            if words == ["halt"]:
                word.is_interrupted = True
            else:
                orders.put(words)
        word.is_interrupted = True
        orders.put(["quit"])

    listening = gevent.spawn(listen)
    try:
        run_users(
            tap,
            SCENARIOS[errand.scenario],
            users=errand.users,
            interrupt=word,
            drive=lambda: _follow(orders, rig, tap, word, voice),
        )
    finally:
        listening.kill()
    voice.say(final=encode_worker_report(tap.judge))


def _follow(orders: Queue, rig: StepRunner, tap: SteppedSession, word: Word, voice: Voice) -> None:
    voice.say(ready=True)
    while True:
        what, *given = orders.get()
        if what == "begin":
            word.is_interrupted = False
            rig.start_step(float(given[0]), int(given[1]))
        elif what == "window":
            try:
                voice.say(window=dump(rig.wait_for_window(float(given[0]))))
            except LoadAborted as overrun:
                voice.say(
                    overrun=str(overrun), seen=None if overrun.partial_window is None else dump(overrun.partial_window)
                )
            except SearchEnded:
                voice.say(halted=True)
        elif what == "end":
            word.is_interrupted = given == ["now"]  # a window that was halted is over, and the server is to rest
            findings: tuple[str, ...] = ()
            silent = None
            try:
                findings = rig.end_step()
            except SearchEnded as ended:
                silent = str(ended)
            voice.say(ended=list(findings), metrics=tap.metrics.serialize(), silent=silent)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
