"""
Keeps secrets out of everything that is written down.

Recordings and reports are made to be passed on, but their requests may contain tokens. So header values are dropped
unless they are known to be harmless. Whatever goes to disk or to a terminal is searched for the secrets that the user
named, in all the forms in which servers, libraries and error messages repeat them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from .secret_spellings import DecodedText, encode_secret, may_be_escaped, split_secret, unescape

REDACTED_PLACEHOLDER: Final = "[redacted]"
"""Replaces a secret."""

MAX_ESCAPES: Final = 3
"""How many levels of escapes are decoded: JSON within JSON within a URL, for example."""

MIN_CUT_BYTES: Final = 6
"""How many characters of a secret must remain at the end of a cut text to be replaced; fewer reveal little."""

_ELLIPSIS: Final = "…".encode()

ALLOWED_RESPONSE_HEADERS: Final = frozenset(
    {
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "access-control-max-age",
        "age",
        "allow",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "etag",
        "expires",
        "keep-alive",
        "last-modified",
        "retry-after",
        "server",
        "trailer",
        "transfer-encoding",
        "vary",
        "via",
        "x-cache",
    }
)
"""Response headers, in lower case, whose values checks and findings use; none of them carries a credential."""

ALLOWED_REQUEST_HEADERS: Final = frozenset({"x-sora-target", "content-type"})
"""Request headers, in lower case, whose values are kept: what the API itself asks for."""


class Secrets:
    """
    The values that must not be written down, in all the forms in which they could appear.

    A value is split (`api.secret_spellings`). Each part is looked for as it is, in hexadecimal, and in base64 at any
    offset, also with characters escaped by JSON, HTML, percent encoding, or several of them.

    Args:
        values: Whole header values, tokens, passwords. Values too short to be told from other text are ignored.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values: tuple[str, ...] = tuple(values)
        """The values as given, for another process."""
        parts = {part for value in self.values for part in split_secret(value)}
        forms = {form for part in parts for form in encode_secret(part)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._least = [form for form in forms if not any(other in form for other in forms if other != form)]
        self._heads = {form: form[:MIN_CUT_BYTES] for form in self._least if len(form) > MIN_CUT_BYTES}

    def __bool__(self) -> bool:
        return bool(self._forms)

    def redact(self, text: str) -> str:
        """
        Replace each secret with `[redacted]`, even if the text was cut within it.

        >>> Secrets(["Bearer zTq81xx"]).redact("refused: token zTq81xx, or z%54q81%78x, is not known")
        'refused: token [redacted], or [redacted], is not known'
        """
        data = text.encode("utf-8", "surrogatepass")
        if not self._forms or not self.occur_in(data):
            return text
        spans = []
        decoded = DecodedText.of(data)
        for _ in range(MAX_ESCAPES + 1):
            spans += [decoded.span(start, stop) for start, stop in self._find(decoded.data)]
            decoded = decoded.decode_once()
        pieces = []
        end = 0
        for start, stop in sorted(spans):
            if start >= end:
                pieces += [data[end:start], REDACTED_PLACEHOLDER.encode()]
            end = max(end, stop)
        return b"".join((*pieces, data[end:])).decode("utf-8", "surrogatepass")

    def occur_in(self, data: bytes) -> bool:
        """Whether the bytes contain a secret; takes about 30 us for a token and 13 KB."""
        if not self._forms:
            return False
        if any(form in data for form in self._least) or self._find_cut(data):
            return True
        if not may_be_escaped(data):
            return False
        for _ in range(MAX_ESCAPES):
            decoded = unescape(data)
            if decoded == data:
                return False
            data = decoded
            if any(form in data for form in self._least) or self._find_cut(data):
                return True
        return False

    def _find(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield every place of every form."""
        for form in self._forms:
            start = data.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = data.find(form, start + 1)
        yield from self._find_cut(data)

    def _find_cut(self, data: bytes) -> list[tuple[int, int]]:
        """Find secrets that are cut, at the end of the data or where a report shortened it."""
        return [
            (stop - length, stop)
            for stop in {len(data), data.find(_ELLIPSIS)} - {-1}
            for form, head in self._heads.items()
            if head in data[max(0, stop - len(form)) : stop]
            for length in range(len(head), len(form))
            if data.endswith(form[:length], 0, stop)
        ]


NO_SECRETS: Final = Secrets()


def redact_headers(
    headers: Iterable[tuple[str, str]], allowed: Collection[str], secrets: Secrets = NO_SECRETS
) -> tuple[tuple[str, str | None], ...]:
    """
    Keep every header's name, but only the values of allowed headers.

    Args:
        allowed: Names in lower case; `ALLOWED_RESPONSE_HEADERS` or `ALLOWED_REQUEST_HEADERS`.
        secrets: Replaced in the values that are kept.

    >>> redact_headers([("Server", "x"), ("Set-Cookie", "a=b")], ALLOWED_RESPONSE_HEADERS)
    (('Server', 'x'), ('Set-Cookie', None))
    """
    return tuple(
        (secrets.redact(name), secrets.redact(value) if name.lower() in allowed else None) for name, value in headers
    )
