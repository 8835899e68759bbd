"""What waivers cover, for how long, and what is said of those that cover nothing."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from sora_stats_harness.api.project_config import Waiver
from sora_stats_harness.reports.pass_policy import PassPolicy, covers_finding, waiver_report

from .verdicts import entry

LAST = date(2026, 12, 31)


def waiver(requirement: str = "counter.monotonic", field: str = "/rtp/*", until: date = LAST) -> Waiver:
    """With what the tests don't look at filled in."""
    return Waiver(requirement=requirement, field=field, reason="announced", by="Mori", until=until)


@pytest.mark.parametrize(
    ("pattern", "field", "covers"),
    [
        ("/rtp/total_received_rtp", "/rtp/total_received_rtp", True),
        ("/rtp/total_received_rtp", "/rtp/total_received_rtp_byte_size", False),
        ("/rtp/*", "/rtp/total_received_rtp", True),
        ("/rtp/*", "/simulcast/r0/rtp/total_received_rtp", False),
        ("*/rtp/*", "/simulcast/r0/rtp/total_received_rtp", True),
        ("/simulcast/r?/*", "/simulcast/r0/rtp/total_received_rtp", True),
        ("/simulcast/r[12]/*", "/simulcast/r0/rtp/total_received_rtp", False),
        ("/data_channel/#*/total_*", "/data_channel/#*/total_received_messages", True),
        ("/RTP/*", "/rtp/total_received_rtp", False),
        ("", "", True),
        ("", "/rtp/total_received_rtp", False),
        ("*", "", True),
        ("*", "/rtp/total_received_rtp", True),
    ],
)
def test_a_field_is_matched_whole(pattern: str, field: str, covers: bool) -> None:
    """`*` crosses slashes, an empty pattern is for findings about a complete response."""
    assert covers_finding(waiver(field=pattern), entry("counter.monotonic", field=field)) is covers
    assert not covers_finding(waiver("shape.type", pattern), entry("counter.monotonic", field=field))


@pytest.mark.parametrize(
    ("today", "checked", "found", "state", "waived", "status"),
    [
        (LAST, 9, True, "used", 1, "waived"),
        (LAST, 9, False, "unused", 0, None),
        (LAST, 0, False, "not_observed", 0, None),
        (LAST + timedelta(1), 9, True, "expired", 1, "new"),
        (LAST + timedelta(1), 9, False, "expired", 0, None),
        (LAST + timedelta(1), 0, False, "expired", 0, None),
    ],
)
def test_it_holds_up_to_and_on_its_last_day(
    today: date, checked: int, found: bool, state: str, waived: int, status: str | None
) -> None:
    """The day after, what it covered counts; one that nothing trips is told from one that could not be tripped."""
    given = [entry("counter.monotonic")] if found else []
    marked = PassPolicy(waivers=[waiver()], day=today).mark(given)
    assert [each.status for each in marked] == ([status] if status else [])
    report = waiver_report(waiver(), marked, {"counter.monotonic": checked}, today)
    assert (report.state, report.waived, report.until) == (state, waived, "2026-12-31")
    assert all(each.status == "new" for each in given)


def test_one_that_holds_is_enough() -> None:
    """Where an expired one and a living one cover a finding, it is waived, and none of it counts again."""
    waivers = [waiver(until=LAST - timedelta(9)), waiver(), waiver(field="*")]
    marked = PassPolicy(waivers=waivers, day=LAST).mark([entry("counter.monotonic")])
    assert [each.status for each in marked] == ["waived"]
    reports = [waiver_report(each, marked, {}, LAST) for each in waivers]
    assert [(report.state, report.waived) for report in reports] == [("expired", 0), ("used", 1), ("used", 1)]
