"""What `compare_runs` writes, on changes and on hostile strings, and the command itself."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jsonschema
import markdown_it
import pytest

from sora_stats_harness.cli import main
from sora_stats_harness.judge.verdict import CoverageSummary, Verdict
from sora_stats_harness.reports import comparison_formats as comparison
from sora_stats_harness.reports import report_folder as files
from sora_stats_harness.reports import report_schemas
from sora_stats_harness.reports.comparison_formats import COMPARISON_RENDERERS, render_page
from sora_stats_harness.reports.comparison_result import ComparisonPolicy, RunComparison
from sora_stats_harness.reports.escaping import replace_surrogates
from sora_stats_harness.reports.run_comparison import compare_runs

from .. import comparing
from . import verdicts
from .test_formats import Page


def changed() -> RunComparison:
    """Everything has changed: findings, fields, latencies, capacity."""
    dice = random.Random(6)
    base = comparing.runs(dice, 5, comparing.lognormal(0.02))
    new = comparing.runs(dice, 5, comparing.lognormal(0.02), added_ms=10, odd=1)
    base[0][1].findings = [comparing.finding("a"), comparing.finding("b")]
    base[0][1].capacity = comparing.capacity(400, 450)
    new[1][1].findings = [comparing.finding("b"), comparing.finding("c", requirement="shape.unknown", level="HABIT")]
    new[1][1].capacity = comparing.capacity(90, 100)
    for _, made in new:
        made.coverage = CoverageSummary(samples=10, never_seen=["rtp.a", "rtp.gone"])
    return compare_runs(base, new, ComparisonPolicy(fail_on=frozenset({"latency"})))


def same() -> RunComparison:
    """Two single runs without a difference."""
    return compare_runs([("base", comparing.verdict(0))], [("new", comparing.verdict(1))])


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_change_is_told(form: str) -> None:
    """New and fixed findings with their places, fields, the shift with its bounds, the capacity, and the outcome."""
    text = COMPARISON_RENDERERS[form](changed()).replace("<wbr>", "")
    for part in (
        "new",
        "shape.unknown",
        "/rtp/c",
        "fixed",
        "/rtp/a",
        "1 on both sides",
        "rtp.gone",
        "rtp.b",
        "in 1 of 5 runs",
        "all targets p50",
        "SLOWER",
        "not tested: 7 runs per side needed",
        "LOWER",
        "400 … 450",
        "5 runs (5 pass)",
    ):
        assert part in text, part
    assert "/rtp/b" not in text


def test_no_change_is_not_called_equal() -> None:
    """Two single runs prove nothing; the text says that no change is shown, and no verdict is claimed."""
    text = comparison.render_text(same())
    assert text.splitlines()[-1] == "COMPARED  no change is shown  (exit 0)"
    assert "PASS" not in text


def test_self_test_is_said() -> None:
    """Comparing the simulator with itself tells nothing of a Sora."""
    base, new = (comparing.verdict(place, subject_kind="simulator") for place in (0, 1))
    for form in ("text", "markdown", "html"):
        assert "SELF-TEST" in COMPARISON_RENDERERS[form](compare_runs([("a", base)], [("b", new)]))


@pytest.mark.parametrize("make", [changed, same])
def test_json_holds_to_its_schema(make: object) -> None:
    """What `--json` prints is what schemas/comparison.json promises."""
    assert callable(make)
    document = json.loads(comparison.render_json(make()))
    schema = report_schemas.comparison_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)
    document["latency"] = [{"outcome": "better"}]
    assert not jsonschema.Draft202012Validator(schema).is_valid(document)


@pytest.mark.parametrize("text", verdicts.HOSTILE)
def test_hostile_strings_do_no_harm(text: str) -> None:
    """No control character on the terminal, no markup in Markdown outside of code spans or in the page, ASCII in JSON."""

    said = replace_surrogates(text)  # a verdict.json holds nothing else

    def side(place: int, fingerprint: str) -> list[tuple[str, Verdict]]:
        made = comparing.verdict(place, subject=said, labels={said: said})
        made.findings = [comparing.finding(fingerprint, target=said, field=said, message=said)]
        made.coverage = CoverageSummary(samples=1, never_seen=[f"{said}{place}"])
        made.load = comparing.load({said: (1, 2)})
        return [(text, made)]

    found = compare_runs(side(0, "a"), side(1, "b"))
    shown = comparison.render_text(found)
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert comparison.render_json(found).isascii()
    page = Page(render_page(found))
    assert not page.open
    assert not {"script", "iframe", "img", "link", "object", "form"} & set(page.tags)
    assert all(value is not None and value.startswith("#") for key, value in page.attributes if key == "href")
    assert len(page.ids) == len(set(page.ids))
    parsed = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(comparison.render_markdown(found))
    inside = [child for token in parsed for child in token.children or ()]
    assert {token.type for token in (*parsed, *inside)}.isdisjoint({"html_block", "html_inline", "link_open", "image"})
    assert not any("@all" in child.content for child in inside if child.type == "text")
    cells = "".join({"tr_open": "|", "th_open": ".", "td_open": "."}.get(token.type, "") for token in parsed)
    assert cells.split("|")[1:4] == ["." * 9] * 3  # latencies: the columns, and two rows as wide


# The command.


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five runs a side, in folders as `load` leaves them."""
    monkeypatch.chdir(tmp_path)
    dice = random.Random(7)
    for name, odd, added in (("old", 0, 0.0), ("new", 1, 10.0)):
        for place, (_, made) in enumerate(comparing.runs(dice, 5, comparing.lognormal(0.02), added_ms=added, odd=odd)):
            folder = tmp_path / name / f"load-{place}"
            folder.mkdir(parents=True)
            (folder / "verdict.json").write_text(files.verdict_to_json(made), encoding="ascii")
    return tmp_path


