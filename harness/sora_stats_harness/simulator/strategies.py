"""
Hypothesis strategies for whoever reads the statistics API: an exporter, a dashboard, a client of your own.

All come from the edition. Drawing 374 values an example is slow, shrinks badly and prints 16 KB, so each example is a
fixed base with a few drawn changes: it shrinks to one change, and its repr is that change. After the changes the
relations between the fields are restored by raising what must be larger, so what is legal is legal in every respect
that is known.

Nothing here comes from the judge: what judges responses and what makes them up share the field list alone. Needs the
extra `pytest`, which brings Hypothesis.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, cached_property
from typing import Any, Final, Literal, TypeVar

from hypothesis import strategies as st

from ..api.edition import (
    ANY_LABEL,
    DEFAULT_EDITION,
    Edition,
    FieldDefinition,
    FieldGroup,
    FieldKind,
    FieldPresence,
    FieldType,
    load_edition,
    make_json_pointer,
)
from ..api.errors import UsageError

KeyPath = tuple[str, ...]

JsonValue = Any
"""Whatever JSON can hold."""

BaseName = Literal["quiet", "busy"]
"""`quiet`: just made, every counter 0, no data channel. `busy`: every counter that may have moved has, all differ."""

BASE_LABEL: Final = "#chat"
"""The messaging label of every base."""

BASE_TIMESTAMP: Final = datetime(2024, 7, 1, tzinfo=UTC)
"""The timestamp of every base."""

MAX_CHANGES: Final = 4

TARGET_HEADER_VALUES: Final = {
    "GetStatsConnection": "Sora_20170529.GetStatsConnection",
    "GetStatsClient": "Sora_20170529.GetStatsClient",
    "GetStatsAllConnections": "Sora_20171101.GetStatsAllConnections",
}
"""What the header carries, by operation."""

LEGAL_TEXTS: Final = (
    "sora",
    "",
    " ",
    "日本語",
    '"quoted"',
    "back\\slash",
    "a/b~c",
    "<script>alert(1)</script>",
    "=cmd()",
    "\x00",
    "\x1b[31m",
    "\u202etxt",
    "line\nbreak",
    "\u2028",
    "😀" * 63,
    "x" * 255,
    "null",
    "0",
)
"""Legal values of free strings, the plain one first: any text of up to 255 bytes is one."""


def _operation_of_target(target: str | Enum) -> str:
    """The operation's name, from itself, from the header's value, or from an enumeration of these."""
    name = str(target.value if isinstance(target, Enum) else target).rpartition(".")[2]
    if name not in TARGET_HEADER_VALUES:
        raise UsageError(f"no target is called {name!r}: take one of {', '.join(TARGET_HEADER_VALUES)}")
    return name


T = TypeVar("T")


@st.composite
def _build_drawn(
    draw: st.DrawFn, make: Callable[..., T], *parts: st.SearchStrategy[Any]
) -> T:  # Any: what `make` takes
    """As `st.builds`, but a failing example prints as what was made, and not as a call of ours that made it."""
    return make(*(draw(part) for part in parts))


# -- one connection ---------------------------------------------------------------------------------------------------


class GeneratedConnection(dict[str, Any]):  # Any: whatever JSON can hold
    """A connection object that prints as what it was made from."""

    def __init__(self, base: BaseName, changes: Mapping[str, JsonValue], document: Mapping[str, JsonValue]) -> None:
        super().__init__(document)
        self.base = base
        self.changes = dict(changes)

    def __repr__(self) -> str:
        return f"connection({self.base!r}, {self.changes!r})"


def make_connection(
    base: BaseName = "busy", changes: Mapping[str, JsonValue] | None = None, edition: Edition | None = None
) -> GeneratedConnection:
    """
    Make one legal connection without Hypothesis.

    Args:
        base: What to start from.
        changes: Values by JSON Pointer, set after that; counters that must then be larger are raised.
        edition: The field list; the default edition if None.

    Raises:
        UsageError: A pointer leads to no documented leaf; a messaging label begins with `#`.

    >>> make_connection("quiet", {"/rtp/total_received_rtp": 3})["rtp"]["total_received_rtp_byte_size"]
    36
    """
    model = _cached_model(edition or load_edition(DEFAULT_EDITION))
    leaves = dict(model.bases[base])
    for place, value in (changes or {}).items():
        model.set_leaf(leaves, _pointer_keys(place), value)
    model.restore_relations(leaves)
    return GeneratedConnection(base, changes or {}, _nest_leaves(leaves))


def make_connection_id(number: int) -> str:
    """A make_connection_id, made from a number: 26 characters of Clockwork Base32 that hold a UUIDv4."""
    bits = uuid.uuid5(uuid.NAMESPACE_OID, str(number)).int
    bits = uuid.UUID(int=bits & (2**128 - 1), version=4).int << 2
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[bits >> shift & 31] for shift in range(125, -1, -5))


def connections(edition: Edition | None = None) -> st.SearchStrategy[GeneratedConnection]:
    """Legal connection objects: documented shape, legal ids, and every known relation between the fields holds."""
    edition = edition or load_edition(DEFAULT_EDITION)
    model = _cached_model(edition)

    def build(base: BaseName, drawn: Mapping[int, int]) -> GeneratedConnection:
        changes = {}
        for index, number in sorted(drawn.items()):
            field = model.fields[index]
            wire = _concrete_path(field.path)
            changes[make_json_pointer(wire)] = _legal_value(field, number, model.bases[base].get(wire))
        return make_connection(base, changes, edition)

    return _build_drawn(build, _base_names(), _drawn_changes(len(model.fields)))


def responses(target: str | Enum, edition: Edition | None = None) -> st.SearchStrategy[JsonValue]:
    """
    Legal bodies of a target's response: one connection, or an array of none to three.

    Args:
        target: An operation (`GetStatsClient`), the header's value, or an Enum of either. The connections of
            GetStatsClient have one client and one channel.
        edition: The field list; the default edition if None.
    """
    operation = _operation_of_target(target)
    if operation == "GetStatsConnection":
        return connections(edition)
    edition = edition or load_edition(DEFAULT_EDITION)
    model = _cached_model(edition)
    plain = [field for field in model.fields if field.kind is not FieldKind.IDENTITY]

    def build(kinds: Sequence[BaseName], drawn: Mapping[tuple[int, int], int]) -> list[GeneratedConnection]:
        found = []
        for place, base in enumerate(kinds):
            client = make_connection_id(1 if operation == "GetStatsClient" else place // 2)
            changes: dict[str, JsonValue] = {"/connection_id": make_connection_id(100 + place), "/client_id": client}
            for (which, index), number in sorted(drawn.items()):
                if which == place:
                    wire = _concrete_path(plain[index].path)
                    changes[make_json_pointer(wire)] = _legal_value(plain[index], number, model.bases[base].get(wire))
            found.append(make_connection(base, changes, edition))
        return found

    drawn = st.dictionaries(
        st.tuples(st.integers(0, 2), st.integers(0, len(plain) - 1)), _drawn_numbers(), max_size=MAX_CHANGES
    )
    return _build_drawn(build, st.lists(_base_names(), max_size=3), drawn)


def _base_names() -> st.SearchStrategy[BaseName]:
    names: tuple[BaseName, ...] = ("quiet", "busy")
    return st.sampled_from(names)


def _drawn_changes(fields: int) -> st.SearchStrategy[dict[int, int]]:
    return st.dictionaries(st.integers(0, fields - 1), _drawn_numbers(), max_size=MAX_CHANGES)


def _drawn_numbers() -> st.SearchStrategy[int]:
    """What a change is drawn from: small, anything, and just beyond where parsers and databases differ."""
    return st.one_of(st.integers(0, 1000), st.integers(0, 2**70), st.sampled_from(BOUNDARY_INTEGERS))


BOUNDARY_INTEGERS: Final = (2**31, 2**32, 2**53 + 1, 2**53 + 2, 2**63, 2**64)
"""The smallest numbers that a signed or unsigned integer of 32 bits, a float, and those of 64 bits cannot hold."""


def _legal_value(field: FieldDefinition, number: int, was: JsonValue) -> JsonValue:
    """Turn a drawn number into a legal value of a field; 0 gives the plainest."""
    if field.type is FieldType.BOOLEAN:
        return number % 2 == 1
    if field.values is not None:
        return field.values[number % len(field.values)]
    if field.kind is FieldKind.TIME:
        return _format_timestamp(number)
    if field.type is FieldType.STRING:
        return make_connection_id(number) if field.name == "connection_id" else LEGAL_TEXTS[number % len(LEGAL_TEXTS)]
    if field.kind is FieldKind.COUNTER:
        return int(was or 0) + number
    if field.minimum is not None and field.maximum is not None:
        return field.minimum + number % (field.maximum - field.minimum + 1)
    return -(number // 2) - 1 if number % 2 else number // 2  # a gauge without limits moves both ways


def _format_timestamp(microseconds: int) -> str:
    moment = BASE_TIMESTAMP + timedelta(
        microseconds=microseconds % 10**15
    )  # about 31 years, so it stays in the calendar
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _concrete_path(path: KeyPath) -> KeyPath:
    return tuple(BASE_LABEL if key == ANY_LABEL else key for key in path)


def _pointer_keys(place: str) -> KeyPath:
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in place.split("/")[1:])


def _nest_leaves(leaves: Mapping[KeyPath, JsonValue]) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {}
    for path, value in leaves.items():
        inner = document
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterBound:
    """`weighted sum of small <= sum of large`; where it does not hold, the first of large is raised."""

    small: tuple[tuple[int, KeyPath], ...]
    large: tuple[KeyPath, ...]


class _EditionModel:
    """An edition with its bases and bounds: worked out once."""

    def __init__(self, edition: Edition) -> None:
        self.edition = edition
        self.fields = edition.fields
        self.by_path = {field.path: field for field in edition.fields}
        self.bounds = tuple(_counter_bounds(self.by_path))
        self.bases: dict[BaseName, dict[KeyPath, JsonValue]] = {
            "quiet": self._quiet_leaves(),
            "busy": self._busy_leaves(),
        }

    def find_field(self, wire: KeyPath) -> FieldDefinition | None:
        """The field at a response's keys; a messaging label stands for `#*`."""
        generic = tuple(ANY_LABEL if i == 1 and key.startswith(ANY_LABEL[0]) else key for i, key in enumerate(wire))
        return self.by_path.get(wire) or self.by_path.get(generic)

    def set_leaf(self, leaves: dict[KeyPath, JsonValue], wire: KeyPath, value: JsonValue) -> None:
        """Set one leaf; the label that it belongs to is made where it is not there."""
        field = self.find_field(wire)
        if field is None:
            raise UsageError(f"edition {self.edition.name} has no field {make_json_pointer(wire)}")
        if field.presence is not FieldPresence.ALWAYS and wire[:-1] not in {path[:-1] for path in leaves}:
            leaves.update(
                {(*wire[:-1], f.name): _plainest_value(f) for f in self._siblings(field) if _is_always_present(f)}
            )
        leaves[wire] = value

    def restore_relations(self, leaves: dict[KeyPath, JsonValue]) -> None:
        """Restore the relations by raising counters; what holds already is left alone."""
        level = leaves.get(("network_status", "unstable_level"))
        counter = ("network_status", f"total_unstable_level{level}")
        if counter in leaves and any(leaves[path] for path in leaves if path[0] == counter[0]):
            leaves[counter] = max(leaves[counter], 1)
        moved = True
        while moved:
            moved = False
            for bound in self.bounds:
                missing = sum(weight * leaves.get(path, 0) for weight, path in bound.small)
                missing -= sum(leaves.get(path, 0) for path in bound.large)
                if missing > 0 and bound.large[0] in leaves:
                    leaves[bound.large[0]] += missing
                    moved = True

    def _siblings(self, field: FieldDefinition) -> Iterable[FieldDefinition]:
        return (other for other in self.fields if other.path[:-1] == field.path[:-1])

    def _quiet_leaves(self) -> dict[KeyPath, JsonValue]:
        return {
            f.path: _plainest_value(f)
            for f in self.fields
            if _is_always_present(f) and f.presence is not FieldPresence.WITH_LABEL
        }

    def _busy_leaves(self) -> dict[KeyPath, JsonValue]:
        leaves = {_concrete_path(f.path): _plainest_value(f) for f in self.fields if _is_always_present(f)}
        for number, field in enumerate(self.edition.counters):
            if field.dotted not in _ALWAYS_ZERO_COUNTERS:
                leaves[_concrete_path(field.path)] = 10 + number
        for field in self.fields:
            if field.kind is FieldKind.GAUGE and field.maximum is None:
                leaves[_concrete_path(field.path)] = 1000 * len(field.name)
        self.restore_relations(leaves)
        return leaves


