"""
What judges on several machines found, added up.

Processes of one machine share a clock, and their exchanges are judged together. Of another machine only what its own
judges found can be had: counts, findings with their evidence, and coverage. They are added up here.

Whether a counter fell between an answer that one machine saw and one that another saw only the server's timestamps can
tell. So each judge sends its last reading of each connection along, and of two of them the one with the earlier timestamp
must have no larger counter; as for answers that overlap, that is a SHOULD. What came before the last reading each judge
has held against its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from ..api.edition import Edition, Kind, pointer
from ..api.exchange import Exchange
from ..api.redaction import NO_SECRETS
from ..judge.checks.subject import TEAR_NS
from ..judge.codec import Codec
from ..judge.judge import Judge
from ..judge.ledger import Ledger
from ..judge.requirements import REQUIREMENTS, Finding
from ..judge.verdict import Coverage, FindingEntry, SubjectKind, Tally
from ..recording import lines
from ..recording.lines import Damaged
from ..reports.assemble import Judged

MAX_EVIDENCE: Final = 20
"""Findings of a process whose exchanges are sent along."""

MAX_EVIDENCE_BYTES: Final = 4 << 20

MAX_CONNECTIONS: Final = 2000
"""Of which a process sends its last reading along, some 2 KB each: the first by their ids, so that all send the same."""

_SUMS: Final = (
    "exchanges", "readings", "errors", "late", "forgotten", "slow_path", "relations_unconfirmed", "damaged", "withheld",
)  # fmt: skip


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """A judge's last reading of a connection."""

    server: str
    stamp_ns: int
    blocks: list[list[int] | None]
    """Counters, -1 where one was absent or unsound."""
    exchange: tuple[str, int]
    """Run and number of the exchange that it was in."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one judge found, as a message."""

    subject_kind: SubjectKind
    tally: Tally
    evidence: dict[str, list[tuple[str, str]]]
    """By fingerprint, each exchange's run and line of a recording."""
    last: dict[str, Last] = {}
    """By connection."""
    answers: list[tuple[str, str]] = []
    """Of the exchanges that those are in, as many as there is room for."""


def report_of(judge: Judge) -> str:
    """Sum a judge up for another machine; JSON."""
    judge.finish()
    tally = judge.tally()
    evidence: dict[str, list[tuple[str, str]]] = {}
    room = MAX_EVIDENCE_BYTES
    for entry in tally.findings[:MAX_EVIDENCE]:
        told = [
            (exchange.run, lines.encode(lines.to_line(exchange, NO_SECRETS)).decode())
            for exchange in judge.evidence(entry.fingerprint)
        ]
        room -= sum(len(line) for _, line in told)
        if room < 0:
            break
        evidence[entry.fingerprint] = told
    plain = msgspec.structs.replace(
        tally, withheld=sorted(tally.withheld), masked=sorted(tally.masked), late=sorted(tally.late)
    )
    last, exchanges = last_of(judge)
    answers: list[tuple[str, str]] = []
    room = MAX_EVIDENCE_BYTES
    for exchange in exchanges.values():
        line = lines.encode(lines.to_line(exchange, NO_SECRETS)).decode()
        room -= len(line)
        if room < 0:
            break
        answers.append((exchange.run, line))
    return msgspec.json.encode(
        Report(subject_kind=judge.subject_kind, tally=plain, evidence=evidence, last=last, answers=answers)
    ).decode()


def last_of(judge: Judge) -> tuple[dict[str, Last], dict[tuple[str, int], Exchange]]:
    """A judge's last reading of each connection, and the exchanges that they are in."""
    readings = sorted(judge.last_readings(), key=lambda each: (each.connection_id, each.stamp_ns))
    last: dict[str, Last] = {}
    exchanges: dict[tuple[str, int], Exchange] = {}
    for each in readings:  # of several runs the newest
        if each.connection_id not in last and len(last) >= MAX_CONNECTIONS:
            break
        last[each.connection_id] = Last(
            server=each.exchange.request.server, stamp_ns=each.stamp_ns, exchange=each.exchange.key,
            blocks=[None if block is None else list(block) for block in each.blocks],
        )  # fmt: skip
        exchanges[each.exchange.key] = each.exchange
    return last, exchanges


