"""A connection's stamps, one after the other: what is stale, what stands still, and what a step of the clock explains."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest

from sora_stats_harness.judge.stamp_order import BackwardStamp, ClockSteps, StampedSample, StampHistory

from .build import SECOND

MICROSECOND = 1000
MINUTES = 600 * SECOND


def sample(
    stamp: int, sent: int, received: int, *, resolution: int = MICROSECOND, evidence: Any = None
) -> StampedSample:
    """A sample, whatever response it was in. Any: what stands for the response."""
    response: Any = object() if evidence is None else evidence
    return StampedSample(stamp, resolution, sent, received, response, None)


# -- one stamp, several times -------------------------------------------------------------------------------------------


def responses_of(history: StampHistory) -> int:
    """How many came with the last stamp, one after the other."""
    return 1 if history.repeats is None else history.repeats.responses


@pytest.mark.parametrize(
    ("moments", "told", "responses"),
    [
        pytest.param(
            [(0, 10), (11, 20), (10 + 2 * SECOND, 3 * SECOND)], [False, True], 3, id="two seconds, three times"
        ),
        pytest.param([(0, 10), (11, 20), (9 + 2 * SECOND, 3 * SECOND)], [False, False], 3, id="not two seconds"),
        pytest.param([(0, 10), (3 * SECOND, 4 * SECOND)], [False], 2, id="not three times"),
        pytest.param([(0, 10), (10, 20), (3 * SECOND, 4 * SECOND)], [False, False], 2, id="one overlaps the first"),
        pytest.param(
            [(0, 10), (11, 20), (20, 30), (3 * SECOND, 4 * SECOND)], [False, False, True], 3, id="one overlaps another"
        ),
        pytest.param(
            [(0, 10), (11, 20), (3 * SECOND, 4 * SECOND), (5 * SECOND, 6 * SECOND)],
            [False, True, False],
            4,
            id="told once",
        ),
    ],
)
def test_a_stamp_that_stands_still(moments: Sequence[tuple[int, int]], told: list[bool], responses: int) -> None:
    """For at least two seconds, in at least three responses that do not overlap."""
    (sent, received), *rest = moments
    history = StampHistory(sample(5, sent, received))
    assert [history.repeat(sample(5, *each)) for each in rest] == told
    assert responses_of(history) == responses
    assert (history.take_stale() is None) is any(told), "one fault, one finding"


@pytest.mark.parametrize(
    ("resolution", "apart", "stale"),
    [
        (1, 1, False),
        (1, 2, True),
        (MICROSECOND, MICROSECOND, False),
        (MICROSECOND, MICROSECOND + 1, True),
        (MICROSECOND + 1, 2 * MICROSECOND + 2, False),
        (MICROSECOND + 1, 2 * MICROSECOND + 3, True),
        (SECOND, 2 * SECOND, False),
        (SECOND, 2 * SECOND + 1, True),
    ],
)
def test_a_stamp_that_comes_again_is_stale(resolution: int, apart: int, stale: bool) -> None:
    """Unless it is so coarse that two reads may have it: a fine one for its resolution, others for twice as long."""
    history = StampHistory(sample(5, 0, 10, resolution=resolution))
    again = sample(5, 10 + apart, 20 + apart)
    history.repeat(again)
    found = history.take_stale()
    assert (found is not None) is stale
    if found is not None:
        assert (found[0].sent_ns, found[1], found[2]) == (0, again, 2)
    assert history.take_stale() is None, "it is told once"


def test_stale_samples_are_told_by_the_first_and_the_last() -> None:
    """However many there were; another stamp begins anew."""
    history = StampHistory(sample(5, 0, 10))
    last = [sample(5, sent, sent + 1) for sent in (5000, 6000, 7000)]
    for each in last:
        history.repeat(each)
    found = history.take_stale()
    assert found is not None and (found[1], found[2]) == (last[-1], 4)
    history.add(sample(9000, 9000, 9001), None)
    assert (history.first.stamp_ns, responses_of(history), history.take_stale()) == (9000, 1, None)


# -- which stamp precedes ---------------------------------------------------------------------------------------------


def preceding(history: StampHistory, sent: int) -> int | None:
    """The stamp that a request which was sent then is held against."""
    found = deepcopy(history).add(sample(10**18, sent, sent + 1), None)
    return None if found is None else found.stamp_ns


def test_the_latest_stamp_that_had_arrived_precedes() -> None:
    """Strictly before the request was sent."""
    history = StampHistory(sample(5, 0, 10))
    assert (preceding(history, 10), preceding(history, 11)) == (None, 5)


def test_earlier_stamps_are_kept_for_requests_under_way() -> None:
    """Such a request is held against what had arrived before it was sent, and not against the newest."""
    history = StampHistory(sample(5, 0, 10))
    history.add(sample(15, 11, 20), 12)
    history.add(sample(25, 21, 30), 12)
    assert [preceding(history, sent) for sent in (10, 11, 20, 21, 30, 31)] == [None, 5, 5, 15, 15, 25]


def test_stamps_that_no_request_under_way_can_follow_are_let_go() -> None:
    """Of those that had arrived before the oldest was sent, the latest is enough."""
    history = StampHistory(sample(5, 0, 10))
    history.add(sample(15, 11, 20), 12)
    history.add(sample(25, 21, 30), 21)
    assert [preceding(history, sent) for sent in (11, 21)] == [None, 15]
    history = StampHistory(sample(5, 0, 10))
    history.add(sample(15, 11, 20), 12)
    history.add(sample(25, 21, 30), 20)
    assert preceding(history, 20) == 5, "what arrives as it is sent does not precede it"
    history.add(sample(35, 31, 40), None)
    assert [preceding(history, sent) for sent in (30, 40, 41)] == [None, None, 35]


def test_sixteen_stamps_are_kept_for_requests_under_way() -> None:
    """A request that hangs must not cost more and more."""
    history = StampHistory(sample(5, 0, 10))
    for step in range(1, 18):
        history.add(sample(10 * step + 5, 10 * step, 10 * step + 10), 0)
    assert (preceding(history, 20), preceding(history, 21)) == (None, 15)


def test_a_stamp_that_overlaps_the_latest_and_is_earlier_stands_for_nothing() -> None:
    """What follows is held against the later stamp."""
    history = StampHistory(sample(5, 0, 10))
    history.add(sample(25, 20, 40), 20)
    history.add(sample(22, 21, 41), None)
    assert preceding(history, 50) == 25


def test_a_stamp_that_went_back_is_what_the_next_is_held_against() -> None:
    """The clock was set, or this one is wrong: in either case what is later than it is right."""
    history = StampHistory(sample(500, 0, 10))
    history.add(sample(100, 20, 30), 5)
    assert [preceding(history, sent) for sent in (11, 30, 31)] == [None, None, 100]


def test_what_is_earlier_than_a_stamp_that_went_back_is_let_go() -> None:
    """Nothing precedes a request that was sent before it had arrived."""
    history = StampHistory(sample(5, 0, 10))
    history.add(sample(25, 11, 20), 0)
    history.add(sample(15, 21, 30), 0)
    assert [preceding(history, sent) for sent in (15, 31)] == [None, 15]


def test_the_first_to_have_had_the_latest_stamp_precedes() -> None:
    """A second one that had it, after another in between, arrived later."""
    history = StampHistory(sample(5, 0, 10))
    history.add(sample(25, 20, 40), 20)
    history.add(sample(22, 21, 41), 20)
    history.add(sample(25, 22, 60), None)
    assert preceding(history, 50) == 25


# -- steps of a server's clock ------------------------------------------------------------------------------------------


def back(earlier: StampedSample, later: StampedSample) -> BackwardStamp:
    """What an earlier stamp after a later one comes to."""
    return BackwardStamp(connection_id="c", earlier=earlier, later=later)


FIRST = sample(100 * SECOND, 0, 10)
LATER = sample(99 * SECOND, 20, 30)
"""Sent 10 ns after FIRST had arrived, and a second earlier by its stamp."""


def test_by_how_much() -> None:
    """At least by the difference; the clock, by what had passed as well."""
    found = back(FIRST, LATER)
    assert (found.by_ns, found.step_ns) == (SECOND, SECOND + 10)


def stepped() -> tuple[ClockSteps, BackwardStamp]:
    """A clock of which one stamp has gone back."""
    steps, found = ClockSteps(), back(FIRST, LATER)
    assert steps.add_backward(found) == []
    assert steps.pending == [found]
    return steps, found


@pytest.mark.parametrize(
    ("sent", "received", "ahead", "wrong"),
    [
        pytest.param(31, 40, 0, False, id="as far as the step allows"),
        pytest.param(31, 40, 1, True, id="further: the clock was not set"),
        pytest.param(30, 40, 1, False, id="sent as the stamp arrived: it may have been read before"),
        pytest.param(2030, 40_000, 1, False, id="a slewed clock gains one in two thousand"),
        pytest.param(2030, 40_000, 2, True, id="and no more"),
    ],
)
def test_a_stamp_of_another_connection_tells_whether_the_clock_was_set(
    sent: int, received: int, ahead: int, wrong: bool
) -> None:
    """LATER's stamp says that the clock was at most 99 s and a microsecond at 20, so how far it can be since."""
    steps, found = stepped()
    highest = 99 * SECOND + MICROSECOND - 20
    assert steps.add_forward(sample(received + highest + ahead, sent, received)) == ([found] if wrong else [])


