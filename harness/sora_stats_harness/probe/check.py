"""
Files instead of a server: recordings, recordings of sorastats, and single bodies, shown to the same judge.

What a file is follows from what is in it, never from its name. What each kind can show differs, and so does the scope
of its verdict: a bare body has no order, a line of sorastats no HTTP. Where several kinds are checked together, a
requirement is in scope if one of them can show it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final, cast

import msgspec

from ..api import edition
from ..api.errors import RecordingError
from ..api.exchange import Exchange, Target
from ..judge.judge import Judge
from ..judge.requirements import REQUIREMENTS, Need
from ..judge.verdict import JudgedFrom, SubjectKind, Tally
from ..recording import Header, Recordings, lines, read, sorastats
from ..recording.lines import Damaged, End
from ..recording.sorastats import Sorastats
from ..recording.store import STDIN, Store

SCOPE: Final = ("observes", "excluded")
"""Options of a header line that tell what its run could see: values of `Need`, and ids of requirements."""

_WITHOUT_HTTP: Final = frozenset({Need.BODIES, Need.TIMES})
_BODY_ONLY: Final = frozenset({Need.BODIES})
_RECORDED: Final = frozenset({Need.EXCHANGES, Need.BODIES, Need.ARGUMENTS, Need.TIMES})

_NOT_OF_SORASTATS: Final = frozenset({"identity.present", "clock.offset", "clock.frozen"})
"""It asks for listings alone, and its times are those of writing, on a clock that may be set."""

_OF_TARGET: Final = {
    Target.CONNECTION: "identity.asked", Target.CLIENT: "identity.client", Target.ALL: "identity.present",
}  # fmt: skip
"""What cannot be seen where a target was never asked for."""

_BOM: Final = b"\xef\xbb\xbf"

SNIFFED: Final = 5
"""Lines that are looked at to see what a file is; the first may be damaged."""


class Kind(Enum):
    """What a file is."""

    RECORDING = "recording"
    SORASTATS = "sorastats"
    BODY = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that was opened, and what it is."""

    store: Store
    kind: Kind
    edition: str | None = None
    """By which a recording was judged when it was made."""


