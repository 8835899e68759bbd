"""Faults in the content of samples: leaves, ids, timestamps, and how counters move."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from ..fault_interface import Arguments, Fault, ReceivedRequest, SampleObject
from .fault_kind import FaultBuilder, FaultFamily, LeafAccessor, iterate_counters, make_sample_fault
from .parameters import FaultParameters

FAULTS: Final = FaultFamily()

UNRELATED_COUNTER: Final = "dtls.total_received_dtls"
"""A growing counter that every connection has and that is part of no relation."""

_FIELD_PARAMETERS: Final = {"field": UNRELATED_COUNTER, "every": "1"}
_TIMESTAMP_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_SECOND_NS: Final = 1_000_000_000

Samples = Sequence[SampleObject]
SampleChange = Callable[[SampleObject], object]
"""Changes a sample in place."""


def _changes_sample(change: SampleChange, operation: str | None = None) -> FaultBuilder:
    return lambda parameters: make_sample_fault(
        lambda _, sample: change(sample), parameters.strikes(), operation=operation
    )


def _changes_leaf(new_value: Callable[[Any], Any]) -> FaultBuilder:  # Any: whatever JSON can hold
    """A builder of faults that change the leaf `field`."""

    def build(parameters: FaultParameters) -> Fault:
        leaf = LeafAccessor(parameters["field"])
        return make_sample_fault(
            lambda _, sample: leaf.set_value(sample, new_value(leaf.get_value(sample))), parameters.strikes()
        )

    return build


# Leaves and groups.


@FAULTS.fault("missing-leaf", "a documented leaf is left out", "shape.required", own=_FIELD_PARAMETERS)
def _build_missing_leaf(parameters: FaultParameters) -> Fault:
    leaf = LeafAccessor(parameters["field"])
    return make_sample_fault(lambda _, sample: leaf.delete_value(sample), parameters.strikes())


def _delete_zeros(sample: SampleObject) -> None:
    for group, name in iterate_counters(sample):
        if group[name] == 0:
            del group[name]


def _convert_large(convert: Callable[[int], object]) -> SampleChange:
    def change(sample: SampleObject) -> None:
        for group, name in iterate_counters(sample):
            if group[name] > 2**53:
                group[name] = convert(group[name])

    return change


def _spoil_timestamp(sample: SampleObject) -> None:
    sample["timestamp"] = sample["timestamp"].replace("T", " ").removesuffix("Z")


def _spoil_directions(sample: SampleObject) -> None:
    for label in sample.get("data_channel", {}).values():
        label["direction"] = "both"


def _limit_twice(sample: SampleObject) -> None:
    for label in sample.get("data_channel", {}).values():
        label.update(max_retransmits=3, max_packet_life_time=1000)


for _name, _description, _violates, _new_value in (
    ("null", "a leaf is null", "shape.type", lambda _: None),
    ("wrong-type", "a counter is a string", "shape.type", str),
    ("float", "a counter is written with a fraction", "shape.lexical", float),
    ("negative", "a counter is negative", "shape.range", lambda _: -1),
):
    FAULTS.fault(_name, _description, _violates, own=_FIELD_PARAMETERS)(_changes_leaf(_new_value))

FAULTS.fault("vanishing-zero", "counters at 0 are left out", "shape.required")(_changes_sample(_delete_zeros))
FAULTS.fault("large-as-string", "numbers above 2**53 are strings", "shape.type")(_changes_sample(_convert_large(str)))
FAULTS.fault("large-as-float", "numbers above 2**53 are floats", "shape.lexical")(
    _changes_sample(_convert_large(float))
)
FAULTS.fault("bad-timestamp", "the time is not RFC 3339", "shape.pattern", own={"every": "3"})(
    _changes_sample(_spoil_timestamp)
)
FAULTS.fault("bad-direction", "a data channel has an unknown direction", "shape.enum", own={"every": "1"})(
    _changes_sample(_spoil_directions)
)


FAULTS.fault("both-limits", "data channels have both limits, which exclude each other", "shape.exclusive")(
    _changes_sample(_limit_twice)
)


@FAULTS.fault("missing-group", "a whole group is left out", "shape.group", own={"group": "spotlight", "every": "1"})
def _build_missing_group(parameters: FaultParameters) -> Fault:
    return make_sample_fault(lambda _, sample: sample.pop(parameters["group"], None), parameters.strikes())


@FAULTS.fault("new-field", "an unknown field", "shape.unknown", own={"field": "rtp.total_brand_new", "every": "1"})
@FAULTS.fault(
    "undocumented-field",
    "an undocumented field that the edition knows",
    "shape.undocumented",
    own={"field": "sctp.total_pruned_sctp_data_chunk", "every": "1"},
)
def _build_new_field(parameters: FaultParameters) -> Fault:
    *path, name = parameters["field"].split(".")

    def change(call: ReceivedRequest, sample: SampleObject) -> None:
        group: Any = sample
        for key in path:
            group = group.setdefault(key, {})
        group[name] = call.number

    return make_sample_fault(change, parameters.strikes())


# Ids.


def _change_first_character(sample: SampleObject) -> None:
    connection_id = sample["connection_id"]
    sample["connection_id"] = ("0" if connection_id[0] != "0" else "1") + connection_id[1:]


FAULTS.fault(
    "wrong-id", "GetStatsConnection responds with another connection_id", "identity.asked", own={"every": "3"}
)(_changes_sample(_change_first_character, "GetStatsConnection"))
FAULTS.fault("wrong-client", "GetStatsClient responds with another client", "identity.client", own={"every": "1"})(
    _changes_sample(lambda sample: sample.update(client_id="somebody-else"), "GetStatsClient")
)
FAULTS.fault("changing-bundle", "the bundle_id changes now and then", "identity.constant", own={"every": "3"})(
    _changes_sample(lambda sample: sample.update(bundle_id="another-bundle"))
)


@FAULTS.fault("twice", "a listing has a connection twice", "identity.unique", own={"every": "1"})
def _build_twice(parameters: FaultParameters) -> Fault:
    strikes = parameters.strikes()

    def on_samples(call: ReceivedRequest, samples: Samples) -> Samples:
        again = call.operation == "GetStatsAllConnections" and samples and strikes()
        return [*samples, deepcopy(samples[0])] if again else samples

    return Fault(on_samples=on_samples)


@FAULTS.fault("uuid-ids", "connection_ids are UUIDs in their text form", "identity.form")
def _build_uuid_ids(parameters: FaultParameters) -> Fault:
    """Ids in the text form of 2017, which requests may also use."""
    real_ids: dict[str, str] = {}

    def change(_: ReceivedRequest, sample: SampleObject) -> None:
        shown = str(uuid.uuid5(uuid.NAMESPACE_URL, sample["connection_id"]))
        real_ids[shown] = sample["connection_id"]
        sample["connection_id"] = shown

    def on_arguments(arguments: Arguments) -> Arguments:
        shown = arguments.get("connection_id")
        return {**arguments, "connection_id": real_ids.get(shown, shown)} if shown is not None else arguments

    return replace(make_sample_fault(change), on_arguments=on_arguments)


# Counters.


@FAULTS.fault(
    "counter-falls",
    "a counter steps back now and then",
    "counter.monotonic",
    own={"field": UNRELATED_COUNTER, "every": "4"},
)
def _build_counter_falls(parameters: FaultParameters) -> Fault:
    """Now and then a counter is one less than it was at first."""
    leaf = LeafAccessor(parameters["field"])
    first: dict[str, int] = {}

    def change(call: ReceivedRequest, sample: SampleObject) -> None:
        if (old := first.get(sample["connection_id"])) is not None:
            leaf.set_value(sample, old - 1)

    strike = make_sample_fault(change, parameters.strikes()).on_samples

    def on_samples(call: ReceivedRequest, samples: Samples) -> Samples:
        for sample in samples:
            value = leaf.get_value(sample)
            if isinstance(value, int) and value > 0:
                first.setdefault(sample["connection_id"], value)
        return strike(call, samples)

    return Fault(on_samples=on_samples)


@FAULTS.fault(
    "falling-floats",
    "the counters of a group are written with a fraction, and step back by 1000 now and then",
    "counter.monotonic shape.lexical",
    own={"group": "dtls", "every": "4"},
)
def _build_falling_floats(parameters: FaultParameters) -> Fault:
    strikes = parameters.strikes()

    def change(call: ReceivedRequest, sample: SampleObject) -> None:
        step = 0 if strikes(sample["connection_id"]) else 1000
        for group, name in iterate_counters(sample.get(parameters["group"], {})):
            group[name] = float(group[name] + step)

    return make_sample_fault(change)


def _wraps(top: int) -> FaultBuilder:
    """A builder of faults that keep a counter in 32 bits, close to where it wraps."""

    def build(parameters: FaultParameters) -> Fault:
        leaf = LeafAccessor(parameters["field"])
        first: dict[str, int] = {}

        def change(call: ReceivedRequest, sample: SampleObject) -> None:
            value = leaf.get_value(sample)
            if isinstance(value, int):
                grown = value - first.setdefault(sample["connection_id"], value)
                wrapped = top - 1 + grown
                leaf.set_value(sample, wrapped if wrapped < top else wrapped - 2**32)

        return make_sample_fault(change)

    return build


FAULTS.fault(
    "wraps-negative",
    "a counter wraps at 31 bits, into negative numbers",
    "shape.range",
    own={"field": UNRELATED_COUNTER},
)(_wraps(2**31))
FAULTS.fault(
    "wraps-small",
    "a counter wraps at 32 bits, into small numbers",
    "counter.monotonic",
    own={"field": UNRELATED_COUNTER},
)(_wraps(2**32))


@FAULTS.fault("reset", "counters restart under the same id", "counter.monotonic", own={"age": "1"})
def _build_reset(parameters: FaultParameters) -> Fault:
    """Counters restart some time after a connection was first seen."""
    age_ns = int(parameters.seconds("age") * _SECOND_NS)
    first_ns: dict[str, int] = {}
    base: dict[str, SampleObject] = {}

    def change(call: ReceivedRequest, sample: SampleObject) -> None:
        connection_id = sample["connection_id"]
        if call.now_ns - first_ns.setdefault(connection_id, call.now_ns) < age_ns:
            return
        if connection_id not in base:
            base[connection_id] = deepcopy(sample)
        _subtract(sample, base[connection_id])

    return make_sample_fault(change)


def _subtract(sample: SampleObject, base: SampleObject) -> None:
    for name, value in sample.items():
        if name == "network_status":
            continue  # the current level must have been counted
        if isinstance(value, dict):
            _subtract(value, base.get(name, {}))
        elif name.startswith("total_"):
            sample[name] = max(0, value - base.get(name, 0))


@FAULTS.fault(
    "stale-cache", "some responses come from a cache", "clock.order counter.monotonic", own={"every": "2", "age": "0.8"}
)
def _build_stale_cache(parameters: FaultParameters) -> Fault:
    """Some responses about a connection come from a cache; it is never older than `age`."""
    age_ns = int(parameters.seconds("age") * _SECOND_NS)
    kept: dict[str, tuple[int, SampleObject]] = {}
    strikes = parameters.strikes()

    def on_samples(call: ReceivedRequest, samples: Samples) -> Samples:
        if call.operation != "GetStatsConnection":
            return samples
        connection_id = samples[0]["connection_id"]
        cached = kept.get(connection_id)
        if cached is None or call.now_ns - cached[0] > age_ns:
            kept[connection_id] = (call.now_ns, deepcopy(samples[0]))
            return samples
        return [deepcopy(cached[1])] if strikes(connection_id) else samples

    return Fault(on_samples=on_samples)


@FAULTS.fault(
    "mixed-up", "a group of another connection now and then", "counter.monotonic", own={"group": "dtls", "every": "3"}
)
def _build_mixed_up(parameters: FaultParameters) -> Fault:
    group = parameters["group"]
    first: dict[str, Any] = {}
    strikes = parameters.strikes()

    def change(call: ReceivedRequest, sample: SampleObject) -> None:
        connection_id = sample["connection_id"]
        own = deepcopy(sample.get(group))
        other = next((value for key, value in first.items() if key != connection_id), None)
        if other is not None and group in sample and strikes(connection_id):
            sample[group] = deepcopy(other)
        first.setdefault(connection_id, own)

    return make_sample_fault(change)


# Clocks.


def shift_timestamp(sample: SampleObject, by_s: float) -> None:
    """Shift the timestamp of a sample; by 0 it stays as it is, whatever another fault has made of it."""
    if not by_s:
        return
    shifted = datetime.strptime(sample["timestamp"], _TIMESTAMP_FORMAT) + timedelta(seconds=by_s)
    sample["timestamp"] = shifted.strftime(_TIMESTAMP_FORMAT)


@FAULTS.fault("clock-jump", "the server's clock jumps once", "clock.offset", own={"by": "120", "after": "0.7"})
def _build_clock_jump(parameters: FaultParameters) -> Fault:
    by_s = parameters.seconds("by")
    return make_sample_fault(lambda _, sample: shift_timestamp(sample, by_s))


@FAULTS.fault("forgets-a-channel", "a data channel is missing now and then", "identity.channel", own={"every": "5"})
def _build_forgets_a_channel(parameters: FaultParameters) -> Fault:
    """One that the server itself has opened, where it has others."""

    def forget(_: ReceivedRequest, sample: SampleObject) -> None:
        channels = sample.get("data_channel", {})
        of_server = [name for name in channels if name[0] != "#"]
        if len(of_server) > 1:
            del channels[of_server[0]]

    return make_sample_fault(forget, parameters.strikes())


@FAULTS.fault("stamped-an-hour-ago", "one connection's timestamps are always an hour old", "clock.offset")
def _build_stamped_an_hour_ago(parameters: FaultParameters) -> Fault:
    """The third connection that is seen, since no listing begins with it."""
    seen: dict[str, None] = {}

    def shift(_: ReceivedRequest, sample: SampleObject) -> None:
        seen.setdefault(sample["connection_id"])
        if len(seen) > 2 and sample["connection_id"] == [*seen][2]:
            shift_timestamp(sample, -3600)

    return make_sample_fault(shift)


FAULTS.fault("stamps-back", "timestamps go back now and then", "clock.order", own={"by": "0.9", "every": "2"})(
    lambda parameters: make_sample_fault(
        lambda _, sample: shift_timestamp(sample, -parameters.seconds("by")), parameters.strikes()
    )
)


@FAULTS.fault("idle-cache", "all responses come from a cache, and no counter moves", "clock.order", own={"age": "0.8"})
def _build_idle_cache(parameters: FaultParameters) -> Fault:
    """Connections are idle, so that only timestamps show that a response is up to `age` old."""
    age_ns = int(parameters.seconds("age") * _SECOND_NS)
    idle: dict[str, SampleObject] = {}
    read_ns: dict[str, int] = {}

    def change(call: ReceivedRequest, sample: SampleObject) -> None:
        connection_id, timestamp = sample["connection_id"], sample["timestamp"]
        if call.now_ns - read_ns.get(connection_id, -age_ns) >= age_ns:
            read_ns[connection_id] = call.now_ns
            idle.setdefault(connection_id, deepcopy(sample))["timestamp"] = timestamp
        sample.update(deepcopy(idle[connection_id]))

    return make_sample_fault(change)


@FAULTS.fault("frozen-clock", "one connection's timestamp is frozen", "clock.frozen")
def _build_frozen_clock(parameters: FaultParameters) -> Fault:
    """The timestamp of the first connection that is seen is frozen."""
    frozen: dict[str, str] = {}

    def change(call: ReceivedRequest, sample: SampleObject) -> None:
        if not frozen:
            frozen[sample["connection_id"]] = sample["timestamp"]
        sample["timestamp"] = frozen.get(sample["connection_id"], sample["timestamp"])

    return make_sample_fault(change)


@FAULTS.fault(
    "misstamped",
    "slow responses, stamped too early now and then",
    "counter.timestamp_order",
    own={"slow": "0.13", "by": "0.12"},
)
def _build_misstamped(parameters: FaultParameters) -> Fault:
    """Every other response is read later than its neighbour, but stamped earlier."""
    slow_s, by_s = parameters.seconds("slow"), parameters.seconds("by")

    def delay_s(call: ReceivedRequest) -> float:
        if call.operation is None:
            return 0.0
        return slow_s + by_s / 2 if call.number % 2 else slow_s

    early = make_sample_fault(lambda call, sample: shift_timestamp(sample, -by_s if call.number % 2 else 0))
    return replace(early, delay_s=delay_s)
