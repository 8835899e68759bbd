"""What was judged live is judged the same again from a file, and each kind of file within what it can show."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import RecordingError
from sora_stats_harness.api.exchange import (
    ErrorCode,
    Exchange,
    Request,
    Response,
    Target,
    TransportError,
    make_valid_request,
)
from sora_stats_harness.cli import main
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirements import Level, RequiredCapability, Severity
from sora_stats_harness.judge.verdict import JudgeResult
from sora_stats_harness.judge.verdict_decision import RunScope, decide_verdict
from sora_stats_harness.probe.file_check import CheckStopped, FileCheckResult, choose_edition, judge_files, open_files
from sora_stats_harness.recording.pseudonymize import redact_recording
from sora_stats_harness.recording.reader import open_recordings
from sora_stats_harness.recording.writer import RecordingWriter
from sora_stats_harness.simulator.world import SimulatedWorld

from ..recording.build import SERVER, exchange, pipe_to_stdin, record, recorded_run

EDITION = edition.load_edition()
SECOND_NS = 1_000_000_000

Fault = Callable[[dict[str, Any]], None]


def responses(count: int, seed: int = 1) -> list[tuple[Request, bytes]]:
    """Requests and sound responses about a small world, in the order in which they were read."""
    world = SimulatedWorld(EDITION, seed=seed, connections=3, churn=False)
    random_ = random.Random(seed)
    found = []
    for turn in range(count):
        now_ns = (turn + 1) * SECOND_NS // 4
        world.advance(now_ns)
        living = world.connections_of_node(0)
        one = random_.choice(living)
        stamp = f"2026-11-24T03:{15 + turn // 240:02d}:{turn // 4 % 60:02d}.{turn % 4 * 250000:06d}Z"
        target = random_.choice(list(Target))
        if target is Target.ALL:
            request = make_valid_request(target, server=SERVER)
            value: object = [connection.read_sample(now_ns, stamp) for connection in living]
        elif target is Target.CONNECTION:
            request = make_valid_request(
                target, server=SERVER, channel_id=one.channel_id, connection_id=one.connection_id
            )
            value = one.read_sample(now_ns, stamp)
        else:
            request = make_valid_request(target, server=SERVER, channel_id=one.channel_id, client_id=one.client_id)
            value = [c.read_sample(now_ns, stamp) for c in living if c.client_id == one.client_id]
        found.append((request, json.dumps(value, separators=(",", ":")).encode()))
    return found


def spoil(body: bytes, fault: Fault) -> bytes:
    """Put a fault into each connection of a body."""
    value = json.loads(body)
    for connection in value if isinstance(value, list) else [value]:
        fault(connection)
    return json.dumps(value, separators=(",", ":")).encode()


def step_back(connection: dict[str, Any]) -> None:
    connection["rtp"]["total_received"] = 0


def lose_a_leaf(connection: dict[str, Any]) -> None:
    del connection["rtcp"]["total_received_rtcp_sr"]


def swap_a_type(connection: dict[str, Any]) -> None:
    connection["cc"]["target_bitrate"] = "fast"


def add_a_field(connection: dict[str, Any]) -> None:
    connection["brand_new"] = {"total_things": 1}


FAULTS: tuple[Fault, ...] = (step_back, lose_a_leaf, swap_a_type, add_a_field)


def stamped_now(body: bytes) -> bytes:
    """The same with the time of our own clock, which the exchange has as well."""
    return re.sub(rb'(?<="timestamp":")[^"]*', f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}".encode(), body)


def live(path: Path, *, overlap: int, faulty: bool, count: int = 80) -> Judge:
    """Judge as a client would, with several requests under way at a time, and record it."""
    with RecordingWriter(path, recorded_run()) as recorder:
        judge = Judge(EDITION, observer=recorder.add_exchange)
        faults = itertools.cycle(FAULTS)
        under_way = []
        for turn, (request, body) in enumerate(responses(count)):
            under_way.append((judge.begin_exchange(request), stamped_now(body)))
            if len(under_way) < overlap:
                continue
            ticket, body = under_way.pop((turn * 7) % len(under_way))
            if faulty and turn > 4 and turn % 10 == 0:
                body = spoil(body, next(faults))
            if faulty and turn == 60:
                ticket.complete(error=TransportError(code=ErrorCode.RESET, detail="reset"))
            elif faulty and turn == 70:
                cut = Response(status=200, headers=(), body=body[:50], complete=False)
                ticket.complete(response=cut, error=TransportError(code=ErrorCode.CUT, detail="cut"))
            else:
                ticket.complete(response=_json_response(body))
        for ticket, body in under_way:
            ticket.complete(response=_json_response(body))
    assert recorder.problem is None
    judge.finish()
    return judge


def _json_response(body: bytes) -> Response:
    headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    return Response(status=200, headers=headers, body=body)


def checked(*paths: Path, target: Target | None = None, **options: Any) -> FileCheckResult:  # Any: of check
    result = judge_files(Judge(EDITION), open_files([str(path) for path in paths], target), target=target, **options)
    result.finish()
    return result


def told(tally: JudgeResult) -> dict[str, Any]:  # Any: all that a verdict is made of
    """All that a verdict is made of, but for what only the file adds."""
    findings = {entry.fingerprint: msgspec.structs.asdict(entry) for entry in tally.findings}
    for finding in findings.values():
        finding["exchanges"] = [tuple(key) for key in finding["exchanges"]]
    coverage = msgspec.structs.asdict(tally.coverage)
    counted = {"checked": tally.checked, "by_target": tally.checked_by_target}
    return counted | {"findings": findings, "coverage": coverage, "crashed": tally.crashed}


def without(findings: dict[str, dict[str, Any]], *names: str) -> dict[str, dict[str, Any]]:  # Any: as in `told`
    """Findings without what may differ."""
    return {
        key: {name: value for name, value in finding.items() if name not in names} for key, finding in findings.items()
    }


@pytest.mark.parametrize("faulty", [False, True])
@pytest.mark.parametrize("overlap", [1, 5])
def test_a_recording_gives_the_findings_of_the_run_itself(tmp_path: Path, overlap: int, faulty: bool) -> None:
    """Fingerprints, counts, exchanges, what was checked and covered: the same code has judged the same exchanges."""
    path = tmp_path / "run.jsonl.zst"
    judge = live(path, overlap=overlap, faulty=faulty)
    before, after = told(judge.result()), told(checked(path).result())
    assert after == before
    assert len(before["findings"]) >= (5 if faulty else 0)
    assert before["checked"]["counter.monotonic"] > 50


def test_the_order_of_lines_and_files_does_not_matter(tmp_path: Path) -> None:
    """Two files of one run, each in random order, are one history."""
    path = tmp_path / "run.jsonl"
    judge = live(path, overlap=4, faulty=True)
    header, *lines, end = path.read_bytes().splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    halves = (tmp_path / "one.jsonl", tmp_path / "two.jsonl")
    for half, part in zip(halves, (lines[::2], lines[1::2]), strict=True):
        counts = json.loads(end) | {"sent": len(part), "judged": len(part), "errors": 0, "abandoned": 0}
        half.write_bytes(header + b"".join(part) + json.dumps(counts).encode() + b"\n")
    result = checked(*halves)
    assert told(result.result()) == told(judge.result())
    assert result.notes == ()


def test_a_redacted_recording_gives_the_same_findings_ids_aside(tmp_path: Path) -> None:
    """Fingerprints, counts and exchanges are those of the original, and none of its ids is left."""
    path, out = tmp_path / "run.jsonl", tmp_path / "out.jsonl"
    judge = live(path, overlap=3, faulty=True)
    redact_recording(path, out)
    before, after = told(judge.result()), told(checked(out).result())
    assert after["checked"] == before["checked"]
    assert after["coverage"] == before["coverage"]
    names = ("connection_id", "expected", "actual")
    (unknown,), (renamed,) = (
        [key for key, finding in each["findings"].items() if finding["requirement"] == "shape.unknown"]
        for each in (before, after)
    )
    assert "/brand_new" in before["findings"].pop(unknown)["field"]
    assert "/id-" in after["findings"].pop(renamed)["field"]  # an undocumented key is nobody's to keep
    assert without(after["findings"], *names) == without(before["findings"], *names)
    text = out.read_text().replace("sora-harness/recording", "")
    for step in open_recordings([path]):
        for name in (step.exchange.request.asked.connection_id, step.exchange.request.asked.channel_id):
            assert name is None or f'"{name}' not in text


def test_a_recording_of_sorastats_gives_the_findings_of_our_own(tmp_path: Path) -> None:
    """For the responses that both have: consecutive polls of all connections."""
    polls = [body for request, body in responses(150) if request.target is Target.ALL]
    polls = [spoil(body, FAULTS[n % 4]) if n % 7 == 5 else body for n, body in enumerate(polls)]
    ours = record(
        tmp_path / "ours.jsonl",
        [
            exchange(n, response=_json_response(body), sent_ns=n * SECOND_NS, received_ns=n * SECOND_NS + 1000)
            for n, body in enumerate(polls)
        ],
    )
    theirs = tmp_path / "sorastats.jsonl"
    theirs.write_bytes(b"".join(_poll(1_790_000_000 + n, body) for n, body in enumerate(polls)))
    one, other = checked(ours), checked(theirs)
    mine, yours = told(one.result())["findings"], told(other.result())["findings"]
    mine = {key: finding for key, finding in mine.items() if not finding["requirement"].startswith("clock.")}
    assert without(yours, "exchanges", "wrong_exchange") == without(mine, "exchanges", "wrong_exchange")
    assert {finding["requirement"] for finding in mine.values()} >= {
        "counter.monotonic",
        "shape.required",
        "shape.type",
        "shape.unknown",
    }
    assert other.judged_from == "recording"
    assert other.scope.observes == {RequiredCapability.BODIES, RequiredCapability.TIMES}


def test_sorastats_shows_order_and_neither_http_nor_the_clock(tmp_path: Path) -> None:
    """A clean one passes; a frozen stamp in it is nobody's fault, since it says nothing of when it was asked."""
    polls = [body for request, body in responses(60) if request.target is Target.ALL]
    path = tmp_path / "sorastats.jsonl"
    frozen = [
        json.dumps([c | {"timestamp": "2020-01-01T00:00:00Z"} for c in json.loads(body)]).encode() for body in polls
    ]
    path.write_bytes(b"".join(_poll(1_790_000_000 + 3 * n, body) for n, body in enumerate(frozen)))
    result = checked(path)
    outcome = decide_verdict(result.result(), result.scope, severity=Severity(fail_on=Level.HABIT))
    assert (outcome.verdict, result.result().findings) == ("pass", [])
    status = {row.id: row.status for row in outcome.requirements}
    assert status["counter.monotonic"] == "met"
    assert status["clock.frozen"] == status["clock.offset"] == status["http.status"] == "not_applicable"


