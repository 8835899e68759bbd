"""
The requests that are wrong on purpose, as data.

Each row of the table is a requirement (`request.shape.<row>`), with one or more variants. Ids of the maximal length, or
one byte longer, belong to no row: their response must only be JSON or empty, without a 5xx status. No request can do
harm: a statistics target is sent only with a body that lacks something, or with ids that no connection has, and every
other target is one of the invented names of `request_guard`. `checks.wrong_requests` derives the expected response from
the request, so that recordings can be judged as well.

Two cases are left out, because HTTP libraries rightly refuse to write them: a target followed by white space, and a
request without a Host header.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ..api.exchange import TARGET_HEADER, Headers, Request, Target
from ..api.request_guard import (
    MALFORMED_TARGETS,
    QUERY_PATH,
    UNKNOWN_OPERATION_TARGET,
    UNKNOWN_PATH,
    UNKNOWN_SERVICE_TARGET,
    UNKNOWN_VERSION_TARGET,
)
from ..judge.checks.wrong_requests import NO_5XX, shape_id

LARGE_BODY_BYTES: Final = 8_000_001
"""One byte more than a server was seen to accept."""

LARGE_BODY_ROW: Final = "large_body"

MAX_ID_BYTES: Final = 255
"""The maximal length of an id."""

_CHANNEL: Final = "sora-harness"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongRequestCase:
    """One wrong request."""

    table_row: str | None
    """The last part of the requirement's id; None if no row says how the request must be refused."""
    targets: tuple[str, ...] = ()
    """Values of the target header: none, one or several."""
    body: bytes | None = None
    method: str = "POST"
    path: str = "/"
    headers: Headers = ()
    statistics_target: Target | None = None
    """The target, if it is one of the three."""

    def build_request(self, server: str, headers: Headers = ()) -> Request:
        """Build the request, with `headers` added."""
        content: Headers = (("Content-Type", "application/json"),) if self.body is not None else ()
        return Request(
            server=server,
            method=self.method,
            path=self.path,
            headers=(*((TARGET_HEADER, value) for value in self.targets), *content, *self.headers, *headers),
            body=self.body,
            target=None,
            probe=NO_5XX.id if self.table_row is None else shape_id(self.table_row),
        )


def _case_of_invented_target(row: str, target: str, body: bytes | None = None) -> WrongRequestCase:
    return WrongRequestCase(table_row=row, targets=(target,), body=body)


def _case_of_statistics_target(row: str | None, target: Target, body: bytes | None = None) -> WrongRequestCase:
    return WrongRequestCase(table_row=row, targets=(target.value,), body=body, statistics_target=target)


def _case_of_wrong_type(target: Target, arguments: dict[str, object]) -> WrongRequestCase:
    return _case_of_statistics_target("wrong_type", target, json.dumps(arguments, separators=(",", ":")).encode())


def _case_of_long_ids(target: Target, key: str, size: int) -> WrongRequestCase:
    text = "sora-harness-".ljust(size, "x")
    return _case_of_statistics_target(None, target, json.dumps({"channel_id": text, key: text}).encode())


