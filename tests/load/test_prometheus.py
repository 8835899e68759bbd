"""What a run has for Prometheus: both formats by hand, and a real Prometheus that scrapes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.judge.measured_results import ALL_TARGETS
from sora_stats_harness.load.histogram import Histogram
from sora_stats_harness.load.prometheus_metrics import (
    NATIVE_SCHEMA,
    TEXT_CONTENT_TYPE,
    MetricFamily,
    encode_metrics,
    native_buckets,
)
from sora_stats_harness.simulator.server import Simulator
from tests.hostile import closed_port

from .test_locust_web_page import get, page, tables, together, until

PAGE = (Path(__file__).parents[2] / "docs" / "GRAFANA.md").read_text()
CONFIGURATION = PAGE.split("```yaml\n")[1].split("```")[0]
QUERIES = dict(re.findall(r"^\| ([^|`]+) \| `([^`]+)` \|$", PAGE, re.MULTILINE))


def test_every_time_is_in_the_bucket_that_it_belongs_to() -> None:
    """A native bucket has the times above its lower bound, and those up to its upper one."""
    for us in (1, 2, 999, 1000, 50_175, 1_000_000, 17_000_000):
        times = Histogram()
        times.record(us * 1000)
        [(upper_us, _)] = times.buckets
        zeros, counts = native_buckets(times)
        ((index, count),) = counts.items()
        assert (zeros, count) == (0, 1)
        assert 2 ** ((index - 1) / 2**NATIVE_SCHEMA) < upper_us / 1e6 <= 2 ** (index / 2**NATIVE_SCHEMA)
    nothing = Histogram()
    nothing.record(0)
    assert native_buckets(nothing) == (1, {})


def test_the_text_format_is_escaped_and_cumulative() -> None:
    """Whatever a label holds."""
    times = Histogram()
    for us in (400, 900, 20_000_000):
        times.record(us * 1000)
    families = [
        MetricFamily(name="a_total", about="A.", counters=[({"code": 'q"\n\\'}, 3)]),
        MetricFamily(name="b_seconds", about="B.", histograms=[({"target": "x"}, times)]),
    ]
    body, kind = encode_metrics(families, "text/plain")
    lines = body.decode().splitlines()
    assert kind == TEXT_CONTENT_TYPE
    assert lines[:3] == ["# HELP a_total A.", "# TYPE a_total counter", r'a_total{code="q\"\n\\"} 3']
    assert 'b_seconds_bucket{target="x",le="0.0005"} 1' in lines
    assert 'b_seconds_bucket{target="x",le="10"} 2' in lines
    assert lines[-3:] == [
        'b_seconds_bucket{target="x",le="+Inf"} 3',
        'b_seconds_sum{target="x"} 20.0013',
        'b_seconds_count{target="x"} 3',
    ]


@contextmanager
def prometheus(folder: Path, scraped: str, *options: str) -> Iterator[str]:
    """A Prometheus with the documented configuration, on loopback; its address. Skips where there is none."""
    program = shutil.which("prometheus")
    if program is None:
        if os.environ.get("SORA_HARNESS_PROMETHEUS") == "required":
            pytest.fail("there is no Prometheus: apt-get install prometheus")
        pytest.skip("there is no Prometheus: apt-get install prometheus")
    configuration, address = folder / "prometheus.yml", closed_port()
    configuration.write_text(CONFIGURATION.replace("127.0.0.1:8089", scraped.removeprefix("http://")))
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address.removeprefix('http://')}",
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)


def answers(address: str, query: str) -> dict[str, float]:
    """What a query gives now, by the labels' values; nothing while there is nothing."""
    status, text = get(address, f"/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    if status != 200:
        return {}
    found: list[Any] = json.loads(text)["data"]["result"]  # Any: JSON
    values = {" ".join(sorted(each["metric"].values())): float(each["value"][1]) for each in found}
    return {labels: value for labels, value in values.items() if value == value}


def test_a_real_prometheus_answers_the_documented_queries(tmp_path: Path) -> None:
    """With workers, a counter that falls and responses of status 500; native histograms, and no request of its own."""
    faults = ["counter-falls", "crash"]
    options = "--enable-feature=native-histograms"
    with (
        Simulator(connections=3, faults=faults) as simulator,
        page(simulator.url, *together(2)) as locust,
        prometheus(tmp_path, locust, options) as address,
    ):
        results: dict[str, dict[str, float]] = {}

        def all_answered() -> bool:
            for panel, query in QUERIES.items():
                results[panel] = results.get(panel) or answers(address, query)
            asked = answers(address, QUERIES["requests a second"])
            return all(results.values()) and asked.keys() >= {"GetStatsConnection", "GetStatsClient"}

        until(all_answered)
        assert results["findings by requirement"]["counter.monotonic"] >= 1
        assert set(results["errors a second, and whose they are"]) == {"server status 500"}
        assert 'le="0.01"' in get(locust, "/sora-metrics")[1]
        assert get(locust, "/stop", b"")[0] == 200  # the button of that name
        counted = "sum(sora_harness_responses_total)"
        until(lambda: list(answers(address, counted).values()) == [len(simulator.requests)])
        (p95_s,) = answers(address, "histogram_quantile(0.95, sum(sora_harness_response_time_seconds))").values()
        told = next(row for row in tables(locust)["sora-times"] if row["name"] == ALL_TARGETS)
        assert p95_s * 1000 == pytest.approx(float(told["p95"]), rel=0.03)