def test_a_clock_set_back_between_two_polls_accuses_nobody(tmp_path: Path) -> None:
    """The order of lines is that of polls, whatever the recorder's clock said."""
    polls = [body for request, body in responses(60) if request.target is Target.ALL]
    path = tmp_path / "sorastats.jsonl"
    path.write_bytes(b"".join(_poll(1_790_000_000 - 50 * n, body) for n, body in enumerate(polls)))
    result = checked(path)
    assert result.result().findings == []
    assert result.result().checked["counter.monotonic"] > 10


def test_recordings_of_sorastats_that_were_joined_in_any_order_accuse_nobody(tmp_path: Path) -> None:
    """`cat B A`: each is checked by itself."""
    polls = [body for request, body in responses(60) if request.target is Target.ALL]
    lines = [_poll(1_790_000_000 + n, body) for n, body in enumerate(polls)]
    half = len(lines) // 2
    path = tmp_path / "sorastats.jsonl"
    path.write_bytes(b"".join(lines[half:] + lines[:half]))
    result = checked(path)
    assert result.result().findings == []
    assert result.result().checked["counter.monotonic"] > 10
    assert any("2 recordings, joined in a different order" in note for note in result.notes)


def test_what_a_recorder_wrote_is_not_the_server_s(tmp_path: Path) -> None:
    """Its floats are not blamed on the server, and nothing is said of the JSON that nobody has seen."""
    polls = [body for request, body in responses(60) if request.target is Target.ALL]
    path = tmp_path / "sorastats.jsonl"
    written = [re.sub(rb'("total_received_dtls":\d+)', rb"\1.0", body) for body in polls]
    path.write_bytes(b"".join(_poll(1_790_000_000 + n, body) for n, body in enumerate(written)))
    result = checked(path)
    assert result.result().findings == []
    outcome = decide_verdict(result.result(), result.scope)
    status = {row.id: row.status for row in outcome.requirements}
    assert {status[each] for each in ("http.json", "http.duplicate_key", "shape.lexical")} == {"not_applicable"}
    assert status["counter.monotonic"] == "met"


