"""A conformance run asks in such an order that every requirement can be observed, and stops when there is no use."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from sora_stats_harness.api.errors import DEBUG_VARIABLE
from sora_stats_harness.api.exchange import (
    ErrorCode,
    Exchange,
    ExchangeOpener,
    Request,
    Response,
    Target,
    TransportError,
)
from sora_stats_harness.judge.verdict import CoverageSummary, JudgeResult
from sora_stats_harness.judge.verdict_decision import RunEnding
from sora_stats_harness.probe.completion import MAX_IDLE_ROUNDS, MIN_ROUNDS
from sora_stats_harness.probe.conformance_plan import ConformancePlan
from sora_stats_harness.probe.conformance_run import ConformanceProgress, ConformanceResult, run_conformance
from sora_stats_harness.probe.discovery import KnownConnection
from sora_stats_harness.probe.interrupt import InterruptHandler
from sora_stats_harness.probe.prober import Prober
from tests.virtual_time import run_in_virtual_time


@pytest.fixture(autouse=True)
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run here waits: neither between requests nor for its end."""
    monkeypatch.setattr(asyncio, "run", run_in_virtual_time)


A, B, C = "http://a:3000", "http://b:3000", "http://c:3000"


@dataclass(frozen=True)
class Sent:
    """A request and its interval, in steps of the list of all beginnings and ends."""

    request: Request
    begun: int
    ended: int

    def precedes(self, other: Sent) -> bool:
        return self.ended < other.begun


class NoJudge:
    """Nothing is judged here: the prober below makes its exchanges itself."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> Any:
        raise AssertionError("not used")

    def result(self) -> JudgeResult:
        return JudgeResult(checked={}, findings=[], coverage=CoverageSummary())


Connection = tuple[str, str, str]
"""Channel, client and connection."""

WORLD: dict[str, list[Connection]] = {A: [("ch", "cl1", "c1"), ("ch", "cl1", "c2"), ("other", "cl2", "c3")]}


@dataclass
class Canned(Prober):
    """Responses from a dictionary of connections by node, and keeps what it was asked."""

    world: dict[str, list[Connection]] = field(default_factory=lambda: {k: list(v) for k, v in WORLD.items()})
    fails: Callable[[int, Request], TransportError | Response | None] = lambda number, request: None
    delay_s: float = 0.0
    limit: int | None = None
    """After so many requests the run is interrupted: tests count on requests, not on time."""
    sent: list[Sent] = field(default_factory=list)
    most: int = 0

    def __post_init__(self) -> None:
        self._step = itertools.count()
        self._open = 0
        self._number = 0

    async def __aexit__(self, *error: object) -> None:
        """There is nothing to close."""

    async def send(self, judge: ExchangeOpener, request: Request, intended_ns: int | None = None) -> Exchange:
        if self._number == self.limit:
            signal.raise_signal(signal.SIGINT)
        begun, number = next(self._step), self._number
        self._number += 1
        self._open += 1
        self.most = max(self.most, self._open)
        await asyncio.sleep(self.delay_s)
        self._open -= 1
        self.sent.append(Sent(request, begun, next(self._step)))
        failure = self.fails(number, request)
        response = failure if isinstance(failure, Response) else None if failure else self._response(request)
        return Exchange(
            run="run",
            seq=number,
            request=request,
            clock="c",
            sent_ns=begun,
            received_ns=begun + 1,
            sent_at="2026-01-01T00:00:00Z",
            response=response,
            error=failure if isinstance(failure, TransportError) else None,
        )

    def _response(self, request: Request) -> Response:
        asked = request.asked
        nodes = [request.server] if asked.local else list(self.world)
        here = [each for node in nodes for each in self.world[node]]
        value: Any
        if request.target is None:
            return Response(status=400, headers=(), body=b"")
        if request.target is Target.CONNECTION:
            found = [each for each in here if (each[0], each[2]) == (asked.channel_id, asked.connection_id)]
            if not found:
                return Response(status=400, headers=(), body=b'{"error_type":"ConnectionNotFound"}')
            value = ids(found[0])
        elif request.target is Target.CLIENT:
            value = [ids(each) for each in here if each[:2] == (asked.channel_id, asked.client_id)]
        else:
            value = [ids(each) for each in here]
        return Response(status=200, headers=(), body=json.dumps(value).encode())

    def valid(self, target: Target, server: str | None = None) -> list[Sent]:
        return [each for each in self.sent if each.request.target is target and server in (None, each.request.server)]


def ids(connection: Connection) -> dict[str, str]:
    return dict(zip(("channel_id", "client_id", "connection_id"), connection, strict=True))


def plan(**changes: Any) -> ConformancePlan:
    defaults: dict[str, Any] = {"server": A, "duration_s": 60.0, "rate": 1_000_000.0, "concurrency": 4}
    return ConformancePlan(**(defaults | changes))


def conform(prober: Canned, **changes: Any) -> ConformanceResult:
    with InterruptHandler() as interrupt:
        return run_conformance(plan(**changes), NoJudge(), prober, interrupt=interrupt)


def test_a_fault_of_the_harness_ends_a_run_that_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was seen by then is not lost with it; whoever looks for the fault is shown where it is."""

    def fail(number: int, request: Request) -> None:
        if number == 20:
            raise RuntimeError("a bug")

    result = conform(Canned(fails=fail))
    assert result.ending.broken == f"the run broke off: RuntimeError: a bug ({DEBUG_VARIABLE}=1 shows where)"
    assert (result.ending.aborted, result.notes) == (None, ())
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    assert conform(Canned(fails=fail)) == result
    assert 'raise RuntimeError("a bug")' in capsys.readouterr().err