class Stopped(Exception):  # no error, but a wish
    """Raised by whoever calls for an end; what was seen by then is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What one file, or some of one kind, can show."""

    observes: frozenset[Need]
    excluded: frozenset[str] = frozenset()

    def ids(self) -> frozenset[str]:
        """The requirements in it."""
        return frozenset(
            rule.id for rule in REQUIREMENTS.values() if rule.needs <= self.observes and rule.id not in self.excluded
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """
    A judge that was shown files, and what the files themselves tell; stands for the judge wherever one is summed up.
    """

    judge: Judge
    subject: str
    judged_from: JudgedFrom
    observes: frozenset[Need]
    excluded: frozenset[str]
    notes: tuple[str, ...]
    damaged: int
    truncated: bool
    interrupted: bool
    """Whether the checking was, not a run that is checked."""
    ends: tuple[tuple[str, End], ...]
    """End lines of runs, each with the name of its file."""
    simulator: bool
    """Whether a header line says that the simulator answered."""
    untimed: frozenset[str]
    """Runs whose clock is not to be judged."""

    @property
    def subject_kind(self) -> SubjectKind:
        """What answered, as far as answers and header lines tell."""
        return "simulator" if self.simulator else self.judge.subject_kind

    @property
    def cut_short(self) -> bool:
        """Whether a run was interrupted by its user."""
        return any(end.interrupted for _, end in self.ends)

    @property
    def aborted(self) -> str | None:
        """
        Why runs ended themselves early, as they said; where none did and none was interrupted, which server fell silent.
        """
        if said := list(dict.fromkeys(end.aborted for _, end in self.ends if end.aborted is not None)):
            return "; ".join(said)
        silence = self.judge.silence
        return None if silence is None or self.cut_short else silence.text

    @property
    def endings(self) -> list[str]:
        """Which runs ended before their time, one line each."""
        told = []
        for name, end in self.ends:
            how = ["was interrupted"] if end.interrupted else []
            how += ["ended early"] if end.ended == "aborted" else []
            if how:
                told.append(": ".join([name, f"run {end.end} {how[0]}", *filter(None, [end.why])]))
        return told

    def finish(self) -> None:
        """Settle what waits; once."""
        self.judge.finish()

    def tally(self) -> Tally:
        """What was counted, with what is wrong with the files."""
        tally = self.judge.tally()
        coverage = msgspec.structs.replace(
            tally.coverage,
            damaged=tally.coverage.damaged + self.damaged,
            truncated=tally.coverage.truncated or self.truncated or self.damaged > 0,
        )
        findings = [
            entry
            for entry in tally.findings
            if not (
                entry.requirement in _NOT_OF_SORASTATS
                and entry.exchanges
                and all(run in self.untimed for run, _ in entry.exchanges)
            )
        ]
        return msgspec.structs.replace(tally, coverage=coverage, findings=findings)

    def evidence(self, fingerprint: str) -> Sequence[Exchange]:
        """The exchanges that prove the first finding of an entry, the earlier first."""
        return self.judge.evidence(fingerprint)


def open_files(files: Sequence[str], target: Target | None = None) -> list[File]:
    """
    Open files, and tell what each is.

    Args:
        files: Paths, or `-` for the standard input. One that is named twice is opened once.
        target: What the user says of bodies; then anything that is no recording is one.

    Raises:
        RecordingError: One is missing, unreadable or empty, or neither a recording nor the beginning of a JSON body.
    """
    distinct = {file if file == STDIN else os.path.realpath(file): file for file in files}
    return [_classify(Store(file), target) for file in distinct.values()]


def edition_for(files: Sequence[File], given: str | None) -> tuple[str, list[str]]:
    """
    Choose the edition to judge by.

    Args:
        files: What `open_files` gave.
        given: What the user asked for; without it recordings are judged as they were when they were made.

    Returns:
        A name or file that `edition.load` takes, and what there is to say about it.
    """
    recorded = sorted({file.edition for file in files if file.edition is not None})
    if given is None and len(recorded) == 1 and recorded[0] in edition.names():
        return recorded[0], []
    chosen = given or edition.DEFAULT
    others = [name for name in recorded if name != chosen]
    return chosen, [f"recorded with edition {name}, and judged here by {chosen}" for name in others if given is None]


def _classify(store: Store, target: Target | None) -> File:
    pieces = (piece for piece in store.lines() if not isinstance(piece, bytes) or piece.strip())
    start = b""
    gaps = False
    for piece in islice(pieces, SNIFFED):
        if not isinstance(piece, bytes):
            gaps = True
            continue
        start += piece
        if sorastats.decode(piece) is not None:
            return File(store=store, kind=Kind.SORASTATS)
        try:
            line = lines.decode(piece)
        except Damaged:
            continue
        return File(store=store, kind=Kind.RECORDING, edition=line.edition if isinstance(line, Header) else None)
    if not start:
        raise RecordingError(f"{store.name} is {'damaged: nothing in it can be read' if gaps else 'empty'}")
    start = start.removeprefix(_BOM).lstrip()
    if start.startswith((b'{"v":', b'{"seq":')):
        return File(store=store, kind=Kind.RECORDING)  # cut short within its first line: the reader says so
    if target is None and not start.startswith((b"{", b"[")):
        raise RecordingError(
            f"{store.name} is neither a recording nor JSON; to judge it as an answer's body, name its --target"
        )
    return File(store=store, kind=Kind.BODY)


def check(
    judge: Judge, files: Sequence[File], *, target: Target | None = None, tick: Callable[[], None] = lambda: None
) -> Checked:
    """
    Show files to a judge.

    Recordings are judged together, in order of receipt for each run; then recordings of sorastats, then bodies.

    Args:
        judge: Of the edition to judge by; is not finished here.
        files: What `open_files` gave.
        target: Of single bodies; if None an object is GetStatsConnection's, anything else GetStatsAllConnections'.
        tick: Called at every line. If it raises `Stopped`, what was seen by then is what was checked.

    Raises:
        RecordingError: A recording is of another version, or changed while it was read.
    """
    stores = {kind: [file.store for file in files if file.kind is kind] for kind in Kind}
    polls = [Sorastats(store, tick) for store in stores[Kind.SORASTATS]]
    recordings: Recordings | None = None
    interrupted = False
    try:
        if stores[Kind.RECORDING]:
            recordings = read(stores[Kind.RECORDING], tick=tick)
            if len(nodes := _nodes(recordings.headers)) > 1:
                judge.nodes = nodes
            for step in recordings:
                judge.replay(step.exchange, horizon_ns=step.horizon_ns, open_sent_ns=step.open_sent_ns)
        for poll in polls:
            for step in poll:
                judge.replay(step.exchange, horizon_ns=step.horizon_ns, open_sent_ns=step.open_sent_ns, bare=True)
        for store in stores[Kind.BODY]:
            tick()
            body = store.read()
            judge.body(target or _target_of(body), body, store.name)
    except Stopped:
        interrupted = True
    scopes = [_recorded_scope(recordings)] if recordings is not None else []
    if polls:
        scopes.append(Scope(observes=_WITHOUT_HTTP, excluded=_NOT_OF_SORASTATS))
    if stores[Kind.BODY]:
        scopes.append(Scope(observes=_BODY_ONLY))
    scope = _together(scopes)
    return Checked(
        judge=judge,
        subject=", ".join(file.store.name for file in files),
        judged_from="body" if len(stores[Kind.BODY]) == len(files) else "recording",
        observes=scope.observes,
        excluded=scope.excluded,
        notes=(*(recordings.notes if recordings else ()), *(note for poll in polls for note in poll.notes)),
        damaged=(recordings.damaged if recordings else 0) + sum(poll.damaged for poll in polls),
        truncated=recordings is not None and recordings.truncated,
        interrupted=interrupted,
        ends=tuple(recordings.ends) if recordings is not None else (),
        simulator=recordings is not None and any(h.subject_kind == "simulator" for h in recordings.headers),
        untimed=frozenset(poll.run for poll in polls),
    )


def _target_of(body: bytes) -> Target:
    return Target.CONNECTION if body.removeprefix(_BOM).lstrip().startswith(b"{") else Target.ALL


def _nodes(headers: Sequence[Header]) -> frozenset[str]:
    """The nodes that a run was told to ask; its header has them among its options."""
    return frozenset(node for header in headers for node in _list(header.options.get("nodes")))


def _recorded_scope(recordings: Recordings) -> Scope:
    """What the runs could see: as their headers tell, else as their exchanges show."""
    scopes = [scope for header in recordings.headers if (scope := _header_scope(header)) is not None]
    if scopes and len(scopes) == len(recordings.headers):
        return _together(scopes)
    observes = set(_RECORDED)
    if recordings.probes:
        observes.add(Need.PROBES)
    if len(_nodes(recordings.headers)) > 1:
        observes.add(Need.NODES)
    unseen = (id for target, id in _OF_TARGET.items() if target not in recordings.targets)
    return Scope(observes=frozenset(observes), excluded=frozenset(unseen))


def _header_scope(header: Header) -> Scope | None:
    observes, excluded = (header.options.get(name) for name in SCOPE)
    if observes is None:
        return None
    known = {need.value: need for need in Need}
    return Scope(
        observes=frozenset(known[value] for value in _list(observes) if value in known),
        excluded=frozenset(str(id) for id in _list(excluded)),
    )


def _list(value: object) -> list[str]:
    return [each for each in cast(list[object], value) if isinstance(each, str)] if isinstance(value, list) else []


def _together(scopes: Sequence[Scope]) -> Scope:
    """The scope of several files: whatever one of them can show."""
    observes = frozenset[Need]().union(*(scope.observes for scope in scopes))
    shown = frozenset[str]().union(*(scope.ids() for scope in scopes))
    return Scope(observes=observes, excluded=Scope(observes=observes).ids() - shown)
