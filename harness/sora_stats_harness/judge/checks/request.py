"""
Wrong requests: how a server says no.

Two things are due to every caller and are MUST: no 5xx for the caller's own mistake, and JSON or nothing. The exact shape
was measured on the open-source dispatcher whose headers and error shape the API shares; that Sora uses it is an
inference, so the shape is SHOULD. What is expected follows from the request alone. One fault gives one finding: an
answer that already misses a MUST here is not held against the shape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ...api import strict_json
from ...api.edition import pointer
from ...api.exchange import HEADER, Answer, Exchange, Request, Target
from ..requirements import REQUIREMENTS, Finding

NO_5XX: Final = "request.no_5xx"
JSON_OR_EMPTY: Final = "request.json_or_empty"

_SHOWN_BYTES: Final = 200


class _Special(Enum):
    EMPTY = "no body"
    OBJECT = "{…}"
    """Any JSON object."""


_EMPTY: Final = _Special.EMPTY
_OBJECT: Final = _Special.OBJECT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """An answer that is as it should be; in `body`, _OBJECT stands for any object."""

    status: int
    body: object = _EMPTY

    def __str__(self) -> str:
        return f"{self.status} {_compact(self.body)}"


def check(exchange: Exchange) -> tuple[list[str], list[Finding]]:
    """
    Hold the answer to a wrong request against the table of wrong requests.

    Returns:
        The ids of the requirements that were checked, and the findings. Both are empty where `request.probe` is not set,
        and where there is no answer (that is `http.complete`'s). Of a cut answer only the status counts.
    """
    answer, probe = exchange.answer, exchange.request.probe
    if probe is None or answer is None:
        return [], []
    if answer.status >= 500:
        return [NO_5XX], [_finding(exchange, NO_5XX, "status", "a status below 500", str(answer.status), "")]
    if not answer.complete or answer.withheld:
        return [NO_5XX], []
    value: object = _EMPTY
    if answer.body:
        try:
            value = strict_json.parse(answer.body).value
        except strict_json.NotJson as error:
            found = f"{_show(answer)} ({error})"
            return [NO_5XX, JSON_OR_EMPTY], [
                _finding(exchange, JSON_OR_EMPTY, "not json", "JSON or no body", found, "")
            ]
    checked = [NO_5XX, JSON_OR_EMPTY]
    rule = _ROWS.get(probe)
    if rule is None:
        return checked, []
    return [*checked, probe], _shape(exchange, answer, value, rule(exchange.request))


def _shape(exchange: Exchange, answer: Answer, value: object, allowed: list[_Expected]) -> list[Finding]:
    probe = exchange.request.probe
    assert probe is not None
    expected = " or ".join(str(each) for each in allowed)
    candidates = [each for each in allowed if each.status == answer.status]
    if not candidates:
        return [_finding(exchange, probe, "status", expected, _show(answer), "")]
    places = [place for each in candidates if (place := _differs(each.body, value)) is not None]
    if len(places) == len(candidates):
        place = max(places, key=len)  # the nearest miss
        return [_finding(exchange, probe, "body", expected, _show(answer), pointer(place))]
    media_type = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    if answer.body and media_type != "application/json":
        actual = answer.header("content-type") or "no Content-Type"
        return [_finding(exchange, probe, "content-type", "Content-Type: application/json", actual, "")]
    length = answer.header("content-length")
    if length is None or length.strip() != str(len(answer.body)):
        wanted = f"Content-Length: {len(answer.body)}"
        return [_finding(exchange, probe, "content-length", wanted, length or "no Content-Length", "")]
    return []


_MISSES: Final = {
    "status": "is answered with another status",
    "not json": "is answered with a body that is no JSON",
    "body": "is answered with another body",
    "content-type": "is answered under another Content-Type",
    "content-length": "is answered with another Content-Length",
}
"""Classes of fault, and how a message tells them."""


def _finding(exchange: Exchange, requirement: str, fault: str, expected: str, actual: str, place: str) -> Finding:
    return Finding(
        requirement=requirement,
        level=REQUIREMENTS[requirement].level,
        target=None,
        field="",
        pointer=place,
        connection_id=None,
        message=f"{_describe(exchange.request)} {_MISSES[fault]}",
        expected=expected,
        actual=actual,
        fault=fault,
        exchanges=(exchange,),
    )


# What the table says, row by row: from the request to the answers that are right.


def _path(request: Request) -> list[_Expected]:
    return _unknown_service(request) if request.path.startswith("/?") else [_Expected(status=404)]


def _method(request: Request) -> list[_Expected]:
    return [_Expected(status=400, body={"type": "UnexpectedMethod"})]


def _options(request: Request) -> list[_Expected]:
    return [_Expected(status=200), *_method(request)]


def _no_target(request: Request) -> list[_Expected]:
    return [_Expected(status=400, body={"type": "MissingHeaderName"})]


def _malformed_target(request: Request) -> list[_Expected]:
    return [_error("MissingService")]


def _unknown_service(request: Request) -> list[_Expected]:
    return [_error("InvalidTarget")]


def _unknown_target(request: Request) -> list[_Expected]:
    return [_error("MissingTarget")]


def _unknown_target_json(request: Request) -> list[_Expected]:
    return [_error("SchemaNotFound", _named(request))]


def _no_body(request: Request) -> list[_Expected]:
    return [_error("MissingTargetFunction", _named(request))]


def _invalid_json(request: Request) -> list[_Expected]:
    return [_error("InvalidJSON", [{"invalid": "parse"}])]


def _missing_key(request: Request) -> list[_Expected]:
    arguments = _arguments(request)
    return [
        _invalid_data(data=key, error="missing_required_property", path=[])
        for key in _REQUIRED.get(_target(request), ())
        if key not in arguments
    ]


def _wrong_type(request: Request) -> list[_Expected]:
    return [
        _invalid_data(data=value, error="wrong_type", path=[key])
        for key, value in _arguments(request).items()
        if not isinstance(value, bool if key == "local" else str)
    ]


def _large_body(request: Request) -> list[_Expected]:
    """Newer servers have a limit; older ones read it all and miss the key that the probe leaves out."""
    return [_Expected(status=413), _Expected(status=413, body=_OBJECT), *_missing_key(request)]


_ROWS: Final[Mapping[str, Callable[[Request], list[_Expected]]]] = {
    f"request.shape.{rule.__name__[1:]}": rule
    for rule in (
        _path,
        _method,
        _no_target,
        _malformed_target,
        _unknown_service,
        _unknown_target,
        _unknown_target_json,
        _no_body,
        _invalid_json,
        _missing_key,
        _wrong_type,
        _large_body,
        _options,
    )
} | {"request.shape.unknown_target_invalid_json": _invalid_json}

_REQUIRED: Final = {
    Target.CONNECTION.value: ("channel_id", "connection_id"),
    Target.CLIENT.value: ("channel_id", "client_id"),
}


def _error(error_type: str, reason: object = _EMPTY) -> _Expected:
    body: dict[str, object] = {"error_type": error_type}
    return _Expected(status=400, body=body if reason is _EMPTY else body | {"error_reason": reason})


def _invalid_data(*, data: object, error: str, path: list[str]) -> _Expected:
    """The schema in it is the server's own, of which only the measured dispatcher's is known: any object will do."""
    reason = {"data": data, "error": error, "invalid": "data", "path": path, "schema": _OBJECT}
    return _error("InvalidJSON", [reason])


def _target(request: Request) -> str:
    return next((value for name, value in request.headers if name.lower() == HEADER), "")


def _named(request: Request) -> object:
    parts = re.fullmatch(r"([A-Za-z]+)_([0-9]{8})\.([A-Za-z]+)", _target(request))
    return dict(zip(("service", "version", "operation"), parts.groups(), strict=True)) if parts else _OBJECT


def _arguments(request: Request) -> dict[str, object]:
    value = json.loads(request.body or b"{}")
    return value if isinstance(value, dict) else {}


# Comparing and showing.


def _differs(expected: object, value: object, path: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
    """The place of the first difference, or None. True is not 1, and 1.0 is not 1."""
    if expected is _OBJECT:
        return None if isinstance(value, dict) else path
    if type(expected) is not type(value):
        return path
    if isinstance(expected, dict) and isinstance(value, dict):
        if unlike := sorted(expected.keys() ^ value.keys()):
            return (*path, unlike[0])
        pairs: Iterable[tuple[str | int, object, object]] = ((key, expected[key], value[key]) for key in expected)
    elif isinstance(expected, list) and isinstance(value, list):
        if len(expected) != len(value):
            return path
        pairs = ((i, *pair) for i, pair in enumerate(zip(expected, value, strict=True)))
    else:
        return None if expected == value else path
    return next((place for key, a, b in pairs if (place := _differs(a, b, (*path, key))) is not None), None)


def _compact(value: object) -> str:
    if isinstance(value, _Special):
        return value.value
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_compact(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _show(answer: Answer) -> str:
    return f"{answer.status} {_excerpt(answer.body)}"


def _describe(request: Request) -> str:
    targets = [value for name, value in request.headers if name.lower() == HEADER]
    named = " and ".join(f"target {value!r}" for value in targets) or "no target"
    body = "no body" if request.body is None else f"body {_excerpt(request.body, 80)}"
    return f"{request.method} {request.path} with {named} and {body}"


def _excerpt(data: bytes, limit: int = _SHOWN_BYTES) -> str:
    if not data:
        return "no body"
    text = data[:limit].decode("utf-8", "backslashreplace")
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return text if len(data) <= limit else f"{text}… ({len(data)} bytes)"
