"""What is known of a connection's counters: which samples count for a data channel that was closed, or opened again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from sora_stats_harness.judge.counter_history import (
    MAX_VERSION_CHAIN,
    CounterHistory,
    Counters,
)

Step = tuple[int, int, Mapping[str, tuple[int, ...]]]
"""When a request was sent, when its response had arrived, and the counters of the data channels in it."""

OPEN: Step = (0, 10, {"#a": (5, 7)})
STARTED_AGAIN: Step = (20, 30, {"#a": (1, 0)})
WITHOUT: Step = (20, 30, {})


class Sample(NamedTuple):
    """Stands for a response."""

    number: int
    sent_ns: int


def follow(*steps: Step) -> tuple[list[list[tuple[int, int, int]]], int]:
    """The falls that each sample shows (before, after, and which sample had the former), and how often a channel was reopened."""
    history: CounterHistory[Sample] = CounterHistory(0, (0, 1))
    found = []
    for number, (sent_ns, received_ns, labels) in enumerate(steps):
        falls = history.add_sample(sent_ns, received_ns, [], dict(labels), Sample(number, sent_ns))
        found.append([(fall.before, fall.after, fall.holder.number) for fall in falls])
    return found, history.reopened


@pytest.mark.parametrize("between", [STARTED_AGAIN, WITHOUT])
@pytest.mark.parametrize(
    ("sent_ns", "counts"),
    [
        pytest.param(29, False, id="sent before that had arrived"),
        pytest.param(30, False, id="sent at that very moment: it may have been read before"),
        pytest.param(31, True, id="sent after"),
    ],
)
def test_a_sample_counts_from_where_the_channel_was_last_known_to_be_closed(
    between: Step, sent_ns: int, counts: bool
) -> None:
    """A channel starts again between two samples: of the old one's counters none may be held against the new one."""
    old_or_new = (sent_ns, 40, {"#a": (9, 3)})
    found, reopened = follow(OPEN, between, old_or_new, (50, 60, {"#a": (2, 4)}))
    assert found == [[], [], [], [(9, 2, 2)] if counts else []]
    assert reopened == (between is STARTED_AGAIN)


@pytest.mark.parametrize(
    ("sent_ns", "falls"),
    [
        pytest.param(9, [], id="sent before"),
        pytest.param(10, [], id="sent at the moment of receipt"),
        pytest.param(11, [(5, 1, 0)], id="sent after"),
    ],
)
def test_a_label_that_falls_is_held_against_what_had_arrived(sent_ns: int, falls: list[tuple[int, int, str]]) -> None:
    """One counter falls and another grows, so the channel was not opened again."""
    found, reopened = follow(OPEN, (sent_ns, 30, {"#a": (1, 8)}))
    assert (found, reopened) == ([[], falls], 0)


@pytest.mark.parametrize("sent_ns", [9, 10])
def test_a_channel_is_reopened_only_where_real_time_orders_the_samples(sent_ns: int) -> None:
    """Smaller counters in a response that overlaps may have been read first: the larger ones stay known."""
    found, reopened = follow(OPEN, (sent_ns, 30, {"#a": (1, 0)}), (40, 50, {"#a": (6, 6)}))
    assert found == [[], [], [(7, 6, 0)]]
    assert reopened == 0


def test_a_label_that_is_new_counts_from_the_last_sample_without_it() -> None:
    """Sent before that one had arrived, it may show a channel that was closed since."""
    early, late = (5, 20, {"#a": (9, 3)}), (11, 20, {"#a": (9, 3)})
    after: Step = (30, 40, {"#a": (2, 4)})
    assert follow((0, 10, {}), early, after)[0][2] == []
    assert follow((0, 10, {}), late, after)[0][2] == [(9, 2, 1)]


@pytest.mark.parametrize("late_ns", [25, 30])
def test_a_late_sample_of_the_old_channel_is_not_taken_for_the_new_one(late_ns: int) -> None:
    """It was asked for before the channel was known to be closed, and arrives when the new one is open already."""
    again, late, after = (31, 40, {"#a": (1, 0)}), (late_ns, 45, {"#a": (9, 3)}), (50, 60, {"#a": (2, 1)})
    assert follow(OPEN, WITHOUT, again, late, after) == ([[]] * 5, 0)


