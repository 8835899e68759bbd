"""
What a user meets in the first minutes: the situations, what is typed, and what docs/FIRST_CONTACT.md says of each.

`python -m tests.cli.first_contact` runs all of them and writes the page; `test_first_contact.py` compares.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sora_stats_harness.simulator.strategies import make_connection

from .. import forked, hostile

PAGE: Final = Path(__file__).parents[2] / "docs" / "FIRST_CONTACT.md"

MAX_LINES: Final = 12

INTRODUCTION: Final = """\
# First contact

What a command says where it can't begin, and what to type next. `sora-harness doctor URL` sends at most three requests;
`conform`, `load`, `capacity` and pytest begin with the first of them, and where it shows nothing of Sora they print these
lines and nothing else. Exit codes: 0 pass, 1 fail, 2 wrong usage, 3 inconclusive. A test runs each of these situations.
"""

CONNECTION: Final = json.loads(json.dumps(make_connection("busy")))
LISTING: Final = json.dumps([CONNECTION]).encode()


def json_response(body: bytes, extra: str = "") -> bytes:
    """A response of Sora's kind."""
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def sora(talk: hostile.Talk, *, extra: str = "", prefix: bytes = b"/") -> None:
    """A Sora with one connection."""
    if not talk.request.startswith(b"POST " + prefix + b" "):
        talk.write(status(404, "<html><title>404 Not Found</title></html>"))
    elif b"GetStatsConnection" in talk.request:
        talk.write(json_response(LISTING[1:-1], extra))
    else:
        talk.write(json_response(LISTING, extra))


