"""
Faults of a known frequency, to check what a pass is said to exclude.

A faultless run states for a requirement and a target which share of faults it would have seen. Then the same run is judged
many times, each time with that share planted by chance, and it is counted how often the requirement is violated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from sora_stats_harness.api.exchange import Exchange, Request, Response, Target, make_valid_request
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import OBSERVED_BY_CLIENTS
from sora_stats_harness.judge.verdict import TargetStrength
from sora_stats_harness.judge.verdict_decision import RunScope, decide_verdict
from tests.judge.build import DOC, EXAMPLE, IDS, MS, SERVER, connection, stamp

Json = Any
"""Whatever JSON can hold."""

CONNECTIONS: Final = 3
NOT_FOUND: Final = b'{"error_type": "NOT-FOUND"}'


@dataclass(slots=True)
class Answer:
    """What the server is about to respond."""

    request: Request
    samples: list[Json]
    status: int = 200
    body: bytes | None = None
    """In place of the samples."""

    def write(self) -> Response:
        """The response."""
        content = self.samples if self.request.target is not Target.CONNECTION else self.samples[0]
        body = json.dumps(content).encode() if self.body is None else self.body
        headers = (("content-type", "application/json"), ("content-length", str(len(body))))
        return Response(status=self.status, headers=headers, body=body)


@dataclass(frozen=True, kw_only=True)
class PlantedFault:
    """A fault in some of the responses of one target, or in some of their samples."""

    requirement: str
    target: Target
    spoil: Callable[[Answer, Json], None]
    """Given one sample of the response."""
    per_sample: bool = True
    """Whether each sample may have it, or each response."""


def _change(*path: str, to: Json) -> Callable[[Answer, Json], None]:
    def spoil(answer: Answer, sample: Json) -> None:
        node = sample
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = to

    return spoil


def _drop_timestamp(answer: Answer, sample: Json) -> None:
    del sample["timestamp"]


def _refuse(answer: Answer, sample: Json) -> None:
    answer.status, answer.body = 500, b"{}"


def _break_json(answer: Answer, sample: Json) -> None:
    answer.body = b'{"connection_id": '


def _list_twice(answer: Answer, sample: Json) -> None:
    answer.samples.append(deepcopy(sample))


def _leave_out(answer: Answer, sample: Json) -> None:
    answer.samples.remove(sample)


def _lose(answer: Answer, sample: Json) -> None:
    answer.status, answer.body = 400, NOT_FOUND


FAULTS: Final = (
    PlantedFault(
        requirement="shape.type", target=Target.CONNECTION, spoil=_change("rtp", "total_received_rtp", to="1")
    ),
    PlantedFault(requirement="shape.required", target=Target.ALL, spoil=_drop_timestamp),
    PlantedFault(requirement="http.status", target=Target.CLIENT, spoil=_refuse, per_sample=False),
    PlantedFault(requirement="http.json", target=Target.CONNECTION, spoil=_break_json, per_sample=False),
    PlantedFault(requirement="identity.asked", target=Target.CONNECTION, spoil=_change("connection_id", to=IDS[-1])),
    PlantedFault(requirement="identity.unique", target=Target.ALL, spoil=_list_twice, per_sample=False),
    PlantedFault(requirement="identity.constant", target=Target.CLIENT, spoil=_change("bundle_id", to="another")),
    PlantedFault(
        requirement="counter.monotonic", target=Target.CONNECTION, spoil=_change("rtp", "total_received", to=0)
    ),
    PlantedFault(
        requirement="counter.monotonic", target=Target.ALL, spoil=_change("dtls", "total_received_dtls", to=0)
    ),
    PlantedFault(requirement="identity.present", target=Target.CONNECTION, spoil=_lose, per_sample=False),
    PlantedFault(requirement="identity.listed", target=Target.ALL, spoil=_leave_out),
)


def stated_strength(fault: PlantedFault, rounds: int) -> TargetStrength:
    """What a pass of a faultless run of so many rounds says of the fault's requirement and target."""
    judge = Judge(DOC)
    _judge_run(judge, "faultless", fault, 0.0, Random(0), rounds)
    judge.finish()
    decision = decide_verdict(judge.result(), RunScope(observes=OBSERVED_BY_CLIENTS))
    [row] = [row for row in decision.requirements if row.id == fault.requirement]
    assert row.status == "met", row
    return row.by_target[fault.target.operation]


def count_found(fault: PlantedFault, share: float, rounds: int, seeds: Sequence[int]) -> int:
    """In how many runs, one for each seed, a fault of this share violates its requirement."""
    violated = False

    def listen(requirement: str) -> None:
        nonlocal violated
        violated = violated or requirement == fault.requirement

    judge = Judge(DOC, on_finding=lambda finding: listen(finding.requirement))
    found = 0
    for seed in seeds:
        violated = False
        _judge_run(
            judge, f"run {seed}", fault, share, Random(f"{fault.requirement} {fault.target.name} {seed}"), rounds
        )
        found += violated
    return found


def _judge_run(judge: Judge, run: str, fault: PlantedFault, share: float, dice: Random, rounds: int) -> None:
    """Rounds of a listing, then each connection by itself and by its client, and a listing at the end."""
    for seq, (request, samples) in enumerate(_script(rounds)):
        answer = Answer(request, samples)
        if request.target is fault.target:
            for sample in samples.copy() if fault.per_sample else samples[:1]:
                if dice.random() < share:
                    fault.spoil(answer, sample)
        sent_ns = seq * 20 * MS
        exchange = Exchange(
            run=run,
            seq=seq,
            request=request,
            clock="c",
            sent_ns=sent_ns,
            received_ns=sent_ns + 10 * MS,
            sent_at=stamp(sent_ns),
            response=answer.write(),
        )
        judge.judge_recorded(exchange, open_sent_ns=())


def _script(rounds: int) -> Iterator[tuple[Request, list[Json]]]:
    """Each request, and the samples of its response."""
    ids, place = IDS[:CONNECTIONS], 0

    def samples(chosen: Sequence[str]) -> list[Json]:
        nonlocal place
        place += 1
        stamp_ns = place * 20 * MS - 15 * MS
        return [connection(each, stamp_ns, client_id=f"client of {each}") for each in chosen]

    channel = EXAMPLE["channel_id"]
    for number in range(rounds + 1):
        yield make_valid_request(Target.ALL, server=SERVER), samples(ids)
        for each in ids if number < rounds else ():
            asked = {"server": SERVER, "channel_id": channel}
            yield make_valid_request(Target.CONNECTION, connection_id=each, **asked), samples([each])
            yield make_valid_request(Target.CLIENT, client_id=f"client of {each}", **asked), samples([each])
