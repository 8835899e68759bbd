"""A run held against an earlier one: new, known, fixed, and what this run could not have seen."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.project_config import Waiver
from sora_stats_harness.judge.requirements import Finding, Level, Severity
from sora_stats_harness.judge.verdict import BaselineReport, CoverageSummary, FindingEntry, JudgeResult
from sora_stats_harness.judge.verdict_decision import RunScope, decide_verdict
from sora_stats_harness.reports import report_folder as files
from sora_stats_harness.reports.baseline import Baseline, baseline_mismatch, compare_with_baseline, read_baseline
from sora_stats_harness.reports.pass_policy import PassPolicy

from . import verdicts

FIELDS = [field.path for field in edition.load_edition().fields]
RTP = "/rtp/total_received_rtp"


def entry(requirement: str = "counter.monotonic", field: str = RTP, **given: Any) -> FindingEntry:  # Any: its fields
    """Findings of the same requirement and field are the same."""
    return verdicts.entry(requirement, field=field, fingerprint=f"{abs(hash((requirement, field))):016x}"[:16], **given)


def baseline(*entries: FindingEntry) -> Baseline:
    """An earlier run with these findings."""
    return Baseline(source="base.json", verdict=verdicts.build(verdicts.Counted(entries)).verdict)


def tally(*entries: FindingEntry, **given: Any) -> JudgeResult:  # Any: the tally's fields
    """A run that saw all fields, all of whose counters moved."""
    coverage = CoverageSummary(by_target={"GetStatsClient": 100})
    fields: dict[str, Any] = {
        "checked": dict.fromkeys(verdicts.SEEN, 9),
        "findings": list(entries),
        "coverage": coverage,
    }
    return JudgeResult(**(fields | given))


def held_against(earlier: Baseline, *entries: FindingEntry, **policy: Any) -> tuple[list[str], BaselineReport]:
    """The statuses of findings, and the report; Any: what else decides a pass."""
    marked = PassPolicy(baseline=earlier, **policy).mark(entries)
    return [each.status for each in marked], compare_with_baseline(earlier, tally(*marked), FIELDS)


def test_the_same_fingerprint_is_known_whatever_else_differs() -> None:
    """Another connection, another place in the response, another value: the same fault at the same field."""
    again = entry(connection_id="OTHER", pointer="/7/rtp/total_received_rtp", actual="3")
    statuses, report = held_against(baseline(entry()), again, entry("shape.type"))
    assert statuses == ["known", "new"]
    assert (report.new, report.known, report.fixed, report.not_seen) == (1, 1, [], [])
    assert again.status == "new"


def test_what_was_waived_is_not_known() -> None:
    """Only its waiver let it pass; once that is gone it counts."""
    assert held_against(baseline(entry(status="waived")), entry())[0] == ["new"]
    assert held_against(baseline(entry(status="known")), entry())[0] == ["known"]


def test_what_is_waived_is_neither_new_nor_known() -> None:
    """And an expired waiver makes its finding count, though the baseline knows it."""
    waiver = Waiver(requirement="counter.monotonic", field="*", reason="r", by="b", until=date(2026, 12, 31))
    statuses, report = held_against(baseline(entry()), entry(), waivers=[waiver], day=waiver.until)
    assert (statuses, report.new, report.known, report.fixed) == (["waived"], 0, 0, [])
    statuses, _ = held_against(baseline(entry()), entry(), waivers=[waiver], day=waiver.until + timedelta(1))
    assert statuses == ["new"]


def test_a_finding_fails_by_what_decides_the_verdict() -> None:
    """Level, waiver and baseline are asked in one place, which a run that is under way asks as well."""
    finding = Finding(
        requirement="shape.enum",
        level=Level.HABIT,
        target=None,
        field="/ice/state",
        pointer="",
        connection_id=None,
        message="",
        expected="",
        actual="",
        fault="enum",
        exchanges=(),
    )
    waiver = Waiver(requirement="shape.enum", field="/ice/*", reason="r", by="b", until=date(2026, 12, 31))
    known = baseline(verdicts.entry("shape.enum", fingerprint=finding.fingerprint))
    assert not PassPolicy().tolerance.fails(finding, Level.HABIT)
    assert PassPolicy(severity=Severity(fail_on=Level.HABIT)).tolerance.fails(finding, Level.HABIT)
    assert PassPolicy().tolerance.fails(finding, Level.MUST)
    assert not PassPolicy(waivers=[waiver], day=waiver.until).tolerance.fails(finding, Level.MUST)
    assert not PassPolicy(baseline=known).tolerance.fails(finding, Level.MUST)


@pytest.mark.parametrize(
    ("earlier", "run", "fixed"),
    [
        (entry(), {}, True),
        (entry(), {"checked": {}}, False),
        (entry(), {"crashed": {"counter.monotonic": "KeyError"}}, False),
        (entry(target="GetStatsConnection"), {}, False),
        (entry(target=None), {}, True),
        (entry(), {"never_seen": ["rtp.total_received_rtp"]}, False),
        (entry(), {"never_grew": ["rtp.total_received_rtp"]}, False),
        (entry("shape.type"), {"never_grew": ["rtp.total_received_rtp"]}, True),
        (entry("shape.unknown", "/signaling/novelty"), {}, True),
        (entry("shape.unknown", "/signaling/novelty"), {"never_seen": ["signaling.total_sent_signaling_ping"]}, True),
        (
            entry("shape.unknown", "/signaling/novelty"),
            {"never_seen": ["signaling.total_sent_signaling_ping", "signaling.total_received_signaling_pong"]},
            False,
        ),
        (entry("shape.unknown", "/novelty"), {}, True),
        (entry("http.json", ""), {}, True),
        (entry("counter.monotonic", "/data_channel/#*/total_received_messages"), {}, True),
        (
            entry("counter.monotonic", "/data_channel/#*/total_received_messages"),
            {"never_seen": [".".join(path) for path in FIELDS if path[0] == "data_channel"]},
            False,
        ),
    ],
)
def test_fixed_is_only_what_was_looked_for(earlier: FindingEntry, run: dict[str, Any], fixed: bool) -> None:
    """Its requirement was checked, its target asked, its field (or the group around it) there, its counter moving."""
    seen = {name: run[name] for name in ("never_seen", "never_grew") if name in run}
    coverage = CoverageSummary(by_target={"GetStatsClient": 100, "GetStatsConnection": 0}, **seen)
    rest = {name: value for name, value in run.items() if name not in seen}
    report = compare_with_baseline(baseline(earlier), tally(coverage=coverage, **rest), FIELDS)
    names = [[each.fingerprint for each in group] for group in (report.fixed, report.not_seen)]
    assert names == ([[earlier.fingerprint], []] if fixed else [[], [earlier.fingerprint]])


@pytest.mark.parametrize(
    ("other", "hides"),
    [
        (entry("shape.type"), True),
        (entry("shape.group", "/rtp"), True),
        (entry("shape.type", "/rtp/total_sent_rtp"), False),
        (entry("shape.type", target="GetStatsConnection"), False),
        (entry("relation.rtp_subset"), False),
        (entry("http.json", ""), True),
        (entry("http.content_type", ""), False),
        (entry("counter.monotonic", "/rtp/total_sent_rtp"), False),
    ],
)
def test_what_another_finding_may_hide_is_not_fixed(other: FindingEntry, hides: bool) -> None:
    """A counter that has become a text is no longer held against anything: that is no good news."""
    report = compare_with_baseline(baseline(entry()), tally(other), FIELDS)
    assert (len(report.fixed), len(report.not_seen)) == ((0, 1) if hides else (1, 0))


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        ({}, None),
        ({"edition": "doc-2024", "subject_kind": "server"}, None),
        ({"edition": "doc-2025"}, "judged by edition doc-2024, this run is by doc-2025"),
        ({"subject_kind": "simulator"}, "is about a server, this run about a simulator"),
        ({"subject_kind": "recording"}, "is about a server, this run about a recording"),
    ],
)
def test_another_edition_or_subject_is_no_baseline(run: dict[str, Any], complaint: str | None) -> None:
    """How it was judged, live or from a recording, makes no difference."""
    told = baseline_mismatch(baseline(), **run)
    assert told is None if complaint is None else complaint in str(told)


def test_a_baseline_is_read_whole_or_refused(tmp_path: Path) -> None:
    """Missing, unreadable, foreign, of another format: one line with the name."""
    path = tmp_path / "verdict.json"
    path.write_text(files.verdict_to_json(verdicts.failing().verdict), encoding="ascii")
    assert read_baseline(path).verdict == verdicts.failing().verdict
    for text, complaint in (
        ("{}", "is not a verdict: Object missing required field"),
        ("no JSON", "is not a verdict"),
        ("[]", "is not a verdict"),
        ("", "is not a verdict"),
        (files.verdict_to_json(verdicts.failing().verdict).replace("verdict/2", "verdict/1"), "has the format"),
    ):
        path.write_text(text, encoding="ascii")
        with pytest.raises(UsageError) as caught:
            read_baseline(path)
        assert complaint in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
    for other in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_baseline(other)


def test_only_new_findings_fail() -> None:
    """A requirement with nothing but known findings is `known`, and the verdict passes and says so."""
    known, new = entry(), entry("shape.type")
    held = verdicts.build(verdicts.Counted([known]), baseline=baseline(known)).verdict
    assert (held.verdict, held.exit_code) == ("pass", 0)
    assert {row.id: (row.status, row.violations) for row in held.requirements}["counter.monotonic"] == ("known", 3)
    both = verdicts.build(verdicts.Counted([known, new]), baseline=baseline(known)).verdict
    assert (both.verdict, both.exit_code, both.reason) == ("fail", 1, "shape.type is violated")
    assert [each.status for each in both.findings] == ["new", "known"]
    assert both.baseline is not None and (both.baseline.new, both.baseline.known) == (1, 1)


@pytest.mark.parametrize("status", ["known", "waived"])
def test_what_is_let_pass_does_not_make_a_run_whole(status: str) -> None:
    """A run that saw too little stays inconclusive, interrupted stays interrupted."""
    finding = entry(status=status)
    for given, reason in (
        ({"interrupted": True}, "interrupted"),
        ({"require": ["cluster.once"]}, "cluster.once was not checked"),
    ):
        verdict = verdicts.build(verdicts.Counted([finding]), **given).verdict
        assert verdict.verdict == "inconclusive" and str(verdict.reason).startswith(reason)
    for counted, reason, code in (
        ({"withheld": ["counter.monotonic"]}, "withheld", 3),
        ({"crashed": {"counter.monotonic": "KeyError"}}, "check_crashed", 4),
    ):
        outcome = decide_verdict(
            tally(finding, coverage=verdicts.covered(), **counted), RunScope(observes=verdicts.LIVE)
        )
        rows = {row.id: row for row in outcome.requirements}
        assert (rows["counter.monotonic"].status, rows["counter.monotonic"].reason) == ("not_checked", reason)
        assert (outcome.verdict, outcome.exit_code) == ("inconclusive", code)
    empty = verdicts.build(verdicts.Counted([finding], coverage=CoverageSummary())).verdict
    assert (empty.verdict, empty.reason) == ("inconclusive", "no sample was judged")
