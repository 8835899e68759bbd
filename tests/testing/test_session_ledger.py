"""What was found decides on the session, whatever other plugins make of the tests that found it."""

from __future__ import annotations

from typing import Final

import pytest

from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.testing import gate_run
from tests import hostile

pytest_plugins = ["pytester"]

XDIST: Final = ("-p", "xdist", "-n", "1")
GATE: Final = ("--sora-conformance", "--sora-duration=0.1", "--sora-valid-only")
FAILED: Final = pytest.ExitCode.TESTS_FAILED

RERUNS: Final = """
import pytest
from _pytest.runner import runtestprotocol


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    "As pytest-rerunfailures does with --reruns 1: a failed attempt is logged as rerun, and the next one counts."
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for last in (False, True):
        if hasattr(item, "_initrequest"):
            item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = any(report.failed for report in reports)
        for report in reports:
            if report.failed and not last:
                report.outcome = "rerun"
            if "hidden" not in item.name or last or not failed:
                item.ihook.pytest_runtest_logreport(report=report)
        if not failed:
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_report_teststatus(report):
    if report.outcome == "rerun":
        return "rerun", "R", "RERUN"
"""

FALLS_ONCE: Final = """
from pathlib import Path

import pytest

@pytest.mark.sora_simulator(faults=["counter-falls:times=1"], connections=2)
@pytest.mark.parametrize("attempt", ["logged", "hidden"])
def test_falls_at_first(attempt, sora_simulator, sora_client):
    with Path(attempt).open("a") as file:
        file.write("attempt\\n")
    if len(Path(attempt).read_text().splitlines()) == 1:
        for _ in range(20):
            sora_client.get_stats_all_connections()
"""


@pytest.mark.parametrize("options", [(), XDIST], ids=["one process", "xdist"])
def test_a_counter_that_fell_once_is_not_rerun_away(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """The second attempt passes; the session fails, and says why, whether or not the first attempt was logged."""
    pytester.makeconftest(RERUNS)
    pytester.makepyfile(FALLS_ONCE)
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)
    assert (done.ret, done.parseoutcomes()["passed"]) == (FAILED, 2)
    done.stdout.fnmatch_lines(["*= sora: found, so the session fails =*"])
    for attempt in ("logged", "hidden"):
        done.stdout.fnmatch_lines([f"*falls_at_first?{attempt}?: counter.monotonic (MUST): *"])
        assert (pytester.path / attempt).read_text(encoding="utf-8").count("attempt") == 2


WAYS_OUT: Final = {
    "skip": ("", "pytest.skip('not today')"),
    "xfail": ("", "pytest.xfail('known')"),
    "the mark xfail": ("@pytest.mark.xfail(reason='known')", ""),  # text of a test that is run to see what it does
    "the strict mark xfail": ("@pytest.mark.xfail(reason='known', strict=True)", ""),  # and of another one
    "unittest's skip": ("", "raise __import__('unittest').SkipTest('not today')"),
}


def test_a_finding_can_be_neither_skipped_nor_expected(pytester: pytest.Pytester) -> None:
    """Each test that has one is failed, with the finding as its text; one without is skipped as ever."""
    tests = [
        f"""
{mark}
def test_{number}(asked):
    {statement or "pass"}
"""
        for number, (mark, statement) in enumerate(WAYS_OUT.values())
    ]
    pytester.makepyfile(
        "\n".join(
            [
                """
import pytest

pytestmark = pytest.mark.sora_simulator(faults=["counter-falls:times=1"], connections=2)

@pytest.fixture
def asked(sora_simulator, sora_client):
    for _ in range(20):
        sora_client.get_stats_all_connections()

def test_nothing_found():
    pytest.skip("not today")
""",
                *tests,
            ]
        )
    )
    done = pytester.runpytest_inprocess()
    assert done.ret == FAILED
    assert done.parseoutcomes() == {"failed": len(WAYS_OUT), "skipped": 1}
    assert done.stdout.str().count("\ncounter.monotonic (MUST): ") >= len(WAYS_OUT)
    done.stdout.no_fnmatch_line("*= sora: found, so the session fails =*")


