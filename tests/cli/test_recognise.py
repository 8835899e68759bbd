"""`--edition auto` where it is asked before a run, and how many processes may send."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.cli import command_support as common
from sora_stats_harness.cli import main
from sora_stats_harness.cli.framework import Arguments
from sora_stats_harness.probe import polling_estimate as estimating
from sora_stats_harness.probe.run_settings import SettingSources, resolve_settings
from sora_stats_harness.reports import baseline
from sora_stats_harness.simulator.server import Simulator
from sora_stats_harness.simulator.world import SimulatedWorld
from tests import forked

from .. import hostile

EDITIONS: Final = edition.shipped_edition_names()
DEFAULT: Final = edition.DEFAULT_EDITION
EXAMPLE: Final = Path(__file__).parents[1] / "data" / "example_response.json"
SECOND: Final = 1_000_000_000
SAID: Final = "--edition auto: the responses are like {} in every field"
NOTHING: Final = "--edition auto: there was no response to compare, so doc-2024 was used"
PLANNED: Final = "first one listing to detect the edition (--edition auto)"

LOAD: Final = (
    "load",
    "--users",
    "2",
    "--interval",
    "0.05",
    "--duration",
    "1s",
    "--weights",
    "connection=1,client=1,all=1",
)
SEARCH: Final = ("--slo", "errors<50%", "--window", "200ms", "--scenario", "drill", "--start", "50", "--max-rate", "50")
CAPACITY: Final = {
    "search": SEARCH,
    "search of two": (*SEARCH, "--processes", "2"),
    "by size": ("--by-size", "--max-rate", "5", "--duration", "1s"),
    "media": ("--watch-media", "--max-rate", "20", "--phase", "300ms", "--phases", "1"),
}


def serving(name: str) -> Simulator:
    """A simulator that responds by an edition."""
    return Simulator(edition.load_edition(name), connections=3, churn=False)


def run(command: str, *options: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, since Locust replaces sockets."""
    return forked.run(
        [sys.executable, "-m", "sora_stats_harness", command, *options],
        timeout=timeout_s,
    )


def run_each(*commands: tuple[str, ...]) -> list[tuple[int, str]]:
    """Exit code and standard error of several commands."""
    return [(done.returncode, done.stderr) for done in (run(*words) for words in commands)]


def auto(*options: str, out: Path) -> tuple[int, dict[str, Any], str]:  # Any: JSON
    """Exit code, verdict and what was said meanwhile, of a run in which a violated HABIT fails too."""
    command, *others = options
    done = run(command, *others, "--edition", "auto", "--fail-on", "habit", "--json", "--output", str(out))
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("judged", EDITIONS)
@pytest.mark.parametrize("served", EDITIONS)
def test_a_wrong_edition_fails(served: str, judged: str, tmp_path: Path) -> None:
    """
    With --fail-on habit each edition's responses are findings by any other: a pass below says that the guess was right.
    """
    world = SimulatedWorld(edition.load_edition(served), seed=5, connections=3, churn=False)
    world.advance(SECOND)
    samples = [each.read_sample(SECOND, "2026-11-24T00:00:01.000000Z") for each in world.connections_of_node(0)]
    path = tmp_path / "listing.json"
    path.write_text(json.dumps(samples), encoding="utf-8")
    assert main(["check", str(path), "--edition", judged, "--fail-on", "habit"]) == (0 if served == judged else 1)


