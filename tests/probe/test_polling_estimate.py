"""What polling costs, from five requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sora_stats_harness.api.exchange import ErrorCode, Exchange, Request, Response, Target, TransportError
from sora_stats_harness.cli import main
from sora_stats_harness.probe import polling_estimate as module
from sora_stats_harness.probe.polling_estimate import (
    PollingPlan,
    estimate_polling_cost,
    response_wire_bytes,
)
from sora_stats_harness.simulator.server import Simulator

MS_NS = 1_000_000


def exchange(number: int, took_ms: float, response: Response | None, error: TransportError | None = None) -> Exchange:
    request = Request(server="http://127.0.0.1:1", headers=(), body=None, target=Target.ALL)
    sent_ns = number * 1000 * MS_NS
    return Exchange(
        run="r",
        seq=number,
        request=request,
        clock="c",
        sent_ns=sent_ns,
        received_ns=sent_ns + int(took_ms * MS_NS),
        sent_at="",
        response=response,
        error=error,
    )


def listing(size: int) -> Response:
    """A response of so many bytes in all, with two connections."""
    body = b'[{"channel_id":"a","connection_id":"A"},{"channel_id":"a","connection_id":"B"}]'
    head = len(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    return Response(
        status=200, headers=(("content-type", "application/json"),), body=body + b" " * (size - head - len(body))
    )


def test_what_follows_from_a_few_responses() -> None:
    """125,000 bytes and 20 ms a response: 3 pollers every 2 s are 1.5 Mbit/s, each open for a hundredth of the time."""
    responses = [exchange(number, took, listing(125_000)) for number, took in enumerate([20, 19, 20, 60, 21])]
    assert all(response_wire_bytes(each.response) == 125_000 for each in responses if each.response is not None)
    found = estimate_polling_cost(responses, PollingPlan(pollers=3, interval_s=2))
    assert found is not None
    assert (found.requests, found.responses, found.connections) == (5, 5, 2)
    assert (found.time_us, found.longest_us, found.wire_bytes) == (20_000, 60_000, 125_000)
    assert found.mbit_per_s == pytest.approx(1.5)
    assert found.open_share == pytest.approx(0.01)
    assert found.shortest_interval_s == pytest.approx(0.18)


def test_responses_that_are_none_are_left_out() -> None:
    """An error, and a status that is not 200; with nothing else there is no estimate."""
    bad = [
        exchange(0, 5, None, TransportError(code=ErrorCode.TIMEOUT, detail=".")),
        exchange(1, 5, Response(status=500, headers=(), body=b"")),
    ]
    assert estimate_polling_cost(bad, PollingPlan(pollers=1, interval_s=1)) is None
    found = estimate_polling_cost([*bad, exchange(2, 7, listing(1000))], PollingPlan(pollers=1, interval_s=1))
    assert found is not None
    assert (found.requests, found.responses, found.time_us) == (3, 1, 7000)


def test_no_more_than_five_requests_with_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them for everything; judged, and the verdict has the figures."""
    monkeypatch.setattr(module, "MIN_PAUSE_S", 0.05)
    with Simulator(connections=3) as simulator:
        code = main(["estimate", simulator.url, "--pollers", "2", "--json", "--output", str(tmp_path / "out")])
        seen = simulator.requests
    told = json.loads(capsys.readouterr().out)
    assert (code, told["verdict"], told["command"]) == (0, "pass", "estimate")
    assert [each.operation for each in seen] == ["GetStatsAllConnections"] * 5
    assert told["coverage"]["exchanges"] == 5
    assert (told["estimate"]["connections"], told["estimate"]["pollers"]) == (3, 2)
    assert told["estimate"]["response_bytes"] == pytest.approx(3 * 12_800, rel=0.2)


def test_a_cluster_is_asked_for_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --cluster every request says `local: false`."""
    monkeypatch.setattr(module, "MIN_PAUSE_S", 0.05)
    with Simulator(connections=4, nodes=2) as simulator:
        assert main(["estimate", simulator.url, "--cluster", "--output", str(tmp_path / "out")]) == 0
        assert {each.arguments["local"] for each in simulator.requests} == {False}


def test_a_counter_that_falls_is_found_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five responses are judged like all others: exit 1."""
    monkeypatch.setattr(module, "MIN_PAUSE_S", 0.05)
    with Simulator(connections=3, faults=["counter-falls:every=2"]) as simulator:
        assert main(["estimate", simulator.url, "--output", str(tmp_path / "out")]) == 1


def test_nobody_there_is_inconclusive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3, and no figures."""
    monkeypatch.setattr(module, "MIN_PAUSE_S", 0.01)
    assert main(["estimate", "http://127.0.0.1:9", "--output", str(tmp_path / "out")]) == 3
    told = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert told["estimate"] is None
    assert "no complete response" in told["reason"]


def test_the_configuration_weighs_its_findings_as_in_other_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A MUST that `[severity]` makes an INFO doesn't fail it."""
    monkeypatch.setattr(module, "MIN_PAUSE_S", 0.05)
    config = tmp_path / "sora-harness.toml"
    config.write_text('[severity]\n"http.content_type" = "info"\n', encoding="utf-8")
    with Simulator(connections=3, faults=["text-plain:every=1"]) as simulator:
        code = main(["estimate", simulator.url, "--json", "--config", str(config), "--output", str(tmp_path / "out")])
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (code, finding["requirement"], finding["level"]) == (0, "http.content_type", "INFO")
