"""What the plugin gives to tests of one's own, each run as somebody else's suite would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from sora_stats_harness import __version__
from sora_stats_harness.api import edition
from sora_stats_harness.cli import main
from sora_stats_harness.simulator.server import Simulator
from sora_stats_harness.testing.sample_group import SampleGroup
from sora_stats_harness.testing.stub_generator import render_stub
from tests import hostile

pytest_plugins = ["pytester"]

PAGE: Final = Path(__file__).parents[2] / "docs" / "PYTEST.md"
OUTPUT: Final = ("-W", "error", "-rA", "--strict-markers")


def test_client_asks_the_simulator(pytester: pytest.Pytester) -> None:
    """Typed calls of the three targets, waiting and with `await` in any style, each of them seen by the simulator."""
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from sora_stats_harness.testing import NoSampleError, Simulator, StatsClient

        def test_three_targets(sora_simulator: Simulator, sora_client: StatsClient):
            listed = sora_client.get_stats_all_connections()
            assert (listed.status, len(listed), dict(listed.headers)["server"][:5]) == (200, 20, "sora-")
            first = listed[0]
            one = sora_client.get_stats_connection(first.channel_id, first.connection_id).sample
            assert one.connection_id == first["connection_id"]
            assert one.rtp.total_received_rtp >= first.rtp.total_received_rtp > 0
            assert one.simulcast.r0.rtp.as_dict().keys() == first["simulcast"]["r0"]["rtp"].keys()
            mine = sora_client.get_stats_client(first.channel_id, first.client_id)
            assert mine.find_connection(first.connection_id).bundle_id == first.bundle_id
            assert len(sora_client.get_stats_all_connections(local=False)) == 20
            asked = [(seen.operation, dict(seen.arguments)) for seen in sora_simulator.requests]
            assert asked[1] == ("GetStatsConnection",
                                {"channel_id": first.channel_id, "connection_id": first.connection_id})
            assert [name for name, _ in asked] == [
                "GetStatsAllConnections", "GetStatsConnection", "GetStatsClient", "GetStatsAllConnections"]

        def test_refusal(sora_simulator, sora_client):
            nobody = sora_client.get_stats_connection("nowhere", "A" * 26)
            assert (nobody.status, nobody.error_type) == (400, "NotFound")
            with pytest.raises(NoSampleError, match="status 400 .NotFound."):
                nobody.sample

        def test_mistyped_field(sora_simulator, sora_client):
            with pytest.raises(AttributeError, match="no total_recieved_rtp in rtp; did you mean total_received_rtp"):
                sora_client.get_stats_all_connections()[0].rtp.total_recieved_rtp

        def test_asyncio_run(sora_simulator, sora_client):
            async def several():
                return await asyncio.gather(*(sora_client.aio.get_stats_all_connections() for _ in range(5)))
            assert [len(response) for response in asyncio.run(several())] == [20] * 5

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        async def test_async_test(sora_simulator, sora_client):
            first = (await sora_client.aio.get_stats_all_connections())[0]
            one = await sora_client.aio.get_stats_connection(first.channel_id, first.connection_id)
            mine = await sora_client.aio.get_stats_client(first.channel_id, first.client_id)
            assert one.sample.connection_id in {sample.connection_id for sample in mine}
            assert len(sora_client.get_stats_all_connections()) == 20  # waiting inside of a running loop, too

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        async def test_giving_up(sora_simulator, sora_client, sora_recording):
            sora_simulator.freeze()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await sora_client.aio.get_stats_all_connections()
            assert len(sora_client.get_stats_all_connections()) == 20
            assert {exchange.error.code.value for exchange in sora_recording.exchanges if exchange.error} \
                <= {"abandoned"}
        """
    )
    done = pytester.runpytest_inprocess(*OUTPUT, "-p", "anyio")
    done.assert_outcomes(passed=6)


