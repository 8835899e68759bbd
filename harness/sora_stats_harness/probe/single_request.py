"""
Sends single requests before a run: to diagnose the URL, to wait for a server that is starting, to detect the edition.

They don't count for the verdict: each is judged by a temporary judge. If Locust has replaced sockets,
`load.single_request` sends them instead.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from ..api.edition import DEFAULT_EDITION, load_edition
from ..api.exchange import Exchange, Headers, Request, Target, make_valid_request
from ..api.server_address import Peer
from ..judge.pipeline import Judge
from .doctor import Visit, visit_server
from .interrupt import InterruptHandler
from .prober import Prober, finish_unless_interrupted
from .run_settings import RunSettings

LOOK_INTERVAL_S: Final = 0.3
"""The time between two attempts."""

_INTERRUPT_POLL_S: Final = 0.1


class PeerAsk(Protocol):
    """Sends single requests, each over a new connection."""

    peer: Peer
    """What is known of the last one's connection."""

    def __call__(self, request: Request) -> Exchange | None:
        """Send one request; None if it was given up."""


class ProberAsk:
    """Sends single requests, each with a new prober, and keeps what is known of their connections."""

    def __init__(self, new_prober: Callable[[], Prober], interrupt: InterruptHandler) -> None:
        self._new_prober = new_prober
        self._interrupt = interrupt
        self.peer: Peer = Peer()
        """What is known of the last one's connection."""

    def __call__(self, request: Request) -> Exchange | None:
        """Send one request; None if it was given up."""
        prober = self._new_prober()
        exchanges: list[Exchange] = []

        async def ask() -> None:
            exchanges.append(await prober.send(Judge(load_edition(DEFAULT_EDITION)), request))

        asyncio.run(finish_unless_interrupted(ask(), self._interrupt))
        self.peer = prober.peer(request.server)
        return exchanges[0] if exchanges else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitPlan:
    """How to visit a server before a run."""

    request: Request
    """A request for a listing; if the gate may not send one, about a connection."""
    command: str
    """What to type next, without the URL."""
    proxy: str | None = None
    wait_s: float = 0.0
    """How long to wait for a server that is starting."""
    looks: int = 1
    """How often to try a server that does not respond, or not as Sora."""

    @classmethod
    def of(cls, settings: RunSettings, headers: Headers, *, command: str, looks: int = 1) -> VisitPlan:
        """Make the plan for the server of some settings."""
        assert settings.url is not None, "a server"
        proxy = settings.route().proxy
        first = next(iter(settings.gate.connections), None)
        request = make_valid_request(Target.ALL, server=settings.url, headers=headers)
        if Target.ALL not in settings.gate.targets and first is not None:
            target = Target.CLIENT if first.connection_id is None else Target.CONNECTION
            ids = msgspec.structs.asdict(first)
            request = make_valid_request(target, server=settings.url, headers=headers, **ids)
        return cls(
            request=request,
            command=f"{command}{settings.server_words()}",
            proxy=None if proxy is None else proxy.url,
            wait_s=settings.wait_s,
            looks=looks,
        )


def visit_when_ready(
    plan: VisitPlan, ask: PeerAsk, interrupt: InterruptHandler, *, say: Callable[[str], object]
) -> Visit | None:
    """
    Request a listing; repeat that while the server may be starting, and `say` so.

    Returns:
        What was found; None if the user interrupted.
    """
    began_s = time.monotonic()
    for number in itertools.count(1):
        listing = ask(plan.request)
        if listing is None:
            return None
        visit = visit_server(listing, ask, command=plan.command, peer=ask.peer, proxy=plan.proxy)
        waited_s = time.monotonic() - began_s
        waits = visit.problem is not None and visit.problem.may_pass and waited_s < plan.wait_s
        if not waits and (not visit.ends_early or number >= plan.looks):
            break
        if waits and visit.problem is not None:
            say(f"waiting for {visit.server}, {waited_s:.0f} of {plan.wait_s:g} s: {visit.problem.text}")
        until_s = time.monotonic() + LOOK_INTERVAL_S
        while not interrupt.is_interrupted and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _INTERRUPT_POLL_S))
        if interrupt.is_interrupted:
            return None
    return visit
