"""Which part of a body proves a finding: from literal bodies to what is kept of them, and where it stood."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest

from sora_stats_harness.api.exchange import Excerpt, ExcerptPart, Response
from sora_stats_harness.judge.excerpts import ElementIndex, WantedPart, cut_body
from sora_stats_harness.judge.sample import ParsedBody, Sample

A, B = b'{"connection_id":"a","n":1}', b'{"connection_id":"b","n":2}'


class WholeBody:
    """A body at hand."""

    is_whole = True

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def read(self, start: int, stop: int) -> bytes:
        """Some of it."""
        return self._data[start:stop]

    def hash(self) -> str:
        """Of all."""
        return hashlib.sha256(self._data).hexdigest()


def cut(data: bytes, wanted: WantedPart) -> Response:
    """What is kept of a body."""
    whole = Response(status=200, headers=(), body=data)
    return cut_body(whole, WholeBody(data), wanted, partial(ElementIndex.of, data))


@pytest.mark.parametrize(
    ("data", "starts"),
    [
        (b"[%b,%b]" % (A, B), (1, 2 + len(A))),
        (b"[ %b , %b ]" % (A, B), (2, 5 + len(A))),
        (b" [%b,%b]" % (A, B), (2, 3 + len(A))),
    ],
)
def test_elements_are_found_whatever_white_space_is_around_them(data: bytes, starts: tuple[int, int]) -> None:
    """Each with the place of its first byte, and by its id."""
    index = ElementIndex.of(data)
    assert index is not None
    assert index.spans == [(start, start + len(each)) for start, each in zip(starts, (A, B), strict=True)]
    assert index.places == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    ("wanted", "kept", "element"),
    [
        pytest.param(WantedPart(connection_id="b", most_bytes=99), b"[%b]" % B, 1, id="of a connection"),
        pytest.param(
            WantedPart(place=(1, "n"), most_bytes=99), b"[%b]" % B, 1, id="of an element that has no sound id"
        ),
        pytest.param(WantedPart(place=(1,), most_bytes=len(B)), b"[%b]" % B, 1, id="just as long as may be"),
    ],
)
def test_of_an_array_one_element_is_kept(wanted: WantedPart, kept: bytes, element: int) -> None:
    """As an array again, with its place in the whole."""
    response = cut(b"[%b,%b]" % (A, B), wanted)
    assert response.body == kept
    assert response.excerpt is not None
    assert (response.excerpt.of, response.excerpt.parts) == (
        "connections",
        (ExcerptPart(2 + len(A), len(B), element),),
    )


def test_of_a_listing_that_lacks_a_connection_the_ids_are_kept() -> None:
    """Each with the place of its member, in bytes and elements."""
    response = cut(b"[%b,{},%b]" % (A, B), WantedPart(connection_id="c", most_bytes=99))
    assert response.body == b'[{"connection_id":"a"},{"connection_id":"b"}]'
    assert response.excerpt is not None
    length = len(b'"connection_id":"a"')
    assert response.excerpt.parts == (ExcerptPart(2, length, 0), ExcerptPart(6 + len(A), length, 2))


def test_a_short_body_is_kept_whole() -> None:
    """From its first byte to its last."""
    response = cut(b'{"a":', WantedPart(most_bytes=99))
    assert (response.body, response.excerpt) == (b'{"a":', None)


def test_a_place_is_found_by_a_key_in_any_script() -> None:
    """Written as it stands in the body: not escaped."""
    data = '{"%s":0,"配信":"ここ","%s":0}'.encode() % (b"x" * 90, b"y" * 90)
    assert '"配信":"ここ"'.encode() in cut(data, WantedPart(place=("配信",), most_bytes=80)).body


def test_what_was_found_in_a_part_has_its_place_in_the_whole() -> None:
    """A sample, and a key that stands twice; what is in no array stays where it is."""
    parts = (ExcerptPart(9, 9, 7), ExcerptPart(99, 9, 8))
    first, second, alone = (Sample(connection_id=each) for each in "abc")
    first.index, second.index = 0, 1
    body = ParsedBody(samples=[first, second, alone], duplicates=[(1, "rtp", "n"), ("rtp", "n"), ()])
    body.restore_places(Excerpt(of="connections", length=999, sha256="", parts=parts))
    assert [each.index for each in body.samples] == [7, 8, None]
    assert body.duplicates == [(8, "rtp", "n"), ("rtp", "n"), ()]
