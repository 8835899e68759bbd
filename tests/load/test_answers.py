"""Putting answers together: the memory into which bytes are received is used again, and nothing of it stays in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.api.exchange import Answer
from sora_stats_harness.load import answers
from sora_stats_harness.load.answers import MAX_ANSWERS, MAX_HEADS, USUAL_HEAD, Reading
from tests import hostile

CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\nX-One: 2\r\n\r\n"
    b"3\r\n[1,\r\n2\r\n2]\r\n0\r\nX-Trailer: t\r\n\r\n"
)


def read(data: bytes, sizes: list[int] | None = None) -> Answer | None:
    """What comes of bytes that are received in pieces of these sizes, all into the same memory."""
    reading = Reading()
    room = memoryview(bytearray(len(data)))
    at = 0
    for size in [*(sizes or []), len(data)]:
        piece = data[at : at + size]
        room[: len(piece)] = piece
        assert reading.feed(room[: len(piece)]) is None
        at += len(piece)
        room[:] = b"#" * len(data)
    assert reading.over
    assert not reading.surplus
    return reading.answer()


@given(sizes=st.lists(st.integers(1, 40)))
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(sizes: list[int]) -> None:
    """Headers and body are copies, and the head of a 100 Continue and trailers are none of it."""
    headers = (("Transfer-Encoding", "chunked"), ("X-One", "1"), ("X-One", "2"))
    assert read(CHUNKED, sizes) == Answer(status=200, headers=headers, body=b"[1,2]")


def test_equal_heads_give_the_same_headers() -> None:
    """The same object: whoever has judged it once knows it again. One that differs in a byte gives its own."""
    one, other = read(hostile.answer(b"[]")), read(hostile.answer(b"{}"))
    longer = read(hostile.answer(b"[ ]"))
    assert one is not None and other is not None and longer is not None
    assert one.headers is other.headers
    assert (one.body, other.body) == (b"[]", b"{}")
    assert longer.headers == (("Content-Type", "application/json"), ("Content-Length", "3"))


def test_heads_beyond_number_and_size_are_read_all_the_same() -> None:
    """Remembered or not, a head says what it says."""
    large = "x" * USUAL_HEAD
    for number in range(MAX_HEADS + 10):
        answer = read(hostile.answer(b"[]", content_type=f"text/{number}"))
        assert answer is not None and answer.header("content-type") == f"text/{number}"
    first, second = (read(hostile.answer(b"[]", content_type=large)) for _ in range(2))
    assert first is not None and second is not None
    assert first.headers == second.headers
    assert first.header("content-type") == large


FRAMINGS = st.sampled_from(
    [
        b"Content-Length: 2\r\n", b"Content-Length: 02\r\n", b"Content-Length: 0\r\n", b"Content-Length: 1\r\n",
        b"content-length:2\r\n", b"Content-Length: 2\r\nConnection: close\r\n", b"Transfer-Encoding: chunked\r\n", b"",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 2\r\nContent-Length: 3\r\n",
    ]
)  # fmt: skip
STARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 304 Not Modified\r\n", b"HTTP/1.1 204 No\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", b"HTTP/1.1 500 No\r\n", b"HTTP 200\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n",
    ]
)  # fmt: skip
BODIES = st.sampled_from([b"", b"[", b"[]", b"{}", b"[]]", b"2\r\n[]\r\n0\r\n\r\n", b"[]HTTP/1.1 200 OK\r\n"])


def told(reading: Reading, data: bytes, *, apart: int) -> tuple[object, ...]:
    """All that a reader of the socket asks for, where bytes come in one piece or two."""
    reading.begin()
    pieces = [data[:apart], data[apart:]] if apart else [data]
    error = None
    for piece in pieces:
        error = error or reading.feed(memoryview(piece))
    return (
        error, reading.over, reading.surplus, reading.keep, reading.status, reading.wire_bytes, reading.body_bytes,
        reading.head_over, reading.answer(), reading.end(),
    )  # fmt: skip


@given(messages=st.lists(st.tuples(STARTS, FRAMINGS, BODIES, st.integers(0, 60)), min_size=1, max_size=6))
def test_a_remembered_head_changes_nothing(messages: list[tuple[bytes, bytes, bytes, int]]) -> None:
    """One connection that has seen each answer before says of each what one says that has seen none."""
    answers._ANSWERS.clear()
    whole = [(start + b"X: y\r\n" + framing + b"\r\n" + body, apart) for start, framing, body, apart in messages]
    for data, _ in whole:
        told(Reading(), data, apart=0)
    known = dict(answers._ANSWERS)
    knowing, forgetful = Reading(), Reading()
    for data, apart in whole:
        answers._ANSWERS.update(known)
        first = told(knowing, data, apart=apart)
        answers._ANSWERS.clear()
        assert first == told(forgetful, data, apart=apart)
        if first[0] is not None or first[2] or not first[3]:
            return  # the connection is closed, and what would come of more is nobody's business


def test_a_remembered_head_is_not_shown_to_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time, as long as the answer is as long; and no more of them are kept than allowed."""
    answers._ANSWERS.clear()
    first = read(hostile.answer(b"[1]"))
    shown: list[bytes] = []

    class Parser:
        def __init__(self, reading: Reading) -> None:
            pass

        def feed_data(self, data: bytes) -> None:
            shown.append(bytes(data))

    monkeypatch.setattr(answers.httptools, "HttpResponseParser", Parser)
    second = read(hostile.answer(b"[2]"))
    assert shown == []
    assert first is not None and second is not None
    assert (second.headers, second.body) == (first.headers, b"[2]")
    Reading().feed(hostile.answer(b"[3]")[:-1])
    assert shown == [hostile.answer(b"[3]")[:-1]]
    monkeypatch.undo()
    for number in range(MAX_ANSWERS + 10):
        read(hostile.answer(b"[]", content_type=f"text/{number}"))
    assert 0 < len(answers._ANSWERS) <= MAX_ANSWERS


@pytest.mark.parametrize("length", [b"2 ", b" 2\t ", b"\t2", b"2"])
def test_blanks_around_a_value_are_none_of_it(length: bytes) -> None:
    """Nor does a server miss a requirement by them."""
    answer = read(b"HTTP/1.1 200 OK\r\nContent-Length:" + length + b"\r\nX:  a b \r\n\r\n[]")
    assert answer is not None
    assert answer.headers == (("Content-Length", "2"), ("X", "a b"))
