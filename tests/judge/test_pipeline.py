"""The judge as its callers see it: tickets, slices, memory, evidence, and what one fault keeps from the next check."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import (
    ErrorCode,
    Exchange,
    Request,
    Response,
    Target,
    TransportError,
    make_valid_request,
)
from sora_stats_harness.judge.counter_history import MAX_VERSION_CHAIN
from sora_stats_harness.judge.exchange_queue import MAX_BATCH_EXCHANGES, SLICING_THRESHOLD_BYTES
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.judge.requirements import REQUIREMENTS, Finding, Level, RequiredCapability
from sora_stats_harness.judge.verdict_decision import RunScope, decide_verdict

EXAMPLE: Final[dict[str, Any]] = json.loads(  # Any: whatever JSON can hold
    (Path(__file__).parents[1] / "data" / "example_response.json").read_text(encoding="utf-8")
)
DOC: Final = edition.load_edition()
SERVER: Final = "http://127.0.0.1:3000"
CONNECTION: Final = EXAMPLE["connection_id"]
QUIET: Final = ("dtls", "total_received_dtls")
HEADERS: Final = (("content-type", "application/json"),)

ASK: Final = make_valid_request(
    Target.CONNECTION, server=SERVER, channel_id=EXAMPLE["channel_id"], connection_id=CONNECTION
)
LIST: Final = make_valid_request(Target.ALL, server=SERVER)


def sample(**changes: object) -> dict[str, Any]:
    """The example, less what is undocumented; changes by dotted path with `__` for dots."""
    document = deepcopy(EXAMPLE)
    del document["sctp"]["total_pruned_sctp_data_chunk"]
    for name, value in changes.items():
        *path, key = name.split("__")
        node = document
        for step in path:
            node = node[step]
        node[key] = value
    return document


def response(value: object, status: int = 200) -> Response:
    """A response as a good server sends it."""
    return Response(status=status, headers=HEADERS, body=json.dumps(value).encode())


def exchange(
    value: object, sent_ns: int, received_ns: int, *, seq: int, request: Request = ASK, run: str = "r"
) -> Exchange:
    """A whole exchange with times of one's own."""
    return Exchange(
        run=run,
        seq=seq,
        request=request,
        clock="c",
        sent_ns=sent_ns,
        received_ns=received_ns,
        sent_at="2026-11-24T00:00:00.000000Z",
        response=response(value),
    )


@pytest.fixture
def heard() -> list[Finding]:
    """Every single finding."""
    return []


@pytest.fixture
def judge(heard: list[Finding]) -> Judge:
    """A judge that tells of every finding."""
    return Judge(DOC, run="r", on_finding=heard.append)


def falls(heard: list[Finding]) -> list[tuple[str, str, str]]:
    """Field, expected and actual of each counter that fell."""
    return [(each.field, each.expected, each.actual) for each in heard if each.requirement == "counter.monotonic"]


def replay(judge: Judge, *exchanges: Exchange) -> None:
    """Show exchanges in order of receipt; every request still to come may be needed."""
    for one in sorted(exchanges, key=lambda each: (each.received_ns, each.seq)):
        judge.judge_recorded(one)


def test_a_counter_that_fell_is_shown_with_both_responses(judge: Judge, heard: list[Finding]) -> None:
    """12 had arrived before the request was sent that got a response 11; the first to have held 12 is named."""
    replay(
        judge,
        exchange(sample(dtls__total_received_dtls=12), 0, 10, seq=0),
        exchange(sample(dtls__total_received_dtls=12), 11, 15, seq=1),
        exchange(sample(dtls__total_received_dtls=11), 20, 30, seq=2),
    )
    assert falls(heard) == [("/dtls/total_received_dtls", "at least 12", "11")]
    assert [each.seq for each in heard[0].exchanges] == [0, 2]
    assert judge.evidence(heard[0].fingerprint) == heard[0].exchanges


@pytest.mark.parametrize("sent_ns", [9, 10])
def test_overlapping_responses_do_not_accuse_each_other(judge: Judge, heard: list[Finding], sent_ns: int) -> None:
    """A request that was sent before the other response had arrived, or just then, may have been read first."""
    replay(
        judge,
        exchange(sample(dtls__total_received_dtls=12), 0, 10, seq=0),
        exchange(sample(dtls__total_received_dtls=11), sent_ns, 30, seq=1),
    )
    assert falls(heard) == []