_ALWAYS_ZERO_COUNTERS: Final = {"rtp.total_received_srtp_invalid"} | {
    f"packet_loss_simulator.total_dropped_{way}_rtp" for way in ("received", "sent")
}
"""Counters at 0 in every base: while they are, packets are counted exactly as the sum of their kinds."""


@cache
def _cached_model(edition: Edition) -> _EditionModel:
    return _EditionModel(edition)


def _is_always_present(field: FieldDefinition) -> bool:
    return field.presence is not FieldPresence.CONDITIONAL


def _plainest_value(field: FieldDefinition) -> JsonValue:
    if field.kind is FieldKind.IDENTITY:
        return "sora" if field.name in ("channel_id", "group_id") else make_connection_id(0)
    if field.name == "ordered":
        return True
    if field.name == "protocol":
        return ""
    return _legal_value(field, 0, 0)


def _counter_bounds(fields: Mapping[KeyPath, FieldDefinition]) -> Iterable[CounterBound]:
    """The relations between counters, as far as the edition has the fields: see the requirements `relation.*`."""

    def bound(small: Iterable[tuple[int, str]], large: Iterable[str]) -> Iterable[CounterBound]:
        less = tuple((weight, path) for weight, name in small if (path := tuple(name.split("."))) in fields)
        more = tuple(path for name in large if (path := tuple(name.split("."))) in fields)
        if less and more:
            yield CounterBound(small=less, large=more)

    def below(prefix: str, *, but: str = "\x00") -> list[str]:
        dotted = [".".join(path) for path in fields]
        return [name for name in dotted if name.startswith(prefix) and not name.endswith(but)]

    for way in ("received", "sent"):
        rtp, rtcp, sctp = f"rtp.total_{way}", f"rtcp.total_{way}_rtcp", f"sctp.total_{way}_sctp"
        yield from bound([(1, rtcp)], below(f"{rtcp}_", but="byte_size"))
        yield from bound([(12, f"{rtp}_rtp")], [f"{rtp}_rtp_byte_size"])
        yield from bound([(8, rtcp)], [f"{rtcp}_byte_size"])
        for size in ("", "_byte_size"):
            parts = [f"{rtp}_rtp{size}", f"{rtcp}{size}"]
            yield from bound([(1, part) for part in parts], [f"{rtp}{size}"])
            yield from bound([(1, f"{rtp}{size}")], parts)
        for prefix in ("rtp_hdr_ext", "rtp_hdrext"):
            for name in below(f"{prefix}.total_{way}_rtp_", but="unknown"):
                yield from bound([(1, name)], [f"{rtp}_rtp"])
        chunks = below(f"{sctp}_chunk_")
        yield from bound([(1, sctp)], chunks)
        yield from bound([(12, sctp), *((4, chunk) for chunk in chunks)], [f"{sctp}_byte_size"])
        yield from bound([(1, f"{sctp}_zero_checksum")], [sctp])
    kinds = ("rtx", "padding", "red", "red_rtx", "red_ulpfec")
    for kind in kinds:
        yield from bound([(1, f"rtp.total_received_rtp_{kind}")], ["rtp.total_received_rtp"])
    skipped = [f"rtp.total_decrypt_skipped_{kind}_srtp" for kind in ("video", "audio")]
    yield from bound([(1, part) for part in skipped], ["rtp.total_decrypt_skipped_srtp"])
    yield from bound([(1, "rtp.total_decrypt_skipped_srtp")], skipped)
    yield from bound([(1, "rtp.total_decrypt_skipped_srtp")], ["rtp.total_received_rtp"])
    layers = sorted({path[1] for path in fields if path[0] == "simulcast" and len(path) > 2})
    for layer in layers:
        whole = f"simulcast.{layer}.rtp.total_received_rtp"
        yield from bound([(12, whole)], [f"{whole}_byte_size"])
        yield from bound([(1, f"simulcast.{layer}.rtp.total_decrypt_skipped_srtp")], [whole])
        for kind in kinds:
            yield from bound([(1, f"{whole}_{kind}")], [whole])
        for prefix in ("rtp_hdr_ext", "rtp_hdrext"):
            for name in below(f"simulcast.{layer}.{prefix}.", but="unknown"):
                yield from bound([(1, name)], [whole])
    for name in below("rtp."):
        yield from bound([(1, f"simulcast.{layer}.{name}") for layer in layers], [name])
    for chunk, asked in (("init_ack", "init"), ("cookie_ack", "cookie_echo"), ("heartbeat_ack", "heartbeat")):
        yield from bound([(1, f"sctp.total_sent_sctp_chunk_{chunk}")], [f"sctp.total_received_sctp_chunk_{asked}"])
    for method in ("allocate", "refresh", "create_permission", "channel_bind", "binding", "turn_binding"):
        done = [(1, f"turn.total_sent_{method}_{result}") for result in ("success", "error")]
        yield from bound(done, [f"turn.total_received_{method}_request"])
    ice = "ice_connection_state.total"
    states = ("connected", "checking", "disconnected")
    yield from bound([(1, f"{ice}_{state}_ack") for state in states], [f"{ice}_{state}_req" for state in states])
    yield from bound([(1, f"{ice}_connected_to_checking")], [f"{ice}_checking_to_connected"])
    exits = [(1, f"{ice}_disconnected_to_{state}") for state in ("failed", "checking")]
    yield from bound(exits, [f"{ice}_checking_to_disconnected"])


