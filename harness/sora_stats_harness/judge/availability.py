"""Tracks which servers respond, and which have stopped."""

from __future__ import annotations

from typing import Final

import msgspec

from ..api.exchange import ErrorCode, Exchange, TransportError
from ..api.http1_faults import UNANNOUNCED_CLOSE

OUTAGE_THRESHOLD: Final = 3
"""After so many requests in a row without a complete response, a server counts as gone."""


class ServerOutage(msgspec.Struct, gc=False):
    """Requests to a server without a complete response, all sent after the last one that had one."""

    server: str
    since_ns: int
    """When the first of them ended."""
    error: TransportError
    """The last one's error."""
    sent_ns: int
    """When the first of them was sent."""
    count: int = 0
    last_received_ns: int = 0
    """When the last of them ended."""

    @property
    def description(self) -> str:
        """What happened, in a line."""
        return f"{self.server} stopped responding: {self.error.code.value}: {self.error.detail}"


class ServerAvailability:
    """Keeps, for each server, the last request that got a complete response, and the failures since."""

    def __init__(self) -> None:
        self._responded: dict[str, int] = {}
        """When the last request that got a complete response was sent."""
        self._silent: dict[str, ServerOutage] = {}
        self._longest_gap_ns = 0

    def has_responded(self, server: str) -> bool:
        """Whether the server has given a complete response in this run."""
        return server in self._responded

    def add_response(self, exchange: Exchange) -> None:
        """Note a complete response."""
        server, sent_ns, responded = exchange.request.server, exchange.sent_ns, self._responded
        if sent_ns >= responded.get(server, sent_ns):
            responded[server] = sent_ns
        if self._silent:
            outage = self._silent.pop(server, None)
            if outage is not None:
                self._longest_gap_ns = max(self._longest_gap_ns, exchange.received_ns - outage.sent_ns)

    def add_failure(self, exchange: Exchange) -> None:
        """
        Note a missing or partial response; ignores requests that we gave up, and those sent before the last successful
        one.
        """
        error, server = exchange.error, exchange.request.server
        if error is None or error.code in (ErrorCode.ABANDONED, ErrorCode.LOCAL):
            return
        if any(fault.code == UNANNOUNCED_CLOSE for fault in exchange.faults):
            return  # the connection was closed, not the server
        if exchange.sent_ns <= self._responded.get(server, -(2**63)):
            return
        outage = self._silent.get(server)
        if outage is None:
            outage = self._silent[server] = ServerOutage(server, exchange.received_ns, error, exchange.sent_ns)
        outage.count += 1
        outage.error = error
        outage.last_received_ns = exchange.received_ns

    @property
    def longest_gap_ns(self) -> int:
        """
        The longest time in which a server that had responded before gave no complete response to any request.

        From the sending of the first request without one to the receipt of the next complete response.
        """
        lasting = [
            outage.last_received_ns - outage.sent_ns
            for server, outage in self._silent.items()
            if server in self._responded
        ]
        return max(self._longest_gap_ns, *lasting, 0)

    @property
    def outage(self) -> ServerOutage | None:
        """A server that responded at first, but not to the last requests; None if there is none."""
        return next(
            (
                outage
                for server, outage in self._silent.items()
                if outage.count >= OUTAGE_THRESHOLD and server in self._responded
            ),
            None,
        )
