"""The reader of responses gives the same outcome for the same bytes, in whatever pieces they come."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.api import http1_head
from sora_stats_harness.api.exchange import ErrorCode, Response, TransportError
from sora_stats_harness.api.http1 import DIRECT_BYTES, KEPT_OF_PARTIAL, ResponseReader
from sora_stats_harness.api.http1_body import SECTION_LIMIT
from sora_stats_harness.api.http1_faults import FRAMING_RULES, Effect, FramingFault
from sora_stats_harness.api.http1_head import (
    MAX_HEADS,
    USUAL_HEAD_BYTES,
    ResponseHead,
    head_of,
    parse_head,
)
from tests.raw_responses import RawResponse, load

ROWS = load()
SHORT = [row for row in ROWS if len(row.data) <= 1000]


@dataclass(frozen=True)
class Outcome:
    """All that a reader tells."""

    over: bool
    response: Response | None
    error: TransportError | None
    faults: tuple[FramingFault, ...]
    keep: bool
    status: int | None
    body_bytes: int


def outcome(reader: ResponseReader) -> Outcome:
    return Outcome(
        reader.over,
        reader.response,
        reader.error,
        reader.faults,
        reader.keep,
        reader.status,
        reader.body_bytes,
    )


def read(row: RawResponse, sizes: list[int], *, reader: ResponseReader | None = None, direct: bool = False) -> Outcome:
    """What comes of bytes that are received in pieces of these sizes, again and again, into one and the same memory."""
    reader = reader or ResponseReader()
    reader.begin(row.method)
    room = memoryview(bytearray(min(max(sizes), len(row.data) + 1)))
    at = turn = 0
    while at < len(row.data):
        piece = row.data[at : at + sizes[turn % len(sizes)]]
        turn += 1
        view = reader.buffer() if direct else None
        if view is not None:
            piece = piece[: len(view)]
            view[: len(piece)] = piece
            reader.advance(len(piece))
        else:
            room[: len(piece)] = piece
            reader.feed(room[: len(piece)])
            room[:] = b"#" * len(room)
        at += len(piece)
    if row.closes:
        reader.end()
    return outcome(reader)


def check_outcome(row: RawResponse) -> None:
    """Status, body, faults and the reason, read at once; and the same again, when its head is known."""
    found = read(row, [len(row.data) or 1])
    assert (found.error.code.value if found.error else "complete" if found.over else "waiting") == row.outcome
    assert tuple(fault.code for fault in found.faults) == row.faults
    assert found.keep == row.keep
    assert found.status == row.status
    assert found.body_bytes == row.body_bytes
    if found.response is not None:
        assert found.response.complete == (row.outcome == "complete")
        assert row.body is None or found.response.body == row.body
    if row.text is not None:
        texts = [*(fault.text for fault in found.faults), found.error.detail if found.error else ""]
        assert any(row.text in text for text in texts), texts
    assert read(row, [len(row.data) or 1]) == found


def check_pieces(row: RawResponse) -> None:
    """Byte by byte unless it is long, in a few bytes, in packets, and where the bytes of a long body are received where they stay."""
    whole = read(row, [len(row.data) or 1])
    for sizes in ([1], [2], [3, 5], [1448], [70_000]):
        if len(row.data) < 20_000 or max(sizes) > 2:
            assert read(row, sizes) == whole
    for sizes in ([1448], [70_000], [10**9]):
        assert read(row, sizes, direct=True) == whole


@pytest.mark.parametrize("check", [check_outcome, check_pieces], ids=["outcome", "pieces"])
def test_each_raw_response_comes_to_what_the_corpus_says(check: Callable[[RawResponse], None]) -> None:
    """However it comes; a failure shows the response."""
    for row in ROWS:
        check(row)


@given(row=st.sampled_from(SHORT), sizes=st.lists(st.integers(1, 60), min_size=1))
def test_random_pieces_make_no_difference(row: RawResponse, sizes: list[int]) -> None:
    """Whatever they are."""
    assert read(row, sizes) == read(row, [len(row.data) or 1])


@given(rows=st.lists(st.sampled_from(SHORT), min_size=2, max_size=5), sizes=st.lists(st.integers(1, 300), min_size=1))
def test_a_reader_forgets_the_response_before(rows: list[RawResponse], sizes: list[int]) -> None:
    """One reader for all gives what a new one for each gives."""
    reader = ResponseReader()
    for row in rows:
        assert read(row, sizes, reader=reader) == read(row, sizes)


HEADS = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK",
            b"HTTP/1.0 404 No",
            b"Content-Type: application/json",
            b"content-type:text/html ",
            b"Content-Length: 2",
            b"content-length: 3",
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b"Connection: keep-alive",
            b"Content-Encoding: gzip",
            b"Date: today",
            b"Empty:",
            b"Blank : x",
            b" fold",
            b"X: a\rb",
            b"X: \xff",
            b"no colon",
            b"",
        ]
    ),
    max_size=6,
)


@given(lines=HEADS, ends=st.lists(st.sampled_from([b"\r\n", b"\r\n", b"\n"]), min_size=8, max_size=8))
def test_the_quick_way_through_a_head_finds_what_the_slow_one_does(lines: list[bytes], ends: list[bytes]) -> None:
    """A head that is as it should be is taken apart by one pattern, and comes to the same line by line."""
    usual = http1_head._USUAL_HEAD
    raw = b"".join(line + end for line, end in zip([b"HTTP/1.1 200 OK", *lines, b""], ends, strict=False))
    quick = parse_head(raw)
    try:
        http1_head._USUAL_HEAD = re.compile(b"(?!)")  # type: ignore[misc]  # never
        assert parse_head(raw) == quick
    finally:
        http1_head._USUAL_HEAD = usual  # type: ignore[misc]


def test_every_rule_is_broken_by_the_corpus() -> None:
    """None is only on paper; and what is allowed or tolerated never ends a response."""
    between_responses = {"unasked", "closed_unannounced"}
    assert {code for row in ROWS for code in row.faults} == set(FRAMING_RULES) - between_responses
    for row in ROWS:
        fatal = [code for code in row.faults if FRAMING_RULES[code].effect is Effect.FATAL]
        assert bool(fatal) == (row.outcome in ("protocol", "too_large"))


def test_a_known_head_is_the_same_object() -> None:
    """Whoever has judged its headers once knows them again by their identity."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\n"
    bodies = []
    for body in (b"[]", b"{}"):
        reader = ResponseReader()
        assert reader.feed(raw + body)
        assert reader.response is not None
        bodies.append(reader.response)
    assert bodies[0].headers is bodies[1].headers
    assert [response.body for response in bodies] == [b"[]", b"{}"]


