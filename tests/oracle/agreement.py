"""
Judge against reference, many times over: what the tests do a hundred times and `scripts/proof.py` ten thousand times.

Each function raises AssertionError at the first disagreement, naming the seed that shows it again, and otherwise gives
how much it compared.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from unittest import mock

from sora_stats_harness.api.edition import Edition
from sora_stats_harness.judge import exchange_queue
from sora_stats_harness.judge import pipeline as judge
from sora_stats_harness.judge.requirements import Finding, Level

from . import documents, histories, judged, reference, torn


def replayed(edition: Edition, seeds: Iterable[int]) -> Counter[str]:
    """Replay histories, told what is still to come and not; `histories`, `exchanges`, `falls`."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        events = histories.by_receipt(histories.history(seed, edition))
        expected = reference.falls(edition, [event.seen for event in events])
        for horizon in (False, True):
            found = judged.falls(edition, events, horizon=horizon)
            assert set(found) == expected, f"history {seed}, horizon {horizon}"
            assert len(found) == len(expected), f"history {seed}: a finding twice"
        counted.update(histories=1, exchanges=len(events), falls=len(expected))
    return counted


def gaps(edition: Edition, seeds: Iterable[int]) -> Counter[str]:
    """The same of data channels that are missing once; `gaps`, and `proven` of the server's own."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        events = histories.by_receipt(histories.history(seed, edition))
        expected = reference.gaps(edition, [event.seen for event in events])
        for horizon in (False, True):
            found = judged.gaps(edition, events, horizon=horizon)
            assert {gap for gap, _ in found} == expected, f"history {seed}, horizon {horizon}"
            assert len(found) == len(expected), f"history {seed}: a finding twice"
            assert all((level is Level.PROVEN) is (gap.label[0] != "#") for gap, level in found), f"history {seed}"
        proven = sum(gap.label[0] != "#" for gap in expected)
        counted.update(histories=1, gaps=len(expected), proven=proven)
    return counted


def read_from_files(edition: Edition, seeds: Iterable[int], folder: Path) -> Counter[str]:
    """The same through recordings, one a run, with their lines in any order, checked in one call."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        place = folder / str(seed)
        place.mkdir()
        events = histories.by_receipt(histories.history(seed, edition))
        paths = judged.record(place, [event.exchange for event in events], Random(seed))
        findings, _ = judged.check_files(edition, paths)
        found = [judged.as_fall(finding) for finding in findings if finding.requirement == "counter.monotonic"]
        expected = reference.falls(edition, [event.seen for event in events])
        assert set(found) == expected, f"history {seed}"
        assert len(found) == len(expected), f"history {seed}: a finding twice"
        counted.update(histories=1, exchanges=len(events), falls=len(expected))
    return counted


def live(edition: Edition, seeds: Iterable[int]) -> Counter[str]:
    """One run of each history with tickets, on a clock of our own; judged at once, and soon."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        events = [e for e in histories.history(seed, edition) if e.seen.run == "run-0" and e.seen.clock == "one"]
        for soon in (False, True):
            found, expected = _play(edition, events, soon=soon)
            assert found == expected, f"history {seed}, soon {soon}"
        counted.update(histories=1, exchanges=len(events), falls=len(expected))
    return counted


def _play(
    edition: Edition, events: Sequence[histories.Event], *, soon: bool
) -> tuple[set[reference.Fall], set[reference.Fall]]:
    """Where responses are judged `soon`, that is at every seventh moment, and as soon as too many wait."""
    now = 0
    later: list[Callable[[], None]] = []
    clock = SimpleNamespace(monotonic_ns=lambda: now, time_ns=lambda: now, gmtime=time.gmtime, strftime=time.strftime)
    heard = judged.Heard()
    here = judge.Judge(
        edition,
        run="live",
        on_finding=lambda finding: heard.findings.append(finding),
        options=judge.JudgeOptions(soon=later.append if soon else None),
    )
    tickets: dict[int, exchange_queue.PendingExchange] = {}
    ended: list[reference.Seen] = []
    moments = [(event.seen.sent_ns, 0, event.seen.seq, event) for event in events]
    moments += [(event.seen.received_ns, 1, event.seen.seq, event) for event in events]
    with mock.patch.object(exchange_queue, "time", clock):
        for place, (moment, end, seq, event) in enumerate(sorted(moments, key=lambda moment: moment[:3])):
            now = moment  # what the judge's clock shows
            if place % 7 == 0:
                while later:
                    later.pop()()
            if not end:
                tickets[seq] = here.begin_exchange(event.exchange.request)
                continue
            exchange = tickets[seq].complete(event.exchange.response, event.exchange.error)
            assert (exchange.sent_ns, exchange.received_ns) == (event.seen.sent_ns, event.seen.received_ns)
            ended.append(replace(event.seen, run="live", clock="here", seq=exchange.seq))
        here.finish()
    # of responses received at one instant, the one whose ticket was ended first comes first
    expected = reference.falls(edition, [replace(one, seq=place) for place, one in enumerate(ended)])
    found = {judged.as_fall(finding) for finding in heard.findings if finding.requirement == "counter.monotonic"}
    return found, {
        replace(fall, later=("live", ended[fall.later[1]].seq), earlier=("live", ended[fall.earlier[1]].seq))
        for fall in expected
    }


def legal(edition: Edition, seeds: Iterable[int]) -> Counter[str]:
    """Histories without a fault: nothing is found in any; `histories`, `samples`."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        events = histories.by_receipt(histories.history(seed, edition, faulty=False))
        one, heard = judged.listen(edition)
        judged.replay(one, [event.exchange for event in events], horizon=True)
        one.finish()
        assert one.result().crashed == {}, f"history {seed}"
        found = [(finding.requirement, finding.field) for finding in heard.findings]
        assert found == [], f"history {seed}: {found}"
        bodies = [event.seen.body for event in events]
        counted.update(histories=1, samples=sum(len(body) if isinstance(body, list) else 1 for body in bodies))
    return counted


