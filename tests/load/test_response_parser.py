"""Putting responses together: the memory into which bytes are received is used again, and nothing of it stays in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.api.exchange import Response
from sora_stats_harness.load import response_parser as responses
from sora_stats_harness.load.response_parser import (
    MAX_CACHED_HEAD_BYTES,
    MAX_CACHED_HEADS,
    MAX_CACHED_RAW_HEADS,
    ResponseParser,
)
from tests import hostile

CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\nX-One: 2\r\n\r\n"
    b"3\r\n[1,\r\n2\r\n2]\r\n0\r\nX-Trailer: t\r\n\r\n"
)


def read(data: bytes, sizes: list[int] | None = None) -> Response | None:
    """What comes of bytes that are received in pieces of these sizes, all into the same memory."""
    sample = ResponseParser()
    room = memoryview(bytearray(len(data)))
    at = 0
    for size in [*(sizes or []), len(data)]:
        piece = data[at : at + size]
        room[: len(piece)] = piece
        assert sample.feed(room[: len(piece)]) is None
        at += len(piece)
        room[:] = b"#" * len(data)
    assert sample.over
    assert not sample.surplus
    return sample.response()


@given(sizes=st.lists(st.integers(1, 40)))
def test_an_response_is_the_same_in_whatever_pieces_it_comes(sizes: list[int]) -> None:
    """Headers and body are copies, and the head of a 100 Continue and trailers are none of it."""
    headers = (("Transfer-Encoding", "chunked"), ("X-One", "1"), ("X-One", "2"))
    assert read(CHUNKED, sizes) == Response(status=200, headers=headers, body=b"[1,2]")


def test_equal_heads_give_the_same_headers() -> None:
    """The same object: whoever has judged it once knows it again. One that differs in a byte gives its own."""
    one, other = read(hostile.response(b"[]")), read(hostile.response(b"{}"))
    longer = read(hostile.response(b"[ ]"))
    assert one is not None and other is not None and longer is not None
    assert one.headers is other.headers
    assert (one.body, other.body) == (b"[]", b"{}")
    assert longer.headers == (("Content-Type", "application/json"), ("Content-Length", "3"))


def test_heads_beyond_number_and_size_are_read_all_the_same() -> None:
    """Remembered or not, a head says what it says."""
    large = "x" * MAX_CACHED_HEAD_BYTES
    for number in range(MAX_CACHED_HEADS + 10):
        response = read(hostile.response(b"[]", content_type=f"text/{number}"))
        assert response is not None and response.header("content-type") == f"text/{number}"
    first, second = (read(hostile.response(b"[]", content_type=large)) for _ in range(2))
    assert first is not None and second is not None
    assert first.headers == second.headers
    assert first.header("content-type") == large


FRAMINGS = st.sampled_from(
    [
        b"Content-Length: 2\r\n",
        b"Content-Length: 02\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 1\r\n",
        b"content-length:2\r\n",
        b"Content-Length: 2\r\nConnection: close\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
    ]
)
STARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        b"HTTP/1.1 204 No\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 500 No\r\n",
        b"HTTP 200\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n",
    ]
)
BODIES = st.sampled_from([b"", b"[", b"[]", b"{}", b"[]]", b"2\r\n[]\r\n0\r\n\r\n", b"[]HTTP/1.1 200 OK\r\n"])


def told(sample: ResponseParser, data: bytes, *, apart: int) -> tuple[object, ...]:
    """All that a reader of the socket asks for, where bytes come in one piece or two."""
    sample.reset()
    pieces = [data[:apart], data[apart:]] if apart else [data]
    error = None
    for piece in pieces:
        error = error or sample.feed(memoryview(piece))
    return (
        error,
        sample.over,
        sample.surplus,
        sample.keep,
        sample.status,
        sample.wire_bytes,
        sample.body_bytes,
        sample.is_head_complete,
        sample.response(),
        sample.finish(),
    )


@given(messages=st.lists(st.tuples(STARTS, FRAMINGS, BODIES, st.integers(0, 60)), min_size=1, max_size=6))
def test_a_remembered_head_changes_nothing(messages: list[tuple[bytes, bytes, bytes, int]]) -> None:
    """One connection that has seen each response before says of each what one says that has seen none."""
    responses._RAW_HEAD_CACHE.clear()
    whole = [(start + b"X: y\r\n" + framing + b"\r\n" + body, apart) for start, framing, body, apart in messages]
    for data, _ in whole:
        told(ResponseParser(), data, apart=0)
    known = dict(responses._RAW_HEAD_CACHE)
    knowing, forgetful = ResponseParser(), ResponseParser()
    for data, apart in whole:
        responses._RAW_HEAD_CACHE.update(known)
        first = told(knowing, data, apart=apart)
        responses._RAW_HEAD_CACHE.clear()
        assert first == told(forgetful, data, apart=apart)
        if first[0] is not None or first[2] or not first[3]:
            return  # the connection is closed, and what would come of more is nobody's business


def test_a_remembered_head_is_not_shown_to_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time, as long as the response is as long; and no more of them are kept than allowed."""
    responses._RAW_HEAD_CACHE.clear()
    first = read(hostile.response(b"[1]"))
    shown: list[bytes] = []

    class Parser:
        def __init__(self, sample: ResponseParser) -> None:
            pass

        def feed_data(self, data: bytes) -> None:
            shown.append(bytes(data))

    monkeypatch.setattr(responses.httptools, "HttpResponseParser", Parser)
    second = read(hostile.response(b"[2]"))
    assert shown == []
    assert first is not None and second is not None
    assert (second.headers, second.body) == (first.headers, b"[2]")
    ResponseParser().feed(hostile.response(b"[3]")[:-1])
    assert shown == [hostile.response(b"[3]")[:-1]]
    monkeypatch.undo()
    for number in range(MAX_CACHED_RAW_HEADS + 10):
        read(hostile.response(b"[]", content_type=f"text/{number}"))
    assert 0 < len(responses._RAW_HEAD_CACHE) <= MAX_CACHED_RAW_HEADS


@pytest.mark.parametrize("length", [b"2 ", b" 2\t ", b"\t2", b"2"])
def test_blanks_around_a_value_are_none_of_it(length: bytes) -> None:
    """Nor does a server miss a requirement by them."""
    response = read(b"HTTP/1.1 200 OK\r\nContent-Length:" + length + b"\r\nX:  a b \r\n\r\n[]")
    assert response is not None
    assert response.headers == (("Content-Length", "2"), ("X", "a b"))
