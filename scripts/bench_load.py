"""
What a judged load run costs, against generators that do not judge: ratios of interleaved runs.

The server has one core and the generator the other, with all their threads. Contenders take turns, in another order in
each round, and each round gives one ratio; shown are the median and the range. Two ratios stand side by side: of responses
a second, and of responses for a second of the generator's CPU time, which tells the same where the machine is shared.
Bodies vary and counters grow (bench_server.py), every response is judged in full, and the verdict must be `pass`, else the
figure says so. Nothing is asserted: a figure is to be looked at, and compared with the aim beside it.

`bench_load.py [ROUNDS] [SECONDS]`; 5 and 5 unless told. It needs two cores, and takes wrk, oha, vegeta and k6
where they are installed.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench_rivals import (
    CORES,
    RIVALS,
    USERS,
    Contender,
    Run,
    generator,
    installed_rivals,
    pinned,
    requests,
    version,
    wrk,
)

SERVER: Final = Path(__file__).with_name("bench_server.py")
ARRAY: Final = 10_000

POLLERS: Final = 8
POLL_S: Final = 0.02
SCRAPED: Final = 1000
"""Connections in the listing that a scraper asks for beside those pollers."""

SCRAPE_S: Final = 0.5
"""From one listing to the next; a listing is 13 MB, and one after the other would leave the server's core no rest."""


@contextmanager
def server(*options: str, yields: bool = False) -> Iterator[str]:
    """A server on the first core, which it leaves to others there where it `yields`; its URL."""
    command = [*(["nice", "-n", "19"] if yields else []), sys.executable, str(SERVER), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(CORES[0]))
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def ours(users: int = USERS, *, record: bool = False, pure: bool = False) -> Contender:
    """`sora-harness load`, a closed model without rests; recorded, or without the accelerator."""

    def run(url: str, lasts_s: float) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(Path(sys.executable).parent / "sora-harness"), "load", url, "--scenario", "drill"]
            command += ["--users", str(users), "--interval", "0", "--warm-up", "1s", "--duration", f"{lasts_s + 1:g}s"]
            command += ["--json", "--output", f"{folder}/out"]
            command += ["--record", f"{folder}/run.jsonl.zst"] if record else []
            told = json.loads(generator(command, {"SORA_HARNESS_PURE": "1"} if pure else {}))
        load = told["load"]
        (times,) = [
            each for each in load["latency"] if (each["target"], each["kind"]) == ("GetStatsConnection", "response")
        ]
        missed = " ".join(sorted({each["requirement"] for each in told["findings"] if each["level"] == "MUST"}))
        percentiles = times["percentiles"]
        return Run(
            load["judged"],
            load["lasted_s"],
            load["cpu_cores"] * load["lasted_s"],
            percentiles.get("50", 0),
            percentiles.get("99", 0),
            told["verdict"] if told["verdict"] == "pass" else f"{told['verdict']} {missed or told['reason']}",
        )

    return run


def locust(schema: bool = False) -> Contender:
    """Locust's FastHttpUser, in a process of its own, which is this script again."""

    def run(url: str, lasts_s: float) -> Run:
        words = [sys.executable, __file__, "--locust", url, str(lasts_s), *(["schema"] if schema else [])]
        return Run(*json.loads(generator(words)))

    return run


def run_locust(url: str, lasts_s: float, schema: bool) -> None:
    """The other side of `locust`."""
    import gevent
    from locust import FastHttpUser, task
    from locust.env import Environment

    bodies = requests(url)
    counted = [0]
    validator: Any = None  # Any: a validator of jsonschema
    if schema:
        from jsonschema import Draft202012Validator

        from sora_stats_harness.api import edition
        from sora_stats_harness.api import edition_schemas as schemas
        from sora_stats_harness.api.exchange import Target

        validator = Draft202012Validator(schemas.response_schema(edition.load_edition(), Target.CONNECTION))

    class Poller(FastHttpUser):
        host = url

        @task
        def ask(self) -> None:
            headers = {"x-sora-target": "Sora_20170529.GetStatsConnection", "Content-Type": "application/json"}
            with self.client.post(
                "/", data=random.choice(bodies), headers=headers, name="GetStatsConnection", catch_response=True
            ) as response:
                if validator is not None and not validator.is_valid(json.loads(response.content)):
                    response.failure("shape")
                elif response.status_code != 200:
                    response.failure("status")
                else:
                    counted[0] += 1

    environment = Environment(user_classes=[Poller])
    runner = environment.create_local_runner()
    runner.start(USERS, spawn_rate=100)
    gevent.sleep(1)  # type: ignore[no-untyped-call]  # gevent has no types for it
    counted[0] = 0
    began_s, cpu_s = time.monotonic(), time.process_time()
    gevent.sleep(lasts_s)  # type: ignore[no-untyped-call]  # as above
    print(json.dumps([counted[0], time.monotonic() - began_s, time.process_time() - cpu_s]), flush=True)
    os._exit(0)


