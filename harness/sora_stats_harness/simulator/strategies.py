"""
Hypothesis strategies for the tests of programs that read the statistics API: an exporter, a dashboard, a client.

All of them are derived from the edition. Drawing 374 values for an example is slow, shrinks badly and prints 16 KB. So
each example is a fixed base with a few drawn changes: it shrinks to one change, and its repr is that change. This needs
Hypothesis.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from ..api.edition import ANY_LABEL, Edition, FieldKind, load_edition, make_json_pointer
from ..api.errors import UsageError
from ..api.exchange import TARGET_HEADER, TARGET_OF_OPERATION, Target
from ..api.request_guard import UNKNOWN_PATH
from .call_histories import HISTORY_CONNECTION_COUNT, CallHistory, HistoryCall, HistoryStep
from .legal_connections import (
    BASE_LABEL,
    BASE_TIMESTAMP,
    LEGAL_TEXTS,
    BaseName,
    ConnectionModel,
    GeneratedConnection,
    JsonValue,
    connection_model,
    format_timestamp,
    make_connection,
    make_connection_id,
)
from .mutations import Mutation, all_mutations

__all__ = [
    "BASE_LABEL",
    "BASE_TIMESTAMP",
    "LEGAL_TEXTS",
    "BaseName",
    "CallHistory",
    "GeneratedConnection",
    "HistoryCall",
    "HistoryStep",
    "Mutation",
    "WireRequest",
    "all_mutations",
    "connections",
    "histories",
    "make_connection",
    "make_connection_id",
    "mutations",
    "request_bodies",
    "responses",
    "valid_requests",
    "wrong_requests",
]

MAX_CHANGES: Final = 4
"""In how many fields an example may differ from its base."""

BOUNDARY_INTEGERS: Final = (2**31, 2**32, 2**53 + 1, 2**53 + 2, 2**63, 2**64)
"""The smallest numbers beyond a signed or unsigned 32-bit integer, a float, and 64-bit integers."""

HOSTILE_CHARACTERS: Final = "\x00\"\\/%'<&;{}[]$`\n\x7f\u2028é😀"
"""Characters that mean something to some parser, shell, database or page on the way."""

TARGET_HEADER_SPELLINGS: Final = (TARGET_HEADER, "X-Sora-Target", "X-SORA-TARGET")
"""Spellings of the header's name, which is case-insensitive."""

INVALID_JSON_BODIES: Final = (
    *(b"{", b"[", b"nul", b"\xef\xbb\xbf{}", b" ", b"\n", b"{'a':1}", b'"\xff"', b"{}{}", b"\x00"),
    *(b'{"local":NaN}', b'{"local":01}', b'{"channel_id":"\x01"}'),
)
"""Bodies that no parser should accept, although some do."""

ODD_LABELS: Final = (
    *("#a", "#", "# ", "#a/b~c", "#日本語", '#"quoted"', "#\x00", "#\u202etxt", "#😀", "#signaling", "##"),
    "#" + "x" * 254,
)
"""Labels that an application may give its data channels."""

STAMP_DIGITS: Final = (6, 0, 9)
"""Digits after the point of a timestamp: servers of today, those of 2017, and as fine as RFC 3339 is read."""

MANY_LABELS: Final = 24
"""How many labels a connection with many has at least."""

_ANY_CHARACTERS: Final = st.characters(exclude_categories=["Cs"])
"""Everything but halves of surrogate pairs, which UTF-8 can't encode."""

_LIMITS: Final = ("", "max_retransmits", "max_packet_life_time")
"""The limits of a data channel, which has at most one of them."""

T = TypeVar("T")


@st.composite
def _build(draw: st.DrawFn, make: Callable[..., T], *parts: st.SearchStrategy[Any]) -> T:  # Any: what `make` takes
    """As `st.builds`, but a failing example is printed as the object that was made, not as the call."""
    return make(*(draw(part) for part in parts))


def _find_target(target: str | Target) -> Target:
    """A target by itself, by its operation's name, or by the header's value."""
    name = str(target.value if isinstance(target, Target) else target).rpartition(".")[2]
    if name not in TARGET_OF_OPERATION:
        raise UsageError(f"there is no target {name!r}: use one of {', '.join(TARGET_OF_OPERATION)}")
    return TARGET_OF_OPERATION[name]


def _base_names() -> st.SearchStrategy[BaseName]:
    names: tuple[BaseName, ...] = ("quiet", "busy")
    return st.sampled_from(names)


