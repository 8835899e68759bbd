"""
What several processes of one machine saw, judged together after they have ended.

A counter that falls may be seen by one process before and by another after. So each of them spools every exchange to a
file, and at the end all spools are read side by side, in order of receipt on the clock that the processes of a machine
share, by the very code of `judge_files`. The verdict is that one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Literal

from ..api.edition import Edition
from ..api.exchange import Exchange
from ..api.secret_redaction import NO_SECRETS, Secrets
from ..judge.pipeline import Judge
from ..probe.file_check import FileCheckResult, judge_files, open_files
from ..recording.writer import RecordingWriter
from .load_spec import LOAD_OBSERVES, WORKER_SEQUENCE_BITS
from .request_metrics import RequestMetrics

MAX_QUEUED_EXCHANGES: Final = 200_000
MAX_QUEUED_BYTES: Final = 256 << 20
"""What may wait to be written: a spool that breaks off costs the verdict."""

MAX_SPOOL_BYTES: Final = 1 << 40
"""Of a spool; the disk is full before."""


def create_spool(
    path: Path,
    *,
    edition: str,
    subject: str,
    run: str,
    excluded: Collection[str] = (),
    secrets: Secrets = NO_SECRETS,
    subject_kind: Literal["server", "simulator"] = "server",
) -> RecordingWriter:
    """
    The file of one process; to be entered.

    Args:
        path: Ends in `.zst`.
        edition, subject, run, secrets, subject_kind: As a recorder takes them.
        excluded: Requirements that the run cannot observe.
    """
    return RecordingWriter(
        path,
        subject=subject,
        subject_kind=subject_kind,
        edition=edition,
        run=run,
        secrets=secrets,
        options=recording_scope(excluded),
        limit_bytes=MAX_SPOOL_BYTES,
        queue_count=MAX_QUEUED_EXCHANGES,
        queue_bytes=MAX_QUEUED_BYTES,
    )


def recording_scope(excluded: Collection[str]) -> dict[str, list[str]]:
    """What a load run can show, for the header line of its recording."""
    return {"observes": sorted(need.value for need in LOAD_OBSERVES), "excluded": sorted(excluded)}


class SpoolJudge:
    """
    Judges spools.

    Args:
        edition: To judge by.
        reported: Indexes of the processes whose counts are known; those of all others are taken from their spools.
        began_ns: When the run began, for the timeline of the others.
        observer: Is shown every exchange in order: the recorder.
    """

    def __init__(
        self,
        edition: Edition,
        *,
        reported: Collection[int],
        began_ns: int = 0,
        observer: Callable[[Exchange], None] | None = None,
    ) -> None:
        self._reported = frozenset(reported)
        self._observer = observer
        self.judge = Judge(edition, observer=self._on_judged)
        self.unreported_metrics = RequestMetrics()
        """What those measured that never reported."""
        self.unreported_metrics.start(began_ns)
        self.exchanges_by_worker: dict[int, int] = {}
        """Exchanges in the spools, by the index of their process."""

    def _on_judged(self, exchange: Exchange) -> None:
        index = exchange.seq >> WORKER_SEQUENCE_BITS
        self.exchanges_by_worker[index] = self.exchanges_by_worker.get(index, 0) + 1
        if index not in self._reported:
            self.unreported_metrics.sent += 1
            self.unreported_metrics.record(exchange)
        if self._observer is not None:
            self._observer(exchange)

    def judge_folder(self, folder: Path, tick: Callable[[], None] = lambda: None) -> FileCheckResult:
        """
        Judge all spools in a folder.

        Raises:
            HarnessError: One of them cannot be read.
        """
        spools = sorted(str(path) for path in folder.iterdir() if path.stat().st_size)
        return judge_files(self.judge, open_files(spools), tick=tick)