def interleaved(contenders: dict[str, tuple[Contender, str]], rounds: int, lasts_s: float) -> dict[str, list[Run]]:
    """Each against its server, in every round in another order."""
    order = random.Random(1)
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(rounds):
        turns = list(contenders.items())
        order.shuffle(turns)
        for name, (contender, url) in turns:
            runs[name].append(contender(url, lasts_s))
    return runs


def ratio(of: Sequence[float], to: Sequence[float]) -> str:
    """Median and range of pairs."""
    ratios = [a / b for a, b in zip(of, to, strict=True) if b]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})" if ratios else "-"


AIMS: Final = (
    ("judged against FastHttpUser, which judges nothing", 2.3, "judged", "FastHttpUser"),
    ("judged against FastHttpUser + jsonschema", 30, "judged", "FastHttpUser + jsonschema"),
    ("judged against wrk", 0.6, "judged", "wrk"),
    ("judged against oha", None, "judged", "oha"),
    ("judged against vegeta", None, "judged", "vegeta"),
    ("judged against k6", 1.3, "judged", "k6"),
    ("judged against k6 that compares counters", None, "judged", "k6 that compares counters"),
    ("with the accelerator against without", 1.4, "judged", "pure"),
    ("recording on against off", 0.8, "recorded", "judged"),
    ("a server wrong in every response against a good one", 0.8, "wrong", "judged"),
    ("one that is wrong in a new way each time against a good one", 0.34, "wrong anew", "judged"),
)
"""What is compared, the aim, and the two sides."""


def throughput(rounds: int, lasts_s: float) -> None:
    """How many responses, and what stands in the way."""
    with server() as good, server("--wrong") as wrong, server("--wrong-anew") as anew:
        contenders = {
            "judged": (ours(), good),
            "pure": (ours(pure=True), good),
            "recorded": (ours(record=True), good),
            "wrong": (ours(), wrong),
            "wrong anew": (ours(), anew),
            "FastHttpUser": (locust(), good),
            "FastHttpUser + jsonschema": (locust(schema=True), good),
        }
        contenders |= {name: (rival, good) for name, rival in installed_rivals().items()}
        runs = interleaved(contenders, rounds, lasts_s)
    for name, each in runs.items():
        said = " ".join(sorted({run.said for run in each if run.said}))
        rate, cpu = (
            statistics.median(values) for values in zip(*((run.rate, run.per_cpu) for run in each), strict=True)
        )
        program = RIVALS[name][0] if name in RIVALS else None
        said = said if program is None else f"{program} {version(program)}"
        print(f"{name:<28} {rate:>8,.0f}/s  {cpu:>8,.0f} a CPU second  {said}")
    print(f"{'':<60} {'aim':>5}  {'responses a second':<24} a CPU second")
    for what, aim, of, to in AIMS:
        if to not in runs:
            print(f"{what:<60} {aim or '':>5}  {RIVALS[to][0]} is not installed")
            continue
        wall = ratio([run.rate for run in runs[of]], [run.rate for run in runs[to]])
        cpu = ratio([run.per_cpu for run in runs[of]], [run.per_cpu for run in runs[to]])
        print(f"{what:<60} {aim or '':>5}  {wall:<24} {cpu}")


