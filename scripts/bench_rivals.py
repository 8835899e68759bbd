"""
Other load generators, as contenders of bench_load.py: wrk, oha, vegeta and k6, each with one core and one thread.

None of them looks at what comes back, but for one row: k6 with a script that parses each response and compares all of its
counters with those of the connection before, which is the heart of what the judge does.
"""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

USERS: Final = 16
CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
HEADERS: Final = {"x-sora-target": "Sora_20170529.GetStatsConnection", "Content-Type": "application/json"}

ONE_THREAD: Final = {"GOMAXPROCS": "1", "TOKIO_WORKER_THREADS": "1"}
"""As ours has: on one core several threads only stand in each other's way."""


class Run(NamedTuple):
    """One run of a generator."""

    responses: int
    wall_s: float
    cpu_s: float
    p50_us: float = 0.0
    p99_us: float = 0.0
    said: str = ""

    @property
    def rate(self) -> float:
        """Responses a second."""
        return self.responses / self.wall_s if self.wall_s else 0.0

    @property
    def per_cpu(self) -> float:
        """Responses for a second of CPU time."""
        return self.responses / self.cpu_s if self.cpu_s else 0.0


Contender = Callable[[str, float], Run]


def pinned(core: int) -> Callable[[], None]:
    """To be called in a new process: it and all its threads stay on one core."""
    return lambda: os.sched_setaffinity(0, {core})


def generator(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a generator on the second core prints."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
        env=os.environ | ONE_THREAD | (environment or {}),
        preexec_fn=pinned(CORES[-1]),
    )
    return done.stdout


def timed(command: Sequence[str]) -> tuple[str, float]:
    """What a generator prints, and the CPU time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = generator(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return said, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def requests(url: str) -> list[str]:
    """The body of a request about each connection that is there."""
    headers = {"x-sora-target": "Sora_20171101.GetStatsAllConnections"}
    asked = urllib.request.Request(url, data=b"", headers=headers)  # noqa: S310  # our own server
    with urllib.request.urlopen(asked) as response:  # noqa: S310  # as above
        samples = json.loads(response.read())
    names = ("channel_id", "connection_id")
    return [json.dumps({name: each[name] for name in names}, separators=(",", ":")) for each in samples]


def wrk(connections: int = USERS) -> Contender:
    """wrk, which neither judges nor looks."""

    def run(url: str, lasts_s: float) -> Run:
        bodies = ",".join(f"[==[{body}]==]" for body in requests(url))
        headers = ",".join(f'["{name}"]="{value}"' for name, value in HEADERS.items())
        script = f"""
