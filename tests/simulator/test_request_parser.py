"""
The simulator says no as the table of wrong requests has it: status, body and headers of every row, over real sockets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sora_stats_harness.simulator.asgi_app import SERVER_HEADER_VALUE
from sora_stats_harness.simulator.fault_interface import SimulatedResponse
from sora_stats_harness.simulator.request_parser import ParsedRequest, parse_request
from sora_stats_harness.simulator.server import Simulator

from .raw import ALL, CLIENT, CONNECTION, Told, ask, dial, everything, parse, request

ANY: Any = object()
"""Any object will do."""

EMPTY: Any = None
"""No body."""

OTHER_OPERATION = "Sora_20170529.NoSuchOperation"
OTHER_VERSION = "Sora_19700101.GetStatsConnection"
OTHER_SERVICE = "Zakuro_20170529.GetStatsConnection"


def named(operation: str = "NoSuchOperation", version: str = "20170529") -> dict[str, str]:
    return {"service": "Sora", "version": version, "operation": operation}


def error(error_type: str, reason: Any = None) -> dict[str, Any]:
    return {"error_type": error_type} | ({} if reason is None else {"error_reason": reason})


PARSE = error("InvalidJSON", [{"invalid": "parse"}])


def missing(key: str) -> dict[str, Any]:
    reason = {"data": key, "error": "missing_required_property", "invalid": "data", "path": [], "schema": ANY}
    return error("InvalidJSON", [reason])


def wrong(data: Any, *path: str, schema: Any = ANY) -> dict[str, Any]:
    return error(
        "InvalidJSON", [{"data": data, "error": "wrong_type", "invalid": "data", "path": [*path], "schema": schema}]
    )


STRING = {"type": "string"}
BOOLEAN = {"type": "boolean"}

ROWS = [
    ("another path", request(ALL, path="/stats"), 404, EMPTY),
    ("another path, another method", request(ALL, path="/stats", method="GET"), 404, EMPTY),
    ("another path, OPTIONS", request(path="/stats", method="OPTIONS"), 404, EMPTY),
    ("a query string is ignored", request(OTHER_SERVICE, path="/?a=b"), 400, error("InvalidTarget")),
    ("GET", request(ALL, method="GET"), 400, {"type": "UnexpectedMethod"}),
    ("PUT with a body", request(ALL, b"{}", method="PUT"), 400, {"type": "UnexpectedMethod"}),
    ("DELETE", request(method="DELETE"), 400, {"type": "UnexpectedMethod"}),
    ("no target", request(), 400, {"type": "MissingHeaderName"}),
    ("no target, with a body", request(None, b"{}"), 400, {"type": "MissingHeaderName"}),
    ("an empty target", request(""), 400, error("MissingService")),
    ("a target without operation", request("Sora_20170529"), 400, error("MissingService")),
    ("a target without version", request("Sora.GetStatsConnection"), 400, error("MissingService")),
    ("a version too short", request("Sora_2017052.GetStatsConnection"), 400, error("MissingService")),
    ("a target with a blank inside", request("Sora_20170529. GetStatsConnection"), 400, error("MissingService")),
    ("a target that is not ASCII", request("Sora_20170529.GetStats\xe9"), 400, error("MissingService")),
    ("the header twice", request(ALL, headers=(f"x-sora-target: {ALL}",)), 400, error("MissingService")),
    ("the header twice, one empty", request(ALL, headers=("x-sora-target:",)), 400, error("MissingService")),
    ("a service that does not exist", request(OTHER_SERVICE), 400, error("InvalidTarget")),
    ("the same with a body", request(OTHER_SERVICE, b"{"), 400, error("InvalidTarget")),
    ("the service in another case", request(ALL.replace("Sora", "sora")), 400, error("InvalidTarget")),
    ("an unknown operation, no body", request(OTHER_OPERATION), 400, error("MissingTarget")),
    ("an unknown version, no body", request(OTHER_VERSION), 400, error("MissingTarget")),
    ("the operation in another case", request("Sora_20170529.getstatsclient"), 400, error("MissingTarget")),
    (
        "the right operation of the wrong date",
        request("Sora_20170529.GetStatsAllConnections"),
        400,
        error("MissingTarget"),
    ),
    ("an unknown operation with JSON", request(OTHER_OPERATION, b"{}"), 400, error("SchemaNotFound", named())),
    (
        "an unknown version with JSON",
        request(OTHER_VERSION, b"[1]"),
        400,
        error("SchemaNotFound", named("GetStatsConnection", "19700101")),
    ),
    ("an unknown operation with no JSON", request(OTHER_OPERATION, b"{"), 400, PARSE),
    (
        "no body where one is needed",
        request(CONNECTION),
        400,
        error("MissingTargetFunction", named("GetStatsConnection")),
    ),
    (
        "an empty body where one is needed",
        request(CLIENT, b""),
        400,
        error("MissingTargetFunction", named("GetStatsClient")),
    ),
    (
        "an empty chunked body where one is needed",
        request(CLIENT, headers=("Transfer-Encoding: chunked",)) + b"0\r\n\r\n",
        400,
        error("MissingTargetFunction", named("GetStatsClient")),
    ),
    ("half of a body", request(CONNECTION, b'{"channel_id":"a",'), 400, PARSE),
    ("a byte order mark", request(CONNECTION, b'\xef\xbb\xbf{"channel_id":"a","connection_id":"b"}'), 400, PARSE),
    ("white space alone", request(ALL, b" \r\n\t"), 400, PARSE),
    ("a form", request(CLIENT, b"channel_id=a&client_id=b"), 400, PARSE),
    ("NaN", request(CLIENT, b'{"channel_id":NaN,"client_id":"b"}'), 400, PARSE),
    ("a number beyond all floats", request(CLIENT, b'{"channel_id":1e400,"client_id":"b"}'), 400, PARSE),
    ("bytes that are no UTF-8", request(CLIENT, b'{"channel_id":"\xff","client_id":"b"}'), 400, PARSE),
    ("UTF-16", request(ALL, "{}".encode("utf-16")), 400, PARSE),
    ("a body nested very deeply", request(ALL, b"[" * 100_000 + b"]" * 100_000), 400, PARSE),
    ("no connection_id", request(CONNECTION, b'{"channel_id":"a"}'), 400, missing("connection_id")),
    ("no channel_id", request(CLIENT, b'{"client_id":"a"}'), 400, missing("channel_id")),
    ("neither: the first is told", request(CLIENT, b"{}"), 400, missing("channel_id")),
    (
        "a number for a channel",
        request(CONNECTION, b'{"channel_id":1,"connection_id":"b"}'),
        400,
        wrong(1, "channel_id", schema=STRING),
    ),
    (
        "null is a wrong type",
        request(CLIENT, b'{"channel_id":"a","client_id":null}'),
        400,
        wrong(None, "client_id", schema=STRING),
    ),
    (
        "an object for a client",
        request(CLIENT, b'{"channel_id":"a","client_id":{"b":[1.5]}}'),
        400,
        wrong({"b": [1.5]}, "client_id", schema=STRING),
    ),
    (
        "two wrong types: the first is told",
        request(CLIENT, b'{"client_id":2,"channel_id":1}'),
        400,
        wrong(1, "channel_id", schema=STRING),
    ),
    (
        "half of a surrogate pair is told as it came",
        request(CLIENT, b'{"channel_id":["\\ud800"],"client_id":"b"}'),
        400,
        wrong(["\ud800"], "channel_id", schema=STRING),
    ),
    ("text for local", request(ALL, b'{"local":"false"}'), 400, wrong("false", "local", schema=BOOLEAN)),
    ("a number for local", request(ALL, b'{"local":0}'), 400, wrong(0, "local", schema=BOOLEAN)),
    ("null for local", request(ALL, b'{"local":null}'), 400, wrong(None, "local", schema=BOOLEAN)),
    ("an array for arguments", request(ALL, b"[]"), 400, wrong([])),
    ("null for arguments", request(CONNECTION, b"null"), 400, wrong(None)),
    (
        "of repeated keys the first counts",
        request(ALL, b'{"local":1,"local":true}'),
        400,
        wrong(1, "local", schema=BOOLEAN),
    ),
    ("a body over 8,000,000 bytes", request(ALL, b'{"a":"' + b"x" * 8_000_000 + b'"}'), 413, EMPTY),
    ("OPTIONS", request(method="OPTIONS"), 200, EMPTY),
    ("OPTIONS with a target", request(CONNECTION, method="OPTIONS"), 200, EMPTY),
]
"""A sentence, the request, and the status and body that the table has for it."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(connections=3, churn=False) as running:
        yield running


