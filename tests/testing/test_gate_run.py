"""The conformance gate inside of pytest: what its items say, and that it is green for one reason only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from xml.etree import ElementTree

import pytest

from sora_stats_harness.judge.requirements import REQUIREMENTS, Level
from sora_stats_harness.reports.report import VerdictReport
from sora_stats_harness.testing import gate_run
from tests import hostile
from tests.reports import verdicts

pytest_plugins = ["pytester"]

GATE: Final = ("--sora-conformance", "--sora-url", "simulator", "--sora-duration", "0.1")
ITEMS: Final = len(REQUIREMENTS) + 1
HEAVY: Final = ("httpx", "jsonschema", "msgspec", "locust", "backports.zstd", "uvicorn", "hypothesis")


def idle() -> hostile.Behaviour:
    """A server where nobody is connected, as far as anybody can tell."""
    return hostile.says(hostile.response(b"[]"))


FILE: Final = "sora-harness.toml"


def names(report: list[str], word: str) -> set[str]:
    """The items that a run's last lines call failed, say."""
    return {line.split()[1].rpartition("::")[2] for line in report if line.startswith(f"{word} {FILE}::")}


def test_gate_passes_beside_other_tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In a project with a `harness/` of its own, and with Locust's plugin: an item each, header, table, JUnit, reports.
    """
    for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name)
    pytester.mkpydir("harness").joinpath("__init__.py").write_text("OURS = True\n", encoding="utf-8")
    pytester.makepyfile(
        test_own="""
        from harness import OURS
        def test_locust_is_there(request, pytestconfig):
            assert OURS and pytestconfig.pluginmanager.hasplugin("locust") and pytestconfig.getoption("--host") is None
        """
    )
    done = pytester.runpytest_subprocess("-W", "error", *GATE, "--sora-report", "gate", "--junitxml", "junit.xml")
    assert done.ret == 0, done.stdout.str()
    outcomes = done.parseoutcomes()
    assert outcomes["passed"] + outcomes["skipped"] == ITEMS + 1
    assert set(outcomes) == {"passed", "skipped"}
    done.stdout.fnmatch_lines(
        ["sora: SELF-TEST*, edition doc-2024*", "*= sora: pass =*", "*identity *met*checked", "SELF-TEST*", "PASS *"]
    )
    verdict = json.loads((pytester.path / "gate" / "verdict.json").read_text(encoding="utf-8"))
    assert (verdict["verdict"], verdict["command"], verdict["subject_kind"]) == ("pass", "pytest", "simulator")
    assert (pytester.path / "gate" / "report.html").is_file()
    cases = {case.get("name"): case for case in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")}
    told = {each.get("name"): each.get("value") for each in cases["verdict"].iter("property")}
    assert (told["sora_verdict"], told["sora_subject_kind"], told["sora_edition"]) == ("pass", "simulator", "doc-2024")
    assert int(told["sora_samples"] or 0) == verdict["coverage"]["samples"] > 0
    order = {each.get("name"): each.get("value") for each in cases["counter.monotonic"].iter("property")}
    assert (order["sora_level"], order["sora_status"], order["sora_violations"]) == ("MUST", "met", "0")


def test_fault_fails_its_own_item_and_the_verdict(pytester: pytest.Pytester) -> None:
    """
    A counter that steps back once: `counter.monotonic` fails with where, expected, actual and a command, and no other.
    """
    done = pytester.runpytest_inprocess(*GATE, "--sora-fault", "counter-falls:times=1", "-rf")
    assert done.ret == 1
    assert names(done.outlines, "FAILED") == {"counter.monotonic", "verdict"}
    done.stdout.fnmatch_lines(
        [
            "counter.monotonic (MUST): * fell by *",
            "  where *",
            "  expected *at least *",
            "  actual *",
            "  reproduce *curl *",
            "fail: counter.monotonic is violated*",
            "*= sora: fail =*",
            "FAIL  counter.monotonic is violated*",
        ]
    )


def test_idle_server_is_no_pass(pytester: pytest.Pytester) -> None:
    """Where nobody is connected nothing is violated, and still `sora::verdict` fails; unless that is allowed."""
    with hostile.serve(idle()) as server:
        options = ("--sora-conformance", f"--sora-url={server.url}", "--sora-duration=0.1", "--sora-valid-only")
        done = pytester.runpytest_inprocess(*options, "-rf")
        allowed = pytester.runpytest_inprocess(*options, "--sora-allow-inconclusive")
    assert done.ret == 1
    assert names(done.outlines, "FAILED") == {"verdict"}
    assert done.parseoutcomes()["skipped"] > 20
    done.stdout.fnmatch_lines(["inconclusive: no sample was judged*", "*= sora: inconclusive =*"])
    assert (allowed.ret, allowed.parseoutcomes().get("failed")) == (0, None)
    allowed.stdout.fnmatch_lines(["*= sora: inconclusive =*"])


def test_nobody_at_the_url_is_no_pass(pytester: pytest.Pytester) -> None:
    """
    A port where nothing listens: `sora::verdict` fails as inconclusive, and `--sora-allow-inconclusive` has been told
    so.
    """
    done = pytester.runpytest_inprocess("--sora-conformance", f"--sora-url={hostile.closed_port()}", "-rf")
    assert (done.ret, names(done.outlines, "FAILED")) == (1, {"verdict"})


def test_verdict_is_never_skipped(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite that skips, or expects to fail, whatever it doesn't know, has a failed verdict."""
    pytester.makeconftest(
        """
        import os, pytest
        def pytest_itemcollected(item):
            item.add_marker(getattr(pytest.mark, os.environ["MARK"])(reason="not today"))
        """
    )
    with hostile.serve(idle()) as server:
        for mark in ("skip", "xfail"):
            monkeypatch.setenv("MARK", mark)
            done = pytester.runpytest_inprocess(
                "--sora-conformance", f"--sora-url={server.url}", "--sora-duration=0.1", "-rfE"
            )
            assert done.ret == 1
            done.stdout.fnmatch_lines([f"{FILE}::verdict cannot be skipped, nor be expected to fail (*not today*)"])