def test_after_ten_minutes_nothing_is_pending() -> None:
    """The clock was set, and by now nobody can tell any more."""
    steps, _ = stepped()
    assert steps.add_forward(sample(10**15, 31 + MINUTES, 32 + MINUTES)) == []
    assert steps.pending == []
    steps, found = stepped()
    assert steps.add_forward(sample(10**15, 30 + MINUTES, 32 + MINUTES)) == [found]


def test_another_stamp_of_the_same_response_tells_it_too() -> None:
    """Up to a second: the clock may have been set while the response was made."""
    steps, found = stepped()
    highest = 99 * SECOND + MICROSECOND - 20
    same = LATER.evidence
    assert steps.add_forward(sample(30 + highest + SECOND, 20, 30, evidence=same)) == []
    assert steps.add_forward(sample(30 + highest + SECOND + 1, 20, 30, evidence=same)) == [found]


def test_the_lowest_stamp_says_most_of_a_clock_that_was_set() -> None:
    """Of several that went back."""
    steps, found = stepped()
    second = back(sample(100 * SECOND, 5, 15), sample(98 * SECOND, 25, 35))
    third = back(sample(100 * SECOND, 6, 16), sample(99 * SECOND, 26, 36))
    assert steps.add_backward(second) == steps.add_backward(third) == []
    highest = 98 * SECOND + MICROSECOND - 25
    assert steps.add_forward(sample(60 + highest, 50, 60)) == []
    assert steps.add_forward(sample(60 + highest + 1, 50, 60)) == [found, second, third]
    assert steps.pending == []


