"""The checks of the clock: what is compared with what, how often, and what is noted of a server's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.judge.requirements import Finding, Level

from .build import DOC, IDS, MS, SECOND, SERVER, Talk, ask, connection, list_all, requirements, stamp

OTHER = "http://127.0.0.1:3001"
THIRD = "http://127.0.0.1:3002"
AHEAD = 3_600_000
"""An hour in milliseconds, so that no stamp is before noon."""


def polled(*moments: tuple[int, int, int]) -> Talk:
    """One connection that is asked for: sent, received and stamped, in milliseconds."""
    talk = Talk()
    for sent, received, stamped in moments:
        talk.add(ask(), sent * MS, received * MS, connection(stamp_ns=stamped * MS))
    return talk


@pytest.mark.parametrize(
    ("moments", "order", "frozen", "offset"),
    [
        pytest.param([(0, 10, 5)], 0, 0, 0, id="one"),
        pytest.param([(0, 10, 5), (20, 30, 25)], 1, 1, 1, id="two"),
        pytest.param([(0, 10, 5), (20, 30, 25), (40, 50, 45)], 2, 2, 2, id="three"),
        pytest.param([(20 * step, 20 * step + 10, 20 * step + 5) for step in range(5)], 4, 4, 4, id="five"),
        pytest.param([(0, 10, 5), (10, 30, 25)], 0, 1, 1, id="sent as the other arrived"),
        pytest.param([(0, 10, 5), (11, 30, 25)], 1, 1, 1, id="sent just after"),
        pytest.param([(0, 10, 5), (11, 30, 5)], 1, 1, 0, id="the same stamp"),
        pytest.param([(0, 10, 5), (10, 30, 5)], 0, 1, 0, id="the same stamp, overlapping"),
    ],
)
def test_how_often_stamps_were_checked(
    moments: Sequence[tuple[int, int, int]], order: int, frozen: int, offset: int
) -> None:
    """For the order only where one response had arrived before the other was asked for."""
    checked = polled(*moments).end().checked
    assert (checked["clock.order"], checked["clock.frozen"], checked["clock.offset"]) == (order, frozen, offset)


def test_a_stamp_that_overlaps_a_later_one_is_not_held_against_it() -> None:
    """It may have been read first; what follows shows that the clock was not set."""
    talk = polled((1000, 1010, 1005), (1020, 1400, 1390), (1030, 1410, 1040), (1420, 1430, 1425))
    talk.end()
    assert talk.findings == []


def test_a_second_that_two_responses_have_is_not_stale() -> None:
    """Stamps of whole seconds; a third response with the next one overlaps the later of the two."""
    talk = Talk()
    for sent, received, second in (
        (10_100, 10_200, 10),
        (10_150, 11_300, 11),
        (10_250, 11_400, 10),
        (11_500, 11_600, 11),
    ):
        whole = connection() | {"timestamp": f"{stamp(second * SECOND)[:19]}Z"}
        talk.add(ask(), sent * MS, received * MS, whole)
    talk.end()
    assert talk.findings == []


def test_a_stamp_that_is_none_is_held_against_nothing() -> None:
    """The ones before and after it still are against each other, and the checks say that they did not see all."""
    talk = polled((0, 10, 5))
    talk.add(ask(), 20 * MS, 30 * MS, connection() | {"timestamp": "noon"})
    talk.add(ask(), 40 * MS, 50 * MS, connection(stamp_ns=5 * MS))
    result = talk.end()
    assert requirements(talk.findings) == {"shape.pattern", "clock.order"}
    assert {"clock.order", "clock.offset", "clock.frozen"} <= set(result.unusable)
    assert polled((0, 10, 5)).end().unusable == ()


def test_another_wrong_value_says_nothing_of_the_stamps() -> None:
    """Only the timestamp's own."""
    talk = polled((0, 10, 5))
    talk.add(ask(), 20 * MS, 30 * MS, connection(stamp_ns=25 * MS, dtls__total_received_dtls="1"))
    assert not {"clock.order", "clock.offset", "clock.frozen"} & set(talk.end().unusable)


# -- listings of the whole cluster --------------------------------------------------------------------------------------


def test_a_stamp_that_is_in_the_whole_cluster_s_listing_as_well_is_not_stale() -> None:
    """Another node may have stamped it in that very microsecond."""
    talk = Talk()
    talk.add(list_all(), 0, 10 * MS, [connection(stamp_ns=5 * MS)])
    talk.add(list_all(local=False), 100 * MS, 110 * MS, [connection(stamp_ns=5 * MS)])
    talk.end()
    assert talk.findings == []


