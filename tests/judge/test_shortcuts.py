"""Checks that are asked at need only lose nothing by it: where they are not asked, they would have found nothing."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Final

import msgspec
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import Exchange, Request, Response, Target, make_valid_request
from sora_stats_harness.judge.check import Check, Observed, Stage
from sora_stats_harness.judge.checks.body import JsonCheck
from sora_stats_harness.judge.checks.shape import ShapeCheck
from sora_stats_harness.judge.evidence import EvidenceStore
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirement import Finding
from sora_stats_harness.judge.state import State
from sora_stats_harness.simulator.world import SimulatedWorld

DOC: Final = edition.load_edition()
SERVER: Final = "http://127.0.0.1:3000"
STEP_NS: Final = 1_000_000_000
HISTORIES: Final = 12


class EagerJudge(Judge):
    """A judge that asks the checks of samples, their ids and heads every time."""

    def __init__(self, heard: list[Finding], check: Check) -> None:
        super().__init__(DOC, run="r", on_finding=heard.append, checks=[check])
        walk = self._stages
        every = self._runner.observers(*(stage for stage in Stage if Stage.CONFIGURATION <= stage <= Stage.USER))
        walk._choices = [every for _ in walk._choices]
        walk._identity_of_named = walk._identity
        walk._http, walk._head = (*walk._http, *walk._head), ()


class ShapeOfEveryBody(Check):
    """Asks the checks of bodies about every body that was read, and notes what they give."""

    requirements = ()
    stage = Stage.PRESENCE

    def __init__(self) -> None:
        self._checks = (JsonCheck(DOC), ShapeCheck(DOC))
        self.found: list[Finding] = []

    def observe(self, seen: Observed, state: State) -> tuple[()]:
        """Ask them, whatever the reader found."""
        if seen.body is not None:
            for check in self._checks[: 1 if seen.body.fault is not None else 2]:
                self.found += [violation.to_finding(EvidenceStore()) for violation in check.observe(seen, state)]
        return ()


def damage(document: dict[str, Any], source: random.Random) -> None:  # Any: JSON
    """One change that may be a fault, or none: ids, shape, counters, the level, data channels."""
    group = document[source.choice(["rtp", "dtls", "sctp", "turn", "network_status"])]
    name = source.choice(sorted(group))
    match source.randrange(12):
        case 0:
            del group[name]
        case 1:
            group[name] = source.choice(["1", -1, 1.5, None])
        case 2:
            group["total_brand_new"] = 1
        case 3:
            group[name] = group[name] * 3 + 7
        case 4:
            group[name] = 0
        case 5:
            document["network_status"]["unstable_level"] = source.randrange(4)
        case 6:
            document[source.choice(["channel_id", "client_id", "bundle_id"])] = "another"
        case 7:
            for channel in document.get("data_channel", {}).values():
                channel["ordered"] = source.random() < 0.5
        case 8:
            document.pop("data_channel", None)
        case 9:
            del document[source.choice(["rtp", "dtls"])]
        case _:
            pass


def history(seed: int) -> list[Exchange]:
    """Responses about a few connections, some overlapping, many damaged; in order of receipt."""
    source = random.Random(seed)
    world = SimulatedWorld(DOC, seed=seed, connections=3, churn=False)
    exchanges: list[Exchange] = []
    received_ns = 0
    for step in range(30):
        now_ns = (30 + step) * STEP_NS
        world.advance(now_ns)
        stamp = f"2024-07-01T00:00:{step:02d}.000000Z"
        documents = [each.read_sample(now_ns, stamp) for each in world.connections_of_node(0)]
        for document in documents:
            damage(document, source)
        request, value = _request_and_value(documents, source)
        body = msgspec.json.encode(value)
        if source.random() < 0.05:
            body = source.choice([body[:-1], body.replace(b'{"', b'{"client_id":"twice","', 1)])
        headers = [("content-type", source.choice(["application/json", "application/json", "text/plain"]))]
        headers += [("content-length", str(len(body) + (source.random() < 0.1)))] if source.random() < 0.7 else []
        sent_ns = received_ns + source.choice([1, 1, -STEP_NS // 2])
        received_ns = max(received_ns, sent_ns) + STEP_NS
        exchanges.append(
            Exchange(
                run="r",
                seq=step,
                request=request,
                clock="c",
                sent_ns=sent_ns,
                received_ns=received_ns,
                sent_at="2024-07-01T00:00:00.000000Z",
                response=Response(status=source.choice([200, 200, 200, 200, 404]), headers=tuple(headers), body=body),
            )
        )
    return exchanges


def _request_and_value(documents: list[dict[str, Any]], source: random.Random) -> tuple[Request, Any]:  # Any: JSON
    if source.random() < 0.3:
        return make_valid_request(Target.ALL, server=SERVER), documents
    document = source.choice(documents)
    ids = {"channel_id": "sora", "connection_id": document["connection_id"]}
    return make_valid_request(Target.CONNECTION, server=SERVER, **ids), document


def replay(judge: Judge, exchanges: list[Exchange]) -> dict[str, int]:
    """Judge a history; how often each requirement was checked."""
    for place, exchange in enumerate(exchanges):
        horizon_ns = min((each.sent_ns for each in exchanges[place + 1 :]), default=None)
        judge.judge_recorded(exchange, horizon_ns=horizon_ns)
    judge.finish()
    return judge.result().checked


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_checks_at_need_find_what_they_find_when_they_are_always_asked(seed: int) -> None:
    """
    The same findings, in the same order, and the same counts of what was checked; JSON and shape of every body, too.
    """
    exchanges = history(seed)
    frugal_found: list[Finding] = []
    eager_found: list[Finding] = []
    every = ShapeOfEveryBody()
    checked = replay(Judge(DOC, run="r", on_finding=frugal_found.append), exchanges)
    assert checked == replay(EagerJudge(eager_found, every), exchanges)
    assert frugal_found == eager_found
    assert len({finding.requirement for finding in frugal_found}) > 5
    of_bodies = {row.id for check in every._checks for row in check.requirements}
    asked_at_need = [finding for finding in frugal_found if finding.requirement in of_bodies]
    assert Counter(map(repr, asked_at_need)) == Counter(map(repr, every.found))
    assert asked_at_need
