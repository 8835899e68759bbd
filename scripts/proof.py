"""
The large counts behind what the README claims, with fixed seeds; the figures go to docs/PROOF.md.

`make proof` runs every section, `scripts/proof.py order documents` those named. Each section of the page is replaced
by itself, so a long one need not be run again for the sake of another. A disagreement ends the run with the seed that
shows it again, and exit code 1; the page then stays as it was. The tests do a hundredth of the same.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "harness")]

from tests import comparing, hostile_files  # noqa: E402
from tests.foreign import faults, table  # noqa: E402
from tests.load import mixes, slow_servers, test_master  # noqa: E402
from tests.load.interruptions import interrupt_once, interrupt_one_of_three  # noqa: E402
from tests.oracle import (  # noqa: E402
    agreement,
    code_mutants,
    crossed,
    histories,
    judged,
    mutants,
    planted,
    planted_in_c,
    scores,
    slow_server,
    strength,
)

from sora_stats_harness.api import edition  # noqa: E402  # found by the path set above
from sora_stats_harness.judge import accelerator  # noqa: E402  # found by the path set above
from sora_stats_harness.judge.requirements import Level  # noqa: E402
from sora_stats_harness.probe import conformance_run as conform  # noqa: E402  # found by the path set above
from sora_stats_harness.probe.conformance_plan import ConformancePlan  # noqa: E402
from sora_stats_harness.probe.interrupt import InterruptHandler  # noqa: E402
from sora_stats_harness.probe.prober import Prober  # noqa: E402
from sora_stats_harness.simulator.server import Simulator, start_simulator_process  # noqa: E402

PAGE: Final = ROOT / "docs" / "PROOF.md"
LIMITS: Final = ROOT / "docs" / "LIMITS.md"
DOC: Final = edition.load_edition()

T = TypeVar("T")

Lines = Iterator[str]
Section = Callable[[int], Lines]
"""Given by how much smaller than its full size it is to be (1 is full), gives its lines of Markdown."""


def order(shrink: int) -> Lines:
    """Order against all pairs"""
    counted = agreement.replayed(histories.SMALL, watched(range(10_000 // shrink), "histories"))
    yield (
        f"- {counted['histories']:,} random histories ({counted['exchanges']:,} exchanges) replayed: the judge and an "
        f"all-pairs reference agree on {counted['falls']:,} falls, to sample, field, before, after and both exchanges."
    )
    counted = agreement.replayed(DOC, watched(range(100_000, 100_000 + 300 // shrink), "histories"))
    yield f"- The same with all 324 counters: {counted['histories']:,} histories, {counted['falls']:,} falls."
    counted = agreement.gaps(histories.SMALL, watched(range(400_000, 400_000 + 2000 // shrink), "histories"))
    yield (
        f"- {counted['histories']:,} histories of data channels that close and open again: judge and reference agree on "
        f"{counted['gaps']:,} responses that lack one which was there, {counted['proven']:,} of them of the server's own."
    )
    counted = agreement.live(histories.SMALL, range(200_000, 200_000 + 2000 // shrink))
    yield f"- Live, on a clock of the test's own: {counted['histories']:,} histories, {counted['falls']:,} falls."
    with tempfile.TemporaryDirectory() as folder:
        counted = agreement.read_from_files(histories.SMALL, range(300_000, 300_000 + 1000 // shrink), Path(folder))
    yield (
        f"- Read from recordings with lines in any order: {counted['histories']:,} histories, "
        f"{counted['falls']:,} falls."
    )


def recording(shrink: int) -> Lines:
    """One counter, one below"""
    with tempfile.TemporaryDirectory() as folder:
        fall, samples = agreement.one_below(DOC, 100_000 // shrink, 20, Path(folder))
    yield (
        f"- A recording of {samples:,} samples, ten a response, requests overlapping, lines in disorder. One "
        "counter of one sample is one below the largest value known before its request was sent: "
        f"`{fall.pointer}`, {fall.before:,} then {fall.after:,}, exchanges {fall.earlier[1]:,} and {fall.later[1]:,}. "
        "That is found, and nothing else but relations of that counter in that response."
    )


def documents(shrink: int) -> Lines:
    """Fast path and slow reference"""
    counted = agreement.bodies(DOC, watched(range(12_000 // shrink), "bodies"), fresh=False)
    yield (
        f"- {counted['bodies']:,} bodies, one judge that learns from each: the same set of (requirement, pointer) as a "
        f"slow reference in each. {counted['slow']:,} left the fast path; {counted['http.json']:,} aren't strict JSON, "
        f"{counted['nothing']:,} have nothing wrong with them."
    )
    counted = agreement.bodies(DOC, range(1_000_000, 1_000_000 + 2000 // shrink), fresh=True)
    yield (
        f"- {counted['bodies']:,} bodies, each with a judge of its own: the same; {counted['slow']:,} left the fast "
        "path."
    )
    for fresh, whose in ((False, "one judge that learns"), (True, "a judge each")):
        counted = agreement.window_edges_ns(fresh=fresh, step=shrink)
        yield (
            f"- {counted['bodies']:,} edges ({whose}): every number, string and worse on which parsers disagree, at "
            "every kind of place, alone, hidden by a sound value and hiding it. The same."
        )


def torn(shrink: int) -> Lines:
    """Torn reads"""
    counted = agreement.torn_reads(DOC, watched(range(400 // shrink), "worlds"))
    yield (
        f"- A correct server that reads its counters over 20 ms, three pollers: {counted['samples']:,} samples, of "
        f"which {counted['inconsistent']:,} violate a relation as they stand. MUST or PROVEN findings: 0."
    )
    counted = agreement.torn_reads(DOC, range(1000, 1000 + 60 // shrink), stepped_ns=-200_000_000)
    yield f"- The same while its clock is set back by 200 ms: {counted['samples']:,} samples, 0 findings."
    counted = agreement.planted(DOC, watched(range(2000, 2000 + 200 // shrink), "worlds"))
    yield (
        f"- {counted['planted']:,} planted faults in {counted['samples']:,} torn samples: {counted['certain']:,} are "
        "beyond what tearing explains, and the judge names exactly those, field by field."
    )
    counted = agreement.alone(DOC, range(5000 // shrink))
    yield (
        f"- {counted['bodies']:,} bare bodies, {counted['missed']:,} of which violate a relation: the same relations as "
        "the reference."
    )


def alarms(shrink: int) -> Lines:
    """False alarms"""
    seeds = range(5_000_000, 5_000_000 + 100_000 // shrink)
    counted = agreement.legal(histories.SMALL, watched(seeds, "histories"))
    yield (
        f"- {counted['histories']:,} valid histories from a seeded generator, {counted['samples']:,} samples: no "
        f"finding at all. {bound(counted['histories'])} a history, and below {3 / counted['samples']:.1e} a sample."
    )


def simulator(shrink: int) -> Lines:
    """The faultless simulator"""
    seeds = max(2, 20 // shrink)
    total = exchanges = 0
    for seed in watched(range(seeds), "seeds"):
        nodes = 3 if seed % 2 else 1
        one, heard = judged.listen(DOC)
        aim = 1_000_000 // shrink // seeds
        with (
            start_simulator_process(seed=seed, connections=200, nodes=nodes) as spawned,
            InterruptHandler() as interrupt,
        ):
            one.nodes = frozenset(spawned.urls if nodes > 1 else ())
            plan = ConformancePlan(
                server=spawned.urls[0], nodes=tuple(spawned.urls[1:]), duration_s=10.0, concurrency=32, rate=2000.0
            )
            while one.result().coverage.samples < aim:
                result = conform.run_conformance(plan, one, Prober(timeout_s=60.0), interrupt=interrupt)
                assert (result.ending.aborted, result.ending.interrupted) == (None, False), f"seed {seed}: {result}"
        one.finish()
        tally = one.result()
        found = [(f.requirement, f.field, f.actual) for f in heard.findings if f.level > Level.INFO]
        assert found == [], f"seed {seed}, {nodes} nodes: {found[:3]}"
        assert not tally.crashed, tally.crashed
        total += tally.coverage.samples
        exchanges += tally.coverage.exchanges
    yield (
        f"- {seeds} seeds, one and three nodes in turn, 200 connections that come and go, up to 32 requests in flight: "
        f"{exchanges:,} exchanges, {total:,} samples of all {len(DOC.fields)} fields. MUST, PROVEN or HABIT findings: 0. "
        f"{bound(total)} a sample."
    )


def slow(shrink: int) -> Lines:
    """The faultless simulator when it is slow"""
    counted: Counter[str] = Counter()
    for seed in watched(range(20 * len(slow_server.SERVICE_TIMES_S)), "seeds"):
        counted += slow_server.judge_slow_server(DOC, seed, 2000 // shrink)
    yield (
        f"- In virtual time, 20 seeds for each service time from 0 to 2 s, one and three nodes in turn, up to 0.5 s on the "
        f"way, torn reads with their tear stated: {counted['exchanges']:,} exchanges, {counted['samples']:,} samples, "
        f"{counted['overlapping']:,} pairs of overlapping ones. MUST, PROVEN or HABIT findings: 0."
    )
    counted = Counter()
    for seed, service in enumerate(watched(("0.1ms", "300ms", "2s"), "service times")):
        counted += slow_server.judge_among_busy_loops(DOC, seed, service, duration_s=20.0 / shrink)
    yield (
        f"- On this machine beside four busy loops, service times of 0 to 2 s, one and three nodes: "
        f"{counted['exchanges']:,} exchanges, {counted['samples']:,} samples. MUST, PROVEN or HABIT findings: 0."
    )


def oracle(shrink: int) -> Lines:
    """Mutants"""
    population = [one for place, one in enumerate(mutants.mutants(DOC, seed=1)) if place % shrink == 0]
    counted = scores.judge_all(DOC, watched(population, "mutants"))
    failures = scores.failures(counted)
    assert not failures, "\n".join([*scores.table(counted), *failures])
    yield (
        "One history that is right, and as many that are wrong in one way each. Killed: the declared requirement and "
        "field are found. Equivalent: no client could tell, which an operator may make at most so many of. Survivors: "
        "something declared is not found. Collateral: a MUST is found that was not declared."
    )
    yield ""
    yield from scores.table(counted)


def crossings(shrink: int) -> Lines:
    """Two defects at once"""
    faults = crossed.must_faults(DOC, scores.of_level(Level.MUST))
    population = list(crossed.crossings(DOC, faults))[::shrink]
    wrong = scores.judge_crossings(DOC, (each.make() for each in watched(population, "crossings")))
    assert not wrong, "\n".join(wrong)
    yield (
        f"- {len(population):,} histories: each of {len(crossed.defects(DOC))} PROVEN or HABIT defects, in every response, with each of "
        f"{len(faults)} MUST faults, on the same leaf and on another. The MUST is found in all, no other MUST in any, and no "
        "counter of which a value could not be used is said never to have moved."
    )


def bugs(shrink: int) -> Lines:
    """Bugs planted in the judge"""
    stale = planted.stale_equivalents()
    assert not stale, f"equivalent_mutants.txt has entries about nothing: {stale}"
    known = planted.equivalents()
    chosen = code_mutants.drawn(planted.ONE_IN * shrink)
    outcomes = planted.run_apart("--one-in", str(planted.ONE_IN * shrink), *(["--equivalent"] if shrink == 1 else []))
    unnoticed = [bug for bug, noticed_by in outcomes.items() if noticed_by is None and bug not in known]
    assert not unnoticed, "nobody notices:\n" + "\n".join(unnoticed)
    noticed = [f"{bug}: {noticed_by}" for bug, noticed_by in outcomes.items() if noticed_by and bug in known]
    assert not noticed, "is said to be equivalent, and is noticed:\n" + "\n".join(noticed)
    yield (
        f"{len(chosen):,} bugs, one in {planted.ONE_IN * shrink} of the {len(code_mutants.mutants()):,} that can be made of "
        f"{len(code_mutants.modules())} modules by one small change, drawn by the hash of their ids. Each is planted alone, "
        "and the tests of the judge and the oracle that reach it are run until one fails: without the accelerator, and if "
        "none does, with it. Equivalent: no verdict shows it, for the reason in tests/oracle/equivalent_mutants.txt; these "
        "are planted as well, and that a test notices one is an error."
    )
    yield ""
    yield "| operator | bugs | equivalent | noticed | not noticed |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for operator in (*code_mutants.OPERATORS, "**all**"):
        mine = [bug for bug in chosen if operator in (bug.operator, "**all**")]
        same = sum(bug.id in known for bug in mine)
        yield f"| {operator} | {len(mine):,} | {same} | {len(mine) - same:,} | 0 |"
    if not accelerator.is_available():
        return
    yield ""
    in_c = planted_in_c.BUGS[::shrink]
    assert not planted_in_c.is_noticed(None), "the accelerator's test fails without a bug, and so notices none"
    unseen = [bug.name for bug in watched(in_c, "bugs in C") if not planted_in_c.is_noticed(bug)]
    assert not unseen, f"nobody notices: {', '.join(unseen)}"
    yield (
        f"- {len(in_c)} bugs in the accelerator, written by hand, each in a copy of the package that is built anew: all are "
        f"noticed by its test, which passes without. They are: {'; '.join(bug.name for bug in in_c)}."
    )


def comparison(shrink: int) -> Lines:
    """Comparing latencies"""
    tries = 1000 // shrink
    yield (
        f"Two sets of runs of one server, {tries:,} times for each row: three targets, two percentiles, and all targets "
        "together. A false alarm is a comparison that claims any change. Found: each number has 10 ms added, and the "
        "first row (all targets, p50) is said to be slower."
    )
    yield ""
    yield "| noise | runs a side | false alarms | 10 ms found |"
    yield "| --- | ---: | ---: | ---: |"
    for place, (name, (noise, shared)) in enumerate(comparing.NOISES.items()):
        for size in (5, 7, 10, 20):
            wrong = comparing.false_alarms(tries, (size,), noise, shared=shared, seed=100 * place + size)
            assert wrong <= 0.015 * tries, f"{name}, {size} runs a side: {wrong} false alarms in {tries} comparisons"
            found = comparing.found(max(1, tries // 10), size, noise, shared=shared, seed=100 * place + size)
            yield f"| {name} | {size} | {wrong / tries:.1%} | {found:.0%} |"
    yield ""
    yield (
        f"With `--no-worse-than 10%`, {tries:,} times for each row, all targets and each of them at p50. At the bound, where "
        "NEW is slower by exactly 10 %, both claims are wrong."
    )
    yield ""
    yield "| noise | runs a side | NEW is slower by | no worse | worse | cannot tell |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for place, (sigma, size) in enumerate(((0.02, 5), (0.02, 7), (0.1, 7), (0.1, 20), (0.3, 20))):
        for slower in (0.0, 0.1, 0.3):
            noise = comparing.lognormal(sigma)
            counted = comparing.bound_claims(tries, size, noise, slower=slower, seed=1000 + place)
            claimed, accused = counted["pass"] / tries, counted["fail"] / tries
            assert slower == 0.0 or claimed <= 0.01, f"{sigma}, {size}, {slower}: no worse in {claimed:.1%}"
            assert slower == 0.3 or accused <= 0.015, f"{sigma}, {size}, {slower}: worse in {accused:.1%}"
            cells = f"{claimed:.1%} | {accused:.1%} | {counted['inconclusive'] / tries:.1%}"
            yield f"| {sigma:.0%}, each number | {size} | {slower:.0%} | {cells} |"


def strengths(shrink: int) -> Lines:
    """What a pass excludes"""
    yield (
        "A faultless run states for each requirement and target which share of faults it would have seen, with 95 %. Then "
        "the same run is judged again and again, each time with that share planted by chance in the responses, samples or "
        "pairs of that target, and it is counted in how many runs the requirement is violated. Chance alone gives 369 to 391 "
        "of 400, and 90 to 99 of 100."
    )
    yield ""
    yield "| requirement | target | checked | stated share | runs | found |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    total = all_found = 0
    for rounds, runs in ((4, 400 // shrink), (20, 100 // shrink)):
        for fault in watched(strength.FAULTS, "faults"):
            stated = strength.stated_strength(fault, rounds)
            found = strength.count_found(fault, stated.excludes_above, rounds, range(runs))
            allowed = 2.5 * (runs * 0.95 * 0.05) ** 0.5
            assert found >= 0.95 * runs - allowed, f"{fault.requirement}, {rounds} rounds: {found} of {runs}"
            total, all_found = total + runs, all_found + found
            yield (
                f"| `{fault.requirement}` | {fault.target.operation} | {stated.checked:,} | {stated.excludes_above:.2%} | "
                f"{runs:,} | {found:,} |"
            )
    assert all_found >= 0.95 * total, f"{all_found} of {total}"
    yield f"| **all** | | | | {total:,} | {all_found:,} ({all_found / total:.1%}) |"


def signals(shrink: int) -> Lines:
    """Signals at any moment"""
    for interrupt, count, what in (
        (interrupt_once, 200, "starts of `conform`, and of `load` and `capacity`, alone and with two processes,"),
        (interrupt_one_of_three, 60, "masters with two workers, of which the master or a worker gets the signals,"),
    ):
        codes: Counter[int] = Counter()
        with Simulator(connections=3) as simulator, tempfile.TemporaryDirectory() as folder:
            for seed in watched(range(1000, 1000 + count // shrink), "starts"):
                codes[interrupt(simulator.url, Path(folder) / str(seed), seed)] += 1
        ended = ", ".join(f"exit {code}: {times:,}" for code, times in sorted(codes.items()))
        yield (
            f"- {codes.total():,} {what} each ended by one to three of SIGINT, SIGTERM or SIGHUP from a random moment of "
            "the first two seconds on: none hangs or shows a traceback, and each leaves whole reports or one line "
            f"({ended})."
        )


def mix(shrink: int) -> Lines:
    """The mix of each scenario"""
    counted = mixes.count_all(watched(mixes.CASES[::shrink], "runs"), scale=3)
    yield (
        f"- {len(counted)} runs, {sum(each.requests for each in counted):,} requests by the server's own count: each "
        "scenario through `load`, plain `locust` and, where it has a steady rate, `capacity`; from one process, two, and a "
        f"master with two workers. No share is more than {max(each.deviation for each in counted):.1%} off, which may be 3 %."
    )


SEARCH: Final = (
    *("capacity", "--slo", "errors<30%", "--window", "4s", "--scenario", "drill"),
    *("--start", "50", "--max-rate", "200"),
)

KNOWN_RATE: Final = 100
"""Of a server that takes 10 ms for each request, one after another."""


def searches(shrink: int) -> Lines:
    """Capacity by a master and two workers"""
    intervals = []
    options: dict[str, str | None] = {"service-time": "10ms", "workers": "1", "no-churn": None}
    for _ in watched(range(max(1, 3 // shrink)), "searches"):
        with (
            start_simulator_process(connections=20, options=options) as spawned,
            tempfile.TemporaryDirectory() as folder,
        ):
            _, told = test_master.run(Path(folder), SEARCH, spawned.url, None)
        low, high = told["capacity"]["interval"]
        assert low <= KNOWN_RATE * 1.02, (low, high)
        assert high is not None, told["capacity"]["limited_by"]
        assert high >= KNOWN_RATE * 0.98, (low, high)
        intervals.append(f"{low:g} to {high:g}")
    yield (
        f"- A server of {KNOWN_RATE} requests a second, one after another, 10 ms each: {'; '.join(intervals)} requests a "
        f"second. The interval holds it {len(intervals)} times of {len(intervals)}, give or take 2 %."
    )


def percentiles(shrink: int) -> Lines:
    """Percentiles against a server's own log"""
    for name in list(slow_servers.PROVEN)[:: 1 if shrink == 1 else 2]:
        with tempfile.TemporaryDirectory() as folder:
            yield slow_servers.prove(name, Path(folder))


