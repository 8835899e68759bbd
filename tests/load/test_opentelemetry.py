"""Locust's `--otel` under our scenarios: a collector of our own receives times and findings."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from sora_stats_harness.simulator.server import Simulator
from tests import forked

from .test_locust_web_page import ROOT


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An endpoint for OTLP over HTTP, and what was sent to it."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_times_and_findings_reach_a_collector() -> None:
    """Times by target in exponential buckets, and findings by requirement, when the run ends."""
    with Simulator(connections=3, faults=["counter-falls"]) as simulator, collector() as (endpoint, received):
        command = [sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles" / "mixed.py"), "--host"]
        command += [simulator.url, "--headless", "-u", "3", "-t", "2s", "--sora-interval", "0.02", "--otel"]
        environment = os.environ | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        done = forked.run(command, timeout=120, env=environment)
        served = len(simulator.requests)
    assert done.returncode == 1, done.stderr
    metrics: dict[str, Any] = {}  # Any: protobuf's
    for body in received:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            metrics |= {each.name: each for scope in resource.scope_metrics for each in scope.metrics}
    times = metrics["locust.client.duration"].exponential_histogram.data_points
    assert sum(point.count for point in times) == served
    found = {
        attribute.value.string_value: int(point.as_int)
        for point in metrics["sora.findings"].sum.data_points
        for attribute in point.attributes
        if attribute.key == "requirement"
    }
    assert found["counter.monotonic"] >= 1
