"""Of an answer only the ids are read, and whatever cannot be asked for again is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sora_stats_harness.api.exchange import Answer
from sora_stats_harness.probe.discovery import Known, connections_in

A = "http://a:3000"
SOUND = {"channel_id": "ch", "client_id": "cl", "connection_id": "c", "rtp": {"total_received": 1}}
KNOWN = Known(server=A, channel_id="ch", client_id="cl", connection_id="c")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([], []),
        ([SOUND], [KNOWN]),
        (SOUND, [KNOWN]),
        ([SOUND, SOUND], [KNOWN]),
        ([SOUND | {"client_id": None}], [Known(server=A, channel_id="ch", connection_id="c")]),
        ([SOUND | {"connection_id": 1}, SOUND], [KNOWN]),
        ([SOUND | {"channel_id": ["ch"]}, SOUND], [KNOWN]),
        ([{}, SOUND], [KNOWN]),
        ([SOUND | {"connection_id": "x" * 1025}], []),
        ([SOUND | {"channel_id": "\u00e9" * 127 + "\0"}],
         [Known(server=A, channel_id="\u00e9" * 127 + "\0", client_id="cl", connection_id="c")]),
    ],
)  # fmt: skip
def test_connections_that_can_be_asked_for(value: Any, found: list[Known]) -> None:
    """In the order of the answer, each once; an unsound neighbour spoils nothing."""
    answer = Answer(status=200, headers=(), body=json.dumps(value).encode())
    assert connections_in(A, answer) == found


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=400, headers=(), body=b"[]"),
        Answer(status=200, headers=(), body=b""),
        Answer(status=200, headers=(), body=b"<html>"),
        Answer(status=200, headers=(), body=b"[1]"),
        Answer(status=200, headers=(), body=b'"text"'),
        Answer(status=200, headers=(), body=b'[{"channel_id":"\xff"}]'),
        Answer(status=200, headers=(), body=b'[{"channel_id":"\\ud800"}]'),
        Answer(status=200, headers=(), body=b"[" * 100_000),
        Answer(status=200, headers=(), body=b'[{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]"),
    ],
)
def test_what_is_no_list_of_connections(answer: Answer) -> None:
    """Whatever it is, it raises nothing."""
    assert connections_in(A, answer) is None
