"""Locust's web page with our tabs, over HTTP: what it shows while a test runs, and the report when it has stopped."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.simulator.server import Simulator
from tests import forked
from tests.hostile import closed_port

from .build import SlowAtTheEnd, count_listings, often_listing

ROOT = Path(__file__).parents[2]
MIXED = ROOT / "locustfiles" / "mixed.py"

WAIT_S = 60.0


@contextmanager
def page(url: str, *options: str, file: Path = MIXED, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Locust with its page, on a scenario that begins by itself; the page's address."""
    address = closed_port()
    port = address.rpartition(":")[2]
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(file),
        "--host",
        url,
        "-u",
        "3",
        "--web-port",
        port,
        "--autostart",
        "--sora-interval",
        "0.04",
        *options,
    ]
    process = forked.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)


def get(address: str, path: str, data: bytes | None = None, *, origin: str | None = None) -> tuple[int, str]:
    """Status and text; 0 while nobody listens."""
    request = urllib.request.Request(address + path, data, {} if origin is None else {"Origin": origin})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def tables(address: str) -> dict[str, list[dict[str, Any]]]:  # Any: JSON
    """Our tables by their keys, as the page's script fetches them; each once, however often they are fetched."""
    status, text = get(address, "/stats/requests")
    listed = json.loads(text).get("extended_stats", []) if status == 200 else []
    shown = {each["key"]: each["data"] for each in listed}
    assert len(shown) == len(listed), text
    return shown


def has_users(address: str, count: int) -> bool:
    """Whether so many users run, and no more are on their way."""
    told = json.loads(get(address, "/stats/requests")[1])
    return (told["state"], told["user_count"]) == ("running", count)


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    give_up_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < give_up_s, "it never came"
        time.sleep(0.1)


def value(address: str, name: str) -> Any:  # Any: a text or a number
    """A line of the tab with the verdict."""
    return next((row["value"] for row in tables(address).get("sora-verdict", []) if row["name"] == name), None)


def test_the_tabs_follow_the_run_and_the_report_comes_when_it_stops() -> None:
    """Live verdict, newest findings and percentiles while it runs; a whole report after Stop; another test goes on."""
    with Simulator(connections=3, faults=["counter-falls"]) as simulator, page(simulator.url) as address:
        until(lambda: value(address, "verdict") == "fail so far")
        assert value(address, "server").startswith("SELF-TEST")
        status, text = get(address, "/")
        assert status == 200
        assert all(key in text for key in ("sora-verdict", "sora-findings", "sora-times", "sora-report"))
        shown = tables(address)
        assert shown["sora-findings"][0]["name"] == "counter.monotonic"
        assert value(address, "MUST: occurrences") >= value(address, "MUST: kinds of findings") > 0
        assert {row["name"] for row in shown["sora-times"]} >= {"GetStatsConnection"}
        assert {row["time"] for row in shown["sora-times"]} == {"response", "service", "receive delay"}
        assert get(address, "/sora-report")[0] == 404
        assert get(address, "/stop", b"", origin="http://elsewhere.example")[0] == 403
        status, text = get(address, "/swarm", b"user_count=3&spawn_rate=10&sora_header=@/etc/hostname")
        assert (status, text) == (403, "sora_header is for the command line\n")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/swarm", b"sora_%3Cscript%3E=1", timeout=20)
        with refused.value:
            assert refused.value.headers.get_content_type() == "text/plain"  # what somebody typed is no HTML
        assert get(address.replace("127.0.0.1", "127.0.0.2"), "/")[0] == 0  # it listens on one address only
        assert get(address, "/stop", b"", origin=address)[0] == 200  # the button of that name
        until(lambda: get(address, "/sora-report")[0] == 200)
        status, report = get(address, "/sora-report")
        assert "counter.monotonic" in report
        assert "FAIL" in report
        assert value(address, "verdict") == "fail: counter.monotonic is violated"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_test_goes_to_the_host_that_was_typed_for_it(processes: int, tmp_path: Path) -> None:
    """One report tells of both."""
    with (
        Simulator(connections=3) as first,
        Simulator(connections=3, seed=2) as second,
        page(first.url, *together(processes), file=often_listing(tmp_path)) as address,
    ):
        until(lambda: count_listings(first) > 3)  # what a pass takes
        refused = get(address, "/swarm", f"user_count=3&spawn_rate=10&host={second.url}".encode())
        assert refused == (409, f"a test of {first.url} is running: stop it before you start another\n")
        assert get(address, "/swarm", f"user_count=2&spawn_rate=10&host={first.url}".encode())[0] == 200
        until(lambda: has_users(address, 2))  # before that, Stop may overtake the change
        assert get(address, "/stop", b"")[0] == 200
        asked = len(first.requests)
        assert get(address, "/swarm", f"user_count=3&spawn_rate=10&host={second.url}".encode())[0] == 200
        until(lambda: len(second.requests) > 50)
        assert get(address, "/stop", b"")[0] == 200
        until(lambda: get(address, "/sora-report")[0] == 200)
        report = get(address, "/sora-report")[1]
        assert len(first.requests) == asked
        assert f"{first.url}, {second.url}" in report
        assert "PASS" in report, re.sub("<[^>]+>", " ", report)[:5000]


def together(processes: int) -> tuple[str, ...]:
    """Options for so many workers and their master; none for one process."""
    port = closed_port().rpartition(":")[2]
    return ("--processes", str(processes), "--master-bind-port", port, "--master-port", port) if processes > 1 else ()


@pytest.mark.parametrize("processes", [1, 2])
def test_stop_loses_nothing_nor_does_another_start(processes: int, tmp_path: Path) -> None:
    """Although every judge stands still for a second meanwhile: what the server saw is what the report tells of."""
    slow, options = SlowAtTheEnd(tmp_path), [*together(processes), "--sora-output", str(tmp_path / "out")]

    def stop(address: str) -> None:
        assert get(address, "/stop", b"")[0] == 200  # the button of that name
        until(lambda: get(address, "/sora-report")[0] == 200)

    with Simulator(connections=3) as simulator:
        with page(simulator.url, *options, environment=slow.environment) as address:
            until(lambda: len(simulator.requests) > 50)
            slow.begin()
            stop(address)
            first = len(simulator.requests)
            assert f">{first:,}</td>" in get(address, "/sora-report")[1]
            started = f"user_count=3&spawn_rate=10&host={simulator.url}".encode()
            assert get(address, "/swarm", started)[0] == 200
            until(lambda: len(simulator.requests) > first + 50)
            stop(address)
        served = len(simulator.requests)
    told = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert [told["load"][name] for name in ("sent", "judged", "errors", "abandoned")] == [served, served, 0, 0]
    assert (told["coverage"]["exchanges"], told["findings"]) == (served, [])
    assert served > first


def test_the_page_of_a_master_tells_of_all_workers(tmp_path: Path) -> None:
    """Their counts come with Locust's own reports; the report after Stop is made from their spools."""
    file = often_listing(tmp_path)
    with Simulator(connections=3) as simulator, page(simulator.url, *together(2), file=file) as address:
        until(lambda: (value(address, "responses judged") or 0) > 50)
        assert value(address, "verdict") == "nothing that fails so far"
        assert get(address, "/stop", b"")[0] == 200  # the button of that name
        until(lambda: get(address, "/sora-report")[0] == 200)
        report = get(address, "/sora-report")[1]
        assert "2 of 2 workers reported" in report
        assert "PASS" in report, re.sub("<[^>]+>", " ", report)[:5000]
