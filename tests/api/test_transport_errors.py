"""Whose an error is: what our own machine could not send is never held against a server."""

from __future__ import annotations

import errno
import os

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.api.exchange import ErrorCode, Response, Target, TransportError, make_valid_request
from sora_stats_harness.api.transport_errors import classify_transport_error
from sora_stats_harness.judge.pipeline import Judge

EDITION = load_edition()
SERVER = "http://127.0.0.1:1"


def raised_from(cause: OSError) -> Exception:
    """An exception of a client's own, as httpx raises them, with what the system said as its cause."""
    try:
        raise RuntimeError("could not connect") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EMFILE, ErrorCode.LOCAL),
        (errno.ENFILE, ErrorCode.LOCAL),
        (errno.EADDRNOTAVAIL, ErrorCode.LOCAL),
        (errno.ENOBUFS, ErrorCode.LOCAL),
        (errno.ECONNREFUSED, ErrorCode.REFUSED),
        (errno.EINVAL, ErrorCode.REFUSED),
        (errno.EHOSTUNREACH, ErrorCode.UNREACHABLE),
        (errno.ENETUNREACH, ErrorCode.UNREACHABLE),
        (errno.ECONNRESET, ErrorCode.RESET),
        (errno.ETIMEDOUT, ErrorCode.TIMEOUT),
    ],
)
def test_the_system_says_whose_an_error_is(number: int, code: ErrorCode) -> None:
    """By its number, wherever in the chain of causes it stands: clients wrap it in exceptions of their own."""
    error = OSError(number, os.strerror(number))
    for each in (error, raised_from(error)):
        assert classify_transport_error(each) == TransportError(code=code, detail=os.strerror(number))


@pytest.mark.parametrize(
    ("code", "violated"), [(ErrorCode.REFUSED, True), (ErrorCode.UNREACHABLE, True), (ErrorCode.LOCAL, False)]
)
def test_a_server_is_not_accused_of_what_was_never_sent(code: ErrorCode, violated: bool) -> None:
    """Nor is it taken for one that has stopped responding."""
    judge = Judge(EDITION)
    request = make_valid_request(Target.ALL, server=SERVER)
    headers = (("Content-Type", "application/json"), ("Content-Length", "2"))
    judge.begin_exchange(request).complete(Response(status=200, headers=headers, body=b"[]"))
    for _ in range(5):
        judge.begin_exchange(request).complete(None, TransportError(code=code, detail="."))
    judge.finish()
    found = {each.requirement for each in judge.result().findings}
    assert ("http.complete" in found, judge.outage is not None) == (violated, violated)
