"""
How well the judge tells right from wrong: one history that is right, and thousands that are wrong in one way each.

A mutant is (operator, field, position, seed). Each declares what it must be found to miss, worked out from the rules
and from the all-pairs reference, without a check: requirement and field. One that declares nothing is equivalent: no
client could tell it from a right history. How many of those an operator may make has a ceiling. They are judged in
`scores`; nothing here imports the judge, or any part of it.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any, Final

from sora_stats_harness.api.edition import ANY_LABEL, Edition, FieldDefinition, FieldKind, FieldPresence, FieldType
from sora_stats_harness.api.exchange import (
    ErrorCode,
    Exchange,
    Headers,
    Request,
    Response,
    Target,
    TransportError,
    make_valid_request,
)
from sora_stats_harness.api.http1_faults import UNANNOUNCED_CLOSE, FramingFault
from sora_stats_harness.probe import wrong_requests as probes
from sora_stats_harness.simulator import strategies

from . import reference

Json = Any
"""Whatever JSON can hold."""

Declared = frozenset[tuple[str, str]]
"""Requirement and field."""

NODES: Final = ("http://127.0.0.1:3001", "http://127.0.0.1:3002")
ROUNDS: Final = 6
MIDDLE: Final = range(8, 16)
"""Positions with right responses about everything before and after."""

CLIENTS: Final = (0, 0, 1)
"""The client of each connection."""

STEP_NS: Final = 250_000_000
"""From one request to the next."""
QUICK_STEP_NS: Final = 25_000_000
"""So quick that no sample of a connection is 100 ms after the one before: no data channel is reopened in between."""

CEILINGS: Final = {
    "decrease": 69,  # three counters never move, at 23 positions each
    "restart": 3,  # the same three
    "wraps at 32 bits": 3,  # and again
    "left for good": 4,  # connections leave
}
"""How many mutants of an operator no client may be able to tell from a right history; of any other operator, none."""


def ceiling(operator: str) -> int:
    """How many equivalents are allowed: right responses to wrong requests, and to a cluster's nodes, are one each."""
    return 1 if operator.endswith(": right") else CEILINGS.get(operator, 0)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One request, and what it got; `raw` stands for the body where it is not the documents' JSON."""

    seq: int
    request: Request
    sent_ns: int
    received_ns: int
    documents: tuple[Json, ...] = ()
    raw: bytes | None = None
    status: int = 200
    headers: Headers | None = None
    """None for right ones."""
    error: TransportError | None = None
    cut: bool = False
    refused: bool = False
    """No response at all."""
    faults: tuple[FramingFault, ...] = ()

    @property
    def body(self) -> bytes:
        """The bytes of the response."""
        if self.raw is not None:
            return self.raw
        many = self.request.target is None or self.request.target.many
        return json.dumps(list(self.documents) if many else self.documents[0]).encode()

    @property
    def exchange(self) -> Exchange:
        """As the judge sees it."""
        plain = self.raw is None and self.headers is None and not self.refused and not self.faults
        return _exchange(self) if plain else self._made()

    def _made(self) -> Exchange:
        body = self.body
        right: Headers = (("Content-Type", "application/json"),) if body or self.request.target is not None else ()
        headers = (*right, ("Content-Length", str(len(body)))) if self.headers is None else self.headers
        response = (
            None if self.refused else Response(status=self.status, headers=headers, body=body, complete=not self.cut)
        )
        return Exchange(
            run="mutant",
            seq=self.seq,
            request=self.request,
            clock="one",
            sent_ns=self.sent_ns,
            received_ns=self.received_ns,
            sent_at=wall(self.sent_ns),
            response=response,
            error=self.error,
            faults=self.faults,
        )

    def change(self, place: int, edit: Callable[[Json], None]) -> Shot:
        """The same with one document edited."""
        documents = list(self.documents)
        documents[place] = _copied(documents[place])
        edit(documents[place])
        return replace(self, documents=tuple(documents))


def _copied(document: Any) -> Any:  # Any: whatever JSON can hold
    """A copy to edit, ten times as fast as by `deepcopy`."""
    return pickle.loads(pickle.dumps(document))


_EXCHANGES: dict[int, tuple[Shot, Exchange]] = {}


def _exchange(shot: Shot) -> Exchange:
    """Right responses are encoded once, for all mutants."""
    kept = _EXCHANGES.get(id(shot))
    if kept is not None and kept[0] is shot:
        return kept[1]
    made = shot._made()
    if shot in _base_shots():
        _EXCHANGES[id(shot)] = (shot, made)
    return made


@cache
def _base_shots() -> _Identities:
    return _Identities()


