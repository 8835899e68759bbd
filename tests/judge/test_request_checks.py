"""Responses to wrong requests: the table's own are accepted, and each departure is one finding of the right level."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sora_stats_harness.api.exchange import (
    TARGET_HEADER,
    ErrorCode,
    Exchange,
    Headers,
    Request,
    Response,
    TransportError,
)
from sora_stats_harness.judge.checks.wrong_requests import check_probe_response
from sora_stats_harness.judge.evidence import EvidenceStore
from sora_stats_harness.judge.requirements import Finding, Level
from sora_stats_harness.probe.wrong_requests import WRONG_REQUEST_CASES, WrongRequestCase, large_request_case

SERVER = "http://127.0.0.1:3000"


def json_response(status: int, value: Any, *, headers: Headers | None = None, complete: bool = True) -> Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    given = (("content-type", "application/json"), ("content-length", str(len(body))))
    return Response(status=status, headers=given if headers is None else headers, body=body, complete=complete)


def empty_response(status: int) -> Response:
    return Response(status=status, headers=(("content-length", "0"),), body=b"")


def checked_and_found(exchange: Exchange) -> tuple[list[str], list[Finding]]:
    """The ids of what was checked, and the findings."""
    checked, violations = check_probe_response(exchange)
    return [row.id for row in checked], [violation.to_finding(EvidenceStore()) for violation in violations]


def judged(request: Request, response: Response | None, error: TransportError | None = None) -> list[Finding]:
    return checked_and_found(exchanged(request, response, error))[1]


def exchanged(request: Request, response: Response | None, error: TransportError | None = None) -> Exchange:
    return Exchange(
        run="run",
        seq=1,
        request=request,
        clock="c",
        sent_ns=1,
        received_ns=2,
        sent_at="2026-01-01T00:00:00Z",
        response=response,
        error=error,
    )


def right_response(request: Request) -> Response:
    """The table of wrong requests, written down a second time, literally."""
    target = next((value for name, value in request.headers if name == TARGET_HEADER), "")
    named = {
        "Sora_20170529.GetStatsConnection": {
            "service": "Sora",
            "version": "20170529",
            "operation": "GetStatsConnection",
        },
        "Sora_20170529.GetStatsClient": {"service": "Sora", "version": "20170529", "operation": "GetStatsClient"},
        "Sora_20170529.SoraHarnessNoSuchOperation": {
            "service": "Sora",
            "version": "20170529",
            "operation": "SoraHarnessNoSuchOperation",
        },
        "Sora_19700101.SoraHarnessNoSuchOperation": {
            "service": "Sora",
            "version": "19700101",
            "operation": "SoraHarnessNoSuchOperation",
        },
    }.get(target)
    row = (request.probe or "").removeprefix("request.shape.")
    if row == "path" and request.path == "/sora-harness-no-such-path":
        return empty_response(404)
    if row in ("invalid_json", "unknown_target_invalid_json"):
        return json_response(400, {"error_type": "InvalidJSON", "error_reason": [{"invalid": "parse"}]})
    if row in ("missing_key", "wrong_type"):
        return json_response(400, {"error_type": "InvalidJSON", "error_reason": [reason(row, target, request.body)]})
    return {
        "path": json_response(400, {"error_type": "InvalidTarget"}),
        "method": json_response(400, {"type": "UnexpectedMethod"}),
        "no_target": json_response(400, {"type": "MissingHeaderName"}),
        "malformed_target": json_response(400, {"error_type": "MissingService"}),
        "unknown_service": json_response(400, {"error_type": "InvalidTarget"}),
        "unknown_target": json_response(400, {"error_type": "MissingTarget"}),
        "unknown_target_json": json_response(400, {"error_type": "SchemaNotFound", "error_reason": named}),
        "no_body": json_response(400, {"error_type": "MissingTargetFunction", "error_reason": named}),
        "large_body": empty_response(413),
        "options": empty_response(200),
    }[row]


def reason(row: str, target: str, body: bytes | None) -> dict[str, Any]:
    arguments = json.loads(body or b"")
    schema = {"type": "object", "anything": ["at", "all"]}
    if row == "missing_key":
        other = "client_id" if target.endswith("Client") else "connection_id"
        missing = [key for key in ("channel_id", other) if key not in arguments]
        return {
            "data": missing[-1],
            "error": "missing_required_property",
            "invalid": "data",
            "path": [],
            "schema": schema,
        }
    key, value = next((k, v) for k, v in arguments.items() if not isinstance(v, str) or k == "local")
    return {"data": value, "error": "wrong_type", "invalid": "data", "path": [key], "schema": schema}


ALL_PROBES = [*(case for case in WRONG_REQUEST_CASES if case.table_row is not None), large_request_case()]
IDS = [f"{i}-{probe.table_row}" for i, probe in enumerate(ALL_PROBES)]


@pytest.mark.parametrize("probe", ALL_PROBES, ids=IDS)
def test_the_tables_own_response_is_accepted(probe: WrongRequestCase) -> None:
    """Status, body and headers as in the table: three requirements checked, no finding."""
    request = probe.build_request(SERVER)
    ids, findings = checked_and_found(exchanged(request, right_response(request)))
    assert findings == []
    assert ids == ["request.no_5xx", "request.json_or_empty", request.probe]


@pytest.mark.parametrize("probe", ALL_PROBES, ids=IDS)
@pytest.mark.parametrize(
    ("response", "requirement", "level", "fault"),
    [
        (json_response(500, {"error_type": "Crash"}), "request.no_5xx", Level.MUST, "status"),
        (empty_response(503), "request.no_5xx", Level.MUST, "status"),
        (Response(status=400, headers=(), body=b"<html>"), "request.json_or_empty", Level.MUST, "not json"),
        (Response(status=404, headers=(), body=b"\xef\xbb\xbf{}"), "request.json_or_empty", Level.MUST, "not json"),
        (json_response(418, {}), None, Level.HABIT, "status"),
        (json_response(400, {"error_type": "Other"}), None, Level.HABIT, "body"),
        (json_response(400, None), None, Level.HABIT, "body"),
    ],
)
def test_a_wrong_response_is_one_finding(
    probe: WrongRequestCase, response: Response, requirement: str | None, level: Level, fault: str
) -> None:
    """5xx and what is no JSON are MUST and hide the shape; another status or body is the row's own, HABIT."""
    request = probe.build_request(SERVER)
    ids, findings = checked_and_found(exchanged(request, response))
    assert len(findings) == 1
    finding = findings[0]
    assert finding.requirement == (requirement or request.probe) and finding.requirement in ids
    assert finding.level is level
    if not (fault == "body" and request.path == "/sora-harness-no-such-path"):  # there any 400 is another status
        assert finding.fault == fault
    assert finding.expected and finding.actual and "\n" not in finding.message


