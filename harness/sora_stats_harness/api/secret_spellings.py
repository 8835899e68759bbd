"""
How a secret may be spelled: its parts, the forms of each, and the escapes in which a text may hold them.

A server that rejects a credential seldom repeats the whole header: it names the token, the decoded password, one
cookie, or a parameter of a signature.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

MIN_SECRET_LENGTH: Final = 4
"""The least characters of a secret: a shorter text occurs in responses by chance, so everything would be withheld."""

MIN_UNNAMED_LENGTH: Final = 8
"""The same for parts whose name does not suggest a secret, such as `lang=en_US` among cookies."""

MIN_ENCODED_LENGTH: Final = 8
"""The least characters of a piece of base64; a shorter one occurs by chance."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]* +")
_PARAMETER: Final = re.compile(r"""([A-Za-z0-9_.-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]+))""")
_SECRET_NAME: Final = re.compile(
    r"auth|cred|hash|jwt|key|nonce|pass|pwd|response|secret|sess|sid|sig|token", re.IGNORECASE
)
_PUBLIC_NAMES: Final = frozenset(
    {"algorithm", "domain", "nc", "opaque", "path", "qop", "realm", "signedheaders", "uri", "charset", "keyid"}
)
"""Parameters of Digest, AWS4 and cookies that are not secret and may occur in any text."""
_JWT: Final = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")

_ESCAPE: Final = re.compile(
    rb"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"  # a surrogate pair in JSON
    rb"|\\u([0-9a-fA-F]{4})"
    rb"|(?:\\x|%)([0-9a-fA-F]{2})"
    rb"|\\([^\w])"
    rb"|(&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});?)"
)


def split_secret(value: str) -> set[str]:
    """
    The secret parts of a header's value: the value, what follows its scheme, and the parts of that.

    >>> sorted(split_secret("Basic dXNlcjpwYTU1d29yZA=="))
    ['Basic dXNlcjpwYTU1d29yZA==', 'dXNlcjpwYTU1d29yZA==', 'pa55word', 'user:pa55word']
    """
    value = value.strip()
    rest = _SCHEME.sub("", value, count=1)
    parts = {value, rest}
    parameters = list(_split_parameters(rest))
    parts |= {text for name, text in parameters if len(text) >= _least_length(name)}
    for text in {rest, *(text for _, text in parameters)}:
        parts |= set(_split_value(text))
    return {part for part in parts if len(part) >= MIN_SECRET_LENGTH}


def encode_secret(part: str) -> set[bytes]:
    """
    The forms of a secret in bytes: as it is, in hexadecimal, and in base64 at any offset, with and without padding.
    """
    data = part.encode("utf-8", "surrogatepass")
    forms = {data, quote_plus(data).encode(), data.hex().encode(), data.hex().upper().encode()}
    for before in range(3):
        # Only the characters that depend on this secret alone, whatever was encoded before and after it.
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            encoded = encode(bytes(before) + data)[-(-before * 4 // 3) : (before + len(data)) * 4 // 3]
            if len(encoded) >= MIN_ENCODED_LENGTH:
                forms.add(encoded)
    forms |= {base64.standard_b64encode(data).rstrip(b"="), base64.urlsafe_b64encode(data).rstrip(b"=")}
    return forms


def _split_parameters(text: str) -> Iterator[tuple[str, str]]:
    """Cookies, and parameters such as `token="..."` and `Credential=ID/20260101/...`."""
    for name, quoted, plain in _PARAMETER.findall(text):
        if name.lower() not in _PUBLIC_NAMES:
            found = re.sub(r"\\(.)", r"\1", quoted) or plain
            yield name, found.partition("/")[0] if name.lower() == "credential" else found


def _least_length(name: str) -> int:
    return MIN_SECRET_LENGTH if _SECRET_NAME.search(name) else MIN_UNNAMED_LENGTH


def _split_value(text: str) -> Iterator[str]:
    """The password of `id:secret`, also in base64, and the parts of a JWT."""
    if "=" not in text.rstrip("=") or not _PARAMETER.search(text):
        yield text.partition(":")[2]
    if _JWT.fullmatch(text):
        for part in text.split("."):
            yield part
            yield _decode_base64(part)
    elif _BASE64.fullmatch(text) and ":" in (credential := _decode_base64(text)):
        yield credential
        yield credential.partition(":")[2]


def _decode_base64(text: str) -> str:
    """Decode a base64 text with or without padding; an empty text if the result is not printable."""
    bare = text.rstrip("=")
    try:
        found = base64.urlsafe_b64decode(bare.replace("+", "-").replace("/", "_") + "=" * (-len(bare) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return found if found.isprintable() else ""


# Escapes.


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Decoded bytes, each with its place in the original text."""

    data: bytes
    starts: Sequence[int]
    stops: Sequence[int]

    @classmethod
    def of(cls, data: bytes) -> DecodedText:
        """Wrap bytes that are not decoded yet."""
        return cls(data, range(len(data)), range(1, len(data) + 1))

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Where a part stands in the original text; `stop` must be greater than `start`."""
        return self.starts[start], self.stops[stop - 1]

    def decode_once(self) -> DecodedText:
        """Decode one level of escapes."""
        data = bytearray()
        starts: list[int] = []
        stops: list[int] = []
        end = 0
        for match in _ESCAPE.finditer(self.data):
            plain = slice(end, match.start())
            decoded = _decode(match)
            data += self.data[plain] + decoded
            starts += [*self.starts[plain], *[self.starts[match.start()]] * len(decoded)]
            stops += [*self.stops[plain], *[self.stops[match.end() - 1]] * len(decoded)]
            end = match.end()
        return DecodedText(bytes(data + self.data[end:]), [*starts, *self.starts[end:]], [*stops, *self.stops[end:]])


def may_be_escaped(data: bytes) -> bool:
    """Whether the bytes can contain an escape at all; a normal response of the API contains none."""
    return b"\\" in data or b"%" in data or b"&" in data


def unescape(data: bytes) -> bytes:
    r"""
    Decode one level of escapes.

    >>> unescape(rb"a\u0062 %63 &#100;&amp; \/")
    b'ab c d& /'
    """
    return _ESCAPE.sub(_decode, data)


def _decode(match: re.Match[bytes]) -> bytes:
    high, low, unit, byte, single, entity = match.groups()
    if byte is not None:
        return bytes((int(byte, 16),))
    if single is not None:
        return bytes(single)
    if entity is not None:
        return html.unescape(entity.decode("ascii")).encode("utf-8", "surrogatepass")
    if high is not None:
        pair = 0x10000 + ((int(high, 16) & 0x3FF) << 10 | int(low, 16) & 0x3FF)
        return chr(pair).encode()
    return chr(int(unit, 16)).encode("utf-8", "surrogatepass")
