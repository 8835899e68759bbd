"""One test before its judge, without a suite around it."""

from __future__ import annotations

import httpx
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import ErrorCode, Response, Target, TransportError, make_valid_request
from sora_stats_harness.judge.checks.monotonic import MonotonicCheck
from sora_stats_harness.simulator.server import Simulator
from sora_stats_harness.testing.per_test_judge import PerTestJudge

REQUEST = make_valid_request(Target.ALL, server="http://127.0.0.1:3000")
JSON = (("Content-Type", "application/json"),)


def response(body: bytes) -> Response:
    return Response(status=200, headers=JSON, body=body)


def test_nothing_shown_fails_nothing() -> None:
    """A test that shows its judge nothing, or what is right, has no reason to fail."""
    hearing = PerTestJudge(edition.load_edition())
    assert (hearing.finish_test(), hearing.nonfatal_findings, hearing.findings) == (None, None, [])
    hearing.begin_exchange(REQUEST).complete(response(b"[]"))
    assert (hearing.finish_test(), hearing.nonfatal_findings) == (None, None)


def test_findings_are_told_once() -> None:
    """What a test was failed for is not told again when it is over, unless more has come."""
    hearing = PerTestJudge(edition.load_edition())
    hearing.begin_exchange(REQUEST).complete(response(b"[]"))
    hearing.begin_exchange(REQUEST).complete(error=TransportError(code=ErrorCode.TIMEOUT, detail="no response"))
    told = hearing.finish_test()
    assert told is not None and told.startswith("http.complete (MUST): ") and "127.0.0.1:3000" in told
    assert hearing.finish_test() is None
    hearing.begin_exchange(REQUEST).complete(response(b"nothing"))
    assert "http.json (MUST): " in (hearing.finish_test() or "")


def test_a_check_that_crashes_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the harness fails the test: otherwise it would have checked nothing, and be green."""

    def crash(*_: object) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr("sora_stats_harness.judge.checks.monotonic.MonotonicCheck.observe", crash)
    hearing = PerTestJudge(edition.load_edition())
    with Simulator(connections=1, churn=False) as simulator:
        body = httpx.post(simulator.url, headers=dict(REQUEST.headers), trust_env=False).content
    hearing.begin_exchange(REQUEST).complete(response(body))
    assert hearing.finish_test() == "\n\n".join(
        f"the check of {row.id} crashed, which is a fault of the harness" for row in MonotonicCheck.requirements
    )
