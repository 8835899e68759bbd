"""
The requests that are wrong on purpose, as data.

Each row of the table of wrong requests is a requirement of its own (`request.shape.<row>`), with one or more variants.
None can do harm: a statistics target is sent only with a body that lacks something, and every other target is one of the
invented names of `targets`. What the answer has to be is none of this module's business: `checks.request` works it out
from the request itself, so that a recording can be judged as well.

Left out, because HTTP libraries rightly refuse to write them: a target with white space after it, and a request without
a Host header.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ..api.exchange import HEADER, Headers, Request, Target
from ..api.targets import MALFORMED, NO_SUCH_PATH, QUERY_PATH, UNKNOWN_OPERATION, UNKNOWN_SERVICE, UNKNOWN_VERSION

LARGE_BYTES: Final = 8_000_001
"""One more than the measured dispatcher reads."""

_CHANNEL: Final = "sora-harness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """
    One wrong request.

    `row` is the last part of the requirement's id; `targets` are the values of the target header, none, one or several;
    `real` is the statistics target among them, if it is one.
    """

    row: str
    targets: tuple[str, ...] = ()
    body: bytes | None = None
    method: str = "POST"
    path: str = "/"
    headers: Headers = ()
    real: Target | None = None

    def request(self, server: str, headers: Headers = ()) -> Request:
        """Build the request, with `headers` sent besides."""
        content: Headers = (("Content-Type", "application/json"),) if self.body is not None else ()
        return Request(
            server=server,
            method=self.method,
            path=self.path,
            headers=(*((HEADER, value) for value in self.targets), *content, *self.headers, *headers),
            body=self.body,
            target=None,
            probe=f"request.shape.{self.row}",
        )


def _invented(row: str, target: str, body: bytes | None = None) -> Probe:
    return Probe(row=row, targets=(target,), body=body)


def _real(row: str, target: Target, body: bytes | None = None) -> Probe:
    return Probe(row=row, targets=(target.value,), body=body, real=target)


def _wrong_type(target: Target, arguments: dict[str, object]) -> Probe:
    return _real("wrong_type", target, json.dumps(arguments, separators=(",", ":")).encode())


PROBES: Final = (
    Probe(row="path", path=NO_SUCH_PATH, targets=(UNKNOWN_SERVICE,)),
    Probe(row="path", path=QUERY_PATH, targets=(UNKNOWN_SERVICE,)),
    Probe(row="method", method="GET", targets=(UNKNOWN_SERVICE,)),
    Probe(row="method", method="PUT", targets=(UNKNOWN_SERVICE,), body=b"{}"),
    Probe(row="no_target"),
    Probe(row="no_target", body=b"{}"),
    *(_invented("malformed_target", value) for value in MALFORMED),
    Probe(row="malformed_target", targets=(UNKNOWN_SERVICE, UNKNOWN_SERVICE)),
    _invented("unknown_service", UNKNOWN_SERVICE),
    _invented("unknown_service", UNKNOWN_SERVICE, b"{}"),
    _invented("unknown_target", UNKNOWN_OPERATION),
    _invented("unknown_target", UNKNOWN_VERSION),
    _invented("unknown_target_json", UNKNOWN_OPERATION, b"{}"),
    _invented("unknown_target_json", UNKNOWN_VERSION, b'{"channel_id":"sora-harness"}'),
    _invented("unknown_target_invalid_json", UNKNOWN_OPERATION, b"{"),
    _invented("unknown_target_invalid_json", UNKNOWN_VERSION, b" "),
    _real("no_body", Target.CONNECTION),
    _real("no_body", Target.CLIENT),
    _real("invalid_json", Target.CONNECTION, b'{"channel_id":"sora-harness",'),
    _real(
        "invalid_json", Target.CONNECTION, b'\xef\xbb\xbf{"channel_id":"sora-harness","connection_id":"sora-harness"}'
    ),
    _real("invalid_json", Target.CLIENT, b" \t\r\n"),
    _real("invalid_json", Target.CLIENT, b"channel_id=sora-harness&client_id=sora-harness"),
    _real("invalid_json", Target.ALL, b"\n"),
    _real("invalid_json", Target.ALL, b'{"local":False}'),
    _real("missing_key", Target.CONNECTION, b'{"channel_id":"sora-harness"}'),
    _real("missing_key", Target.CONNECTION, b'{"connection_id":"sora-harness"}'),
    _real("missing_key", Target.CONNECTION, b"{}"),
    _real("missing_key", Target.CLIENT, b'{"channel_id":"sora-harness"}'),
    _real("missing_key", Target.CLIENT, b'{"client_id":"sora-harness"}'),
    _wrong_type(Target.CONNECTION, {"channel_id": 1, "connection_id": _CHANNEL}),
    _wrong_type(Target.CONNECTION, {"channel_id": _CHANNEL, "connection_id": None}),
    _wrong_type(Target.CLIENT, {"channel_id": True, "client_id": _CHANNEL}),
    _wrong_type(Target.CLIENT, {"channel_id": _CHANNEL, "client_id": [_CHANNEL]}),
    _wrong_type(Target.ALL, {"local": "false"}),
    _wrong_type(Target.ALL, {"local": 0}),
    _wrong_type(Target.ALL, {"local": None}),
    Probe(row="options", method="OPTIONS"),
    Probe(
        row="options",
        method="OPTIONS",
        headers=(
            ("Origin", "https://sora-harness.invalid"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", HEADER),
        ),
    ),
)
"""Every wrong request but the large one, in the order of the table."""


def large_probe() -> Probe:
    """The request of more than 8 MB: sound JSON that lacks a key, so that a server without a limit has a word for it."""
    head, tail = b'{"channel_id":"', b'"}'
    padding = b"x" * (LARGE_BYTES - len(head) - len(tail))
    return _real("large_body", Target.CONNECTION, head + padding + tail)


def wrong_requests(
    server: str, *, headers: Headers = (), targets: Collection[Target] = tuple(Target), large: bool = False
) -> list[Request]:
    """
    Build every wrong request for a server, once.

    Args:
        server: The URL, without credentials.
        headers: Sent besides.
        targets: Statistics targets that may be used; probes with another one are left out.
        large: Whether to include the one of more than 8 MB.
    """
    probes = [*PROBES, large_probe()] if large else PROBES
    return [probe.request(server, headers) for probe in probes if probe.real is None or probe.real in targets]
