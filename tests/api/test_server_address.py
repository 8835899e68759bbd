"""What is said of a server's addresses."""

from __future__ import annotations

import socket

import pytest

from sora_stats_harness.api.server_address import ServerAddress, SocketAddress

V4 = SocketAddress(socket.AF_INET, ("127.0.0.1", 3000))
V6 = SocketAddress(socket.AF_INET6, ("::1", 3000, 0, 0))


@pytest.mark.parametrize(
    ("server", "addresses", "note"),
    [
        ("http://127.0.0.1:3000", (V4,), None),
        ("http://[::1]:3000", (V6,), None),
        ("http://localhost:3000", (V4,), "http://localhost:3000 is 127.0.0.1:3000"),
        ("http://localhost:3000", (V6, V4), "http://localhost:3000 is [::1]:3000 (of 2 addresses)"),
    ],
)
def test_only_a_name_needs_its_address_said(
    server: str, addresses: tuple[SocketAddress, ...], note: str | None
) -> None:
    """A URL that has the address in it says it itself."""
    assert ServerAddress(server, addresses).resolution_note == note
