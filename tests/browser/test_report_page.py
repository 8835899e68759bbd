"""report.html in a browser, as a manager may see it: light or dark, on a phone, without scripts, by keyboard, by ear."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from sora_stats_harness.reports.comparison_formats import render_page
from sora_stats_harness.reports.history_page import render_history
from sora_stats_harness.reports.report_formats import report_renderer

from ..reports import verdicts
from ..reports.test_comparison_formats import changed
from ..reports.test_run_history import history
from .chromium import SCHEMES, WIDTHS, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from .chromium import Opened

REPORTS: Final = verdicts.PAGES | {"hostile": lambda: verdicts.hostile(verdicts.HOSTILE[0] + "x" * 200)}


def text_of(kind: str) -> str:
    """A page: a kind of report, a comparison, or a history."""
    if kind == "compared":
        return render_page(changed())
    if kind == "history":
        return render_history(history(verdicts.HOSTILE[0] + "x" * 200), beside=Path())
    return report_renderer("html")(REPORTS[kind]())


PAGES: Final = [*REPORTS, "compared", "history"]


THIN = "document.querySelectorAll('tbody > tr:nth-child(n+7), .cell:nth-child(n+7)').forEach(each => each.remove())"
"""Six rows of a table have all that a hundred can have against them, and axe-core looks at each for a while."""
UNFOLD = "document.querySelectorAll('details').forEach(each => each.open = true)"


def write(kind: str, folder: Path) -> str:
    """Write a kind of report, and give its address."""
    path = folder / "report.html"
    path.write_text(text_of(kind), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Opened]:
    """A tab with scripts off."""
    with opened(browser, scripts=False) as tab:
        yield tab


@pytest.fixture(scope="module")
def scripting_tab(browser: Browser) -> Iterator[Opened]:
    """A tab for axe-core, which is a script itself."""
    with opened(browser, scripts=True) as tab:
        yield tab


@pytest.fixture
def loaded(tab: Opened, tmp_path: Path) -> Opened:
    """The page that has most to show, with scripts off."""
    return tab.show(write("loaded", tmp_path))


@pytest.mark.parametrize("kind", PAGES)
def test_page_fits_every_screen(kind: str, tab: Opened, tmp_path: Path) -> None:
    """Scripts off, light and dark, wide and narrow, folded or not: no horizontal scroll, and the console is silent."""
    page = tab.show(write(kind, tmp_path))
    for scheme, width in itertools.product(SCHEMES, WIDTHS):
        page.as_seen(scheme, width)
        assert page.overflow() == 0, (scheme, width)
    page.page.evaluate(UNFOLD)
    assert page.overflow() == 0
    assert page.complaints == []


@pytest.mark.parametrize("kind", PAGES)
def test_page_has_no_barrier(kind: str, scripting_tab: Opened, tmp_path: Path) -> None:
    """axe-core finds nothing at all: light and wide, dark and narrow, all unfolded."""
    page = scripting_tab.show(write(kind, tmp_path))
    page.page.evaluate(THIN)
    assert page.as_seen("light", 1280).barriers() == []
    page.page.evaluate(UNFOLD)
    assert page.as_seen("dark", 360).barriers() == []
    assert page.complaints == []


def test_a_barrier_would_be_found(scripting_tab: Opened, tmp_path: Path) -> None:
    """Faint text, a wide line and a script that fails are each told."""
    path = tmp_path / "bad.html"
    bad = "<p style='color: #ddd; width: 4000px'>faint</p><script>console.error('no')</script>"
    path.write_text(
        f"<!doctype html><html lang='en'><title>x</title><main><h1>x</h1>{bad}</main></html>", encoding="utf-8"
    )
    page = scripting_tab.show(path.as_uri())
    assert page.as_seen("light", 360).overflow() > 3000
    assert "color-contrast" in page.barriers()[0]
    assert page.complaints == ["error: no"]


def test_every_link_and_table_is_reached_by_keyboard(loaded: Opened) -> None:
    """The first stop skips to the findings; links, folds and wide tables follow, each with a visible focus."""
    loaded.as_seen("light", 1280)
    stops = []
    for _ in range(40):
        loaded.page.keyboard.press("Tab")
        focused = loaded.page.evaluate(
            "(() => { const at = document.activeElement; const style = getComputedStyle(at);"
            " return [at.tagName, at.className, at.textContent.slice(0, 40), style.outlineStyle] })()"
        )
        if focused[0] == "BODY":
            break
        stops.append(focused)
    assert stops[0][:3] == ["A", "skip", "Skip to the findings"]
    assert {"A", "SUMMARY", "DIV"} <= {tag for tag, *_ in stops}
    assert {outline for *_, outline in stops} == {"solid"}


def test_dark_is_dark_and_print_is_not(loaded: Opened) -> None:
    """The ground follows the reader's preference, and paper is white whatever that is."""

    def ground() -> str:
        colour: str = loaded.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return colour

    loaded.as_seen("light", 1280)
    assert ground() == "rgb(255, 255, 255)"
    loaded.as_seen("dark", 1280)
    assert ground() == "rgb(20, 23, 28)"
    loaded.page.emulate_media(color_scheme="dark", media="print")
    assert ground() == "rgb(255, 255, 255)"
    loaded.page.emulate_media(media="screen")
