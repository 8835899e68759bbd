"""The sender keeps order, overlap and rate, and ends when the plan's time is over."""

from __future__ import annotations

from typing import Any

import pytest

from sora_stats_harness.api.exchange import Exchange, ExchangeOpener, Request, Response, Target, make_valid_request
from sora_stats_harness.probe.conformance_plan import ConformancePlan
from sora_stats_harness.probe.paced_sender import PacedSender, RunEnded
from sora_stats_harness.probe.prober import Prober
from tests.virtual_time import run_in_virtual_time

SERVER = "http://a:3000"


class Canned(Prober):
    """Responses everything with one body, at once."""

    def __init__(self, body: bytes = b"[]") -> None:
        self._body = body

    async def send(self, judge: ExchangeOpener, request: Request, intended_ns: int | None = None) -> Exchange:
        return Exchange(
            run="run",
            seq=1,
            request=request,
            clock="c",
            sent_ns=1,
            received_ns=2,
            sent_at="2026-01-01T00:00:00Z",
            response=Response(status=200, headers=(), body=self._body),
        )


class NoJudge:
    """The prober above asks no judge."""

    def begin_exchange(self, request: Request, intended_ns: int | None = None) -> Any:
        raise AssertionError("not used")


def numbered(count: int) -> list[Request]:
    return [
        make_valid_request(Target.CONNECTION, server=SERVER, channel_id="ch", connection_id=str(number))
        for number in range(count)
    ]


def sender(prober: Prober, **changes: Any) -> PacedSender:
    settings: dict[str, Any] = {"duration_s": 60.0, "rate": 1_000_000.0}
    return PacedSender(ConformancePlan(server=SERVER, **(settings | changes)), NoJudge(), prober)


@pytest.mark.parametrize("in_flight", [1, 4, 32])
def test_requests_go_out_in_their_order_and_each_once(in_flight: int) -> None:
    """However many workers take them."""

    async def main() -> list[Exchange]:
        return await sender(Canned()).send(iter(numbered(50)), in_flight)

    exchanges = run_in_virtual_time(main())
    asked = [exchange.request.asked.connection_id for exchange in exchanges]
    assert asked == [str(number) for number in range(50)]


@pytest.mark.parametrize("in_flight", [1, 4])
def test_the_rate_is_that_of_all_workers_together(in_flight: int) -> None:
    """Twenty requests at 100 a second take 0.2 s."""

    async def main() -> float:
        one = sender(Canned(), rate=100.0)
        await one.send(numbered(20), in_flight)
        return one.elapsed_s

    assert run_in_virtual_time(main()) == pytest.approx(0.2)


def test_large_bodies_are_paid_for() -> None:
    """Three bodies of 100 kB at a megabyte a second take 0.3 s, though they came at once."""

    async def main() -> float:
        one = sender(Canned(b" " * 100_000), bytes_per_s=1e6)
        await one.send(numbered(3), in_flight=3)
        return one.elapsed_s

    assert run_in_virtual_time(main()) == pytest.approx(0.3)


def test_nothing_is_sent_when_the_time_is_over() -> None:
    """What was sent before is counted, and the caller is told."""

    async def main() -> None:
        one = sender(Canned(), duration_s=0.05, max_duration_s=1.0, rate=100.0)
        with pytest.raises(RunEnded):
            await one.send(numbered(1000))
        sent = one.exchanges
        assert sent == pytest.approx(100, abs=1)
        with pytest.raises(RunEnded):
            await one.send(numbered(1))
        assert one.exchanges == sent
        assert one.have_all_responded() and one.no_response_reason() is None

    run_in_virtual_time(main())


def test_a_run_that_may_end_does_so_after_its_least_time() -> None:
    """In the middle of what it sends."""

    async def main() -> None:
        one = sender(Canned(), duration_s=0.05, max_duration_s=1.0, rate=100.0)
        one.may_end = True
        with pytest.raises(RunEnded):
            await one.send(numbered(1000))
        assert one.exchanges == pytest.approx(5, abs=1)

    run_in_virtual_time(main())
