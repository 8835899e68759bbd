"""Every report begins with the cause, and folds what it explains below it."""

from __future__ import annotations

import msgspec
import pytest

from sora_stats_harness.judge.verdict import JudgeResult, ListingChanges
from sora_stats_harness.reports import incident_summary
from sora_stats_harness.reports.report import VerdictReport
from sora_stats_harness.reports.report_formats import report_renderer

from . import verdicts

TARGETS = ("GetStatsConnection", "GetStatsClient", "GetStatsAllConnections")


class Restarted(verdicts.Counted):
    """A judge that saw all connections replaced, and one field in no sample."""

    def result(self) -> JudgeResult:
        """With what the listings showed."""
        result = super().result()
        result.listing_changes = [
            ListingChanges(
                server=verdicts.SERVER, replacements=1, alternations=0, exchanges=[(verdicts.RUN, 3), (verdicts.RUN, 4)]
            )
        ]
        return result


def report() -> VerdictReport:
    """Two causes, three findings that one of them explains, and one that stands for itself."""
    entries = [
        verdicts.entry("shape.required", target=target, fingerprint=f"{place:016x}", count=10_000)
        for place, target in enumerate(TARGETS)
    ]
    return verdicts.build(Restarted([*entries, verdicts.entry("counter.monotonic")]))


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_the_cause_comes_before_any_finding(form: str) -> None:
    """With its sentence, what to do, and how much it explains."""
    text = report_renderer(form)(report())
    order = [
        text.index(part)
        for part in (
            "restart-new-ids",
            "missing-field",
            '<a href="#finding-4">counter.<wbr>monotonic' if form == "html" else "counter.monotonic",
        )
    ]
    assert order == sorted(order)
    assert "3 findings" in text and "Find out why the server was restarted" in text


def test_what_is_explained_is_no_top_finding() -> None:
    """On the terminal it is counted below its cause, and nowhere else."""
    text = report_renderer("text")(report())
    assert text.count("shape.required") == 1 + text.partition("counter.monotonic")[2].count("shape.required")
    assert "3 findings explained by the causes above" in text


def test_markdown_and_html_fold_it() -> None:
    """A reader who wants it opens it."""
    assert "<details><summary>3 findings explained by missing-field</summary>" in report_renderer("markdown")(report())
    assert "3 findings that it explains</summary>" in report_renderer("html")(report())


def test_junit_has_properties() -> None:
    """Its cases stay those of the requirements."""
    text = report_renderer("junit")(report())
    assert '<property name="incident.1.restart-new-ids" value="All connections of' in text
    assert 'name="shape.required"' in text


def test_the_weightiest_cause_comes_first() -> None:
    """A cause that explains nothing, then by the first finding of each, whatever the order in verdict.json."""
    verdict = report().verdict
    template = verdict.incidents[0]
    names = [each.fingerprint for each in verdict.findings]
    verdict.incidents = [
        msgspec.structs.replace(template, id=name, explains=explains)
        for name, explains in (("later", names[2:]), ("earlier", [names[3], names[1]]), ("alone", []))
    ]
    assert [each.id for each in incident_summary.incidents_by_weight(verdict)] == ["alone", "earlier", "later"]
