"""The gate's items belong to a file: pytest, other plugins and editors name them as they name any test."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree

import pytest

from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.simulator.server import Simulator

pytest_plugins = ["pytester"]

URL: Final = ("--sora-url=simulator", "--sora-duration=0.1", "--sora-valid-only")
GATE: Final = ("--sora-conformance", *URL)
FILE: Final = "sora-harness.toml"
COUNTERS: Final = {f"{FILE}::counter::{id}" for id in REQUIREMENTS if id.startswith("counter.")}


def collected(done: pytest.RunResult) -> set[str]:
    """The ids that `--co -q` has printed."""
    return {line for line in done.outlines if "::" in line}


ARGUMENTS: Final = [
    ((f"{FILE}::counter",), COUNTERS, "a family"),
    ((f"{FILE}::counter::counter.monotonic",), {f"{FILE}::counter::counter.monotonic"}, "one requirement"),
    ((f"{FILE}::verdict", "test_own.py"), {f"{FILE}::verdict", "test_own.py::test_own"}, "beside other tests"),
    ((f"{FILE}::counter", "--sora-conformance"), COUNTERS, "the option adds nothing to what is named"),
    ((f"{FILE}::counter", "--deselect", f"{FILE}::counter::counter.monotonic"), None, "deselected as any"),
]


@pytest.mark.parametrize(("arguments", "expected", "what"), ARGUMENTS, ids=[what for *_, what in ARGUMENTS])
def test_a_command_line_names_items(
    pytester: pytest.Pytester, arguments: tuple[str, ...], expected: set[str] | None, what: str
) -> None:
    """An argument asks for the gate by itself; without one the option adds all of its items."""
    (pytester.path / FILE).touch()
    pytester.makepyfile(test_own="def test_own(): pass")
    done = pytester.runpytest_inprocess("--co", "-q", *URL, *arguments)
    assert done.ret == 0
    assert collected(done) == (COUNTERS - {f"{FILE}::counter::counter.monotonic"} if expected is None else expected)


def test_ids_are_the_same_wherever_the_gate_is_collected(pytester: pytest.Pytester) -> None:
    """
    With a configuration, without one, from a folder or beside named files, each item once; the verdict is the last.
    """
    pytester.makepyfile(test_own="def test_own(): pass")
    absent = pytester.runpytest_inprocess("--co", "-q", *GATE)
    (pytester.path / FILE).touch()
    present = pytester.runpytest_inprocess("--co", "-q", *GATE)
    beside = pytester.runpytest_inprocess("--co", "-q", *GATE, "test_own.py")
    assert collected(absent) == collected(present) == collected(beside)
    assert len(collected(absent)) == len(REQUIREMENTS) + 2
    for done in (absent, present, beside):
        lines = [line for line in done.outlines if line.startswith(FILE)]
        assert len(lines) == len(set(lines)) and lines[-1] == f"{FILE}::verdict"
    assert collected(pytester.runpytest_inprocess("--co", "-q", *URL)) == {"test_own.py::test_own"}


def test_the_file_is_the_configuration_that_holds(pytester: pytest.Pytester) -> None:
    """
    pyproject.toml where the table is there, or what --sora-config names; anything else is refused with the way out.
    """
    (pytester.path / "pyproject.toml").write_text("[tool.sora-harness]\n", encoding="utf-8")
    (pytester.path / "deploy").mkdir()
    (pytester.path / "deploy" / "gate.toml").touch()
    own = pytester.runpytest_inprocess("--co", "-q", *URL, "pyproject.toml::verdict")
    assert collected(own) == {"pyproject.toml::verdict"}
    named = pytester.runpytest_inprocess(
        "--co", "-q", *GATE, "--sora-config=deploy/gate.toml", "deploy/gate.toml::verdict"
    )
    assert collected(named) == {"deploy/gate.toml::verdict"}
    wrong = pytester.runpytest_inprocess("--co", *URL, f"{FILE}::verdict")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(
        [f"*{FILE} is not the effective configuration, which is */pyproject.toml: *--sora-config"]
    )
    (pytester.path / "pyproject.toml").unlink()
    absent = pytester.runpytest_inprocess("--co", *URL, f"{FILE}::verdict")
    assert absent.ret == pytest.ExitCode.USAGE_ERROR
    absent.stderr.fnmatch_lines([f"*{FILE} does not exist: create it*"])


def test_last_failed_runs_what_failed(pytester: pytest.Pytester) -> None:
    """`--lf` selects the gate's failed items beside other failed tests, whether or not the file is there."""
    pytester.makepyfile(test_own="def test_own(): assert False\ndef test_other(): pass")
    for there in (False, True):
        if there:
            (pytester.path / FILE).touch()
        pytester.runpytest_inprocess(*GATE, "--sora-fault=html", "--cache-clear")
        done = pytester.runpytest_inprocess("--co", "-q", *GATE, "--lf")
        assert {"test_own.py::test_own", f"{FILE}::http::http.json", f"{FILE}::verdict"} <= collected(done)
        assert "test_own.py::test_other" not in collected(done)
        assert f"{FILE}::counter::counter.monotonic" not in collected(done)


