"""
The texts that all reports share: headline, families, findings, coverage, reasons.

Strings from a server are passed on unchanged; each format escapes them in its own way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..api.exchange import Exchange
from ..judge.checks.shape import GROUP, REQUIRED, UNDOCUMENTED, UNKNOWN
from ..judge.requirements import REQUIREMENTS, Level
from ..judge.verdict import (
    BaselineFinding,
    CoverageSummary,
    DriftEntry,
    FindingEntry,
    RequirementStatus,
    Verdict,
    WaiverReport,
)
from .escaping import DEFAULT_LIMIT_CHARACTERS
from .report import VerdictReport

MAX_COMMAND_CHARACTERS: Final = 4000
"""The most characters of a command line that are shown."""

SELF_TEST_NOTE: Final = "SELF-TEST, no Sora was tested: the responses came from the harness's own simulator."

STATUS_ORDER: Final = (
    *("MUST violated", "PROVEN violated", "HABIT violated", "known", "waived", "INFO violated"),
    *("not checked", "met", "not applicable"),
)
"""The texts of `status_text`, in the order of urgency."""

_REASONS: Final = {
    "not_observed": "nothing in this run could show it",
    "no_traffic": "needs traffic that was not there",
    "late": "some of what it needs came too late",
    "forgotten": "some of what it needs was forgotten, to limit the memory",
    "withheld": "a body was left out of the recording because it contained a secret, or was cut for evidence",
    "check_crashed": "the check itself crashed",
    "masked": "hidden by another finding at the same place",
}

MAX_FIELD_GROUPS: Final = 12
"""How many groups of fields a line of coverage names."""

MAX_BASELINE_FINDINGS: Final = 20
"""How many findings of the baseline are listed one by one."""

_PROXY_HEADERS: Final = ("server", "age", "via", "x-cache")
"""Response headers that show whether a proxy or a cache may be to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySummary:
    """All requirements of one family, and how often they were checked and violated."""

    name: str
    members: Sequence[RequirementStatus]
    worst: RequirementStatus
    """The requirement that needs attention most."""
    checked: int
    violations: int


def status_counts(rows: Iterable[RequirementStatus]) -> str:
    """`1 MUST violated, 7 met`, in the order of urgency."""
    counts = Counter(map(status_text, rows))
    return ", ".join(f"{counts[text]} {text}" for text in STATUS_ORDER if counts[text])


def is_self_test(verdict: Verdict) -> bool:
    """Whether the simulator responded, so that the run says nothing about Sora."""
    return verdict.subject_kind == "simulator"


def verdict_headline(verdict: Verdict) -> str:
    """The verdict and its reason, in one sentence."""
    if verdict.verdict == "fail":
        text = verdict.reason or "a requirement is violated"
    elif verdict.verdict == "inconclusive":
        text = verdict.reason or "too little was seen"
    else:
        text = f"all {fail_on_text(verdict)} requirements were met"
    counts = Counter(status_text(row) for row in verdict.requirements if not row.fails)
    let_pass = [status for status in ("known", "waived") if counts[status]]
    if verdict.verdict == "pass" and let_pass:
        text += f", apart from what is {' or '.join(let_pass)}"
    extra = [f"{counts[text]} {text}" for text in STATUS_ORDER[1:6] if counts[text]]
    lapsed = sum(waiver.state == "expired" for waiver in verdict.waivers)
    if lapsed:
        extra.append(f"{count_with_noun(lapsed, 'waiver')} expired")
    if verdict.aborted and verdict.aborted != verdict.reason:
        extra.append(verdict.aborted)
    if verdict.interrupted and verdict.reason != "interrupted":
        extra.append("interrupted")
    return f"{text} ({', '.join(extra)})" if extra else text


def fail_on_text(verdict: Verdict) -> str:
    """The levels that fail a run, in words: `MUST and PROVEN`."""
    *others, last = [name for name in ("MUST", "PROVEN", "HABIT") if Level[name] >= Level[verdict.fail_on]]
    return f"{', '.join(others)} and {last}" if others else last


def status_text(row: RequirementStatus) -> str:
    """A requirement's status in words: `MUST violated`, `not checked`."""
    return f"{row.violated_level} violated" if row.violated_level else row.status.replace("_", " ")


