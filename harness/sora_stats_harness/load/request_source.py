"""The requests that users choose from: about the connections that the last listings named."""

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
    What a scenario chooses from.

    Args:
        server: Scheme, host and port.
        headers: Sent with every request.
        weights: How often `random_request` asks for connection, client and all, in proportion to each other.
        workers: How many processes send, each with a source of its own: together they list as often as one would.
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
        """The connections to ask for."""
        return self._known

    @known_connections.setter
    def known_connections(self, known: Sequence[KnownConnection]) -> None:
        self._known = known
        self._clients = [each for each in known if each.client_id is not None]
        self._connection_requests: list[PreparedRequest | None] = [None] * len(known)
        """What asks for each, once it was asked for."""
        if len(self._prepared) > 3 * len(known) + 100:
            self._prepared.clear()  # most are about connections that have left

    def switch_server(self, server: str) -> None:
        """Ask another server from now on; its ids are other ones."""
        self._server = server
        self._prepared.clear()
        self.known_connections = ()

    def read_listing(self, response: Response) -> None:
        """Take the ids from a listing; at most once a second, and in a hundredth of the time where listings are large."""
        began_ns = time.monotonic_ns()
        if began_ns < self._next_read_ns and self._known:
            return
        if known := connections_in_response(self._server, response):
            self.known_connections = known
        now_ns = time.monotonic_ns()
        self._next_read_ns = now_ns + max(MIN_LISTING_READ_INTERVAL_NS, 100 * (now_ns - began_ns))

    def is_listing_due(self, after_s: float) -> bool:
        """Whether nobody has asked for a listing for so long, since connections come and go."""
        return time.monotonic_ns() - self._listed_ns >= after_s * self._workers * 1e9

    def listing_request(self, *, local: bool | None = None) -> PreparedRequest:
        """GetStatsAllConnections."""
        self._listed_ns = time.monotonic_ns()
        return self._prepare(Target.ALL, local=local)

    def next_listing_request(self) -> PreparedRequest:
        """GetStatsAllConnections of the node, and now and then of the whole cluster."""
        self._listings += 1
        return self.listing_request(local=False if self._listings % CLUSTER_LISTING_INTERVAL == 0 else None)

    def connection_request(self) -> PreparedRequest:
        """GetStatsConnection of any known connection; a listing while none is known."""
        requests = self._connection_requests
        if not requests:
            return self.listing_request()
        place = int(random.random() * len(requests))  # noqa: S311  # no secret
        prepared = requests[place]
        if prepared is None:
            known = self._known[place]
            prepared = requests[place] = self._prepare(
                Target.CONNECTION, channel_id=known.channel_id, connection_id=known.connection_id
            )
        return prepared

    def client_request(self) -> PreparedRequest:
        """GetStatsClient of any known client; a listing while none is known."""
        if not self._clients:
            return self.listing_request()
        known = random.choice(self._clients)  # noqa: S311  # no secret
        return self._prepare(Target.CLIENT, channel_id=known.channel_id, client_id=known.client_id)

    def random_request(self) -> PreparedRequest:
        """One of the three at random, by the weights; a listing while nobody is known."""
        drawn = random.random()  # noqa: S311  # no secret
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
    """Up to which number drawn from 0 to 1 a connection is asked for, and up to which a client."""
    connection, client, everything = (weights.get(name, 0.0) for name in ("connection", "client", "all"))
    whole = connection + client + everything
    return connection / whole, (connection + client) / whole