def test_simulator_is_set_up_by_marks_and_parameters(pytester: pytest.Pytester) -> None:
    """Faults and world as parameters; then it is frozen, advanced, set, and given responses to other operations."""
    pytester.makepyfile(
        """
        import json, urllib.request
        import pytest
        from sora_stats_harness.testing import CannedResponse

        pytestmark = pytest.mark.sora_simulator(connections=3)

        @pytest.mark.parametrize("sora_simulator", [{"seed": 2}, {"seed": 3, "connections": 5}], indirect=True)
        def test_parameters(sora_simulator, sora_client, request):
            assert len(sora_client.get_stats_all_connections()) == request.node.callspec.params["sora_simulator"].get(
                "connections", 3)

        @pytest.mark.sora_simulator(nodes=2, connections=4)
        def test_nearest_mark_wins(sora_simulator, sora_client):
            assert len(sora_simulator.urls) == 2
            assert len(sora_client.get_stats_all_connections(local=False)) == 4

        def test_time_is_ours(sora_simulator, sora_client):
            sora_simulator.freeze()
            before = sora_client.get_stats_all_connections()[0]
            assert sora_client.get_stats_all_connections()[0] == before
            sora_simulator.advance(60)
            after = sora_client.get_stats_all_connections().find_connection(before.connection_id)
            assert after.timestamp > before.timestamp
            assert after.rtp.total_received_rtp > before.rtp.total_received_rtp
            sora_simulator.set_value(before.connection_id, "/spotlight/active_speaker_id", "x")

        def test_other_operations(sora_simulator):
            sora_simulator.set_canned_response("Sora_20151104.DisconnectChannel", CannedResponse(status=200, body=b"{}"))
            asked = urllib.request.Request(
                sora_simulator.url, method="POST", headers={"x-sora-target": "Sora_20151104.DisconnectChannel"})
            with urllib.request.urlopen(asked) as response:
                assert (response.status, response.read()) == (200, b"{}")
            assert sora_simulator.requests[-1].headers

        @pytest.mark.sora_simulator(faults=["counter-fall"])
        def test_no_such_fault(sora_simulator):
            pass
        """
    )
    done = pytester.runpytest_inprocess(*OUTPUT)
    done.assert_outcomes(passed=5, errors=1)
    done.stdout.fnmatch_lines(["there is no fault 'counter-fall' (did you mean 'counter-falls'?)"])


def test_findings_fail_the_test_itself(pytester: pytest.Pytester) -> None:
    """A finding fails the call phase of the test in which it arises; one that is expected has to arise."""
    pytester.makepyfile(
        """
        import pytest
        from sora_stats_harness.api.errors import UsageError
        falls = pytest.mark.sora_simulator(faults=["counter-falls:times=1"], connections=2)

        def ask(client):
            for _ in range(20):
                client.get_stats_all_connections()

        @falls
        def test_found(sora_simulator, sora_client):
            ask(sora_client)

        @falls
        def test_own_failure_first(sora_simulator, sora_client):
            ask(sora_client)
            assert "mine" == "yours"

        @falls
        def test_expected(sora_simulator, sora_client, sora_judge):
            sora_judge.expect_violations("counter.monotonic")
            ask(sora_client)
            assert [entry.requirement for entry in sora_judge.findings] == ["counter.monotonic"]

        def test_expected_in_vain(sora_simulator, sora_client, sora_judge):
            sora_judge.expect_violations("counter.monotonic")
            ask(sora_client)

        def test_next_one_is_innocent(sora_simulator, sora_client):
            ask(sora_client)

        def test_bare_body(sora_judge):
            sora_judge.judge_body("GetStatsAllConnections", "[]")
            sora_judge.judge_body("GetStatsConnection", {"channel_id": 1})

        def test_no_such_name(sora_judge):
            with pytest.raises(UsageError, match="did you mean 'counter.monotonic'"):
                sora_judge.expect_violations("counter.monotoni")
            with pytest.raises(UsageError, match="must be one of GetStatsConnection"):
                sora_judge.judge_body("GetStats", "[]")

        @pytest.fixture
        def late(sora_judge):
            yield
            sora_judge.judge_body("GetStatsConnection", b"no JSON")

        def test_found_after_the_test(late):
            pass
        """
    )
    done = pytester.runpytest_inprocess(*OUTPUT)
    done.assert_outcomes(passed=4, failed=4, errors=1)
    done.stdout.fnmatch_lines(["found after the test was over:", "http.json (MUST): *"])
    done.stdout.fnmatch_lines(
        [
            "*_ test_found _*",
            "counter.monotonic (MUST): *fell by *",
            "  where  *",
            "  expected  *",
            "  actual  *",
            "  reproduce  *curl *http://127.0.0.1:*",
            "*_ test_own_failure_first _*",
            "*'mine' == 'yours'*",
            "*Captured sora call*",
            "counter.monotonic (MUST): *",
            "*_ test_expected_in_vain _*",
            "counter.monotonic was expected to be violated, and was not",
            "*_ test_bare_body _*",
            "shape.type (MUST): *",
        ]
    )
    assert "reproduce" not in done.stdout.str().split("_ test_bare_body _")[1].split("\n\n")[0]