SELECTIONS: Final = [
    (("-k", "counter"), {"counter.monotonic", "counter.timestamp_order", "verdict"}, "parts of an id"),
    (("-m", "sora_must"), {id for id, rule in REQUIREMENTS.items() if rule.level is Level.MUST} | {"verdict"}, "MUSTs"),
    (("-k", "verdict"), {"verdict"}, "the verdict by itself"),
    (("-k", "http and not verdict"), {id for id in REQUIREMENTS if "http" in id} | {"verdict"}, "never without it"),
    (("-m", "not sora"), set(), "nothing of the gate at all"),
    (("--deselect", f"{FILE}::verdict"), {*REQUIREMENTS, "verdict"}, "not even so"),
]


@pytest.mark.parametrize(("options", "selected", "what"), SELECTIONS, ids=[what for *_, what in SELECTIONS])
def test_items_are_selected_as_any_other(
    pytester: pytest.Pytester, options: tuple[str, ...], selected: set[str], what: str
) -> None:
    """`-k` and `-m` choose among the items; the verdict comes with any of them, and the counts stay right."""
    pytester.makepyfile(test_own="def test_own(): pass")
    done = pytester.runpytest_inprocess("--co", "-q", "--strict-markers", *GATE, *options)
    shown = {line.rpartition("::")[2] for line in done.outlines if line.startswith(f"{FILE}::")}
    assert shown == selected
    counted = re.search(r"(\d+)/(\d+) tests collected \((\d+) deselected\)", done.stdout.str())
    own = sum("::test_own" in line for line in done.outlines)
    if counted is None:
        assert f"{len(selected) + own} tests collected" in done.stdout.str()
    else:
        assert [int(each) for each in counted.groups()] == [
            len(selected) + own,
            ITEMS + 1,
            ITEMS + 1 - len(selected) - own,
        ]