def same(value: Any, expected: Any) -> bool:
    """Whether a value is as expected, its types included."""
    if expected is ANY:
        return isinstance(value, dict)
    if isinstance(expected, dict) and isinstance(value, dict):
        return value.keys() == expected.keys() and all(same(value[key], expected[key]) for key in expected)
    if isinstance(expected, list) and isinstance(value, list):
        return len(value) == len(expected) and all(map(same, value, expected))
    return type(value) is type(expected) and value == expected


def check_headers(told: Told) -> None:
    """What every response bears, and what goes with a body."""
    assert told.header("server") == [SERVER_HEADER_VALUE]
    assert told.header("content-length") == [str(len(told.body))]
    assert told.header("content-type") == (["application/json"] if told.body else [])
    assert len(told.header("date")) == 1


@pytest.mark.parametrize(("sentence", "sent", "status", "body"), ROWS, ids=[row[0] for row in ROWS])
def test_a_wrong_request_is_refused_as_the_table_says(
    simulator: Simulator, sentence: str, sent: bytes, status: int, body: Any
) -> None:
    """Status, body and headers, to the byte where the table has one."""
    told = ask(simulator.url, sent)
    assert told.status == status
    if body is EMPTY:
        assert told.body == b""
    else:
        value = told.json()
        assert same(value, body), value
        assert told.body == json.dumps(value, separators=(",", ":"), ensure_ascii=b"\\u" in told.body).encode()
    check_headers(told)