def test_damage_in_a_recording_of_sorastats_is_counted_and_a_cut_end_dropped(tmp_path: Path) -> None:
    """As in our own."""
    path = tmp_path / "sorastats.jsonl"
    polls = [_poll(n, b"[]") for n in range(4)]
    path.write_bytes(polls[0] + b"{}\n" + polls[1] + polls[2] + polls[3][:-9])
    result = checked(path)
    assert (result.damaged, result.result().coverage.exchanges, result.result().coverage.truncated) == (1, 3, True)
    assert result.notes == (
        f"{path}: the last line is cut short and was dropped",
        f"{path}: 1 damaged line was skipped",
    )


def _poll(seconds: int, body: bytes) -> bytes:
    return b'{"time":{"secs_since_epoch":%d,"nanos_since_epoch":0},"values":%s}\n' % (seconds, body)


@pytest.mark.parametrize(
    ("content", "target", "operation"),
    [
        (b'{"a":1}', None, "GetStatsConnection"),
        (b"[]", None, "GetStatsAllConnections"),
        (b"\xef\xbb\xbf\n {", None, "GetStatsConnection"),
        (b"[]", Target.CLIENT, "GetStatsClient"),
        (b"<html>", Target.ALL, "GetStatsAllConnections"),
    ],
)
def test_a_body_is_its_targets(tmp_path: Path, content: bytes, target: Target | None, operation: str) -> None:
    """An object is one connection, an array all of them, and what the user says goes before."""
    path = tmp_path / "body"
    path.write_bytes(content)
    result = checked(path, target=target)
    assert result.result().coverage.by_target == {operation: 1}
    assert (result.judged_from, result.subject_kind) == ("body", "recording")
    assert result.scope.observes == {RequiredCapability.BODIES, RequiredCapability.BYTES}


