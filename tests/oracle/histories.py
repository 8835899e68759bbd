"""
Histories made up from a seed: much is wrong in them, and what is wrong is left to the reference to find.

Small times make ties and overlaps frequent; several runs, clocks, servers, connections and targets are mixed. Counters
follow a truth that grows, until one is lowered, raised beyond 2**64, masked or left out; labels close and open again;
some responses are no responses. Hypothesis would take minutes for what this makes in a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from sora_stats_harness.api.edition import (
    ANY_LABEL,
    Edition,
    FieldDefinition,
    FieldGroup,
    FieldKind,
    FieldPresence,
    parse_edition,
)
from sora_stats_harness.api.exchange import ErrorCode, Exchange, Response, Target, TransportError, make_valid_request
from sora_stats_harness.simulator import strategies

from .reference import Fall, Path, Seen, pointer

Json = Any
"""Whatever JSON can hold."""

_LEAVES: Final = "\n".join(
    f'{name} = {{ type = "integer", kind = "counter", unit = "count", minimum = 0, description = "." }}'
    for name in ("total_one", "total_two", "total_three")
)

_LABEL: Final = f"""
optional = true
[groups.data_channel.groups.notify.fields]
ordered = {{ type = "boolean", kind = "configuration", unit = "none", description = "." }}
{_LEAVES}
[groups.data_channel.groups.notify.fields.max_retransmits]
type = "integer"
kind = "configuration"
unit = "none"
minimum = 0
presence = "conditional"
description = "."
"""

_IDS: Final = "\n".join(
    f'{name} = {{ type = "string", kind = "identity", unit = "none", max_bytes = 255, description = "." }}'
    for name in ("channel_id", "client_id", "bundle_id", "connection_id")
)

SMALL: Final = parse_edition(
    f"""
format = "sora-harness/edition/1"
name = "small"
title = "A dozen counters"
source = "made up"
[fields]
timestamp = {{ type = "string", kind = "time", unit = "none", form = "rfc3339-utc", description = "." }}
{_IDS}
[groups.plain.fields]
{_LEAVES}
[groups.outer.groups.inner.fields]
gauge = {{ type = "integer", kind = "gauge", unit = "none", description = "." }}
{_LEAVES}
[groups.data_channel]
optional = true
[groups.data_channel.groups.notify]
{_LABEL}
[groups.data_channel.groups."#*"]
optional = true
same_as = "data_channel.notify"
""",
    origin="small",
)
"""An edition with every kind of place for a counter, so that ten thousand histories take a minute."""

SERVERS: Final = ("http://127.0.0.1:3001", "http://127.0.0.1:3002")
LABELS: Final = ("notify", "#a", "#b/~")
UNITS: Final = (1, 1_000_000, 20_000_000, 7_000_000_000)
"""Nanoseconds in a step of time; with the last a connection is often silent for minutes."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One exchange as the judge sees it, and as the reference does."""

    exchange: Exchange
    seen: Seen


def history(seed: int, edition: Edition = SMALL, *, faulty: bool = True) -> list[Event]:
    """
    Make up one history, in no particular order.

    Args:
        seed: The same seed and edition give the same history.
        edition: What the connections look like.
        faulty: Whether anything may be wrong at all; without, no response contradicts another, and labels stay open.
    """
    return list(_Maker(Random(seed), edition, faulty).events())


