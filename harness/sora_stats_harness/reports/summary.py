"""
What reports say in the same words, whatever the format: headline, families, coverage, reasons.

Strings that come from a server are passed on as they are; each format makes them harmless in its own way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..api.exchange import Exchange
from ..judge.requirements import REQUIREMENTS
from ..judge.verdict import (
    DriftEntry,
    EarlierFinding,
    FindingEntry,
    RequirementStatus,
    Section,
    Status,
    Verdict,
    WaiverReport,
)
from .escape import LIMIT
from .report import Report

COMMAND_LIMIT: Final = 4000
"""Characters of a command line that are shown."""

SELF_TEST: Final = "SELF-TEST, no Sora was tested: the answers came from the harness's own simulator."

STATUSES: Final[tuple[Status, ...]] = ("fail", "warn", "known", "waived", "info", "unknown", "pass", "not_applicable")
"""What needs attention first."""

_REASONS: Final = {
    "not_observed": "nothing in this run could show it",
    "no_traffic": "needs traffic that was not there",
    "late": "what it needs came too late",
    "withheld": "a body was left out of the recording, since a secret stood in it",
    "check_crashed": "the check itself crashed",
    "masked": "hidden by another finding at the same place",
}

MAX_GROUPS: Final = 12
"""Groups of fields that a line of coverage names."""

MAX_EARLIER: Final = 20
"""Findings of the baseline that are listed one by one."""

_HOPS: Final = ("server", "age", "via", "x-cache")
"""Answer headers that tell whether a proxy or a cache may be to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All requirements of one family: how many have each status, and how often they were checked and missed."""

    name: str
    statuses: Counter[Status]
    checked: int
    failed: int

    def counts(self) -> str:
        """`1 fail, 7 pass`; what needs attention first."""
        return ", ".join(f"{self.statuses[status]} {word(status)}" for status in STATUSES if self.statuses[status])

    @property
    def worst(self) -> Status:
        """The status that needs attention most."""
        return next(status for status in STATUSES if self.statuses[status])


def is_self_test(verdict: Verdict) -> bool:
    """Whether the simulator answered, and so nothing was learned about a Sora."""
    return verdict.subject_kind == "simulator"


def headline(verdict: Verdict) -> str:
    """One sentence: what the verdict is, and why."""
    if verdict.verdict == "fail":
        text = verdict.reason or "a requirement is missed"
    elif verdict.verdict == "unknown":
        text = verdict.reason or "too little was seen"
    else:
        text = "no MUST and no SHOULD is missed" if verdict.strict else "no MUST is missed"
    counts = Counter(row.status for row in verdict.requirements)
    let_pass = [status for status in ("known", "waived") if counts[status]]
    if verdict.verdict == "pass" and let_pass:
        text += f", apart from what is {' or '.join(let_pass)}"
    extra = [f"{counts[status]} {word(status)}" for status in ("warn", "known", "waived", "info") if counts[status]]
    lapsed = sum(waiver.state == "expired" for waiver in verdict.waivers)
    if lapsed:
        extra.append(f"{number(lapsed, 'waiver')} expired")
    if verdict.interrupted and verdict.reason != "interrupted":
        extra.append("interrupted")
    return f"{text} ({', '.join(extra)})" if extra else text


def statuses(verdict: Verdict) -> dict[str, Status]:
    """Each requirement's status, by its id."""
    return {row.id: row.status for row in verdict.requirements}


def families(verdict: Verdict) -> list[Family]:
    """Every family in the order of the requirements."""
    rows: dict[str, list[RequirementStatus]] = {}
    for row in verdict.requirements:
        rows.setdefault(row.id.partition(".")[0], []).append(row)
    return [
        Family(
            name=name,
            statuses=Counter(row.status for row in members),
            checked=sum(row.checked for row in members),
            failed=sum(row.failed for row in members),
        )
        for name, members in rows.items()
    ]


def title(requirement: str) -> str:
    """What a requirement says; empty for one that this version does not know."""
    rule = REQUIREMENTS.get(requirement)
    return rule.title if rule else ""


def word(status: str) -> str:
    """A status or a verdict in words."""
    return status.replace("_", " ")


def reason(row: RequirementStatus) -> str:
    """Why a requirement was not observed, in words; empty where it was."""
    if row.status == "not_applicable":
        return "outside of what this run could show"
    rule = REQUIREMENTS.get(row.id)
    if row.reason == "no_traffic" and rule and rule.needs_traffic:
        return f"needs {rule.needs_traffic}"
    return _REASONS[row.reason] if row.reason else ""


def unobserved(verdict: Verdict) -> list[tuple[str, list[str]]]:
    """What was not observed: each reason, and the requirements that have it; those out of scope come last."""
    rows: dict[str, list[str]] = {}
    for status in ("unknown", "not_applicable"):
        for row in verdict.requirements:
            if row.status == status:
                rows.setdefault(reason(row), []).append(row.id)
    return list(rows.items())