def _numbers() -> st.SearchStrategy[int]:
    """Numbers for changes: small ones, any, and those just beyond the limits of parsers and databases."""
    return st.one_of(st.integers(0, 1000), st.integers(0, 2**70), st.sampled_from(BOUNDARY_INTEGERS))


def connections(edition: Edition | None = None) -> st.SearchStrategy[GeneratedConnection]:
    """Legal connection objects: with the documented shape, legal ids, and every known relation between the fields."""
    edition = edition or load_edition()
    model = connection_model(edition)

    def make(base: BaseName, drawn: dict[int, int], variety: _Variety) -> GeneratedConnection:
        changes = dict(model.draw_change(base, model.fields[index], drawn[index]) for index in sorted(drawn))
        return variety.make_connection(base, changes, edition)

    changes = st.dictionaries(st.integers(0, len(model.fields) - 1), _numbers(), max_size=MAX_CHANGES)
    return _build(make, _base_names(), changes, _varieties(model))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variety:
    """How connections differ besides single fields."""

    level: int = 0
    digits: int = STAMP_DIGITS[0]
    nanoseconds: int = 0
    labels: Sequence[str] = ()
    limit: int = 0
    without: Sequence[str] = ()

    def make_connection(self, base: BaseName, changes: dict[str, JsonValue], edition: Edition) -> GeneratedConnection:
        """A connection with this variety and these changes."""
        all_changes: dict[str, JsonValue] = {}
        if self.level:
            all_changes["/network_status/unstable_level"] = self.level
        if self.digits != STAMP_DIGITS[0]:
            all_changes["/timestamp"] = format_timestamp(self.nanoseconds, self.digits)
        for number, label in enumerate(self.labels):
            place = make_json_pointer(("data_channel", label))
            all_changes[f"{place}/protocol"] = ""
            if limit := _LIMITS[(self.limit + number) % len(_LIMITS) if self.limit else 0]:
                all_changes[f"{place}/{limit}"] = number
        all_changes |= changes
        for pointer in [pointer for pointer in all_changes if pointer.endswith(f"/{_LIMITS[2]}")]:
            if pointer.replace(f"/{_LIMITS[2]}", f"/{_LIMITS[1]}") in all_changes:
                del all_changes[pointer]
        return make_connection(base, all_changes, edition, without=self.without)


def _has_levels(model: ConnectionModel) -> bool:
    return model.find_field(("network_status", "unstable_level")) is not None


def _has_label_field(model: ConnectionModel, name: str) -> bool:
    return model.find_field(("data_channel", ANY_LABEL, name)) is not None


def _varieties(model: ConnectionModel) -> st.SearchStrategy[_Variety]:
    """Half of all connections have no variety; examples shrink to those."""
    groups = model.optional_groups
    has_limits = all(_has_label_field(model, name) for name in _LIMITS[1:])
    labels = st.one_of(st.sampled_from(ODD_LABELS), st.text(_ANY_CHARACTERS, max_size=60).map("#".__add__))
    many = st.lists(labels, min_size=MANY_LABELS, max_size=2 * MANY_LABELS, unique=True)
    varied = st.builds(
        _Variety,
        level=st.integers(0, 3) if _has_levels(model) else st.just(0),
        digits=st.sampled_from(STAMP_DIGITS),
        nanoseconds=st.integers(0, 10**12),
        labels=st.one_of(st.just(()), st.lists(labels, max_size=3, unique=True), many)
        if _has_label_field(model, "protocol")
        else st.just(()),
        limit=st.integers(0, len(_LIMITS) - 1) if has_limits else st.just(0),
        without=st.lists(st.sampled_from(groups), max_size=2, unique=True) if groups else st.just(()),
    )
    return st.one_of(st.just(_Variety()), varied)


