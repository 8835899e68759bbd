"""
The traffic of data channels in the simulated world: DTLS, SCTP, messages, and the pings of signaling.

A message travels as a DATA chunk in an SCTP packet, the packet in a DTLS record, the record perhaps in TURN channel
data, and a packet with a SACK comes back. The counters of a compressed channel hold the size before compression, those
of SCTP the size after it, so neither bounds the other. A client whose signaling goes over WebSocket has none of this
except the DTLS handshake.
"""

from __future__ import annotations

from typing import Final

from .client_roles import ClientRole, DataChannelConfig, TurnTransport
from .counter_increments import (
    DIRECTIONS,
    Direction,
    Increments,
    increments_in_group,
    opposite_direction,
    sum_increments,
)
from .counter_model import CounterModel
from .field_index import DATA_CHANNEL_GROUP, FieldIndex

_SCTP_HEADER_BYTES: Final = 12
_SCTP_CHUNK_HEADER_BYTES: Final = 4
"""The sizes of an SCTP packet's common header and of each chunk's header (RFC 9260, 3)."""

_COMPRESSION_RATIO: Final = 4
"""How many times smaller a compressed message is on the wire."""

_MESSAGE_RATE_BY_LABEL: Final = {"signaling": 0.3, "notify": 0.5, "push": 0.3, "stats": 0.3, "e2ee": 0.5}
_DEFAULT_MESSAGE_RATE: Final = 4.0

_CHANNEL_DIRECTIONS: Final[dict[Direction, tuple[str, str]]] = {
    "received": ("sendrecv", "sendonly"),
    "sent": ("sendrecv", "recvonly"),
}
"""Which way messages go on a channel, by its direction, which is the client's."""