def where(entry: FindingEntry) -> str:
    """Target and field, and the pointer into the body where it differs."""
    place = f"{entry.target or 'a wrong request'}, {entry.field or 'the whole answer'}"
    return f"{place} (in the body at {entry.pointer})" if entry.pointer not in ("", entry.field) else place


def waiver(report: WaiverReport) -> str:
    """What became of a waiver, and what it says."""
    count = number(report.waived, "finding")
    became = {
        "used": f"{count} waived until {report.until}",
        "unused": "nothing tripped it: take it out",
        "not_observed": "its requirement was not checked in this run",
        "expired": f"its last day was {report.until}, "
        + (f"and {count} count{'' if report.waived > 1 else 's'} again" if report.waived else "and nothing trips it"),
    }[report.state]
    return f"{report.requirement} at {report.field or 'the whole answer'}: {became} ({report.by}: {report.reason})"


def waivers(verdict: Verdict) -> list[tuple[str, str]]:
    """Each waiver: its state, and a line; those to be looked at first."""
    order = ("expired", "unused", "not_observed", "used")
    rows = sorted(verdict.waivers, key=lambda report: order.index(report.state))
    return [(word(report.state), waiver(report)) for report in rows]


def baseline(verdict: Verdict) -> list[tuple[str, str]]:
    """This run against the baseline: a line of counts, then what is fixed or was not seen; empty without a baseline."""
    held = verdict.baseline
    if held is None:
        return []
    counts = f"{held.new:,} new, {held.known:,} known, {len(held.fixed):,} fixed, {len(held.not_seen):,} not seen"
    if held.not_seen:
        counts += " (of what these are about, this run observed nothing)"
    rows = [("against", f"{held.source}, of {held.finished_at}"), ("findings", counts)]
    for label, entries in (("fixed", held.fixed), ("not seen", held.not_seen)):
        rows += [(label, _earlier(entry)) for entry in entries[:MAX_EARLIER]]
        if len(entries) > MAX_EARLIER:
            rows.append((label, f"… and {len(entries) - MAX_EARLIER:,} more, in verdict.json"))
    return rows


_WAYS: Final = {
    "absent": "documented, absent", "undocumented": "present, undocumented", "changed": "otherwise than documented",
    "moved": "moved",
}  # fmt: skip

MAX_DRIFT: Final = 12
"""Differences shown; verdict.json and report.html have all of them."""


def drift(verdict: Verdict) -> list[tuple[str, str]]:
    """What differs between the answers and the documentation, a line a field; empty where nothing does."""
    report = verdict.drift
    if report is None or not report.entries:
        return []
    counts = Counter(entry.way for entry in report.entries)
    rows = [("fields", ", ".join(f"{count:,} {_WAYS[way]}" for way, count in counts.items()))]
    rows += [(entry.way, _difference(entry)) for entry in report.entries[:MAX_DRIFT]]
    if len(report.entries) > MAX_DRIFT:
        rows.append(("", f"… and {len(report.entries) - MAX_DRIFT:,} more, in verdict.json and report.html"))
    near = ", ".join(f"{name} {count:,}" for name, count in sorted(report.distance.items(), key=lambda each: each[1]))
    return [*rows, ("distance", f"fields that differ, by edition: {near}")]


def _difference(entry: DriftEntry) -> str:
    told = {
        "absent": f"{entry.documented} is documented",
        "undocumented": f"seen: {entry.seen}" + (f"; {entry.documented}" if entry.documented else ""),
        "changed": f"{entry.documented} is documented, seen: {entry.seen}",
        "moved": f"now {entry.seen}",
    }[entry.way]
    without = f", not on {entry.connections_without:,}" if entry.connections_without else ""
    since = f", since {entry.first_seen_at}" if entry.first_seen_at else ""
    known = f"; as in {entry.known_from}" if entry.known_from else ""
    where = (
        f"on {number(entry.connections, 'connection')}"
        if entry.connections
        else f"in {number(entry.readings, 'reading')}"
    )
    return f"{entry.field}: {told} ({where}{without}{since}{known})"


FEW: Final = 3
"""Differences up to so many are shown as findings, too."""


def set_apart(verdict: Verdict) -> set[str]:
    """Fingerprints of findings that are told as differences instead, since they would crowd out all others."""
    if verdict.drift is None:
        return set()
    told = {
        entry.fingerprint
        for entry in verdict.findings
        if entry.requirement in ("shape.required", "shape.group", "shape.unknown", "shape.undocumented")
        and (entry.level != "MUST" or verdict.drift.headline is not None)
    }
    fields = sum(entry.way != "changed" for entry in verdict.drift.entries)
    return told if fields > FEW else set()


