"""
What judging costs, as ratios within one run: absolute times say more about the machine than about the code.

Contenders take turns on the same small batch of bodies, in an order that changes from batch to batch, and each batch
gives one ratio. So what slows the machine down for a while slows down all. Bodies come from the simulated world: they
differ, and their counters grow, from response to respond, since a body judged twice in a row costs next to nothing the
second time. Nothing is asserted: a figure is to be looked at, and compared with the aim beside it.
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import jsonschema
import jsonschema_rs
import msgspec
import orjson

from sora_stats_harness.api import edition
from sora_stats_harness.api import edition_schemas as schemas
from sora_stats_harness.api.exchange import Request, RequestArguments, Response, Target
from sora_stats_harness.judge import accelerator
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.simulator.world import SimulatedConnection, SimulatedWorld

DOC: Final = edition.load_edition()
SERVER: Final = "http://127.0.0.1:3000"
STEP_NS: Final = 1_000_000_000
"""Of the world's time, from one response about a connection to the next."""

BEGINS_NS: Final = 30 * STEP_NS
"""How old the world is at first."""

WARM_UP: Final = 20
BATCHES: Final = 200
BATCH: Final = 20
"""Responses in each."""

SLOW_SHARE: Final = 3
"""Bodies of a batch that go to jsonschema, which takes some milliseconds each."""

ARRAY: Final = 1_000
ARRAY_BATCHES: Final = 15
STARTS: Final = 15
NO_TIME: Final = "0000-00-00T00:00:00.000000Z"
"""As long as a time."""


class Body(NamedTuple):
    """One response, and the request that it belongs to."""

    request: Request
    response: Response


class Row(NamedTuple):
    """A line of the table: medians, with the range from the 10th to the 90th of a hundred."""

    what: str
    aim: str
    measured: str
    scanning: str = ""


Timed = Callable[[Sequence[Body]], object]


