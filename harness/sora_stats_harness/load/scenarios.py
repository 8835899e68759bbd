"""
The scenarios, as data: how each chooses its next request, and which targets that asks for.

Nothing is imported here, since `--help` reads this table; `scenario_users` makes Locust's users of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .prepared_request import PreparedRequest
    from .request_source import RequestSource

RELIST_INTERVAL_S: Final = 2.0
"""Where the mix gave no listing for so long, one is sent."""

CLUSTER_LISTING_INTERVAL: Final = 3
"""Every so-many-th listing of the mix is one of the whole cluster, so that a fault there shows."""

SOAK_USER_INTERVAL_S: Final = 1.0

MIX: Final = {"connection": 0.7, "client": 0.29, "all": 0.01}
"""The shares of the targets where `--weights` has no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario."""

    does: str
    """In a few words, for the users in Locust."""
    choose: Callable[[RequestSource], PreparedRequest]
    """Gives the next request."""
    shares: Mapping[str, float]
    """The shares of the targets, by the names that `--weights` has; ids looked up on the side don't count."""
    is_mixed: bool = False
    """Whether `--weights` decides on the shares."""
    user_interval_s: float = 0.1
    """From one request of a user to its next under plain Locust."""
    is_steady: bool = True
    """Whether the rate stays what it is, so that `capacity` can set it."""


def _choose_mixed(requests: RequestSource) -> PreparedRequest:
    return requests.next_listing_request() if requests.is_listing_due(RELIST_INTERVAL_S) else requests.random_request()


def _choose_connection(requests: RequestSource) -> PreparedRequest:
    if requests.is_listing_due(5 * RELIST_INTERVAL_S):
        return requests.listing_request()
    return requests.connection_request()


SCENARIOS: Final = {
    "mixed": Scenario(
        does="all three targets, mostly single connections",
        choose=_choose_mixed,
        shares=MIX,
        is_mixed=True,
    ),
    "scrape": Scenario(
        does="listings of the node, as dashboards and exporters ask for them",
        choose=lambda requests: requests.listing_request(),
        shares={"all": 1.0},
    ),
    "scrape-cluster": Scenario(
        does="listings of the whole cluster",
        choose=lambda requests: requests.listing_request(local=False),
        shares={"all": 1.0},
    ),
    "spike": Scenario(
        does="as mixed, and for a fifth of the time five times as much: does the server recover?",
        choose=_choose_mixed,
        shares=MIX,
        is_mixed=True,
        is_steady=False,
    ),
    "soak": Scenario(
        does="as mixed, gently and for long: what grows, leaks or wraps around",
        user_interval_s=SOAK_USER_INTERVAL_S,
        choose=_choose_mixed,
        shares=MIX,
        is_mixed=True,
        is_steady=False,
    ),
    "drill": Scenario(
        does="single connections, as fast as it goes",
        choose=_choose_connection,
        shares={"connection": 1.0},
    ),
}
"""Each scenario by the name that the command line has for it."""

STEADY_SCENARIOS: Final = tuple(name for name, scenario in SCENARIOS.items() if scenario.is_steady)


def find_locustfile(scenario: str) -> Path | None:
    """A scenario's file for plain Locust: in the package where it was installed, else in the checkout; not all have one."""
    here = Path(__file__).resolve().parent
    places = (folder / "locustfiles" / f"{scenario}.py" for folder in (here, here.parents[2]))
    return next((place for place in places if place.is_file()), None)
