"""Requests with their bytes, made once and sent many times."""

from __future__ import annotations

from dataclasses import dataclass

from ..api.exchange import Request
from ..api.request_bytes import encode_request
from ..api.request_guard import check_bytes_allowed


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
        RequestRefusedError: It may not be sent.
        UsageError: A header can't be written: a line break in it, say.
    """
    data = encode_request(request)
    check_bytes_allowed(data)
    name = request.target.operation if request.target is not None else request.probe or "probe"
    return PreparedRequest(request=request, request_bytes=data, operation_name=name)
