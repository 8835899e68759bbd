"""Editions that build on each other: what is stated, what is carried over, and what a wrong statement gets."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.edition import FieldProvenance
from sora_stats_harness.api.edition_diff import field_differences
from sora_stats_harness.api.errors import EditionError
from sora_stats_harness.api.exchange import Target
from sora_stats_harness.cli import main
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.verdict import FindingEntry
from sora_stats_harness.simulator.world import SimulatedWorld

HEAD = 'format = "sora-harness/edition/1"\nname = "mine"\ntitle = "T"\nsource = "S"\nextends = "doc-2024"\n'
ADDED = """
[[add]]
path = "cc.total_new"
type = "integer"
kind = "counter"
unit = "count"
is = "seen"
source = "a test"
description = "New."
"""


def listing(name: str, connections: int = 3) -> bytes:
    """What GetStatsAllConnections of a simulated world responds in an edition."""
    world = SimulatedWorld(edition.load_edition(name), seed=5, connections=connections, churn=False)
    world.advance(30_000_000_000)
    stamp = "2026-11-24T00:00:30.000000Z"
    return json.dumps([each.read_sample(30_000_000_000, stamp) for each in world.connections_of_node(0)]).encode()


def findings(judged_by: str, body: bytes) -> list[FindingEntry]:
    """What a judge of one edition finds in a body."""
    judge = Judge(edition.load_edition(judged_by))
    judge.judge_bare_body(Target.ALL, body, "a test")
    judge.finish()
    return judge.result().findings


def test_each_shipped_edition_says_what_it_knows_and_from_where() -> None:
    """Whatever is not the edition's own page has a source; doc-2024 is its page alone."""
    assert {field.standing for field in edition.load_edition("doc-2024").fields} == {FieldProvenance.DOCUMENTED}
    for name in ("doc-2025", "doc-2026"):
        fields = edition.load_edition(name).fields
        assert {field.standing for field in fields} == set(FieldProvenance)
        assert all(field.source for field in fields)
    names = {field.dotted for field in edition.load_edition("doc-2026").fields}
    assert {
        "session_id",
        "simulcast_auto.target_sender_count",
        "rtp_hdrext.total_sent_rtp_hdrext_video_timing",
    } <= names
    assert not any("timeing" in name or "rtp_hdr_ext" in name for name in names)
    assert any("av1_rtp_sepc" in name for name in names)


@pytest.mark.parametrize("name", edition.shipped_edition_names())
def test_the_simulator_serves_each_edition_and_only_that_finds_nothing_in_it(name: str) -> None:
    """Judged by any other edition there are differences."""
    body = listing(name)
    assert findings(name, body) == []
    for other in edition.shipped_edition_names():
        assert bool(findings(other, body)) == (other != name)


@pytest.mark.parametrize(("path", "level"), [("rtp.total_received_rtp", "HABIT"), ("dtls.total_received_dtls", "MUST")])
def test_what_is_only_carried_over_is_no_must(path: str, level: str) -> None:
    """In doc-2025 nobody has seen what became of rtp; dtls is on the page. What is no MUST anyway weighs as ever."""
    document = json.loads(listing("doc-2025", 1))
    group, name = path.split(".")
    for value, requirement in ((None, "shape.required"), ("7", "shape.type"), (float, "shape.lexical")):
        changed = json.loads(json.dumps(document))
        if value is None:
            del changed[0][group][name]
        else:
            changed[0][group][name] = value if value == "7" else float(changed[0][group][name])
        (entry,) = findings("doc-2025", json.dumps(changed).encode())
        weight = "PROVEN" if requirement == "shape.lexical" else level
        assert (entry.requirement, entry.level) == (requirement, weight)


@pytest.mark.parametrize(("group", "level"), [("rtp", "HABIT"), ("dtls", "MUST"), ("simulcast", "MUST")])
def test_a_group_is_no_must_where_all_of_it_is_carried_over(group: str, level: str) -> None:
    """Something else in its place is a fault only where somebody knows that there is such a group."""
    document = json.loads(listing("doc-2025", 1))
    document[0][group] = "gone"
    (entry,) = findings("doc-2025", json.dumps(document).encode())
    assert (entry.requirement, entry.level) == ("shape.type", level)