def test_a_finding_outlives_the_end_of_the_session(pytester: pytest.Pytester) -> None:
    """A test with a finding ends the whole run with 0: no report says so, but the exit status does."""
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.sora_simulator(faults=["counter-falls:times=1"], connections=2)
        def test_ends(sora_simulator, sora_client):
            for _ in range(20):
                sora_client.get_stats_all_connections()
            pytest.exit("enough", returncode=0)
        """
    )
    done = pytester.runpytest_inprocess()
    assert done.ret == FAILED
    done.stdout.fnmatch_lines(["*= sora: found, so the session fails =*", "*::test_ends: counter.monotonic (MUST): *"])


HOOKS: Final = {
    "sets the status": "def pytest_sessionfinish(session): session.exitstatus = 0",
    "sets it around all others": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    yield
    session.exitstatus = 0""",
    "ends the session's end": "def pytest_sessionfinish(session): pytest.exit('enough', returncode=0)",
    "sets it at the very end": """
def pytest_sessionstart(session):
    session.config.own_session = session
def pytest_unconfigure(config):
    config.own_session.exitstatus = 0""",
    "swallows exceptions": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call():
    try:
        yield
    except BaseException:
        pass""",
    "turns reports": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport():
    report = yield
    report.outcome, report.longrepr = "passed", None
    return report""",
    "makes reports of its own": """
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    place = {"nodeid": item.nodeid, "location": item.location}
    item.ihook.pytest_runtest_logstart(**place)
    for each in runtestprotocol(item, nextitem=nextitem, log=False):
        report = pytest.TestReport(**place, keywords=each.keywords, outcome="passed", longrepr=None, when=each.when)
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(**place)
    return True""",
}


OF_A_WORKER: Final = HOOKS["makes reports of its own"] + HOOKS["sets it around all others"]


