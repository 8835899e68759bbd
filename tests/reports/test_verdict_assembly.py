"""From a judge's counts to a verdict: order, evidence, command lines, and no secret anywhere."""

from __future__ import annotations

import json

import msgspec
import pytest

from sora_stats_harness.api.secret_redaction import Secrets
from sora_stats_harness.judge.verdict import FindingEntry
from sora_stats_harness.reports import verdict_assembly as assemble

from . import verdicts


def test_the_judge_is_finished_once() -> None:
    """What waits for a neighbour is settled before the counts are read."""
    judge = verdicts.Counted()
    verdicts.build(judge)
    assert judge.finished == 1


def test_the_weightiest_finding_comes_first() -> None:
    """MUST before HABIT before INFO, each in the registry's order, whatever the order in which they arose."""
    ids = [entry.requirement for entry in verdicts.failing().verdict.findings]
    assert ids == ["counter.monotonic", "shape.unknown", "shape.undocumented"]


def test_findings_get_evidence_and_a_command_line() -> None:
    """Where exchanges were kept; a finding without any has neither."""
    order, _, known = verdicts.failing().verdict.findings
    assert order.evidence == ["evidence/001-counter.monotonic.jsonl"]
    assert order.reproduce.startswith("curl ")
    assert (known.evidence, known.reproduce) == ([], "")


def test_a_bare_body_has_no_request_to_show() -> None:
    """Nobody asked for it, so there is no command line and no evidence but the file; the subject is a recording."""
    entry = verdicts.entry("shape.required")
    judge = verdicts.Counted([entry], evidence={entry.fingerprint: verdicts.EARLIER_AND_LATER})
    report = verdicts.build(judge, judged_from="body")
    assert report.verdict.subject_kind == "recording"
    assert report.verdict.findings[0].reproduce == ""
    assert report.evidence_of(report.verdict.findings[0]) == ()


@pytest.mark.parametrize(
    ("kind", "judged_from", "shown"),
    [
        ("server", "live", "server"),
        ("server", "recording", "server"),
        ("simulator", "live", "simulator"),
        ("simulator", "body", "simulator"),
    ],
)
def test_who_saw_the_simulator_says_so(kind: str, judged_from: str, shown: str) -> None:
    """The judge knows by the responses, and nothing else decides."""
    report = verdicts.build(verdicts.Counted(kind=kind), judged_from=judged_from)  # type: ignore[arg-type]  # a table
    assert report.verdict.subject_kind == shown


@pytest.mark.parametrize(("findings", "code"), [([], 4), ([verdicts.entry("shape.required")], 1)])
def test_a_run_that_broke_off_says_so_also_where_a_finding_decides(findings: list[FindingEntry], code: int) -> None:
    """The harness is at fault, and what it had found counts."""
    verdict = verdicts.build(verdicts.Counted(findings), broken="the run broke off: a bug").verdict
    assert (verdict.exit_code, verdict.aborted) == (code, "the run broke off: a bug")


def test_no_secret_is_in_a_verdict() -> None:
    """Whatever string it stood in: messages, values, notes, labels, options and command lines are all gone through."""
    text = "token sesame-4711 refused"
    finding = verdicts.entry(
        "identity.asked", message=text, expected=text, actual=text, connection_id=text, field=f"/{text}"
    )
    coverage = verdicts.covered()
    coverage.notes = [text]
    report = verdicts.build(
        verdicts.Counted([finding], coverage=coverage, evidence={finding.fingerprint: verdicts.EARLIER_AND_LATER}),
        subject=f"http://{text}",
        labels={text: text},
        options={"deep": [{text: text}]},
        notes=[text],
        secrets=Secrets(["Bearer sesame-4711"]),
    )
    assert "sesame" not in json.dumps(msgspec.to_builtins(report.verdict))
    assert report.verdict.findings[0].message == "token [redacted] refused"


def test_no_secret_is_in_the_evidence() -> None:
    """Neither in what is shown nor in what is written: a body that holds one is withheld, headers are emptied."""
    finding = verdicts.entry("counter.monotonic")
    leaky = verdicts.exchange(23, verdicts.body(1016).replace(b"lobby", b"sesame-4711"))
    judge = verdicts.Counted([finding], evidence={finding.fingerprint: (verdicts.EARLIER_AND_LATER[0], leaky)})
    report = verdicts.build(judge, secrets=Secrets(["sesame-4711"]))
    assert "sesame" not in repr(report)
    earlier, later = report.evidence_of(report.verdict.findings[0])
    assert earlier.response is not None
    assert earlier.response.body == verdicts.body(1017)
    assert later.response is not None
    assert later.response.withheld


def test_the_tally_is_left_as_it_was() -> None:
    """Assembling twice from one judge gives the same: entries are copied before they get their evidence."""
    entry = verdicts.entry("counter.monotonic")
    judge = verdicts.Counted([entry], evidence={entry.fingerprint: verdicts.EARLIER_AND_LATER})
    first = verdicts.build(judge, notes=["x"])
    second = verdicts.build(judge, notes=["x"])
    assert first == second
    assert entry.evidence == []


def test_lone_surrogates_are_spelled() -> None:
    """verdict.json is UTF-8, and some JSON parsers refuse half a pair."""
    report = verdicts.hostile("half \ud800 pair")
    assert report.verdict.findings[0].actual == "half \\ud800 pair"


def test_every_finding_names_its_evidence() -> None:
    """However many there are: the judge has bounded what is kept of each."""
    entries = [verdicts.entry("shape.unknown", field=f"/f{i}", fingerprint=f"{i:016x}") for i in range(300)]
    kept = {entry.fingerprint: verdicts.EARLIER_AND_LATER for entry in entries}
    report = verdicts.build(verdicts.Counted(entries, evidence=kept))
    assert len({name for entry in report.verdict.findings for name in entry.evidence}) == 300
    assert report.verdict.coverage.notes == verdicts.build(verdicts.Counted(entries)).verdict.coverage.notes


def test_now_is_rfc_3339_in_utc() -> None:
    """With milliseconds and a Z, as the documentation's own stamps."""
    assert len(assemble.format_utc_now()) == len("2026-11-24T03:15:00.000Z")
    assert assemble.format_utc_now().endswith("Z")
