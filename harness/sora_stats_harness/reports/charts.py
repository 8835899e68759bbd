"""
Draws charts for report.html and for the page of a history as inline SVG, from the same figures as the tables.

pygal draws them: it is pure Python, small, and writes plain SVG. It is an extra, since a gate in CI needs no charts;
without it the reports only have their tables, and say what is missing. Its scripts, styles and tooltips are removed, so
that the page's style sheet controls the colours, in light and dark mode. Each chart gets a title and a description for
screen readers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

from ..api.language import translate
from . import html_elements as html
from .escaping import escape_terminal

CHARTS_EXTRA: Final = "charts"
"""The extra of this package that installs pygal."""

COLOUR_COUNT: Final = 6
"""How many colours the style sheet has; further lines repeat them."""

_WIDTH: Final = 600
_HEIGHT: Final = 290
_LOG_SCALE_RATIO: Final = 30
"""From this ratio of the largest to the smallest value on, a linear axis would hide the small ones."""

_PERCENTILE_TICKS: Final = (
    (0.0, "0"),
    (50.0, "50"),
    (90.0, "90"),
    (99.0, "99"),
    (99.9, "99.9"),
    (99.99, "99.99"),
    (99.999, "99.999"),
)

ChartPoint = tuple[float, float]


class ChartLine(NamedTuple):
    """One line of a chart; with `dots`, only its points."""

    name: str
    points: Sequence[ChartPoint]
    dots: bool = False
    colour: str | None = None
    """A class of the style sheet, such as `color-pass`; the next colour if None."""


class Axes(NamedTuple):
    """A pair of axes, with their titles, which contain the unit."""

    x: str
    y: str
    x_labels: Sequence[tuple[float, str]] | None = None
    """The positions and texts of labels on the horizontal axis; chosen by the library if None."""
    zero: bool = False
    """Whether the vertical axis begins at 0, and is linear."""


def charts_available() -> bool:
    """Whether charts can be drawn, because pygal is installed."""
    return find_spec("pygal") is not None


def percentile_position(percent: float) -> float:
    """
    The position of a percentile on an axis that gives each further nine the same space.

    >>> [round(percentile_position(percent), 6) for percent in (0, 90, 99, 99.9)]
    [0.0, 1.0, 2.0, 3.0]
    """
    return math.log10(100 / (100 - percent))


def percentile_chart(name: str, lines: Sequence[ChartLine], *, title: str, about: str) -> html.SafeHtml:
    """Draw latencies by percentile, in milliseconds, on an axis that stretches the tail; see `percentile_position`."""
    last = max((x for line in lines for x, _ in line.points), default=0.0)
    labels = [
        (percentile_position(percent), label)
        for percent, label in _PERCENTILE_TICKS
        if percentile_position(percent) <= last + 1e-9
    ]
    return line_chart(name, lines, title=title, about=about, axes=Axes(x="percentile", y="ms", x_labels=labels))


def _import_pygal() -> Any:  # Any: it has no types
    """Import pygal without its hook for plugins, which would warn at every import."""
    pygal = import_module("pygal")
    # Other imports of pygal may add finders too, which must stay: only pygal's own is removed.
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]
    return pygal


def line_chart(name: str, lines: Sequence[ChartLine], *, title: str, about: str, axes: Axes) -> html.SafeHtml:
    """
    Draw lines on a common pair of axes.

    Args:
        name: A unique prefix for ids in the page.
        lines: The lines, in the order of their colours.
        title, about: A title and a description, for screen readers.

    Returns:
        A `<figure>`; its SVG contains no script or style, and fetches nothing.
    """
    pygal = _import_pygal()
    heights = [y for line in lines for _, y in line.points if y > 0]
    log = not axes.zero and bool(heights) and max(heights) / min(heights) > _LOG_SCALE_RATIO
    chart = _empty_chart(pygal, axes)
    if axes.x_labels is not None:
        chart.x_labels = [{"label": escape_terminal(label, 40), "value": value} for value, label in axes.x_labels]
    if log:  # pygal's own logarithmic scale would apply to both axes
        chart.y_labels = [{"label": _number(value), "value": math.log10(value)} for value in _log_axis_ticks(heights)]
    for line in lines:
        points = [(x, math.log10(y) if log else y) for x, y in line.points if y > 0 or not log]
        chart.add(escape_terminal(line.name, 60), points, show_dots=line.dots or len(points) == 1, stroke=not line.dots)
    # Through the text, since the tree is lxml's if that happens to be installed.
    svg = ElementTree.fromstring(chart.render(is_unicode=True))  # noqa: S314  # pygal has just written it
    _strip_scripts_and_styles(svg)
    _apply_colour_classes(svg, lines)
    key = html.bullet_list((_line_key(line, place) for place, line in enumerate(lines)), class_="key")
    return html.element(
        "figure",
        html.element("figcaption", title),
        html.scrollable(_label_svg(svg, name, title, about), title),
        key if lines[1:] else None,
        class_="chart",
    )


def _empty_chart(pygal: Any, axes: Axes) -> Any:  # Any: as above
    return pygal.XY(
        style=pygal.style.Style(label_font_size=13, title_font_size=13),
        js=[],
        width=_WIDTH,
        height=_HEIGHT,
        margin=8,
        margin_right=28,  # half of the last label on the horizontal axis
        spacing=10,
        show_x_guides=True,
        include_x_axis=axes.zero,
        show_legend=False,
        x_title=escape_terminal(translate(axes.x), 60),
        y_title=escape_terminal(translate(axes.y), 60),
        dots_size=4,
        min_scale=3,
        max_scale=6,
        value_formatter=_number,
        x_value_formatter=_number,
    )


def _log_axis_ticks(values: Sequence[float]) -> Iterator[float]:
    """1, 2 and 5 times every power of ten that the values span; if these are many, only the powers."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    for power in range(first, last + 1):
        for digit in (1, 2, 5) if last - first <= 3 else (1,):
            if min(values) * 0.7 <= digit * 10.0**power <= max(values) * 1.4:
                yield digit * 10.0**power


