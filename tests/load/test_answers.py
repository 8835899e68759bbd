"""Putting answers together: the memory into which bytes are received is used again, and nothing of it stays in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.exchange import Answer
from sora_stats_harness.load.answers import MAX_HEADS, USUAL_HEAD, Reading
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
