"""A run has seen enough when every expected requirement was observed, or when rounds show nothing new."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from sora_stats_harness.api.exchange import Request
from sora_stats_harness.judge.requirements import REQUIREMENTS, Level, Severity
from sora_stats_harness.judge.verdict import CoverageSummary, FindingEntry, JudgeResult
from sora_stats_harness.probe.completion import (
    MAX_IDLE_ROUNDS,
    MAX_IDLE_ROUNDS_WITHOUT_TRAFFIC,
    MIN_ROUNDS,
    CompletionTracker,
)
from sora_stats_harness.probe.conformance_plan import ConformancePlan

PLAN = ConformancePlan(server="http://a:3000")
EXPECTED = PLAN.expected_requirements()


class CountingJudge:
    """Has observed what the test says."""

    def __init__(self, observed: Collection[str] = ()) -> None:
        self.observed = set(observed)
        self.findings: list[FindingEntry] = []
        self.by_target: dict[str, dict[str, int]] = {}

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> Any:
        raise AssertionError("not used")

    def result(self) -> JudgeResult:
        return JudgeResult(
            checked=dict.fromkeys(self.observed, 1),
            checked_by_target=self.by_target,
            findings=self.findings,
            coverage=CoverageSummary(),
        )


def test_what_is_expected_follows_from_the_plan() -> None:
    """All requirements above INFO in the plan's scope, no others."""
    assert {REQUIREMENTS[id].level for id in EXPECTED} == {Level.MUST, Level.PROVEN, Level.HABIT}
    assert "cluster.union" not in EXPECTED and "request.shape.large_body" not in EXPECTED
    nodes = ConformancePlan(server="http://a:3000", nodes=("http://b:3000",), send_wrong_requests=False)
    assert "cluster.union" in nodes.expected_requirements()
    assert not any(id.startswith("request.shape.") for id in nodes.expected_requirements())


def test_all_requirements_observed_is_enough_after_two_rounds() -> None:
    """Not before: the second round sends what the first doesn't."""
    tracker = CompletionTracker(PLAN, CountingJudge(EXPECTED))
    assert [tracker.finish_round() for _ in range(MIN_ROUNDS)] == [False] * (MIN_ROUNDS - 1) + [True]
    assert not tracker.missing


def test_a_requirement_that_is_violated_was_observed() -> None:
    """Some checks count only what was fine."""
    judge = CountingJudge(EXPECTED - {"http.complete"})
    tracker = CompletionTracker(PLAN, judge)
    tracker.finish_round()
    assert not tracker.finish_round() and tracker.missing == {"http.complete"}
    judge.findings.append(
        FindingEntry(
            requirement="http.complete",
            level="MUST",
            target=None,
            field="",
            fingerprint="0" * 16,
            exchanges=[],
            message="",
            expected="",
            actual="",
            pointer="",
            connection_id=None,
        )
    )
    assert tracker.finish_round()


@pytest.mark.parametrize("observed", [set(), EXPECTED - {"identity.client"}])
def test_rounds_that_show_nothing_new_are_enough(observed: set[str]) -> None:
    """The server can't show what is still missing then; one new requirement starts the count again."""
    judge = CountingJudge(observed)
    tracker = CompletionTracker(PLAN, judge)
    before = [tracker.finish_round() for _ in range(MAX_IDLE_ROUNDS - 1)]
    judge.observed |= {"http.json", "relation.none"} if not observed else {"identity.client"}
    if observed:
        assert tracker.finish_round()
        return
    after = [tracker.finish_round() for _ in range(MAX_IDLE_ROUNDS + 1)]
    assert not any(before) and after == [False] * MAX_IDLE_ROUNDS + [True]


def test_traffic_that_is_not_there_is_not_waited_for() -> None:
    """Relations of simulcast, say: without it they stay unobserved, and the verdict can be pass."""
    judge = CountingJudge()
    tracker = CompletionTracker(PLAN, judge)
    assert not any(tracker.finish_round() for _ in range(2))
    judge.observed |= {id for id in EXPECTED if REQUIREMENTS[id].needs_traffic is None}
    assert [tracker.finish_round() for _ in range(1 + MAX_IDLE_ROUNDS_WITHOUT_TRAFFIC)] == [False, True]


def test_a_stated_bound_holds_for_every_must_and_target() -> None:
    """Until each was checked 3/share times; what no pass needs, and wrong requests, are not waited for."""
    judge = CountingJudge(EXPECTED)
    judge.by_target = {
        "http.status": {"GetStatsClient": 300, "GetStatsConnection": 150},
        "clock.order": {"GetStatsClient": 1},
        "request.no_5xx": {"GetStatsClient": 1},
        "counter.monotonic": {"GetStatsAllConnections": 299},
    }
    tracker = CompletionTracker(replace(PLAN, until=0.01), judge)
    assert [tracker.finish_round() for _ in range(MIN_ROUNDS + 2)] == [False] * (MIN_ROUNDS + 2)
    weakest = tracker.weakest()
    assert weakest is not None
    assert weakest.describe(elapsed_s=60.0) == (
        "too weak for 1 %: http.status of GetStatsConnection was checked on 150 responses, and 300 are needed: about "
        "60 s more"
    )
    judge.by_target["http.status"]["GetStatsConnection"] = judge.by_target["counter.monotonic"][
        "GetStatsAllConnections"
    ] = 300
    assert tracker.weakest() is None
    assert tracker.finish_round()


@pytest.mark.parametrize(
    ("severity", "weak"),
    [
        ({}, "http.status"),
        ({"clock.order": Level.MUST}, "clock.order"),
        ({"http.status": Level.HABIT}, None),
    ],
)
def test_the_user_says_what_is_a_must(severity: dict[str, Level], weak: str | None) -> None:
    """`[severity]` adds a requirement to those that a bound holds for, or takes one away."""
    judge = CountingJudge(EXPECTED)
    judge.by_target = {"clock.order": {"GetStatsClient": 1}, "http.status": {"GetStatsClient": 2}}
    plan = replace(PLAN, until=0.01, severity=Severity(by_requirement=severity))
    found = CompletionTracker(plan, judge).weakest()
    assert (None if found is None else found.requirement.id) == weak