# -- histories --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """
    One call of a history, as drawn: `wait_ns` after the one before, the server reads its counters.

    The request was sent `before_ns` earlier and its response is in `after_ns` later, so calls may overlap. Before that
    the counter `field` of connection `grows` grew by `by`.
    """

    operation: str
    connection: int
    wait_ns: int
    before_ns: int
    after_ns: int
    grows: int
    field: int
    by: int

    def __repr__(self) -> str:
        values = ", ".join(
            repr(getattr(self, name))
            for name in ("operation", "connection", "wait_ns", "before_ns", "after_ns", "grows", "field", "by")
        )
        return f"Step({values})"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCall:
    """One request and its complete response, with its times in nanoseconds since the history began."""

    operation: str
    arguments: dict[str, JsonValue] | None
    sent_ns: int
    received_ns: int
    response: JsonValue


class CallHistory:
    """A legal history of calls; `calls` are in the order in which the server read its counters."""

    def __init__(self, steps: Sequence[HistoryStep], edition: Edition | None = None) -> None:
        self.steps = tuple(steps)
        self._edition = edition

    @cached_property
    def calls(self) -> tuple[HistoryCall, ...]:
        """The calls that the steps come to."""
        return tuple(_run_steps(self.steps, _cached_model(self._edition or load_edition(DEFAULT_EDITION))))

    def __repr__(self) -> str:
        return f"History({list(self.steps)!r})"


HISTORY_CONNECTION_COUNT: Final = 3
"""Connections in a history: two of one client, and one of another."""


def histories(edition: Edition | None = None, *, max_calls: int = 8) -> st.SearchStrategy[CallHistory]:
    """
    Legal histories: several connections, all targets, overlapping requests; counters grow between the calls.

    Whatever order the responses arrive in, none of them shows a counter below what had arrived before it was asked for.
    """
    edition = edition or load_edition(DEFAULT_EDITION)
    counters = len(edition.counters)
    moments = st.integers(0, 10**7)
    which = st.integers(0, HISTORY_CONNECTION_COUNT - 1)
    steps = _build_drawn(
        HistoryStep,
        st.sampled_from(list(TARGET_HEADER_VALUES)),
        which,
        moments,
        moments,
        moments,
        which,
        st.integers(0, counters - 1),
        _drawn_numbers(),
    )
    return _build_drawn(CallHistory, st.lists(steps, max_size=max_calls), st.just(edition))


def _run_steps(steps: Sequence[HistoryStep], model: _EditionModel) -> Iterable[HistoryCall]:
    states = []
    for number in range(HISTORY_CONNECTION_COUNT):
        state = dict(model.bases["busy"])
        state[("connection_id",)] = make_connection_id(100 + number)
        state[("client_id",)] = make_connection_id(number // 2)
        states.append(state)
    now_ns = 0
    for step in steps:
        now_ns += step.wait_ns
        if step.by:
            growing = states[step.grows]
            growing[_concrete_path(model.edition.counters[step.field].path)] += step.by
            model.restore_relations(growing)
        for state in states:
            state[("timestamp",)] = _format_timestamp(now_ns // 1000)
        asked = states[step.connection]
        arguments: dict[str, JsonValue] | None = {"channel_id": asked[("channel_id",)]}
        if step.operation == "GetStatsConnection":
            response: JsonValue = _nest_leaves(asked)
            arguments = {"channel_id": asked[("channel_id",)], "connection_id": asked[("connection_id",)]}
        elif step.operation == "GetStatsClient":
            response = [_nest_leaves(state) for state in states if state[("client_id",)] == asked[("client_id",)]]
            arguments = {"channel_id": asked[("channel_id",)], "client_id": asked[("client_id",)]}
        else:
            response = [_nest_leaves(state) for state in states]
            arguments = None
        yield HistoryCall(
            operation=step.operation,
            arguments=arguments,
            sent_ns=now_ns - step.before_ns,
            received_ns=now_ns + step.after_ns,
            response=response,
        )


# -- requests ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request for the wire; `wrong` says in which way it is wrong, None if it is not."""

    method: str = "POST"
    path: str = "/"
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    wrong: str | None = None