def test_a_worker_finds_named_items(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of pytest-xdist, from a folder below the rootdir."""
    (pytester.path / FILE).touch()
    monkeypatch.chdir(pytester.mkdir("below"))
    options = ("-p", "xdist", "-n", "1", "--rootdir", "..", *URL)
    done = pytester.runpytest_inprocess(*options, f"../{FILE}::identity", f"../{FILE}::verdict")
    assert done.ret == 0
    count = sum(id.startswith("identity.") for id in REQUIREMENTS) + 1
    assert f"1 worker [{count} items]" in done.stdout.str()


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "1")], ids=["one process", "xdist"])
def test_junit_has_the_names_of_the_command_line(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """Class and name of each case are those of `sora-harness conform`, and skips say what was not observed and why."""
    given = ("--sora-duration=0.1", "--sora-valid-only", "--junitxml=junit.xml", "--sora-report=gate")
    with Simulator(connections=3, churn=False) as simulator:
        pytester.runpytest_inprocess("--sora-conformance", f"--sora-url={simulator.url}", *given, *options)
    ours, theirs = (
        {(case.get("classname"), case.get("name")) for case in ElementTree.parse(path).iter("testcase")}
        for path in (pytester.path / "junit.xml", pytester.path / "gate" / "junit.xml")
    )
    assert ours == theirs
    skips = [each.get("message") for each in ElementTree.parse(pytester.path / "junit.xml").iter("skipped")]
    assert "http.keep_alive: outside of what this run could show" in skips


OWN_URL: Final = """
import pytest
from sora_stats_harness.simulator.server import Simulator

@pytest.fixture(scope="session")
def sora_url():
    with Simulator(connections=3, churn=False) as simulator:
        yield simulator.url + "/"
        (path,) = [each for each in [simulator.requests[0].headers] if dict(each).get("x-key") == "sesame"] or [None]
        print("asked", len(simulator.requests) > 3, path is not None)
"""


def test_the_gate_asks_the_server_of_a_fixture(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite that starts its server in a fixture `sora_url` needs to name none; headers go there as to any server."""
    monkeypatch.setenv("KEY", "sesame")
    (pytester.path / FILE).write_text('headers = {X-Key = "env:KEY"}', encoding="utf-8")
    pytester.makeconftest(OWN_URL)
    options = ("--sora-conformance", "--sora-duration=0.1", "-s", "--sora-report=gate")
    for more in (("--sora-valid-only",), ("--sora-edition=auto", "-p", "no:randomly", f"{FILE}::verdict")):
        done = pytester.runpytest_inprocess(*options, *more)
        assert done.ret == 0
        done.stdout.fnmatch_lines(
            ["sora: the server of the fixture sora_url, edition *", "*asked True True*", "PASS *"]
        )
    wrong = pytester.path / "conftest.py"
    wrong.write_text("import pytest\n@pytest.fixture\ndef sora_url(): return 'sora'\n", encoding="utf-8")
    done = pytester.runpytest_inprocess(*options, "-rf")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["the gate could not be run: the fixture sora_url 'sora' is not an http or https URL: *"])
