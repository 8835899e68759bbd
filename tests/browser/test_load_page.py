"""The tabs on Locust's page, as a person sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sora_stats_harness.simulator.server import Simulator
from tests.load.test_locust_web_page import page, until, value

from .chromium import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_tabs_show_the_verdict_the_findings_and_the_times(browser: Browser) -> None:
    """Each tab has its rows a moment after it is chosen, while the test runs; the report is linked among the downloads."""
    with Simulator(connections=3, faults=["counter-falls"]) as simulator, page(simulator.url) as address:
        until(lambda: value(address, "verdict") == "fail so far")
        with opened(browser, scripts=True) as shown:
            shown.show(address)
            shown.page.get_by_role("cell", name="MUST: occurrences").wait_for(timeout=30_000)  # it is opened first
            tabs = [(tab.bounding_box() or {"x": 0.0}, tab.inner_text()) for tab in shown.page.get_by_role("tab").all()]
            assert min((box["x"], name) for box, name in tabs)[1].casefold() == "verdict"
            for tab, text in (
                ("Verdict", "MUST: occurrences"),
                ("Findings", "counter.monotonic"),
                ("Times", "GetStatsConnection"),
            ):
                shown.page.get_by_role("tab", name=tab, exact=True).click()
                shown.page.get_by_role("cell", name=text).first.wait_for(timeout=30_000)
            shown.page.get_by_role("tab", name="Findings", exact=True).click()
            count = shown.page.get_by_role("columnheader", name="Count").bounding_box()
            assert count is not None
            assert count["x"] + count["width"] <= 1280
            shown.page.get_by_role("tab", name="Download Data").click()
            link = shown.page.get_by_role("link", name="Sora: final verdict and report")
            assert (link.get_attribute("href") or "").endswith("/sora-report")
