"""The bugs that `make oracle` plants in the judge are still about its code, and planting one is noticed."""

from __future__ import annotations

import pytest

from . import planted


@pytest.mark.parametrize("bug", [*planted.BUGS, *planted.BUGS_IN_C], ids=lambda bug: bug.name)
def test_a_planted_bug_is_about_code_that_is_there(bug: planted.Bug) -> None:
    """The text that it replaces occurs exactly once: after a change of the code, the bug changes with it."""
    assert (planted.PACKAGE / bug.file).read_text(encoding="utf-8").count(bug.right) == 1
    assert bug.wrong != bug.right


def test_a_planted_bug_is_noticed() -> None:
    """One of them, all the way: a copy of the package, and the tests of this folder against it."""
    bug = next(bug for bug in planted.BUGS if bug.name == "falls to zero are passed over")
    assert [survived for _, survived in planted.survivors((bug,))] == [False]
