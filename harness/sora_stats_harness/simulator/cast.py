"""
Who takes part: the kinds of client of which the world is made.

Slot i of a world plays role i modulo 10, so that ten connections show every role and twenty show each one twice. Roles
differ in what real clients differ in; one of them, the interoperability tester, sends everything that has a counter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Stay(Enum):
    """How long a client stays before it leaves, and comes back as a new connection."""

    ALWAYS = "always"
    LONG = "long"
    """Minutes."""
    SHORT = "short"
    """Seconds."""
    UNTIL_FAILURE = "until-failure"
    """Until its network is lost for good and ICE has given up."""


class Turn(Enum):
    """How media and data channels reach the server."""

    NONE = "none"
    UDP = "udp"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A data channel's configuration; at most one of the two limits is set, none on a reliable channel."""

    name: str
    direction: str = "sendrecv"
    compress: bool = False
    ordered: bool = True
    max_packet_life_time: int | None = None
    max_retransmits: int | None = None
    protocol: str = ""

    @property
    def reliable(self) -> bool:
        """Whether every message arrives in the end."""
        return self.max_packet_life_time is None and self.max_retransmits is None


SYSTEM_LABELS: Final = (
    Label(name="signaling", compress=True),
    Label(name="notify", direction="recvonly", compress=True),
    Label(name="push", direction="recvonly", compress=True),
    Label(name="stats", compress=True),
)
E2EE: Final = Label(name="e2ee")
CHAT: Final = Label(name="#chat")
POSITIONS: Final = Label(name="#positions", ordered=False, max_retransmits=3)
SENSOR: Final = Label(
    name="#センサー", direction="sendonly", ordered=False, max_packet_life_time=500, protocol="telemetry"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """
    One kind of client. "Sends" and "receives" are the client's: what it sends is what the server counts as received.

    `client` is the client_id; None means that it names none, so that its connection_id stands in.
    """

    name: str
    client: str | None = None
    shares_bundle: bool = False
    """Whether the client's connections in a channel form one bundle."""
    stay: Stay = Stay.LONG
    turn: Turn = Turn.UDP
    labels: tuple[Label, ...] = (*SYSTEM_LABELS, E2EE)
    """None at all: signaling goes over WebSocket."""
    sends_audio: bool = True
    sends_video: bool = True
    receives: bool = True
    simulcast: bool = False
    spotlight: bool = False
    red: bool = False
    """Audio is sent as RED."""
    fec: bool = False
    """Video is protected by ULPFEC in RED."""
    lossy: bool = False
    """A bad radio link: loss, unstable levels, outages, and the server's packet loss simulator on top."""
    zero_checksum: bool = False
    vast: bool = False
    """Has sent so much that some sizes are above 2**53."""
    everything: bool = False
    """Sends whatever has a counter, sensible or not."""


CAST: Final = (
    Role(
        name="camera", client="spam", shares_bundle=True, stay=Stay.ALWAYS, simulcast=True,
        labels=(*SYSTEM_LABELS, E2EE, CHAT),
    ),
    Role(name="screen", client="spam", shares_bundle=True, sends_audio=False, receives=False, zero_checksum=True),
    Role(
        name="viewer", turn=Turn.TCP, sends_audio=False, sends_video=False, vast=True,
        labels=(*SYSTEM_LABELS, CHAT, POSITIONS),
    ),
    Role(name="browser", client="viewer", labels=(), fec=True),
    Role(name="visitor", stay=Stay.SHORT),
    Role(name="speaker", client="eggs", turn=Turn.TCP, simulcast=True, spotlight=True),
    Role(
        name="mobile", stay=Stay.ALWAYS, lossy=True, spotlight=True, labels=(*SYSTEM_LABELS, POSITIONS, SENSOR),
    ),
    Role(name="telephone", client="spam", turn=Turn.NONE, labels=(), sends_video=False, red=True),
    Role(
        name="tester", client="eggs", stay=Stay.ALWAYS, simulcast=True, spotlight=True, red=True, fec=True,
        zero_checksum=True, everything=True, labels=(*SYSTEM_LABELS, E2EE, CHAT),
    ),
    Role(name="lost", stay=Stay.UNTIL_FAILURE),
)  # fmt: skip
