"""
The scenarios: each is a choice of the next request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from locust import LoadTestShape

from .load_spec import SCENARIO_TARGETS, SOAK_USER_INTERVAL_S, SPIKE_FACTOR
from .prepared_request import PreparedRequest
from .request_source import RequestSource
from .sora_user import SoraUser

RELIST_INTERVAL_S: Final = 2.0
"""Where the mix gave no listing for so long, one is sent."""


class MixedUser(SoraUser):
    """All three targets: mostly single connections, some clients, now and then a listing, which shows who is there."""

    targets = SCENARIO_TARGETS["mixed"]

    def choose(self, requests: RequestSource) -> PreparedRequest:
        """By the weights: of a hundred requests 70, 29 and 1, unless others are given."""
        return requests.listing_request() if requests.is_listing_due(RELIST_INTERVAL_S) else requests.random_request()


class ScrapeUser(SoraUser):
    """Dashboards and exporters: everything of the node, again and again."""

    targets = SCENARIO_TARGETS["scrape"]

    def choose(self, requests: RequestSource) -> PreparedRequest:
        """A listing."""
        return requests.listing_request()


class ScrapeClusterUser(SoraUser):
    """The same, of all nodes."""

    targets = SCENARIO_TARGETS["scrape-cluster"]

    def choose(self, requests: RequestSource) -> PreparedRequest:
        """A listing of the whole cluster."""
        return requests.listing_request(local=False)


class DrillUser(SoraUser):
    """Single connections, as fast as it goes; who is there is asked now and then."""

    targets = SCENARIO_TARGETS["drill"]

    def choose(self, requests: RequestSource) -> PreparedRequest:
        """One connection."""
        if requests.is_listing_due(5 * RELIST_INTERVAL_S):
            return requests.listing_request()
        return requests.connection_request()


class SpikeUser(MixedUser):
    """As mixed, and for a fifth of the time five times as much: does the server recover? For the open model."""


class SpikeLoadShape(LoadTestShape):
    """The same under plain Locust, which has no rates: five times the users for the third fifth of the run time."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """How many users there are to be, and how many of them may be started a second."""
        given = None if self.runner is None else self.runner.environment.parsed_options
        users, lasts_s = (given.num_users or 1, given.run_time or 60) if given is not None else (1, 60)
        elapsed_s = self.get_run_time()
        if elapsed_s >= lasts_s:
            return None
        many = int(users * SPIKE_FACTOR) if 2 <= elapsed_s / lasts_s * 5 < 3 else users
        return many, 100.0


class SoakUser(MixedUser):
    """As mixed, gently and for long: what grows, leaks or wraps around. Each user sends once a second unless told."""

    interval_s = SOAK_USER_INTERVAL_S


SCENARIOS: Final[Mapping[str, type[SoraUser]]] = {
    "mixed": MixedUser,
    "scrape": ScrapeUser,
    "scrape-cluster": ScrapeClusterUser,
    "spike": SpikeUser,
    "soak": SoakUser,
    "drill": DrillUser,
}
"""Each scenario by the name that the command line has for it."""