def recognised(verdict: Verdict) -> str:
    """That the answers are rather those of another edition; empty where they are not."""
    return (verdict.drift.headline or "") if verdict.drift is not None else ""


def _earlier(entry: EarlierFinding) -> str:
    place = f"{entry.target or 'a wrong request'}, {entry.field or 'the whole answer'}"
    return f"{entry.requirement} ({entry.level}) at {place}: {entry.message}"


def facts(report: Report, entry: FindingEntry) -> list[tuple[str, str]]:
    """A finding's rows, label and text, as every format shows them; those that have no text are left out."""
    rows = [
        ("where", where(entry)),
        ("connection", entry.connection_id or ""),
        ("expected", entry.expected),
        ("actual", entry.actual),
        ("seen", seen(entry)),
        ("answered by", hops(report.proof(entry))),
        ("evidence", ", ".join(entry.evidence)),
        ("reproduce", entry.reproduce),
    ]
    return [(label, text) for label, text in rows if text]


def limit(label: str) -> int:
    """How many characters of a fact are shown: a command line is there to be copied whole."""
    return COMMAND_LIMIT if label == "reproduce" else LIMIT


def seen(entry: FindingEntry) -> str:
    """How often, and on how many connections."""
    times = f"{number(entry.count, 'time')}"
    return f"{times} on {number(entry.connections, 'connection')}" if entry.connections else times


def hops(exchanges: Sequence[Exchange]) -> str:
    """The headers of the last answer that tell who stands between: a stale answer may be a proxy's."""
    answer = exchanges[-1].answer if exchanges else None
    if answer is None:
        return ""
    return ", ".join(f"{name}: {value}" for name, value in answer.headers if name.lower() in _HOPS)


def coverage(verdict: Verdict) -> list[tuple[str, str]]:
    """What was covered: short names, and a line each."""
    seen = verdict.coverage
    unseen, still = seen.never_seen, seen.never_grew
    targets = ", ".join(f"{name} {count:,}" for name, count in seen.by_target.items() if count)
    rows = [
        ("exchanges", f"{number(seen.exchanges, 'exchange')}, {seen.errors:,} without a whole answer"),
        ("answers", targets or "none"),
        ("readings", f"{number(seen.readings, 'reading')} of {number(seen.connections, 'connection')}"),
        (
            "fields",
            f"{seen.fields_seen:,} of {seen.fields_documented:,} documented fields seen" + _of(unseen, "; never"),
        ),
        ("counters", f"{seen.counters_grew:,} grew, {len(still):,} were seen and never moved" + _of(still)),
    ]
    losses = [
        (seen.late, "late"),
        (seen.forgotten, "connections forgotten and seen again"),
        (seen.withheld, "bodies withheld"),
        (seen.damaged, "damaged lines"),
        (seen.relations_unconfirmed, "relations missed without neighbours to confirm it"),
    ]
    if told := [f"{count:,} {what}" for count, what in losses if count]:
        rows.append(("losses", ", ".join(told)))
    if seen.slow_path:
        rows.append(("slow path", f"{number(seen.slow_path, 'reading')} judged by the slow path"))
    if seen.truncated:
        rows.append(("truncated", "the recording does not end as it should, or has damaged lines"))
    return rows


def _of(paths: Sequence[str], words: str = "") -> str:
    if not paths:
        return ""
    groups = by_group(paths)
    told = ", ".join(f"{group} {count}" for group, count in groups[:MAX_GROUPS])
    return f"{words}: {told}{', …' if len(groups) > MAX_GROUPS else ''}"


def by_group(paths: Iterable[str]) -> list[tuple[str, int]]:
    """
    Abbreviate a list of fields: each top-level group, and how many of its fields are in the list.

    >>> by_group(["rtp.total_received_rtp", "rtp.total_sent_rtp", "timestamp"])
    [('rtp', 2), ('timestamp', 1)]
    """
    return list(Counter(path.partition(".")[0] for path in paths).items())


def seconds(verdict: Verdict) -> float | None:
    """How long the run took; None where its times cannot be read."""
    try:
        started = datetime.fromisoformat(verdict.started_at)
        finished = datetime.fromisoformat(verdict.finished_at)
        return (finished - started).total_seconds()
    except (ValueError, TypeError):
        return None


def number(count: int, noun: str) -> str:
    """
    A count with its noun.

    >>> number(1, "reading"), number(1200, "reading")
    ('1 reading', '1,200 readings')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def numeric(section: Section) -> list[bool]:
    """For each column of a table, whether it holds numbers alone and stands to the right."""
    return [all(not isinstance(row[i], str) for row in section.rows) for i in range(len(section.columns))]


def cell(value: float | None) -> str:
    """
    A number in a table.

    >>> cell(12345), cell(0.25), cell(None)
    ('12,345', '0.25', '-')
    """
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