def test_stamps_of_the_whole_cluster_bound_no_server_s_clock() -> None:
    """However far ahead they are, and apart from each other."""
    talk = Talk()
    for place in range(4):
        at = 100 * place
        ahead = 5000 if place % 2 else 0
        samples = [connection(IDS[0], stamp_ns=(at + 5 + ahead) * MS), connection(IDS[1], stamp_ns=(at + 5) * MS)]
        talk.add(list_all(local=not place % 2), at * MS, (at + 10) * MS, samples if place % 2 else samples[1:])
    assert talk.end().checked["clock.offset"] == 1
    assert talk.findings == []


def test_stamps_of_the_whole_cluster_that_go_back_are_nobody_s_step() -> None:
    """One node stamps one listing, another the next."""
    talk = Talk()
    for place, stamped in enumerate((1005, 705, 1205, 905, 1405)):
        talk.add(list_all(local=False), 100 * place * MS, (100 * place + 10) * MS, [connection(stamp_ns=stamped * MS)])
    result = talk.end()
    assert talk.findings == []
    assert result.coverage.notes == []


# -- the stamps of one response -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("apart_ns", "lasts_ns", "found"),
    [
        (SECOND + 10 * MS + 1000, 10 * MS, 0),
        (SECOND + 10 * MS + 2000, 10 * MS, 1),
        (SECOND + 400 * MS + 1000, 400 * MS, 0),
        (SECOND + 400 * MS + 2000, 400 * MS, 1),
        (-SECOND - 10 * MS - 1000, 10 * MS, 0),
        (-SECOND - 10 * MS - 2000, 10 * MS, 1),
    ],
)
def test_stamps_of_one_response_are_a_second_apart_at_most(apart_ns: int, lasts_ns: int, found: int) -> None:
    """Besides what it lasted, and the resolution; sent an hour after the clock's zero, which does not matter."""
    talk = Talk()
    sent = 3600 * SECOND
    samples = [connection(IDS[0], stamp_ns=sent), connection(IDS[1], stamp_ns=sent + apart_ns)]
    talk.add(list_all(), sent, sent + lasts_ns, samples)
    talk.end()
    assert [finding.requirement for finding in talk.findings] == ["clock.offset"] * found


def listing(talk: Talk, at: int, *stamps: int | None) -> None:
    """A listing in which connections have these stamps, in milliseconds; None where one is not there."""
    samples = [connection(IDS[n], stamp_ns=each * MS) for n, each in enumerate(stamps) if each is not None]
    talk.add(list_all(), at * MS, (at + 10) * MS, samples)


def test_stamps_that_are_apart_again_are_proven() -> None:
    """A clock may be set while one response is made, and not while another is within ten minutes."""
    talk = Talk()
    for at in (0, 100, 600_200):
        listing(talk, AHEAD + at, AHEAD + at + 5, AHEAD + at + 6, at + 5)
    talk.end()
    assert {finding.requirement for finding in talk.findings} == {"clock.offset"}
    assert [finding.level for finding in talk.findings] == [Level.HABIT, Level.PROVEN, Level.HABIT]


def test_a_clock_that_jumps_again_and_again_is_proven() -> None:
    """It may be set wrongly, and set right again; a third time within ten minutes it isn't set."""
    talk = polled((0, 10, 5), (1000, 1010, 5005), (2000, 2010, 10005), (3000, 3010, 15005), (602_900, 602_910, 700_000))
    talk.end()
    assert [finding.level for finding in talk.findings] == [Level.HABIT, Level.HABIT, Level.PROVEN, Level.HABIT]


def test_a_new_connection_s_stamp_tells_nothing_against_a_step() -> None:
    """It fits the clock that was set back."""
    talk = Talk()
    listing(talk, 1000, None, 1005, 1005)
    listing(talk, 1100, 705, 705, 705)
    listing(talk, 1200, 805, 805, 805)
    notes = talk.end().coverage.notes
    assert talk.findings == []
    assert [note for note in notes if "set back" in note] == [f"the clock of {SERVER} was set back by at least 0.390 s"]


def test_a_new_connection_s_stamp_tells_against_a_step_where_it_is_right() -> None:
    """Those that went back by an hour are wrong, from the first one on and for ten minutes."""
    talk = Talk()
    listing(talk, 1000, None, AHEAD + 1005, AHEAD + 1005)
    listing(talk, 1100, AHEAD + 1105, 1105, AHEAD + 1106)
    assert [finding.connection_id for finding in talk.findings] == [IDS[1]]
    listing(talk, 1100 + 600_000, None, 1100, None)
    assert [finding.connection_id for finding in talk.findings] == [IDS[1]] * 2
    talk.end()
    assert {finding.requirement for finding in talk.findings} == {"clock.order"}


def test_a_step_is_as_large_as_the_largest_of_what_went_back() -> None:
    """By what is known of each connection."""
    talk = Talk()
    listing(talk, 1000, 1005, 1009)
    listing(talk, 1100, 705, 705)
    notes = talk.end().coverage.notes
    assert f"the clock of {SERVER} was set back by at least 0.394 s" in notes