def test_each_connection_is_read_three_times_in_a_row() -> None:
    """Through both targets, with no overlap, between two listings: relations and presence need such neighbours."""
    prober = Canned(limit=100)
    result = conform(prober)
    assert result == ConformanceResult(ending=RunEnding(interrupted=True), exchanges=100, errors=0, notes=())
    listings = [each for each in prober.valid(Target.ALL) if each.request.asked.local]
    for channel, client, connection in WORLD[A]:
        asked = [
            each
            for each in prober.sent
            if (each.request.target is Target.CONNECTION and each.request.asked.connection_id == connection)
            or (each.request.target is Target.CLIENT and each.request.asked.client_id == client)
        ]
        assert {each.request.asked.channel_id for each in asked} == {channel}
        first, second, third = asked[:3]
        assert first.precedes(second) and second.precedes(third)
        assert {each.request.target for each in asked[:3]} == {Target.CONNECTION, Target.CLIENT}
        assert any(each.precedes(first) for each in listings) and any(third.precedes(each) for each in listings)


def test_requests_overlap_up_to_the_concurrency() -> None:
    """And never beyond; two about one connection are among those that do."""
    prober = Canned(delay_s=0.001, limit=150)
    conform(prober, concurrency=6)
    assert prober.most == 6
    overlapping = [
        (a, b)
        for a, b in itertools.combinations(prober.valid(Target.CONNECTION) + prober.valid(Target.CLIENT), 2)
        if not a.precedes(b) and not b.precedes(a)
    ]
    by_client = {connection: client for _, client, connection in WORLD[A]}
    assert any(
        a.request.target is Target.CONNECTION
        and b.request.target is Target.CLIENT
        and by_client[a.request.asked.connection_id or ""] == b.request.asked.client_id
        for a, b in overlapping
    )


