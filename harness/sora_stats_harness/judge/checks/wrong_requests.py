"""
The rules about wrong requests: how a server refuses them.

Two rules are MUST: no 5xx for the caller's own mistake, and a body of JSON or none. The exact shape of a refusal was
measured on the open-source dispatcher whose headers and error shape the API shares; that Sora uses it is an inference,
so the shape is a HABIT. The request alone determines the expected response. One fault gives one finding: a response
that already violates a MUST here is not compared with the shape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from ...api import strict_json
from ...api.exchange import TARGET_HEADER, Exchange, Request, Response, Target, header_values
from ...api.http1_head import media_types
from ..check import Check, Observed, Place, Stage, Violation
from ..requirement import DISPATCHER_SOURCE, NEEDS_PROBES, Level, RequiredCapability, Requirement
from .framing import describe_body_fault, has_fault

if TYPE_CHECKING:
    from ..state import State

NO_5XX: Final = Requirement(
    id="request.no_5xx",
    level=Level.MUST,
    title="A wrong request never gets a status of 5xx",
    reason="The caller's mistake must not look like the server's.",
    grounds="RFC 9110, 15.6: a 5xx status says that the server made the mistake.",
    source="RFC 9110, 15.6",
    needs=NEEDS_PROBES,
    message="{request} gets status {status}",
)
JSON_OR_EMPTY: Final = Requirement(
    id="request.json_or_empty",
    level=Level.MUST,
    title="A wrong request gets a body of JSON, or none",
    reason="Clients parse the reason.",
    grounds="The page documents an API of JSON, so clients have no parser for anything else.",
    source=DISPATCHER_SOURCE,
    needs=NEEDS_PROBES,
    message="{request} gets status {status}",
    masked_by="a 5xx status",
)


def shape_id(row: str) -> str:
    """The id of the requirement on a row of the table of wrong requests."""
    return f"request.shape.{row}"


_SHOWN_BYTES: Final = 200


class _AnyBody(Enum):
    EMPTY = "no body"
    OBJECT = "{…}"
    """Any JSON object."""


_EMPTY_BODY: Final = _AnyBody.EMPTY
_ANY_OBJECT: Final = _AnyBody.OBJECT


@dataclass(frozen=True, slots=True, kw_only=True)
class _ExpectedResponse:
    """An expected response; in `body`, _OBJECT stands for any object."""

    status: int
    body: object = _EMPTY_BODY

    def __str__(self) -> str:
        return f"{self.status} {_compact(self.body)}"


_Expected = Callable[[Request], list[_ExpectedResponse]]
"""The responses that a request may get; of several, the most similar one is shown."""


def _error_body(error_type: str, reason: object = _EMPTY_BODY) -> _ExpectedResponse:
    body: dict[str, object] = {"error_type": error_type}
    return _ExpectedResponse(status=400, body=body if reason is _EMPTY_BODY else body | {"error_reason": reason})


def _invalid_data_body(*, data: object, error: str, path: list[str]) -> _ExpectedResponse:
    """The error about an argument. It contains the server's own schema, for which any object is accepted."""
    reason = {"data": data, "error": error, "invalid": "data", "path": path, "schema": _ANY_OBJECT}
    return _error_body("InvalidJSON", [reason])


def _sent_target(request: Request) -> str:
    return next(iter(header_values(request.headers, TARGET_HEADER)), "")


def _named_target(request: Request) -> object:
    parts = re.fullmatch(r"([A-Za-z]+)_([0-9]{8})\.([A-Za-z]+)", _sent_target(request))
    return dict(zip(("service", "version", "operation"), parts.groups(), strict=True)) if parts else _ANY_OBJECT


def _sent_arguments(request: Request) -> dict[str, object]:
    value = json.loads(request.body or b"{}")
    return value if isinstance(value, dict) else {}


_REQUIRED_KEYS: Final = {
    Target.CONNECTION.value: ("channel_id", "connection_id"),
    Target.CLIENT.value: ("channel_id", "client_id"),
}


def _expect_missing_key(request: Request) -> list[_ExpectedResponse]:
    arguments = _sent_arguments(request)
    return [
        _invalid_data_body(data=key, error="missing_required_property", path=[])
        for key in _REQUIRED_KEYS.get(_sent_target(request), ())
        if key not in arguments
    ]


def _expect_wrong_type(request: Request) -> list[_ExpectedResponse]:
    return [
        _invalid_data_body(data=value, error="wrong_type", path=[key])
        for key, value in _sent_arguments(request).items()
        if not isinstance(value, bool if key == "local" else str)
    ]


