"""The scenarios as Locust user classes, for the command line and for locustfiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from locust import LoadTestShape

from .load_spec import SPIKE_FACTOR, TARGET_BY_NAME
from .prepared_request import PreparedRequest
from .request_source import RequestSource
from .scenarios import SCENARIOS, Scenario
from .sora_user import SoraUser


def _make_user_class(name: str, scenario: Scenario) -> type[SoraUser]:
    """Make the user class of a scenario, such as `ScrapeClusterUser`."""

    class ScenarioUser(SoraUser):
        targets = frozenset(TARGET_BY_NAME[each] for each in scenario.shares)
        interval_s = scenario.user_interval_s

        def choose(self, requests: RequestSource) -> PreparedRequest:
            return scenario.choose(requests)

    ScenarioUser.__name__ = ScenarioUser.__qualname__ = f"{name.title().replace('-', '')}User"
    ScenarioUser.__doc__ = scenario.does
    return ScenarioUser


SCENARIO_USERS: Final[Mapping[str, type[SoraUser]]] = {
    name: _make_user_class(name, scenario) for name, scenario in SCENARIOS.items()
}
"""The user class of each scenario."""


class SpikeLoadShape(LoadTestShape):
    """The load shape of `spike` under plain Locust, which has no rates: five times the users in the third fifth."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """The current number of users, and how many may be started per second."""
        given = None if self.runner is None else self.runner.environment.parsed_options
        users, lasts_s = (given.num_users or 1, given.run_time or 60) if given is not None else (1, 60)
        elapsed_s = self.get_run_time()
        if elapsed_s >= lasts_s:
            return None
        many = int(users * SPIKE_FACTOR) if 2 <= elapsed_s / lasts_s * 5 < 3 else users
        return many, 100.0
