"""
Faults of whole answers to valid requests: status, headers, and bytes that are no JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from ..calls import Call, Reply
from ..world import Connection, World
from .kinds import FaultKind, Hooks, each_reply, turn
from .parameters import Parameters, number

_PAGE: Final = b"<!DOCTYPE html><title>502 Bad Gateway</title><h1>Bad Gateway</h1>"


def _changed(change: Callable[[Parameters, Reply], Reply]) -> Callable[[Parameters], Hooks]:
    def build(parameters: Parameters) -> Hooks:
        return each_reply(lambda _, reply: change(parameters, reply), turn(parameters))

    return build


def _typed(reply: Reply, content_type: str) -> Reply:
    return replace(reply, headers=(("content-type", content_type),))


def _duplicate(parameters: Parameters, reply: Reply) -> Reply:
    start = reply.body.find(b'"total_received_dtls":')
    if start < 0:
        return reply
    end = start + len(b'"total_received_dtls":')
    while reply.body[end : end + 1].isdigit():
        end += 1
    return reply.with_body(reply.body[:start] + reply.body[start:end] + b"," + reply.body[start:])


def _lying_length(parameters: Parameters, reply: Reply) -> Reply:
    length = str(len(reply.body) + 7)
    return replace(reply, headers=(*reply.headers, ("content-length", length), ("transfer-encoding", "chunked")))


def _deep(parameters: Parameters) -> Hooks:
    depth = number(parameters, "depth")
    return each_reply(lambda _, reply: reply.with_body(b"[" * depth + b"]" * depth), turn(parameters))


def _crash(parameters: Parameters, reply: Reply) -> Reply:
    return replace(_typed(reply, "application/json"), status=500, body=b'{"error_type":"InternalError"}')


def _not_found(parameters: Parameters) -> Hooks:
    strikes = turn(parameters)

    def found(call: Call, world: World, given: Sequence[Connection]) -> Sequence[Connection]:
        missing = call.operation == "GetStatsConnection" and given and strikes("")
        return [] if missing else given

    return Hooks(found=found)


def _kind(
    name: str, description: str, trips: str, build: Callable[[Parameters], Hooks], **parameters: str
) -> FaultKind:
    return FaultKind(name=name, description=description, trips=frozenset(trips.split()), build=build, own=parameters)


KINDS: Final = (
    _kind("unavailable", "503 with a body that is good JSON, now and then", "http.status",
          _changed(lambda _, reply: replace(reply, status=503)), every="7"),
    _kind("crash", "500 now and then", "http.status", _changed(_crash), every="7"),
    _kind("text-plain", "a body labelled as plain text", "http.content_type",
          _changed(lambda _, reply: _typed(reply, "text/plain")), every="5"),
    _kind("bom", "a byte order mark before the JSON", "http.json",
          _changed(lambda _, reply: reply.with_body(b"\xef\xbb\xbf" + reply.body)), every="5"),
    _kind("nan", "NaN where a number should be", "http.json",
          _changed(lambda _, reply: reply.with_body(reply.body.replace(b'"total_received_dtls":', b'"x":NaN,"y":', 1))),
          every="5"),
    _kind("deep", "a body that is nested very deeply", "http.json", _deep, every="5", depth="100000"),
    _kind("html", "a proxy's page with status 200", "http.content_type http.json",
          _changed(lambda _, reply: replace(_typed(reply, "text/html"), body=_PAGE)), every="6"),
    _kind("duplicate-key", "a key stands twice", "http.duplicate_key", _changed(_duplicate), every="1"),
    _kind("lying-length", "chunked, with a Content-Length that is not the body's", "http.length",
          _changed(_lying_length), every="5"),
    _kind("not-found", "a connection that is there is not found now and then", "identity.present", _not_found,
          every="3"),
)  # fmt: skip