@pytest.mark.parametrize(
    ("hooks", "options"), [*((each, ()) for each in HOOKS.values()), (OF_A_WORKER, XDIST)], ids=[*HOOKS, "in a worker"]
)
def test_no_hook_of_others_takes_a_finding_back(
    pytester: pytest.Pytester, hooks: str, options: tuple[str, ...]
) -> None:
    """Whoever sets the exit status last, and whatever becomes of exceptions and reports, here and in a worker of xdist."""
    pytester.makeconftest(f"import pytest\n{hooks}\n")
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.sora_simulator(faults=["counter-falls:times=1"], connections=2)
        def test_falls(sora_simulator, sora_client):
            for _ in range(20):
                sora_client.get_stats_all_connections()
        """
    )
    assert pytester.runpytest_inprocess("-p", "no:cacheprovider", *options).ret == FAILED


def test_a_gate_that_is_not_collected_is_no_pass(pytester: pytest.Pytester) -> None:
    """A suite that keeps pytest from its file, by a pattern say, is refused, not green without the gate."""
    (pytester.path / "sora-harness.toml").touch()
    pytester.makeconftest('collect_ignore_glob = ["*.toml"]')
    pytester.makepyfile("def test_own(): pass")
    for more in ((), ("--ignore=sora-harness.toml",)):
        done = pytester.runpytest_inprocess(*GATE, "--sora-url=simulator", *more)
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines(["*something keeps pytest from collecting */sora-harness.toml*"])


def test_the_last_failed_items_alone_are_no_pass(pytester: pytest.Pytester) -> None:
    """`--lf` against a server that is gone: whichever items it selects, the verdict decides on the session."""
    pytester.makepyfile("def test_own(): assert False")
    options = (*GATE, f"--sora-url={hostile.closed_port()}")
    assert pytester.runpytest_inprocess(*options).ret == FAILED
    pytester.makepyfile("def test_own(): pass")
    done = pytester.runpytest_inprocess(*options, "--lf")
    assert done.ret == FAILED
    done.stdout.fnmatch_lines(["*= sora: inconclusive =*"])


def test_a_verdict_that_nobody_selected_still_counts(pytester: pytest.Pytester) -> None:
    """A plugin that drops `sora::verdict` once the items are chosen leaves skipped ones, and a failed session."""
    pytester.makeconftest(
        """
        import pytest
        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(session):
            session.items[:] = [item for item in session.items if item.name != "verdict"]
        """
    )
    done = pytester.runpytest_inprocess(*GATE, f"--sora-url={hostile.closed_port()}")
    assert done.ret == FAILED
    assert "failed" not in done.parseoutcomes()
    done.stdout.fnmatch_lines(
        ["*= sora: found, so the session fails =*", "sora-harness.toml::verdict: inconclusive: *"]
    )


def test_a_server_that_never_responded_is_not_too_little_seen(pytester: pytest.Pytester) -> None:
    """`--sora-allow-inconclusive` is for a server where nobody is connected, say, not for none."""
    options = (*GATE, f"--sora-url={hostile.closed_port()}", "--sora-allow-inconclusive")
    done = pytester.runpytest_inprocess(*options)
    assert (done.ret, done.parseoutcomes()["failed"]) == (FAILED, 1)
    done.stdout.fnmatch_lines(["No response came at all; --sora-allow-inconclusive is for a server that responds."])


def test_a_gate_that_another_plugin_ends_is_not_tried_again(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pytest-timeout ends it: the item that ran it fails, the others are skipped, the verdict fails."""
    tried: list[str] = []

    def run_conformance(*_: object, **__: object) -> None:
        tried.append("run")
        pytest.fail("Timeout (>1.0s)")  # no Exception, but a BaseException

    monkeypatch.setattr(gate_run, "run_conformance", run_conformance)
    done = pytester.runpytest_inprocess(*GATE, "--sora-url=simulator", "-rf")
    assert (done.ret, tried) == (FAILED, ["run"])
    assert done.parseoutcomes() == {"failed": 2, "skipped": len(REQUIREMENTS) - 1}
    done.stdout.fnmatch_lines(["the gate could not be run: Failed: Timeout (>1.0s)"])


TIMEOUT_PLUGIN: Final = """
def pytest_addoption(parser):
    parser.addoption("--timeout", type=float)
    parser.addini("timeout", "seconds")
"""


@pytest.mark.parametrize("way", ["option", "variable", "setting"])
def test_a_timeout_below_the_gates_duration_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Before anything is sent; a longer one, or a shorter gate, is accepted."""
    pytester.syspathinsert()
    pytester.makepyfile(timeout=TIMEOUT_PLUGIN)
    options = ["-p", "timeout", *GATE, "--sora-url=simulator"]
    if way == "option":
        options.append("--timeout=30")
    elif way == "variable":
        monkeypatch.setenv("PYTEST_TIMEOUT", "30")
    else:
        pytester.makeini("[pytest]\ntimeout = 30")
    done = pytester.runpytest_inprocess(*options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*pytest-timeout ends a test after 30 s, and the gate may take 60 s: *"])
    accepted = pytester.runpytest_inprocess(*options, "--sora-max-duration=20", "-k", "verdict")
    assert accepted.ret == pytest.ExitCode.OK


def test_what_was_found_is_annotated(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """In GitHub Actions: the gate's findings, those of tests, and the step's summary with both."""
    summary = pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    pytester.makeconftest(RERUNS)
    pytester.makepyfile(FALLS_ONCE)
    done = pytester.runpytest_inprocess(*GATE, "--sora-url=simulator", "--sora-fault=html")
    assert done.ret == FAILED
    lines = [line for line in done.outlines if line.startswith("::")]
    assert lines[0].startswith("::error title=sora-harness pytest::SELF-TEST")
    assert any(line.startswith("::error title=http.json::") for line in lines)
    assert any("test_falls_at_first[hidden]: counter.monotonic (MUST): " in line for line in lines)
    text = summary.read_text(encoding="utf-8")
    assert "http.json" in text and "counter.monotonic" in text
