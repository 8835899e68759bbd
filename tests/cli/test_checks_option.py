"""`--checks FILE.py`, and `checks` in the configuration: a user's own requirement counts like a documented one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sora_stats_harness.cli import main
from tests import forked

EXAMPLE = Path(__file__).parents[1] / "data" / "example_response.json"

RULE = """
from sora_stats_harness.judge.checks import Check, Level, Requirement, Violation

FIELD = ("rtp", "total_received_rtp")
FEW = Requirement(
    id="mine.few_packets", level=Level.{level}, title="No connection has received a packet", reason="To try it.",
    source="a test", message="{{field}} is above 0",
)


class FewPackets(Check):
    requirements = (FEW,)

    def observe(self, seen, state):
        value = seen.counter(*FIELD)
        if value is None:
            return
        state.count(FEW)
        if value > {most}:
            yield Violation(
                requirement=FEW, exchange=seen.exchange, field=FIELD, place=seen.place(*FIELD),
                connection_id=seen.connection_id, expected="0", actual=str(value), fault="more",
            )
"""

WAIVER = """
checks = ["rules/mine.py"]

[[waivers]]
requirement = "mine.few_packets"
field = "/rtp/*"
reason = "to try it"
by = "Mori"
until = 9999-12-31
"""


def write_rule(path: Path, *, level: str = "MUST", most: int = -1) -> str:
    """A file with one check, which every sample violates unless `most` is high."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(RULE.format(level=level, most=most))
    return str(path)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object], str]:
    """Judge the example: the exit code, the requirement's row, and what stderr said."""
    code = main(["check", str(EXAMPLE), "--json", *words])
    told = capsys.readouterr()
    rows = json.loads(told.out)["requirements"] if told.out else []
    return code, next((row for row in rows if row["id"] == "mine.few_packets"), {}), told.err


@pytest.mark.parametrize(
    ("level", "most", "words", "code", "status"),
    [
        ("MUST", -1, (), 1, "violated"),
        ("HABIT", -1, (), 0, "violated"),
        ("HABIT", -1, ("--fail-on", "habit"), 1, "violated"),
        ("MUST", 2**63, (), 0, "met"),
        ("HABIT", 2**63, ("--require", "mine.few_packets"), 0, "met"),
    ],
)
def test_a_check_of_ones_own_counts_by_its_level(
    level: str,
    most: int,
    words: tuple[str, ...],
    code: int,
    status: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its row has its title; a MUST fails the run, a HABIT with --fail-on habit; --require knows its id."""
    found, row, _ = check(capsys, "--checks", write_rule(tmp_path / "mine.py", level=level, most=most), *words)
    assert (found, row["status"], row["title"]) == (code, status, "No connection has received a packet")


def test_the_configuration_names_checks_and_waives_their_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is looked for beside the configuration; every report names the requirement."""
    write_rule(tmp_path / "rules" / "mine.py")
    config = tmp_path / "gate.toml"
    config.write_text(WAIVER)
    reports = tmp_path / "reports"
    code, row, _ = check(capsys, "--config", str(config), "--output", str(reports))
    assert (code, row["status"]) == (0, "waived")
    for name in ("report.html", "junit.xml", "summary.md"):
        assert "few_packets" in (reports / name).read_text(), name


def test_a_configuration_that_was_found_runs_no_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull request of a fork could have added it: it is named, or trusted."""
    write_rule(tmp_path / "rules" / "mine.py")
    (tmp_path / "sora-harness.toml").write_text(WAIVER)
    monkeypatch.chdir(tmp_path)
    code, _, told = check(capsys)
    assert code == 2 and "say --trust-config" in told
    assert check(capsys, "--trust-config")[0] == 0


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (None, (), "mine.py can't be run: FileNotFoundError"),
        ("raise ValueError('no')", (), "mine.py can't be run: ValueError: no"),
        ("x = 1", (), "mine.py defines no check"),
        (RULE.format(level="MUST", most=0), ("--require", "mine.few_packet"), "did you mean 'mine.few_packets'?"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    text: str | None, words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, before a file is read or anything is sent."""
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    code, _, told = check(capsys, "--checks", str(path), *words)
    assert code == 2
    assert message in told and told.count("\n") == 1


def test_two_files_may_not_define_one_requirement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one is named."""
    first, second = write_rule(tmp_path / "mine.py"), write_rule(tmp_path / "other.py")
    code, _, told = check(capsys, "--checks", first, "--checks", second)
    assert code == 2 and f"{second}: the requirement id 'mine.few_packets' is taken" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('require = ["counter.monotonc"]', "require: there is no requirement 'counter.monotonc' (did you mean"),
        (WAIVER.replace("mine.few", "mien.few"), "waiver 1: there is no requirement 'mien.few_packets' (did you mean"),
    ],
)
def test_a_requirement_that_does_not_exist_is_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the configuration as on the command line."""
    write_rule(tmp_path / "rules" / "mine.py")
    config = tmp_path / "gate.toml"
    config.write_text(text)
    code, _, told = check(capsys, "--config", str(config))
    assert code == 2 and message in told


def test_load_judges_by_them_in_every_process(tmp_path: Path) -> None:
    """Two workers, whose spools are judged together."""
    rule = write_rule(tmp_path / "mine.py", most=2**63)
    words = ("--rate", "50", "--duration", "1s", "--processes", "2", "--connections", "3", "--json")
    program = [sys.executable, "-m", "sora_stats_harness", "load", *words, "--checks", rule]
    ended = forked.run([*program, "--output", str(tmp_path / "reports")], timeout=60)
    (row,) = (each for each in json.loads(ended.stdout)["requirements"] if each["id"] == "mine.few_packets")
    assert row["status"] == "met" and row["checked"] > 0