def test_no_more_heads_are_kept_than_allowed() -> None:
    """Nor is one of unusual length; all are read all the same."""
    for number in range(MAX_HEADS + 10):
        head = head_of(b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n\r\n" % number)
        assert isinstance(head, ResponseHead)
        assert head.headers == (("X-Number", str(number)),)
    assert http1_head._usual_head.cache_info().currsize <= MAX_HEADS
    long = b"HTTP/1.1 200 OK\r\nX-Long: %b\r\n\r\n" % (b"x" * USUAL_HEAD_BYTES)
    before = http1_head._usual_head.cache_info()
    assert isinstance(head_of(long), ResponseHead)
    assert http1_head._usual_head.cache_info() == before


@pytest.mark.parametrize("framing", [b"Content-Length: 3000\r\n", b"Transfer-Encoding: chunked\r\n", b""])
@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_body_beyond_the_limit_is_given_up(framing: bytes, size: int) -> None:
    """In whatever pieces it comes, at the same byte; chunks count with their framing."""
    body = b"3e8\r\n" + b"x" * 1000 + b"\r\n" if b"chunked" in framing else b"x" * 1000
    data = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + body * 3
    for limit in (500, 1000, 2999):
        reader = ResponseReader(limit_bytes=limit)
        for at in range(0, len(data), size):
            reader.feed(data[at : at + size])
        assert reader.error == TransportError(code=ErrorCode.TOO_LARGE, detail=f"the body exceeds {limit} bytes")
        assert reader.response is not None and not reader.response.complete
    reader = ResponseReader(limit_bytes=3021)
    reader.feed(data)
    assert reader.error is None


@pytest.mark.parametrize("framing", [b"Content-Length: 99999999\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_a_body_takes_its_own_memory_and_no_more(framing: bytes) -> None:
    """No second copy of large pieces is made, and what was given up is let go at once."""
    limit, piece = 8 << 20, b"x" * (64 << 10)
    reader = ResponseReader(limit_bytes=limit)
    tracemalloc.start()
    try:
        reader.feed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        while not reader.feed(b"10000\r\n" + piece + b"\r\n" if b"chunked" in framing else piece):
            pass
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.error is not None and reader.error.code is ErrorCode.TOO_LARGE
    assert most < limit * 1.1
    assert left < KEPT_OF_PARTIAL * 4


def test_endless_small_chunks_count_as_they_are_on_the_wire() -> None:
    """A megabyte of chunks of two bytes is given up after a megabyte, and holds no more than that."""
    reader = ResponseReader(limit_bytes=1_000_000)
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"2\r\n[]\r\n" * 1000
    while not reader.feed(piece):
        assert reader.wire_bytes < 1_100_000
    assert reader.error is not None and reader.error.code is ErrorCode.TOO_LARGE
    assert reader.body_bytes <= KEPT_OF_PARTIAL


def test_what_is_given_up_keeps_its_beginning() -> None:
    """Status, headers and the first bytes stay, however the body was received; its memory is let go."""
    error = TransportError(code=ErrorCode.TIMEOUT, detail="too slow")
    for direct in (False, True):
        reader = ResponseReader()
        reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 10)
        if direct:
            view = reader.buffer()
            assert view is not None and len(view) >= 1_000_000 - 10
            view[:100_000] = b"y" * 100_000
            reader.advance(100_000)
            assert reader.buffer() is not None  # and nothing comes into it
        else:
            reader.feed(b"y" * 100_000)
        reader.give_up(error)
        assert reader.over and reader.error == error and not reader.keep
        assert reader.response is not None
        assert reader.response.body == (b"x" * 10 + b"y" * 100_000)[:KEPT_OF_PARTIAL]
        assert reader.body_bytes == KEPT_OF_PARTIAL


def test_only_much_of_a_body_is_received_where_it_stays() -> None:
    """A small one, one in chunks and one without a length come through the caller's memory."""
    reader = ResponseReader()
    assert reader.buffer() is None
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (DIRECT_BYTES - 1))
    assert reader.buffer() is None
    for framing in (b"Transfer-Encoding: chunked\r\n", b""):
        reader.begin()
        reader.feed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        assert reader.buffer() is None


def test_heads_at_the_limit() -> None:
    """A head of exactly 100 KiB is read, one of a byte more is not, in whatever pieces."""
    start, end = b"HTTP/1.1 204 No\r\nX: ", b"\r\n\r\n"
    for more, code in ((0, None), (1, ErrorCode.TOO_LARGE)):
        data = start + b"x" * (SECTION_LIMIT - len(start) - len(end) + more) + end
        for size in (1, 7, len(data)):
            reader = ResponseReader()
            for at in range(0, len(data), size):
                reader.feed(data[at : at + size])
            assert (reader.error and reader.error.code) is code


@pytest.mark.parametrize("framing", [b"Content-Length: 200000\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_a_body_that_drips_takes_the_memory_of_its_bytes(framing: bytes) -> None:
    """Byte by byte, in every framing: what is held is joined again and again."""
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
    drop = b"1\r\nx\r\n" if b"chunked" in framing else b"x"
    tracemalloc.start()
    try:
        for _ in range(20_000):
            reader.feed(drop)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.body_bytes == 20_000
    assert held < 80_000


def test_millions_of_tiny_header_fields_are_given_up_early() -> None:
    """They count as they are on the wire; what the fields of the longest head take in memory is bounded with them."""
    field = b"a:\r\n"
    reader = ResponseReader()
    tracemalloc.start()
    try:
        reader.feed(b"HTTP/1.1 200 OK\r\n")
        sent = 0
        while not reader.over:
            reader.feed(field * 1000)
            sent += 1000
        reader.begin()
        reader.feed(b"HTTP/1.1 204 No\r\n" + field * ((SECTION_LIMIT - 100) // len(field)) + b"\r\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent * len(field) < SECTION_LIMIT + 5000
    assert reader.response is not None
    assert peak < 16 << 20
