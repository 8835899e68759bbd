"""Every requirement is tripped by a server that is wrong in just that way, and a good server trips none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import ExitCode
from sora_stats_harness.api.exchange import Exchange, Target, make_valid_request
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import REQUIREMENTS, Level
from sora_stats_harness.judge.verdict import JudgeResult
from sora_stats_harness.judge.verdict_decision import RunEnding, VerdictDecision, decide_verdict
from sora_stats_harness.probe import fuzz
from sora_stats_harness.probe.conformance_plan import SIMULATOR_RATE, ConformancePlan
from sora_stats_harness.probe.conformance_run import ConformanceProgress, run_conformance
from sora_stats_harness.probe.interrupt import InterruptHandler
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.simulator.asgi_app import Clock, SimulatorOptions
from sora_stats_harness.simulator.faults import FAULT_KINDS, FaultKind
from sora_stats_harness.simulator.server import Simulator

from ..examples import FULL
from ..in_memory import InMemorySimulator, simulate_in_memory
from ..virtual_time import EPOCH_NS, virtual_time

FEW: Final = 4
"""Connections that show most faults; what a run costs grows with their number."""

MANY: Final = 20

TWO_ROUNDS_S: Final = 0.1
"""A run has two rounds at least, however short."""

LONGER_S: Final = {"misstamped": 4.0}
"""Faults that are told at the end of a run, after a while."""

SHOW_LATE: Final = {"clock-jump", "frozen-clock", "reset"}
"""Faults that show only after a while, or seldom: the run goes on until they do."""

LATEST_S: Final = 60.0

LIGHT: Final = {"clock-jump", "misstamped"}
"""Faults that weigh less than what they violate: a clock may be set once, and nobody has said how far reads are torn."""

MADE_UP: Final = 500
"""Requests that are made up for faults which no fixed probe shows."""

TIMEOUT_S: Final = 5.0

SHORT_TIMEOUT_S: Final = 0.6
"""Where a time-out is what shows the fault."""


@contextmanager
def serve(options: dict[str, Any]) -> Iterator[tuple[list[str], Callable[[float], Prober]]]:
    """Start a simulator, in memory, and in `make proof` on sockets; yields its URLs, and what makes a prober for it."""
    if FULL:
        with Simulator(**options) as listening:
            yield listening.urls, lambda timeout_s: Prober(timeout_s=timeout_s)
    else:
        with simulate_in_memory(**options) as simulator:
            yield simulator.urls, simulator.prober


def probe(
    kind: FaultKind | None = None,
    *,
    made_up: bool = True,
    duration_s: float = TWO_ROUNDS_S,
    connections: int = FEW,
    nodes: int = 1,
    seed: int = 1,
) -> tuple[JudgeResult, VerdictDecision]:
    """Run the gate against a simulator, and sum up."""
    judge = Judge(edition.load_edition())
    waits = kind is not None and "http.complete" in kind.violated_requirements
    options = {"seed": seed, "connections": connections, "nodes": nodes, "faults": [kind.name] if kind else []}
    with serve(options) as (urls, make_prober), InterruptHandler() as interrupt:
        prober = partial(make_prober, SHORT_TIMEOUT_S if waits else TIMEOUT_S)
        plan = ConformancePlan(
            server=urls[0],
            nodes=tuple(urls[1:]),
            duration_s=duration_s,
            rate=SIMULATOR_RATE,
            send_large_request=kind is not None and kind.needs_large_request,
        )

        def stop_once_seen(progress: ConformanceProgress) -> None:
            tally = judge.result()
            assert kind is not None
            if tripped(tally) >= kind.violated_requirements:
                decided = decide_verdict(tally, plan.scope, RunEnding())
                if decided.exit_code is not ExitCode.INCONCLUSIVE:
                    interrupt.request_stop()

        judge.nodes = plan.servers if nodes > 1 else ()
        if kind is not None and kind.needs_generated_requests and made_up:
            fuzz.run_fuzz(fuzz.FuzzPlan(target=plan, count=MADE_UP, seed=seed), judge, prober(), interrupt=interrupt)
        watch = stop_once_seen if kind is not None and kind.name in SHOW_LATE else lambda progress: None
        result = run_conformance(plan, judge, prober(), interrupt=interrupt, watch=watch)
    assert result.ending.broken is None
    judge.finish()
    tally = judge.result()
    scope = plan.scope
    return tally, decide_verdict(tally, scope, RunEnding(aborted=result.ending.aborted))


def tripped(tally: JudgeResult) -> set[str]:
    """The requirements that were violated, at whatever level."""
    return {entry.requirement for entry in tally.findings}


FOR_THE_GATE: Final = [kind for kind in FAULT_KINDS.values() if not kind.needs_kept_connections]

ASKED: Final = FOR_THE_GATE if FULL else list({kind.violated_requirements: kind for kind in FOR_THE_GATE}.values())
"""In `make test` one fault for each set of requirements."""


@pytest.mark.parametrize("kind", ASKED, ids=lambda kind: kind.name)
def test_a_fault_trips_exactly_what_it_declares(kind: FaultKind) -> None:
    """The set of violated requirements is the declared one, and the exit code follows from its levels."""
    usual_s = LONGER_S.get(kind.name, TWO_ROUNDS_S)
    duration_s, connections = (LATEST_S, MANY) if kind.name in SHOW_LATE else (usual_s, FEW)
    tally, outcome = probe(kind, duration_s=duration_s, connections=connections, nodes=kind.nodes)
    assert tally.crashed == {}
    assert tripped(tally) == kind.violated_requirements, [
        (e.requirement, e.field, e.message, e.actual) for e in tally.findings
    ]
    fails = kind.name not in LIGHT and any(
        REQUIREMENTS[requirement].level >= Level.PROVEN for requirement in kind.violated_requirements
    )
    unread = "http.json_limits" in kind.violated_requirements  # what stood in those bodies nobody knows
    passes = ExitCode.INCONCLUSIVE if unread else ExitCode.PASS
    assert outcome.exit_code == (ExitCode.FAIL if fails else passes), outcome.reason


def test_every_requirement_has_a_fault_of_its_own() -> None:
    """No requirement is a check that cannot fail."""
    alone = {
        requirement
        for kind in FAULT_KINDS.values()
        if len(kind.violated_requirements) == 1
        for requirement in kind.violated_requirements
    }
    assert set(REQUIREMENTS) - alone == set()


def test_faults_declare_requirements_that_exist() -> None:
    """A misspelt id would never be tripped."""
    assert {requirement for kind in FAULT_KINDS.values() for requirement in kind.violated_requirements} <= set(
        REQUIREMENTS
    )


def test_what_only_made_up_requests_show_is_not_tripped_by_the_fixed_ones() -> None:
    """That is what they are for."""
    [kind] = (kind for kind in FAULT_KINDS.values() if kind.needs_generated_requests)
    assert kind.name == "crashes-on-nul"
    tally, outcome = probe(kind, made_up=False)
    assert tally.findings == []
    assert outcome.exit_code is ExitCode.PASS


@pytest.mark.parametrize(("seed", "nodes"), [(11, 1), (12, 3), (13, 2)])
def test_the_good_simulator_trips_nothing(seed: int, nodes: int) -> None:
    """Without faults there is no finding at all, and the verdict is pass."""
    tally, outcome = probe(seed=seed, nodes=nodes, connections=MANY, duration_s=1.0)
    assert tally.findings == []
    assert tally.crashed == {}
    assert outcome.exit_code is ExitCode.PASS, outcome.reason


OF_THE_TRANSPORT: Final = [
    kind.name for kind in FOR_THE_GATE if kind.needs_relay and kind.name != "huge"
]  # which takes a second

DATE: Final = re.compile(r"\w{3}, \d\d \w{3} \d{4}")


@pytest.mark.parametrize("name", OF_THE_TRANSPORT)
def test_a_fault_of_the_transport_is_the_same_in_memory(name: str) -> None:
    """A time-out, a reset, a body that is cut: the prober says of it what it says over a socket, byte by byte."""

    def ask(url: str, prober: Prober) -> Exchange:
        exchanges: list[Exchange] = []
        judge = Judge(edition.load_edition(), observer=exchanges.append)

        async def send() -> None:
            await prober.send(judge, make_valid_request(Target.ALL, server=url))

        asyncio.run(send())
        return exchanges[0]

    timeout_s = 0.15 if name in ("hang", "drip", "late-response") else TIMEOUT_S
    still = Clock(monotonic_ns=lambda: 0, wall_ns=lambda: EPOCH_NS, sleep=asyncio.sleep)
    options: dict[str, Any] = {"connections": 1, "faults": [f"{name}:every=1"], "clock": still}
    with Simulator(**options) as listening:
        over_socket = ask(listening.url, Prober(timeout_s=timeout_s))
    with virtual_time():
        simulator = InMemorySimulator(SimulatorOptions(**options))
        in_memory = ask(simulator.urls[0], simulator.prober(timeout_s))
    faults = [[(each.code, DATE.sub("", each.text)) for each in told.faults] for told in (in_memory, over_socket)]
    assert (in_memory.error, faults[0]) == (over_socket.error, faults[1])
    one, other = in_memory.response, over_socket.response
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert (one.status, one.body, one.complete) == (other.status, other.body, other.complete)