TARGET_HEADER_SPELLINGS: Final = ("x-sora-target", "X-Sora-Target", "X-SORA-TARGET")
"""A header's name has no case."""


def valid_requests(target: str | Enum) -> st.SearchStrategy[WireRequest]:
    """
    Valid requests of a target: any channel and id, keys in either order, ASCII or UTF-8, with or without white space.

    Whether the ids exist is not said: a server may respond 400 with an `error_type`, or an empty array.
    """
    operation = _operation_of_target(target)
    names = st.sampled_from(TARGET_HEADER_SPELLINGS)
    key = _ID_ARGUMENT_NAMES[operation]
    if key is None:
        arguments: st.SearchStrategy[JsonValue] = st.sampled_from([None, {}, {"local": True}, {"local": False}])
    else:
        pairs = st.permutations([("channel_id", 0), (key, 1)])
        texts = st.tuples(_text_arguments(), _text_arguments())
        arguments = _build_drawn(lambda order, drawn: {name: drawn[i] for name, i in order}, pairs, texts)
    return _build_drawn(
        lambda name, body, ascii_only, spaced: WireRequest(
            headers=((name, TARGET_HEADER_VALUES[operation]),),
            body=None if body is None else _encode_body(body, ascii_only=ascii_only, spaced=spaced),
        ),
        names,
        arguments,
        st.booleans(),
        st.booleans(),
    )


