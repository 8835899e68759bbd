"""
Faults of what a sample says: its leaves, its ids, its stamp, and how its counters move.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any, Final

from ..fault_interface import RequestContext, SampleObject
from .fault_kind import FaultKind, HookedFault, LeafAccessor, iterate_counters, make_sample_fault, make_strike_counter
from .parameters import FaultParameters, parse_seconds_parameter

UNRELATED_COUNTER: Final = "dtls.total_received_dtls"
"""A counter that every connection has, that grows, and that no documented relation is about."""

_DEFAULT_FIELD_PARAMETERS: Final = {"field": UNRELATED_COUNTER, "every": "1"}

_TIMESTAMP_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"

_SECOND_NS: Final = 1_000_000_000


def _replaces_leaf(value: Any) -> Any:  # Any: what to put, or how to make it from what is there; a builder of hooks
    def build(parameters: FaultParameters) -> HookedFault:
        place = LeafAccessor(parameters["field"])

        def change(call: RequestContext, sample: SampleObject) -> None:
            place.set_value(sample, value(place.get_value(sample)) if callable(value) else value)

        return make_sample_fault(change, make_strike_counter(parameters))

    return build


def _missing_leaf(parameters: FaultParameters) -> HookedFault:
    place = LeafAccessor(parameters["field"])
    return make_sample_fault(lambda _, sample: place.delete_value(sample), make_strike_counter(parameters))


def _missing_group(parameters: FaultParameters) -> HookedFault:
    return make_sample_fault(lambda _, sample: sample.pop(parameters["group"], None), make_strike_counter(parameters))


def _new_field(parameters: FaultParameters) -> HookedFault:
    *path, name = parameters["field"].split(".")

    def change(call: RequestContext, sample: SampleObject) -> None:
        group: Any = sample
        for key in path:
            group = group.setdefault(key, {})
        group[name] = call.number

    return make_sample_fault(change, make_strike_counter(parameters))


def _bad_stamp(parameters: FaultParameters) -> HookedFault:
    def change(call: RequestContext, sample: SampleObject) -> None:
        sample["timestamp"] = sample["timestamp"].replace("T", " ").removesuffix("Z")

    return make_sample_fault(change, make_strike_counter(parameters))


def _bad_direction(parameters: FaultParameters) -> HookedFault:
    def change(call: RequestContext, sample: SampleObject) -> None:
        for label in sample.get("data_channel", {}).values():
            label["direction"] = "both"

    return make_sample_fault(change, make_strike_counter(parameters))


def _vanishing_zero(parameters: FaultParameters) -> HookedFault:
    def change(call: RequestContext, sample: SampleObject) -> None:
        for group, name in list(iterate_counters(sample)):
            if group[name] == 0:
                del group[name]

    return make_sample_fault(change)


def _large_as(kind: type[str] | type[float]) -> Any:  # Any: a builder of hooks
    def build(parameters: FaultParameters) -> HookedFault:
        def change(call: RequestContext, sample: SampleObject) -> None:
            for group, name in list(iterate_counters(sample)):
                if group[name] > 2**53:
                    group[name] = kind(group[name])

        return make_sample_fault(change)

    return build


# Ids.


def _wrong_id(parameters: FaultParameters) -> HookedFault:
    def change(call: RequestContext, sample: SampleObject) -> None:
        one = sample["connection_id"]
        sample["connection_id"] = ("0" if one[0] != "0" else "1") + one[1:]

    return make_sample_fault(change, make_strike_counter(parameters), operation="GetStatsConnection")


def _wrong_client(parameters: FaultParameters) -> HookedFault:
    def change(call: RequestContext, sample: SampleObject) -> None:
        sample["client_id"] = "somebody-else"

    return make_sample_fault(change, make_strike_counter(parameters), operation="GetStatsClient")


def _changing_bundle(parameters: FaultParameters) -> HookedFault:
    def change(call: RequestContext, sample: SampleObject) -> None:
        sample["bundle_id"] = "another-bundle"

    return make_sample_fault(change, make_strike_counter(parameters))


def _uuid_ids(parameters: FaultParameters) -> HookedFault:
    """Ids in the text form of 2017, which are understood in requests as well."""
    real: dict[str, str] = {}

    def change(call: RequestContext, sample: SampleObject) -> None:
        told = str(uuid.uuid5(uuid.NAMESPACE_URL, sample["connection_id"]))
        real[told] = sample["connection_id"]
        sample["connection_id"] = told

    def arguments(given: Mapping[str, Any]) -> Mapping[str, Any]:
        told = given.get("connection_id")
        return {**given, "connection_id": real.get(told, told)} if told is not None else given

    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        for sample in given:
            change(call, sample)
        return given

    return HookedFault(samples=samples, arguments=arguments)


def _duplicate_connection(parameters: FaultParameters) -> HookedFault:
    strikes = make_strike_counter(parameters)

    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        again = call.operation == "GetStatsAllConnections" and given and strikes("")
        return [*given, deepcopy(given[0])] if again else given

    return HookedFault(samples=samples)


# Counters.


def _decreasing_counter(parameters: FaultParameters) -> HookedFault:
    """Now and then a counter is one less than it was at first."""
    place = LeafAccessor(parameters["field"])
    first: dict[str, int] = {}

    def change(call: RequestContext, sample: SampleObject) -> None:
        if (old := first.get(sample["connection_id"])) is not None:
            place.set_value(sample, old - 1)

    strike = make_sample_fault(change, make_strike_counter(parameters))

    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        for sample in given:
            value = place.get_value(sample)
            if isinstance(value, int) and value > 0:
                first.setdefault(sample["connection_id"], value)
        return strike.on_samples(call, given)

    return HookedFault(samples=samples)


def _wrapping_counter(bits: int, *, signed: bool) -> Any:  # Any: a builder of hooks
    """A counter that is kept in so many bits, and close to its end."""

    def build(parameters: FaultParameters) -> HookedFault:
        place = LeafAccessor(parameters["field"])
        first: dict[str, int] = {}
        top = 2 ** (bits - 1) if signed else 2**bits

        def change(call: RequestContext, sample: SampleObject) -> None:
            value = place.get_value(sample)
            if isinstance(value, int):
                grown = value - first.setdefault(sample["connection_id"], value)
                wrapped = top - 1 + grown
                place.set_value(sample, wrapped if wrapped < top else wrapped - 2**bits)

        return make_sample_fault(change)

    return build


def _counter_reset(parameters: FaultParameters) -> HookedFault:
    """Some time after a connection was first seen its counters start again, under the same id."""
    age_ns = int(parse_seconds_parameter(parameters, "age") * _SECOND_NS)
    first_ns: dict[str, int] = {}
    base: dict[str, SampleObject] = {}

    def change(call: RequestContext, sample: SampleObject) -> None:
        one = sample["connection_id"]
        if call.now_ns - first_ns.setdefault(one, call.now_ns) < age_ns:
            return
        if one not in base:
            base[one] = deepcopy(sample)
        _subtract(sample, base[one])

    return make_sample_fault(change)


def _subtract(sample: SampleObject, base: SampleObject) -> None:
    for name, value in sample.items():
        if name == "network_status":
            continue  # the current level has always been counted
        if isinstance(value, dict):
            _subtract(value, base.get(name, {}))
        elif name.startswith("total_"):
            sample[name] = max(0, value - base.get(name, 0))


def _stale_responses(parameters: FaultParameters) -> HookedFault:
    """Some responses about a connection come from a cache; it is never older than `age`."""
    age_ns = int(parse_seconds_parameter(parameters, "age") * _SECOND_NS)
    kept: dict[str, tuple[int, SampleObject]] = {}
    strikes = make_strike_counter(parameters)

    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        if call.operation != "GetStatsConnection":
            return given
        one = given[0]["connection_id"]
        cached = kept.get(one)
        if cached is None or call.now_ns - cached[0] > age_ns:
            kept[one] = (call.now_ns, deepcopy(given[0]))
            return given
        return [deepcopy(cached[1])] if strikes(one) else given

    return HookedFault(samples=samples)


def _swapped_groups(parameters: FaultParameters) -> HookedFault:
    """Now and then one group is that of another connection."""
    group = parameters["group"]
    others: dict[str, Any] = {}
    strikes = make_strike_counter(parameters)

    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        for sample in given:
            one = sample["connection_id"]
            mine = deepcopy(sample.get(group))
            other = next((value for key, value in others.items() if key != one), None)
            if other is not None and group in sample and strikes(one):
                sample[group] = deepcopy(other)
            others.setdefault(one, mine)
        return given

    return HookedFault(samples=samples)


# Clocks.


def shift_timestamp(sample: SampleObject, by_s: float) -> None:
    """Shift the stamp of a sample."""
    moved = datetime.strptime(sample["timestamp"], _TIMESTAMP_FORMAT) + timedelta(seconds=by_s)
    sample["timestamp"] = moved.strftime(_TIMESTAMP_FORMAT)


def _clock_jump(parameters: FaultParameters) -> HookedFault:
    by_s = parse_seconds_parameter(parameters, "by")
    return make_sample_fault(lambda _, sample: shift_timestamp(sample, by_s))


def _frozen_timestamp(parameters: FaultParameters) -> HookedFault:
    """The stamp of the first connection that is seen stands still."""
    chosen: dict[str, str] = {}

    def change(call: RequestContext, sample: SampleObject) -> None:
        if not chosen:
            chosen[sample["connection_id"]] = sample["timestamp"]
        sample["timestamp"] = chosen.get(sample["connection_id"], sample["timestamp"])

    return make_sample_fault(change)


def _reordered_timestamps(parameters: FaultParameters) -> HookedFault:
    """Slow responses, every other one of which is read later than its neighbour, and stamped earlier."""
    slow_s, by_s = parse_seconds_parameter(parameters, "slow"), parse_seconds_parameter(parameters, "by")

    def delay_s(call: RequestContext) -> float:
        if call.operation is None:
            return 0.0
        return slow_s + by_s / 2 if call.number % 2 else slow_s

    def samples(call: RequestContext, given: list[SampleObject]) -> Sequence[SampleObject]:
        for sample in given if call.number % 2 else ():
            shift_timestamp(sample, -by_s)
        return given

    return HookedFault(samples=samples, delay_s=delay_s)


def _make_value_fault_kind(
    name: str, description: str, trips: str, build: Any, parameters: Mapping[str, str] | None = None
) -> FaultKind:
    return FaultKind(
        name=name,
        description=description,
        violated_requirements=frozenset(trips.split()),
        build=build,
        own_parameters=parameters or {},
    )


VALUE_FAULT_KINDS: Final = (
    _make_value_fault_kind(
        "missing-leaf", "a documented leaf is left out", "shape.required", _missing_leaf, _DEFAULT_FIELD_PARAMETERS
    ),
    _make_value_fault_kind("vanishing-zero", "counters at 0 are left out", "shape.required", _vanishing_zero),
    _make_value_fault_kind("null", "a leaf is null", "shape.type", _replaces_leaf(None), _DEFAULT_FIELD_PARAMETERS),
    _make_value_fault_kind(
        "wrong-type", "a counter is a string", "shape.type", _replaces_leaf(str), _DEFAULT_FIELD_PARAMETERS
    ),
    _make_value_fault_kind("large-as-string", "numbers above 2**53 are strings", "shape.type", _large_as(str)),
    _make_value_fault_kind("large-as-float", "numbers above 2**53 are floats", "shape.lexical", _large_as(float)),
    _make_value_fault_kind(
        "float",
        "a counter is written with a fraction",
        "shape.lexical",
        _replaces_leaf(float),
        _DEFAULT_FIELD_PARAMETERS,
    ),
    _make_value_fault_kind(
        "negative", "a counter is negative", "shape.range", _replaces_leaf(-1), _DEFAULT_FIELD_PARAMETERS
    ),
    _make_value_fault_kind("bad-timestamp", "the time is not RFC 3339", "shape.pattern", _bad_stamp, {"every": "3"}),
    _make_value_fault_kind(
        "bad-direction", "a data channel has an unknown direction", "shape.enum", _bad_direction, {"every": "1"}
    ),
    _make_value_fault_kind(
        "missing-group",
        "a whole group is left out",
        "shape.group",
        _missing_group,
        {"group": "spotlight", "every": "1"},
    ),
    _make_value_fault_kind(
        "new-field",
        "a field that nobody documented",
        "shape.unknown",
        _new_field,
        {"field": "rtp.total_brand_new", "every": "1"},
    ),
    _make_value_fault_kind(
        "undocumented-field",
        "a field that is known though undocumented",
        "shape.undocumented",
        _new_field,
        {"field": "sctp.total_pruned_sctp_data_chunk", "every": "1"},
    ),
    _make_value_fault_kind(
        "wrong-id",
        "GetStatsConnection responds with another connection_id",
        "identity.asked",
        _wrong_id,
        {"every": "3"},
    ),
    _make_value_fault_kind(
        "wrong-client", "GetStatsClient responds with another client", "identity.client", _wrong_client, {"every": "1"}
    ),
    _make_value_fault_kind(
        "twice", "a listing has a connection twice", "identity.unique", _duplicate_connection, {"every": "1"}
    ),
    _make_value_fault_kind(
        "changing-bundle", "the bundle_id changes now and then", "identity.constant", _changing_bundle, {"every": "3"}
    ),
    _make_value_fault_kind("uuid-ids", "connection_ids are UUIDs in their text form", "identity.form", _uuid_ids),
    _make_value_fault_kind(
        "counter-falls",
        "a counter steps back now and then",
        "counter.monotonic",
        _decreasing_counter,
        {"field": UNRELATED_COUNTER, "every": "4"},
    ),
    _make_value_fault_kind(
        "wraps-negative",
        "a counter wraps at 31 bits, into negative numbers",
        "shape.range",
        _wrapping_counter(32, signed=True),
        {"field": UNRELATED_COUNTER},
    ),
    _make_value_fault_kind(
        "wraps-small",
        "a counter wraps at 32 bits, into small numbers",
        "counter.monotonic",
        _wrapping_counter(32, signed=False),
        {"field": UNRELATED_COUNTER},
    ),
    _make_value_fault_kind(
        "reset", "counters start again under the same id", "counter.monotonic", _counter_reset, {"age": "1"}
    ),
    _make_value_fault_kind(
        "stale-cache",
        "some responses come from a cache",
        "counter.monotonic",
        _stale_responses,
        {"every": "2", "age": "0.8"},
    ),
    _make_value_fault_kind(
        "mixed-up",
        "a group of another connection now and then",
        "counter.monotonic",
        _swapped_groups,
        {"group": "dtls", "every": "3"},
    ),
    _make_value_fault_kind(
        "clock-jump", "the server's clock jumps once", "clock.offset", _clock_jump, {"by": "120", "after": "0.7"}
    ),
    _make_value_fault_kind(
        "frozen-clock", "one connection's timestamp stands still", "clock.frozen", _frozen_timestamp
    ),
    _make_value_fault_kind(
        "misstamped",
        "slow responses, stamped too early now and then",
        "counter.timestamp_order",
        _reordered_timestamps,
        {"slow": "0.13", "by": "0.12"},
    ),
)