# -- the server's clock and ours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamped", "note"),
    [
        (5, None),
        (10, None),
        (0, None),
        (-1, "is at least 0.001 s behind ours"),
        (-250, "is at least 0.250 s behind ours"),
        (12, "is at least 0.002 s ahead of ours"),
        (510, "is at least 0.500 s ahead of ours"),
    ],
)
def test_a_clock_that_differs_from_ours_is_noted(stamped: int, note: str | None) -> None:
    """By what an exchange of 10 ms can tell."""
    talk = polled((AHEAD, AHEAD + 10, AHEAD + stamped))
    notes = talk.end().coverage.notes
    assert [each for each in notes if "the clock of" in each] == (
        [] if note is None else [f"the clock of {SERVER} {note}"]
    )


@pytest.mark.parametrize(("received", "noted"), [(5 * MS, 0), (5 * MS - 1, 1)])
def test_a_nanosecond_that_no_exchange_explains_is_noted(received: int, noted: int) -> None:
    """A response cannot arrive before it was stamped."""
    talk = Talk()
    talk.add(ask(), 0, received, connection(stamp_ns=5 * MS))
    assert sum("ahead of ours" in note for note in talk.end().coverage.notes) == noted


def test_our_wall_clock_is_read_once() -> None:
    """Where it is set while a run lasts, no server's clock has jumped."""
    talk = polled((0, 10, 5))
    later = talk.add(ask(), 20 * MS, 30 * MS, connection(stamp_ns=25 * MS))
    shown: Any = msgspec.structs.replace(later, seq=7, sent_ns=40 * MS, received_ns=50 * MS, sent_at=stamp(9 * SECOND))
    response = msgspec.structs.replace(
        shown.response, body=shown.response.body.replace(stamp(25 * MS).encode(), stamp(45 * MS).encode())
    )
    talk.judge.judge_recorded(msgspec.structs.replace(shown, response=response), open_sent_ns=())
    talk.end()
    assert talk.findings == []


@pytest.mark.parametrize(
    ("sent_at", "note"),
    [
        (stamp(0), None),
        (stamp(2 * SECOND), f"the clock of {SERVER} is at least 1.995 s behind ours"),
        ("", None),
        ("no time", f"the clock of {SERVER} is at least 1795521599.945 s ahead of ours"),
    ],
)
def test_when_a_request_was_sent_by_our_wall_clock(sent_at: str, note: str | None) -> None:
    """A recording without it can't tell how far the clocks are apart; one that is no time is none of our clock's."""
    talk = Talk()
    made = talk.add(ask(), 50 * MS, 60 * MS, connection(stamp_ns=0), run="other")
    response: Any = made.response
    body = response.body.replace(stamp(0).encode(), stamp(5 * MS).encode())
    shown = msgspec.structs.replace(
        made, run="r", sent_at=sent_at, response=msgspec.structs.replace(response, body=body)
    )
    judge = Judge(DOC)
    judge.judge_recorded(shown, open_sent_ns=())
    judge.finish()
    assert judge.result().crashed == {}
    notes = [each for each in judge.result().coverage.notes if "the clock of" in each]
    assert notes == ([] if note is None else [note])


# -- several nodes ------------------------------------------------------------------------------------------------------


def nodes(*rows: tuple[str, int], known: Sequence[str] = (SERVER, OTHER, THIRD)) -> tuple[list[Finding], int]:
    """Requests to servers, each of which stamps so many milliseconds ahead of ours; how often clocks were compared."""
    findings: list[Finding] = []
    talk = Talk(Judge(DOC, on_finding=findings.append, options=JudgeOptions(nodes=known)))
    for place, (server, ahead) in enumerate(rows):
        at = AHEAD + 100 * place
        number = (SERVER, OTHER, THIRD).index(server)
        talk.add(ask(IDS[number], server), at * MS, at * MS, connection(IDS[number], stamp_ns=(at + ahead) * MS))
    return findings, talk.end().checked["cluster.skew"]


@pytest.mark.parametrize(
    ("rows", "skewed", "checked"),
    [
        pytest.param([(SERVER, 0)], 0, 0, id="one node"),
        pytest.param([(SERVER, 0), (OTHER, 0)], 0, 1, id="two"),
        pytest.param([(SERVER, 0), (OTHER, 0), (SERVER, 0)], 0, 2, id="again"),
        pytest.param([(SERVER, 0), (OTHER, 1000)], 0, 1, id="a second apart, and the resolution"),
        pytest.param([(SERVER, 0), (OTHER, 1001)], 1, 1, id="more than that"),
        pytest.param([(SERVER, 0), (OTHER, -1001)], 1, 1, id="behind"),
        pytest.param([(SERVER, 0), (OTHER, 1001), (SERVER, 0)], 1, 2, id="told once"),
        pytest.param([(SERVER, 0), (OTHER, 1001), (THIRD, 0)], 2, 2, id="each pair"),
    ],
)
def test_the_clocks_of_nodes_agree(rows: Sequence[tuple[str, int]], skewed: int, checked: int) -> None:
    """To a second; each pair of nodes is told of once."""
    findings, count = nodes(*rows)
    assert [finding.requirement for finding in findings] == ["cluster.skew"] * skewed
    assert {(finding.field, finding.pointer) for finding in findings} <= {("/timestamp", "/timestamp")}
    assert count == checked


