"""What a command says where it can't begin is what docs/FIRST_CONTACT.md shows."""

from __future__ import annotations

import re

import pytest

from .first_contact import MAX_LINES, PAGE, SITUATIONS, Situation, run, section


@pytest.mark.parametrize(
    ("number", "situation"), list(enumerate(SITUATIONS, start=1)), ids=lambda each: getattr(each, "title", "")
)
def test_a_situation_is_told_as_the_page_shows_it(number: int, situation: Situation) -> None:
    """At most twelve lines, and the exit code."""
    code, lines = run(situation)
    assert len(lines) <= MAX_LINES
    assert section(number, situation, code, lines) in PAGE.read_text(encoding="utf-8")


def test_the_page_has_these_situations_and_no_other() -> None:
    """Thirty-two of them."""
    assert PAGE.read_text(encoding="utf-8").count("\n## ") == len(SITUATIONS) == 32


def test_no_command_advises_itself() -> None:
    """What failed would fail again; another option, or a wait, makes it another command."""
    for text in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        if "Exit code 0" not in text and (command := re.search(r"^\$ (sora-harness .*)$", text, re.MULTILINE)):
            assert f"{command[1]}\n" not in text.replace(command[0], "", 1)
