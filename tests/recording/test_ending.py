"""Why a run ended before its time stands in its recording, and `check` comes to what the run came to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.api.exchange import ErrorCode, Exchange, TransportError
from sora_stats_harness.api.secret_redaction import Secrets
from sora_stats_harness.cli import main
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.recording import format as lines
from sora_stats_harness.recording.format import RecordingEnd, recording_schema
from sora_stats_harness.recording.pseudonymize import redact_recording
from sora_stats_harness.recording.reader import LATEST_NS, open_recordings
from sora_stats_harness.recording.writer import RecordingWriter
from tests.probe.test_file_check import EDITION, live

from .build import RUN, SERVER, exchange, record, recorded_run
from .test_format import VALIDATOR

ABORTED = "aborted at errors>5%"
NO_WHY = "the run ended early"

counts = st.lists(st.integers(0, 2**40), min_size=3, max_size=3)
texts = st.text(st.characters(codec="utf-8"), min_size=1)


@given(texts, counts, st.sampled_from([None, "interrupted", "aborted"]), st.none() | texts)
def test_an_end_line_comes_back_as_it_was(
    run: str, count: list[int], ended: Literal["interrupted", "aborted"] | None, why: str | None
) -> None:
    """And is what the published schema says."""
    judged, errors, abandoned = count
    end = RecordingEnd(
        end=run, sent=sum(count), judged=judged, errors=errors, abandoned=abandoned, ended=ended, why=why
    )
    line = lines.encode_line(end)
    assert line.count(b"\n") == 1
    assert lines.decode_line(line) == end
    VALIDATOR.validate(json.loads(line))


def test_a_run_that_came_to_its_end_has_the_end_line_that_it_always_had() -> None:
    """Recordings made before there was a reason are of runs that ended as planned."""
    old = b'{"end":"r","sent":1,"judged":1,"errors":0,"abandoned":0}\n'
    end = lines.decode_line(old)
    assert isinstance(end, RecordingEnd)
    assert (end.interrupted, end.aborted, lines.encode_line(end)) == (False, None, old)
    assert lines.decode_line(old.replace(b"}", b',"ended":null,"why":null}')) == end


def test_a_reason_of_some_later_version_is_no_planned_end(tmp_path: Path) -> None:
    """What is not understood is no pass: the line counts as damaged."""
    path = record(tmp_path / "run.jsonl", [exchange()])
    path.write_bytes(path.read_bytes()[:-2] + b',"ended":"evicted"}\n')
    found = open_recordings([path])
    assert (found.damaged, found.truncated) == (1, True)
    assert not VALIDATOR.is_valid(json.loads(path.read_bytes().splitlines()[-1]))
    assert recording_schema()["$defs"]["RecordingEnd"]["properties"]["ended"]["anyOf"][0] == {
        "enum": ["aborted", "interrupted"]
    }


@pytest.mark.parametrize(
    ("told", "ended", "why"),
    [
        ({}, None, None),
        ({"interrupted": True}, "interrupted", None),
        ({"aborted": ABORTED}, "aborted", ABORTED),
        ({"interrupted": True, "aborted": ABORTED}, "interrupted", ABORTED),
        ({"interrupted": False, "aborted": None}, None, None),
        ({"aborted": "at q7f1c2e9 \udcff"}, "aborted", "at [redacted] ?"),
    ],
)
@pytest.mark.parametrize("exchanges", [0, 1])
def test_a_recorder_writes_what_it_was_told(
    tmp_path: Path, exchanges: int, told: dict[str, Any], ended: str | None, why: str | None
) -> None:
    """Both a signal and a reason of its own, without secrets, and also where nothing was exchanged."""
    path = tmp_path / "run.jsonl.zst"
    with RecordingWriter(path, recorded_run(id=RUN), secrets=Secrets(["q7f1c2e9"])) as recorder:
        for seq in range(exchanges):
            recorder.add_exchange(exchange(seq))
        recorder.mark_early_end(**told)
    ((name, end),) = open_recordings([path]).ends
    assert (name, end.end, end.sent, end.ended, end.why) == (str(path), RUN, exchanges, ended, why)


@pytest.mark.parametrize(
    ("error", "ended", "why"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (RuntimeError("no more\nat all"), "aborted", "the run was cut off: RuntimeError: no more"),
    ],
)
def test_an_exception_that_leaves_the_block_is_no_planned_end(
    tmp_path: Path, error: BaseException, ended: str, why: str | None
) -> None:
    """Who presses Ctrl-C three times, and a harness that breaks; the file is whole nevertheless."""
    path = tmp_path / "run.jsonl"
    with pytest.raises(type(error)):
        _break_off(path, error)
    found = open_recordings([path])
    ((_, end),) = found.ends
    assert (end.ended, end.why, found.truncated) == (ended, why, False)


def _break_off(path: Path, error: BaseException) -> None:
    with RecordingWriter(path, recorded_run()) as recorder:
        recorder.add_exchange(exchange())
        raise error


def ended(path: Path, kind: str | None, why: str | None = None) -> None:
    """Have a recording's end line say so."""
    *rest, last = path.read_bytes().splitlines(keepends=True)
    end = lines.decode_line(last)
    assert isinstance(end, RecordingEnd)
    end = msgspec.structs.replace(end, ended=kind, why=why)
    path.write_bytes(b"".join(rest) + lines.encode_line(end))


