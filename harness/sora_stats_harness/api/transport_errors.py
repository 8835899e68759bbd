"""
Classifies the exceptions of sockets and TLS: why there is no complete response.

The real cause may be anywhere in the chain of exceptions, so the whole chain is searched.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from .exchange import ErrorCode, TransportError

_DETAIL_LIMIT: Final = 200

_CODE_BY_EXCEPTION: Final = (
    (ssl.SSLError, ErrorCode.TLS),
    (socket.gaierror, ErrorCode.DNS),
    (ConnectionRefusedError, ErrorCode.REFUSED),
    (ConnectionError, ErrorCode.RESET),
    (TimeoutError, ErrorCode.TIMEOUT),
)
"""The system's errors that identify the cause, wherever they are in the chain."""

_LOCAL_ERRNOS: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM}
)
"""Limits of this machine: nothing has reached the server."""

_UNREACHABLE_ERRNOS: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
"""No way leads to the server, or none any more."""

_OWN_NUMBERS: Final = (ssl.SSLError, socket.gaierror)
"""Errors whose numbers are not the system's."""


def classify_transport_error(error: BaseException) -> TransportError:
    """Map an error of ssl or the system to an error code, with one line of detail."""
    causes = list(_walk_causes(error))
    system = [cause for cause in causes if isinstance(cause, OSError) and not isinstance(cause, _OWN_NUMBERS)]
    for numbers, code in ((_LOCAL_ERRNOS, ErrorCode.LOCAL), (_UNREACHABLE_ERRNOS, ErrorCode.UNREACHABLE)):
        for cause in system:
            if cause.errno in numbers:
                return TransportError(code=code, detail=describe_error(cause))
    for kind, code in _CODE_BY_EXCEPTION:
        for each in causes:
            if isinstance(each, kind):
                return TransportError(code=code, detail=describe_error(each))
    if system:  # whatever else keeps a socket from the server: as far away as a closed port
        worded = next((cause for cause in system if cause.strerror), error)
        return TransportError(code=ErrorCode.REFUSED, detail=describe_error(worded))
    return TransportError(code=ErrorCode.RESET, detail=describe_error(error) or "the connection was closed")


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
    """Describe an exception in one printable line of at most 200 characters."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the certificate is not accepted: {error.verify_message}"
    elif isinstance(error, ConnectionError) and error.errno:
        text = os.strerror(error.errno)  # asyncio puts its own words in strerror
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = str(error)
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_DETAIL_LIMIT]
