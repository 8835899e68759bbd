"""`conform --fuzz`: what is made up may be sent, what fails is found, and its smallest form is what the report shows."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from sora_stats_harness.api import edition
from sora_stats_harness.api.exchange import TARGET_HEADER, Target
from sora_stats_harness.api.request_guard import INVENTED_TARGETS, check_request_allowed
from sora_stats_harness.cli import main
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.verdict import JudgeResult
from sora_stats_harness.probe import fuzz
from sora_stats_harness.probe.conformance_plan import ConformancePlan
from sora_stats_harness.probe.fuzz_classes import request_class, request_features
from sora_stats_harness.probe.interrupt import InterruptHandler
from sora_stats_harness.probe.prober import Prober
from sora_stats_harness.simulator.server import Simulator
from sora_stats_harness.simulator.strategies import WireRequest

from .. import hostile
from ..examples import some_of
from ..in_memory import InMemorySimulator, simulate_in_memory

NUL = b'{"channel_id":"sora","client_id":"\\u0000"}'
"""The smallest body whose client_id has a NUL in it, keys in the documented order."""


def search(
    server: InMemorySimulator | str, count: int, *, seed: int = 1, interrupt: InterruptHandler | None = None
) -> tuple[fuzz.FuzzResult, JudgeResult]:
    """Send made-up requests, as fast as a test wants it."""
    judge = Judge(edition.load_edition())
    url, prober = (server, Prober(timeout_s=5.0)) if isinstance(server, str) else (server.urls[0], server.prober())
    plan = fuzz.FuzzPlan(target=ConformancePlan(server=url, rate=5000.0), count=count, seed=seed)
    result = fuzz.run_fuzz(plan, judge, prober, interrupt=interrupt or InterruptHandler())
    judge.finish()
    return result, judge.result()


@settings(max_examples=some_of(200), deadline=None, derandomize=True, database=None)
@given(fuzz.generated_requests(frozenset(Target)))
def test_what_is_made_up_may_be_sent(request: WireRequest) -> None:
    """Whatever is drawn passes the list of what may be sent: statistics targets alone, or an invented one, or none."""
    check_request_allowed(request.method, request.path, request.headers)
    values = [value for name, value in request.headers if name.lower() == TARGET_HEADER]
    assert values == [] or values[0] in INVENTED_TARGETS | {target.value for target in Target}


def test_only_the_targets_of_the_plan_are_drawn() -> None:
    """A proxy that lets one target through is asked for no other."""
    seen: set[str | None] = set()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(fuzz.generated_requests(frozenset({Target.CLIENT})))
    def check(request: WireRequest) -> None:
        seen.update(value for name, value in request.headers if name.lower() == TARGET_HEADER)

    check()
    assert seen - INVENTED_TARGETS == {Target.CLIENT.value}


def test_a_good_server_passes_and_the_same_seed_sends_the_same() -> None:
    """Nothing fails on the simulator; a seed repeats every request to the byte, another seed does not."""

    def sent(seed: int) -> list[Any]:
        with simulate_in_memory(connections=2) as simulator:
            result, tally = search(simulator, 60, seed=seed)
            assert (result.sent, result.passed_over, result.failures, result.end_reason) == (60, 0, (), None)
            assert tally.findings == []
            assert tally.checked["request.no_5xx"] > 30
            return [(seen.method, seen.path, seen.headers[1:], seen.body) for seen in simulator.requests]

    first = sent(7)
    assert len(first) == 64  # and one before, to see that there is a server, and three that are known to fail
    assert first == sent(7)
    assert first != sent(8)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_nul_that_crashes_the_server_is_found_and_made_smaller(seed: int) -> None:
    """The smallest request is the one with nothing but the NUL; it is what the entry shows, and all are counted."""
    with simulate_in_memory(connections=2, faults=["crashes-on-nul"]) as simulator:
        result, tally = search(simulator, 300, seed=seed)
    [failure] = result.failures
    assert (failure.smallest.body, failure.violated, failure.reproduced) == (NUL, "request.no_5xx", True)
    assert (TARGET_HEADER, Target.CLIENT.value) in failure.smallest.headers
    assert result.sent + result.passed_over == 300 and result.passed_over > 0, "the search has gone on"
    [entry] = tally.findings
    assert (entry.requirement, entry.actual) == ("request.no_5xx", "500")
    assert entry.count >= 2 and r"\u0000" in entry.message
    assert tally.coverage.exchanges == result.sent + result.shrinking + 5  # one before, one again, three that are known


def test_what_is_known_to_fail_hides_nothing_else() -> None:
    """Strings that are no UTF-8 are tried first, and passed over then; the NUL is found as if they were not there."""
    with simulate_in_memory(connections=2, faults=["crashes-on-invalid-utf8", "crashes-on-nul"]) as simulator:
        result, _ = search(simulator, 300, seed=1)
    bodies = [failure.smallest.body for failure in result.failures]
    assert bodies[:3] == [b'"\xff"', b'"\xff"', b'{"local":"\xff"}']
    assert NUL in bodies
    assert result.sent + result.passed_over == 300
    assert result.end_reason is None


def test_the_command_prints_the_smallest_request_and_its_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1; the finding's command line is the smallest request's; nothing is left in the folder it ran in."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    code = main(
        [
            "conform",
            "--fuzz",
            "120",
            "--seed",
            "5",
            "--duration",
            "0.1",
            "--fault",
            "crashes-on-nul",
            "--connections",
            "2",
            "--output",
            str(tmp_path / "out"),
        ]
    )
    printed = capsys.readouterr().out
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    [finding] = [each for each in verdict["findings"] if each["level"] == "MUST"]
    assert code == 1 and finding["requirement"] == "request.no_5xx"
    assert NUL.decode() in finding["reproduce"]
    assert finding["reproduce"] in printed
    said = " ".join(printed.split())
    assert "of 120 made-up requests were sent" in said and "(--fuzz 120 --seed 5 repeats them): one kind fails;" in said
    assert (
        f"fails (request.no_5xx): POST / sent with target 'Sora_20170529.GetStatsClient' and body {NUL.decode()}"
        in said
    )
    assert (verdict["options"]["fuzz"], verdict["options"]["seed"]) == (120, 5)
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_server_that_still_conforms_afterwards_is_needed_for_a_pass(tmp_path: Path) -> None:
    """The rounds come after the made-up requests: what those have broken is found there."""
    with Simulator(connections=3) as simulator:
        code = main(
            [
                "conform",
                simulator.url,
                "--fuzz",
                "30",
                "--seed",
                "1",
                "--duration",
                "0.1",
                "--rate",
                "400",
                "--output",
                str(tmp_path / "out"),
            ]
        )
        kinds = [seen.operation for seen in simulator.requests]
    assert code == 0
    assert "GetStatsConnection" in kinds[-60:], "the rounds are the last to be sent"


def responded(body: bytes, status: str = "400 Bad Request") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status.encode(),
        len(body),
        body,
    )


def cuts_long_bodies(talk: hostile.Talk) -> None:
    """Responses everything but a body with an `x` in it, at which the connection is closed."""
    if b"sora" not in talk.request.partition(b"\r\n\r\n")[2]:
        talk.write(responded(b'{"error_type":"X"}'))


def test_a_connection_that_is_cut_is_a_failure_and_shrinks(tmp_path: Path) -> None:
    """Where the handler dies without a word, the smallest request that kills it is found as well."""
    with hostile.serve(cuts_long_bodies) as server:
        result, tally = search(server.url, 200)
    assert result.failures and all(failure.reproduced for failure in result.failures)
    assert {failure.violated for failure in result.failures} <= {"reset", "cut", "protocol"}
    bodies = [failure.smallest.body or b"" for failure in result.failures]
    assert all(b"sora" in body for body in bodies) and min(map(len, bodies)) < 60
    assert {entry.requirement for entry in tally.findings} == {"http.complete", "http.status"}  # a listing gets 400


def test_html_instead_of_json_is_a_failure() -> None:
    """A proxy's error page is no response to a program; the smallest request is the plainest one."""

    def page(talk: hostile.Talk) -> None:
        talk.write(responded(b"<h1>no</h1>" if b"GetStats" in talk.request else b""))

    with hostile.serve(page) as server:
        result, tally = search(server.url, 50)
    assert {failure.violated for failure in result.failures} == {"request.json_or_empty"}
    assert {entry.requirement for entry in tally.findings} <= {"request.json_or_empty", "http.status"}


