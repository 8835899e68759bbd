"""The wrong requests cover every row of the table, and none of them can do harm."""

from __future__ import annotations

import json

import pytest

from sora_stats_harness.api import strict_json
from sora_stats_harness.api.exchange import TARGET_HEADER, Request, Target
from sora_stats_harness.api.request_guard import INVENTED_TARGETS, check_request_allowed
from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.probe.wrong_requests import build_wrong_requests

SERVER = "http://127.0.0.1:3000"
REQUIRED: dict[Target, dict[str, type]] = {
    Target.CONNECTION: {"channel_id": str, "connection_id": str},
    Target.CLIENT: {"channel_id": str, "client_id": str},
    Target.ALL: {"local": bool},
}
REQUESTS = build_wrong_requests(SERVER, headers=(("X-Extra", "1"),), large=True)


def targets_of(request: Request) -> list[str]:
    return [value for name, value in request.headers if name.lower() == TARGET_HEADER]


def test_every_row_has_a_request_and_every_request_a_row() -> None:
    """The ids of the probes are exactly the registered ids of the family; of long ids only what is due to all is known."""
    rows = {id for id in REQUIREMENTS if id.startswith("request.shape.")}
    assert {request.probe for request in REQUESTS} == rows | {"request.no_5xx"}
    assert len(rows) == 14


def test_ids_are_as_long_as_they_may_be_and_longer() -> None:
    """Of 255 and of 256 bytes, for both targets that take ids."""
    long = [json.loads(request.body or b"") for request in REQUESTS if request.probe == "request.no_5xx"]
    sizes = sorted((key, len(text)) for arguments in long for key, text in arguments.items() if key != "channel_id")
    assert sizes == [("client_id", 255), ("client_id", 256), ("connection_id", 255), ("connection_id", 256)]
    assert all(len(set(arguments.values())) == 1 for arguments in long)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.probe)
def test_no_wrong_request_can_do_harm(request_: Request) -> None:
    """
    The guard lets it pass; a statistics target comes with no body, with an unsound one, or with ids that nobody has; all
    other targets are invented.
    """
    check_request_allowed(request_.method, request_.path, request_.headers)
    assert request_.target is None
    assert ("X-Extra", "1") in request_.headers
    for value in targets_of(request_):
        if value in INVENTED_TARGETS:
            continue
        target = Target(value)
        try:
            arguments = strict_json.parse_strict_json(request_.body or b"").value
        except strict_json.StrictJsonError:
            continue
        if not isinstance(arguments, dict):
            continue
        nobody = all(str(value).startswith("sora-harness-xxx") for value in arguments.values())
        assert nobody or any(not isinstance(arguments.get(key), kind) for key, kind in REQUIRED[target].items())


def test_a_target_that_is_not_allowed_is_not_used() -> None:
    """With one statistics target left, only that one appears besides the invented ones."""
    for allowed in Target:
        used = {value for request in build_wrong_requests(SERVER, targets={allowed}) for value in targets_of(request)}
        assert used - INVENTED_TARGETS == {allowed.value}


def test_the_large_request_is_only_sent_when_asked_for() -> None:
    """It has more than 8,000,000 bytes of JSON, and no other request has even a thousand."""
    large = [request for request in REQUESTS if len(request.body or b"") > 1000]
    assert [request.probe for request in large] == ["request.shape.large_body"]
    assert large[0].body is not None and len(large[0].body) == 8_000_001
    assert list(json.loads(large[0].body)) == ["channel_id"]
    assert not any(request.probe == "request.shape.large_body" for request in build_wrong_requests(SERVER))
