"""What a window says of a server, and when it says nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sora_stats_harness.load.capacity.load_window import (
    LoadWindow,
    backlog_trend,
    most_violated_slo,
    violated_slos,
    void_reason,
    window_length_s,
)
from sora_stats_harness.load.capacity.trend import theil_sen_slope
from sora_stats_harness.load.histogram import Histogram
from sora_stats_harness.load.slo import parse_slo

ONE, ALL = "GetStatsConnection", "GetStatsAllConnections"


def window(times_ms: Mapping[str, Sequence[float]], due: int | None = None, **settings: Any) -> LoadWindow:
    """A window in which responses took so long."""
    times: dict[str, Histogram] = {}
    for name, values in times_ms.items():
        times[name] = Histogram()
        for value in values:
            times[name].record(int(value * 1e6))
    count = sum(each.count for each in times.values())
    return LoadWindow(rate=100, lasts_s=2, due=count if due is None else due, times=times, **settings)


def texts(found: LoadWindow, *slos: str) -> list[str]:
    return [each.text for each in violated_slos(found, [parse_slo(text) for text in slos])]


def test_quantiles_are_of_what_was_due() -> None:
    """98 fast responses and 2 requests that were never sent: p97 holds, p99 does not, for what is missing took for ever."""
    found = window({ONE: [10] * 98}, due=100)
    assert texts(found, "p97<50ms", "p98<50ms", "p99<50ms") == ["p99<50ms"]


@pytest.mark.parametrize("where", ["unfinished", "errors"])
def test_requests_of_one_operation_without_a_response_count_against_its_slo(where: str) -> None:
    """And against no other's."""
    found = window({ONE: [10] * 99, ALL: [10] * 9}, due=109, **{where: {ALL: 1}})
    assert texts(found, f"{ALL}:p95<50ms", f"{ONE}:p95<50ms", "p95<50ms") == [f"{ALL}:p95<50ms"]


def test_a_limit_itself_is_a_miss() -> None:
    """Below is below."""
    found = window({ONE: [50] * 10})
    assert texts(found, "p50<50ms", "p50<51ms") == ["p50<50ms"]


def test_errors_are_transport_errors_and_statuses_of_500() -> None:
    """A request that is only slow is none."""
    assert texts(window({ONE: [1] * 999}, due=1000, errors={ONE: 1}), "errors<0.1%", "errors<0.2%") == ["errors<0.1%"]
    assert texts(window({ONE: [1] * 1000}, server_errors={ONE: 2}), "errors<0.1%", "errors<0.3%") == ["errors<0.1%"]
    assert texts(window({ONE: [1] * 999}, due=1000, unfinished={ONE: 1}), "errors<0.1%") == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"receive_delay_p99_us": 5_001}, "receive delay"),
        ({"send_delay_p99_us": 5_001}, "send delay"),
        ({"receive_delay_p99_us": 5_000, "send_delay_p99_us": 5_000}, None),
    ],
)
def test_a_window_is_void_where_the_generator_took_a_tenth_of_the_tightest_slo(
    settings: dict[str, int], said: str | None
) -> None:
    """Of 50 ms that is 5 ms."""
    slos = [parse_slo("p99<50ms"), parse_slo("p99<1s"), parse_slo("errors<1%")]
    found = void_reason(window({ONE: [1] * 100}, **settings), slos)
    assert (found is None) == (said is None)
    assert said is None or (found is not None and said in found)


@pytest.mark.parametrize(
    ("service_ms", "delay_us", "void"),
    [(60, 20_000, False), (40, 20_000, True), (60, 50_000, True), (60, 0, False)],
)
def test_a_server_that_is_too_slow_by_itself_is_so_whatever_the_generator_did(
    service_ms: int, delay_us: int, void: bool
) -> None:
    """From sending to the kernel's word the generator has no part, unless it was late by a whole SLO and sent in bursts."""
    service = Histogram()
    for _ in range(100):
        service.record(service_ms * 1_000_000)
    found = window({ONE: [100] * 100}, service_times={ONE: service}, receive_delay_p99_us=delay_us)
    for text in ("p99<50ms", f"{ONE}:p99<50ms"):
        assert (void_reason(found, [parse_slo(text)]) is not None) == void


def test_a_window_without_a_request_of_a_target_says_nothing_of_its_slo() -> None:
    """It is void, not passed."""
    assert void_reason(window({ONE: [1] * 100}), [parse_slo(f"{ALL}:p99<1s")]) == f"no {ALL} was due"
    assert void_reason(window({ONE: [1] * 100, ALL: [1]}), [parse_slo(f"{ALL}:p99<1s")]) is None


