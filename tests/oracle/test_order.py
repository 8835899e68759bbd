"""counter.monotonic agrees with an all-pairs reference to the finding: sample, field, before, after, both exchanges."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import TARGET_OF_OPERATION, Exchange, Response, make_valid_request
from sora_stats_harness.simulator import strategies

from ..examples import some_of
from . import agreement, histories, judged

DOC = edition.load_edition()


def test_replayed_histories_agree_with_the_reference() -> None:
    """Several runs and clocks in one call, ties, overlaps, closing labels, masked counters, responses that are none."""
    counted = agreement.replayed(histories.SMALL, range(some_of(100)))
    assert counted["falls"] > some_of(1000), counted


def test_missing_channels_agree_with_the_reference() -> None:
    """identity.channel: which response lacks which label, and which one proves it."""
    counted = agreement.gaps(histories.SMALL, range(8000, 8000 + some_of(120)))
    assert counted["gaps"] > counted["proven"] > some_of(6), counted


def test_replayed_histories_of_the_documented_list_agree_with_the_reference() -> None:
    """The same with all 324 counters."""
    assert agreement.replayed(DOC, range(1003, 1003 + some_of(8)))["falls"] > some_of(100)


def test_histories_read_from_recordings_agree_with_the_reference(tmp_path: Path) -> None:
    """The same through files, one a run, lines in any order, checked in one call."""
    assert agreement.read_from_files(histories.SMALL, range(4000, 4000 + some_of(32)), tmp_path)["falls"] > some_of(100)


def test_live_tickets_agree_with_the_reference() -> None:
    """A judge that takes the times itself, and lets go of what no open ticket needs, finds the same."""
    assert agreement.live(histories.SMALL, range(2000, 2000 + some_of(80)))["falls"] > some_of(200)


def test_histories_without_a_fault_raise_nothing() -> None:
    """Whatever overlaps, an order that some server can explain is never accused."""
    assert agreement.legal(histories.SMALL, range(3000, 3000 + some_of(60)))["samples"] > some_of(500)


@settings(max_examples=some_of(60), deadline=None, derandomize=True, database=None)
@given(strategies.histories())
def test_drawn_histories_are_found_to_be_sound(history: strategies.CallHistory) -> None:
    """The judge has nothing at all to say of a legal history, but that it is the documented shape."""
    calls = sorted(enumerate(history.calls), key=lambda item: (item[1].received_ns, item[0]))
    live, heard = judged.listen(DOC)
    judged.replay(live, [exchange_of(seq, call) for seq, call in calls], horizon=True)
    live.finish()
    assert heard.findings == []
    assert live.result().crashed == {}


def exchange_of(seq: int, call: strategies.HistoryCall) -> Exchange:
    """A drawn call as an exchange; server and client have one clock."""
    body = json.dumps(call.response).encode()
    return Exchange(
        run="drawn",
        seq=seq,
        clock="one",
        sent_ns=call.sent_ns,
        received_ns=call.received_ns,
        sent_at=wall(call.sent_ns),
        response=Response(status=200, headers=(("Content-Type", "application/json"),), body=body),
        request=make_valid_request(
            TARGET_OF_OPERATION[call.operation], server="http://127.0.0.1:3000", **(call.arguments or {})
        ),
    )


def wall(moment_ns: int) -> str:
    """The wall-clock time of a moment of a drawn history."""
    return (strategies.BASE_TIMESTAMP + timedelta(microseconds=moment_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize("seed", range(some_of(8)))
def test_one_counter_below_the_largest_known_is_found_with_both_exchanges(seed: int, tmp_path: Path) -> None:
    """In a long recording, one counter of one sample is one below what had been known: just that is found."""
    fall, samples = agreement.one_below(DOC, 1000, seed, tmp_path)
    assert samples == 1000
    assert fall.after == fall.before - 1
