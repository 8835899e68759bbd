"""
Faults of the bytes on the wire, which no HTTP server library would send: a relay in front makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .kinds import FaultKind, Hooks, turn
from .parameters import Parameters, seconds


def _mangles(way: str) -> Callable[[Parameters], Hooks]:
    def build(parameters: Parameters) -> Hooks:
        strikes = turn(parameters)
        mangle = (way, seconds(parameters, "pause") if "pause" in parameters else 0.0)
        return Hooks(transport=lambda: mangle if strikes("") else None)

    return build


def _kind(name: str, description: str, trips: str, **parameters: str) -> FaultKind:
    return FaultKind(
        name=name,
        description=description,
        trips=frozenset(trips.split()),
        build=_mangles(name),
        own={"every": "20"} | parameters,
        relayed=True,
    )


KINDS: Final = (
    _kind("hang", "no answer, and the connection stays open", "http.complete", every="20"),
    _kind("drip", "a byte now and then", "http.complete", every="20", pause="0.2"),
    _kind("cut", "half of the body, then the end", "http.complete"),
    _kind("connection-reset", "half of the body, then a reset", "http.complete", pause="0.01"),
    _kind("too-long", "a Content-Length that is larger than the body", "http.complete"),
    _kind("too-short", "a Content-Length that is smaller than the body", "http.json"),
    _kind("garbage", "bytes that are no HTTP", "http.complete"),
    _kind("endless-headers", "header lines without end", "http.complete", every="20"),
    _kind("huge", "a body that never ends", "http.complete", every="40"),
    _kind("two-answers", "the answer twice in one go; only a client that keeps connections can tell", ""),
    _kind("late-answer", "an answer after the client has given up", "http.complete", every="20", pause="6"),
)
