"""
The scenarios: each is a choice of the next request.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from ..exchange import Target
from .session import Session
from .user import SoraUser
from .wire import Prepared


class Mixed(SoraUser):
    """All three targets: mostly single connections, some clients, now and then a listing, which shows who is there."""

    def choose(self, session: Session) -> Prepared:
        """Of a hundred requests 70, 29 and 1."""
        dice = random.random() * 100  # noqa: S311  # no secret
        if dice < 1 or not session.known:
            return session.listing()
        return session.about_a_client() if dice < 30 else session.about_a_connection()


class Scrape(SoraUser):
    """Dashboards and exporters: everything of the node, again and again."""

    def choose(self, session: Session) -> Prepared:
        """A listing."""
        return session.listing()


class ScrapeCluster(SoraUser):
    """The same, of all nodes."""

    def choose(self, session: Session) -> Prepared:
        """A listing of the whole cluster."""
        return session.listing(local=False)


class Drill(SoraUser):
    """Single connections, as fast as it goes; who is there is asked once."""

    def choose(self, session: Session) -> Prepared:
        """One connection."""
        return session.about_a_connection()


SCENARIOS: Final[Mapping[str, tuple[type[SoraUser], frozenset[Target]]]] = {
    "mixed": (Mixed, frozenset(Target)),
    "scrape": (Scrape, frozenset({Target.ALL})),
    "scrape-cluster": (ScrapeCluster, frozenset({Target.ALL})),
    "drill": (Drill, frozenset({Target.CONNECTION})),
}
"""Each scenario, and the targets by which it is judged."""


def excluded(targets: frozenset[Target]) -> frozenset[str]:
    """Requirements that a scenario cannot observe."""
    needs = {
        "identity.asked": {Target.CONNECTION},
        "identity.client": {Target.CLIENT},
        "identity.present": {Target.CONNECTION, Target.ALL},
    }
    return frozenset(id for id, wanted in needs.items() if not wanted <= targets)
