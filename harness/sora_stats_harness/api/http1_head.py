"""
Parses the head of a response: status, header fields, and where the body ends.

`parse_head` is a pure function. A deviation from the standard is either a fault in the head's list, or, if the head
can't be relied on, the one fault that is returned instead of a head. Lines and headers are looked at in order, so the
same bytes always give the same faults in the same order.

Servers repeat the same heads, so heads are cached by their bytes: a head that was seen before is not parsed again, and
equal heads give the very same object.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final

import msgspec

from .http1_faults import FRAMING_RULES, Effect, FramingFault

MAX_HEADS: Final = 256
"""The size of the cache of heads; every body length makes another head."""

USUAL_HEAD_BYTES: Final = 2048
"""A longer head is not cached."""

EXCERPT_BYTES: Final = 40
"""The most of the peer's bytes that a text shows."""

MAX_LENGTH_DIGITS: Final = 18
"""The most digits of a Content-Length without leading zeros: more bytes than any server sends."""


class BodyEnd(Enum):
    """How the end of a body is found (RFC 9112, 6.3)."""

    HEAD = "head"
    """The response ends with its head; it has no body."""
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class ResponseHead(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a head says; equal bytes give the same object."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names as sent, values without the white space around them, both as ISO 8859-1."""
    body_end: BodyEnd
    length: int
    """The number of bytes of the body if `body_end` is LENGTH, else -1."""
    keep: bool
    """Whether the connection may be used again (RFC 9112, 9.3); False after any fault that the standard forbids."""
    faults: tuple[FramingFault, ...]


def head_of(raw: bytes) -> ResponseHead | FramingFault:
    """
    Parse a head, or look it up if it was parsed before.

    Args:
        raw: From the first byte of the status line to the end of the blank line.

    Returns:
        The head, or the fault that makes it unreliable.

    >>> head_of(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n").length
    2
    >>> head_of(b"HTTP/1.1 2000 OK\\r\\n\\r\\n").text
    'status code 2000: a status code has three digits'
    """
    return _usual_head(raw) if len(raw) <= USUAL_HEAD_BYTES else parse_head(raw)


class FaultList:
    """Faults in the order of the bytes, each rule once."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, FramingFault] = {}

    def add(self, code: str, text: str | None = None) -> None:
        """Note a fault, in the rule's words unless others are given."""
        if code not in self._found:
            self._found[code] = fault(code, text)

    @property
    def all_allowed(self) -> bool:
        """Whether the standard allows every fault in the list."""
        return all(FRAMING_RULES[code].effect is Effect.ALLOWED for code in self._found)

    def found(self) -> tuple[FramingFault, ...]:
        """The faults."""
        return tuple(self._found.values())


def fault(code: str, text: str | None = None) -> FramingFault:
    """Make a fault of a rule, in the rule's words unless others are given."""
    return FramingFault(code=code, text=text or FRAMING_RULES[code].words)


def excerpt(data: bytes) -> str:
    """The first bytes of something, printable and in quotes."""
    shown = data[:EXCERPT_BYTES].decode("latin-1").encode("unicode_escape").decode("ascii")
    return f"'{shown}'" if len(data) <= EXCERPT_BYTES else f"'{shown}…'"


# -- lines ------------------------------------------------------------------------------------------------------------


def split_lines(raw: bytes, faults: FaultList) -> list[bytes]:
    """The lines of a head or a trailer section, without their ends and without the blank line at the end."""
    lines = raw.split(b"\n")
    del lines[-1]  # nothing follows the end of the last line
    if raw.count(b"\r\n") < len(lines):
        faults.add("bare_lf")
    lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
    del lines[-1]
    if b"\r" in raw and any(b"\r" in line for line in lines):
        faults.add("bare_cr")
    return lines


# -- the status line --------------------------------------------------------------------------------------------------

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t -~\x80-\xff]*)")
"""A regular status line."""

