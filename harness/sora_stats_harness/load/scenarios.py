"""
The scenarios: each is a choice of the next request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from locust import LoadTestShape

from .session import Session
from .spec import SCOPES, SPIKE
from .user import SoraUser
from .wire import Prepared

REFRESH_S: Final = 2.0
"""After so long a listing is due, whatever the dice say."""


class Mixed(SoraUser):
    """All three targets: mostly single connections, some clients, now and then a listing, which shows who is there."""

    targets = SCOPES["mixed"]

    def choose(self, session: Session) -> Prepared:
        """By weight; of a hundred requests 70, 29 and 1, unless told."""
        return session.listing() if session.is_stale(REFRESH_S) else session.any_target()


class Scrape(SoraUser):
    """Dashboards and exporters: everything of the node, again and again."""

    targets = SCOPES["scrape"]

    def choose(self, session: Session) -> Prepared:
        """A listing."""
        return session.listing()


class ScrapeCluster(SoraUser):
    """The same, of all nodes."""

    targets = SCOPES["scrape-cluster"]

    def choose(self, session: Session) -> Prepared:
        """A listing of the whole cluster."""
        return session.listing(local=False)


class Drill(SoraUser):
    """Single connections, as fast as it goes; who is there is asked now and then."""

    targets = SCOPES["drill"]

    def choose(self, session: Session) -> Prepared:
        """One connection."""
        if session.is_stale(5 * REFRESH_S):
            return session.listing()
        return session.about_a_connection()


class Spike(Mixed):
    """As mixed, and for a fifth of the time five times as much: does the server recover? For the open model."""


class SpikeShape(LoadTestShape):
    """The same under plain Locust, which has no rates: five times the users for the third fifth of the run time."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """How many users there are to be, and how many of them may be started a second."""
        given = None if self.runner is None else self.runner.environment.parsed_options
        users, lasts_s = (given.num_users or 1, given.run_time or 60) if given is not None else (1, 60)
        elapsed_s = self.get_run_time()
        if elapsed_s >= lasts_s:
            return None
        many = int(users * SPIKE) if 2 <= elapsed_s / lasts_s * 5 < 3 else users
        return many, 100.0


class Soak(Mixed):
    """As mixed, gently and for long: what grows, leaks or wraps around. Each user sends once a second unless told."""


SCENARIOS: Final[Mapping[str, type[SoraUser]]] = {
    "mixed": Mixed,
    "scrape": Scrape,
    "scrape-cluster": ScrapeCluster,
    "spike": Spike,
    "soak": Soak,
    "drill": Drill,
}
"""Each scenario by the name that the command line has for it."""