def latencies(rounds: int, lasts_s: float) -> None:
    """p50 and p99 beside wrk's: whose time is it?"""
    if not shutil.which("wrk"):
        print("latency against wrk: wrk is not installed")
        return
    for connections, delay in ((1, "0"), (4, "0"), (16, "0.005")):
        with server("--delay", delay) as url:
            runs = interleaved({"ours": (ours(connections), url), "wrk": (wrk(connections), url)}, rounds, lasts_s)
        texts = []
        for name in ("p50_us", "p99_us"):
            mine, theirs = (statistics.median(getattr(run, name) for run in runs[side]) for side in ("ours", "wrk"))
            close = abs(mine - theirs) <= max(0.1 * theirs, 200)
            texts.append(f"{name[:3]} {mine / 1000:.2f} and {theirs / 1000:.2f} ms ({'close' if close else 'apart'})")
        print(f"latency, {connections} connections, {delay} s of service time, ours and wrk's: {'; '.join(texts)}")


def beside(rounds: int, lasts_s: float) -> None:
    """What pollers notice of a scraper whose large responses are judged in the same process, and of one whose are not."""
    late: dict[str, list[list[float]]] = {"judged": [], "not": []}
    # Two servers with different connections, since one would let the pollers wait while it makes a listing.
    with server() as small, server("--connections", str(SCRAPED), "--seed", "2", yields=True) as large:
        for number in range(rounds):
            for how in sorted(late, reverse=bool(number % 2)):
                words = [sys.executable, __file__, "--beside", small, large, str(lasts_s), how]
                late[how].append(json.loads(generator(words)))
    print(f"{POLLERS} pollers beside a scraper of {SCRAPED:,} connections, from when due until read, ms:")
    for how, runs in late.items():
        p50, p99, longest, polls, scrapes = (statistics.median(values) for values in zip(*runs, strict=True))
        print(
            f"  {how:<7} p50 {p50:.2f}  p99 {p99:.2f}  max {longest:.2f}  of {polls:,.0f} polls, {scrapes:,.0f} scrapes"
        )
    more = [judged[1] - bare[1] for judged, bare in zip(late["judged"], late["not"], strict=True)]
    print(
        f"  p99 more where judged: {statistics.median(more):.2f} ({min(more):.2f} .. {max(more):.2f}) ms; aim: at most 5"
    )


