"""
Greenlets: ones that the user can interrupt, what happens when an exception ends one, and one that calls functions.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import gevent

from ..api.errors import describe_break
from ..api.exchange import Exchange

ABANDON_POLL_S: Final = 0.05


def send_interruptibly(send: Callable[[], Exchange], enough: Callable[[], bool]) -> Exchange | None:
    """Send a request, and wait for its exchange; None if `enough`, which is asked again and again, says to give up."""
    asking: Any = gevent.spawn(send)  # Any: gevent has no types
    try:
        while not asking.ready():
            if enough():
                return None
            asking.join(ABANDON_POLL_S)
        exchange: Exchange = asking.get()
        return exchange
    finally:
        asking.kill()


def silence_keyboard_interrupt() -> None:
    """Keep the loop from printing a traceback for Ctrl-C, since the command prints its own message."""
    hub = gevent.get_hub()
    if KeyboardInterrupt not in hub.NOT_ERROR:
        hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)


def note_greenlet_breaks(note: Callable[[str], None]) -> None:
    """
    Call `note` with one line where an exception ends a greenlet of this process, instead of printing a traceback.

    Otherwise a user whose own code is at fault would only be missing from then on, and the run might pass.
    """
    hub = gevent.get_hub()

    def handle(context: object, kind: Any, error: Any, trace: Any) -> None:  # Any: as gevent calls it
        if not isinstance(error, Exception) or issubclass(kind, hub.NOT_ERROR):
            type(hub).handle_error(hub, context, kind, error, trace)
        else:
            note(describe_break(error))

    hub.handle_error = handle


class _WaitingCalls:
    """What the owner and its greenlet share; the greenlet doesn't know its owner, so it ends with it."""

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.is_idle = False
        """Whether the greenlet waits to be woken."""


class DeferredCalls:
    """
    Calls functions soon, one after the other, in a greenlet that lasts as long as its owner.

    A new greenlet for each call takes as long as judging half a response: it has a stack, and pages for Python's frames
    that are mapped and unmapped each time. There is a call for every few responses.
    """

    def __init__(self) -> None:
        self._waiting = _WaitingCalls()
        self._loop: Any = gevent.get_hub().loop  # Any: gevent's types, here and below; it has no type annotations
        self._greenlet: Any = None

    def __call__(self, call: Callable[[], None]) -> None:
        """Have a function called when all that is ready now has run."""
        waiting = self._waiting
        waiting.calls.append(call)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(_call_for_ever, waiting)
        elif waiting.is_idle:
            waiting.is_idle = False
            self._loop.run_callback(self._greenlet.switch)


def _call_for_ever(waiting: _WaitingCalls) -> None:
    hub: Any = gevent.get_hub()
    while True:
        while waiting.calls:
            try:
                waiting.calls.popleft()()
            except Exception:  # as gevent reports what a greenlet raises
                hub.handle_error(gevent.getcurrent(), *sys.exc_info())
        waiting.is_idle = True
        hub.switch()
