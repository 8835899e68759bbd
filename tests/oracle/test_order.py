"""order.realtime agrees with an all-pairs reference to the finding: reading, field, before, after, both exchanges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings

from sora_stats_harness import edition, judge, strategies
from sora_stats_harness.checks.requirements import Level
from sora_stats_harness.edition import Edition
from sora_stats_harness.exchange import OPERATIONS, Answer, Exchange, valid_request

from . import histories, judged, reference

DOC = edition.load()


def compare(edition: Edition, seeds: range) -> tuple[int, int]:
    """Hold replays of many histories against the reference; gives how many falls and exchanges there were."""
    falls = exchanges = 0
    for seed in seeds:
        events = histories.by_receipt(histories.history(seed, edition))
        expected = reference.falls(edition, [event.seen for event in events])
        for horizon in (False, True):
            found = judged.falls(edition, events, horizon=horizon)
            assert set(found) == expected, f"history {seed}, horizon {horizon}"
            assert len(found) == len(expected), f"history {seed}: a finding twice"
        falls += len(expected)
        exchanges += len(events)
    return falls, exchanges


def test_replayed_histories_agree_with_the_reference() -> None:
    """Several runs and clocks in one call, ties, overlaps, labels that close, masked counters, answers that are none."""
    falls, exchanges = compare(histories.SMALL, range(100))
    assert falls > 1000
    assert exchanges > 1000


def test_replayed_histories_of_the_documented_list_agree_with_the_reference() -> None:
    """The same with all 324 counters."""
    falls, _ = compare(DOC, range(1000, 1015))
    assert falls > 300


def play_live(
    edition: Edition, events: Sequence[histories.Event], patch: pytest.MonkeyPatch
) -> tuple[set[reference.Fall], set[reference.Fall]]:
    """Send and end tickets at the times of one run, on a clock of our own; gives what was found, and what is expected."""
    clock = SimpleNamespace(monotonic_ns=lambda: now, time_ns=lambda: now, gmtime=judge.time.gmtime, strftime=judge.time.strftime)
    patch.setattr(judge, "time", clock)
    heard = judged.Heard()
    live = judge.Judge(edition, run="live", on_finding=lambda finding: heard.findings.append(finding))
    tickets: dict[int, judge.Ticket] = {}
    seen = []
    moments = [(event.seen.sent_ns, 0, event.seen.seq, event) for event in events]
    moments += [(event.seen.received_ns, 1, event.seen.seq, event) for event in events]
    for now, end, seq, event in sorted(moments, key=lambda moment: moment[:3]):
        if not end:
            tickets[seq] = live.sent(event.exchange.request)
            continue
        exchange = tickets[seq].end(event.exchange.answer, event.exchange.error)
        assert (exchange.sent_ns, exchange.received_ns) == (event.seen.sent_ns, event.seen.received_ns)
        seen.append(
            reference.Seen(
                run="live", clock="here", seq=exchange.seq, sent_ns=exchange.sent_ns, received_ns=exchange.received_ns,
                body=event.seen.body,
            )
        )  # fmt: skip
    order = {one.seq: place for place, one in enumerate(seen)}  # of ties, the one that was ended first comes first
    expected = reference.falls(edition, [replace(one, seq=order[one.seq]) for one in seen])
    back = {place: seq for seq, place in order.items()}
    found = {judged.as_fall(finding) for finding in heard.findings if finding.requirement == "order.realtime"}
    return found, {
        reference.Fall(
            later=("live", back[fall.later[1]]), earlier=("live", back[fall.earlier[1]]), pointer=fall.pointer,
            field=fall.field, connection_id=fall.connection_id, before=fall.before, after=fall.after,
        )
        for fall in expected
    }  # fmt: skip


def test_live_tickets_agree_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that takes the times itself, and lets go of what no open ticket needs, finds the same."""
    falls = 0
    for seed in range(2000, 2080):
        events = [event for event in histories.history(seed) if event.seen.run == "run-0" and event.seen.clock == "one"]
        found, expected = play_live(histories.SMALL, events, monkeypatch)
        assert found == expected, f"history {seed}"
        falls += len(expected)
    assert falls > 200


def test_histories_without_a_fault_raise_nothing() -> None:
    """Whatever overlaps, an order that some server can explain is never accused."""
    for seed in range(3000, 3060):
        events = histories.by_receipt(histories.history(seed, faulty=False))
        assert judged.falls(histories.SMALL, events, horizon=True) == []


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(strategies.histories())
def test_drawn_histories_are_found_to_be_sound(history: strategies.History) -> None:
    """The judge has nothing at all to say of a legal history, but that it is the documented shape."""
    calls = sorted(enumerate(history.calls), key=lambda item: (item[1].received_ns, item[0]))
    live, heard = judged.listen(DOC)
    judged.replay(live, [exchange_of(seq, call) for seq, call in calls], horizon=True)
    live.finish()
    assert heard.findings == []
    assert live.tally().crashed == {}


def exchange_of(seq: int, call: strategies.Call) -> Exchange:
    """A drawn call as an exchange; server and client have one clock."""
    body = json.dumps(call.answer).encode()
    return Exchange(
        run="drawn", seq=seq, clock="one", sent_ns=call.sent_ns, received_ns=call.received_ns,
        sent_at=wall(call.sent_ns), answer=Answer(status=200, headers=(("Content-Type", "application/json"),), body=body),
        request=valid_request(OPERATIONS[call.operation], server="http://127.0.0.1:3000", **(call.arguments or {})),
    )  # fmt: skip


def wall(moment_ns: int) -> str:
    """The wall-clock time of a moment of a drawn history."""
    return (strategies.START + timedelta(microseconds=moment_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize("seed", range(5))
def test_one_counter_below_the_largest_known_is_found_with_both_exchanges(seed: int) -> None:
    """In a long recording, one counter of one reading is one below what had been known: that and nothing else is found."""
    exchanges, fall, _ = histories.one_below(1000, seed=seed, edition=DOC)
    live, heard = judged.listen(DOC)
    judged.replay(live, list(exchanges), horizon=True)
    live.finish()
    assert [judged.as_fall(finding) for finding in heard.findings if finding.requirement == "order.realtime"] == [fall]
    others = {finding.requirement for finding in heard.findings if finding.level > Level.INFO}
    assert others == {"order.realtime"}
