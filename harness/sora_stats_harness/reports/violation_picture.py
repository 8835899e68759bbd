"""
Makes the picture of a violation: the exchanges that prove it as intervals on one time axis, their values, and the bound
in between.

A counter that fell, or a timestamp that did not advance, is wrong only because one response had arrived before the next
request was sent. Two lines of numbers don't show that, but intervals do, as in Porcupine's visualiser of histories.
This module makes the picture's data from a finding's evidence; `picture_svg` and `picture_text` draw it.

The axis keeps the order of all moments but stretches short times, so that an exchange of a millisecond is visible
beside a gap of a minute.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ..api.exchange import Exchange
from ..judge.checks.timestamp_order import TIMESTAMP_ORDER
from ..judge.verdict import FindingEntry
from .sample_table import TIMESTAMP_PATH, leaf_texts

PICTURED_FAMILIES: Final = ("counter", "clock")

_NAMES: Final = "ABCDEFGH"


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturedExchange:
    """One exchange as an interval."""

    name: str
    """A, B, … in order of sending."""
    target: str
    node: str
    """The URL of the node; empty if it is the same for all."""
    detail: str
    """Its number in the run, and how long it took."""
    start: float
    """The time of sending, from 0 at the left of the axis to 1 at its right."""
    end: float
    """The time of arrival of its response."""
    value: str
    """The value of the finding's field in its response."""
    is_wrong: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ViolationPicture:
    """The content of a picture; renderings only draw it."""

    title: str
    sentence: str
    """The content in words."""
    exchanges: Sequence[PicturedExchange]
    bound: str
    """What is expected of the wrong exchange."""
    gap: tuple[float, float] | None
    """From the end of the exchange that it is compared with to its own start; None if they overlap."""
    gap_text: str
    """The length of the gap."""
    ticks: Sequence[tuple[float, str]]
    """The moments, with the time since the first one."""


def make_violation_picture(entry: FindingEntry, evidence: Sequence[Exchange]) -> ViolationPicture | None:
    """
    Make the picture of a finding, by the exchanges that prove it.

    Returns:
        The picture; None for a finding that is not about counters or timestamps, or if fewer than two exchanges of one
        run show the field, since then there is no order to show.
    """
    if entry.requirement.partition(".")[0] not in PICTURED_FAMILIES:
        return None
    wrong_key = entry.wrong_exchange or (evidence[-1].key if evidence else None)
    shown = [
        (exchange, value)
        for exchange, value in zip(evidence, _values(entry, evidence), strict=True)
        if value is not None and wrong_key is not None and exchange.key[0] == wrong_key[0]
    ]
    shown.sort(key=lambda each: each[0].sent_ns)
    wrong = next((place for place, (exchange, _) in enumerate(shown) if exchange.key == wrong_key), None)
    if wrong is None or not 2 <= len(shown) <= len(_NAMES):
        return None
    held = 0 if wrong else 1
    at = _axis(moment for exchange, _ in shown for moment in (exchange.sent_ns, exchange.received_ns))
    first_ns = shown[0][0].sent_ns
    gap_ns = shown[wrong][0].sent_ns - shown[held][0].received_ns
    several = len({exchange.request.server for exchange, _ in shown}) > 1
    exchanges = [
        PicturedExchange(
            name=_NAMES[place],
            target=exchange.request.target.operation if exchange.request.target else "a wrong request",
            node=exchange.request.server if several else "",
            detail=f"exchange {exchange.seq}, took {duration_text(exchange.received_ns - exchange.sent_ns)}",
            start=at[exchange.sent_ns],
            end=at[exchange.received_ns],
            value=value.replace('"', ""),
            is_wrong=place == wrong,
        )
        for place, (exchange, value) in enumerate(shown)
    ]
    before, after = exchanges[held], exchanges[wrong]
    order = f"{before.name} and {after.name} overlap"
    if gap_ns > 0:
        order = f"{before.name} had arrived {duration_text(gap_ns)} before {after.name} was sent"
    return ViolationPicture(
        title=f"{entry.field or entry.pointer} of connection {entry.connection_id}",
        sentence=f"{order}. Expected of {after.name}: {entry.expected}. It shows {after.value}.",
        exchanges=exchanges,
        bound=entry.expected,
        gap=(before.end, after.start) if gap_ns > 0 else None,
        gap_text=duration_text(gap_ns) if gap_ns > 0 else "",
        ticks=[(place, duration_text(moment - first_ns)) for moment, place in at.items()],
    )


def _values(entry: FindingEntry, evidence: Sequence[Exchange]) -> Sequence[str | None]:
    """The field in each response; if the order is that of timestamps, these as well."""
    values, stamps = leaf_texts(entry, evidence), leaf_texts(entry, evidence, path=TIMESTAMP_PATH)
    if entry.requirement != TIMESTAMP_ORDER.id:
        return values if entry.field != f"/{TIMESTAMP_PATH[0]}" else _without_date(values)
    return [
        value if value is None or stamp is None else f"{value}, stamped {stamp}"
        for value, stamp in zip(values, _without_date(stamps), strict=True)
    ]


def _without_date(stamps: Sequence[str | None]) -> Sequence[str | None]:
    """Timestamps without the date, if all are of the same day."""
    dates = {stamp.partition("T")[0] for stamp in stamps if stamp is not None}
    return stamps if len(dates) != 1 else [stamp and stamp.partition("T")[2] for stamp in stamps]


def _axis(moments: Iterable[int]) -> dict[int, float]:
    """The position of each moment: in order, with space for the shortest time between two."""
    ordered = sorted(set(moments))
    weights = [1 + math.log10(1 + (after - before) / 1000) / 2 for before, after in pairwise(ordered)]
    whole = sum(weights) or 1
    places = [0.0]
    for weight in weights:
        places.append(places[-1] + weight / whole)
    return dict(zip(ordered, places, strict=True))


def duration_text(ns: int) -> str:
    """
    A time with its unit.

    >>> duration_text(15_123_456), duration_text(3_600_000_000_000), duration_text(0)
    ('15.1 ms', '3,600 s', '0 ms')
    """
    number, unit = (ns / 1e9, "s") if ns >= 1_000_000_000 else (ns / 1e6, "ms")
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
