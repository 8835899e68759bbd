"""
A correct server that puts a response together piece by piece, and a faulty one.

The world changes in steps; at every step all relations hold and nothing falls. A response's leaves are read one by one
within 20 ms, each at a moment of its own, so that a response as a whole was never true. Whatever is said of such a
server with certainty is a false alarm. A fault then is planted in one response, and has to be told from the tearing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from sora_stats_harness.api.edition import ANY_LABEL, Edition
from sora_stats_harness.api.exchange import Exchange, Response, Target, make_valid_request
from sora_stats_harness.simulator import strategies
from sora_stats_harness.simulator.legal_connections import connection_model

from . import reference

Json = Any
"""Whatever JSON can hold."""

Leaves = dict[reference.Path, Json]

STEP_NS: Final = 5_000_000
TEAR_NS: Final = 20_000_000
WALL: Final = datetime(2024, 7, 1, tzinfo=UTC)
KEY: Final = strategies.make_connection_id(0)


@dataclass(frozen=True, kw_only=True)
class Poll:
    """One response about the connection: when it was asked for and received, and what it holds."""

    seq: int
    sent_ns: int
    received_ns: int
    document: dict[str, Json]

    @property
    def exchange(self) -> Exchange:
        """As the judge sees it."""
        body = json.dumps(self.document).encode()
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        return Exchange(
            run="torn",
            seq=self.seq,
            clock="one",
            sent_ns=self.sent_ns,
            received_ns=self.received_ns,
            sent_at=_wall(self.sent_ns),
            response=Response(status=200, headers=headers, body=body),
            request=make_valid_request(
                Target.CONNECTION, server="http://127.0.0.1:3000", channel_id="sora", connection_id=KEY
            ),
        )


def world(rng: Random, edition: Edition, steps: int) -> list[Leaves]:
    """
    Make up a connection's life: its true leaves, step by step.

    Counters grow by a little, all relations hold at each step, the network level moves, and in one world of three some
    packets are lost where nobody counts them, so that totals exceed the sum of their parts.
    """
    bases: tuple[strategies.BaseName, ...] = ("quiet", "busy")
    base = rng.choice(bases)
    model = connection_model(edition)
    leaves = dict(model.bases[base])
    counters = [field for field in edition.counters if field.path[0] != "data_channel"]
    lossy = rng.random() < 0.3
    lost = 0
    level = 0
    states: list[Leaves] = []
    for _ in range(steps):
        for field in counters:
            if field.dotted not in _LOSSES and field.path[0] != "network_status" and rng.random() < 0.3:
                leaves[field.path] = leaves.get(field.path, 0) + rng.choice((0, 1, 1, 2, 7))
        if rng.random() < 0.3:
            level = rng.randrange(4)
            leaves["network_status", f"total_unstable_level{level}"] += 1
        leaves["network_status", "unstable_level"] = level
        model.restore_relations(leaves)
        if lossy and rng.random() < 0.2:
            lost += rng.randrange(5)
        state = leaves | {("rtp", "total_received_srtp_invalid"): lost}
        state["rtp", "total_received"] += lost
        state["rtp", "total_received_byte_size"] += 100 * lost
        states.append(state)
    return states


_LOSSES: Final = (
    "rtp.total_received_srtp_invalid",
    "packet_loss_simulator.total_dropped_received_rtp",
    "packet_loss_simulator.total_dropped_sent_rtp",
)


def polls(
    rng: Random, states: Sequence[Leaves], *, pollers: int, longest_ns: int = 40_000_000, stepped_ns: int = 0
) -> list[Poll]:
    """
    Read a connection's life by some pollers at once, each one response after the other.

    Args:
        rng: What is drawn from.
        states: The connection's life.
        pollers: How many ask at the same time.
        longest_ns: The longest that a request takes.
        stepped_ns: By how much the server's clock is set forth or back in the middle.

    Returns:
        The responses, in order of receipt.
    """
    end_ns = len(states) * STEP_NS
    found: list[Poll] = []
    for poller in range(pollers):
        now_ns = rng.randrange(STEP_NS)
        while True:
            took_ns = rng.randrange(1, longest_ns)
            sent_ns, received_ns = now_ns, now_ns + took_ns
            if received_ns >= end_ns:
                break
            tear_ns = rng.choice((0, min(TEAR_NS, took_ns)))
            start_ns = sent_ns + rng.randrange(took_ns - tear_ns + 1)
            shift_ns = stepped_ns if start_ns > end_ns // 2 else 0
            document = _read(rng, states, start_ns, tear_ns)
            document["timestamp"] = _wall(start_ns + rng.randrange(tear_ns + 1) + shift_ns)
            found.append(
                Poll(seq=poller * 100_000 + len(found), sent_ns=sent_ns, received_ns=received_ns, document=document)
            )
            now_ns = received_ns + rng.choice((1, 1_000_000, 30_000_000))
    return sorted(found, key=lambda poll: (poll.received_ns, poll.seq))


def _read(rng: Random, states: Sequence[Leaves], start_ns: int, tear_ns: int) -> dict[str, Json]:
    document: dict[str, Json] = {}
    for path in states[0]:
        moment = start_ns + (rng.randrange(tear_ns) if tear_ns else 0)
        inner = document
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = states[moment // STEP_NS][path]
    return document


def plant(rng: Random, history: Sequence[Poll]) -> tuple[list[Poll], int]:
    """
    Put one fault into one response in the middle, or into all from there on: a side of some relation is too large.

    Returns:
        The history, and the number of the response.
    """
    place = rng.randrange(1, len(history) - 1)
    relation = rng.choice(reference.RELATIONS)
    _, name = rng.choice(relation.left)
    *groups, leaf = name.split(".")
    by = rng.choice((1, 10, 1000, 100_000))
    changed = list(history)
    for later in range(place, rng.choice((place + 1, len(history)))):
        document: dict[str, Json] = json.loads(json.dumps(history[later].document))
        inner = document
        for key in groups:
            inner = inner[key]
        inner[leaf] += by
        changed[later] = replace(history[later], document=document)
    return changed, history[place].seq


def off(rng: Random, edition: Edition) -> dict[str, Json]:
    """A busy connection in which a few counters are anything: a body that nothing was asked before or after."""
    document: dict[str, Json] = dict(strategies.make_connection("busy", edition=edition))
    for field in rng.sample(edition.counters, rng.choice((0, 1, 1, 3, 10))):
        inner = document
        for key in field.path[:-1]:
            inner = inner[strategies.BASE_LABEL if key == ANY_LABEL else key]
        inner[field.name] = max(0, inner[field.name] + rng.choice((-1000, -1, 1, 1000)))
    return document


def expected(history: Sequence[Poll]) -> Iterator[tuple[str, str, int]]:
    """
    For one poller: what the relations surely come to, as (requirement, field, number of the response).

    A counter that fell is `counter.monotonic`'s: from then on its relations say nothing, nor where the fall is seen before
    the next response confirms them.
    """
    most: dict[str, int] = {}
    fallen: set[str] = set()
    seen = []
    for poll in history:
        for name in reference.COUNTED:
            value = reference.value_of(poll.document, ((1, name),))
            if value is not None:
                fallen |= {name} if value < most.get(name, 0) else set()
                most[name] = max(most.get(name, 0), value)
        seen.append(frozenset(fallen))
    after = [poll.document for poll in history[2:]]
    for place, (p, r, n) in enumerate(zip(history, history[1:], [*after, None], strict=False), start=1):
        by_now = reference.torn_relations(p.document, r.document, None, seen[place])
        later = reference.torn_relations(p.document, r.document, n, seen[place + 1]) if n is not None else []
        for requirement, field in sorted({*by_now, *later}):
            yield requirement, field, r.seq


def _wall(moment_ns: int) -> str:
    return (WALL + timedelta(microseconds=moment_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
