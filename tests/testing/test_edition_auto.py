"""`--sora-edition auto`: the server is asked once which edition it responds by, and whoever reads the run is told."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.cli import main
from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.simulator.server import Simulator
from tests import hostile

pytest_plugins = ["pytester"]

AUTO: Final = ("--sora-edition=auto", "--sora-fail-on=habit")
LISTING: Final = "GetStatsAllConnections"
SUITE: Final = """
    import pytest

    def test_listing(sora_client, sora_recording):
        assert len(sora_client.get_stats_all_connections()) == 3

    def test_again(sora_client):
        assert len(sora_client.get_stats_all_connections()) == 3
"""


def serving(name: str) -> Simulator:
    """A simulator that responses by an edition."""
    return Simulator(edition.load_edition(name), connections=3, churn=False)


@pytest.mark.parametrize("name", edition.shipped_edition_names())
def test_the_gate_judges_by_what_the_server_responses_by(name: str, pytester: pytest.Pytester) -> None:
    """The header says so; any other edition would be a finding, with --sora-fail-on habit."""
    with serving(name) as simulator:
        options = ("--sora-conformance", f"--sora-url={simulator.url}", "--sora-duration=0.1", "--sora-report=gate")
        done = pytester.runpytest_inprocess(*options, *AUTO)
        asked = simulator.requests
    assert (done.ret, asked[0].operation) == (0, LISTING)
    done.stdout.fnmatch_lines(
        [
            f"sora: http://*, edition {name}, 0.1 s",
            f"sora: --sora-edition auto: the responses are like {name} in every field",
        ]
    )
    told = json.loads((pytester.path / "gate" / "verdict.json").read_text(encoding="utf-8"))
    assert (told["edition"], told["findings"], told["verdict"]) == (name, [], "pass")
    assert f"--sora-edition auto: the responses are like {name} in every field" in told["coverage"]["notes"]


def test_two_processes_ask_once_and_share_one_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `-n 2` the controller asks, and nobody after it; the workers share the items and one run of the gate."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # that of whoever runs this test
    pytester.makepyfile(SUITE)
    pytester.makeconftest(
        """
        import os
        from sora_stats_harness.probe import edition_detection
        from sora_stats_harness.testing import gate_run
        def noting(name, call):
            def noted(*args):
                with open(name, "a") as file:
                    file.write(os.environ.get("PYTEST_XDIST_WORKER", "controller") + "\\n")
                return call(*args)
            return noted
        edition_detection.detect_by_server = noting("asked", edition_detection.detect_by_server)
        gate_run.run_gate = noting("run", gate_run.run_gate)
        """
    )
    with serving("doc-2025") as simulator:
        options = ("--sora-conformance", f"--sora-url={simulator.url}", "--sora-duration=0.1", "--sora-report=gate")
        done = pytester.runpytest_subprocess(*options, *AUTO, "-p", "xdist", "-n", "2")
    assert done.ret == 0, done.stdout.str()
    outcomes = done.parseoutcomes()
    assert outcomes["passed"] + outcomes["skipped"] == len(REQUIREMENTS) + 3  # the verdict, and two of the suite
    assert (pytester.path / "asked").read_text(encoding="utf-8") == "controller\n"
    assert re.fullmatch(r"gw[01]\n", (pytester.path / "run").read_text(encoding="utf-8"))
    done.stdout.fnmatch_lines(
        ["sora: *edition doc-2025*", "*= sora: pass =*", "PASS *", f"reports in {pytester.path}/gate"]
    )
    assert (pytester.path / "gate" / "verdict.json").is_file()


def test_tests_of_ones_own_are_judged_by_it(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """It is asked once, before the first response that is judged, and recordings bear its name."""
    pytester.makepyfile(
        SUITE
        + """
    @pytest.mark.xfail  # of a test that fails the section is shown
    def test_section(sora_client):
        assert False
