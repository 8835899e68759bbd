"""
Compares the listings of a cluster's nodes: what each node lists of itself, and what it lists of the whole cluster.

A connection exists throughout the time between two responses that have it. So a connection that two whole-cluster
responses have, and no node listed in between, is on no node. A connection that a node lists before and after a
whole-cluster response without it is missing there (`node_presence`). Clocks are compared by the bounds from the
exchanges (`server_clock`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from .evidence import EvidenceExchange

MAX_CLOCK_SKEW_NS: Final = 1_000_000_000
"""The largest difference between the nodes' clocks that is not reported."""


class MisplacedConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that is listed by two nodes, or for the whole cluster but by none of its nodes."""

    connection_id: str
    before: tuple[EvidenceExchange, ...]
    """The earlier responses that prove it."""


class ConnectionListing(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of one response."""

    exchange: EvidenceExchange
    members: frozenset[str]


class ClusterListings:
    """The listings of the servers that were said to be the whole cluster."""

    def __init__(self, nodes: Collection[str]) -> None:
        self.nodes: frozenset[str] = frozenset(nodes)
        self._local: dict[str, list[ConnectionListing]] = {node: [] for node in nodes}
        """Each node's listings since the last whole-cluster response after which all nodes were asked."""
        self._whole: ConnectionListing | None = None
        self._home: dict[str, tuple[str, EvidenceExchange]] = {}
        self._listed: set[str] = set()
        self._said: set[str] = set()
        self.union_checked: int = 0
        self.once_checked: int = 0

    def add_node_listing(self, exchange: EvidenceExchange, members: Collection[str]) -> list[MisplacedConnection]:
        """Add what one node lists of itself; returns connections that another node lists too."""
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
                doubles.append(MisplacedConnection(connection_id=connection_id, before=(earlier,)))
        self._local[server].append(ConnectionListing(exchange=exchange, members=frozenset(members)))
        del self._local[server][:-4]
        return doubles

    def add_cluster_listing(self, exchange: EvidenceExchange, members: Collection[str]) -> list[MisplacedConnection]:
        """Add what a node lists of the whole cluster; returns connections that no node lists."""
        if exchange.request.server not in self.nodes:
            return []
        before = self._whole
        now = ConnectionListing(exchange=exchange, members=frozenset(members))
        strays: list[MisplacedConnection] = []
        if before is not None:
            between = [self._listings_between(node, before.exchange, exchange) for node in sorted(self.nodes)]
            asked = [listing for listing in between if listing is not None]
            if len(asked) < len(self.nodes):
                return []  # not all nodes were asked in between: keep starting from the earlier response
            self.union_checked += 1
            listed = frozenset().union(*(listing.members for listing in asked))
            strays = [
                MisplacedConnection(
                    connection_id=connection_id, before=(before.exchange, *(listing.exchange for listing in asked))
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
    Yield pairs of nodes whose clocks differ by more than a second, according to the bounds of their offsets to ours.

    >>> list(find_clock_skews({"a": (0, 10), "b": (2_000_000_000, 2_000_000_010)}))
    [('a', 'b', 1999999990)]
    """
    nodes = sorted(bounds)
    for place, one in enumerate(nodes):
        for other in nodes[place + 1 :]:
            gap = max(bounds[one][0] - bounds[other][1], bounds[other][0] - bounds[one][1])
            if gap > MAX_CLOCK_SKEW_NS:
                yield one, other, gap
