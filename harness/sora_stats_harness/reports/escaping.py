"""
Escapes a server's strings for each place where a report shows them.

A channel id is any string of up to 255 bytes that a user of the tested system chose, so it may contain terminal
escapes, right-to-left overrides, NUL or markup. Nothing is dropped: a character that can't be shown becomes a visible
escape like `\\x1b` or `\\u202e`, so that a reader sees that it was there.
"""

from __future__ import annotations

import re
from html import escape as _entities
from typing import Final

from .curl_command import RUNNER_COMMAND_REGEX

DEFAULT_LIMIT_CHARACTERS: Final = 300
"""The most characters of one value that a report shows; the rest is counted."""

_INVISIBLE: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters, also C1: 0x9b alone starts a terminal sequence
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff"  # half of a surrogate pair, which can't be encoded
    "\ufdd0-\ufdef"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17))
    + "]"
)
"""Characters that move the cursor, change the direction, are invisible, or that XML 1.0 or UTF-8 do not allow."""

_UNSAFE_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


def escape_invisible(text: str) -> str:
    r"""
    Replace characters that can't be shown with escapes, line breaks included; the result is one line for any encoding.

    Text that a CI server's runner would take for a command is escaped as well.

    >>> print(escape_invisible("a\x1b[2Jb\u202ec\n"))
    a\x1b[2Jb\u202ec\n
    """
    return RUNNER_COMMAND_REGEX.sub(
        lambda found: rf"\x{ord(found[0][0]):02x}{found[0][1]}", _INVISIBLE.sub(_escape_match, text)
    )


def _escape_match(match: re.Match[str]) -> str:
    code = ord(match[0])
    named = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}.get(code)
    if named:
        return named
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 and so JSON files can't contain, and leave the rest unchanged."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def truncate(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> str:
    """
    Shorten a long value and say by how much.

    >>> truncate("abcdef", limit=4)
    'abcd… (2 more characters)'
    """
    if len(text) <= limit:
        return text
    more = len(text) - limit
    return f"{text[:limit]}… ({more:,} more character{'s' if more > 1 else ''})"


def escape_terminal(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> str:
    """One safe line for a terminal: shortened and escaped."""
    return escape_invisible(truncate(text, limit))


def escape_markdown(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> str:
    """
    A code span: the only form whose content Markdown doesn't interpret, neither markup nor links nor mentions.

    Not for table cells, where a `|` ends the cell even inside a code span.

    >>> print(escape_markdown("@all `rm` <b>"))
    `` @all `rm` <b> ``
    """
    shown = escape_terminal(text, limit)
    if not shown.strip():
        return "(empty)" if not shown else "(blank)"
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    # CommonMark removes one blank on each side if both sides have one.
    pad = " " if longest or (shown[0] == shown[-1] == " ") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def escape_html(text: str, limit: int = DEFAULT_LIMIT_CHARACTERS) -> str:
    """Text for HTML, between tags or in a quoted attribute."""
    return _entities(escape_terminal(text, limit), quote=True)


def safe_file_name(text: str, limit: int = 60) -> str:
    """
    A part of a file name, in a fixed alphabet that every file system and artifact store accepts.

    >>> safe_file_name("../relation.rtp_subset: <x>")
    'relation.rtp_subset-x'
    """
    return _UNSAFE_IN_NAMES.sub("-", text).strip(".-")[:limit].rstrip(".-") or "x"
