"""The plan of a conformance run, and what such a run can observe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..api.errors import UsageError
from ..api.exchange import TARGET_HEADER, Headers, Target
from ..judge.checks.identity import ASKED, CLIENT
from ..judge.checks.presence import LISTED, PRESENT
from ..judge.checks.wrong_requests import ERROR_SHAPES, shape_id
from ..judge.requirements import (
    DEFAULT_SEVERITY,
    OBSERVED_BY_CLIENTS,
    REQUIREMENTS,
    Level,
    RequiredCapability,
    Severity,
)
from ..judge.verdict_decision import RunScope
from .discovery import KnownConnection
from .wrong_requests import LARGE_BODY_ROW, build_wrong_requests

SERVER_RATE: Final = 50.0
"""The default limit of requests per second to a server that we did not start."""

SIMULATOR_RATE: Final = 400.0
"""The same for our own simulator; each request takes a connection, and ports run out at some 470 a second."""

SERVER_BYTES_PER_S: Final = 16e6
"""The limit of body bytes per second from a server that we did not start."""

SIMULATOR_BYTES_PER_S: Final = 64e6

MAX_CONCURRENCY: Final = 32

DEFAULT_MAX_DURATION_S: Final = 60.0
"""After this time a run ends even if it has not seen enough, unless its minimum time is longer."""

RESERVED_HEADERS: Final = frozenset(
    {
        TARGET_HEADER,
        "content-length",
        "transfer-encoding",
        "accept-encoding",
        "connection",
        "expect",
        "upgrade",
    }
)
"""Headers that each request sets itself; another value would change its meaning."""


def run_time_limit_s(duration_s: float, max_duration_s: float | None) -> float:
    """The longest time of a run that takes at least `duration_s`."""
    return max(duration_s, DEFAULT_MAX_DURATION_S) if max_duration_s is None else max_duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformancePlan:
    """
    What a run does.

    `nodes` are further nodes of the cluster that `server` belongs to. `given_connections` are asked for instead of those
    that a listing shows. A run takes at least `duration_s`, and goes on until it has seen enough, for `max_duration_s`
    at most (None: 60 seconds, or `duration_s` where that is longer). With `until` it goes on until a fault in a larger
    share would have been seen by each MUST, of each target; `severity` says what is one. `concurrency` is how many requests may overlap,
    `rate` how many may be sent a second, and `bytes_per_s` how much may be received.
    """

    server: str
    nodes: tuple[str, ...] = ()
    targets: frozenset[Target] = frozenset(Target)
    given_connections: tuple[KnownConnection, ...] = ()
    duration_s: float = 10.0
    max_duration_s: float | None = None
    until: float | None = None
    severity: Severity = DEFAULT_SEVERITY
    concurrency: int = 8
    rate: float = SERVER_RATE
    bytes_per_s: float = SERVER_BYTES_PER_S
    headers: Headers = ()
    send_wrong_requests: bool = True
    send_large_request: bool = False

    def __post_init__(self) -> None:
        """
        Refuse a plan that cannot be carried out.

        Raises:
            UsageError: There is no target or nothing to request, or a number is out of range.
        """
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise UsageError(f"--concurrency must be 1 to {MAX_CONCURRENCY}: conform is not a load test")
        if not (self.duration_s > 0 and self.rate > 0):
            raise UsageError("the duration must be more than 0 seconds")
        if self.time_limit_s < self.duration_s:
            raise UsageError(
                f"--max-duration ({self.time_limit_s:g} s) must not be shorter than --duration ({self.duration_s:g} s)"
            )
        for name, _ in self.headers:
            if name.strip().lower().replace("_", "-") in RESERVED_HEADERS:
                raise UsageError(f"the header {name} is set by the harness itself and cannot be given")
        if Target.ALL not in self.targets and not self.given_connections:
            raise UsageError(
                "without GetStatsAllConnections the connections are unknown: "
                "give --channel-id with --connection-id or --client-id"
            )
        if Target.ALL not in self.targets and self.nodes:
            raise UsageError("--node needs GetStatsAllConnections in --targets: nodes are compared by their listings")
        for given in self.given_connections:
            needed = Target.CLIENT if given.connection_id is None else Target.CONNECTION
            if needed not in self.targets:
                raise UsageError(
                    f"what was given for channel {given.channel_id!r} needs {needed.operation} in --targets"
                )

    @property
    def servers(self) -> tuple[str, ...]:
        """All nodes, beginning with the server."""
        return (self.server, *self.nodes)

    @property
    def time_limit_s(self) -> float:
        """The longest time that the run takes."""
        return run_time_limit_s(self.duration_s, self.max_duration_s)

    def expected_requirements(self) -> frozenset[str]:
        """
        The requirements above INFO that a run by this plan can observe, if the server has the traffic that they need.
        """
        return frozenset(id for id in self.scope.requirement_ids() if REQUIREMENTS[id].level >= Level.HABIT)

    @property
    def scope(self) -> RunScope:
        """The scope of a run by this plan."""
        return RunScope(observes=self.observed_needs(), excluded=self.excluded_requirements())

    def observed_needs(self) -> frozenset[RequiredCapability]:
        """The capabilities of a run by this plan."""
        needs = set(OBSERVED_BY_CLIENTS)
        if self.send_wrong_requests:
            needs.add(RequiredCapability.PROBES)
            if self.send_large_request and Target.CONNECTION in self.targets:
                needs.add(RequiredCapability.LARGE_PROBE)
        if self.nodes:
            needs.add(RequiredCapability.NODES)
        return frozenset(needs)

    def excluded_requirements(self) -> frozenset[str]:
        """Requirements that are out of scope because targets are left out."""
        ids: set[str] = set()
        if Target.CONNECTION not in self.targets:
            ids.add(ASKED.id)
        if Target.CLIENT not in self.targets:
            ids.add(CLIENT.id)
        if Target.ALL not in self.targets:
            ids |= {PRESENT.id, LISTED.id}
        if {Target.CONNECTION, Target.CLIENT}.isdisjoint(self.targets):
            ids.add(LISTED.id)
        if self.send_wrong_requests:
            sent = {request.probe for request in build_wrong_requests(self.server, targets=self.targets)}
            if Target.CONNECTION in self.targets:
                sent.add(shape_id(LARGE_BODY_ROW))  # whose 8 MB are built where they are sent
            ids |= ERROR_SHAPES.keys() - sent
        return frozenset(ids)