# A recipient may take SP, HTAB, VT, FF and bare CR for the blanks of a status line (RFC 9112, 4).
_WORDS: Final = re.compile(
    rb"[ \t\v\f\r]*([^ \t\v\f\r]+)(?:[ \t\v\f\r]+([^ \t\v\f\r]+))?(?:[ \t\v\f\r]+(.*))?", re.DOTALL
)
_VERSION: Final = re.compile(rb"HTTP/([0-9])\.([0-9])")
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def parse_status_line(line: bytes, faults: FaultList) -> tuple[int, int] | FramingFault:
    """
    Read a status line.

    Returns:
        The minor version and the status code, or the fault that makes the line unreliable.
    """
    if (strict := _STATUS_LINE.fullmatch(line)) is not None:
        return 1, int(strict[1])
    words = _WORDS.fullmatch(line)
    if words is None or not words[1].startswith(b"HTTP/"):
        return _no_status_line(line)
    version, code, reason = words[1], words[2], words[3]
    numbers = _VERSION.fullmatch(version)
    if numbers is None or numbers[1] != b"1":
        return fault("version_unknown", f"the version is {excerpt(version)}, not HTTP/1.1")
    if code is None:
        return fault("status_code", "there is no status code")
    if not code.isdigit() or len(code) != 3:
        shown = code[:EXCERPT_BYTES].decode("ascii") if code.isdigit() else excerpt(code)
        return fault("status_code", f"status code {shown}: a status code has three digits")
    if numbers[2] == b"0":
        faults.add("version_1_0")
    elif numbers[2] != b"1":
        faults.add("version_newer", f"the version is HTTP/1.{numbers[2].decode()}")
    plain = b"%b %b" % (version, code)
    if line == plain:
        faults.add("status_line_short")
    elif not line.startswith(plain + b" "):
        faults.add("status_line_blanks")
    if reason is not None and _CONTROLS.search(reason):
        faults.add("control_character", "a control character stands in the status line")
    return int(numbers[2]), int(code)


def _no_status_line(line: bytes) -> FramingFault:
    if line[:2] in (b"\x15\x03", b"\x16\x03"):
        return fault("not_http", "the server speaks TLS, not plain HTTP")
    if line[:14] == b"PRI * HTTP/2.0" or line[:5] == b"\x00\x00\x12\x04\x00":
        return fault("not_http", "the server speaks HTTP/2, not HTTP/1.1")
    return fault("not_http", f"the response does not begin with a status line: {excerpt(line)}")


def status_line_so_far(start: bytes) -> FramingFault | None:
    """
    Judge the start of a response before its first line has ended; bytes that are not HTTP may never contain a line end.

    >>> status_line_so_far(b"HTTP/1.1 200 O") is None
    True
    """
    stripped = start.lstrip(b" \t\v\f\r")
    return None if stripped[:5] == b"HTTP/"[: len(stripped)] else _no_status_line(start)


# -- header fields ----------------------------------------------------------------------------------------------------

_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)([ \t]*):(.*)", re.DOTALL)

# "obs-fold = OWS CRLF RWS": the white space before and behind the line end becomes one space.
_BLANKS: Final = b" \t"

_NEVER: Final = bytes.maketrans(b"\r\x00", b"  ")
"""Replaces the characters that a value must never contain with spaces."""


