"""
Faults of complete responses to valid requests: status, headers, and bytes that are no JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from ..fault_interface import RequestContext, SimulatedResponse
from ..world import SimulatedConnection, SimulatedWorld
from .fault_kind import FaultKind, HookedFault, make_response_fault, make_strike_counter
from .parameters import FaultParameters, parse_integer_parameter

_GATEWAY_ERROR_PAGE: Final = b"<!DOCTYPE html><title>502 Bad Gateway</title><h1>Bad Gateway</h1>"


def _build_from_change(
    change: Callable[[FaultParameters, SimulatedResponse], SimulatedResponse],
) -> Callable[[FaultParameters], HookedFault]:
    def build(parameters: FaultParameters) -> HookedFault:
        return make_response_fault(lambda _, reply: change(parameters, reply), make_strike_counter(parameters))

    return build


def _with_content_type(reply: SimulatedResponse, content_type: str) -> SimulatedResponse:
    return replace(reply, headers=(("content-type", content_type),))


def _duplicate(parameters: FaultParameters, reply: SimulatedResponse) -> SimulatedResponse:
    start = reply.body.find(b'"total_received_dtls":')
    if start < 0:
        return reply
    end = start + len(b'"total_received_dtls":')
    while reply.body[end : end + 1].isdigit():
        end += 1
    return reply.with_body(reply.body[:start] + reply.body[start:end] + b"," + reply.body[start:])


def _lying_length(parameters: FaultParameters, reply: SimulatedResponse) -> SimulatedResponse:
    length = str(len(reply.body) + 7)
    return replace(reply, headers=(*reply.headers, ("content-length", length), ("transfer-encoding", "chunked")))


def _deep(parameters: FaultParameters) -> HookedFault:
    depth = parse_integer_parameter(parameters, "depth")
    return make_response_fault(
        lambda _, reply: reply.with_body(b"[" * depth + b"]" * depth), make_strike_counter(parameters)
    )


def _crash(parameters: FaultParameters, reply: SimulatedResponse) -> SimulatedResponse:
    return replace(_with_content_type(reply, "application/json"), status=500, body=b'{"error_type":"InternalError"}')


def _not_found(parameters: FaultParameters) -> HookedFault:
    strikes = make_strike_counter(parameters)

    def found(
        call: RequestContext, world: SimulatedWorld, given: Sequence[SimulatedConnection]
    ) -> Sequence[SimulatedConnection]:
        missing = call.operation == "GetStatsConnection" and given and strikes("")
        return [] if missing else given

    return HookedFault(found=found)


def _make_response_fault_kind(
    name: str, description: str, trips: str, build: Callable[[FaultParameters], HookedFault], **parameters: str
) -> FaultKind:
    return FaultKind(
        name=name,
        description=description,
        violated_requirements=frozenset(trips.split()),
        build=build,
        own_parameters=parameters,
    )


RESPONSE_FAULT_KINDS: Final = (
    _make_response_fault_kind(
        "unavailable",
        "503 with a body that is good JSON, now and then",
        "http.status",
        _build_from_change(lambda _, reply: replace(reply, status=503)),
        every="7",
    ),
    _make_response_fault_kind("crash", "500 now and then", "http.status", _build_from_change(_crash), every="7"),
    _make_response_fault_kind(
        "text-plain",
        "a body labelled as plain text",
        "http.content_type",
        _build_from_change(lambda _, reply: _with_content_type(reply, "text/plain")),
        every="5",
    ),
    _make_response_fault_kind(
        "bom",
        "a byte order mark before the JSON",
        "http.json",
        _build_from_change(lambda _, reply: reply.with_body(b"\xef\xbb\xbf" + reply.body)),
        every="5",
    ),
    _make_response_fault_kind(
        "nan",
        "NaN where a number should be",
        "http.json",
        _build_from_change(
            lambda _, reply: reply.with_body(reply.body.replace(b'"total_received_dtls":', b'"x":NaN,"y":', 1))
        ),
        every="5",
    ),
    _make_response_fault_kind(
        "deep", "a body that is nested very deeply", "http.json", _deep, every="5", depth="100000"
    ),
    _make_response_fault_kind(
        "html",
        "a proxy's page with status 200",
        "http.content_type http.json",
        _build_from_change(lambda _, reply: replace(_with_content_type(reply, "text/html"), body=_GATEWAY_ERROR_PAGE)),
        every="6",
    ),
    _make_response_fault_kind(
        "duplicate-key", "a key stands twice", "http.duplicate_key", _build_from_change(_duplicate), every="1"
    ),
    _make_response_fault_kind(
        "lying-length",
        "chunked, with a Content-Length that is not the body's",
        "http.length",
        _build_from_change(_lying_length),
        every="5",
    ),
    _make_response_fault_kind(
        "not-found", "a connection that is there is not found now and then", "identity.present", _not_found, every="3"
    ),
)
