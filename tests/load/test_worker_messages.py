"""Messages between master and workers: what another version or something else sends is refused in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sora_stats_harness.api.errors import HarnessError
from sora_stats_harness.load.live_findings import LiveFindings, LiveState
from sora_stats_harness.load.request_metrics import RequestMetrics
from sora_stats_harness.load.worker_messages import (
    StepReport,
    decode_order,
    decode_report,
    decode_state,
    encode_message,
)

METRICS = RequestMetrics()
METRICS.turn_delay.record(5_000_000)
REPORT = StepReport(findings=(), metrics=METRICS.state(), outage=None, index=0)
STATE = LiveState(metrics=METRICS.state(), lasted_s=1.0, findings=LiveFindings().state(), subject_kind="server")

WRONG_HISTOGRAMS: dict[str, Any] = {  # Any: JSON
    "none": None,
    "a number": 3,
    "without buckets": {"sum_us": 0, "max_us": 0, "min_us": None},
    "buckets of texts": {"buckets": [["a", 1]], "sum_us": 0, "max_us": 0, "min_us": None},
    "a negative count": {"buckets": [[1, -1]], "sum_us": 0, "max_us": 0, "min_us": None},
    "a bucket of years": {"buckets": [[10**9, 1]], "sum_us": 0, "max_us": 0, "min_us": None},
    "a sum that is a text": {"buckets": [[1, 1]], "sum_us": "1", "max_us": 1, "min_us": 1},
}


def test_what_was_sent_arrives() -> None:
    """Histograms included, of which `msgspec` knows nothing."""
    report = decode_report(encode_message(REPORT))
    assert isinstance(report, StepReport)
    assert report.metrics.turn_delay.state() == METRICS.turn_delay.state() and report.metrics.turn_delay.count == 1


@pytest.mark.parametrize("histogram", WRONG_HISTOGRAMS.values(), ids=WRONG_HISTOGRAMS)
@pytest.mark.parametrize(
    ("message", "decode"), [(REPORT, decode_report), (STATE, decode_state)], ids=["report", "state"]
)
def test_what_is_no_histogram_is_refused(message: Any, decode: Callable[[object], object], histogram: Any) -> None:
    """When it is read, not when it is added to others."""
    sent = json.loads(encode_message(message))
    sent["metrics"]["turn_delay"] = histogram
    with pytest.raises(HarnessError, match="can't be read") as refused:
        decode(json.dumps(sent).encode())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("decode", [decode_order, decode_report, decode_state])
@pytest.mark.parametrize(
    "data",
    [None, 3, "", b"\xff", [], {"failing": 0}, b"{}", b'{"type":"Sing"}', b"[" * 100_000],
    ids=lambda data: repr(data)[:20],
)
def test_what_is_no_message_is_refused(decode: Callable[[object], object], data: object) -> None:
    """Locust passes on whatever MessagePack can hold: earlier versions sent objects in place of bytes."""
    with pytest.raises(HarnessError, match="can't be read"):
        decode(data)


MASTER = """
from types import SimpleNamespace as Some
from locust.event import Events
from sora_stats_harness.load.locust_distributed import _LocustMaster
handlers = {}
runner = Some(register_message=handlers.__setitem__, server=Some(send_to_client=print), start=print)
environment = Some(events=Events(), web_ui=None)
master = _LocustMaster(environment, runner)
for _ in range(2):
    environment.events.worker_report.fire(client_id="old", data={"sora": {"news": {}}})
handlers["sora_final"](Some(node_id="older", data=b"{}"))
print(*master._broken.values(), sep="\\n")
"""


def test_a_worker_of_another_version_under_plain_locust_is_named_once() -> None:
    """Not by a traceback at each of its heartbeats, nor by waiting for the report that it has sent."""
    done = subprocess.run([sys.executable, "-c", MASTER], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    old, older = done.stdout.splitlines()
    assert old.startswith("worker old failed: a message can't be read")
    assert older.startswith("worker older failed: a message can't be read")