def test_a_recording_that_broke_off_is_inconclusive_at_best(tmp_path: Path) -> None:
    """What was seen may be fine; what was not seen may not."""
    path = tmp_path / "run.jsonl"
    live(path, overlap=1, faulty=False)
    path.write_bytes(path.read_bytes()[:-40])
    tally = checked(path).result()
    assert tally.coverage.truncated
    assert decide_verdict(tally, RunScope(observes=[RequiredCapability.BODIES])).verdict == "inconclusive"


def test_a_damaged_line_is_inconclusive_at_best(tmp_path: Path) -> None:
    """It is counted, and named in the notes."""
    path = tmp_path / "run.jsonl"
    live(path, overlap=1, faulty=False)
    path.write_bytes(path.read_bytes().replace(b'{"seq":7,', b'{"seq":x,'))
    result = checked(path)
    assert (result.result().coverage.damaged, result.result().coverage.truncated) == (1, True)
    assert f"{path}: 1 damaged line was skipped" in result.notes


def test_the_simulator_stays_the_simulator(tmp_path: Path) -> None:
    """By its header, or by the recording's own, so that nobody takes a self-test for a Sora."""
    response = Response(status=200, headers=(("Server", "sora-harness-simulator/1"),), body=b"[]")
    by_response = record(tmp_path / "response.jsonl", [exchange(response=response)])
    assert checked(by_response).subject_kind == "simulator"
    by_header = tmp_path / "header.jsonl"
    with RecordingWriter(by_header, recorded_run(subject_kind="simulator")):
        pass
    assert checked(by_header).subject_kind == "simulator"
    assert checked(record(tmp_path / "server.jsonl", [exchange()])).subject_kind == "server"


def test_the_scope_is_what_the_header_tells(tmp_path: Path) -> None:
    """A run knows what it could see, also where it broke off before it saw it."""
    path = tmp_path / "run.jsonl"
    options = {"observes": ["exchanges", "bodies", "probes", "large-probe"], "excluded": ["http.status"]}
    with RecordingWriter(path, recorded_run(options=options)):
        pass
    result = checked(path)
    assert result.scope.observes == {
        RequiredCapability.EXCHANGES,
        RequiredCapability.BODIES,
        RequiredCapability.PROBES,
        RequiredCapability.LARGE_PROBE,
    }
    assert result.scope.excluded == {"http.status"}


def test_without_that_the_scope_is_what_the_exchanges_show(tmp_path: Path) -> None:
    """Wrong requests only if there are some, and no identity by a target that was never asked for."""
    plain = checked(record(tmp_path / "plain.jsonl", [exchange()]))
    assert plain.scope.observes == {
        RequiredCapability.EXCHANGES,
        RequiredCapability.BODIES,
        RequiredCapability.BYTES,
        RequiredCapability.ARGUMENTS,
        RequiredCapability.TIMES,
    }
    assert plain.scope.excluded == {"identity.asked", "identity.client", "identity.listed"}
    wrong = Request(server=SERVER, headers=(), body=None, target=None, probe="request.shape.no_target")
    probed = checked(record(tmp_path / "probed.jsonl", [exchange(request=wrong)]))
    assert probed.scope.observes == plain.scope.observes | {RequiredCapability.PROBES}