def parse_fields(lines: list[bytes], faults: FaultList) -> list[tuple[bytes, bytes]] | FramingFault:
    """
    Read header or trailer fields.

    Returns:
        Names as sent and values without the white space around them, or the fault that makes the fields unreliable.
    """
    fields: list[tuple[bytes, list[bytes]]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t", b"\r"):
            if not fields:
                return fault("head_blank")
            name, parts = fields[-1]
            faults.add("folded_header", f"the header {name.decode('ascii')} is folded over several lines")
            parts.append(_clean(line, name, faults))
            continue
        field = _FIELD.fullmatch(line)
        if field is None:
            return fault("header_line", f"a line of the head is no header field: {excerpt(line)}")
        name = field[1]
        if field[2]:
            faults.add(
                "blank_before_colon", f"there is white space between the name of {name.decode('ascii')} and the colon"
            )
        fields.append((name, [_clean(field[3], name, faults)]))
    return [(name, parts[0] if len(parts) == 1 else b" ".join(filter(None, parts))) for name, parts in fields]


def _clean(value: bytes, name: bytes, faults: FaultList) -> bytes:
    """A value without the white space around it, with spaces in place of forbidden characters."""
    value = value.strip(_BLANKS)
    if not value.isascii():
        faults.add("obs_text", f"the header {name.decode('ascii')} holds bytes beyond ASCII")
    if _CONTROLS.search(value) is None:
        return value
    if (found := _CONTROLS.search(value.replace(b"\r", b""))) is not None:
        faults.add(
            "control_character", f"the header {name.decode('ascii')} holds the control character 0x{found[0][0]:02x}"
        )
    return value.translate(_NEVER).strip(_BLANKS)


# -- the head as a whole ----------------------------------------------------------------------------------------------

_USUAL_VALUE: Final = rb"[!-~](?:[\t -~]*[!-~])?"
_USUAL_NAME: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_USUAL_FIELD: Final = re.compile(rb"(%b):[ \t]*(%b)[ \t]*\r\n" % (_USUAL_NAME, _USUAL_VALUE))
_USUAL_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([1-9][0-9]{2}) [\t -~]*\r\n((?:%b:[ \t]*%b[ \t]*\r\n)*)\r\n" % (_USUAL_NAME, _USUAL_VALUE)
)
"""A head in which every line is regular, so that its fields needn't be examined one by one."""


def parse_head(raw: bytes) -> ResponseHead | FramingFault:
    """As `head_of`, without the cache."""
    faults = FaultList()
    minor, status, fields = 1, 0, None
    if (usual := _USUAL_HEAD.fullmatch(raw)) is not None:
        status, fields = int(usual[1]), _USUAL_FIELD.findall(usual[2])
    else:
        lines = split_lines(raw, faults)
        line = parse_status_line(lines[0], faults)
        if isinstance(line, FramingFault):
            return line
        minor, status = line
        found = parse_fields(lines[1:], faults)
        if isinstance(found, FramingFault):
            return found
        fields = found
    values = _values(fields)
    ended = _body_end(status, minor, values, faults)
    if isinstance(ended, FramingFault):
        return ended
    body_end, length = ended
    _check_content(values, faults)
    options = values.get(b"connection")
    named = [] if options is None else [option.lower() for option in _members(options)]
    persists = b"close" not in named if minor else b"keep-alive" in named
    return ResponseHead(
        status=status,
        headers=tuple([(name.decode("ascii"), value.decode("latin-1")) for name, value in fields]),
        body_end=body_end,
        length=length,
        keep=persists and body_end is not BodyEnd.CLOSE and faults.all_allowed,
        faults=faults.found(),
    )


@lru_cache(MAX_HEADS)
def _usual_head(raw: bytes) -> ResponseHead | FramingFault:
    return parse_head(raw)


