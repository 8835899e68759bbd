"""
The kinds of client that take part in the simulated world.

Connection number i of a world has role i modulo 10, so that ten connections show every role and twenty show each one
twice. Roles differ as real clients do; one of them, the interoperability tester, sends everything that has a counter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class StayLength(Enum):
    """How long a client stays before it leaves and returns as a new connection."""

    ALWAYS = "always"
    LONG = "long"
    """Minutes."""
    SHORT = "short"
    """Seconds."""
    UNTIL_FAILURE = "until-failure"
    """Until its network is lost for good and ICE has failed."""


class TurnTransport(Enum):
    """How media and data channels reach the server."""

    NONE = "none"
    UDP = "udp"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChannelConfig:
    """A data channel's configuration; at most one of the two limits is set, and none on a reliable channel."""

    name: str
    direction: str = "sendrecv"
    compress: bool = False
    ordered: bool = True
    max_packet_life_time: int | None = None
    max_retransmits: int | None = None
    protocol: str = ""

    @property
    def is_reliable(self) -> bool:
        """Whether every message finally arrives."""
        return self.max_packet_life_time is None and self.max_retransmits is None


SYSTEM_DATA_CHANNELS: Final = (
    DataChannelConfig(name="signaling", compress=True),
    DataChannelConfig(name="notify", direction="recvonly", compress=True),
    DataChannelConfig(name="push", direction="recvonly", compress=True),
    DataChannelConfig(name="stats", compress=True),
)
E2EE_CHANNEL: Final = DataChannelConfig(name="e2ee")
CHAT_CHANNEL: Final = DataChannelConfig(name="#chat")
POSITIONS_CHANNEL: Final = DataChannelConfig(name="#positions", ordered=False, max_retransmits=3)
SENSOR_CHANNEL: Final = DataChannelConfig(
    name="#センサー", direction="sendonly", ordered=False, max_packet_life_time=500, protocol="telemetry"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRole:
    """
    One kind of client. "Sends" and "receives" are the client's: what it sends is what the server counts as received.

    A client whose `client_id` is None does not name one, and the connection_id takes its place.
    """

    name: str
    client_id: str | None = None
    shares_bundle: bool = False
    """Whether the client's connections in a channel form one bundle."""
    stay: StayLength = StayLength.LONG
    turn: TurnTransport = TurnTransport.UDP
    labels: tuple[DataChannelConfig, ...] = (*SYSTEM_DATA_CHANNELS, E2EE_CHANNEL)
    """Empty if signaling uses WebSocket."""
    sends_audio: bool = True
    sends_video: bool = True
    receives: bool = True
    simulcast: bool = False
    spotlight: bool = False
    red: bool = False
    """Audio is sent as RED."""
    fec: bool = False
    """Video is protected by ULPFEC in RED."""
    has_lossy_network: bool = False
    """A bad radio link: loss, unstable levels, outages; the server's packet loss simulator drops packets as well."""
    zero_checksum: bool = False
    has_huge_counters: bool = False
    """Whether it has sent so much that some sizes are above 2**53."""
    uses_every_counter: bool = False
    """Whether it sends everything that has a counter, sensible or not."""


CLIENT_ROLES: Final = (
    ClientRole(
        name="camera",
        client_id="spam",
        shares_bundle=True,
        stay=StayLength.ALWAYS,
        simulcast=True,
        labels=(*SYSTEM_DATA_CHANNELS, E2EE_CHANNEL, CHAT_CHANNEL),
    ),
    ClientRole(
        name="screen", client_id="spam", shares_bundle=True, sends_audio=False, receives=False, zero_checksum=True
    ),
    ClientRole(
        name="viewer",
        turn=TurnTransport.TCP,
        sends_audio=False,
        sends_video=False,
        has_huge_counters=True,
        labels=(*SYSTEM_DATA_CHANNELS, CHAT_CHANNEL, POSITIONS_CHANNEL),
    ),
    ClientRole(name="browser", client_id="viewer", labels=(), fec=True),
    ClientRole(name="visitor", stay=StayLength.SHORT),
    ClientRole(name="speaker", client_id="eggs", turn=TurnTransport.TCP, simulcast=True, spotlight=True),
    ClientRole(
        name="mobile",
        stay=StayLength.ALWAYS,
        has_lossy_network=True,
        spotlight=True,
        labels=(*SYSTEM_DATA_CHANNELS, POSITIONS_CHANNEL, SENSOR_CHANNEL),
    ),
    ClientRole(name="telephone", client_id="spam", turn=TurnTransport.NONE, labels=(), sends_video=False, red=True),
    ClientRole(
        name="tester",
        client_id="eggs",
        stay=StayLength.ALWAYS,
        simulcast=True,
        spotlight=True,
        red=True,
        fec=True,
        zero_checksum=True,
        uses_every_counter=True,
        labels=(*SYSTEM_DATA_CHANNELS, E2EE_CHANNEL, CHAT_CHANNEL),
    ),
    ClientRole(name="lost", stay=StayLength.UNTIL_FAILURE),
)
