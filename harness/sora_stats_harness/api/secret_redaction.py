"""
Keeping secrets out of everything that is written down.

A recording or a report is made to be passed on, and the requests behind it may bear tokens. So the values of headers
are dropped unless they are known to be harmless, and what the user named as secret is looked for wherever text or bytes
go to disk, in the forms in which servers, libraries and error messages repeat it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED_PLACEHOLDER: Final = "[redacted]"
"""Stands where a secret stood."""

MIN_SECRET_LENGTH: Final = 4
"""Characters; anything shorter occurs in any response by chance, and would have everything withheld."""

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
"""Response headers, in lower case, whose values checks and findings use, and none of which carries a credential."""

ALLOWED_REQUEST_HEADERS: Final = frozenset({"x-sora-target", "content-type"})
"""Request headers, in lower case, whose values are kept: what the API itself asks for."""


class Secrets:
    """
    The values that may not be written down, in all the forms in which they could come back.

    Args:
        values:
            Whole header values, tokens, passwords. Of `Bearer abc` and the like the part after the scheme is looked
            for as well, and of a Basic credential what it encodes. Those of fewer than four characters are passed over.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = tuple(values)
        """As they were given, for another process."""
        parts = {part for value in self.values for part in _secret_parts(value) if len(part) >= MIN_SECRET_LENGTH}
        self._forms = sorted({form for part in parts for form in _encoded_forms(part)}, key=len, reverse=True)
        least = [form for form in self._forms if not any(other in form for other in self._forms if other != form)]
        self._bytes = [form.encode("utf-8", "surrogatepass") for form in least]

    def __bool__(self) -> bool:
        return bool(self._forms)

    def redact(self, text: str) -> str:
        """
        Put `[redacted]` where a secret stands; the longest forms first, so that no rest of one is left.

        >>> Secrets(["Bearer zTq81xx"]).redact("refused: token zTq81xx is not known")
        'refused: token [redacted] is not known'
        """
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED_PLACEHOLDER)
        return text

    def occur_in(self, data: bytes) -> bool:
        """Whether a secret stands anywhere in the bytes; about 4 us a form and 13 KB."""
        return any(form in data for form in self._bytes)


NO_SECRETS: Final = Secrets()


def redact_headers(
    headers: Iterable[tuple[str, str]], allowed: Collection[str], secrets: Secrets = NO_SECRETS
) -> tuple[tuple[str, str | None], ...]:
    """
    Keep every header's name, and the values of those allowed.

    Args:
        headers: In the order of the wire.
        allowed: Names in lower case; `ALLOWED_RESPONSE_HEADERS` or `ALLOWED_REQUEST_HEADERS`.
        secrets: Looked for in what is kept.

    >>> redact_headers([("Server", "x"), ("Set-Cookie", "a=b")], ALLOWED_RESPONSE_HEADERS)
    (('Server', 'x'), ('Set-Cookie', None))
    """
    return tuple(
        (secrets.redact(name), secrets.redact(value) if name.lower() in allowed else None) for name, value in headers
    )


def _secret_parts(value: str) -> Iterable[str]:
    value = value.strip()
    yield value
    scheme, _, rest = value.partition(" ")
    if not (rest := rest.strip()) or not scheme.isalpha():
        return
    yield rest
    if scheme.lower() == "basic":
        try:
            credential = base64.b64decode(rest, validate=True).decode("utf-8")
        except ValueError:
            return
        yield credential
        yield credential.partition(":")[2]


def _encoded_forms(part: str) -> Iterable[str]:
    yield part
    escaped = json.dumps(part)[1:-1]
    plain = json.dumps(part, ensure_ascii=False)[1:-1]
    yield from (escaped, plain, escaped.replace("/", "\\/"), plain.replace("/", "\\/"))
    data = part.encode("utf-8", "surrogatepass")
    yield from (quote(data, safe=""), quote_plus(data))
    yield base64.b64encode(data).decode("ascii")