@pytest.mark.parametrize(
    ("rate", "slos", "shares", "expected"),
    [
        (1000, ["p99<50ms"], {}, 2.0),  # the shortest
        (1000, ["p99<800ms"], {}, 8.0),  # ten times the SLO
        (1000, ["p99<10s"], {}, 20.0),  # but no longer than that: there is the backlog
        (10, ["p99<50ms"], {}, 30.0),  # 300 requests
        (1000, ["p99.9<50ms"], {}, 3.0),
        (100, [f"{ALL}:p90<50ms"], {ALL: 0.01}, 30.0),  # 30 of them at one a second
        (10, [f"{ALL}:p99<50ms"], {ALL: 0.01}, 60.0),  # the longest
    ],
)
def test_how_long_a_window_lasts(rate: float, slos: list[str], shares: dict[str, float], expected: float) -> None:
    """Long enough for the quantile, and for a queue to grow beyond the SLO."""
    assert window_length_s(rate, [parse_slo(text) for text in slos], shares) == pytest.approx(expected)


def with_backlog(values: Sequence[float], rate: float = 100, lasts_s: float = 6) -> LoadWindow:
    """A window with so much under way at even distances."""
    whole = Histogram()
    samples = [(lasts_s * number / len(values), value) for number, value in enumerate(values)]
    due = int(rate * lasts_s)
    return LoadWindow(rate=rate, lasts_s=lasts_s, due=due, times={ONE: whole}, backlog=samples)


@pytest.mark.parametrize("seed", range(20))
def test_a_backlog_that_only_scatters_does_not_grow(seed: int) -> None:
    """Neither noise, nor stalls, however large."""
    draw = random.Random(seed)
    values = [draw.uniform(0, 20) + (500 if draw.random() < 0.1 else 0) for _ in range(60)]
    found = backlog_trend([with_backlog(values, rate=1000)])
    assert not found.grows


@pytest.mark.parametrize("seed", range(20))
def test_an_overload_of_one_percent_grows(seed: int) -> None:
    """Ten a second at 1,000/s: 60 more after 6 s, below noise of 20 and stalls."""
    draw = random.Random(seed)
    values = [number + draw.uniform(0, 20) + (500 if draw.random() < 0.1 else 0) for number in range(60)]
    found = backlog_trend([with_backlog(values, rate=1000)])
    assert found.grows
    assert found.slope is not None and 8 < found.slope.middle < 12


def test_less_than_99_percent_completed_is_falling_behind() -> None:
    """11 of 1,000 more under way at the end; 9 are not, nor 5 of 100, which is chance."""
    assert backlog_trend([with_backlog([0] * 10 + [11] * 10, rate=100, lasts_s=10)]).falls_behind
    assert not backlog_trend([with_backlog([0] * 10 + [9] * 10, rate=100, lasts_s=10)]).falls_behind
    assert not backlog_trend([with_backlog([0] * 10 + [5] * 10, rate=10, lasts_s=10)]).falls_behind


def test_the_slo_that_most_windows_miss_is_named() -> None:
    """Of two that are missed as often the first given."""
    slow, failing = window({ONE: [100] * 100}), window({ONE: [100] * 100}, server_errors={ONE: 50})
    slos = [parse_slo("errors<1%"), parse_slo("p99<50ms")]
    assert most_violated_slo([slow, slow, failing], slos) == "p99<50ms"
    assert most_violated_slo([failing], slos) == "errors<1%"
    assert most_violated_slo([window({ONE: [1]})], slos) is None


def test_theil_sen_holds_the_true_slope_in_its_interval() -> None:
    """In about 95 of 100 series with noise; and outliers do not move it."""
    hits = 0
    for seed in range(200):
        draw = random.Random(seed)
        slope = theil_sen_slope([(x, 3 * x + draw.gauss(0, 10)) for x in range(30)])
        assert slope is not None
        hits += slope.low <= 3 <= slope.high
    assert 180 <= hits <= 198
    spoilt = theil_sen_slope([(x, 3 * x + (1e6 if x in (7, 20) else 0)) for x in range(30)])
    assert spoilt is not None and spoilt.middle == pytest.approx(3)


def test_theil_sen_says_nothing_of_too_few_points() -> None:
    """Seven have no interval worth the name, nor have any number at one place."""
    assert theil_sen_slope([(x, x) for x in range(7)]) is None
    assert theil_sen_slope([(1, x) for x in range(20)]) is None
