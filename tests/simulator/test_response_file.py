"""`simulate --answer TARGET=FILE`: what such a file may say, what is sent for it, and which targets are told of."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.exchange import TARGET_HEADER
from sora_stats_harness.api.request_guard import INVENTED_TARGETS
from sora_stats_harness.simulator.response_file import read_response_file
from sora_stats_harness.simulator.server import Simulator

TARGET = "Sora_20171010.GetLicense"


@pytest.mark.parametrize(
    ("text", "status", "content_type", "body"),
    [
        ('{"json": {"a" : 1.0}}', 200, "application/json", b'{"a" : 1.0}'),
        ('{"json": null, "status": 503}', 503, "application/json", b"null"),
        ('{"body": "é"}', 200, "text/plain; charset=utf-8", "é".encode()),
        ('{"body": "<p>", "headers": {"Content-Type": "text/html"}}', 200, "text/html", b"<p>"),
    ],
)
def test_a_file_gives_status_headers_and_body(
    text: str, status: int, content_type: str, body: bytes, tmp_path: Path
) -> None:
    """JSON goes out as it stands in the file."""
    path = tmp_path / "answer=1.json"
    path.write_text(text, encoding="utf-8")
    target, reply = read_response_file(f"{TARGET}={path}")
    with Simulator(responses={target: reply}, connections=0) as simulator:
        got = httpx.post(simulator.url, headers={TARGET_HEADER: TARGET})
    assert (got.status_code, got.headers["content-type"], got.content) == (status, content_type, body)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "Expected `object`, got `array`"),
        ("{", "truncated"),
        ("{}", "needs one of json and body"),
        ('{"json": 1, "body": "1"}', "needs one of json and body"),
        ('{"json": 1, "state": 200}', "unknown field `state`"),
        ('{"json": 1, "status": 100}', ">= 200"),
        ('{"json": 1, "headers": {"X": "a\\r\\nSet-Cookie: b"}}', "the header 'X' cannot be sent as it is"),
        ('{"json": 1, "headers": {"X Y": "a"}}', "the header 'X Y' cannot be sent as it is"),
        ('{"json": 1, "headers": {"Content-Length": "5"}}', "the header Content-Length is the server's own"),
    ],
)
def test_what_cannot_be_sent_is_one_line(text: str, told: str, tmp_path: Path) -> None:
    """It names the file."""
    path = tmp_path / "answer.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=told) as error:
        read_response_file(f"{TARGET}={path}")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["GetLicense=x.json", TARGET, f"{TARGET}=", "=x.json", "Sora_2017.X=x.json"])
def test_the_option_s_form_is_told(text: str) -> None:
    """With an example."""
    with pytest.raises(UsageError, match=r"takes TARGET=FILE, such as Sora_20171010.GetLicense=license.json"):
        read_response_file(text)


def test_each_target_that_is_not_served_is_told_of_once() -> None:
    """Whatever the header held, but never those that the harness itself makes up, and never more than a hundred."""
    told: list[str] = []
    served = ["Sora_20171101.GetStatsAllConnections", "Sora_20170529.GetStatsClient"]
    asked = [TARGET, *served, TARGET, "Sora_1.X", *sorted(INVENTED_TARGETS), TARGET]
    with Simulator(connections=0, unserved=told.append) as simulator, httpx.Client(base_url=simulator.url) as client:
        for target in asked:
            client.post("/", headers={TARGET_HEADER: target})
        client.post("/")
        assert told == [TARGET, "Sora_1.X"]
        for number in range(150):
            client.post("/", headers={TARGET_HEADER: f"Sora_{number}"})
    assert len(told) == 100