FINE = [
    ("a listing without a body", request(ALL)),
    ("a listing with Content-Length 0", request(ALL, b"")),
    ("a listing with an empty chunked body", request(ALL, headers=("Transfer-Encoding: chunked",)) + b"0\r\n\r\n"),
    ("an object without keys is a body", request(ALL, b"{}")),
    ("local: true", request(ALL, b'{"local":true}')),
    ("local: false", request(ALL, b'{"local": false}')),
    ("a chunked body", request(ALL, headers=("Transfer-Encoding: chunked",)) + b"2\r\n{}\r\n0\r\n\r\n"),
    ("the header's name in another case", request(headers=(f"X-SORA-TARGET: {ALL}",))),
    ("white space around the target", request(f"  {ALL} \t")),
    ("another Content-Type", request(ALL, b"{}", headers=("Content-Type: text/html",))),
    ("a query string", request(ALL, path="/?pretty=1")),
    ("keys that nobody knows", request(ALL, b'{"local":true,"more":[1]}')),
    ("of repeated keys the first counts", request(ALL, b'{"local":true,"local":1}')),
    ("a body of exactly 8,000,000 bytes", request(ALL, b'{"a":"' + b"x" * 7_999_992 + b'"}')),
]


@pytest.mark.parametrize("sent", [row[1] for row in FINE], ids=[row[0] for row in FINE])
def test_what_looks_odd_and_is_right_is_responded(simulator: Simulator, sent: bytes) -> None:
    """All of these are the same listing of three connections."""
    told = ask(simulator.url, sent)
    assert told.status == 200
    assert len(told.json()) == 3
    check_headers(told)


def test_the_page_s_requests_as_httpie_writes_them(simulator: Simulator) -> None:
    """Its headers and its body get a response 200, for each of the three targets."""
    usual = ("Accept-Encoding: gzip, deflate", "User-Agent: HTTPie/3.2.2")
    with_body = (*usual, "Accept: application/json, */*;q=0.5", "Content-Type: application/json")
    everyone = ask(simulator.url, request(ALL, b"", headers=(*usual, "Accept: */*")))
    assert everyone.status == 200
    some = everyone.json()[0]
    for target, key in ((CONNECTION, "connection_id"), (CLIENT, "client_id")):
        body = json.dumps({"channel_id": some["channel_id"], key: some[key]}).encode()
        told = ask(simulator.url, request(target, body, headers=with_body))
        assert told.status == 200
        assert b'": ' not in told.body, "compact"
        found = told.json()
        assert (found if target == CONNECTION else found[0])[key] == some[key]


def test_ids_are_found_however_their_text_is_escaped(simulator: Simulator) -> None:
    r"""`/` may come as `\/`, and what is not ASCII as `\uXXXX`."""
    with Simulator(connections=20, churn=False) as wide:
        odd = next(one for one in ask(wide.url, request(ALL)).json() if not one["channel_id"].isascii())
        text = json.dumps({"connection_id": odd["connection_id"], "channel_id": odd["channel_id"] + "/"})
        assert "\\u" in text
        assert ask(wide.url, request(CONNECTION, text.replace("/", "").encode())).status == 200
        assert ask(wide.url, request(CONNECTION, text.replace("/", "\\/").encode())).status == 400


