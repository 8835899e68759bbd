"""
The relations between fields, written out once more by hand: what a server may be held to, what is merely true.

Nothing here is shared with the simulator or with the judge, so that a mistake in either shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Sample = dict[str, Any]  # Any: a sample is nested JSON

SUBTYPES = [
    "bye",
    "psfb_afb",
    "psfb_fir",
    "psfb_pli",
    "rr",
    "rtpfb_generic_nack",
    "rtpfb_tmmbn",
    "rtpfb_tmmbr",
    "rtpfb_transport_wide",
    "sdes",
    "sr",
    "unknown",
    "xr",
]
EXTENSIONS = [
    "abs_send_time",
    "audio_level",
    "av1_rtp_sepc",
    "color_space",
    "inband_cn",
    "playout_delay",
    "sdes_mid",
    "sdes_repaired_rtp_stream_id",
    "sdes_rtp_stream_id",
    "toffset",
    "transport_wide_cc",
    "video_content_type",
    "video_orientation",
    "video_timeing",
]
CHUNKS = [
    "abort",
    "asconf",
    "asconf_ack",
    "auth",
    "cookie_ack",
    "cookie_echo",
    "cwr",
    "data",
    "ecne",
    "error",
    "forward_tsn",
    "heartbeat",
    "heartbeat_ack",
    "i_data",
    "i_forward_tsn",
    "init",
    "init_ack",
    "pad",
    "reconfig",
    "sack",
    "shutdown",
    "shutdown_ack",
    "shutdown_complete",
    "unknown",
]
LAYER_RTP = [
    "total_decrypt_skipped_srtp",
    "total_received_rtp",
    "total_received_rtp_byte_size",
    "total_received_rtp_padding",
    "total_received_rtp_padding_size",
    "total_received_rtp_red",
    "total_received_rtp_red_rtx",
    "total_received_rtp_red_ulpfec",
    "total_received_rtp_rtx",
]


def documented(sample: Sample) -> Iterator[tuple[str, bool]]:
    """Each relation that a protocol or the field list gives a reason for, and whether it holds."""
    rtp, rtcp, sctp, turn = sample["rtp"], sample["rtcp"], sample["sctp"], sample["turn"]
    loss = sample["packet_loss_simulator"]
    for way, lost in (
        ("received", rtp["total_received_srtp_invalid"] + loss["total_dropped_received_rtp"]),
        ("sent", loss["total_dropped_sent_rtp"]),
    ):
        for size in ("", "_byte_size"):
            whole = rtp[f"total_{way}{size}"]
            parts = rtp[f"total_{way}_rtp{size}"] + rtcp[f"total_{way}_rtcp{size}"]
            yield f"total {way}{size}", whole >= parts if lost else whole == parts
        packets = rtp[f"total_{way}_rtp"]
        yield f"rtp min size {way}", rtp[f"total_{way}_rtp_byte_size"] >= 12 * packets
        yield f"rtcp min size {way}", rtcp[f"total_{way}_rtcp_byte_size"] >= 8 * rtcp[f"total_{way}_rtcp"]
        subtypes = sum(rtcp[f"total_{way}_rtcp_{name}"] for name in SUBTYPES)
        yield f"rtcp subtypes {way}", rtcp[f"total_{way}_rtcp"] <= subtypes
        for name in EXTENSIONS:
            yield f"{way} {name}", sample["rtp_hdr_ext"][f"total_{way}_rtp_hdr_ext_{name}"] <= packets
        chunks = sum(
            sctp[f"total_{way}_sctp_chunk_{name}"] for name in CHUNKS if f"total_{way}_sctp_chunk_{name}" in sctp
        )
        yield f"sctp chunks {way}", sctp[f"total_{way}_sctp"] <= chunks
        yield f"sctp min size {way}", sctp[f"total_{way}_sctp_byte_size"] >= 12 * sctp[f"total_{way}_sctp"] + 4 * chunks
        yield f"zero checksum {way}", sctp[f"total_{way}_sctp_zero_checksum"] <= sctp[f"total_{way}_sctp"]
    skipped = rtp["total_decrypt_skipped_srtp"]
    yield (
        "decrypt skipped",
        skipped == rtp["total_decrypt_skipped_audio_srtp"] + rtp["total_decrypt_skipped_video_srtp"],
    )
    yield "decrypt skipped of received", skipped <= rtp["total_received_rtp"]
    for name in ("rtx", "padding", "red", "red_rtx", "red_ulpfec"):
        yield name, rtp[f"total_received_rtp_{name}"] <= rtp["total_received_rtp"]
    for response, request in (("init_ack", "init"), ("cookie_ack", "cookie_echo"), ("heartbeat_ack", "heartbeat")):
        for way, back in (("sent", "received"), ("received", "sent")):
            yield (
                f"{response} {way}",
                sctp[f"total_{way}_sctp_chunk_{response}"] <= sctp[f"total_{back}_sctp_chunk_{request}"],
            )
    for request in ("allocate", "refresh", "create_permission", "channel_bind", "binding", "turn_binding"):
        responses = turn[f"total_sent_{request}_success"] + turn[f"total_sent_{request}_error"]
        yield f"turn {request}", responses <= turn[f"total_received_{request}_request"]
    yield from _ice(sample["ice_connection_state"])
    status = sample["network_status"]
    if any(status[f"total_unstable_level{level}"] for level in range(4)):
        yield "unstable level", status[f"total_unstable_level{status['unstable_level']}"] >= 1
    layers = sample["simulcast"].values()
    for name in LAYER_RTP:
        yield f"simulcast {name}", sum(layer["rtp"][name] for layer in layers) <= rtp[name]


def _ice(ice: dict[str, int]) -> Iterator[tuple[str, bool]]:
    states = ("connected", "checking", "disconnected")
    yield "ice acks", sum(ice[f"total_{s}_ack"] for s in states) <= sum(ice[f"total_{s}_req"] for s in states)
    yield "ice connected", ice["total_connected_to_checking"] <= ice["total_checking_to_connected"]
    exits = ice["total_disconnected_to_failed"] + ice["total_disconnected_to_checking"]
    yield "ice disconnected", exits <= ice["total_checking_to_disconnected"]


def generating(sample: Sample) -> Iterator[tuple[str, bool]]:
    """What is true of real responses though nobody promises it, and whether it holds."""
    rtcp, sctp, signaling = sample["rtcp"], sample["sctp"], sample["signaling"]
    for way, back in (("received", "sent"), ("sent", "received")):
        alone = sum(rtcp[f"total_{way}_rtcp_{name}"] for name in ("sr", "rr", "rtpfb_generic_nack", "psfb_pli"))
        yield f"rtcp packets {way}", rtcp[f"total_{way}_rtcp"] == alone
        yield f"sdes {way}", rtcp[f"total_{way}_rtcp_sdes"] >= rtcp[f"total_{way}_rtcp_sr"]
        yield f"sack {way}", sctp[f"total_{way}_sctp_chunk_sack"] <= sctp[f"total_{back}_sctp_chunk_data"]
        yield f"dtls {way}", sample["dtls"][f"total_{way}_dtls"] >= sctp[f"total_{way}_sctp"]
        for layer in sample["simulcast"].values():
            if way == "received":
                for name in EXTENSIONS:
                    carried = layer["rtp_hdr_ext"][f"total_received_rtp_hdr_ext_{name}"]
                    yield f"layer {name}", carried <= layer["rtp"]["total_received_rtp"]
    nacks = rtcp["total_received_rtcp_rtpfb_generic_nack"]
    yield "nack", rtcp["total_generic_nack_cache_hit"] + rtcp["total_generic_nack_cache_miss"] >= nacks
    yield "pong", signaling["total_received_signaling_pong"] <= signaling["total_sent_signaling_ping"]


def broken(sample: Sample) -> list[str]:
    """The names of the relations that do not hold."""
    return [name for name, holds in (*documented(sample), *generating(sample)) if not holds]


def leaves(sample: Sample) -> list[tuple[tuple[str, ...], Any]]:
    """Every leaf with its path."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in sample.items():
        if isinstance(value, dict):
            found += [((key, *path), leaf) for path, leaf in leaves(value)]
        else:
            found.append(((key,), value))
    return found