HOSTILE_CHARACTERS: Final = "\x00\"\\/%'<&;{}[]$`\n\x7f\u2028é😀"
"""Characters that mean something to some parser, shell, database or page on the way."""


def _text_arguments() -> st.SearchStrategy[str]:
    """Any text of up to 255 bytes of UTF-8: 63 characters at most, since one takes up to four."""
    hostile = st.lists(st.sampled_from(HOSTILE_CHARACTERS), min_size=1, max_size=60, unique=True).map("".join)
    return st.one_of(
        st.sampled_from(LEGAL_TEXTS),
        hostile,
        st.text(st.characters(exclude_categories=["Cs"]), max_size=63),
    )


def _encode_body(body: JsonValue, *, ascii_only: bool, spaced: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(body, ensure_ascii=ascii_only, separators=separators).encode()


INVALID_JSON_BODIES: Final = (
    b"{",
    b"[",
    b"nul",
    b"\xef\xbb\xbf{}",
    b" ",
    b"\n",
    b"{'a':1}",
    b'"\xff"',
    b"{}{}",
    b"\x00",
    b'{"local":NaN}',
    b'{"local":01}',
    b'{"channel_id":"\x01"}',
)
"""Bodies that some parser takes and none should, or that none takes."""

UNKNOWN_PATH: Final = "/sora-harness-no-such-path"


def request_bodies() -> st.SearchStrategy[bytes | None]:
    """Any body at all: none, JSON of every kind, JSON that is cut short, and bytes that are no JSON."""
    leaves: st.SearchStrategy[JsonValue] = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _text_arguments()
    )
    values = st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(_text_arguments(), inner), max_leaves=5
    )
    texts = _build_drawn(lambda value: json.dumps(value).encode(), values)
    return st.one_of(
        st.none(),
        st.just(b"{}"),
        st.sampled_from(INVALID_JSON_BODIES),
        texts,
        _build_drawn(lambda text, at: text[:at], texts, st.integers(1, 600)),
        st.binary(min_size=1, max_size=40),
        st.sampled_from([b"[" * 2000, b'{"a":' * 2000]),
    )