class Merged:
    """
    Stands for one judge where there were several.

    Args:
        edition: By which all of them judged.
        here: The judge of this machine's exchanges, or what stands for it; None where there were none.
        reports: What `report_of` gave elsewhere.
        judge: That judge itself.

    Raises:
        msgspec.MsgspecError: One of them is no report.
    """

    def __init__(
        self, edition: Edition, here: Judged | None, reports: Sequence[str], judge: Judge | None = None
    ) -> None:
        self._edition = edition
        self._here = here
        self._reports = [msgspec.json.decode(each, type=Report) for each in reports]
        self._judge = judge
        self._ledger: Ledger | None = None
        """What was found by comparing last readings, once they have been."""
        self._compared = 0

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one answer said so."""
        kinds = {each.subject_kind for each in self._reports}
        if self._here is not None:
            kinds.add(self._here.subject_kind)
        return next((kind for kind in ("simulator", "server") if kind in kinds), "recording")

    def finish(self) -> None:
        """Settle what waits here; elsewhere it has been. Then compare."""
        if self._here is not None:
            self._here.finish()
        if self._ledger is None:
            self._ledger = Ledger()
            self._compare(self._ledger)

    def tally(self) -> Tally:
        """All counts together."""
        tallies = [each.tally for each in self._reports]
        if self._here is not None:
            tallies.insert(0, self._here.tally())
        tally = add(self._edition, tallies)
        if self._ledger is not None:
            tally.checked["order.timestamp"] = tally.checked.get("order.timestamp", 0) + self._compared
            tally.findings = _added([tally.findings, self._ledger.entries()])
        return tally

    def evidence(self, fingerprint: str) -> Sequence[Exchange]:
        """Those of whoever found it first in the order of `tally`."""
        if self._here is not None and (found := self._here.evidence(fingerprint)):
            return found
        for each in self._reports:
            if told := each.evidence.get(fingerprint):
                return [exchange for run, line in told if (exchange := _exchange(run, line)) is not None]
        return self._ledger.evidence(fingerprint) if self._ledger is not None else ()

    def _compare(self, ledger: Ledger) -> None:
        """Hold the last readings of several judges against each other, in the order of the server's timestamps."""
        parts = [each.last for each in self._reports]
        answers = {key: exchange for each in self._reports for key, exchange in _exchanges(each.answers)}
        if self._judge is not None:
            last, exchanges = last_of(self._judge)
            parts.append(last)
            answers |= exchanges
        blocks = Codec(self._edition).blocks
        for connection_id in sorted({id for part in parts for id in part}):
            seen = sorted(
                (part[connection_id] for part in parts if connection_id in part), key=lambda each: each.stamp_ns
            )
            for early, late in pairwise(seen):
                if early.server != late.server or late.stamp_ns - early.stamp_ns <= TEAR_NS:
                    continue
                self._compared += 1
                proof = tuple(answers[each.exchange] for each in (early, late) if each.exchange in answers)
                for block, old, new in zip(blocks, early.blocks, late.blocks, strict=False):
                    for counter, before, after in zip(block.counters, old or (), new or (), strict=False):
                        if 0 <= after < before:
                            path = (*block.path, counter.name)
                            ledger.take(_stamped_late(path, connection_id, before, after, late, proof))


def _stamped_late(
    path: tuple[str, ...], connection_id: str, before: int, after: int, late: Last, proof: tuple[Exchange, ...]
) -> Finding:
    target = proof[-1].request.target if proof and proof[-1].key == late.exchange else None
    return Finding(
        requirement="order.timestamp", level=REQUIREMENTS["order.timestamp"].level,
        target=target.operation if target is not None else None, field=pointer(path), pointer=pointer(path),
        connection_id=connection_id, message="the answer with the earlier timestamp, to another process, has the larger counter",
        expected=f"at least {before}", actual=str(after), fault="stamped late", exchanges=proof,
    )  # fmt: skip


def _exchanges(told: Iterable[tuple[str, str]]) -> Iterator[tuple[tuple[str, int], Exchange]]:
    for run, line in told:
        if (exchange := _exchange(run, line)) is not None:
            yield exchange.key, exchange


def _exchange(run: str, line: str) -> Exchange | None:
    try:
        decoded = lines.decode(line.encode())
        return lines.to_exchange(decoded, run) if isinstance(decoded, lines.ExchangeLine) else None
    except Damaged:
        return None


def add(edition: Edition, tallies: Sequence[Tally]) -> Tally:
    """
    Add up what several judges counted.

    An entry keeps the first one's evidence; of how many connections it was seen on the largest number is kept, since
    nobody knows whether they are the same.
    """
    checked: Counter[str] = Counter()
    crashed: dict[str, str] = {}
    for tally in tallies:
        checked.update(tally.checked)
        crashed = tally.crashed | crashed
    return Tally(
        checked=dict(checked), findings=_added([tally.findings for tally in tallies]),
        coverage=_coverage(edition, [tally.coverage for tally in tallies]), crashed=crashed,
        withheld=_union(tally.withheld for tally in tallies), masked=_union(tally.masked for tally in tallies),
        late=_union(tally.late for tally in tallies),
    )  # fmt: skip


def _added(parts: Sequence[Sequence[FindingEntry]]) -> list[FindingEntry]:
    entries: dict[str, FindingEntry] = {}
    for entry in (entry for part in parts for entry in part):
        known = entries.get(entry.fingerprint)
        if known is None:
            entries[entry.fingerprint] = msgspec.structs.replace(entry)
        else:
            known.count += entry.count
            known.connections = max(known.connections, entry.connections)
    return list(entries.values())


def _union(parts: Any) -> list[str]:  # Any: collections of texts
    return sorted(set().union(*parts))


def _coverage(edition: Edition, parts: Sequence[Coverage]) -> Coverage:
    by_target: Counter[str] = Counter()
    for part in parts:
        by_target.update(part.by_target)
    documented = [field.dotted for field in edition.fields]
    counters = [field.dotted for field in edition.fields if field.kind is Kind.COUNTER]
    never_seen = set(documented).intersection(*(part.never_seen for part in parts))
    grown = set().union(*(set(counters) - {*part.never_grew, *part.never_seen} for part in parts))
    return Coverage(
        **{name: sum(getattr(part, name) for part in parts) for name in _SUMS},
        connections=max((part.connections for part in parts), default=0),
        by_target=dict(by_target),
        fields_documented=len(documented),
        fields_seen=len(documented) - len(never_seen),
        never_seen=[path for path in documented if path in never_seen],
        counters_grew=len(grown),
        never_grew=[path for path in counters if path not in grown and path not in never_seen],
        truncated=any(part.truncated for part in parts),
        notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
    )
