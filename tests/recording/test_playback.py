"""`simulate --play`: a recording stands in for a server, and is known to be none."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import RecordingError
from sora_stats_harness.api.exchange import ErrorCode, Response, Target, TransportError, make_valid_request
from sora_stats_harness.api.secret_redaction import Secrets
from sora_stats_harness.cli import main
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.probe.playback import open_playback
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.recording.writer import RecordingWriter
from sora_stats_harness.simulator.server import Simulator, start_simulator_process
from tests import forked

from . import build
from .build import recorded_run

LISTING = {"x-sora-target": Target.ALL.value}

EXPORTER = """
import json, os, sys, urllib.request

request = urllib.request.Request(
    os.environ["SORA_URL"], method="POST", headers={"x-sora-target": "Sora_20171101.GetStatsAllConnections"}
)
for _ in range(int(sys.argv[1])):
    with urllib.request.urlopen(request) as response:
        for connection in json.load(response):
            value = connection["rtp"]["total_received_rtp"]
            print(f'sora_rtp_received_total{{connection="{connection["connection_id"]}"}} {value}')
"""
"""What users have: a small exporter, here of the standard library alone."""


def listing(counter: int, **more: Any) -> bytes:
    return json.dumps([{"connection_id": "c", "rtp": {"total_received_rtp": counter}} | more]).encode()


def recording(path: Path, counters: list[int]) -> Path:
    return build.record(
        path,
        [
            build.exchange(n, body=listing(counter), sent_ns=20 * n, received_ns=20 * n + 10)
            for n, counter in enumerate(counters)
        ],
    )


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.zst"])
def test_an_exporter_is_tested_with_a_played_recording(name: str, tmp_path: Path) -> None:
    """Its output is what was recorded, in order, the last again; the command ends with the exporter's status."""
    recording(tmp_path / name, [7, 9])
    (tmp_path / "exporter.py").write_text(EXPORTER)
    done = forked.run(
        [
            sys.executable,
            "-m",
            "sora_stats_harness",
            "simulate",
            "--port",
            "0",
            "--play",
            name,
            "--",
            sys.executable,
            "exporter.py",
            "3",
        ],
        cwd=tmp_path,
        timeout=60,
    )
    assert done.stdout.splitlines() == [f'sora_rtp_received_total{{connection="c"}} {value}' for value in (7, 9, 9)]
    assert (done.returncode, done.stderr) == (0, f"playing 2 recorded responses of {name}\n")


def test_an_exporter_is_tested_with_the_simulated_world(tmp_path: Path) -> None:
    """The same exporter, the same command, without a recording; a failing exporter fails the command."""
    (tmp_path / "exporter.py").write_text(EXPORTER)
    command = [
        sys.executable,
        "-m",
        "sora_stats_harness",
        "simulate",
        "--port",
        "0",
        "--connections",
        "3",
        "--no-churn",
        "--",
    ]
    good = forked.run([*command, sys.executable, "exporter.py", "1"], cwd=tmp_path, timeout=60)
    bad = forked.run([*command, sys.executable, "exporter.py", "x"], cwd=tmp_path, timeout=60)
    assert (good.returncode, len(good.stdout.splitlines())) == (0, 3)
    assert (bad.returncode, bad.stdout) == (1, "")


def test_a_played_recording_is_known_as_the_simulator(tmp_path: Path) -> None:
    """Status, type and body are the recorded ones; Server, length and date are those of whoever responses now."""
    headers = (("Server", "Cowboy"), ("Content-Type", "application/json; charset=utf-8"), ("Content-Length", "999"))
    response = Response(status=201, headers=headers, body=b'{"a": 1.0}')
    path = build.record(tmp_path / "run.jsonl", [build.exchange(response=response)])
    with start_simulator_process(options={"play": str(path)}) as server:
        got = httpx.post(server.url, headers=LISTING)
        wrong = httpx.post(server.url)
    assert (got.status_code, got.content, got.headers["content-type"]) == (201, b'{"a": 1.0}', headers[1][1])
    assert got.headers["server"].startswith("sora-harness-simulator/")
    assert got.headers["content-length"] == "10"
    assert (wrong.status_code, wrong.json()) == (400, {"type": "MissingHeaderName"})


def test_a_played_cluster_has_a_port_for_each_node(tmp_path: Path) -> None:
    """Servers become nodes in the order in which they first responded; each gives its own responses."""
    exchanges = [
        build.exchange(n, body=listing(n), sent_ns=20 * n, received_ns=20 * n + 10, server=f"http://10.0.0.{n}:3000")
        for n in (1, 2)
    ]
    path = build.record(tmp_path / "run.jsonl", exchanges)
    with open_playback([str(path)]) as playback, Simulator(play=playback.player) as simulator:
        bodies = [httpx.post(url, headers=LISTING).content for url in simulator.urls]
    assert bodies == [listing(1), listing(2)]


