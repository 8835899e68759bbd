"""
Judges files instead of a server: recordings of the harness or of sorastats, and single bodies.

A file's kind follows from its content, never from its name. Each kind can show different things, so the scope of the
verdict differs: a bare body has no order, a line of sorastats no HTTP. If several kinds are checked together, a
requirement is in scope if one of them can show it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Final, cast

import msgspec

from ..api import edition
from ..api.errors import RecordingError
from ..api.exchange import Exchange, Target
from ..api.input_budget import is_folder
from ..judge.checks.clock import FROZEN, OFFSET, ORDER
from ..judge.checks.identity import ASKED, CLIENT
from ..judge.checks.presence import LISTED, PRESENT
from ..judge.pipeline import Judge
from ..judge.requirements import OBSERVED_BY_CLIENTS, RequiredCapability
from ..judge.verdict import EvidenceSource, JudgeResult, SubjectKind
from ..judge.verdict_decision import RunEnding, RunScope
from ..recording import format as lines
from ..recording import sorastats
from ..recording.format import DamagedLineError, RecordingEnd, RecordingHeader
from ..recording.input_file import STDIN_NAME, InputFile
from ..recording.reader import RecordingReader, open_recordings
from ..recording.redaction_rules import SCOPE_OPTIONS
from ..recording.sorastats import SorastatsReader

_NEEDS_MET_WITHOUT_HTTP: Final = frozenset({RequiredCapability.BODIES, RequiredCapability.TIMES})
_NEEDS_MET_BY_BODIES: Final = frozenset({RequiredCapability.BODIES, RequiredCapability.BYTES})

_NOT_APPLICABLE_TO_SORASTATS: Final = frozenset({PRESENT.id, LISTED.id, ORDER.id, OFFSET.id, FROZEN.id})
"""The scope of sorastats: it requests only listings, and its times are those of writing, on a clock that may be set."""

_REQUIREMENT_OF_TARGET: Final = {
    Target.CONNECTION: ASKED.id,
    Target.CLIENT: CLIENT.id,
    Target.ALL: PRESENT.id,
}
"""The requirement that can't be observed if a target was never requested."""

_UTF8_BOM: Final = b"\xef\xbb\xbf"

MAX_SNIFFED_LINES: Final = 5
"""How many lines are read to find a file's kind; the first ones may be damaged."""

MAX_SNIFFED_BYTES: Final = 4096
"""In how many bytes of them the beginning of a body is looked for."""


_OTHER_FILES: Final = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (
            rb'\{\s*"format":\s*"sora-harness/verdict/',
            "a verdict of this harness: `sora-harness report {name}` shows it",
        ),
        (rb'\{\s*"format":\s*"sora-harness/comparison/', "what `sora-harness compare` has written"),
        (rb'\{\s*"\$schema":', "a JSON Schema"),
        (rb"(?i)<!doctype html|<html", "an HTML page"),
        (rb"<\?xml|<testsuite", "an XML document"),
    )
)
"""The beginnings of files that people mistake for recordings, with what they are."""


class FileKind(Enum):
    """The kinds of files that can be judged."""

    RECORDING = "recording"
    SORASTATS = "sorastats"
    BODY = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """An open file and its kind."""

    store: InputFile
    kind: FileKind
    edition: str | None = None
    """The edition by which a recording was judged when it was made."""


class CheckStopped(Exception):  # a request, not an error
    """Raised by a caller's `tick` to end the check; what was read by then is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheckResult:
    """A judge that has judged files, with facts about their runs; it replaces the judge in a verdict."""

    judge: Judge
    subject: str
    judged_from: EvidenceSource
    scope: RunScope
    """What the files can show."""
    notes: tuple[str, ...]
    damaged: int
    truncated: bool
    interrupted: bool
    """Whether the check itself was interrupted, not a recorded run."""
    ends: tuple[tuple[str, RecordingEnd], ...]
    """End lines of runs, each with the name of its file."""
    simulator: bool
    """Whether a header line names the simulator as the subject."""
    untimed: frozenset[str]
    """Runs whose clock must not be judged."""

    @property
    def subject_kind(self) -> SubjectKind:
        """The kind of subject, according to responses and header lines."""
        return "simulator" if self.simulator else self.judge.subject_kind

    @property
    def was_interrupted(self) -> bool:
        """Whether the user interrupted a run."""
        return any(end.interrupted for _, end in self.ends)

    @property
    def ending(self) -> RunEnding:
        """How the check and the recorded runs ended."""
        return RunEnding(interrupted=self.interrupted or self.was_interrupted, aborted=self.abort_reasons)

    @property
    def abort_reasons(self) -> str | None:
        """
        The recorded reasons why runs aborted; without any, and if none was interrupted, which server stopped
        responding.
        """
        if reasons := list(dict.fromkeys(end.aborted for _, end in self.ends if end.aborted is not None)):
            return "; ".join(reasons)
        outage = self.judge.outage
        return None if outage is None or self.was_interrupted else outage.description

    @property
    def early_endings(self) -> list[str]:
        """The runs that ended early, one line each."""
        texts = []
        for name, end in self.ends:
            how = ["was interrupted"] if end.interrupted else []
            how += ["ended early"] if end.ended == "aborted" else []
            if how:
                texts.append(": ".join([name, f"run {end.end} {how[0]}", *filter(None, [end.why])]))
        return texts

    def finish(self) -> None:
        """Finish the judge; only the first call has an effect."""
        self.judge.finish()

    def result(self) -> JudgeResult:
        """The judge's result, with damage to the files in its coverage."""
        result = self.judge.result()
        coverage = msgspec.structs.replace(
            result.coverage,
            damaged=result.coverage.damaged + self.damaged,
            truncated=result.coverage.truncated or self.truncated or self.damaged > 0,
        )
        findings = [
            entry
            for entry in result.findings
            if not (
                entry.requirement in _NOT_APPLICABLE_TO_SORASTATS
                and entry.exchanges
                and all(run in self.untimed for run, _ in entry.exchanges)
            )
        ]
        return msgspec.structs.replace(result, coverage=coverage, findings=findings)

    def evidence(self, fingerprint: str) -> Sequence[Exchange]:
        """The exchanges that prove the first finding of an entry, the earlier first."""
        return self.judge.evidence(fingerprint)


