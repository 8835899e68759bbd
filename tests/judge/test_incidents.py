"""One server for each incident: the cause is named, in a sentence, and explains the findings."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from sora_stats_harness.api.exchange import ErrorCode
from sora_stats_harness.judge.lone_targets import find_lone_counter_target
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.verdict import Incident, Verdict
from sora_stats_harness.judge.verdict_decision import RunScope
from sora_stats_harness.probe.conformance_plan import SIMULATOR_RATE, ConformancePlan
from sora_stats_harness.probe.conformance_run import run_conformance
from sora_stats_harness.probe.interrupt import InterruptHandler
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.reports.verdict_assembly import RunFacts, assemble_verdict
from sora_stats_harness.simulator.server import Simulator

from ..reports import verdicts
from .build import DOC, IDS, MS, SERVER, Json, Talk, ask, ask_client, connection, list_all, stamp

PAGE: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
HTML: Final = (("content-type", "text/html"), ("server", "nginx"))
JSON: Final = ("content-type", "application/json")


def verdict_of(judge: Judge) -> Verdict:
    """Of a run that observed what recordings can."""
    facts = RunFacts(
        command="check",
        edition=DOC,
        subject=SERVER,
        judged_from="recording",
        scope=RunScope(observes=()),
        started_at="2026-11-24T12:00:00Z",
    )
    return assemble_verdict(judge, facts).verdict


def incidents_of(talk: Talk) -> dict[str, Incident]:
    """By id; each with a sentence, something to do, known findings, and at most two exchanges."""
    verdict = verdict_of(talk.judge)
    known = {entry.fingerprint for entry in verdict.findings}
    explained = [each for incident in verdict.incidents for each in incident.explains]
    assert len(explained) == len(set(explained)) and known.issuperset(explained)
    assert all(each.summary.endswith(".") and each.advice and len(each.exchanges) <= 2 for each in verdict.incidents)
    return {each.id: each for each in verdict.incidents}


class Poll:
    """Requests one after the other, 100 ms apart."""

    def __init__(self) -> None:
        self.talk = Talk()
        self.now_ns = 0

    def add(self, request: Any, body: Json = None, **more: Any) -> None:
        """One exchange of 10 ms."""
        self.talk.add(request, self.now_ns, self.now_ns + 10 * MS, body, **more)
        self.now_ns += 100 * MS

    def sample(self, place: int = 0, **changes: Json) -> Json:
        """A connection as it is now."""
        return connection(IDS[place], self.now_ns + MS, **changes)

    def all_targets(self, rounds: int = 4, **changes: Json) -> None:
        """Each target in turn, some rounds."""
        for _ in range(rounds):
            self.add(list_all(), [self.sample(**changes)])
            self.add(ask(), self.sample(**changes))
            self.add(ask_client(), [self.sample(**changes)])


def zeroed(document: Json) -> Json:
    """The same with every counter at 1, or at 0 where it was."""
    if isinstance(document, dict):
        return {
            key: min(value, 1) if key.startswith("total_") and isinstance(value, int) else zeroed(value)
            for key, value in document.items()
        }
    return document


def counted(document: Json, value: int) -> Json:
    """The same with every counter at this value, but for those that are 0."""
    if isinstance(document, dict):
        return {
            key: value if key.startswith("total_") and isinstance(old, int) and old else counted(old, value)
            for key, old in document.items()
        }
    return document


def test_good_exchanges_have_none() -> None:
    """All targets agree, and time goes on."""
    poll = Poll()
    poll.all_targets()
    assert incidents_of(poll.talk) == {}


def test_a_restart_with_the_same_ids() -> None:
    """All counters of all connections fall between two moments: one incident for all findings."""
    poll = Poll()
    for _ in range(3):
        poll.add(list_all(), [poll.sample(0), poll.sample(1)])
    poll.add(list_all(), error=ErrorCode.REFUSED)
    for _ in range(3):
        poll.add(list_all(), [zeroed(poll.sample(0)), zeroed(poll.sample(1))])
    incident = incidents_of(poll.talk)["restart-same-ids"]
    assert "The counters of 2 connections began again at once" in incident.summary
    told = verdict_of(poll.talk.judge)
    assert {entry.fingerprint for entry in told.findings if entry.level == "MUST"} == set(incident.explains)
    assert len(incident.exchanges) == 2


def test_counters_of_32_bits_that_wrap_at_once_are_no_restart() -> None:
    """All of them stood right below 2^32."""
    poll = Poll()
    for value in (2**32 - 5, 2**32 - 1, 4, 9):
        poll.add(list_all(), [counted(poll.sample(0), value), counted(poll.sample(1), value)])
    found = incidents_of(poll.talk)
    assert found.keys() - {"one-fault"} == {"counter-wrap"}  # relations that such counters contradict are another's
    assert re.match(
        r"[0-9]{2,} counters began again at 0 after 2\^32: they have 32 bits", found["counter-wrap"].summary
    )
    told = verdict_of(poll.talk.judge)
    assert {each.fingerprint for each in told.findings if each.level == "MUST"} == set(found["counter-wrap"].explains)


def test_a_cache_whose_key_lacks_the_arguments_is_one_cause() -> None:
    """One connection's sample for every request about a connection: another one, or an old one."""
    poll = Poll()
    kept = connection(IDS[0], MS, rtp__total_received_rtp=1_000_000)
    for step in range(6):
        grown = 1_000_001 + step
        poll.add(list_all(), [poll.sample(each, rtp__total_received_rtp=grown) for each in (0, 1)])
        for each in (0, 1):
            poll.add(ask(IDS[each]), kept | {"timestamp": poll.sample()["timestamp"]})
    found = incidents_of(poll.talk)
    assert found.keys() - {"one-fault"} == {"another-connection"}
    assert "GetStatsConnection responded 6 times about another connection" in found["another-connection"].summary
    told = verdict_of(poll.talk.judge)
    assert {each.fingerprint for each in told.findings if each.level == "MUST"} == set(
        found["another-connection"].explains
    )