async def ask_for_everything(url: str, judge: Judge, *, rounds: int, in_flight: int) -> None:
    """List, then ask for each connection and each client, several at a time."""
    prober = Prober(timeout_s=60.0)
    for _ in range(rounds):
        listed = await prober.send(judge, make_valid_request(Target.ALL, server=url))
        assert listed.response is not None
        singles = [
            make_valid_request(
                target, server=url, **{key: each[key] for key in ("channel_id", "client_id", "connection_id")}
            )
            for each in reversed(json.loads(listed.response.body))
            for target in (Target.CLIENT, Target.CONNECTION)
        ]
        for start in range(0, len(singles), in_flight):
            await asyncio.gather(*(prober.send(judge, request) for request in singles[start : start + in_flight]))


def test_a_recording_plays_without_a_counter_that_falls(tmp_path: Path) -> None:
    """Whoever asks what, in whatever order and however often: the judge finds no fall that was not recorded."""
    path = str(tmp_path / "run.jsonl.zst")
    with (
        Simulator(connections=4, churn=False) as server,
        RecordingWriter(path, recorded_run(subject=server.url, subject_kind="simulator")) as recorder,
    ):
        recorded = Judge(edition.load_edition(), observer=recorder.add_exchange)
        asyncio.run(ask_for_everything(server.url, recorded, rounds=6, in_flight=6))
    judge = Judge(edition.load_edition())
    with open_playback([path]) as playback, Simulator(play=playback.player) as simulator:
        assert playback.player.responses == 6 * 9
        asyncio.run(ask_for_everything(simulator.url, judge, rounds=12, in_flight=1))
    judge.finish()
    tally = judge.result()
    assert tally.checked["counter.monotonic"] > 100
    assert [entry.requirement for entry in tally.findings if entry.level == "MUST"] == []


def test_a_recording_of_sorastats_plays_as_listings(tmp_path: Path) -> None:
    """Its lines are responses of GetStatsAllConnections; there is nothing else in it."""
    lines = [
        {"time": {"secs_since_epoch": 1_700_000_000 + n, "nanos_since_epoch": 0}, "values": json.loads(listing(n))}
        for n in range(2)
    ]
    path = tmp_path / "sorastats.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with open_playback([str(path)]) as playback, Simulator(play=playback.player) as simulator:
        got = [httpx.post(simulator.url, headers=LISTING).json()[0]["rtp"] for _ in range(2)]
    assert got == [{"total_received_rtp": 0}, {"total_received_rtp": 1}]


def test_what_cannot_be_played_is_left_out_and_said(tmp_path: Path) -> None:
    """
    Responses that are not whole, or were withheld, and wrong requests; a line cut short at the end is no hindrance.
    """
    secret = make_valid_request(Target.CONNECTION, server=build.SERVER, channel_id="zTq81xx", connection_id="c")
    path = build.record(
        tmp_path / "run.jsonl",
        [
            build.exchange(0, body=listing(1)),
            build.exchange(1, body=None, error=TransportError(code=ErrorCode.TIMEOUT, detail="timeout")),
            build.exchange(2, request=secret, body=b'{"connection_id":"c"}'),
        ],
        secrets=Secrets(["zTq81xx"]),
    )
    path.write_bytes(path.read_bytes() + b'{"seq": 3, "ser')
    with open_playback([str(path)]) as playback:
        assert playback.player.responses == 1
    assert [note.removeprefix(f"{path}: ") for note in playback.notes] == [
        "the last line is cut short and was dropped",
        "requests without a complete response, left out: 1",
        "responses that were withheld when they were recorded, left out: 1",
    ]


def damaged(path: Path) -> None:
    recording(path, list(range(100)))
    data = bytearray(path.read_bytes())
    data[4:-4] = bytes(len(data) - 8)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "run.zst is a folder: name the recordings in it"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"hello"), "run.zst is not a recording"),
        (lambda path: path.write_bytes(b'{"a":1}'), "run.zst is not a recording"),
        (lambda path: build.record(path, []), "contains no complete response to a valid request"),
        (damaged, "run.zst is damaged: nothing in it can be read"),
    ],
    ids=["missing", "a folder", "empty", "text", "a body", "no responses", "damaged throughout"],
)
def test_what_is_no_recording_is_refused_in_one_line(
    make: Any, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line that says what is wrong with which file, and nothing listens."""
    path = tmp_path / "run.zst"
    make(path)
    with pytest.raises(RecordingError, match=r"run\.zst"), open_playback([str(path)]):
        pass
    assert main(["simulate", "--port", "0", "--play", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1 and complaint in captured.err, captured.err


@pytest.mark.parametrize("option", ["--seed 3", "--no-churn", "--fault hangs", "--nodes 2", "--tear 5ms"])
def test_options_of_the_world_are_refused_beside_a_recording(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They would mean nothing, so they are not taken in silence."""
    path = recording(tmp_path / "run.jsonl", [1])
    assert main(["simulate", "--port", "0", "--play", str(path), *shlex.split(option)]) == 2
    assert "and --play has none" in capsys.readouterr().err
