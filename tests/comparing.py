"""
Sets of load runs made up for `compare_runs`: same or not, with noise as real ones have it.

`scripts/proof.py compare` draws a thousand times as many from here as the tests do.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from sora_stats_harness.judge.measured_results import CapacityResult, LatencyDistribution, LoadResult
from sora_stats_harness.judge.verdict import CoverageSummary, FindingEntry, RequirementStatus, Verdict
from sora_stats_harness.reports.comparison_result import ComparisonPolicy, RunComparison
from sora_stats_harness.reports.latency_comparison import MAX_RUNS_NEEDED
from sora_stats_harness.reports.run_comparison import NamedVerdicts, compare_runs

TARGETS = {"GetStatsConnection": 2.0, "GetStatsClient": 3.0, "GetStatsAllConnections": 14.0}
"""Each target and its usual median, in milliseconds."""


def verdict(place: int = 0, **given: Any) -> Verdict:  # Any: the struct's own fields
    """A passing verdict; `place` tells runs apart by the time of their start."""
    defaults: dict[str, Any] = {
        "command": "load",
        "verdict": "pass",
        "exit_code": 0,
        "reason": None,
        "edition": "doc-2024",
        "subject_kind": "server",
        "subject": "http://127.0.0.1:3000",
        "judged_from": "live",
        "started_at": f"2026-11-24T{place // 60:02}:{place % 60:02}:00.000Z",
        "finished_at": f"2026-11-24T{place // 60:02}:{place % 60:02}:30.000Z",
        "harness_version": "0.0.0",
        "requirements": [status("counter.monotonic"), status("shape.unknown", "HABIT")],
        "findings": [],
        "coverage": CoverageSummary(
            exchanges=100, samples=300, connections=20, fields_seen=370, never_seen=["rtp.a", "rtp.b"]
        ),
    }
    return Verdict(**(defaults | given))


def status(id: str, level: str = "MUST", checked: int = 100) -> RequirementStatus:
    """A requirement that was checked, or was not."""
    outcome: Any = "met" if checked else "not_checked"
    return RequirementStatus(id=id, level=level, status=outcome, reason=None, checked=checked, violations=0)


def finding(
    fingerprint: str, requirement: str = "counter.monotonic", level: str = "MUST", **given: Any
) -> FindingEntry:
    """A finding by its fingerprint."""
    defaults: dict[str, Any] = {
        "requirement": requirement,
        "level": level,
        "fingerprint": fingerprint,
        "target": "GetStatsClient",
        "field": f"/rtp/{fingerprint}",
        "pointer": "",
        "connection_id": None,
        "message": "it fell",
        "expected": "",
        "actual": "",
        "exchanges": [],
    }
    return FindingEntry(**(defaults | given))


def load(times_ms: dict[str, tuple[float, float]], **given: Any) -> LoadResult:
    """A load run by the p50 and p99 of each target's response time."""
    defaults: dict[str, Any] = {
        "scenario": "mixed",
        "model": "open",
        "planned_per_s": 50.0,
        "offered_per_s": 50.0,
        "lasted_s": 10.0,
        "sent": 500,
        "judged": 500,
        "errors": 0,
        "abandoned": 0,
        "bytes_sent": 1,
        "bytes_received": 1,
        "latency": [
            LatencyDistribution(
                target=target,
                kind="response",
                count=150,
                max=int(p99 * 1000),
                percentiles={"50": int(p50 * 1000), "99": int(p99 * 1000)},
            )
            for target, (p50, p99) in times_ms.items()
        ],
    }
    return LoadResult(**(defaults | given))


Noise = Callable[[random.Random], float]
"""A factor on a time, usually about 1."""