def test_one_counter_that_falls_is_no_restart() -> None:
    """It stands for itself."""
    poll = Poll()
    poll.add(list_all(), [poll.sample()])
    poll.add(list_all(), [poll.sample(rtp__total_received_rtp=0)])
    assert incidents_of(poll.talk) == {}


def test_a_restart_with_new_ids() -> None:
    """All connections are replaced at once, and the old ones do not come back."""
    poll = Poll()
    for ids in ((0, 1), (0, 1), None, (2, 3), (2, 3)):
        if ids is None:
            poll.add(list_all(), error=ErrorCode.REFUSED)
        else:
            poll.add(list_all(), [poll.sample(each) for each in ids])
    found = incidents_of(poll.talk)
    assert list(found) == ["restart-new-ids"]
    assert len(found["restart-new-ids"].explains) == 1


def test_two_servers_behind_one_url() -> None:
    """Disjoint listings take turns: name the nodes."""
    poll = Poll()
    for turn in range(6):
        poll.add(list_all(), [poll.sample(each + 2 * (turn % 2)) for each in (0, 1)])
    found = incidents_of(poll.talk)
    assert list(found) == ["two-servers"]
    assert "--node" in found["two-servers"].advice


@pytest.mark.parametrize("headers", [(JSON,), (JSON, ("Age", "1"), ("X-Cache", "HIT"))])
def test_a_stale_cache(headers: tuple[tuple[str, str], ...]) -> None:
    """The same bytes again, and where the cache says so its own headers."""
    poll = Poll()
    body = [poll.sample(0), poll.sample(1)]
    for _ in range(4):
        poll.add(list_all(), body, headers=headers)
    found = incidents_of(poll.talk)
    assert list(found) == ["stale-cache"]
    assert "GetStatsAllConnections are stale" in found["stale-cache"].summary
    assert ("age: 1" in found["stale-cache"].summary) == (len(headers) > 1)