def test_every_node_is_asked_between_two_responses_about_the_whole() -> None:
    """local: false, then local: true of all nodes, then local: false, none overlapping."""
    world = {node: [("ch", f"cl-{node}", f"c-{node}")] for node in (A, B, C)}
    prober = Canned(world=world, limit=300)
    conform(prober, nodes=(B, C))
    sequential = [each for each, after in itertools.pairwise(prober.sent) if each.precedes(after)]
    said = [
        None if each.request.target is not Target.ALL else (each.request.body, each.request.server)
        for each in sequential
    ]
    bracket = [(b'{"local":true}', node) for node in (A, B, C)]
    found = [i for i in range(1, len(said) - 3) if said[i : i + 3] == bracket]
    assert found
    for i in found:
        assert said[i - 1] == said[i + 3]
        assert said[i - 1] in [(b'{"local":false}', node) for node in (A, B, C)]
    asked_at = {(each.request.server, each.request.asked.connection_id) for each in prober.valid(Target.CONNECTION)}
    assert asked_at == {(node, f"c-{node}") for node in (A, B, C)}, "each connection is asked for at its own node"


def test_wrong_requests_come_once_or_twice_each() -> None:
    """Once in a row and once among overlapping ones; the large one only once, and only when asked for."""
    prober = Canned(limit=300)
    conform(prober, send_large_request=True)
    seen = Counter(each.request for each in prober.sent if each.request.probe is not None)
    large = [request for request in seen if request.probe == "request.shape.large_body"]
    assert [seen.pop(request) for request in large] == [1]
    assert set(seen.values()) == {2}
    assert len({request.probe for request in seen}) == 14


def test_valid_only_sends_no_wrong_request() -> None:
    """And the run does not claim to see how they get a response."""
    prober = Canned(limit=100)
    conform(prober, send_wrong_requests=False)
    assert prober.sent and all(each.request.probe is None for each in prober.sent)


@pytest.mark.parametrize("allowed", [{Target.ALL}, {Target.ALL, Target.CLIENT}, {Target.ALL, Target.CONNECTION}])
def test_only_the_allowed_targets_are_sent(allowed: set[Target]) -> None:
    """Wrong requests included; three samples in a row come all the same."""
    prober = Canned(limit=200)
    conform(prober, targets=frozenset(allowed))
    assert {each.request.target for each in prober.sent} - {None} == allowed
    values = {value for each in prober.sent for name, value in each.request.headers if name == "x-sora-target"}
    assert not values & {target.value for target in set(Target) - allowed}


def test_given_connections_are_asked_for_without_a_listing() -> None:
    """A response tells the ids that were not given, and these are asked for as well."""
    prober = Canned(limit=100)
    given = (KnownConnection(server=A, channel_id="ch", client_id="cl1"),)
    conform(prober, given_connections=given, targets=frozenset({Target.CONNECTION, Target.CLIENT}))
    assert prober.valid(Target.ALL) == []
    assert {each.request.asked.connection_id for each in prober.valid(Target.CONNECTION)} == {"c1", "c2"}
    assert {each.request.asked.client_id for each in prober.valid(Target.CLIENT)} == {"cl1"}


def test_connections_that_come_and_go_are_followed() -> None:
    """One that left is not asked for after the next listing, one that came is."""
    prober = Canned(limit=150)

    def churn(number: int, request: Request) -> None:
        if number == 40:
            prober.world[A] = [("ch", "cl9", "c9")]

    prober.fails = churn
    conform(prober, send_wrong_requests=False)
    asked = [each.request.asked.connection_id for each in prober.valid(Target.CONNECTION)]
    assert asked[-1] == "c9" and "c1" in asked
    assert "c1" not in asked[asked.index("c9") :]


def test_of_many_connections_each_has_its_turn() -> None:
    """A round asks for a few of them, those of clients with several first; the next round for the next ones."""
    world = {A: [("ch", f"cl{i}", f"c{i}") for i in range(60)] + [("ch", "twin", "t1"), ("ch", "twin", "t2")]}
    prober = Canned(world=world, limit=400)
    conform(prober, send_wrong_requests=False)
    asked = [each.request.asked.connection_id for each in prober.valid(Target.CONNECTION)]
    assert set(asked[:4]) >= {"t1", "t2"}
    assert len(set(asked)) == 62


