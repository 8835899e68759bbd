"""Editions read from pages of the documentation: every form gives the same, and what is broken is said by its line."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api import edition_import as pages
from sora_stats_harness.api.edition import FieldDefinition, FieldKind, FieldPresence, FieldType, FieldUnit
from sora_stats_harness.api.edition_import.field_inference import GUESSED_NOTE, infer_field
from sora_stats_harness.api.edition_import.outline import MAX_PAGE_BYTES
from sora_stats_harness.api.errors import EditionError, ExitCode
from sora_stats_harness.cli import main

from ..pages import FORMS, flat, markdown, response, sphinx, text
from ..recording.build import pipe_to_stdin

DOC = edition.load_edition()


def imported(page: str | bytes) -> pages.ImportedEdition:
    """Read a page under a fixed name."""
    return pages.import_edition(page.encode() if isinstance(page, str) else page, origin="page.txt", name="mine")


def complaint(page: str | bytes) -> str:
    """What is said of a page that cannot be read: one line."""
    with pytest.raises(EditionError) as caught:
        imported(page)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", edition.shipped_edition_names())
def test_every_form_of_an_editions_page_gives_the_editions_fields(name: str, form: str) -> None:
    """Paths, types and all other rules are the same whichever form the page has, in the same order."""
    wanted = edition.load_edition(name)
    found = imported(FORMS[form](wanted, response(wanted)))
    assert [field.path for field in found.edition.fields] == [field.path for field in wanted.fields]
    assert [field.type for field in found.edition.fields] == [field.type for field in wanted.fields]
    assert found.inferred == ()
    assert found.text == imported(text(wanted, response(wanted))).text


def test_a_documentation_page_gives_exactly_the_edition_that_it_is_the_source_of() -> None:
    """
    The real page, where SORA_DOC_PAGE names it, or one made from the edition: 374 leaves, each with all its rules.
    """
    real = os.environ.get("SORA_DOC_PAGE")
    data = Path(real).read_bytes() if real else text(DOC, response(DOC, without=_left_out)).encode()
    found = imported(data)
    assert len(found.edition.fields) == 374
    assert found.edition.fields == DOC.fields
    assert found.comparison is not None
    assert {path[-1] for path in found.comparison.absent} == {"max_packet_life_time", "max_retransmits"}
    assert len(found.comparison.absent) == 12
    assert found.comparison.undocumented == ((("sctp", "total_pruned_sctp_data_chunk"),) if real else ())


def _left_out(field: FieldDefinition) -> bool:
    return field.presence is FieldPresence.CONDITIONAL


def test_the_name_alone_tells_the_rules_of_every_field_that_ships() -> None:
    """Type, kind, unit, limits and presence are inferred as the editions have them."""
    for name in edition.shipped_edition_names():
        for field in edition.load_edition(name).fields:
            guess = infer_field(field.path)
            assert GUESSED_NOTE not in guess.description, field.dotted
            assert (guess.type, guess.kind, guess.unit) == (field.type, field.kind, field.unit), field.dotted
            limits = (guess.minimum, guess.maximum, guess.max_bytes, guess.values, guess.form)
            assert limits == (field.minimum, field.maximum, field.max_bytes, field.values, field.form), field.dotted
            conditional = [each.presence is FieldPresence.CONDITIONAL for each in (guess, field)]
            assert conditional[0] is conditional[1], field.dotted


def test_new_fields_are_inferred_and_marked() -> None:
    """
    What no edition has gets its rules from the name, or as little as can be demanded, and its description says so.
    """
    found = imported(
        "• rtp\n  • total_new_bytes\n  • total_wait_us\n  • colour\n• new_id\n\n"
        'A response:\n{"rtp": {"total_new_bytes": 1, "total_wait_us": 1, "colour": "red"}, "new_id": "x"}\n'
    )
    rules = {field.dotted: (field.type, field.kind, field.unit, field.description) for field in found.edition.fields}
    named = "(kind and unit inferred from the name)."
    assert rules == {
        "new_id": (FieldType.STRING, FieldKind.IDENTITY, FieldUnit.NONE, f"New id {named}"),
        "rtp.total_new_bytes": (FieldType.INTEGER, FieldKind.COUNTER, FieldUnit.BYTES, f"Total new bytes {named}"),
        "rtp.total_wait_us": (FieldType.INTEGER, FieldKind.COUNTER, FieldUnit.US, f"Total wait us {named}"),
        "rtp.colour": (
            FieldType.STRING,
            FieldKind.GAUGE,
            FieldUnit.NONE,
            "Colour (type, kind and unit guessed, since the name says nothing about them).",
        ),
    }
    assert len(found.inferred) == 4
    assert "kind and unit are inferred, since no known edition has it: rtp.colour" in found.notes


def test_the_example_is_held_against_the_list() -> None:
    """What only one of the two has, what is a field in one and a group in the other, and a value of a wrong type."""
    shown = response(DOC)
    shown["sctp"]["total_new"] = 5
    shown["data_channel"]["#other"] = {"odd": True}
    shown["news"] = {"total_x": 1}
    shown["cc"]["target_bitrate"] = "fast"
    shown["cc"]["bwe_period"] = {"total_y": 1}
    shown["turn"]["total_sent_turn_unknown"] = 1.5
    del shown["dtls"]["total_sent_dtls"]
    found = imported(text(DOC, shown))
    assert found.comparison is not None
    assert set(found.comparison.undocumented) == {
        ("sctp", "total_new"),
        ("data_channel", "#*", "odd"),
        ("news", "total_x"),
    }
    assert found.comparison.absent == (("dtls", "total_sent_dtls"),)
    assert [path for path, _ in found.comparison.contradictions] == [
        ("cc", "bwe_period"),
        ("turn", "total_sent_turn_unknown"),
        ("cc", "target_bitrate"),
    ]
    assert {field.path for field in found.edition.undocumented} == set(found.comparison.undocumented)
    assert "in the page's example, not in its list: news.total_x" in found.notes
    assert "cc.target_bitrate: integer in the edition, string in the page's example" in found.notes


NESTED = "<ul><li>rtp<ul><li>total_a</li><li>total_b</li></ul></li></ul>"


@pytest.mark.parametrize(
    "page",
    [
        "- rtp- total_a\n  - total_b\n",
        "* rtp\n    * total_a\n    * total_b\n",
        "1. rtp\n   1. `total_a`\n   2. **total_b**\n",
        "+ rtp\n\t+ total\\_a\n\t+ total\\_b\n",
        "• rtp\n\n    ◦ total_a: octets of it\n\n      all of them\n\n    ◦ total_b\n\n        ▪ Packets\n",
        NESTED,
        "<HTML><OL><LI>rtp<OL><LI>total_a<LI>total_b</OL></OL>",
        f"<p>1 < 2 <!-- <ul> --><script>'<ul>'</script>{NESTED}<ul><li>other</li></ul><li-x>",
        "<ul><li>rtp</li><ul><li>total_a</li><li>total_b</li></ul></ul>",
        "<ul><li title='a > b'><p>rtp</p><p>About it</p>\n<ul><li>total_a<li>total_b<p>Text</ul>after</ul>",
        "A page of its own\r\n" + NESTED.replace("total_a", "total&#95;a"),
    ],
)
def test_whoever_writes_the_list_it_is_read(page: str) -> None:
    """Bullets, steps of indentation, marks, tags in capitals, omitted end tags and lists around make no difference."""
    assert [field.dotted for field in imported(page).edition.fields] == ["rtp.total_a", "rtp.total_b"]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("• rtp\n  • total_a\n• dtls\n   • total_b\n  • total_c\n  • total_d\n", "line 4: broken nesting"),
        ("• rtp\n  • total_a\n  • total_b\n      • total_c\n", "line 4: broken nesting"),
        ("    • rtp\n      • total_a\n  • total_b\n", "line 3: broken nesting"),
        ("• rtp\n  • total_a\n    • total_b\n", "line 3: broken nesting: 'total_b' stands below the counter 'total_a'"),
        ("• rtp\n  • total_a\n  • total_a\n", "line 3: rtp.total_a is listed twice, first in line 2"),
        ("• rtp\n• A text\n", "line 2: not a field's name: 'A text'"),
        ("• rtp\n  • A text\n    • total_a\n", "line 3: broken nesting: 'total_a' stands below 'A text'"),
        ("• r1\n  • as r0\n", "line 2: r1 is as r0, but no such group"),
        ("• r0\n  • as r1\n• r1\n  • as r0\n", "line 2: r0 is as r1, which leads back to itself"),
        ("• r0\n  • as r1\n• r1\n", "line 2: r0 is as r1, which has no fields"),
        ("• r0\n  • as r1\n  • total_a\n• r1\n  • total_b\n", "line 3: broken nesting: 'total_a' stands below 'r0'"),
        ("• r0\n  • as r1\n  • as r2\n• r1\n  • total_a\n• r2\n  • total_b\n", "line 3: r0 is as r2, and as another"),
        ("• g\n  • a\n    • as h\n• h\n  • b\n    • as g\n", "groups refer to groups, on more than"),
        (
            "• g0\n  • x\n" + "".join(f"• g{n}\n  • a\n    • as g{n - 1}\n" for n in range(1, 2000)),
            "more than 12 levels",
        ),
        (
            "• g0\n"
            + "".join(f"  • x{n}\n" for n in range(9))
            + "".join(
                f"• g{n}\n" + "".join(f"  • {each}\n    • as g{n - 1}\n" for each in "abcdefghij") for n in range(1, 6)
            ),
            "20000 fields",
        ),
        ("• data_channel\n  • # labels\n", "line 2: data_channel.#* stands for labels, and has no fields"),
        (NESTED.replace("</ul></li></ul>", "</ul>"), "line 1: broken nesting: this <ul> is never closed"),
        (NESTED.replace("</ul></li>", "\n</li>"), "line 2: broken nesting: </li> where no item is open"),
        (NESTED + "\n</ul>", "line 2: broken nesting: </ul> where no list is open"),
        (NESTED + "\n<li>total_c", "line 2: broken nesting: <li> outside of any list"),
        (NESTED.replace("</ul></li>", "</ol></li>"), "line 1: broken nesting: </ol> where the <ul> of line 1 is open"),
        ("<ul>\n<ul><li>a</ul></ul>", "line 2: broken nesting: <ul> in a list, but not inside an item"),
        ("<ul><li>Some text</li></ul>", "line 1: no list in this HTML page contains a field's name"),
        ("just\nwords\n", "line 1: no list with bullets, indentation or HTML tags"),
        ('Nothing\n{"rtp": {"total_a": 1}}\n', "line 1: no list of fields"),
        ("", "is empty"),
        (" \n \n", "is empty"),
    ],
)
def test_a_page_that_cannot_be_read_says_where(page: str, said: str) -> None:
    """
    Broken nesting, repetition, texts in the place of names, and groups that lead nowhere are refused by their line.
    """
    assert said in complaint(page)


@pytest.mark.parametrize("form", ["text", "markdown"])
@pytest.mark.parametrize("shift", [1, 4])
def test_a_single_line_that_stands_too_far_right_is_named(form: str, shift: int) -> None:
    """Whichever line of the list it is: an indentation that no level has, or two levels at once."""
    lines = FORMS[form](DOC).split("\n")
    bulleted = [place for place, line in enumerate(lines) if "total_" in line][1::23]
    for place in bulleted:
        broken = [*lines[:place], " " * shift + lines[place], *lines[place + 1 :]]
        assert f"line {place + 1}: broken nesting" in complaint("\n".join(broken))
    assert len(bulleted) > 10


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("rtp total_a total_z cc total_b", "line 3: without bullets or indentation, the group of 'total_z'"),
        ("rtp total_a cc total_b total_z", "line 5: without bullets or indentation, the group of 'total_z'"),
        ("sim rtp total_a cc total_b", "line 2: without bullets or indentation, 'rtp' may be sim.rtp or rtp"),
        ("cc total_z rtp total_a", "line 2: without bullets or indentation, the group of 'total_z'"),
        ("cc total_b cc", "line 3: without bullets or indentation, the group of 'cc'"),
    ],
)
def test_a_text_without_levels_is_refused_where_its_example_leaves_a_doubt(names: str, said: str) -> None:
    """A field is put into a group only where the page's example leaves no other."""
    shown = '{"sim": {"rtp": {"total_a": 1}}, "rtp": {"total_a": 1}, "cc": {"total_b": 1}}'
    assert said in complaint("\n".join([*names.split(), "x-sora-target:", shown, ""]))


