"""
Bodies made up from a seed: legal, nearly legal, and no JSON at all, with every edge on which parsers disagree.

The base is legal; a few edits are made in it, each a value put verbatim into the text, a key dropped, renamed or
repeated, or bytes changed at last. What a body comes to is left to the reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Final

from sora_stats_harness.api.edition import Edition
from sora_stats_harness.simulator import strategies

Json = Any
"""Whatever JSON can hold, Verbatim and Repeated too."""


@dataclass(frozen=True)
class Verbatim:
    """Text that goes into the body as it is."""

    text: str


@dataclass(frozen=True)
class Key:
    """A key that is written in its own way; equal to nothing else, so an object can have the same key twice."""

    text: str
    number: int


NUMBERS: Final = (
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "4",
    "65536",
    "-0.0",
    "0.0",
    "1.0",
    "-1.0",
    "1e3",
    "1E+2",
    "-1e3",
    "1e-3",
    "10e-1",
    "15e-1",
    "1.50",
    "100e-2",
    "0e99",
    "4.0",
    "65536.0",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "1" + "0" * 30,
    "-" + "9" * 40,
    "9" * 4300,
    "9" * 4301,
    "-" + "9" * 4300,
    "9" * 5000,
    "1e400",
    "1e-400",
    "1e999999",
    "0." + "1" * 5000,
    "1e99999999999999999999",
)
"""JSON numbers."""

TEXTS: Final = (
    '""',
    '"x"',
    '"1"',
    '"a:b"',
    '"sendrecv"',
    '"2024-07-01T00:00:00Z"',
    '"2024-02-30T00:00:00Z"',
    '"2024-07-01t00:00:00.1z"',
    '"2016-12-31T23:59:60Z"',
    '"2024-07-01T12:59:60Z"',
    '"2024-07-01T00:00:00Z\\n"',
    '"2024-07-01T24:00:00Z"',
    '"2024-07-01T00:00:00.Z"',
    '"2024-07-01T00:00:00+00:00"',
    '"2024-W27-1T00:00:00Z"',
    '"٢٠٢٤-07-01T00:00:00Z"',
    '"QX18W7FJ452XX9VZMRBNB96Q4W"',
    '"QX18W7FJ452XX9VZMRBNB96Q4V"',
    '"QX18W7FJ452XX9VZMRBNB96Q4W\\n"',
    '"\\u0000"',
    '"\\ud83d\\ude00"',
    '"😀"',
    '"\\/"',
    '"é\\u00e9"',
    f'"{"x" * 255}"',
    f'"{"x" * 256}"',
    f'"{"é" * 127}"',
    f'"{"é" * 128}"',
    f'"{"😀" * 64}"',
    f'"{"😀" * 63}xyz"',
    f'"{"x" * 5000}"',
    '"\\u003a"',
    '"\\u2028"',
    '"\x7f"',
)
"""JSON strings."""

OTHERS: Final = (
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[1]",
    '{"a":1}',
    '{"a":{"b":[{}]}}',
    '{"a":1,"a":2}',
    '[{"a":1,"a":2}]',
    '{"a:b":":"}',
    '{"\\u0061":1,"a":2}',
    "[" * 90 + "]" * 90,
    "[" * 97 + "]" * 97,
    "[" * 98 + "]" * 98,
    "[" * 99 + "]" * 99,
    "[" * 100 + "]" * 100,
    "[" * 101 + "]" * 101,
    "[" * 5000 + "]" * 5000,
    '{"a":' * 60 + "1" + "}" * 60,
    '{"a":' * 120 + "1" + "}" * 120,
    "[" + ",".join(["1"] * 600) + "]",
)
"""JSON of other types."""

BROKEN: Final = (
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1e",
    "0x10",
    "1_000",
    "1e+",
    "--1",
    "'x'",
    '"\\x"',
    '"\\u12"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\ud800x"',
    '"\x01"',
    '"a\nb"',
    '"',
    "[1,]",
    '{"a":1,}',
    "{a:1}",
    '{"a" 1}',
    "[1 2]",
    "tru",
    "undefined",
    "/**/1",
    "",
    '{"\\ud800":1}',
    '{"a":"\\ud800","a":1}',
    '["\\udfff"]',
    '{"a":NaN}',
    "[1e]",
)
"""What stands where a value should, and is none."""

WRAPPINGS: Final = (
    b"\xef\xbb\xbf%s",
    b" \t\r\n%s\n ",
    b"\x0b%s",
    b"\xc2\xa0%s",
    b"%s,",
    b"%s%s",
    b"[%s]",
    b"%s\x00",
    b"%s//",
    b")]}'\n%s",
)
"""What may be around a body."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One body, and whether it is shown as the response of a target with an array."""

    body: bytes
    many: bool


