"""
Faults of the bytes on the wire that no HTTP server library would send; the relay in front of the server causes them.
"""

from __future__ import annotations

from typing import Final

from ..fault_interface import Fault
from .fault_kind import FaultFamily
from .parameters import FaultParameters

FAULTS: Final = FaultFamily()


def _add_fault(name: str, description: str, violates: str, *, kept: bool = False, **own: str) -> None:
    def build(parameters: FaultParameters) -> Fault:
        strikes = parameters.strikes()
        action = (name, parameters.seconds("pause") if "pause" in parameters else 0.0)
        return Fault(transport=lambda: action if strikes() else None)

    FAULTS.fault(name, description, violates, own={"every": "20"} | own, needs_relay=True, needs_kept_connections=kept)(
        build
    )


_add_fault("hang", "no response, and the connection stays open", "http.complete")
_add_fault("drip", "a byte now and then", "http.complete", pause="0.2")
_add_fault("cut", "half of the body, then the end", "http.complete")
_add_fault("connection-reset", "half of the body, then a reset", "http.complete", pause="0.01")
_add_fault("too-long", "a Content-Length that is larger than the body", "http.complete")
_add_fault("too-short", "a Content-Length that is smaller than the body", "http.length")
_add_fault("garbage", "bytes that are not HTTP", "http.complete")
_add_fault("endless-headers", "header lines without end", "http.complete")
_add_fault("huge", "a body that never ends", "http.complete", every="40")
_add_fault("two-responses", "the response twice in one go", "http.length")
_add_fault("late-response", "a response after the client has given up", "http.complete", pause="6")
_add_fault("two-types", "a second Content-Type, another one", "http.header")
_add_fault("bare-lf", "a head whose lines end with LF alone", "http.framing")
_add_fault("http-1-0", "HTTP/1.0, without a Content-Length, until the close", "http.unusual", every="1")
_add_fault(
    "closes-silently",
    "after a response the connection is closed under the next request",
    "http.keep_alive",
    kept=True,
    every="2",
)
