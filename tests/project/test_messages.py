"""Everything that is written for people is there in Japanese, and everything that is written for programs is in English."""

from __future__ import annotations

import ast
import json
import re
from functools import partial
from pathlib import Path
from typing import Final

import pytest

import messages
from sora_stats_harness.api import language
from sora_stats_harness.cli import COMMANDS, main, output
from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.reports.text_wrapping import columns

JAPANESE: Final = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
"""Characters that English has not."""

COPIED: Final = re.compile(
    r"'[^']*'|`[^`]*`|\"[^\"]*\"|\S*[/_.@=|]\S*|--?[\w-]+( [\w-]+)?|sora-harness( [a-z]\S*)*|\bsh\b.*|curl .*|\$.*"
)
"""What a reader copies as it is: quoted, a path, a field, an option, a command."""

PROSE: Final = re.compile(r"\b[a-z]{2,} [a-z]{2,}\b")


def english_lines(text: str) -> list[str]:
    """The lines in which two words of English follow each other."""
    return [line for line in text.splitlines() if PROSE.search(COPIED.sub("'", line))]


@pytest.mark.parametrize("path", sorted(messages.LOCALE.glob("*.po")), ids=lambda path: path.stem)
def test_no_message_lacks_its_translation(path: Path) -> None:
    """Every text of the source has a translation with no other placeholders, and what is read at run time is up to date."""
    catalog, texts, compiled = messages.update(path, messages.collect())
    assert list(messages.faults(catalog)) == []
    assert texts == path.read_bytes(), "run `make messages`"
    assert compiled == path.with_suffix(".mo").read_bytes(), "run `make messages`"


def test_no_message_takes_what_another_says() -> None:
    """Each message with values in the places of its placeholders is recognised, whatever its values are, and says them."""
    known = language._catalogue("ja")._messages
    wanted: dict[str, set[str]] = {}
    for message, translation in known.items():
        values: dict[str, str] = {}
        pieces = language.PLACEHOLDER.split(message)  # text, name, format, text, …
        for place, (before, name, form) in enumerate(zip(pieces[::3], pieces[1::3], pieces[2::3], strict=False)):
            new = {":n": f"{place + 3}", ":count": f"{place + 3} zebras"}.get(form or "", f"Value{place}")
            values.setdefault(name, "" if place and not before else new)
        fill = partial(language.PLACEHOLDER.sub, lambda found, values=values: values[found[1]])
        said = language._fill(translation, values, values) if values else translation
        wanted.setdefault(fill(message), set()).add(said.rstrip("。、"))
    with language.use_language("ja"):
        wrong = {
            text: translated
            for text, translations in wanted.items()
            if re.search("[A-Za-z]{2}", text)
            and (translated := language.translate(text).rstrip("。、")) not in translations
        }
    assert wrong == {}


def test_what_is_ignored_is_there() -> None:
    """The lists beside the catalogues name nothing twice, and `ignored.txt` nothing that the source has not."""
    ignored, words = messages.read_lines("ignored.txt"), messages.read_lines("words.txt")
    assert len(set(ignored)) == len(ignored)
    assert len(set(words)) == len(words)
    assert set(ignored) <= messages.collect_all().keys()


def test_messages_are_written_where_they_are_translated() -> None:
    """No command writes a text of its own past `write_message` and the like."""
    found = []
    for path in (messages.PACKAGE / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == output.write_output.__name__:
                found += [(path.name, text) for text in map(messages.plain, node.args[:1]) if PROSE.search(text)]
    assert found == []


@pytest.mark.parametrize("words", [[], *([name, "--help"] for name in COMMANDS)], ids=lambda words: " ".join(words))
def test_help_is_in_japanese(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The overview and each command's help have no English sentence, and no line of prose is wider than a terminal."""
    main([*words, "--lang", "ja"])
    shown = "".join(capsys.readouterr())
    assert english_lines(shown) == []
    assert JAPANESE.search(shown)
    assert [
        line
        for line in shown.splitlines()
        if columns(line) > 80 and JAPANESE.search(line) and not line.startswith("  sora-harness") and words
    ] == []


def test_requirements_are_explained_in_japanese(capsys: pytest.CaptureFixture[str]) -> None:
    """`explain` says all in Japanese, but for what is copied."""
    for id in sorted(REQUIREMENTS):
        assert main(["explain", id, "--lang=ja"]) == 0
        assert english_lines(capsys.readouterr().out) == [], id


def test_a_run_is_told_in_japanese(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal and report.html are in Japanese, and what programs read is in English."""
    words = [
        "conform",
        "--duration",
        "1",
        "--fault",
        "counter-falls",
        "--fault",
        "new-field",
        "--output",
        str(tmp_path),
    ]
    assert main([*words, "--lang", "ja"]) == 1
    shown = capsys.readouterr()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert english_lines(shown.out + shown.err) == []
    assert '<html lang="ja">' in page
    assert JAPANESE.search(page)
    for name in ("verdict.json", "junit.xml"):
        assert not JAPANESE.search((tmp_path / name).read_text(encoding="utf-8")), name
    reasons = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))["reason"]
    assert main(["report", str(tmp_path), "--lang", "ja"]) == 0
    assert reasons not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["confrm"], "コマンド 'confrm' はありません"),
        (["conform", "--fail-o"], "もしかして '--fail-on' ですか?"),
        (["conform", "htp://x"], "http または https の URL ではありません"),
        (["check", "nothing.json"], "nothing.json を読めません"),
        (["explain", "counter.monotonc"], "規則 'counter.monotonc' はありません"),
        (["conform", "--lang", "fr"], "must be one of en, ja"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_in_japanese(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An error is one line in the language of the run; a language that nobody knows is an error, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", "C" if "fr" in words else "ja_JP.UTF-8")
        assert main(words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert text in line


def test_a_diagnosis_is_told_in_japanese() -> None:
    """Every line that docs/FIRST_CONTACT.md shows has its translation."""
    page = (messages.ROOT / "docs" / "FIRST_CONTACT.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks).replace("\n      ", " ").replace("wrong version number", "")
    lines = text.splitlines()
    with language.use_language("ja"):
        told = [language.translate(line) for line in lines if not line.startswith(("$", "==", "[", "url", "durr"))]
    assert english_lines("\n".join(told)) == []