def wrong_requests(target: str | Enum) -> st.SearchStrategy[WireRequest]:
    """
    Requests that a server must refuse: with JSON that says why, or nothing, and never a 5xx.

    The header carries the target itself, or is left out. It is never another name, since the same port serves
    operations that disconnect users. Methods and the path are those that the harness itself may send.
    """
    operation = _operation_of_target(target)
    header = ("x-sora-target", TARGET_HEADER_VALUES[operation])
    json_type = ("Content-Type", "application/json")
    key = _ID_ARGUMENT_NAMES[operation]
    right: JsonValue = {"local": True} if key is None else {"channel_id": "sora", key: make_connection_id(0)}
    plain = _encode_body(right, ascii_only=True, spaced=False)

    def wrong(
        name: str, body: bytes | None, *, method: str = "POST", path: str = "/", bare: bool = False
    ) -> WireRequest:
        headers = () if bare else (header, json_type)
        return WireRequest(method=method, path=path, headers=headers, body=body, wrong=name)

    # what is not wrong about a request is drawn from little, so that most examples are about what is
    some = st.sampled_from([plain, b"{}", None])
    shapes = [
        _build_drawn(lambda body: wrong("path", body, path=UNKNOWN_PATH), some),
        _build_drawn(lambda body, method: wrong("method", body, method=method), some, st.sampled_from(["GET", "PUT"])),
        _build_drawn(lambda body: wrong("no_target", body, bare=True), some),
        _build_drawn(lambda body: wrong("invalid_json", body), st.sampled_from(INVALID_JSON_BODIES)),
        _build_drawn(lambda size: wrong("invalid_json", plain[:size]), st.integers(1, len(plain) - 1)),
        _build_drawn(lambda body: wrong("wrong_type", body), st.sampled_from([b"[]", b"null", b"1", b'""', b"[{}]"])),
    ]
    values: st.SearchStrategy[JsonValue] = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.just([]),
        st.just({}),
        st.lists(st.sampled_from(LEGAL_TEXTS), max_size=2),
    )
    if key is None:
        values = st.one_of(st.none(), st.integers(), st.sampled_from(LEGAL_TEXTS), st.just([]), st.just({}))
    else:
        lacking = st.sampled_from([b"{}", b'{"channel_id":"sora"}', f'{{"{key}":"x"}}'.encode()])
        shapes += [
            st.just(wrong("no_body", None)),
            _build_drawn(lambda body: wrong("missing_key", body), lacking),
        ]
    wrong_values = _build_drawn(lambda name, value: right | {name: value}, st.sampled_from(list(right)), values)
    shapes.append(
        _build_drawn(lambda body: wrong("wrong_type", _encode_body(body, ascii_only=True, spaced=False)), wrong_values)
    )
    return st.one_of(shapes)


