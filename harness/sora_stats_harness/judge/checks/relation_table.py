"""The relations between counters, as data. Each holds in public captures, for a reason that a protocol gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from ..requirement import DOCUMENTATION_SOURCE, Level, Requirement

Operator = Literal["==", "<="]


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


TOTAL_PACKETS: Final = relation_row(
    "total_packets", "Packets are those of RTP and those of RTCP", "RFC 5761", "RTP or RTCP packets"
)
TOTAL_BYTE_SIZE: Final = relation_row(
    "total_byte_size", "Bytes are those of RTP and those of RTCP", "RFC 5761", "RTP or RTCP packets"
)
DECRYPT_SKIPPED: Final = relation_row(
    "decrypt_skipped",
    "Undecrypted packets are audio or video",
    f"{DOCUMENTATION_SOURCE}: rtp",
    "packets not decrypted",
)
DECRYPT_SKIPPED_RECEIVED: Final = relation_row(
    "decrypt_skipped_received",
    "No more packets are undecrypted than received",
    f"{DOCUMENTATION_SOURCE}: rtp",
    "RTP packets",
)
RTP_MIN_SIZE: Final = relation_row(
    "rtp_min_size", "An RTP packet has at least 12 bytes", "RFC 3550, 5.1", "RTP packets"
)
RTCP_MIN_SIZE: Final = relation_row(
    "rtcp_min_size", "An RTCP packet has at least 8 bytes", "RFC 3550, 6.4", "RTCP packets"
)
RTP_SUBSET: Final = relation_row(
    "rtp_subset",
    "Retransmitted, padding and RED packets are among those received",
    f"{DOCUMENTATION_SOURCE}: rtp",
    "RTP packets",
)
RTCP_SUBTYPES: Final = relation_row(
    "rtcp_subtypes",
    "Every RTCP packet has at least one part of a known or unknown kind",
    "RFC 3550, 6.1",
    "RTCP packets",
)
RTP_HDR_EXT: Final = relation_row(
    "rtp_hdr_ext", "A packet carries a header extension at most once", "RFC 8285, 4.1", "RTP packets"
)
SCTP_CHUNKS: Final = relation_row(
    "sctp_chunks", "Every SCTP packet has at least one chunk", "RFC 9260, 3", "data channels"
)
SCTP_MIN_SIZE: Final = relation_row(
    "sctp_min_size", "SCTP packets have 12 bytes, and 4 for each chunk", "RFC 9260, 3", "data channels"
)
SCTP_ZERO_CHECKSUM: Final = relation_row(
    "sctp_zero_checksum", "Packets with a zero checksum are among all", "RFC 9653", "data channels"
)
SCTP_RESPONSES: Final = relation_row(
    "sctp_responses", "No more SCTP responses are sent than requests were received", "RFC 9260, 3.3", "data channels"
)
TURN_RESPONSES: Final = relation_row(
    "turn_responses", "No more TURN responses are sent than requests were received", "RFC 8656", "TURN"
)
ICE_ACKS: Final = relation_row("ice_acks", "No more ICE responses than requests", "RFC 8445", "ICE checks")
ICE_CONNECTED: Final = relation_row(
    "ice_connected",
    "The connected state is left no more often than entered",
    f"{DOCUMENTATION_SOURCE}: ice_connection_state",
    "ICE state changes",
)
ICE_DISCONNECTED: Final = relation_row(
    "ice_disconnected",
    "The disconnected state is left no more often than entered",
    f"{DOCUMENTATION_SOURCE}: ice_connection_state",
    "ICE state changes",
)
SIMULCAST_SUM: Final = relation_row(
    "simulcast_sum",
    "The layers together have no more than the whole",
    f"{DOCUMENTATION_SOURCE}: simulcast",
    "simulcast",
)


class RelationTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """
    `left operator right`, both sums over paths; a path's last name may end in `*`, for all counters with that prefix.

    With `each`, every path of the left is compared separately. If a counter of `unless` is not 0, `==` means `>=`.
    `scale` multiplies the terms of the left, path by path.
    """

    requirement: Requirement
    left: tuple[str, ...]
    operator: Operator
    right: tuple[str, ...]
    scale: tuple[int, ...] = ()
    each: bool = False
    unless: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    """Paths that a `*` on the left excludes."""


_LOSS_COUNTERS = (
    "rtp.total_received_srtp_invalid",
    "packet_loss_simulator.total_dropped_received_rtp",
    "packet_loss_simulator.total_dropped_sent_rtp",
)


def _for_both_directions(template: RelationTemplate) -> Iterator[RelationTemplate]:
    """A relation for received, and the same for sent."""
    for way in ("received", "sent"):

        def fill(paths: tuple[str, ...], way: str = way) -> tuple[str, ...]:
            return tuple(path.replace("WAY", way) for path in paths)

        yield msgspec.structs.replace(
            template, left=fill(template.left), right=fill(template.right), but=fill(template.but)
        )


def _all_templates(*templates: RelationTemplate) -> tuple[RelationTemplate, ...]:
    return tuple(relation for template in templates for relation in _for_both_directions(template))


_SIMULCAST_NAMES = (
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

RELATION_TEMPLATES: Final[tuple[RelationTemplate, ...]] = (
    *_all_templates(
        RelationTemplate(
            requirement=TOTAL_PACKETS,
            left=("rtp.total_WAY",),
            operator="==",
            right=("rtp.total_WAY_rtp", "rtcp.total_WAY_rtcp"),
            unless=_LOSS_COUNTERS,
        ),
        RelationTemplate(
            requirement=TOTAL_BYTE_SIZE,
            left=("rtp.total_WAY_byte_size",),
            operator="==",
            right=("rtp.total_WAY_rtp_byte_size", "rtcp.total_WAY_rtcp_byte_size"),
            unless=_LOSS_COUNTERS,
        ),
        RelationTemplate(
            requirement=RTP_MIN_SIZE,
            left=("rtp.total_WAY_rtp",),
            scale=(12,),
            operator="<=",
            right=("rtp.total_WAY_rtp_byte_size",),
        ),
        RelationTemplate(
            requirement=RTCP_MIN_SIZE,
            left=("rtcp.total_WAY_rtcp",),
            scale=(8,),
            operator="<=",
            right=("rtcp.total_WAY_rtcp_byte_size",),
        ),
        RelationTemplate(
            requirement=RTCP_SUBTYPES,
            left=("rtcp.total_WAY_rtcp",),
            operator="<=",
            right=(
                "rtcp.total_WAY_rtcp_bye",
                "rtcp.total_WAY_rtcp_psfb_*",
                "rtcp.total_WAY_rtcp_rr",
                "rtcp.total_WAY_rtcp_rtpfb_*",
                "rtcp.total_WAY_rtcp_sdes",
                "rtcp.total_WAY_rtcp_sr",
                "rtcp.total_WAY_rtcp_unknown",
                "rtcp.total_WAY_rtcp_xr",
            ),
        ),
        RelationTemplate(
            requirement=RTP_HDR_EXT,
            left=("rtp_hdr_ext.total_WAY_rtp_hdr_ext_*",),
            each=True,
            operator="<=",
            right=("rtp.total_WAY_rtp",),
            but=("rtp_hdr_ext.total_WAY_rtp_hdr_ext_unknown",),
        ),
        RelationTemplate(
            requirement=RTP_HDR_EXT,
            left=("rtp_hdrext.total_WAY_rtp_hdrext_*",),
            each=True,
            operator="<=",
            right=("rtp.total_WAY_rtp",),
            but=("rtp_hdrext.total_WAY_rtp_hdrext_unknown",),
        ),  # its name in later editions
        RelationTemplate(
            requirement=SCTP_CHUNKS,
            left=("sctp.total_WAY_sctp",),
            operator="<=",
            right=("sctp.total_WAY_sctp_chunk_*",),
        ),
        RelationTemplate(
            requirement=SCTP_MIN_SIZE,
            left=("sctp.total_WAY_sctp", "sctp.total_WAY_sctp_chunk_*"),
            scale=(12, 4),
            operator="<=",
            right=("sctp.total_WAY_sctp_byte_size",),
        ),
        RelationTemplate(
            requirement=SCTP_ZERO_CHECKSUM,
            left=("sctp.total_WAY_sctp_zero_checksum",),
            operator="<=",
            right=("sctp.total_WAY_sctp",),
        ),
    ),
    RelationTemplate(
        requirement=DECRYPT_SKIPPED,
        left=("rtp.total_decrypt_skipped_srtp",),
        operator="==",
        right=("rtp.total_decrypt_skipped_audio_srtp", "rtp.total_decrypt_skipped_video_srtp"),
    ),
    RelationTemplate(
        requirement=DECRYPT_SKIPPED_RECEIVED,
        left=("rtp.total_decrypt_skipped_srtp",),
        operator="<=",
        right=("rtp.total_received_rtp",),
    ),
    RelationTemplate(
        requirement=RTP_SUBSET,
        each=True,
        operator="<=",
        right=("rtp.total_received_rtp",),
        left=(
            "rtp.total_received_rtp_rtx",
            "rtp.total_received_rtp_padding",
            "rtp.total_received_rtp_red",
            "rtp.total_received_rtp_red_rtx",
            "rtp.total_received_rtp_red_ulpfec",
        ),
    ),
    *(
        RelationTemplate(
            requirement=SCTP_RESPONSES,
            left=(f"sctp.total_sent_sctp_chunk_{response}",),
            operator="<=",
            right=(f"sctp.total_received_sctp_chunk_{request}",),
        )
        for response, request in (
            ("init_ack", "init"),
            ("cookie_ack", "cookie_echo"),
            ("heartbeat_ack", "heartbeat"),
        )
    ),
    *(
        RelationTemplate(
            requirement=TURN_RESPONSES,
            left=(f"turn.total_sent_{name}_success", f"turn.total_sent_{name}_error"),
            operator="<=",
            right=(f"turn.total_received_{name}_request",),
        )
        for name in ("allocate", "refresh", "create_permission", "channel_bind", "binding")
    ),
    RelationTemplate(
        requirement=ICE_ACKS,
        operator="<=",
        left=(
            "ice_connection_state.total_connected_ack",
            "ice_connection_state.total_checking_ack",
            "ice_connection_state.total_disconnected_ack",
        ),
        right=(
            "ice_connection_state.total_connected_req",
            "ice_connection_state.total_checking_req",
            "ice_connection_state.total_disconnected_req",
        ),
    ),
    RelationTemplate(
        requirement=ICE_CONNECTED,
        left=("ice_connection_state.total_connected_to_checking",),
        operator="<=",
        right=("ice_connection_state.total_checking_to_connected",),
    ),
    RelationTemplate(
        requirement=ICE_DISCONNECTED,
        operator="<=",
        left=(
            "ice_connection_state.total_disconnected_to_failed",
            "ice_connection_state.total_disconnected_to_checking",
        ),
        right=("ice_connection_state.total_checking_to_disconnected",),
    ),
    *(
        RelationTemplate(
            requirement=SIMULCAST_SUM,
            operator="<=",
            right=(f"rtp.{name}",),
            left=tuple(f"simulcast.r{number}.rtp.{name}" for number in range(3)),
        )
        for name in _SIMULCAST_NAMES
    ),
)
"""Every relation except that of the unstable level, which involves a gauge."""

RELATION_REQUIREMENTS: Final = tuple(dict.fromkeys(template.requirement for template in RELATION_TEMPLATES))