def test_files_of_several_kinds_show_what_one_of_them_can(tmp_path: Path) -> None:
    """A body beside a recording takes nothing out of scope."""
    (tmp_path / "body.json").write_bytes(b"[]")
    (tmp_path / "sorastats.jsonl").write_bytes(_poll(1, b"[]"))
    ours = record(tmp_path / "run.jsonl", [exchange()])
    alone, together = checked(ours), checked(tmp_path / "body.json", ours, tmp_path / "sorastats.jsonl")
    assert together.scope == alone.scope
    assert together.judged_from == "recording"
    assert together.result().coverage.exchanges == 3


def test_nodes_are_those_that_the_run_was_told(tmp_path: Path) -> None:
    """So that what the cluster gave can be held against what its nodes gave."""
    path = tmp_path / "run.jsonl"
    nodes = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    with RecordingWriter(path, recorded_run(options={"nodes": nodes})) as recorder:
        recorder.add_exchange(exchange())
    judge = Judge(EDITION)
    result = judge_files(judge, open_files([str(path)]))
    assert RequiredCapability.NODES in result.scope.observes
    assert set(judge.nodes) == set(nodes)


def test_a_stop_leaves_a_verdict_of_what_was_seen(tmp_path: Path) -> None:
    """In the first sample as well as in the second."""
    path = tmp_path / "run.jsonl"
    live(path, overlap=1, faulty=False)

    def stop_after(lines: int) -> Callable[[], None]:
        left = iter(range(lines))

        def tick() -> None:
            if next(left, None) is None:
                raise CheckStopped

        return tick

    early = checked(path, tick=stop_after(10))
    assert (early.interrupted, early.result().coverage.exchanges) == (True, 0)
    (tmp_path / "one.json").write_bytes(b"[]")
    (tmp_path / "two.json").write_bytes(b"[]")
    late = checked(tmp_path / "one.json", tmp_path / "two.json", tick=stop_after(1))
    assert (late.interrupted, late.result().coverage.exchanges) == (True, 1)


def test_the_same_file_twice_is_judged_once(tmp_path: Path) -> None:
    """However it is spelt."""
    path = record(tmp_path / "run.jsonl", [exchange()])
    assert len(open_files([str(path), str(tmp_path / "." / "run.jsonl")])) == 1


def test_the_edition_is_the_one_it_was_recorded_with(tmp_path: Path) -> None:
    """Unless the user names one; where it cannot be had, the note says so."""
    path = record(tmp_path / "run.jsonl", [exchange()])
    files = open_files([str(path)])
    assert choose_edition(files, None) == ("doc-2024", [])
    assert choose_edition(files, "mine.toml") == ("mine.toml", [])
    path.write_bytes(path.read_bytes().replace(b"doc-2024", b"my-own"))
    assert choose_edition(open_files([str(path)]), None) == (
        "doc-2024",
        ["recorded with edition my-own, and judged here by doc-2024"],
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"hello", "neither a recording nor JSON"),
        (b'{"v":1,"run":"', "neither a header line nor an exchange"),
        (
            b'{"v":1,"run":"r","subject_kind":"server","subject":"","edition":"","harness_version":""}\n',
            "has the format 'sora-harness/recording/1', and this version reads 'sora-harness/recording/2': record it "
            "again",
        ),
    ],
)
def test_what_cannot_be_judged_is_wrong_usage(tmp_path: Path, content: bytes, message: str) -> None:
    """One line that says what was found."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(RecordingError, match=message):
        checked(tmp_path / "file")


def test_a_withheld_body_is_inconclusive_and_not_judged(tmp_path: Path) -> None:
    """Neither good nor bad can be said of it."""
    response = Response(status=200, headers=(("content-type", "application/json"),), body=b"", withheld=True)
    path = record(tmp_path / "run.jsonl", [exchange(response=response)])
    tally = checked(path).result()
    assert (tally.findings, tally.coverage.withheld) == ([], 1)
    assert "http.json" in tally.withheld


# The command.


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_prints_a_verdict_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are written with --output alone."""
    monkeypatch.chdir(tmp_path)
    live(tmp_path / "run.jsonl", overlap=2, faulty=True)
    code, out, _ = run(capsys, "check", "run.jsonl", "--json")
    verdict = json.loads(out)
    assert (code, verdict["verdict"], verdict["judged_from"]) == (1, "fail", "recording")
    assert verdict["subject"] == "run.jsonl"
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]
    code, _, _ = run(capsys, "check", "run.jsonl", "--output", "out")
    assert code == 1
    assert (tmp_path / "out" / "verdict.json").exists()


