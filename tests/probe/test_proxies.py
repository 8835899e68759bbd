"""What the gate says through nginx and haproxy: the table of docs/PROXIES.md, row by row."""

from __future__ import annotations

import pytest

from ..proxies import PAGE, REQUIRED, ROWS, TABLE_HEAD, Row, find_program, format_row, judge_row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.program}: {row.name}")
def test_a_row_of_the_page_is_so(row: Row) -> None:
    """Verdict, incidents and other findings are those that the page shows."""
    if find_program(row.program) is None:
        why = f"there is no {row.program} here: apt-get install {row.program}"
        if REQUIRED:
            pytest.fail(why)
        pytest.skip(why)
    assert format_row(row, judge_row(row)) in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_has_no_other_rows() -> None:
    """What is not tested does not stand there."""
    table = PAGE.read_text(encoding="utf-8").partition(TABLE_HEAD)[2]
    assert [line.split(" | ")[0] for line in table.splitlines()] == [f"| {row.program}: {row.name}" for row in ROWS]