WRONG: Final = [
    (("--sora-conformance",), "*--sora-url simulator*", "no server is named"),
    (("--sora-conformance", "--sora-url="), "*--sora-url is set but empty*", "an unset CI secret"),
    (("--sora-url=",), "*--sora-url is set but empty*", "the same without the gate"),
    (("--sora-conformance", "-o", "sora_url="), "*the setting sora_url is set but empty*", "the same in a setting"),
    (("--sora-conformance", "--sora-url=sora"), "*not an http or https URL*", "no URL"),
    (("--sora-conformance", "--sora-url=http://me:secret@127.0.0.1"), "*must not hold credentials*", "credentials"),
    (("--sora-conformance", "--sora-url=http://127.0.0.1:1/?x"), "*has a query*", "a query"),
    (
        ("--sora-conformance", "--sora-url=http://127.0.0.1:1", "--sora-fault=counter-falls"),
        "*--sora-fault needs*",
        "a fault for a server",
    ),
    ((*GATE, "--sora-fault=counter-fall"), "*did you mean 'counter-falls'*", "no such fault"),
    ((*GATE, "--sora-require=order"), "*no requirement 'order'*", "no such requirement"),
    ((*GATE, "--sora-edition=doc-1999"), "*there is no edition 'doc-1999'*", "no such edition"),
    ((*GATE, "--sora-node=http://127.0.0.1:1"), "*--sora-node needs a URL*", "nodes of the simulator"),
    ((*GATE, "--sora-header=nothing"), "*not of the form 'Name: value'*", "no header"),
    ((*GATE, "--sora-duration=0"), "*'0' must be a time*", "no time"),
    ((*GATE, "--sora-baseline=absent.json"), "*the baseline absent.json cannot be read*", "no baseline"),
    ((*GATE, "--sora-config=absent.toml"), "*the configuration absent.toml cannot be read*", "no configuration"),
    ((*GATE, "--sora-report=."), "*contains other files*", "a folder with other files"),
]


