"""
RTP with its header extensions, simulcast layers, RTCP, spotlight, and what the packet loss simulator takes away.

Every event is one packet or a few that belong together. A packet counts in each group that it concerns: in `rtp`, in
the layer that it belongs to, under each header extension that it carries, and as TURN channel data where it came that
way. So parts never exceed the whole, at any instant.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .cast import Role, Turn
from .effects import DIRECTIONS, NOTHING, Direction, Effects, together, within
from .ledger import Ledger

UNKNOWN: Final = "unknown"
"""Counts header extensions that the server does not know: one packet may carry several."""

_COMMON: Final = {"abs_send_time", "transport_wide_cc", "sdes_mid"}
_VOICE: Final = _COMMON | {"audio_level"}
_SILENCE: Final = _VOICE | {"inband_cn"}
_VIDEO: Final = _COMMON | {"toffset"}
_LAYER: Final = _VIDEO | {"sdes_rtp_stream_id"}
_REPAIR: Final = _VIDEO | {"sdes_repaired_rtp_stream_id"}
_NAMED: Final = _SILENCE | _LAYER | _REPAIR | {UNKNOWN}
"""Every other extension, known to this file or not, travels on key frames."""

SHARES: Final = (0.2, 0.35, 0.45)
"""Of a video's packets, what each simulcast layer takes, smallest first."""


