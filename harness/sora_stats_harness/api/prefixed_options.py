"""The options that pytest and plain Locust have as `--sora-…`: the options of the commands, with this prefix."""

from __future__ import annotations

from typing import Final

from .option_values import FAIL_ON_LEVELS

PREFIX: Final = "--sora-"

PREFIXED_OPTIONS: Final = (
    (
        "edition",
        "NAME|FILE",
        "the field list to judge by (default: doc-2024; auto: the one that matches the responses best)",
    ),
    ("ca-file", "FILE", "trust only the certificates in this file"),
    ("client-cert", "FILE", "present this certificate (PEM), which may contain its key as well"),
    ("client-key", "FILE", "the key of --sora-client-cert, if that file contains none"),
    ("proxy", "URL", "send everything through this proxy: http://HOST:PORT, or env:VARIABLE with credentials"),
    ("timeout", "TIME", "the limit for a whole exchange (default: 5)"),
    ("fail-on", "|".join(FAIL_ON_LEVELS), "the lowest level of a finding that fails (default: proven)"),
    ("tear", "TIME", "how far apart the server stamps a response and reads its counters"),
)

PREFIXED_FLAGS: Final = (
    ("insecure", "accept any certificate"),
    (
        "trust-config",
        "let a configuration that was found here name checks, and secrets for the server that it names itself",
    ),
)

PREFIXED_LISTS: Final = (
    ("require", "ID", "inconclusive unless this requirement was observed (repeatable)"),
    ("checks", "FILE.py", "also judge by your own checks in this file (repeatable)"),
    ("label", "KEY=VALUE", "add this to every report, such as build=123 (repeatable)"),
    ("header", "'NAME: VALUE'", "send this header as well (repeatable); for secrets 'NAME: env:VARIABLE'"),
)