def _apply_colour_classes(svg: ElementTree.Element, lines: Sequence[ChartLine]) -> None:
    """Give each line, and each group of dots, the class of its colour."""
    for part in svg.iter("g"):
        words = (part.get("class") or "").split()
        if words[:1] == ["series"]:
            place = int(words[1].removeprefix("serie-"))
            part.set("class", f"series serie-{place} {_colour(lines[place], place)}")


def _colour(line: ChartLine, place: int) -> str:
    return line.colour or f"color-{place % COLOUR_COUNT}"


def _line_key(line: ChartLine, place: int) -> list[html.HtmlContent]:
    style = f"swatch {'dots ' if line.dots else ''}{_colour(line, place)}"
    return [html.element("span", "", class_=style, aria_hidden="true"), line.name]


def _number(value: float) -> str:
    return f"{value:,.6g}"


def _strip_scripts_and_styles(svg: ElementTree.Element) -> None:
    """Remove what only pygal's own script would use, and the styles, which the page replaces."""
    for parent in list(svg.iter()):
        parent.tag = parent.tag.rpartition("}")[2]
        for child in list(parent):
            if child.tag.rpartition("}")[2] in _REMOVED_ELEMENTS or child.get("class") in _TOOLTIP_CLASSES:
                parent.remove(child)


_REMOVED_ELEMENTS: Final = ("script", "style", "desc", "title", "defs")
_TOOLTIP_CLASSES: Final = ("text-overlay", "plot text-overlay", "plot tooltip-overlay")


def _label_svg(svg: ElementTree.Element, name: str, title: str, about: str) -> html.SafeHtml:
    svg.attrib.pop("id", None)
    svg.set("xmlns", "http://www.w3.org/2000/svg")
    ids = f"{name}-title", f"{name}-about"
    svg.set("role", "img")
    svg.set("aria-labelledby", " ".join(ids))
    for place, (tag, id, text) in enumerate(zip(("title", "desc"), ids, (title, about), strict=True)):
        child = ElementTree.Element(tag, id=id)
        child.text = escape_terminal(translate(text), 1000)
        svg.insert(place, child)
    return html.SafeHtml(ElementTree.tostring(svg, encoding="unicode"))


def thin_points(points: Sequence[ChartPoint], least: float) -> Iterator[ChartPoint]:
    """Leave out points that are closer than `least` to the previous one along the first axis; the last one stays."""
    before = -math.inf
    for place, point in enumerate(points):
        if point[0] - before >= least or place == len(points) - 1:
            yield point
            before = point[0]