class _Maker:
    def __init__(self, rng: Random, edition: Edition, faulty: bool) -> None:
        self.rng = rng
        self.edition = edition
        self.faulty = faulty
        self.unit = rng.choice(UNITS)
        self.connections = rng.randint(1, 4)
        self.rates = [
            {
                group.path: [rng.choice((0, 0.3, 1, 2, 2, 9)) for _ in group.fields]
                for group in edition.root.walk_groups()
            }
            for _ in range(self.connections)
        ]
        self.chance = rng.choice((0.1, 0.4, 0.9)) if faulty else 0.0
        self.closing = faulty and rng.random() < 0.6
        """Whether data channels close; those that stay open become busy."""

    def events(self) -> Iterator[Event]:
        rng = self.rng
        made: list[Event] = []
        for run in range(rng.randint(1, 3)):
            count = rng.randint(2, rng.choice((14, 14, 14, 14, 60)))
            numbers = rng.sample(range(1, 100), count)
            clocks = ["one"] if rng.random() < 0.8 else ["one", "two"]
            for seq in numbers:
                sent = rng.randint(0, 40) * self.unit
                took = rng.choice((0, 0, 1, 2, 5, 30)) * self.unit
                made.append(self.event(f"run-{run}", rng.choice(clocks), seq, sent, took))
        rng.shuffle(made)
        yield from made

    def event(self, run: str, clock: str, seq: int, sent: int, took: int) -> Event:
        rng = self.rng
        moment = sent + rng.randint(0, took) if took else sent
        target = rng.choice(list(Target))
        which = rng.randrange(self.connections)
        asked = [which]
        if target is Target.CLIENT:
            asked = [number for number in range(self.connections) if number // 2 == which // 2]
        elif target is Target.ALL:
            asked = list(range(self.connections))
        if target.many and self.faulty:
            asked = [number for number in asked if rng.random() > 0.1]
            if asked and rng.random() < 0.03:
                asked.append(rng.choice(asked))
        documents = [self.document(number, moment) for number in asked]
        body: Json = documents if target.many else documents[0]
        if target.many and self.faulty and rng.random() < 0.02:
            body.insert(0, None)
        received = sent + took
        request = make_valid_request(
            target,
            server=rng.choice(SERVERS),
            channel_id="sora",
            connection_id=strategies.make_connection_id(which),
            client_id=strategies.make_connection_id(1000 + which // 2),
        )
        response, error = self.response(json.dumps(body).encode())
        whole = (
            response is not None and error is None and response.status == 200 and response.body.startswith((b"{", b"["))
        )
        return Event(
            exchange=Exchange(
                run=run,
                seq=seq,
                request=request,
                clock=clock,
                sent_ns=sent,
                received_ns=received,
                sent_at=wall(sent),
                response=response,
                error=error,
            ),
            seen=Seen(run=run, clock=clock, seq=seq, sent_ns=sent, received_ns=received, body=body if whole else None),
        )

    def response(self, body: bytes) -> tuple[Response | None, TransportError | None]:
        if self.faulty and self.rng.random() < 0.06:
            return self.rng.choice(
                (
                    (None, TransportError(code=ErrorCode.TIMEOUT, detail="timeout")),
                    (_response(body[:-5], complete=False), TransportError(code=ErrorCode.CUT, detail="cut")),
                    (_response(body, status=500), None),
                    (_response(b"<html>"), None),
                )
            )
        return _response(body), None

    def document(self, number: int, moment: int) -> dict[str, Json]:
        step = moment // self.unit
        document = self.group(self.edition.root, number, step)
        document |= {
            "timestamp": wall(moment),
            "channel_id": "sora",
            "client_id": strategies.make_connection_id(1000 + number // 2),
            "bundle_id": "bundle",
            "connection_id": strategies.make_connection_id(number),
        }
        if self.rng.random() < self.chance:
            self.spoil(document)
        return document

    def group(self, group: FieldGroup, number: int, step: int) -> dict[str, Json]:
        made: dict[str, Json] = {}
        for field, rate in zip(group.fields, self.rates[number][group.path], strict=True):
            if field.presence is not FieldPresence.CONDITIONAL:
                made[field.name] = int(rate * step) if field.kind is FieldKind.COUNTER else _plain(field)
        for inner in group.groups:
            if inner.name == "data_channel":
                made[inner.name] = self.labels(inner, number, step)
            else:
                made[inner.name] = self.group(inner, number, step)
        return made

    def labels(self, group: FieldGroup, number: int, step: int) -> dict[str, Json]:
        """Each label is there for a while, closes, and begins again at 0."""
        models = {inner.name: inner for inner in group.groups}
        made = {}
        for place, label in enumerate(LABELS):
            age = step + 5 * place + number
            if self.closing and age % 12 > 8:
                continue
            model = models.get(label, models[ANY_LABEL])
            made[label] = self.group(model, number, age % 12 if self.closing else step)
        return made

    def spoil(self, document: dict[str, Json]) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 3)):
            places = list(_counters(document))
            if not places:
                return
            inner, key = rng.choice(places)
            value = inner[key]
            match rng.randrange(8):
                case 0 | 1 | 2 | 3:
                    inner[key] = max(0, value + rng.randint(-5, 4)) if type(value) is int else value
                case 4:
                    inner[key] = 2 ** rng.choice((31, 53, 63, 64, 200)) + rng.randint(-2, 2)
                case 5 if rng.random() < 0.5:
                    inner[key] = float(max(0, value + rng.choice((-3, 0, 0, 0, 2)))) if type(value) is int else value
                case 5:
                    inner[key] = rng.choice((None, "1", -1, True, 1.0, 1.5, [], {}))
                case 6:
                    del inner[key]
                case _:
                    self.spoil_group(document)

    def spoil_group(self, document: dict[str, Json]) -> None:
        rng = self.rng
        channel = document.get("data_channel")
        match rng.randrange(7):
            case 0:
                document.pop("data_channel", None)
            case 1:
                document["data_channel"] = rng.choice((None, [], 1))
            case 2 if isinstance(channel, dict) and channel:
                channel.pop(rng.choice(list(channel)))
            case 3 if isinstance(channel, dict) and channel:
                channel[rng.choice(list(channel))] = rng.choice((None, {}, "x"))
            case 4:
                groups = [key for key, value in document.items() if isinstance(value, dict) and key != "data_channel"]
                if groups:
                    document[rng.choice(groups)] = rng.choice((None, {}, 3))
            case 5:
                document["connection_id"] = rng.choice((None, 7, "é" * 128))
            case _:
                document["new"] = {"total_new": rng.randrange(9)}


def wall(moment_ns: int) -> str:
    """The server's clock and ours, which agree."""
    return (strategies.BASE_TIMESTAMP + timedelta(microseconds=moment_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _response(body: bytes, *, status: int = 200, complete: bool = True) -> Response:
    headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    return Response(status=status, headers=headers, body=body, complete=complete)


def _plain(field: FieldDefinition) -> Json:
    plain: Mapping[str, Json] = {"boolean": True, "integer": 0, "string": field.values[0] if field.values else ""}
    return plain[field.type.value]


def _counters(value: dict[str, Json]) -> Iterator[tuple[dict[str, Json], str]]:
    for key, below in value.items():
        if isinstance(below, dict):
            yield from _counters(below)
        elif key.startswith("total_"):
            yield value, key


def by_receipt(events: Sequence[Event]) -> list[Event]:
    """In order of receipt, as whoever reads recordings hands them over; ties by number."""
    return sorted(events, key=lambda event: (event.seen.received_ns, event.seen.seq))


def one_below(samples: int, *, seed: int, edition: Edition, connections: int = 10) -> tuple[Iterator[Exchange], Fall]:
    """
    A long, correct recording in which one counter of one sample is one below the largest value known before its
    request.

    Args:
        samples: How many samples; GetStatsAllConnections gives ten at a time.
        seed: What times, place and counter are drawn from.
        edition: The field list.
        connections: In each response.

    Returns:
        The exchanges in order of receipt, made one by one, and the only fall in them. All counters are multiples of a
        legal connection's, so that every relation holds.
    """
    rng = Random(seed)
    count = samples // connections
    times = []
    for seq in range(count):
        sent = seq * 1_000_000 + rng.randrange(1_000_000)
        took = rng.choice((1, 300_000, 5_000_000))
        times.append((sent + took, seq, sent, sent + rng.randrange(took)))
    times.sort()
    place = rng.randrange(count // 2, count)
    which = rng.randrange(connections)
    field = rng.choice(edition.counters)
    wire = tuple(LABELS_OF_STRATEGIES.get(key, key) for key in field.path)
    base: Json = strategies.make_connection("busy", edition=edition)
    for key in wire:
        base = base[key]
    _, later, sent, _ = times[place]
    known = [(_factor(read), at, seq) for at, seq, _, read in times if at < sent]
    largest = max(factor for factor, _, _ in known)
    first = min((at, seq) for factor, at, seq in known if factor == largest)[1]
    before = largest * base
    fall = Fall(
        later=("long", later),
        earlier=("long", first),
        pointer=pointer((which, *wire)),
        field=field.pointer,
        connection_id=strategies.make_connection_id(which),
        before=before,
        after=before - 1,
    )
    return _long(times, connections, edition, fall, wire), fall


LABELS_OF_STRATEGIES: Final = {ANY_LABEL: strategies.BASE_LABEL}


def _factor(moment: int) -> int:
    return 2 + moment // 700_000


def _long(
    times: Sequence[tuple[int, int, int, int]], connections: int, edition: Edition, fall: Fall, wire: Path
) -> Iterator[Exchange]:
    document = strategies.make_connection("busy", edition=edition)
    text = json.dumps(document, separators=(",", ":")).replace("%", "%%")
    bases = []

    def hole(match: re.Match[str]) -> str:
        bases.append(int(match[2]))
        return f"{match[1]}%d"

    text = re.sub(r'("total_\w+":)(\d+)', hole, text)
    parts = [
        text.replace(document["connection_id"], strategies.make_connection_id(number)) for number in range(connections)
    ]
    which = int(fall.pointer.split("/")[1])
    request = make_valid_request(Target.ALL, server=SERVERS[0])
    for received, seq, sent, read in times:
        counters = tuple(base * _factor(read) for base in bases)
        stamp = wall(read)
        filled = [part % counters for part in parts]
        if seq == fall.later[1]:
            changed = json.loads(filled[which])
            inner = changed
            for key in wire[:-1]:
                inner = inner[key]
            inner[wire[-1]] = fall.after
            filled[which] = json.dumps(changed)
        body = ("[" + ",".join(filled) + "]").replace(document["timestamp"], stamp)
        yield Exchange(
            run="long",
            seq=seq,
            request=request,
            clock="one",
            sent_ns=sent,
            received_ns=received,
            sent_at=wall(sent),
            response=_response(body.encode()),
        )
