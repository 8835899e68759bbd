"""
Faults that break one documented relation each, and leave every other one and the order of counters as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..fault_interface import RequestContext, SampleObject
from .fault_kind import FaultKind, HookedFault, make_sample_fault
from .parameters import FaultParameters

SampleChange = Callable[[SampleObject], None]


def _with_groups(*names: str) -> Callable[[Callable[..., None]], SampleChange]:
    """Give some groups of a sample to a function, where all are there."""

    def wrap(change: Callable[..., None]) -> SampleChange:
        def apply(sample: SampleObject) -> None:
            groups = [sample.get(name) for name in names]
            if all(isinstance(group, dict) for group in groups):
                change(*groups)

        return apply

    return wrap


GroupObject = dict[str, Any]  # Any: whatever JSON can hold


@_with_groups("rtp")
def _total_packets(rtp: GroupObject) -> None:
    rtp["total_received"] += 1000


@_with_groups("rtp")
def _doubled(rtp: GroupObject) -> None:
    rtp["total_sent_rtp"] *= 2


@_with_groups("rtp")
def _swapped(rtp: GroupObject) -> None:
    rtp["total_received"], rtp["total_sent"] = rtp["total_sent"], rtp["total_received"]


@_with_groups("rtp")
def _total_byte_size(rtp: GroupObject) -> None:
    rtp["total_received_byte_size"] += 1000


@_with_groups("rtp", "rtcp")
def _rtp_min_size(rtp: GroupObject, rtcp: GroupObject) -> None:
    rtp["total_sent_rtp_byte_size"] = 11 * rtp["total_sent_rtp"]
    rtp["total_sent_byte_size"] = rtp["total_sent_rtp_byte_size"] + rtcp["total_sent_rtcp_byte_size"]


@_with_groups("rtp", "rtcp")
def _rtcp_min_size(rtp: GroupObject, rtcp: GroupObject) -> None:
    rtcp["total_sent_rtcp_byte_size"] = 7 * rtcp["total_sent_rtcp"]
    rtp["total_sent_byte_size"] = rtp["total_sent_rtp_byte_size"] + rtcp["total_sent_rtcp_byte_size"]


@_with_groups("rtcp")
def _rtcp_subtypes(rtcp: GroupObject) -> None:
    for name in rtcp:
        if name.startswith("total_sent_rtcp_") and name != "total_sent_rtcp_byte_size":
            rtcp[name] = 0


@_with_groups("rtp", "rtp_hdr_ext")
def _rtp_hdr_ext(rtp: GroupObject, extensions: GroupObject) -> None:
    extensions["total_sent_rtp_hdr_ext_abs_send_time"] = rtp["total_sent_rtp"] + 1000


@_with_groups("sctp")
def _sctp_chunks(sctp: GroupObject) -> None:
    for name in sctp:
        if name.startswith("total_sent_sctp_chunk_"):
            sctp[name] = 0


@_with_groups("sctp")
def _sctp_min_size(sctp: GroupObject) -> None:
    sctp["total_sent_sctp_byte_size"] = 11 * sctp["total_sent_sctp"]


@_with_groups("sctp")
def _sctp_zero_checksum(sctp: GroupObject) -> None:
    sctp["total_sent_sctp_zero_checksum"] = sctp["total_sent_sctp"] + 10


@_with_groups("sctp")
def _sctp_responses(sctp: GroupObject) -> None:
    sctp["total_sent_sctp_chunk_heartbeat_ack"] += 10_000
    sctp["total_sent_sctp_byte_size"] += 100_000


@_with_groups("rtp")
def _decrypt_skipped(rtp: GroupObject) -> None:
    rtp["total_decrypt_skipped_audio_srtp"] += 5


@_with_groups("rtp")
def _decrypt_skipped_received(rtp: GroupObject) -> None:
    skipped = rtp["total_received_rtp"] + 10
    rtp["total_decrypt_skipped_srtp"] = skipped + rtp["total_decrypt_skipped_video_srtp"]
    rtp["total_decrypt_skipped_audio_srtp"] = skipped


@_with_groups("rtp")
def _rtp_subset(rtp: GroupObject) -> None:
    rtp["total_received_rtp_red"] = rtp["total_received_rtp"] + 10


@_with_groups("turn")
def _turn_responses(turn: GroupObject) -> None:
    turn["total_sent_refresh_error"] = turn["total_received_refresh_request"] + 10


@_with_groups("ice_connection_state")
def _ice_acks(ice: GroupObject) -> None:
    ice["total_connected_ack"] += 1_000_000


@_with_groups("ice_connection_state")
def _ice_connected(ice: GroupObject) -> None:
    ice["total_connected_to_checking"] = ice["total_checking_to_connected"] + 5


@_with_groups("ice_connection_state")
def _ice_disconnected(ice: GroupObject) -> None:
    ice["total_disconnected_to_failed"] += 5


@_with_groups("network_status")
def _unstable_level(network: GroupObject) -> None:
    network["unstable_level"] = 3
    network["total_unstable_level3"] = 0


@_with_groups("rtp", "simulcast")
def _simulcast_sum(rtp: GroupObject, simulcast: GroupObject) -> None:
    simulcast["r0"]["rtp"]["total_received_rtp_red_ulpfec"] = rtp["total_received_rtp_red_ulpfec"] + 10


def _make_relation_fault_kind(name: str, description: str, trips: str, change: SampleChange) -> FaultKind:
    def build(parameters: FaultParameters) -> HookedFault:
        def apply(call: RequestContext, sample: SampleObject) -> None:
            change(sample)

        return make_sample_fault(apply)

    return FaultKind(name=name, description=description, violated_requirements=frozenset({trips}), build=build)


RELATION_FAULT_KINDS: Final = (
    _make_relation_fault_kind(
        "double-counting", "RTP packets sent are counted twice", "relation.total_packets", _doubled
    ),
    _make_relation_fault_kind(
        "swapped", "packets received and sent are swapped, in their totals alone", "relation.total_packets", _swapped
    ),
    *(
        _make_relation_fault_kind(f"breaks-{name.replace('_', '-')}", description, f"relation.{name}", change)
        for name, description, change in (
            ("total_packets", "more packets than RTP and RTCP together", _total_packets),
            ("total_byte_size", "more bytes than RTP and RTCP together", _total_byte_size),
            ("rtp_min_size", "RTP packets shorter than their headers", _rtp_min_size),
            ("rtcp_min_size", "RTCP packets shorter than their headers", _rtcp_min_size),
            ("rtcp_subtypes", "RTCP packets of no kind", _rtcp_subtypes),
            ("rtp_hdr_ext", "more header extensions of a kind than packets", _rtp_hdr_ext),
            ("sctp_chunks", "SCTP packets without a chunk", _sctp_chunks),
            ("sctp_min_size", "SCTP packets shorter than their headers", _sctp_min_size),
            ("sctp_zero_checksum", "more packets with a zero checksum than packets", _sctp_zero_checksum),
            ("sctp_responses", "more responses than requests, SCTP", _sctp_responses),
            ("decrypt_skipped", "skipped audio and video are not what was skipped", _decrypt_skipped),
            ("decrypt_skipped_received", "more skipped than received", _decrypt_skipped_received),
            ("rtp_subset", "more RED packets than packets", _rtp_subset),
            ("turn_responses", "more responses than requests, TURN", _turn_responses),
            ("ice_acks", "more responses than requests, ICE", _ice_acks),
            ("ice_connected", "left the connected state more often than entered", _ice_connected),
            ("ice_disconnected", "left the disconnected state more often than entered", _ice_disconnected),
            ("unstable_level", "a level that was never counted", _unstable_level),
            ("simulcast_sum", "more packets in the layers than in all", _simulcast_sum),
        )
    ),
)