def test_a_server_that_is_gone_ends_it() -> None:
    """Killed by a request: the search says so, and keeps that request."""
    first = threading.Event()

    def dies(talk: hostile.Talk) -> None:
        if first.is_set():
            return
        if b"GetStats" in talk.request:
            first.set()
            return
        talk.write(responded(b"{}"))

    with hostile.serve(dies) as server:
        result, tally = search(server.url, 50)
    assert result.end_reason == f"{server.url} gives no complete response"
    assert [failure.reproduced for failure in result.failures] == [False]
    assert [entry.requirement for entry in tally.findings] == ["http.complete"]


def test_without_a_server_nothing_is_said(tmp_path: Path) -> None:
    """A refused connection accuses nobody; the run is inconclusive, with exit code 3."""
    result, tally = search("http://127.0.0.1:9", 50)
    assert (result.sent, result.failures, result.end_reason) == (
        0,
        (),
        "http://127.0.0.1:9 gives no complete response",
    )
    assert tally.findings == []


def test_an_interrupt_ends_it_at_once() -> None:
    """A wish to end is fulfilled at the next request, and leaves nothing open."""
    with simulate_in_memory(connections=2) as simulator, InterruptHandler() as interrupt:
        interrupt.is_interrupted = True
        result, tally = search(simulator, 50, interrupt=interrupt)
    assert (result.sent, result.end_reason) == (0, "it was interrupted")
    assert tally.findings == []


