"""
Sends single requests before a run: to see what is there, to wait for a server that is starting, to find the edition.

Nothing of it counts: the judge that such a request needs is thrown away. Where Locust has replaced sockets,
`load.edition_probe` sends instead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from ..api.edition import DEFAULT_EDITION, load_edition
from ..api.exchange import Exchange, Request
from ..api.server_address import Peer
from ..judge.pipeline import Judge
from .doctor import Visit, visit_server
from .interrupt import InterruptHandler
from .prober import Prober

WAIT_INTERVAL_S: Final = 0.5
"""Between two looks at a server that is starting."""

_INTERRUPT_POLL_S: Final = 0.1


class PeerAsk(Protocol):
    """Sends single requests, each over a connection of its own."""

    peer: Peer
    """What the last one's connection told."""

    def __call__(self, request: Request) -> Exchange | None:
        """Send one request; None where it was given up."""


def ask_once(prober: Prober, request: Request, interrupt: InterruptHandler | None = None) -> Exchange | None:
    """
    Send one request.

    Args:
        prober: Is closed at the end.
        interrupt: Gives the request up at once.

    Returns:
        None where it was given up.
    """

    async def ask() -> Exchange | None:
        loop = asyncio.get_running_loop()
        async with prober:
            asking = asyncio.create_task(prober.send(Judge(load_edition(DEFAULT_EDITION)), request))
            if interrupt is not None:
                interrupt.set_callback(lambda: loop.call_soon_threadsafe(asking.cancel))
            try:
                return await asking
            except asyncio.CancelledError:
                return None
            finally:
                if interrupt is not None:
                    interrupt.set_callback(None)

    return asyncio.run(ask())


class ProberAsk:
    """
    Sends single requests by probers, and knows what their connections told.

    Args:
        new_prober: Makes one for each.
    """

    def __init__(self, new_prober: Callable[[], Prober], interrupt: InterruptHandler | None = None) -> None:
        self._new_prober = new_prober
        self._interrupt = interrupt
        self.peer = Peer()
        """What the last one's connection told."""

    def __call__(self, request: Request) -> Exchange | None:
        """Send one request; None where it was given up."""
        prober = self._new_prober()
        exchange = ask_once(prober, request, self._interrupt)
        self.peer = prober.peer(request.server)
        return exchange


def visit_when_ready(
    request: Request,
    ask: PeerAsk,
    interrupt: InterruptHandler,
    *,
    command: str,
    wait_s: float,
    say: Callable[[str], object],
) -> Visit | None:
    """
    Ask for one listing; of a server that may be starting again and again, for so long.

    Args:
        request: For a listing.
        command: What to type next, without the URL.
        say: Is told while it waits.

    Returns:
        What there is; None where the user has had enough.
    """
    visits: list[Visit | None] = []

    def look() -> bool:
        listing = ask(request)
        peer = ask.peer
        visits[:] = [None if listing is None else visit_server(listing, ask, command=command, peer=peer)]
        visit = visits[0]
        return visit is None or visit.problem is None or not visit.problem.may_pass

    def say_waiting(waited_s: float) -> None:
        problem = visits[0].problem if visits[0] is not None else None
        say(f"waiting for {request.server}, {waited_s:.0f} of {wait_s:g} s: {problem.text if problem else ''}")

    wait_until(look, wait_s, interrupt, say=say_waiting)
    return visits[0]


def wait_until(
    look: Callable[[], bool], wait_s: float, interrupt: InterruptHandler, *, say: Callable[[float], object]
) -> None:
    """
    Look again and again, for so long or until a look is satisfied; once at least.

    Args:
        look: Whether there is nothing more to wait for.
        say: Is told how long it has waited, before each pause.
    """
    began_s = time.monotonic()
    while not look() and not interrupt.is_interrupted:
        waited_s = time.monotonic() - began_s
        if waited_s >= wait_s:
            return
        say(waited_s)
        until_s = time.monotonic() + min(WAIT_INTERVAL_S, wait_s - waited_s)
        while not interrupt.is_interrupted and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _INTERRUPT_POLL_S))
