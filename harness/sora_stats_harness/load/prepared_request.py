"""
Requests as bytes, made once and sent many times.

Under load the same few hundred requests go out over and over, so nothing of them is put together at sending time. That
makes this the one place where the guard has to stand: what was never prepared cannot be sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..api.errors import UsageError
from ..api.exchange import Request
from ..api.request_guard import check_request_allowed
from ..probe.prober import USER_AGENT

_DEFAULT_HEADERS = (("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", USER_AGENT))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A request, the bytes that it is on the wire, and the name under which it is counted."""

    request: Request
    request_bytes: bytes
    operation_name: str


def prepare_request(request: Request) -> PreparedRequest:
    """
    Write a request as HTTP/1.1.

    Raises:
        TargetRefused: It may not be sent.
        UsageError: A header cannot be written: a line break in it, say.
    """
    given = {name.lower() for name, _ in request.headers}
    body = request.body or b""
    fields = [
        ("Host", request.server.partition("://")[2]),
        *request.headers,
        *((name, value) for name, value in _DEFAULT_HEADERS if name.lower() not in given),
        ("Content-Length", str(len(body))),
    ]
    check_request_allowed(request.method, request.path, request.headers)
    lines = [f"{request.method} {request.path} HTTP/1.1".encode("ascii")]
    for name, value in fields:
        try:
            line = name.encode("ascii") + b": " + value.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"the header {name!r} cannot be written as HTTP") from None
        if not name or any(byte < 32 or byte == 127 for byte in line):
            raise UsageError(f"the header {name!r} cannot be written as HTTP: it holds a control character")
        lines.append(line)
    name = request.target.operation if request.target is not None else request.probe or "probe"
    return PreparedRequest(request=request, request_bytes=b"\r\n".join([*lines, b"", b""]) + body, operation_name=name)
