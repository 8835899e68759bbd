"""
What a server must not get away with, and what it must not be accused of: found alike by every way to judge it.

A row is a server on a raw socket that responds to a few requests one after the other. They are sent by the prober of
`conform`, under load, and by the plugin; and what came is judged again from a recording, as `check` does.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from sora_stats_harness.api.exchange import Exchange, Request, Target, make_valid_request
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
from tests.judge.build import DOC, EXAMPLE, IDS, Json, connection

CHANNEL, CLIENT = EXAMPLE["channel_id"], EXAMPLE["client_id"]

PATIENCE_S: Final = 60.0

Findings = set[tuple[str, str]]
"""Requirement and level, those of INFO left out."""

Way = Callable[[str, "Row", Judge], list[Exchange]]


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What one request gets.

    `changes` are made to the example, by dotted path with `__` for dots; `back_s` is how far its stamp is before that of the
    last reply, where it isn't the time of day; `old` has the last reply once more, byte by byte.
    """

    ask: str = "one"
    """`one`, `client`, `list` or `cluster`."""
    changes: dict[str, Json] | None = None
    back_s: float | None = None
    old: bool = False
    head: str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    edit: Callable[[bytes], bytes] = bytes
    """What is done to the body."""
    had: Sequence[int] = (0,)
    """The connections of a listing."""
    cut: bool = False
    """Whether the connection is closed without a response."""


@dataclass(frozen=True, slots=True)
class Row:
    """A server, and what is to be said of it."""

    name: str
    replies: Sequence[Reply]
    findings: Findings
    when_slow: Findings | None = None
    """What is said where 100 ms went by between the requests, if that differs."""