def runs(
    dice: random.Random, count: int, noise: Noise, *, added_ms: float = 0.0, shared: bool = False, odd: int = 0
) -> NamedVerdicts:
    """
    Load runs of one server.

    Args:
        dice: Where chance comes from.
        count: Runs.
        noise: Of each number; with `shared` of a whole run.
        added_ms: On every time.
        shared: Whether a slow run is slow for all targets.
        odd: 0 or 1, so that two sides are interleaved.
    """
    made = []
    for place in range(count):
        whole = noise(dice) if shared else 1.0
        times = {
            target: tuple(usual * tail * whole * (noise(dice) if not shared else 1.0) + added_ms for tail in (1.0, 4.0))
            for target, usual in TARGETS.items()
        }
        made.append((f"run-{2 * place + odd}", verdict(2 * place + odd, load=load(times))))  # type: ignore[arg-type]
    return made


def lognormal(sigma: float) -> Noise:
    """Multiplicative noise."""
    return lambda dice: dice.lognormvariate(0, sigma)


def spiky(dice: random.Random) -> float:
    """Mostly quiet, at times tenfold: as on a machine that has something else to do."""
    return dice.lognormvariate(0, 0.03) * (10 if dice.random() < 0.1 else 1)


NOISES: dict[str, tuple[Noise, bool]] = {
    "2 %, each number": (lognormal(0.02), False),
    "10 %, each number": (lognormal(0.1), False),
    "30 %, each number": (lognormal(0.3), False),
    "10 %, whole runs": (lognormal(0.1), True),
    "spikes": (spiky, False),
}
"""Each kind of noise, and whether it is a whole run's."""


def claims(comparison: RunComparison) -> int:
    """How many latencies are said to have changed."""
    return sum(row.outcome in ("slower", "faster") for row in comparison.latency)


def false_alarms(tries: int, sizes: Sequence[int], noise: Noise, *, shared: bool, seed: int) -> int:
    """How many of so many comparisons claim a change where nothing has changed."""
    dice = random.Random(seed)
    wrong = 0
    for place in range(tries):
        size = sizes[place % len(sizes)]
        base = runs(dice, size, noise, shared=shared)
        new = runs(dice, size, noise, shared=shared, odd=1)
        wrong += claims(compare_runs(base, new, ComparisonPolicy())) > 0
    return wrong


def found(tries: int, size: int, noise: Noise, *, shared: bool, seed: int) -> float:
    """In which share of so many comparisons 10 ms more are found, on all targets at p50."""
    dice = random.Random(seed)
    hits = 0
    for _ in range(tries):
        base = runs(dice, size, noise, shared=shared)
        new = runs(dice, size, noise, shared=shared, odd=1, added_ms=10)
        hits += compare_runs(base, new, ComparisonPolicy()).latency[0].outcome == "slower"
    return hits / tries


def capacity(low: float, high: float | None, *, at_least: bool = False) -> CapacityResult:
    """A capacity by its interval."""
    return CapacityResult(interval=(low, high), at_least=at_least, limited_by=None, steps=[])


def bound_claims(tries: int, size: int, noise: Noise, *, slower: float, seed: int) -> Counter[str]:
    """
    What so many comparisons by `no_worse_than` of 10 % come to, where NEW is in truth this much slower.

    The verdicts, and as `asked` how many runs a side the inconclusive ones ask for, in the median.
    """
    dice = random.Random(seed)
    counted = Counter[str]()
    asked = []
    policy = ComparisonPolicy(no_worse_than=0.1, percentiles=(50.0,))
    for _ in range(tries):
        base = runs(dice, size, noise)
        new = runs(dice, size, lambda dice: noise(dice) * (1 + slower), odd=1)
        compared = compare_runs(base, new, policy)
        counted[compared.verdict] += 1
        if compared.verdict == "inconclusive":
            bounds = [row.bound for row in compared.latency if row.bound and row.bound.outcome == "undecided"]
            asked.append(max(bound.runs_needed or MAX_RUNS_NEEDED for bound in bounds))
    return counted + Counter(asked=int(median(asked)) if asked else 0)