def test_runs_and_clocks_are_not_compared(judge: Judge, heard: list[Finding]) -> None:
    """Two runs in one call accuse nobody."""
    judge.judge_recorded(exchange(sample(dtls__total_received_dtls=12), 0, 10, seq=0, run="a"))
    judge.judge_recorded(exchange(sample(dtls__total_received_dtls=11), 20, 30, seq=0, run="b"))
    assert falls(heard) == []


def test_a_hung_request_costs_one_version_and_is_judged_rightly(judge: Judge, heard: list[Finding]) -> None:
    """Thousands of responses overtake it: memory stays flat, and it is held against what was known when it was sent."""
    judge.begin_exchange(ASK).complete(response(sample(dtls__total_received_dtls=1000)))
    hung = judge.begin_exchange(ASK)
    most = 0
    for step in range(2000):
        judge.begin_exchange(ASK).complete(response(sample(dtls__total_received_dtls=1001 + step)))
        subject = judge._live.connections[CONNECTION]
        most = max(most, len(subject.counter_history.versions))
    assert most <= 20
    hung.complete(response(sample(dtls__total_received_dtls=999)))
    assert falls(heard) == [("/dtls/total_received_dtls", "at least 1000", "999")]


def test_what_ends_while_a_large_response_is_judged_waits_its_turn(judge: Judge, heard: list[Finding]) -> None:
    """Responses are judged in their order of receipt, though the large one is judged in slices."""
    many = [sample(connection_id=f"{number:025d}0") for number in range(40)]
    many[39] = sample(dtls__total_received_dtls=50)
    listing = judge.begin_exchange(LIST)
    inner: list[Exchange] = []

    def pause() -> None:
        if not inner:
            ticket = judge.begin_exchange(ASK)
            inner.append(ticket.complete(response(sample(dtls__total_received_dtls=49))))

    listing.complete_in_slices(response(many), pause)
    assert len(inner) == 1
    assert falls(heard) == [("/dtls/total_received_dtls", "at least 50", "49")]
    assert judge.result().coverage.exchanges == 2


def test_connections_that_left_hold_no_listing(heard: list[Finding]) -> None:
    """Of listings that differ by who left, no more is kept than the limit on evidence allows."""
    judge = Judge(edition.load_edition(), on_finding=heard.append, options=JudgeOptions(evidence_bytes=1 << 20))
    ids = [f"{number:025d}0" for number in range(60)]
    for step in range(20):
        listing = judge.begin_exchange(LIST).complete(response([sample(connection_id=each) for each in ids[step:]]))
        assert listing.response is not None and len(listing.response.body) > SLICING_THRESHOLD_BYTES
    subjects = judge._live.connections
    assert len(subjects) == 60
    last = {subject.last for subject in subjects.values() if subject.last is not None}
    assert len(last) == 20
    assert all(each.exchange.response is not None and not each.exchange.response.body for each in last), "packed"
    assert judge._evidence.size <= 1 << 20
    assert all(each.received_ns for each in last)
    assert falls(heard) == []


