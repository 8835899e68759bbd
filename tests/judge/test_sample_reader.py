"""Repeated keys are found whatever strings beside them hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.judge.sample_reader import SampleReader

EXAMPLE: Final[dict[str, Any]] = json.loads(  # Any: whatever JSON can hold
    (Path(__file__).parents[1] / "data" / "example_response.json").read_text(encoding="utf-8")
)
del EXAMPLE["sctp"]["total_pruned_sctp_data_chunk"]
DOC: Final = edition.load_edition()


def body(protocol: str, repeat: str = "") -> bytes:
    """The example with one label's protocol as it stands on the wire, and a key of its signaling label repeated."""
    document = json.loads(json.dumps(EXAMPLE))
    document["data_channel"]["signaling"]["protocol"] = "HERE"
    text = json.dumps(document).replace('"HERE"', f'"{protocol}"{repeat}', 1)
    json.loads(text)
    return text.encode()


AGAIN: Final = ',"ordered":true'


@pytest.mark.parametrize("protocol", ["", ":::", r"\u003a", r"\u003A:", "x" * 300 + "::"])
def test_a_key_that_stands_twice_is_found_whatever_its_neighbours_hold(protocol: str) -> None:
    """Colons in a string, plain or escaped, neither hide a repeated key nor look like one; on all samples alike."""
    reader = SampleReader(DOC)
    for fewer in (protocol, protocol[:-1] if protocol.endswith(":") else protocol):
        for _ in range(2):
            assert not reader.read(body(protocol), many=False, scan=True).duplicates
            found = reader.read(body(fewer, AGAIN), many=False, scan=True).duplicates
            assert [path[-1] for path in found] == ["ordered"]


def test_an_escaped_colon_does_not_make_up_for_a_repeated_key() -> None:
    """Both stand in one body."""
    reader = SampleReader(DOC)
    assert not reader.read(body("a:b"), many=False, scan=True).duplicates
    found = reader.read(body(r"a\u003ab", AGAIN), many=False, scan=True).duplicates
    assert [path[-1] for path in found] == ["ordered"]
