"""Samples beside each other: what is shown, what is marked, and when there is nothing to show."""

from __future__ import annotations

import pytest

from sora_stats_harness.api.exchange import Exchange, Response, Target, make_valid_request
from sora_stats_harness.reports import sample_table as sides

from . import verdicts


def single(seq: int, body: bytes) -> Exchange:
    """A response of one object."""
    request = make_valid_request(
        Target.CONNECTION, server=verdicts.SERVER, channel_id="lobby", connection_id=verdicts.CONNECTION_ID
    )
    return verdicts.exchange(seq, body, request=request)


def test_the_connection_is_found_wherever_it_stands() -> None:
    """The earlier response may list it elsewhere, or be an object; the later one is where the pointer says."""
    ours = b'{"connection_id":"%s","rtp":{"total_received_rtp":1017}}' % verdicts.CONNECTION_ID.encode()
    entry = verdicts.entry("counter.monotonic")
    for earlier in (single(1, ours), verdicts.exchange(1, b"[" + ours + b"]")):
        found = sides.make_sample_table(entry, (earlier, verdicts.exchange(2, verdicts.body(1016))))
        assert found is not None
        assert found.rows[0].values == ("1017", "1016")
        assert (found.rows[0].culprit, found.rows[0].falls, found.rows[0].differs) == (True, True, True)


def test_a_field_that_is_missing_is_shown_as_absent() -> None:
    """With its neighbours of the same group, and nothing else."""
    entry = verdicts.entry("shape.required", field="/rtp/x", pointer="/rtp/x")
    found = sides.make_sample_table(entry, (single(1, b'{"rtp":{"y":1,"z":{"a":2}},"sctp":{"q":3}}'),))
    assert found is not None
    assert [(row.field, row.values, row.culprit) for row in found.rows] == [
        ("/rtp/x", ("absent",), True),
        ("/rtp/y", ("1",), False),
        ("/rtp/z/a", ("2",), False),
    ]


def test_rows_beyond_the_limit_are_counted() -> None:
    """A hundred fields that differ do not make a report unreadable."""
    pairs = [",".join(f'"f{i}":{i + step}' for i in range(100)).encode() for step in (0, 1)]
    entry = verdicts.entry("counter.monotonic", pointer="/f7", field="/f7")
    found = sides.make_sample_table(entry, [single(seq, b"{" + body + b"}") for seq, body in enumerate(pairs)])
    assert found is not None
    assert found.rows[0].field == "/f7"
    assert (len(found.rows), found.more, found.equal) == (sides.MAX_ROWS, 100 - sides.MAX_ROWS, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b"[1, 2]",
        b"[]",
        b'"text"',
        b'{"a":' * 50_000,
        b"9" * 5000,
        b"\xff",
        b" " * (1 << 20) + b"{}",
    ],
    ids=["empty", "html", "deep", "numbers", "none", "text", "deep-objects", "digits", "no-utf8", "large"],
)
def test_an_response_that_is_no_sample_is_not_shown(body: bytes) -> None:
    """Garbage is evidence in its file; here there is nothing to lay out, and nothing breaks."""
    assert sides.make_sample_table(verdicts.entry("http.json"), (verdicts.exchange(1, body),)) is None


def test_an_response_that_is_missing_is_not_shown() -> None:
    """No exchange, no response, or a body that was withheld."""
    entry = verdicts.entry("counter.monotonic")
    assert sides.make_sample_table(entry, ()) is None
    whole = verdicts.exchange(1, verdicts.body(1))
    for response in (None, Response(status=200, headers=(), body=b"{}", withheld=True)):
        lacking = Exchange(
            run=whole.run,
            seq=2,
            request=whole.request,
            clock=whole.clock,
            sent_ns=1,
            received_ns=2,
            sent_at="",
            response=response,
        )
        assert sides.make_sample_table(entry, (whole, lacking)) is None


def test_hostile_values_are_shown_short() -> None:
    """A number of 4,000 digits, a deep value and a long text are cut."""
    text = b'{"a":%s,"b":"%s","c":[[[[[[[[1]]]]]]]]}' % (b"9" * 4000, b"x" * 4000)
    found = sides.make_sample_table(verdicts.entry("shape.range", pointer="/a", field="/a"), (single(1, text),))
    assert found is not None
    assert all(len(value) < 120 for row in found.rows for value in row.values)
