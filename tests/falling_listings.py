"""Listings in each of which one counter of one connection is below what it was in the listing before."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Final

from sora_stats_harness.api import edition
from sora_stats_harness.api.edition import FieldKind
from sora_stats_harness.api.exchange import Exchange, Response, Target, make_valid_request

from .judge.build import EXAMPLE, MS, SECOND, SERVER, connection, stamp

DOC: Final = edition.load_edition()

COUNTERS: Final = [
    field.path
    for field in DOC.fields
    if field.kind is FieldKind.COUNTER and len(field.path) == 2 and field.path[1] in EXAMPLE.get(field.path[0], ())
]

MOVING: Final = [(group, name) for group, name in COUNTERS if EXAMPLE[group][name] > 0]

_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def connection_id(number: int) -> str:
    """The id of a connection, in the form that they have."""
    rest = random.Random(number)
    return "".join(rest.choice(_DIGITS) for _ in range(25)) + "0"


def listings(connections: int, count: int) -> Iterator[Exchange]:
    """So many listings of so many connections, a second apart; from the second on one counter falls in each."""
    documents = []
    for number in range(connections):
        document = deepcopy(connection(connection_id(number)))
        for path in COUNTERS:
            document[path[0]][path[1]] *= 1 + number * 7919 % 100_000  # which all relations between counters survive
        documents.append(document)
    request = make_valid_request(Target.ALL, server=SERVER)
    for step in range(count):
        if step:
            group, name = MOVING[step * 7 % len(MOVING)]
            documents[step * 31 % connections][group][name] -= 1
        for document in documents:
            document["timestamp"] = stamp(step * SECOND + MS)
        body = json.dumps(documents, separators=(",", ":")).encode()
        yield Exchange(
            run="r",
            seq=step,
            request=request,
            clock="c",
            sent_ns=step * SECOND,
            received_ns=step * SECOND + 10 * MS,
            sent_at=stamp(step * SECOND),
            response=Response(
                status=200,
                headers=(("Content-Type", "application/json"), ("Content-Length", str(len(body)))),
                body=body,
            ),
        )
