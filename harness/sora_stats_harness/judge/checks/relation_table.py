"""The relations between counters, as data. Each holds in public captures, for a reason that a protocol gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from ..requirement import DOCUMENTATION_SOURCE, Level, Requirement

_OPERATOR: Final = re.compile(" (==|<=) ")
_TERM: Final = re.compile(r"(?:(\d+) x )?(\S+)(?: but (\w+))?")


class RelationTerm(msgspec.Struct, frozen=True):
    """One term of a sum: a counter, or all counters whose names begin with what stands before a `*`."""

    factor: int
    path: tuple[str, ...]
    but: str | None
    """What the `*` does not stand for."""


class RelationTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """`left operator right`, both sums; with `each`, every counter of the left is compared by itself."""

    requirement: Requirement
    left: tuple[RelationTerm, ...]
    operator: str
    right: tuple[RelationTerm, ...]
    each: bool
    unless: tuple[RelationTerm, ...]
    """If one of these counters is not 0, `==` means `>=`."""


def relation_row(name: str, title: str, source: str, traffic: str) -> Requirement:
    """Make the requirement of a relation between counters of one sample."""
    return Requirement(
        id=f"relation.{name}",
        level=Level.PROVEN,
        title=title,
        reason="Every consumer that adds, subtracts or divides these counters relies on it.",
        grounds="It holds in every public capture, and a protocol or the names say why. Without responses before "
        "and after to confirm it, it is a HABIT, or INFO if there might have been some.",
        source=source,
        message="{field} contradicts other counters{unsure}",
        needs_traffic=traffic,
        masked_by="a counter that is absent, that violates counter.monotonic, or whose value can't be used",
    )


def _relations(requirement: Requirement, *formulas: str, unless: str = "") -> Iterator[RelationTemplate]:
    """What a requirement demands; a formula with WAY holds for received and for sent."""
    for formula in formulas:
        for way in ("received", "sent") if "WAY" in formula else ("",):
            left, operator, right = _OPERATOR.split(formula.replace("WAY", way))
            yield RelationTemplate(
                requirement=requirement,
                left=_parse_sum(left.removeprefix("each ")),
                operator=operator,
                right=_parse_sum(right),
                each=left.startswith("each "),
                unless=_parse_sum(unless),
            )


def _parse_sum(text: str) -> tuple[RelationTerm, ...]:
    found = (_TERM.fullmatch(term) for term in text.split(" + ") if term)
    return tuple(RelationTerm(int(each[1] or 1), tuple(each[2].split(".")), each[3]) for each in found if each)


_LOST_PACKETS: Final = (
    "rtp.total_received_srtp_invalid + packet_loss_simulator.total_dropped_received_rtp + "
    "packet_loss_simulator.total_dropped_sent_rtp"
)

RELATION_TEMPLATES: Final = (
    *_relations(
        relation_row("total_packets", "Packets are those of RTP and those of RTCP", "RFC 5761", "RTP or RTCP packets"),
        "rtp.total_WAY == rtp.total_WAY_rtp + rtcp.total_WAY_rtcp",
        unless=_LOST_PACKETS,
    ),
    *_relations(
        relation_row("total_byte_size", "Bytes are those of RTP and those of RTCP", "RFC 5761", "RTP or RTCP packets"),
        "rtp.total_WAY_byte_size == rtp.total_WAY_rtp_byte_size + rtcp.total_WAY_rtcp_byte_size",
        unless=_LOST_PACKETS,
    ),
    *_relations(
        relation_row("rtp_min_size", "An RTP packet has at least 12 bytes", "RFC 3550, 5.1", "RTP packets"),
        "12 x rtp.total_WAY_rtp <= rtp.total_WAY_rtp_byte_size",
    ),
    *_relations(
        relation_row("rtcp_min_size", "An RTCP packet has at least 8 bytes", "RFC 3550, 6.4", "RTCP packets"),
        "8 x rtcp.total_WAY_rtcp <= rtcp.total_WAY_rtcp_byte_size",
    ),
    *_relations(
        relation_row(
            "rtcp_subtypes",
            "Every RTCP packet has at least one part of a known or unknown kind",
            "RFC 3550, 6.1",
            "RTCP packets",
        ),
        "rtcp.total_WAY_rtcp <= rtcp.total_WAY_rtcp_bye + rtcp.total_WAY_rtcp_psfb_* + rtcp.total_WAY_rtcp_rr + "
        "rtcp.total_WAY_rtcp_rtpfb_* + rtcp.total_WAY_rtcp_sdes + rtcp.total_WAY_rtcp_sr + "
        "rtcp.total_WAY_rtcp_unknown + rtcp.total_WAY_rtcp_xr",
    ),
    *_relations(
        relation_row("rtp_hdr_ext", "A packet carries a header extension at most once", "RFC 8285, 4.1", "RTP packets"),
        "each rtp_hdr_ext.total_WAY_rtp_hdr_ext_* but unknown <= rtp.total_WAY_rtp",
        "each rtp_hdrext.total_WAY_rtp_hdrext_* but unknown <= rtp.total_WAY_rtp",  # its name in later editions
    ),
    *_relations(
        relation_row("sctp_chunks", "Every SCTP packet has at least one chunk", "RFC 9260, 3", "data channels"),
        "sctp.total_WAY_sctp <= sctp.total_WAY_sctp_chunk_*",
    ),
    *_relations(
        relation_row(
            "sctp_min_size", "SCTP packets have 12 bytes, and 4 for each chunk", "RFC 9260, 3", "data channels"
        ),
        "12 x sctp.total_WAY_sctp + 4 x sctp.total_WAY_sctp_chunk_* <= sctp.total_WAY_sctp_byte_size",
    ),
    *_relations(
        relation_row("sctp_zero_checksum", "Packets with a zero checksum are among all", "RFC 9653", "data channels"),
        "sctp.total_WAY_sctp_zero_checksum <= sctp.total_WAY_sctp",
    ),
    *_relations(
        relation_row(
            "decrypt_skipped",
            "Undecrypted packets are audio or video",
            f"{DOCUMENTATION_SOURCE}: rtp",
            "packets not decrypted",
        ),
        "rtp.total_decrypt_skipped_srtp == rtp.total_decrypt_skipped_audio_srtp + rtp.total_decrypt_skipped_video_srtp",
    ),
    *_relations(
        relation_row(
            "decrypt_skipped_received",
            "No more packets are undecrypted than received",
            f"{DOCUMENTATION_SOURCE}: rtp",
            "RTP packets",
        ),
        "rtp.total_decrypt_skipped_srtp <= rtp.total_received_rtp",
    ),
    *_relations(
        relation_row(
            "rtp_subset",
            "Retransmitted, padding and RED packets are among those received",
            f"{DOCUMENTATION_SOURCE}: rtp",
            "RTP packets",
        ),
        *(
            f"rtp.total_received_rtp_{name} <= rtp.total_received_rtp"
            for name in ("rtx", "padding", "red", "red_rtx", "red_ulpfec")
        ),
    ),
    *_relations(
        relation_row(
            "sctp_responses",
            "No more SCTP responses are sent than requests were received",
            "RFC 9260, 3.3",
            "data channels",
        ),
        "sctp.total_sent_sctp_chunk_init_ack <= sctp.total_received_sctp_chunk_init",
        "sctp.total_sent_sctp_chunk_cookie_ack <= sctp.total_received_sctp_chunk_cookie_echo",
        "sctp.total_sent_sctp_chunk_heartbeat_ack <= sctp.total_received_sctp_chunk_heartbeat",
    ),
    *_relations(
        relation_row(
            "turn_responses", "No more TURN responses are sent than requests were received", "RFC 8656", "TURN"
        ),
        *(
            f"turn.total_sent_{name}_success + turn.total_sent_{name}_error <= turn.total_received_{name}_request"
            for name in ("allocate", "refresh", "create_permission", "channel_bind", "binding")
        ),
    ),
    *_relations(
        relation_row("ice_acks", "No more ICE responses than requests", "RFC 8445", "ICE checks"),
        "ice_connection_state.total_connected_ack + ice_connection_state.total_checking_ack + "
        "ice_connection_state.total_disconnected_ack <= ice_connection_state.total_connected_req + "
        "ice_connection_state.total_checking_req + ice_connection_state.total_disconnected_req",
    ),
    *_relations(
        relation_row(
            "ice_connected",
            "The connected state is left no more often than entered",
            f"{DOCUMENTATION_SOURCE}: ice_connection_state",
            "ICE state changes",
        ),
        "ice_connection_state.total_connected_to_checking <= ice_connection_state.total_checking_to_connected",
    ),
    *_relations(
        relation_row(
            "ice_disconnected",
            "The disconnected state is left no more often than entered",
            f"{DOCUMENTATION_SOURCE}: ice_connection_state",
            "ICE state changes",
        ),
        "ice_connection_state.total_disconnected_to_failed + ice_connection_state.total_disconnected_to_checking <= "
        "ice_connection_state.total_checking_to_disconnected",
    ),
    *_relations(
        relation_row(
            "simulcast_sum",
            "The layers together have no more than the whole",
            f"{DOCUMENTATION_SOURCE}: simulcast",
            "simulcast",
        ),
        *(
            f"simulcast.r0.rtp.{name} + simulcast.r1.rtp.{name} + simulcast.r2.rtp.{name} <= rtp.{name}"
            for name in (
                "total_decrypt_skipped_srtp",
                "total_received_rtp",
                "total_received_rtp_byte_size",
                "total_received_rtp_padding",
                "total_received_rtp_padding_size",
                "total_received_rtp_red",
                "total_received_rtp_red_rtx",
                "total_received_rtp_red_ulpfec",
                "total_received_rtp_rtx",
            )
        ),
    ),
)
"""Every relation except that of the unstable level, which involves a gauge."""

RELATION_REQUIREMENTS: Final = tuple(dict.fromkeys(template.requirement for template in RELATION_TEMPLATES))