def test_a_pause_that_raises_is_the_last_one(heard: list[Finding]) -> None:
    """
    Whoever waits is killed while a large response is judged: that is judged to its end, and so is what ended meanwhile.
    """
    shown: list[int] = []
    judge = Judge(edition.load_edition(), observer=lambda exchange: shown.append(exchange.seq), on_finding=heard.append)
    many = [sample(connection_id=f"{number:025d}0") for number in range(60)]
    many[59] = sample(dtls__total_received_dtls=50)
    listing, other, later = judge.begin_exchange(LIST), judge.begin_exchange(ASK), judge.begin_exchange(ASK)
    pauses = []

    def pause() -> None:
        pauses.append(len(shown))
        other.complete(response(sample(dtls__total_received_dtls=60)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        listing.complete_in_slices(response(many), pause)
    assert pauses == [0]
    assert shown == [listing.seq, other.seq]
    assert len(judge.waiting) == 0
    later.complete(response(sample(dtls__total_received_dtls=49)))
    after = judge.begin_exchange(ASK)
    after.complete(response(sample(dtls__total_received_dtls=49)))
    assert falls(heard) == [("/dtls/total_received_dtls", "at least 60", "49")]
    assert shown == [listing.seq, other.seq, later.seq, after.seq]


def test_responses_are_judged_together_in_their_order(heard: list[Finding]) -> None:
    """
    Soon, and at once where many wait or a large one has come; what could not be judged holds none of the others up.
    """
    shown: list[int] = []
    later: list[Callable[[], None]] = []

    def observe(exchange: Exchange) -> None:
        shown.append(exchange.seq)
        if len(shown) == 2:
            raise RuntimeError

    judge = Judge(
        edition.load_edition(), observer=observe, on_finding=heard.append, options=JudgeOptions(soon=later.append)
    )
    tickets = [judge.begin_exchange(ASK) for _ in range(2 * MAX_BATCH_EXCHANGES + 5)]
    for ticket in tickets[3:0:-1]:
        ticket.complete(response(sample(dtls__total_received_dtls=60)))
    assert shown == [] and len(judge.waiting) == 3
    assert len(later) == 1, "asked for once"
    with pytest.raises(RuntimeError):
        later.pop()()
    assert shown == [3, 2] and len(judge.waiting) == 1
    later.pop()()
    assert shown == [3, 2, 1] and len(judge.waiting) == 0 and later == []
    for ticket in tickets[4 : 4 + MAX_BATCH_EXCHANGES]:
        ticket.complete(response(sample(dtls__total_received_dtls=60)))
    assert shown[3:] == [ticket.seq for ticket in tickets[4 : 4 + MAX_BATCH_EXCHANGES]], "so many are not waited with"
    later.clear()
    tickets[-1].complete(response(sample(dtls__total_received_dtls=60)))
    after = judge.begin_exchange(ASK)
    many = [sample(connection_id=f"{number:025d}0") for number in range(8)]
    listing = judge.begin_exchange(LIST)
    listing.complete(response(many))
    assert shown[-2:] == [tickets[-1].seq, listing.seq], "nor with a large one"
    after.complete(response(sample(dtls__total_received_dtls=59)))
    assert falls(heard) == []
    judge.finish()
    assert falls(heard) == [("/dtls/total_received_dtls", "at least 60", "59")]


@pytest.mark.parametrize("responses", [MAX_VERSION_CHAIN - 2, MAX_VERSION_CHAIN + 5, 3 * MAX_VERSION_CHAIN])
def test_the_first_to_have_had_a_value_is_named_however_long_ago(
    judge: Judge, heard: list[Finding], responses: int
) -> None:
    """Of a block's counter and of a label's, which last grew in the fourth response, while others grew in each."""
    label = "data_channel__signaling__total_received_data_channel_message"
    sent = "data_channel__signaling__total_sent_data_channel_message"
    for seq in range(responses):
        values = {"dtls__total_received_dtls": min(seq, 3), "dtls__total_sent_dtls": seq, label: min(seq, 3), sent: seq}
        judge.judge_recorded(exchange(sample(**values), 20 * seq, 20 * seq + 10, seq=seq))
    last = {"dtls__total_received_dtls": 2, "dtls__total_sent_dtls": responses, label: 2, sent: responses}
    judge.judge_recorded(exchange(sample(**last), 20 * responses, 20 * responses + 10, seq=responses))
    assert falls(heard) == [
        ("/dtls/total_received_dtls", "at least 3", "2"),
        ("/data_channel/signaling/total_received_data_channel_message", "at least 3", "2"),
    ]
    assert [[each.seq for each in finding.exchanges] for finding in heard] == [[3, responses]] * 2


def test_a_server_is_silent_after_three_requests_without_an_response(judge: Judge) -> None:
    """If it responded before; those that we gave up, and probes, say nothing, and a response ends it."""
    refused = TransportError(code=ErrorCode.REFUSED, detail="no one there")
    abandoned = TransportError(code=ErrorCode.ABANDONED, detail="the run ended")
    for _ in range(5):
        judge.begin_exchange(ASK).complete(None, refused)
    assert judge.outage is None, "it never responded: that is told otherwise"
    judge.begin_exchange(ASK).complete(response(sample()))
    for error in (refused, abandoned, refused, abandoned):
        judge.begin_exchange(ASK).complete(None, error)
    assert judge.outage is None
    judge.begin_exchange(ASK).complete(None, refused)
    assert judge.outage is not None
    assert judge.outage.description == f"{ASK.server} stopped responding: refused: no one there"
    judge.begin_exchange(ASK).complete(response(sample()))
    assert judge.outage is None


def test_a_server_that_has_responded_a_later_request_is_not_silent(judge: Judge) -> None:
    """Where some requests hang and most get a response, those that hang end last: that is no silence."""
    hung = TransportError(code=ErrorCode.TIMEOUT, detail="for 5 s")
    hanging = [judge.begin_exchange(ASK) for _ in range(9)]
    judge.begin_exchange(ASK).complete(response(sample()))
    for ticket in hanging:
        ticket.complete(None, hung)
    assert judge.outage is None
    late = [judge.begin_exchange(ASK) for _ in range(3)]
    for ticket in late:
        ticket.complete(None, hung)
    assert judge.outage is not None


def test_each_miss_is_told_of_with_the_first_of_its_kind(heard: list[Finding]) -> None:
    """As often as findings are, with the level of each."""
    misses: list[tuple[Finding, Level]] = []
    judge = Judge(
        edition.load_edition(),
        on_finding=heard.append,
        options=JudgeOptions(on_occurrence=lambda first, level: misses.append((first, level))),
    )
    for value in (5, -1, 4, "x", -2):
        judge.begin_exchange(ASK).complete(response(sample(dtls__total_received_dtls=value)))
    assert [(each.fingerprint, each.level) for each in heard] == [(first.fingerprint, level) for first, level in misses]
    firsts = {each.fingerprint: each for each in reversed(heard)}
    assert all(first is firsts[first.fingerprint] for first, _ in misses)
    assert len(misses) > len(firsts) > 1


def test_what_waits_is_judged_before_a_large_response(heard: list[Finding]) -> None:
    """One that is judged in slices comes after those that came before it."""
    shown: list[int] = []
    judge = Judge(
        edition.load_edition(),
        observer=lambda exchange: shown.append(exchange.seq),
        on_finding=heard.append,
        options=JudgeOptions(soon=lambda call: None),
    )
    first, listing = judge.begin_exchange(ASK), judge.begin_exchange(LIST)
    first.complete(response(sample()))
    many = [sample(connection_id=f"{number:025d}0") for number in range(60)]
    listing.complete_in_slices(response(many), lambda: None)
    assert shown == [first.seq, listing.seq]


def test_a_ticket_is_ended_once(judge: Judge) -> None:
    """And with a response or an error."""
    ticket = judge.begin_exchange(ASK)
    with pytest.raises(ValueError, match="a response or an error"):
        ticket.complete()
    ticket.complete(response(sample()))
    with pytest.raises(ValueError, match="once"):
        ticket.complete(response(sample()))


def test_a_data_channel_starts_afresh_where_it_was_away(judge: Judge, heard: list[Finding]) -> None:
    """Its counters may then be smaller; without a response in between that lacks it they may not."""
    label = "data_channel__signaling__total_received_data_channel_message"
    away = sample()
    del away["data_channel"]["signaling"]
    replay(
        judge,
        exchange(sample(**{label: 50}), 0, 10, seq=0),
        exchange(away, 20, 30, seq=1),
        exchange(sample(**{label: 5}), 40, 50, seq=2),
        exchange(sample(**{label: 4}), 60, 70, seq=3),
    )
    assert falls(heard) == [
        ("/data_channel/signaling/total_received_data_channel_message", "at least 5", "4"),
    ]


def test_an_unsound_leaf_is_one_finding(judge: Judge, heard: list[Finding]) -> None:
    """A negative counter is out of its range; that it fell as well is not said."""
    replay(
        judge,
        exchange(sample(dtls__total_received_dtls=12), 0, 10, seq=0),
        exchange(sample(dtls__total_received_dtls=-1), 20, 30, seq=1),
    )
    assert [each.requirement for each in heard] == ["shape.range"]


def test_another_connection_s_response_is_one_finding(judge: Judge, heard: list[Finding]) -> None:
    """Its counters are held against nobody's."""
    other = sample(connection_id="0" * 26, dtls__total_received_dtls=0)
    replay(judge, exchange(sample(dtls__total_received_dtls=12), 0, 10, seq=0), exchange(other, 20, 30, seq=1))
    assert [each.requirement for each in heard] == ["identity.asked"]


def _refused(judge: Judge) -> None:
    judge.begin_exchange(ASK).complete(error=TransportError(code=ErrorCode.REFUSED, detail="refused"))


def _timed_out_at_first(judge: Judge) -> None:
    judge.begin_exchange(ASK).complete(error=TransportError(code=ErrorCode.TIMEOUT, detail="late"))


def _timed_out_later(judge: Judge) -> None:
    judge.begin_exchange(ASK).complete(response(sample()))
    _timed_out_at_first(judge)


def _refused_later(judge: Judge) -> None:
    judge.begin_exchange(ASK).complete(response(sample()))
    _refused(judge)


def _cut(judge: Judge) -> None:
    judge.begin_exchange(ASK).complete(Response(status=200, headers=HEADERS, body=b"{", complete=False))


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (_refused, []),
        (_timed_out_at_first, []),
        (_timed_out_later, ["http.complete"]),
        (_refused_later, ["http.complete"]),
        (_cut, ["http.complete"]),
    ],
)
def test_silence_accuses_only_a_server_that_has_responded(
    judge: Judge, heard: list[Finding], happens: Callable[[Judge], None], expected: list[str]
) -> None:
    """A cut is a fault at once; a time-out, or a closed port, only after a complete response."""
    happens(judge)
    assert [each.requirement for each in heard] == expected


