"""
Connections whose counters threads move one by one, while others read them: nothing is read at one moment.

Written apart from the package's simulator: its fields are those of the documentation's example response, its traffic is
a list of what one packet of each kind adds.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Tree = dict[str, Any]  # Any: JSON
Packet = tuple[tuple[tuple[str, ...], int], ...]
"""What one packet adds to which counters."""

EXAMPLE: Final[Tree] = json.loads(
    (Path(__file__).resolve().parents[1] / "data" / "example_response.json").read_text(encoding="utf-8")
)
UNDOCUMENTED: Final = ("sctp", "total_pruned_sctp_data_chunk")
ID_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LAST_LETTERS: Final = "048CGMRW"
LABEL: Final = "#test"
WRITERS: Final = 2


def new_id(draw: random.Random) -> str:
    """26 characters that stand for 128 bits."""
    return "".join(draw.choices(ID_LETTERS, k=25)) + draw.choice(LAST_LETTERS)


def packet(**added: int) -> Packet:
    """Counters by their path, `__` for the dot."""
    return tuple((tuple(name.split("__")), count) for name, count in added.items())


def channel_packet(label: str, way: str, size: int) -> Packet:
    """A message of a data channel, and what carries it."""
    return (
        *packet(
            **{
                f"sctp__total_{way}_sctp_chunk_data": 1,
                f"sctp__total_{way}_sctp_chunk_sack": 1,
                f"sctp__total_{way}_sctp_byte_size": size + 40,
                f"sctp__total_{way}_sctp": 1,
                f"dtls__total_{way}_dtls": 1,
            }
        ),
        (("data_channel", label, f"total_{way}_data_channel_message_byte_size"), size),
        (("data_channel", label, f"total_{way}_data_channel_message"), 1),
    )


def rtp_packet(draw: random.Random, way: str) -> Packet:
    """One of audio or video; of a received one some are of a layer, padding or retransmitted."""
    size = draw.randint(40, 1200)
    added = {
        f"rtp__total_{way}_rtp_byte_size": size,
        f"rtp__total_{way}_byte_size": size,
        f"rtp__total_{way}_rtp": 1,
        f"rtp__total_{way}": 1,
        f"rtp_hdr_ext__total_{way}_rtp_hdr_ext_abs_send_time": 1,
        f"turn__total_{way}_channel_data": 1,
    }
    if way == "received" and draw.random() < 0.5:
        layer = draw.choice(("r0", "r1", "r2"))
        added |= {f"simulcast__{layer}__rtp__total_received_rtp_byte_size": size}
        added |= {f"simulcast__{layer}__rtp__total_received_rtp": 1}
        added |= {f"simulcast__{layer}__rtp_hdr_ext__total_received_rtp_hdr_ext_toffset": 1}
    if way == "received" and draw.random() < 0.1:
        kind = draw.choice(("padding", "rtx", "red"))
        added |= {f"rtp__total_received_rtp_{kind}": 1}
    if way == "received" and draw.random() < 0.1:
        kind = draw.choice(("audio", "video"))
        added |= {f"rtp__total_decrypt_skipped_{kind}_srtp": 1, "rtp__total_decrypt_skipped_srtp": 1}
    return packet(**added)


def rtcp_packet(draw: random.Random, way: str) -> Packet:
    """A compound packet: a report, and what else there is to say."""
    size = draw.randint(28, 200)
    added = {
        f"rtcp__total_{way}_rtcp_{draw.choice(('sr', 'rr'))}": 1,
        f"rtcp__total_{way}_rtcp_sdes": draw.randint(0, 1),
        f"rtcp__total_{way}_rtcp_psfb_afb": draw.randint(0, 1),
        f"rtcp__total_{way}_rtcp_byte_size": size,
        f"rtp__total_{way}_byte_size": size,
        f"rtcp__total_{way}_rtcp": 1,
        f"rtp__total_{way}": 1,
    }
    return packet(**added)


def next_packet(draw: random.Random, labels: Sequence[str]) -> Packet:
    """Whatever comes next."""
    way = draw.choice(("received", "sent"))
    match draw.choices(("rtp", "rtcp", "channel", "ice", "turn", "ping", "sctp"), (60, 10, 10, 5, 5, 3, 2))[0]:
        case "rtp":
            return rtp_packet(draw, way)
        case "rtcp":
            return rtcp_packet(draw, way)
        case "channel" if labels:
            return channel_packet(draw.choice(labels), way, draw.randint(1, 900))
        case "ice":
            return packet(
                ice_connection_state__total_connected_req=1,
                ice_connection_state__total_connected_ack=draw.randint(0, 1),
            )
        case "turn":
            success = draw.choice(("success", "error"))
            return packet(turn__total_received_refresh_request=1, **{f"turn__total_sent_refresh_{success}": 1})
        case "ping":
            return packet(signaling__total_sent_signaling_ping=1, signaling__total_received_signaling_pong=1)
        case _:
            return packet(
                sctp__total_received_sctp_chunk_heartbeat=1,
                sctp__total_received_sctp_byte_size=48,
                sctp__total_received_sctp=1,
                sctp__total_sent_sctp_chunk_heartbeat_ack=1,
                sctp__total_sent_sctp_byte_size=48,
                sctp__total_sent_sctp=1,
            )


def scaled(tree: Tree, factor: int) -> Tree:
    """The same with every counter so many times as large; relations are linear, so they stay."""
    return {
        key: scaled(value, factor) if isinstance(value, dict) else value * factor if key.startswith("total_") else value
        for key, value in tree.items()
    }


@dataclass(slots=True)
class Connection:
    """One of them; its tree is written by one thread and read by others, without a lock."""

    tree: Tree
    node: int
    writer: int = 0
    """Which thread delivers its packets: always the same one, since two that add at a time could make a counter fall."""
    labels: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its own."""
        text: str = self.tree["connection_id"]
        return text


