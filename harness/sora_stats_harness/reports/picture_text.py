"""Draws the picture of a violation as lines of text, for a terminal with any encoding."""

from __future__ import annotations

from typing import Final

from .violation_picture import PicturedExchange, ViolationPicture

MAX_AXIS_COLUMNS: Final = 90
"""The widest axis; a wider one shows nothing more."""

MIN_AXIS_COLUMNS: Final = 16


def picture_lines(picture: ViolationPicture, width: int) -> list[str]:
    """
    Draw a picture.

    Args:
        picture: What it shows.
        width: The available columns; the axis takes those that the longest value leaves.

    Returns:
        For each exchange a line with its name and one with its bar, and the bound before the wrong exchange. Only a
        long value makes a line longer than the width.
    """
    longest = max(len(each.value) for each in picture.exchanges)
    columns = max(MIN_AXIS_COLUMNS, min(MAX_AXIS_COLUMNS, width - longest - 1))
    lines = []
    for place, each in enumerate(picture.exchanges):
        if each.is_wrong and place:
            lines += _bound_lines(picture, columns, width)
        names = [f"{each.name}  {each.target}", *([f"   at {each.node}"] if each.node else []), f"   {each.detail}"]
        whole = f"{names[0]}{''.join(name.removeprefix('  ') for name in names[1:-1])}, {each.detail}"
        lines += [whole] if len(whole) <= width else names
        lines.append(_bar_line(each, columns))
    return lines


def _bar_line(each: PicturedExchange, columns: int) -> str:
    start, end = _column(each.start, columns), _column(each.end, columns)
    mark = "#" if each.is_wrong else "="
    return f"{' ' * start}[{mark * max(1, end - start - 1)}] {each.value}"


def _bound_lines(picture: ViolationPicture, columns: int, width: int) -> list[str]:
    if picture.gap is None:
        return [f"expected: {picture.bound}"]
    start, end = (_column(place, columns) for place in picture.gap)
    arrow = f"{' ' * start}|{'-' * max(1, end - start - 2)}>"
    text = f"{picture.gap_text} later: {picture.bound}"
    if len(arrow) + 1 + len(text) <= width:
        return [f"{arrow} {text}"]
    return [arrow, f"{' ' * max(0, min(start, width - len(text)))}{text}"]


def _column(place: float, columns: int) -> int:
    return round(place * (columns - 2))
