"""Strings are replaced inside the text of a document, and nothing else is touched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.api.strict_json import StrictJsonError, parse_strict_json
from sora_stats_harness.recording.json_strings import mask_base64, mask_text, replace_strings

keys = st.sampled_from(["channel_id", "total_x", "a b", "#label", "x", "_id", "connection\u00e9_id"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(documents, st.booleans(), st.sampled_from([(",", ":"), (" , ", "\t: ")]))
def test_strings_are_found_as_a_parser_finds_them(document: object, ascii_only: bool, marks: tuple[str, str]) -> None:
    """Against the obvious way, which parses; and where nothing changes, not a byte does."""
    text = json.dumps(document, ensure_ascii=ascii_only, separators=marks)
    assert replace_strings(text, str, lambda key, string: string) == text
    changed = replace_strings(text, lambda key: f"key {key}", lambda key, string: f"{key}|{string}")
    assert json.loads(changed) == _obviously(document, None)


def _obviously(value: object, key: str | None) -> object:
    if isinstance(value, str):
        return f"{key}|{value}"
    if isinstance(value, list):
        return [_obviously(below, key) for below in value]
    if isinstance(value, dict):
        return {f"key {name}": _obviously(below, name) for name, below in value.items()}
    return value


@given(st.text(max_size=30))
def test_a_masked_text_tells_nothing_and_is_json_only_if_it_was(text: str) -> None:
    """Punctuation alone is left, and it stays what it is not."""
    masked = mask_text(text)
    assert {char for char in masked if char.isalnum()} <= {"x"}
    try:
        parse_strict_json(text.encode())
    except StrictJsonError:
        with pytest.raises(StrictJsonError):
            parse_strict_json(masked.encode())


def test_masked_bytes_stay_no_text() -> None:
    """In base64 before and after; what is no base64 stays unreadable."""
    assert mask_base64("YWL/") == "eHj/"
    assert mask_base64("!") == "damaged"
