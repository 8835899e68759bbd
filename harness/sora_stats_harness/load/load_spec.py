"""
What a load run is to do, as plain values: made from the command line, and handed to the processes that do it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from ..api.edition import load_edition
from ..api.exchange import Exchange, Target
from ..api.server_address import ServerAddress, SocketAddress
from ..judge.requirements import RequiredCapability
from .arrival_schedule import RateSegment, ramp_segments, spike_segments
from .load_session import LoadSession, unobservable_requirements

SPIKE_FACTOR: Final = 5.0
"""How many times as much is asked in the third fifth of `spike`."""

SOAK_USER_INTERVAL_S: Final = 1.0

DEFAULT_WEIGHTS: Final = {"connection": 70.0, "client": 29.0, "all": 1.0}
"""Of `mixed`, unless told: of a hundred requests so many."""

SCENARIO_TARGETS: Final = {
    "mixed": frozenset(Target),
    "scrape": frozenset({Target.ALL}),
    "scrape-cluster": frozenset({Target.ALL}),
    "spike": frozenset(Target),
    "soak": frozenset(Target),
    "drill": frozenset({Target.CONNECTION}),
}
"""The targets that each scenario asks for; ids looked up on the side do not count."""

_TARGET_BY_NAME: Final = {"connection": Target.CONNECTION, "client": Target.CLIENT, "all": Target.ALL}

WORKER_SEQUENCE_BITS: Final = 40
"""Below a process's index in the numbers of its exchanges: JSON's numbers are whole up to 53 bits."""


LOAD_OBSERVES: Final = frozenset(
    {
        RequiredCapability.EXCHANGES,
        RequiredCapability.BODIES,
        RequiredCapability.ARGUMENTS,
        RequiredCapability.TIMES,
        RequiredCapability.KEPT_ALIVE,
    }
)
"""What a load run can observe."""


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A run: how it is sent, how hard, and for how long."""

    edition: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 5.0
    scenario: str = "mixed"
    weights: dict[str, float] = {}
    rate: float | None = None
    ramp_s: float = 0.0
    users: int = 4
    """In an open model the most requests that may be in flight."""
    interval_s: float = 0.0
    duration_s: float = 10.0
    warm_up_s: float = 0.0
    sockets: int | None = None
    keep_alive: bool = True

    @property
    def model(self) -> Literal["open", "closed"]:
        """Whether requests are due by a schedule, or by the responses before."""
        return "closed" if self.rate is None else "open"

    @property
    def planned_per_s(self) -> float | None:
        """What a closed model sends, if the server keeps up; None where users do not wait."""
        return self.users / self.interval_s if self.rate is None and self.interval_s else None

    @property
    def unobservable_requirements(self) -> frozenset[str]:
        """Requirements that the scenario cannot observe."""
        asked = SCENARIO_TARGETS[self.scenario]
        if self.weights:
            asked = frozenset(_TARGET_BY_NAME[name] for name, weight in self.weights.items() if weight)
        unused = frozenset() if self.keep_alive else frozenset({"http.keep_alive"})
        return unobservable_requirements(asked) | unused

    def segments_before_rate(self) -> list[RateSegment]:
        """What comes before the constant rate."""
        if self.rate is None:
            return []
        if self.scenario == "spike":
            return spike_segments(self.rate, SPIKE_FACTOR, self.duration_s, self.ramp_s)
        return ramp_segments(self.rate, self.ramp_s)

    def share_for_worker(self, index: int, processes: int) -> LoadSpec:
        """What one of several processes has of it; the rate stays whole, since each takes its turns of one schedule."""

        def part(whole: int) -> int:
            return whole // processes + (index < whole % processes)

        return msgspec.structs.replace(
            self, users=part(self.users), sockets=None if self.sockets is None else part(self.sockets)
        )

    def create_session(
        self,
        address: ServerAddress,
        *,
        observer: Callable[[Exchange, bool], None] | None,
        run: str | None = None,
        index: int = 0,
        processes: int = 1,
    ) -> LoadSession:
        """What the users of a process share; `self` is its own part already."""
        return LoadSession(
            load_edition(self.edition),
            address,
            headers=self.headers,
            timeout_s=self.timeout_s,
            rate=self.rate,
            pieces=self.segments_before_rate(),
            interval_s=self.interval_s,
            observer=observer,
            keep_alive=self.keep_alive,
            warm_up_s=self.warm_up_s,
            sockets=self.sockets,
            weights=self.weights or DEFAULT_WEIGHTS,
            run=run,
            first_seq=index << WORKER_SEQUENCE_BITS,
            share=(index, processes),
        )


class WorkerJob(msgspec.Struct, frozen=True, kw_only=True):
    """What one of several processes is to do."""

    spec: LoadSpec
    """Its own share."""
    index: int
    processes: int
    run: str
    server: str
    addresses: tuple[SocketAddress, ...]
    ca_file: str | None
    insecure: bool
    edition_name: str
    subject_kind: Literal["server", "simulator"]
    secrets: tuple[str, ...]
    spool: str
