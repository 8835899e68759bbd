"""
Which counters bound which, as in the requirements `relation.*`, so that made-up connections can satisfy them.

The judge has its own relations: the code that judges responses and the code that makes them up share only the field
list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from .counter_increments import FieldPath

_RTP_KINDS = ("rtx", "padding", "red", "red_rtx", "red_ulpfec")
_EXTENSION_GROUPS = ("rtp_hdr_ext", "rtp_hdrext")


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterBound:
    """`weighted sum of small <= sum of large`; if it does not hold, the first counter of large is raised."""

    small: tuple[tuple[int, FieldPath], ...]
    large: tuple[FieldPath, ...]


def counter_bounds(fields: Collection[FieldPath]) -> list[CounterBound]:
    """All bounds between these fields; a bound between other fields is left out."""
    names = {".".join(path): path for path in fields}
    bounds = [*_rtp_bounds(names), *_layer_bounds(names), *_sctp_bounds(names), *_request_bounds()]
    found = []
    for small, large in bounds:
        less = tuple((weight, names[name]) for weight, name in small if name in names)
        more = tuple(names[name] for name in large if name in names)
        if less and more:
            found.append(CounterBound(small=less, large=more))
    return found


_NamedBound = tuple[list[tuple[int, str]], list[str]]
"""A bound by dotted names."""


def _below(names: Iterable[str], prefix: str, but: str = "\x00") -> list[str]:
    return [name for name in names if name.startswith(prefix) and not name.endswith(but)]


def _rtp_bounds(names: Iterable[str]) -> Iterator[_NamedBound]:
    for way in ("received", "sent"):
        rtp, rtcp = f"rtp.total_{way}", f"rtcp.total_{way}_rtcp"
        yield [(1, rtcp)], _below(names, f"{rtcp}_", but="byte_size")
        yield [(12, f"{rtp}_rtp")], [f"{rtp}_rtp_byte_size"]
        yield [(8, rtcp)], [f"{rtcp}_byte_size"]
        for size in ("", "_byte_size"):
            parts = [f"{rtp}_rtp{size}", f"{rtcp}{size}"]
            yield [(1, part) for part in parts], [f"{rtp}{size}"]
            yield [(1, f"{rtp}{size}")], parts
        for group in _EXTENSION_GROUPS:
            for name in _below(names, f"{group}.total_{way}_rtp_", but="unknown"):
                yield [(1, name)], [f"{rtp}_rtp"]
    for kind in _RTP_KINDS:
        yield [(1, f"rtp.total_received_rtp_{kind}")], ["rtp.total_received_rtp"]
    skipped = [f"rtp.total_decrypt_skipped_{kind}_srtp" for kind in ("video", "audio")]
    yield [(1, part) for part in skipped], ["rtp.total_decrypt_skipped_srtp"]
    yield [(1, "rtp.total_decrypt_skipped_srtp")], skipped
    yield [(1, "rtp.total_decrypt_skipped_srtp")], ["rtp.total_received_rtp"]


def _layer_bounds(names: Iterable[str]) -> Iterator[_NamedBound]:
    layers = sorted({name.split(".")[1] for name in names if name.startswith("simulcast.") and name.count(".") > 1})
    for layer in layers:
        whole = f"simulcast.{layer}.rtp.total_received_rtp"
        yield [(12, whole)], [f"{whole}_byte_size"]
        yield [(1, f"simulcast.{layer}.rtp.total_decrypt_skipped_srtp")], [whole]
        for kind in _RTP_KINDS:
            yield [(1, f"{whole}_{kind}")], [whole]
        for group in _EXTENSION_GROUPS:
            for name in _below(names, f"simulcast.{layer}.{group}.", but="unknown"):
                yield [(1, name)], [whole]
    for name in _below(names, "rtp."):
        yield [(1, f"simulcast.{layer}.{name}") for layer in layers], [name]


def _sctp_bounds(names: Iterable[str]) -> Iterator[_NamedBound]:
    for way in ("received", "sent"):
        sctp = f"sctp.total_{way}_sctp"
        chunks = _below(names, f"{sctp}_chunk_")
        yield [(1, sctp)], chunks
        yield [(12, sctp), *((4, chunk) for chunk in chunks)], [f"{sctp}_byte_size"]
        yield [(1, f"{sctp}_zero_checksum")], [sctp]


def _request_bounds() -> Iterator[_NamedBound]:
    """No more responses than requests, and no state left more often than entered."""
    for chunk, asked in (("init_ack", "init"), ("cookie_ack", "cookie_echo"), ("heartbeat_ack", "heartbeat")):
        yield [(1, f"sctp.total_sent_sctp_chunk_{chunk}")], [f"sctp.total_received_sctp_chunk_{asked}"]
    for method in ("allocate", "refresh", "create_permission", "channel_bind", "binding", "turn_binding"):
        done = [(1, f"turn.total_sent_{method}_{result}") for result in ("success", "error")]
        yield done, [f"turn.total_received_{method}_request"]
    ice, states = "ice_connection_state.total", ("connected", "checking", "disconnected")
    yield [(1, f"{ice}_{state}_ack") for state in states], [f"{ice}_{state}_req" for state in states]
    yield [(1, f"{ice}_connected_to_checking")], [f"{ice}_checking_to_connected"]
    exits = [(1, f"{ice}_disconnected_to_{state}") for state in ("failed", "checking")]
    yield exits, [f"{ice}_checking_to_disconnected"]
