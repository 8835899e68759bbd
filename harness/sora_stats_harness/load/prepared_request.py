"""Prepares requests with their bytes, to be made once and sent many times."""

from __future__ import annotations

from dataclasses import dataclass

from ..api.exchange import Request
from ..api.request_bytes import encode_request
from ..api.request_guard import check_bytes_allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A request, and its bytes on the wire."""

    request: Request
    request_bytes: bytes


def prepare_request(request: Request) -> PreparedRequest:
    """
    Encode a request as HTTP/1.1.

    Raises:
        RequestRefusedError: It must not be sent.
        UsageError: A header can't be written, for example because it contains a line break.
    """
    data = encode_request(request)
    check_bytes_allowed(data)
    return PreparedRequest(request=request, request_bytes=data)
