"""
The TURN traffic of a simulated connection: its setup, and what keeps it alive.

The server responds to a request with a success, an error or not at all, so every event with a response has its request.
The counters do not distinguish UDP from TCP, but the traffic differs: a client on TCP has tried UDP before, and needs
no STUN binding requests to keep a NAT's mapping open.
"""

from __future__ import annotations

from typing import Final

from .client_roles import ClientRole, TurnTransport
from .counter_increments import Increments, increments_in_group, sum_increments
from .counter_model import CounterModel

_ICE_CHECK_REQUEST: Final = "turn_binding"
"""ICE's own connectivity checks, inside TURN: these go in both directions."""

_MALFORMED_WORDS: Final = ("unknown", "invalid", "expired")
"""Words in the names of counters of packets that cannot be understood."""


def _request_with_responses(request: str, *, asked: int = 1, success: int = 1, error: int = 0) -> Increments:
    return increments_in_group(
        "turn",
        **{
            f"total_received_{request}_request": asked,
            f"total_sent_{request}_success": success,
            f"total_sent_{request}_error": error,
        },
    )


def add_turn_events(model: CounterModel, role: ClientRole) -> None:
    """Add one connection's TURN traffic, except the channel data, which is counted with its content."""
    used = float(role.turn is not TurnTransport.NONE)
    udp = float(role.turn is TurnTransport.UDP)
    everything = float(role.uses_every_counter)
    requests = [
        name
        for name in model.columns.match_counter_names("turn", "total_received_(.+)_request")
        if name != _ICE_CHECK_REQUEST
    ]
    if used:
        # The first allocation is refused because it has no credentials yet (RFC 8656, 7.2).
        tries = 1 if udp else 2
        model.add_initial_event(_request_with_responses("allocate", asked=2 * tries + 1, success=tries, error=tries))
        model.add_initial_event(_request_with_responses("create_permission"))
        model.add_initial_event(_request_with_responses("channel_bind"))
        model.add_initial_event(
            increments_in_group("turn", total_received_send_indication=3, total_sent_data_indication=2)
        )
    model.add_steady_events(used / 20, _request_with_responses("refresh"))
    model.add_steady_events(used / 60, _request_with_responses("create_permission"))
    model.add_steady_events(used / 60, _request_with_responses("channel_bind"))
    model.add_steady_events(udp / 5, _request_with_responses("binding"))
    model.add_steady_events(used / 2.5, _request_with_responses(_ICE_CHECK_REQUEST))
    model.add_steady_events(
        everything / 2, increments_in_group("turn", total_received_send_indication=1, total_sent_data_indication=1)
    )
    for request in requests:
        model.add_steady_events(everything / 3, _request_with_responses(request, asked=3, success=1, error=1))
    checks = increments_in_group(
        "turn",
        total_sent_turn_binding_request=3,
        total_received_turn_binding_success=1,
        total_received_turn_binding_error=1,
    )
    model.add_steady_events(
        everything / 3, sum_increments(checks, _request_with_responses(_ICE_CHECK_REQUEST, asked=3, success=1, error=1))
    )
    for field in model.columns.counters("turn"):
        if any(word in field.name for word in _MALFORMED_WORDS):
            model.add_steady_events(everything / 4, {field.path: 1})