@pytest.mark.parametrize("status", [401, 403, 413, 502])
def test_a_gateways_page(status: int) -> None:
    """It stands in place of every response."""
    poll = Poll()
    for _ in range(2):
        for request in (list_all(), ask(), ask_client()):
            poll.add(request, PAGE, status=status, headers=HTML)
    found = incidents_of(poll.talk)
    assert list(found) == ["gateway-page"]
    assert f"A gateway responded {status} to 6 requests" in found["gateway-page"].summary
    assert len(found["gateway-page"].explains) == len(verdict_of(poll.talk.judge).findings)


def test_a_page_with_status_200() -> None:
    """A page to log in: its label and its body are one cause."""
    poll = Poll()
    poll.add(list_all(), PAGE, headers=HTML)
    found = incidents_of(poll.talk)
    assert list(found) == ["gateway-page"]
    assert len(found["gateway-page"].explains) == 2


def test_a_redirect() -> None:
    """Its place is named."""
    poll = Poll()
    poll.add(list_all(), b"", status=301, headers=(("location", "https://sora.example/"),))
    found = incidents_of(poll.talk)
    assert list(found) == ["redirect"]
    assert "https://sora.example/" in found["redirect"].summary


def test_a_target_that_is_ahead_is_blamed_and_not_the_others() -> None:
    """The counters of GetStatsClient are ahead: the others seem to fall."""
    poll = Poll()
    ahead = {"rtp__total_received_rtp": 10**6, "sctp__total_received_sctp": 10**6, "dtls__total_received_dtls": 10**6}
    for _ in range(3):
        poll.add(list_all(), [poll.sample()])
        poll.add(ask(), poll.sample())
        poll.add(ask_client(), [poll.sample(**ahead)])
    poll.add(list_all(), [poll.sample()])
    poll.add(ask_client(), [poll.sample(**ahead)])
    poll.add(ask(), poll.sample())
    incident = incidents_of(poll.talk)["target-disagrees"]
    assert incident.summary.startswith("GetStatsClient alone disagrees")


def test_a_target_whose_fields_alone_are_wrong_is_blamed() -> None:
    """The others' samples of the same connection are right."""
    poll = Poll()
    for _ in range(4):
        poll.add(list_all(), [poll.sample()])
        poll.add(ask(), poll.sample())
        poll.add(ask_client(), [poll.sample(dtls__total_received_dtls="12", sctp__total_received_sctp=None)])
    incident = incidents_of(poll.talk)["target-disagrees"]
    assert incident.summary.startswith("GetStatsClient alone disagrees with GetStatsConnection")
    assert len(incident.explains) == 2


def test_responses_about_one_connection_are_each_counted() -> None:
    """Four are wrong, two about each of two connections; a listing has both of them in one response."""
    poll = Poll()
    for _ in range(2):
        for place in range(2):
            poll.add(list_all(), [poll.sample(0), poll.sample(1)])
            poll.add(ask_client(), [poll.sample(0), poll.sample(1)])
            poll.add(ask(IDS[place]), poll.sample(place, dtls__total_received_dtls="12"))
    assert incidents_of(poll.talk)["target-disagrees"].summary.startswith("GetStatsConnection alone disagrees")


@pytest.mark.parametrize(("responses", "lone"), [(4, "GetStatsClient"), (3, None)])
def test_a_target_is_said_to_be_ahead_after_four_responses_of_others(responses: int, lone: str | None) -> None:
    """Fewer may be chance."""
    others = ("GetStatsConnection", responses - 2), ("GetStatsAllConnections", 2)
    entries = [
        verdicts.entry(
            "counter.monotonic", target=target, count=count, connections=1, compared={"GetStatsClient": count}
        )
        for target, count in others
    ]
    assert find_lone_counter_target(entries) == (lone, entries if lone else [])


