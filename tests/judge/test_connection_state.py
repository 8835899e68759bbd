"""What is remembered of a connection besides its counters: how long it was silent, and which samples overlap."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sora_stats_harness.api.exchange import Exchange, Target
from sora_stats_harness.judge.connection_state import MAX_OVERLAPPING_SAMPLES, ConnectionState
from sora_stats_harness.judge.counter_history import CounterHistory
from sora_stats_harness.judge.evidence import EvidenceExchange
from sora_stats_harness.judge.sample import Sample
from sora_stats_harness.judge.stamp_order import StampedSample

from .build import SERVER, ask

MS = 1_000_000


def exchange(sent_ns: int, received_ns: int, server: str = SERVER) -> EvidenceExchange:
    """Only its times and its server matter."""
    request = ask(server=server)
    return EvidenceExchange(
        Exchange(run="r", seq=sent_ns, request=request, clock="c", sent_ns=sent_ns, received_ns=received_ns, sent_at="")
    )


def stamped(
    sent_ns: int, received_ns: int, stamp_ns: int, *blocks: tuple[int, ...] | None, server: str = SERVER
) -> StampedSample:
    """A sample with a stamp of the server's clock."""
    return StampedSample(
        stamp_ns, 1, sent_ns, received_ns, exchange(sent_ns, received_ns, server), index=None, blocks=[*blocks]
    )


def test_a_gap_is_from_a_receipt_to_the_next_sending() -> None:
    """The longest is remembered; how long a response took is none of it."""
    state = ConnectionState(CounterHistory(0))
    for sent_ns, received_ns in ((0, 10), (15, 90), (93, 95)):
        state.add_sample(exchange(sent_ns, received_ns), Sample(connection_id="id"), Target.ALL)
    assert (state.longest_gap_ns, state.samples_of) == (5, {Target.ALL: 3})


@pytest.mark.parametrize(
    ("open_from_ns", "kept"),
    [(None, []), (10, [10, 20, 30]), (11, [20, 30]), (20, [20, 30]), (21, [30]), (99, [30])],
)
def test_samples_are_kept_while_an_open_request_may_overlap_them(open_from_ns: int | None, kept: list[int]) -> None:
    """One that was received at the very moment at which a request was sent may."""
    state = ConnectionState(CounterHistory(1))
    for received_ns in (10, 20):
        state.add_overlapping(stamped(0, received_ns, 0), 0)
    state.add_overlapping(stamped(0, 30, 0), open_from_ns)
    assert [each.received_ns for each in state.overlapping_samples] == kept


def test_a_hung_request_keeps_only_so_many() -> None:
    """The newest."""
    state = ConnectionState(CounterHistory(1))
    for received_ns in range(40):
        state.add_overlapping(stamped(0, received_ns, 0), 0)
    assert [each.received_ns for each in state.overlapping_samples] == [*range(40)][-MAX_OVERLAPPING_SAMPLES:]


@pytest.mark.parametrize(
    ("early", "late", "found"),
    [
        pytest.param([(5, 6)], [(5, 6)], [], id="the same"),
        pytest.param([(5, 6)], [(5, 5)], [(0, 1)], id="one is larger in the earlier"),
        pytest.param([(5, 6)], [(4, 5)], [(0, 0)], id="the first of two"),
        pytest.param([(5, -1)], [(5, 3)], [], id="one that could not be used"),
        pytest.param([(5, 3)], [(5, -1)], [], id="nor in the later"),
        pytest.param([(5, 3)], [(5, 0)], [(0, 1)], id="down to 0"),
        pytest.param([None, (5,)], [(1,), (4,)], [(1, 0)], id="a block that the earlier lacks"),
        pytest.param([(1,), (5,)], [None, (4,)], [(1, 0)], id="a block that the later lacks"),
        pytest.param([None], [None], [], id="a block that both lack"),
    ],
)
def test_the_first_counter_that_is_larger_in_the_earlier_stamped(
    early: Sequence[tuple[int, ...] | None], late: Sequence[tuple[int, ...] | None], found: list[tuple[int, int]]
) -> None:
    """In whatever order the responses were received."""
    for first, second in ((0, 1), (1, 0)):
        state = ConnectionState(CounterHistory(len(early)))
        samples = [stamped(0, 100, 10, *early), stamped(1, 101, 60, *late)]
        state.add_overlapping(samples[first], 0)
        compared, misses = state.check_timestamp_order(samples[second], tear_ns=20)
        assert compared == 1
        assert [(block, counter) for _, _, block, counter in misses] == found
        assert all((one, two) == (samples[0], samples[1]) for one, two, _, _ in misses)


@pytest.mark.parametrize(
    ("other", "compared"),
    [
        pytest.param(stamped(0, 50, 40), 1, id="received as the request is sent"),
        pytest.param(stamped(0, 49, 40), 0, id="received before: real time orders them"),
        pytest.param(stamped(0, 80, 68), 0, id="as far apart as the tear and both resolutions"),
        pytest.param(stamped(0, 80, 67), 1, id="further apart"),
        pytest.param(stamped(0, 80, 90 + 80 + 30), 1, id="as far as both responses lasted"),
        pytest.param(stamped(0, 80, 90 + 80 + 31), 0, id="further than that: a clock was set"),
        pytest.param(stamped(0, 80, 40, server="http://127.0.0.1:9"), 0, id="of another server's clock"),
    ],
)
def test_which_samples_are_compared_by_their_stamps(other: StampedSample, compared: int) -> None:
    """Those that overlap, of one server, with stamps far enough apart, and not too far."""
    state = ConnectionState(CounterHistory(0))
    state.add_overlapping(other, 0)
    assert state.check_timestamp_order(stamped(50, 80, 90), tear_ns=20)[0] == compared
