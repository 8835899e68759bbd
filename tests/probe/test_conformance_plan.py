"""A plan knows what a run by it can see, and refuses what cannot be carried out."""

from __future__ import annotations

from typing import Any

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.exchange import Target
from sora_stats_harness.judge.requirements import REQUIREMENTS, RequiredCapability
from sora_stats_harness.probe.conformance_plan import ConformancePlan
from sora_stats_harness.probe.discovery import KnownConnection

A, B = "http://a:3000", "http://b:3000"
LIVE = {
    RequiredCapability.EXCHANGES,
    RequiredCapability.BODIES,
    RequiredCapability.BYTES,
    RequiredCapability.ARGUMENTS,
    RequiredCapability.TIMES,
}
CONNECTION = KnownConnection(server=A, channel_id="ch", connection_id="c")
CLIENT = KnownConnection(server=A, channel_id="ch", client_id="cl")


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, {RequiredCapability.PROBES}),
        ({"send_wrong_requests": False}, set()),
        ({"send_large_request": True}, {RequiredCapability.PROBES, RequiredCapability.LARGE_PROBE}),
        ({"send_large_request": True, "send_wrong_requests": False}, set()),
        ({"send_large_request": True, "targets": frozenset({Target.ALL})}, {RequiredCapability.PROBES}),
        ({"nodes": (B,)}, {RequiredCapability.PROBES, RequiredCapability.NODES}),
    ],
)
def test_what_a_run_can_see(changes: dict[str, Any], more: set[RequiredCapability]) -> None:
    """Probes, the large one and nodes only where the plan has them."""
    assert ConformancePlan(server=A, **changes).observed_needs() == LIVE | more


@pytest.mark.parametrize(
    ("targets", "excluded"),
    [
        (set(Target), set()),
        ({Target.ALL, Target.CLIENT}, {"identity.asked", "request.shape.large_body"}),
        ({Target.ALL, Target.CONNECTION}, {"identity.client"}),
        (
            {Target.ALL},
            {
                "identity.asked",
                "identity.client",
                "identity.listed",
                "request.shape.large_body",
                "request.shape.missing_key",
                "request.shape.no_body",
            },
        ),
        ({Target.CONNECTION}, {"identity.client", "identity.listed", "identity.present"}),
    ],
)
def test_targets_left_out_put_requirements_out_of_scope(targets: set[Target], excluded: set[str]) -> None:
    """Each id is a registered one, and none is excluded that can still be observed."""
    plan = ConformancePlan(
        server=A, targets=frozenset(targets), given_connections=(CONNECTION,) if Target.CONNECTION in targets else ()
    )
    assert plan.excluded_requirements() == excluded
    assert excluded <= REQUIREMENTS.keys()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"concurrency": 0}, "--concurrency"),
        ({"concurrency": 33}, "--concurrency"),
        ({"duration_s": 0}, "duration"),
        ({"duration_s": 90, "max_duration_s": 60}, "--max-duration .60 s. must not be shorter"),
        ({"targets": frozenset({Target.CONNECTION})}, "--channel-id"),
        ({"targets": frozenset()}, "--channel-id"),
        ({"targets": frozenset({Target.CONNECTION}), "given_connections": (CLIENT,)}, "GetStatsClient"),
        ({"targets": frozenset({Target.CLIENT}), "given_connections": (CONNECTION,)}, "GetStatsConnection"),
        ({"nodes": (B,), "targets": frozenset({Target.CONNECTION}), "given_connections": (CONNECTION,)}, "--node"),
        ({"headers": (("X-Sora-Target", "x"),)}, "X-Sora-Target"),
        ({"headers": (("x_sora_target", "x"),)}, "x_sora_target"),
        ({"headers": (("Content-Length", "1"),)}, "Content-Length"),
        ({"headers": (("accept-encoding", "gzip"),)}, "accept-encoding"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_wrong_usage(changes: dict[str, Any], word: str) -> None:
    """One line that names what to change."""
    with pytest.raises(UsageError, match=word):
        ConformancePlan(server=A, **changes)


@pytest.mark.parametrize(("duration_s", "given_s", "limit_s"), [(10, None, 60), (600, None, 600), (10, 20, 20)])
def test_a_run_has_a_time_limit(duration_s: float, given_s: float | None, limit_s: float) -> None:
    """A minute unless something else is asked for."""
    assert ConformancePlan(server=A, duration_s=duration_s, max_duration_s=given_s).time_limit_s == limit_s
