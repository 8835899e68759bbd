"""What a load run says of its SLOs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from sora_stats_harness.api.exchange import ErrorCode
from sora_stats_harness.judge.verdict_decision import RunEnding
from sora_stats_harness.load.histogram import Histogram
from sora_stats_harness.load.request_metrics import FAILED_WAIT, TIME_KINDS
from sora_stats_harness.load.run_measurements import LoadPlan, RunMeasurements
from sora_stats_harness.load.slo import parse_slo
from sora_stats_harness.load.slo_results import end_with_slos, judge_slos

from .test_arrival_schedule import exchange

ONE, ALL = "GetStatsConnection", "GetStatsAllConnections"


def measured(
    times_ms: Mapping[str, Sequence[float]], failed: Mapping[str, int] | None = None, server_errors: int = 0
) -> RunMeasurements:
    """A run whose responses took so long, with so many requests without one."""
    made = RunMeasurements(lasted_s=1.0)
    for name, values in times_ms.items():
        kinds = made.metrics.times[name] = {kind: Histogram() for kind in TIME_KINDS}
        for value in values:
            kinds["response"].record(int(value * 1e6))
            kinds["service"].record(int(value * 1e6))
        for _ in range((failed or {}).get(name, 0)):
            kinds[FAILED_WAIT].record(1000)
    made.metrics.server_errors[ONE] = server_errors
    return made


@pytest.mark.parametrize(
    ("run", "slo", "status", "actual"),
    [
        (measured({ONE: [10] * 100}), "p99<50ms", "met", "10 ms"),
        (measured({ONE: [10] * 98 + [60] * 2}), "p99<50ms", "violated", "60 ms"),
        (measured({ONE: [10] * 99 + [60]}), "p99<50ms", "met", "10.05 ms"),
        (measured({ONE: [10] * 99}), "p99<50ms", "not_checked", "10 ms (p98.99)"),
        (measured({ONE: [10] * 10 + [60] * 10}), "p99<50ms", "violated", "60 ms (p95)"),
        (measured({ONE: [60] * 9}), "p99<50ms", "not_checked", "-"),
        (measured({ONE: [10]}), "max<50ms", "met", "10 ms"),
        (measured({ONE: [10] * 98}, {ONE: 2}), "p99<50ms", "violated", "no complete response"),
        (measured({ONE: [10] * 1000}), "errors<0.1%", "met", "0%"),
        (measured({ONE: [10] * 999}, {ONE: 1}), "errors<0.1%", "violated", "0.1%"),
        (measured({ONE: [10] * 1000}, server_errors=2), "errors<0.1%", "violated", "0.2%"),
        (measured({ONE: [10] * 99}, {ONE: 1}), "errors<0.1%", "not_checked", "1%"),
        (measured({ONE: [10] * 98}, {ONE: 2}), "errors<0.1%", "violated", "2%"),
        (measured({ONE: [10] * 100}), f"{ALL}:p50<1s", "not_checked", "-"),
        (measured({ONE: [10] * 100, ALL: [900] * 20}), f"{ALL}:p95<800ms", "violated", "900 ms"),
        (measured({ONE: [900] * 100, ALL: [10] * 20}), f"{ALL}:p95<800ms", "met", "10 ms"),
    ],
)
def test_an_slo_is_met_violated_or_not_checked(run: RunMeasurements, slo: str, status: str, actual: str) -> None:
    """A request without a complete response is slower than any time; what too few requests say is never a pass."""
    (found,) = judge_slos([parse_slo(slo)], run)
    assert (found.status, found.actual) == (status, actual)
    assert (found.reason is None) == (status != "not_checked")


def test_what_was_due_and_never_sent_is_slower_than_any_time() -> None:
    """Two of a hundred that the server left no room for."""
    run = measured({ONE: [10] * 98})
    run.scheduled, run.metrics.sent = 100, 98
    (found,) = judge_slos([parse_slo("p99<50ms")], run)
    assert (found.status, found.requests) == ("violated", 100)


@pytest.mark.parametrize(
    ("times_ms", "unsent", "status"),
    [([10] * 990, 10, "not_checked"), ([10] * 991, 9, "met"), ([60] * 990, 10, "violated")],
)
def test_what_our_own_machine_could_not_send_proves_nothing(
    times_ms: Sequence[float], unsent: int, status: str
) -> None:
    """Neither an error of the server's nor a fast response; one in a hundred might have been slower than the SLO."""
    run = measured({ONE: times_ms})
    failed = exchange(0, 10, error=ErrorCode.LOCAL)
    for _ in range(unsent):
        run.metrics.record(failed)
    (found,) = judge_slos([parse_slo("p99<50ms")], run)
    assert (found.status, found.requests) == (status, len(times_ms))
    assert run.bottleneck(LoadPlan(scenario="x")) == f"it could not send {unsent} requests: ."
    assert [(each.code, each.count, each.whose) for each in run.metrics.failure_counts()] == [
        ("local", unsent, "generator")
    ]


@pytest.mark.parametrize(("delay_ms", "status"), [(4, "violated"), (6, "not_checked")])
def test_a_generator_that_was_late_proves_no_violation(delay_ms: int, status: str) -> None:
    """By a tenth of the SLO."""
    run = measured({ONE: [60] * 100})
    run.scheduled = 100
    run.metrics.times[ONE]["service"] = Histogram()
    run.metrics.ready_user_send_delay.record(delay_ms * 1_000_000)
    (found,) = judge_slos([parse_slo("p99<50ms")], run)
    assert found.status == status


def test_violated_slos_fail_and_unchecked_ones_leave_the_verdict_open() -> None:
    """The first of each is named."""
    run = measured({ONE: [60] * 100})
    slos = [parse_slo(text) for text in ("p99<50ms", "p50<50ms", f"{ALL}:p50<1s", "p99.9<1s")]
    ending = end_with_slos(RunEnding(), judge_slos(slos, run))
    assert ending.violated_slo == "p99<50ms is violated: 60 ms, and 1 more"
    assert ending.unchecked_slo == f"{ALL}:p50<1s was not checked: no {ALL} was sent, and 1 more"
    assert end_with_slos(RunEnding(), judge_slos(slos[3:], measured({ONE: [1] * 1000}))) == RunEnding()