@pytest.mark.parametrize("probe", [case for case in WRONG_REQUEST_CASES if case.table_row is None])
def test_ids_of_any_length_are_refused_as_the_server_likes(probe: WrongRequestCase) -> None:
    """Unknown or too long: any status but 5xx will do, with JSON or nothing."""
    request = probe.build_request(SERVER)
    for response in (json_response(400, {"error_type": "Any"}), json_response(200, []), empty_response(413)):
        assert judged(request, response) == []
    assert [each.requirement for each in judged(request, empty_response(500))] == ["request.no_5xx"]
    page = Response(status=400, headers=(), body=b"<html>")
    assert [each.requirement for each in judged(request, page)] == ["request.json_or_empty"]


NO_TARGET = WrongRequestCase(table_row="no_target").build_request(SERVER)
MISSING_HEADER = {"type": "MissingHeaderName"}
UNKNOWN_JSON = next(probe for probe in WRONG_REQUEST_CASES if probe.table_row == "unknown_target_json").build_request(
    SERVER
)
NO_BODY = next(probe for probe in WRONG_REQUEST_CASES if probe.table_row == "no_body").build_request(SERVER)
NUMBER = next(probe for probe in WRONG_REQUEST_CASES if probe.table_row == "wrong_type").build_request(SERVER)


def invalid(**changes: Any) -> Response:
    base = {"data": 1, "error": "wrong_type", "invalid": "data", "path": ["channel_id"], "schema": {"type": "string"}}
    return json_response(400, {"error_type": "InvalidJSON", "error_reason": [base | changes]})


@pytest.mark.parametrize(
    ("request_", "response", "fault", "pointer"),
    [
        (NO_TARGET, json_response(400, {"error_type": "MissingHeaderName"}), "body", "/error_type"),
        (NO_TARGET, json_response(400, MISSING_HEADER | {"more": 1}), "body", "/more"),
        (NO_TARGET, json_response(400, [MISSING_HEADER]), "body", ""),
        (NO_TARGET, empty_response(400), "body", ""),
        (NO_TARGET, json_response(200, MISSING_HEADER), "status", ""),
        (NO_TARGET, json_response(400, MISSING_HEADER, headers=(("content-length", "28"),)), "content-type", ""),
        (
            NO_TARGET,
            json_response(400, MISSING_HEADER, headers=(("content-type", "text/plain"), ("content-length", "28"))),
            "content-type",
            "",
        ),
        (UNKNOWN_JSON, json_response(400, {"error_type": "SchemaNotFound"}), "body", "/error_reason"),
        (
            UNKNOWN_JSON,
            json_response(
                400,
                {
                    "error_type": "SchemaNotFound",
                    "error_reason": {"service": "Sora", "version": 20170529, "operation": "SoraHarnessNoSuchOperation"},
                },
            ),
            "body",
            "/error_reason/version",
        ),
        (
            NO_BODY,
            json_response(400, {"error_type": "MissingTargetFunction", "error_reason": {}}),
            "body",
            "/error_reason/operation",
        ),
        (NUMBER, invalid(data=True), "body", "/error_reason/0/data"),
        (NUMBER, invalid(data="1"), "body", "/error_reason/0/data"),
        (NUMBER, invalid(path=["connection_id"]), "body", "/error_reason/0/path/0"),
        (NUMBER, invalid(path=[]), "body", "/error_reason/0/path"),
        (NUMBER, invalid(schema="string"), "body", "/error_reason/0/schema"),
        (NUMBER, invalid(error="missing_required_property"), "body", "/error_reason/0/error"),
    ],
)
def test_a_departure_is_told_with_its_place(request_: Request, response: Response, fault: str, pointer: str) -> None:
    """The class of fault, and where in the body it is."""
    findings = judged(request_, response)
    assert [(finding.fault, finding.pointer) for finding in findings] == [(fault, pointer)]


