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
        until(lambda: value(address, "verdict") == "fail")
        with opened(browser, address, scripts=True) as shown:
            for tab, text in (
                ("Verdict", "findings that miss a MUST"),
                ("Findings", "counter.monotonic"),
                ("Response times", "GetStatsConnection"),
            ):
                shown.page.get_by_role("tab", name=tab, exact=True).click()
                shown.page.get_by_role("cell", name=text).first.wait_for(timeout=30_000)
            shown.page.get_by_role("tab", name="Download Data").click()
            link = shown.page.get_by_role("link", name="Sora: final verdict and report")
            assert (link.get_attribute("href") or "").endswith("/sora-report")
