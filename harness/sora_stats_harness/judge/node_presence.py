"""
Tracks which connections a node lists, and which were found on it: who is there before and after is there in between.

`NodePresence`: GetStatsAllConnections is the listing. The other targets, and GetStatsAllConnections of the whole cluster
on the same node, must find a connection that was listed before their request and after their response. For any other id
nothing follows, since clients come and go.

`FoundConnections` is the mirror: a connection exists from its first sample to its last, so a complete listing whose
request and response are both in between must have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from ..api.exchange import Exchange, Target
from .evidence import EvidenceExchange

MAX_PENDING_ABSENCES: Final = 10_000
"""The most absences on one server that wait for a later response; the oldest connection's are dropped."""

MAX_PENDING_OF_CONNECTION: Final = 100
"""Of how many listings without a connection it is remembered: most have left, and are never found again."""


class ConnectionAbsence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A response that lacked a connection that one before had; whether that is a fault, a later one shows."""

    connection_id: str
    before: EvidenceExchange
    exchange: EvidenceExchange


class PendingAbsences:
    """Absences on one server that wait for a later response with the connection; of each connection at most so many."""

    def __init__(self, most_of_connection: int = MAX_PENDING_ABSENCES) -> None:
        self._most_of_connection = most_of_connection
        self._by_connection: dict[str, list[ConnectionAbsence]] = {}
        self._count = 0

    def add(self, absence: ConnectionAbsence) -> None:
        """Add the newest one."""
        pending = self._by_connection.setdefault(absence.connection_id, [])
        if len(pending) >= self._most_of_connection:
            return
        pending.append(absence)
        self._count += 1
        if self._count > MAX_PENDING_ABSENCES:
            self.remove(next(iter(self._by_connection)))

    def take_proved(self, connection_id: str, sent_ns: int) -> Sequence[ConnectionAbsence]:
        """Those that a response with the connection, requested at this time, proves to be faults; they are removed."""
        pending = self._by_connection.pop(connection_id, None)
        if pending is None:
            return ()
        proved = [each for each in pending if each.exchange.received_ns < sent_ns]
        if len(proved) < len(pending):  # the others overlap this response; a later one may decide
            self._by_connection[connection_id] = [each for each in pending if each.exchange.received_ns >= sent_ns]
        self._count -= len(proved)
        return proved

    def remove(self, connection_id: str) -> None:
        """Forget a connection's."""
        self._count -= len(self._by_connection.pop(connection_id, ()))


class SightingCounts(msgspec.Struct, gc=False):
    """
    Counts how often a connection was found since it was first listed, until a later listing confirms it.

    The counts are in two lots, the older of which is closed: under constant load, every listing overlaps the newest
    sightings.
    """

    older: int = 0
    older_ns: int = 0
    """When the last of them arrived."""
    newer: int = 0
    newer_ns: int = 0

    def take_bracketed(self, sent_ns: int) -> int:
        """How many sightings a listing that was requested at this time confirms; they are removed."""
        count = 0
        if self.newer and self.newer_ns < sent_ns:
            count, self.older, self.newer = self.older + self.newer, 0, 0
        elif self.older and self.older_ns < sent_ns:
            count, self.older = self.older, 0
        if not self.older:
            self.older, self.older_ns, self.newer = self.newer, self.newer_ns, 0
        return count


class NodePresence:
    """One node's listings, and the connections that were not found on it."""

    def __init__(self) -> None:
        self._first: dict[str, EvidenceExchange] = {}
        """The first listing of each connection."""
        self._client: dict[tuple[str | None, str | None], set[str]] = {}
        self._pending = PendingAbsences()
        self._members: frozenset[str] = frozenset()
        """The connections of the last listing that was not empty."""
        self._replaced_members: frozenset[str] = frozenset()
        """The connections of the last listing before all were replaced."""
        self._last_listing: tuple[str, int] | None = None
        self.replacements: int = 0
        """How often a listing had none of the previous listing's connections."""
        self.alternations: int = 0
        """How often a listing had connections again that had been replaced."""
        self.change: list[tuple[str, int]] = []
        """The two listings that first showed a replacement."""
        self._found: dict[Target | None, dict[str, SightingCounts]] = {target: {} for target in Target}
        self.checked: Counter[Target | None] = Counter[Target | None]()
        """How many responses stood between two listings, by target."""

    def add_listing(
        self, exchange: EvidenceExchange, samples: Iterable[tuple[str, str | None, str | None]]
    ) -> list[ConnectionAbsence]:
        """Add a listing, with connection_id, channel_id and client_id of each; returns the faults that it proves."""
        gaps: list[ConnectionAbsence] = []
        for connection_id, channel_id, client_id in samples:
            if connection_id not in self._first:
                self._first[connection_id] = exchange
                self._client.setdefault((channel_id, client_id), set()).add(connection_id)
                continue
            for target, sightings in self._found.items():
                if (found := sightings.get(connection_id)) is not None:
                    self.checked[target] += found.take_bracketed(exchange.sent_ns)
            if proved := self._pending.take_proved(connection_id, exchange.sent_ns):
                self.checked.update(each.exchange.request.target for each in proved)
                gaps += proved
        return gaps

    def add_members(self, exchange: EvidenceExchange, members: Collection[str]) -> None:
        """Add the members of a complete listing, to notice when all connections are replaced at once."""
        if not members:
            return
        if len(self._members) > 1 and self._members.isdisjoint(members):
            if self._replaced_members.isdisjoint(members):
                self.replacements += 1
            else:
                self.alternations += 1
            if not self.change and self._last_listing is not None:
                self.change = [self._last_listing, exchange.key]
            self._replaced_members = self._members
        self._members = frozenset(members)
        self._last_listing = exchange.key

    @property
    def listed(self) -> Collection[str]:
        """The connections that the node has listed and that are not forgotten."""
        return self._first.keys()

    def add_sighting(self, exchange: Exchange, connection_id: str) -> None:
        """Note that another response had this connection."""
        first = self._first.get(connection_id)
        if first is not None and first.exchange.received_ns < exchange.sent_ns:
            sightings = self._found[exchange.request.target]
            found = sightings.get(connection_id)
            if found is None:
                found = sightings[connection_id] = SightingCounts()
            found.newer += 1
            found.newer_ns = exchange.received_ns

    def add_absence(self, exchange: EvidenceExchange, connection_id: str) -> None:
        """Note that a response lacked this connection although it should have had it."""
        first = self._first.get(connection_id)
        if first is not None and first.received_ns < exchange.sent_ns:
            self._pending.add(ConnectionAbsence(connection_id=connection_id, before=first, exchange=exchange))

    def add_client_absences(
        self, exchange: EvidenceExchange, channel_id: str | None, client_id: str | None, had: Collection[str]
    ) -> None:
        """Note which of a client's listed connections a response about it lacks."""
        for connection_id in self._client.get((channel_id, client_id), ()):
            if connection_id not in had:
                self.add_absence(exchange, connection_id)

    def add_cluster_absences(self, exchange: EvidenceExchange, had: Collection[str]) -> None:
        """Note which listed connections this node's listing of the whole cluster lacks."""
        for connection_id in self._first.keys() - had:
            self.add_absence(exchange, connection_id)

    def remove_connection(self, connection_id: str) -> None:
        """Forget a connection."""
        first = self._first.pop(connection_id, None)
        if first is None:
            return
        for sightings in self._found.values():
            sightings.pop(connection_id, None)
        self._pending.remove(connection_id)
        for key, members in list(self._client.items()):
            members.discard(connection_id)
            if not members:
                del self._client[key]


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