def test_what_a_page_says_beside_its_names_is_told_and_does_no_harm() -> None:
    """A text beside fields is named as passed over; an example's key that makes no path leaves the edition as it is."""
    shown = '{"": 1, "rtp": {"total_a": 1, "a.b": 1, " ": 1, "\\u0007": 1, "total_b": "x", "n": null}}'
    found = imported(f"• rtp\n  • About it\n  • total_a\n\nGet\n{shown}\n")
    assert [field.dotted for field in found.edition.fields] == ["rtp.total_a"]
    assert "line 2: ignored as a text about rtp: 'About it'" in found.notes
    assert [(field.dotted, field.kind, field.type) for field in found.edition.undocumented] == [
        ("rtp.total_b", FieldKind.GAUGE, FieldType.STRING),
    ]
    assert "rtp.n: its value in the example has a type that no field of an edition has" in found.notes


HOSTILE: dict[str, Callable[[int], str | bytes]] = {
    "lists": lambda size: "<ul><li>" * (size // 8),
    "open tags": lambda size: NESTED + "<a " * (size // 3),
    "open quotes": lambda size: NESTED + "<a b=\"'" * (size // 7),
    "references": lambda size: "<ul><li>&#" + "1" * size + ";",
    "text in pieces": lambda size: "<ul><li>" + "x<b>" * (size // 4),
    "levels": lambda size: "".join(f"{' ' * level}• a\n" for level in range(int(size**0.5))),
    "shared lines": lambda size: "- " + "a- " * (size // 3),
    "long texts": lambda size: "• a\n" + "  more\n" * (size // 7),
    "items": lambda size: "• a\n" * (size // 6),
    "one name": lambda size: "a" * size,
    "braces": lambda size: "{\n" * (size // 2),
    "deep JSON": lambda size: "• a\n" + '{"a":' * (size // 5),
    "long number": lambda size: '• a\n\nx\n{"a": {"b": ' + "1" * size + "}}",
    "binary": lambda size: bytes(range(256)) * (size // 256),
    "NUL": lambda size: "• a\n\0" + " " * size,
    "UTF-16": lambda size: ("• a\n" * (size // 8)).encode("utf-16"),
}


CUT: Final = [  # each form of each edition, and each share of one
    *itertools.product(edition.shipped_edition_names(), ["text", "markdown", "html"], [0.5]),
    *itertools.product([edition.DEFAULT_EDITION], ["text", "markdown", "html"], [0.1, 0.3, 0.8, 0.98]),
]


@pytest.mark.parametrize(("name", "form", "share"), CUT)
def test_a_page_that_is_cut_in_its_list_is_not_taken_for_a_whole_one(name: str, form: str, share: float) -> None:
    """It is refused where a list is left open, and complained of in one line else."""
    page = FORMS[form](edition.load_edition(name))
    begin = page.index(edition.load_edition(name).fields[0].path[0])
    end = page.index("</section>" if form == "html" else "x-sora-target" if form == "text" else "## Get")
    cut = page[: begin + int((end - begin) * share)]
    if form == "html":
        assert "is never closed" in complaint(cut)
    else:
        (said,) = (note for note in imported(cut).notes if "may be cut" in note)
        assert "every known edition goes on with" in said


@pytest.mark.parametrize("name", edition.shipped_edition_names())
def test_a_whole_page_is_not_said_to_be_cut(name: str) -> None:
    """Whichever edition it is of."""
    assert not [note for note in imported(text(edition.load_edition(name))).notes if "cut" in note]


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_page_is_read_or_refused_in_one_line(kind: str) -> None:
    """Nothing that a page may hold escapes as another exception, at a size where a quadratic parser would be stuck."""
    page = HOSTILE[kind](200_000)
    said = ""
    try:
        assert imported(page).edition.fields
    except EditionError as refused:
        said = str(refused)
    assert "\n" not in said and len(said) < 400


def test_a_page_beyond_the_limit_is_refused() -> None:
    """Its size is looked at before anything else."""
    assert f"larger than {MAX_PAGE_BYTES:,} bytes" in complaint(b" " * (MAX_PAGE_BYTES + 1))


def test_the_command_writes_an_edition_that_the_others_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is written, what is worth knowing goes to stderr, and `fields --edition FILE` reads it."""
    page, out = tmp_path / "API STATS.html", tmp_path / "mine.toml"
    shown = response(DOC)
    shown["sctp"]["total_new"] = 5
    page.write_text(sphinx(DOC, shown), encoding="utf-8")
    assert main(["fields", "import", str(page), "--output", str(out)]) == ExitCode.PASS
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines() == [
        "374 fields read from API STATS.html, 0 of them not in any known edition",
        "in the page's example, not in its list: sctp.total_new",
    ]
    assert edition.load_edition(str(out)).name == "api-stats"
    assert main(["fields", "diff", "doc-2024", str(out)]) == ExitCode.PASS
    assert "have the same fields" in capsys.readouterr().out


def test_the_command_takes_stdin_and_a_name_and_prints_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-` is stdin; a name may hold anything, as it is quoted."""
    with pipe_to_stdin(monkeypatch, markdown(DOC).encode()):
        assert main(["fields", "import", "-", "--name", 'my "own"\x1b\\']) == ExitCode.PASS
    written = capsys.readouterr()
    found = edition.parse_edition(written.out, origin="stdout")
    assert (found.name, found.fields) == ('my "own"\ufffd\\', DOC.fields)
    assert "the page shows no complete response" in written.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "{tmp}/none"], "cannot be read: No such file"),
        (["import", "{tmp}"], "cannot be read: Is a directory"),
        (["import", "{tmp}/page", "--output", "{tmp}/no/where"], "cannot be written"),
        (["import", "{tmp}/page", "--json"], "takes only --output and --name"),
        (["import"], "fields takes nothing, `diff A B`"),
        (["--output", "x"], "--output and --name belong to"),
    ],
)
def test_a_wrong_use_is_one_line_and_exit_2(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that are not there, and options that don't belong to it."""
    (tmp_path / "page").write_text(flat(DOC, response(DOC)), encoding="utf-8")
    assert main(["fields", *(word.replace("{tmp}", str(tmp_path)) for word in words)]) == ExitCode.USAGE
    written = capsys.readouterr().err
    assert said in written and written.count("\n") == 1
