"""Faults of complete responses to valid requests: status, headers, and bytes that are not JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..fault_interface import Connections, Fault, ReceivedRequest, SimulatedResponse
from ..request_parser import make_json_response
from ..world import SimulatedWorld
from .fault_kind import FaultFamily, make_response_fault
from .parameters import FaultParameters

FAULTS: Final = FaultFamily()

_GATEWAY_ERROR_PAGE: Final = b"<!DOCTYPE html><title>502 Bad Gateway</title><h1>Bad Gateway</h1>"


def _add_fault(
    name: str, description: str, violates: str, every: int, change: Callable[[SimulatedResponse], SimulatedResponse]
) -> None:
    def build(parameters: FaultParameters) -> Fault:
        return make_response_fault(change, parameters.strikes())

    FAULTS.fault(name, description, violates, own={"every": str(every)})(build)


def _with_content_type(response: SimulatedResponse, content_type: str) -> SimulatedResponse:
    return replace(response, headers=(("content-type", content_type),))


def _with_nan(response: SimulatedResponse) -> SimulatedResponse:
    return response.with_body(response.body.replace(b'"total_received_dtls":', b'"x":NaN,"y":', 1))


def _with_duplicate_key(response: SimulatedResponse) -> SimulatedResponse:
    body, key = response.body, b'"total_received_dtls":'
    start = body.find(key)
    if start < 0:
        return response
    end = start + len(key)
    while body[end : end + 1].isdigit():
        end += 1
    return response.with_body(body[:end] + b"," + body[start:])


def _with_wrong_length(response: SimulatedResponse) -> SimulatedResponse:
    length = str(len(response.body) + 7)
    return replace(response, headers=(*response.headers, ("content-length", length), ("transfer-encoding", "chunked")))


def _as_gateway_page(response: SimulatedResponse) -> SimulatedResponse:
    return replace(_with_content_type(response, "text/html"), body=_GATEWAY_ERROR_PAGE)


_add_fault(
    "unavailable",
    "503 with a valid JSON body, now and then",
    "http.status",
    7,
    lambda response: replace(response, status=503),
)
_add_fault(
    "crash", "500 now and then", "http.status", 7, lambda _: make_json_response(500, {"error_type": "InternalError"})
)
_add_fault(
    "text-plain",
    "a body labelled as plain text",
    "http.content_type",
    5,
    lambda response: _with_content_type(response, "text/plain"),
)
_add_fault(
    "bom",
    "a byte order mark before the JSON",
    "http.json",
    5,
    lambda response: response.with_body(b"\xef\xbb\xbf" + response.body),
)
_add_fault("nan", "NaN where a number should be", "http.json", 5, _with_nan)
_add_fault("html", "a proxy's page with status 200", "http.content_type http.json", 6, _as_gateway_page)
_add_fault("duplicate-key", "a key is repeated", "http.duplicate_key", 1, _with_duplicate_key)
_add_fault(
    "lying-length", "chunked, with a Content-Length that is not the body's", "http.length", 5, _with_wrong_length
)


@FAULTS.fault("deep", "a body that is nested very deeply", "http.json_limits", own={"every": "5", "depth": "100000"})
def _build_deep(parameters: FaultParameters) -> Fault:
    depth = parameters.integer("depth")
    return make_response_fault(lambda response: response.with_body(b"[" * depth + b"]" * depth), parameters.strikes())


@FAULTS.fault("unlisted", "listings lack all but the first connection of each client", "identity.listed")
def _build_unlisted(parameters: FaultParameters) -> Fault:
    def on_connections(call: ReceivedRequest, world: SimulatedWorld, found: Connections) -> Connections:
        if call.operation != "GetStatsAllConnections":
            return found
        return list({(each.channel_id, each.client_id): each for each in reversed(found)}.values())[::-1]

    return Fault(on_connections=on_connections)


@FAULTS.fault("not-found", "an existing connection is not found now and then", "identity.present", own={"every": "3"})
def _build_not_found(parameters: FaultParameters) -> Fault:
    strikes = parameters.strikes()

    def on_connections(call: ReceivedRequest, world: SimulatedWorld, found: Connections) -> Connections:
        return [] if call.operation == "GetStatsConnection" and found and strikes() else found

    return Fault(on_connections=on_connections)
