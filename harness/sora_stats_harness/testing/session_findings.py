"""
Collects the findings of a session, whatever happened to the tests that found them.

A counter that fell is proof. Neither a passing rerun nor `pytest.skip()` nor a mark that expects the test to fail
revokes it. So findings are noted when they occur, and decide the exit status at the end of the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import pytest
from _pytest.junitxml import xml_key

from ..api.language import translate

REPORT_ATTRIBUTE: Final = "sora_findings"
"""The attribute of a report that carries an item's lines from a worker of pytest-xdist to the main process."""

JUNIT_ATTRIBUTE: Final = "sora_junit_class"
"""The attribute that carries the class of its case in JUnit XML."""

OVERRULED_STATUSES: Final = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class SessionFindings:
    """Lines about findings, by the id of the item that found them."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, None]] = {}

    def add(self, node_id: str, lines: Iterable[str]) -> None:
        """Note lines about an item; a line that was noted before is ignored."""
        for line in lines:
            self._lines.setdefault(node_id, {})[line] = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((node_id, line) for node_id, lines in self._lines.items() for line in lines)

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def attach_to(self, report: pytest.TestReport) -> None:
        """
        Add an item's findings to its report, and fail a call that was skipped or expected to fail despite findings.
        """
        lines = [*self._lines.get(report.nodeid, ())]
        if not lines:
            return
        setattr(report, REPORT_ATTRIBUTE, lines)
        if report.when == "call" and report.outcome == "skipped":
            why = translate("what was found can't be skipped, nor be expected to fail:")
            fail_skipped(report, "\n".join([why, *map(translate, lines)]))

    def read(self, report: pytest.TestReport) -> None:
        """Note the findings that a report carries."""
        self.add(report.nodeid, getattr(report, REPORT_ATTRIBUTE, ()))

    def exit_status(self, status: int | pytest.ExitCode) -> int | pytest.ExitCode:
        """The exit status of the session, given pytest's own."""
        return pytest.ExitCode.TESTS_FAILED if self._lines and status in OVERRULED_STATUSES else status

    def unfailed_lines(self, terminalreporter: Any) -> list[str]:  # Any: not exported by pytest
        """The findings of items that pytest doesn't show as failed."""
        failed = {each.nodeid for word in ("failed", "error") for each in terminalreporter.stats.get(word, ())}
        return [f"{node_id}: {translate(line)}" for node_id, line in self if node_id not in failed]


def fail_skipped(report: pytest.TestReport, text: str) -> None:
    """Turn a report of a skip or an expected failure into one of a failure."""
    if hasattr(report, "wasxfail"):
        del report.wasxfail
    report.outcome = "failed"
    report.longrepr = text


def name_junit_case(config: pytest.Config, report: pytest.TestReport) -> None:
    """Give the JUnit case of a gate's item the same class as in the JUnit report of `sora-harness conform`."""
    junit_class = getattr(report, JUNIT_ATTRIBUTE, None)
    xml = config.stash.get(xml_key, None)
    if junit_class is not None and xml is not None:
        xml.node_reporter(report).add_attribute("classname", junit_class)