_NOT_FOUND: Final = _ExpectedResponse(status=404)
_WRONG_METHOD: Final = _ExpectedResponse(status=400, body={"type": "UnexpectedMethod"})
_NO_TARGET: Final = _ExpectedResponse(status=400, body={"type": "MissingHeaderName"})
_NO_SERVICE: Final = _error_body("InvalidTarget")
_NO_JSON: Final = _error_body("InvalidJSON", [{"invalid": "parse"}])
_TOO_LARGE: Final = (_ExpectedResponse(status=413), _ExpectedResponse(status=413, body=_ANY_OBJECT))
"""Newer servers have a limit; older ones read the whole body, and complain about the key that the probe leaves out."""

_TABLE: Final[dict[str, tuple[str, _Expected]]] = {
    "path": (
        "A path other than / gets 404, a query string is ignored",
        lambda request: [_NO_SERVICE if request.path.startswith("/?") else _NOT_FOUND],
    ),
    "method": ("A method other than POST gets UnexpectedMethod", lambda request: [_WRONG_METHOD]),
    "no_target": ("A request without a target gets MissingHeaderName", lambda request: [_NO_TARGET]),
    "malformed_target": (
        "A malformed or repeated target gets MissingService",
        lambda request: [_error_body("MissingService")],
    ),
    "unknown_service": ("A service that does not exist gets InvalidTarget", lambda request: [_NO_SERVICE]),
    "unknown_target": (
        "An unknown version or operation without a body gets MissingTarget",
        lambda request: [_error_body("MissingTarget")],
    ),
    "unknown_target_json": (
        "An unknown version or operation with a JSON body gets SchemaNotFound",
        lambda request: [_error_body("SchemaNotFound", _named_target(request))],
    ),
    "unknown_target_invalid_json": (
        "An unknown target with a body that is not JSON gets InvalidJSON",
        lambda request: [_NO_JSON],
    ),
    "no_body": (
        "A missing body gets MissingTargetFunction",
        lambda request: [_error_body("MissingTargetFunction", _named_target(request))],
    ),
    "invalid_json": ("A body that is not JSON gets InvalidJSON", lambda request: [_NO_JSON]),
    "missing_key": ("A missing key gets InvalidJSON, which names it", _expect_missing_key),
    "wrong_type": ("An argument of a wrong type gets InvalidJSON, which names it", _expect_wrong_type),
    "large_body": (
        "A body over 8,000,000 bytes gets 413, or the same response as a shorter one",
        lambda request: [*_TOO_LARGE, *_expect_missing_key(request)],
    ),
    "options": (
        "OPTIONS gets 200 and no body, or what any method other than POST gets",
        lambda request: [_ExpectedResponse(status=200), _WRONG_METHOD],
    ),
}
"""The table of wrong requests: the title of each row's requirement, and what its requests may get."""


def _requirement_of_row(row: str, title: str) -> Requirement:
    return Requirement(
        id=shape_id(row),
        level=Level.HABIT,
        title=title,
        reason="It shows clients and their authors what the mistake is.",
        grounds="Inferred from the open-source dispatcher: that Sora uses it is documented nowhere.",
        source=DISPATCHER_SOURCE,
        needs=NEEDS_PROBES | {RequiredCapability.LARGE_PROBE} if row == "large_body" else NEEDS_PROBES,
        message="{request} gets status {status}",
        masked_by="a 5xx status, or a body that is neither JSON nor empty",
    )


ERROR_SHAPES: Final = {shape_id(row): _requirement_of_row(row, title) for row, (title, _) in _TABLE.items()}
"""The requirements on the exact shape of an error by id, in the order of the table."""

LARGE_BODY: Final = ERROR_SHAPES[shape_id("large_body")]

_EXPECTATIONS: Final = {shape_id(row): expected for row, (_, expected) in _TABLE.items()}


class WrongRequestCheck(Check):
    """Judges how a server refuses requests that are wrong on purpose."""

    requirements: tuple[Requirement, ...] = (NO_5XX, JSON_OR_EMPTY, *ERROR_SHAPES.values())
    stage = Stage.WRONG_REQUESTS

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        checked, found = check_probe_response(seen.exchange)
        for requirement in checked:
            state.count(requirement)
        return found