class _Identities:
    """The shots of right histories, by identity."""

    def __init__(self) -> None:
        self.shots: dict[int, Shot] = {}

    def __contains__(self, shot: Shot) -> bool:
        return self.shots.get(id(shot)) is shot


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A history that is wrong in one way; `declared` is what it must be found to miss, nothing for an equivalent."""

    operator: str
    field: str
    position: int
    seed: int
    declared: Declared
    shots: Sequence[Shot]
    nodes: tuple[str, ...] = ()
    tear_s: float | None = None
    """How far apart the server is said to stamp and read."""

    @property
    def name(self) -> str:
        """Enough to make it again."""
        return f"({self.operator}, {self.field or '-'}, {self.position}, {self.seed})"


def wall(moment_ns: int) -> str:
    """The server's clock and ours, which agree."""
    return (strategies.BASE_TIMESTAMP + timedelta(microseconds=moment_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- the right history ------------------------------------------------------------------------------------------------


@cache
def right(edition: Edition, step_ns: int = STEP_NS) -> tuple[Shot, ...]:
    """Six rounds of all three targets over three connections of two clients, one request after the other; all grows."""
    base = strategies.make_connection("busy", edition=edition)
    shots = []
    for position in range(4 * ROUNDS):
        sent_ns = step_ns * position
        numbers, request = _asked(position % 4)
        documents = tuple(_document(base, number, position + 2, sent_ns + 5_000_000) for number in numbers)
        shots.append(
            Shot(seq=position, request=request, sent_ns=sent_ns, received_ns=sent_ns + 10_000_000, documents=documents)
        )
    _base_shots().shots.update({id(shot): shot for shot in shots})
    return tuple(shots)


def _right_for(edition: Edition, leaf: FieldDefinition) -> tuple[Shot, ...]:
    """A history in which the counter can't fall, nor its data channel be closed and reopened."""
    return right(edition, QUICK_STEP_NS if ANY_LABEL in leaf.path else STEP_NS)


def _asked(kind: int, server: str = NODES[0], local: bool | None = None) -> tuple[tuple[int, ...], Request]:
    """Which connections a request of some kind is about, and the request."""
    if kind == 0:
        return (0, 1, 2), make_valid_request(Target.ALL, server=server, local=local)
    if kind == 2:
        client_id = strategies.make_connection_id(100)
        return (0, 1), make_valid_request(Target.CLIENT, server=server, channel_id="sora", client_id=client_id)
    number = 0 if kind == 1 else 2
    key = strategies.make_connection_id(number)
    return (number,), make_valid_request(Target.CONNECTION, server=server, channel_id="sora", connection_id=key)


def _document(base: Json, number: int, factor: int, stamp_ns: int) -> Json:
    """All counters are multiples of a legal connection's, so that they grow and every relation holds."""

    def grow(value: Json) -> Json:
        return {
            key: grow(below) if isinstance(below, dict) else below * factor if key.startswith("total_") else below
            for key, below in value.items()
        }

    ids = {
        "timestamp": wall(stamp_ns),
        "channel_id": "sora",
        "client_id": strategies.make_connection_id(100 + CLIENTS[number]),
        "bundle_id": "bundle",
        "connection_id": strategies.make_connection_id(number),
    }
    return grow(base) | ids


# -- operators: one place in one response -------------------------------------------------------------------------------


def _keys(path: Sequence[str]) -> tuple[str, ...]:
    return tuple(strategies.BASE_LABEL if key == ANY_LABEL else key for key in path)


def _inside(document: Json, keys: Sequence[str]) -> Json:
    for key in keys:
        document = document[key]
    return document


def _put(keys: Sequence[str], value: Json) -> Callable[[Json], None]:
    def edit(document: Json) -> None:
        _inside(document, keys[:-1])[keys[-1]] = value

    return edit


def _drop(keys: Sequence[str]) -> Callable[[Json], None]:
    def edit(document: Json) -> None:
        del _inside(document, keys[:-1])[keys[-1]]

    return edit


def _generic(edition: Edition, pointer: str) -> str:
    keys = tuple(key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:])
    return reference.pointer(reference.generic(edition, keys)) if len(keys) > 1 else pointer


def shapes(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Every mutation of every leaf and group, in one sample of one response."""
    shots = right(edition)
    for number, mutation in enumerate(strategies.all_mutations(edition)):
        position = rng.choice(MIDDLE)
        if mutation.operator == "other_form":
            position = 8  # a listing: elsewhere it would be another connection than the one asked for
        place = rng.randrange(len(shots[position].documents))
        documents = list(shots[position].documents)
        if mutation.operator == "lexical":  # the value that was there, so that the counter doesn't fall besides
            keys = tuple(key.replace("~1", "/").replace("~0", "~") for key in mutation.pointer.split("/")[1:])
            mutation = replace(mutation, value=float(_inside(documents[place], keys)))
        documents[place] = mutation.apply_to(documents[place])
        yield _one(
            f"shape {mutation.operator}",
            _generic(edition, mutation.pointer),
            position,
            number,
            {(mutation.requirement, _generic(edition, mutation.pointer))},
            shots,
            replace(shots[position], documents=tuple(documents)),
        )


def renames(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """A leaf under another name: one that is missing, and one that nobody documented."""
    shots = right(edition)
    for number, leaf in enumerate(edition.fields):
        keys = _keys(leaf.path)
        if leaf.presence is FieldPresence.CONDITIONAL:
            continue
        position = rng.choice(MIDDLE)
        place = rng.randrange(len(shots[position].documents))
        other = (*leaf.path[:-1], leaf.name + "s")

        def edit(document: Json, keys: Sequence[str] = keys) -> None:
            inner = _inside(document, keys[:-1])
            inner[keys[-1] + "s"] = inner.pop(keys[-1])

        yield _one(
            "rename",
            leaf.pointer,
            position,
            number,
            {("shape.required", leaf.pointer), ("shape.unknown", reference.pointer(other))},
            shots,
            shots[position].change(place, edit),
        )


def duplicates(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """A key that stands twice, with the same value."""
    shots = right(edition)
    for number, leaf in enumerate(edition.fields):
        if leaf.presence is FieldPresence.CONDITIONAL:
            continue
        position = rng.choice([place for place in MIDDLE if place % 2])  # one connection
        body = repeat_member(shots[position].documents[0], leaf.path)
        yield _one(
            "duplicate key",
            leaf.pointer,
            position,
            number,
            {("http.duplicate_key", leaf.pointer)},
            shots,
            replace(shots[position], raw=body),
        )


def repeat_member(document: Json, path: Sequence[str]) -> bytes:
    """A connection as JSON in which one key stands twice, with the same value."""
    group = _inside(document, _keys(path[:-1]))
    text = json.dumps(group)
    member = f"{json.dumps(path[-1])}: {json.dumps(group[path[-1]])}"
    whole = json.dumps(document)
    assert whole.count(text) == 1, path
    return whole.replace(text, "{" + member + ", " + text[1:]).encode()


def _one(
    operator: str,
    field_: str,
    position: int,
    seed: int,
    declared: Iterable[tuple[str, str]],
    shots: Sequence[Shot],
    *changed: Shot,
    nodes: tuple[str, ...] = (),
) -> Mutant:
    """A mutant in which some shots of a history are others, by number."""
    others = {shot.seq: shot for shot in changed}
    return Mutant(
        operator=operator,
        field=field_,
        position=position,
        seed=seed,
        declared=frozenset(declared),
        shots=[others.get(shot.seq, shot) for shot in shots],
        nodes=nodes,
    )


# -- operators: order -------------------------------------------------------------------------------------------------


def _seen(shot: Shot) -> reference.Seen:
    many = shot.request.target is not None and shot.request.target.many
    body: Json = list(shot.documents) if many else shot.documents[0]
    return reference.Seen(
        run="mutant", clock="one", seq=shot.seq, sent_ns=shot.sent_ns, received_ns=shot.received_ns, body=body
    )


def _trimmed(shot: Shot, keys: Sequence[str] | None) -> reference.Seen:
    """With one counter only, or with its data channel, all of which tells whether it was reopened."""
    seen = _seen(shot)
    if keys is None:
        return seen

    def trim(document: Json) -> Json:
        kept: Json = {"connection_id": document["connection_id"]}
        inner = kept
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        group = _inside(document, keys[:-1])
        inner.update(group if strategies.BASE_LABEL in keys else {keys[-1]: group[keys[-1]]})
        return kept

    body = [trim(document) for document in seen.body] if isinstance(seen.body, list) else trim(seen.body)
    return replace(seen, body=body)


def _falls(edition: Edition, shots: Sequence[Shot], keys: Sequence[str] | None = None) -> set[tuple[str, str]]:
    return {
        ("counter.monotonic", fall.field) for fall in reference.falls(edition, [_trimmed(shot, keys) for shot in shots])
    }


def falls(edition: Edition, rng: Random, every: int = 1) -> Iterator[Mutant]:
    """
    Each counter lowered in one response, by one more than it had grown, at every position after the first; and raised in
    one response beyond what some parser can hold.
    """
    for number, leaf in enumerate(edition.counters):
        shots = _right_for(edition, leaf)
        keys = _keys(leaf.path)
        for position in range(1 + number % every, len(shots), every):
            place = rng.randrange(len(shots[position].documents))
            key = shots[position].documents[place]["connection_id"]
            known = [
                _inside(document, keys)
                for shot in shots[:position]
                for document in shot.documents
                if document["connection_id"] == key
            ]
            value = max(max(known) - 1, 0)
            yield _ordered(
                edition, "decrease", [leaf], position, number, shots[position].change(place, _put(keys, value))
            )
        position = rng.choice(MIDDLE)
        place = rng.randrange(len(shots[position].documents))
        value = rng.choice((2**31, 2**53 + 1, 2**64, 10**30))
        yield _ordered(edition, "spike", [leaf], position, number, shots[position].change(place, _put(keys, value)))


def lasting(edition: Edition, rng: Random, every: int = 1) -> Iterator[Mutant]:
    """Each counter of one connection begins again at 0 from some response on, or because it is kept in 32 bits."""
    for number, leaf in enumerate(edition.counters[::every]):
        shots = _right_for(edition, leaf)
        keys = _keys(leaf.path)
        position = rng.choice(MIDDLE)
        values = [_inside(d, keys) for shot in shots[position:] for d in shot.documents if _is_first(d)]
        yield _ordered(
            edition,
            "restart",
            [leaf],
            position,
            number,
            *(_each(shot, _shift(keys, -values[0])) for shot in shots[position:]),
        )
        yield _ordered(
            edition,
            "wraps at 32 bits",
            [leaf],
            position,
            number,
            *(_each(shot, _shift(keys, 2**32 - values[0], modulo=2**32)) for shot in shots),
        )


def _is_first(document: Json) -> bool:
    return bool(document["connection_id"] == strategies.make_connection_id(0))


def _shift(keys: Sequence[str], by: int, modulo: int | None = None) -> Callable[[Json], None]:
    def edit(document: Json) -> None:
        if _is_first(document):
            value = _inside(document, keys) + by
            _put(keys, value if modulo is None else value % modulo)(document)

    return edit


def swaps(edition: Edition, rng: Random, every: int = 1) -> Iterator[Mutant]:
    """Of a connection that received far more than it sent, one response takes both for each other, counter by counter."""
    by_path = {leaf.path: leaf for leaf in edition.counters}
    for number, leaf in enumerate(edition.counters[::every]):
        other = by_path.get((*leaf.path[:-1], leaf.name.replace("total_received", "total_sent")))
        if other is None or other is leaf:
            continue
        received, sent = _keys(leaf.path), _keys(other.path)
        shots = _right_for(edition, leaf)
        more = [_each(shot, _shift(received, 10**9)) for shot in shots]
        position = rng.choice([place for place in MIDDLE if any(map(_is_first, shots[place].documents))])
        more[position] = _each(more[position], _swap(received, sent))
        yield _ordered(edition, "swapped ways", [leaf, other], position, number, *more)


def _swap(one: Sequence[str], other: Sequence[str]) -> Callable[[Json], None]:
    def edit(document: Json) -> None:
        if _is_first(document):
            mine, others = _inside(document, one), _inside(document, other)
            _put(one, others)(document)
            _put(other, mine)(document)

    return edit


def _ordered(
    edition: Edition, operator: str, leaves: Sequence[FieldDefinition], position: int, seed: int, *changed: Shot
) -> Mutant:
    """A mutant of some counters alone; the all-pairs reference says what it must be found to miss."""
    mutant = _one(operator, leaves[0].pointer, position, seed, (), _right_for(edition, leaves[0]), *changed)
    missed = set().union(*(_falls(edition, mutant.shots, _keys(leaf.path)) for leaf in leaves))
    return replace(mutant, declared=frozenset(missed))


def resets(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Complete responses that come from another time: counters that begin again under the same id, and stale copies."""
    shots = right(edition)
    base = strategies.make_connection("busy", edition=edition)
    for number, position in enumerate(MIDDLE):
        changed = []
        for shot in shots[position:]:
            documents = [
                _document(base, 0, shot.seq - position + 1, shot.sent_ns + 5_000_000)
                if document["connection_id"] == strategies.make_connection_id(0)
                else document
                for document in shot.documents
            ]
            changed.append(replace(shot, documents=tuple(documents)))
        mutant = _one("reset", "", position, number, (), shots, *changed)
        yield replace(mutant, declared=frozenset(_falls(edition, mutant.shots)))
        old = shots[position - 4]
        stale = replace(
            shots[position],
            documents=tuple(
                new | {"timestamp": new["timestamp"]} | {k: v for k, v in before.items() if k != "timestamp"}
                for new, before in zip(shots[position].documents, old.documents, strict=True)
            ),
        )
        mutant = _one("stale response", "", position, number, (), shots, stale)
        yield replace(mutant, declared=frozenset(_falls(edition, mutant.shots)))


# -- operators: relations ---------------------------------------------------------------------------------------------


def relations(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """From one position on, the left side of each relation is far larger than its right: nothing falls."""
    shots = right(edition)
    for number, relation in enumerate(reference.RELATIONS):
        position = rng.choice(MIDDLE)
        keys = relation.left[0][1].split(".")
        requirement, name = relation.key
        raised = [_raise(shot, keys, 10**9) for shot in shots[position:]]
        yield _one(f"relation {relation.kind}", name, position, number, {(requirement, name)}, shots, *raised)
        if relation.kind == "==":
            lowered = [_raise(shot, relation.right[-1][1].split("."), 10**9) for shot in shots[position:]]
            yield _one("relation parts", name, position, number, {(requirement, name)}, shots, *lowered)
    for level in range(4):
        position = rng.choice(MIDDLE)
        name = f"/network_status/total_unstable_level{level}"
        keys = name.split("/")[1:]
        changed = [_level(shot, keys, level if shot.seq >= position else 3 - level) for shot in shots]
        yield _one("level never counted", name, position, level, {("relation.unstable_level", name)}, shots, *changed)


def _raise(shot: Shot, keys: Sequence[str], by: int) -> Shot:
    def edit(document: Json) -> None:
        _inside(document, keys[:-1])[keys[-1]] += by

    return _each(shot, edit)


def _level(shot: Shot, keys: Sequence[str], level: int) -> Shot:
    def edit(document: Json) -> None:
        document["network_status"] |= {"unstable_level": level, keys[-1]: 0}

    return _each(shot, edit)


def _each(shot: Shot, edit: Callable[[Json], None]) -> Shot:
    documents = tuple(_copied(document) for document in shot.documents)  # one may stand twice
    for document in documents:
        edit(document)
    return replace(shot, documents=documents)


# -- operators: identity ----------------------------------------------------------------------------------------------


def identities(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Responses about the wrong connection or client, one twice, one missing, and what is fixed and changes."""
    shots = right(edition)
    other = strategies.make_connection_id(7)
    for seed in range(4):
        listing, single, client, third = (8 + 4 * (seed % 2) + kind for kind in range(4))
        first, second, last = shots[listing].documents
        yield _one(
            "swapped connection",
            "/connection_id",
            single,
            seed,
            {("identity.asked", "/connection_id")},
            shots,
            replace(shots[single], documents=(second,)),
        )
        yield _one(
            "other channel",
            "/channel_id",
            third,
            seed,
            {("identity.asked", "/channel_id")},
            shots,
            shots[third].change(0, _put(("channel_id",), "other")),
        )
        yield _one(
            "other client",
            "/client_id",
            client,
            seed,
            {("identity.client", "/client_id")},
            shots,
            replace(shots[client], documents=(*shots[client].documents, last)),
        )
        yield _one(
            "other client's channel",
            "/channel_id",
            client,
            seed,
            {("identity.client", "/channel_id")},
            shots,
            shots[client].change(1, _put(("channel_id",), "other")),
        )
        yield _one(
            "connection twice",
            "/connection_id",
            listing,
            seed,
            {("identity.unique", "/connection_id")},
            shots,
            replace(shots[listing], documents=(first, second, last, rng.choice((first, last)))),
        )
        for name in ("channel_id", "client_id", "bundle_id"):
            yield _one(
                "changed id",
                f"/{name}",
                listing,
                seed,
                {("identity.constant", f"/{name}")},
                shots,
                shots[listing].change(rng.randrange(3), _put((name,), other)),
            )
        yield _one(
            "missing from its client",
            "",
            client,
            seed,
            {("identity.present", "")},
            shots,
            replace(shots[client], documents=shots[client].documents[:1]),
        )
        absent = replace(shots[third], documents=(), raw=b'{"error_type":"CONNECTION-NOT-FOUND"}', status=400)
        yield _one("not found", "", third, seed, {("identity.present", "")}, shots, absent)
        everywhere = replace(shots[listing], request=_asked(0, local=False)[1], documents=(first, last))
        yield _one("missing from the cluster", "", listing, seed, {("identity.present", "")}, shots, everywhere)
        gone = [_without(shot, 1) if shot.seq >= listing else shot for shot in shots]
        yield _one("left for good", "", listing, seed, (), shots, *gone)
    for leaf in edition.fields:
        if leaf.kind is not FieldKind.CONFIGURATION or leaf.path[1] == ANY_LABEL:
            continue
        values: Json = {FieldType.BOOLEAN: False, FieldType.INTEGER: 1, FieldType.STRING: "x"}[leaf.type]
        value = "recvonly" if leaf.values else values
        if leaf.presence is not FieldPresence.CONDITIONAL and _inside(shots[0].documents[0], leaf.path) == value:
            value = not value
        changed = [_each(shot, _put(leaf.path, value)) for shot in shots[12:]]
        yield _one("reconfigured", leaf.pointer, 12, 0, {("identity.constant", leaf.pointer)}, shots, *changed)


def _without(shot: Shot, number: int) -> Shot:
    kept = tuple(d for d in shot.documents if d["connection_id"] != strategies.make_connection_id(number))
    return replace(shot, documents=kept)


# -- operators: HTTP, clocks, wrong requests, clusters ----------------------------------------------------------------


def transports(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Status, headers, bytes and errors of one response."""
    shots = right(edition)
    for seed, position in enumerate(MIDDLE):
        shot = shots[position]
        body = shot.body
        json_type = ("Content-Type", "application/json")
        length = ("Content-Length", str(len(body)))
        table: list[tuple[str, str, Shot]] = [
            (f"status {status}", "http.status", replace(shot, status=status)) for status in (500, 503, 404, 204, 301)
        ]
        table += [
            ("labelled as HTML", "http.content_type", replace(shot, headers=(("Content-Type", "text/html"), length))),
            ("not labelled", "http.content_type", replace(shot, headers=(length,))),
            (
                "length one more",
                "http.length",
                replace(shot, headers=(json_type, ("Content-Length", str(len(body) + 1)))),
            ),
            ("length no number", "http.length", replace(shot, headers=(json_type, ("Content-Length", "x")))),
        ]
        for name, raw in (
            ("byte order mark", b"\xef\xbb\xbf" + body),
            ("UTF-16", body.decode().encode("utf-16")),
            ("cut short", body[:-1]),
            ("something after it", body + b"x"),
            ("empty", b""),
            ("NaN", body.replace(b'"unstable_level": 0', b'"unstable_level": NaN')),
            ("not UTF-8", body.replace(b'"bundle"', b'"bund\xff"')),
            ("half a surrogate", body.replace(b'"bundle"', b'"bund\\ud800"')),
            ("single quotes", body.replace(b'"', b"'")),
        ):
            assert raw != body, name
            table.append((f"body {name}", "http.json", replace(shot, raw=raw)))
        for code in (ErrorCode.TIMEOUT, ErrorCode.RESET, ErrorCode.CUT, ErrorCode.PROTOCOL, ErrorCode.TOO_LARGE):
            error = TransportError(code=code, detail=code.value)
            table.append((f"error {code.value}", "http.complete", replace(shot, refused=True, error=error)))
        cut = TransportError(code=ErrorCode.CUT, detail="cut")
        table.append(("half a response", "http.complete", replace(shot, raw=body[:100], cut=True, error=cut)))
        for name, requirement, changed in table:
            yield _one(name, "", position, seed, {(requirement, "")}, shots, changed)


def clocks(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Stamps that stand still, jump, or contradict the counters of overlapping responses."""
    shots = right(edition)
    found = ("clock.frozen", "/timestamp")
    for seed, position in enumerate((4, 8)):
        stamp = shots[position].documents[0]["timestamp"]
        frozen = [_each(shot, _put(("timestamp",), stamp)) for shot in shots[position : position + 13]]
        yield _one("frozen clock", "/timestamp", position, seed, {found}, shots, *frozen)
        for seconds in (-30, 30):
            ahead = [
                _each(shot, _put(("timestamp",), wall(shot.sent_ns + 5_000_000 + seconds * 10**9)))
                for shot in shots[position:]
            ]
            declared = {("clock.offset", "/timestamp")}
            yield _one(f"clock set by {seconds} s", "/timestamp", position, seed, declared, shots, *ahead)
    base = strategies.make_connection("busy", edition=edition)
    request = _asked(1)[1]
    for number, leaf in enumerate(rng.sample(edition.counters, 40)):
        if leaf.path[0] == "data_channel":
            continue
        keys = leaf.path
        one = _document(base, 0, 5, 40_000_000)
        two = _document(base, 0, 5, 140_000_000)
        _inside(one, keys[:-1])[keys[-1]] += 1
        overlapping = (
            Shot(seq=0, request=request, sent_ns=0, received_ns=150_000_000, documents=(one,)),
            Shot(seq=1, request=request, sent_ns=10_000_000, received_ns=160_000_000, documents=(two,)),
        )
        equal = _inside(one, keys) == _inside(two, keys)
        yield Mutant(
            operator="stamped late",
            field=leaf.pointer,
            position=1,
            seed=number,
            shots=overlapping,
            declared=frozenset() if equal else frozenset({("counter.timestamp_order", leaf.pointer)}),
            tear_s=0.01,
        )


def framings(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Deviations from HTTP/1.1 that a reader has noted beside the response."""
    shots = right(edition)
    for code, requirement in (("length_repeated", "http.header"), ("bare_lf", "http.framing")):
        position = rng.choice(MIDDLE)
        changed = replace(shots[position], faults=(FramingFault(code=code, text=code),))
        yield _one(code, "", position, 0, {(requirement, "")}, shots, changed)
    closed = [replace(shot, faults=(FramingFault(code=UNANNOUNCED_CLOSE, text="closed"),)) for shot in shots[8:13]]
    yield _one("closes without a byte", "", 8, 0, {("http.keep_alive", "")}, shots, *closed)


def orders(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """A stamp earlier than the one before it, and listings that leave out a connection that is there."""
    shots = right(edition)
    for seed, position in enumerate((9, 13)):  # requests about one connection, with later ones about the same
        earlier = wall(shots[position].sent_ns - 1_500_000_000)
        stepped = shots[position].change(0, _put(("timestamp",), earlier))
        yield _one("stamp goes back", "/timestamp", position, seed, {("clock.order", "/timestamp")}, shots, stepped)
    for place in range(3):
        left_out = [
            replace(shot, documents=tuple(each for at, each in enumerate(shot.documents) if at != place))
            for shot in shots
            if shot.request.target is Target.ALL
        ]
        yield Mutant(
            operator="never listed",
            field="",
            position=0,
            seed=place,
            shots=[next((new for new in left_out if new.seq == shot.seq), shot) for shot in shots],
            declared=frozenset({("identity.listed", "")}),
        )


def limits(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """A data channel with both limits, which exclude each other; and one that is left out once."""
    shots = right(edition)
    for seed, position in enumerate((5, 9)):
        less = shots[position].change(0, lambda document: document["data_channel"].pop("stats"))
        field = "/data_channel/stats"
        yield _one("channel left out", field, position, seed, {("identity.channel", field)}, shots, less)
    for seed, position in enumerate((5, 9)):

        def both(document: Json) -> None:
            _inside(document, _keys(("data_channel", ANY_LABEL))).update(max_packet_life_time=100, max_retransmits=3)

        field = "/data_channel/#*/max_packet_life_time"
        yield _one(
            "both limits", field, position, seed, {("shape.exclusive", field)}, shots, shots[position].change(0, both)
        )


def depths(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Bodies that are JSON, and nested deeper than anybody reads."""
    shots = right(edition)
    for seed, position in enumerate((5, 9)):
        deep = replace(shots[position], raw=b'{"a":' * 150 + b"1" + b"}" * 150)
        yield _one("deep", "", position, seed, {("http.json_limits", "")}, shots, deep)


def _invalid(data: Json, error: str, path: list[str]) -> Json:
    reason = {"data": data, "error": error, "invalid": "data", "path": path, "schema": {"type": "string"}}
    return {"error_type": "InvalidJSON", "error_reason": [reason]}


REFUSALS: Final[dict[str, tuple[int, Json]]] = {
    "path": (404, None),
    "method": (400, {"type": "UnexpectedMethod"}),
    "no_target": (400, {"type": "MissingHeaderName"}),
    "malformed_target": (400, {"error_type": "MissingService"}),
    "unknown_service": (400, {"error_type": "InvalidTarget"}),
    "unknown_target": (400, {"error_type": "MissingTarget"}),
    "unknown_target_json": (400, {"error_type": "SchemaNotFound", "error_reason": "operation"}),
    "unknown_target_invalid_json": (400, {"error_type": "InvalidJSON", "error_reason": [{"invalid": "parse"}]}),
    "no_body": (400, {"error_type": "MissingTargetFunction", "error_reason": "operation"}),
    "invalid_json": (400, {"error_type": "InvalidJSON", "error_reason": [{"invalid": "parse"}]}),
    "missing_key": (400, _invalid("connection_id", "missing_required_property", [])),
    "wrong_type": (400, _invalid(1, "wrong_type", ["channel_id"])),
    "large_body": (413, None),
    "options": (200, None),
}
"""The response to the first probe of each row; `operation` stands for service, version and operation."""


def refusals(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Wrong requests: each row responded rightly, and then in several wrong ways."""
    del edition, rng
    for seed, (row, (status, value)) in enumerate(REFUSALS.items()):
        probe = next(
            probe for probe in (*probes.WRONG_REQUEST_CASES, probes.large_request_case()) if probe.table_row == row
        )
        request = probe.build_request(NODES[0])
        if isinstance(value, dict) and value.get("error_reason") == "operation":
            service, _, rest = probe.targets[0].partition("_")
            version, _, operation = rest.partition(".")
            value = value | {"error_reason": {"service": service, "version": version, "operation": operation}}
        body = b"" if value is None else json.dumps(value).encode()
        shot = Shot(seq=0, request=request, sent_ns=0, received_ns=1, raw=body, status=status)
        rule = {(f"request.shape.{row}", "")}
        yield _one(f"wrong request {row}: right", "", 0, seed, (), [shot])
        yield _one(
            f"wrong request {row}: 5xx", "", 0, seed, {("request.no_5xx", "")}, [shot], replace(shot, status=500)
        )
        yield _one(
            f"wrong request {row}: HTML",
            "",
            0,
            seed,
            {("request.json_or_empty", "")},
            [shot],
            replace(shot, raw=b"<html></html>"),
        )
        yield _one(f"wrong request {row}: status", "", 0, seed, rule, [shot], replace(shot, status=401))
        other = b"[1]" if row == "large_body" else b'{"error_type":"Other"}'  # with 413 any object is accepted
        yield _one(f"wrong request {row}: body", "", 0, seed, rule, [shot], replace(shot, raw=other))


def clusters(edition: Edition, rng: Random) -> Iterator[Mutant]:
    """Two nodes: a connection on both, on none, missing from the whole, and clocks apart."""
    del rng
    base = strategies.make_connection("busy", edition=edition)

    def history(
        first: Sequence[int] = (0, 1), second: Sequence[int] = (2,), whole: Sequence[int] = (0, 1, 2), skew_ns: int = 0
    ) -> list[Shot]:
        shots: list[Shot] = []
        for round_ in range(4):
            for kind in range(3):
                server = NODES[1] if kind == 1 else NODES[0]
                numbers = (first, second, whole)[kind]
                sent_ns = (3 * round_ + kind) * 250_000_000
                stamp_ns = sent_ns + 5_000_000 + (skew_ns if kind == 1 else 0)
                shots.append(
                    Shot(
                        seq=len(shots),
                        sent_ns=sent_ns,
                        received_ns=sent_ns + 10_000_000,
                        request=_asked(0, server, False if kind == 2 else None)[1],
                        documents=tuple(_document(base, n, len(shots) + 2, stamp_ns) for n in numbers),
                    )
                )
        return shots

    for name, field_, requirement, shots in (
        ("cluster: right", "", None, history()),
        ("cluster: on two nodes", "", "cluster.once", history(second=(2, 1))),
        ("cluster: on no node", "", "cluster.union", history(second=())),
        ("cluster: missing in the whole", "", "cluster.union", history(whole=(0, 1))),
        ("cluster: clocks apart", "/timestamp", "cluster.skew", history(skew_ns=5_000_000_000)),
    ):
        declared = {(requirement, field_)} if requirement else set()
        yield _one(name, field_, 0, 0, declared, shots, nodes=NODES)


OPERATORS: Final = (
    shapes,
    renames,
    duplicates,
    resets,
    relations,
    identities,
    transports,
    clocks,
    refusals,
    clusters,
    framings,
    orders,
    limits,
    depths,
)


FAMILIES: Final = ("falls", "lasting", "swaps", *(operator.__name__ for operator in OPERATORS))
"""The functions that make mutants, by name."""


def families(edition: Edition, seed: int, *, every: int = 1) -> Iterator[tuple[str, Iterator[Mutant]]]:
    """
    All mutants, by the function that makes them; each has to be used up before the next is asked for.

    Args:
        edition: The field list.
        seed: What positions and places are drawn from.
        every: Each counter falls at every so-many-th position; every so-many-th falls for good, or is swapped.
    """
    rng = Random(seed)
    for name in FAMILIES:
        make = globals()[name]
        yield name, make(edition, rng, every) if make in (falls, lasting, swaps) else make(edition, rng)


def mutants(edition: Edition, seed: int, *, every: int = 1) -> Iterator[Mutant]:
    """All of them, in a fixed order."""
    for _, made in families(edition, seed, every=every):
        yield from made
