"""
Real proxies before the simulator: nginx and haproxy as the distribution has them, and what the gate says of each set-up.

`ROWS` are the rows of the table in docs/PROXIES.md; `python -m tests.proxies` writes it again. Both programs run in the
foreground, as processes of ours, with a configuration in a temporary folder, and listen on 127.0.0.1 alone. Where one is
missing its rows are skipped, unless SORA_HARNESS_PROXIES=required says that this must not be.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.verdict import Verdict
from sora_stats_harness.judge.verdict_decision import RunEnding, RunScope
from sora_stats_harness.probe.conformance_plan import SIMULATOR_RATE, ConformancePlan
from sora_stats_harness.probe.conformance_run import run_conformance
from sora_stats_harness.probe.interrupt import InterruptHandler
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.reports.verdict_assembly import RunFacts, assemble_verdict
from sora_stats_harness.simulator.server import Simulator
from tests import forked

PAGE: Final = Path(__file__).parents[1] / "docs" / "PROXIES.md"
REQUIRED: Final = os.environ.get("SORA_HARNESS_PROXIES") == "required"
"""Whether a missing proxy is a failure, as in CI."""

TABLE_HEAD: Final = (
    "| proxy and set-up | command | verdict | incidents | other findings, but for INFO |\n"
    "| --- | --- | --- | --- | --- |\n"
)

Program = Literal["nginx", "haproxy"]

START_TIMEOUT_S: Final = 30.0
"""How long a proxy may take to listen."""

NGINX: Final = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5; proxy_cache_path {folder}/6 keys_zone=kept:1m;
    limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/s;
    upstream sora {{ server {sora}; keepalive 8; }}
    upstream both {{ random; server {sora}; server {other}; }}
    server {{ listen 127.0.0.1:{port} reuseport; {text} }}
    server {{ listen {inner} reuseport; gzip on; gzip_types application/json; location / {{ proxy_pass http://sora; }} }}
}}
"""

HAPROXY: Final = """
global
    maxconn 100
defaults
    mode http
    timeout connect 60s
    timeout client 60s
    timeout server {patience}
frontend front
    bind 127.0.0.1:{port}
    {text}
"""

_CACHE: Final = "proxy_pass http://sora; proxy_cache kept; proxy_cache_methods POST; proxy_cache_valid 200 1h;"
_REWRITE: Final = "proxy_pass http://sora; sub_filter_types application/json; sub_filter never-there never-there;"


@dataclass(kw_only=True)
class Running:
    """A proxy, and what stands behind it."""

    url: str
    folder: Path
    sora: Simulator
    stop: Callable[[], None]
    start: Callable[[], None]

    def mark(self, name: str) -> None:
        """Make a file that a configuration looks for."""
        (self.folder / name).touch()

    def unmark(self, name: str) -> None:
        """Take it away again."""
        (self.folder / name).unlink()

    def return_restarted(self) -> None:
        """The server is back, with new connections."""
        self.unmark("away")
        self.sora.restart()


Event = Callable[[Running], None]

_MORE_ROUNDS: Final[tuple[Event, ...]] = (lambda running: None,) * 3
"""A server is drawn for each request: with so many listings all from one server come once in a million runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One set-up."""

    name: str
    text: str
    """What stands in nginx's server block or haproxy's frontend; names in braces are filled in."""
    program: Program = "nginx"
    command: Literal["conform", "load"] = "conform"
    nodes: int = 1
    patience: str = "60s"
    """How long haproxy waits for a response."""
    events: tuple[Event, ...] = ()
    """What happens during the run."""