def test_the_rate_is_kept() -> None:
    """As many requests as the rate allows for the time that passed, beside those that begin at once."""
    prober = Canned()
    seen: list[ConformanceProgress] = []
    with InterruptHandler() as interrupt:
        run_conformance(plan(rate=100.0, duration_s=10.0), NoJudge(), prober, interrupt=interrupt, watch=seen.append)
    assert 950 <= len(prober.sent) <= 1000 + 2 * 4
    assert 40 <= len(seen) <= 41
    assert seen[0].exchanges == 0 and seen[-1].connections == 3
    assert [status.elapsed_s for status in seen] == sorted(status.elapsed_s for status in seen)


def error(code: ErrorCode) -> TransportError:
    return TransportError(code=code, detail="as told")


@pytest.mark.parametrize("code", [ErrorCode.REFUSED, ErrorCode.DNS, ErrorCode.TLS, ErrorCode.RESET, ErrorCode.PROTOCOL])
def test_a_server_that_never_responds_is_left_alone(code: ErrorCode) -> None:
    """Three tries, then one line of reason."""
    prober = Canned(fails=lambda number, request: error(code))
    result = conform(prober, duration_s=60.0)
    assert len(prober.sent) == 3 and result.exchanges == result.errors == 3
    assert result.ending.aborted == f"{A} gives no complete response: {code.value}: as told"


def test_a_node_that_never_responds_ends_the_run() -> None:
    """It was named as one of the cluster, so that without it too little is seen; the first node is fine."""
    world = {A: WORLD[A], B: []}
    prober = Canned(
        world=world, fails=lambda number, request: error(ErrorCode.REFUSED) if request.server == B else None
    )
    result = conform(prober, nodes=(B,))
    assert result.ending.aborted == f"{B} gives no complete response: refused: as told"
    assert Counter(each.request.server for each in prober.sent) == {A: 3, B: 3}


def test_a_first_try_that_takes_all_the_time_is_told_too() -> None:
    """The time was over before a second try."""
    prober = Canned(fails=lambda number, request: error(ErrorCode.TIMEOUT), delay_s=2.0)
    result = conform(prober, duration_s=1.0, max_duration_s=1.0)
    assert len(prober.sent) == 1
    assert result.ending.aborted == f"{A} gives no complete response: timeout: as told"


def test_a_server_that_stops_responding_aborts_the_run() -> None:
    """It is asked until the least time is over, since a restart may take a moment, and no longer."""
    prober = Canned(fails=lambda number, request: error(ErrorCode.REFUSED) if number > 20 else None)
    elapsed_s = []
    with InterruptHandler() as interrupt:
        result = run_conformance(
            plan(duration_s=10.0),
            NoJudge(),
            prober,
            interrupt=interrupt,
            watch=lambda progress: elapsed_s.append(progress.elapsed_s),
        )
    assert result.ending.aborted == f"{A} stopped responding: refused: as told"
    assert len(prober.sent) > 23
    assert elapsed_s[-1] == pytest.approx(10.0, abs=0.5)


def test_a_server_that_comes_back_is_probed_on() -> None:
    """A moment without responses is a count of errors, and no reason to give up."""
    prober = Canned(fails=lambda number, request: error(ErrorCode.REFUSED) if 20 < number < 24 else None, limit=50)
    result = conform(prober)
    assert result == ConformanceResult(ending=RunEnding(interrupted=True), exchanges=50, errors=3, notes=())


@pytest.mark.parametrize(
    "response",
    [
        Response(status=503, headers=(), body=b"[]"),
        Response(status=200, headers=(), body=b"<html>"),
        Response(status=200, headers=(), body=b'["x"]'),
        Response(status=200, headers=(), body=b"[" * 10_000),
        Response(status=200, headers=(), body=b"[" + b"{}," * 1_000_001 + b"{}]"),
    ],
    ids=["503", "html", "strings", "deep", "a million objects"],
)
def test_responses_without_a_list_end_the_run_early(response: Response) -> None:
    """There is nothing to ask for; what is wrong with the responses is the judge's to say."""
    prober = Canned(fails=lambda number, request: response)
    result = conform(prober, duration_s=60.0)
    assert len(prober.sent) == 3
    assert result.ending.aborted is not None and "not with a list of connections" in result.ending.aborted


