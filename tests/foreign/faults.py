"""What a server can do wrong: each fault is planted in one that is correct otherwise, and names what finds it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .world import Tree, World


@dataclass(slots=True)
class Reply:
    """What goes out, and what it responds to."""

    status: int
    document: Any  # Any: JSON, or bytes as they are
    content_type: str | None
    target: str | None = None
    arguments: Tree = field(default_factory=dict)
    node: int = 0
    cut_at: float | None = None
    closes: bool = False
    more_headers: tuple[tuple[str, str], ...] = ()
    too_long: int = 0
    text: Callable[[str], str] = str

    @property
    def operation(self) -> str:
        """What was asked for; empty where the request was refused."""
        return "" if self.target is None else self.target.partition(".")[2]

    def samples(self) -> list[Tree]:
        """Those that it holds."""
        if self.status != 200 or isinstance(self.document, bytes):
            return []
        return self.document if isinstance(self.document, list) else [self.document]

    def body(self) -> bytes:
        """As bytes."""
        if isinstance(self.document, bytes):
            return self.document
        return self.text(json.dumps(self.document, separators=(",", ":"))).encode("utf-8", "surrogateescape")

    def headers(self, length: int) -> Iterator[tuple[str, str]]:
        """All of them."""
        if self.content_type is not None:
            yield "content-type", self.content_type
        yield "content-length", str(length + self.too_long)
        yield from self.more_headers


Spoil = Callable[["Fault", Reply], None]


class Fault:
    """
    One fault of one server.

    Args:
        spoil: Changes a reply.
    """

    def __init__(self, spoil: Spoil) -> None:
        self._spoil = spoil
        self.draw = random.Random(3)
        self.world: World | None = None
        self.memory: dict[Any, Any] = {}  # Any: whatever the fault keeps
        self.began_s: float | None = None
        self.first_wrong_ns: int | None = None
        """When the first wrong reply left, by the machine's monotonic clock."""

    @property
    def age_s(self) -> float:
        """Since the first response: a busy machine may take seconds until the first request."""
        self.began_s = self.began_s or time.monotonic()
        return time.monotonic() - self.began_s

    def spoil(self, reply: Reply) -> None:
        """Make it what goes out."""
        right = None if self.first_wrong_ns is not None else deepcopy(reply)
        self._spoil(self, reply)
        if right is not None and repr(reply) != repr(right):  # 1 is not true, though Python has them equal
            self.first_wrong_ns = time.monotonic_ns()

    def chosen(self, reply: Reply) -> list[Tree]:
        """The samples of the connection that the fault is about: the one with the least id that is there."""
        assert self.world is not None, "set when the server starts"
        if "id" not in self.memory or self.memory["id"] not in self.world.connections:
            self.memory["id"] = min(self.world.connections)
        return [sample for sample in reply.samples() if sample["connection_id"] == self.memory["id"]]


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault, and the requirements of which one at least says so; none where nobody can tell."""

    spoil: Spoil
    found_by: tuple[str, ...]
    manners: Tree
    """Of the server that has it, where it takes one of a kind to tell."""
    command: str
    """That finds it."""

    def make(self) -> Fault:
        """For one server."""
        return Fault(self.spoil)


FAULTS: Final[dict[str, Planted]] = {}


def plant(*found_by: str, command: str = "conform", **manners: Any) -> Callable[[Spoil], Spoil]:  # Any: as Manners
    """Enter a fault under its own name."""

    def enter(spoil: Spoil) -> Spoil:
        FAULTS[spoil.__name__.replace("_", "-")] = Planted(spoil, found_by, manners, command)
        return spoil

    return enter


def change_counters(tree: Tree, change: Callable[[str, int], Any]) -> None:  # Any: JSON
    """Every `total_*` in it, by its name."""
    for key, value in tree.items():
        if isinstance(value, dict):
            change_counters(value, change)
        elif key.startswith("total_"):
            tree[key] = change(key, value)


@plant()
def none(fault: Fault, reply: Reply) -> None:
    """Nothing is wrong."""


# -- counters ---------------------------------------------------------------------------------------------------------


@plant("counter.monotonic")
def one_counter_falls_once(fault: Fault, reply: Reply) -> None:
    """Of a connection that was seen a while before."""
    for sample in reply.samples():
        first_s = fault.memory.setdefault(sample["connection_id"], fault.age_s)
        if fault.age_s - first_s > 1 and "fell" not in fault.memory and sample["rtp"]["total_sent_byte_size"]:
            fault.memory["fell"] = True
            sample["rtp"]["total_sent_byte_size"] = 0


@plant("counter.monotonic")
def counters_wrap_at_32_bits(fault: Fault, reply: Reply) -> None:
    grown = int(fault.age_s * 4) * 2**30
    for sample in reply.samples():
        change_counters(sample, lambda key, value: (value + grown) % 2**32)


@plant("shape.range")
def counters_are_signed(fault: Fault, reply: Reply) -> None:
    for sample in fault.chosen(reply):
        sample["dtls"]["total_sent_dtls"] -= 2**63


@plant("counter.monotonic")
def counters_start_again(fault: Fault, reply: Reply) -> None:
    """As after a restart that kept the ids."""
    if fault.age_s > 1.5:
        for sample in reply.samples():
            base = fault.memory.setdefault(sample["connection_id"], deepcopy(sample))
            subtract(sample, base)


def subtract(tree: Tree, base: Tree) -> None:
    """What was counted since."""
    for key, value in tree.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            subtract(value, base[key])
        elif key.startswith("total_") and key in base:
            tree[key] = max(0, value - base[key])


@plant("counter.monotonic")
def floats_that_fall(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        fault.memory["n"] = fault.memory.get("n", 10**6) - 1000
        sample["turn"]["total_sent_channel_data"] = float(max(0, fault.memory["n"]))


@plant("shape.lexical")
def floats(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["turn"]["total_received_channel_data"] = float(sample["turn"]["total_received_channel_data"])


@plant("shape.type")
def large_numbers_are_strings(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        change_counters(sample, lambda key, value: str(value) if value > 2**53 else value)


@plant("relation.total_packets")
def packets_are_counted_twice(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["rtp"]["total_received"] *= 2
        sample["rtp"]["total_received"] += 1


@plant("relation.total_packets", packets_per_s=5)
def one_too_many(fault: Fault, reply: Reply) -> None:
    """While packets come faster than requests, nobody can tell."""
    for sample in reply.samples():
        sample["rtp"]["total_sent"] += 1


@plant("relation.total_byte_size")
def bytes_are_5_percent_too_high(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["rtp"]["total_received_byte_size"] = sample["rtp"]["total_received_byte_size"] * 105 // 100 + 5000


@plant("relation.unstable_level")
def a_level_is_never_counted(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["network_status"] |= {"unstable_level": 3, "total_unstable_level3": 0}


@plant("relation.rtp_min_size")
def bytes_count_packets(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["rtp"]["total_sent_rtp_byte_size"] = sample["rtp"]["total_sent_rtp"]


@plant("relation.ice_acks")
def acks_without_requests(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["ice_connection_state"]["total_connected_ack"] += 2**50


@plant("relation.sctp_chunks", "relation.sctp_min_size")
def packets_without_chunks(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["sctp"]["total_sent_sctp"] += 2**51


@plant("relation.simulcast_sum")
def a_layer_above_the_whole(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["simulcast"]["r2"]["rtp"]["total_received_rtp"] += 2**52


@plant()
def everything_twice(fault: Fault, reply: Reply) -> None:
    """Undecidable: every relation is linear."""
    for sample in reply.samples():
        change_counters(sample, lambda key, value: value * 2)


# -- shape ------------------------------------------------------------------------------------------------------------


@plant("shape.required")
def zeros_are_left_out(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["rtp"] = {key: value for key, value in sample["rtp"].items() if value}
        sample["rtp"].pop("total_ulpfec_recovered", None)


@plant("shape.required", "shape.group")
def one_target_lacks_a_field(fault: Fault, reply: Reply) -> None:
    if reply.operation == "GetStatsClient":
        for sample in reply.samples():
            del sample["dtls"]["total_received_dtls"]


@plant("shape.group")
def a_group_is_missing(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        del sample["turn"]


@plant("shape.unknown")
def a_new_field(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["rtp"]["total_received_rtp_new"] = 1


@plant("shape.type")
def a_null(fault: Fault, reply: Reply) -> None:
    for sample in fault.chosen(reply):
        sample["cc"]["bwe_period"] = None


@plant("shape.type")
def a_boolean_is_a_number(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["data_channel"]["stats"]["ordered"] = 1


@plant("shape.range")
def a_fifth_level(fault: Fault, reply: Reply) -> None:
    for sample in fault.chosen(reply):
        sample["network_status"]["unstable_level"] = 4


@plant("shape.enum")
def another_direction(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["data_channel"]["push"]["direction"] = "inactive"


@plant("shape.exclusive")
def both_limits(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["data_channel"]["stats"] |= {"max_retransmits": 1, "max_packet_life_time": 1}


# -- identity ---------------------------------------------------------------------------------------------------------


@plant("identity.asked")
def another_connection(fault: Fault, reply: Reply) -> None:
    """A cache whose key lacks the body."""
    if reply.operation == "GetStatsConnection" and reply.status == 200:
        kept = fault.memory.setdefault("kept", reply.document)
        reply.document = {**kept, "timestamp": reply.document["timestamp"]}


@plant("identity.client")
def another_client(fault: Fault, reply: Reply) -> None:
    if reply.operation == "GetStatsAllConnections":
        fault.memory["other"] = deepcopy(reply.document)
    elif reply.operation == "GetStatsClient" and reply.status == 200:
        client = reply.arguments["client_id"]
        others = [each for each in fault.memory.get("other", ()) if each["client_id"] != client]
        reply.document = [*reply.document, *others[:1]]


@plant("identity.unique")
def one_is_listed_twice(fault: Fault, reply: Reply) -> None:
    if reply.operation == "GetStatsAllConnections" and reply.document:
        reply.document = [*reply.document, reply.document[0]]


@plant("identity.constant")
def a_channel_changes(fault: Fault, reply: Reply) -> None:
    for sample in fault.chosen(reply):
        sample["bundle_id"] = f"bundle-{int(fault.age_s)}"


@plant("identity.present", "http.status")
def one_is_not_found_at_times(fault: Fault, reply: Reply) -> None:
    if reply.operation == "GetStatsConnection" and reply.status == 200 and fault.draw.random() < 0.3:
        reply.status, reply.document = 400, {"error_type": "UNKNOWN-CONNECTION"}


@plant("identity.listed")
def one_is_never_listed(fault: Fault, reply: Reply) -> None:
    """It is found by GetStatsClient, together with others of its client."""
    if reply.operation == "GetStatsAllConnections" and reply.status == 200 and fault.age_s > 1:
        fault.chosen(reply)
        reply.document = [each for each in reply.document if each["connection_id"] != fault.memory["id"]]


@plant("identity.form")
def ids_in_lower_case(fault: Fault, reply: Reply) -> None:
    if reply.operation == "GetStatsAllConnections":
        for sample in reply.samples():
            sample["bundle_id"] = sample["bundle_id"]
            sample["connection_id"] = sample["connection_id"].lower()


@plant("identity.constant")
def a_channel_is_ordered_at_times(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["data_channel"]["signaling"]["ordered"] = int(fault.age_s * 3) % 2 == 0


# -- time -------------------------------------------------------------------------------------------------------------


@plant("clock.order", "clock.frozen")
def a_cache(fault: Fault, reply: Reply) -> None:
    """Each listing for a second."""
    if reply.operation == "GetStatsAllConnections" and reply.status == 200:
        key = json.dumps(reply.arguments, sort_keys=True)
        kept_s, kept = fault.memory.get(key, (-9.0, None))
        if fault.age_s - kept_s < 1:
            reply.document = deepcopy(kept)
        else:
            fault.memory[key] = (fault.age_s, deepcopy(reply.document))


@plant("clock.order", "clock.frozen")
def a_stamp_stands_still(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["timestamp"] = fault.memory.setdefault("stamp", sample["timestamp"])


@plant("clock.order")
def stamps_of_one_go_back(fault: Fault, reply: Reply) -> None:
    for sample in fault.chosen(reply):
        if fault.draw.random() < 0.5:
            sample["timestamp"] = f"2020{sample['timestamp'][4:]}"


@plant("shape.pattern")
def stamps_without_a_zone(fault: Fault, reply: Reply) -> None:
    for sample in reply.samples():
        sample["timestamp"] = sample["timestamp"].removesuffix("Z")


# -- HTTP -------------------------------------------------------------------------------------------------------------


@plant("http.json")
def a_comma_too_many(fault: Fault, reply: Reply) -> None:
    if reply.status == 200:
        reply.text = lambda text: f"{text[:-1]},{text[-1]}"


@plant("http.duplicate_key")
def a_key_twice(fault: Fault, reply: Reply) -> None:
    if reply.samples():
        reply.text = lambda text: text.replace('"cc":', '"channel_id":"foreign","cc":', 1)


@plant("http.json")
def a_byte_order_mark(fault: Fault, reply: Reply) -> None:
    if reply.status == 200:
        reply.text = lambda text: f"\ufeff{text}"


@plant("http.content_type")
def it_is_called_text(fault: Fault, reply: Reply) -> None:
    reply.content_type = None if reply.content_type is None else "text/plain"


@plant("http.header")
def it_is_called_two_things(fault: Fault, reply: Reply) -> None:
    if reply.status == 200:
        reply.more_headers = (("content-type", "text/html"),)


@plant("http.length", "http.complete")
def the_length_is_too_large(fault: Fault, reply: Reply) -> None:
    if reply.status == 200 and fault.draw.random() < 0.2:
        reply.too_long, reply.closes = 7, True


@plant("http.complete", "http.length")
def some_are_cut(fault: Fault, reply: Reply) -> None:
    if reply.status == 200 and fault.draw.random() < 0.1:
        reply.cut_at, reply.closes = 0.6, True


@plant("http.status")
def some_are_errors(fault: Fault, reply: Reply) -> None:
    if reply.status == 200 and fault.draw.random() < 0.1:
        reply.status, reply.document = 500, {"error_type": "INTERNAL-ERROR"}


@plant("http.keep_alive", command="load")
def it_hangs_up(fault: Fault, reply: Reply) -> None:
    reply.closes = True


@plant("request.no_5xx")
def wrong_requests_crash_it(fault: Fault, reply: Reply) -> None:
    if reply.status == 400:
        reply.status, reply.document = 500, b""
        reply.content_type = None
