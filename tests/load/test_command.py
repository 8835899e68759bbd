"""The command `load` as people start it: in a process of its own, since Locust replaces the socket module."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.cli import main
from sora_stats_harness.simulator.asgi_app import ServiceModel
from sora_stats_harness.simulator.server import Simulator
from tests import forked, hostile

from .build import Customized, SlowAtTheEnd, UntilSeen

ROOT = Path(__file__).parents[2]
DRILLING = ("--scenario", "drill", "--users", "2", "--interval", "0", "--duration", "3s")
SEARCHING = ("--scenario", "drill", "--slo", "p99<50ms", "--max-rate", "100")


SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Commands count them alike, and of these two that come at one moment are still two."""


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """The command, and what it printed."""
    command = [sys.executable, "-m", "sora_stats_harness", "load", *options]
    return forked.run(command, timeout=60)


def verdict(*options: str) -> tuple[int, dict[str, Any], dict[str, Any]]:  # Any: JSON
    """Exit code, verdict, and what was measured."""
    done = run(*options, "--json")
    told = json.loads(done.stdout)
    return done.returncode, told, told["load"]


def assert_check_says_the_same(told: dict[str, Any], recording: Path) -> None:  # Any: JSON
    """A run and its recording come to one verdict, for one reason."""
    command = [sys.executable, "-m", "sora_stats_harness", "check", str(recording), "--json"]
    done = forked.run(command, timeout=60)
    again = json.loads(done.stdout)
    for key in ("verdict", "reason", "exit_code", "interrupted"):
        assert again[key] == told[key], key
    assert done.returncode == told["exit_code"]


@pytest.mark.parametrize(
    "model",
    [
        ("--connections", "10", "--rate", "60"),
        ("{url}", "--users", "2", "--interval", "0.05"),
        ("{url}", "--scenario", "drill", "--rate", "60"),
    ],
    ids=["embedded", "closed", "drill"],
)
def test_a_good_simulator_passes_and_everything_sent_is_accounted_for(model: tuple[str, ...], tmp_path: Path) -> None:
    """Sent is judged, errors and abandoned; and a recording gives the same again."""
    path = tmp_path / "run.jsonl"
    weights = () if "drill" in model else ("--weights", "connection=60,client=25,all=15")
    with Simulator(connections=10) as simulator:
        words = [word.format(url=simulator.url) for word in model]
        options = ("--duration", "1.5s", "--record", str(path), "--output", str(tmp_path / "out"))
        code, told, traffic = verdict(*words, *weights, *options)
    assert (code, told["verdict"], told["findings"]) == (0, "pass", [])
    assert told["subject_kind"] == "simulator"
    assert traffic["sent"] == traffic["judged"] + traffic["errors"] + traffic["abandoned"] > 20
    assert told["coverage"]["exchanges"] == traffic["sent"]
    check = [sys.executable, "-m", "sora_stats_harness", "check", str(path), "--json"]
    again = forked.run(check, timeout=60)
    assert again.returncode == 0
    assert json.loads(again.stdout)["coverage"]["samples"] == told["coverage"]["samples"]


BREAKS_OFF = """
import sora_stats_harness.cli.load as load

def break_off(elapsed_s, spec, counts):
    if counts["sent"] > 20:
        raise RuntimeError("a bug")
    return ""

load._progress_text = break_off
"""


