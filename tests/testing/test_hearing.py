"""One test before its judge, without a suite around it."""

from __future__ import annotations

import httpx
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import Answer, ErrorCode, Target, TransportError, valid_request
from sora_stats_harness.simulator.server import Simulator
from sora_stats_harness.testing.hearing import Hearing

REQUEST = valid_request(Target.ALL, server="http://127.0.0.1:3000")
JSON = (("Content-Type", "application/json"),)


def answer(body: bytes) -> Answer:
    return Answer(status=200, headers=JSON, body=body)


def test_nothing_shown_fails_nothing() -> None:
    """A test that shows its judge nothing, or what is right, has no reason to fail."""
    hearing = Hearing(edition.load())
    assert (hearing.conclude(), hearing.remarks, hearing.findings) == (None, None, [])
    hearing.sent(REQUEST).end(answer(b"[]"))
    assert (hearing.conclude(), hearing.remarks) == (None, None)


def test_findings_are_told_once() -> None:
    """What a test was failed for is not told again when it is over, unless more has come."""
    hearing = Hearing(edition.load())
    hearing.sent(REQUEST).end(answer(b"[]"))
    hearing.sent(REQUEST).end(error=TransportError(code=ErrorCode.TIMEOUT, detail="no answer"))
    told = hearing.conclude()
    assert told is not None and told.startswith("http.complete (MUST): ") and "127.0.0.1:3000" in told
    assert hearing.conclude() is None
    hearing.sent(REQUEST).end(answer(b"nothing"))
    assert "http.json (MUST): " in (hearing.conclude() or "")


def test_a_check_that_crashes_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the harness fails the test: otherwise it would have checked nothing, and be green."""

    def crash(*_: object) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr("sora_stats_harness.judge.judge.Judge._judge_reading", crash)
    hearing = Hearing(edition.load())
    with Simulator(connections=1, churn=False) as simulator:
        body = httpx.post(simulator.url, headers=dict(REQUEST.headers), trust_env=False).content
    hearing.sent(REQUEST).end(answer(body))
    assert hearing.conclude() == "the check of order.realtime crashed, which is a fault of the harness"
