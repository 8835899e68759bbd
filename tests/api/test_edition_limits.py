"""An edition file that no field list needs is refused in one line, at once and within 200 MB."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sora_stats_harness.api.edition import parse_edition
from sora_stats_harness.api.errors import EditionError

HEAD = 'format = "sora-harness/edition/1"\nname = "n"\ntitle = "t"\nsource = "s"\n'
FIELD = '{ type = "integer", kind = "counter", unit = "count", minimum = 0, description = "d" }\n'


EXTENDS = HEAD + 'extends = "doc-2024"\n'
NEW = 'type = "integer"\nkind = "counter"\nunit = "count"\ndescription = "d"\nis = "seen"\nsource = "s"\n'


def nested(depth: int) -> str:
    """Groups in groups, with a field in the innermost."""
    return HEAD + f"[groups.{'.groups.'.join('g' * depth)}.fields]\nf = {FIELD}"


def doubling(times: int, innermost: str = f"[groups.g0.fields]\nf = {FIELD}") -> str:
    """Each group has the group before it eight times."""
    text = HEAD + innermost
    for number in range(1, times + 1):
        for letter in "abcdefgh":
            text += f'[groups.g{number}.groups.{letter}]\nsame_as = "g{number - 1}"\n'
    return text


def chained(number: int) -> str:
    """A group that stands for the one before it."""
    return f'[groups.g{number}]\nsame_as = "g{number - 1}"\n'


REFUSED = {
    "nested 30 deep": (nested(30), "more than 12 levels"),
    "inline tables 400 deep": (HEAD + "groups = " + "{g={groups=" * 400 + "{}" + "}}" * 400, "nested too deeply"),
    "a dotted key of 190,000 parts": (HEAD + "g." * 190_000 + "x = 1", "more than 64 parts"),
    "a table of 190,000 parts": (HEAD + "[" + "g." * 190_000 + "x]", "more than 64 parts"),
    "200,000 parts": (HEAD + "g." * 200_000 + "x = 1", "larger than 400,000 bytes"),
    "same_as that multiplies fields": (doubling(11), "more than 5,000 fields and groups"),
    "same_as that multiplies empty groups": (doubling(11, "[groups.g0]\n"), "more than 5,000 fields and groups"),
    "same_as that holds itself": (HEAD + '[groups.a.groups.b]\nsame_as = "a"\n', "names a group that holds this one"),
    "same_as round in a circle": (
        HEAD + '[groups.a]\nsame_as = "b"\n[groups.b]\nsame_as = "a"\n',
        "leads back to itself",
    ),
    "same_as on and on": (HEAD + "[groups.g0]\n" + "".join(map(chained, range(1, 7_000))), "chain of more than 12"),
    "same_as of 41 parts": (HEAD + f'[groups.a]\nsame_as = "{"b." * 40}b"\n', "more than 12 parts"),
    "a control character in a name": (HEAD + f'[fields]\n"a\\u001bb" = {FIELD}', "printable characters"),
    "a control character in a group": (HEAD + f'[groups."a\\u0000b".fields]\nf = {FIELD}', "printable characters"),
    "a line separator in a name": (HEAD + f'[fields]\n"a\\u2028b" = {FIELD}', "printable characters"),
    "an integer of 5,000 digits": (HEAD + "[fields]\nf = { maximum = " + "9" * 5_000 + " }", "4300 digits"),
    "too many fields": (HEAD + "[fields]\n" + "".join(f"f{n} = {{}}\n" for n in range(9000)), "`type` must be one of"),
    "no field": (HEAD + "[groups]\n", "no fields and no groups"),
    "an added path of 41 parts": (EXTENDS + f'[[add]]\npath = "{"b." * 40}b"\n{NEW}', "more than 12 parts"),
    "names of 60,000 characters": (
        HEAD + "[groups." + ".groups.".join(["x" * 5_000] * 12) + ".fields]\nf = " + FIELD,
        "more than 6,000 characters",
    ),
    "60,000 paths": (
        EXTENDS + "[[standing]]\npaths = [" + '"rtp",' * 60_000 + ']\nis = "seen"\nsource = "s"\n',
        "1,000 paths",
    ),
    "names that grow": (
        EXTENDS + f'[[rename]]\nfrom = "*.*"\nto = "*{"x" * 400}.*"\nis = "seen"\nsource = "s"\n' * 190,
        "longer than 500 characters",
    ),
    "a path with 30 stars": (
        EXTENDS + f'[[remove]]\npath = "{"*" * 30}x"\nsource = "s"\n',
        "a path may have at most 2 *",
    ),
    "6,000 statements": (EXTENDS + '[[remove]]\npath = "x.*"\nsource = "s"\n' * 6_000, "more than 200 statements"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_field_list_needs_is_refused(name: str) -> None:
    """One printable line; whatever is not refused early takes minutes."""
    text, problem = REFUSED[name]
    with pytest.raises(EditionError) as caught:
        parse_edition(text, origin="mine")
    assert problem in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["same_as that multiplies fields", "a table of 190,000 parts", "200,000 parts"])
def test_the_command_takes_little_time_and_memory(name: str, tmp_path: Path) -> None:
    """Exit code 2, with 200 MB of address space for data."""
    path = tmp_path / "mine.toml"
    path.write_text(REFUSED[name][0], encoding="utf-8")
    process = subprocess.run(
        [sys.executable, "-m", "sora_stats_harness", "fields", "--edition", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (200_000_000, 200_000_000)),
    )
    assert (process.returncode, process.stdout, process.stderr.count("\n")) == (2, "", 1)
    assert REFUSED[name][1] in process.stderr


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a\\b", "ä", "日本", "a b", "a/b~c", "x" * 5_000, "#", "*", "{}", "%s"])
def test_a_name_may_be_any_printable_text(name: str) -> None:
    """Quotes and backslashes, too: the edition comes back with it."""
    group = f"groups.{json.dumps('a group')}"
    edition = parse_edition(HEAD + f"[{group}]\n[{group}.fields]\n{json.dumps(name)} = {FIELD}", origin="mine")
    assert [field.path for field in edition.fields] == [("a group", name)]