"""
    )
    with serving("doc-2026") as simulator:
        done = pytester.runpytest_inprocess(f"--sora-url={simulator.url}", *AUTO, "-rA", "--basetemp=kept")
        asked = [each.operation for each in simulator.requests]
        wrong = pytester.runpytest_inprocess(f"--sora-url={simulator.url}", "--sora-fail-on=habit", "-k", "again")
    done.assert_outcomes(passed=2, xfailed=1)
    assert asked == [LISTING] * 3
    done.stdout.fnmatch_lines(["*sora setup*", "--sora-edition auto: the responses are like doc-2026 in every field"])
    wrong.assert_outcomes(failed=1, deselected=2)
    recording = pytester.path / "kept" / "test_listing0" / "sora.jsonl.zst"
    capsys.readouterr()
    main(["check", str(recording), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["edition"], told["findings"]) == ("doc-2026", [])


def test_simulators_of_ones_own_response_by_the_default(pytester: pytest.Pytester) -> None:
    """A server that has nothing to do with such a test is not asked."""
    pytester.makepyfile(
        """
        def test_own(sora_simulator, sora_client):
            assert len(sora_client.get_stats_all_connections()) == 20
            assert len(sora_simulator.requests) == 1
        """
    )
    with serving("doc-2026") as simulator:
        done = pytester.runpytest_inprocess(f"--sora-url={simulator.url}", *AUTO)
        assert len(simulator.requests) == 0
    done.assert_outcomes(passed=1)
    gated = pytester.runpytest_inprocess(
        "--sora-conformance", "--sora-url=simulator", "--sora-duration=0.1", "-k", "verdict", *AUTO
    )
    assert gated.ret == 0
    gated.stdout.fnmatch_lines(["sora: SELF-TEST*, edition doc-2024, 0.1 s"])


def test_nothing_is_asked_where_nothing_runs(pytester: pytest.Pytester) -> None:
    """Neither to collect, nor where the usage is wrong."""
    (pytester.path / "mine").mkdir()
    (pytester.path / "mine" / "letter.txt").write_text("", encoding="utf-8")
    with serving("doc-2025") as simulator:
        options = ("--sora-conformance", f"--sora-url={simulator.url}", *AUTO)
        collected = pytester.runpytest_inprocess(*options, "--co", "-q")
        pytester.path.joinpath("sora-harness.toml").write_text(f'url = "{simulator.url}"\n', encoding="utf-8")
        configured = pytester.runpytest_inprocess("--sora-conformance", *AUTO, "--co")
        refused = pytester.runpytest_inprocess(*options, "--sora-report=mine")
        assert len(simulator.requests) == 0
    assert (collected.ret, configured.ret, refused.ret) == (0, 0, pytest.ExitCode.USAGE_ERROR)
    configured.stdout.fnmatch_lines(["sora: http://*, edition auto, 10 s"])


def test_without_an_response_the_default_holds_and_is_said(pytester: pytest.Pytester) -> None:
    """And the verdict is no pass."""
    done = pytester.runpytest_inprocess(
        "--sora-conformance", f"--sora-url={hostile.closed_port()}", "--sora-duration=0.1", *AUTO
    )
    assert done.ret == 1
    done.stdout.fnmatch_lines(
        ["sora: *edition doc-2024*", "sora: *there was no response to compare, so doc-2024 was used"]
    )


def test_a_baseline_of_another_edition_is_refused_at_once(pytester: pytest.Pytester) -> None:
    """As soon as the server has said what it responds by."""
    options = ("--sora-conformance", "--sora-duration=0.1", "--sora-valid-only")
    with serving("doc-2024") as simulator:
        pytester.runpytest_inprocess(*options, f"--sora-url={simulator.url}", "--sora-report=old")
    with serving("doc-2025") as simulator:
        done = pytester.runpytest_inprocess(
            *options, f"--sora-url={simulator.url}", "--sora-baseline=old/verdict.json", *AUTO
        )
        assert len(simulator.requests) == 1
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*edition doc-2024*"])
