"""The settings of the gate: how long it probes, how fast, and which requests it sends; for `conform` and for pytest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from ..api.errors import UsageError, suggest_nearest
from ..api.exchange import TARGET_OF_OPERATION, Headers, Target
from ..api.option_values import parse_rate
from ..api.project_config import GivenConnection
from ..api.server_url import normalize_server_url
from ..judge.requirements import Severity
from .conformance_plan import (
    SERVER_BYTES_PER_S,
    SERVER_RATE,
    SIMULATOR_BYTES_PER_S,
    SIMULATOR_RATE,
    ConformancePlan,
)
from .discovery import KnownConnection

MAX_RATE: Final = 1000.0
"""The highest rate; for more there is `load`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What a run of the gate does; the server and its headers are settings of every run."""

    duration_s: float
    max_duration_s: float | None
    until: float | None
    """The share of faults that each MUST has to exclude, with 95 % confidence."""
    targets: frozenset[Target]
    nodes: tuple[str, ...]
    """Other nodes of the cluster."""
    connections: tuple[GivenConnection, ...]
    """Requested instead of those in a listing."""
    valid_only: bool
    large_request: bool
    concurrency: int
    rate: float | None
    """Requests a second at most; None for the usual one."""
    severity: Severity

    def make_plan(self, servers: Sequence[str], headers: Headers, *, simulated: bool) -> ConformancePlan:
        """
        Make the plan of a run.

        Args:
            servers: The nodes; if there is only one, those of the settings are added.
            simulated: Whether they are nodes of our own simulator.

        Raises:
            UsageError: The settings contradict each other.
        """
        first = servers[0]
        return ConformancePlan(
            server=first,
            nodes=tuple(dict.fromkeys(node for node in (*servers[1:], *self.nodes) if node != first)),
            targets=self.targets,
            given_connections=tuple(
                KnownConnection(server=first, **msgspec.structs.asdict(each)) for each in self.connections
            ),
            duration_s=self.duration_s,
            max_duration_s=self.max_duration_s,
            until=self.until,
            severity=self.severity,
            concurrency=self.concurrency,
            rate=self.rate or (SIMULATOR_RATE if simulated else SERVER_RATE),
            bytes_per_s=SIMULATOR_BYTES_PER_S if simulated else SERVER_BYTES_PER_S,
            headers=headers,
            send_wrong_requests=not self.valid_only,
            send_large_request=self.large_request,
        )


def parse_target(text: str) -> Target:
    """
    Read the name of an operation.

    Raises:
        UsageError: There is no such operation.
    """
    name = text.strip()
    if name not in TARGET_OF_OPERATION:
        raise UsageError(
            f"{name!r} must be one of {', '.join(TARGET_OF_OPERATION)}{suggest_nearest(name, TARGET_OF_OPERATION)}"
        )
    return TARGET_OF_OPERATION[name]


def parse_gate_rate(text: str) -> float:
    """
    Read how many requests a second may be sent.

    Raises:
        UsageError: It is not a rate, or too high for the gate.
    """
    if (rate := parse_rate(text)) > MAX_RATE:
        raise UsageError(f"{text!r} must be at most {MAX_RATE:g} requests/s: the gate is not a load test")
    return rate


def parse_node(text: str) -> str:
    """
    Read the URL of a node.

    Raises:
        UsageError: It is not the URL of a server.
    """
    return normalize_server_url(text, "the node's URL")
