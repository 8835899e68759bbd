"""When requests are due, what is counted, and when a run aborts: without a socket, in a process without Locust."""

from __future__ import annotations

import pytest

from sora_stats_harness.api.exchange import ErrorCode, Exchange, Request, Response, Target, TransportError
from sora_stats_harness.load.arrival_schedule import ArrivalSchedule, ramp_segments, spike_segments
from sora_stats_harness.load.request_metrics import RequestMetrics
from sora_stats_harness.load.run_measurements import LoadPlan, RunMeasurements
from sora_stats_harness.load.slo import parse_abort_limit

SECOND_NS = 1_000_000_000


def exchange(
    sent_ns: int, received_ns: int, *, intended_ns: int | None = None, error: ErrorCode | None = None
) -> Exchange:
    """An exchange with times of one's own."""
    request = Request(server="http://127.0.0.1:1", headers=(), body=None, target=Target.ALL)
    return Exchange(
        run="r",
        seq=0,
        request=request,
        clock="c",
        sent_ns=sent_ns,
        received_ns=received_ns,
        sent_at="",
        intended_ns=intended_ns,
        arrived_ns=received_ns - 1000 if error is None else None,
        response=Response(status=200, headers=(), body=b"[]") if error is None else None,
        error=None if error is None else TransportError(code=error, detail="."),
    )


def test_a_constant_rate_is_constant() -> None:
    """Ten a second: every 100 ms, from the first on."""
    schedule = ArrivalSchedule(10, begins_ns=5 * SECOND_NS)
    assert [schedule.next_due_ns() - 5 * SECOND_NS for _ in range(4)] == [0, 100_000_000, 200_000_000, 300_000_000]
    assert schedule.scheduled_count(6 * SECOND_NS) == 10


def test_a_ramp_offers_half_of_what_the_rate_would() -> None:
    """And goes on at the rate."""
    schedule = ArrivalSchedule(100, ramp_segments(100, 2), begins_ns=0)
    due = [schedule.next_due_ns() for _ in range(201)]
    assert due == sorted(due)
    assert schedule.scheduled_count(2 * SECOND_NS) == 100
    assert due[100] == 2 * SECOND_NS
    assert due[200] == 3 * SECOND_NS