def main() -> None:
    """Measure everything and print the table."""
    print(f"responses are read {'by the accelerator' if accelerator.is_available() else 'in Python alone'}")
    rows = [*responses(20), *responses(1), *arrays(), *starts()]
    heads = Row("", "aim", "measured (10 % .. 90 %)", "looking for repeated keys, too")
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    for row in [heads, *rows]:
        print("  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip())


def responses(connections: int) -> Iterator[Row]:
    """
    Responses of one connection each, about 13 KB, to requests for so many connections in turn.

    The number matters: what is remembered of one connection stays in the processor's cache, of twenty it may not.
    """
    good, good_scan, wrong, wrong_scan = (Judge(DOC, options=JudgeOptions(scan_every=every)) for every in (0, 1, 0, 1))
    schema = schemas.response_schema(DOC, Target.CONNECTION)
    slow = jsonschema.Draft202012Validator(schema)
    fast = jsonschema_rs.validator_for(schema)

    def python_schema(bodies: Sequence[Body]) -> None:
        for body in bodies[:SLOW_SHARE]:
            slow.is_valid(orjson.loads(body.response.body))

    def rust_schema(bodies: Sequence[Body]) -> None:
        for body in bodies:
            fast.is_valid(orjson.loads(body.response.body))

    on_good: dict[str, Timed] = {
        "orjson": parse,
        "python": python_schema,
        "rust": rust_schema,
        "good": judging(good),
        "good scan": judging(good_scan),
    }
    on_wrong: dict[str, Timed] = {"wrong": judging(wrong), "wrong scan": judging(wrong_scan)}
    world = SimulatedWorld(DOC, seed=1, connections=connections, churn=False)
    order = random.Random(1)
    times: dict[str, list[float]] = {name: [] for name in [*on_good, *on_wrong]}
    for step in range(WARM_UP + BATCHES):
        batches = batch(world, step, BATCH // connections)
        turns = [(name, timed, batches[0]) for name, timed in on_good.items()]
        turns += [(name, timed, batches[1]) for name, timed in on_wrong.items()]
        order.shuffle(turns)
        for name, timed, bodies in turns:
            spent = clocked(timed, bodies) / (min(SLOW_SHARE, len(bodies)) if name == "python" else len(bodies))
            if step >= WARM_UP:
                times[name].append(spent)
    size = statistics.mean(len(body.response.body) for body in batches[0])
    micro = {name: f"{statistics.median(spent) / 1000:.0f}" for name, spent in times.items()}
    asked = f"{connections} connections in turn" if connections > 1 else "one connection again and again"
    yield Row(f"{asked}: a response of {size / 1000:.1f} KB, us here", "", micro["good"], micro["good scan"])
    # The first aim is 1.2 for shape, identity and order alone, and leaves 0.15 to relations and clock.
    for what, aim, of, to in (
        ("  judged in full, against orjson.loads", "<= 1.35", "good", "orjson"),
        ("  the same against jsonschema, prebuilt, shape only: times faster", ">= 60", "python", "good"),
        ("  the same against orjson and jsonschema-rs, shape only: times faster", ">= 1.5", "rust", "good"),
        ("  a server that is wrong in every response, against a good one", "<= 1.25", "wrong", "good"),
    ):
        scanning = {"good": "good scan", "wrong": "wrong scan"}
        yield Row(
            what, aim, ratio(times[of], times[to]), ratio(times[scanning.get(of, of)], times[scanning.get(to, to)])
        )
    yield Row("  found on the good one", "nothing", missed(good), missed(good_scan))
    yield Row("  found on the wrong one", "both", missed(wrong), missed(wrong_scan))


def arrays() -> Iterator[Row]:
    """A listing of many connections."""
    judges = {"good": Judge(DOC, options=JudgeOptions(scan_every=0)), "good scan": Judge(DOC)}
    contenders: dict[str, Timed] = {"orjson": parse} | {name: judging(judge) for name, judge in judges.items()}
    world = SimulatedWorld(DOC, seed=1, connections=ARRAY)
    order = random.Random(2)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for step in range(2 + ARRAY_BATCHES):
        body = listing(world, step)
        turns = list(contenders.items())
        order.shuffle(turns)
        for name, timed in turns:
            # Making so large a body takes so long that its stamps would be too old to be true.
            spent = clocked(timed, [stamped(body)])
            if step >= 2:
                times[name].append(spent)
    size = len(body.response.body) / 1e6
    yield Row(
        f"an array of {ARRAY:,} connections ({size:.1f} MB), against orjson.loads",
        "",
        ratio(times["good"], times["orjson"]),
        ratio(times["good scan"], times["orjson"]),
    )
    yield Row("  found on it", "nothing", missed(judges["good"]), missed(judges["good scan"]))


def starts() -> Iterator[Row]:
    """CPU time of starting, children's user and system time together."""
    command = [str(Path(sys.executable).parent / "sora-harness"), "--help"]
    yardstick = [sys.executable, "-c", "import httpx"]
    ours, theirs = [], []
    for _ in range(STARTS):
        theirs.append(cpu_s(yardstick))
        ours.append(cpu_s(command))
    yield Row('CPU of `sora-harness --help`, against `python -c "import httpx"`', "<= 3", ratio(ours, theirs))


def batch(world: SimulatedWorld, step: int, rounds: int) -> tuple[list[Body], list[Body]]:
    """Some rounds of a response about each connection: right, and with one field missing and a new one."""
    good, wrong = [], []
    for now_ns in range(BEGINS_NS + step * rounds * STEP_NS, BEGINS_NS + (step + 1) * rounds * STEP_NS, STEP_NS):
        world.advance(now_ns)
        stamp = wall()
        for connection in world.connections_of_node(0):
            request = request_for(connection)
            sample = connection.read_sample(now_ns, stamp)
            good.append(Body(request, response(sample)))
            del sample["dtls"]["total_received_dtls"]
            sample["rtp"]["total_brand_new"] = step
            wrong.append(Body(request, response(sample)))
    return good, wrong


def request_for(connection: SimulatedConnection) -> Request:
    """GetStatsConnection for this one."""
    asked = RequestArguments(channel_id=connection.channel_id, connection_id=connection.connection_id)
    arguments = {"channel_id": asked.channel_id, "connection_id": asked.connection_id}
    headers = (("x-sora-target", Target.CONNECTION.value),)
    body = msgspec.json.encode(arguments)
    return Request(server=SERVER, headers=headers, body=body, target=Target.CONNECTION, asked=asked)


def listing(world: SimulatedWorld, step: int) -> Body:
    """A response about all connections, without a true time in it."""
    now_ns = BEGINS_NS + step * STEP_NS
    world.advance(now_ns)
    request = Request(server=SERVER, headers=(("x-sora-target", Target.ALL.value),), body=None, target=Target.ALL)
    return Body(
        request, response([connection.read_sample(now_ns, NO_TIME) for connection in world.connections_of_node(0)])
    )


def stamped(body: Body) -> Body:
    """The same with the time of day in it."""
    return Body(body.request, response(msgspec.Raw(body.response.body.replace(NO_TIME.encode(), wall().encode()))))


def response(value: Any) -> Response:  # Any: JSON
    """A response as a server gives it."""
    body = msgspec.json.encode(value)
    headers = (("content-type", "application/json"), ("content-length", str(len(body))))
    return Response(status=200, headers=headers, body=body)


def wall() -> str:
    """The time of day: the judge compares stamps with its own clock, so a made-up time would be a finding."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(bodies: Sequence[Body]) -> None:
    """The yardstick: parsing, and nothing else."""
    for body in bodies:
        orjson.loads(body.response.body)


def judging(judge: Judge) -> Timed:
    """All that whoever sends requests does for the judge."""

    def judged(bodies: Sequence[Body]) -> None:
        for request, reply in bodies:
            judge.begin_exchange(request).complete(reply)

    return judged


def missed(judge: Judge) -> str:
    """Which requirements a judge found missed: the figures are worth something only if these are as expected."""
    judge.finish()
    found = {finding.requirement for finding in judge.result().findings if finding.level != "INFO"}
    return " ".join(sorted(found)) or "nothing"


def clocked(timed: Timed, bodies: Sequence[Body]) -> float:
    """Nanoseconds of this thread's CPU time: on a shared machine the wall clock tells of its other users as well."""
    begun_ns = time.thread_time_ns()
    timed(bodies)
    return time.thread_time_ns() - begun_ns


def cpu_s(command: Sequence[str]) -> float:
    """CPU seconds of a command, from start to end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ratio(of: Sequence[float], to: Sequence[float]) -> str:
    """
    Median and range of the ratios of pairs.

    >>> ratio([3.0] * 10, [2.0] * 10)
    '1.50 (1.50 .. 1.50)'
    """
    pairs = [one / other for one, other in zip(of, to, strict=True)]
    tenths = statistics.quantiles(pairs, n=10)
    digits = 0 if statistics.median(pairs) >= 20 else 2
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(pairs), tenths[0], tenths[-1]))
    return f"{middle} ({low} .. {high})"


if __name__ == "__main__":
    main()