def status_style(row: RequirementStatus) -> str:
    """The name of the colour and sign that a requirement's status has in every report."""
    if row.violated_level is None:
        return row.status
    return "fail" if row.fails else "info" if row.violated_level == "INFO" else "warn"


def finding_style(report: VerdictReport, entry: FindingEntry) -> str:
    """The same for a finding: that of its requirement, unless it is known or waived."""
    if entry.status != "new":
        return entry.status
    row = next((row for row in report.verdict.requirements if row.id == entry.requirement), None)
    return "fail" if row is None else status_style(row)


def family_summaries(verdict: Verdict) -> list[FamilySummary]:
    """Every family in the order of the requirements."""
    rows: dict[str, list[RequirementStatus]] = {}
    for row in verdict.requirements:
        rows.setdefault(row.id.partition(".")[0], []).append(row)
    return [
        FamilySummary(
            name=name,
            members=members,
            worst=min(members, key=lambda row: STATUS_ORDER.index(status_text(row))),
            checked=sum(row.checked for row in members),
            violations=sum(row.violations for row in members),
        )
        for name, members in rows.items()
    ]


def requirement_title(row: RequirementStatus) -> str:
    """A requirement's title; empty for one that this version does not know."""
    rule = REQUIREMENTS.get(row.id)
    return rule.title if rule else row.title


def not_checked_reason(row: RequirementStatus) -> str:
    """Why a requirement was not observed, in words; empty if it was."""
    if row.status == "not_applicable":
        return "outside of what this run could show"
    rule = REQUIREMENTS.get(row.id)
    if row.reason == "no_traffic" and rule and rule.needs_traffic:
        return f"needs {rule.needs_traffic}"
    return _REASONS[row.reason] if row.reason else ""


def unobserved_requirements(verdict: Verdict) -> list[tuple[str, list[str]]]:
    """The unobserved requirements by reason; those out of scope come last."""
    rows: dict[str, list[str]] = {}
    for status in ("not_checked", "not_applicable"):
        for row in verdict.requirements:
            if row.status == status:
                rows.setdefault(not_checked_reason(row), []).append(row.id)
    return list(rows.items())


MAX_TOP_FINDINGS: Final = 5
"""How many findings a report begins with."""


@dataclass(slots=True, kw_only=True)
class FindingGroup:
    """The findings of one requirement."""

    place: int
    """The number of the first one among all findings."""
    first: FindingEntry
    count: int = 0


def top_findings(verdict: Verdict) -> list[tuple[int, FindingEntry]]:
    """
    The findings that a report begins with, each with its number among all findings.

    The first finding of each requirement comes before any second one, so that a missing group of fields does not hide
    the one counter that fell. Findings that are shown as differences from the documentation, or below an incident, are
    left out.
    """
    apart = fingerprints_shown_apart(verdict)
    rows = [(i, entry) for i, entry in enumerate(verdict.findings, start=1) if entry.fingerprint not in apart]
    seen: Counter[str] = Counter()
    turns = {}
    for place, entry in rows:
        turns[place] = (entry.status != "new", seen[entry.requirement])
        seen[entry.requirement] += 1
    chosen = sorted(turns, key=turns.__getitem__)[:MAX_TOP_FINDINGS]
    return [(place, entry) for place, entry in rows if place in chosen]


def finding_groups(verdict: Verdict, *, without: Iterable[int] = ()) -> list[FindingGroup]:
    """The findings by requirement, except those with some numbers, and those shown elsewhere."""
    left_out, apart = set(without), fingerprints_shown_apart(verdict)
    groups: dict[str, FindingGroup] = {}
    for place, entry in enumerate(verdict.findings, start=1):
        if place not in left_out and entry.fingerprint not in apart:
            groups.setdefault(entry.requirement, FindingGroup(place=place, first=entry)).count += 1
    return list(groups.values())


def explained_fingerprints(verdict: Verdict) -> set[str]:
    """The fingerprints of findings that an incident explains."""
    return {fingerprint for incident in verdict.incidents for fingerprint in incident.explains}


def fingerprints_shown_apart(verdict: Verdict) -> set[str]:
    """The fingerprints of findings that are shown below an incident, or as differences from the documentation."""
    return fingerprints_shown_as_drift(verdict) | explained_fingerprints(verdict)