def test_an_unknown_id_is_neither_pass_nor_fail(judge: Judge, heard: list[Finding]) -> None:
    """400 with an error_type, of a connection that was never listed."""
    judge.begin_exchange(ASK).complete(response({"error_type": "NotFound"}, status=400))
    judge.begin_exchange(ASK).complete(response({"reason": "?"}, status=400))
    assert [each.requirement for each in heard] == ["http.status"]


def test_a_gap_between_two_listings_is_found(judge: Judge, heard: list[Finding]) -> None:
    """Listed before and after, and not found in between."""
    for found in (response([sample()]), response({"error_type": "NotFound"}, status=400), response([sample()])):
        judge.begin_exchange(ASK if found.status == 400 else LIST).complete(found)
    assert [(each.requirement, each.connection_id) for each in heard] == [("identity.present", CONNECTION)]
    assert len(heard[0].exchanges) == 3


def test_many_findings_of_one_kind_are_one_entry_with_an_exact_count(judge: Judge) -> None:
    """The first one's evidence is kept."""
    for place in range(300):  # overlapping, so that the stamp may well be the same
        replay(judge, exchange(sample(dtls__total_received_dtls="12"), 0, 10 + place, seq=place))
    (entry,) = judge.result().findings
    assert (entry.requirement, entry.count, entry.connections) == ("shape.type", 300, 1)
    assert entry.exchanges == [("r", 0)]
    assert judge.result().coverage.slow_path == 1