def asked(body: bytes | None, target: Target = Target.CLIENT) -> WireRequest:
    """A request with a body."""
    return WireRequest(headers=((TARGET_HEADER, target.value),), body=body)


def test_a_class_is_what_all_that_fail_have_in_common() -> None:
    """However they were drawn: the NUL in the client's id, and not that the channel's is empty."""
    smallest = asked(b'{"channel_id":"","client_id":"\\u0000"}')
    other = asked(b'{"channel_id":"sora","client_id":"a\\u0000"}')
    sound = asked(b'{"channel_id":"","client_id":"a"}')
    found = request_class(smallest, {smallest: True, other: True, sound: False}, {request_features(sound)})
    assert found <= request_features(asked(b'{"client_id":"x\\u0000y","channel_id":"b"}'))
    assert not found <= request_features(sound)
    assert not found <= request_features(asked(other.body, Target.CONNECTION))


def test_a_class_that_a_sound_request_belongs_to_is_made_smaller() -> None:
    """Where nothing that is told of requests tells those that fail from others, only their like is passed over."""
    smallest, other = asked(b'{"channel_id":""}'), asked(b'{"channel_id":"a"}')
    passed = {request_features(asked(b'{"channel_id":"b"}'))}
    assert request_class(smallest, {smallest: True, other: True}, passed) == request_features(smallest)


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        (None, "no body"),
        (b"", "no body"),
        (b"{", "no JSON"),
        (b'"\xff"', "invalid UTF-8"),
        (b"[" * 100_000, "deep"),
        (b'{"local":1}', "/local: int"),
        (b'{"else":[true]}', "/*/0: bool"),
        (b'{"channel_id":""}', "/channel_id: empty"),
        (b'{"channel_id":"\\n"}', "/channel_id: control characters"),
        (b'{"channel_id":"<"}', "/channel_id: punctuation"),
        (b'{"channel_id":"\xc3\xa9"}', "/channel_id: beyond ASCII"),
        (b'{"channel_id":"\\ud83d\\ude00"}', "/channel_id: beyond 16 bits"),
        (b'{"channel_id":"\\ud83d"}', "/channel_id: half of a surrogate pair"),
        (b'{"channel_id":"%s"}' % (b"x" * 256), "/channel_id: long"),
    ],
)
def test_what_a_request_is_like(body: bytes | None, feature: str) -> None:
    """Types by place, and what is odd about texts; a plain text of 255 bytes is not."""
    assert feature in request_features(asked(body))
    assert feature not in request_features(asked(b'{"channel_id":"%s"}' % (b"x" * 255)))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fuzz", "0"], "must be an integer from 1"),
        (["--fuzz", "many"], "must be an integer from 1"),
        (["--fuzz", "5", "--valid-only"], "leave one out"),
        (["http://127.0.0.1:9", "--seed", "3"], "--seed is for the embedded simulator"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2; a seed beside a URL needs --fuzz."""
    assert main(["conform", *options]) == 2
    captured = capsys.readouterr()
    assert complaint in captured.err and len(captured.err.splitlines()) == 1


def test_without_hypothesis_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The core install has no Hypothesis, and needs none for anything else."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert main(["conform", "--fuzz", "5"]) == 2
    assert capsys.readouterr().err == "sora-harness: --fuzz needs Hypothesis: pip install hypothesis\n"


def test_requests_with_unknown_ids_are_probes_and_listings_are_not() -> None:
    """A valid listing is judged in full, so what it holds counts as samples."""
    with simulate_in_memory(connections=2) as simulator:
        _, tally = search(simulator, 60)
    assert set(tally.coverage.by_target) == {"GetStatsAllConnections"}
    assert tally.coverage.samples == 2 * tally.coverage.by_target["GetStatsAllConnections"]