def findings_title(verdict: Verdict) -> str:
    """How many findings there are, and how many of each level."""
    counts = Counter(entry.level if entry.status == "new" else entry.status for entry in verdict.findings)
    kinds = ", ".join(
        f"{counts[kind]:,} {kind}" for kind in ("MUST", "PROVEN", "HABIT", "INFO", "known", "waived") if counts[kind]
    )
    return f"{count_with_noun(len(verdict.findings), 'finding')}: {kinds}" if kinds else "No finding"


def drift_note(verdict: Verdict) -> str:
    """How many findings are shown as differences from the documentation; empty if none is."""
    apart = len(fingerprints_shown_as_drift(verdict) - explained_fingerprints(verdict))
    return f"{count_with_noun(apart, 'finding')} shown below as differences from the documentation" if apart else ""


def finding_location(entry: FindingEntry) -> str:
    """Target and field, and the pointer into the body if that differs."""
    place = _target_and_field(entry)
    return f"{place} (in the body at {entry.pointer})" if entry.pointer not in ("", entry.field) else place


def _target_and_field(entry: FindingEntry | BaselineFinding) -> str:
    return f"{entry.target or 'a wrong request'}, {entry.field or 'the whole response'}"


def waiver_line(report: WaiverReport) -> str:
    """A waiver's effect, and its content."""
    count = count_with_noun(report.waived, "finding")
    became = {
        "used": f"{count_with_noun(report.waived, 'finding')} waived until {report.until}",
        "unused": "there was nothing to waive: remove it",
        "not_observed": "its requirement was not checked in this run",
        "expired": f"its last day was {report.until}, "
        + (
            f"and {count} count{'' if report.waived > 1 else 's'} again"
            if report.waived
            else "and there is nothing to waive"
        ),
    }[report.state]
    return f"{report.requirement} at {report.field or 'the whole response'}: {became} ({report.by}: {report.reason})"


def waiver_lines(verdict: Verdict) -> list[tuple[str, str]]:
    """Each waiver: its state, and a line; those that need attention first."""
    order = ("expired", "unused", "not_observed", "used")
    rows = sorted(verdict.waivers, key=lambda report: order.index(report.state))
    return [(report.state.replace("_", " "), waiver_line(report)) for report in rows]


def baseline_lines(verdict: Verdict) -> list[tuple[str, str]]:
    """The comparison with the baseline: a line of counts, then fixed and unseen findings; empty without a baseline."""
    report = verdict.baseline
    if report is None:
        return []
    counts = (
        f"{report.new:,} new, {report.known:,} known, {len(report.fixed):,} fixed, {len(report.not_seen):,} not seen"
    )
    if report.not_seen:
        counts += " (this run observed nothing of what these are about)"
    rows = [("against", f"{report.source}, of {report.finished_at}"), ("findings", counts)]
    for label, entries in (("fixed", report.fixed), ("not seen", report.not_seen)):
        rows += [(label, _baseline_finding_line(entry)) for entry in entries[:MAX_BASELINE_FINDINGS]]
        if len(entries) > MAX_BASELINE_FINDINGS:
            rows.append((label, f"… and {len(entries) - MAX_BASELINE_FINDINGS:,} more, in verdict.json"))
    return rows


_DRIFT_WORDS: Final = {
    "absent": "documented but absent",
    "undocumented": "present but undocumented",
    "changed": "different from the documentation",
    "moved": "moved",
}

MAX_DRIFT_ENTRIES: Final = 12
"""How many differences are shown; verdict.json and report.html have all of them."""


def drift_lines(verdict: Verdict) -> list[tuple[str, str]]:
    """The differences between the responses and the documentation, a line per field; empty if there is none."""
    report = verdict.drift
    if report is None or not report.entries:
        return []
    counts = Counter(entry.way for entry in report.entries)
    rows = [("fields", ", ".join(f"{count:,} {_DRIFT_WORDS[way]}" for way, count in counts.items()))]
    rows += [(entry.way, _drift_line(entry)) for entry in report.entries[:MAX_DRIFT_ENTRIES]]
    if len(report.entries) > MAX_DRIFT_ENTRIES:
        rows.append(("", f"… and {len(report.entries) - MAX_DRIFT_ENTRIES:,} more, in verdict.json and report.html"))
    near = ", ".join(f"{name} {count:,}" for name, count in sorted(report.distance.items(), key=lambda each: each[1]))
    return [*rows, ("distance", f"fields that differ, by edition: {near}")]


