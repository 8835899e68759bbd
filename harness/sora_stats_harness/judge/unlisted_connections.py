"""
Finds connections missing from a listing although other targets found them before its request and after its response.

This is the mirror of `node_presence`. A connection exists from its first sample to its last, so a complete listing
whose request and response are both in between must have it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from .evidence import EvidenceExchange
from .node_presence import ConnectionAbsence, SightingCounts

MAX_PENDING_LISTINGS: Final = 10_000
"""The most gaps of one server's listings that wait for a later sample; the oldest are dropped."""

MAX_PENDING_OF_CONNECTION: Final = 100
"""The same for one connection: most have left, and are never found again."""


class FoundConnections:
    """The connections that GetStatsConnection and GetStatsClient found on a server, and the listings without them."""

    def __init__(self) -> None:
        self.first: dict[str, EvidenceExchange] = {}
        """The first response that had each connection."""
        self.has_listings: bool = False
        """Whether a listing came that later samples may confirm, or prove to lack a connection."""
        self._listed: dict[str, SightingCounts] = {}
        self._pending: dict[str, list[ConnectionAbsence]] = {}
        self._waiting = 0
        self.checked: int = 0

    def add_sighting(self, exchange: EvidenceExchange, connection_id: str) -> Sequence[ConnectionAbsence]:
        """Note that a response had this connection; returns the gaps that it proves."""
        if connection_id not in self.first:
            self.first[connection_id] = exchange
            return ()
        if (listed := self._listed.get(connection_id)) is not None:
            self.checked += listed.take_bracketed(exchange.exchange.sent_ns)
        pending = self._pending.pop(connection_id, None)
        if pending is None:
            return ()
        gaps = [gap for gap in pending if gap.exchange.received_ns < exchange.sent_ns]
        if len(gaps) < len(pending):  # the others overlap this response; a later one may decide
            self._pending[connection_id] = pending[len(gaps) :]
        self._waiting -= len(gaps)
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
                self._add_gap(ConnectionAbsence(connection_id=connection_id, before=first, exchange=listing))

    def _add_gap(self, gap: ConnectionAbsence) -> None:
        pending = self._pending.setdefault(gap.connection_id, [])
        if len(pending) >= MAX_PENDING_OF_CONNECTION:
            return
        pending.append(gap)
        self._waiting += 1
        if self._waiting > MAX_PENDING_LISTINGS:
            self._waiting -= len(self._pending.pop(next(iter(self._pending))))

    def remove_connection(self, connection_id: str) -> None:
        """Forget a connection."""
        self.first.pop(connection_id, None)
        self._listed.pop(connection_id, None)
        self._waiting -= len(self._pending.pop(connection_id, ()))
