"""
Finds counters that fell from one worker's samples in a step to another worker's in a later step.

No request of a step is sent before the previous step has ended completely. So what a worker saw in a step came before
what any other worker sees in the next one, on whichever machines they are and whatever their clocks show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..api.edition import Edition, make_json_pointer
from ..judge.checks.monotonic import MONOTONIC
from ..judge.edition_decoder import EditionDecoder
from ..judge.requirements import Finding
from .sample_trail import NotedSample, fallen_counters


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFall:
    """A counter that fell, and the samples that show it."""

    finding: Finding
    """The finding without its evidence, which the workers keep until the end."""
    early: NotedSample
    late: NotedSample


class StepFallFinder:
    """Remembers the last sample of each connection that each worker saw."""

    def __init__(self, edition: Edition) -> None:
        self._blocks = EditionDecoder(edition).blocks
        self._last: defaultdict[str, dict[int, NotedSample]] = defaultdict(dict)

    def add_step(self, samples: Mapping[int, Mapping[str, NotedSample]]) -> list[StepFall]:
        """Compare a step's newest samples, by worker and connection, with those of other workers in earlier steps."""
        falls = [
            fall
            for index, seen in samples.items()
            for connection_id, late in seen.items()
            for other, early in self._last[connection_id].items()
            if other != index and early.server == late.server
            for fall in self._falls(connection_id, early, late)
        ]
        for index, seen in samples.items():
            for connection_id, sample in seen.items():
                self._last[connection_id][index] = sample
        return falls

    def _falls(self, connection_id: str, early: NotedSample, late: NotedSample) -> Iterator[StepFall]:
        for path, before, after in fallen_counters(self._blocks, early, late):
            field = make_json_pointer(path)
            finding = Finding(
                requirement=MONOTONIC.id,
                level=MONOTONIC.level,
                target=late.target,
                field=field,
                pointer=field,
                connection_id=connection_id,
                message=f"{'.'.join(path)} fell by {before - after}",
                expected=f"at least {before}",
                actual=str(after),
                fault="fell",  # the same words as the check's, so that it is the same finding
                exchanges=(),
            )
            yield StepFall(finding=finding, early=early, late=late)
