"""
Whether `capacity` and `estimate` say what is so, against simulators of which it is known. By hand: it takes a while.

    python scripts/capacity_proof.py                 everything
    python scripts/capacity_proof.py interval cost   these sections alone

Server and generator are processes of their own; with `--pin` each gets a core of its own. The true capacity of a server
is what a saturating closed loop gets out of it in the same section. Figures go to docs/CAPACITY.md by hand.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sora_stats_harness.simulator.server import start_simulator_process

PIN: Final = "--pin" in sys.argv and len(os.sched_getaffinity(0)) > 1

QUEUE: Final = {"service-time": "2ms", "workers": "4", "no-churn": None}
"""Four workers of 2 ms: 2,000 requests a second, if nothing else took time."""

LAX: Final = ("--slo", "p99<200ms", "--scenario", "drill")


def main() -> int:
    """Run what was named; 1 where something is not as it should be."""
    ahead(os.getpid())
    asked = [name for name in sys.argv[1:] if not name.startswith("--")]
    bad = []
    for name, section in SECTIONS.items():
        if asked and name not in asked:
            continue
        began_s = time.monotonic()
        print(f"## {name}: {(section.__doc__ or '').strip()}", flush=True)
        if not section():
            bad.append(name)
        print(
            f"   {'as it should be' if name not in bad else 'NOT AS IT SHOULD BE'}, {time.monotonic() - began_s:.0f} s",
            flush=True,
        )
    return 1 if bad else 0


def ahead(pid: int) -> None:
    """Have the processes of a session go before all others, among themselves as ever; by leave of the system."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text("-15")
    except OSError:
        pass  # no Linux, no autogroups, or no leave: then by leave of whoever else is at work