@pytest.mark.parametrize(("name", "processes"), [("doc-2026", "1"), ("doc-2025", "2")])
def test_load_finds_out_which_edition_a_server_responds_by(
    name: str, processes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One listing more than is judged; it is said, and the recording tells `check` by what to judge again."""
    path = tmp_path / "run.jsonl"
    with serving(name) as simulator:
        code, told, said = auto(
            *LOAD, simulator.url, "--processes", processes, "--record", str(path), out=tmp_path / "out"
        )
        asked = simulator.requests
    assert (code, told["edition"], told["findings"]) == (0, name, [])
    assert SAID.format(name) in told["coverage"]["notes"]
    assert SAID.format(name) in said.splitlines()
    assert PLANNED in said
    assert asked[0].operation == "GetStatsAllConnections"
    assert len(asked) == told["load"]["sent"] + 1
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[0])["edition"] == name
    capsys.readouterr()
    again = main(["check", str(path), "--fail-on", "habit", "--json"])
    judged = json.loads(capsys.readouterr().out)
    assert (again, judged["edition"], judged["findings"]) == (0, name, [])


@pytest.mark.parametrize("question", CAPACITY)
def test_capacity_finds_it_out(question: str, tmp_path: Path) -> None:
    """Whichever its question is, and whoever sends; runs this short need not answer it."""
    with serving("doc-2026") as simulator:
        code, told, said = auto("capacity", simulator.url, *CAPACITY[question], out=tmp_path / "out")
    assert (told["edition"], told["findings"]) == ("doc-2026", [])
    assert code in (0, 3)
    assert told["coverage"]["samples"] > 0
    assert SAID.format("doc-2026") in told["coverage"]["notes"]
    assert SAID.format("doc-2026") in said.splitlines()
    assert PLANNED in said


@pytest.mark.parametrize("name", EDITIONS)
def test_estimate_finds_it_out_by_one_request_more(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which rests afterwards as after any other, and is no part of the figures."""
    monkeypatch.setattr(estimating, "MIN_PAUSE_S", 0.05)
    with serving(name) as simulator:
        code = main(
            [
                "estimate",
                simulator.url,
                "--edition",
                "auto",
                "--fail-on",
                "habit",
                "--json",
                "--output",
                str(tmp_path / "out"),
            ]
        )
        asked = simulator.requests
    told = json.loads(capsys.readouterr().out)
    assert (code, told["edition"], told["findings"]) == (0, name, [])
    assert SAID.format(name) in told["coverage"]["notes"]
    assert [each.operation for each in asked] == ["GetStatsAllConnections"] * 6
    assert told["estimate"]["requests"] == 5


def test_a_dry_run_says_that_it_is_to_be_found_out_and_sends_nothing() -> None:
    """Of each kind of run; nor does it say so where an edition is named."""
    kinds = [LOAD, *(("capacity", *each) for each in CAPACITY.values())]
    with serving("doc-2025") as simulator:
        plans = [(*kind, simulator.url, "--dry-run", "--edition") for kind in kinds]
        done = run_each(*((*plan, name) for name in ("auto", "doc-2025") for plan in plans))
        assert len(simulator.requests) == 0
    for kind, (code, said) in zip(kinds, done, strict=False):
        plan, *more = said.splitlines()
        assert code == 0 and plan.endswith(PLANNED)
        assert len(more) == (kind is LOAD) and all("under plain Locust" in line for line in more)
    for code, said in done[len(plans) :]:
        assert code == 0 and "auto" not in said


def test_without_a_response_the_default_holds_and_is_said(tmp_path: Path) -> None:
    """Nobody there, or nobody connected."""
    with hostile.serve(hostile.says(hostile.response(b"[]"))) as server:
        code, told, said = auto(*LOAD, server.url, out=tmp_path / "empty")
    assert (code, told["edition"]) == (3, "doc-2024")
    assert NOTHING in told["coverage"]["notes"]
    assert NOTHING in said
    code, told, _ = auto(*LOAD, hostile.closed_port(), out=tmp_path / "closed")
    assert (code, told["edition"]) == (3, "doc-2024")
    assert NOTHING in told["coverage"]["notes"]


def test_an_embedded_simulator_is_asked_like_any_server(tmp_path: Path) -> None:
    """Without a URL it responds by the default edition, of all sizes."""
    code, told, _ = auto(*LOAD, "--connections", "3", out=tmp_path / "load")
    assert (code, told["edition"]) == (0, DEFAULT)
    assert SAID.format(DEFAULT) in told["coverage"]["notes"]
    _, told, _ = auto("capacity", "--connections", "2,4", "--duration", "1s", out=tmp_path / "capacity")
    assert (told["edition"], told["findings"]) == ("doc-2024", [])
    assert told["coverage"]["notes"].count(SAID.format("doc-2024")) == 1


def settled(name: str, known: baseline.Baseline | None = None) -> Arguments:
    """Arguments with their settings, of which only the edition matters."""
    settings = resolve_settings(SettingSources(options={"edition": name}, asks_server=False))
    return Arguments(settings=settings, baseline=known)


def test_what_was_named_is_not_asked_for() -> None:
    """Nothing is sent, and nothing said."""

    def ask() -> tuple[str, list[str]]:
        raise AssertionError("nobody wanted to know")

    arguments = settled("doc-2025")
    assert common.detect_edition(arguments, ask) == []
    assert arguments.settings.edition == "doc-2025"


def test_a_baseline_of_another_edition_ends_a_run_before_it_begins(tmp_path: Path) -> None:
    """It cannot be known earlier, and ten minutes later it would be too late."""
    assert main(["check", str(EXAMPLE), "--output", str(tmp_path / "old")]) == 0
    known = baseline.read_baseline(tmp_path / "old" / "verdict.json")
    arguments = settled("auto", known)
    assert common.detect_edition(arguments, lambda: ("doc-2024", ["as before"])) == ["as before"]
    arguments = settled("auto", known)
    with pytest.raises(UsageError, match="doc-2024"):
        common.detect_edition(arguments, lambda: ("doc-2025", ["another one"]))


def test_an_edition_that_there_is_not_is_refused_before_anything_is_sent() -> None:
    """By each command that asks a server: one line, exit 2."""
    with serving("doc-2024") as simulator:
        wrong = (simulator.url, "--edition", "doc-1999")
        done = run_each((*LOAD, *wrong), ("capacity", *SEARCH, *wrong), ("estimate", *wrong))
        assert len(simulator.requests) == 0
    for code, said in done:
        assert code == 2
        assert said.splitlines()[-1].startswith("sora-harness: there is no edition 'doc-1999'")


@pytest.mark.parametrize("command", ["load", "capacity"])
@pytest.mark.parametrize("number", ["0", "-1", "257", "10000", "two", "1.5", "²", ""])
def test_processes_are_a_number_of_1_to_256(command: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By whichever command."""
    assert main([command, "http://127.0.0.1:9", f"--processes={number}", "--dry-run"]) == 2
    assert f"{number!r} must be an integer from 1 to 256" in capsys.readouterr().err


def test_processes_without_work_are_refused_in_the_same_words() -> None:
    """256 where there is so much to share, and no more than that."""
    kinds = (
        ("load", "--users", "3", "--interval", "1", "--duration", "1s"),
        ("capacity", *SEARCH, "--max-in-flight", "3"),
    )
    plans = [(*kind, "http://127.0.0.1:9", "--dry-run", "--processes") for kind in kinds]
    done = run_each(*((*plan, number) for number in ("4", "3") for plan in plans))
    assert [code for code, _ in done] == [2, 2, 0, 0]
    for _, said in done[:2]:
        assert "--processes 4: at most 3, since there are only that many requests at a time" in said