def _drift_line(entry: DriftEntry) -> str:
    text = {
        "absent": f"{entry.documented} is documented",
        "undocumented": f"seen: {entry.seen}" + (f"; {entry.documented}" if entry.documented else ""),
        "changed": f"{entry.documented} is documented, seen: {entry.seen}",
        "moved": f"now {entry.seen}",
    }[entry.way]
    without = f", not on {entry.connections_without:,}" if entry.connections_without else ""
    since = f", since {entry.first_seen_at}" if entry.first_seen_at else ""
    known = f"; as in {entry.known_from}" if entry.known_from else ""
    where = (
        f"on {count_with_noun(entry.connections, 'connection')}"
        if entry.connections
        else f"in {count_with_noun(entry.samples, 'sample')}"
    )
    return f"{entry.field}: {text} ({where}{without}{since}{known})"


SHOWN_HASH_DIGITS: Final = 16
"""How many digits of a hash are shown; the evidence file has all of it."""

MAX_UNGROUPED_DRIFT: Final = 3
"""Up to this many differences are also shown as findings."""


def fingerprints_shown_as_drift(verdict: Verdict) -> set[str]:
    """Fingerprints of findings that are only shown as differences, since they would hide all others."""
    if verdict.drift is None:
        return set()
    fingerprints = {
        entry.fingerprint
        for entry in verdict.findings
        if entry.requirement in (REQUIRED.id, GROUP.id, UNKNOWN.id, UNDOCUMENTED.id)
        and (entry.level != "MUST" or verdict.drift.headline is not None)
    }
    fields = sum(entry.way != "changed" for entry in verdict.drift.entries)
    return fingerprints if fields > MAX_UNGROUPED_DRIFT else set()


def other_edition_note(verdict: Verdict) -> str:
    """A note that the responses match another edition better; empty if they don't."""
    return "" if verdict.drift is None else verdict.drift.headline or ""


def _baseline_finding_line(entry: BaselineFinding) -> str:
    place = _target_and_field(entry)
    return f"{entry.requirement} ({entry.level}) at {place}: {entry.message}"


def finding_facts(report: VerdictReport, entry: FindingEntry) -> list[tuple[str, str]]:
    """A finding's rows of label and text, for every format; rows without a text are left out."""
    rows = [
        ("where", finding_location(entry)),
        ("connection", entry.connection_id or ""),
        ("expected", entry.expected),
        ("actual", entry.actual),
        ("seen", occurrence_text(entry)),
        ("sent by", proxy_headers(report.evidence_of(entry))),
        ("excerpts", excerpt_texts(report.evidence_of(entry))),
        ("evidence", ", ".join(entry.evidence)),
        ("reproduce", entry.reproduce),
    ]
    return [(label, text) for label, text in rows if text]


def fact_limit(label: str) -> int:
    """How many characters of a fact are shown; a command line is shown in full, to be copied."""
    return MAX_COMMAND_CHARACTERS if label == "reproduce" else DEFAULT_LIMIT_CHARACTERS


def occurrence_text(entry: FindingEntry) -> str:
    """How often a finding occurred, and on how many connections."""
    times = f"{count_with_noun(entry.count, 'time')}"
    return f"{times} on {count_with_noun(entry.connections, 'connection')}" if entry.connections else times


def proxy_headers(exchanges: Sequence[Exchange]) -> str:
    """The headers of the last response that reveal a proxy, which may be the origin of a stale response."""
    response = exchanges[-1].response if exchanges else None
    if response is None:
        return ""
    return ", ".join(f"{name}: {value}" for name, value in response.headers if name.lower() in _PROXY_HEADERS)


def excerpt_texts(exchanges: Sequence[Exchange]) -> str:
    """Which parts of the responses were kept; empty if these were kept whole."""
    texts = [(each.seq, excerpt_text(each)) for each in exchanges]
    return "; ".join(f"response {seq}: {text}" for seq, text in texts if text)


