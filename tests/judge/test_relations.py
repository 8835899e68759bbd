"""What two neighbours can tell of a sample in which a relation does not hold."""

from __future__ import annotations

from typing import Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.judge.checks.relations import (
    ResolvedRelation,
    _describe_terms,
    is_violated_between,
    resolve_relations,
)
from sora_stats_harness.judge.edition_decoder import EditionDecoder

BLOCKS: Final = EditionDecoder(edition.load_edition()).blocks
ROWS: Final = {(row.requirement.id, row.field): row for row in resolve_relations(BLOCKS)}
SUBSET: Final = ROWS["relation.rtp_subset", ("rtp", "total_received_rtp_rtx")]
TOTAL: Final = ROWS["relation.decrypt_skipped", ("rtp", "total_decrypt_skipped_srtp")]

Values = dict[str, int]


def sample(values: Values) -> list[tuple[int, ...] | None]:
    """A reading of these counters of `rtp`, others at 0."""
    return [
        tuple(values.get(field.name, 0) if block.path == ("rtp",) else 0 for field in block.counters)
        for block in BLOCKS
    ]


def judged(row: ResolvedRelation, p: Values | None, r: Values, n: Values | None) -> bool | None:
    """The relation between three samples."""
    before, after = (None if values is None else sample(values) for values in (p, n))
    return is_violated_between(row, before, sample(r), after)


def subset(rtx: int, rtp: int) -> Values:
    """Retransmitted packets, and all packets."""
    return {"total_received_rtp_rtx": rtx, "total_received_rtp": rtp}


def total(whole: int, audio: int, video: int) -> Values:
    """A total, and its two parts."""
    names = ("total_decrypt_skipped_srtp", "total_decrypt_skipped_audio_srtp", "total_decrypt_skipped_video_srtp")
    return dict(zip(names, (whole, audio, video), strict=True))


@pytest.mark.parametrize(
    ("row", "p", "r", "n", "missed"),
    [
        (SUBSET, None, subset(9, 5), subset(9, 8), True),
        (SUBSET, None, subset(9, 5), subset(9, 9), False),
        (SUBSET, None, subset(9, 5), None, None),
        (TOTAL, total(6, 3, 3), total(5, 4, 4), None, True),
        (TOTAL, total(4, 2, 2), total(5, 4, 4), None, False),
        (TOTAL, None, total(5, 4, 4), None, None),
        (TOTAL, None, total(9, 4, 4), total(9, 4, 4), True),
        (TOTAL, None, total(9, 4, 4), total(9, 5, 4), False),
    ],
)
def test_a_torn_read_lies_between_its_neighbours(
    row: ResolvedRelation, p: Values | None, r: Values, n: Values | None, missed: bool | None
) -> None:
    """True is a miss, False a torn read that proves nothing, None what no neighbour can tell."""
    assert judged(row, p, r, n) is missed


def test_a_relation_says_three_terms_of_a_side_and_how_many_more() -> None:
    """With their factors; three are said whole."""
    texts = {row.text for row in resolve_relations(BLOCKS)}
    assert {text for text in texts if text.startswith("8 x rtcp.total_sent_rtcp")} == {
        "8 x rtcp.total_sent_rtcp <= rtcp.total_sent_rtcp_byte_size"
    }
    [text] = [text for text in texts if text.startswith("rtcp.total_sent_rtcp <=")]
    assert text == (
        "rtcp.total_sent_rtcp <= rtcp.total_sent_rtcp_bye + rtcp.total_sent_rtcp_psfb_afb + "
        "rtcp.total_sent_rtcp_psfb_fir + 10 more"
    )
    assert sum("more" not in text and text.count("+") == 2 for text in texts) > 0
    terms = [(1, ("rtp", name)) for name in "abcd"]
    assert [_describe_terms(terms[:count]) for count in (3, 4)] == [
        "rtp.a + rtp.b + rtp.c",
        "rtp.a + rtp.b + rtp.c + 1 more",
    ]
