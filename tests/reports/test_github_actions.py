"""What GitHub Actions is told, and that no server can tell it anything."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sora_stats_harness.judge.requirements import Level, Severity
from sora_stats_harness.judge.verdict import decode_verdict
from sora_stats_harness.reports import github_actions as github
from sora_stats_harness.reports import report_folder as files
from sora_stats_harness.reports import terminal
from sora_stats_harness.reports.escaping import escape_invisible

from ..examples import some_of
from . import verdicts

COMMANDS = ("error", "warning", "notice", "add-mask", "stop-commands", "set-output", "debug", "group", "echo")


def orders(line: str) -> list[str]:
    """The commands that the runner finds in a line of a log, as ActionCommand.cs looks for them."""
    found = []
    if (match := re.match(r"\s*::([a-z-]+)(?: [^:]*)?::", line)) and match[1] in COMMANDS:
        found.append(match[1])
    if (match := re.search(r"##\[([a-z-]+)[^\]]*\]", line)) and match[1] in COMMANDS:
        found.append(match[1])
    return found


@pytest.mark.parametrize(
    ("kind", "first", "kinds"),
    [
        ("passing", "::notice title=sora-harness conform::SELF-TEST, no Sora was tested", {"notice": 1}),
        (
            "failing",
            "::error title=sora-harness conform::FAIL: counter.monotonic is violated",
            {"error": 2, "warning": 1},
        ),
        ("inconclusive", "::error title=sora-harness conform::INCONCLUSIVE: ", {"error": 1}),
        (
            "waived",
            "::notice title=sora-harness conform::PASS: all MUST and PROVEN requirements were met, apart from",
            {"notice": 1},
        ),
        ("interrupted", "::error title=sora-harness conform::INCONCLUSIVE: interrupted", {"error": 1}),
        ("gated", "::notice title=sora-harness conform::PASS: ", {"notice": 1, "warning": 2}),
    ],
)
def test_what_counts_is_annotated(kind: str, first: str, kinds: dict[str, int]) -> None:
    """The verdict, each finding that counts, each waiver to look at; what is known, waived or for information is not."""
    lines = github.verdict_annotations(verdicts.PAGES[kind]().verdict).splitlines()
    assert lines[0].startswith(first)
    assert {name: sum(orders(line) == [name] for line in lines) for name in kinds} == kinds
    assert len(lines) == sum(kinds.values())


def test_what_fails_a_run_is_an_error() -> None:
    """From the level on that the user has chosen."""
    finding = verdicts.entry("shape.unknown")
    for level, kind in ((Level.PROVEN, "warning"), (Level.HABIT, "error")):
        judged = verdicts.build(verdicts.Counted([finding]), severity=Severity(fail_on=level))
        text = github.verdict_annotations(judged.verdict)
        assert text.splitlines()[1].startswith(f"::{kind} title=shape.unknown::")


def test_no_more_than_github_shows() -> None:
    """Ten of a kind; how many more there are is said in the first."""
    entries = [verdicts.entry("shape.required", field=f"/f{i}", fingerprint=f"{i:016x}") for i in range(30)]
    entries += [verdicts.entry("shape.unknown", field=f"/f{i}", fingerprint=f"{i + 99:016x}") for i in range(12)]
    lines = github.verdict_annotations(verdicts.build(verdicts.Counted(entries)).verdict).splitlines()
    assert [sum(orders(line) == [kind] for line in lines) for kind in ("error", "warning")] == [10, 10]
    assert lines[0].endswith("; 23 more than GitHub shows are in the reports")


HOSTILE = (
    *verdicts.HOSTILE,
    "::error::x",
    "a\n::add-mask::e",
    "##[add-mask]e",
    "###[add-mask]e",
    "##vso[task.setvariable variable=x]y",
    "%0A::add-mask::e",
    "x::stop-commands::t",
    ",title=x",
)


@settings(max_examples=some_of(60))
@given(
    st.one_of(
        st.sampled_from(HOSTILE), st.text(st.sampled_from(":#[]%,\r\n ad-mskerot=\x85\u2028"), min_size=1, max_size=40)
    )
)
def test_no_server_gives_the_runner_orders(text: str) -> None:
    """Whatever stands in whatever string: in annotations, in the log, in the JSON on stdout, in an error message."""
    report = verdicts.hostile(text)
    harmless = github.verdict_annotations(verdicts.hostile("harmless").verdict).splitlines()
    lines = github.verdict_annotations(report.verdict).splitlines()
    assert [orders(line) for line in lines] == [orders(line) for line in harmless]
    for line in lines:
        (properties,) = re.findall(r"^::[a-z]+ (.*?)::", line)
        assert properties.count("=") - text.count("=") <= 1 and "," not in properties
    log = github.guard_log_commands(terminal.render_terminal(report), "t0ken").splitlines()
    assert (log[0], log[-1]) == ("::stop-commands::t0ken", "::t0ken::")
    assert not any("t0ken" in line for line in log[1:-1])
    for line in [
        *log[1:-1],
        *files.verdict_to_json(report.verdict).splitlines(),
        f"sora-harness: {escape_invisible(text)}",
    ]:
        assert orders(line) == [] and "##vso[" not in line  # not even where nobody has switched commands off
    assert decode_verdict(files.verdict_to_json(report.verdict).encode(), "it") == report.verdict


def test_a_summary_that_is_too_large_is_cut() -> None:
    """Between lines and characters; GitHub would show nothing of it."""
    short = "| a | b |\n" * 10
    assert github.limit_step_summary(short) == short
    cut = github.limit_step_summary("## é\n" * 300_000)
    assert len(cut.encode()) < 2**20
    assert cut.endswith("## é\n\n… and more, in the reports\n")
