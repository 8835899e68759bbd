"""
Faults that break one documented relation each, and leave every other one and the order of counters as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..calls import Call, Reading
from .kinds import FaultKind, Hooks, each_reading
from .parameters import Parameters

Groups = Callable[[Reading], None]


def _of(*names: str) -> Callable[[Callable[..., None]], Groups]:
    """Give some groups of a reading to a function, where all are there."""

    def wrap(change: Callable[..., None]) -> Groups:
        def apply(reading: Reading) -> None:
            groups = [reading.get(name) for name in names]
            if all(isinstance(group, dict) for group in groups):
                change(*groups)

        return apply

    return wrap


Group = dict[str, Any]  # Any: whatever JSON can hold


@_of("rtp")
def _total_packets(rtp: Group) -> None:
    rtp["total_received"] += 1000


@_of("rtp")
def _doubled(rtp: Group) -> None:
    rtp["total_sent_rtp"] *= 2


@_of("rtp")
def _swapped(rtp: Group) -> None:
    rtp["total_received"], rtp["total_sent"] = rtp["total_sent"], rtp["total_received"]


@_of("rtp")
def _total_byte_size(rtp: Group) -> None:
    rtp["total_received_byte_size"] += 1000


@_of("rtp", "rtcp")
def _rtp_min_size(rtp: Group, rtcp: Group) -> None:
    rtp["total_sent_rtp_byte_size"] = 11 * rtp["total_sent_rtp"]
    rtp["total_sent_byte_size"] = rtp["total_sent_rtp_byte_size"] + rtcp["total_sent_rtcp_byte_size"]


@_of("rtp", "rtcp")
def _rtcp_min_size(rtp: Group, rtcp: Group) -> None:
    rtcp["total_sent_rtcp_byte_size"] = 7 * rtcp["total_sent_rtcp"]
    rtp["total_sent_byte_size"] = rtp["total_sent_rtp_byte_size"] + rtcp["total_sent_rtcp_byte_size"]


@_of("rtcp")
def _rtcp_subtypes(rtcp: Group) -> None:
    for name in rtcp:
        if name.startswith("total_sent_rtcp_") and name != "total_sent_rtcp_byte_size":
            rtcp[name] = 0


@_of("rtp", "rtp_hdr_ext")
def _rtp_hdr_ext(rtp: Group, extensions: Group) -> None:
    extensions["total_sent_rtp_hdr_ext_abs_send_time"] = rtp["total_sent_rtp"] + 1000


@_of("sctp")
def _sctp_chunks(sctp: Group) -> None:
    for name in sctp:
        if name.startswith("total_sent_sctp_chunk_"):
            sctp[name] = 0


@_of("sctp")
def _sctp_min_size(sctp: Group) -> None:
    sctp["total_sent_sctp_byte_size"] = 11 * sctp["total_sent_sctp"]


@_of("sctp")
def _sctp_zero_checksum(sctp: Group) -> None:
    sctp["total_sent_sctp_zero_checksum"] = sctp["total_sent_sctp"] + 10


@_of("sctp")
def _sctp_answers(sctp: Group) -> None:
    sctp["total_sent_sctp_chunk_heartbeat_ack"] += 10_000
    sctp["total_sent_sctp_byte_size"] += 100_000


@_of("rtp")
def _decrypt_skipped(rtp: Group) -> None:
    rtp["total_decrypt_skipped_audio_srtp"] += 5


@_of("rtp")
def _decrypt_skipped_received(rtp: Group) -> None:
    skipped = rtp["total_received_rtp"] + 10
    rtp["total_decrypt_skipped_srtp"] = skipped + rtp["total_decrypt_skipped_video_srtp"]
    rtp["total_decrypt_skipped_audio_srtp"] = skipped


@_of("rtp")
def _rtp_subset(rtp: Group) -> None:
    rtp["total_received_rtp_red"] = rtp["total_received_rtp"] + 10


@_of("turn")
def _turn_answers(turn: Group) -> None:
    turn["total_sent_refresh_error"] = turn["total_received_refresh_request"] + 10


@_of("ice_connection_state")
def _ice_acks(ice: Group) -> None:
    ice["total_connected_ack"] += 1_000_000


@_of("ice_connection_state")
def _ice_connected(ice: Group) -> None:
    ice["total_connected_to_checking"] = ice["total_checking_to_connected"] + 5


@_of("ice_connection_state")
def _ice_disconnected(ice: Group) -> None:
    ice["total_disconnected_to_failed"] += 5


@_of("network_status")
def _unstable_level(network: Group) -> None:
    network["unstable_level"] = 3
    network["total_unstable_level3"] = 0


@_of("rtp", "simulcast")
def _simulcast_sum(rtp: Group, simulcast: Group) -> None:
    simulcast["r0"]["rtp"]["total_received_rtp_red_ulpfec"] = rtp["total_received_rtp_red_ulpfec"] + 10


def _kind(name: str, description: str, trips: str, change: Groups) -> FaultKind:
    def build(parameters: Parameters) -> Hooks:
        def apply(call: Call, reading: Reading) -> None:
            change(reading)

        return each_reading(apply)

    return FaultKind(name=name, description=description, trips=frozenset({trips}), build=build)


KINDS: Final = (
    _kind("double-counting", "RTP packets sent are counted twice", "relation.total_packets", _doubled),
    _kind(
        "swapped", "packets received and sent are swapped, in their totals alone", "relation.total_packets", _swapped
    ),
    *(
        _kind(f"breaks-{name.replace('_', '-')}", description, f"relation.{name}", change)
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
            ("sctp_answers", "more answers than requests, SCTP", _sctp_answers),
            ("decrypt_skipped", "skipped audio and video are not what was skipped", _decrypt_skipped),
            ("decrypt_skipped_received", "more skipped than received", _decrypt_skipped_received),
            ("rtp_subset", "more RED packets than packets", _rtp_subset),
            ("turn_answers", "more answers than requests, TURN", _turn_answers),
            ("ice_acks", "more answers than requests, ICE", _ice_acks),
            ("ice_connected", "left the connected state more often than entered", _ice_connected),
            ("ice_disconnected", "left the disconnected state more often than entered", _ice_disconnected),
            ("unstable_level", "a level that was never counted", _unstable_level),
            ("simulcast_sum", "more packets in the layers than in all", _simulcast_sum),
        )
    ),
)