def open_files(files: Sequence[str], target: Target | None = None) -> list[OpenedFile]:
    """
    Open files, and find their kinds.

    Args:
        files: Paths, or `-` for the standard input. One that is named twice is opened once.
        target: The target of bodies, if the user named it; then any file that is not a recording is a body.

    Raises:
        RecordingError: One is missing, unreadable, empty or a folder, or neither a recording nor the beginning of a
            body.
    """
    for file in files:
        if is_folder(file):
            raise RecordingError(f"{file} is a folder: name the recordings in it{_report_hint(Path(file))}")
    distinct = {file if file == STDIN_NAME else os.path.realpath(file): file for file in files}
    return [_classify_file(InputFile(file), target) for file in distinct.values()]


def _report_hint(folder: Path) -> str:
    own = (folder / "verdict.json").is_file()
    return f"; it is the folder of a run, which `sora-harness report {folder}` shows" if own else ""


def choose_edition(files: Sequence[OpenedFile], given: str | None) -> tuple[str, list[str]]:
    """
    Choose the edition to judge by: the given one, or else that with which all recordings were made.

    Returns:
        A name or file for `load_edition`, and notes.
    """
    recorded = sorted({file.edition for file in files if file.edition is not None})
    if given is None and len(recorded) == 1 and recorded[0] in edition.shipped_edition_names():
        return recorded[0], []
    chosen = given or edition.DEFAULT_EDITION
    others = [name for name in recorded if name != chosen]
    return chosen, [f"recorded with edition {name}, and judged here by {chosen}" for name in others if given is None]


def _classify_file(store: InputFile, target: Target | None) -> OpenedFile:
    start = b""
    gaps = False
    for piece in islice(store.lines(), MAX_SNIFFED_LINES):
        if not isinstance(piece, bytes):
            gaps = True
            continue
        start = (start + piece[:MAX_SNIFFED_BYTES])[:MAX_SNIFFED_BYTES]
        if sorastats.decode_sorastats_line(piece) is not None:
            return OpenedFile(store=store, kind=FileKind.SORASTATS)
        try:
            line = lines.decode_line(piece)
        except DamagedLineError:
            continue
        return OpenedFile(
            store=store, kind=FileKind.RECORDING, edition=line.edition if isinstance(line, RecordingHeader) else None
        )
    if not start:
        raise RecordingError(f"{store.name} is {'damaged: nothing in it can be read' if gaps else 'empty'}")
    start = start.removeprefix(_UTF8_BOM).lstrip()
    if start.startswith((b'{"format":"sora-harness/recording', b'{"v":', b'{"seq":')):
        return OpenedFile(
            store=store, kind=FileKind.RECORDING
        )  # cut short within its first line: the reader reports that
    if target is None:
        for pattern, what in _OTHER_FILES:
            if pattern.match(start):
                raise RecordingError(
                    f"{store.name} is neither a recording nor a response, but {what.format(name=store.name)}"
                )
    if target is None and not start.startswith((b"{", b"[")):
        raise RecordingError(
            f"{store.name} is neither a recording nor JSON; to judge it as a response's body, give its --target"
        )
    return OpenedFile(store=store, kind=FileKind.BODY)