@pytest.mark.parametrize(("sent", "wrong"), [(30, False), (31, True)])
def test_going_back_again_after_the_step_is_wrong(sent: int, wrong: bool) -> None:
    """A clock is set once: what was read after the step cannot be earlier again."""
    steps, found = stepped()
    again = back(sample(100 * SECOND, sent, sent + 10), sample(99 * SECOND, sent + 20, sent + 30))
    assert steps.add_backward(again) == ([found, again] if wrong else [])


def test_going_back_from_the_stamp_that_went_back_is_wrong() -> None:
    """Even where it was sent before the step was known."""
    steps, found = stepped()
    again = back(LATER, sample(98 * SECOND, 31, 40))
    assert steps.add_backward(again) == [found, again]


def test_once_refuted_every_stamp_that_goes_back_is_wrong_for_ten_minutes() -> None:
    """From then on it may be a step again."""
    steps, found = stepped()
    assert steps.refute(100) == [found]
    soon = back(FIRST, sample(SECOND, 50, 100 + MINUTES))
    late = back(FIRST, sample(SECOND, 50, 101 + MINUTES))
    assert steps.add_backward(soon) == [soon]
    assert steps.add_backward(late) == []


@pytest.mark.parametrize(("received", "wrong"), [(30 + MINUTES, True), (31 + MINUTES, False)])
def test_a_step_is_remembered_for_ten_minutes(received: int, wrong: bool) -> None:
    """A clock that is set once an hour is no fault of the stamps."""
    steps, found = stepped()
    again = back(sample(100 * SECOND, 31, 41), sample(99 * SECOND, received - 10, received))
    assert steps.add_backward(again) == ([found, again] if wrong else [])
    assert len(steps.pending) == (0 if wrong else 1)


def test_what_refutes_a_step_does_so_from_its_arrival_on() -> None:
    """For ten minutes."""
    steps, found = stepped()
    assert steps.add_forward(sample(10**15, 31, 40)) == [found]
    again = back(FIRST, sample(SECOND, 50, 40 + MINUTES))
    assert steps.add_backward(again) == [again]


def test_going_back_from_any_stamp_that_went_back_is_wrong() -> None:
    """Not only from the first."""
    steps, found = stepped()
    second = back(sample(100 * SECOND, 5, 15), sample(99 * SECOND, 25, 35))
    assert steps.add_backward(second) == []
    again = back(second.later, sample(98 * SECOND, 36, 40))
    assert steps.add_backward(again) == [found, second, again]


def test_a_thousand_stamps_of_one_step_are_kept() -> None:
    """However many connections the server has."""
    steps, _ = stepped()
    for _ in range(1001):
        assert steps.add_backward(back(FIRST, LATER)) == []
    assert len(steps.pending) == 1000
