"""How often each requirement is checked: what a verdict's `met` stands on, counted by hand for runs of a few exchanges."""

from __future__ import annotations

import json

from sora_stats_harness.api.exchange import ErrorCode, Headers, Request, Response
from sora_stats_harness.api.http1_faults import FramingFault
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions

from .build import DOC, IDS, MS, Json, Talk, ask, ask_client, connection, list_all

ONE, TWO, GONE = IDS[:3]
LABEL: Headers = (("content-type", "application/json"),)


class Run(Talk):
    """A request every 20 ms, each with its response 10 ms later, of the announced length."""

    at_ns = 0

    def get(self, request: Request, *connections: str, listed: bool = True, server_ms: int = 5) -> None:
        documents: Json = [connection(each, self.at_ns + server_ms * MS) for each in connections]
        raw = json.dumps(documents if listed else documents[0]).encode()
        self.add(request, self.at_ns, self.at_ns + 10 * MS, raw, headers=(*LABEL, ("content-length", str(len(raw)))))
        self.at_ns += 20 * MS

    def refuse(self, request: Request) -> None:
        self.add(request, self.at_ns, self.at_ns + 10 * MS, {"error_type": "X"}, status=400)
        self.at_ns += 20 * MS


def test_what_one_server_is_held_to() -> None:
    """Eight exchanges; requirements by how often they are checked."""
    run = Run()
    run.get(list_all(), ONE, TWO)
    run.get(ask(ONE), ONE, listed=False)
    run.get(ask(TWO), TWO, listed=False)
    run.get(ask_client(), ONE, TWO)
    run.get(list_all(False), ONE, TWO)
    run.get(list_all(), ONE, TWO)
    run.get(ask(ONE), ONE, listed=False)
    run.refuse(ask(GONE))
    result = run.end()
    assert run.findings == []
    coverage = result.coverage
    assert coverage.by_target == {"GetStatsConnection": 3, "GetStatsClient": 1, "GetStatsAllConnections": 3}
    assert (coverage.exchanges, coverage.samples, coverage.connections, coverage.errors) == (8, 11, 2, 0)
    responses, bodies, samples = 8, 7, 11
    expected = dict.fromkeys(
        ("http.complete", "http.header", "http.framing", "http.keep_alive", "http.unusual"), responses
    )
    expected |= {"http.status": responses, "http.content_type": bodies, "http.length": bodies}
    expected |= dict.fromkeys(("http.json", "http.json_limits", "http.duplicate_key"), bodies)
    expected |= {f"shape.{name}": samples for name in ("required", "type", "range", "pattern", "unknown", "exclusive")}
    expected |= {
        "identity.asked": 3,
        "identity.client": 2,  # samples of the client's response
        "identity.unique": 4,  # responses with several connections
        "identity.form": 2,  # connections
        "identity.constant": samples - 2,  # all but the first of each connection
        "counter.monotonic": samples - 2,
        "counter.timestamp_order": 0,  # nothing overlaps
        "clock.order": 7,  # the whole cluster's listing has stamps of its own: three of five, and four of the rest
        "clock.frozen": 7,
        "clock.offset": 5,  # responses of the node itself but the first
        "identity.present": 6,  # two, one and the client's two, and the cluster's two, listed before and after
        "identity.listed": 2,  # one connection was found before and after two listings
        "relation.total_packets": samples,
        "relation.unstable_level": samples,
    }
    assert {name: result.checked[name] for name in expected} == expected


def test_what_came_of_an_exchange_without_a_complete_response() -> None:
    """One that failed is checked once, and never as complete; a server that never responded is held to nothing."""
    run = Run()
    run.add(list_all(), 0, 10, error=ErrorCode.TIMEOUT)
    run.at_ns = 20 * MS
    run.get(list_all(), ONE)
    run.add(list_all(), 40 * MS, 50 * MS, error=ErrorCode.TIMEOUT)
    run.take(list_all(), 60 * MS, 70 * MS, Response(status=200, headers=LABEL, body=b"[", complete=False))
    result = run.end()
    assert run.told() == ["http.complete"] * 2
    assert [finding.actual for finding in run.findings] == ["timeout", "the body ended early"]
    assert result.checked["http.complete"] == 3
    assert result.checked["http.status"] == result.checked["http.json"] == 1
    assert (result.coverage.exchanges, result.coverage.errors) == (4, 3)


def test_a_length_is_checked_unless_chunks_overrule_it() -> None:
    """Another deviation of the head excuses no wrong length; a response without one is none that was checked."""
    run = Talk()
    for place, (length, code) in enumerate([("3", "obs_text"), ("2", "obs_text"), ("3", None), (None, None)]):
        headers = LABEL if length is None else (*LABEL, ("content-length", length))
        faults = () if code is None else (FramingFault(code=code, text="0x80"),)
        run.take(
            list_all(), 20 * place, 20 * place + 10, Response(status=200, headers=headers, body=b"[]"), None, faults
        )
    result = run.end()
    assert [
        (each.requirement, each.expected, each.actual) for each in run.findings if each.requirement == "http.length"
    ] == [("http.length", "2", "3")] * 2
    assert result.checked["http.length"] == 3


def test_a_recording_of_samples_alone_says_nothing_of_http() -> None:
    """Their shape is judged, closed sets where there are data channels, and nobody knows how they came."""
    judge = Judge(DOC)
    talk = Talk()
    for place in range(2):
        document = connection(ONE, (20 * place + 5) * MS)
        if place == 0:
            del document["data_channel"]
        exchange = talk.add(ask(ONE), 20 * place * MS, (20 * place + 10) * MS, document)
        judge.judge_recorded(exchange, bare=True)
    result = judge.result()
    expected = {"shape.type": 2, "shape.enum": 1, "counter.monotonic": 1, "http.json": 0, "http.status": 0}
    assert {name: result.checked[name] for name in expected} == expected
    assert judge.subject_kind == "recording"


def test_what_a_cluster_is_held_to() -> None:
    """Each node is asked for its own, then one for the whole."""
    a, b = "http://127.0.0.1:3001", "http://127.0.0.1:3002"
    run = Run(Judge(DOC, options=JudgeOptions(nodes=(a, b))))
    for _ in range(2):
        run.get(list_all(server=a), ONE)
        run.get(list_all(server=b), TWO)
        run.get(list_all(False, server=a), ONE, TWO)
    result = run.end()
    assert result.findings == []
    expected = {
        "cluster.once": 3,  # a node's listing, once another node's is known
        "cluster.union": 1,  # the whole's listing between two of each node
        "cluster.skew": 3,  # a node's response, once both clocks are known
        "clock.offset": 2,
        "clock.order": 4,
    }
    assert {name: result.checked[name] for name in expected} == expected