def test_a_spike_asks_more_in_its_third_fifth_only() -> None:
    """Ten seconds at 10 a second, five times as much from the fourth to the sixth."""
    schedule = ArrivalSchedule(10, spike_segments(10, 5.0, 10), begins_ns=0)
    due = [schedule.next_due_ns() for _ in range(180)]
    in_each = [sum(at // SECOND_NS == second for at in due) for second in range(10)]
    assert in_each == [10, 10, 10, 10, 50, 50, 10, 10, 10, 10]
    assert [schedule.scheduled_count(at * SECOND_NS) for at in (4, 5, 6, 10)] == [40, 90, 140, 180]


def test_what_was_due_and_what_was_offered_agree_at_every_moment() -> None:
    """Whatever the pieces."""
    for pieces in (ramp_segments(70, 3), spike_segments(70, 5.0, 8), spike_segments(70, 5.0, 8, ramp_s=1)):
        schedule = ArrivalSchedule(70, pieces, begins_ns=0)
        due = [schedule.next_due_ns() for _ in range(1500)]
        assert due == sorted(due)
        for at_ns in range(0, 8 * SECOND_NS, SECOND_NS // 7):
            assert abs(sum(each < at_ns for each in due) - schedule.scheduled_count(at_ns)) <= 1


def test_sent_is_counted_apart_from_what_became_of_it() -> None:
    """Judged, errors and abandoned; an abandoned request is no error."""
    metrics = RequestMetrics()
    for error in (None, None, ErrorCode.TIMEOUT, ErrorCode.ABANDONED):
        metrics.record(exchange(0, 10, error=error))
    assert (metrics.sent, metrics.judged, metrics.errors, metrics.abandoned) == (0, 2, 1, 1)


def test_a_stalled_server_is_charged_from_the_schedule() -> None:
    """Due at 0, sent at 2 s, arrived 1 us before 2.01 s: 2.01 s of response time, 10 ms of service time."""
    metrics = RequestMetrics()
    metrics.record(exchange(2 * SECOND_NS, 2 * SECOND_NS + 10_000_000, intended_ns=0))
    assert metrics.all_operations("response").max_us == 2_009_999
    assert metrics.all_operations("service").max_us == 9_999
    assert metrics.all_operations("send delay").max_us == 2_000_000
    assert metrics.all_operations("receive delay").max_us == 1


def test_a_request_that_timed_out_counts_with_the_time_that_it_waited() -> None:
    """Beside the complete responses, in the timeline, and where a run is aborted; after the warm-up."""
    measured = RunMeasurements()
    measured.metrics.start(0, warm_up_ns=10)
    for _ in range(98):
        measured.metrics.record(exchange(10, 1_000_010, intended_ns=10))
    for sent_ns in (9, 10, 10):
        measured.metrics.record(exchange(sent_ns, 5 * SECOND_NS + 10, error=ErrorCode.TIMEOUT, intended_ns=10))
    load = measured.to_load_summary(LoadPlan(scenario="x"))
    complete, every = [each for each in load.latency if each.kind == "response"]
    assert (complete.count, complete.includes_failures, complete.percentiles["95"]) == (98, False, 999)
    assert "99" not in complete.percentiles  # of 98
    assert (every.count, every.includes_failures, every.percentiles["99"]) == (100, True, 5_000_000)
    assert [(row.from_s, row.errors, row.p50_us) for row in load.timeline if row.errors] == [(5, 3, 5_000_000)]
    assert [(each.target, each.responses, each.errors) for each in load.targets] == [("GetStatsAllConnections", 98, 3)]
    assert measured.metrics.recent_percentile_exceeds(99, 4_999_999)


def test_users_that_wait_for_the_judge_are_the_generators_limit() -> None:
    """In both models: a tenth of their time."""
    measured, plan = RunMeasurements(lasted_s=10.0), LoadPlan(scenario="x", users=4)
    measured.metrics.judging_wait.record(4 * SECOND_NS)
    assert measured.bottleneck(plan) is None
    measured.metrics.judging_wait.record(1_000_000)
    assert measured.bottleneck(plan) == "users waited 10% of their time for responses to be judged"


def test_users_that_wake_up_late_for_their_turns_are_the_generators_limit() -> None:
    """By a tenth of their interval, on average; here that is a second."""
    measured, plan = RunMeasurements(lasted_s=10.0), LoadPlan(scenario="x", users=4, planned_per_s=4.0)
    measured.metrics.turn_delay.record(100_000_000)
    assert measured.bottleneck(plan) is None
    measured.metrics.turn_delay.record(200_000_000)
    assert measured.bottleneck(plan) == "on average users woke up 150 ms late for their turns"


def test_warm_up_is_counted_but_not_timed() -> None:
    """By the time of sending."""
    metrics = RequestMetrics()
    metrics.start(0, warm_up_ns=100)
    metrics.record(exchange(99, 10_000))
    assert metrics.judged == 1
    assert metrics.all_operations("response").count == 0


def test_limits_say_nothing_of_few_responses() -> None:
    """From a hundred on."""
    metrics = RequestMetrics()
    for _ in range(99):
        metrics.record(exchange(0, 10, error=ErrorCode.RESET))
    assert metrics.recent_error_share() is None
    metrics.record(exchange(0, 10, error=ErrorCode.RESET))
    assert metrics.recent_error_share() == 1.0


def test_limits_look_at_the_last_ten_seconds() -> None:
    """A bad beginning is forgotten, also where nothing came in between."""
    metrics = RequestMetrics()
    for _ in range(200):
        metrics.record(exchange(0, 10, error=ErrorCode.RESET))
    for _ in range(200):
        metrics.record(exchange(0, 15 * SECOND_NS))
    assert metrics.recent_error_share() == 0.0


def test_the_timeline_has_every_response_once_however_long_the_run() -> None:
    """By second at first; a run of an hour in at most sixty rows, and no more than 600 are kept."""
    metrics = RequestMetrics()
    for second in range(3600):
        metrics.record(exchange(second * SECOND_NS, second * SECOND_NS + 1))
    step_s, rows = metrics.coarse_timeline(60)
    assert len(metrics.timeline) <= 601
    assert 3600 / step_s <= len(rows) <= 60
    assert sum(row.together.responses for row in rows) == 3600
    assert [row.from_s for row in rows] == [step_s * place for place in range(len(rows))]


@pytest.mark.parametrize(
    ("text", "read"), [("errors>5%", "0.05 None"), ("p99>10s", "None 10000000"), ("p99 > 20ms", "None 20000")]
)
def test_limits_are_read(text: str, read: str) -> None:
    """A share, or a time of any unit."""
    one = parse_abort_limit(text)
    assert f"{one.errors} {one.limit_us}" == read


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_share_one_schedule(processes: int) -> None:
    """Each takes its turns: together they are those of one, none twice, and so are the requests that were due."""
    pieces = ramp_segments(100.0, ramp_s=1.0)
    whole = ArrivalSchedule(100.0, pieces, begins_ns=0)
    parts = [ArrivalSchedule(100.0, pieces, begins_ns=0, share=(index, processes)) for index in range(processes)]
    taken = sorted(part.next_due_ns() for part in parts for _ in range(60))
    assert taken == [whole.next_due_ns() for _ in range(60 * processes)]
    for until_ns in (0, 1, 10_000_000, 777_000_000, 2_000_000_000):
        assert sum(part.scheduled_count(until_ns) for part in parts) == whole.scheduled_count(until_ns)
