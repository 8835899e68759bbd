"""Greenlets that the user can interrupt, or that an exception ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import gevent

from ..api.errors import describe_break
from ..api.exchange import Exchange

ABANDON_POLL_S: Final = 0.05


def send_interruptibly(send: Callable[[], Exchange], enough: Callable[[], bool]) -> Exchange | None:
    """
    Send a request, and wait for its response until `enough` says to abandon it.

    Args:
        send: Sends the request, and returns the exchange.
        enough: Called repeatedly; whether to give up.
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
