"""
What judges on several machines found, added up.

Processes of one machine share a clock, and their exchanges are judged together. Of another machine only what its own
judges found can be had: counts, findings with their evidence, and coverage. They are added up here; whether a counter
fell between an answer that one machine saw and one that another saw is not judged, and that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..edition import Edition, Kind
from ..exchange import Exchange
from ..judge import Judge
from ..recording import lines
from ..recording.lines import Damaged
from ..redaction import NO_SECRETS
from ..reporters.assemble import Judged
from ..verdict import Coverage, FindingEntry, SubjectKind, Tally

MAX_EVIDENCE: Final = 20
"""Findings of a process whose exchanges are sent along."""

MAX_EVIDENCE_BYTES: Final = 4 << 20

_SUMS: Final = (
    "exchanges", "readings", "errors", "late", "forgotten", "slow_path", "relations_unconfirmed", "damaged", "withheld",
)  # fmt: skip


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one judge found, as a message."""

    subject_kind: SubjectKind
    tally: Tally
    evidence: dict[str, list[tuple[str, str]]]
    """By fingerprint, each exchange's run and line of a recording."""


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
    return msgspec.json.encode(Report(subject_kind=judge.subject_kind, tally=plain, evidence=evidence)).decode()


class Merged:
    """
    Stands for one judge where there were several.

    Args:
        edition: By which all of them judged.
        here: The judge of this machine's exchanges; None where there were none.
        reports: What `report_of` gave elsewhere.

    Raises:
        msgspec.MsgspecError: One of them is no report.
    """

    def __init__(self, edition: Edition, here: Judged | None, reports: Sequence[str]) -> None:
        self._edition = edition
        self._here = here
        self._reports = [msgspec.json.decode(each, type=Report) for each in reports]

    @property
    def subject_kind(self) -> SubjectKind:
        """`simulator` as soon as one answer said so."""
        kinds = {each.subject_kind for each in self._reports}
        if self._here is not None:
            kinds.add(self._here.subject_kind)
        return next((kind for kind in ("simulator", "server") if kind in kinds), "recording")

    def finish(self) -> None:
        """Settle what waits here; elsewhere it has been."""
        if self._here is not None:
            self._here.finish()

    def tally(self) -> Tally:
        """All counts together."""
        tallies = [each.tally for each in self._reports]
        if self._here is not None:
            tallies.insert(0, self._here.tally())
        return add(self._edition, tallies)

    def evidence(self, fingerprint: str) -> Sequence[Exchange]:
        """Those of whoever found it first in the order of `tally`."""
        if self._here is not None and (found := self._here.evidence(fingerprint)):
            return found
        for each in self._reports:
            if told := each.evidence.get(fingerprint):
                return [exchange for run, line in told if (exchange := _exchange(run, line)) is not None]
        return ()


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
    entries: dict[str, FindingEntry] = {}
    crashed: dict[str, str] = {}
    for tally in tallies:
        checked.update(tally.checked)
        crashed = tally.crashed | crashed
        for entry in tally.findings:
            known = entries.get(entry.fingerprint)
            if known is None:
                entries[entry.fingerprint] = msgspec.structs.replace(entry)
            else:
                known.count += entry.count
                known.connections = max(known.connections, entry.connections)
    return Tally(
        checked=dict(checked), findings=list(entries.values()),
        coverage=_coverage(edition, [tally.coverage for tally in tallies]), crashed=crashed,
        withheld=_union(tally.withheld for tally in tallies), masked=_union(tally.masked for tally in tallies),
        late=_union(tally.late for tally in tallies),
    )  # fmt: skip


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