UNKNOWN = [
    ("a connection that does not live", CONNECTION, {"channel_id": None, "connection_id": "0" * 26}),
    ("a channel in which it is not", CONNECTION, {"channel_id": "elsewhere", "connection_id": None}),
    ("a client that is not there", CLIENT, {"channel_id": None, "client_id": "nobody"}),
    ("ids that look like anything", CLIENT, {"channel_id": "\x00", "client_id": "\U0001f600" * 255}),
]


@pytest.mark.parametrize(("sentence", "target", "arguments"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_an_unknown_id_is_refused_with_an_error_type(
    simulator: Simulator, sentence: str, target: str, arguments: dict[str, str | None]
) -> None:
    """The table leaves it open; this is the stricter of the two responses."""
    some = ask(simulator.url, request(ALL)).json()[0]
    body = {key: some[key] if value is None else value for key, value in arguments.items()}
    told = ask(simulator.url, request(target, json.dumps(body).encode()))
    assert told.status == 400
    assert told.json().keys() == {"error_type"}
    check_headers(told)


def test_an_unknown_client_can_be_an_empty_array() -> None:
    """The other response that the table leaves open; an object cannot be empty in that way."""
    with Simulator(connections=1, empty_for_unknown=True) as lenient:
        told = ask(lenient.url, request(CLIENT, b'{"channel_id":"a","client_id":"b"}'))
        assert (told.status, told.body) == (200, b"[]")
        assert ask(lenient.url, request(CONNECTION, b'{"channel_id":"a","connection_id":"b"}')).status == 400


def test_bytes_that_are_no_http_are_refused_and_say_who_refuses(simulator: Simulator) -> None:
    """400 from the HTTP library itself; it bears the header by which the simulator is known."""
    with dial(simulator.url) as connection:
        connection.sendall(b"GET / SSH-2.0\r\n\r\n")
        told = parse(everything(connection))
    assert told.status == 400
    assert told.header("server") == [SERVER_HEADER_VALUE]


def test_one_connection_serves_many_requests(simulator: Simulator) -> None:
    """Also after a refusal, and after a body that was too large."""
    large = request(ALL, b"x" * 8_000_001, close=False)
    with dial(simulator.url) as connection:
        for sent in (request(ALL, close=False), request(close=False), large, request(method="GET", close=False)):
            connection.sendall(sent)
        connection.sendall(request(ALL))
        told = everything(connection)
    assert told.count(b"HTTP/1.1 200 ") == 2
    assert told.count(b"HTTP/1.1 400 ") == 2
    assert told.count(b"HTTP/1.1 413 ") == 1


def test_without_an_origin_options_is_a_method_like_any_other() -> None:
    """Then no response bears a header for web pages either."""
    with Simulator(connections=1, cors=None) as closed:
        told = ask(closed.url, request(method="OPTIONS"))
        assert (told.status, told.json()) == (400, {"type": "UnexpectedMethod"})
        assert not [name for name, _ in told.headers if name.startswith("access-control-")]
    with Simulator(connections=1, cors="http://127.0.0.1:5000") as open_:
        for sent in (request(method="OPTIONS"), request(ALL), request()):
            assert ask(open_.url, sent).header("access-control-allow-origin") == ["http://127.0.0.1:5000"]


def test_a_fixed_response_to_another_operation_goes_by_the_whole_target() -> None:
    """Neither its body nor its service is looked at; the three targets can be given one as well."""
    given = SimulatedResponse(status=200, body=b"{}")
    canned = {"Sora_20151104.ListSomething": given}
    assert parse_request("POST", "/", [b"Sora_20151104.ListSomething"], b"?", canned=canned) == given
    assert parse_request("POST", "/", [b"Sora_20151104.ListSomethin"], b"", canned=canned) != given
    assert isinstance(parse_request("POST", "/", [ALL.encode()], b"", canned=canned), ParsedRequest)
    assert parse_request("POST", "/", [ALL.encode()], b"", canned={ALL: given}) == given


def test_arguments_are_handed_on_alone() -> None:
    """Keys that nobody knows are left out, and so is what was not given."""
    asked = parse_request("POST", "/", [ALL.encode()], b'{"more":1}')
    assert asked == ParsedRequest(operation="GetStatsAllConnections", arguments={})
    asked = parse_request("POST", "/", [CLIENT.encode()], b'{"client_id":"c","channel_id":"a","x":{}}')
    assert asked == ParsedRequest(operation="GetStatsClient", arguments={"channel_id": "a", "client_id": "c"})