@pytest.mark.parametrize("faults", [(), ("missing-leaf",)])
def test_a_fault_of_the_harness_loses_nothing(faults: tuple[str, ...], tmp_path: Path) -> None:
    """What was seen by then is judged, recorded and reported: exit 1 for a finding, else 4."""
    path, broken = tmp_path / "run.jsonl", Customized(tmp_path, BREAKS_OFF)
    with Simulator(connections=3, faults=faults) as simulator:
        words = ["load", simulator.url, "--rate", "60", "--duration", "60s", "--record", str(path), "--json"]
        command = [sys.executable, "-m", "sora_stats_harness", *words]
        done = forked.run(command, env=broken.environment, cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["aborted"].startswith("the run broke off: RuntimeError: a bug")
    assert (told["exit_code"], done.returncode) == ((1, 1) if faults else (4, 4))
    assert told["coverage"]["exchanges"] > 20
    assert main(["check", str(path)]) == (1 if faults else 3)


def test_a_counter_that_falls_is_found_with_both_responses(tmp_path: Path) -> None:
    """Exit 1, and Locust's users go on."""
    with Simulator(connections=5, faults=["counter-falls"]) as simulator:
        code, told, _ = verdict(simulator.url, "--rate", "60", "--duration", "1.5s", "--output", str(tmp_path / "out"))
    assert code == 1
    assert {finding["requirement"] for finding in told["findings"]} == {"counter.monotonic"}
    assert all(len(finding["exchanges"]) == 2 for finding in told["findings"])


def test_an_slo_that_is_violated_fails_the_run(tmp_path: Path) -> None:
    """Although every response is good."""
    slos = ("--slo", "p50<10s", "--slo", "max<1us")
    with Simulator(connections=3) as simulator:
        options = (simulator.url, "--users", "4", "--interval", "50ms", "--duration", "1s", "--processes", "2", *slos)
        code, told, load = verdict(*options, "--output", str(tmp_path / "out"))
    assert (code, told["verdict"], told["findings"]) == (1, "fail", [])
    assert told["reason"].startswith("max<1us is violated: ")
    assert [each["status"] for each in load["slos"]] == ["met", "violated"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "state the load"),
        (("--rate", "10"), "state how long"),
        (("--users", "2", "--duration", "2s"), "state the load"),
        (("--rate", "10", "--users", "2", "--duration", "2s"), "two models"),
        (("--scenario", "nonsense", "--rate", "10", "--duration", "2s"), "must be one of"),
        (("--rate", "10", "--duration", "2s", "--abort-when", "never"), "is not a limit"),
        (("--rate", "10", "--duration", "2s", "--abort-when", "errors>.%"), "is not a limit"),
        (("--rate", "10", "--duration", "2s", "--slo", "p99"), "is not an SLO"),
        (("--rate", "10", "--duration", "2s", "--slo", "GetStats:p99<1s"), "must be one of"),
        (("--rate", "10", "--duration", "2s", "--scenario", "drill", "--slo", "GetStatsClient:p99<1s"), "never sends"),
        (("--rate", "10", "--duration", "5s", "--scenario", "spike", "--ramp", "2s"), "at most a fifth of the run"),
        (("--rate", "\uff11\uff10", "--duration", "2s"), "must be a rate"),
        (("--users", "2", "--interval", "", "--duration", "2s"), "--interval: '' must be 0, or a time"),
        (("--rate", "10", "--duration", "2s", "--seed", "2"), "for the embedded simulator"),
        (("--rate", "10", "--duration", "2s", "--weights", "everything=1"), "connection=N"),
        (("--rate", "10", "--duration", "2s", "--weights", "all=0"), "greater than 0"),
        (("--rate", "10", "--duration", "2s", "--scenario", "drill", "--weights", "all=1"), "sends only one target"),
        (("--pollers", "3", "--interval", "1", "--duration", "2s"), "for --scenario scrape"),
        (("--users", "2", "--interval", "1", "--duration", "2s", "--sockets", "3"), "at most 2"),
        (("--users", "2", "--interval", "1", "--duration", "2s", "--processes", "3"), "at most 2"),
    ],
)
def test_a_server_of_somebody_else_is_not_hammered_unasked(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loopback included: one line, exit 2, before Locust is imported."""
    assert main(["load", "http://127.0.0.1:9", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "locust" not in sys.modules


def test_a_dry_run_prints_the_plan_and_sends_nothing() -> None:
    """The plan is what would be done."""
    with Simulator(connections=1) as simulator:
        done = run(simulator.url, "--rate", "500", "--duration", "20s", "--dry-run")
        assert len(simulator.requests) == 0
    assert done.returncode == 0
    assert "500 requests/s (open model)" in done.stderr


@pytest.mark.parametrize(
    ("options", "planned"),
    [
        (("--scenario", "scrape", "--pollers", "3", "--interval", "2", "--cluster"), "scrape-cluster on"),
        (("--rate", "5", "--ramp", "3s"), "reached over 3 s"),
        (("--rate", "5", "--sockets", "2"), "over 2 connections"),
        (("--rate", "5", "--new-connection-each"), "a new connection for each request"),
        (("--rate", "5", "--processes", "2"), "from 2 processes"),
        (("--rate", "5", "--slo", "p99 < 50ms", "--slo", "errors<1%"), "must keep p99<50ms, errors<1%"),
    ],
)
def test_the_plan_tells_of_every_option(
    options: tuple[str, ...], planned: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was asked for is what stands in it."""
    assert main(["load", "http://127.0.0.1:9", *options, "--duration", "2s", "--dry-run"]) == 0
    assert planned in capsys.readouterr().err


def test_users_can_share_connections_and_weights_decide_what_is_asked(tmp_path: Path) -> None:
    """Four users, two connections beside the one that asks who is there; no client is asked for."""
    options = ("--users", "4", "--interval", "20ms", "--duration", "1s", "--sockets", "2")
    weights = ("--weights", "connection=3,all=1")
    with Simulator(connections=3) as simulator:
        code, told, load = verdict(simulator.url, *options, *weights, "--output", str(tmp_path / "out"))
    assert code == 0
    assert load["connections"] == 3
    asked = told["coverage"]["by_target"]
    assert set(asked) == {"GetStatsConnection", "GetStatsAllConnections"}
    assert asked["GetStatsConnection"] > asked["GetStatsAllConnections"]
    assert {row["id"]: row["status"] for row in told["requirements"]}["identity.client"] == "not_applicable"


def test_a_connection_can_be_used_only_once(tmp_path: Path) -> None:
    """As many are made as requests are sent, and the times of making them stand apart."""
    options = ("--rate", "30", "--duration", "1s", "--new-connection-each", "--output", str(tmp_path / "out"))
    with Simulator(connections=3) as simulator:
        _, _, load = verdict(simulator.url, *options)
    assert load["connections"] == load["sent"]
    (connecting,) = [each for each in load["latency"] if each["kind"] == "connect"]
    assert connecting["count"] == load["sent"]


def test_nobody_there_is_inconclusive(tmp_path: Path) -> None:
    """It aborts by itself, long before its time is over; its recording says why."""
    recording = tmp_path / "run.jsonl"
    done = run(
        "http://127.0.0.1:9",
        "--rate",
        "100",
        "--duration",
        "40s",
        "--output",
        str(tmp_path / "out"),
        "--json",
        "--record",
        str(recording),
    )
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"]) == (3, "inconclusive")
    assert_check_says_the_same(told, recording)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_that_was_aborted_is_judged_the_same_from_its_recording(tmp_path: Path, processes: str) -> None:
    """Although every response was good."""
    recording = tmp_path / "run.jsonl.zst"
    options = ("--rate", "100", "--duration", "40s", "--abort-when", "p99>1us", "--processes", processes)
    with Simulator(connections=3) as simulator:
        code, told, load = verdict(
            simulator.url, *options, "--record", str(recording), "--output", str(tmp_path / "out")
        )
    assert (code, told["reason"], told["findings"]) == (3, "aborted at p99>1us", [])
    assert load["judged"] >= 100
    assert_check_says_the_same(told, recording)


def test_a_recording_ends_at_its_limit_and_the_run_does_not(tmp_path: Path) -> None:
    """What was written by then can be read; the rest is not there, so nobody takes it for the whole."""
    path = tmp_path / "run.jsonl"
    options = ("--scenario", "drill", "--rate", "120", "--duration", "1s", "--record", str(path))
    with Simulator(connections=3) as simulator:
        code, told, load = verdict(simulator.url, *options, "--record-limit", "300K", "--output", str(tmp_path / "out"))
    assert (code, told["verdict"], told["findings"]) == (0, "pass", [])
    assert load["judged"] >= 100
    assert any("it has reached its limit of 307,200 bytes" in note for note in told["coverage"]["notes"])
    assert 300 * 1024 <= path.stat().st_size < 600 * 1024
    command = [sys.executable, "-m", "sora_stats_harness", "check", str(path), "--json"]
    done = forked.run(command, timeout=60)
    again = json.loads(done.stdout)
    assert (done.returncode, again["reason"]) == (3, "the recording is not complete")
    assert 0 < again["coverage"]["exchanges"] < load["judged"]


def test_a_finding_outranks_an_abort_in_the_recording_as_well(tmp_path: Path) -> None:
    """Fail, as the run itself."""
    recording = tmp_path / "run.jsonl"
    options = ("--rate", "100", "--duration", "40s", "--abort-when", "p99>1us")
    with Simulator(connections=3, faults=["counter-falls"]) as simulator:
        code, told, _ = verdict(simulator.url, *options, "--record", str(recording), "--output", str(tmp_path / "out"))
    assert code == 1
    assert json.loads(recording.read_bytes().splitlines()[-1])["ended"] == "aborted"
    assert_check_says_the_same(told, recording)


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one", "two"])
def test_a_server_that_goes_away_is_inconclusive(tmp_path: Path, options: tuple[str, ...]) -> None:
    """However well it responded before: nobody knows what it would have said. `check` says so too."""
    recording = tmp_path / "run.jsonl"
    with Simulator(connections=3) as simulator:
        process = forked.start(
            [
                sys.executable,
                "-m",
                "sora_stats_harness",
                "load",
                simulator.url,
                "--scenario",
                "mixed",
                "--users",
                "4",
                "--interval",
                "0.05",
                "--duration",
                "60s",
                "--abort-when",
                "errors>10%",
                *options,
                "--output",
                str(tmp_path / "out"),
                "--json",
                "--record",
                str(recording),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        give_up_s = time.monotonic() + 30
        while len(simulator.requests) < 80 and time.monotonic() < give_up_s:
            time.sleep(0.02)
    out, said = process.communicate(timeout=50)
    told = json.loads(out)
    assert (process.returncode, told["verdict"]) == (1, "fail"), said
    assert {(each["requirement"], each["actual"]) for each in told["findings"]} <= {
        ("http.complete", "Connection refused"),
        ("http.complete", "Connection reset by peer"),
        (
            "http.keep_alive",
            "a connection that was to be kept was closed without a word",
        ),  # it was between two requests
    }
    assert told["findings"] and told["coverage"]["longest_gap_s"] > 0
    assert told["load"]["judged"] > 50
    again = forked.run(
        [sys.executable, "-m", "sora_stats_harness", "check", str(recording), "--json"],
        timeout=60,
    )
    assert (again.returncode, json.loads(again.stdout)["reason"]) == (1, told["reason"])


def locust(name: str, url: str, *options: str) -> list[str]:
    """Plain Locust on one of our files."""
    file = str(ROOT / "locustfiles" / f"{name}.py")
    return [sys.executable, "-m", "locust", "-f", file, "--headless", "--host", url, "--only-summary", *options]


def test_the_scenario_files_run_under_plain_locust(tmp_path: Path) -> None:
    """With Locust's own command line: a verdict at the end, whose exit code it is, and nothing cut off at the end."""
    until = UntilSeen(tmp_path)
    with Simulator(connections=5) as simulator:
        command = locust("mixed", simulator.url, "-u", "2", "--sora-interval", "0.02")
        command[command.index("-f") + 1] += f",{until.locustfile}"
        code, said = until.run(simulator, [*command, "--sora-output", str(tmp_path / "out")])
        served = len(simulator.requests)
    assert code == 0, said
    assert "PASS" in said
    assert "GetStatsConnection" in said
    told = json.loads((tmp_path / "out" / "verdict.json").read_text())
    load = told["load"]
    assert [load[name] for name in ("sent", "judged", "errors", "abandoned")] == [served, served, 0, 0]


@pytest.mark.parametrize("name", ["drill", "scrape", "spike", "soak"])
def test_every_scenario_file_is_one(name: str) -> None:
    """Locust finds one user class in it."""
    command = locust(name, "http://127.0.0.1:9", "--list")
    done = forked.run(command, timeout=60)
    assert f"{name.capitalize()}User" in done.stdout
    assert done.returncode == 0


def test_plain_locust_fails_where_a_must_is_violated(tmp_path: Path) -> None:
    """The failure has the requirement's name in Locust's table, and the exit code is the verdict's."""
    until = UntilSeen(tmp_path)
    with Simulator(connections=3, faults=["counter-falls"]) as simulator:
        command = locust("drill", simulator.url, "-u", "2", "--sora-interval", "0.02")
        command[command.index("-f") + 1] += f",{until.locustfile}"
        code, said = until.run(simulator, command, requests=60, listings=0)
    assert code == 1, said
    assert "violated: counter.monotonic" in said
    assert "FAIL" in said


@pytest.mark.parametrize(("signals", "abandoned"), [(1, 0), (2, 2)])
def test_the_first_interrupt_waits_and_the_second_gives_up(signals: int, abandoned: int, tmp_path: Path) -> None:
    """
    Two users wait for responses that take a while: after one Ctrl-C they are judged, after two given up; all are told.
    """
    options = [
        "--users",
        "2",
        "--interval",
        "0",
        "--duration",
        "40s",
        "--timeout",
        "20",
        "--output",
        str(tmp_path / "o"),
        "--record",
        str(tmp_path / "run.jsonl"),
    ]
    with Simulator(connections=2, churn=False, pace=ServiceModel(service_s=1.2, workers=4)) as simulator:
        process = forked.start(
            [sys.executable, "-m", "sora_stats_harness", "load", simulator.url, "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            while len(simulator.requests) < 3:  # one who asks who is there, and the two users
                assert process.poll() is None
                time.sleep(0.02)
            for number in SIGNALS[:signals]:
                process.send_signal(number)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    told = json.loads(out)
    counts = told["load"]
    assert (process.returncode, told["verdict"], told["interrupted"]) == (3, "inconclusive", True)
    assert (counts["sent"], counts["judged"], counts["abandoned"]) == (3, 3 - abandoned, abandoned)
    assert_check_says_the_same(told, tmp_path / "run.jsonl")


@pytest.mark.parametrize(
    ("words", "signals"),
    [
        (("load", *DRILLING, "--processes", "2"), 1),
        (("load", *DRILLING, "--edition", "auto"), 3),
        (("capacity", *SEARCHING), 1),
        (("capacity", *SEARCHING, "--processes", "2"), 3),
    ],
    ids=["load, processes", "load, edition", "capacity", "capacity, processes"],
)
def test_a_server_that_never_responds_holds_nobody_up(words: tuple[str, ...], signals: int, tmp_path: Path) -> None:
    """Whoever is asked who is there may hang: Ctrl-C ends it, long before the time-out, and no traceback is seen."""
    with hostile.serve(hostile.hang) as server:
        process = forked.start(
            [
                sys.executable,
                "-m",
                "sora_stats_harness",
                words[0],
                server.url,
                *words[1:],
                "--timeout",
                "10m",
                "--output",
                str(tmp_path / "out"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            while not server.seen:
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            for number in SIGNALS[:signals]:
                process.send_signal(number)
            out, said = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 3
    assert "interrupted" in out + said
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said


def test_a_last_response_that_takes_long_to_judge_is_judged(tmp_path: Path) -> None:
    """
    Three seconds, where no exchange may take longer than one: its user is not stopped meanwhile, and after a
    second Ctrl-C it is judged all the same, since it is in.
    """
    slow = SlowAtTheEnd(tmp_path)
    options = ["--scenario", "scrape", "--pollers", "1", "--interval", "0.5", "--duration", "40s", "--timeout", "1"]
    with Simulator(connections=60, churn=False) as simulator:
        process = forked.start(
            [sys.executable, "-m", "sora_stats_harness", "load", simulator.url, "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=slow.environment,
            cwd=tmp_path,
        )
        try:
            for seen in (3, 4):  # two listings come before the first poll
                while len(simulator.requests) < seen:
                    assert process.poll() is None, process.communicate()
                    time.sleep(0.02)
                slow.begin()
            process.send_signal(SIGNALS[0])
            while slow.count_arrived() < len(simulator.requests):
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            process.send_signal(SIGNALS[1])
            out, said = process.communicate(timeout=50)
        finally:
            process.kill()
            process.wait()
        served = len(simulator.requests) - 1  # the first listing was before the run
    told = json.loads(out)
    assert "not accounted for" not in said
    assert [told["load"][name] for name in ("sent", "judged", "errors", "abandoned")] == [served, served, 0, 0]
    assert told["coverage"]["exchanges"] == served
