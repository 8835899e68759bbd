"""Locust's web page with our tabs, over HTTP: what it shows while a test runs, and the report when it has stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sora_stats_harness.simulator.server import Simulator
from tests.hostile import closed_port

ROOT = Path(__file__).parents[2]

WAIT_S = 60.0


@contextmanager
def page(url: str, *options: str) -> Iterator[str]:
    """Locust with its page, on a scenario that begins by itself; the page's address."""
    address = closed_port()
    port = address.rpartition(":")[2]
    command = [
        sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles" / "mixed.py"), "--host", url, "-u", "3",
        "--web-host", "127.0.0.1", "--web-port", port, "--autostart", "--sora-interval", "0.02", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)


def get(address: str, path: str, data: bytes | None = None) -> tuple[int, str]:
    """Status and text; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(address + path, data, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def tables(address: str) -> dict[str, list[dict[str, Any]]]:  # Any: JSON
    """Our tables by their keys, as the page's script fetches them."""
    status, text = get(address, "/stats/requests")
    return {each["key"]: each["data"] for each in json.loads(text).get("extended_stats", [])} if status == 200 else {}


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    give_up_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < give_up_s, "it never came"
        time.sleep(0.3)


def value(address: str, name: str) -> Any:  # Any: a text or a number
    """A line of the tab with the verdict."""
    return next((row["value"] for row in tables(address).get("sora-verdict", []) if row["name"] == name), None)


def test_the_tabs_follow_the_run_and_the_report_comes_when_it_stops() -> None:
    """Live verdict, newest findings and percentiles while it runs; a whole report after Stop; another test goes on."""
    with Simulator(connections=3, faults=["counter-falls"]) as simulator, page(simulator.url) as address:
        until(lambda: value(address, "verdict") == "fail")
        status, text = get(address, "/")
        assert status == 200
        assert all(key in text for key in ("sora-verdict", "sora-findings", "sora-times", "sora-report"))
        shown = tables(address)
        assert shown["sora-findings"][0]["name"] == "order.realtime"
        assert {row["name"] for row in shown["sora-times"]} >= {"GetStatsConnection"}
        assert all(row["p50"] <= row["p99"] <= row["max"] for row in shown["sora-times"])
        assert get(address, "/sora-report")[0] == 404
        assert get(address, "/stop", b"")[0] == 200  # the button of that name
        until(lambda: get(address, "/sora-report")[0] == 200)
        status, report = get(address, "/sora-report")
        assert "order.realtime" in report
        assert "FAIL" in report


def test_the_page_of_a_master_tells_of_all_workers() -> None:
    """Their counts come with Locust's own reports; the report after Stop is made from their spools."""
    port = closed_port().rpartition(":")[2]
    options = ("--processes", "2", "--master-bind-port", port, "--master-port", port)
    with Simulator(connections=3) as simulator, page(simulator.url, *options) as address:
        until(lambda: (value(address, "answers judged") or 0) > 50)
        assert value(address, "verdict") == "nothing amiss so far"
        assert get(address, "/stop", b"")[0] == 200  # the button of that name
        until(lambda: get(address, "/sora-report")[0] == 200)
        report = get(address, "/sora-report")[1]
        assert "2 of 2 workers reported" in report
        assert "PASS" in report