def bodies(edition: Edition, seeds: Iterable[int], *, fresh: bool) -> Counter[str]:
    """
    Hold what is said of bodies against the reference.

    Args:
        edition: The field list.
        seeds: One body each.
        fresh: Whether each body has a judge of its own, rather than one that has learned from those before.

    Returns:
        How many `bodies` there were, how many left the fast path (`slow`), and how many missed each requirement.
    """
    return _bodies(edition, ((f"body {seed}", documents.document(seed, edition)) for seed in seeds), fresh=fresh)


@cache
def base() -> documents.Json:
    """A sound connection of the small edition; not to be changed."""
    return next(
        event.seen.body
        for seed in range(100)
        for event in histories.history(seed, faulty=False)
        if isinstance(event.seen.body, dict)
    )


def window_edges_ns(*, fresh: bool, step: int = 1) -> Counter[str]:
    """As `bodies`, with every value on which parsers disagree at every kind of place, or every so-many-th."""
    named = ((f"edge {place}: {one.body!r}", one) for place, one in enumerate(documents.window_edges_ns(base(), step)))
    return _bodies(histories.SMALL, named, fresh=fresh)


def _bodies(edition: Edition, named: Iterable[tuple[str, documents.Document]], *, fresh: bool) -> Counter[str]:
    counted: Counter[str] = Counter()
    one, heard = judged.listen(edition)
    slow = 0
    for name, document in named:
        if fresh:
            one, heard = judged.listen(edition)
            slow = 0
        found = judged.document_findings(one, heard, document.body, many=document.many)
        expected = reference.document_findings(edition, document.body, many=document.many)
        assert set(found) == expected, f"{name[:2000]}: missing {expected - set(found)}, extra {set(found) - expected}"
        assert len(found) == len(expected), f"{name}: a finding twice"
        before, slow = slow, one.result().coverage.slow_path
        counted.update(
            bodies=1, slow=slow > before or not expected.isdisjoint({("http.json", ""), ("http.json_limits", "")})
        )
        counted.update({requirement for requirement, _ in expected} or {"nothing"})
    return counted


def certain(edition: Edition, history: Sequence[torn.Poll]) -> list[Finding]:
    """Everything that a judge says of a history with more than INFO."""
    one, heard = judged.listen(edition)
    judged.replay(one, [poll.exchange for poll in history], horizon=True)
    one.finish()
    assert one.result().crashed == {}
    return [finding for finding in heard.findings if finding.level > Level.INFO]


def torn_reads(edition: Edition, seeds: Iterable[int], *, steps: int = 160, stepped_ns: int = 0) -> Counter[str]:
    """A correct server that tears its reads, asked by three at once, is not accused; `samples`, `inconsistent`."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        rng = Random(seed)
        history = torn.polls(rng, torn.world(rng, edition, steps), pollers=3, stepped_ns=stepped_ns)
        assert certain(edition, history) == [], f"world {seed}"
        inconsistent = sum(bool(reference.missed_relations(poll.document)) for poll in history)
        counted.update(samples=len(history), inconsistent=inconsistent)
    return counted


def planted(edition: Edition, seeds: Iterable[int], *, faults: int = 4) -> Counter[str]:
    """With one poller, the relations that are said to be missed are those of the P, R, N rule; `planted`, `certain`."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        rng = Random(seed)
        states = torn.world(rng, edition, 100)
        for _ in range(faults):
            history, _ = torn.plant(rng, torn.polls(rng, states, pollers=1))
            found = [
                (finding.requirement, finding.field, finding.exchanges[1].seq)
                for finding in certain(edition, history)
                if finding.requirement.startswith("relation.")
            ]
            expected = sorted(torn.expected(history))
            assert sorted(found) == expected, f"world {seed}"
            counted.update(planted=1, certain=bool(expected), samples=len(history))
    return counted


def alone(edition: Edition, seeds: Iterable[int]) -> Counter[str]:
    """Of a bare body, each relation is compared as it stands; `bodies`, `missed`."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        document = torn.off(Random(seed), edition)
        one, heard = judged.listen(edition)
        expected = sorted(reference.missed_relations(document))
        assert judged.relations(one, heard, document) == expected, f"body {seed}"
        counted.update(bodies=1, missed=bool(expected))
    return counted


def one_below(edition: Edition, samples: int, seed: int, folder: Path) -> tuple[reference.Fall, int]:
    """
    Check a long recording in which one counter of one sample is one below what was known: that is found, and nothing
    else but a relation that this counter then breaks in the same response.

    Returns:
        The fall, and how many samples were judged.
    """
    exchanges, fall = histories.one_below(samples, seed=seed, edition=edition)
    findings, checked = judged.check_files(edition, judged.record(folder, exchanges, Random(seed), window=50))
    found = [judged.as_fall(finding) for finding in findings if finding.requirement == "counter.monotonic"]
    assert found == [fall], f"seed {seed}: expected {fall}, found {found}"
    others = [
        finding for finding in findings if finding.level > Level.INFO and finding.requirement != "counter.monotonic"
    ]
    for finding in others:
        assert finding.requirement.startswith("relation."), finding
        assert fall.later in [exchange.key for exchange in finding.exchanges], finding
    return fall, checked.result().coverage.samples