def sora(command: str, *options: str, starving: bool = False) -> dict[str, Any]:  # Any: JSON
    """The verdict of a command."""

    def settle() -> None:
        os.sched_setaffinity(0, {0})

    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "sora_stats_harness", command, *options, "--json", "--output", f"{folder}/out"]
        done = subprocess.run(
            words, stdout=subprocess.PIPE, text=True, check=False, preexec_fn=settle if PIN or starving else None
        )
    if not done.stdout:
        raise SystemExit(f"{command} gave no verdict, and exit status {done.returncode}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@contextmanager
def server(
    options: Mapping[str, str | None], *, connections: int = 20, faults: tuple[str, ...] = (), pin: bool = PIN
) -> Iterator[str]:
    """A simulator in a process of its own."""
    with start_simulator_process(connections=connections, options=options, faults=faults) as spawned:
        ahead(spawned.pid)
        if pin:
            for task in Path(f"/proc/{spawned.pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {1})
        yield spawned.url


def closed_loop(url: str, *, users: int = 64, starving: bool = False) -> float:
    """
    Requests a second that users get out of a server, each sending at once after its response.

    Of whole seconds, without the first two and the last: users start one after another.
    """
    told = sora(
        "load",
        url,
        "--scenario",
        "drill",
        "--users",
        f"{users}",
        "--interval",
        "0",
        "--duration",
        "10s",
        starving=starving,
    )
    seconds = [row["responses"] / row["lasts_s"] for row in told["load"]["timeline"]][2:9]
    return float(sum(seconds) / len(seconds))


def show(found: dict[str, Any]) -> str:
    """An interval, and why."""
    low, high = found["interval"]
    steps = " ".join(f"{step['rate']:g}{step['outcome'][0]}" for step in found["steps"])
    return f"{low:g} to {high} at_least={found['at_least']} limited by {found['limited_by']!r}; steps {steps}"


def interval() -> bool:
    """Three runs of three hold the true capacity, and are no wider than a tenth."""
    good = []
    for number in range(3):
        with server(QUEUE) as url:
            true = closed_loop(url)
            told = sora("capacity", url, *LAX, "--max-rate", "3600", "--start", "900")
        low, high = told["capacity"]["interval"]
        holds = high is not None and low <= true <= high and high <= 1.1 * low * 1.0001
        print(f"   run {number + 1}: closed loop {true:.0f}/s; {show(told['capacity'])}", flush=True)
        good.append(holds and told["verdict"] == "pass")
    return all(good)


def faster() -> bool:
    """Twice as many workers: never called limited at what the slower server bears."""
    with server(QUEUE | {"workers": "8"}) as url:
        told = sora("capacity", url, *LAX, "--max-rate", "2200", "--start", "1100")
    found = told["capacity"]
    print(f"   {show(found)}", flush=True)
    return bool(found["at_least"] or found["interval"][1] > 2100)


def starved() -> bool:
    """A generator that shares its core with three busy loops says "at least", and four fifths of its closed loop or more."""
    # one loop leaves it with half a core, and of that it makes as much as the simulator bears
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    for each in burners:
        os.sched_setaffinity(each.pid, {0})
    try:
        with server({"no-churn": None, "service-time": "200us", "workers": "64"}, connections=200, pin=True) as url:
            offers = closed_loop(url, starving=True)
            told = sora(  # p99 of its delays is 80 to 150 ms from four fifths on, and a tenth of the SLO has to be more
                "capacity",
                url,
                "--slo",
                "p99<2s",
                "--scenario",
                "drill",
                "--max-rate",
                f"{1.1 * offers:.0f}",
                "--start",
                f"{offers * 0.81:.0f}",
                starving=True,
            )
    finally:
        for each in burners:
            each.kill()
            each.wait()
    found = told["capacity"]
    share = found["interval"][0] / offers
    print(f"   closed loop {offers:.0f}/s; {show(found)}; that is {share:.0%} of the closed loop", flush=True)
    return bool(found["at_least"]) and share >= 0.8


def slots() -> bool:
    """A generator that may have only two requests under way says "at least", and four fifths of its closed loop or more."""
    with server(QUEUE | {"workers": "8"}) as url:
        offers = closed_loop(url, users=2)
        told = sora(
            "capacity",
            url,
            "--slo",
            "p99<200ms",
            "--scenario",
            "drill",
            "--max-rate",
            f"{2 * offers:.0f}",
            "--start",
            f"{offers / 2:.0f}",
            "--max-in-flight",
            "2",
        )
    found = told["capacity"]
    print(f"   closed loop {offers:.0f}/s; {show(found)}", flush=True)
    return bool(found["at_least"]) and found["interval"][0] >= 0.8 * offers


def broken() -> bool:
    """p99 breaks above 300/s: that SLO is named, and no other."""
    with server({"no-churn": None}, faults=("slow-responses:above=300,every=20,by=0.3",)) as url:
        told = sora(
            "capacity",
            url,
            "--slo",
            "p50<100ms",
            "--slo",
            "p99<100ms",
            "--slo",
            "errors<1%",
            "--scenario",
            "drill",
            "--max-rate",
            "800",
            "--start",
            "150",
        )
    found = told["capacity"]
    print(f"   {show(found)}", flush=True)
    low, high = found["interval"]
    return bool(found["limited_by"] == "p99<100ms" and low <= 302 and 298 <= high <= 1.1001 * low)


def counter() -> bool:
    """A counter that goes back only above 300/s: the capacity is below, and the finding is the reason."""
    with server({"no-churn": None}, faults=("counter-falls:above=300",)) as url:
        told = sora("capacity", url, "--slo", "p99<200ms", "--scenario", "drill", "--max-rate", "800", "--start", "150")
    found = told["capacity"]
    print(f"   {told['verdict']}; {show(found)}", flush=True)
    findings = {finding["requirement"] for finding in told["findings"]}
    return bool(
        told["exit_code"] == 1
        and findings == {"counter.monotonic"}
        and found["limited_by"] == "a finding: counter.monotonic"
        and found["interval"][0] < 300 <= found["interval"][1] <= 340
    )


def overload() -> bool:
    """A fifth too much with an SLO of 10 s is caught by the backlog."""
    with server({"no-churn": None, "service-time": "10ms", "workers": "4"}) as url:
        told = sora(
            "capacity",
            url,
            "--slo",
            "p99<10s",
            "--scenario",
            "drill",
            "--max-rate",
            "480",
            "--start",
            "480",
            "--window",
            "10s",
        )
    found = told["capacity"]
    print(f"   {show(found)}", flush=True)
    return (
        bool(found["steps"][0]["reason"] == "backlog")
        and found["interval"][1] is not None
        and found["interval"][1] <= 440
    )


def cost() -> bool:
    """200 us a connection are recovered within a tenth, less the same fit without them: the middle one of five rounds."""
    differences = []
    before = slope()
    for number in range(5):
        # what a listing costs by itself, some 130 us a connection, drifts with the machine: the middle of before and after
        told, after = slope("--per-connection-cost", "200us"), slope()
        differences.append(told - (before + after) / 2)
        print(
            f"   round {number + 1}: without {before:.1f} and {after:.1f} us, with {told:.1f}: {differences[-1]:.1f} us",
            flush=True,
        )
        before = after
    middle = statistics.median(differences)
    print(f"   {middle:.1f} us", flush=True)
    return abs(middle - 200) <= 20


def slope(*options: str) -> float:
    """Of a fit to simulators of three sizes, microseconds for each connection."""
    return float(sora("capacity", "--connections", "10,100,1000", *options)["cost"]["per_connection_us"])


def media() -> bool:
    """An effect where the media suffer above 60/s, none where they do not, too little on a short run."""
    common = ("--watch-media", "--max-rate", "100", "--connections", "100")
    results = []
    for options in (("--fault", "media-suffer:rate=60"), ("--phases", "8"), ("--phases", "2", "--phase", "2s")):
        told = sora("capacity", *common, *options)
        results.append(told["media"]["result"])
        print(f"   {' '.join(options)}: {told['media']['statement']}", flush=True)
    return results == ["effect", "no effect seen", "too little data"]


def estimated() -> bool:
    """The Mbit/s of `estimate` are those that `load --scenario scrape` measures, within a tenth."""
    with server({"no-churn": None}, connections=100) as url:
        said = sora("estimate", url, "--pollers", "3", "--interval", "1s")["estimate"]
        told = sora("load", url, "--scenario", "scrape", "--users", "3", "--interval", "1", "--duration", "20s")["load"]
    measured = told["bytes_received"] * 8 / told["lasted_s"] / 1e6
    print(
        f"   estimated {said['mbit_per_s']:.2f} Mbit/s by {said['requests']} requests, measured {measured:.2f}",
        flush=True,
    )
    return bool(said["requests"] <= 5 and abs(said["mbit_per_s"] / measured - 1) <= 0.1)


SECTIONS: Final[Mapping[str, Callable[[], bool]]] = {
    "interval": interval,
    "faster": faster,
    "starved": starved,
    "slots": slots,
    "broken": broken,
    "counter": counter,
    "overload": overload,
    "cost": cost,
    "media": media,
    "estimated": estimated,
}

if __name__ == "__main__":
    sys.exit(main())
