"""A scenario can choose among the three operations, and nothing that it returns has any other sent."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api.errors import RequestRefusedError
from sora_stats_harness.load.prepared_request import PreparedRequest
from tests import forked, hostile
from tests.load.build import Clerk, connection, listing


def disconnecting(good: PreparedRequest) -> bytes:
    """The bytes of the same request, for an operation that disconnects a user."""
    return good.request_bytes.replace(b"Sora_20171101.GetStatsAllConnections", b"Sora_20151104.DisconnectClient")


class Changing:
    """Shows the bytes of an allowed request at first, and others when asked again."""

    def __init__(self, good: PreparedRequest) -> None:
        self.request = good.request
        self._shown = [good.request_bytes, disconnecting(good)]

    @property
    def request_bytes(self) -> bytes:
        return self._shown.pop(0)


class Mutable(bytearray):
    """Is changed by whoever made it."""


def tampered(good: PreparedRequest) -> PreparedRequest:
    """A frozen object, changed all the same."""
    other = dataclasses.replace(good)
    object.__setattr__(other, "request_bytes", disconnecting(good))
    return other


FORGED: dict[str, Any] = {
    "replaced": lambda good: dataclasses.replace(good, request_bytes=disconnecting(good)),
    "tampered with": tampered,
    "another class": lambda good: type("Forged", (), {"request": good.request, "request_bytes": disconnecting(good)})(),
    "pipelined": lambda good: dataclasses.replace(good, request_bytes=good.request_bytes + disconnecting(good)),
    "mutable": lambda good: dataclasses.replace(good, request_bytes=Mutable(disconnecting(good))),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_request_is_never_written(forge: Any) -> None:
    """Nothing of it reaches the socket, no exchange is begun, and an allowed request goes on as before."""
    with hostile.serve(hostile.says(hostile.response(b"[]"))) as server:
        client, clerk, good = connection(server.url), Clerk(), listing(server.url)
        with pytest.raises(RequestRefusedError):
            client.send(clerk, forge(good))
        client.send(clerk, good)
        client.close()
    assert (clerk.taken, len(server.seen)) == (1, 1)
    assert b"Disconnect" not in b"".join(server.seen)


def test_what_is_checked_is_what_is_written() -> None:
    """An object that gives other bytes when it is asked again is asked once."""
    with hostile.serve(hostile.says(hostile.response(b"[]"))) as server:
        client = connection(server.url)
        client.send(Clerk(), Changing(listing(server.url)))  # type: ignore[arg-type]
        client.close()
    assert server.seen == [listing(server.url).request_bytes]


SCENARIO = """
import dataclasses

from sora_stats_harness.load.sora_user import SoraUser


class Forger(SoraUser):
    def choose(self, session):
        good = session.listing_request()
        forged = good.request_bytes.replace(b"Sora_20171101.GetStatsAllConnections", b"Sora_20151104.DisconnectClient")
        return dataclasses.replace(good, request_bytes=forged)
"""


def test_a_scenario_that_forges_requests_sends_none_of_them(tmp_path: Path) -> None:
    """Under Locust the run says what was refused, and does not pass."""
    file = tmp_path / "forger.py"
    file.write_text(SCENARIO)

    def respond(talk: hostile.Talk) -> None:
        while True:
            talk.write(hostile.response(b"[]"))
            if not talk.socket.recv(65536):
                return

    with hostile.serve(respond) as server:
        command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--host", server.url, "-u", "2"]
        done = forked.run([*command, "-t", "1s"], timeout=60)
    assert b"Disconnect" not in b"".join(server.seen)
    assert done.returncode != 0
    assert "refused to send the target 'Sora_20151104.DisconnectClient'" in done.stderr
