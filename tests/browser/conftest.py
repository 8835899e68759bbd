"""
One Chromium for the tests of a module.

Not for the whole process: while Playwright runs, its event loop is the thread's, and no other test could start one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from . import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless; skips where there is none, or fails where SORA_HARNESS_BROWSER=required."""
    why = chromium.missing()
    if why is not None:
        if chromium.REQUIRED:
            pytest.fail(why)
        pytest.skip(why)
    with chromium.launched() as browser:
        yield browser