def responses(target: str | Target, edition: Edition | None = None) -> st.SearchStrategy[JsonValue]:
    """
    Legal bodies of a target's response: one connection, or an array of none to three.

    Args:
        target: A target, an operation (`GetStatsClient`), or the header's value. The connections of GetStatsClient have
            one client and one channel.
    """
    operation = _find_target(target).operation
    if operation == "GetStatsConnection":
        return connections(edition)
    edition = edition or load_edition()
    model = connection_model(edition)
    fields = [field for field in model.fields if field.kind not in (FieldKind.IDENTITY, FieldKind.TIME)]

    def make(
        kinds: Sequence[tuple[BaseName, _Variety]], drawn: dict[tuple[int, int], int]
    ) -> list[GeneratedConnection]:
        found = []
        for place, (base, variety) in enumerate(kinds):
            client = make_connection_id(1 if operation == "GetStatsClient" else place // 2)
            changes: dict[str, JsonValue] = {"/connection_id": make_connection_id(100 + place), "/client_id": client}
            own = sorted(key for key in drawn if key[0] == place)
            changes |= dict(model.draw_change(base, fields[key[1]], drawn[key]) for key in own)
            digits = kinds[0][1].digits  # all timestamps of a server have the same form
            if {digits, variety.digits} != {STAMP_DIGITS[0]}:
                changes["/timestamp"] = format_timestamp(variety.nanoseconds, digits)
            found.append(variety.make_connection(base, changes, edition))
        return found

    places = st.tuples(st.integers(0, 2), st.integers(0, len(fields) - 1))
    changes = st.dictionaries(places, _numbers(), max_size=MAX_CHANGES)
    return _build(make, st.lists(st.tuples(_base_names(), _varieties(model)), max_size=3), changes)


def histories(edition: Edition | None = None, *, max_calls: int = 8) -> st.SearchStrategy[CallHistory]:
    """
    Legal histories: several connections, all targets, overlapping requests; counters grow between the calls.

    In whatever order the responses arrive, no counter is below a value that had arrived before its request was sent.
    """
    edition = edition or load_edition()
    moments, which = st.integers(0, 10**7), st.integers(0, HISTORY_CONNECTION_COUNT - 1)
    parts = {
        "operation": st.sampled_from(list(TARGET_OF_OPERATION)),
        "connection": which,
        "wait_ns": moments,
        "before_ns": moments,
        "after_ns": moments,
        "grows": which,
        "field": st.integers(0, len(edition.counters) - 1),
        "by": _numbers(),
    }
    steps = _build(lambda *values: HistoryStep(**dict(zip(parts, values, strict=True))), *parts.values())
    digits = st.sampled_from(STAMP_DIGITS)
    return _build(
        lambda steps, digits, connections: CallHistory(steps, edition, digits=digits, connections=connections),
        st.lists(steps, max_size=max_calls),
        digits,
        st.tuples(*[st.sampled_from(_history_connections(edition))] * HISTORY_CONNECTION_COUNT),
    )


@cache
def _history_connections(edition: Edition) -> list[GeneratedConnection]:
    """The connections at the beginning of a history; made beforehand, so that only the events have to be drawn."""
    model = connection_model(edition)
    levels = range(1, 4) if _has_levels(model) else ()
    groups = model.optional_groups
    varieties = [_Variety(), *(_Variety(level=level) for level in levels)]
    varieties += [_Variety(without=[group]) for group in groups]
    if _has_label_field(model, "protocol"):
        varieties.append(_Variety(labels=[f"#{number}" for number in range(MANY_LABELS)]))
    bases: tuple[BaseName, ...] = ("busy", "quiet")
    return [variety.make_connection(base, {}, edition) for base in bases for variety in varieties]


def mutations(edition: Edition | None = None) -> st.SearchStrategy[Mutation]:
    """
    Single faults that any reader of the API should survive, or report; apply them to the base `busy`.

    They cover every leaf and group: dropped, null, of another type, negative, written as 1.0, beyond its limits,
    another value, not a time; and undocumented keys.
    """
    table = all_mutations(edition or load_edition())
    return _build(table.__getitem__, st.integers(0, len(table) - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request to send; `wrong` says how it is wrong, or is None if it is valid."""

    method: str = "POST"
    path: str = "/"
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    wrong: str | None = None


def _id_argument(target: Target) -> str | None:
    """The argument that a target needs besides the channel."""
    return {Target.CONNECTION: "connection_id", Target.CLIENT: "client_id"}.get(target)


def _texts() -> st.SearchStrategy[str]:
    """Any text of up to 255 bytes of UTF-8: 63 characters at most, since one takes up to four."""
    hostile = st.lists(st.sampled_from(HOSTILE_CHARACTERS), min_size=1, max_size=60, unique=True).map("".join)
    any_text = st.text(_ANY_CHARACTERS, max_size=63)
    return st.one_of(st.sampled_from(LEGAL_TEXTS), hostile, any_text)


def _finite_floats() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False)


def _encode(body: JsonValue, *, ascii_only: bool = True, spaced: bool = False) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(body, ensure_ascii=ascii_only, separators=separators).encode()


def valid_requests(target: str | Target) -> st.SearchStrategy[WireRequest]:
    """
    Valid requests of a target: any channel and id, keys in either order, ASCII or UTF-8, with or without white space.

    The ids may not exist: then a server may respond with 400 and an `error_type`, or with an empty array.
    """
    found = _find_target(target)
    key = _id_argument(found)
    if key is None:
        arguments: st.SearchStrategy[JsonValue] = st.sampled_from([None, {}, {"local": True}, {"local": False}])
    else:
        pairs = st.permutations([("channel_id", 0), (key, 1)])
        arguments = _build(
            lambda order, texts: {name: texts[i] for name, i in order}, pairs, st.tuples(_texts(), _texts())
        )
    return _build(
        lambda name, body, ascii_only, spaced: WireRequest(
            headers=((name, found.value),),
            body=None if body is None else _encode(body, ascii_only=ascii_only, spaced=spaced),
        ),
        st.sampled_from(TARGET_HEADER_SPELLINGS),
        arguments,
        st.booleans(),
        st.booleans(),
    )


def request_bodies() -> st.SearchStrategy[bytes | None]:
    """Any body at all: none, JSON of every kind, JSON that is cut short, and bytes that are not JSON."""
    leaves: st.SearchStrategy[JsonValue] = st.one_of(
        st.none(), st.booleans(), st.integers(), _finite_floats(), _texts()
    )
    values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(_texts(), inner), max_leaves=5)
    texts = _build(lambda value: json.dumps(value).encode(), values)
    return st.one_of(
        st.none(),
        st.just(b"{}"),
        st.sampled_from(INVALID_JSON_BODIES),
        texts,
        _build(lambda text, at: text[:at], texts, st.integers(1, 600)),
        st.binary(min_size=1, max_size=40),
        st.sampled_from([b"[" * 2000, b'{"a":' * 2000]),
    )


def wrong_requests(target: str | Target) -> st.SearchStrategy[WireRequest]:
    """
    Requests that a server must refuse: with JSON that says why, or without a body, and never with a 5xx.

    The header carries the target itself, or is left out. It is never another name, since the same port serves
    operations that disconnect users. Methods and the path are those that the harness itself may send.
    """
    found = _find_target(target)
    key = _id_argument(found)
    valid: dict[str, JsonValue] = {"local": True} if key is None else {"channel_id": "sora", key: make_connection_id(0)}
    plain = _encode(valid)

    def wrong(name: str, body: bytes | None, **parts: Any) -> WireRequest:  # Any: of the types of WireRequest
        headers = ((TARGET_HEADER, found.value), ("Content-Type", "application/json"))
        return WireRequest(**{"headers": headers, "body": body, "wrong": name, **parts})

    # the correct parts are drawn from few values, so that most examples vary the wrong part
    bodies = st.sampled_from([plain, b"{}", None])
    shapes = [
        _build(lambda body: wrong("path", body, path=UNKNOWN_PATH), bodies),
        _build(lambda body, method: wrong("method", body, method=method), bodies, st.sampled_from(["GET", "PUT"])),
        _build(lambda body: wrong("no_target", body, headers=()), bodies),
        _build(lambda body: wrong("invalid_json", body), st.sampled_from(INVALID_JSON_BODIES)),
        _build(lambda size: wrong("invalid_json", plain[:size]), st.integers(1, len(plain) - 1)),
        _build(lambda body: wrong("wrong_type", body), st.sampled_from([b"[]", b"null", b"1", b'""', b"[{}]"])),
    ]
    others: list[st.SearchStrategy[JsonValue]] = [st.none(), st.integers(), st.just([]), st.just({})]
    if key is None:
        others.append(st.sampled_from(LEGAL_TEXTS))
    else:
        others += [st.booleans(), _finite_floats(), st.lists(st.sampled_from(LEGAL_TEXTS), max_size=2)]
        lacking = st.sampled_from([b"{}", b'{"channel_id":"sora"}', f'{{"{key}":"x"}}'.encode()])
        shapes += [st.just(wrong("no_body", None)), _build(lambda body: wrong("missing_key", body), lacking)]
    names = st.sampled_from(list(valid))
    shapes.append(
        _build(lambda name, value: wrong("wrong_type", _encode(valid | {name: value})), names, st.one_of(others))
    )
    return st.one_of(shapes)
