"""
Drift of the documentation, told from faults: which fields, on how many connections, and whose edition it is rather.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import Exchange, Response, Target, make_valid_request
from sora_stats_harness.cli import main
from sora_stats_harness.judge.drift import find_nearest_edition, measure_drift
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.verdict import DocumentationDrift, JudgeResult
from sora_stats_harness.simulator.world import SimulatedWorld

Json = dict[str, Any]  # Any: whatever JSON can hold

DOC: Final = edition.load_edition()
EXAMPLE: Final[Json] = json.loads(
    (Path(__file__).parents[1] / "data" / "example_response.json").read_text(encoding="utf-8")
)
SECOND: Final = 1_000_000_000


def responses(change: Callable[[Json], object], *, name: str = "doc-2024", connections: int = 100) -> Judge:
    """A judge that was shown three listings of a world, with something changed in every connection."""
    world = SimulatedWorld(edition.load_edition(name), seed=5, connections=connections, churn=False)
    judge = Judge(DOC)
    for second in range(30, 33):
        world.advance(second * SECOND)
        stamp = f"2026-11-24T00:00:{second}.500000Z"
        samples = [each.read_sample(second * SECOND, stamp) for each in world.connections_of_node(0)]
        for sample in samples:
            change(sample)
        judge.judge_recorded(
            Exchange(
                run="r",
                seq=second,
                request=make_valid_request(Target.ALL, server="http://127.0.0.1:3000"),
                clock="c",
                sent_ns=second * SECOND,
                received_ns=(second + 1) * SECOND - 1,
                sent_at=f"2026-11-24T00:00:{second}.000000Z",
                response=Response(
                    status=200, headers=(("content-type", "application/json"),), body=json.dumps(samples).encode()
                ),
            )
        )
    judge.finish()
    return judge


def drift(judge: Judge) -> tuple[DocumentationDrift, JudgeResult]:
    """What it comes to."""
    tally = judge.result()
    measured = measure_drift(DOC, tally.findings, tally.coverage, judge.evidence)
    assert measured is not None
    return measured, tally


def test_two_new_fields_and_a_missing_one_are_just_that() -> None:
    """With counts and since when; nothing else is found, and every sample is judged."""

    def change(sample: Json) -> None:
        sample["rtp"]["total_brand_new"] = 1
        sample["novelty"] = "x"
        del sample["dtls"]["total_received_dtls"]

    measured, tally = drift(responses(change))
    assert [(each.way, each.field) for each in measured.entries] == [
        ("absent", "/dtls/total_received_dtls"),
        ("undocumented", "/novelty"),
        ("undocumented", "/rtp/total_brand_new"),
    ]
    assert {(each.connections, each.connections_without) for each in measured.entries} == {(100, 0)}
    assert {each.first_seen_at for each in measured.entries} == {"2026-11-24T00:00:30.000000Z"}
    assert measured.headline is None
    assert {entry.requirement for entry in tally.findings} == {"shape.required", "shape.unknown"}
    assert (tally.coverage.samples, tally.checked["counter.monotonic"]) == (300, 200)


def test_a_field_that_only_some_connections_lack_says_on_how_many() -> None:
    """And on how many it is there."""

    def change(sample: Json) -> None:
        if sample["connection_id"] < "M":
            del sample["cc"]["bitrate" if "bitrate" in sample["cc"] else next(iter(sample["cc"]))]

    measured, _ = drift(responses(change))
    (entry,) = measured.entries
    assert 0 < entry.connections < 100
    assert entry.connections + entry.connections_without == 100


def test_another_type_is_a_difference_of_its_own() -> None:
    """Documented and seen stand side by side."""
    measured, _ = drift(responses(lambda sample: sample["cc"].update({next(iter(sample["cc"])): "7"}), connections=2))
    (entry,) = measured.entries
    assert (entry.way, entry.documented, entry.seen) == ("changed", "integer", '"7"')


def test_nothing_differs_where_nothing_does() -> None:
    """The good simulator has no drift, and is nearest to its own edition."""
    measured, _ = drift(responses(lambda _: None, connections=5))
    assert (measured.entries, measured.nearest, measured.distance["doc-2024"]) == ([], "doc-2024", 0)


@pytest.mark.parametrize("name", ["doc-2025", "doc-2026"])
def test_a_server_of_another_edition_is_recognised(name: str) -> None:
    """The first line says which one it is."""
    measured, _ = drift(responses(lambda _: None, name=name, connections=5))
    assert measured.nearest == name
    assert measured.headline is not None
    assert measured.headline.startswith(f"this server responds like edition {name} in every field")


def test_one_missing_field_is_a_fault_and_no_other_edition() -> None:
    """A headline is said only where it explains most of what differs."""
    measured, _ = drift(responses(lambda sample: sample["dtls"].pop("total_received_dtls"), connections=5))
    assert (measured.nearest, measured.headline) == ("doc-2024", None)


def test_samples_are_counted_where_connections_cannot_be_told_apart() -> None:
    """Without connection_id no connection is known to have shown anything, and none not to have."""
    judge = Judge(DOC)
    judge.judge_bare_body(Target.ALL, json.dumps([old(EXAMPLE)] * 3).encode(), "a test")
    judge.finish()
    measured, _ = drift(judge)
    assert {(each.connections, each.connections_without, each.samples) for each in measured.entries} == {(0, 0, 3)}


def test_what_the_edition_knows_though_undocumented_needs_no_other_edition() -> None:
    """It is told so, and nobody is sent to an edition that knows no more."""
    judge = Judge(DOC)
    judge.judge_bare_body(Target.CONNECTION, json.dumps(EXAMPLE).encode(), "a test")
    judge.finish()
    measured, _ = drift(judge)
    (entry,) = measured.entries
    assert (entry.way, entry.field, entry.documented, entry.known_from) == (
        "undocumented",
        "/sctp/total_pruned_sctp_data_chunk",
        "known from responses, not in the list",
        None,
    )


def test_nothing_judged_is_no_drift() -> None:
    """Not even an empty one."""
    judge = Judge(DOC)
    assert measure_drift(DOC, [], judge.result().coverage, judge.evidence) is None


def old(document: Json) -> Json:
    """As servers responded in 2017: RTCP counters inside rtp, ids as UUID text, neither connection_id nor bundle_id."""
    document = json.loads(json.dumps(document))
    document["rtp"] |= document.pop("rtcp")
    del document["connection_id"], document["bundle_id"]
    return document


def test_an_response_of_2017_is_a_page_of_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What moved is one line, and the whole summary can be read."""
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old(EXAMPLE)), encoding="utf-8")
    assert main(["check", str(path)]) == 1
    told = capsys.readouterr().out
    assert "moved" in told
    assert "/rtcp: now 33 fields at /rtp" in told
    assert len(told.splitlines()) < 90


def test_the_nearest_edition_of_an_response_is_told_before_it_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check --edition auto`; with nothing to go by the default holds, and that is said."""
    world = SimulatedWorld(edition.load_edition("doc-2026"), seed=5, connections=3, churn=False)
    world.advance(SECOND)
    samples = [each.read_sample(SECOND, "2026-11-24T00:00:01.000000Z") for each in world.connections_of_node(0)]
    assert find_nearest_edition(samples) == ("doc-2026", 0)
    path = tmp_path / "new.json"
    path.write_text(json.dumps(samples), encoding="utf-8")
    assert main(["check", str(path), "--edition", "auto"]) == 0
    assert "the responses are like doc-2026 in every field" in capsys.readouterr().out
    path.write_text("[]", encoding="utf-8")
    assert main(["check", str(path), "--edition", "auto"]) == 3
    assert "there was no response to compare" in capsys.readouterr().out
    assert main(["fields", "--edition", "auto"]) == 2