def hostile(shrink: int) -> Lines:
    """Measured"""
    yield (
        "What `sora-harness check` takes for files that are made to exhaust it, from its start to its end. A line of a "
        "recording is held as it is, decoded and judged, so a listing of 134 MB takes several times that; the rows "
        "of listings show that findings add nothing to it."
    )
    yield ""
    with tempfile.TemporaryDirectory() as folder:
        yield from hostile_files.measure_files(Path(folder), shrink)


def foreign(shrink: int) -> Lines:
    """A server by somebody else"""
    yield from table.correct_lines(watched(range(max(1, 5 // shrink)), "seeds"))
    yield ""
    yield (
        "The same server with one fault each. A fault is found by the first response that shows it: the time from the "
        "first wrong response to that one is what it took."
    )
    yield ""
    names = [name for place, name in enumerate(faults.FAULTS) if name != "none" and place % shrink == 0]
    yield from table.fault_lines(watched(names, "faults"))


SECTIONS: Final[dict[str, Section]] = {
    "order": order,
    "recording": recording,
    "documents": documents,
    "torn": torn,
    "alarms": alarms,
    "simulator": simulator,
    "slow": slow,
    "mutants": oracle,
    "crossed": crossings,
    "planted": bugs,
    "compare": comparison,
    "strength": strengths,
    "signals": signals,
    "mix": mix,
    "capacity": searches,
    "percentiles": percentiles,
    "files": hostile,
    "foreign": foreign,
}


def bound(trials: int) -> str:
    """The 95 % bound of a rate of which no case was seen: the rule of three."""
    return f"With 95 % confidence the rate is below {3 / trials:.1e}"


def watched(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, and every few seconds a line of progress on stderr."""
    due = time.monotonic() + EVERY_S
    for place, item in enumerate(items):
        yield item
        if time.monotonic() >= due:
            due = time.monotonic() + EVERY_S
            print(f"  {place + 1:,} of {len(items):,} {what}", file=sys.stderr, flush=True)


EVERY_S: Final = 10.0

HEAD: Final = """\
# Proof

Written by `make proof`; a section alone by the command below its title. Seeds are fixed: the same commands give the
same counts. `make test` does about a hundredth of each. Times depend on the machine and tell only what to expect.
"""


def main() -> int:
    """Run the sections named on the command line, or all, and write their figures to the page."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"some of {', '.join(SECTIONS)}; all if none")
    parser.add_argument(
        "--shrink", type=int, default=1, help="by how much smaller; the page is written at full size only"
    )
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.sections if name not in SECTIONS]:
        parser.error(f"no section is called {unknown[0]}: take some of {', '.join(SECTIONS)}")
    for name in arguments.sections or SECTIONS:
        section = SECTIONS[name]
        print(f"{name} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            lines = list(section(arguments.shrink))
        except AssertionError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        took = time.monotonic() - started
        title = (section.__doc__ or name).strip()
        about = f"`python scripts/proof.py {name}`, {took:,.0f} s on Python {platform.python_version()}"
        text = "\n".join([f"## {title}", "", about, "", *map(wrap, lines), ""])
        print(text, flush=True)
        if arguments.shrink == 1:
            (write_limits if section is hostile else write)(title, text)
    return 0


def wrap(line: str) -> str:
    """Break a long line of text; a row of a table stays whole."""
    if line.startswith("|"):
        return line
    return textwrap.fill(line, 120, subsequent_indent="  " if line.startswith("- ") else "", break_on_hyphens=False)


def write(title: str, text: str) -> None:
    """Put a section into the page, in its place."""
    PAGE.parent.mkdir(exist_ok=True)
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else HEAD
    parts = re.split(r"(?m)^(?=## )", page)
    sections = {part.partition("\n")[0][3:]: part.strip() + "\n" for part in parts[1:]} | {title: text}
    order_ = [(section.__doc__ or "").strip() for section in SECTIONS.values() if section is not hostile]
    body = "\n".join(sections[name] for name in order_ if name in sections)
    PAGE.write_text(f"{HEAD}\n{body}", encoding="utf-8")


def write_limits(title: str, text: str) -> None:
    """Put a section into docs/LIMITS.md, in its place."""
    before, mark, rest = LIMITS.read_text(encoding="utf-8").partition(f"## {title}\n")
    assert mark, f"{LIMITS} has no section {title}"
    _, mark, after = rest.partition("\n## ")
    LIMITS.write_text(f"{before}{text}{mark}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
