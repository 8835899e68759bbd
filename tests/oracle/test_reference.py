"""The references themselves, on examples small enough to check by eye."""

from __future__ import annotations

from typing import Any

import pytest

from sora_stats_harness.api import edition

from . import histories, reference

DOC = edition.load_edition()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b' {"a" : [1, -0, 2.50] }\n', {"a": [1, 0, reference.Fractional("2.50")]}),
        (b'"\\ud83d\\ude00\\/\\n"', "\U0001f600/\n"),
        (b"[true,false,null]", [True, False, None]),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"1e3", reference.Fractional("1e3")),
    ],
)
def test_strict_json_is_read_as_rfc_8259_says(text: bytes, value: Any) -> None:  # Any: whatever JSON can hold
    """White space, escapes, numbers and words; of a repeated key the last counts."""
    assert reference.parse(text)[0] == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"NaN",
        b"[1,]",
        b'{"a":1,}',
        b"{a:1}",
        b"'a'",
        b'"\\x"',
        b'"\x01"',
        b'"\\ud800"',
        b"\xef\xbb\xbf1",
        b"1 2",
        b'"\xff"',
        b"\x0b1",
        b"tru",
        "1".encode("utf-16"),
    ],
)
def test_what_is_no_strict_json_is_refused(text: bytes) -> None:
    """Each of these is taken by some parser, and is no JSON."""
    with pytest.raises(reference.NotJson):
        reference.parse(text)


@pytest.mark.parametrize("text", [b"[" * 101 + b"]" * 101, b"9" * 4301, b"1e1000000000000000000"])
def test_what_exceeds_the_limits_is_told_apart(text: bytes) -> None:
    """It may be JSON; with a fault behind it, it is none."""
    with pytest.raises(reference.BeyondLimits):
        reference.parse(text)
    with pytest.raises(reference.NotJson):
        reference.parse(b"[" + text + b",]")


@pytest.mark.parametrize(
    ("text", "integral", "negative"),
    [
        ("1.0", True, False),
        ("-0.0", True, False),
        ("1e3", True, False),
        ("10e-1", True, False),
        ("15e-1", False, False),
        ("-1.0", True, True),
        ("1e-3", False, False),
        ("0e-5", True, False),
        ("100.00e-2", True, False),
    ],
)
def test_a_number_with_a_fraction_may_be_an_integer(text: str, integral: bool, negative: bool) -> None:
    """By value, not by how it is written."""
    number = reference.Fractional(text)
    assert (number.integral, number.negative) == (integral, negative)


