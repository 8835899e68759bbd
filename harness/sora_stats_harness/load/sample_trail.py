"""
Keeps samples of each connection over time, thinned out, to compare machines whose clocks can't be compared.

Only the server's timestamps can show that a counter fell between responses to different machines. The last samples
alone do not show a counter that fell and rose again between two responses to another machine. So each judge's newest
samples are noted every second, and all of these are compared at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import gevent
import msgspec

from ..api.exchange import Exchange
from ..judge.edition_decoder import CounterBlock
from ..judge.pipeline import Judge
from ..judge.state import LastSample

NOTE_INTERVAL_S: Final = 1.0

MAX_SAMPLES: Final = 4000
"""How many samples are kept, at some 2 KB each; if there are more, the kept ones are further apart."""

MAX_CONNECTIONS: Final = 2000
"""How many connections are kept: the first ones by id, so that all judges keep the same ones."""

MAX_STEP_SAMPLES: Final = 500
"""How many samples are sent after each step of a search, the first ones by id: a megabyte."""

MAX_EVIDENCE_BYTES: Final = 4 << 20
"""How many response bodies are kept as evidence; of other samples only the counters are kept."""


class NotedSample(msgspec.Struct, frozen=True, kw_only=True):
    """A sample of a connection, as a message."""

    server: str
    stamp_ns: int
    blocks: list[list[int] | None]
    """The counters, -1 for one that was absent or unusable."""
    exchange: tuple[str, int]
    """The run and number of its exchange."""
    target: str | None = None
    """The target of its request."""


class SampleTrail:
    """The samples of one judge, whose newest ones are noted."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._samples: dict[str, list[NotedSample]] = {}
        self._count = 0
        self._distance_ns = 0
        """
        The least distance between the timestamps of two kept samples of a connection; the last one is always kept.
        """
        self._evidence: dict[tuple[str, tuple[str, int]], Exchange] = {}
        """The exchange with a connection's own bytes, by connection and the exchange's key."""
        self._evidence_bytes = 0
        self._noting: Any = None  # Any: gevent has no types

    def start(self) -> None:
        """Note samples every second from now on."""
        self._noting = gevent.spawn(self._note_for_ever)

    def stop(self) -> None:
        """Stop, and note the last samples."""
        if self._noting is not None:
            self._noting.kill()
        self.note()

    def _note_for_ever(self) -> None:
        while True:
            gevent.sleep(NOTE_INTERVAL_S)
            self.note()

    def note(self) -> None:
        """Note the newest sample of each connection, if it is newer than the last one noted."""
        for each in sorted(self.judge.last_samples(), key=lambda each: (each.connection_id, each.stamp_ns)):
            known = self._samples.get(each.connection_id)
            if known is None:
                if len(self._samples) >= MAX_CONNECTIONS:
                    continue
                known = self._samples[each.connection_id] = []
            if known and known[-1].stamp_ns >= each.stamp_ns:
                continue
            self._count += _append_sample(known, _note_sample(each), self._distance_ns)
            self._keep_evidence(each)
        if self._count > MAX_SAMPLES:
            self._thin_out()

    def newest_since(self, since_ns: int) -> dict[str, NotedSample]:
        """The newest sample of each connection that was requested since then; their evidence is kept."""
        self.note()
        samples = sorted(self.judge.last_samples(), key=lambda each: (each.connection_id, each.stamp_ns))
        newest = {each.connection_id: _note_sample(each) for each in samples if each.exchange.sent_ns >= since_ns}
        return dict(islice(newest.items(), MAX_STEP_SAMPLES))

    def _keep_evidence(self, sample: LastSample) -> None:
        exchange = self.judge.cut_evidence(sample)
        key = (sample.connection_id, exchange.key)
        if key in self._evidence or exchange.response is None:
            return
        self._evidence[key] = exchange
        self._evidence_bytes += len(exchange.response.body)
        while self._evidence_bytes > MAX_EVIDENCE_BYTES and self._evidence:
            oldest = self._evidence.pop(next(iter(self._evidence)))
            assert oldest.response is not None, "else it was not kept"
            self._evidence_bytes -= len(oldest.response.body)

    def _thin_out(self) -> None:
        self._distance_ns = max(2 * self._distance_ns, int(NOTE_INTERVAL_S * 1e9))
        for connection_id, known in self._samples.items():
            fewer: list[NotedSample] = []
            for sample in known:
                _append_sample(fewer, sample, self._distance_ns)
            self._samples[connection_id] = fewer
        self._count = sum(len(known) for known in self._samples.values())

    def samples(self) -> dict[str, list[NotedSample]]:
        """The samples of each connection, the earliest first."""
        return self._samples

    def evidence(self) -> Iterator[tuple[str, Exchange]]:
        """The kept exchanges of these samples, each with the connection whose bytes it has."""
        return ((connection_id, exchange) for (connection_id, _), exchange in self._evidence.items())


def fallen_counters(
    blocks: Sequence[CounterBlock], early: NotedSample, late: NotedSample
) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Each counter that is smaller in the later sample: its path, the value before and the value after."""
    for block, old, new in zip(blocks, early.blocks, late.blocks, strict=False):
        for counter, before, after in zip(block.counters, old or (), new or (), strict=False):
            if 0 <= after < before:
                yield (*block.path, counter.name), before, after


def _note_sample(sample: LastSample) -> NotedSample:
    request = sample.exchange.request
    return NotedSample(
        server=request.server,
        stamp_ns=sample.stamp_ns,
        blocks=[None if block is None else list(block) for block in sample.blocks],
        exchange=sample.exchange.key,
        target=None if request.target is None else request.target.operation,
    )


def _append_sample(known: list[NotedSample], sample: NotedSample, distance_ns: int) -> int:
    """Append a sample; it replaces the last one if that is too close to the one before. Returns the number added."""
    if len(known) > 1 and known[-1].stamp_ns < known[-2].stamp_ns + distance_ns:
        known[-1] = sample
        return 0
    known.append(sample)
    return 1
