"""Writes requests as bytes, for every client."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .. import __version__
from .errors import UsageError
from .exchange import Request
from .server_url import split_server

USER_AGENT: Final = f"sora-harness/{__version__}"

_DEFAULT_HEADERS: Final = (("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", USER_AGENT))
_FIELD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*")


def encode_request(request: Request) -> bytes:
    """
    Write a request as HTTP/1.1.

    Raises:
        UsageError: A header can't be written, for example because it contains a line break.

    >>> from .exchange import Target, make_valid_request
    >>> encode_request(make_valid_request(Target.ALL, server="http://127.0.0.1:3000")).splitlines()[:2]
    [b'POST / HTTP/1.1', b'Host: 127.0.0.1:3000']
    """
    path = split_server(request.server)[2] + request.path
    return encode_message(request.method.encode("ascii"), path.encode("ascii"), encode_headers(request), request.body)


def encode_headers(request: Request) -> list[tuple[bytes, bytes]]:
    """
    Encode the headers of a request together with the default ones; `Content-Length` is not among them.

    Raises:
        UsageError: One of them can't be written.
    """
    given = {name.lower() for name, _ in request.headers}
    host = () if "host" in given else (("Host", split_server(request.server)[1]),)
    defaults = [(name, value) for name, value in _DEFAULT_HEADERS if name.lower() not in given]
    encoded = []
    for name, value in (*host, *request.headers, *defaults):
        try:
            encoded.append((name.encode("ascii"), value.encode("utf-8")))
        except UnicodeEncodeError:
            raise UsageError(f"the header {name!r} can't be written as HTTP") from None
        if _FIELD.fullmatch(b"%b: %b" % encoded[-1]) is None:
            raise UsageError(f"the header {name!r} can't be written as HTTP: it contains a forbidden character")
    return encoded


def encode_message(method: bytes, path: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes | None) -> bytes:
    """Join a request's parts; adds `Content-Length`, unless there is no body and the method needs none."""
    fields = list(headers)
    if body is not None or method in (b"POST", b"PUT"):
        fields.append((b"Content-Length", b"%d" % len(body or b"")))
    lines = [b"%b %b HTTP/1.1" % (method, path), *(b"%b: %b" % field for field in fields)]
    return b"\r\n".join([*lines, b"", body or b""])
