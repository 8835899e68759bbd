"""
DTLS, SCTP, data channels, and the signaling's pings.

A message goes as a DATA chunk in an SCTP packet, that packet in a DTLS record, that record perhaps in TURN channel
data, and a packet with a SACK comes back. Where a channel is compressed its counters hold the size before compression,
SCTP's the size after, so that neither bounds the other. A client whose signaling goes over WebSocket has nothing of
this but the DTLS handshake.
"""

from __future__ import annotations

from typing import Final

from .cast import Label, Role, Turn
from .columns import MESSAGES
from .effects import DIRECTIONS, Direction, Effects, opposite, together, within
from .ledger import Ledger

_HEADER_BYTES: Final = 12
_CHUNK_BYTES: Final = 4
"""Of an SCTP packet's common header and of each chunk's (RFC 9260, 3)."""

_COMPRESSION: Final = 4
"""A compressed message is so many times smaller on the wire."""

_RATES: Final = {"signaling": 0.3, "notify": 0.5, "push": 0.3, "stats": 0.3, "e2ee": 0.5}
_MESSAGING_RATE: Final = 4.0

_FLOWS: Final[dict[Direction, tuple[str, str]]] = {
    "received": ("sendrecv", "sendonly"),
    "sent": ("sendrecv", "recvonly"),
}
"""Which way messages go on a channel, by its direction, which is the client's."""


class Messaging:
    """Enters one connection's messages into its ledger."""

    def __init__(self, ledger: Ledger, role: Role) -> None:
        self.ledger = ledger
        self.columns = ledger.columns
        self.role = role
        self.on = float(bool(role.labels))

    def enter(self) -> None:
        """The handshakes, what keeps the association alive, and every label."""
        role, ledger = self.role, self.ledger
        ledger.once(self._records("received", 4))
        ledger.once(self._records("sent", 3))
        self._pings()
        self._association()
        for label in role.labels:
            self._label(label)
        self._everything(float(role.everything))

    def _records(self, direction: Direction, count: int) -> Effects:
        through = count * (self.role.turn is not Turn.NONE)
        return together(
            within("dtls", **{f"total_{direction}_dtls": count}),
            within("turn", **{f"total_{direction}_channel_data": through}),
        )

    def packets(self, direction: Direction, chunk: str, *, payload: int = 0, also: str | None = None) -> Effects:
        """One SCTP packet with one chunk, or two; none where the edition does not know the chunk."""
        chunks = [name for name in (chunk, also) if name is not None]
        counted: Effects = {("sctp", f"total_{direction}_sctp_chunk_{name}"): 1 for name in chunks}
        if not any(path in self.columns for path in counted):
            return counted
        prefix = f"total_{direction}_sctp"
        size = _HEADER_BYTES + len(chunks) * _CHUNK_BYTES + payload
        # A packet with INIT or COOKIE-ECHO always bears its checksum (RFC 9653).
        zero = int(self.role.zero_checksum and chunk not in ("init", "cookie_echo"))
        sctp = within("sctp", **{prefix: 1, f"{prefix}_byte_size": size, f"{prefix}_zero_checksum": zero})
        return together(sctp, counted, self._records(direction, 1))

    def _pings(self) -> None:
        """Only WebSocket needs them; over a bad link now and then one stays unanswered."""
        websocket = 1 - self.on
        ping = within("signaling", total_sent_signaling_ping=1)
        pong = within("signaling", total_received_signaling_pong=1)
        self.ledger.flow(websocket / 5, together(ping, pong))
        self.ledger.flow(float(self.role.lossy) / 10, ping)

    def _association(self) -> None:
        flow, once, packets = self.ledger.flow, self.ledger.once, self.packets
        if self.on:
            once(together(packets("received", "init", payload=16), packets("sent", "init_ack", payload=300)))
            once(together(packets("received", "cookie_echo", payload=280), packets("sent", "cookie_ack")))
        probe = together(
            packets("sent", "heartbeat", payload=40), packets("received", "heartbeat_ack", payload=1100, also="pad")
        )
        flow(self.on / 8, probe)

    def _label(self, label: Label) -> None:
        group = (MESSAGES, label.name)
        settings = ("ordered", "max_packet_life_time", "max_retransmits", "protocol", "direction", "compress")
        for name in settings:
            self.ledger.constant((*group, name), getattr(label, name))
        self.ledger.once(
            within(
                *group,
                total_data_channel_open_message=int(label.name.startswith("#")),
                total_data_channel_ack_message=int(label.name.startswith("#")),
                total_received_data_channel_message=1,
                total_received_data_channel_message_byte_size=1,
            )
        )
        rate = _RATES.get(label.name, _MESSAGING_RATE)
        for direction, channels in _FLOWS.items():
            on = float(label.direction in channels or self.role.everything)
            self._messages(label, direction, rate * on)
        self._repairs(label)

    def _messages(self, label: Label, direction: Direction, rate: float) -> None:
        size = self.ledger.random.randint(*((2000, 10_000) if label.name == "stats" else (30, 900)))
        carried = size // _COMPRESSION if label.compress else size
        message = within(
            MESSAGES,
            label.name,
            **{
                f"total_{direction}_data_channel_message": 1,
                f"total_{direction}_data_channel_message_byte_size": size,
            },
        )
        data = self.packets(direction, "data", payload=12 + carried)
        self.ledger.flow(rate, together(message, data, self.packets(opposite(direction), "sack", payload=12)))

    def _repairs(self, label: Label) -> None:
        """Loss costs a message where a limit is set, and time where none is."""
        group = (MESSAGES, label.name)
        everything = float(self.role.everything)
        again = within(*group, total_data_channel_retransmit_message=1)
        self.ledger.flow(
            max(0.3 * self.role.lossy, 0.3 * everything), together(again, self.packets("sent", "data", payload=200))
        )
        gone = within(*group, total_data_channel_abandon_message=1)
        skip = self.packets("sent", "forward_tsn", payload=4)
        self.ledger.flow(max(0.0 if label.reliable else 0.2, 0.3 * everything), together(gone, skip))
        opened = within(*group, total_data_channel_open_message=1, total_data_channel_ack_message=1)
        self.ledger.flow(0.3 * everything, opened)

    def _everything(self, on: float) -> None:
        """An association that runs through every kind of chunk, both ways, and through packets that are none."""
        chunks = {
            direction: self.columns.family("sctp", f"total_{direction}_sctp_chunk_(.+)") for direction in DIRECTIONS
        }
        each: list[Effects] = [
            self.packets(direction, chunk, payload=8) for direction, names in chunks.items() for chunk in names
        ]
        self.ledger.flow(0.25 * on, together(*each))
        self.ledger.flow(0.25 * on, self.packets("sent", "heartbeat", payload=40))
        for field in self.columns.counters("sctp"):
            if "invalid" in field.name or "unknown_sctp" in field.name:
                self.ledger.flow(0.25 * on, together({field.path: 1}, self._records("received", 1)))
