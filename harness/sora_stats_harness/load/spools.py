"""
Writes each local worker's exchanges to a file, its spool, and judges all spools together at the end.

One worker may see a counter before it falls, and another one after. So each worker writes every exchange to its spool,
and at the end all spools are read in order of receipt, on the clock that the processes of a machine share, by the same
code that judges recordings.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from ..api.edition import Edition, load_edition
from ..api.errors import RecordingError, UsageError
from ..api.exchange import Exchange, Target
from ..api.secret_redaction import NO_SECRETS, Secrets
from ..judge.checks.user_checks import load_check_files
from ..judge.pipeline import Judge, JudgeOptions
from ..judge.requirements import DEFAULT_SEVERITY, Severity
from ..probe.file_check import FileCheckResult, FileKind, OpenedFile, judge_files, open_files
from ..recording.reader import open_recordings
from ..recording.writer import RecordedRun, RecordingLimits, RecordingWriter
from .load_session import LoadSession
from .load_spec import WORKER_SEQUENCE_BITS, LoadSpec
from .request_metrics import RequestMetrics
from .sample_trail import NOTE_INTERVAL_S, SampleTrail

MAX_QUEUED_EXCHANGES: Final = 200_000
MAX_QUEUED_BYTES: Final = 256 << 20
"""The limits of what may wait to be written; if a spool ends early, the order across workers is lost from there on."""

MAX_SPOOL_BYTES: Final = 1 << 40
"""The size limit of a spool, which no disk reaches."""


class WorkerSpool:
    """The spool of one worker in the master's folder; `number` counts the tests in which it takes part in a row."""

    def __init__(self, folder: Path, index: int, number: int = 1) -> None:
        self._path = folder / (f"{index + 1}.jsonl.zst" if number == 1 else f"{index + 1}-{number}.jsonl.zst")
        self._recorder: RecordingWriter | None = None
        self._problem: str | None = None

    def open(
        self,
        session: LoadSession,
        subject_kind: Literal["server", "simulator"] = "server",
        secrets: Secrets = NO_SECRETS,
    ) -> Callable[[Exchange, bool], None] | None:
        """Create the file; returns the function that takes exchanges, or None if that fails, which `close` reports."""
        recorder = RecordingWriter(
            self._path,
            RecordedRun(
                subject=session.address.server,
                subject_kind=subject_kind,
                edition=session.judge.edition.name,
                options=session.spec.scope.to_options(),
                id=session.judge.run,
            ),
            secrets=secrets,
            limits=RecordingLimits(
                file_bytes=MAX_SPOOL_BYTES, queue_count=MAX_QUEUED_EXCHANGES, queue_bytes=MAX_QUEUED_BYTES
            ),
        )
        try:
            recorder.__enter__()
        except UsageError as error:
            self._problem = str(error)
            return None
        self._recorder = recorder
        return recorder.add_exchange

    @property
    def path(self) -> str:
        """The path of the file."""
        return str(self._path)

    def close(self) -> str | None:
        """Write everything that waits; returns why the file is incomplete, or None."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
            self._problem = recorder.problem
        return self._problem


class SpoolFolder:
    """
    The folder of the spools during a run; a context. It is removed at the end, unless something could not be judged.

    Args:
        beside: The recording that is made from the spools, which are put beside it to be found after a kill; None for a
        temporary folder.
        say: Called with the place of the spools, if they stay.

    Raises:
        UsageError: The folder cannot be made.
    """

    def __init__(self, beside: str | None, say: Callable[[str], object]) -> None:
        self._say = say
        self.is_kept = False
        """Whether the folder stays in any case."""
        if beside is None:
            self.path: Path = Path(tempfile.mkdtemp(prefix="sora-harness-"))
            return
        self.path = Path(f"{beside}.parts")
        try:
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(f"--record: the folder {self.path} cannot be made: {error.strerror or error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (self.is_kept or error is not None) and any(each.stat().st_size for each in self.path.iterdir()):
            self._say(f"what the workers saw is kept in {self.path}: sora-harness check {self.path}/*")
        else:
            shutil.rmtree(self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class JudgingRules:
    """What the judges of a run need."""

    edition: Edition
    check_files: Sequence[str] = ()
    """Files with the user's own checks."""
    tear_s: float | None = None
    """How far apart the server stamps a response and reads its counters; None if unknown."""
    severity: Severity = DEFAULT_SEVERITY

    @classmethod
    def of(cls, spec: LoadSpec) -> JudgingRules:
        """The rules of a run."""
        return cls(load_edition(spec.edition), spec.checks, spec.tear_s, spec.severity)

    def make_judge(self, observer: Callable[[Exchange], None]) -> Judge:
        """Make a judge that shows every judged exchange to the observer."""
        return Judge(
            self.edition,
            observer=observer,
            checks=load_check_files(self.check_files),
            options=JudgeOptions(tear_s=self.tear_s, severity=self.severity),
        )


