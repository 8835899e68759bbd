"""
Two things wrong at once: every lesser defect, in all responses, crossed with every MUST fault, in some.

A defect is on the very leaf of the fault, where it is about a leaf, and on another. Whatever the defect, the fault must
still be found: a value that is written oddly is a value all the same. Nothing here imports the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from msgspec.structs import replace as replaced

from sora_stats_harness.api.edition import Edition, FieldKind
from sora_stats_harness.api.http1_faults import UNANNOUNCED_CLOSE, FramingFault
from sora_stats_harness.simulator import strategies

from . import mutants, reference
from .mutants import NODES, Json, Mutant, Shot

Keys = tuple[str, ...]
"""A leaf, by the keys that lead to it in a connection."""

ELSEWHERE: Final[Keys] = ("dtls", "total_received_dtls")
"""A leaf without relations, which no fault is about."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Defect:
    """Something that is wrong with every response, or with what is asked for besides."""

    requirement: str
    change: Callable[[Shot, Keys], Shot] = lambda shot, keys: shot
    """Gives a response with it, at a leaf or beside it."""
    more: Sequence[Shot] = ()
    """Further exchanges, with their times since the others have ended."""
    of_leaf: bool = False
    """Whether it is about a leaf."""
    leaf: str | None = None
    """The leaf that it is always at."""
    nodes: tuple[str, ...] = ()
    tear_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A fault and a defect; `make` gives a mutant that declares the fault alone."""

    name: str
    make: Callable[[], Mutant]


def crossings(edition: Edition, faults: Sequence[Mutant]) -> Iterator[Crossing]:
    """Every defect with every fault, on the same leaf and on another."""
    for defect in defects(edition):
        changed: dict[Keys, dict[int, Shot]] = {}
        pairs = [(fault, "another leaf", ELSEWHERE) for fault in faults]
        if defect.of_leaf:
            pairs += [
                (fault, "the same leaf", mutants._keys(tuple(fault.field.split("/")[1:])))
                for fault in faults
                if fault.field
            ]
        if defect.leaf is not None:
            pairs.append((_fall(edition, defect.leaf), "the same leaf", ELSEWHERE))
        for fault, where, keys in pairs:
            name = f"{fault.operator} x {defect.requirement} on {where}"
            leaf = (keys, changed.setdefault(keys, {}))
            yield Crossing(name=name, make=partial(_cross, edition, replace(fault, operator=name), defect, leaf))


def _cross(edition: Edition, fault: Mutant, defect: Defect, leaf: tuple[Keys, dict[int, Shot]]) -> Mutant:
    """One fault with one defect; right responses with the defect are made once."""
    keys, changed = leaf
    right = {id(shot) for shot in mutants.right(edition)}
    shots = []
    for shot in _with_history(edition, fault.shots):
        if id(shot) not in right:
            made = defect.change(shot, keys)
            if ("http.duplicate_key", fault.field) in fault.declared:
                made = replace(made, raw=mutants.repeat_member(made.documents[0], fault.field.split("/")[1:]))
            shots.append(_with_its_length(made, shot))
            continue
        if id(shot) not in changed:
            changed[id(shot)] = made = defect.change(shot, keys)
            mutants._base_shots().shots[id(made)] = made
        shots.append(changed[id(shot)])
    return replace(
        fault,
        shots=_added(shots, *defect.more),
        nodes=fault.nodes or defect.nodes,
        tear_s=defect.tear_s,
    )


def _with_its_length(shot: Shot, before: Shot) -> Shot:
    """A response with headers of its own says how long it is now, if it said so before."""
    right, now = ("Content-Length", str(len(before.body))), ("Content-Length", str(len(shot.body)))
    if shot.headers is None or right not in shot.headers:
        return shot
    return replace(shot, headers=tuple(now if each == right else each for each in shot.headers))


def must_faults(edition: Edition, musts: Collection[str]) -> list[Mutant]:
    """A fault of each of these requirements, which violates no other; those of leaves at an id and at a counter."""
    rng = Random(1)
    wanted = [_fall(edition, "rtp.total_received_rtp"), _fall(edition, "turn.total_received_binding_request")]
    made = [
        *mutants.duplicates(edition, rng),
        *mutants.identities(edition, rng),
        *mutants.transports(edition, rng),
        *mutants.refusals(edition, rng),
        *mutants.clusters(edition, rng),
        *mutants.framings(edition, rng),
        *mutants.orders(edition, rng),
    ]
    first: dict[tuple[str, bool], Mutant] = {}
    for mutant in (*wanted, *_leaves(edition), *made):
        for requirement, field in mutant.declared:
            if requirement in musts:
                first.setdefault((requirement, "/total_" in field), mutant)
    return [*{mutant.name: mutant for mutant in (*wanted, *first.values())}.values()]


def _fall(edition: Edition, dotted: str) -> Mutant:
    """A counter that falls in one response."""
    keys = mutants._keys(tuple(dotted.split(".")))
    shots = mutants.right(edition)
    value = mutants._inside(shots[8].documents[0], keys) - 1
    fallen = shots[9].change(0, mutants._put(keys, value))
    return mutants._one(
        "decrease",
        "/" + dotted.replace(".", "/"),
        9,
        0,
        {("counter.monotonic", "/" + dotted.replace(".", "/"))},
        shots,
        fallen,
    )


def _leaves(edition: Edition) -> Iterator[Mutant]:
    """A leaf that is missing, of another type, beyond its limits, no time or no word of its list."""
    shots = mutants.right(edition)
    found: set[tuple[str, bool]] = set()
    for mutation in strategies.all_mutations(edition):
        key = (mutation.requirement, "/total_" in mutation.pointer)
        if key in found or not mutation.requirement.startswith("shape."):
            continue
        if mutation.operator == "other_form" or mutation.pointer.count("/") > 2:
            continue
        found.add(key)
        changed = replace(shots[9], documents=(mutation.apply_to(shots[9].documents[0]),))
        declared = {(mutation.requirement, mutation.pointer)}
        yield mutants._one(f"shape {mutation.operator}", mutation.pointer, 9, 0, declared, shots, changed)
    shot = shots[9].change(0, mutants._put(("data_channel", "notify", "direction"), "nowhere"))
    field = "/data_channel/notify/direction"
    yield mutants._one("shape other_value", field, 9, 0, {("shape.enum", field)}, shots, shot)


def _with_history(edition: Edition, shots: Sequence[Shot]) -> Sequence[Shot]:
    """A fault that is not in the right history comes after it, so that the defect has responses to be in."""
    if any(shot.documents for shot in shots):
        return shots
    right = mutants.right(edition)
    last = right[-1]
    later = [
        replace(
            shot,
            seq=len(right) + shot.seq,
            sent_ns=last.received_ns + 10**6 + shot.sent_ns,
            received_ns=last.received_ns + 2 * 10**6 + shot.received_ns,
        )
        for shot in shots
    ]
    return [*right, *later]


# -- defects ------------------------------------------------------------------------------------------------------------


def defects(edition: Edition) -> list[Defect]:
    """One of each requirement that is no MUST."""
    relations = {relation.name: relation for relation in reference.RELATIONS}
    refused = {mutant.operator: mutant.shots for mutant in mutants.refusals(edition, Random(0))}
    return [
        Defect(requirement="shape.lexical", change=_everywhere(_as_float), of_leaf=True),
        Defect(requirement="shape.unknown", change=_everywhere(_beside), of_leaf=True),
        Defect(requirement="shape.group", change=_everywhere(_without_group)),
        Defect(requirement="shape.exclusive", change=_everywhere(_both_limits)),
        Defect(requirement="identity.channel", change=_without_channel),
        Defect(requirement="identity.form", change=_rename_connections),
        *(
            Defect(
                requirement=f"relation.{name}",
                change=_everywhere(partial(_raise_left, tuple(relation.left[0][1].split(".")))),
                leaf=relation.left[0][1],
            )
            for name, relation in relations.items()
        ),
        Defect(requirement="relation.unstable_level", change=_everywhere(_uncounted_level)),
        Defect(requirement="clock.frozen", change=_stamped(lambda shot: 0)),
        Defect(requirement="clock.offset", change=_stamped(lambda shot: shot.sent_ns + 30 * 10**9 * (shot.seq >= 6))),
        Defect(requirement="clock.order", change=_stamped(lambda shot: shot.sent_ns - 15 * 10**8 * (shot.seq % 2))),
        Defect(requirement="http.framing", change=_framed("bare_lf")),
        Defect(requirement="http.keep_alive", change=_framed(UNANNOUNCED_CLOSE)),
        Defect(requirement="http.json_limits", change=_deep),
        Defect(requirement="counter.timestamp_order", more=_misstamped(edition), tear_s=0.01),
        Defect(requirement="cluster.skew", more=_apart(edition), nodes=NODES),
        *(
            Defect(requirement=f"request.shape.{row}", more=refused[f"wrong request {row}: status"])
            for row in mutants.REFUSALS
        ),
    ]


def _everywhere(edit: Callable[[Json, Keys], None]) -> Callable[[Shot, Keys], Shot]:
    return lambda shot, keys: mutants._each(shot, lambda document: edit(document, keys))


def _without_channel(shot: Shot, keys: Keys) -> Shot:
    return (
        mutants._each(shot, lambda document: document["data_channel"].pop("stats", None)) if shot.seq % 4 == 2 else shot
    )


def _group(document: Json, keys: Keys) -> Json:
    """The object that holds a leaf; None where it is not there any more."""
    for key in keys[:-1]:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else None


def _as_float(document: Json, keys: Keys) -> None:
    group = _group(document, keys)
    if group is not None and type(value := group.get(keys[-1])) is int and abs(value) < 2**53:
        group[keys[-1]] = float(value)


def _beside(document: Json, keys: Keys) -> None:
    if (group := _group(document, keys)) is not None:
        group[f"{keys[-1]}_new"] = 1


def _without_group(document: Json, keys: Keys) -> None:
    document.pop(ELSEWHERE[0], None)


def _both_limits(document: Json, keys: Keys) -> None:
    if isinstance(channel := document.get("data_channel"), dict):
        channel[strategies.BASE_LABEL] |= {"max_packet_life_time": 100, "max_retransmits": 3}


def _uncounted_level(document: Json, keys: Keys) -> None:
    document["network_status"] |= {"unstable_level": 2, "total_unstable_level2": 0}


def _raise_left(path: Keys, document: Json, keys: Keys) -> None:
    group = _group(document, path)
    if group is not None and type(group.get(path[-1])) is int:
        group[path[-1]] += 10**9


def _rename_connections(shot: Shot, keys: Keys) -> Shot:
    """Ids of another form, which are asked for as they are."""
    asked, raw = shot.request.asked, shot.raw
    if asked.connection_id is not None:
        raw = None if raw is None else raw.replace(asked.connection_id.encode(), f"{asked.connection_id}-x".encode())
        asked = replaced(asked, connection_id=f"{asked.connection_id}-x")

    def rename(document: Json) -> None:
        if isinstance(text := document.get("connection_id"), str):
            document["connection_id"] = f"{text}-x"

    return replace(mutants._each(shot, rename), raw=raw, request=replaced(shot.request, asked=asked))


def _stamped(moment_ns: Callable[[Shot], int]) -> Callable[[Shot, Keys], Shot]:
    def stamp(shot: Shot, document: Json) -> None:
        if document.get("timestamp") == mutants.wall(shot.sent_ns + 5_000_000):  # not where that is the fault
            document["timestamp"] = mutants.wall(moment_ns(shot) + 5_000_000)

    return lambda shot, keys: mutants._each(shot, partial(stamp, shot))


def _framed(code: str) -> Callable[[Shot, Keys], Shot]:
    """What was responded at all is written so: without a byte, a close is no response that failed."""
    fault = FramingFault(code=code, text=code)
    return lambda shot, keys: shot if shot.refused else replace(shot, faults=(*shot.faults, fault))


def _deep(shot: Shot, keys: Keys) -> Shot:
    return replace(shot, raw=b'{"a":' * 150 + b"1" + b"}" * 150) if shot.seq == 2 else shot


def _added(shots: Sequence[Shot], *more: Shot) -> Sequence[Shot]:
    """Further exchanges after a history."""
    if not more:
        return shots
    end = max(shot.received_ns for shot in shots) + 10**6
    seq = max(shot.seq for shot in shots) + 1
    return [
        *shots,
        *(
            replace(each, seq=seq + place, sent_ns=end + each.sent_ns, received_ns=end + each.received_ns)
            for place, each in enumerate(more)
        ),
    ]


def _misstamped(edition: Edition) -> list[Shot]:
    """Two overlapping responses about a connection of its own, of which the earlier stamped has the larger counter."""
    base = strategies.make_connection("busy", edition=edition)
    documents = [
        mutants._document(base, 0, 5, moment) | {"connection_id": strategies.make_connection_id(50)}
        for moment in (10**10, 10**10 + 10**8)
    ]
    documents[0]["dtls"]["total_sent_dtls"] += 1
    request = mutants._asked(0)[1]
    return [
        Shot(seq=0, request=request, sent_ns=place, received_ns=150_000_000 + place, documents=(document,))
        for place, document in enumerate(documents)
    ]


def _apart(edition: Edition) -> list[Shot]:
    """Another node, an hour ahead."""
    base = strategies.make_connection("busy", edition=edition)
    document = mutants._document(base, 0, 5, 3600 * 10**9) | {"connection_id": strategies.make_connection_id(51)}
    request = mutants._asked(0, server=NODES[1])[1]
    return [Shot(seq=0, request=request, sent_ns=1, received_ns=2, documents=(document,))]


def uncountable(edition: Edition, shots: Sequence[Shot]) -> set[str]:
    """Counters of which some response has no value that could be used, by dotted name."""
    counters = [leaf for leaf in edition.fields if leaf.kind is FieldKind.COUNTER]
    found = set()
    for shot in shots:
        for document in shot.documents if shot.raw is None else ():
            for leaf in counters:
                group = _group(document, mutants._keys(leaf.path))
                if group is not None and leaf.name in group:
                    value = reference.integer(group[leaf.name])
                    if value is None or value < 0:
                        found.add(leaf.dotted)
    return found
