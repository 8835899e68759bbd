"""Finds the edition that is nearest to a server's responses, once in each process, for `--sora-edition auto`."""

from __future__ import annotations

from typing import Final

import pytest

from .options import PluginSettings

MATCHED_EDITION_KEY: Final[pytest.StashKey[tuple[str, str]]] = pytest.StashKey()
"""The nearest edition, and a sentence that says how near it is."""


def match_server_edition(config: pytest.Config, settings: PluginSettings) -> tuple[str, str]:
    """Return the nearest edition, and a sentence that says how near it is; the first call asks the server."""
    from concurrent.futures import ThreadPoolExecutor

    from ..api.server_url import normalize_server_url
    from ..probe.edition_detection import detect_by_server
    from ..probe.prober import Prober

    if MATCHED_EDITION_KEY not in config.stash:
        server = normalize_server_url(settings.server_url)
        headers, _ = settings.read_headers_and_secrets(simulated=False)
        prober = Prober(timeout_s=settings.timeout_s, route=settings.route)
        # In a thread, since asyncio.run leaves the main one without the event loop that a suite may rely on.
        with ThreadPoolExecutor(1) as thread:
            name, remarks = thread.submit(detect_by_server, server, headers, prober).result()
        config.stash[MATCHED_EDITION_KEY] = name, " ".join(remarks).replace("--edition", "--sora-edition")
    return config.stash[MATCHED_EDITION_KEY]


def is_auto_edition(settings: PluginSettings) -> bool:
    """Whether the settings leave the edition to the server's responses."""
    from ..probe.edition_detection import AUTO_EDITION

    return settings.edition == AUTO_EDITION
