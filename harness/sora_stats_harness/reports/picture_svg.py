"""
Draws the picture of a violation as inline SVG, in the colours of the page's style sheet, light or dark.

It is drawn twice: for a wide screen with the names to the left of the axis, and for a phone with the names above the
bars. The style sheet shows one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ..api.language import translate
from . import html_elements as html
from .text_wrapping import columns
from .violation_picture import PicturedExchange, ViolationPicture

_CHARACTER: Final = 8
"""The approximate width of one character, for text to the right of the axis."""
_MIN_AXIS: Final = 140
_LINE: Final = 15
_BOUND: Final = 34
"""The height of the row with the bound."""
_BAR: Final = 14
_FOOT: Final = 32
_TICK_ROOM: Final = 52


@dataclass(frozen=True, slots=True, kw_only=True)
class _PictureLayout:
    """The layout for one width of screens."""

    kind: Literal["wide", "narrow"]
    width: int
    left: int
    """Where the axis begins."""
    above: int
    """The space above the bar within its row."""
    row: int
    axis: int

    def at(self, place: float) -> float:
        """The horizontal position of a place on the axis."""
        return self.left + place * self.axis


def _layouts(picture: ViolationPicture) -> list[_PictureLayout]:
    value = max(columns(translate(each.value)) for each in picture.exchanges) * _CHARACTER + 12
    lines = 3 if picture.exchanges[0].node else 2
    made = []
    for kind, width, left in (("wide", 820, 215), ("narrow", 400, 0)):
        above = 12 if left else _LINE * lines + 6
        made.append(
            _PictureLayout(
                kind="wide" if kind == "wide" else "narrow",
                width=width,
                left=left,
                above=above,
                row=max(above + _BAR + 10, _LINE * lines + 10),
                axis=max(_MIN_AXIS, width - left - value),
            )
        )
    return made


def render_picture(picture: ViolationPicture, name: str) -> html.SafeHtml:
    """Draw a picture; `name` is a unique prefix for ids in the page."""
    return html.element(
        "figure",
        html.element("figcaption", picture.sentence, limit=1000),
        [_drawing(picture, name, layout) for layout in _layouts(picture)],
        class_="picture",
    )


def _drawing(picture: ViolationPicture, name: str, layout: _PictureLayout) -> html.SafeHtml:
    before = max(1, next(place for place, each in enumerate(picture.exchanges) if each.is_wrong))
    tops = [layout.row * place + (_BOUND if place >= before else 0) for place, _ in enumerate(picture.exchanges)]
    foot = tops[-1] + layout.row
    ids = [f"{name}-{layout.kind}-{part}" for part in ("title", "about")]
    return html.element(
        "svg",
        html.element("title", picture.title, id=ids[0]),
        html.element("desc", picture.sentence, id=ids[1], limit=1000),
        _gap(picture, tops[before] - _BOUND, foot, layout),
        _axis(picture, foot, layout),
        [_exchange(each, top, layout) for each, top in zip(picture.exchanges, tops, strict=True)],
        viewBox=f"0 0 {layout.width} {foot + _FOOT + (0 if layout.left else _LINE)}",
        role="img",
        aria_labelledby=" ".join(ids),
        class_=layout.kind,
    )


def _exchange(each: PicturedExchange, top: int, layout: _PictureLayout) -> html.SafeHtml:
    bar, start, end = top + layout.above, layout.at(each.start), layout.at(each.end)
    lines = [each.detail, *([each.node] if each.node else [])]
    return html.element(
        "g",
        _text(0, top + _LINE, html.element("tspan", each.name, class_="name"), f" {each.target}"),
        [_text(0, top + _LINE * place, line, class_="detail", limit=36) for place, line in enumerate(lines, start=2)],
        html.element(
            "rect", x=f"{start:.1f}", y=f"{bar}", width=f"{max(2, end - start):.1f}", height=f"{_BAR}", rx="3"
        ),
        _text(end + 8, bar + _BAR - 2, each.value, class_="value"),
        class_="exchange wrong" if each.is_wrong else "exchange",
    )


def _gap(picture: ViolationPicture, y: int, foot: int, layout: _PictureLayout) -> html.HtmlContent:
    """The gap between two exchanges, and the bound that applies from its beginning on."""
    if picture.gap is None:
        return _text(layout.left, y + 22, f"expected: {picture.bound}", class_="bound")
    start, end = map(layout.at, picture.gap)
    text = f"{picture.gap_text} later: {picture.bound}"
    left = max(0.0, min(start + 6, layout.width - _CHARACTER * columns(translate(text))))
    return [
        html.element("rect", x=f"{start:.1f}", y="0", width=f"{end - start:.1f}", height=f"{foot + 6}", class_="gap"),
        html.element("path", d=f"M{start:.1f} {y + 8}H{end:.1f}m-6 -4l6 4l-6 4", class_="arrow"),
        _text(left, y + 25, text, class_="bound"),
    ]


def _axis(picture: ViolationPicture, y: int, layout: _PictureLayout) -> list[html.HtmlContent]:
    line = html.element("path", d=f"M{layout.left} {y + 6}H{layout.at(1) + 14:.1f}m-6 -4l6 4l-6 4", class_="axis")
    parts: list[html.HtmlContent] = [line]
    last = -float(_TICK_ROOM)
    for place, text in picture.ticks:
        x = layout.at(place)
        parts.append(html.element("path", d=f"M{x:.1f} {y + 6}v5", class_="axis"))
        if x - last >= _TICK_ROOM:
            parts.append(_text(x, y + 24, text, class_="tick first" if place == 0 else "tick"))
            last = x
    return [*parts, _text(0, y + (10 if layout.left else 40), "time, not to scale", class_="detail")]


def _text(x: float, y: float, *content: html.HtmlContent, class_: str | None = None, limit: int = 100) -> html.SafeHtml:
    return html.element("text", *content, x=f"{x:.1f}", y=f"{y:.1f}", class_=class_, limit=limit)