def seen(seq: int, sent: int, received: int, **values: Any) -> reference.Seen:  # Any: whatever JSON can hold
    """One exchange about connection `c` that shows `plain.total_one`, or what is given instead."""
    plain = {"total_one": values["one"]} if "one" in values else {}
    body = {"connection_id": values.get("id", "c"), "plain": plain, "data_channel": values.get("labels", {})}
    return reference.Seen(
        run="r", clock=values.get("clock", "k"), seq=seq, sent_ns=sent, received_ns=received, body=body
    )


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param([seen(1, 0, 10, one=12), seen(2, 11, 20, one=11)], [(1, 2, 12, 11)], id="one after the other"),
        pytest.param([seen(1, 0, 10, one=12), seen(2, 10, 20, one=11)], [], id="asked for at the same instant"),
        pytest.param([seen(1, 0, 10, one=12), seen(2, 5, 20, one=11)], [], id="overlapping"),
        pytest.param([seen(1, 0, 10, one=12), seen(2, 11, 20, one=11, id="d")], [], id="another connection"),
        pytest.param([seen(1, 0, 10, one=12), seen(2, 11, 20, one=11, clock="l")], [], id="another clock"),
        pytest.param([seen(1, 0, 10, one=12), seen(2, 11, 20, one=-1)], [], id="a masked value"),
        pytest.param(
            [seen(2, 0, 10, one=12), seen(1, 0, 10, one=12), seen(3, 11, 20, one=11)],
            [(1, 3, 12, 11)],
            id="of a tie the first",
        ),
        pytest.param(
            [seen(1, 0, 10, one=12), seen(2, 11, 20, one=3), seen(3, 21, 30, one=4)],
            [(1, 2, 12, 3), (1, 3, 12, 4)],
            id="the largest, not the last",
        ),
        pytest.param(
            [seen(1, 0, 10, one=12), seen(2, 11, 10 + 3600 * 10**9, one=11)], [(1, 2, 12, 11)], id="an hour later"
        ),
    ],
)
def test_order_is_what_real_time_makes_certain(
    history: list[reference.Seen], expected: list[tuple[int, int, int, int]]
) -> None:
    """A counter falls only from a response to one that was asked for after its receipt."""
    found = reference.falls(histories.SMALL, history)
    assert sorted((f.earlier[1], f.later[1], f.before, f.after) for f in found) == expected
    assert {f.pointer for f in found} <= {"/plain/total_one"}


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        pytest.param(seen(2, 11, 20, labels={}), [], id="in between"),
        pytest.param(seen(2, -9, -5, labels={}), [(1, 3)], id="before both"),
        pytest.param(seen(2, -9, 5, labels={}), [], id="perhaps after the first"),
        pytest.param(seen(2, 11, 35, labels={}), [], id="overlaps the second, in before it"),
        pytest.param(seen(2, 11, 45, labels={}), [(1, 3)], id="in after the second"),
        pytest.param(seen(2, 11, 20, labels={"#x": {"total_one": 7, "total_two": 20}}), [(1, 3)], id="has the label"),
    ],
)
def test_a_label_starts_afresh_where_it_was_seen_to_be_gone(
    between: reference.Seen, expected: list[tuple[int, int]]
) -> None:
    """The same label's counters are compared only while no response lacks it."""
    history = [
        seen(1, 0, 10, labels={"#x": {"total_one": 7, "total_two": 20}}),
        between,
        seen(3, 30, 40, labels={"#x": {"total_one": 2, "total_two": 20}}),
    ]
    found = reference.falls(histories.SMALL, history)
    assert sorted((f.earlier[1], f.later[1]) for f in found) == expected
    assert {(f.field, f.certain) for f in found} <= {("/data_channel/#*/total_one", True)}


@pytest.mark.parametrize(
    ("p", "r", "n", "missed"),
    [
        pytest.param((10, 6, 4), (11, 6, 4), (12, 8, 4), False, id="read later than its parts"),
        pytest.param((10, 6, 4), (13, 6, 4), (12, 8, 4), True, id="larger than its parts ever were"),
        pytest.param((10, 6, 4), (9, 6, 4), (12, 8, 4), True, id="smaller than its parts had been"),
        pytest.param((10, 6, 4), (10, 8, 4), (12, 8, 4), False, id="read before its parts"),
    ],
)
def test_a_relation_is_missed_only_where_tearing_cannot_explain_it(
    p: tuple[int, int, int], r: tuple[int, int, int], n: tuple[int, int, int], missed: bool
) -> None:
    """`total == rtp + rtcp`, with the sums of the responses before and after as its bounds."""

    def document(total: int, rtp: int, rtcp: int) -> dict[str, Any]:  # Any: whatever JSON can hold
        losses = {"total_dropped_received_rtp": 0, "total_dropped_sent_rtp": 0}
        return {
            "rtp": {"total_received": total, "total_received_rtp": rtp, "total_received_srtp_invalid": 0},
            "rtcp": {"total_received_rtcp": rtcp},
            "packet_loss_simulator": losses,
        }

    found = reference.torn_relations(document(*p), document(*r), document(*n))
    assert found == ([("relation.total_packets", "/rtp/total_received")] if missed else [])


def test_every_relation_is_about_fields_of_the_edition() -> None:
    """No name is mistyped: the relations written out by hand name documented counters only."""
    named = {name for relation in reference.RELATIONS for _, name in (*relation.left, *relation.right)}
    named |= {name for relation in reference.RELATIONS for name in relation.relaxed_by}
    assert named <= {field.dotted for field in DOC.counters}