def test_a_channel_that_stays_closed_counts_from_the_last_sample_without_it() -> None:
    """Whatever else is in that sample: one that was asked for before it had arrived may show a channel that was closed."""
    steps: list[Step] = [(0, 10, {"#b": (1, 1), "#a": (5, 7)}), (20, 30, {"#b": (2, 2)}), (40, 50, {"#b": (3, 3)})]
    late: Step = (45, 60, {"#b": (3, 3), "#a": (9, 3)})
    after: Step = (70, 80, {"#b": (4, 4), "#a": (2, 4)})
    assert follow(*steps, late, after) == ([[]] * 5, 0)


def test_a_label_without_counters_stands_in_nobody_s_way() -> None:
    """Who had which value first is worked out for the others, however many versions there are."""
    steps: list[Step] = [(20 * n, 20 * n + 10, {"#a": (), "#b": (n, 7)}) for n in range(1, MAX_VERSION_CHAIN + 3)]
    found, _ = follow(*steps, (10_000, 10_010, {"#a": (), "#b": (1, 6)}))
    assert found[-1] == []  # both fall, so it was opened again
    found, _ = follow(*steps, (10_000, 10_010, {"#a": (), "#b": (99, 6)}))
    assert found[-1] == [(7, 6, 0)]


def test_a_channel_that_was_opened_again_has_its_values_anew() -> None:
    """Whoever had the same value before it was closed."""
    steps: list[Step] = [(20 * n, 20 * n + 10, {"#a": (n, 7)}) for n in range(2 * MAX_VERSION_CHAIN)]
    after = [(sent_ns + 10_000, received_ns + 10_000, labels) for sent_ns, received_ns, labels in steps[1:]]
    falls = (20_000, 20_010, {"#a": (99, 6)})
    found, _ = follow(*steps, (5_000, 5_010, {}), *after, falls)
    assert found[-1] == [(7, 6, len(steps) + 1)]


def test_who_had_which_value_first_is_known_however_many_samples_there_were() -> None:
    """Of counters that never move, move at times and always move; without what each sample had, which would be too much."""
    history: CounterHistory[Sample] = CounterHistory(3)
    for step in range(1, 4 * MAX_VERSION_CHAIN):
        blocks: list[Counters | None] = [None, (7, step // 50, step), None if step < 60 else (1,)]
        history.add_sample(20 * step, 20 * step + 10, blocks, {"#a": (7, step // 50)}, Sample(step, 20 * step))
        history.drop_unneeded_maxima([])
        newest = history.current_maxima
        depth, version = 0, newest
        while version.previous is not None:
            depth, version = depth + 1, version.previous
        assert depth == newest.depth < MAX_VERSION_CHAIN
        expected = [1, max(1, step // 50 * 50)]
        found = [newest.first_evidence(1, place, value) for place, value in enumerate((7, step // 50, step))]
        assert [each.number for each in found] == [*expected, step]
        found = [newest.first_evidence("#a", place, value) for place, value in enumerate((7, step // 50))]
        assert [each.number for each in found] == expected
        assert step < 60 or newest.first_evidence(2, 0, 1).number == 60


@pytest.mark.parametrize(("opened", "horizon_ns"), [([35], None), ([35], 75), ([35, 95], None), ([], 35), ([95], 35)])
def test_what_an_open_request_may_need_is_kept(opened: list[int], horizon_ns: int | None) -> None:
    """Whether it is known itself, or only that none was sent before some time."""
    history: CounterHistory[Sample] = CounterHistory(1)
    for step in range(1, 12):
        history.add_sample(10 * step - 5, 10 * step, [(step,)], {}, Sample(step, 10 * step - 5))
    history.drop_unneeded_maxima(opened, horizon_ns)
    assert len(history.versions) < 12
    (fall,) = history.add_sample(35, 120, [(2,)], {}, Sample(12, 35))
    assert (fall.before, fall.after, fall.holder.number) == (3, 2, 3)


def test_what_is_known_already_is_kept_once() -> None:
    """Counters that equal the known ones are replaced by these, in the sample itself: that saves most of the memory."""
    history: CounterHistory[Sample] = CounterHistory(2)
    kept, same = (tuple(json.loads("[1, 2]")) for _ in range(2))
    assert same is not kept
    history.add_sample(0, 10, [kept, (3, 4)], {}, Sample(1, 0))
    blocks: list[Counters | None] = [same, (3, 5)]
    history.add_sample(20, 30, blocks, {}, Sample(2, 20))
    assert blocks[0] is kept
    assert history.current_maxima.blocks[0] is kept
    assert history.current_maxima.blocks == [(1, 2), (3, 5)]
