"""The server's clock as its stamps bound it: tolerance, window, intervals and resolution, each to the nanosecond."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sora_stats_harness.api.exchange import Exchange
from sora_stats_harness.judge.evidence import EvidenceExchange
from sora_stats_harness.judge.server_clock import ClockOffset
from sora_stats_harness.judge.stamp_order import StampedSample

from .build import SECOND, ask

WALL = 7 * SECOND
"""Wall-clock time less the exchanges' own clock."""

Row = tuple[int, int, int, int]
"""When a request was sent and its response received, the stamp less the clock's reading, and its resolution."""


def exchange(seq: int, sent_ns: int, received_ns: int) -> Exchange:
    """Only its times matter."""
    return Exchange(run="r", seq=seq, request=ask(), clock="c", sent_ns=sent_ns, received_ns=received_ns, sent_at="")


def jumps(rows: Sequence[Row]) -> tuple[list[tuple[int, int, int]], ClockOffset]:
    """The jumps that are found, as the numbers of both exchanges and the gap; and what is known of the clock then."""
    offset = ClockOffset()
    found = []
    for seq, (sent, received, stamp, resolution) in enumerate(rows):
        evidence = EvidenceExchange(exchange(seq, sent, received))
        jump = offset.add_timestamp(StampedSample(WALL + stamp, resolution, sent, received, evidence, None), WALL)
        if jump is not None:
            found.append((jump.earlier.exchange.seq, jump.later.exchange.seq, jump.gap_ns))
    return found, offset


def at(moment: int, ahead: int = 0, wide: int = 0) -> Row:
    """An instant exchange that bounds the offset to `ahead`, or to so much below and above."""
    return (moment - wide, moment + wide, moment + ahead, 0)


HIGH: Row = (-3, 9, 0, 0)
"""The offset is from -9 to 3."""

LOW: Row = (11, 23, 20, 0)
"""From -3 to 9."""


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        pytest.param([at(0), at(10, SECOND)], [], id="just the tolerance ahead"),
        pytest.param([at(0), at(10, SECOND + 1)], [(0, 1, SECOND + 1)], id="one more"),
        pytest.param([at(0), at(10, -SECOND)], [], id="just the tolerance behind"),
        pytest.param([at(0), at(10, -SECOND - 1)], [(0, 1, SECOND + 1)], id="one more behind"),
        pytest.param([at(0, wide=5), at(10, SECOND + 5)], [], id="a slow response bounds less"),
        pytest.param([at(0, wide=5), at(10, SECOND + 6)], [(0, 1, SECOND + 1)], id="and one more is too much"),
        pytest.param([at(0, wide=5), at(10, -SECOND - 5)], [], id="the same behind"),
        pytest.param([at(0, wide=5), at(10, -SECOND - 6)], [(0, 1, SECOND + 1)], id="one more behind it"),
        pytest.param([at(0), (10, 10, 10 - SECOND - 4, 4)], [], id="a coarse stamp is rounded down"),
        pytest.param([at(0), (10, 10, 10 - SECOND - 5, 4)], [(0, 1, SECOND + 1)], id="by its resolution at most"),
        pytest.param([at(0), (10, 10, 11 + SECOND, 4)], [(0, 1, SECOND + 1)], id="and never up"),
        pytest.param(
            [at(0, wide=9), at(20, wide=3), at(40, SECOND + 9)], [(1, 2, SECOND + 6)], id="the narrower is named, ahead"
        ),
        pytest.param(
            [at(0, wide=9), at(20, wide=3), at(40, -SECOND - 9)],
            [(1, 2, SECOND + 6)],
            id="the narrower is named, behind",
        ),
        pytest.param(
            [at(0, wide=9), at(11 * SECOND, wide=3), at(22 * SECOND, SECOND + 9)],
            [(1, 2, SECOND + 6)],
            id="of two intervals, the one that it contradicts",
        ),
        pytest.param(
            [at(0, wide=3), at(20, wide=9), at(40, SECOND + 9)], [(0, 2, SECOND + 6)], id="a wider one says nothing"
        ),
        pytest.param(
            [HIGH, LOW, at(40, SECOND + 4)], [(0, 2, SECOND + 1)], id="of two that bound it, the one from above"
        ),
        pytest.param([HIGH, LOW, at(40, -SECOND - 4)], [(1, 2, SECOND + 1)], id="the one from below"),
        pytest.param(
            [HIGH, (-1, 9, 0, 0), at(40, -SECOND - 10)], [(0, 2, SECOND + 1)], id="of two that say the same, the first"
        ),
        pytest.param([LOW, (11, 22, 20, 0), at(40, SECOND + 10)], [(0, 2, SECOND + 1)], id="from above as well"),
        pytest.param([at(0), at(10, 2 * SECOND), at(20, 2 * SECOND)], [(0, 1, 2 * SECOND)], id="set once, told once"),
        pytest.param(
            [at(0), at(10, 2 * SECOND), at(20)], [(0, 1, 2 * SECOND), (1, 2, 2 * SECOND)], id="set, and set back"
        ),
        pytest.param([at(0), at(600 * SECOND, 2 * SECOND)], [(0, 1, 2 * SECOND)], id="ten minutes are remembered"),
        pytest.param([at(0), at(600 * SECOND + 1, 2 * SECOND)], [], id="and no more"),
        pytest.param(
            [(0, 5, 2, 0), at(600 * SECOND + 5, 2 * SECOND)], [(0, 1, 2 * SECOND - 2)], id="from its arrival on"
        ),
        pytest.param([at(0), (600 * SECOND, 600 * SECOND + 1, 603 * SECOND, 0)], [], id="until a response has arrived"),
        pytest.param(
            [at(5 * SECOND), at(15 * SECOND, 5), at(605 * SECOND + 1, 2 * SECOND)],
            [],
            id="ten seconds are one interval",
        ),
        pytest.param(
            [at(0), (10 * SECOND, 10 * SECOND + 1, 10 * SECOND, 0), at(600 * SECOND + 1, 2 * SECOND)],
            [(1, 2, 2 * SECOND)],
            id="by their arrival",
        ),
        pytest.param(
            [at(0), at(10 * SECOND + 1, 5), at(600 * SECOND + 1, 2 * SECOND)],
            [(1, 2, 2 * SECOND - 5)],
            id="what comes later is another",
        ),
        pytest.param(
            [at(0), at(10 * SECOND + 1, wide=9), at(600 * SECOND + 1, 2 * SECOND)],
            [(1, 2, 2 * SECOND - 9)],
            id="even where it says nothing new yet",
        ),
    ],
)
def test_two_stamps_fit_one_clock(rows: Sequence[Row], found: list[tuple[int, int, int]]) -> None:
    """Or the gap between what they say of it is more than a step that NTP may make."""
    assert jumps(rows)[0] == found