WRONG_REQUEST_CASES: Final = (
    WrongRequestCase(table_row="path", path=UNKNOWN_PATH, targets=(UNKNOWN_SERVICE_TARGET,)),
    WrongRequestCase(table_row="path", path=QUERY_PATH, targets=(UNKNOWN_SERVICE_TARGET,)),
    WrongRequestCase(table_row="method", method="GET", targets=(UNKNOWN_SERVICE_TARGET,)),
    WrongRequestCase(table_row="method", method="PUT", targets=(UNKNOWN_SERVICE_TARGET,), body=b"{}"),
    WrongRequestCase(table_row="no_target"),
    WrongRequestCase(table_row="no_target", body=b"{}"),
    *(_case_of_invented_target("malformed_target", value) for value in MALFORMED_TARGETS),
    WrongRequestCase(table_row="malformed_target", targets=(UNKNOWN_SERVICE_TARGET, UNKNOWN_SERVICE_TARGET)),
    _case_of_invented_target("unknown_service", UNKNOWN_SERVICE_TARGET),
    _case_of_invented_target("unknown_service", UNKNOWN_SERVICE_TARGET, b"{}"),
    _case_of_invented_target("unknown_target", UNKNOWN_OPERATION_TARGET),
    _case_of_invented_target("unknown_target", UNKNOWN_VERSION_TARGET),
    _case_of_invented_target("unknown_target_json", UNKNOWN_OPERATION_TARGET, b"{}"),
    _case_of_invented_target("unknown_target_json", UNKNOWN_VERSION_TARGET, b'{"channel_id":"sora-harness"}'),
    _case_of_invented_target("unknown_target_invalid_json", UNKNOWN_OPERATION_TARGET, b"{"),
    _case_of_invented_target("unknown_target_invalid_json", UNKNOWN_VERSION_TARGET, b" "),
    _case_of_statistics_target("no_body", Target.CONNECTION),
    _case_of_statistics_target("no_body", Target.CLIENT),
    _case_of_statistics_target("invalid_json", Target.CONNECTION, b'{"channel_id":"sora-harness",'),
    _case_of_statistics_target(
        "invalid_json", Target.CONNECTION, b'\xef\xbb\xbf{"channel_id":"sora-harness","connection_id":"sora-harness"}'
    ),
    _case_of_statistics_target("invalid_json", Target.CLIENT, b" \t\r\n"),
    _case_of_statistics_target("invalid_json", Target.CLIENT, b"channel_id=sora-harness&client_id=sora-harness"),
    _case_of_statistics_target("invalid_json", Target.ALL, b"\n"),
    _case_of_statistics_target("invalid_json", Target.ALL, b'{"local":False}'),
    # the open-source dispatcher accepts strings of any bytes, and crashes when it quotes one in its refusal
    _case_of_statistics_target("invalid_json", Target.CONNECTION, b'"\xff"'),
    _case_of_statistics_target("invalid_json", Target.ALL, b'{"local":"\xff"}'),
    _case_of_statistics_target("missing_key", Target.CONNECTION, b'{"channel_id":"sora-harness"}'),
    _case_of_statistics_target("missing_key", Target.CONNECTION, b'{"connection_id":"sora-harness"}'),
    _case_of_statistics_target("missing_key", Target.CONNECTION, b"{}"),
    _case_of_statistics_target("missing_key", Target.CLIENT, b'{"channel_id":"sora-harness"}'),
    _case_of_statistics_target("missing_key", Target.CLIENT, b'{"client_id":"sora-harness"}'),
    _case_of_wrong_type(Target.CONNECTION, {"channel_id": 1, "connection_id": _CHANNEL}),
    _case_of_wrong_type(Target.CONNECTION, {"channel_id": _CHANNEL, "connection_id": None}),
    _case_of_wrong_type(Target.CLIENT, {"channel_id": True, "client_id": _CHANNEL}),
    _case_of_wrong_type(Target.CLIENT, {"channel_id": _CHANNEL, "client_id": [_CHANNEL]}),
    _case_of_wrong_type(Target.ALL, {"local": "false"}),
    _case_of_wrong_type(Target.ALL, {"local": 0}),
    _case_of_wrong_type(Target.ALL, {"local": None}),
    *(
        _case_of_long_ids(target, key, size)
        for target, key in ((Target.CONNECTION, "connection_id"), (Target.CLIENT, "client_id"))
        for size in (MAX_ID_BYTES, MAX_ID_BYTES + 1)
    ),
    WrongRequestCase(table_row="options", method="OPTIONS"),
    WrongRequestCase(
        table_row="options",
        method="OPTIONS",
        headers=(
            ("Origin", "https://sora-harness.invalid"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", TARGET_HEADER),
        ),
    ),
)
"""Every wrong request except the large one, in the order of the table."""


def large_request_case() -> WrongRequestCase:
    """Build the request of more than 8 MB: valid JSON without a required key, so that any server refuses it."""
    head, tail = b'{"channel_id":"', b'"}'
    padding = b"x" * (LARGE_BODY_BYTES - len(head) - len(tail))
    return _case_of_statistics_target(LARGE_BODY_ROW, Target.CONNECTION, head + padding + tail)


def build_wrong_requests(
    server: str, *, headers: Headers = (), targets: Collection[Target] = tuple(Target), large: bool = False
) -> list[Request]:
    """Build every wrong request for a server, once; those with other statistics targets than these are left out."""
    cases = [*WRONG_REQUEST_CASES, large_request_case()] if large else WRONG_REQUEST_CASES
    return [
        case.build_request(server, headers)
        for case in cases
        if case.statistics_target is None or case.statistics_target in targets
    ]