def test_a_statement_changes_what_it_names_and_nothing_else() -> None:
    """Added, removed, renamed; all others keep their place."""
    text = HEAD + ADDED + '[[remove]]\npath = "signaling.*"\nsource = "x"\n'
    text += '[[rename]]\nfrom = "turn.total_received_*_request"\nto = "turn.total_got_*_request"\nis = "seen"\nsource = "x"\n'
    mine, base = edition.parse_edition(text, origin="mine"), edition.load_edition("doc-2024")
    count = Counter(change["change"] for change in field_differences(base, mine))
    requests = [
        field
        for field in base.fields
        if field.dotted.startswith("turn.total_received_") and field.name.endswith("_request")
    ]
    assert count == {"added": 1, "removed": 2, "renamed": len(requests)}
    assert Counter(change["change"] for change in field_differences(mine, base)) == {
        "removed": 1,
        "added": 2,
        "renamed": len(requests),
    }


def test_a_field_that_went_from_one_group_to_another_has_moved() -> None:
    """Though no edition says so."""
    entry = ADDED.replace("cc.total_new", "cc.total_sent_signaling_ping")
    text = HEAD + entry + '[[remove]]\npath = "signaling.total_sent_signaling_ping"\nsource = "x"\n'
    (change,) = field_differences(edition.load_edition("doc-2024"), edition.parse_edition(text, origin="mine"))
    assert (change["change"], change["was"], change["is"]) == (
        "moved",
        "signaling.total_sent_signaling_ping",
        "cc.total_sent_signaling_ping",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD.replace("doc-2024", "doc-1999"), "not an edition that ships"),
        (HEAD + "[groups.x]\n", "unknown key 'groups'"),
        (HEAD + '[[remove]]\npath = "rtpp.*"\nsource = "x"\n', "remove 1: doc-2024 has no field or group rtpp.*"),
        (HEAD + '[[remove]]\npath = "rtp.*"\n', "remove 1: `source` must be a string"),
        (HEAD + '[[rename]]\nfrom = "rtp.*"\nto = "rtp.x"\nis = "seen"\nsource = "x"\n', "the same number of *"),
        (
            HEAD + '[[rename]]\nfrom = "rtp.total_*"\nto = "rtcp.total_*"\nis = "so"\nsource = "x"\n',
            "`is` must be one of",
        ),
        (
            HEAD + '[[rename]]\nfrom = "nothing"\nto = "else"\nis = "seen"\nsource = "x"\n',
            "has no field or group nothing",
        ),
        (HEAD + '[[standing]]\npaths = ["nope"]\nis = "seen"\nsource = "x"\n', "nope is no field or group"),
        (HEAD + ADDED + ADDED, "cc.total_new already exists"),
        (HEAD + ADDED.replace("cc.total_new", "cc"), "both a field and a group"),
        (HEAD + "standing = 3\n", "standing: must be an array of tables"),
    ],
)
def test_a_wrong_statement_is_named(text: str, said: str) -> None:
    """One line, with the place."""
    with pytest.raises(EditionError, match="mine, ") as caught:
        edition.parse_edition(text, origin="mine")
    assert said in str(caught.value)


def test_fields_diff_is_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    """And the same edition has no differences; other words are refused."""
    assert main(["fields", "diff", "doc-2025", "doc-2026", "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)
    assert Counter(each["change"] for each in changes) == {"added": 8}
    assert main(["fields", "diff", "doc-2024", "doc-2025"]) == 0
    assert "renamed  rtp_hdrext." in capsys.readouterr().out
    assert main(["fields", "diff", "doc-2024", "doc-2024"]) == 0
    assert "have the same fields" in capsys.readouterr().out
    assert main(["fields", "diff", "doc-2024"]) == 2


def test_an_edition_of_ones_own_may_build_on_a_shipped_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its file, wherever an edition is named."""
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + ADDED, encoding="utf-8")
    assert main(["fields", "--edition", str(path), "--group", "cc", "--json"]) == 0
    told = {each["path"]: each for each in json.loads(capsys.readouterr().out)}
    assert (told["cc.total_new"]["standing"], told["cc.total_new"]["source"]) == ("seen", "a test")
