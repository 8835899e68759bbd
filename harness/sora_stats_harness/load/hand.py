"""
One of several processes of a search for capacity: opens and shuts its tap as it is told, and reports each window.

The first line of standard input is the errand. Then come orders, a line each: `begin RATE NS` (let requests fall due at
that rate from that time of the monotonic clock on), `window SECONDS`, `halt` (whatever is waited for is no longer wanted),
`end`, `quit`; an end of the input is `quit` as well. Each is answered by a line of JSON, a window by all that was counted
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

from ..api.edition import load
from ..api.errors import HarnessError
from ..api.exchange import TransportError
from .capacity.search import Ended, Overrun
from .child import Voice
from .http import resolve
from .limits import limit
from .merged import report_of
from .scenarios import SCENARIOS
from .shares import Errand, dump
from .spec import SEQ_BITS
from .window import Rig, Tap, run


class Word:
    """Whether the run is to end, as whoever gives the orders says."""

    def __init__(self) -> None:
        self.seen = False

    def tell(self, call: Callable[[], object] | None) -> None:
        """What is in flight is waited for in any case."""


def main() -> int:
    """Run the errand; gives the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a whole group gets them; whoever gives the orders says what follows
    voice = Voice()
    told = FileObject(sys.stdin.fileno(), "rb", close=False)
    try:
        work(msgspec.json.decode(told.readline(), type=Errand), told, voice)
    except (HarnessError, Ended) as error:
        voice.say(failed=str(error))
        return 1
    except Exception as error:  # whoever gives the orders names it
        voice.say(failed=f"{type(error).__name__}: {error}")
        return 1
    return 0


def work(errand: Errand, told: Any, voice: Voice) -> None:  # Any: a file object of gevent, which has no types
    """Follow orders until there are no more."""
    address = resolve(
        errand.server, ca_file=errand.ca_file, insecure=errand.insecure, at=(errand.family, (*errand.sockaddr,))
    )
    if isinstance(address, TransportError):
        raise HarnessError(address.detail)
    tap = Tap(
        load(errand.edition), address, headers=errand.headers, timeout_s=errand.timeout_s,
        first_seq=errand.index << SEQ_BITS,
    )  # fmt: skip
    word = Word()
    rig = Rig(
        tap, patience_s=errand.patience_s, limits=tuple(limit(text) for text in errand.limits), interrupt=word
    )  # fmt: skip
    orders: Queue = Queue()

    def listen() -> None:
        for line in told:
            words = line.decode("ascii").split()
            if words == ["halt"]:
                word.seen = True
            else:
                orders.put(words)
        word.seen = True
        orders.put(["quit"])

    listening = gevent.spawn(listen)
    try:
        run(
            tap, SCENARIOS[errand.scenario], users=errand.users, interrupt=word,
            drive=lambda: _follow(orders, rig, tap, word, voice),
        )  # fmt: skip
    finally:
        listening.kill()
    voice.say(final=report_of(tap.judge))


def _follow(orders: Queue, rig: Rig, tap: Tap, word: Word, voice: Voice) -> None:
    voice.say(ready=True)
    while True:
        what, *given = orders.get()
        if what == "begin":
            word.seen = False
            rig.begin(float(given[0]), int(given[1]))
        elif what == "window":
            try:
                voice.say(window=dump(rig.window(float(given[0]))))
            except Overrun as overrun:
                voice.say(overrun=str(overrun), seen=None if overrun.seen is None else dump(overrun.seen))
            except Ended:
                voice.say(halted=True)
        elif what == "end":
            word.seen = given == ["now"]  # a window that was halted is over, and the server is to rest
            findings: tuple[str, ...] = ()
            silent = None
            try:
                findings = rig.end()
            except Ended as ended:
                silent = str(ended)
            voice.say(ended=list(findings), metrics=tap.metrics.dump(), silent=silent)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
