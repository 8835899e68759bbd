"""The same bytes come to the same exchange and the same findings, whoever reads them, and from a recording as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.api.exchange import Exchange, Target, make_valid_request
from sora_stats_harness.api.secret_redaction import NO_SECRETS
from sora_stats_harness.api.server_address import ServerAddress
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.load.http_connection import HttpConnection, resolve_server
from sora_stats_harness.load.prepared_request import prepare_request
from sora_stats_harness.load.transport_stats import TransportStats
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.recording import format as lines
from sora_stats_harness.testing.background_loop import BackgroundLoop
from sora_stats_harness.testing.client import NoResponseError, StatsClient
from tests import hostile
from tests.raw_responses import RawResponse, load

ROWS: Final = [row for row in load() if row.method == "POST"]

EDITION: Final = load_edition()

Findings = list[tuple[str, str, str, str]]


def patience_s(row: RawResponse) -> float:
    """A time-out ends what is waited for in vain; nothing else is to meet it."""
    return 0.3 if row.outcome == "waiting" else 30.0


def by_prober(url: str, row: RawResponse, judge: Judge) -> Exchange:
    """As `conform` sends."""

    async def main() -> Exchange:
        prober = Prober(timeout_s=patience_s(row))
        return await prober.send(judge, make_valid_request(Target.ALL, server=url))

    return asyncio.run(main())


def by_load(url: str, row: RawResponse, judge: Judge) -> Exchange:
    """As `load` sends; the connection is kept where the corpus says so."""
    address = resolve_server(url)
    assert isinstance(address, ServerAddress)
    connection = HttpConnection(address, TransportStats(), timeout_s=patience_s(row))
    exchange = connection.send(judge, prepare_request(make_valid_request(Target.ALL, server=url)))
    assert (connection._socket is not None) == row.keep
    connection.close()
    return exchange


def by_plugin(url: str, row: RawResponse, judge: Judge) -> Exchange:
    """As a test that uses the fixture `sora_client` sends."""
    with BackgroundLoop() as loop:
        client = StatsClient(url, loop=loop, prober=Prober(timeout_s=patience_s(row)), opener=judge)
        try:
            return client.get_stats_all_connections().exchange
        except NoResponseError as error:
            return error.exchange


def told(exchange: Exchange) -> tuple[object, ...]:
    """What does not depend on the time, or the port."""
    response = exchange.response
    shown = None if response is None else (response.status, response.headers, response.body, response.complete)
    error = exchange.error
    return shown, None if error is None else (error.code, error.detail), exchange.faults


def findings(judge: Judge) -> Findings:
    judge.finish()
    return [
        (entry.requirement, entry.level, entry.message, entry.actual)
        for entry in judge.result().findings
        if entry.requirement.startswith("http.")
    ]


def recorded(exchange: Exchange, server: str) -> Findings:
    """What `check` finds in a recording of the exchange."""
    line = lines.decode_line(lines.encode_line(lines.exchange_to_line(exchange, NO_SECRETS)))
    assert isinstance(line, lines.RecordedExchange)
    judge = Judge(EDITION)
    judge.judge_recorded(lines.line_to_exchange(line, exchange.run))
    return findings(judge)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_raw_response_is_judged_alike(row: RawResponse) -> None:
    """By the prober, under load, by the plugin, and from a recording: as the corpus says."""

    def behave(talk: hostile.Talk) -> None:
        talk.write(row.data)
        if not row.closes:
            talk.over.wait()

    ways: list[Callable[[str, RawResponse, Judge], Exchange]] = [by_prober, by_load, by_plugin]
    exchanges: list[Exchange] = []
    found: list[Findings] = []
    with hostile.serve(behave) as server:
        for way in ways:
            judge = Judge(EDITION)
            exchanges.append(way(server.url, row, judge))
            found += [findings(judge), recorded(exchanges[-1], server.url)]
    assert len({repr(told(exchange)) for exchange in exchanges}) == 1, [told(exchange) for exchange in exchanges]
    assert sorted(f"{requirement} {level}" for requirement, level, _, _ in found[0]) == sorted(row.findings), found[0]
    assert all(each == found[0] for each in found), found
