"""Headers that a user adds to every request, read from options and configurations, with secrets marked as such."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from .errors import UsageError
from .input_budget import MAX_HEADER_FILE_BYTES, read_small_text
from .secret_redaction import Secrets

if TYPE_CHECKING:
    from .exchange import Headers

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ENV_REFERENCE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_RESERVED_HEADERS: Final = frozenset(
    {"x-sora-target", "content-length", "content-type", "transfer-encoding", "connection", "host"}
)
"""The harness sets these itself; another value would change what every request tests."""
_SECRET_NAME: Final = re.compile(r"auth|cookie|token|secret|key|password|credential|session", re.IGNORECASE)


def read_headers(lines: Iterable[str]) -> tuple[Headers, Secrets]:
    """
    Read header lines, and find out which of their values are secret.

    A line is `Name: value`; `Name: env:VARIABLE` and `Name: @FILE` take the value from elsewhere; `env:VARIABLE` and
    `@FILE` alone stand for whole lines. A value from elsewhere is a secret, and so is the value of a header whose name
    says so.

    Raises:
        UsageError: A line is not a header, or names one that the harness sets itself; or a variable or file is missing.
    """
    headers: list[tuple[str, str]] = []
    secrets: list[str] = []
    for given in lines:
        elsewhere = _resolve_reference(given)
        for line in [given] if elsewhere is None else elsewhere.splitlines():
            if not line.strip():
                continue
            name, value, is_reference = _parse_header(line)
            headers.append((name, value))
            if is_reference or elsewhere is not None or _SECRET_NAME.search(name):
                secrets.append(value)
    return tuple(headers), Secrets(secrets)


def mask_header(line: str) -> tuple[str, str]:
    """
    A header's name, and where its value comes from; never the value itself.

    >>> mask_header("Authorization: Basic x"), mask_header("X-Key: env:KEY")
    (('Authorization', '(not shown)'), ('X-Key', 'env:KEY'))
    """
    name, separator, value = (part.strip() for part in line.partition(":"))
    if name == "env" or line.startswith("@"):
        return line, "whole lines"
    return name, value if separator and value.startswith(("env:", "@")) else "(not shown)"


def _parse_header(line: str) -> tuple[str, str, bool]:
    name, separator, value = line.partition(":")
    name, value = name.strip(), value.strip()
    # The line itself may be a secret in the wrong form, so no message repeats it.
    if not separator or not _HEADER_NAME.fullmatch(name):
        raise UsageError("a header is not of the form 'Name: value'")
    if name.lower() in _RESERVED_HEADERS:
        raise UsageError(f"header {name}: the harness sets this one itself")
    elsewhere = _resolve_reference(value)
    value = value if elsewhere is None else elsewhere.strip()
    if not value:
        raise UsageError(f"header {name}: the value is empty")
    if not value.isprintable():
        raise UsageError(f"header {name}: the value contains a line break or another control character")
    return name, value, elsewhere is not None


def _resolve_reference(text: str) -> str | None:
    """The value that a reference stands for; None if the text is not a reference."""
    if reference := _ENV_REFERENCE.fullmatch(text):
        value = os.environ.get(reference[1])
        if not value:
            raise UsageError(f"header: the environment variable {reference[1]} is not set, or empty")
        return value
    if text.startswith("@"):
        return read_small_text(text[1:], limit=MAX_HEADER_FILE_BYTES, name=f"header: the file {text[1:]}")
    return None