def test_two_nodes_are_a_cluster() -> None:
    """There need not be a third."""
    assert [each.requirement for each in nodes((SERVER, 0), (OTHER, 1001), known=(SERVER, OTHER))[0]] == [
        "cluster.skew"
    ]


def test_a_server_that_is_no_node_is_not_compared() -> None:
    """And where one server is known, there is nothing to compare."""
    assert nodes((SERVER, 0), (THIRD, 5000), known=(SERVER, OTHER)) == ([], 0)
    assert nodes((SERVER, 0), (OTHER, 5000), known=(SERVER,)) == ([], 0)


# -- where it is wrong --------------------------------------------------------------------------------------------------


def shown(*rows: tuple[int, int], listed: bool) -> list[tuple[str, str, str, int, list[int]]]:
    """For each finding its requirement, field, place, wrong exchange and proof; one connection, alone or in a listing."""
    talk = Talk()
    for at, stamped in rows:
        document = connection(stamp_ns=stamped * MS)
        other = connection(IDS[1], stamp_ns=at * MS)
        request, body = (list_all(), [other, document]) if listed else (ask(), document)
        talk.add(request, at * MS, (at + 1) * MS, body)
    talk.end()
    return [
        (
            each.requirement,
            each.field,
            each.pointer,
            -1 if each.wrong is None else each.wrong.seq,
            [one.seq for one in each.exchanges],
        )
        for each in talk.findings
    ]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    ("rows", "requirement", "wrong", "proof"),
    [
        pytest.param([(5, 5), (10, 5), (15, 5), (20, 20)], "clock.order", 2, [0, 2], id="stale"),
        pytest.param([(5, 5), (10, 5)], "clock.order", 1, [0, 1], id="stale at the end"),
        pytest.param(
            [(AHEAD, AHEAD), (AHEAD + 10, AHEAD - 90), (AHEAD + 20, AHEAD + 20)], "clock.order", 1, [0, 1], id="back"
        ),
        pytest.param([(5, 5), (100, 5), (2500, 5)], "clock.frozen", 2, [0, 2], id="frozen"),
    ],
)
def test_the_stamp_that_is_wrong_is_shown(
    rows: Sequence[tuple[int, int]], requirement: str, wrong: int, proof: list[int], listed: bool
) -> None:
    """By its field, its place in the response, and the exchanges that prove it."""
    assert shown(*rows, listed=listed) == [
        (requirement, "/timestamp", "/1/timestamp" if listed else "/timestamp", wrong, proof)
    ]


def test_a_clock_that_jumps_is_shown_with_both_exchanges() -> None:
    """The earlier one that bounds it, and the one that does not fit."""
    rows = ((AHEAD, AHEAD), (AHEAD + 10, AHEAD + 10), (AHEAD + 20, AHEAD + 5000))
    assert shown(*rows, listed=False) == [("clock.offset", "/timestamp", "/timestamp", 2, [0, 2])]


def test_two_stamps_of_a_response_that_are_apart_are_shown() -> None:
    """At the second one."""
    found = shown((AHEAD, AHEAD + 5000), listed=True)
    assert found == [("clock.offset", "/timestamp", "/1/timestamp", 0, [0])]


def test_a_frozen_stamp_is_not_stale_besides() -> None:
    """Also where the same connection's stamp in listings of the whole cluster comes twice."""
    talk = polled((0, 10, 5), (100, 110, 5), (2500, 2510, 5))
    for at in (3000, 3100):
        talk.add(list_all(local=False), at * MS, (at + 10) * MS, [connection(stamp_ns=3005 * MS)])
    talk.end()
    assert [each.requirement for each in talk.findings] == ["clock.frozen"]


def test_the_latest_stamp_once_more_is_stale() -> None:
    """Behind an overlapping response with an earlier one: what came before both is what it repeats."""
    talk = polled((1000, 1010, 1025), (1005, 1020, 1024), (1030, 1040, 1025), (1050, 1060, 1059))
    talk.end()
    assert [(each.requirement, each.fault) for each in talk.findings] == [("clock.order", "stale")]
    assert [exchange.sent_ns for exchange in talk.findings[0].exchanges] == [1000 * MS, 1030 * MS]
