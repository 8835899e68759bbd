"""
The media traffic of the simulated world: RTP with header extensions, simulcast, RTCP, spotlight, and packet loss.

Every event is one packet or a few that belong together. A packet counts in each group that it concerns: in `rtp`, in
its simulcast layer, under each header extension that it carries, and as TURN channel data if it passes through TURN. So
the parts never exceed the whole, at any instant.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .client_roles import ClientRole, TurnTransport
from .counter_increments import DIRECTIONS, NO_INCREMENTS, Direction, Increments, increments_in_group, sum_increments
from .counter_model import CounterModel
from .field_index import FieldIndex

UNKNOWN_EXTENSION: Final = "unknown"
"""Counts header extensions that the server does not know: one packet may carry several."""

_COMMON_EXTENSIONS: Final = {"abs_send_time", "transport_wide_cc", "sdes_mid"}
_VOICE_EXTENSIONS: Final = _COMMON_EXTENSIONS | {"audio_level"}
_SILENCE_EXTENSIONS: Final = _VOICE_EXTENSIONS | {"inband_cn"}
_VIDEO_EXTENSIONS: Final = _COMMON_EXTENSIONS | {"toffset"}
_LAYER_EXTENSIONS: Final = _VIDEO_EXTENSIONS | {"sdes_rtp_stream_id"}
_REPAIR_EXTENSIONS: Final = _VIDEO_EXTENSIONS | {"sdes_repaired_rtp_stream_id"}
_KNOWN_EXTENSIONS: Final = _SILENCE_EXTENSIONS | _LAYER_EXTENSIONS | _REPAIR_EXTENSIONS | {UNKNOWN_EXTENSION}
"""The extensions with a rule of their own; every other one travels on key frames."""

SIMULCAST_LAYER_SHARES: Final = (0.2, 0.35, 0.45)
"""Each simulcast layer's share of a video's packets, smallest layer first."""


class MediaTraffic:
    """Adds one connection's media to its counter model."""

    def __init__(self, model: CounterModel, role: ClientRole) -> None:
        self.model = model
        self.columns: FieldIndex = model.columns
        self.role = role
        self.everything: float = float(role.uses_every_counter)
        extensions = {name for _, name in self.columns.header_extension_counters}
        self.key_frame_extensions: set[str] = extensions - _KNOWN_EXTENSIONS
        self.all_extensions: set[str] = extensions - {UNKNOWN_EXTENSION}

    def add_events(self) -> None:
        """Add audio and video in both directions, feedback, spotlight and loss."""
        role = self.role
        self._add_received_audio(float(role.sends_audio))
        layers = self.columns.simulcast_layers
        for place, layer in enumerate(layers):
            share = SIMULCAST_LAYER_SHARES[min(place, len(SIMULCAST_LAYER_SHARES) - 1)]
            self._add_received_video(share if role.sends_video and role.simulcast else 0.0, layer)
        plain = role.sends_video and not (role.simulcast and layers)
        self._add_received_video(float(plain), None)
        self._add_sent_media(float(role.receives))
        self._add_spotlight(float(role.spotlight))
        self._add_packet_loss(float(role.has_lossy_network))
        active = float(role.sends_audio or role.sends_video or role.receives)
        for direction in DIRECTIONS:
            self._add_rtcp(direction, active)
        if role.has_huge_counters:
            size = 2**53 + self.draw_packet_size(1, 1_000_000)
            model = self.model
            model.add_initial_event(
                increments_in_group("rtp", total_sent_byte_size=size, total_sent_rtp_byte_size=size)
            )

    def draw_packet_size(self, low: int, high: int) -> int:
        """Draw a packet size for this connection."""
        return self.model.random.randint(low, high)

    def turn_channel_data(self, direction: Direction) -> Increments:
        """The channel data of a packet that passes through TURN."""
        return increments_in_group(
            "turn", **{f"total_{direction}_channel_data": int(self.role.turn is not TurnTransport.NONE)}
        )

    def rtp_packet(
        self,
        direction: Direction,
        size: int,
        extensions: Collection[str],
        *,
        unknown: int = 0,
        layer: str | None = None,
        also: Increments = NO_INCREMENTS,
    ) -> Increments:
        """One RTP packet with header extensions, `unknown` of them unknown; `also` are further increments."""
        prefix = f"total_{direction}"
        rtp = increments_in_group(
            "rtp", **{prefix: 1, f"{prefix}_byte_size": size, f"{prefix}_rtp": 1, f"{prefix}_rtp_byte_size": size}
        )
        known = self.columns.header_extension_counters
        carried: Increments = {known[direction, name]: 1 for name in extensions if (direction, name) in known}
        strange: Increments = (
            {known[direction, UNKNOWN_EXTENSION]: unknown} if (direction, UNKNOWN_EXTENSION) in known else {}
        )
        packet = sum_increments(rtp, carried, strange, also)
        layered: Increments = {} if layer is None else {("simulcast", layer, *path): packet[path] for path in packet}
        return sum_increments(packet, layered, self.turn_channel_data(direction))

    def _add_received_audio(self, on: float) -> None:
        flow, packet = self.model.add_steady_events, self.rtp_packet
        red = increments_in_group("rtp", total_received_rtp_red=int(self.role.red))
        speech = sum_increments(red, increments_in_group("rtp", total_received_sounding_rtp=1))
        skipped = sum_increments(
            red, increments_in_group("rtp", total_decrypt_skipped_srtp=1, total_decrypt_skipped_audio_srtp=1)
        )
        flow(30 * on, packet("received", self.draw_packet_size(90, 180), _VOICE_EXTENSIONS, also=speech))
        flow(15 * on, packet("received", self.draw_packet_size(60, 90), _SILENCE_EXTENSIONS, also=red))
        flow(5 * on, packet("received", self.draw_packet_size(60, 180), _VOICE_EXTENSIONS, also=skipped))

    def _add_received_video(self, share: float, layer: str | None) -> None:
        """Add a video or one simulcast layer of it; `share` is its share of the whole video's packets."""
        role = self.role
        carried = _VIDEO_EXTENSIONS if layer is None else _LAYER_EXTENSIONS

        def flow(per_second: float, extensions: Collection[str], size: int, unknown: int = 0, **counts: int) -> None:
            also = increments_in_group("rtp", **counts)
            packet = self.rtp_packet("received", size, extensions, unknown=unknown, layer=layer, also=also)
            self.model.add_steady_events(per_second * share, packet)

        def full() -> int:
            return self.draw_packet_size(900, 1150)

        flow(150, carried, full())
        flow(25, carried, full(), total_decrypt_skipped_srtp=1, total_decrypt_skipped_video_srtp=1)
        # Only the last packet of a key frame has the extensions that change there.
        flow(1, carried | self.key_frame_extensions, full(), total_received_intra_frame=1)
        flow(9 if role.has_lossy_network else 1.5, _REPAIR_EXTENSIONS, full(), total_received_rtp_rtx=1)
        padding = self.draw_packet_size(100, 255)
        padded = {"total_received_rtp_padding": 1, "total_received_rtp_padding_size": padding}
        flow(2, carried, self.draw_packet_size(20, 40) + padding, **padded)
        fec = float(role.fec)
        flow(10 * fec, carried, full(), total_received_rtp_red=1, total_received_rtp_red_ulpfec=1)
        repair = {"total_received_rtp_red": 1, "total_received_rtp_rtx": 1, "total_received_rtp_red_rtx": 1}
        flow(3 * fec, _REPAIR_EXTENSIONS, full(), **repair)
        self.model.add_steady_events(fec * share, increments_in_group("rtp", total_ulpfec_recovered=1))
        flow(2 * self.everything, self.all_extensions, full(), unknown=2)

    def _add_sent_media(self, on: float) -> None:
        flow, packet = self.model.add_steady_events, self.rtp_packet
        flow(80 * on, packet("sent", self.draw_packet_size(60, 180), _VOICE_EXTENSIONS))
        flow(180 * on, packet("sent", self.draw_packet_size(900, 1150), _VIDEO_EXTENSIONS))
        flow(on, packet("sent", self.draw_packet_size(900, 1150), _VIDEO_EXTENSIONS | self.key_frame_extensions))
        strange = packet("sent", self.draw_packet_size(900, 1150), self.all_extensions, unknown=2)
        flow(2 * on * self.everything, strange)

    def _add_spotlight(self, on: float) -> None:
        for field in self.columns.counters("spotlight"):
            self.model.add_steady_events(on * self.model.random.uniform(0.5, 5), {field.path: 1})

    def _add_packet_loss(self, on: float) -> None:
        """Add packets that arrived but were not accepted: they count in the total, but neither as RTP nor as RTCP."""
        for direction in DIRECTIONS:
            dropped = increments_in_group("packet_loss_simulator", **{f"total_dropped_{direction}_rtp": 1})
            self.model.add_steady_events(0.8 * on, self._unclassified_packet(direction, dropped))
            message = increments_in_group("packet_loss_simulator", **{f"total_dropped_{direction}_data_channel": 1})
            self.model.add_steady_events(0.4 * on, message)
        invalid = increments_in_group("rtp", total_received_srtp_invalid=1)
        self.model.add_steady_events(0.3 * on, self._unclassified_packet("received", invalid))

    def _unclassified_packet(self, direction: Direction, reason: Increments) -> Increments:
        """A packet that counts only in the total; no packet if the edition has no counter for the reason."""
        if not any(path in self.columns for path in reason):
            return reason
        prefix = f"total_{direction}"
        rtp = increments_in_group("rtp", **{prefix: 1, f"{prefix}_byte_size": self.draw_packet_size(60, 1150)})
        return sum_increments(rtp, reason, self.turn_channel_data(direction))

    def _rtcp_packet(self, direction: Direction, size: int, *subtypes: str) -> Increments:
        """One compound packet; no packet if the edition has none of its subtypes."""
        counted: Increments = {("rtcp", f"total_{direction}_rtcp_{subtype}"): 1 for subtype in subtypes}
        if not any(path in self.columns for path in counted):
            return counted
        prefix = f"total_{direction}"
        rtp = increments_in_group("rtp", **{prefix: 1, f"{prefix}_byte_size": size})
        rtcp = increments_in_group("rtcp", **{f"{prefix}_rtcp": 1, f"{prefix}_rtcp_byte_size": size})
        return sum_increments(rtp, rtcp, counted, self.turn_channel_data(direction))

    def _add_rtcp(self, direction: Direction, on: float) -> None:
        """Add sender and receiver reports, with other feedback in the same packets; NACK and PLI travel alone."""
        flow = self.model.add_steady_events
        loss = 4.0 if self.role.has_lossy_network else 0.5
        known = {"byte_size", "sr", "rr", "sdes", "rtpfb_generic_nack", "psfb_pli"}
        rest = [
            name
            for name in self.columns.match_counter_names("rtcp", f"total_{direction}_rtcp_(.+)")
            if name not in known
        ]
        flow(3 * on, self._rtcp_packet(direction, self.draw_packet_size(52, 76), "sr", "sdes"))
        flow(1 * on, self._rtcp_packet(direction, self.draw_packet_size(72, 96), "sr", "sdes", "psfb_afb"))
        flow(2 * on, self._rtcp_packet(direction, self.draw_packet_size(32, 56), "rr"))
        flow(2 * on, self._rtcp_packet(direction, self.draw_packet_size(52, 96), "rr", "rtpfb_transport_wide"))
        flow(0.5 * on * self.everything, self._rtcp_packet(direction, self.draw_packet_size(200, 300), "rr", *rest))
        nack = self._rtcp_packet(direction, self.draw_packet_size(16, 24), "rtpfb_generic_nack")
        pli = self._rtcp_packet(direction, 12, "psfb_pli")
        flow(0.2 * on, pli)
        if direction == "sent":
            flow(loss * on, nack)
            flow(0.2 * on, sum_increments(pli, increments_in_group("rtcp", total_pli_trigger=1)))
            return
        # A NACK may ask for several packets; those that are still in the cache are sent again.
        hit = increments_in_group("rtcp", total_generic_nack_cache_hit=1)
        miss = increments_in_group("rtcp", total_generic_nack_cache_miss=1)
        again = self.rtp_packet("sent", self.draw_packet_size(900, 1150), _VIDEO_EXTENSIONS)
        flow(loss * on, sum_increments(nack, hit, again))
        flow(0.2 * loss * on, sum_increments(nack, hit, miss, again))
