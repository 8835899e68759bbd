"""Finds the edition that matches a server's responses best, once in each process, for `--sora-edition auto`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from ..probe.run_settings import RunSettings

MATCHED_EDITIONS_KEY: Final[pytest.StashKey[dict[str, tuple[str, str]]]] = pytest.StashKey()
"""By a server's URL: the best edition, and a sentence that says how well it matches."""


def match_server_edition(config: pytest.Config, settings: RunSettings) -> tuple[RunSettings, str | None]:
    """
    Replace the edition `auto`: for a server by the best match, for a simulator by the default.

    Returns:
        The settings, and a sentence about the edition if the server was asked, which only the first call in a process
        does.
    """
    from concurrent.futures import ThreadPoolExecutor

    from ..api.edition import DEFAULT_EDITION
    from ..probe.edition_detection import AUTO_EDITION, detect_by_server
    from ..probe.interrupt import InterruptHandler
    from ..probe.single_request import ProberAsk

    if settings.edition != AUTO_EDITION:
        return settings, None
    if settings.url is None:
        return replace(settings, edition=DEFAULT_EDITION), None
    matched = config.stash.setdefault(MATCHED_EDITIONS_KEY, {})
    if settings.url not in matched:
        headers, _ = settings.look_up()
        # In a thread, since asyncio.run would remove the main thread's event loop, on which a suite may rely.
        with ThreadPoolExecutor(1) as thread:
            ask = ProberAsk(settings.new_prober, InterruptHandler())
            name, remarks = thread.submit(detect_by_server, settings.url, headers, ask).result()
        matched[settings.url] = name, " ".join(remarks).replace("--edition", "--sora-edition")
    name, note = matched[settings.url]
    return replace(settings, edition=name), note
