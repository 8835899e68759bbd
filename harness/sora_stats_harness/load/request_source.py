"""The requests that users choose from, about the connections in the last listings."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..api.exchange import Headers, Response, Target, make_valid_request
from ..probe.discovery import KnownConnection, connections_in_response
from .prepared_request import PreparedRequest, prepare_request
from .scenarios import CLUSTER_LISTING_INTERVAL, MIX

MIN_LISTING_READ_INTERVAL_NS: Final = 1_000_000_000


class RequestSource:
    """
    Makes the requests that a scenario chooses from.

    Args:
        server: Scheme, host and port.
        headers: Sent with every request.
        weights: The relative frequencies of connection, client and all in `random_request`.
        workers: How many processes send, each with its own source; together they list as often as one would.
    """

    def __init__(
        self, server: str, headers: Headers = (), weights: Mapping[str, float] = MIX, workers: int = 1
    ) -> None:
        self._server = server
        self._headers = headers
        self._weights = _cumulative_weights(weights)
        self._workers = workers
        self._prepared: dict[tuple[Any, ...], PreparedRequest] = {}  # Any: texts and targets
        self._next_read_ns = 0
        self._listed_ns = 0
        self._listings = 0
        self.known_connections = ()

    @property
    def known_connections(self) -> Sequence[KnownConnection]:
        """The connections to request."""
        return self._known

    @known_connections.setter
    def known_connections(self, known: Sequence[KnownConnection]) -> None:
        self._known = known
        self._clients = [each for each in known if each.client_id is not None]
        self._connection_requests: list[PreparedRequest | None] = [None] * len(known)
        """The prepared request for each, after its first use."""
        if len(self._prepared) > 3 * len(known) + 100:
            self._prepared.clear()  # most of them are about connections that have left

    def switch_server(self, server: str) -> None:
        """Make requests for another server from now on, which has other ids."""
        self._server = server
        self._prepared.clear()
        self.known_connections = ()

    def read_listing(self, response: Response) -> None:
        """
        Read the ids in a listing; at most once a second, and for large listings in at most a hundredth of the time.
        """
        began_ns = time.monotonic_ns()
        if began_ns < self._next_read_ns and self._known:
            return
        if known := connections_in_response(self._server, response):
            self.known_connections = known
        now_ns = time.monotonic_ns()
        self._next_read_ns = now_ns + max(MIN_LISTING_READ_INTERVAL_NS, 100 * (now_ns - began_ns))

    def is_listing_due(self, after_s: float) -> bool:
        """Whether the last listing request was this long ago, since connections come and go."""
        return time.monotonic_ns() - self._listed_ns >= after_s * self._workers * 1e9

    def listing_request(self, *, local: bool | None = None) -> PreparedRequest:
        """A GetStatsAllConnections request."""
        self._listed_ns = time.monotonic_ns()
        return self._prepare(Target.ALL, local=local)

    def next_listing_request(self) -> PreparedRequest:
        """A GetStatsAllConnections request for the node, and now and then for the whole cluster."""
        self._listings += 1
        return self.listing_request(local=False if self._listings % CLUSTER_LISTING_INTERVAL == 0 else None)

    def connection_request(self) -> PreparedRequest:
        """A GetStatsConnection request for any known connection; a listing while none is known."""
        requests = self._connection_requests
        if not requests:
            return self.listing_request()
        place = int(random.random() * len(requests))  # noqa: S311  # not a secret
        prepared = requests[place]
        if prepared is None:
            known = self._known[place]
            prepared = requests[place] = self._prepare(
                Target.CONNECTION, channel_id=known.channel_id, connection_id=known.connection_id
            )
        return prepared

    def client_request(self) -> PreparedRequest:
        """A GetStatsClient request for any known client; a listing while none is known."""
        if not self._clients:
            return self.listing_request()
        known = random.choice(self._clients)  # noqa: S311  # not a secret
        return self._prepare(Target.CLIENT, channel_id=known.channel_id, client_id=known.client_id)

    def random_request(self) -> PreparedRequest:
        """A request for a random target, by the weights; a listing while no connection is known."""
        drawn = random.random()  # noqa: S311  # not a secret
        connection, client = self._weights
        if drawn < connection:
            return self.connection_request()
        return self.client_request() if drawn < client else self.next_listing_request()

    def _prepare(self, target: Target, **arguments: Any) -> PreparedRequest:  # Any: as make_valid_request takes them
        key = (target, *arguments.values())
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) > 10_000:
                self._prepared.clear()
            request = make_valid_request(target, server=self._server, headers=self._headers, **arguments)
            prepared = self._prepared[key] = prepare_request(request)
        return prepared


def _cumulative_weights(weights: Mapping[str, float]) -> tuple[float, float]:
    """
    The thresholds for a random number from 0 to 1: below the first a connection is requested, below the second a
    client.
    """
    connection, client, everything = (weights.get(name, 0.0) for name in ("connection", "client", "all"))
    whole = connection + client + everything
    return connection / whole, (connection + client) / whole
