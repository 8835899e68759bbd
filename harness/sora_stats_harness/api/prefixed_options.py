"""The options that pytest and plain Locust have as `--sora-…`: those of the commands, by the same names behind it."""

from __future__ import annotations

from typing import Final

from .option_values import FAIL_ON_LEVELS

PREFIX: Final = "--sora-"

PREFIXED_OPTIONS: Final = (
    ("edition", "NAME|FILE", "the field list to judge by (default: doc-2024; auto: the nearest one)"),
    ("ca-file", "FILE", "trust the certificates in this file alone"),
    ("client-cert", "FILE", "show this certificate (PEM), which may hold its key as well"),
    ("client-key", "FILE", "the key of --sora-client-cert, where that holds none"),
    ("proxy", "URL", "send everything through this proxy: http://HOST:PORT, or env:VARIABLE with credentials"),
    ("timeout", "TIME", "for a whole exchange (default: 5)"),
    ("fail-on", "|".join(FAIL_ON_LEVELS), "the lowest level of a finding that fails (default: proven)"),
    ("tear", "TIME", "how far apart the server stamps a response and reads its counters"),
)

PREFIXED_FLAGS: Final = (
    ("insecure", "accept any certificate"),
    ("trust-config", "let a configuration that was found name checks, and secrets for the server that it names itself"),
)

PREFIXED_LISTS: Final = (
    ("require", "ID", "inconclusive unless this requirement was observed (repeatable)"),
    ("checks", "FILE.py", "judge by the checks of your own in this file as well (repeatable)"),
    ("label", "KEY=VALUE", "add to every report, such as build=123 (repeatable)"),
    ("header", "'NAME: VALUE'", "send this as well (repeatable); for secrets 'NAME: env:VARIABLE'"),
)