def test_no_target_is_blamed_for_connections_that_only_it_was_asked_for() -> None:
    """The listing has a second connection, which is wrong; the others were not asked for it."""
    poll = Poll()
    for _ in range(6):
        poll.add(list_all(), [poll.sample(), poll.sample(1, dtls__total_received_dtls="12")])
        poll.add(ask(), poll.sample())
        poll.add(ask_client(), [poll.sample()])
    assert incidents_of(poll.talk) == {}


def test_no_target_is_blamed_for_an_outage_in_which_only_it_was_asked() -> None:
    """A pause of the whole server, in the middle of listings."""
    poll = Poll()
    poll.all_targets(3)
    for _ in range(5):
        poll.add(list_all(), error=ErrorCode.TIMEOUT)
    poll.all_targets(3)
    assert incidents_of(poll.talk) == {}


def test_no_target_is_blamed_for_a_counter_that_falls_under_all() -> None:
    """Every third sample is behind, whoever is asked."""
    poll = Poll()
    for turn in range(8):
        for place, (request, many) in enumerate(((list_all(), True), (ask(), False), (ask_client(), True))):
            fallen = (3 * turn + place) % 4 == 3
            sample = poll.sample(dtls__total_received_dtls=1 if fallen else 100)
            poll.add(request, [sample] if many else sample)
    assert list(incidents_of(poll.talk)) == ["one-fault"]


def test_a_cache_whose_key_lacks_the_body() -> None:
    """The response to one request is given to another: what follows from it is not shown as a finding of its own."""
    poll = Poll()
    poll.add(list_all(), [poll.sample(0), poll.sample(1)])
    kept = poll.sample(0)
    for _ in range(3):
        poll.add(ask(IDS[0]), kept)
        poll.add(ask(IDS[1]), kept)
    found = incidents_of(poll.talk)
    assert list(found) == ["cache-key"]
    assert "they differ in the body" in found["cache-key"].summary
    assert len(found["cache-key"].explains) == len(verdict_of(poll.talk.judge).findings) == 2


def test_a_cache_over_listings_in_which_others_come_and_go() -> None:
    """The bytes differ, and the sample is the same."""
    poll = Poll()
    kept = poll.sample(0)
    for _ in range(3):
        poll.add(list_all(), [kept, poll.sample(1)])
    assert list(incidents_of(poll.talk)) == ["stale-cache"]


def test_a_cache_that_shows_a_busy_connection_as_it_was() -> None:
    """The first stamp to go back is that of an idle connection; the counters of another fall, whose sample is old as well."""
    poll = Poll()
    names = ("dtls__total_received_dtls", "dtls__total_sent_dtls", "turn__total_received_stun_unknown")
    for number in (0, 1):
        old = poll.sample(number, **dict.fromkeys(names, 100))
        poll.add(ask(IDS[number]), old)
        poll.add(ask(IDS[number]), poll.sample(number, **dict.fromkeys(names, 100 + number)))
        poll.add(ask(IDS[number]), old)
    found = incidents_of(poll.talk)
    assert list(found) == ["stale-cache"]
    assert len(found["stale-cache"].explains) == len(verdict_of(poll.talk.judge).findings) == 4


def test_one_counter_and_a_stamp_that_go_back_are_no_cache() -> None:
    """An old response has many old counters: these are two faults."""
    poll = Poll()
    for turn in range(6):
        late = turn % 2
        sample = poll.sample(dtls__total_received_dtls=100 - late)
        sample["timestamp"] = stamp(poll.now_ns - late * 500 * MS)
        poll.add(list_all(), [sample])
    assert "stale-cache" not in incidents_of(poll.talk)


def test_another_connection_than_asked_for_is_no_cache_where_its_bytes_are_new() -> None:
    """The server mixes connections up."""
    poll = Poll()
    poll.add(ask(IDS[0]), poll.sample(0))
    poll.add(ask(IDS[1]), poll.sample(0))
    assert incidents_of(poll.talk) == {}


