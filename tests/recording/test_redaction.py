"""Secrets stay out of what is written down."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.api.secret_redaction import (
    ALLOWED_REQUEST_HEADERS,
    ALLOWED_RESPONSE_HEADERS,
    REDACTED_PLACEHOLDER,
    Secrets,
    redact_headers,
)

TOKEN = 'tök/en"7+1'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (TOKEN.encode(), "as it is"),
        (json.dumps({"sent": TOKEN}).encode(), "in JSON with escapes for what is not ASCII"),
        (json.dumps({"sent": TOKEN}, ensure_ascii=False).encode(), "in JSON as UTF-8"),
        (json.dumps({"sent": TOKEN}).replace("/", "\\/").encode(), "in JSON with escaped slashes"),
        (b"http://x/?t=t%C3%B6k%2Fen%227%2B1", "in a URL"),
        (b"Basic " + base64.b64encode(TOKEN.encode()), "in base64"),
        (b"\xff\x00" + TOKEN.encode() + b"\xfe", "between bytes that are no text"),
    ],
)
def test_a_secret_is_found_in_every_form_in_which_it_comes_back(data: bytes, why: str) -> None:
    """Servers and libraries repeat what they were sent in their own spelling."""
    assert Secrets([TOKEN]).occur_in(data), why


def test_the_part_after_the_scheme_is_a_secret_too() -> None:
    """An error message repeats the token, rather than the header's whole value."""
    assert Secrets(["Bearer q7f1c2e9"]).redact("no such token: q7f1c2e9") == f"no such token: {REDACTED_PLACEHOLDER}"


def test_a_basic_credential_is_looked_for_decoded() -> None:
    """What is sent in base64 comes back in clear."""
    value = "Basic " + base64.b64encode(b"user:pa55word").decode()
    assert Secrets([value]).redact("wrong password pa55word") == f"wrong password {REDACTED_PLACEHOLDER}"


def test_a_very_short_value_withholds_nothing() -> None:
    """A header of `1` would occur in every response."""
    secrets = Secrets(["1", "", "abc"])
    assert not secrets
    assert not secrets.occur_in(b'{"total": 1, "abc": 2}')


def test_a_secret_that_holds_another_leaves_no_rest() -> None:
    """The longest form is replaced first."""
    assert Secrets(["abcd", "abcdefgh"]).redact("x abcdefgh y") == f"x {REDACTED_PLACEHOLDER} y"


@given(
    st.text(min_size=4, max_size=20).filter(lambda text: len(text.strip()) >= 4),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_secret_is_left_in_a_redacted_text(secret: str, before: str, after: str) -> None:
    """Whatever it is made of and whatever stands around it."""
    secret = secret.strip()  # as of any header's value
    text = Secrets([secret]).redact(before + secret + after)
    assert secret not in text.replace(REDACTED_PLACEHOLDER, "\x00")


def test_headers_keep_their_names_and_only_harmless_values() -> None:
    """Neither cookies nor tokens are needed to judge a response."""
    headers = [("Server", "Cowboy"), ("Set-Cookie", "sid=1"), ("CONTENT-TYPE", "application/json")]
    assert redact_headers(headers, ALLOWED_RESPONSE_HEADERS) == (
        ("Server", "Cowboy"),
        ("Set-Cookie", None),
        ("CONTENT-TYPE", "application/json"),
    )
    sent = [("x-sora-target", "Sora_20171101.GetStatsAllConnections"), ("Authorization", "Bearer q7f1c2e9")]
    assert redact_headers(sent, ALLOWED_REQUEST_HEADERS) == (sent[0], ("Authorization", None))


def test_a_secret_in_a_kept_header_is_replaced() -> None:
    """A proxy may repeat a token in the name that it goes by."""
    kept = redact_headers([("Via", "1.1 q7f1c2e9")], ALLOWED_RESPONSE_HEADERS, Secrets(["q7f1c2e9"]))
    assert kept == (("Via", f"1.1 {REDACTED_PLACEHOLDER}"),)