def test_a_late_exchange_of_a_recording_is_counted(judge: Judge, heard: list[Finding]) -> None:
    """Out of order of receipt nothing can be said of it."""
    judge.judge_recorded(exchange(sample(), 20, 30, seq=0))
    judge.judge_recorded(exchange(sample(), 0, 10, seq=1))
    assert judge.result().coverage.late == 1
    assert heard == []


def test_the_simulator_is_told_by_its_header(judge: Judge) -> None:
    """By whatever URL it is reached."""
    assert judge.subject_kind == "recording"
    judge.begin_exchange(ASK).complete(response(sample()))
    assert judge.subject_kind == "server"
    named = Response(status=404, headers=(("Server", "sora-harness-simulator/9"),), body=b"")
    judge.begin_exchange(ASK).complete(named)
    assert judge.subject_kind == "simulator"


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"1," * 3_000_000 + b"1]",
        b"[" + b"{}," * 2_000_000 + b"{}]",
        b'{"a":[' + b"1," * 3_000_000 + b"1]}",
        b'["' + b"x" * 20_000_000 + b'"]',
    ],
    ids=["numbers", "objects", "one object", "one string"],
)
@pytest.mark.parametrize("request_", [LIST, ASK], ids=["list", "one"])
def test_a_body_made_to_be_expensive_is_a_finding_and_not_an_outage(
    judge: Judge, heard: list[Finding], body: bytes, request_: Request
) -> None:
    """It is not taken apart: what is found is one wrong type, and little memory is used beyond the body's own."""
    tracemalloc.start()
    try:
        judge.begin_exchange(request_).complete(Response(status=200, headers=HEADERS, body=body))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [each.requirement for each in heard] == ["shape.type"]
    assert peak < 3 * len(body)


def test_a_server_that_never_says_how_long_its_responses_are_is_no_worse() -> None:
    """
    A chunked response has its end in itself: what was never said was never wrong, which blocks only who asks for it.
    """
    judge = Judge(DOC)
    for _ in range(3):
        judge.begin_exchange(ASK).complete(response(sample(timestamp=_wall())))
    judge.finish()
    excluded = frozenset(REQUIREMENTS) - {"http.length", "http.json"}
    scope = RunScope(observes=frozenset(RequiredCapability), excluded=excluded)
    told = decide_verdict(judge.result(), scope)
    states = {row.id: (row.status, row.reason) for row in told.requirements}
    assert (states["http.json"], states["http.length"]) == (("met", None), ("not_checked", "no_traffic"))
    assert (told.verdict, told.reason) == ("pass", None)
    told = decide_verdict(judge.result(), scope, require=["http.length"])
    assert (told.verdict, told.reason) == ("inconclusive", "http.length was not checked (no_traffic)")


def _wall() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
