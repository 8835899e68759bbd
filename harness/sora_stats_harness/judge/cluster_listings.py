"""
Several nodes of one cluster: what each lists of itself, and what any of them lists of all.

A connection is alive throughout between two responses that have it. So what two whole-cluster responses have, and no node
listed in between, is nowhere; and what a node lists before and after a whole-cluster response that lacks it is missing
there (`node_presence`). Clocks are compared by the bounds that the exchanges set (`server_clock`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from .evidence import EvidenceExchange

MAX_CLOCK_SKEW_NS: Final = 1_000_000_000
"""How far the nodes' clocks may be apart without a word."""


class UnlistedConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that the whole cluster is said to have, and none of its nodes has."""

    connection_id: str
    before: EvidenceExchange
    nodes: tuple[EvidenceExchange, ...]
    after: EvidenceExchange


class ConnectionOnTwoNodes(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that two nodes list."""

    connection_id: str
    earlier: EvidenceExchange
    later: EvidenceExchange


class ConnectionListing(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of one response."""

    exchange: EvidenceExchange
    members: frozenset[str]


class ClusterListings:
    """
    The nodes' listings.

    Args:
        nodes: The servers that were said to be the whole cluster.
    """

    def __init__(self, nodes: Collection[str]) -> None:
        self.nodes: frozenset[str] = frozenset(nodes)
        self._local: dict[str, list[ConnectionListing]] = {node: [] for node in nodes}
        """Of each node, its listings since the last whole-cluster response that all nodes were asked after."""
        self._whole: ConnectionListing | None = None
        self._home: dict[str, tuple[str, EvidenceExchange]] = {}
        self._listed: set[str] = set()
        self._said: set[str] = set()
        self.union_checked: int = 0
        self.once_checked: int = 0

    def add_node_listing(self, exchange: EvidenceExchange, members: Collection[str]) -> list[ConnectionOnTwoNodes]:
        """Take in what one node lists of itself."""
        server = exchange.request.server
        if server not in self.nodes:
            return []
        doubles = []
        self._listed.add(server)
        if len(self._listed) > 1:
            self.once_checked += 1
        for connection_id in members:
            home, earlier = self._home.setdefault(connection_id, (server, exchange))
            if home != server and connection_id not in self._said:
                self._said.add(connection_id)
                doubles.append(ConnectionOnTwoNodes(connection_id=connection_id, earlier=earlier, later=exchange))
        self._local[server].append(ConnectionListing(exchange=exchange, members=frozenset(members)))
        del self._local[server][:-4]
        return doubles

    def add_cluster_listing(self, exchange: EvidenceExchange, members: Collection[str]) -> list[UnlistedConnection]:
        """Take in what a node lists of the whole cluster."""
        if exchange.request.server not in self.nodes:
            return []
        before = self._whole
        now = ConnectionListing(exchange=exchange, members=frozenset(members))
        strays: list[UnlistedConnection] = []
        if before is not None:
            between = [self._listings_between(node, before.exchange, exchange) for node in sorted(self.nodes)]
            asked = [listing for listing in between if listing is not None]
            if len(asked) < len(self.nodes):
                return []  # not all nodes were asked in between: the earlier response stays the one to start from
            self.union_checked += 1
            listed = frozenset().union(*(listing.members for listing in asked))
            strays = [
                UnlistedConnection(
                    connection_id=connection_id,
                    before=before.exchange,
                    after=exchange,
                    nodes=tuple(listing.exchange for listing in asked),
                )
                for connection_id in sorted((before.members & now.members) - listed)
            ]
        self._whole = now
        return strays

    def _listings_between(
        self, node: str, before: EvidenceExchange, after: EvidenceExchange
    ) -> ConnectionListing | None:
        for listing in reversed(self._local[node]):
            if before.received_ns < listing.exchange.sent_ns and listing.exchange.received_ns < after.sent_ns:
                return listing
        return None


def find_clock_skews(bounds: dict[str, tuple[int, int]]) -> Iterator[tuple[str, str, int]]:
    """
    Pairs of nodes whose clocks differ by more than a second, by the bounds of their offsets to ours.

    >>> list(find_clock_skews({"a": (0, 10), "b": (2_000_000_000, 2_000_000_010)}))
    [('a', 'b', 1999999990)]
    """
    nodes = sorted(bounds)
    for place, one in enumerate(nodes):
        for other in nodes[place + 1 :]:
            gap = max(bounds[one][0] - bounds[other][1], bounds[other][0] - bounds[one][1])
            if gap > MAX_CLOCK_SKEW_NS:
                yield one, other, gap