def test_habits_fail_where_that_is_said(pytester: pytest.Pytester) -> None:
    """A violated HABIT is the test's to look at, and fails it with `--sora-fail-on habit`."""
    pytester.makepyfile(
        """
        def test_undocumented(sora_judge):
            sora_judge.judge_body("GetStatsAllConnections", '[]')
            from tests_response import response
            sora_judge.judge_body("GetStatsConnection", response() | {"extra": 1})
            assert {entry.requirement for entry in sora_judge.findings} == {"shape.unknown"}
        """
    )
    pytester.makepyfile(
        tests_response="""
        from sora_stats_harness.simulator.server import Simulator
        import json, urllib.request
        def response():
            with Simulator(connections=1, churn=False) as simulator:
                asked = urllib.request.Request(
                    simulator.url, method="POST", headers={"x-sora-target": "Sora_20171101.GetStatsAllConnections"})
                with urllib.request.urlopen(asked) as response:
                    return json.load(response)[0]
        """
    )
    done = pytester.runpytest_inprocess(*OUTPUT)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["*Captured sora call*", "shape.unknown (HABIT): *"])
    done = pytester.runpytest_inprocess(*OUTPUT, "--sora-fail-on=habit")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["shape.unknown (HABIT): *"])


def test_recording_is_judged_again(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """What a test exchanged is in a recording, which `check` judges as the test's own judge did."""
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.sora_simulator(faults=["counter-falls:times=1"], connections=2)
        def test_recorded(sora_simulator, sora_client, sora_judge, sora_recording):
            sora_judge.expect_violations("counter.monotonic")
            for _ in range(20):
                sora_client.get_stats_all_connections()
            assert len(sora_recording.exchanges) == 20
            print("recorded", sora_recording.close())
        """
    )
    done = pytester.runpytest_inprocess(*OUTPUT)
    done.assert_outcomes(passed=1)
    (path,) = [line.split()[1] for line in done.outlines if line.startswith("recorded ")]
    capsys.readouterr()
    assert main(["check", path]) == 1
    told = capsys.readouterr().out
    assert "counter.monotonic" in told and "GetStatsAllConnections 20" in told and "SELF-TEST" in told


def test_url_is_the_one_given(pytester: pytest.Pytester) -> None:
    """`sora_url` is what was given, `simulator` included; nothing given is an error that names it."""
    pytester.makepyfile(
        """
        def test_asks(sora_url, sora_client):
            assert sora_client.server == sora_url
            assert len(sora_client.get_stats_all_connections()) > 0

        def test_own_simulator_comes_first(sora_url, sora_simulator, sora_client):
            assert sora_client.server == sora_simulator.url != sora_url
        """
    )
    with Simulator(connections=1, churn=False) as simulator:
        pytester.runpytest_inprocess(*OUTPUT, f"--sora-url={simulator.url}/").assert_outcomes(passed=2)
        (seen,) = [seen for seen in simulator.requests if seen.operation == "GetStatsAllConnections"]
        assert f"sora-harness/{__version__}" in dict(seen.headers)["user-agent"]
    pytester.runpytest_inprocess(*OUTPUT, "--sora-url=simulator").assert_outcomes(passed=2)
    done = pytester.runpytest_inprocess(*OUTPUT)
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["no server is named: *--sora-url simulator*"])


def test_simulator_needs_nothing_that_is_for_a_server(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty SORA_URL and a token that isn't set are no matter to a test that asks its own simulator."""
    pytester.makepyprojecttoml('[tool.sora-harness]\nheaders.Authorization = "env:ABSENT_TOKEN"\n')
    monkeypatch.setenv("SORA_URL", "")
    pytester.makepyfile(
        """
        def test_simulated(sora_simulator, sora_client, sora_recording): sora_client.get_stats_all_connections()
        def test_server(sora_client): pass
        """
    )
    done = pytester.runpytest_inprocess(*OUTPUT)
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["SORA_URL is set but empty: *"])
    done = pytester.runpytest_inprocess(*OUTPUT, "--sora-url=http://127.0.0.1:1")
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["header: the environment variable ABSENT_TOKEN is not set, or empty"])


