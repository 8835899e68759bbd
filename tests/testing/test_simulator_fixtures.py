"""Simulators of tests: one's own or shared, as new for each test; and wrong use is an error that says the fix."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.exchange import Target
from sora_stats_harness.testing import CannedResponse, Simulator

pytest_plugins = ["pytester"]

OUTPUT: Final = ("-W", "error", "-rA", "--strict-markers")


def test_shared_simulators_are_as_new_for_each_test(pytester: pytest.Pytester) -> None:
    """One server for a module, and one for the session; what a test sets, freezes or counts is gone for the next."""
    pytester.makeconftest(
        """
        import pytest
        @pytest.fixture(scope="session")
        def sora_simulator_settings(): return {"connections": 4}
        @pytest.fixture(scope="session")
        def app(sora_session_simulator): return sora_session_simulator.url
        """
    )
    body = """
        import json, pytest, urllib.request
        from sora_stats_harness.testing import CannedResponse
        pytestmark = pytest.mark.sora_simulator(seed={seed}, faults=["counter-falls:times=1"])
        KNOWN = []

        def change(simulator, client):
            first = client.get_stats_all_connections()[0]
            simulator.set_value(first.connection_id, "/rtp/total_received_rtp", 2**62)
            simulator.freeze()
            simulator.advance(1000)
            simulator.set_canned_response("Sora_20160711.Other", CannedResponse(status=200))
            headers = {{"x-sora-target": "Sora_20171101.GetStatsAllConnections"}}
            asked = urllib.request.Request(simulator.url, method="POST", headers=headers)
            with urllib.request.urlopen(asked) as response:
                assert json.load(response)[0]["rtp"]["total_received_rtp"] == 2**62
            simulator.reset()
            assert len(simulator.requests) == 0
            return first

        @pytest.mark.parametrize("round", range(3))
        def test_module(sora_module_simulator, sora_client, sora_judge, round):
            assert (len(sora_module_simulator.requests), sora_module_simulator.url) == (0, sora_client.server)
            first = change(sora_module_simulator, sora_client)
            KNOWN.append((first.connection_id, first.rtp.total_received_rtp < 2**62, sora_client.server))
            assert len(set(KNOWN)) == 1
            sora_judge.expect_violations("counter.monotonic")
            for _ in range(20):
                sora_client.get_stats_all_connections()
            sora_module_simulator.set_value(first.connection_id, "/rtp/total_received_rtp", 2**62)
            sora_module_simulator.freeze()

        @pytest.mark.parametrize("round", range(2))
        def test_session(app, sora_client, round):
            assert sora_client.server == app
            listed = sora_client.get_stats_all_connections()
            assert len(listed) == 4
            change_nothing_else = listed[0].timestamp
            with open("session", "a") as file:
                file.write(f"{{app}} {{listed[0].connection_id}}\\\\n")
        """
    pytester.makepyfile(test_one=body.format(seed=5), test_two=body.format(seed=6))
    done = pytester.runpytest_inprocess(*OUTPUT)
    done.assert_outcomes(passed=10)
    assert len(set((pytester.path / "session").read_text(encoding="utf-8").splitlines())) == 1


WRONG: Final = {
    "a fault without a name": (
        '@pytest.mark.sora_simulator("counter-falls")\ndef test(sora_simulator): pass',
        'the mark sora_simulator takes its settings by name: write sora_simulator(faults=["counter-falls"])',
    ),
    "a setting without a name": (
        "@pytest.mark.sora_simulator(3)\ndef test(sora_simulator): pass",
        "the mark sora_simulator takes its settings by name: write sora_simulator(seed=2)",
    ),
    "a mistyped setting": (
        "@pytest.mark.sora_simulator(conections=3)\ndef test(sora_simulator): pass",
        "the mark sora_simulator has the setting 'conections', which no simulator has (did you mean 'connections'?)",
    ),
    "one fault as a text": (
        '@pytest.mark.sora_simulator(faults="html")\ndef test(sora_simulator): pass',
        "faults must be a list: write faults=['html']",
    ),
    "a number as a text": (
        '@pytest.mark.sora_simulator(connections="3")\ndef test(sora_simulator): pass',
        "connections must be an integer, not '3'",
    ),
    "no such edition": (
        '@pytest.mark.sora_simulator(edition="doc-1999")\ndef test(sora_simulator): pass',
        "there is no edition 'doc-1999'*",
    ),
    "a mark without the fixture": (
        "@pytest.mark.sora_simulator(seed=2)\ndef test(sora_client): pass",
        "the mark sora_simulator configures the fixture sora_simulator, which this test doesn't use: add it to the "
        "arguments",
    ),
    "a mark on one test of a module": (
        "@pytest.mark.sora_simulator(seed=2)\ndef test(sora_module_simulator): pass",
        "sora_module_simulator is for all tests of the module: write pytestmark = pytest.mark.sora_simulator(…)",
    ),
    "a mark for the session": (
        "@pytest.mark.sora_simulator(seed=2)\ndef test(sora_session_simulator): pass",
        "sora_session_simulator is for all tests: write a fixture sora_simulator_settings in conftest.py",
    ),
    "parameters that reach no simulator": (
        '@pytest.mark.parametrize("sora_simulator", [{"seed": 2}])\ndef test(sora_simulator, sora_client): pass',
        'parametrize("sora_simulator", …) does not set up a simulator: add indirect=True',
    ),
    "mistyped parameters": (
        '@pytest.mark.parametrize("sora_simulator", [{"sed": 2}], indirect=True)\ndef test(sora_simulator): pass',
        "the parameters of sora_simulator have the setting 'sed', which no simulator has (did you mean 'seed'?)",
    ),
    "parameters that are none": (
        '@pytest.mark.parametrize("sora_simulator", ["html"], indirect=True)\ndef test(sora_simulator): pass',
        "the parameters of sora_simulator have 'html' where a dict of settings is expected, such as {'connections': 3}",
    ),
    "a mistyped setting of all": (
        "@pytest.fixture(scope='session')\ndef sora_simulator_settings(): return {'node': 2}\n"
        "def test(sora_simulator): pass",
        "the fixture sora_simulator_settings gives the setting 'node', which no simulator has (did you mean 'nodes'?)",
    ),
    "no server": (
        "@pytest.fixture\ndef sora_url(): return None\ndef test(sora_client): pass",
        "the fixture sora_url returns None: return the URL of a server, or of the fixture sora_simulator",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_use_says_the_fix(what: str, pytester: pytest.Pytester) -> None:
    """In one line, as an error of that test alone; the next one runs."""
    text, complaint = WRONG[what]
    pytester.makepyfile(f"import pytest\n{text}\ndef test_next(): pass\n")
    done = pytester.runpytest_inprocess(*OUTPUT)
    done.assert_outcomes(passed=1, errors=1)
    line = complaint if complaint.endswith("*") else complaint.replace("[", "[[]")
    done.stdout.fnmatch_lines([line])
    assert "Traceback" not in done.stdout.str() and " line " not in done.stdout.str()


def test_canned_responses_are_named_by_the_whole_target() -> None:
    """The name of an operation alone is refused, and so is what is no response."""
    simulator = Simulator(connections=1)
    for target, value in (
        ("GetStatsAllConnections", Target.ALL.value),
        ("GetSomethingElse", "Sora_20160711.GetSomethingElse"),
        ("", "Sora_20160711."),
    ):
        with pytest.raises(
            UsageError, match=f"'{target}' is not a whole value of x-sora-target: write one such as {value}"
        ):
            simulator.set_canned_response(target, CannedResponse(status=200))
    wrong: Any = {"uptime": 42}
    with pytest.raises(
        UsageError, match=r"a response must be a CannedResponse, such as CannedResponse\(status=200\), not"
    ):
        simulator.set_canned_response("Sora_20160711.Other", wrong)


def test_an_own_url_may_be_that_of_a_simulator(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite whose `sora_url` is its simulator's sends it nothing that is meant for a server."""
    (pytester.path / "sora-harness.toml").write_text('headers = {X-Key = "env:ABSENT"}', encoding="utf-8")
    pytester.makepyfile(
        """
        import pytest
        @pytest.fixture
        def sora_url(sora_session_simulator): return sora_session_simulator.url + "/"
        @pytest.fixture
        def asks(sora_url): return sora_url
        def test_asks(asks, sora_client, sora_session_simulator):
            sora_client.get_stats_all_connections()
            assert "x-key" not in dict(sora_session_simulator.requests[0].headers)
        """
    )
    pytester.runpytest_inprocess(*OUTPUT).assert_outcomes(passed=1)
