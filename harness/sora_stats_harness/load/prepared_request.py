"""Prepares requests with their bytes, to be made once and sent many times."""

from __future__ import annotations

from dataclasses import dataclass

from ..api.exchange import Request
from ..api.request_bytes import encode_request
from ..api.request_guard import check_bytes_allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A request, its bytes on the wire, and the name under which it is counted."""

    request: Request
    request_bytes: bytes
    operation_name: str


def prepare_request(request: Request) -> PreparedRequest:
    """
    Encode a request as HTTP/1.1.

    Raises:
        RequestRefusedError: It must not be sent.
        UsageError: A header can't be written, for example because it contains a line break.
    """
    data = encode_request(request)
    check_bytes_allowed(data)
    name = request.target.operation if request.target is not None else request.probe or "probe"
    return PreparedRequest(request=request, request_bytes=data, operation_name=name)
