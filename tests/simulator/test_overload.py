"""A server that is asked more than it bears: slow responses, and media that suffer for as long as that lasts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.simulator.fault_interface import ReceivedRequest
from sora_stats_harness.simulator.faults import parse_fault
from sora_stats_harness.simulator.faults.overload import OVERLOAD_GROWTH_PER_SECOND, OVERLOAD_ROUND_TRIP_INCREASE

SAMPLE: dict[str, Any] = {
    "connection_id": "c",
    "rtcp": {"total_generic_nack_cache_miss": 7},
    "ice_connection_state": {"total_checking_duration_ms": 0, "total_disconnected_duration_ms": 0},
    "network_status": {f"total_unstable_level{level}": int(level == 0) for level in range(4)},
    "cc": {"round_trip_time": 100},
}


def call(number: int, now_s: float) -> ReceivedRequest:
    return ReceivedRequest(operation="GetStatsConnection", number=number, now_ns=int(now_s * 1e9))


def asked(fault: str, times_s: Sequence[float], sample: dict[str, Any] = SAMPLE) -> dict[str, Any]:
    """The last of several responses."""
    made = parse_fault(fault)
    found: dict[str, Any] = {}
    for number, now_s in enumerate(times_s):
        one = call(number, now_s)
        assert made.delay_s(one) == 0
        (found,) = made.on_samples(one, [copy.deepcopy(sample)])
    return found


def test_fields_are_of_the_edition() -> None:
    """A misspelt one would suffer nothing."""
    known = {field.dotted for field in edition.load_edition().fields}
    assert {dotted for dotted, _ in (*OVERLOAD_GROWTH_PER_SECOND, OVERLOAD_ROUND_TRIP_INCREASE)} <= known


def test_media_suffer_while_too_much_is_asked() -> None:
    """30 requests a second for ten seconds, where 20 are borne: counters grow by the second, the round trip is longer."""
    found = asked("media-suffer:rate=20", [number / 30 for number in range(300)])
    assert 7 + 5 * 9 <= found["rtcp"]["total_generic_nack_cache_miss"] <= 7 + 5 * 10
    assert 900 <= found["ice_connection_state"]["total_checking_duration_ms"] <= 1000
    assert 9 <= found["network_status"]["total_unstable_level3"] <= 10
    assert found["cc"]["round_trip_time"] == 180


def test_media_do_not_suffer_below_that() -> None:
    """10 a second, and nothing is changed."""
    assert asked("media-suffer:rate=20", [number / 10 for number in range(100)]) == SAMPLE


def test_what_was_suffered_stays_and_grows_no_more() -> None:
    """Counters never fall afterwards; the gauge does."""
    hard = [number / 30 for number in range(300)]
    at_once = asked("media-suffer:rate=20", [*hard, 12.0])
    later = asked("media-suffer:rate=20", [*hard, 12.0, 13.0, 60.0])
    assert later == at_once
    assert later["rtcp"]["total_generic_nack_cache_miss"] > 40
    assert later["cc"]["round_trip_time"] == 100


def test_a_level_is_only_added_to_where_one_was_judged() -> None:
    """The level of the moment has to have been counted, if any was."""
    new = copy.deepcopy(SAMPLE)
    new["network_status"]["total_unstable_level0"] = 0
    assert asked("media-suffer:rate=1", [0.0, 0.1, 0.2, 1.0, 1.1], new)["network_status"]["total_unstable_level3"] == 0


def test_slow_responses_come_by_turn() -> None:
    """Every third takes 0.2 s longer; above a rate only where so much is asked."""
    made = parse_fault("slow-responses:every=3,by=0.2")
    assert [made.delay_s(call(number, number / 10)) for number in range(6)] == [0, 0, 0.2, 0, 0, 0.2]
    limited = parse_fault("slow-responses:every=1,by=0.2,above=2")
    assert [limited.delay_s(call(number, number / 4)) for number in range(4)] == [0, 0, 0.2, 0.2]


@pytest.mark.parametrize(("rate", "strikes"), [(285, False), (311, True)])
@pytest.mark.parametrize("stalls_s", [0.0, 0.05, 0.2])
def test_a_burst_after_a_stall_is_no_higher_rate(rate: int, strikes: bool, stalls_s: float) -> None:
    """What was held up comes at once, and the second that has it in counts more than 300; nobody asked faster for that."""
    made = parse_fault("slow-responses:every=1,by=0.2,above=300")
    due = [number / rate for number in range(3 * rate)]
    came = [1.5 + stalls_s if 1.5 <= at_s < 1.5 + stalls_s else at_s for at_s in due]
    assert any(made.delay_s(call(number, now_s)) for number, now_s in enumerate(came)) == strikes
