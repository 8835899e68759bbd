"""Sends one request before a run, which Ctrl-C can cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import gevent

from ..api.exchange import Exchange

ABANDON_POLL_S: Final = 0.05


def send_interruptibly(send: Callable[[], Exchange], enough: Callable[[], bool]) -> Exchange | None:
    """
    Send a request, and wait for its response until somebody has had enough; then it is abandoned.

    Args:
        send: Gives the exchange.
        enough: Asked all the while.
    """
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
    """Have the loop pass a Ctrl-C on without writing about it: who insists has seen the command's own words."""
    hub = gevent.get_hub()
    if KeyboardInterrupt not in hub.NOT_ERROR:
        hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)
