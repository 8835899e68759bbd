"""
Decides which requests may be sent, and refuses all others.

The port that serves statistics also disconnects users (`DisconnectChannel` and others). So every client calls
`check_bytes_allowed` right where it writes to a socket. It judges the bytes themselves, whoever made them: unless they
are exactly one request with a method, a path and a target on the list, nothing is sent. The list has the three
statistics targets and a few invented ones. All other operations are refused, and so are similar names that a lenient
server might read as one of them.

The invented names consist of letters and name this harness; no operation of Sora is documented under any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from .errors import RequestRefusedError
from .exchange import TARGET_HEADER, Target

UNKNOWN_SERVICE_TARGET: Final = "SoraHarness_20200101.NoSuchOperation"
"""Well-formed, but the service does not exist."""

UNKNOWN_OPERATION_TARGET: Final = "Sora_20170529.SoraHarnessNoSuchOperation"
"""The service and its version exist, but the operation does not."""

UNKNOWN_VERSION_TARGET: Final = "Sora_19700101.SoraHarnessNoSuchOperation"
"""The service exists, but neither the version nor the operation does."""

MALFORMED_TARGETS: Final = ("", "SoraHarnessMalformed", "SoraHarness_20200101", "SoraHarness.NoSuchOperation")
"""Not of the form Service_Version.Operation."""

INVENTED_TARGETS: Final = frozenset(
    {UNKNOWN_SERVICE_TARGET, UNKNOWN_OPERATION_TARGET, UNKNOWN_VERSION_TARGET, *MALFORMED_TARGETS}
)

UNKNOWN_PATH: Final = "/sora-harness-no-such-path"
QUERY_PATH: Final = "/?sora-harness=1"

ALLOWED_METHODS: Final = frozenset({"POST", "GET", "PUT", "OPTIONS"})
ALLOWED_PATHS: Final = frozenset({"/", UNKNOWN_PATH, QUERY_PATH})
_PATH_AND_PREFIX: Final = re.compile(
    rf"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*({'|'.join(map(re.escape, sorted(ALLOWED_PATHS, key=len, reverse=True)))})"
)
"""An allowed path, possibly below a gateway's path of the API."""

_STATISTICS_TARGET_NAMES: Final = frozenset(target.value for target in Target)


def check_request_allowed(
    method: str | bytes, path: str | bytes, headers: Iterable[tuple[str | bytes, str | bytes]]
) -> None:
    """
    Refuse any request that is not on the list.

    Method and path must be ones that valid requests or probes use. The target header must be absent, or appear once
    with one of the three statistics targets, or have only invented targets. Values must match exactly, in case and
    white space. A header counts as the target header in any case, with white space around it, and with `_` for `-`,
    since servers behind gateways read those as the same.

    Raises:
        RequestRefusedError: The request may not be sent; nothing of it has been.

    >>> check_request_allowed("POST", "/", [("x-sora-target", "Sora_20171101.GetStatsAllConnections")])
    >>> check_request_allowed("POST", "/", [("x-sora-target", "Sora_20171101.DisconnectEverybody")])
    Traceback (most recent call last):
    ...
    sora_stats_harness.api.errors.RequestRefusedError: refused to send the target 'Sora_20171101.DisconnectEverybody': ...
    """
    if _decode_text(method) not in ALLOWED_METHODS:
        raise RequestRefusedError(
            f"refused to send the method {_decode_text(method)!r}: only {', '.join(sorted(ALLOWED_METHODS))} are ever "
            f"sent"
        )
    if not _PATH_AND_PREFIX.fullmatch(_decode_text(path)):
        raise RequestRefusedError(
            f"refused to send the path {_decode_text(path)!r}: only {', '.join(sorted(ALLOWED_PATHS))} are ever sent"
        )
    values = [
        _decode_text(value)
        for name, value in headers
        if _decode_text(name).strip().lower().replace("_", "-") == TARGET_HEADER
    ]
    for value in values:
        if value not in _STATISTICS_TARGET_NAMES and value not in INVENTED_TARGETS:
            raise RequestRefusedError(
                f"refused to send the target {value!r}: it is neither one of the three statistics targets "
                "nor on the list of invented ones"
            )
    if len(values) > 1 and not INVENTED_TARGETS.issuperset(values):
        raise RequestRefusedError(f"refused to send {len(values)} target headers of which one names a real operation")


MAX_ALLOWED_REQUESTS: Final = 10_000
"""How many allowed requests, of at most `MAX_ALLOWED_BYTES` each, are remembered: load repeats the same ones."""

MAX_ALLOWED_BYTES: Final = 2048

_REQUEST_LINE: Final = re.compile(rb"([A-Z]+) ([!-~]+) HTTP/1\.1")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\t -~\x80-\xff]*)")


def check_bytes_allowed(data: bytes) -> None:
    """
    Refuse bytes unless they are one request that `check_request_allowed` allows.

    Only plain `bytes` are accepted, since a subclass could pretend to have another value. A second request after the
    first is refused, and so are a Transfer-Encoding and a wrong length, in which one could hide.

    Takes 0.1 us for bytes that were allowed before.

    Raises:
        RequestRefusedError: They may not be written; nothing of them has been.

    >>> check_bytes_allowed(b"POST / HTTP/1.1\\r\\nX-Sora-Target: Sora_20151104.DisconnectClient\\r\\n\\r\\n")
    Traceback (most recent call last):
    ...
    sora_stats_harness.api.errors.RequestRefusedError: refused to send the target 'Sora_20151104.DisconnectClient': ...
    """
    if type(data) is not bytes:  # a subclass may call itself equal to anything
        raise RequestRefusedError(f"refused to send {type(data).__name__}: only plain bytes are ever written")
    if len(data) <= MAX_ALLOWED_BYTES:
        _check_usual_request(data)
    else:
        _check_one_request(data)


@lru_cache(MAX_ALLOWED_REQUESTS)
def _check_usual_request(data: bytes) -> None:
    """As `_check_one_request`, with a cache of the requests that were allowed."""
    _check_one_request(data)


def _check_one_request(data: bytes) -> None:
    head, end, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    if not end or request_line is None:
        raise RequestRefusedError("refused to send bytes that are not an HTTP/1.1 request")
    headers = [(field[1], field[2]) for field in fields if field is not None]
    if len(headers) < len(lines):
        raise RequestRefusedError("refused to send a line that is not a header")
    names = [name.lower() for name, _ in headers]
    lengths = [
        value for name, value in zip(names, (value for _, value in headers), strict=True) if name == b"content-length"
    ]
    if lengths != [str(len(body)).encode()] and (lengths or body):
        raise RequestRefusedError("refused to send a request whose Content-Length is not the length of its body")
    if b"transfer-encoding" in names:
        raise RequestRefusedError("refused to send a request with a Transfer-Encoding")
    check_request_allowed(request_line[1], request_line[2], headers)


def _decode_text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