def body(reply: Reply, before: bytes) -> bytes:
    """A response's body."""
    if reply.old:
        return before
    now = datetime.now(UTC)
    if reply.back_s is not None:
        now = datetime.fromisoformat(json.loads(before)["timestamp"]) - timedelta(seconds=reply.back_s)
    changes: dict[str, Json] = {"timestamp": f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"} | (reply.changes or {})
    samples = [connection(IDS[place], **changes) for place in reply.had]
    return reply.edit(json.dumps(samples[0] if reply.ask == "one" else samples).encode())


def floats(data: bytes) -> bytes:
    """The counters of a group in float notation."""
    return _rewritten(data, lambda value: value + 0.0)


def lower_floats(data: bytes) -> bytes:
    """The same, and lower."""
    return _rewritten(data, lambda value: max(value - 1000.0, 0.0))


def lower(data: bytes) -> bytes:
    """These counters lower, as integers."""
    return _rewritten(data, lambda value: max(value - 1000, 0))


def _rewritten(data: bytes, change: Callable[[int], float]) -> bytes:
    document = json.loads(data)
    group = document["rtp"]  # one group stands for all: each field is worked out for itself
    document["rtp"] = {name: change(value) for name, value in group.items()}
    return json.dumps(document).encode()


def counter(text: str) -> Reply:
    """One counter, as it is written."""
    pattern = rb'(?<="total_received_dtls": )\d+'
    return Reply(edit=lambda data: re.sub(pattern, text.encode(), data))


JSON: Final = "Content-Type: application/json\r\n"


def label(messages: int, received: int = 9) -> Reply:
    """A messaging label with two counters."""
    leaves = {name: 0 for name in EXAMPLE["data_channel"]["notify"] if name.startswith("total_")}
    leaves |= {"total_sent_data_channel_message": messages, "total_received_data_channel_message": received}
    rest = {name: value for name, value in EXAMPLE["data_channel"]["notify"].items() if name not in leaves}
    return Reply(changes={"data_channel__#chat": leaves | rest})


MUST_FALL: Final[Findings] = {("counter.monotonic", "MUST")}
FLOATS: Final[Findings] = {("shape.lexical", "PROVEN")}
STALE: Final[Findings] = {("clock.order", "PROVEN")}

ROWS: Final = (
    Row(
        "the counters of a group fall, written as floats",
        [Reply(edit=floats), Reply(edit=lower_floats)],
        MUST_FALL | FLOATS,
    ),
    Row("from integers to lower floats", [Reply(), Reply(edit=lower_floats)], MUST_FALL | FLOATS),
    Row("from floats to lower integers", [Reply(edit=floats), Reply(edit=lower)], MUST_FALL | FLOATS),
    Row("2e4, then 1.9999e4", [counter("2e4"), counter("1.9999e4")], MUST_FALL | FLOATS),
    Row(
        "floats at 2^64 that fall",
        [counter("18446744073709551616.0"), counter("18446744073709551615.0")],
        MUST_FALL | FLOATS,
    ),
    Row("floats that rise", [counter("2e4"), counter("20001.0")], FLOATS),
    Row(
        "one of four requests gets no response",
        [Reply(), Reply(cut=True), Reply(), Reply()],
        {("http.complete", "MUST")},
    ),
    Row("the server is gone after its first response", [Reply(), Reply(cut=True)], {("http.complete", "MUST")}),
    Row(
        "a listing lacks a connection",
        [Reply(), Reply("list", had=(1,)), Reply()],
        {("identity.listed", "HABIT")},
    ),
    Row(
        "a listing of the cluster lacks a connection",
        [Reply("client"), Reply("cluster", had=(1,)), Reply("client")],
        {("identity.listed", "MUST")},
    ),
    Row("a connection that has left is not listed", [Reply(), Reply(), Reply("list", had=(1,))], set()),
    Row("a cache over an idle connection", [Reply(), Reply(old=True), Reply()], STALE),
    Row("a cache over a listing", [Reply("list"), Reply("list", old=True), Reply("list")], STALE),
    Row(
        "two Content-Types, the last one right",
        [Reply(head="HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + JSON)],
        {("http.header", "MUST")},
    ),
    Row(
        "two Content-Types, the first one right",
        [Reply(head="HTTP/1.1 200 OK\r\n" + JSON + "Content-Type: text/html\r\n")],
        {("http.header", "MUST")},
    ),
    Row("stamps 0.9 s back", [Reply(), Reply(back_s=0.9), Reply(), Reply(back_s=0.9), Reply()], STALE),
    Row(
        "both limits on a channel",
        [Reply(changes={"data_channel__notify__max_retransmits": 3, "data_channel__notify__max_packet_life_time": 9})],
        {("shape.exclusive", "HABIT")},
    ),
    Row("a label that closes and opens again", [label(7), Reply(), label(1, 1)], set()),
    Row("a label whose counters begin again together", [label(7), label(1, 1)], set()),
    Row("one counter of a label falls and another goes on", [label(7), label(1, 10)], MUST_FALL, when_slow=set()),
    Row(
        "101 levels",
        [Reply(edit=lambda data: data[:-1] + b', "x": ' + 101 * b"[" + 101 * b"]" + b"}")],
        {("http.json_limits", "HABIT")},
    ),
    Row(
        "an integer of 5,000 digits",
        [Reply(edit=lambda data: data[:-1] + b', "x": ' + 5000 * b"9" + b"}")],
        {("http.json_limits", "HABIT")},
    ),
    Row(
        "a blank line before the status line",
        [Reply(head="\r\nHTTP/1.1 200 OK\r\n" + JSON)],
        {("http.framing", "PROVEN")},
    ),
)


def requests(row: Row, server: str) -> Iterator[Request]:
    """What is asked."""
    for reply in row.replies:
        if reply.ask == "one":
            yield make_valid_request(Target.CONNECTION, server=server, channel_id=CHANNEL, connection_id=IDS[0])
        elif reply.ask == "client":
            yield make_valid_request(Target.CLIENT, server=server, channel_id=CHANNEL, client_id=CLIENT)
        else:
            yield make_valid_request(Target.ALL, server=server, local=False if reply.ask == "cluster" else None)


def by_prober(url: str, row: Row, judge: Judge) -> list[Exchange]:
    """As `conform` sends."""

    async def main() -> list[Exchange]:
        prober = Prober(timeout_s=PATIENCE_S)
        return [await prober.send(judge, request) for request in requests(row, url)]

    return asyncio.run(main())


def by_load(url: str, row: Row, judge: Judge) -> list[Exchange]:
    """As `load` sends."""
    address = resolve_server(url)
    assert isinstance(address, ServerAddress)
    connection = HttpConnection(address, TransportStats(), timeout_s=PATIENCE_S)
    exchanges = [connection.send(judge, prepare_request(request)) for request in requests(row, url)]
    connection.close()
    return exchanges


def by_plugin(url: str, row: Row, judge: Judge) -> list[Exchange]:
    """As a test that uses the fixture `sora_client` sends."""
    exchanges: list[Exchange] = []
    with BackgroundLoop() as loop:
        client = StatsClient(url, loop=loop, prober=Prober(timeout_s=PATIENCE_S), opener=judge)
        for reply in row.replies:
            try:
                if reply.ask == "one":
                    exchanges.append(client.get_stats_connection(CHANNEL, IDS[0]).exchange)
                elif reply.ask == "client":
                    exchanges.append(client.get_stats_client(CHANNEL, CLIENT).exchange)
                else:
                    local = False if reply.ask == "cluster" else None
                    exchanges.append(client.get_stats_all_connections(local=local).exchange)
            except NoResponseError as error:
                exchanges.append(error.exchange)
    return exchanges


def findings(judge: Judge) -> Findings:
    """What was found, but for INFO."""
    judge.finish()
    result = judge.result()
    assert result.crashed == {}
    # Whether an old stamp is beyond what the server's clock may be off by, the machine's pace decides.
    told = [each for each in result.findings if each.level != "INFO" and each.requirement != "clock.offset"]
    return {(each.requirement, each.level) for each in told}


def recorded(exchanges: Sequence[Exchange]) -> Findings:
    """What `check` finds in a recording of the exchanges."""
    judge = Judge(DOC)
    for exchange in exchanges:
        line = lines.decode_line(lines.encode_line(lines.exchange_to_line(exchange, NO_SECRETS)))
        assert isinstance(line, lines.RecordedExchange)
        judge.judge_recorded(lines.line_to_exchange(line, exchange.run))
    return findings(judge)


@pytest.mark.parametrize("way", [by_prober, by_load, by_plugin], ids=["conform", "load", "plugin"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_way_finds_the_same(row: Row, way: Way) -> None:
    """By its own client, and from a recording of what it saw."""
    turn = iter(row.replies)
    last = b""

    def behave(talk: hostile.Talk) -> None:
        nonlocal last
        reply = next(turn)
        if reply.cut:
            return
        last = body(reply, last)
        with suppress(OSError):
            talk.write(f"{reply.head}Content-Length: {len(last)}\r\nConnection: close\r\n\r\n".encode() + last)

    judge = Judge(DOC)
    with hostile.serve(behave) as server:
        exchanges = way(server.url, row, judge)
    found = findings(judge)
    assert found == row.findings or found == row.when_slow
    assert recorded(exchanges) == found
