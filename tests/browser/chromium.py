"""
A headless Chromium, for pages that have to look right and be usable by everybody.

Chromium is the distribution's (`apt-get install chromium`), found by name or by SORA_HARNESS_CHROMIUM; Playwright only
drives it. Where either is missing the tests are skipped, unless SORA_HARNESS_BROWSER=required says that this must not be.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]

WIDTHS: Final = (1920, 1280, 360)
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")

REQUIRED: Final = os.environ.get("SORA_HARNESS_BROWSER") == "required"
"""Whether a missing browser is a failure, as in CI."""


def missing() -> str | None:
    """Why no page can be opened here; None where one can."""
    for name in ("axe_playwright_python", "playwright"):
        if find_spec(name) is None:
            return f"{name} is not installed: make browser"
    return None if executable() else "there is no Chromium: apt-get install chromium, or set SORA_HARNESS_CHROMIUM"


def executable() -> str | None:
    """The path of Chromium."""
    given = os.environ.get("SORA_HARNESS_CHROMIUM")
    names = [given] if given else ["chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser for as long as the block runs; it starts in about a second."""
    from playwright.sync_api import sync_playwright

    # As root, in a container, Chromium does not start with its sandbox; all pages here are our own.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=options)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Opened:
    """A page, and what it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console, exceptions, requests that failed or were blocked."""

    def show(self, address: str) -> Opened:
        """Load a page, of a file or a server."""
        self.complaints.clear()
        self.page.goto(address)
        return self

    def as_seen(self, scheme: Scheme, width: int) -> Opened:
        """The same page for other eyes, and on another screen."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": 900})
        return self

    def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return wide

    def barriers(self) -> list[str]:
        """
        What axe-core finds: the rule, and the first places.

        Only of a page opened with `scripts=True`: elsewhere its promises would never be kept.
        """
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(axe_source())
        found = self.page.evaluate("axe.run({resultTypes: ['violations'], preload: false})")
        return [
            f"{each['id']} ({each['impact']}): {[node['html'][:120] for node in each['nodes'][:3]]}"
            for each in found["violations"]
        ]


@contextmanager
def opened(browser: Browser, *, scripts: bool) -> Iterator[Opened]:
    """
    A tab, in which one page after the other can be shown.

    Args:
        browser: From the fixture of that name.
        scripts: Whether any may run; a plain expression can be evaluated from outside either way.
    """
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    shown = Opened(page)

    def console(message: Any) -> None:  # Any: Playwright's ConsoleMessage
        if message.type in ("error", "warning"):
            shown.complaints.append(f"{message.type}: {message.text}")

    page.on("console", console)
    page.on("pageerror", lambda error: shown.complaints.append(f"exception: {error}"))
    page.on("requestfailed", lambda request: shown.complaints.append(f"request: {request.url} {request.failure}"))
    try:
        yield shown
    finally:
        context.close()


def axe_source() -> str:
    """The script of axe-core, as the package ships it."""
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