def document(seed: int, edition: Edition) -> Document:
    """Make up one body: about a tenth legal, a quarter with a few edits that keep it JSON, the rest whatever comes."""
    rng = Random(seed)
    many = rng.random() < 0.3
    if rng.random() < 0.02:
        return Document(body=rng.choice((*NUMBERS, *TEXTS, *OTHERS, *BROKEN)).encode(), many=many)
    if many:
        connections: list[Json] = [_connection(rng, edition) for _ in range(rng.randint(0, 3))]
        if connections and rng.random() < 0.3:
            connections.append(Verbatim(rng.choice(OTHERS)))
            rng.shuffle(connections)
        value: Json = connections
    else:
        value = _connection(rng, edition)
    body = encode(value, rng.choice(("", "", "", " ", "\n\t"))).encode("utf-8")
    return Document(body=_bytes(rng, body), many=many)


PLACES: Final = (
    "/timestamp",
    "/client_id",
    "/connection_id",
    "/plain",
    "/plain/total_one",
    "/outer",
    "/outer/inner/gauge",
    "/new",
    "/outer/new",
    "/data_channel",
    "/data_channel/notify",
    "/data_channel/notify/ordered",
    "/data_channel/#a/total_two",
    "/data_channel/notify/max_retransmits",
    "/data_channel/#a/new",
    "/data_channel/other",
)
"""One place of each kind in a connection of the small edition."""


def window_edges_ns(base: Json, step: int = 1) -> Iterator[Document]:
    """
    Every value of the tables at every kind of place: standing there, hidden by a sound one, and hiding it; and every
    wrapping.

    Args:
        base: A sound connection of the small edition.
        step: Only every so-many-th value, but all of them as a timestamp, which has a form of its own.
    """
    whole = json.dumps(base).encode()
    yield Document(body=whole, many=False)
    for wrapping in WRAPPINGS:
        yield Document(body=wrapping.replace(b"%s", whole), many=False)
    for place in PLACES:
        *groups, name = place.split("/")[1:]
        values = (*NUMBERS, *TEXTS, *OTHERS, *BROKEN)
        for text in values if name == "timestamp" else values[len(place) % step :: step]:
            for way in ("alone", "hidden", "hiding"):
                document = deepcopy(base)
                inner = document
                for key in groups:
                    inner = inner[key]
                sound = inner.pop(name, 0)
                if way == "hidden":
                    inner[Key(name, 0)] = Verbatim(text)
                if way != "alone":
                    inner[name] = sound
                if way != "hidden":
                    inner[Key(name, 1)] = Verbatim(text)
                yield Document(body=encode(document, "").encode(), many=False)


def _bytes(rng: Random, body: bytes) -> bytes:
    chance = rng.random()
    if chance < 0.05:
        wrapping = rng.choice(WRAPPINGS)
        return wrapping.replace(b"%s", body)
    if chance < 0.08:
        at = rng.randrange(len(body) + 1)
        return (
            body[:at]
            + rng.choice((b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x80", b"\x00", b",", b"\\", b'"', b"x"))
            + body[at:]
        )
    if chance < 0.10:
        return body[: rng.randrange(len(body))]
    if chance < 0.11:
        return body.decode().encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "latin-1")), "replace")
    return body


def _connection(rng: Random, edition: Edition) -> dict[Json, Json]:
    changes: dict[str, Json] = {"/connection_id": strategies.make_connection_id(rng.randrange(4))}
    if rng.random() < 0.2:
        changes["/channel_id"] = rng.choice(strategies.LEGAL_TEXTS)
    value: dict[Json, Json] = json.loads(_base(edition, rng.choice(("quiet", "busy", "busy")), json.dumps(changes)))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))):
        edit(rng, value)
    return value


