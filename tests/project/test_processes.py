"""`pytest --processes`: a test is told as it came out, whichever process ran it and whatever became of that process."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

pytest_plugins = ["pytester"]

ROOT: Final = Path(__file__).parents[2]
PLUGINS: Final = ("-p", "tests.processes")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plugins of this environment, which take long to be imported."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_processes_share_the_tests(pytester: pytest.Pytester) -> None:
    """Outcomes, output and captured text are those of one process; fixtures of the session end in each."""
    pytester.makepyfile(
        test_a="""
        import os, pytest
        def test_passes(): pass
        def test_fails(): assert os.write(1, b"told on the way") == 0
        def test_is_skipped(): pytest.skip("not today")
        """,
        test_b="def test_passes(): pass",
        test_c="import os\ndef test_dies(): os._exit(3)\ndef test_is_lost(): pass",
        test_d="import pytest\ndef test_ends_it_all(): pytest.exit('enough')",
        test_e="""
        import pytest
        @pytest.fixture(scope="session")
        def number(tmp_path_factory):
            yield tmp_path_factory.getbasetemp().name
            raise OSError("the end of the session")
        def test_has_a_folder_of_its_process(number): assert number.startswith("process-")
        """,
    )
    done = pytester.runpytest_subprocess(*PLUGINS, "--processes", "3")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    outcomes = done.parseoutcomes()
    assert (outcomes["passed"], outcomes["skipped"], outcomes["failed"]) == (3, 1, 4)
    told = done.stdout.str()
    for text in ("told on the way", "the process has ended", "OSError: the end of the session", "Exit: enough"):
        assert text in told


def test_what_was_not_run_is_said(pytester: pytest.Pytester) -> None:
    """Where no process is left that could."""
    pytester.makepyfile(test_a="import os\ndef test_dies(): os._exit(3)", test_b="def test_passes(): pass")
    done = pytester.runpytest_subprocess(*PLUGINS, "--processes", "1")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*test_a.py::test_dies*", "*1 of 2 units were not run*"])