local bodies = {{{bodies}}}
local headers = {{{headers}}}
request = function() return wrk.format("POST", "/", headers, bodies[math.random(#bodies)]) end
done = function(summary, latency, requests)
  io.write(string.format("@ %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
            file.write(script)
            file.flush()
            said, cpu_s = timed(["wrk", "-t1", f"-c{connections}", f"-d{lasts_s:g}s", "-s", file.name, url])
        found = re.search(r"@ (\d+) (\d+) (\d+) (\d+)", said)
        if found is None:
            return Run(0, 0.0, 0.0)
        responses, lasted_us, p50_us, p99_us = (int(text) for text in found.groups())
        return Run(responses, lasted_us / 1e6, cpu_s, p50_us, p99_us)

    return run


def oha(url: str, lasts_s: float) -> Run:
    """oha."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(requests(url)) + "\n")
        file.flush()
        words = [word for name, value in HEADERS.items() for word in ("-H", f"{name}: {value}")]
        command = ["oha", "--no-tui", "--output-format", "json", "-c", str(USERS), "-z", f"{lasts_s:g}s", "-m", "POST"]
        said, cpu_s = timed([*command, *words, "-Z", file.name, url])
    told = json.loads(said)
    return Run(int(told["statusCodeDistribution"].get("200", 0)), told["summary"]["total"], cpu_s)


def vegeta(url: str, lasts_s: float) -> Run:
    """vegeta, as fast as its workers go; its results go to a file, as its users have it."""
    header = {name: [value] for name, value in HEADERS.items()}
    with tempfile.TemporaryDirectory() as folder:
        targets, results = Path(folder, "targets"), Path(folder, "results")
        rows = [
            {"method": "POST", "url": url + "/", "header": header, "body": base64.b64encode(body.encode()).decode()}
            for body in requests(url)
        ]
        targets.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = ["vegeta", "attack", "-format=json", f"-targets={targets}", "-rate=0", f"-duration={lasts_s:g}s"]
        command += [f"-workers={USERS}", f"-max-workers={USERS}", "-max-body=0", f"-output={results}"]
        _, cpu_s = timed(command)
        said = subprocess.run(["vegeta", "report", "-type=json", results], capture_output=True, check=True).stdout  # noqa: S607
    told = json.loads(said)
    return Run(told["status_codes"].get("200", 0), told["duration"] / 1e9, cpu_s)


_K6_SCRIPT: Final = """
import http from "k6/http";
const bodies = %(bodies)s, headers = %(headers)s;
export const options = { vus: %(users)d, duration: "%(lasts)gs", discardResponseBodies: %(discard)s };
const known = {};
let fallen = 0;
function compare(before, now) {
  for (const name in now) {
    const value = now[name];
    if (typeof value === "number") { if (value < before[name]) fallen += 1; }
    else if (typeof value === "object" && value !== null && before[name]) compare(before[name], value);
  }
}
export default function () {
  const response = http.post("%(url)s/", bodies[Math.floor(Math.random() * bodies.length)], { headers });
  %(judge)s
}
export function handleSummary(data) {
  const of = data.metrics;
  return { stdout: JSON.stringify([of.http_reqs.values.count, of.http_req_failed.values.rate]) };
}
"""
_K6_JUDGE: Final = """
  const sample = JSON.parse(response.body), id = sample.connection_id;
  if (known[id]) compare(known[id], sample);
  known[id] = sample;
"""


def k6(*, compares: bool = False) -> Contender:
    """k6; with `compares` it parses each response, and compares its counters with those before."""

    def run(url: str, lasts_s: float) -> Run:
        script = _K6_SCRIPT % {
            "bodies": json.dumps(requests(url)),
            "headers": json.dumps(HEADERS),
            "users": USERS,
            "lasts": lasts_s,
            "discard": json.dumps(not compares),
            "url": url,
            "judge": _K6_JUDGE if compares else "",
        }
        with tempfile.NamedTemporaryFile("w", suffix=".js") as file:
            file.write(script)
            file.flush()
            said, cpu_s = timed(["k6", "run", "--quiet", "--no-usage-report", file.name])
        count, failed = json.loads(said)
        return Run(round(count * (1 - failed)), lasts_s, cpu_s)

    return run


RIVALS: Final[dict[str, tuple[str, Contender]]] = {
    "wrk": ("wrk", wrk()),
    "oha": ("oha", oha),
    "vegeta": ("vegeta", vegeta),
    "k6": ("k6", k6()),
    "k6 that compares counters": ("k6", k6(compares=True)),
}
"""By row, the program and the contender."""


def installed_rivals() -> dict[str, Contender]:
    """Those whose program is here."""
    return {name: contender for name, (program, contender) in RIVALS.items() if shutil.which(program)}


def version(program: str) -> str:
    """What a program says of its version; vegeta says nothing where Go has built it from its module."""
    words = {"wrk": ["-v"], "vegeta": ["-version"], "k6": ["version"]}.get(program, ["--version"])
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    found = re.search(r"v?\d+\.\d+\.\d+\S*", "".join((done.stdout + done.stderr).partition("Runtime")[:1]))
    return found[0] if found is not None else "of an unknown version"
