"""Faults that violate one relation each, but neither any other relation nor the order of counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..fault_interface import Fault, ReceivedRequest, SampleObject
from .fault_kind import FaultFamily, LeafAccessor, make_sample_fault
from .parameters import FaultParameters

FAULTS: Final = FaultFamily()

NewValues = Callable[[SampleObject], Mapping[str, object]]
"""Takes a sample, returns the leaves that change, by dotted path; raises KeyError if the connection lacks a group."""


def _add_fault(name: str, relation: str, description: str, new_values: NewValues) -> None:
    def change(call: ReceivedRequest, sample: SampleObject) -> None:
        try:
            values = new_values(sample)
        except KeyError:
            return
        for dotted, value in values.items():
            LeafAccessor(dotted).set_value(sample, value)

    def build(parameters: FaultParameters) -> Fault:
        return make_sample_fault(change)

    FAULTS.fault(name, description, f"relation.{relation}")(build)


def _add(relation: str, description: str, new_values: NewValues) -> None:
    _add_fault(f"breaks-{relation.replace('_', '-')}", relation, description, new_values)


def _increased(dotted: str, by: int) -> NewValues:
    """One leaf is larger than it should be."""
    group, name = dotted.split(".")
    return lambda sample: {dotted: sample[group][name] + by}


def _above(dotted: str, bound: str, by: int) -> NewValues:
    """One leaf is larger than another that bounds it."""
    group, name = bound.split(".")
    return lambda sample: {dotted: sample[group][name] + by}


def _zeroed(group: str, prefix: str, but: str = "") -> NewValues:
    """All leaves of a group with this prefix are 0."""
    return lambda sample: {f"{group}.{name}": 0 for name in sample[group] if name.startswith(prefix) and name != but}


def _short_rtp(sample: SampleObject) -> Mapping[str, object]:
    size = 11 * sample["rtp"]["total_sent_rtp"]
    whole = size + sample["rtcp"]["total_sent_rtcp_byte_size"]
    return {"rtp.total_sent_rtp_byte_size": size, "rtp.total_sent_byte_size": whole}


def _short_rtcp(sample: SampleObject) -> Mapping[str, object]:
    size = 7 * sample["rtcp"]["total_sent_rtcp"]
    whole = size + sample["rtp"]["total_sent_rtp_byte_size"]
    return {"rtcp.total_sent_rtcp_byte_size": size, "rtp.total_sent_byte_size": whole}


def _unasked_sctp_responses(sample: SampleObject) -> Mapping[str, object]:
    sctp = sample["sctp"]
    return {
        "sctp.total_sent_sctp_chunk_heartbeat_ack": sctp["total_sent_sctp_chunk_heartbeat_ack"] + 10_000,
        "sctp.total_sent_sctp_byte_size": sctp["total_sent_sctp_byte_size"] + 100_000,
    }


def _skipped_more_than_received(sample: SampleObject) -> Mapping[str, object]:
    audio = sample["rtp"]["total_received_rtp"] + 10
    whole = audio + sample["rtp"]["total_decrypt_skipped_video_srtp"]
    return {"rtp.total_decrypt_skipped_srtp": whole, "rtp.total_decrypt_skipped_audio_srtp": audio}


_add_fault(
    "double-counting",
    "total_packets",
    "RTP packets sent are counted twice",
    lambda sample: {"rtp.total_sent_rtp": 2 * sample["rtp"]["total_sent_rtp"]},
)
_add_fault(
    "swapped",
    "total_packets",
    "packets received and sent are swapped, only in the totals",
    lambda sample: {
        "rtp.total_received": sample["rtp"]["total_sent"],
        "rtp.total_sent": sample["rtp"]["total_received"],
    },
)
_add("total_packets", "more packets than RTP and RTCP together", _increased("rtp.total_received", 1000))
_add("total_byte_size", "more bytes than RTP and RTCP together", _increased("rtp.total_received_byte_size", 1000))
_add("rtp_min_size", "RTP packets shorter than their headers", _short_rtp)
_add("rtcp_min_size", "RTCP packets shorter than their headers", _short_rtcp)
_add(
    "rtcp_subtypes", "RTCP packets without a kind", _zeroed("rtcp", "total_sent_rtcp_", but="total_sent_rtcp_byte_size")
)
_add(
    "rtp_hdr_ext",
    "more header extensions of a kind than packets",
    _above("rtp_hdr_ext.total_sent_rtp_hdr_ext_abs_send_time", "rtp.total_sent_rtp", 1000),
)
_add("sctp_chunks", "SCTP packets without a chunk", _zeroed("sctp", "total_sent_sctp_chunk_"))
_add(
    "sctp_min_size",
    "SCTP packets shorter than their headers",
    lambda sample: {"sctp.total_sent_sctp_byte_size": 11 * sample["sctp"]["total_sent_sctp"]},
)
_add(
    "sctp_zero_checksum",
    "more packets with a zero checksum than packets",
    _above("sctp.total_sent_sctp_zero_checksum", "sctp.total_sent_sctp", 10),
)
_add("sctp_responses", "more responses than requests, SCTP", _unasked_sctp_responses)
_add(
    "decrypt_skipped",
    "skipped audio and video are not what was skipped",
    _increased("rtp.total_decrypt_skipped_audio_srtp", 5),
)
_add("decrypt_skipped_received", "more skipped than received", _skipped_more_than_received)
_add("rtp_subset", "more RED packets than packets", _above("rtp.total_received_rtp_red", "rtp.total_received_rtp", 10))
_add(
    "turn_responses",
    "more responses than requests, TURN",
    _above("turn.total_sent_refresh_error", "turn.total_received_refresh_request", 10),
)
_add("ice_acks", "more responses than requests, ICE", _increased("ice_connection_state.total_connected_ack", 1_000_000))
_add(
    "ice_connected",
    "left the connected state more often than entered",
    _above("ice_connection_state.total_connected_to_checking", "ice_connection_state.total_checking_to_connected", 5),
)
_add(
    "ice_disconnected",
    "left the disconnected state more often than entered",
    _increased("ice_connection_state.total_disconnected_to_failed", 5),
)
_add(
    "unstable_level",
    "a level that was never counted",
    lambda _: {"network_status.unstable_level": 3, "network_status.total_unstable_level3": 0},
)
_add(
    "simulcast_sum",
    "more packets in the layers than in all",
    _above("simulcast.r0.rtp.total_received_rtp_red_ulpfec", "rtp.total_received_rtp_red_ulpfec", 10),
)