ROWS: Final = (
    Row(
        name="keeps connections to Sora",
        text="location / {{ proxy_pass http://sora; proxy_http_version 1.1; proxy_set_header Connection ''; }}",
    ),
    Row(name="asks Sora in HTTP/1.0, which is nginx's default", text="location / {{ proxy_pass http://sora; }}"),
    Row(
        name="keeps connections to clients for 20 requests each",
        command="load",
        text="keepalive_requests 20; location / {{ proxy_pass http://sora; }}",
    ),
    Row(
        name="compresses where a client asks for it",
        text="gzip on; gzip_types application/json; gzip_proxied any; location / {{ proxy_pass http://sora; }}",
    ),
    Row(
        name="compresses although nobody asked",
        text="location / {{ proxy_pass http://{inner}; proxy_http_version 1.1; proxy_set_header Accept-Encoding gzip; }}",
    ),
    Row(name="sends everything in chunks, refusals too", text="location / {{ " + _REWRITE + " }}"),
    Row(
        name="ends responses by closing the connection",
        text="keepalive_timeout 0; chunked_transfer_encoding off; location / {{ " + _REWRITE + " }}",
    ),
    Row(
        name="`proxy_cache`, the key with target and body",
        text="location / {{ " + _CACHE + " proxy_cache_key $http_x_sora_target$request_body; }}",
    ),
    Row(
        name="`proxy_cache`, the key without the body",
        text="location / {{ " + _CACHE + " proxy_cache_key $http_x_sora_target; }}",
    ),
    Row(
        name="`proxy_cache`, the key without target and body",
        text="location / {{ " + _CACHE + " proxy_cache_key $request_uri; }}",
    ),
    Row(name="two servers behind one URL", events=_MORE_ROUNDS, text="location / {{ proxy_pass http://both; }}"),
    Row(
        name="two nodes of one cluster behind one URL",
        nodes=2,
        events=_MORE_ROUNDS,
        text="location / {{ proxy_pass http://both; }}",
    ),
    Row(
        name="asks for a password (401)",
        text="auth_basic sora; auth_basic_user_file /dev/null; location / {{ proxy_pass http://sora; }}",
    ),
    Row(name="refuses the client (403)", text="deny all; location / {{ proxy_pass http://sora; }}"),
    Row(
        name="refuses one target (403)",
        text="location / {{ if ($http_x_sora_target ~ GetStatsClient) {{ return 403; }} proxy_pass http://sora; }}",
    ),
    Row(
        name="lets POST through alone (403)",
        text="location / {{ limit_except POST {{ deny all; }} proxy_pass http://sora; }}",
    ),
    Row(
        name="refuses all request bodies (413)",
        text="client_max_body_size 1; location / {{ proxy_pass http://sora; }}",
    ),
    Row(
        name="limits the rate (429)",
        text="limit_req_status 429; limit_req zone=slow; location / {{ proxy_pass http://sora; }}",
    ),
    Row(name="no server behind it (502)", text="location / {{ proxy_pass http://{dead}; }}"),
    Row(
        name="a server behind it that hangs (504)",
        text="location / {{ proxy_pass http://{hanging}; proxy_read_timeout 200ms; }}",
    ),
    Row(name="redirects to https (301)", text="location / {{ return 301 https://sora.example/; }}"),
    Row(
        name="a page to log in (200)",
        text="location / {{ default_type text/html; return 200 '<!doctype html><title>Log in</title>'; }}",
    ),
    Row(
        name="Sora restarts behind it, and is back at once",
        text="location / {{ proxy_pass http://sora; }}",
        events=(lambda running: running.sora.restart(),),
    ),
    Row(
        name="Sora restarts behind it, and is away meanwhile (502)",
        text="location / {{ if (-f {folder}/away) {{ return 502; }} proxy_pass http://sora; }}",
        events=(
            lambda running: running.mark("away"),
            lambda running: running.return_restarted(),
        ),
    ),
    Row(
        name="the proxy restarts",
        text="location / {{ proxy_pass http://sora; }}",
        events=(lambda running: running.stop(), lambda running: running.start()),
    ),
    Row(
        name="the proxy closes connections without a response",
        text="location / {{ if (-f {folder}/shut) {{ return 444; }} proxy_pass http://sora; }}",
        events=(lambda running: running.mark("shut"), lambda running: running.unmark("shut")),
    ),
    Row(program="haproxy", name="passes everything on", text="default_backend one\nbackend one\n server a {sora}"),
    Row(
        program="haproxy",
        name="compresses where a client asks for it",
        text="default_backend one\nbackend one\n compression algo gzip\n compression type application/json\n"
        " server a {sora}",
    ),
    Row(
        program="haproxy",
        name="closes after each response",
        command="load",
        text="option httpclose\n default_backend one\nbackend one\n server a {sora}",
    ),
    Row(
        program="haproxy",
        name="two servers behind one URL",
        events=_MORE_ROUNDS,
        text="default_backend two\nbackend two\n balance random\n server a {sora}\n server b {other}",
    ),
    Row(
        program="haproxy",
        name="refuses the client (403)",
        text="http-request deny\n default_backend one\nbackend one\n server a {sora}",
    ),
    Row(
        program="haproxy",
        name="no server behind it (503)",
        text="default_backend one\nbackend one\n server a {dead}",
    ),
    Row(
        program="haproxy",
        name="a server behind it that hangs (504)",
        patience="200ms",
        text="default_backend one\nbackend one\n server a {hanging}",
    ),
)


