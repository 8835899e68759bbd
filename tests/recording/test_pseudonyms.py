"""Pseudonyms have the form of what they stand for."""

from __future__ import annotations

import random
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.recording.pseudonyms import PseudonymGenerator
from sora_stats_harness.simulator.connection_ids import draw_connection_id

NAMES = PseudonymGenerator(b"a key")


def test_a_connection_id_stays_one() -> None:
    """26 characters of Clockwork Base32, the last of which leaves the padding bits empty."""
    source = random.Random(1)
    given_ids = {draw_connection_id(source) for _ in range(1000)}
    pseudonyms = {NAMES.pseudonym_of_id(name) for name in given_ids}
    assert len(pseudonyms) == 1000
    assert not pseudonyms & given_ids
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{25}[048CGMRW]", name) for name in pseudonyms)


def test_one_with_an_impossible_last_character_keeps_that_fault() -> None:
    """What is wrong in a recording is wrong in the redacted one."""
    for last in "123567":
        assert NAMES.pseudonym_of_id("K" * 25 + last)[-1] not in "048CGMRW"


def test_a_uuid_stays_one() -> None:
    """Servers of 2017 used the text form."""
    name = str(uuid.UUID(int=7, version=4))
    assert NAMES.pseudonym_of_id(name) != name
    assert uuid.UUID(NAMES.pseudonym_of_id(name)).version == 4


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=300))
def test_any_other_id_keeps_its_length_in_bytes(name: str) -> None:
    """So that an overlong one stays overlong; the shortest grow, to stay apart from each other."""
    pseudonym = NAMES.pseudonym_of_id(name)
    assert pseudonym != name
    if re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}|[0-9a-fA-F-]{36}", name) is None:
        assert len(pseudonym.encode()) == max(19, len(name.encode()))


@given(st.sets(st.text(max_size=3), max_size=50))
def test_different_ids_stay_different(names: set[str]) -> None:
    """The shortest ones too."""
    assert len({NAMES.pseudonym_of_id(name) for name in names}) == len(names)
    assert len({NAMES.pseudonym_of_label(f"#{name}") for name in names}) == len(names)


def test_pseudonyms_are_consistent_within_a_key_and_useless_without() -> None:
    """No table, and no trying of names until one fits."""
    assert NAMES.pseudonym_of_id("lobby") == PseudonymGenerator(b"a key").pseudonym_of_id("lobby")
    assert NAMES.pseudonym_of_id("lobby") != PseudonymGenerator(b"another").pseudonym_of_id("lobby")
    assert PseudonymGenerator().pseudonym_of_id("lobby") != PseudonymGenerator().pseudonym_of_id("lobby")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:3000", r"http://127\.0\.0\.1:3000"),
        ("http://[::1]:3000/", r"http://\[::1\]:3000/"),
        ("http://localhost", "http://localhost"),
        ("https://sora.example:3443", "https://host-[0-9a-f]{10}:3443"),
        ("https://[fe80::7]:3443", "https://host-[0-9a-f]{10}:3443"),
        ("https://user:pw@sora.example/secret?token=1#x", "https://host-[0-9a-f]{10}/path-[0-9a-f]{16}"),
        ("http://sora.example:port", "http://host-[0-9a-f]{10}"),
        ("no URL", "id-[0-9a-f]{16}"),
    ],
)
def test_a_url_keeps_its_scheme_and_port(url: str, expected: str) -> None:
    """Loopback stays, since it tells nothing; any other host goes, and what else tells of somebody's network."""
    assert re.fullmatch(expected, NAMES.pseudonym_of_url(url)), NAMES.pseudonym_of_url(url)
