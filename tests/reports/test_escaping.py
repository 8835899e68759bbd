"""What a server sends is shown, and does nothing."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.reports import escaping as escape

TEXTS = st.text(st.characters(exclude_categories=()), max_size=80)
"""Any code points, lone surrogates included."""


def test_every_invisible_character_of_unicode_is_replaced() -> None:
    """Controls, formats, surrogates and line separators never come through, and no letter or emoji is touched."""
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        category = unicodedata.category(char)
        if category in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            assert escape.escape_invisible(char) != char, f"U+{code:04X} {category}"
        elif category in {"Lu", "Ll", "Nd", "So", "Sm"}:
            assert escape.escape_invisible(char) == char, f"U+{code:04X} {category}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("nul\0", "nul\\x00"),
        ("tab\tline\nback\r", "tab\\tline\\nback\\r"),
        ("\ud800", "\\ud800"),
        ("\uffff", "\\uffff"),
        ("\U000e0041", "\\U000e0041"),
        ("会議 😀 é", "会議 😀 é"),
    ],
)
def test_what_cannot_be_shown_is_spelled(text: str, shown: str) -> None:
    """A reader sees that something was there, and which character; other scripts stay as they are."""
    assert escape.escape_invisible(text) == shown


@given(TEXTS)
def test_visible_text_is_one_line_that_utf8_takes(text: str) -> None:
    """No control character is left, and the result can be encoded."""
    shown = escape.escape_invisible(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert shown.encode("utf-8").decode("utf-8") == shown


@given(TEXTS)
def test_encodable_text_is_unchanged_but_for_surrogates(text: str) -> None:
    """JSON files get the text itself, as far as UTF-8 can hold it."""
    result = escape.replace_surrogates(text)
    result.encode("utf-8")
    if not any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        assert result == text


@given(TEXTS, st.integers(1, 50))
def test_a_cut_says_how_much_is_missing(text: str, limit: int) -> None:
    """What is left and what is counted add up."""
    result = escape.truncate(text, limit)
    if len(text) <= limit:
        assert result == text
    else:
        assert result.startswith(text[:limit])
        assert f"({len(text) - limit:,} more" in result


@given(TEXTS)
def test_a_code_span_cannot_be_left(text: str) -> None:
    """Within the span there is no run of backticks as long as its fence."""
    span = escape.escape_markdown(text)
    if not text.strip() and span.startswith("("):
        return
    fence = span[: len(span) - len(span.lstrip("`"))]
    inside = span[len(fence) : -len(fence)]
    assert span.endswith(fence)
    assert fence not in inside.replace("`" * (len(fence) + 1), "")
    assert not inside.startswith("`")
    assert not inside.endswith("`")


@given(TEXTS)
def test_html_text_has_no_markup(text: str) -> None:
    """Neither a tag, nor the end of an attribute, nor an entity of the server's own."""
    shown = escape.escape_html(text)
    assert not set("<>\"'") & set(shown)


@given(TEXTS)
def test_file_names_are_of_a_fixed_alphabet(text: str) -> None:
    """No separator, no colon, no leading dot: any file system and artifact store takes them."""
    name = escape.safe_file_name(text)
    assert 1 <= len(name) <= 60
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert name[0] not in ".-"
    assert escape.safe_file_name(name) == name
