"""What may be written to a socket is decided by the bytes alone."""

from __future__ import annotations

import pytest

from sora_stats_harness.api import request_guard
from sora_stats_harness.api.errors import RequestRefusedError
from sora_stats_harness.api.exchange import Request, Target, make_valid_request
from sora_stats_harness.api.request_bytes import encode_request
from sora_stats_harness.api.request_guard import MAX_ALLOWED_BYTES, MAX_ALLOWED_REQUESTS, check_bytes_allowed
from sora_stats_harness.probe.wrong_requests import build_wrong_requests

SERVER = "http://127.0.0.1:3000"
GOOD = encode_request(make_valid_request(Target.ALL, server=SERVER))
ABOUT = encode_request(make_valid_request(Target.CLIENT, server=SERVER, channel_id="c", client_id="会議"))
DISCONNECT = GOOD.replace(b"Sora_20171101.GetStatsAllConnections", b"Sora_20151104.DisconnectClient")


class EqualToAnything(bytes):
    """Calls itself the same as whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(GOOD)


REFUSED = {
    "another operation": DISCONNECT,
    "another version": GOOD.replace(b"20171101", b"20151104"),
    "a second request": GOOD + DISCONNECT,
    "a second request behind a body": ABOUT + DISCONNECT,
    "two targets": GOOD.replace(b"Accept: */*", b"X-SORA-TARGET: Sora_20151104.DisconnectClient"),
    "a target with an underscore": GOOD.replace(b"Accept: */*", b"x_sora_target: Sora_20151104.DisconnectClient"),
    "a target behind a line feed": GOOD.replace(b"*/*", b"*/*\nx-sora-target: Sora_20151104.DisconnectClient"),
    "a target behind a CR": GOOD.replace(b"*/*", b"*/*\rx-sora-target: Sora_20151104.DisconnectClient"),
    "a folded target": GOOD.replace(b"*/*", b"*/*\r\n x-sora-target: Sora_20151104.DisconnectClient"),
    "a target with blanks": GOOD.replace(b": Sora_", b":  Sora_"),
    "a blank before the colon": GOOD.replace(b"Accept:", b"Accept :"),
    "NUL": GOOD.replace(b"*/*", b"*/*\x00"),
    "another method": GOOD.replace(b"POST", b"DELETE"),
    "another path": GOOD.replace(b"POST / ", b"POST /api "),
    "an absolute path": GOOD.replace(b"POST / ", b"POST http://127.0.0.1:3000/ "),
    "HTTP/1.0": GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "too small a length": ABOUT.replace(b"Content-Length: 39", b"Content-Length: 38"),
    "no length": ABOUT.replace(b"Content-Length", b"X-Length"),
    "two lengths": GOOD.replace(b"Accept: */*", b"Content-Length: 0"),
    "chunks": ABOUT.replace(b"Accept: */*", b"Transfer-Encoding: chunked"),
    "no head": b"",
    "half a head": GOOD[:-2],
    "bytes of a kind of their own": EqualToAnything(DISCONNECT),
    "good bytes of a kind of their own": EqualToAnything(GOOD),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_bytes_that_are_not_one_allowed_request_are_refused(data: bytes) -> None:
    """Whoever made them, also where an allowed request was seen before; and again when they come again."""
    check_bytes_allowed(GOOD)
    for _ in range(2):
        with pytest.raises(RequestRefusedError):
            check_bytes_allowed(data)


@pytest.mark.parametrize(
    "other", [bytearray(GOOD), memoryview(GOOD), GOOD.decode()], ids=lambda value: type(value).__name__
)
def test_only_plain_bytes_are_taken(other: object) -> None:
    """What could change after the look is not looked at."""
    with pytest.raises(RequestRefusedError):
        check_bytes_allowed(other)  # type: ignore[arg-type]


def test_everything_that_the_harness_sends_is_allowed() -> None:
    """The three operations, with bodies in any script, and every wrong request of the fixed list."""
    requests: list[Request] = [
        make_valid_request(Target.ALL, server=SERVER),
        make_valid_request(Target.ALL, server=SERVER, local=False),
        make_valid_request(
            Target.CONNECTION, server=SERVER, channel_id="\r\n", connection_id="x", headers=(("X-A", "ü"),)
        ),
        *build_wrong_requests(SERVER),
    ]
    assert len(requests) > 20
    for request in requests:
        check_bytes_allowed(encode_request(request))


def test_what_is_remembered_is_bounded() -> None:
    """In number and in size; what is forgotten is looked at again."""
    for number in range(MAX_ALLOWED_REQUESTS + 10):
        check_bytes_allowed(GOOD.replace(b"*/*", b"%d" % number))
    assert request_guard._check_usual_request.cache_info().currsize <= MAX_ALLOWED_REQUESTS
    large = GOOD.replace(b"*/*", b"x" * MAX_ALLOWED_BYTES)
    before = request_guard._check_usual_request.cache_info()
    check_bytes_allowed(large)
    assert request_guard._check_usual_request.cache_info() == before