def run_beside(small: str, large: str, lasts_s: float, how: str) -> None:
    """The other side of `beside`: p50, p99 and maximum in milliseconds, and how many polls and scrapes there were."""
    import gevent

    from sora_stats_harness.api import edition
    from sora_stats_harness.api.exchange import Exchange, Target, TransportError, make_valid_request
    from sora_stats_harness.api.server_address import ServerAddress
    from sora_stats_harness.judge.stage_walk import StageWalk
    from sora_stats_harness.judge.state import State
    from sora_stats_harness.load.http_connection import HttpConnection, resolve_server
    from sora_stats_harness.load.load_session import LoadSession
    from sora_stats_harness.load.load_spec import LoadSpec
    from sora_stats_harness.load.precise_timer import PreciseTimer
    from sora_stats_harness.load.prepared_request import prepare_request

    if how == "not":  # all else stays as it is

        def unjudged(self: StageWalk, state: State, exchange: Exchange, *_: object) -> None:
            if self._observer is not None:
                self._observer(exchange)

        StageWalk.judge = unjudged  # type: ignore[assignment,method-assign]  # as said

    def address(url: str) -> ServerAddress:
        found = resolve_server(url)
        assert not isinstance(found, TransportError), found
        return found

    session = LoadSession(edition.load_edition(), address(small), LoadSpec(edition=edition.DEFAULT_EDITION))
    assert session.discover() is None
    # Made before the scraper begins, whose listings tell the session of others.
    polls = [
        prepare_request(
            make_valid_request(
                Target.CONNECTION, server=small, channel_id=each.channel_id, connection_id=each.connection_id
            )
        )
        for each in session.requests.known_connections
    ]
    session.start()
    ends_ns = time.monotonic_ns() + int(lasts_s * 1e9)
    late_ns: list[int] = []
    scrapes = [0]

    def poll(place: int) -> None:
        connection, alarm = session.new_connection(), PreciseTimer()
        due_ns = time.monotonic_ns() + int(POLL_S * 1e9 * place / POLLERS)
        while due_ns < ends_ns:
            alarm.wait_until(due_ns)
            exchange = session.send(connection, random.choice(polls), due_ns)
            assert exchange.error is None, exchange.error
            late_ns.append(exchange.received_ns - due_ns)
            due_ns += int(POLL_S * 1e9)

    def scrape() -> None:
        connection, alarm = HttpConnection(address(large), session.traffic), PreciseTimer()
        due_ns = time.monotonic_ns()
        listing = prepare_request(make_valid_request(Target.ALL, server=large))
        while due_ns < ends_ns:
            alarm.wait_until(due_ns)
            due_ns += int(SCRAPE_S * 1e9)
            exchange = session.send(connection, listing, None)
            assert exchange.error is None, exchange.error
            scrapes[0] += 1

    gevent.joinall([*(gevent.spawn(poll, place) for place in range(POLLERS)), gevent.spawn(scrape)], raise_error=True)  # type: ignore[no-untyped-call]  # gevent has no types for it
    session.judge.finish()
    missed = [entry for entry in session.judge.result().findings if entry.level == "MUST"]
    assert not missed, missed[0]
    late_ns.sort()
    count = len(late_ns)
    print(json.dumps([*(late_ns[index] / 1e6 for index in (count // 2, count * 99 // 100, -1)), count, scrapes[0]]))


def array() -> None:
    """GetStatsAllConnections with ten thousand connections, each part in a process of its own."""

    def part(who: str, file: str) -> Any:  # Any: JSON
        done = subprocess.run([sys.executable, __file__, "--array", who, file], capture_output=True, check=True)
        return json.loads(done.stdout)

    with tempfile.NamedTemporaryFile() as file:
        size = part("make", file.name)
        told = {who: part(who, file.name) for who in ("orjson", "judge")}
    times = told["judge"]["seconds"] / told["orjson"]["seconds"]
    peaks = ", ".join(f"{who} {told[who]['peak'] / size:.1f}" for who in told)
    print(f"a response of {ARRAY:,} connections, {size / 1e6:.0f} MB: judged in {times:.2f} times orjson.loads")
    print(f"  peak memory beside the body, in bodies: {peaks}")


def run_array(who: str, file: Path) -> None:
    """The other side of `array`."""
    from sora_stats_harness.api import edition
    from sora_stats_harness.api.exchange import Response, Target, make_valid_request
    from sora_stats_harness.judge.pipeline import Judge, JudgeOptions

    if who == "make":
        import msgspec

        from sora_stats_harness.simulator.world import SimulatedWorld

        world = SimulatedWorld(edition.load_edition(), seed=1, connections=ARRAY, churn=False)
        world.advance(1_000_000_000)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        samples = (each.read_sample(1_000_000_000, stamp) for each in world.connections_of_node(0))
        file.write_bytes(b"[" + b",".join(map(msgspec.json.encode, samples)) + b"]")
        print(file.stat().st_size)
        return
    import orjson

    body = file.read_bytes()
    headers = (("content-type", "application/json"), ("content-length", str(len(body))))
    judge = Judge(edition.load_edition(), options=JudgeOptions(scan_every=0))
    ticket = judge.begin_exchange(make_valid_request(Target.ALL, server="http://127.0.0.1:3000"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.process_time()
    if who == "orjson":
        orjson.loads(body)
    else:
        ticket.complete_in_slices(Response(status=200, headers=headers, body=body), lambda: None)
    seconds = time.process_time() - began_s
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def main(words: Sequence[str]) -> int:
    """Measure everything and print it."""
    if words and words[0] == "--locust":
        run_locust(words[1], float(words[2]), "schema" in words)
        return 0
    if words and words[0] == "--array":
        run_array(words[1], Path(words[2]))
        return 0
    if words and words[0] == "--beside":
        run_beside(words[1], words[2], float(words[3]), words[4])
        return 0
    if len(CORES) < 2:
        print("two cores are needed: one for the server, one for the generator")
        return 0
    rounds, lasts_s = int(words[0]) if words else 5, float(words[1]) if len(words) > 1 else 5.0
    throughput(rounds, lasts_s)
    latencies(rounds, lasts_s)
    beside(rounds, lasts_s)
    array()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
