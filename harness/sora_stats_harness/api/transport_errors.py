"""
Why there is no complete response: from the exceptions of four libraries to one code and one line.

httpx wraps httpcore, that wraps anyio and h11, and those wrap ssl and the system. What really happened stands somewhere
in the chain of causes, so all of it is looked at.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

from .exchange import ErrorCode, TransportError

_DETAIL_LIMIT: Final = 200

_CODE_BY_EXCEPTION: Final = (
    (ssl.SSLError, ErrorCode.TLS),
    (socket.gaierror, ErrorCode.DNS),
    (ConnectionRefusedError, ErrorCode.REFUSED),
    (ConnectionError, ErrorCode.RESET),
    (TimeoutError, ErrorCode.TIMEOUT),
)
"""The system's errors that say what happened, wherever in the chain of causes they stand."""


def classify_transport_error(error: BaseException) -> TransportError:
    """Sort an error of httpx, httpcore, ssl or the system into one of the codes, with one line of detail."""
    causes = list(_walk_causes(error))
    for kind, code in _CODE_BY_EXCEPTION:
        for cause in causes:
            if isinstance(cause, kind):
                return TransportError(code=code, detail=describe_error(cause))
    if isinstance(error, httpx.RemoteProtocolError):
        return _classify_protocol_error(error, causes)
    if isinstance(error, (httpx.ConnectError, OSError)):  # unreachable, no route: as far away as a closed port
        system = next((cause for cause in causes if isinstance(cause, OSError) and cause.strerror), error)
        return TransportError(code=ErrorCode.REFUSED, detail=describe_error(system))
    return TransportError(code=ErrorCode.RESET, detail=describe_error(error) or "the connection was closed")


def _classify_protocol_error(error: httpx.RemoteProtocolError, causes: list[BaseException]) -> TransportError:
    text = describe_error(error)
    if "without sending a response" in text:
        return TransportError(code=ErrorCode.RESET, detail="the connection was closed before a response")
    if "without sending complete message body" in text:
        return TransportError(code=ErrorCode.CUT, detail=text)
    if any(getattr(cause, "error_status_hint", None) == 431 for cause in causes):  # h11's word for "too long"
        return TransportError(code=ErrorCode.TOO_LARGE, detail="the head of the response does not end within 100 KiB")
    return TransportError(code=ErrorCode.PROTOCOL, detail=text)


def _walk_causes(error: BaseException) -> Iterator[BaseException]:
    todo = [error]
    seen: set[int] = set()
    while todo:
        current = todo.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            todo.extend(current.exceptions)
        todo.extend(below for below in (current.__cause__, current.__context__) if below is not None)


def describe_error(error: BaseException) -> str:
    """Say what an exception says in one printable line of at most 200 characters."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the certificate is not accepted: {error.verify_message}"
    elif isinstance(error, ConnectionError) and error.errno:
        text = os.strerror(error.errno)  # asyncio has put words of its own in strerror
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = str(error)
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_DETAIL_LIMIT]