def test_the_command_reads_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of a pipe from curl."""
    (_, body), *_ = [pair for pair in responses(10) if pair[0].target is Target.CONNECTION]
    with pipe_to_stdin(monkeypatch, body):
        code, out, _ = run(capsys, "check", "-", "--json")
    assert (code, json.loads(out)["subject"]) == (0, "standard input")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "no-such-file"], "No such file"),
        (["check", ".", "--target", "GetStats"], "--target: 'GetStats' must be one of"),
        (["check", "."], "is a folder"),
        (["redact", "no-such-file", "out"], "No such file"),
    ],
)
def test_wrong_usage_is_one_line(arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And exit code 2."""
    code, out, err = run(capsys, *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err


def test_the_command_redact_tells_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr; the result is a file that check takes."""
    path, out = tmp_path / "run.jsonl", tmp_path / "out.jsonl.zst"
    live(path, overlap=2, faulty=False)
    code, stdout, err = run(capsys, "redact", str(path), str(out))
    assert (code, stdout) == (0, "")
    assert "80 exchanges" in err
    assert checked(out).result().coverage.exchanges == 80


def test_an_exchange_is_evidence_for_what_it_shows(tmp_path: Path) -> None:
    """The whole exchanges can be had again, the earlier first."""
    path = tmp_path / "run.jsonl"
    live(path, overlap=1, faulty=True)
    result = checked(path)
    fall = next(entry for entry in result.result().findings if entry.requirement == "counter.monotonic")
    proof: Sequence[Exchange] = result.evidence(fall.fingerprint)
    assert [item.key for item in proof] == [tuple(key) for key in fall.exchanges]
    assert proof[0].received_ns < proof[1].sent_ns


def test_a_gate_of_the_simulator_gives_the_same_verdict_from_its_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong requests, overlapping ones, two nodes and a fault: every requirement's status, and every finding."""
    path = tmp_path / "run.jsonl.zst"
    code, out, _ = run(
        capsys,
        "conform",
        "--duration",
        "0.1",
        "--nodes",
        "2",
        "--fault",
        "counter-falls",
        "--record",
        str(path),
        "--output",
        str(tmp_path / "live"),
        "--json",
    )
    before = json.loads(out)
    again, out, _ = run(capsys, "check", str(path), "--json")
    after = json.loads(out)
    assert (code, again) == (1, 1)
    assert after["requirements"] == before["requirements"]
    assert after["coverage"] | {"notes": []} == before["coverage"] | {"notes": []}  # conform has notes of its own
    assert [without_files(finding) for finding in after["findings"]] == [
        without_files(finding) for finding in before["findings"]
    ]
    assert (after["subject_kind"], after["judged_from"]) == ("simulator", "recording")


def without_files(finding: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    """A finding without the names of evidence files."""
    return {name: value for name, value in finding.items() if name != "evidence"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{\n  "format": "sora-harness/verdict/2",', "a verdict of this harness: `sora-harness report "),
        ('{\n  "format": "sora-harness/comparison/1",', "what `sora-harness compare` has written"),
        ('{"$schema": "https://json-schema.org/draft/2020-12/schema"}', "a JSON Schema"),
        ("<!DOCTYPE html>\n<html>", "an HTML page"),
        ('<?xml version="1.0"?>\n<testsuites/>', "an XML document"),
    ],
)
def test_other_files_are_told_by_name(text: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are no responses; nobody wants 30 findings about a verdict."""
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    assert main(["check", str(path)]) == 2
    assert f"{path} is neither a recording nor a response, but {what}" in capsys.readouterr().err


def test_a_folder_is_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is that of a run, the line says how to see its verdict."""
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"sora-harness: {tmp_path} is a folder: name the recordings in it\n"
    (tmp_path / "verdict.json").touch()
    assert main(["check", str(tmp_path)]) == 2
    assert f"`sora-harness report {tmp_path}` shows" in capsys.readouterr().err