def test_an_empty_server_is_asked_until_the_time_is_over() -> None:
    """An empty list is a response: somebody may still join."""
    prober = Canned(world={A: []})
    result = conform(prober, duration_s=10.0)
    assert result.ending.aborted is None and result.errors == 0
    assert prober.valid(Target.CONNECTION) == [] and prober.valid(Target.ALL) != []


def test_a_run_that_was_too_short_says_so() -> None:
    """The first round was not finished within the time limit."""
    result = conform(Canned(delay_s=1.0), duration_s=1.0, max_duration_s=5.0)
    assert result.notes == ("the first round of requests was not finished within 5 s: give a longer --max-duration",)


@dataclass
class Observing(NoJudge):
    """Has observed every requirement once it was asked so many times; `asked` counts."""

    rounds: int
    asked: int = 0

    def result(self) -> JudgeResult:
        self.asked += 1
        ids = plan().expected_requirements() if self.asked >= self.rounds else ()
        return JudgeResult(checked=dict.fromkeys(ids, 1), findings=[], coverage=CoverageSummary())


@pytest.mark.parametrize(
    ("needed", "rounds"), [(1, MIN_ROUNDS), (MAX_IDLE_ROUNDS, MAX_IDLE_ROUNDS), (99, MAX_IDLE_ROUNDS)]
)
def test_a_slow_run_takes_longer_than_its_least_time(needed: int, rounds: int) -> None:
    """It ends with the round that shows the last requirement, or when rounds show nothing new."""
    judge = Observing(rounds=needed)
    with InterruptHandler() as interrupt:
        slow = Canned(delay_s=0.1)
        run_conformance(plan(duration_s=1.0), judge, slow, interrupt=interrupt)
    assert judge.asked == rounds


def test_a_fast_run_takes_its_least_time() -> None:
    """Further rounds may find what the first ones didn't."""
    judge = Observing(rounds=1)
    elapsed_s = []
    with InterruptHandler() as interrupt:
        run_conformance(
            plan(duration_s=5.0, rate=1000.0),
            judge,
            Canned(),
            interrupt=interrupt,
            watch=lambda progress: elapsed_s.append(progress.elapsed_s),
        )
    assert judge.asked == MIN_ROUNDS and elapsed_s[-1] == pytest.approx(5.0, abs=0.5)


def test_a_run_ends_at_its_time_limit() -> None:
    """Whatever it has not seen yet."""
    elapsed_s = []
    with InterruptHandler() as interrupt:
        run_conformance(
            plan(duration_s=1.0, max_duration_s=3.0),
            Observing(rounds=99),
            Canned(delay_s=0.1),
            interrupt=interrupt,
            watch=lambda progress: elapsed_s.append(progress.elapsed_s),
        )
    assert elapsed_s[-1] == pytest.approx(3.0, abs=0.5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_not_the_process(number: signal.Signals) -> None:
    """What is in flight is cancelled at once, and the result says that the run was interrupted."""
    prober = Canned(delay_s=30.0)
    before = signal.getsignal(number)

    def watch(status: ConformanceProgress) -> None:
        if prober.most:
            os.kill(os.getpid(), number)

    with InterruptHandler() as interrupt:
        result = run_conformance(plan(duration_s=60.0), NoJudge(), prober, interrupt=interrupt, watch=watch)
        assert interrupt.is_interrupted
    assert result.ending.interrupted and result.ending.aborted is None and prober.sent == []
    assert signal.getsignal(number) is before


def test_a_signal_before_the_run_ends_it_before_its_first_request() -> None:
    """It came while the simulator was starting, say."""
    prober = Canned()
    with InterruptHandler() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        result = run_conformance(plan(duration_s=60.0), NoJudge(), prober, interrupt=interrupt)
    assert result.ending.interrupted and prober.sent == []
