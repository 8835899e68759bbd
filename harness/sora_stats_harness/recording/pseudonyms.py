"""
Pseudonyms for ids, labels, hosts and clocks: names of the same form, consistent within one redaction.

A pseudonym is a keyed hash of the name that it replaces. So there is no table that could grow or leak, and one name
gets the same pseudonym everywhere (a client_id is often the connection_id). Without the key, which is thrown away,
nobody can test guesses.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from ..api.edition_rules import CLOCKWORK_BASE32_ALPHABET
from ..api.server_url import bracket_ipv6

LAST_CHARACTER_ALPHABET: Final = "048CGMRW"
"""The last characters that a 128-bit id can have: two bits of the last character are padding."""

_CLOCKWORK: Final = re.compile(rf"[{CLOCKWORK_BASE32_ALPHABET}]{{26}}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

LABEL_PREFIX: Final = "#"
"""The first character of every messaging label."""

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_DIGITS: Final = 16
"""Hexadecimal digits in a pseudonym without a form of its own: 64 bits, so that collisions are very unlikely."""


class PseudonymGenerator:
    """Makes pseudonyms; the same key of the hash gives the same ones, and without one it is random."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def pseudonym_of_id(self, name: str) -> str:
        """
        The pseudonym of an id.

        The pseudonym of an id in Clockwork Base32 is in Clockwork Base32, with a valid last character if the original
        has one; that of a UUID is a UUID. Any other id of 19 bytes or more keeps its length, and an empty id stays
        empty.

        >>> names = PseudonymGenerator(b"key")
        >>> len(names.pseudonym_of_id("KP8VZZ321D0A90RSVJC4RMGJ08")), len(names.pseudonym_of_id("x" * 300)), names.pseudonym_of_id("")
        (26, 300, '')
        """
        if not name:
            return name
        number = self._keyed_number(name)
        if _CLOCKWORK.fullmatch(name):
            letters = "".join(CLOCKWORK_BASE32_ALPHABET[number >> 5 * place & 31] for place in range(25))
            last = (
                LAST_CHARACTER_ALPHABET
                if name[-1] in LAST_CHARACTER_ALPHABET
                else [letter for letter in CLOCKWORK_BASE32_ALPHABET if letter not in LAST_CHARACTER_ALPHABET]
            )
            return letters + last[(number >> 128) % len(last)]
        if _UUID.fullmatch(name):
            text = f"{number % 2**128:032x}"
            return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
        return self._prefixed_number("id-", number, len(name.encode("utf-8", "replace")))

    def pseudonym_of_label(self, name: str) -> str:
        """The pseudonym of a messaging label, with its `#`."""
        rest = name.removeprefix(LABEL_PREFIX)
        if not rest:
            return name
        return self._prefixed_number(
            f"{LABEL_PREFIX}label-", self._keyed_number(rest), len(name.encode("utf-8", "replace"))
        )

    def pseudonym_of_host(self, name: str) -> str:
        """The pseudonym of a host; loopback addresses are kept."""
        return (
            name
            if name.strip("[]").lower() in LOOPBACK_HOSTS
            else f"host-{self._keyed_number(name.lower()) % 2**40:010x}"
        )

    def pseudonym_of_url(self, text: str) -> str:
        """Replace the host of a URL, but keep scheme and port; any other text is replaced like an id."""
        parts = urlsplit(text)
        try:
            port = parts.port
        except ValueError:
            port = None
        if not parts.scheme or not parts.hostname:
            return self.pseudonym_of_id(text)
        host = bracket_ipv6(self.pseudonym_of_host(parts.hostname))
        netloc = host if port is None else f"{host}:{port}"
        path = (
            parts.path
            if parts.path in ("", "/")
            else self._prefixed_number("/path-", self._keyed_number(parts.path), 0)
        )
        return urlunsplit((parts.scheme, netloc, path, "", ""))

    def pseudonym_of_clock(self, name: str) -> str:
        """The pseudonym of a clock, whose name identifies a machine's boot."""
        return self._prefixed_number("clock-", self._keyed_number(name), 0)

    def _keyed_number(self, name: str) -> int:
        data = name.encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(data, key=self._key, digest_size=32).digest(), "big")

    @staticmethod
    def _prefixed_number(prefix: str, number: int, length: int) -> str:
        return f"{prefix}{number % 16**_DIGITS:0{_DIGITS}x}".ljust(length, "x")
