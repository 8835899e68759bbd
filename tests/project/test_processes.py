"""`pytest --processes`: a test is told as it came out, whichever process ran it and whatever became of that process."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def test_processes_share_the_tests(pytester: pytest.Pytester) -> None:
    """Outcomes, output and captured text are those of one process; fixtures of the session end in each."""
    pytester.makepyfile(
        test_a="""
        import os, pytest
        @pytest.fixture(scope="session")
        def number(tmp_path_factory):
            yield tmp_path_factory.getbasetemp().name
            raise OSError("the end of the session")
        def test_passes(): pass
        def test_fails(): assert os.write(1, b"told on the way") == 0
        def test_is_skipped(): pytest.skip("not today")
        def test_has_a_folder_of_its_process(number): assert number.startswith("process-")
        """,
        test_b="def test_passes(): pass",
        test_c="import os\ndef test_dies(): os._exit(3)\ndef test_is_lost(): pass",
        test_d="import pytest\ndef test_ends_it_all(): pytest.exit('enough')",
    )
    done = pytester.runpytest_inprocess("-p", "tests.processes", "--processes", "3")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    outcomes = done.parseoutcomes()
    assert (outcomes["passed"], outcomes["skipped"], outcomes["failed"]) == (3, 1, 4)
    told = done.stdout.str()
    for text in ("told on the way", "the process has ended", "OSError: the end of the session", "Exit: enough"):
        assert text in told


def test_what_was_not_run_is_said(pytester: pytest.Pytester) -> None:
    """After `-x`, or when no process is left."""
    pytester.makepyfile(test_a="import os\ndef test_dies(): os._exit(3)", test_b="def test_passes(): pass")
    options = ("-p", "tests.processes", "--processes", "1")
    done = pytester.runpytest_inprocess(*options)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*test_a.py::test_dies*", "*1 of 2 units were not run*"])
    assert pytester.runpytest_inprocess(*options, "-x").ret == pytest.ExitCode.TESTS_FAILED
