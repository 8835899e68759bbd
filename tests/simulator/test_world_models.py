"""The parts of which the world is made: ICE by its timing, levels, sheets, effects, and the facts about them."""

from __future__ import annotations

import doctest
import random

import pytest

from sora_stats_harness.simulator import connection_ids as ids
from sora_stats_harness.simulator import connection_lifetimes as stays
from sora_stats_harness.simulator import counter_increments as effects
from sora_stats_harness.simulator import ice_history as ice
from sora_stats_harness.simulator import network_stability as network
from sora_stats_harness.simulator.client_roles import CLIENT_ROLES, ClientRole, StayLength
from sora_stats_harness.simulator.ice_history import ICE_COUNTERS, IceState

MS_NS = 1_000_000
SECOND_NS = 1000 * MS_NS


def counts(course: ice.IceHistorySegment | ice.IceHistory, at_ns: int) -> dict[str, int]:
    """What was counted up to a moment, zeros left out."""
    return {name.removeprefix("total_"): n for name, n in zip(ICE_COUNTERS, course.counts_at(at_ns), strict=True) if n}


def test_a_connection_begins_by_checking() -> None:
    """One check, responded after the round trip: then it is connected, and checks again 2.5 s later."""
    history = ice.make_stable_history(response_after_ns=40 * MS_NS, outage_ns=None)
    assert counts(history, 0) == {"checking_req": 1}
    assert counts(history, 40 * MS_NS - 1) == {"checking_req": 1}
    begun = {"checking_req": 1, "checking_ack": 1, "checking_to_connected": 1, "checking_duration_ms": 40}
    assert counts(history, 40 * MS_NS) == begun
    assert counts(history, 2540 * MS_NS - 1) == begun
    assert counts(history, 2540 * MS_NS) == {**begun, "connected_req": 1}
    assert counts(history, 2580 * MS_NS) == {**begun, "connected_req": 1, "connected_ack": 1}
    assert counts(history, 3600 * SECOND_NS)["connected_req"] == 1439


def test_a_lost_connection_fails_by_the_documented_timing() -> None:
    """Unanswered at 2.5 s, checking at 5 s (a check a second), disconnected at 10 s (20 a second), failed at 20 s."""
    course = ice.simulate_ice(
        IceState.CONNECTED, response_after_ns=MS_NS, outages_ns=[(1, ice.NEVER_NS)], until_ns=ice.NEVER_NS
    )
    assert course.length_ns == 20 * SECOND_NS
    assert counts(course, 5 * SECOND_NS - 1) == {"connected_req": 2, "connected_ack": 1}
    assert counts(course, 5 * SECOND_NS) == {
        "connected_req": 2,
        "connected_ack": 1,
        "connected_to_checking": 1,
        "checking_req": 1,
    }
    assert counts(course, 10 * SECOND_NS - 1)["checking_req"] == 5
    assert counts(course, 10 * SECOND_NS)["checking_to_disconnected"] == 1
    end = counts(course, 20 * SECOND_NS)
    assert (end["disconnected_req"], end["disconnected_to_failed"]) == (200, 1)
    assert (end["checking_duration_ms"], end["disconnected_duration_ms"]) == (5000, 10_000)
    assert "disconnected_ack" not in end


def test_an_outage_that_ends_is_survived_through_checking() -> None:
    """Disconnected goes back to checking and from there to connected; late responses count where they arrive."""
    course = ice.simulate_ice(
        IceState.CONNECTED, response_after_ns=80 * MS_NS, outages_ns=[(1, 11 * SECOND_NS)], until_ns=12 * SECOND_NS
    )
    end = counts(course, course.length_ns - 1)
    assert end["disconnected_to_checking"] == end["checking_to_connected"] == end["connected_to_checking"] == 1
    assert end["checking_ack"] + end["connected_ack"] + end["disconnected_ack"] <= sum(
        end[f"{state}_req"] for state in ("checking", "connected", "disconnected")
    )
    assert end["connected_ack"] > end["connected_req"] - 1, "a response to a disconnected check came when connected"