def judge_files(
    judge: Judge,
    files: Sequence[OpenedFile],
    *,
    target: Target | None = None,
    tick: Callable[[], None] = lambda: None,
    opened: Callable[[RecordingReader], None] = lambda recordings: None,
) -> FileCheckResult:
    """
    Judge files.

    Recordings are judged together, in order of receipt for each run; then recordings of sorastats, then bodies.

    Args:
        judge: For the edition to judge by; the caller finishes it.
        target: Of single bodies; if None an object is GetStatsConnection's, anything else GetStatsAllConnections'.
        tick: Called at every line; it may raise `CheckStopped`.
        opened: Called with the recordings before their first exchange is judged.

    Raises:
        RecordingError: A recording is of another version, or changed while it was read.
    """
    stores = {kind: [file.store for file in files if file.kind is kind] for kind in FileKind}
    polls = [SorastatsReader(store, tick) for store in stores[FileKind.SORASTATS]]
    recordings: RecordingReader | None = None
    interrupted = False
    try:
        if stores[FileKind.RECORDING]:
            recordings = open_recordings(stores[FileKind.RECORDING], tick=tick)
            opened(recordings)
            _judge_recordings(judge, recordings)
        for poll in polls:
            for step in poll:
                judge.judge_recorded(
                    step.exchange, horizon_ns=step.horizon_ns, open_sent_ns=step.open_sent_ns, bare=True
                )
        for store in stores[FileKind.BODY]:
            tick()
            body = store.read()
            judge.judge_bare_body(target or _guess_target(body), body, store.name)
    except CheckStopped:
        interrupted = True
    scopes = [_recorded_scope(recordings)] if recordings is not None else []
    if polls:
        scopes.append(RunScope(observes=_NEEDS_MET_WITHOUT_HTTP, excluded=_NOT_APPLICABLE_TO_SORASTATS))
    if stores[FileKind.BODY]:
        scopes.append(RunScope(observes=_NEEDS_MET_BY_BODIES))
    return FileCheckResult(
        judge=judge,
        subject=", ".join(file.store.name for file in files),
        judged_from="body" if len(stores[FileKind.BODY]) == len(files) else "recording",
        scope=_merge_scopes(scopes),
        notes=(*(recordings.notes if recordings else ()), *(note for poll in polls for note in poll.notes)),
        damaged=(recordings.damaged if recordings else 0) + sum(poll.damaged for poll in polls),
        truncated=recordings is not None and recordings.truncated,
        interrupted=interrupted,
        ends=tuple(recordings.ends) if recordings is not None else (),
        simulator=recordings is not None and any(h.subject_kind == "simulator" for h in recordings.headers),
        untimed=frozenset(run for poll in polls for run in poll.runs),
    )


def _judge_recordings(judge: Judge, recordings: RecordingReader) -> None:
    if len(nodes := _recorded_nodes(recordings.headers)) > 1:
        judge.nodes = nodes
    for step in recordings:
        judge.judge_recorded(step.exchange, horizon_ns=step.horizon_ns, open_sent_ns=step.open_sent_ns)


def _guess_target(body: bytes) -> Target:
    return Target.CONNECTION if body.removeprefix(_UTF8_BOM).lstrip().startswith(b"{") else Target.ALL


def _recorded_nodes(headers: Sequence[RecordingHeader]) -> frozenset[str]:
    """The nodes that a run was told to request, from the options in its header."""
    return frozenset(node for header in headers for node in _string_list(header.options.get("nodes")))


def _recorded_scope(recordings: RecordingReader) -> RunScope:
    """What the runs could see, according to their headers or else their exchanges."""
    scopes = [scope for header in recordings.headers if (scope := _header_scope(header)) is not None]
    if scopes and len(scopes) == len(recordings.headers):
        return _merge_scopes(scopes)
    observes = set(OBSERVED_BY_CLIENTS)
    if recordings.probes:
        observes.add(RequiredCapability.PROBES)
    if len(_recorded_nodes(recordings.headers)) > 1:
        observes.add(RequiredCapability.NODES)
    unseen = {id for target, id in _REQUIREMENT_OF_TARGET.items() if target not in recordings.targets}
    if Target.ALL not in recordings.targets or len(set(recordings.targets)) == 1:
        unseen.add(LISTED.id)
    return RunScope(observes=frozenset(observes), excluded=frozenset(unseen))


def _header_scope(header: RecordingHeader) -> RunScope | None:
    observes, excluded = (header.options.get(name) for name in SCOPE_OPTIONS)
    if observes is None:
        return None
    known = {need.value: need for need in RequiredCapability}
    return RunScope(
        observes=frozenset(known[value] for value in _string_list(observes) if value in known),
        excluded=frozenset(str(id) for id in _string_list(excluded)),
    )


def _string_list(value: object) -> list[str]:
    return [each for each in cast(list[object], value) if isinstance(each, str)] if isinstance(value, list) else []


def _merge_scopes(scopes: Sequence[RunScope]) -> RunScope:
    """The combined scope of several files."""
    observes = frozenset[RequiredCapability]().union(*(scope.observes for scope in scopes))
    shown = frozenset[str]().union(*(scope.requirement_ids() for scope in scopes))
    return RunScope(observes=observes, excluded=RunScope(observes=observes).requirement_ids() - shown)
