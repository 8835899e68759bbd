"""What the judge makes of a history or a body, in the words of the reference: the one place that knows both."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sora_stats_harness.api.edition import Edition
from sora_stats_harness.api.exchange import Exchange, Target
from sora_stats_harness.api.secret_redaction import Secrets
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.judge.requirements import Finding, Level
from sora_stats_harness.probe.file_check import FileCheckResult, judge_files, open_files
from sora_stats_harness.recording import format as lines
from sora_stats_harness.recording.output_file import RecordingFile, open_recording_file

from . import histories, reference


@dataclass(kw_only=True)
class Heard:
    """Every finding of a judge, as it came up."""

    findings: list[Finding] = field(default_factory=list)

    def take(self) -> list[Finding]:
        """What came up since the last call."""
        taken, self.findings = self.findings, []
        return taken


def listen(edition: Edition, *, nodes: Collection[str] = (), tear_s: float | None = None) -> tuple[Judge, Heard]:
    """A judge, and what it says."""
    heard = Heard()
    return Judge(
        edition,
        on_finding=lambda finding: heard.findings.append(finding),
        options=JudgeOptions(nodes=nodes, tear_s=tear_s),
    ), heard


def falls(edition: Edition, events: Sequence[histories.Event], *, horizon: bool) -> list[reference.Fall]:
    """
    Replay a history, and give every finding of counter.monotonic.

    Args:
        edition: What the connections look like.
        events: In order of receipt.
        horizon: Whether the judge is told what is still to come, so that it can let go of old maxima.
    """
    return [as_fall(finding) for finding in _found(edition, events, "counter.monotonic", horizon=horizon)]


def gaps(edition: Edition, events: Sequence[histories.Event], *, horizon: bool) -> list[tuple[reference.Gap, Level]]:
    """The same for identity.channel, each with its level."""
    return [
        (
            reference.Gap(
                lacks=finding.exchanges[-2].key,
                later=finding.exchanges[-1].key,
                connection_id=finding.connection_id or "",
                label=finding.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~"),
            ),
            finding.level,
        )
        for finding in _found(edition, events, "identity.channel", horizon=horizon)
    ]


def _found(
    edition: Edition, events: Sequence[histories.Event], requirement: str, *, horizon: bool
) -> Iterable[Finding]:
    judge, heard = listen(edition)
    replay(judge, [event.exchange for event in events], horizon=horizon)
    judge.finish()
    tally = judge.result()
    assert not tally.crashed, tally.crashed
    return [finding for finding in heard.findings if finding.requirement == requirement]


def replay(judge: Judge, exchanges: Sequence[Exchange], *, horizon: bool) -> None:
    """Hand over exchanges that are in order of receipt."""
    if not horizon:
        for exchange in exchanges:
            judge.judge_recorded(exchange)
        return
    earliest: dict[tuple[str, str], int] = {}
    ahead: list[int | None] = []
    for exchange in reversed(exchanges):
        key = (exchange.run, exchange.clock)
        ahead.append(earliest.get(key))
        earliest[key] = min(earliest.get(key, exchange.sent_ns), exchange.sent_ns)
    for exchange, horizon_ns in zip(exchanges, reversed(ahead), strict=True):
        judge.judge_recorded(exchange, horizon_ns=exchange.received_ns if horizon_ns is None else horizon_ns)


def as_fall(finding: Finding) -> reference.Fall:
    """A finding of counter.monotonic as the reference writes it."""
    before = re.fullmatch(r"at least (\d+)(, unless reopened)?", finding.expected)
    assert before is not None, finding.expected
    return reference.Fall(
        later=finding.exchanges[-1].key,
        earlier=finding.exchanges[0].key,
        pointer=finding.pointer,
        field=finding.field,
        connection_id=finding.connection_id or "",
        before=int(before[1]),
        after=int(finding.actual),
        certain=finding.level is Level.MUST,
    )


SHAPES = ("http.json", "http.json_limits", "http.duplicate_key", "identity.form", "identity.unique")


def document_findings(judge: Judge, heard: Heard, body: bytes, *, many: bool) -> list[tuple[str, str]]:
    """Judge a bare body; give each thing said of JSON, shape and ids, as (requirement, pointer)."""
    heard.take()
    judge.judge_bare_body(Target.ALL if many else Target.CONNECTION, body, "body.json")
    return [
        (finding.requirement, finding.pointer)
        for finding in heard.take()
        if finding.requirement.startswith("shape.") or finding.requirement in SHAPES
    ]


def relations(judge: Judge, heard: Heard, document: Mapping[str, Any]) -> list[tuple[str, str]]:  # Any: a JSON document
    """Judge a bare connection; give the relations that it misses, as (requirement, field)."""
    heard.take()
    judge.judge_bare_body(Target.CONNECTION, json.dumps(document).encode(), "body.json")
    return sorted((f.requirement, f.field) for f in heard.take() if f.requirement.startswith("relation."))


def record(folder: Path, exchanges: Iterable[Exchange], rng: Random, *, window: int = 10**9) -> list[Path]:
    """
    Write recordings, one a run, compressed or not, with their lines in disorder.

    Args:
        folder: Where to.
        exchanges: In order of receipt; taken as they come, so that they need not fit into memory.
        rng: What the disorder is drawn from.
        window: A line is at most about so many lines from its place.
    """
    files: dict[str, RecordingFile] = {}
    waiting: dict[str, list[Exchange]] = {}
    paths = []
    for exchange in exchanges:
        run = exchange.run
        if run not in files:
            path = folder / f"{run}.jsonl{rng.choice(('', '.zst'))}"
            paths.append(path)
            files[run] = open_recording_file(path)
            waiting[run] = []
            header = lines.RecordingHeader(
                format=lines.RECORDING_FORMAT,
                run=run,
                subject_kind="server",
                subject="made up",
                edition="doc-2024",
                options={},
                harness_version="0",
            )
            files[run].write(lines.encode_line(header))
        waiting[run].append(exchange)
        if len(waiting[run]) >= window:
            _flush(files[run], waiting[run], rng)
    for run, sink in files.items():
        count = len(waiting[run])
        _flush(sink, waiting[run], rng)
        sink.write(lines.encode_line(lines.RecordingEnd(end=run, sent=count, judged=count, errors=0, abandoned=0)))
        sink.end_frame()
        sink.close()
    return paths


def _flush(sink: RecordingFile, waiting: list[Exchange], rng: Random) -> None:
    rng.shuffle(waiting)
    for exchange in waiting:
        sink.write(lines.encode_line(lines.exchange_to_line(exchange, Secrets())))
    sink.end_frame()
    waiting.clear()


def check_files(edition: Edition, paths: Sequence[Path]) -> tuple[list[Finding], FileCheckResult]:
    """Judge recordings in one call, as `sora-harness check` does; gives every finding."""
    judge, heard = listen(edition)
    checked = judge_files(judge, open_files([str(path) for path in paths]))
    checked.finish()
    return heard.findings, checked
