"""A connection's timestamps go forward from a response to a later request, unless the server's clock was set."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sora_stats_harness.judge.requirements import Finding

from .build import IDS, MS, SECOND, Talk, ask, connection, list_all

Moments = Sequence[tuple[int, int, int]]
"""When each request was sent, when its response had arrived, and its stamp, in milliseconds."""


def polled(moments: Moments) -> list[Finding]:
    """What is said of one connection that is asked for so."""
    talk = Talk()
    for sent, received, stamped in moments:
        talk.add(ask(), sent * MS, received * MS, connection(stamp_ns=stamped * MS))
    talk.end()
    return talk.findings


def listed(rows: Sequence[Sequence[int]], every: int = 100) -> Talk:
    """Listings of several connections, one after the other, by their stamps in milliseconds."""
    talk = Talk()
    for place, stamps in enumerate(rows):
        samples = [connection(IDS[number], stamp_ns=each * MS) for number, each in enumerate(stamps)]
        talk.add(list_all(), place * every * MS, (place * every + 10) * MS, samples)
    return talk


def orders(findings: Sequence[Finding]) -> list[str]:
    """The messages of clock.order; nothing else may be said."""
    assert {finding.requirement for finding in findings} <= {"clock.order"}
    return [finding.message for finding in findings]


STALE = "the timestamp is the same in {} responses, each requested after the one before: they are stale"
BACK = "the timestamp went back by {} s from a response to one that was requested later"


@pytest.mark.parametrize(
    ("moments", "messages"),
    [
        pytest.param([(0, 10, 5), (20, 30, 25), (40, 50, 45)], [], id="right"),
        pytest.param([(0, 10, 5), (20, 30, 5), (40, 50, 45)], [STALE.format(2)], id="one repeated"),
        pytest.param([(0, 10, 5), (20, 30, 5)], [STALE.format(2)], id="repeated to the end"),
        pytest.param([(0, 10, 5), (10, 20, 5), (40, 50, 45)], [], id="received when the other is sent: no order"),
        pytest.param([(0, 10, 5), (11, 20, 5), (40, 50, 45)], [STALE.format(2)], id="just after"),
        pytest.param(
            [(0, 10, 5), (900, 910, 5), (1000, 1010, 1005), (1900, 1910, 1005)],
            [STALE.format(2), STALE.format(2)],
            id="a cache of one second",
        ),
        pytest.param([(0, 10, 5), (20, 30, 26), (25, 40, 24), (60, 70, 65)], [], id="overlapping, in any order"),
        pytest.param(
            [(0, 10, 5), (20, 30, 25), (40, 50, 24), (60, 70, 23)],
            [BACK.format("0.001000"), BACK.format("0.001000")],
            id="back and back again",
        ),
        pytest.param(
            [(1000, 1010, 1005), (1020, 1030, 125), (1040, 1050, 1045), (1060, 1070, 165)],
            [BACK.format("0.880000"), BACK.format("0.880000")],
            id="900 ms back in every other response",
        ),
        pytest.param([(1000, 1010, 1005), (1020, 1030, 525), (1040, 1050, 545), (1060, 1070, 565)], [], id="set once"),
        pytest.param(
            [
                (1000, 1010, 1005),
                (1020, 1030, 525),
                (1040, 1050, 546),
                (700_000, 700_010, 700_005),
                (700_020, 700_030, 700_000),
            ],
            [],
            id="set twice, more than ten minutes apart",
        ),
        pytest.param(
            [
                (1000, 1010, 1005),
                (1020, 1030, 525),
                (1040, 1050, 546),
                (300_000, 300_010, 299_525),
                (300_020, 300_030, 299_000),
            ],
            [BACK.format("0.480000"), BACK.format("0.525000")],
            id="set twice within ten minutes",
        ),
    ],
)
def test_one_connection(moments: Moments, messages: list[str]) -> None:
    """Asked for again and again."""
    assert orders(polled(moments)) == messages


@pytest.mark.parametrize(
    ("second", "found"),
    [("12:00:00Z", 0), ("12:00:01Z", 0)],
)
def test_whole_seconds_are_the_same_within_a_second(second: str, found: int) -> None:
    """Two reads within one second have one stamp."""
    talk = Talk()
    for place in range(3):
        document = connection() | {"timestamp": f"2026-11-24T{second}"}
        talk.add(ask(), place * 200 * MS, (place * 200 + 10) * MS, document)
    talk.end()
    assert len(orders(talk.findings)) == found


def test_whole_seconds_that_stay_for_longer_are_stale() -> None:
    """Two responses, 3 s apart, cannot have been read in one second."""
    talk = Talk()
    for place in range(2):
        talk.add(
            ask(), 3 * place * SECOND, 3 * place * SECOND + MS, connection() | {"timestamp": "2026-11-24T12:00:00Z"}
        )
    talk.end()
    assert orders(talk.findings) == [STALE.format(2)]


def test_a_stamp_that_stands_still_for_long_is_frozen_and_nothing_else() -> None:
    """One fault, one finding."""
    findings = polled([(place * 500, place * 500 + 10, 5) for place in range(8)])
    assert [finding.requirement for finding in findings] == ["clock.frozen"]


def test_both_responses_are_shown() -> None:
    """The first with the stamp, and the last."""
    (finding,) = polled([(0, 10, 5), (20, 30, 5), (40, 50, 5), (60, 70, 65)])
    assert [exchange.seq for exchange in finding.exchanges] == [0, 2]
    assert finding.pointer == "/timestamp"


def test_a_clock_that_is_set_back_takes_every_connection_back_once() -> None:
    """Which is a note, and no finding, up to the second that NTP may step."""
    talk = listed([(5, 5, 5), (105, 106, 105), (-295, -295, -294), (-195, -195, -195), (-95, -95, -95)])
    notes = talk.end().coverage.notes
    assert orders(talk.findings) == []
    assert any("was set back by at least 0.4" in note for note in notes), notes


def test_one_connection_of_a_listing_that_goes_back_is_found() -> None:
    """The others say that the clock was not set."""
    talk = listed([(1005, 1005, 1005), (1105, 1105, 1105), (1205, 300, 1205), (1305, 400, 1305)])
    talk.end()
    assert orders(talk.findings) == [BACK.format("0.805000")]
    assert talk.findings[0].connection_id == IDS[1]
    assert talk.findings[0].pointer == "/1/timestamp"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_connection_that_is_an_hour_off_once_is_found_in_that_listing(which: int) -> None:
    """Whether it is the first, the last or another of the listing."""
    hour = 3_600_000
    wrong = [hour + 105, hour + 105, hour + 105]
    wrong[which] = 105
    talk = listed([(hour + 5, hour + 5, hour + 5), wrong])
    talk.end()
    assert [finding.connection_id for finding in talk.findings] == [IDS[which]]
    assert orders(talk.findings) == [BACK.format("3599.900000")]


def test_one_connection_that_is_always_an_hour_off_does_not_fit_the_clock() -> None:
    """Every stamp of a listing is held against the others."""
    hour = 3_600_000
    talk = listed([(hour + step, hour + step, step) for step in (5, 105, 205)])
    talk.end()
    assert {(finding.requirement, finding.message) for finding in talk.findings} == {
        ("clock.offset", "two timestamps of one response are 3600.000 s apart")
    }
    assert [finding.pointer for finding in talk.findings] == ["/2/timestamp"] * 3


def test_a_clock_that_is_set_back_by_an_hour_is_one_jump() -> None:
    """With requests that overlap the moment: what was read before it refutes nothing."""
    hour = 3_600_000
    talk = Talk()
    rows = [(0, 10, 5, hour), (110, 120, 115, 0), (100, 130, 105, hour), (111, 140, 112, hour), (200, 210, 205, 0)]
    for sent, received, read, ahead in [*rows, (300, 310, 305, 0)]:
        for number, each in enumerate(IDS[:2]):
            document = connection(each, stamp_ns=(read + ahead) * MS)
            talk.add(ask(each), (sent + number) * MS, (received + number) * MS, document)
    talk.end()
    assert {finding.requirement for finding in talk.findings} == {"clock.offset"}


def test_a_listing_of_the_whole_cluster_is_another_clock_s() -> None:
    """Another node may have stamped what it says of the same connection."""
    talk = Talk()
    for place in range(6):
        at = 100 * place
        local, whole = place % 2 == 0, place % 2 == 1
        stamped = at + 5 if local else at - 395
        talk.add(list_all(local=not whole), at * MS, (at + 10) * MS, [connection(stamp_ns=(1000 + stamped) * MS)])
    talk.end()
    assert orders(talk.findings) == []
