"""
Faults of the bytes on the wire, which no HTTP server library would send: a relay in front makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .fault_kind import FaultKind, HookedFault, make_strike_counter
from .parameters import FaultParameters, parse_seconds_parameter


def _build_relay_fault(way: str) -> Callable[[FaultParameters], HookedFault]:
    def build(parameters: FaultParameters) -> HookedFault:
        strikes = make_strike_counter(parameters)
        mangle = (way, parse_seconds_parameter(parameters, "pause") if "pause" in parameters else 0.0)
        return HookedFault(transport=lambda: mangle if strikes("") else None)

    return build


def _make_transport_fault_kind(name: str, description: str, trips: str, **parameters: str) -> FaultKind:
    return FaultKind(
        name=name,
        description=description,
        violated_requirements=frozenset(trips.split()),
        build=_build_relay_fault(name),
        own_parameters={"every": "20"} | parameters,
        needs_relay=True,
    )


TRANSPORT_FAULT_KINDS: Final = (
    _make_transport_fault_kind("hang", "no response, and the connection stays open", "http.complete", every="20"),
    _make_transport_fault_kind("drip", "a byte now and then", "http.complete", every="20", pause="0.2"),
    _make_transport_fault_kind("cut", "half of the body, then the end", "http.complete"),
    _make_transport_fault_kind("connection-reset", "half of the body, then a reset", "http.complete", pause="0.01"),
    _make_transport_fault_kind("too-long", "a Content-Length that is larger than the body", "http.complete"),
    _make_transport_fault_kind("too-short", "a Content-Length that is smaller than the body", "http.json"),
    _make_transport_fault_kind("garbage", "bytes that are no HTTP", "http.complete"),
    _make_transport_fault_kind("endless-headers", "header lines without end", "http.complete", every="20"),
    _make_transport_fault_kind("huge", "a body that never ends", "http.complete", every="40"),
    _make_transport_fault_kind(
        "two-responses", "the response twice in one go; only a client that keeps connections can tell", ""
    ),
    _make_transport_fault_kind(
        "late-response", "a response after the client has given up", "http.complete", every="20", pause="6"
    ),
)
