"""The reference pages hold all that the code has."""

from __future__ import annotations

from sora_stats_harness.api import edition
from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.reports import reference_pages as reference


def test_every_field_has_its_row() -> None:
    """With type, kind, unit, presence and description, seven cells each; undocumented ones come last."""
    listed = edition.load_edition()
    page = reference.fields_page(listed)
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    names = [row.split("`")[1] for row in rows]
    assert names == [field.dotted for field in (*listed.fields, *listed.undocumented)]
    assert all(row.replace("\\|", "").count("|") == 8 for row in rows)
    assert all(field.description in row for field, row in zip(listed.fields, rows, strict=False))


def test_limits_are_told() -> None:
    """Ranges, closed sets, lengths and forms, as they are judged."""
    limits = {field.dotted: reference.describe_limits(field) for field in edition.load_edition().fields}
    assert limits["network_status.unstable_level"] == "0 to 3"
    assert limits["data_channel.signaling.direction"] == "`sendrecv` or `sendonly` or `recvonly`"
    assert limits["rtp.total_received_rtp"] == "at least 0"
    assert limits["cc.target_bitrate"] == ""


def test_every_requirement_is_explained() -> None:
    """Level, title, reason, source and what a run has to see."""
    page = reference.requirements_page()
    for rule in REQUIREMENTS.values():
        section = page.split(f"### {rule.id}\n", 1)[1].split("\n#", 1)[0]
        for part in (f"**{rule.level.name}.**", rule.title, rule.reason, rule.source, reference.describe_scope(rule)):
            assert part in section, rule.id
        assert reference.describe_scope(rule)
        assert (rule.needs_traffic or "") in section