def find_program(program: Program) -> str | None:
    """The path of a proxy; Debian's lies where only root looks."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))


@contextmanager
def run_proxy(row: Row) -> Iterator[Running]:
    """Start a row's proxy, and what stands behind it."""
    path = find_program(row.program)
    assert path is not None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proxy")))
        sora = stack.enter_context(Simulator(seed=1, connections=6, nodes=row.nodes))
        other = sora.urls[1] if row.nodes > 1 else stack.enter_context(Simulator(seed=2, connections=6)).url
        port, inner, dead = (stack.enter_context(_reserve_port()) for _ in range(3))
        hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
        places = {
            "folder": str(folder),
            "port": str(port.getsockname()[1]),
            "sora": sora.url.removeprefix("http://"),
            "other": other.removeprefix("http://"),
            "inner": _address(inner),
            "dead": _address(dead),
            "patience": row.patience,
            "hanging": _address(hanging),
        }
        configuration = folder / "configuration"
        text = (NGINX if row.program == "nginx" else HAPROXY).replace("{text}", row.text).format_map(places)
        configuration.write_text(text, encoding="utf-8")
        command = {
            "nginx": [path, "-c", str(configuration), "-e", str(folder / "log")],
            "haproxy": [path, "-db", "-q", "-f", str(configuration)],
        }[row.program]
        processes: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            with (folder / "output").open("ab") as output:
                processes.append(subprocess.Popen(command, stdout=output, stderr=output))
            _wait_until_listening(port, processes[-1], folder / "output")

        def stop() -> None:
            processes[-1].terminate()
            processes[-1].wait()

        start()
        stack.callback(stop)
        yield Running(url=f"http://{_address(port)}", folder=folder, sora=sora, stop=stop, start=start)


def _reserve_port() -> socket.socket:
    """A port that stays ours, and refuses connections while the proxy does not listen on it."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def _address(of: socket.socket) -> str:
    host, port = of.getsockname()
    return f"{host}:{port}"


def _wait_until_listening(port: socket.socket, process: subprocess.Popen[bytes], output: Path) -> None:
    due_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(port.getsockname()).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > due_s:
                raise RuntimeError(f"the proxy did not start: {output.read_text(encoding='utf-8')}") from None
            time.sleep(0.02)


def judge_row(row: Row) -> Verdict:
    """Run a row's command against its proxy; between two events `conform` goes round at least twice."""
    with run_proxy(row) as running:
        if row.command == "load":
            return _load(running)
        judge = Judge(load_edition())
        plan = ConformancePlan(server=running.url, duration_s=0.2, rate=SIMULATOR_RATE)
        prober = Prober(timeout_s=60.0)
        with InterruptHandler() as interrupt:
            result = run_conformance(plan, judge, prober, interrupt=interrupt)
            for event in row.events:
                event(running)
                result = run_conformance(plan, judge, prober, interrupt=interrupt)
        facts = RunFacts(
            command="conform",
            edition=load_edition(),
            subject=running.url,
            scope=RunScope(observes=plan.observed_needs(), excluded=plan.excluded_requirements()),
            ending=RunEnding(aborted=result.ending.aborted),
            started_at="2026-01-01T00:00:00Z",
        )
        return assemble_verdict(judge, facts).verdict


def _load(running: Running) -> Verdict:
    """Run `load` until it has listed the connections two times more."""
    out = running.folder / "report"
    command = [sys.executable, "-m", "sora_stats_harness", "load", running.url, "--users", "4", "--interval", "100ms"]
    ran = forked.run([*command, "--duration", "4", "--output", str(out)])
    assert (out / "verdict.json").exists(), ran.stderr
    return msgspec.json.decode((out / "verdict.json").read_bytes(), type=Verdict)


def cells(row: Row, verdict: Verdict) -> list[str]:
    """The row of the table."""
    explained = {fingerprint for incident in verdict.incidents for fingerprint in incident.explains}
    others = [each for each in verdict.findings if each.level != "INFO" and each.fingerprint not in explained]
    incidents = [f"`{incident.id}`" for incident in verdict.incidents]
    return [
        f"{row.program}: {row.name}",
        f"`{row.command}`",
        f"{verdict.verdict}, exit {verdict.exit_code}",
        ", ".join(dict.fromkeys(sorted(incidents))) or "none",
        ", ".join(dict.fromkeys(f"`{each.requirement}`" for each in others)) or "none",
    ]


def format_row(row: Row, verdict: Verdict) -> str:
    """A line of the page."""
    return f"| {' | '.join(cells(row, verdict))} |"


if __name__ == "__main__":
    text, begin, _ = PAGE.read_text(encoding="utf-8").partition(TABLE_HEAD)
    rows = [format_row(row, judge_row(row)) for row in ROWS]
    PAGE.write_text(text + begin + "".join(f"{line}\n" for line in rows), encoding="utf-8")