def status(code: int, body: str = "", *headers: str) -> bytes:
    """A gateway's response."""
    lines = [f"HTTP/1.1 {code} Status", "Content-Type: text/html", *headers, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def says(data: bytes) -> Callable[[], AbstractContextManager[str]]:
    """A server that says the same to everybody."""
    return lambda: serving(hostile.says(data))


@contextmanager
def serving(behaviour: hostile.Behaviour, **more: object) -> Iterator[str]:
    """The URL of a server while it lasts."""
    with hostile.serve(behaviour, **more) as server:  # type: ignore[arg-type]
        yield server.url


def good() -> AbstractContextManager[str]:
    """A Sora with one connection."""
    return serving(sora)


def behind_nginx() -> AbstractContextManager[str]:
    """The same behind a proxy that says so."""
    return serving(lambda talk: sora(talk, extra="Server: nginx/1.27\r\nVia: 1.1 cache\r\n"))


def half_a_sora() -> AbstractContextManager[str]:
    """One that knows nothing but listings."""

    def behave(talk: hostile.Talk) -> None:
        sora(talk) if b"GetStatsAll" in talk.request else talk.write(json_response(b"{}"))

    return serving(behave)


def below_a_path() -> AbstractContextManager[str]:
    """The same where a proxy has it below /sora/."""
    return serving(lambda talk: sora(talk, prefix=b"/sora/"))


def encrypted() -> AbstractContextManager[str]:
    """A Sora behind TLS that nobody trusts."""
    return serving(sora, tls=hostile.self_signed())


@contextmanager
def encrypted_as_plain() -> Iterator[str]:
    """The same, called by the wrong scheme."""
    with encrypted() as url:
        yield url.replace("https:", "http:")


@contextmanager
def plain_as_encrypted() -> Iterator[str]:
    """A Sora in plain HTTP, called by the wrong scheme."""
    with serving(_answer_or_refuse, read_request=False) as url:
        yield url.replace("http:", "https:")


def _answer_or_refuse(talk: hostile.Talk) -> None:
    first = talk.socket.recv(65536)
    talk.write(json_response(LISTING) if first.startswith(b"POST") else status(400))


def nobody() -> AbstractContextManager[str]:
    """Nothing listens."""
    return nullcontext(hostile.closed_port())


def nowhere() -> AbstractContextManager[str]:
    """No URL is needed."""
    return nullcontext("http://127.0.0.1:3000")


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One row of the page."""

    title: str
    words: str
    """The command line; URL stands for the server's."""
    server: Callable[[], AbstractContextManager[str]] = nowhere
    environment: dict[str, str] = field(default_factory=dict)
    program: str = "sora-harness"
    file: tuple[str, str] | None = None
    """A file of the current folder."""


SITUATIONS: Final = (
    Situation(title="A Sora that can be judged", words="doctor URL", server=good),
    Situation(title="Nothing listens", words="conform URL", server=nobody),
    Situation(title="The name does not resolve", words="conform http://sora.invalid:3000"),
    Situation(title="https on an http port", words="conform URL", server=plain_as_encrypted),
    Situation(title="http on an https port", words="conform URL", server=encrypted_as_plain),
    Situation(title="A certificate that nobody trusts", words="doctor URL", server=encrypted),
    Situation(title="Credentials are wanted", words="conform URL", server=says(status(401))),
    Situation(
        title="Credentials are refused",
        words="doctor URL --header 'Authorization: env:SORA_TOKEN'",
        server=says(status(401)),
        environment={"SORA_TOKEN": "Bearer zTq81xx-9k"},
    ),
    Situation(title="This machine may not ask", words="doctor URL", server=says(status(403))),
    Situation(
        title="Another server, or another path",
        words="doctor URL",
        server=says(status(404, "<title>Not Found</title>")),
    ),
    Situation(
        title="A redirect",
        words="doctor URL",
        server=says(status(301, "", "Location: https://sora.example/api")),
    ),
    Situation(
        title="A gateway without Sora behind it",
        words="doctor URL",
        server=says(status(502, "<html><head><title>502 Bad Gateway</title></head></html>")),
    ),
    Situation(
        title="A page for people",
        words="conform URL",
        server=says(status(200, "<!doctype html><title>Sora DevTools</title>")),
    ),
    Situation(title="Something that does not speak HTTP", words="conform URL", server=says(b"SSH-2.0-OpenSSH_9.6\r\n")),
    Situation(title="A response that does not end", words="conform URL", server=says(json_response(LISTING)[:-100])),
    Situation(title="JSON of another server", words="conform URL", server=says(json_response(b'{"version": "1.0"}'))),
    Situation(title="An error of the server", words="doctor URL", server=says(status(500))),
    Situation(title="A server that only lists as Sora does", words="doctor URL", server=half_a_sora),
    Situation(title="Nobody is connected", words="doctor URL", server=says(json_response(b"[]"))),
    Situation(
        title="Nobody connects while it probes",
        words="conform URL --valid-only --duration 1",
        server=says(json_response(b"[]")),
    ),
    Situation(
        title="Capacity without anybody",
        words="capacity URL --slo 'p99<50ms' --max-rate 20",
        server=says(json_response(b"[]")),
    ),
    Situation(title="A proxy in between", words="doctor URL", server=behind_nginx),
    Situation(title="A proxy that has the API below a path", words="doctor URL/sora", server=below_a_path),
    Situation(
        title="A proxy of one's own that does not respond",
        words="doctor http://10.0.0.1:3000 --proxy URL",
        server=nobody,
    ),
    Situation(title="Load where nothing listens", words="load URL --rate 10 --duration 5s", server=nobody),
    Situation(
        title="Capacity behind a login", words="capacity URL --slo 'p99<50ms' --max-rate 20", server=says(status(401))
    ),
    Situation(
        title="The gate of pytest where nothing listens",
        words="-m pytest --sora-conformance --sora-url URL | sed -n '/= sora:/,/exit/p'",
        program="python",
        server=nobody,
    ),
    Situation(title="A port that there is not", words="conform http://127.0.0.1:65536"),
    Situation(title="A URL without its scheme", words="conform 127.0.0.1:3000"),
    Situation(title="A secret that the CI did not set", words="conform", environment={"SORA_URL": ""}),
    Situation(
        title="A mistyped key of the configuration",
        words="config --check",
        file=("sora-harness.toml", 'url = "http://127.0.0.1:3000"\ndurration = "30s"\n'),
    ),
    Situation(
        title="A mistyped table of pyproject.toml",
        words="config --check",
        file=("pyproject.toml", '[tool.sora_harness]\nurl = "http://127.0.0.1:3000"\n'),
    ),
)


def run(situation: Situation) -> tuple[int, list[str]]:
    """Run one in a folder of its own; gives the exit code and the lines on stdout and stderr."""
    with situation.server() as url, tempfile.TemporaryDirectory() as folder:
        if situation.file is not None:
            (Path(folder) / situation.file[0]).write_text(situation.file[1], encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if name not in ("SORA_URL", "GITHUB_ACTIONS")}
        words = situation.words.replace("URL", url, 1)
        if situation.program == "sora-harness":
            command = [sys.executable, "-m", "sora_stats_harness", *shlex.split(words)]
        else:
            command = ["bash", "-o", "pipefail", "-c", f"{sys.executable} {words}"]
        done = forked.run(command, cwd=folder, env=environment | situation.environment, stderr=subprocess.STDOUT)
    return done.returncode, _settle(done.stdout).splitlines()


def _settle(text: str) -> str:
    """Text without what differs from run to run."""
    text = re.sub(r"\r[^\n]*\r|\x1b\[K", "", text)
    text = re.sub(r"127\.0\.0\.1:(?!65536)[0-9]+", "127.0.0.1:3000", text)
    text = re.sub(r"in [0-9]+ ms", "in 7 ms", text)
    text = re.sub(r"tls: \[SSL.*?_ssl\.c:[0-9]+\)", "tls: wrong version number", text, flags=re.DOTALL)
    text = re.sub(r"\s+\(exit", "  (exit", text)
    return re.sub(r"reports/([a-z]+)-[0-9TZ]+(-[0-9]+)?/", r"reports/\1-20261130T031459Z/", text)


def page() -> str:
    """The page, by running everything."""
    parts = [INTRODUCTION]
    for number, each in enumerate(SITUATIONS, start=1):
        code, lines = run(each)
        parts.append(section(number, each, code, lines))
    return "\n".join(parts)


def section(number: int, situation: Situation, code: int, lines: list[str]) -> str:
    """One situation of the page."""
    before = "".join(f"{name}={value!r} " for name, value in situation.environment.items() if not value)
    file = "" if situation.file is None else f"$ cat {situation.file[0]}\n{situation.file[1]}"
    words = situation.words.replace("URL", _shown_url(situation), 1)
    output = "\n".join(lines)
    return (
        f"## {number}. {situation.title}\n\n```text\n{file}$ {before}{situation.program} {words}\n{output}\n```\n\n"
        f"Exit code {code}.\n"
    )


def _shown_url(situation: Situation) -> str:
    return "https://127.0.0.1:3000" if situation.server in (plain_as_encrypted, encrypted) else "http://127.0.0.1:3000"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