def excerpt_text(exchange: Exchange) -> str:
    """Which part of a response was kept; empty if it was kept whole."""
    excerpt = None if exchange.response is None else exchange.response.excerpt
    if excerpt is None:
        return ""
    kept = sum(part.length for part in excerpt.parts)
    what = {"connections": f"{kept:,} bytes", "ids": "the ids", "text": f"{kept:,} bytes" if kept else "none"}[
        excerpt.of
    ]
    at = f" at {excerpt.parts[0].offset:,}" if excerpt.of != "ids" and kept else ""
    return f"{what}{at} of {excerpt.length:,}, SHA-256 {excerpt.sha256[:SHOWN_HASH_DIGITS]}…"


def coverage_lines(verdict: Verdict) -> list[tuple[str, str]]:
    """The coverage: short names with a line each."""
    seen = verdict.coverage
    unseen, still = seen.never_seen, seen.never_grew
    targets = ", ".join(f"{name} {count:,}" for name, count in seen.by_target.items() if count)
    rows = [
        ("exchanges", f"{count_with_noun(seen.exchanges, 'exchange')}, {_incomplete_text(seen)}"),
        ("responses", targets or "none"),
        ("samples", f"{count_with_noun(seen.samples, 'sample')} of {count_with_noun(seen.connections, 'connection')}"),
        (
            "fields",
            f"{seen.fields_seen:,} of {seen.fields_documented:,} documented fields seen"
            + _counted_paths(unseen, "; never"),
        ),
        ("counters", f"{seen.counters_grew:,} grew, {len(still):,} were seen and never moved" + _counted_paths(still)),
    ]
    losses = [
        (seen.late, "late"),
        (seen.forgotten, "connections forgotten and seen again"),
        (seen.withheld, "bodies withheld"),
        (seen.damaged, "damaged lines"),
        (seen.relations_unconfirmed, "relations violated without neighbours to confirm it"),
    ]
    if seen.unusable:
        count = count_with_noun(len(seen.unusable), "counter")
        rows.append(("unusable", f"{count} with values that could not be used{_counted_paths(seen.unusable)}"))
    if parts := [f"{count:,} {what}" for count, what in losses if count]:
        rows.append(("losses", ", ".join(parts)))
    if seen.slow_path:
        rows.append(("slow path", f"{count_with_noun(seen.slow_path, 'sample')} judged by the slow path"))
    if seen.truncated:
        rows.append(("truncated", "the recording does not end as it should, or has damaged lines"))
    return rows


def _incomplete_text(seen: CoverageSummary) -> str:
    """How many exchanges had no complete response, their share, and the longest time without one."""
    share = f" ({100 * seen.errors / seen.exchanges:.1f} %)" if seen.errors else ""
    gap = f"; none for up to {seen.longest_gap_s:.1f} s" if seen.longest_gap_s else ""
    return f"{seen.errors:,} without a complete response{share}{gap}"


def _counted_paths(paths: Sequence[str], words: str = "") -> str:
    if not paths:
        return ""
    groups = abbreviate_by_group(paths)
    parts = ", ".join(f"{group} {count}" for group, count in groups[:MAX_FIELD_GROUPS])
    return f"{words}: {parts}{', …' if len(groups) > MAX_FIELD_GROUPS else ''}"


def abbreviate_by_group(paths: Iterable[str]) -> list[tuple[str, int]]:
    """
    Abbreviate a list of fields: each top-level group, and how many of its fields are in the list.

    >>> abbreviate_by_group(["rtp.total_received_rtp", "rtp.total_sent_rtp", "timestamp"])
    [('rtp', 2), ('timestamp', 1)]
    """
    return list(Counter(path.partition(".")[0] for path in paths).items())


def run_duration_s(verdict: Verdict) -> float | None:
    """How long the run took; None if its times cannot be read."""
    try:
        took = datetime.fromisoformat(verdict.finished_at) - datetime.fromisoformat(verdict.started_at)
        return took.total_seconds()
    except (ValueError, TypeError):
        return None


def count_with_noun(count: int, noun: str) -> str:
    """
    A count with its noun.

    >>> count_with_noun(1, "sample"), count_with_noun(1200, "sample")
    ('1 sample', '1,200 samples')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
