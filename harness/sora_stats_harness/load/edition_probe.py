"""
`--edition auto` under load: one listing over load's own kind of connection, which works where Locust replaced sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api.edition import DEFAULT_EDITION, load_edition
from ..api.exchange import Target, make_valid_request
from ..api.server_address import ServerAddress
from ..judge.pipeline import Judge
from ..probe.edition_detection import nearest_to_exchange
from .http_connection import HttpConnection
from .interruptible_request import send_interruptibly, silence_keyboard_interrupt
from .prepared_request import prepare_request
from .transport_stats import TransportStats

if TYPE_CHECKING:
    from ..api.exchange import Headers
    from ..probe.interrupt import InterruptHandler


def detect_by_address(
    address: ServerAddress, headers: Headers, timeout_s: float, interrupt: InterruptHandler
) -> tuple[str, list[str]]:
    """Ask a server for its connections once, as `probe.edition_detection.detect_by_server` does; Ctrl-C ends it."""
    connection = HttpConnection(address, TransportStats(), timeout_s=timeout_s)
    request = make_valid_request(Target.ALL, server=address.server, headers=headers)
    try:
        silence_keyboard_interrupt()
        exchange = send_interruptibly(
            lambda: connection.send(Judge(load_edition(DEFAULT_EDITION)), prepare_request(request)),
            lambda: interrupt.is_interrupted,
        )
    finally:
        connection.close()
    return nearest_to_exchange(exchange)