class Media:
    """Enters one connection's media into its ledger."""

    def __init__(self, ledger: Ledger, role: Role) -> None:
        self.ledger = ledger
        self.columns = ledger.columns
        self.role = role
        self.everything = float(role.everything)
        extensions = {name for _, name in self.columns.extensions}
        self.key_frame_extensions = extensions - _NAMED
        self.all_extensions = extensions - {UNKNOWN}

    def enter(self) -> None:
        """Audio and video both ways, feedback, spotlight, loss."""
        role = self.role
        self._audio_in(float(role.sends_audio))
        layers = self.columns.layers
        for place, layer in enumerate(layers):
            share = SHARES[min(place, len(SHARES) - 1)]
            self._video_in(share if role.sends_video and role.simulcast else 0.0, layer)
        plain = role.sends_video and not (role.simulcast and layers)
        self._video_in(float(plain), None)
        self._sent(float(role.receives))
        self._spotlight(float(role.spotlight))
        self._lost(float(role.lossy))
        active = float(role.sends_audio or role.sends_video or role.receives)
        for direction in DIRECTIONS:
            self._rtcp(direction, active)
        if role.vast:
            size = 2**53 + self.size(1, 1_000_000)
            ledger = self.ledger
            ledger.once(within("rtp", total_sent_byte_size=size, total_sent_rtp_byte_size=size))

    def size(self, low: int, high: int) -> int:
        """A packet size of this connection."""
        return self.ledger.random.randint(low, high)

    def through(self, direction: Direction) -> Effects:
        """What passes through TURN is channel data there."""
        return within("turn", **{f"total_{direction}_channel_data": int(self.role.turn is not Turn.NONE)})

    def packet(
        self,
        direction: Direction,
        size: int,
        extensions: Collection[str],
        *,
        unknown: int = 0,
        layer: str | None = None,
        also: Effects = NOTHING,
    ) -> Effects:
        """One RTP packet with header extensions, `unknown` of them not known; `also` is whatever else it counts as."""
        prefix = f"total_{direction}"
        rtp = within(
            "rtp",
            **{prefix: 1, f"{prefix}_byte_size": size, f"{prefix}_rtp": 1, f"{prefix}_rtp_byte_size": size},
        )
        known = self.columns.extensions
        carried: Effects = {known[direction, name]: 1 for name in extensions if (direction, name) in known}
        strange: Effects = {known[direction, UNKNOWN]: unknown} if (direction, UNKNOWN) in known else {}
        packet = together(rtp, carried, strange, also)
        layered: Effects = {} if layer is None else {("simulcast", layer, *path): packet[path] for path in packet}
        return together(packet, layered, self.through(direction))

    def _audio_in(self, on: float) -> None:
        flow, packet = self.ledger.flow, self.packet
        red = within("rtp", total_received_rtp_red=int(self.role.red))
        speech = together(red, within("rtp", total_received_sounding_rtp=1))
        skipped = together(red, within("rtp", total_decrypt_skipped_srtp=1, total_decrypt_skipped_audio_srtp=1))
        flow(30 * on, packet("received", self.size(90, 180), _VOICE, also=speech))
        flow(15 * on, packet("received", self.size(60, 90), _SILENCE, also=red))
        flow(5 * on, packet("received", self.size(60, 180), _VOICE, also=skipped))

    def _video_in(self, share: float, layer: str | None) -> None:
        """One video, or one simulcast layer of it; `share` is the part of the whole video's packets."""
        role = self.role
        carried = _VIDEO if layer is None else _LAYER

        def flow(per_second: float, extensions: Collection[str], size: int, unknown: int = 0, **counts: int) -> None:
            also = within("rtp", **counts)
            packet = self.packet("received", size, extensions, unknown=unknown, layer=layer, also=also)
            self.ledger.flow(per_second * share, packet)

        def full() -> int:
            return self.size(900, 1150)

        flow(150, carried, full())
        flow(25, carried, full(), total_decrypt_skipped_srtp=1, total_decrypt_skipped_video_srtp=1)
        # The last packet of a key frame bears what only changes there; the others are packets like any other.
        flow(1, carried | self.key_frame_extensions, full(), total_received_intra_frame=1)
        flow(9 if role.lossy else 1.5, _REPAIR, full(), total_received_rtp_rtx=1)
        padding = self.size(100, 255)
        padded = {"total_received_rtp_padding": 1, "total_received_rtp_padding_size": padding}
        flow(2, carried, self.size(20, 40) + padding, **padded)
        fec = float(role.fec)
        flow(10 * fec, carried, full(), total_received_rtp_red=1, total_received_rtp_red_ulpfec=1)
        repair = {"total_received_rtp_red": 1, "total_received_rtp_rtx": 1, "total_received_rtp_red_rtx": 1}
        flow(3 * fec, _REPAIR, full(), **repair)
        self.ledger.flow(fec * share, within("rtp", total_ulpfec_recovered=1))
        flow(2 * self.everything, self.all_extensions, full(), unknown=2)

    def _sent(self, on: float) -> None:
        flow, packet = self.ledger.flow, self.packet
        flow(80 * on, packet("sent", self.size(60, 180), _VOICE))
        flow(180 * on, packet("sent", self.size(900, 1150), _VIDEO))
        flow(on, packet("sent", self.size(900, 1150), _VIDEO | self.key_frame_extensions))
        strange = packet("sent", self.size(900, 1150), self.all_extensions, unknown=2)
        flow(2 * on * self.everything, strange)

    def _spotlight(self, on: float) -> None:
        for field in self.columns.counters("spotlight"):
            self.ledger.flow(on * self.ledger.random.uniform(0.5, 5), {field.path: 1})

    def _lost(self, on: float) -> None:
        """What arrived and was not accepted counts in the total, and neither as RTP nor as RTCP."""
        for direction in DIRECTIONS:
            dropped = within("packet_loss_simulator", **{f"total_dropped_{direction}_rtp": 1})
            self.ledger.flow(0.8 * on, self._unaccounted(direction, dropped))
            message = within("packet_loss_simulator", **{f"total_dropped_{direction}_data_channel": 1})
            self.ledger.flow(0.4 * on, message)
        invalid = within("rtp", total_received_srtp_invalid=1)
        self.ledger.flow(0.3 * on, self._unaccounted("received", invalid))

    def _unaccounted(self, direction: Direction, reason: Effects) -> Effects:
        """A packet that is only in the total; none at all where the edition has no counter that tells of it."""
        if not any(path in self.columns for path in reason):
            return reason
        prefix = f"total_{direction}"
        rtp = within("rtp", **{prefix: 1, f"{prefix}_byte_size": self.size(60, 1150)})
        return together(rtp, reason, self.through(direction))

    def _report(self, direction: Direction, size: int, *subtypes: str) -> Effects:
        """One compound packet; no packet at all where the edition has none of its subtypes."""
        counted: Effects = {("rtcp", f"total_{direction}_rtcp_{subtype}"): 1 for subtype in subtypes}
        if not any(path in self.columns for path in counted):
            return counted
        prefix = f"total_{direction}"
        rtp = within("rtp", **{prefix: 1, f"{prefix}_byte_size": size})
        rtcp = within("rtcp", **{f"{prefix}_rtcp": 1, f"{prefix}_rtcp_byte_size": size})
        return together(rtp, rtcp, counted, self.through(direction))

    def _rtcp(self, direction: Direction, on: float) -> None:
        """Sender and receiver reports, with other feedback in the same packets; NACK and PLI travel alone."""
        flow = self.ledger.flow
        loss = 4.0 if self.role.lossy else 0.5
        known = {"byte_size", "sr", "rr", "sdes", "rtpfb_generic_nack", "psfb_pli"}
        rest = [name for name in self.columns.family("rtcp", f"total_{direction}_rtcp_(.+)") if name not in known]
        flow(3 * on, self._report(direction, self.size(52, 76), "sr", "sdes"))
        flow(1 * on, self._report(direction, self.size(72, 96), "sr", "sdes", "psfb_afb"))
        flow(2 * on, self._report(direction, self.size(32, 56), "rr"))
        flow(2 * on, self._report(direction, self.size(52, 96), "rr", "rtpfb_transport_wide"))
        flow(0.5 * on * self.everything, self._report(direction, self.size(200, 300), "rr", *rest))
        nack = self._report(direction, self.size(16, 24), "rtpfb_generic_nack")
        pli = self._report(direction, 12, "psfb_pli")
        flow(0.2 * on, pli)
        if direction == "sent":
            flow(loss * on, nack)
            flow(0.2 * on, together(pli, within("rtcp", total_pli_trigger=1)))
            return
        # A NACK may ask for several packets; what is still in the cache is sent again.
        hit = within("rtcp", total_generic_nack_cache_hit=1)
        miss = within("rtcp", total_generic_nack_cache_miss=1)
        again = self.packet("sent", self.size(900, 1150), _VIDEO)
        flow(loss * on, together(nack, hit, again))
        flow(0.2 * loss * on, together(nack, hit, miss, again))