def check(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, dict[str, Any]]:
    code = main(["check", *map(str, paths), "--json"])
    verdict: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == verdict["exit_code"]
    return code, verdict


@pytest.mark.parametrize(
    ("kind", "why", "code", "reason", "interrupted"),
    [
        (None, None, 0, None, False),
        ("interrupted", None, 3, "interrupted", True),
        ("aborted", ABORTED, 3, ABORTED, False),
        ("interrupted", ABORTED, 3, ABORTED, True),
        ("aborted", None, 3, NO_WHY, False),
    ],
)
def test_check_says_why_a_run_ended(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str | None,
    why: str | None,
    code: int,
    reason: str | None,
    interrupted: bool,
) -> None:
    """
    Inconclusive, for the reason that the run had; and a note names the file, since the checking was not interrupted.
    """
    path = tmp_path / "run.jsonl"
    live(path, overlap=1, faulty=False)
    ended(path, kind, why)
    found, verdict = check(capsys, path)
    assert (found, verdict["reason"], verdict["interrupted"]) == (code, reason, interrupted)
    assert verdict["verdict"] == ("inconclusive" if code else "pass")
    assert any(note.startswith(f"{path}: run ") for note in verdict["coverage"]["notes"]) == bool(code)


@pytest.mark.parametrize("kind", ["interrupted", "aborted"])
def test_a_violated_must_is_more_than_an_early_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """What was found was found."""
    path = tmp_path / "run.jsonl"
    live(path, overlap=1, faulty=True)
    ended(path, kind, ABORTED)
    code, verdict = check(capsys, path)
    assert (code, verdict["verdict"]) == (1, "fail")


def test_one_of_several_runs_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In files of their own or in one; each reason is said once."""
    paths = [tmp_path / f"{number}.jsonl" for number in range(4)]
    for path in paths:
        live(path, overlap=1, faulty=False)
    assert check(capsys, *paths)[0] == 0
    ended(paths[1], "interrupted")
    code, verdict = check(capsys, *paths)
    assert (code, verdict["reason"]) == (3, "interrupted")
    assert [note.partition(":")[0] for note in verdict["coverage"]["notes"] if "interrupted" in note] == [str(paths[1])]
    together = tmp_path / "together.jsonl"
    together.write_bytes(b"".join(path.read_bytes() for path in paths))
    assert check(capsys, together)[0] == 3
    ended(paths[2], "aborted", ABORTED)
    ended(paths[3], "aborted", ABORTED)
    ended(paths[0], "aborted", "something else")
    assert check(capsys, *paths)[1]["reason"] == f"something else; {ABORTED}"


@pytest.mark.parametrize(
    ("kind", "why", "aborted"),
    [
        (None, None, f"{SERVER} stopped responding: refused: no"),
        ("interrupted", None, None),
        ("aborted", ABORTED, ABORTED),
    ],
)
def test_a_run_that_said_why_is_believed_before_its_last_exchanges_are_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str | None, why: str | None, aborted: str | None
) -> None:
    """
    A server that fell silent ended the run only where the run gave no reason; that it fell silent fails in any case.
    """
    path = record(tmp_path / "run.jsonl", silent())
    ended(path, kind, why)
    code, verdict = check(capsys, path)
    assert (code, verdict["reason"]) == (1, "http.complete is violated")
    assert (verdict["aborted"], verdict["interrupted"]) == (aborted, kind == "interrupted")


def silent() -> list[Exchange]:
    """One response, and then none."""
    refused = TransportError(code=ErrorCode.REFUSED, detail="no")
    return [
        exchange(),
        *(exchange(seq, body=None, error=refused, sent_ns=seq * 20, received_ns=seq * 20 + 5) for seq in range(1, 5)),
    ]


def test_what_is_redacted_ended_for_the_same_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for the names in it, of whoever was asked or only meant to be."""
    path, out = tmp_path / "run.jsonl", tmp_path / "out.jsonl"
    with RecordingWriter(path, recorded_run(subject="http://sora.example:3000")) as recorder:
        recorder.add_exchange(exchange(server="http://node.example:3000"))
        recorder.mark_early_end(
            aborted="http://sora.example:3000 gives no complete response, and http://node.example:3000 one"
        )
    redact_recording(path, out)
    ((_, end),) = open_recordings([out]).ends
    assert end.ended == "aborted"
    assert end.why is not None
    assert "gives no complete response" in end.why
    assert b"example" not in out.read_bytes()
    recorded = open_recordings([out])
    assert {recorded.headers[0].subject, *(step.exchange.request.server for step in recorded)} == {
        word for word in end.why.split() if word.startswith("http://host-")
    }
    ended(path, "interrupted")
    redact_recording(path, out)
    assert check(capsys, out)[1]["reason"] == "interrupted"


def test_silence_that_no_process_saw_alone_is_one_live_as_well() -> None:
    """Two errors for each of two processes are four for the recording."""
    judge = Judge(EDITION)
    for item in silent():
        judge.judge_recorded(item, horizon_ns=LATEST_NS, open_sent_ns=())
    assert judge.outage is not None
    assert judge.outage.description == f"{SERVER} stopped responding: refused: no"
