"""The release gate on the running program: waivers and baselines, live and from recordings, on a faulty simulator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.cli import main
from sora_stats_harness.simulator.server import Simulator

Capture = pytest.CaptureFixture[str]
Document = dict[str, Any]  # Any: JSON

LEAF = "missing-leaf:field=dtls.total_received_dtls"
NEGATIVE = "negative:field=sctp.total_received_sctp"
ONE_TARGET = ["--targets", "GetStatsAllConnections", "--valid-only", "--duration", "0.1"]
"""The run ends when every requirement in its scope was observed."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no URL in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SORA_URL", raising=False)
    return tmp_path


@contextmanager
def faulty(*faults: str, seed: int = 1) -> Iterator[list[str]]:
    """A simulator with faults, and the command that gates it; it ends with the option of a folder for the reports."""
    with Simulator(connections=3, seed=seed, faults=faults) as simulator:
        yield ["conform", simulator.url, *ONE_TARGET, "--output"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that found that a leaf is missing, with its recording."""
    out = tmp_path_factory.mktemp("base")
    with faulty(LEAF) as gate:
        assert main([*gate, str(out / "reports"), "--record", str(out / "run.jsonl")]) == 1
    return out


def verdict(path: Path) -> Document:
    """The verdict.json of a folder."""
    document: Document = json.loads((path / "verdict.json").read_text(encoding="utf-8"))
    return document


def findings(document: Document) -> list[tuple[str, str]]:
    """What was found, and what it counts for."""
    return [(entry["requirement"], entry["status"]) for entry in document["findings"]]


def waive(until: str, field: str = "/dtls/*", requirement: str = "shape.required") -> None:
    """Write a configuration with one waiver."""
    Path("sora-harness.toml").write_text(
        f'[[waivers]]\nrequirement = "{requirement}"\nfield = "{field}"\n'
        f'reason = "older firmware"\nby = "Mori"\nuntil = {until}\n',
        encoding="utf-8",
    )


def today(days: int = 0) -> str:
    """A day in UTC, from today on."""
    return (datetime.now(UTC).date() + timedelta(days)).isoformat()


def test_a_faulty_simulator_with_a_waiver_passes_and_shows_it(folder: Path, capsys: Capture) -> None:
    """In every format: waived is a status of its own, with who decided and until when."""
    waive(today(1))
    with faulty(LEAF) as gate:
        code = main([*gate, "out"])
    document = verdict(folder / "out")
    assert code == 0, document["reason"]
    assert findings(document) == [("shape.required", "waived")]
    assert {row["id"]: row["status"] for row in document["requirements"]}["shape.required"] == "waived"
    (waiver,) = document["waivers"]
    assert (waiver["state"], waiver["waived"], waiver["by"], waiver["until"]) == ("used", 1, "Mori", today(1))
    out = capsys.readouterr().out
    assert "1. shape.required  MUST, waived" in out
    assert f"used        shape.required at /dtls/*: 1 finding waived until {today(1)} (Mori: older firmware)" in out
    assert "PASS  all MUST and PROVEN requirements were met, apart from what is waived (1 waived)  (exit 0)" in out
    for name in ("junit.xml", "report.html", "summary.md"):
        text = (folder / "out" / name).read_text(encoding="utf-8")
        assert "Mori" in text and today(1) in text and "waived" in text


def test_the_day_after_its_end_the_gate_fails(base: Path, folder: Path, capsys: Capture) -> None:
    """The last day is included. An expired waiver is reported, and what it covered counts, whatever a baseline says."""
    recording = str(base / "run.jsonl")
    waive(today())
    assert main(["check", recording]) == 0
    waive(today(-1))
    capsys.readouterr()
    assert main(["check", recording, "--output", "out"]) == 1
    out = capsys.readouterr().out
    assert f"expired     shape.required at /dtls/*: its last day was {today(-1)}, and 1 finding counts again" in out
    assert "FAIL  shape.required is violated (1 waiver expired)  (exit 1)" in out
    assert verdict(folder / "out")["waivers"][0]["state"] == "expired"
    assert main(["check", recording, "--baseline", str(base / "reports" / "verdict.json")]) == 1


def test_a_waiver_that_nothing_trips_is_reported(base: Path, capsys: Capture) -> None:
    """It fails nothing, and is told from one whose requirement this run could not check."""
    recording = str(base / "run.jsonl")
    waive(today(1), field="/ice/*")
    assert main(["check", recording]) == 1
    assert "unused      shape.required at /ice/*: there was nothing to waive: remove it" in capsys.readouterr().out
    waive(today(1), requirement="cluster.once", field="*")
    assert main(["check", recording]) == 1
    assert "not observed  cluster.once at *: its requirement was not checked in this run" in capsys.readouterr().out


def test_a_second_fault_on_top_of_a_known_one(base: Path, folder: Path, capsys: Capture) -> None:
    """Exit 1, one new and one known, though other connections at other places show them; alone the known one passes."""
    earlier = base / "reports" / "verdict.json"
    with faulty(LEAF, NEGATIVE, seed=7) as gate:
        assert main([*gate, "both", "--baseline", str(earlier)]) == 1
    document = verdict(folder / "both")
    assert findings(document) == [("shape.range", "new"), ("shape.required", "known")]
    assert document["findings"][1]["connection_id"] != verdict(earlier.parent)["findings"][0]["connection_id"]
    assert (document["baseline"]["new"], document["baseline"]["known"]) == (1, 1)
    out = capsys.readouterr().out
    assert "findings    1 new, 1 known, 0 fixed, 0 not seen" in out and "FAIL  shape.range is violated (1 known)" in out


def test_without_the_known_fault_it_is_fixed(base: Path, folder: Path, capsys: Capture) -> None:
    """The new one fails all the same."""
    with faulty(NEGATIVE, seed=9) as gate:
        assert main([*gate, "out", "--baseline", str(base / "reports" / "verdict.json")]) == 1
    held = verdict(folder / "out")["baseline"]
    assert (held["new"], held["known"], held["not_seen"]) == (1, 0, [])
    assert [entry["requirement"] for entry in held["fixed"]] == ["shape.required"]
    assert (
        "fixed       shape.required (MUST) at GetStatsAllConnections, /dtls/total_received_dtls"
        in capsys.readouterr().out
    )


def test_what_a_run_did_not_look_at_is_not_fixed(base: Path, folder: Path) -> None:
    """A run that asks for other targets cannot tell."""
    earlier = verdict(base / "reports")
    earlier["findings"] += [earlier["findings"][0] | {"target": "GetStatsConnection", "fingerprint": "0" * 16}]
    Path("other.json").write_text(json.dumps(earlier), encoding="utf-8")
    with faulty() as gate:
        assert main([*gate, "out", "--baseline", "other.json"]) == 0
    held = verdict(folder / "out")["baseline"]
    assert [entry["target"] for entry in held["fixed"]] == ["GetStatsAllConnections"]
    assert [entry["target"] for entry in held["not_seen"]] == ["GetStatsConnection"]


def test_a_recording_may_be_held_against_a_live_run(base: Path, capsys: Capture) -> None:
    """How it was judged makes no difference: the same finding is known."""
    assert main(["check", str(base / "run.jsonl"), "--baseline", str(base / "reports" / "verdict.json")]) == 0
    assert "0 new, 1 known, 0 fixed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"subject_kind": "server"}, "is about a server, this run about a simulator"),
        ({"edition": "doc-2025"}, "was judged by edition doc-2025, this run is by doc-2024"),
        ({"format": "sora-harness/verdict/9"}, "has the format"),
    ],
)
def test_what_is_no_baseline_for_this_run_is_refused_before_it(
    change: Document, complaint: str, base: Path, folder: Path, capsys: Capture
) -> None:
    """One line, exit code 2, and nothing was sent or written."""
    (folder / "base.json").write_text(json.dumps(verdict(base / "reports") | change), encoding="utf-8")
    assert main(["conform", "--baseline", "base.json", "--output", "out"]) == 2
    told = capsys.readouterr().err
    assert complaint in told and told.count("\n") == 1
    assert not (folder / "out").exists()


def test_load_refuses_it_too(base: Path, folder: Path) -> None:
    """In a process of its own, since Locust replaces the sockets of a whole one."""
    (folder / "base.json").write_text(
        json.dumps(verdict(base / "reports") | {"subject_kind": "server"}), encoding="utf-8"
    )
    words = [sys.executable, "-m", "sora_stats_harness", "load", "--baseline", "base.json", "--output", "out"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "sora-harness: the baseline base.json is about a server, this run about a simulator\n"
    assert not (folder / "out").exists()


def test_what_only_the_responses_tell_is_refused_after_it(base: Path, folder: Path, capsys: Capture) -> None:
    """A simulator behind a URL: the reports are there, without the baseline; exit code 2, but a finding outranks it."""
    (folder / "base.json").write_text(
        json.dumps(verdict(base / "reports") | {"subject_kind": "server"}), encoding="utf-8"
    )
    assert main(["check", str(base / "run.jsonl"), "--baseline", "base.json", "--output", "out"]) == 1
    assert "is about a server, this run about a simulator; the reports ignore it" in capsys.readouterr().err
    document = verdict(folder / "out")
    assert document["baseline"] is None and findings(document) == [("shape.required", "new")]


def test_check_names_evidence_only_where_it_writes_it(base: Path, folder: Path, capsys: Capture) -> None:
    """Without --output there are no files, so none is named, on the terminal or in the JSON."""
    assert main(["check", str(base / "run.jsonl"), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["findings"][0]["evidence"] == []
    assert "evidence/" not in captured.err and "sent by      server: sora-harness-simulator/" in captured.err
    assert main(["check", str(base / "run.jsonl"), "--output", "out"]) == 1
    (name,) = verdict(folder / "out")["findings"][0]["evidence"]
    assert (folder / "out" / name).is_file() and name in capsys.readouterr().out
