"""
Finds connections missing from a listing although other targets found them before its request and after its response.

This is the mirror of `node_presence`. A connection exists from its first sample to its last, so a complete listing
whose request and response are both in between must have it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from .evidence import EvidenceExchange
from .node_presence import ConnectionAbsence, PendingAbsences, SightingCounts

MAX_PENDING_OF_CONNECTION: Final = 100
"""Of how many listings without a connection it is remembered: most have left, and are never found again."""


class FoundConnections:
    """The connections that GetStatsConnection and GetStatsClient found on a server, and the listings without them."""

    def __init__(self) -> None:
        self.first: dict[str, EvidenceExchange] = {}
        """The first response that had each connection."""
        self.has_listings: bool = False
        """Whether a listing came that later samples may confirm, or prove to lack a connection."""
        self._listed: dict[str, SightingCounts] = {}
        self._pending = PendingAbsences(MAX_PENDING_OF_CONNECTION)
        self.checked: int = 0

    def add_sighting(self, exchange: EvidenceExchange, connection_id: str) -> Sequence[ConnectionAbsence]:
        """Note that a response had this connection; returns the gaps that it proves."""
        if connection_id not in self.first:
            self.first[connection_id] = exchange
            return ()
        if (listed := self._listed.get(connection_id)) is not None:
            self.checked += listed.take_bracketed(exchange.exchange.sent_ns)
        gaps = self._pending.take_proved(connection_id, exchange.sent_ns)
        self.checked += len(gaps)
        return gaps

    def add_listing(self, listing: EvidenceExchange, had: Collection[str], excused: Collection[str]) -> None:
        """Add a complete listing; the absence of `excused` connections is reported by another requirement."""
        self.has_listings = self.has_listings or bool(self.first)
        for connection_id, first in self.first.items():
            if first.received_ns >= listing.sent_ns:
                continue
            if connection_id in had:
                listed = self._listed.get(connection_id)
                if listed is None:
                    listed = self._listed[connection_id] = SightingCounts()
                listed.newer += 1
                listed.newer_ns = listing.received_ns
            elif connection_id not in excused:
                self._pending.add(ConnectionAbsence(connection_id=connection_id, before=first, exchange=listing))

    def remove_connection(self, connection_id: str) -> None:
        """Forget a connection."""
        self.first.pop(connection_id, None)
        self._listed.pop(connection_id, None)
        self._pending.remove(connection_id)