@pytest.mark.parametrize(("options", "line", "what"), WRONG, ids=[what for *_, what in WRONG])
def test_wrong_usage_ends_the_run(pytester: pytest.Pytester, options: tuple[str, ...], line: str, what: str) -> None:
    """One line, pytest's exit code for usage, and no test is run."""
    pytester.makepyfile(test_own="def test_own(): pass")
    done = pytester.runpytest_inprocess(*options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([line])
    assert "secret" not in done.stderr.str() + done.stdout.str()
    assert "test_own" not in done.stdout.str()


def test_url_comes_from_option_then_variable_then_setting(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearer one wins; one that is empty is wrong only where it would be taken."""
    pytester.makeini("[pytest]\nsora_url = http://127.0.0.1:3")
    header = ("--co", "--sora-conformance")
    pytester.runpytest_inprocess(*header).stdout.fnmatch_lines(["sora: http://127.0.0.1:3, edition *"])
    monkeypatch.setenv("SORA_URL", "http://127.0.0.1:2")
    pytester.runpytest_inprocess(*header).stdout.fnmatch_lines(["sora: http://127.0.0.1:2, edition *"])
    monkeypatch.setenv("SORA_URL", "")
    done = pytester.runpytest_inprocess(*header)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*SORA_URL is set but empty*"])
    url = "--sora-url=http://127.0.0.1:1"
    pytester.runpytest_inprocess(*header, url).stdout.fnmatch_lines(["sora: http://127.0.0.1:1, edition *"])
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.NO_TESTS_COLLECTED  # without the gate it means nothing


def test_what_is_known_or_waived_fails_nothing(pytester: pytest.Pytester) -> None:
    """Findings of a baseline, and those that the configuration waives, are shown as expected failures."""
    (pytester.path / "sora-harness.toml").write_text(
        """
        [[waivers]]
        requirement = "shape.type"
        field = "/channel_id"
        reason = "they are numbers, until the next release"
        by = "Mori"
        until = 2999-12-31
        """,
        encoding="utf-8",
    )
    wrong = hostile.says(hostile.response(b'[{"channel_id":1,"rtp":1}]'))
    with hostile.serve(wrong) as server:
        options = ("--sora-conformance", f"--sora-url={server.url}", "--sora-duration=0.1", "--sora-valid-only", "-rfx")
        first = pytester.runpytest_inprocess(*options, "--sora-config=/dev/null", "--sora-report=first")
        waived = pytester.runpytest_inprocess(*options, "-k", "shape.type")
        known = pytester.runpytest_inprocess(*options, "--sora-baseline=first/verdict.json")
    assert names(first.outlines, "FAILED") >= {"shape.type", "shape.required", "verdict"}
    first.stdout.fnmatch_lines(["shape.type (MUST): channel_id *"])
    assert names(waived.outlines, "FAILED") == {"shape.type", "verdict"}  # rtp is not covered
    assert "shape.type (MUST): rtp " in waived.stdout.str()
    assert names(known.outlines, "XFAIL") >= {"shape.type", "shape.required"}
    assert names(known.outlines, "FAILED") == {"verdict"}
    known.stdout.fnmatch_lines(
        ["inconclusive: *", "*= sora: inconclusive =*"]
    )  # nothing new was found, but too little was seen


def test_gate_that_breaks_is_tried_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whatever goes wrong inside of it, the verdict fails with one line, the others are skipped, and none tries again.
    """
    tried: list[gate_run.GateTask] = []

    def run(task: gate_run.GateTask) -> VerdictReport:
        tried.append(task)
        raise OSError("no more ports")

    monkeypatch.setattr(gate_run, "run_gate", run)
    done = pytester.runpytest_inprocess(*GATE, "--sora-allow-inconclusive", "-rf")
    assert (done.ret, names(done.outlines, "FAILED")) == (1, {"verdict"})
    assert done.parseoutcomes() == {"failed": 1, "skipped": ITEMS - 1}
    done.stdout.fnmatch_lines(["the gate could not be run: OSError: no more ports"])
    assert len(tried) == 1


def test_interrupted_gate_leaves_its_verdict(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the gate runs: reports of what was seen are written, and nothing else is left behind."""
    temporary = pytester.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    pytester.makeconftest(
        """
        import os, signal, time
        from sora_stats_harness.testing import gate_run
        run_conformance = gate_run.run_conformance
        def interrupted(*args, **more):
            os.kill(os.getpid(), signal.SIGINT)
            while not more["interrupt"].is_interrupted:  # the main thread takes signals
                time.sleep(0.001)
            return run_conformance(*args, **more)
        gate_run.run_conformance = interrupted
        """
    )
    done = pytester.runpytest_subprocess(
        "--sora-conformance", f"--sora-url={hostile.closed_port()}", "--sora-report=gate"
    )
    assert done.ret == pytest.ExitCode.INTERRUPTED
    verdict = json.loads((pytester.path / "gate" / "verdict.json").read_text(encoding="utf-8"))
    assert (verdict["interrupted"], verdict["verdict"]) == (True, "inconclusive")
    done.stdout.fnmatch_lines(["*= sora: inconclusive =*", "*KeyboardInterrupt*"])
    assert list(temporary.glob("sora-*")) == []


@pytest.mark.parametrize("options", [(), GATE], ids=["plugin", "gate"])
def test_collecting_imports_nothing_heavy(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """
    After `pytest --co` none of what makes start-up slow is loaded.

    Only msgspec is, and only where the gate's items are collected: the modules of the checks name them.
    """
    pytester.makepyfile(test_own="def test_own(sora_client, sora_simulator, sora_judge, sora_recording): pass")
    code = (
        "import sys, pytest\n"
        f"ended = pytest.main(['-p', 'sora', '--co', '-q', *{options!r}])\n"
        f"print('loaded', int(ended), 'sora_stats_harness.testing.plugin' in sys.modules, "
        f"sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    light = ["msgspec"] if options else []
    assert done.stdout.splitlines()[-1] == f"loaded 0 True {light}", done.stdout + done.stderr


@pytest.mark.parametrize("made", [verdicts.passing, verdicts.failing])
def test_reports_that_cannot_be_written_take_no_finding_away(
    made: Callable[[], VerdictReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate has run: what it found stays, and what it did not find is no pass; every process reads the same."""
    folder = tmp_path / "reports"
    task: Any = SimpleNamespace(settings=SimpleNamespace(report=folder))  # Any: the one setting that is asked for
    (folder / "report.html" / "in the way").mkdir(parents=True)
    monkeypatch.setattr(gate_run, "run_gate", lambda task: made())
    shared = tmp_path / "shared"
    shared.mkdir()
    for _ in range(2):
        verdict = gate_run.run_gate_once(lambda: task, shared).verdict
        assert verdict.findings == made().verdict.findings
        if made is verdicts.failing:
            assert (verdict.verdict, verdict.exit_code) == ("fail", 1)
        else:
            assert (verdict.verdict, verdict.exit_code) == ("inconclusive", 2)
            assert "the reports cannot be written to" in str(verdict.reason)
