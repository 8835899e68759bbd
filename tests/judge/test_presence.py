"""Who was listed before and after must be found in between: the memory of it, against all pairs."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sora_stats_harness.api.exchange import Exchange, Target, make_valid_request
from sora_stats_harness.judge import node_presence
from sora_stats_harness.judge.evidence import EvidenceExchange
from sora_stats_harness.judge.node_presence import NodePresence

REQUEST = make_valid_request(Target.ALL, server="http://127.0.0.1:3000")
IDS = ("a", "b")

Event = tuple[str, int, int, tuple[bool, bool]]
"""What it was, when it was sent, how long it took, and which of the two connections it had."""


def exchange(seq: int, sent_ns: int, received_ns: int) -> EvidenceExchange:
    """Only its times matter."""
    return EvidenceExchange(
        Exchange(run="r", seq=seq, request=REQUEST, clock="c", sent_ns=sent_ns, received_ns=received_ns, sent_at="")
    )


@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["listing", "response"]),
            st.integers(0, 30),
            st.integers(0, 12),
            st.tuples(st.booleans(), st.booleans()),
        ),
        max_size=14,
    )
)
@example(
    events=[
        ("listing", 0, 1, (True, True)),
        ("response", 2, 3, (False, True)),
        ("listing", 4, 5, (True, True)),
        ("response", 8, 3, (True, True)),
        ("listing", 10, 3, (True, True)),
        ("listing", 14, 3, (True, True)),
    ]
)
def test_what_is_bracketed_is_what_all_pairs_say(events: list[Event]) -> None:
    """Every absence between two listings that have the connection is found, once, however listings overlap."""
    ordered = sorted(
        [*events, ("listing", 50, 1, (True, True)), ("listing", 60, 1, (True, True))],
        key=lambda event: event[1] + event[2],
    )
    presence = NodePresence()
    gaps: list[tuple[int, str]] = []
    seen: list[tuple[str, EvidenceExchange, tuple[bool, bool]]] = []
    for seq, (what, sent_ns, took_ns, has) in enumerate(ordered):
        one = exchange(seq, sent_ns, sent_ns + took_ns)
        seen.append((what, one, has))
        had = [id for id, there in zip(IDS, has, strict=True) if there]
        if what == "listing":
            gaps += [
                (gap.exchange.key[1], gap.connection_id)
                for gap in presence.add_listing(one, [(id, None, None) for id in had])
            ]
            continue
        for id in IDS:
            if id in had:
                presence.add_sighting(one.exchange, id)
            else:
                presence.add_absence(one, id)
    expected_gaps, expected_found = [], 0
    for place, id in enumerate(IDS):
        listings = [each for what, each, has in seen if what == "listing" and has[place]]
        for what, each, has in seen:
            before = any(one.received_ns < each.sent_ns and one.key < each.key for one in listings)
            after = any(each.received_ns < one.sent_ns for one in listings)
            if what == "response" and before and after:
                if has[place]:
                    expected_found += 1
                else:
                    expected_gaps.append((each.key[1], id))
    assert sorted(gaps) == sorted(expected_gaps)
    assert presence.checked.total() == len(expected_gaps) + expected_found


def list_one(presence: NodePresence, seq: int, sent_ns: int, received_ns: int) -> list[int]:
    """A listing of the first connection; the absences that it proves, by their numbers."""
    gaps = presence.add_listing(exchange(seq, sent_ns, received_ns), [(IDS[0], None, None)])
    return [gap.exchange.key[1] for gap in gaps]


def test_a_response_that_overlaps_the_listing_is_not_bracketed_by_it() -> None:
    """The next one tells; a response that had arrived before a listing was sent is bracketed at once."""
    presence = NodePresence()
    list_one(presence, 0, 0, 1)
    presence.add_sighting(exchange(1, 2, 9).exchange, IDS[0])
    list_one(presence, 2, 5, 6)
    assert presence.checked.total() == 0
    list_one(presence, 3, 10, 11)
    assert presence.checked.total() == 1


def test_responses_are_bracketed_though_each_listing_overlaps_the_newest() -> None:
    """They come without a pause: a lot that takes in no more is bracketed by the listing after the next."""
    presence = NodePresence()
    list_one(presence, 0, 0, 1)
    for step in range(1, 50):
        presence.add_sighting(exchange(2 * step, 10 * step, 10 * step + 9).exchange, IDS[0])
        list_one(presence, 2 * step + 1, 10 * step + 5, 10 * step + 12)
    assert presence.checked.total() > 40


def test_absences_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the connection that waits for longest give way."""
    monkeypatch.setattr(node_presence, "MAX_PENDING_ABSENCES", 2)
    presence = NodePresence()
    presence.add_listing(exchange(0, 0, 1), [(id, None, None) for id in IDS])
    for seq, id in enumerate(("a", "b", "b"), 1):
        presence.add_absence(exchange(seq, 10 * seq, 10 * seq + 1), id)
    gaps = presence.add_listing(exchange(9, 90, 91), [(id, None, None) for id in IDS])
    assert [(gap.connection_id, gap.exchange.key[1]) for gap in gaps] == [("b", 2), ("b", 3)]


def test_the_first_two_listings_that_show_a_replacement_are_named() -> None:
    """Whatever is replaced later, or comes back."""
    presence = NodePresence()
    for seq, members in enumerate((("a", "b"), ("a", "b"), ("c", "d"), ("a", "b"), (), ("e", "f"))):
        presence.add_members(exchange(seq, 10 * seq, 10 * seq + 1), members)
    assert presence.change == [("r", 1), ("r", 2)]
    assert (presence.replacements, presence.alternations) == (2, 1)