def test_server_that_gives_nothing_raises(pytester: pytest.Pytester) -> None:
    """Without a complete response there is nothing to return: the call raises, and says why."""
    pytester.makepyfile("def test_asks(sora_client): sora_client.get_stats_all_connections()")
    done = pytester.runpytest_inprocess(*OUTPUT, f"--sora-url={hostile.closed_port()}")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*NoResponseError: no complete response from http://127.0.0.1:*: refused*"])


def test_secrets_are_sent_and_not_told(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header from the environment reaches the server, and stands in no failure."""
    monkeypatch.setenv("TOKEN", "Bearer zTq81xx-very-secret")
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.sora_simulator(faults=["counter-falls:times=1"], connections=2)
        def test_found(sora_simulator, sora_client):
            for _ in range(20):
                sora_client.get_stats_all_connections()
            assert dict(sora_simulator.requests[0].headers)["authorization"].startswith("Bearer zTq")
        """
    )
    done = pytester.runpytest_inprocess("--tb=line", "--sora-header", "Authorization: env:TOKEN")
    done.assert_outcomes(failed=1)
    assert "counter.monotonic" in done.stdout.str() and "zTq81xx" not in done.stdout.str()


def test_examples_of_the_page_run(pytester: pytest.Pytester) -> None:
    """Every Python example of docs/PYTEST.md is a test module that passes."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    pytester.makepyfile(**{f"test_{number}": block for number, block in enumerate(blocks)})
    done = pytester.runpytest_inprocess(*OUTPUT, "--sora-url=simulator")
    done.assert_outcomes(passed="\n".join(blocks).count("\ndef test_") + "\n".join(blocks).count(".parametrize("))


def test_group_is_a_mapping() -> None:
    """Attributes and items are the same, groups below are groups, and two equal objects are equal."""
    group = SampleGroup({"rtp": {"total": 3, "items": 4}, "name": "x"})
    assert group == SampleGroup({"rtp": {"total": 3, "items": 4}, "name": "x"})
    assert (group.name, group["rtp"]["items"], group.rtp.as_dict()) == ("x", 4, {"total": 3, "items": 4})  # type: ignore[attr-defined]
    assert {"rtp", "name"} < set(dir(group)) and repr(group["rtp"]) == "<SampleGroup rtp: 2 keys>"
    assert not hasattr(group, "absent")


def test_editors_know_every_field() -> None:
    """The types of a sample have each documented field once, by a class for each group, and are valid Python."""
    text = render_stub(edition.load_edition())
    compile(text, "stats.pyi", "exec")
    fields = edition.load_edition().fields
    assert sum(
        line.startswith("    ") and line.endswith((": int", ": str", ": bool")) for line in text.splitlines()
    ) == (len(fields))
    assert "\nclass ConnectionSample(SampleGroup):\n" in text
    assert all(f"    {field.name}: " in text for field in fields)