@pytest.mark.parametrize("seed", range(20))
def test_a_history_only_grows_and_never_skips_a_state(seed: int) -> None:
    """In every round: responses within checks, in sum, and no state left more often than entered."""
    source = random.Random(seed)
    begin_ns = source.randrange(8 * SECOND_NS)
    outage = (begin_ns, begin_ns + source.randrange(1, 9 * SECOND_NS))
    history = ice.make_stable_history(response_after_ns=source.randrange(1, 300) * MS_NS, outage_ns=outage)
    before = history.counts_at(0)
    for at_ns in range(0, 90 * SECOND_NS, 13 * MS_NS):
        now = history.counts_at(at_ns)
        assert all(old <= new for old, new in zip(before, now, strict=True))
        found = dict(zip(ICE_COUNTERS, now, strict=True))
        states = ("checking", "connected", "disconnected")
        assert sum(found[f"total_{s}_ack"] for s in states) <= sum(found[f"total_{s}_req"] for s in states)
        assert 0 <= found["total_checking_to_connected"] - found["total_connected_to_checking"] <= 1
        assert 0 <= found["total_checking_to_disconnected"] - found["total_disconnected_to_checking"] <= 1
        before = now


def test_the_world_begins_where_much_happens_to_a_bad_link() -> None:
    """Within 10 s a mobile goes through checking and disconnected and comes back."""
    mobile = next(role for role in CLIENT_ROLES if role.has_lossy_network)
    visit = next(stays.connection_lifetimes(mobile, "seed", slot=6, churn=True))
    begin, end = (
        dict(zip(ICE_COUNTERS, visit.ice.counts_at(at - visit.joins_ns), strict=True)) for at in (0, 10 * SECOND_NS)
    )
    assert [name for name in ICE_COUNTERS if begin[name] == end[name]] == ["total_disconnected_to_failed"]


@pytest.mark.parametrize("role", CLIENT_ROLES, ids=lambda role: role.name)
def test_visits_follow_each_other(role: ClientRole) -> None:
    """The first was there before the world began; each next one joins within 2 s of a leave; some never leave."""
    visits = stays.connection_lifetimes(role, "seed", slot=3, churn=True)
    before = next(visits)
    assert before.joins_ns < 0
    if role.stay is StayLength.ALWAYS:
        assert before.leaves_ns is None
        assert next(visits, None) is None
        return
    for _ in range(5):
        after = next(visits)
        assert before.leaves_ns is not None
        assert before.leaves_ns > 0
        assert before.leaves_ns < after.joins_ns <= before.leaves_ns + 2 * SECOND_NS
        assert after.key != before.key
        before = after


def test_levels_are_counted_one_by_one() -> None:
    """One judgement a period, the counts add up to their number, and the level is the one just counted."""
    judged = network.instability_source(random.Random(2), every_ns=SECOND_NS, unstable=True)
    assert list(judged(SECOND_NS - 1)) == [0, 0, 0, 0, 0]
    for second in range(1, 100):
        level, *found = judged(second * SECOND_NS)
        assert sum(found) == second
        old = list(judged(second * SECOND_NS - 1))[1:]
        assert [new - was for new, was in zip(found, old, strict=True)] == [int(k == level) for k in range(4)]


def test_a_stable_network_is_mostly_at_level_zero() -> None:
    """Good links have good levels."""
    level, *found = network.instability_source(random.Random(2), every_ns=SECOND_NS, unstable=False)(1000 * SECOND_NS)
    assert level in (0, 1)
    assert found[0] > 700
    assert found[2] == found[3] == 0


@pytest.mark.parametrize("module", [effects, ids])
def test_examples_in_docstrings_are_true(module: object) -> None:
    """The doctests run."""
    result = doctest.testmod(module)  # type: ignore[arg-type]  # parametrize hides that these are modules
    assert result.attempted > 0
    assert result.failed == 0