class Clock:
    """A node's own: some milliseconds off, slewed, set forward once and back again later: more often NTP does not."""

    def __init__(self, offset_s: float, *, slew: float, step_s: float, step_at_s: float) -> None:
        self._offset_s = offset_s
        self._slew = slew
        self._step_s = step_s
        self._step_at_s = step_at_s
        self._began_s = time.monotonic()
        self._epoch_s = time.time()

    def now_s(self) -> float:
        """Seconds since 1970, as this node believes."""
        elapsed_s = time.monotonic() - self._began_s
        stepped_s = self._step_s if self._step_at_s <= elapsed_s < 2 * self._step_at_s else 0.0
        return self._epoch_s + self._offset_s + elapsed_s * (1 + self._slew) + stepped_s


class World:
    """
    All connections of a cluster.

    Args:
        connections: How many there are at a time.
        nodes: They are spread over so many.
        seed: Of everything drawn.
        packets_per_s: Together.
        changes_per_s: How many connections leave and join, and labels close and open.
    """

    def __init__(
        self, connections: int, nodes: int, seed: int, *, packets_per_s: float = 2000, changes_per_s: float = 1.0
    ) -> None:
        self._draw = random.Random(seed)
        self._packets_per_s = packets_per_s
        self._changes_per_s = changes_per_s
        self._nodes = nodes
        self._clients = [new_id(self._draw) for _ in range(max(1, connections * 2 // 3))]
        self._ended = threading.Event()
        self._joined = itertools.count()
        self.connections: dict[str, Connection] = {}
        for _ in range(connections):
            self.join()
        self._threads = [
            threading.Thread(target=self._move, args=(share,), daemon=True, name=f"packets {share}")
            for share in range(WRITERS)
        ]
        self._threads.append(threading.Thread(target=self._change, daemon=True, name="comings and goings"))

    def start(self) -> None:
        """Begin to move."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stand still, for good."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def join(self) -> Connection:
        """Have one more; most are young, some have counted beyond 2^53."""
        factor = self._draw.choice((0, 1, 3, 2**22 + 1, 2**45 + 1))
        tree = scaled(deepcopy(EXAMPLE), factor)
        del tree[UNDOCUMENTED[0]][UNDOCUMENTED[1]], tree["timestamp"]
        tree["network_status"]["total_unstable_level0"] += 1
        tree["channel_id"] = "foreign"
        tree["client_id"] = tree["bundle_id"] = self._draw.choice(self._clients)
        tree["connection_id"] = new_id(self._draw)
        for number, channel in enumerate(tree["data_channel"].values()):
            if number % 3 == 1:
                channel["max_retransmits"] = number
            elif number % 3 == 2:
                channel["max_packet_life_time"] = 100 * number
        connection = Connection(
            tree, len(self.connections) % self._nodes, next(self._joined) % WRITERS, list(tree["data_channel"])
        )
        self.connections = {**self.connections, connection.id: connection}
        return connection

    def of_node(self, node: int) -> list[Connection]:
        """Those of one node, at this moment."""
        return [connection for connection in self.connections.values() if connection.node == node]

    def _move(self, share: int) -> None:
        draw = random.Random(share)
        rest_s = 0.002
        while not self._ended.wait(rest_s):
            due = self._packets_per_s * rest_s / max(1, len(self.connections))
            for connection in [each for each in list(self.connections.values()) if each.writer == share]:
                for _ in range(int(due + draw.random())):
                    self._deliver(connection, next_packet(draw, connection.labels))
                if draw.random() < 0.01:
                    self._measure(connection, draw)

    def _deliver(self, connection: Connection, arrived: Packet) -> None:
        for path, count in arrived:
            group = connection.tree
            for name in path[:-1]:
                group = group.get(name, {})
            if path[-1] in group:
                group[path[-1]] += count

    def _measure(self, connection: Connection, draw: random.Random) -> None:
        for name in connection.tree["cc"]:
            connection.tree["cc"][name] = draw.randint(0, 3_000_000)
        level = draw.choices((0, 1, 2, 3), (10, 3, 1, 1))[0]
        status = connection.tree["network_status"]
        status[f"total_unstable_level{level}"] += 1
        status["unstable_level"] = level

    def _change(self) -> None:
        draw = random.Random(99)
        while not self._ended.wait(1 / self._changes_per_s if self._changes_per_s else 3600):
            if draw.random() < 0.5:
                gone = draw.choice(list(self.connections))
                self.connections = {id_: each for id_, each in self.connections.items() if id_ != gone}
                self.join()
            else:
                self._change_label(draw.choice(list(self.connections.values())))

    def _change_label(self, connection: Connection) -> None:
        channels = connection.tree["data_channel"]
        if LABEL in channels:
            connection.labels.remove(LABEL)
            connection.tree["data_channel"] = {label: each for label, each in channels.items() if label != LABEL}
        else:
            fresh = {
                key: 0 if key.startswith("total_") else value for key, value in EXAMPLE["data_channel"][LABEL].items()
            }
            connection.tree["data_channel"] = {**channels, LABEL: fresh}
            connection.labels.append(LABEL)


def read_slowly(tree: Tree, rest_s: float, depth: int = 0) -> Iterator[tuple[str, Any]]:  # Any: JSON
    """A copy of a tree, group by group, with time going by between two groups."""
    for key, value in list(tree.items()):
        if isinstance(value, dict):
            if depth == 0 and rest_s:
                time.sleep(rest_s)
            yield key, dict(read_slowly(value, rest_s, depth + 1))
        else:
            yield key, tree.get(key, value)
