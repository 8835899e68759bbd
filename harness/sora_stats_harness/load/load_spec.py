"""The specification of a load run and its workers as plain values, which are made from the command line."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import msgspec

from ..api.exchange import Target
from ..judge.checks.framing import KEEP_ALIVE
from ..judge.checks.identity import ASKED, CLIENT
from ..judge.checks.presence import LISTED, PRESENT
from ..judge.requirements import DEFAULT_SEVERITY, OBSERVED_BY_CLIENTS, RequiredCapability, Severity
from ..judge.verdict_decision import RunScope
from .arrival_schedule import ArrivalSchedule, RateSegment, ramp_segments, spike_segments
from .run_measurements import LoadPlan
from .scenarios import SCENARIOS

SPIKE_FACTOR: Final = 5.0
"""The factor of the rate in the third fifth of `spike`."""

TARGET_BY_NAME: Final = {"connection": Target.CONNECTION, "client": Target.CLIENT, "all": Target.ALL}
"""The targets by their names in `--weights`."""

WORKER_SEQUENCE_BITS: Final = 40
"""The bits of an exchange's number below its worker's index; JSON's integers are exact up to 53 bits."""

MAX_START_SPREAD_S: Final = 1.0
"""The time over which users without an interval send their first requests."""

USERS_STARTED_PER_S: Final = 1000.0

LOAD_OBSERVES: Final = OBSERVED_BY_CLIENTS | {RequiredCapability.KEPT_ALIVE}
"""What a load run can observe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerShare:
    """The index of a worker, the number of workers, and their run; by default there is only one."""

    index: int = 0
    count: int = 1
    run: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def first_sequence(self) -> int:
        """The number of its first exchange."""
        return self.index << WORKER_SEQUENCE_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """The number of workers, and whether they are started here or connect from elsewhere."""

    count: int
    are_started_here: bool = True
    """If not, they are started on any machine, and connect by themselves."""
    bind_host: str = "127.0.0.1"
    bind_port: int = 0
    """The port; 0 for any free one."""

    @property
    def description(self) -> str:
        """The workers, in words."""
        if self.are_started_here:
            return f"{self.count:d} processes"
        what = "1 worker" if self.count == 1 else f"{self.count:d} workers"
        return f"{what} connecting to {self.bind_host}:{self.bind_port}"


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a run sends, at which load, and for how long."""

    edition: str
    checks: tuple[str, ...] = ()
    """Files with the user's own checks."""
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 5.0
    scenario: str = "mixed"
    weights: dict[str, float] = {}
    rate: float | None = None
    ramp_s: float = 0.0
    users: int = 4
    """In an open model the largest number of requests in flight."""
    interval_s: float = 0.0
    duration_s: float = 10.0
    warm_up_s: float = 0.0
    sockets: int | None = None
    keep_alive: bool = True
    tear_s: float | None = None
    """How far apart the server stamps a response and reads its counters; None if unknown."""
    severity: Severity = DEFAULT_SEVERITY
    """What findings weigh, and which of them fail."""

    @property
    def model(self) -> Literal["open", "closed"]:
        """Whether requests are due by a schedule, or by the previous responses."""
        return "closed" if self.rate is None else "open"

    @property
    def planned_per_s(self) -> float | None:
        """The rate of a closed model if the server keeps up; None if users do not pause."""
        return self.users / self.interval_s if self.rate is None and self.interval_s else None

    def plan(self, processes: int) -> LoadPlan:
        """The plan of the run, for its summary."""
        return LoadPlan(
            scenario=self.scenario,
            model=self.model,
            planned_per_s=self.planned_per_s,
            users=self.users,
            processes=processes,
        )

    @property
    def scope(self) -> RunScope:
        """What the scenario can observe."""
        scope = observable_scope(_asked_targets(self.scenario, self.weights))
        return scope if self.keep_alive else replace(scope, excluded={*scope.excluded, KEEP_ALIVE.id})

    @property
    def first_send_spread_s(self) -> float:
        """The time over which the users of a closed model send their first requests."""
        return self.interval_s or min(MAX_START_SPREAD_S, self.users / USERS_STARTED_PER_S)

    def schedule(self, begins_ns: int, share: WorkerShare) -> ArrivalSchedule | None:
        """When a worker's requests are due; None in a closed model."""
        if self.rate is None:
            return None
        return ArrivalSchedule(
            self.rate, self._segments_before_rate(), begins_ns=begins_ns, share=(share.index, share.count)
        )

    def _segments_before_rate(self) -> list[RateSegment]:
        assert self.rate is not None, "of an open model"
        if self.scenario == "spike":
            return spike_segments(self.rate, SPIKE_FACTOR, self.duration_s, self.ramp_s)
        return ramp_segments(self.rate, self.ramp_s)

    def share_for_worker(self, index: int, workers: int) -> LoadSpec:
        """One worker's share of the users and sockets; the rate stays the same, since workers share one schedule."""

        def part(whole: int) -> int:
            return whole // workers + (index < whole % workers)

        return msgspec.structs.replace(
            self, users=part(self.users), sockets=None if self.sockets is None else part(self.sockets)
        )

    def verdict_options(self, processes: int) -> dict[str, Any]:  # Any: JSON
        """The key `options` of verdict.json."""
        return {
            "scenario": self.scenario,
            "weights": self.weights or None,
            "rate": self.rate,
            "ramp_s": self.ramp_s,
            "users": self.users,
            "interval_s": self.interval_s if self.rate is None else None,
            "duration_s": self.duration_s,
            "warm_up_s": self.warm_up_s,
            "sockets": self.sockets,
            "new_connection_each": not self.keep_alive,
            "processes": processes,
        }


def _asked_targets(scenario: str, weights: Mapping[str, float]) -> frozenset[Target]:
    shares = weights or SCENARIOS[scenario].shares
    return frozenset(TARGET_BY_NAME[name] for name, share in shares.items() if share)


def asked_operations(scenario: str, weights: Mapping[str, float]) -> frozenset[str]:
    """The operations that a scenario requests."""
    return frozenset(target.operation for target in _asked_targets(scenario, weights))


def observable_scope(targets: frozenset[Target]) -> RunScope:
    """The scope of a run that requests only these targets."""
    needs = {
        ASKED.id: {Target.CONNECTION},
        CLIENT.id: {Target.CLIENT},
        PRESENT.id: {Target.CONNECTION, Target.ALL},
        LISTED.id: {Target.CONNECTION, Target.ALL},
    }
    return RunScope(observes=LOAD_OBSERVES, excluded={id for id, wanted in needs.items() if not wanted <= targets})
