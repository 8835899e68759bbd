"""Draws the picture of a violation as lines of text, for a terminal with any encoding."""

from __future__ import annotations

from typing import Final

from ..api.language import translate
from .text_wrapping import columns
from .violation_picture import PicturedExchange, ViolationPicture

MAX_AXIS_COLUMNS: Final = 90
"""The widest axis; a wider one shows nothing more."""

MIN_AXIS_COLUMNS: Final = 16


def picture_lines(picture: ViolationPicture, width: int) -> list[str]:
    """
    Draw a picture.

    Args:
        width: The available columns; the axis takes those that the longest value leaves.

    Returns:
        For each exchange a line with its name and one with its bar, and the bound before the wrong exchange. Only a
        long value makes a line longer than the width.
    """
    longest = max(columns(translate(each.value)) for each in picture.exchanges)
    axis = max(MIN_AXIS_COLUMNS, min(MAX_AXIS_COLUMNS, width - longest - 1))
    lines = []
    for place, each in enumerate(picture.exchanges):
        if each.is_wrong and place:
            lines += _bound_lines(picture, axis, width)
        names = [
            f"{each.name}  {each.target}",
            *([f"   at {each.node}"] if each.node else []),
            f"   {translate(each.detail)}",
        ]
        whole = f"{names[0]}{''.join(name.removeprefix('  ') for name in names[1:-1])}, {translate(each.detail)}"
        lines += [whole] if columns(whole) <= width else names
        lines.append(_bar_line(each, axis))
    return lines


def _bar_line(each: PicturedExchange, axis: int) -> str:
    start, end = _column(each.start, axis), _column(each.end, axis)
    mark = "#" if each.is_wrong else "="
    return f"{' ' * start}[{mark * max(1, end - start - 1)}] {translate(each.value)}"


def _bound_lines(picture: ViolationPicture, axis: int, width: int) -> list[str]:
    if picture.gap is None:
        return [translate(f"expected: {picture.bound}")]
    start, end = (_column(place, axis) for place in picture.gap)
    arrow = f"{' ' * start}|{'-' * max(1, end - start - 2)}>"
    text = translate(f"{picture.gap_text} later: {picture.bound}")
    if len(arrow) + 1 + columns(text) <= width:
        return [f"{arrow} {text}"]
    return [arrow, f"{' ' * max(0, min(start, width - columns(text)))}{text}"]


def _column(place: float, axis: int) -> int:
    return round(place * (axis - 2))
