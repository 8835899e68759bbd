"""
TURN: how a connection was set up, what keeps it alive, and the channel data that media and data channels ride on.

The server answers a request with a success, an error or not at all, so every event that holds an answer holds its
request. The counters don't tell UDP from TCP; what differs is the traffic: a client on TCP has tried UDP before, and
needs no STUN binding requests to keep a NAT's mapping open.
"""

from __future__ import annotations

from typing import Final

from .cast import Role, Turn
from .columns import Columns
from .effects import Effects, together, within
from .ledger import Ledger

_CHECK: Final = "turn_binding"
"""ICE's own connectivity checks, inside TURN: these go both ways."""


def _answered(request: str, *, asked: int = 1, success: int = 1, error: int = 0) -> Effects:
    return within(
        "turn",
        **{
            f"total_received_{request}_request": asked,
            f"total_sent_{request}_success": success,
            f"total_sent_{request}_error": error,
        },
    )


def enter(ledger: Ledger, role: Role) -> None:
    """Enter one connection's TURN traffic, all but the channel data, which whatever rides on it enters."""
    used = float(role.turn is not Turn.NONE)
    udp = float(role.turn is Turn.UDP)
    everything = float(role.everything)
    requests = [name for name in ledger.columns.family("turn", "total_received_(.+)_request") if name != _CHECK]
    if used:
        # The first allocation is refused, because it bears no credentials yet (RFC 8656, 7.2).
        tries = 1 if udp else 2
        ledger.once(_answered("allocate", asked=2 * tries + 1, success=tries, error=tries))
        ledger.once(_answered("create_permission"))
        ledger.once(_answered("channel_bind"))
        ledger.once(within("turn", total_received_send_indication=3, total_sent_data_indication=2))
    ledger.flow(used / 20, _answered("refresh"))
    ledger.flow(used / 60, _answered("create_permission"))
    ledger.flow(used / 60, _answered("channel_bind"))
    ledger.flow(udp / 5, _answered("binding"))
    ledger.flow(used / 2.5, _answered(_CHECK))
    ledger.flow(everything / 2, within("turn", total_received_send_indication=1, total_sent_data_indication=1))
    for request in requests:
        ledger.flow(everything / 3, _answered(request, asked=3, success=1, error=1))
    checks = within(
        "turn",
        total_sent_turn_binding_request=3,
        total_received_turn_binding_success=1,
        total_received_turn_binding_error=1,
    )
    ledger.flow(everything / 3, together(checks, _answered(_CHECK, asked=3, success=1, error=1)))
    for effects in _strange(ledger.columns):
        ledger.flow(everything / 4, effects)


def _strange(columns: Columns) -> list[Effects]:
    """Packets that nobody can make sense of, by the words in the counters' names."""
    words = ("unknown", "invalid", "expired")
    return [{field.path: 1} for field in columns.counters("turn") if any(word in field.name for word in words)]
