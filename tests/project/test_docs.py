"""What README, docs/ and the changelog say is so: their examples are run, their lists are compared with the code."""

from __future__ import annotations

import ast
import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from sora_stats_harness import __version__
from sora_stats_harness.cli import COMMANDS
from sora_stats_harness.judge.requirements import REQUIREMENTS
from tests import forked

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "harness" / "sora_stats_harness"
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "tests" / "README.md"])
ELISION: Final = "…"


@dataclass
class Step:
    """A command of an example, what is shown of its output, and the exit code that follows."""

    command: str
    shown: list[str] = field(default_factory=list)
    exit_code: int = 0


def steps(block: str) -> list[Step]:
    """The commands of a ```console example; `$ echo $?` and the number below belong to the command before."""
    found: list[Step] = []
    lines = iter(block.splitlines())
    for line in lines:
        if line == "$ echo $?":
            found[-1].exit_code = int(next(lines))
        elif line.startswith("$ "):
            found.append(Step(command=line[2:]))
        else:
            found[-1].shown.append(line)
    return found


def examples() -> Iterator[tuple[Path, str]]:
    """Every ```console block that begins with a command of ours."""
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            if block.startswith("$ sora-harness "):
                yield page, block


def pattern(line: str) -> str:
    """
    What of a line has to be the same in every run.

    Of an indented one, a detail, the first word; of any other all but the numbers.
    """
    steady = re.sub(r"[0-9][0-9.,]*", "#", line)
    return " ".join(steady.split()[:1] if line.startswith(" ") else steady.split())


# Both READMEs show the same ones, which need not run twice.
EXAMPLES: Final = list(dict.fromkeys(block for _, block in examples()))


@pytest.mark.parametrize("block", EXAMPLES, ids=[block.splitlines()[0][2:40] for block in EXAMPLES])
def test_examples_run_as_shown(block: str, tmp_path: Path) -> None:
    """Each example's commands end with the exit code shown, and print the lines shown, in their order; the first one by the program itself."""
    environment = {key: value for key, value in os.environ.items() if key not in ("SORA_URL", "FORCE_COLOR")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    for step in steps(block):
        command = shlex.split(step.command)
        if command[0] == "sora-harness" and block != EXAMPLES[0]:
            command[:1] = [sys.executable, "-m", "sora_stats_harness"]
        done = forked.run(command, cwd=tmp_path, env=environment, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        assert done.returncode == step.exit_code, f"{step.command}\n{done.stdout}"
        printed = iter([pattern(line) for line in done.stdout.splitlines()])
        for line in step.shown:
            if line and line != ELISION:
                # `in` reads on from where the last line was found, so that order counts
                assert pattern(line) in printed, f"{step.command}: {line!r} is not (or not there) in\n{done.stdout}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "\n>>> " in page.read_text(encoding="utf-8")], ids=lambda page: page.name
)
def test_doctests_of_pages_hold(page: Path) -> None:
    """What a page shows after `>>>` is what Python prints."""
    failed, attempted = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("name", ["GATE", "LOAD"])
def test_pages_are_whole_in_both_languages(name: str) -> None:
    """A page in Japanese has the sections, tables and examples of the one in English, and runs the same commands."""
    english, japanese = ((ROOT / "docs" / f"{name}{end}.md").read_text("utf-8") for end in ("", ".ja"))
    for shape in (r"^## ", r"^\|", r"^```\w+", r"^- "):
        counts = [len(re.findall(shape, text, re.MULTILINE)) for text in (english, japanese)]
        assert counts[0] <= counts[1], shape
    commands = [re.findall(r"^\$ (.*)", text.replace(" --lang ja", ""), re.MULTILINE) for text in (english, japanese)]
    assert commands[0] == commands[1]


def test_examples_are_there_in_both_languages() -> None:
    """Both READMEs show the same examples, so neither ages alone."""
    shown: dict[str, list[str]] = {page.name: [] for page in PAGES}
    for page, block in examples():
        shown[page.name].append(block)
    assert len(shown["README.md"]) >= 3
    assert shown["README.md"] == shown["README.ja.md"]


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_readme_names_the_two_commands(name: str) -> None:
    """A newcomer finds the two commands, both of which the Makefile has, and whose Sora this is about, at the top."""
    text = (ROOT / name).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("run", "test"):
        assert f"make {target}" in text
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    first = text.split("\n\n")[1]
    assert "WebRTC SFU Sora" in first
    assert re.search("not affiliated|公式なものではありません", first)


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_readme_lists_every_command_and_every_page(name: str) -> None:
    """Each command has a row, in the table of commands, and each page of docs/ has a link."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE)) >= set(COMMANDS)
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in text, page.name


def test_pages_name_only_make_targets_that_exist() -> None:
    """`make bench` on a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, page


def test_links_lead_somewhere() -> None:
    """Every relative link of a page leads to a file of the repository."""
    checked = 0
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page}: {link}"
                checked += 1
    assert checked > 10


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/ARCHITECTURE.md"])
def test_files_named_are_there(name: str) -> None:
    """A path on these pages is that of a file in the package or in the repository."""
    named = re.findall(r"`([a-z_0-9]+/[\w./-]+\.(?:py|c|toml|md))`", (ROOT / name).read_text(encoding="utf-8"))
    assert len(named) > 5
    missing = {path for path in named if not (PACKAGE / path).exists() and not (ROOT / path).exists()}
    assert missing == {"locustfiles/NAME.py"} & missing


def test_every_module_says_in_one_line_what_it_is_for() -> None:
    """The first paragraph of each module's docstring is one sentence, from which docs/ARCHITECTURE.md makes its table."""
    for path in PACKAGE.rglob("*.py"):
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
        assert first.strip(), path


def test_architecture_draws_the_layers_that_are_enforced() -> None:
    """The table of floors is import-linter's contract: five floors, nine rooms, no exceptions."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawn = [(int(floor), room) for floor, room in re.findall(r"^\| (\d) \| `(\w+)/`", text, re.MULTILINE)]
    assert drawn == [(len(layers) - place, room) for place, layer in enumerate(layers) for room in layer.split(" | ")]
    assert (len(layers), len(drawn)) == (5, 9)


def test_pages_speak_of_requirements_that_exist() -> None:
    """An id of a requirement in prose is in the registry."""
    families = "|".join(sorted({rule.family for rule in REQUIREMENTS.values()}))
    named = {
        (page.name, name)
        for page in PAGES
        if page.name != "ARCHITECTURE.md"  # its `checks.http` and the like are modules
        for name in re.findall(rf"`((?:{families})\.[a-z_.0-9]+)`", page.read_text(encoding="utf-8"))
    }
    assert {(page, name) for page, name in named if name not in REQUIREMENTS} == set()
    assert named


KINDS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def test_changelog_keeps_its_form() -> None:
    """Keep a Changelog: versions with dates, the newest first, what changed by kind, and this version is among them."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    released = [head for head in heads if head != "[Unreleased]"]
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})", head) for head in released]
    assert all(dated), released
    assert "[Unreleased]" not in heads[1:]
    dates = [match[2] for match in dated if match]
    assert dates == sorted(dates, reverse=True)
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= set(KINDS)
    assert heads[0] == "[Unreleased]" or (dated[0] and dated[0][1] == __version__)
    for section in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"^- \S", section, re.MULTILINE) or section == "\n"
