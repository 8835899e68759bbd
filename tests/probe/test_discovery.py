"""Of a response only the ids are read, and whatever cannot be asked for again is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sora_stats_harness.api.exchange import Response
from sora_stats_harness.probe.discovery import KnownConnection, connections_in_response

A = "http://a:3000"
SOUND = {"channel_id": "ch", "client_id": "cl", "connection_id": "c", "rtp": {"total_received": 1}}
KNOWN = KnownConnection(server=A, channel_id="ch", client_id="cl", connection_id="c")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([], []),
        ([SOUND], [KNOWN]),
        (SOUND, [KNOWN]),
        ([SOUND, SOUND], [KNOWN]),
        ([SOUND | {"client_id": None}], [KnownConnection(server=A, channel_id="ch", connection_id="c")]),
        ([SOUND | {"connection_id": 1}, SOUND], [KNOWN]),
        ([SOUND | {"channel_id": ["ch"]}, SOUND], [KNOWN]),
        ([{}, SOUND], [KNOWN]),
        ([SOUND | {"connection_id": "x" * 1025}], []),
        (
            [SOUND | {"channel_id": "\u00e9" * 127 + "\0"}],
            [KnownConnection(server=A, channel_id="\u00e9" * 127 + "\0", client_id="cl", connection_id="c")],
        ),
    ],
)
def test_connections_that_can_be_asked_for(value: Any, found: list[KnownConnection]) -> None:
    """In the order of the response, each once; an unsound neighbour spoils nothing."""
    response = Response(status=200, headers=(), body=json.dumps(value).encode())
    assert connections_in_response(A, response) == found


@pytest.mark.parametrize(
    "response",
    [
        Response(status=400, headers=(), body=b"[]"),
        Response(status=200, headers=(), body=b""),
        Response(status=200, headers=(), body=b"<html>"),
        Response(status=200, headers=(), body=b"[1]"),
        Response(status=200, headers=(), body=b'"text"'),
        Response(status=200, headers=(), body=b'[{"channel_id":"\xff"}]'),
        Response(status=200, headers=(), body=b'[{"channel_id":"\\ud800"}]'),
        Response(status=200, headers=(), body=b"[" * 100_000),
        Response(status=200, headers=(), body=b'[{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]"),
    ],
)
def test_what_is_no_list_of_connections(response: Response) -> None:
    """Whatever it is, it raises nothing."""
    assert connections_in_response(A, response) is None