def _values(fields: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """The values of each header, by its name in lower case."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    return values


def _members(values: list[bytes]) -> list[bytes]:
    """The members of a comma-separated list that may be spread over several lines (RFC 9110, 5.6.1)."""
    return [member.strip(_BLANKS) for value in values for member in value.split(b",")]


def _body_end(
    status: int, minor: int, values: dict[bytes, list[bytes]], faults: FaultList
) -> tuple[BodyEnd, int] | FramingFault:
    """Where the body ends, in the order of RFC 9112, 6.3."""
    lengths, codings = values.get(b"content-length"), values.get(b"transfer-encoding")
    # 1. "any response with a 1xx (Informational), 204 (No Content), or 304 (Not Modified) status code is always
    #    terminated by the first empty line after the header fields, regardless of the header fields present".
    if 100 <= status < 200 or status in (204, 304):
        if lengths is not None and status != 304:
            faults.add("length_without_body", f"a {status} response has a Content-Length")
        if codings is not None and status != 304:
            faults.add("chunked_without_body", f"a {status} response has a Transfer-Encoding")
        return BodyEnd.HEAD, -1
    # 3. "If a message is received with both a Transfer-Encoding and a Content-Length header field, the
    #    Transfer-Encoding overrides the Content-Length."
    if codings is not None:
        named = [coding.lower() for coding in _members(codings) if coding]
        if named != [b"chunked"]:
            return fault("transfer_coding", f"Transfer-Encoding is {excerpt(b', '.join(named))}, not 'chunked'")
        if lengths is not None:
            faults.add("length_with_chunked")
        if minor == 0:
            faults.add("chunked_1_0")
        return BodyEnd.CHUNKED, -1
    # 5. and 6. A valid Content-Length, or a list of one and the same.
    if lengths is not None:
        length = _length(lengths, faults)
        return length if isinstance(length, FramingFault) else (BodyEnd.LENGTH, length)
    # 8. "Otherwise, this is a response message without a declared message body length".
    faults.add("until_close")
    return BodyEnd.CLOSE, -1


def _length(values: list[bytes], faults: FaultList) -> int | FramingFault:
    members = _members(values)
    for member in members:
        if not member.isdigit():
            return fault("length_invalid", f"Content-Length is {excerpt(member)}, not a number of bytes")
        if len(member.lstrip(b"0")) > MAX_LENGTH_DIGITS:
            return fault("length_invalid", f"Content-Length is {excerpt(member)}, more than anybody can send")
    lengths = [int(member) for member in members]
    different = [length for length in lengths if length != lengths[0]]
    if different:
        return fault("length_conflict", f"Content-Length is given as {lengths[0]} and as {different[0]}")
    if len(lengths) > 1:
        faults.add("length_repeated", f"Content-Length is given {len(lengths)} times, each time as {lengths[0]}")
    return lengths[0]


_TYPES: Final = re.compile(rb'((?:[^",]|"(?:[^"\\]|\\.)*"?)*),?', re.DOTALL)
"""One member of a list of media types; commas within quotes belong to it."""


def media_types(content_type: str) -> list[str]:
    """
    The media types in a Content-Type, in lower case and without parameters; there should be one.

    >>> media_types('Application/JSON; x="a,b", text/html')
    ['application/json', 'text/html']
    """
    members = _TYPES.findall(content_type.encode("utf-8"))
    return [
        member.partition(b";")[0].strip().lower().decode("utf-8", "replace") for member in members if member.strip()
    ]


def _check_content(values: dict[bytes, list[bytes]], faults: FaultList) -> None:
    """Check the headers that describe the body: wrongly repeated ones, and codings that were not asked for."""
    types = values.get(b"content-type", [])
    given = types
    if len(types) > 1 or (types and b"," in types[0]):
        members = [member.strip(_BLANKS) for value in types for member in _TYPES.findall(value)]
        given = [member for member in members if member]
    if len(given) > 1:
        plain = [re.sub(rb"[ \t]+", b"", member).lower() for member in given]
        if len(set(plain)) == 1:
            faults.add("content_type_repeated")
        else:
            other = next(member for member, key in zip(given, plain, strict=True) if key != plain[0])
            faults.add("content_type_conflict", f"Content-Type is given as {excerpt(given[0])} and as {excerpt(other)}")
    encodings = values.get(b"content-encoding", [])
    codings = [coding for coding in _members(encodings) if coding.lower() not in (b"", b"identity")]
    if codings:
        faults.add("content_coding", f"Content-Encoding is {excerpt(b', '.join(codings))}, which was not asked for")
    if len(values.get(b"access-control-allow-origin", [])) > 1:
        faults.add("allow_origin_repeated")
