"""
What several processes of one machine saw, judged together after they have ended.

A counter that falls may be seen by one process before and by another after. So each of them spools every exchange to a
file, and at the end all spools are read side by side, in order of receipt on the clock that the processes of a machine
share, by the very code of `check`. The verdict is that one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Literal

from ..api.edition import Edition
from ..api.exchange import Exchange
from ..api.redaction import NO_SECRETS, Secrets
from ..judge.judge import Judge
from ..probe.check import Checked, check, open_files
from ..recording.writer import Recorder
from .metrics import Metrics
from .spec import NEEDS, SEQ_BITS

QUEUE_COUNT: Final = 200_000
QUEUE_BYTES: Final = 256 << 20
"""What may wait to be written: a spool that breaks off costs the verdict."""

LIMIT_BYTES: Final = 1 << 40
"""Of a spool; the disk is full before."""


def spool(
    path: Path,
    *,
    edition: str,
    subject: str,
    run: str,
    excluded: Collection[str] = (),
    secrets: Secrets = NO_SECRETS,
    subject_kind: Literal["server", "simulator"] = "server",
) -> Recorder:
    """
    The file of one process; to be entered.

    Args:
        path: Ends in `.zst`.
        edition, subject, run, secrets, subject_kind: As a recorder takes them.
        excluded: Requirements that the run cannot observe.
    """
    return Recorder(
        path, subject=subject, subject_kind=subject_kind, edition=edition, run=run, secrets=secrets,
        options=scope(excluded), limit_bytes=LIMIT_BYTES, queue_count=QUEUE_COUNT, queue_bytes=QUEUE_BYTES,
    )  # fmt: skip


def scope(excluded: Collection[str]) -> dict[str, list[str]]:
    """What a load run can show, for the header line of its recording."""
    return {"observes": sorted(need.value for need in NEEDS), "excluded": sorted(excluded)}


class Together:
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
        self.judge = Judge(edition, observer=self._seen)
        self.others = Metrics()
        """What those measured that never reported."""
        self.others.begin(began_ns)
        self.found: dict[int, int] = {}
        """Exchanges in the spools, by the index of their process."""

    def _seen(self, exchange: Exchange) -> None:
        index = exchange.seq >> SEQ_BITS
        self.found[index] = self.found.get(index, 0) + 1
        if index not in self._reported:
            self.others.sent += 1
            self.others.add(exchange)
        if self._observer is not None:
            self._observer(exchange)

    def check(self, folder: Path, tick: Callable[[], None] = lambda: None) -> Checked:
        """
        Judge all spools in a folder.

        Raises:
            HarnessError: One of them cannot be read.
        """
        spools = sorted(str(path) for path in folder.iterdir() if path.stat().st_size)
        return check(self.judge, open_files(spools), tick=tick)