_ID_ARGUMENT_NAMES: Final = {
    "GetStatsConnection": "connection_id",
    "GetStatsClient": "client_id",
    "GetStatsAllConnections": None,
}
"""Beside the channel, what an operation asks for."""


# -- mutations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """
    One way to make a legal connection wrong.

    `requirement` is what then is missed, at `make_json_pointer`. `value` is what stands there instead; a `drop` has none.
    """

    operator: str
    pointer: str
    requirement: str
    value: JsonValue = None

    def apply_to(self, document: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """A changed copy of a connection; the group that the pointer leads into must be there."""
        changed: dict[str, JsonValue] = deepcopy(dict(document))
        *groups, name = _pointer_keys(self.pointer)
        inner = changed
        for key in groups:
            inner = inner[key]
        if self.operator == "drop":
            del inner[name]
        else:
            inner[name] = self.value
        return changed


def mutations(edition: Edition | None = None) -> st.SearchStrategy[Mutation]:
    """
    Single faults that any reader of the API ought to survive, or to report; apply them to the base `busy`.

    Every leaf and group takes part: dropped, null, of another type, negative, written as 1.0, beyond its limits,
    another value, no time; and keys that nobody documented.
    """
    table = all_mutations(edition or load_edition(DEFAULT_EDITION))
    return _build_drawn(table.__getitem__, st.integers(0, len(table) - 1))


@cache
def all_mutations(edition: Edition) -> tuple[Mutation, ...]:
    """What `mutations` draws from: every single fault, leaf by leaf and then group by group."""
    found: list[Mutation] = []
    for field in edition.fields:
        if _is_always_present(field):
            found.extend(_leaf_mutations(field, make_json_pointer(_concrete_path(field.path))))
    for group in edition.root.walk_groups():
        found.extend(_group_mutations(group))
    return tuple(found)


def _leaf_mutations(field: FieldDefinition, place: str) -> Iterable[Mutation]:
    def change(operator: str, requirement: str, value: JsonValue = None) -> Mutation:
        return Mutation(operator=operator, pointer=place, requirement=requirement, value=value)

    yield change("drop", "shape.required")
    yield change("null", "shape.type")
    others: dict[FieldType, JsonValue] = {FieldType.INTEGER: "1", FieldType.STRING: 1, FieldType.BOOLEAN: "true"}
    yield change("retype", "shape.type", others[field.type])
    yield change("nest", "shape.type", {} if field.type is FieldType.STRING else [])
    if field.type is FieldType.INTEGER:
        yield change("fraction", "shape.type", 1.5)
        yield change("lexical", "shape.lexical", 1.0)
    if field.name == "connection_id":
        yield change("other_form", "identity.form", str(uuid.UUID(int=0, version=4)))
    if field.minimum is not None:
        yield change("too_small", "shape.range", field.minimum - 1)
    if field.maximum is not None:
        yield change("too_large", "shape.range", field.maximum + 1)
    if field.max_bytes is not None:
        yield change("too_long", "shape.range", "é" * (field.max_bytes // 2 + 1))
    if field.values is not None:
        yield change("other_value", "shape.enum", field.values[0].upper())
    if field.form is not None:
        for text in (
            "2024-07-01 00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-07-01T00:00:00+09:00",
            "2024-07-01T00:00:00",
        ):
            yield change("no_time", "shape.pattern", text)


def _group_mutations(group: FieldGroup) -> Iterable[Mutation]:
    wire = _concrete_path(group.path)

    def change(operator: str, requirement: str, value: JsonValue = None, *, key: KeyPath = ()) -> Mutation:
        return Mutation(
            operator=operator, pointer=make_json_pointer((*wire, *key)), requirement=requirement, value=value
        )

    yield change("unknown", "shape.unknown", {} if wire == ("data_channel",) else 0, key=("new_field",))
    if wire:
        yield change("null", "shape.type")
        yield change("retype", "shape.type", [])
        if not group.optional:
            yield change("drop", "shape.group")
