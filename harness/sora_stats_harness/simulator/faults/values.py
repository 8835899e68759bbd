"""
Faults of what a reading says: its leaves, its ids, its stamp, and how its counters move.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any, Final

from ..calls import Call, Reading
from .kinds import FaultKind, Hooks, Place, counters, each_reading, turn
from .parameters import Parameters, seconds

QUIET: Final = "dtls.total_received_dtls"
"""A counter that every connection has, that grows, and that no documented relation is about."""

_FIELD: Final = {"field": QUIET, "every": "1"}

_STAMP: Final = "%Y-%m-%dT%H:%M:%S.%fZ"

_SECOND_NS: Final = 1_000_000_000


def _leaf(value: Any) -> Any:  # Any: what to put, or how to make it from what is there; a builder of hooks
    def build(parameters: Parameters) -> Hooks:
        place = Place(parameters["field"])

        def change(call: Call, reading: Reading) -> None:
            place.put(reading, value(place.get(reading)) if callable(value) else value)

        return each_reading(change, turn(parameters))

    return build


def _missing_leaf(parameters: Parameters) -> Hooks:
    place = Place(parameters["field"])
    return each_reading(lambda _, reading: place.drop(reading), turn(parameters))


def _missing_group(parameters: Parameters) -> Hooks:
    return each_reading(lambda _, reading: reading.pop(parameters["group"], None), turn(parameters))


def _new_field(parameters: Parameters) -> Hooks:
    *path, name = parameters["field"].split(".")

    def change(call: Call, reading: Reading) -> None:
        group: Any = reading
        for key in path:
            group = group.setdefault(key, {})
        group[name] = call.number

    return each_reading(change, turn(parameters))


def _bad_stamp(parameters: Parameters) -> Hooks:
    def change(call: Call, reading: Reading) -> None:
        reading["timestamp"] = reading["timestamp"].replace("T", " ").removesuffix("Z")

    return each_reading(change, turn(parameters))


def _bad_direction(parameters: Parameters) -> Hooks:
    def change(call: Call, reading: Reading) -> None:
        for label in reading.get("data_channel", {}).values():
            label["direction"] = "both"

    return each_reading(change, turn(parameters))


def _vanishing_zero(parameters: Parameters) -> Hooks:
    def change(call: Call, reading: Reading) -> None:
        for group, name in list(counters(reading)):
            if group[name] == 0:
                del group[name]

    return each_reading(change)


def _large_as(kind: type[str] | type[float]) -> Any:  # Any: a builder of hooks
    def build(parameters: Parameters) -> Hooks:
        def change(call: Call, reading: Reading) -> None:
            for group, name in list(counters(reading)):
                if group[name] > 2**53:
                    group[name] = kind(group[name])

        return each_reading(change)

    return build


# Ids.


def _wrong_id(parameters: Parameters) -> Hooks:
    def change(call: Call, reading: Reading) -> None:
        one = reading["connection_id"]
        reading["connection_id"] = ("0" if one[0] != "0" else "1") + one[1:]

    return each_reading(change, turn(parameters), operation="GetStatsConnection")


def _wrong_client(parameters: Parameters) -> Hooks:
    def change(call: Call, reading: Reading) -> None:
        reading["client_id"] = "somebody-else"

    return each_reading(change, turn(parameters), operation="GetStatsClient")


def _changing_bundle(parameters: Parameters) -> Hooks:
    def change(call: Call, reading: Reading) -> None:
        reading["bundle_id"] = "another-bundle"

    return each_reading(change, turn(parameters))


def _uuid_ids(parameters: Parameters) -> Hooks:
    """Ids in the text form of 2017, which are understood in requests as well."""
    real: dict[str, str] = {}

    def change(call: Call, reading: Reading) -> None:
        told = str(uuid.uuid5(uuid.NAMESPACE_URL, reading["connection_id"]))
        real[told] = reading["connection_id"]
        reading["connection_id"] = told

    def arguments(given: Mapping[str, Any]) -> Mapping[str, Any]:
        told = given.get("connection_id")
        return {**given, "connection_id": real.get(told, told)} if told is not None else given

    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        for reading in given:
            change(call, reading)
        return given

    return Hooks(readings=readings, arguments=arguments)


def _twice(parameters: Parameters) -> Hooks:
    strikes = turn(parameters)

    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        again = call.operation == "GetStatsAllConnections" and given and strikes("")
        return [*given, deepcopy(given[0])] if again else given

    return Hooks(readings=readings)


# Counters.


def _falls(parameters: Parameters) -> Hooks:
    """Now and then a counter is one less than it was at first."""
    place = Place(parameters["field"])
    first: dict[str, int] = {}

    def change(call: Call, reading: Reading) -> None:
        if (old := first.get(reading["connection_id"])) is not None:
            place.put(reading, old - 1)

    strike = each_reading(change, turn(parameters))

    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        for reading in given:
            value = place.get(reading)
            if isinstance(value, int) and value > 0:
                first.setdefault(reading["connection_id"], value)
        return strike.on_readings(call, given)

    return Hooks(readings=readings)


def _wraps(bits: int, *, signed: bool) -> Any:  # Any: a builder of hooks
    """A counter that is kept in so many bits, and close to its end."""

    def build(parameters: Parameters) -> Hooks:
        place = Place(parameters["field"])
        first: dict[str, int] = {}
        top = 2 ** (bits - 1) if signed else 2**bits

        def change(call: Call, reading: Reading) -> None:
            value = place.get(reading)
            if isinstance(value, int):
                grown = value - first.setdefault(reading["connection_id"], value)
                wrapped = top - 1 + grown
                place.put(reading, wrapped if wrapped < top else wrapped - 2**bits)

        return each_reading(change)

    return build


def _reset(parameters: Parameters) -> Hooks:
    """Some time after a connection was first seen its counters start again, under the same id."""
    age_ns = int(seconds(parameters, "age") * _SECOND_NS)
    first_ns: dict[str, int] = {}
    base: dict[str, Reading] = {}

    def change(call: Call, reading: Reading) -> None:
        one = reading["connection_id"]
        if call.now_ns - first_ns.setdefault(one, call.now_ns) < age_ns:
            return
        if one not in base:
            base[one] = deepcopy(reading)
        _subtract(reading, base[one])

    return each_reading(change)


def _subtract(reading: Reading, base: Reading) -> None:
    for name, value in reading.items():
        if name == "network_status":
            continue  # the current level has always been counted
        if isinstance(value, dict):
            _subtract(value, base.get(name, {}))
        elif name.startswith("total_"):
            reading[name] = max(0, value - base.get(name, 0))


def _stale(parameters: Parameters) -> Hooks:
    """Some answers about a connection come from a cache; it is never older than `age`."""
    age_ns = int(seconds(parameters, "age") * _SECOND_NS)
    kept: dict[str, tuple[int, Reading]] = {}
    strikes = turn(parameters)

    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        if call.operation != "GetStatsConnection":
            return given
        one = given[0]["connection_id"]
        cached = kept.get(one)
        if cached is None or call.now_ns - cached[0] > age_ns:
            kept[one] = (call.now_ns, deepcopy(given[0]))
            return given
        return [deepcopy(cached[1])] if strikes(one) else given

    return Hooks(readings=readings)


def _mixed_up(parameters: Parameters) -> Hooks:
    """Now and then one group is that of another connection."""
    group = parameters["group"]
    others: dict[str, Any] = {}
    strikes = turn(parameters)

    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        for reading in given:
            one = reading["connection_id"]
            mine = deepcopy(reading.get(group))
            other = next((value for key, value in others.items() if key != one), None)
            if other is not None and group in reading and strikes(one):
                reading[group] = deepcopy(other)
            others.setdefault(one, mine)
        return given

    return Hooks(readings=readings)


# Clocks.


def move(reading: Reading, by_s: float) -> None:
    """Shift the stamp of a reading."""
    moved = datetime.strptime(reading["timestamp"], _STAMP) + timedelta(seconds=by_s)
    reading["timestamp"] = moved.strftime(_STAMP)


def _jump(parameters: Parameters) -> Hooks:
    by_s = seconds(parameters, "by")
    return each_reading(lambda _, reading: move(reading, by_s))


def _frozen(parameters: Parameters) -> Hooks:
    """The stamp of the first connection that is seen stands still."""
    chosen: dict[str, str] = {}

    def change(call: Call, reading: Reading) -> None:
        if not chosen:
            chosen[reading["connection_id"]] = reading["timestamp"]
        reading["timestamp"] = chosen.get(reading["connection_id"], reading["timestamp"])

    return each_reading(change)


def _misstamped(parameters: Parameters) -> Hooks:
    """Slow answers, every other one of which is read later than its neighbour, and stamped earlier."""
    slow_s, by_s = seconds(parameters, "slow"), seconds(parameters, "by")

    def delay_s(call: Call) -> float:
        if call.operation is None:
            return 0.0
        return slow_s + by_s / 2 if call.number % 2 else slow_s

    def readings(call: Call, given: list[Reading]) -> Sequence[Reading]:
        for reading in given if call.number % 2 else ():
            move(reading, -by_s)
        return given

    return Hooks(readings=readings, delay_s=delay_s)


def _kind(
    name: str, description: str, trips: str, build: Any, parameters: Mapping[str, str] | None = None
) -> FaultKind:
    return FaultKind(
        name=name, description=description, trips=frozenset(trips.split()), build=build, own=parameters or {}
    )


KINDS: Final = (
    _kind("missing-leaf", "a documented leaf is left out", "shape.required", _missing_leaf, _FIELD),
    _kind("vanishing-zero", "counters at 0 are left out", "shape.required", _vanishing_zero),
    _kind("null", "a leaf is null", "shape.type", _leaf(None), _FIELD),
    _kind("wrong-type", "a counter is a string", "shape.type", _leaf(str), _FIELD),
    _kind("large-as-string", "numbers above 2**53 are strings", "shape.type", _large_as(str)),
    _kind("large-as-float", "numbers above 2**53 are floats", "shape.lexical", _large_as(float)),
    _kind("float", "a counter is written with a fraction", "shape.lexical", _leaf(float), _FIELD),
    _kind("negative", "a counter is negative", "shape.range", _leaf(-1), _FIELD),
    _kind("bad-timestamp", "the time is not RFC 3339", "shape.pattern", _bad_stamp, {"every": "3"}),
    _kind("bad-direction", "a data channel has an unknown direction", "shape.enum", _bad_direction, {"every": "1"}),
    _kind("missing-group", "a whole group is left out", "shape.group", _missing_group,
          {"group": "spotlight", "every": "1"}),
    _kind("new-field", "a field that nobody documented", "shape.unknown", _new_field,
          {"field": "rtp.total_brand_new", "every": "1"}),
    _kind("undocumented-field", "a field that is known though undocumented", "shape.undocumented", _new_field,
          {"field": "sctp.total_pruned_sctp_data_chunk", "every": "1"}),
    _kind("wrong-id", "GetStatsConnection answers with another connection_id", "identity.asked", _wrong_id,
          {"every": "3"}),
    _kind("wrong-client", "GetStatsClient answers with another client", "identity.client", _wrong_client,
          {"every": "1"}),
    _kind("twice", "a listing has a connection twice", "identity.unique", _twice, {"every": "1"}),
    _kind("changing-bundle", "the bundle_id changes now and then", "identity.constant", _changing_bundle,
          {"every": "3"}),
    _kind("uuid-ids", "connection_ids are UUIDs in their text form", "identity.form", _uuid_ids),
    _kind("counter-falls", "a counter steps back now and then", "order.realtime", _falls,
          {"field": QUIET, "every": "4"}),
    _kind("wraps-negative", "a counter wraps at 31 bits, into negative numbers", "shape.range",
          _wraps(32, signed=True), {"field": QUIET}),
    _kind("wraps-small", "a counter wraps at 32 bits, into small numbers", "order.realtime", _wraps(32, signed=False),
          {"field": QUIET}),
    _kind("reset", "counters start again under the same id", "order.realtime", _reset, {"age": "1"}),
    _kind("stale-cache", "some answers come from a cache", "order.realtime", _stale, {"every": "2", "age": "0.8"}),
    _kind("mixed-up", "a group of another connection now and then", "order.realtime", _mixed_up,
          {"group": "dtls", "every": "3"}),
    _kind("clock-jump", "the server's clock jumps once", "clock.offset", _jump, {"by": "120", "after": "0.7"}),
    _kind("frozen-clock", "one connection's timestamp stands still", "clock.frozen", _frozen),
    _kind("misstamped", "slow answers, stamped too early now and then", "order.timestamp", _misstamped,
          {"slow": "0.13", "by": "0.12"}),
)  # fmt: skip