@pytest.mark.parametrize(("third_ns", "is_habit"), [(600 * SECOND + 10, True), (600 * SECOND + 11, False)])
def test_a_third_jump_within_ten_minutes_is_a_habit(third_ns: int, is_habit: bool) -> None:
    """From the arrival of the response that showed the first one."""
    offset, found = ClockOffset(), []
    rows = [at(0), (4, 10, 10 + 2 * SECOND, 0), at(300 * SECOND), at(third_ns, 2 * SECOND)]
    for seq, (sent, received, stamp, resolution) in enumerate(rows):
        evidence = EvidenceExchange(exchange(seq, sent, received))
        found.append(offset.add_timestamp(StampedSample(stamp, resolution, sent, received, evidence, None), 0))
    assert [jump is not None and jump.is_repeated for jump in found] == [False, False, False, is_habit]


@pytest.mark.parametrize(
    ("rows", "bounds"),
    [
        pytest.param([], None, id="nothing is known"),
        pytest.param([at(0, 50, wide=5)], (45, 55), id="one exchange"),
        pytest.param([(0, 10, 3, 4)], (-7, 7), id="and its resolution"),
        pytest.param([at(0, 50, wide=5), at(10, 52, wide=5)], (47, 55), id="both are true"),
        pytest.param([at(0, 52, wide=5), at(10, 50, wide=5)], (47, 55), id="in either order"),
        pytest.param([at(0, 50, wide=5), at(11 * SECOND, 52, wide=5)], (47, 55), id="also of two intervals"),
        pytest.param(
            [at(0, 50, wide=5), at(11 * SECOND, 50, wide=9), at(601 * SECOND, 50, wide=99)],
            (41, 59),
            id="what is too old is forgotten",
        ),
        pytest.param([at(0), at(10, 2 * SECOND, wide=1)], (2 * SECOND - 1, 2 * SECOND + 1), id="after a jump anew"),
    ],
)
def test_what_is_known_of_the_clock(rows: Sequence[Row], bounds: tuple[int, int] | None) -> None:
    """The intersection of what the exchanges of the last ten minutes say."""
    assert jumps(rows)[1].bounds == bounds