@cache
def _base(edition: Edition, base: strategies.BaseName, changes: str) -> str:
    return json.dumps(strategies.make_connection(base, json.loads(changes), edition))


def edit(rng: Random, value: dict[Json, Json]) -> None:
    """Make one change somewhere in a connection."""
    group, key = rng.choice(list(_places(value)))
    match rng.randrange(12):
        case 0:
            del group[key]
        case 1:
            group[f"{key}_" if isinstance(key, str) else "renamed"] = group.pop(key)
        case 2 | 3 | 4:
            group[key] = _any(rng)
        case 5:
            group[rng.choice(("new", "a/b~c", "", "total_new", "é", 'q"', "x:y"))] = _any(rng)
        case 6:
            _repeat(rng, group, key)
        case 7:
            if isinstance(channel := value.get("data_channel"), dict):
                _edit_labels(rng, channel)
        case 8:
            name = rng.choice(("timestamp", "connection_id", "client_id", "bundle_id", "channel_id"))
            value[name] = Verbatim(rng.choice(TEXTS))
        case 9:
            if isinstance(sctp := value.get("sctp"), dict):
                sctp["total_pruned_sctp_data_chunk"] = _any(rng)
        case 10 if isinstance(key, str):
            group[Key("".join(f"\\u{ord(char):04x}" for char in key), rng.randrange(10**9))] = group.pop(key)
        case _:
            group[key] = Verbatim(rng.choice(NUMBERS))


def _edit_labels(rng: Random, channel: dict[Json, Json]) -> None:
    label = rng.choice(("#chat", "#new", "#a/b~c", "#", "notify", "other", ""))
    model = {
        "ordered": True,
        "protocol": "",
        "direction": "sendonly",
        "compress": False,
        **{
            name: rng.randrange(9)
            for name in (
                "total_data_channel_abandon_message",
                "total_data_channel_retransmit_message",
                "total_data_channel_open_message",
                "total_data_channel_ack_message",
                "total_received_data_channel_message",
                "total_received_data_channel_message_byte_size",
                "total_sent_data_channel_message",
                "total_sent_data_channel_message_byte_size",
            )
        },
    }
    channel[label] = channel.get(label, model) if rng.random() < 0.7 else _any(rng)
    if isinstance(inside := channel[label], dict):
        inside[rng.choice(("max_packet_life_time", "max_retransmits", "direction", "protocol", "new"))] = _any(rng)


def _repeat(rng: Random, group: dict[Json, Json], key: Json) -> None:
    if not isinstance(key, str):
        return
    text = json.dumps(key)[1:-1]
    if rng.random() < 0.3:
        text = "".join(f"\\u{ord(char):04x}" for char in key)
    again = group[key] if rng.random() < 0.5 else _any(rng)
    if rng.random() < 0.5:
        group[Key(text, rng.randrange(10**9))] = again
    else:  # before the one that is there
        items = list(group.items())
        group.clear()
        group[Key(text, rng.randrange(10**9))] = again
        group.update(items)


def _any(rng: Random) -> Verbatim:
    table = rng.choices((NUMBERS, TEXTS, OTHERS, BROKEN), (6, 4, 4, 1))[0]
    return Verbatim(rng.choice(table))


def _places(value: dict[Json, Json]) -> Iterator[tuple[dict[Json, Json], Json]]:
    for key, below in value.items():
        yield value, key
        if isinstance(below, dict):
            yield from _places(below)


def encode(value: Json, blank: str) -> str:
    """JSON text with some white space between tokens; Verbatim and Key go in as they are."""
    if isinstance(value, Verbatim):
        return value.text
    if isinstance(value, dict):
        members = (
            f"{blank}{_encode_key(key)}{blank}:{blank}{encode(below, blank)}{blank}" for key, below in value.items()
        )
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(f"{blank}{encode(below, blank)}{blank}" for below in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _encode_key(key: Json) -> str:
    return f'"{key.text}"' if isinstance(key, Key) else json.dumps(key, ensure_ascii=False)