FAULTS: Final[list[dict[str, Any]]] = [
    {"dtls__total_received_dtls": None},
    {"sctp__total_received_sctp": "12"},
    {"spotlight__total_spotlight_focus_failed": -1},
    {"turn__total_received_channel_data": 1.5},
    {"data_channel__notify__direction": "sideways"},
    {"rtp__total_received": 1},
    {"rtp__total_sent_rtp": 10**9},
]
"""Each is one fault; the last breaks three relations."""


def test_faults_are_told_once_each_whichever_targets_show_them() -> None:
    """Seven faults under three targets make seven incidents, and no finding beside them."""
    poll = Poll()
    changes = {name: value for each in FAULTS for name, value in each.items()}
    poll.all_targets(4, **changes)
    verdict = verdict_of(poll.talk.judge)
    found = [incident for incident in verdict.incidents if incident.id == "one-fault"]
    explained = {each for incident in verdict.incidents for each in incident.explains}
    assert len(verdict.findings) > 3 * len(FAULTS)
    assert {entry.fingerprint for entry in verdict.findings if entry.level != "INFO"} <= explained
    assert len(found) == len(FAULTS), [incident.summary for incident in found]


def test_a_target_that_fails_alone() -> None:
    """The others respond."""
    poll = Poll()
    poll.all_targets(3)
    for _ in range(4):
        poll.add(ask_client(), error=ErrorCode.TIMEOUT)
        poll.add(ask(), poll.sample())
        poll.add(list_all(), [poll.sample()])
    found = incidents_of(poll.talk)
    assert list(found) == ["target-outage"]
    assert found["target-outage"].summary.startswith("GetStatsClient alone failed: 4 requests")


def test_a_field_that_is_missing_everywhere() -> None:
    """One incident for its findings under all targets."""
    poll = Poll()

    def less(sample: Json) -> Json:
        del sample["rtp"]["total_received_rtp"]
        return sample

    for _ in range(3):
        poll.add(list_all(), [less(poll.sample())])
        poll.add(ask(), less(poll.sample()))
        poll.add(ask_client(), [less(poll.sample())])
    found = incidents_of(poll.talk)
    assert list(found) == ["missing-field"]
    assert "missing in all 9 samples: rtp.total_received_rtp" in found["missing-field"].summary
    assert len(found["missing-field"].explains) == 3


def test_an_undocumented_field() -> None:
    """One incident, and not a finding for each target."""
    poll = Poll()
    poll.all_targets(3, sctp__total_pruned_sctp_data_chunk=1)
    found = incidents_of(poll.talk)
    assert list(found) == ["undocumented-field"]
    assert len(found["undocumented-field"].explains) == 3


def test_the_request_that_went_wrong_is_reproduced() -> None:
    """Of a connection that was missing in between: GetStatsConnection, and not the listing that proves it."""
    poll = Poll()
    poll.add(list_all(), [poll.sample()])
    poll.add(ask(), {"error_type": "CONNECTION-NOT-FOUND"}, status=400)
    poll.add(list_all(), [poll.sample()])
    (entry,) = (each for each in verdict_of(poll.talk.judge).findings if each.requirement == "identity.present")
    assert "GetStatsConnection" in entry.reproduce
    assert entry.actual == '400, error_type "CONNECTION-NOT-FOUND"'


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_good_server_has_none(nodes: int) -> None:
    """The simulator without a fault, alone and as a cluster."""
    judge = Judge(DOC)
    with Simulator(seed=3, connections=6, nodes=nodes) as simulator, InterruptHandler() as interrupt:
        plan = ConformancePlan(
            server=simulator.urls[0], nodes=tuple(simulator.urls[1:]), duration_s=0.5, rate=SIMULATOR_RATE
        )
        judge.nodes = plan.servers if nodes > 1 else ()
        run_conformance(plan, judge, Prober(timeout_s=5), interrupt=interrupt)
    assert verdict_of(judge).incidents == []
