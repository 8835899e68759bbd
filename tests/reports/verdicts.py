"""
Five runs that reports are tried on: passing, failing, inconclusive, waived, interrupted; and one full of hostile strings.

They are put together from tallies written by hand, by the same function that real runs use, with fixed times and ids so
that golden files stay the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sora_stats_harness.api.edition import load_edition
from sora_stats_harness.api.exchange import Exchange, Request, RequestArguments, Response, Target, make_valid_request
from sora_stats_harness.api.secret_redaction import Secrets
from sora_stats_harness.judge.measured_results import (
    ALL_TARGETS,
    REPORTED_PERCENTILES,
    CapacityResult,
    CapacityStepResult,
    FailureCount,
    LatencyDistribution,
    ListingCost,
    ListingCostPoint,
    LoadResult,
    MediaQuantityResult,
    MediaResult,
    PollingEstimate,
    TargetTraffic,
    TimelineRow,
    is_percentile_carried,
)
from sora_stats_harness.judge.requirements import REQUIREMENTS, RequiredCapability
from sora_stats_harness.judge.verdict import (
    BaselineFinding,
    BaselineReport,
    CoverageSummary,
    DocumentationDrift,
    DriftEntry,
    FindingEntry,
    JudgeResult,
    SubjectKind,
    WaiverReport,
)
from sora_stats_harness.judge.verdict_decision import RunEnding, RunScope
from sora_stats_harness.reports.pass_policy import PassPolicy
from sora_stats_harness.reports.report import VerdictReport
from sora_stats_harness.reports.verdict_assembly import RunFacts, assemble_verdict

RUN = "11111111-2222-4333-8444-555555555555"
SERVER = "http://127.0.0.1:3000"
CONNECTION_ID = "2SJZ0R5FMC8FE10K5BP2NRM8ZW"

LIVE = frozenset(
    {
        RequiredCapability.EXCHANGES,
        RequiredCapability.BODIES,
        RequiredCapability.BYTES,
        RequiredCapability.ARGUMENTS,
        RequiredCapability.TIMES,
        RequiredCapability.PROBES,
    }
)

ROWS = (
    "http.status",
    "http.json",
    "shape.required",
    "shape.enum",
    "identity.asked",
    "identity.unique",
    "counter.monotonic",
    "request.no_5xx",
    "cluster.union",
    "shape.unknown",
    "clock.offset",
    "cluster.skew",
    "shape.undocumented",
)
"""The requirements that these reports show."""

HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd()|' /C calc'!A0",
    "\x1b[2J\x1b]0;owned\x07",
    "abc\u202edcba",
    "nul\x00nul",
    "😀" * 255,
    "half \ud800 pair",
    "line\nbreak\r\n| cell | `code` @all [x](javascript:1)",
    "]]>&amp;\ufffe\uffff\x9b31m",
    "'; rm -rf / #\"$(id)`id`",
)
"""Ids as a user of the tested system might choose them."""


class Counted:
    """A judge that has counted what it was given."""

    def __init__(
        self,
        findings: Sequence[FindingEntry] = (),
        *,
        checked: dict[str, int] | None = None,
        coverage: CoverageSummary | None = None,
        evidence: Mapping[str, tuple[Exchange, ...]] | None = None,
        kind: SubjectKind = "server",
    ) -> None:
        self.subject_kind: SubjectKind = kind
        self.finished = 0
        self._tally = JudgeResult(
            checked=checked if checked is not None else dict.fromkeys(SEEN, 1200),
            findings=list(findings),
            coverage=coverage or covered(),
        )
        self._evidence = evidence or {}

    def finish(self) -> None:
        self.finished += 1

    def result(self) -> JudgeResult:
        return self._tally

    def evidence(self, fingerprint: str) -> tuple[Exchange, ...]:
        return self._evidence.get(fingerprint, ())


SEEN = [id for id, rule in REQUIREMENTS.items() if rule.needs <= LIVE and rule.needs_traffic is None]


def covered() -> CoverageSummary:
    """What a run of ten seconds sees."""
    return CoverageSummary(
        exchanges=1204,
        samples=5310,
        connections=20,
        by_target={"GetStatsConnection": 400, "GetStatsClient": 400, "GetStatsAllConnections": 400},
        errors=4,
        relations_unconfirmed=2,
        fields_documented=374,
        fields_seen=362,
        never_seen=[f"data_channel.{label}.max_retransmits" for label in ("signaling", "notify", "push")],
        counters_grew=210,
        never_grew=[
            "turn.total_received_turn_channel_data",
            "sctp.total_sent_sctp_chunk_abort",
            "rtcp.total_sent_rtcp_app",
        ],
        notes=["the server's clock is 12 ms ahead of ours"],
    )


def entry(requirement: str, **given: Any) -> FindingEntry:  # Any: the struct's own fields
    """A finding about one field of one connection."""
    rule = REQUIREMENTS[requirement]
    defaults: dict[str, Any] = {
        "requirement": requirement,
        "level": rule.level.name,
        "fingerprint": f"{len(requirement):016x}",
        "target": "GetStatsClient",
        "field": "/rtp/total_received_rtp",
        "pointer": "/1/rtp/total_received_rtp",
        "connection_id": CONNECTION_ID,
        "message": "the counter is lower than in a response that had arrived before this one was asked for",
        "expected": "at least 1,017",
        "actual": "1,016",
        "count": 3,
        "connections": 2,
        "exchanges": [(RUN, 17), (RUN, 23)],
    }
    return FindingEntry(**(defaults | given))


REQUEST = make_valid_request(
    Target.CLIENT, server=SERVER, channel_id="lobby", client_id="alice", headers=(("X-Api-Key", "sesame-4711"),)
)


def exchange(seq: int, body: bytes, *, request: Request | None = None, sent_ns: int | None = None) -> Exchange:
    """An exchange of two milliseconds."""
    sent = sent_ns if sent_ns is not None else seq * 10_000_000
    return Exchange(
        run=RUN,
        seq=seq,
        request=request or REQUEST,
        clock="boot/time:-/monotonic",
        sent_ns=sent,
        received_ns=sent + 2_000_000,
        sent_at=f"2026-11-24T03:15:00.{seq:03}000Z",
        response=Response(
            status=200,
            headers=(("Content-Type", "application/json"), ("Server", "nginx"), ("Age", "3"), ("Set-Cookie", "a=b")),
            body=body,
        ),
    )


def body(received: int, *, connection_id: str = CONNECTION_ID) -> bytes:
    """Two connections, the second one ours, with a few fields each."""
    ours = {
        "timestamp": "2026-11-24T03:15:00.000000Z",
        "channel_id": "lobby",
        "connection_id": connection_id,
        "rtp": {
            "total_received_rtp": received,
            "total_sent_rtp": 500,
            "total_received_rtp_byte_size": received * 900,
            "total_received_novelty": 4,
        },
    }
    return json.dumps([{"connection_id": "other", "rtp": {"total_received_rtp": 7}}, ours]).encode()


EARLIER_AND_LATER = (exchange(17, body(1017)), exchange(23, body(1016)))


POLICY = ("severity", "require", "waivers", "baseline")
ENDING = ("interrupted", "aborted", "broken", "violated_slo")


def facts(**given: Any) -> RunFacts:  # Any: its fields, and those of the ending
    """A run of ten seconds."""
    ending = RunEnding(**{name: given.pop(name) for name in ENDING if name in given})
    defaults: dict[str, Any] = {
        "command": "conform",
        "edition": load_edition(),
        "subject": SERVER,
        "scope": RunScope(observes=LIVE),
        "started_at": "2026-11-24T03:15:00.000Z",
        "finished_at": "2026-11-24T03:15:10.250Z",
        "options": {"duration_s": 10.0, "targets": ["GetStatsClient"]},
    }
    return RunFacts(**(defaults | given), ending=ending)


def build(judge: Counted, **given: Any) -> VerdictReport:  # Any: what is known of the run, and what decides a pass
    """Assemble with fixed times."""
    policy = PassPolicy(**{name: given.pop(name) for name in POLICY if name in given})
    report = assemble_verdict(judge, facts(**given), policy, measure_drift=False)
    report.verdict.harness_version = "0.0.0"
    # A few rows are enough, and golden files need not change whenever a rule is added.
    report.verdict.requirements = [row for row in report.verdict.requirements if row.id in ROWS]
    return report


def passing() -> VerdictReport:
    """The simulator, without a finding."""
    return build(Counted(kind="simulator"), labels={"build": "123"})


def failing() -> VerdictReport:
    """A counter fell, an unknown field turned up, and one that is known though undocumented."""
    order = entry("counter.monotonic")
    unlisted = entry(
        "shape.unknown",
        field="/rtp/total_received_novelty",
        pointer="/1/rtp/total_received_novelty",
        message="the edition has no such field",
        expected="no such key in the edition",
        actual="4",
        count=1,
        connections=1,
        exchanges=[(RUN, 23)],
    )
    known = entry(
        "shape.undocumented",
        field="/sctp/total_pruned_sctp_data_chunk",
        pointer="/1/sctp/total_pruned_sctp_data_chunk",
        message="a field that is known though undocumented",
        expected="not in the documented list",
        actual="0",
        exchanges=[(RUN, 17)],
    )
    evidence = {order.fingerprint: EARLIER_AND_LATER, unlisted.fingerprint: EARLIER_AND_LATER[1:]}
    return build(Counted([known, unlisted, order], evidence=evidence))


def inconclusive() -> VerdictReport:
    """The server had no connection at all, and one check never ran."""
    coverage = CoverageSummary(exchanges=40, by_target={"GetStatsAllConnections": 40}, fields_documented=374)
    return build(Counted(checked=dict.fromkeys(["http.status", "http.json"], 40), coverage=coverage))


def waived() -> VerdictReport:
    """Each finding is waived."""
    return build(Counted([entry("counter.monotonic", status="waived")]))


def interrupted() -> VerdictReport:
    """Ctrl-C after a moment."""
    return build(Counted(), interrupted=True)


def hostile(text: str) -> VerdictReport:
    """A run in which every string that may come from a server, or from its users, is this one."""
    finding = entry(
        "identity.asked",
        target=None,
        field=f"/data_channel/#{text}/total",
        pointer=f"/1/data_channel/#{text}/total",
        connection_id=text,
        message=f"not what was asked for: {text}",
        expected=text,
        actual=text,
    )
    request = Request(
        server=SERVER,
        headers=(("x-sora-target", Target.CONNECTION.value), ("X-Trace", text)),
        body=text.encode("utf-8", "surrogatepass"),
        target=Target.CONNECTION,
        asked=RequestArguments(channel_id=text, connection_id=text),
    )
    shown = exchange(1, body(1, connection_id="x"), request=request)
    coverage = covered()
    coverage.notes = [text]
    coverage.never_seen = [text]
    return build(
        Counted([finding], coverage=coverage, evidence={finding.fingerprint: (shown,)}),
        subject=text,
        labels={text: text},
        options={text: [text]},
        aborted=text,
        load=_small_load(text),
        capacity=CapacityResult(
            interval=(1.0, 2.0),
            at_least=False,
            limited_by=text,
            slos=[text],
            steps=[CapacityStepResult(rate=1.0, outcome="passed", windows=1, windows_passed=1, reason=text)],
        ),
        secrets=Secrets(["sesame-4711"]),
    )


def _small_load(text: str) -> LoadResult:
    """A run of one request, which failed for a reason that the server had a say in."""
    return LoadResult(
        scenario=text,
        model="open",
        planned_per_s=1.0,
        offered_per_s=1.0,
        lasted_s=1.0,
        sent=1,
        judged=0,
        errors=1,
        abandoned=0,
        bytes_sent=1,
        bytes_received=0,
        generator_limited=text,
        failures=[FailureCount(target=text, code=text, whose="server", count=1, detail=text)],
    )


KINDS: dict[str, Callable[[], VerdictReport]] = {
    "passing": passing,
    "failing": failing,
    "inconclusive": inconclusive,
    "waived": waived,
    "interrupted": interrupted,
}


def loaded() -> VerdictReport:
    """A load run of two minutes: three targets, a stall in the middle, and a server that drifted."""
    report = failing()
    report.verdict.command = "load"
    targets = (
        ("GetStatsConnection", 1_800, 8_000),
        ("GetStatsClient", 2_600, 6_000),
        ("GetStatsAllConnections", 19_000, 90),
    )
    report.verdict.load = LoadResult(
        scenario="mixed",
        model="open",
        planned_per_s=120.0,
        offered_per_s=119.4,
        lasted_s=120.0,
        sent=14_090,
        judged=14_084,
        errors=4,
        abandoned=2,
        bytes_sent=4_100_000,
        bytes_received=212_000_000,
        connections=66,
        processes=2,
        cpu_cores=0.62,
        began_at="2026-11-24T03:14:59.250Z",
        targets=[
            TargetTraffic(
                target=name,
                responses=count,
                errors=errors,
                server_errors=failing,
                bytes=15_000 * count,
                per_s=round((count + errors) / 120, 3),
            )
            for name, count, errors, failing in (
                ("GetStatsAllConnections", 87, 3, 0),
                ("GetStatsClient", 5_997, 1, 2),
                ("GetStatsConnection", 8_000, 0, 0),
            )
        ],
        failures=[
            FailureCount(
                target="GetStatsAllConnections",
                code="timeout",
                whose="server",
                count=3,
                detail="no complete response within 5 s",
            ),
            FailureCount(
                target="GetStatsClient",
                code="reset",
                whose="server",
                count=1,
                detail="the connection was closed before any byte",
            ),
            FailureCount(
                target="GetStatsClient", code="status 503", whose="server", count=2, detail="a complete response"
            ),
        ],
        generator_limited="p99 of the send delay 12 ms, of the receive delay 0.4 ms",
        latency=[
            _latency(name, kind, us * (1 if kind == "response" else 0.8), count)
            for name, us, count in ((ALL_TARGETS, 2_100, 14_084), *targets)
            for kind in ("response", "service", "receive delay", "send delay")
        ],
        timeline=[
            TimelineRow(
                from_s=s,
                lasts_s=2,
                responses=230 + s % 7,
                errors=2 if s == 60 else 0,
                bytes=3_500_000 + 9_000 * s,
                p50_us=2_100 + 10 * (s % 11),
                p99_us=21_000 if s != 60 else 900_000,
                max_us=26_000 if s != 60 else 1_400_000,
            )
            for s in range(0, 120, 2)
        ],
    )
    report.verdict.drift = DocumentationDrift(
        entries=[
            DriftEntry(
                way="undocumented",
                field="/rtp/total_received_novelty",
                documented="",
                seen="integer, 4 to 9",
                connections=20,
                connections_without=0,
                first_seen_at="2026-11-24T03:15:00.230Z",
            ),
            DriftEntry(
                way="absent",
                field="/data_channel/#*/max_retransmits",
                documented="integer of 0 or more",
                seen="",
                connections=0,
                connections_without=20,
                first_seen_at="2026-11-24T03:15:00.230Z",
                known_from="doc-2022",
            ),
        ],
        nearest="doc-2024",
        distance={"doc-2024": 2, "doc-2022": 31},
    )
    return report


def _latency(target: str, kind: Any, us: float, count: int) -> LatencyDistribution:  # Any: one of Latency's kinds
    """Times with a long tail, in twenty buckets of which each holds less than the one before."""
    if kind in ("receive delay", "send delay"):
        us = 60
    left, buckets = count, []
    for step in range(20):
        held = left if step == 19 else max(1, left * 2 // 5)
        buckets.append((int(us * 1.25**step), held))
        left -= held
        if left <= 0:
            break
    whole = sum(held for _, held in buckets)

    def at(percent: float) -> int:
        seen = 0
        for upper, held in buckets:
            seen += held
            if seen >= whole * percent / 100:
                return upper
        return buckets[-1][0]

    shown = {each: at(float(each)) for each in REPORTED_PERCENTILES if is_percentile_carried(whole, float(each))}
    return LatencyDistribution(
        target=target,
        kind=kind,
        count=whole,
        percentiles=shown,
        min=int(us * 0.9),
        mean=round(sum(upper * held for upper, held in buckets) / whole, 1),
        max=buckets[-1][0],
        buckets=buckets,
    )


def sized() -> VerdictReport:
    """A search for the highest rate that keeps the objectives."""
    report = build(Counted(), command="capacity")
    rates = (
        (100.0, "passed"),
        (200.0, "passed"),
        (400.0, "failed"),
        (300.0, "passed"),
        (350.0, "void"),
        (340.0, "failed"),
    )
    report.verdict.capacity = CapacityResult(
        interval=(300.0, 340.0),
        at_least=False,
        limited_by="p99 < 50 ms",
        slos=["p99 < 50 ms"],
        steps=[
            CapacityStepResult(
                rate=rate,
                outcome=outcome,  # type: ignore[arg-type]  # one of the three
                windows=5,
                windows_passed=5 if outcome == "passed" else 1,
                reason={"failed": "p99 < 50 ms", "void": "the generator was late"}.get(outcome),
                latency=[
                    _latency("GetStatsConnection", "response", 700 * (1 + rate / 60), 1000),
                    _latency("GetStatsAllConnections", "response", 5_000 * (1 + rate / 60), 100),
                    _latency("all targets", "response", 800 * (1 + rate / 60), 1100),
                ],
            )
            for rate, outcome in rates
        ],
    )
    points = ((10, 1_400), (100, 9_800), (400, 39_000))
    report.verdict.cost = ListingCost(
        points=[
            ListingCostPoint(
                connections=n,
                responses=5,
                time_us=us,
                high_us=us * 2,
                bytes=n * 13_000,
                fit_us=400 + 96 * n,
                residual=0.01,
            )
            for n, us in points
        ],
        constant_us=400.0,
        per_connection_us=96.0,
        per_connection_bytes=13_000.0,
        linear=True,
        statement="0.4 ms and 0.096 ms for each connection",
    )
    return report


def polled() -> VerdictReport:
    """What polling costs, and whether it hurts the media."""
    report = build(Counted(), command="estimate")
    report.verdict.estimate = PollingEstimate(
        requests=5,
        responses=5,
        connections=20,
        response_bytes=261_000,
        wire_bytes=261_200,
        time_us=4_200,
        longest_us=6_150,
        pollers=3,
        interval_s=1.0,
        mbit_per_s=6.2688,
        open_share=0.0042,
        shortest_interval_s=0.01845,
    )
    quantity = MediaQuantityResult(
        quantity="round-trip time",
        unit="ms",
        quiet=12.3456,
        polled=13,
        difference=(-0.25, 1.75),
        result="no effect seen",
    )
    report.verdict.media = MediaResult(
        result="no effect seen",
        statement="no effect seen above round-trip time 1.75 ms (3 phases)",
        rate=100.0,
        phase_s=10.0,
        polled_phases=3,
        connections=20,
        confidence=0.99,
        quantities=[
            quantity,
            msgspec.structs.replace(quantity, quantity="jitter", difference=None, result="too little data"),
        ],
    )
    return report


def gated() -> VerdictReport:
    """Held against an earlier run, with waivers in each state."""
    report = build(
        Counted([entry("counter.monotonic", status="known"), entry("shape.enum", status="waived", field="/ice/state")])
    )
    earlier = BaselineFinding(
        requirement="http.json",
        level="MUST",
        fingerprint="0" * 16,
        target="GetStatsClient",
        field="",
        message="no JSON",
    )
    report.verdict.baseline = BaselineReport(
        source="reports/release/verdict.json",
        finished_at="2026-11-20T03:15:10.250Z",
        new=0,
        known=1,
        fixed=[earlier],
        not_seen=[earlier],
    )
    states: tuple[Any, ...] = ("used", "unused", "not_observed", "expired")
    report.verdict.waivers = [
        WaiverReport(
            requirement="shape.enum",
            field="/ice/*",
            reason="fixed in the next release of the server",
            by="Mori",
            until="2026-12-31",
            state=state,
            waived=1 if state in ("used", "expired") else 0,
        )
        for state in states
    ]
    return report


PAGES = KINDS | {"loaded": loaded, "sized": sized, "gated": gated, "polled": polled}
"""With those that have more to show on a page."""