@pytest.mark.parametrize(
    ("base", "new"),
    [("old", "new"), ("old/load-*", "new/load-*"), ("old/**/verdict.json", "new/*/verdict.json")],
)
def test_folders_and_patterns_stand_for_their_runs(
    base: str, new: str, folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of folders, a pattern of folders, a pattern of files: five runs a side, and exit 1 as told."""
    assert main(["compare", base, new, "--fail-on", "new-findings,latency", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["base"]["runs"], found["new"]["runs"]) == (5, 5)
    assert found["latency"][0]["outcome"] == "slower"
    assert 9 < found["latency"][0]["shift_ms"] < 11
    assert main(["compare", base, new]) == 0
    assert "SLOWER" in capsys.readouterr().out


def test_the_bound_of_the_options_or_the_configuration(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10 ms more on a few is worse by more than 10 %; the other way round nothing is, and each row says so."""
    assert main(["compare", "old", "new", "--no-worse-than", "10%"]) == 1
    assert "NO: +" in capsys.readouterr().out
    (folders / "sora-harness.toml").write_text('no_worse_than = "10%"', encoding="utf-8")
    for words, code in ((["old", "new"], 1), (["new", "old"], 0)):
        assert main(["compare", *words]) == code
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASS  no figure is worse by more than 10 %; ")
    assert main(["compare", "old", "new", "--no-worse-than", "1000", "--percentiles", "50"]) == 0
    assert "yes: +" in capsys.readouterr().out


def test_output_goes_to_a_file(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same text, and nothing on stdout."""
    assert main(["compare", "old", "new", "--format", "markdown", "--output", "changes.md"]) == 0
    assert capsys.readouterr().out == ""
    assert "SLOWER" in (folders / "changes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ["old", "none"],
        ["old", "nothing*"],
        ["old", "old"],
        ["old/load-0", "broken.json"],
        ["old", "empty"],
        ["old", "new", "--fail-on", "latencies"],
        ["old", "new", "--percentiles", "75"],
        ["old", "new", "--min-effect", "-1"],
        ["old", "new", "--no-worse-than", "-1%"],
        ["old", "new", "--config", "wrong.toml"],
        ["old", "new", "--alpha", "2"],
        ["old", "new", "--output", "no/such/folder/x"],
    ],
)
def test_what_cannot_be_done_is_wrong_usage(
    words: list[str], folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2."""
    (folders / "broken.json").write_text("{", encoding="utf-8")
    (folders / "empty").mkdir()
    (folders / "wrong.toml").write_text('no_worse_than = "much"', encoding="utf-8")
    try:
        code = main(["compare", *words])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.out == ""
