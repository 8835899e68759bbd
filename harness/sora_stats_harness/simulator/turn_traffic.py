"""
TURN: how a connection was set up, what keeps it alive, and the channel data that media and data channels ride on.

The server responds a request with a success, an error or not at all, so every event that holds a response holds its
request. The counters don't tell UDP from TCP; what differs is the traffic: a client on TCP has tried UDP before, and
needs no STUN binding requests to keep a NAT's mapping open.
"""

from __future__ import annotations

from typing import Final

from .client_roles import ClientRole, TurnTransport
from .counter_increments import Increments, increments_in_group, sum_increments
from .counter_model import CounterModel
from .field_index import FieldIndex

_ICE_CHECK_REQUEST: Final = "turn_binding"
"""ICE's own connectivity checks, inside TURN: these go both ways."""


def _request_with_responses(request: str, *, asked: int = 1, success: int = 1, error: int = 0) -> Increments:
    return increments_in_group(
        "turn",
        **{
            f"total_received_{request}_request": asked,
            f"total_sent_{request}_success": success,
            f"total_sent_{request}_error": error,
        },
    )


def add_turn_events(ledger: CounterModel, role: ClientRole) -> None:
    """Enter one connection's TURN traffic, all but the channel data, which whatever rides on it enters."""
    used = float(role.turn is not TurnTransport.NONE)
    udp = float(role.turn is TurnTransport.UDP)
    everything = float(role.uses_every_counter)
    requests = [
        name
        for name in ledger.columns.match_counter_names("turn", "total_received_(.+)_request")
        if name != _ICE_CHECK_REQUEST
    ]
    if used:
        # The first allocation is refused, because it bears no credentials yet (RFC 8656, 7.2).
        tries = 1 if udp else 2
        ledger.add_initial_event(_request_with_responses("allocate", asked=2 * tries + 1, success=tries, error=tries))
        ledger.add_initial_event(_request_with_responses("create_permission"))
        ledger.add_initial_event(_request_with_responses("channel_bind"))
        ledger.add_initial_event(
            increments_in_group("turn", total_received_send_indication=3, total_sent_data_indication=2)
        )
    ledger.add_steady_events(used / 20, _request_with_responses("refresh"))
    ledger.add_steady_events(used / 60, _request_with_responses("create_permission"))
    ledger.add_steady_events(used / 60, _request_with_responses("channel_bind"))
    ledger.add_steady_events(udp / 5, _request_with_responses("binding"))
    ledger.add_steady_events(used / 2.5, _request_with_responses(_ICE_CHECK_REQUEST))
    ledger.add_steady_events(
        everything / 2, increments_in_group("turn", total_received_send_indication=1, total_sent_data_indication=1)
    )
    for request in requests:
        ledger.add_steady_events(everything / 3, _request_with_responses(request, asked=3, success=1, error=1))
    checks = increments_in_group(
        "turn",
        total_sent_turn_binding_request=3,
        total_received_turn_binding_success=1,
        total_received_turn_binding_error=1,
    )
    ledger.add_steady_events(
        everything / 3, sum_increments(checks, _request_with_responses(_ICE_CHECK_REQUEST, asked=3, success=1, error=1))
    )
    for effects in _malformed_packet_increments(ledger.columns):
        ledger.add_steady_events(everything / 4, effects)


def _malformed_packet_increments(columns: FieldIndex) -> list[Increments]:
    """Packets that nobody can make sense of, by the words in the counters' names."""
    words = ("unknown", "invalid", "expired")
    return [{field.path: 1} for field in columns.counters("turn") if any(word in field.name for word in words)]
