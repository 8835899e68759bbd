"""
Sends single requests before a run over load's own kind of connection, which also works after Locust has replaced
sockets.

`probe.single_request` does the same with the prober.
"""

from __future__ import annotations

from ..api.edition import DEFAULT_EDITION, load_edition
from ..api.exchange import Exchange, Request, TransportError
from ..api.server_address import Peer, ServerAddress
from ..api.server_route import Route
from ..judge.pipeline import Judge
from ..probe.interrupt import InterruptHandler
from .greenlets import send_interruptibly, silence_keyboard_interrupt
from .http_connection import HttpConnection, resolve_server
from .prepared_request import prepare_request
from .transport_stats import TransportStats


class ConnectionAsk:
    """
    Sends single requests, each over a new connection; a signal gives up a request.

    Args:
        address: The server, if it was looked up already.
    """

    def __init__(
        self, route: Route, timeout_s: float, interrupt: InterruptHandler, address: ServerAddress | None = None
    ) -> None:
        self._route = route
        self._address = address
        self._timeout_s = timeout_s
        self._interrupt = interrupt
        self.peer: Peer = Peer()
        """What is known of the last one's connection."""

    def __call__(self, request: Request) -> Exchange | None:
        """Send one request; None if it was given up."""
        address = self._address or resolve_server(request.server, self._route)
        judge = Judge(load_edition(DEFAULT_EDITION))
        if isinstance(address, TransportError):
            self.peer = Peer()
            return judge.begin_exchange(request).complete(None, address)
        connection = HttpConnection(address, TransportStats(), timeout_s=self._timeout_s)
        try:
            silence_keyboard_interrupt()
            exchange = send_interruptibly(
                lambda: connection.send(judge, prepare_request(request)), lambda: self._interrupt.is_interrupted
            )
        finally:
            connection.close()
        self.peer = Peer(
            address=address.display_address if exchange is not None and exchange.response is not None else None,
            tls=None if address.tls is None else "yes",
        )
        return exchange
