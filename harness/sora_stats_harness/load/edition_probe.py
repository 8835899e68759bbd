"""
Sends single requests before a run over load's own kind of connection, which also works after Locust has replaced
sockets.

`probe.single_request` does the same with the prober.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api.edition import DEFAULT_EDITION, load_edition
from ..api.exchange import Exchange, Request, Target, TransportError, make_valid_request
from ..api.server_address import Peer, ServerAddress
from ..api.server_route import Route
from ..judge.pipeline import Judge
from ..probe.edition_detection import nearest_to_exchange
from .http_connection import HttpConnection, resolve_server
from .interruptible_request import send_interruptibly, silence_keyboard_interrupt
from .prepared_request import prepare_request
from .transport_stats import TransportStats

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..probe.interrupt import InterruptHandler


def detect_by_address(
    address: ServerAddress, headers: Headers, timeout_s: float, interrupt: InterruptHandler | None = None
) -> tuple[str, list[str]]:
    """Detect the edition from one listing, as `probe.edition_detection.detect_by_server` does; Ctrl-C ends it."""
    ask = ConnectionAsk(Route(), timeout_s, interrupt)
    return nearest_to_exchange(
        ask.send_to(address, make_valid_request(Target.ALL, server=address.server, headers=headers))
    )


class ConnectionAsk:
    """
    Sends single requests, each over a new connection.

    Args:
        route: How servers are reached.
        interrupt: A signal gives up a request.
    """

    def __init__(self, route: Route, timeout_s: float, interrupt: InterruptHandler | None) -> None:
        self._route = route
        self._timeout_s = timeout_s
        self._interrupt = interrupt
        self.peer: Peer = Peer()
        """What is known of the last one's connection."""

    def __call__(self, request: Request) -> Exchange | None:
        """Look the server up, and send one request; None if it was given up."""
        address = resolve_server(request.server, self._route)
        if isinstance(address, TransportError):
            self.peer = Peer()
            return Judge(load_edition(DEFAULT_EDITION)).begin_exchange(request).complete(None, address)
        return self.send_to(address, request)

    def send_to(self, address: ServerAddress, request: Request) -> Exchange | None:
        """Send one request to a known address; None if it was given up."""
        connection = HttpConnection(address, TransportStats(), timeout_s=self._timeout_s)
        try:
            silence_keyboard_interrupt()
            exchange = send_interruptibly(
                lambda: connection.send(Judge(load_edition(DEFAULT_EDITION)), prepare_request(request)),
                lambda: self._interrupt is not None and self._interrupt.is_interrupted,
            )
        finally:
            connection.close()
        self.peer = Peer(
            address=address.display_address if exchange is not None and exchange.response is not None else None,
            tls=None if address.tls is None else "yes",
        )
        return exchange