class SpoolJudge:
    """
    Judges spools.

    Args:
        reported: Indexes of the workers that reported counts; those of all others are taken from their spools.
        began_ns: When the run began, for the timeline of the others.
        observer: Called with every exchange in order, to record it.
    """

    def __init__(
        self,
        rules: JudgingRules,
        *,
        reported: Collection[int],
        began_ns: int,
        observer: Callable[[Exchange], None] | None,
    ) -> None:
        self._reported = frozenset(reported)
        self._observer = observer
        self.judge: Judge = rules.make_judge(self._on_judged)
        self.trail: SampleTrail = SampleTrail(self.judge)
        """The samples to compare with workers on other machines."""
        self._noted_ns = 0
        self.unreported_metrics: RequestMetrics = RequestMetrics()
        """The metrics of workers that never reported."""
        self.unreported_metrics.start(began_ns)
        self.exchanges_by_worker: dict[int, int] = {}
        """The number of exchanges in the spools, by the index of their worker."""
        self.unreadable: list[str] = []
        """Unreadable spools, and why they are."""

    def _on_judged(self, exchange: Exchange) -> None:
        index = exchange.seq >> WORKER_SEQUENCE_BITS
        self.exchanges_by_worker[index] = self.exchanges_by_worker.get(index, 0) + 1
        if index not in self._reported:
            self.unreported_metrics.sent += 1
            self.unreported_metrics.record(exchange)
        if exchange.received_ns > self._noted_ns + NOTE_INTERVAL_S * 1e9:
            self._noted_ns = exchange.received_ns
            self.trail.note()
        if self._observer is not None:
            self._observer(exchange)

    def judge_spools(self, paths: Iterable[Path], tick: Callable[[], None]) -> FileCheckResult | None:
        """
        Judge spools together; an unreadable one is skipped, and noted in `unreadable`.

        Returns:
            The result; None if there is nothing to judge.

        Raises:
            HarnessError: A spool changed while it was read.
        """
        files = []
        for path in sorted(paths):
            try:
                file = open_spool(path)
            except RecordingError as error:
                self.unreadable.append(str(error))
            else:
                files += [] if file is None else [file]
        checked = judge_files(self.judge, files, tick=tick) if files else None
        self.trail.note()
        return checked


def open_spool(path: Path) -> OpenedFile | None:
    """
    Open a spool; None if it is empty, as of a worker that died before it wrote anything.

    Raises:
        RecordingError: Nothing in it can be read.
    """
    if not path.stat().st_size:
        return None
    (file,) = open_files([str(path)], Target.ALL)  # so that anything that is not a recording counts as a body
    if file.kind is not FileKind.RECORDING:
        raise RecordingError(f"{path} is not a recording")
    if file.edition is None:  # the header line is missing: check whether there is anything
        open_recordings([file.store])
    return file