def check_probe_response(exchange: Exchange) -> tuple[list[Requirement], list[Violation]]:
    """
    Compare the response to a wrong request with the table of expected responses.

    Returns:
        The requirements that were checked, and the violations. Both are empty if `request.probe` is not set, or if
        there is no response (which `http.complete` reports). Of a cut response only the status is judged.
    """
    response, probe = exchange.response, exchange.request.probe
    if probe is None or response is None:
        return [], []
    if response.status >= 500:
        return [NO_5XX], [_make_violation(exchange, NO_5XX, "status", "a status below 500", str(response.status))]
    if not response.complete or response.withheld:
        return [NO_5XX], []
    value: object = _EMPTY_BODY
    if response.body:
        try:
            value = strict_json.parse_strict_json(response.body).value
        except strict_json.JsonLimitError:
            return [NO_5XX], []
        except strict_json.StrictJsonError as error:
            if has_fault(exchange, "surplus"):
                return [NO_5XX], []  # its Content-Length cut it, which is already a finding
            found = f"{_describe_response(response)} ({describe_body_fault(exchange, str(error))})"
            return [NO_5XX, JSON_OR_EMPTY], [
                _make_violation(exchange, JSON_OR_EMPTY, "not json", "JSON or no body", found)
            ]
    checked = [NO_5XX, JSON_OR_EMPTY]
    rule = _EXPECTATIONS.get(probe)
    if rule is None:
        return checked, []
    shape = ERROR_SHAPES[probe]
    return [*checked, shape], _check_error_shape(exchange, shape, value, rule(exchange.request))


def _check_error_shape(
    exchange: Exchange, probe: Requirement, value: object, allowed: list[_ExpectedResponse]
) -> list[Violation]:
    response = exchange.response
    assert response is not None
    expected = " or ".join(str(each) for each in allowed)
    candidates = [each for each in allowed if each.status == response.status]
    if not candidates:
        return [_make_violation(exchange, probe, "status", expected, _describe_response(response))]
    places = [place for each in candidates if (place := _first_difference(each.body, value)) is not None]
    if len(places) == len(candidates):
        place = max(places, key=len)  # the most similar expected response
        return [_make_violation(exchange, probe, "body", expected, _describe_response(response), place)]
    # How the body is framed doesn't matter: a proxy may send it in chunks, or until the close.
    labels = ", ".join(header_values(response.headers, "content-type"))
    if response.body and "application/json" not in media_types(labels):
        actual = response.header("content-type") or "no Content-Type"
        return [_make_violation(exchange, probe, "content-type", "Content-Type: application/json", actual)]
    return []


_DIFFERENCE_TEXTS: Final = {
    "status": "{status}",
    "not json": "{status} and a body that is no JSON",
    "body": "{status} with another body",
    "content-type": "{status} under another Content-Type",
}
"""Classes of fault, and how a message tells them with the status."""


def _make_violation(
    exchange: Exchange, requirement: Requirement, fault: str, expected: str, actual: str, place: Place = ()
) -> Violation:
    response = exchange.response
    assert response is not None, "it is the response that is wrong"
    status = _DIFFERENCE_TEXTS[fault].format(status=response.status)
    return Violation(
        requirement=requirement,
        exchange=exchange,
        place=place,
        expected=expected,
        actual=actual,
        fault=fault,
        facts={"request": describe_request(exchange.request), "status": status},
    )


# Comparing and showing.


def _first_difference(
    expected: object, value: object, path: tuple[str | int, ...] = ()
) -> tuple[str | int, ...] | None:
    """The place of the first difference, or None. True differs from 1, and so does 1.0."""
    if expected is _ANY_OBJECT:
        return None if isinstance(value, dict) else path
    if type(expected) is not type(value):
        return path
    if isinstance(expected, dict):
        assert isinstance(value, dict), "they are of one type"
        if unlike := sorted(expected.keys() ^ value.keys()):
            return (*path, unlike[0])
        pairs: Iterable[tuple[str | int, object, object]] = ((key, expected[key], value[key]) for key in expected)
    elif isinstance(expected, list):
        assert isinstance(value, list), "they are of one type"
        if len(expected) != len(value):
            return path
        pairs = ((i, *pair) for i, pair in enumerate(zip(expected, value, strict=True)))
    else:
        return None if expected == value else path
    return next((place for key, a, b in pairs if (place := _first_difference(a, b, (*path, key))) is not None), None)


def _compact(value: object) -> str:
    if isinstance(value, _AnyBody):
        return value.value
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_compact(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _describe_response(response: Response) -> str:
    return f"{response.status} {_excerpt(response.body)}"


def describe_request(request: Request) -> str:
    """A wrong request in one line."""
    named = " and ".join(f"target {value!r}" for value in header_values(request.headers, TARGET_HEADER)) or "no target"
    body = "no body" if request.body is None else f"body {_excerpt(request.body, 80)}"
    return f"{request.method} {request.path} sent with {named} and {body}"


def _excerpt(data: bytes, limit: int = _SHOWN_BYTES) -> str:
    if not data:
        return "no body"
    text = data[:limit].decode("utf-8", "backslashreplace")
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return text if len(data) <= limit else f"{text}… ({len(data)} bytes)"
