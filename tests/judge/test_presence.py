"""Who was listed before and after must be found in between: the memory of it, against all pairs."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sora_stats_harness.api.exchange import Exchange, Target, make_valid_request
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
                (gap.absence.exchange.key[1], gap.absence.connection_id)
                for gap in presence.add_listing(one, [(id, None, None) for id in had])
            ]
            continue
        for id in IDS:
            if id in had:
                presence.add_sighting(one, id)
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
