"""The picture of a violation: who precedes whom, what each showed, and what was expected, on a page and on a terminal."""

from __future__ import annotations

import itertools
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from sora_stats_harness.api.exchange import Exchange
from sora_stats_harness.reports.picture_svg import render_picture
from sora_stats_harness.reports.picture_text import picture_lines
from sora_stats_harness.reports.report_formats import report_renderer
from sora_stats_harness.reports.terminal import Detail, render_terminal
from sora_stats_harness.reports.violation_picture import ViolationPicture, make_violation_picture

from . import verdicts

MS = 1_000_000


def shown(seq: int, value: int, from_ms: float, to_ms: float, **request: Any) -> Exchange:  # Any: the request's fields
    """An exchange whose response shows a counter."""
    made = verdicts.exchange(seq, verdicts.body(value))
    return msgspec.structs.replace(
        made,
        sent_ns=int(from_ms * MS),
        received_ns=int(to_ms * MS),
        request=msgspec.structs.replace(made.request, **request),
    )


def picture(*exchanges: Exchange, rule: str = "counter.monotonic", **entry: Any) -> ViolationPicture | None:
    """Of a finding whose last exchange went wrong; Any: the finding's fields."""
    given = {"wrong_exchange": exchanges[-1].key} if exchanges else {}
    return make_violation_picture(verdicts.entry(rule, **(given | entry)), exchanges)


def drawn(*exchanges: Exchange, **entry: Any) -> ViolationPicture:  # Any: as above
    """One that there is."""
    made = picture(*exchanges, **entry)
    assert made is not None
    return made


def test_a_precedes_b() -> None:
    """The earlier response had arrived before the later request was sent, and the gap between them has the bound."""
    made = drawn(shown(1, 12, 0, 10), shown(2, 11, 25, 26), expected="at least 12")
    assert made.sentence == "A had arrived 15 ms before B was sent. Expected of B: at least 12. It shows 11."
    a, b = made.exchanges
    assert (a.name, a.value, a.is_wrong, a.detail) == ("A", "12", False, "exchange 1, took 10 ms")
    assert (b.name, b.value, b.is_wrong) == ("B", "11", True)
    assert 0 == a.start < a.end < b.start < b.end == pytest.approx(1)
    assert made.gap == (a.end, b.start)
    assert [text for _, text in made.ticks] == ["0 ms", "10 ms", "25 ms", "26 ms"]


def test_short_times_are_seen_beside_long_ones() -> None:
    """A millisecond, an hour, a millisecond: each has at least a tenth of the axis."""
    made = drawn(shown(1, 12, 0, 1), shown(2, 11, 3_600_001, 3_600_002))
    places = [place for place, _ in made.ticks]
    assert min(after - before for before, after in itertools.pairwise(places)) > 0.1
    assert "3,600 s before" in made.sentence


def test_overlap_proves_nothing_and_is_drawn_so() -> None:
    """No gap, and the sentence says that they overlap."""
    made = drawn(shown(1, 12, 0, 30), shown(2, 11, 20, 50))
    assert made.gap is None
    assert made.sentence.startswith("A and B overlap.")
    assert made.exchanges[0].end > made.exchanges[1].start


def test_nodes_are_named_where_there_are_several() -> None:
    """Of one server the target is enough."""
    one, other = shown(1, 12, 0, 10), shown(2, 11, 20, 30, server="http://127.0.0.1:3001")
    assert [each.node for each in drawn(one, other).exchanges] == [verdicts.SERVER, "http://127.0.0.1:3001"]
    assert [each.node for each in drawn(one, shown(2, 11, 20, 30)).exchanges] == ["", ""]


def test_timestamps_of_one_day_are_told_by_the_time() -> None:
    """The field of a rule of clocks is the timestamp."""
    made = drawn(
        shown(1, 12, 0, 10),
        shown(2, 12, 20, 30),
        rule="clock.order",
        field="/timestamp",
        pointer="/1/timestamp",
        expected="a later time",
    )
    assert [each.value for each in made.exchanges] == ["03:15:00.000000Z"] * 2


@pytest.mark.parametrize(
    ("exchanges", "entry"),
    [
        ((), {}),
        ((shown(1, 12, 0, 10),), {}),
        ((shown(1, 12, 0, 10), msgspec.structs.replace(shown(2, 11, 20, 30), run="another")), {}),
        ((shown(1, 12, 0, 10), shown(2, 11, 20, 30)), {"rule": "shape.type"}),
        ((shown(1, 12, 0, 10), shown(2, 11, 20, 30)), {"pointer": "/1/rtp/absent"}),
    ],
)
def test_there_is_none_where_no_order_is_seen(exchanges: tuple[Exchange, ...], entry: dict[str, Any]) -> None:
    """No evidence, one exchange, clocks of two runs, another kind of rule, a field that no response has."""
    assert picture(*exchanges, **entry) is None


def test_text_picture() -> None:
    """On 72 columns, in ASCII: the bar that is wrong begins where the arrow ends."""
    made = drawn(shown(1, 12, 0, 10), shown(2, 11, 25, 26), expected="at least 12")
    assert picture_lines(made, 72) == [
        "A  GetStatsClient, exchange 1, took 10 ms",
        "[======================] 12",
        "                       |----------------------> 15 ms later: at least 12",
        "B  GetStatsClient, exchange 2, took 1 ms",
        "                                               [###################] 11",
    ]


@pytest.mark.parametrize("width", [50, 73, 193])
def test_text_picture_fits_its_width(width: int) -> None:
    """Long urls and bounds go to lines of their own."""
    one, other = shown(1, 12, 0, 10), shown(2, 11, 20, 30, server="http://127.0.0.1:3001")
    lines = picture_lines(drawn(one, other, expected="later than 2026-11-24T03:15:00Z"), width)
    assert all(len(line) <= width for line in lines), lines


@pytest.mark.parametrize("text", ["at least 12", *verdicts.HOSTILE])
def test_svg_is_well_formed_and_tells_what_it_shows(text: str) -> None:
    """For a wide screen and a phone: a title, a sentence, a bar an exchange; and no word of a server does harm."""
    made = drawn(shown(1, 12, 0, 10), shown(2, 11, 25, 26), expected=text)
    root = ElementTree.fromstring(render_picture(made, "x"))
    svgs = root.findall("svg")
    assert [svg.get("class") for svg in svgs] == ["wide", "narrow"]
    for svg in svgs:
        title, about = svg[0], svg[1]
        assert svg.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"
        assert "before B was sent" in (about.text or "")
        assert [part.get("class") for part in svg.iter("g")] == ["exchange", "exchange wrong"]
    assert not {part.tag for part in root.iter()} & {"script", "style", "foreignObject", "a", "image"}


def test_reports_show_it() -> None:
    """The page always, the terminal where it is asked to; between the message and the facts."""
    report = verdicts.failing()
    assert report_renderer("html")(report).count('<figure class="picture">') == 1
    assert "[#" not in render_terminal(report)
    lines = render_terminal(report, detail=Detail.FULL, width=80).splitlines()
    bar = next(place for place, line in enumerate(lines) if "[#" in line)
    assert "1016" in lines[bar]
    assert "where" in lines[bar + 2]
    assert all(len(line) <= 80 for line in lines[bar - 6 : bar + 1])


def test_a_rule_without_order_has_none() -> None:
    """An unknown field is shown by one response."""
    assert render_terminal(verdicts.failing(), detail=Detail.FULL).count("before B was sent") == 1
