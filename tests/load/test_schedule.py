"""When requests are due, what is counted, and when a run aborts: without a socket, in a process without Locust."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sora_stats_harness.exchange import Answer, ErrorCode, Exchange, Request, Target, TransportError
from sora_stats_harness.load.metrics import Metrics
from sora_stats_harness.load.session import Schedule

SECOND_NS = 1_000_000_000


def exchange(
    sent_ns: int, received_ns: int, *, intended_ns: int | None = None, error: ErrorCode | None = None
) -> Exchange:
    """An exchange with times of one's own."""
    request = Request(server="http://127.0.0.1:1", headers=(), body=None, target=Target.ALL)
    return Exchange(
        run="r", seq=0, request=request, clock="c", sent_ns=sent_ns, received_ns=received_ns, sent_at="",
        intended_ns=intended_ns, arrived_ns=received_ns - 1000 if error is None else None,
        answer=Answer(status=200, headers=(), body=b"[]") if error is None else None,
        error=None if error is None else TransportError(code=error, detail="."),
    )  # fmt: skip


def test_a_constant_rate_is_constant() -> None:
    """Ten a second: every 100 ms, from the first on."""
    schedule = Schedule(10, 0, 5 * SECOND_NS)
    assert [schedule.next_ns() - 5 * SECOND_NS for _ in range(4)] == [0, 100_000_000, 200_000_000, 300_000_000]
    assert schedule.offered(6 * SECOND_NS) == 10


def test_a_ramp_offers_half_of_what_the_rate_would() -> None:
    """And goes on at the rate."""
    schedule = Schedule(100, 2, 0)
    due = [schedule.next_ns() for _ in range(201)]
    assert due == sorted(due)
    assert schedule.offered(2 * SECOND_NS) == 100
    assert due[100] == 2 * SECOND_NS
    assert due[200] == 3 * SECOND_NS


def test_sent_is_the_sum_of_its_parts() -> None:
    """Judged, errors and abandoned."""
    metrics = Metrics()
    for error in (None, None, ErrorCode.TIMEOUT, ErrorCode.ABANDONED):
        metrics.add("x", exchange(0, 10, error=error))
    assert (metrics.sent, metrics.judged, metrics.errors, metrics.abandoned) == (4, 2, 1, 1)


def test_a_stalled_server_is_charged_from_the_schedule() -> None:
    """Due at 0, sent at 2 s, arrived 1 us before 2.01 s: 2.01 s of response time, 10 ms of service time."""
    metrics = Metrics()
    metrics.add("x", exchange(2 * SECOND_NS, 2 * SECOND_NS + 10_000_000, intended_ns=0))
    assert metrics.whole("response").max_us == 2_009_999
    assert metrics.whole("service").max_us == 9_999
    assert metrics.whole("lateness").max_us == 2_000_000
    assert metrics.whole("generator delay").max_us == 1


def test_warm_up_is_counted_but_not_timed() -> None:
    """By the time of sending."""
    metrics = Metrics(begins_ns=100)
    metrics.add("x", exchange(99, 10_000))
    assert metrics.sent == 1
    assert metrics.whole("response").count == 0


def test_limits_say_nothing_of_few_answers() -> None:
    """From a hundred on."""
    metrics = Metrics()
    for _ in range(99):
        metrics.add("x", exchange(0, 10, error=ErrorCode.RESET))
    assert metrics.recent_errors() is None
    metrics.add("x", exchange(0, 10, error=ErrorCode.RESET))
    assert metrics.recent_errors() == 1.0


@pytest.mark.parametrize(
    ("text", "read"), [("errors>5%", "0.05 None"), ("p99>10s", "None 10000000"), ("p99 > 20ms", "None 20000")]
)
def test_limits_are_read(text: str, read: str) -> None:
    """In a process of its own, since reading them imports Locust."""
    code = f"from sora_stats_harness.load.run import limit; one = limit({text!r}); print(one.errors, one.p99_us)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == read
