"""
Requests as bytes: the one place that writes them, for every client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .. import __version__
from .errors import UsageError
from .exchange import Headers, Request

USER_AGENT: Final = f"sora-harness/{__version__}"

_DEFAULT_HEADERS: Final = (("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", USER_AGENT))
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def encode_request(request: Request) -> bytes:
    """
    Write a request as HTTP/1.1, with the headers that every request of ours has.

    Raises:
        UsageError: A header can't be written: a line break in it, say.

    >>> from .exchange import Target, make_valid_request
    >>> encode_request(make_valid_request(Target.ALL, server="http://127.0.0.1:3000")).splitlines()[:2]
    [b'POST / HTTP/1.1', b'Host: 127.0.0.1:3000']
    """
    given = {name.lower() for name, _ in request.headers}
    host = () if "host" in given else (("Host", request.server.partition("://")[2]),)
    defaults = [(name, value) for name, value in _DEFAULT_HEADERS if name.lower() not in given]
    headers = (*host, *request.headers, *defaults)
    return encode_message(request.method, request.path, headers, request.body)


def encode_message(method: str, path: str, headers: Headers | Iterable[tuple[str, str]], body: bytes | None) -> bytes:
    """
    Write a request's parts; `Content-Length` is added, except where a method without content has no body.

    Raises:
        UsageError: One of them can't be written.
    """
    fields = list(headers)
    if body is not None or method in ("POST", "PUT"):
        fields.append(("Content-Length", str(len(body or b""))))
    try:
        lines = [f"{method} {path} HTTP/1.1".encode("ascii")]
    except UnicodeEncodeError:
        raise UsageError(f"the request {method!r} {path!r} can't be written as HTTP") from None
    for name, value in fields:
        try:
            line = name.encode("ascii") + b": " + value.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"the header {name!r} can't be written as HTTP") from None
        if _TOKEN.fullmatch(name) is None or any(byte < 32 or byte == 127 for byte in line):
            raise UsageError(f"the header {name!r} can't be written as HTTP: it holds a character that none may hold")
        lines.append(line)
    return b"\r\n".join([*lines, b"", body or b""])