class DataChannelTraffic:
    """Adds one connection's messages to its counter model."""

    def __init__(self, model: CounterModel, role: ClientRole) -> None:
        self.model = model
        self.columns: FieldIndex = model.columns
        self.role = role
        self.on: float = float(bool(role.labels))

    def add_events(self) -> None:
        """Add the handshakes, what keeps the association alive, and every label."""
        role, model = self.role, self.model
        model.add_initial_event(self._dtls_records("received", 4))
        model.add_initial_event(self._dtls_records("sent", 3))
        self._add_signaling_pings()
        self._add_sctp_association()
        for label in role.labels:
            self._add_data_channel(label)
        self._add_every_chunk_type(float(role.uses_every_counter))

    def _dtls_records(self, direction: Direction, count: int) -> Increments:
        through = count * (self.role.turn is not TurnTransport.NONE)
        return sum_increments(
            increments_in_group("dtls", **{f"total_{direction}_dtls": count}),
            increments_in_group("turn", **{f"total_{direction}_channel_data": through}),
        )

    def sctp_packet(self, direction: Direction, chunk: str, *, payload: int = 0, also: str | None = None) -> Increments:
        """One SCTP packet with one chunk or two; no packet if the edition does not have the chunk."""
        chunks = [name for name in (chunk, also) if name is not None]
        counted: Increments = {("sctp", f"total_{direction}_sctp_chunk_{name}"): 1 for name in chunks}
        if not any(path in self.columns for path in counted):
            return counted
        prefix = f"total_{direction}_sctp"
        size = _SCTP_HEADER_BYTES + len(chunks) * _SCTP_CHUNK_HEADER_BYTES + payload
        # A packet with INIT or COOKIE-ECHO always has its checksum (RFC 9653).
        zero = int(self.role.zero_checksum and chunk not in ("init", "cookie_echo"))
        sctp = increments_in_group("sctp", **{prefix: 1, f"{prefix}_byte_size": size, f"{prefix}_zero_checksum": zero})
        return sum_increments(sctp, counted, self._dtls_records(direction, 1))

    def _add_signaling_pings(self) -> None:
        """Add signaling's pings, which only WebSocket needs; over a bad link some get no pong."""
        websocket = 1 - self.on
        ping = increments_in_group("signaling", total_sent_signaling_ping=1)
        pong = increments_in_group("signaling", total_received_signaling_pong=1)
        self.model.add_steady_events(websocket / 5, sum_increments(ping, pong))
        self.model.add_steady_events(float(self.role.has_lossy_network) / 10, ping)

    def _add_sctp_association(self) -> None:
        flow, once, packets = self.model.add_steady_events, self.model.add_initial_event, self.sctp_packet
        if self.on:
            once(sum_increments(packets("received", "init", payload=16), packets("sent", "init_ack", payload=300)))
            once(sum_increments(packets("received", "cookie_echo", payload=280), packets("sent", "cookie_ack")))
        probe = sum_increments(
            packets("sent", "heartbeat", payload=40), packets("received", "heartbeat_ack", payload=1100, also="pad")
        )
        flow(self.on / 8, probe)

    def _add_data_channel(self, label: DataChannelConfig) -> None:
        group = (DATA_CHANNEL_GROUP, label.name)
        settings = ("ordered", "max_packet_life_time", "max_retransmits", "protocol", "direction", "compress")
        for name in settings:
            self.model.set_constant((*group, name), getattr(label, name))
        self.model.add_initial_event(
            increments_in_group(
                *group,
                total_data_channel_open_message=int(label.name.startswith("#")),
                total_data_channel_ack_message=int(label.name.startswith("#")),
                total_received_data_channel_message=1,
                total_received_data_channel_message_byte_size=1,
            )
        )
        rate = _MESSAGE_RATE_BY_LABEL.get(label.name, _DEFAULT_MESSAGE_RATE)
        for direction, channels in _CHANNEL_DIRECTIONS.items():
            on = float(label.direction in channels or self.role.uses_every_counter)
            self._add_messages(label, direction, rate * on)
        self._add_retransmissions(label)

    def _add_messages(self, label: DataChannelConfig, direction: Direction, rate: float) -> None:
        size = self.model.random.randint(*((2000, 10_000) if label.name == "stats" else (30, 900)))
        carried = size // _COMPRESSION_RATIO if label.compress else size
        message = increments_in_group(
            DATA_CHANNEL_GROUP,
            label.name,
            **{f"total_{direction}_data_channel_message": 1, f"total_{direction}_data_channel_message_byte_size": size},
        )
        data = self.sctp_packet(direction, "data", payload=12 + carried)
        self.model.add_steady_events(
            rate, sum_increments(message, data, self.sctp_packet(opposite_direction(direction), "sack", payload=12))
        )

    def _add_retransmissions(self, label: DataChannelConfig) -> None:
        """Add the effects of loss: with a limit a message is dropped, without one it is delayed."""
        group = (DATA_CHANNEL_GROUP, label.name)
        everything = float(self.role.uses_every_counter)
        again = increments_in_group(*group, total_data_channel_retransmit_message=1)
        self.model.add_steady_events(
            max(0.3 * self.role.has_lossy_network, 0.3 * everything),
            sum_increments(again, self.sctp_packet("sent", "data", payload=200)),
        )
        gone = increments_in_group(*group, total_data_channel_abandon_message=1)
        skip = self.sctp_packet("sent", "forward_tsn", payload=4)
        self.model.add_steady_events(
            max(0.0 if label.is_reliable else 0.2, 0.3 * everything), sum_increments(gone, skip)
        )
        opened = increments_in_group(*group, total_data_channel_open_message=1, total_data_channel_ack_message=1)
        self.model.add_steady_events(0.3 * everything, opened)

    def _add_every_chunk_type(self, on: float) -> None:
        """Add every kind of chunk in both directions, and packets that hold no chunk."""
        chunks = {
            direction: self.columns.match_counter_names("sctp", f"total_{direction}_sctp_chunk_(.+)")
            for direction in DIRECTIONS
        }
        each: list[Increments] = [
            self.sctp_packet(direction, chunk, payload=8) for direction, names in chunks.items() for chunk in names
        ]
        self.model.add_steady_events(0.25 * on, sum_increments(*each))
        self.model.add_steady_events(0.25 * on, self.sctp_packet("sent", "heartbeat", payload=40))
        for field in self.columns.counters("sctp"):
            if "invalid" in field.name or "unknown_sctp" in field.name:
                self.model.add_steady_events(
                    0.25 * on, sum_increments({field.path: 1}, self._dtls_records("received", 1))
                )