@pytest.mark.parametrize(
    "headers",
    [(), (("transfer-encoding", "chunked"),), (("connection", "close"),), (("content-length", "29"),)],
    ids=["no length", "chunks", "until the close", "another length"],
)
def test_where_a_refusal_ends_is_no_part_of_its_shape(headers: Headers) -> None:
    """A proxy may frame it in another way; what is wrong with that is found by the connection, whatever was asked."""
    label = (("content-type", "application/json"),)
    assert judged(NO_TARGET, json_response(400, MISSING_HEADER, headers=label + headers)) == []
    path = next(probe for probe in WRONG_REQUEST_CASES if probe.table_row == "path").build_request(SERVER)
    assert judged(path, Response(status=404, headers=headers, body=b"")) == []


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (NUMBER, invalid(schema={})),
        (
            NUMBER,
            Response(
                status=400,
                headers=(("Content-Type", "application/json; charset=utf-8"), ("Content-Length", "143")),
                body=invalid().body,
            ),
        ),
        (large_request_case().build_request(SERVER), json_response(413, {"error_type": "TooLarge"})),
        (
            large_request_case().build_request(SERVER),
            json_response(
                400,
                {
                    "error_type": "InvalidJSON",
                    "error_reason": [
                        {
                            "data": "connection_id",
                            "error": "missing_required_property",
                            "invalid": "data",
                            "path": [],
                            "schema": {},
                        }
                    ],
                },
            ),
        ),
        (WRONG_REQUEST_CASES[-1].build_request(SERVER), json_response(400, {"type": "UnexpectedMethod"})),
        (
            NO_TARGET,
            Response(
                status=400,
                headers=(("content-type", "APPLICATION/JSON"), ("content-length", "31")),
                body=b'{"type":\n"MissingHeaderName" } ',
            ),
        ),
    ],
)
def test_what_the_table_leaves_open_is_accepted(request_: Request, response: Response) -> None:
    """Any schema object, a charset, white space, either response of a row that has two."""
    length = {name.lower(): value for name, value in response.headers}["content-length"]
    assert int(length) == len(response.body), "the row itself must be sound"
    assert judged(request_, response) == []


def test_of_a_cut_response_only_the_status_counts() -> None:
    """Half a body is no body that is no JSON; a 5xx is one all the same."""
    error = TransportError(code=ErrorCode.CUT, detail="cut")
    cut = Response(status=400, headers=(), body=b'{"ty', complete=False)
    assert checked_and_found(exchanged(NO_TARGET, cut, error)) == (["request.no_5xx"], [])
    findings = judged(NO_TARGET, Response(status=502, headers=(), body=b"<", complete=False), error)
    assert [finding.requirement for finding in findings] == ["request.no_5xx"]


def test_a_withheld_body_says_nothing() -> None:
    """Only the status is known of it."""
    withheld = Response(status=400, headers=(), body=b"", withheld=True)
    assert checked_and_found(exchanged(NO_TARGET, withheld)) == (["request.no_5xx"], [])


def test_no_response_and_no_probe_check_nothing() -> None:
    """A lost response is another requirement's, and a valid request is none of this module's business."""
    lost = exchanged(NO_TARGET, None, TransportError(code=ErrorCode.RESET, detail="reset"))
    assert checked_and_found(lost) == ([], [])
    valid = Request(server=SERVER, headers=(), body=None, target=None, probe=None)
    assert checked_and_found(exchanged(valid, json_response(500, {}))) == ([], [])


def test_a_probe_outside_the_table_is_held_to_the_musts_alone() -> None:
    """Generated requests name a MUST as what they test; there is no shape to expect."""
    request = Request(server=SERVER, headers=(), body=b"{}", target=None, probe="request.no_5xx")
    assert checked_and_found(exchanged(request, json_response(418, []))) == (
        ["request.no_5xx", "request.json_or_empty"],
        [],
    )


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", "418 no body"),
        (b"1" * 200, f"418 {'1' * 200}"),
        (b"1" * 201, f"418 {'1' * 200}… (201 bytes)"),
        (b"[\n1]", "418 [\\n1]"),
    ],
    ids=["none", "short", "long", "unprintable"],
)
def test_a_body_is_shown_in_one_line(body: bytes, shown: str) -> None:
    """The first 200 bytes, and how many there are where there are more."""
    (finding,) = judged(NO_TARGET, Response(status=418, headers=(), body=body))
    assert finding.actual == shown
