"""Plain Locust with a locustfile of the user's own: who has a say in the exit code, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.simulator.server import Simulator
from tests import forked

from ..hostile import closed_port
from .build import UntilSeen

HEAD: Final = """
import random

from locust import HttpUser, constant, events, task

from sora_stats_harness.load.sora_user import SoraUser


class Mixed(SoraUser):
    def choose(self, requests):  # more listings than usual, so that a short run passes
        return requests.next_listing_request() if random.random() < 0.1 else requests.random_request()
"""

NEIGHBOUR: Final = """
class Neighbour(HttpUser):
    wait_time = constant(0.1)

    @task
    def ask(self):
        self.client.get("/nowhere")
"""

RAISING: Final = """
class Raising(SoraUser):
    def choose(self, requests):
        raise ValueError("nothing to choose")
"""

QUITTING: Final = """
@events.quitting.add_listener
def decide(environment, **_):
    environment.process_exit_code = 1
"""


def command(folder: Path, text: str, *options: str, beside: Path | None = None) -> list[str]:
    """Locust with a locustfile, and with another one beside it."""
    (folder / "locustfile.py").write_text(HEAD + text)
    files = ",".join(map(str, filter(None, (folder / "locustfile.py", beside))))
    words = [sys.executable, "-m", "locust", "-f", files, "--headless", "--only-summary"]
    return [*words, "-u", "4", "-r", "100", "--sora-interval", "40ms", *options]


def locust(folder: Path, url: str | None, *options: str) -> tuple[int, str]:
    """Run it for two seconds, in a folder; exit code, and all that was printed."""
    variables = {name: value for name, value in os.environ.items() if name != "SORA_URL"} | {"KEY": "sesame"}
    host = [] if url is None else ["--host", url]
    done = forked.run(command(folder, "", "-t", "2s", *host, *options), cwd=folder, env=variables)
    return done.returncode, done.stdout + done.stderr


def verdict(folder: Path) -> dict[str, Any]:  # Any: JSON
    told: dict[str, Any] = json.loads((folder / "out" / "verdict.json").read_text())
    return told


@pytest.mark.parametrize(
    ("text", "options", "code", "name", "reason"),
    [
        ("", ["--sora-slo", "p50<10s"], 0, "pass", None),
        ("", ["--sora-slo", "p50<1us"], 1, "fail", "p50<1us is violated"),
        (QUITTING, [], 1, "pass", None),
        (NEIGHBOUR, [], 1, "pass", None),
        (RAISING, ["-t", "3s"], 1, "inconclusive", "a user raised an exception: nothing to choose"),
    ],
    ids=["slo met", "slo violated", "own quitting", "own HttpUser", "choose raises"],
)
def test_the_exit_code_is_the_worst_of_all_that_have_a_say(
    text: str, options: list[str], code: int, name: str, reason: str | None, tmp_path: Path
) -> None:
    """Our verdict, Locust's own failures and exceptions, and what the locustfile sets."""
    until = UntilSeen(tmp_path)
    with Simulator(connections=3, churn=False) as simulator:
        options = [*options, "--host", simulator.url, "--sora-output", str(tmp_path / "out")]
        words = command(tmp_path, text, *options, beside=until.locustfile)
        found, said = until.run(simulator, words, requests=80, cwd=tmp_path)
    told = verdict(tmp_path)
    assert found == code, said
    assert told["verdict"] == name, told["reason"]
    assert (reason or "") in (told["reason"] or "")
    assert ("/nowhere" in said) == (text == NEIGHBOUR)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "nonsense"], "--host"),
        (["--sora-edition", "doc-1999"], "doc-1999"),
        (["--sora-output", "{file}"], "locustfile.py"),
        (["--sora-slo", "p99"], "--sora-slo: 'p99' is not an SLO"),
        (["--sora-header", "X-Key: env:NOBODY"], "NOBODY"),
        (["--sora-config", "none.toml"], "none.toml"),
        (["--sora-client-key", "key.pem"], "--client-key goes with --client-cert"),
        (["--host", "simulator"], "plain Locust starts no simulator: give the server by --host"),
    ],
)
def test_what_cannot_be_used_is_one_line(options: list[str], said: str, tmp_path: Path) -> None:
    """Before any user begins."""
    file = str(tmp_path / "locustfile.py")
    code, text = locust(tmp_path, "http://127.0.0.1:9", *(each.format(file=file) for each in options))
    (line,) = [line for line in text.splitlines() if line.startswith("sora-harness: ")]
    assert code == 2 and said in line and "Traceback" not in text, text


CONFIGURATION: Final = """
edition = "auto"
headers = {X-Key = "env:KEY"}
labels = {build = "123"}
slos = ["p50<10s"]

[severity]
"shape.exclusive" = "must"
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_the_configuration_holds_as_for_any_command(processes: int, tmp_path: Path) -> None:
    """Server, headers, edition, SLOs, labels and what findings weigh, in one process and with workers."""
    output = str(tmp_path / "out")
    port = closed_port().rpartition(":")[2]
    more = ("--processes", "2", "--master-bind-port", port, "--master-port", port) if processes > 1 else ()
    with Simulator(connections=3, churn=False, edition=load_edition("doc-2025"), faults=["both-limits"]) as simulator:
        (tmp_path / "mine.toml").write_text(f"url = '{simulator.url}'\n{CONFIGURATION}")
        code, said = locust(tmp_path, None, "--sora-config", "mine.toml", "--sora-output", output, "-t", "3s", *more)
        seen = {dict(request.headers).get("x-key") for request in simulator.requests}
    told = verdict(tmp_path)
    assert (code, told["verdict"]) == (1, "fail"), said
    assert seen == {"sesame"} and "sesame" not in said + json.dumps(told)
    assert (told["edition"], told["labels"]) == ("doc-2025", {"build": "123"})
    assert "shape.exclusive is violated" in told["reason"]
    assert [each["slo"] for each in told["load"]["slos"]] == ["p50<10s"]
