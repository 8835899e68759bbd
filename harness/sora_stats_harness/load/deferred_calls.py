"""
Calls functions soon, one after the other, in a greenlet that lasts as long as its owner.

A new greenlet for each call takes as long as judging half a response: it has a stack, and pages for Python's frames that
are mapped and unmapped each time. There is a call for every few responses.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent


class _WaitingCalls:
    """What the owner and its greenlet share; the greenlet doesn't know its owner, so it ends with it."""

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.is_idle = False
        """Whether the greenlet waits to be woken."""


class DeferredCalls:
    """Call this object with a function to have that called when all that is ready now has run."""

    def __init__(self) -> None:
        self._waiting = _WaitingCalls()
        self._loop: Any = gevent.get_hub().loop  # Any: gevent's types, here and below; it has no type annotations
        self._greenlet: Any = None

    def __call__(self, call: Callable[[], None]) -> None:
        """Have a function called soon."""
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
