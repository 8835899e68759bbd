"""
The ways in which a response can deviate from HTTP/1.1, as data: a stable code, plain words, and the clause.

A fault says what was on the wire and what RFC 9112 or RFC 9110 says about it. The judge decides how much that weighs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec


class Effect(Enum):
    """What a fault means for whoever reads the response."""

    ALLOWED = "allowed"
    """The standard allows it; it is only worth knowing."""
    TOLERATED = "tolerated"
    """A server must not send it, but the response is readable and the standard lets a client continue."""
    FATAL = "fatal"
    """It is uncertain what the response is, or where it ends."""


class FramingFault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fault of one response: the rule, and one printable line about what was on the wire."""

    code: str
    """A key of `FRAMING_RULES`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FramingRule:
    """One row of the table: `words` describe the deviation, `clause` is the clause that forbids or allows it."""

    code: str
    effect: Effect
    words: str
    clause: str


UNANNOUNCED_CLOSE: Final = "closed_unannounced"
"""The one fault that the client notes instead of the reader: only it knows that the connection was used before."""

_ALLOWED, _TOLERATED, _FATAL = Effect

_TABLE: Final = (
    # -- what the standard allows -------------------------------------------------------------------------------------
    # A server may lower the version for a client that it suspects of faults; simple proxies always do.
    (_ALLOWED, "version_1_0", "the response is HTTP/1.0", "RFC 9112, 2.3"),
    # A recipient takes a higher minor version as the highest one that it knows.
    (_ALLOWED, "version_newer", "the version is newer than HTTP/1.1", "RFC 9110, 6.2"),
    # Without a declared length the body ends with the connection.
    (_ALLOWED, "until_close", "the body ends where the connection is closed", "RFC 9112, 6.3"),
    # A client has to be able to read 1xx responses before the final one, asked for or not.
    (_ALLOWED, "interim", "an interim response came first", "RFC 9110, 15.2"),
    # A recipient has to ignore those that it does not know.
    (_ALLOWED, "chunk_extension", "a chunk has an extension", "RFC 9112, 7.1.1"),
    # They are part of the chunked coding.
    (_ALLOWED, "trailers", "there are trailer fields behind the body", "RFC 9112, 7.1.2"),
    # Such bytes are to be passed on without being interpreted.
    (_ALLOWED, "obs_text", "a header value holds bytes beyond ASCII", "RFC 9110, 5.5"),
    # -- what it forbids a server, and lets a client put up with ------------------------------------------------------
    # Blank lines between responses may be dropped; any other data there ends the connection.
    (_TOLERATED, "blank_line", "a blank line stands outside of the response", "RFC 9112, 2.1 and 9.2"),
    # CRLF ends a line, and a recipient may take LF alone for one.
    (_TOLERATED, "bare_lf", "a line ends with LF alone", "RFC 9112, 2.2"),
    # A recipient has to refuse the element, or put a space in place of the CR.
    (_TOLERATED, "bare_cr", "a CR stands within a line", "RFC 9112, 2.2"),
    # A recipient may divide the line at any white space.
    (_TOLERATED, "status_line_blanks", "the status line is not divided by single spaces", "RFC 9112, 4"),
    # A server has to send that space even where no reason phrase follows.
    (_TOLERATED, "status_line_short", "no space follows the status code", "RFC 9112, 4"),
    # None is allowed there, and a proxy has to take it away.
    (_TOLERATED, "blank_before_colon", "there is white space between a header's name and the colon", "RFC 9112, 5.1"),
    # A client has to read each fold as white space.
    (_TOLERATED, "folded_header", "a header is folded over several lines", "RFC 9112, 5.2"),
    # CR, LF and NUL are to be refused or read as a space; other ones are invalid too, though they may be kept.
    (_TOLERATED, "control_character", "a control character stands in the head", "RFC 9110, 5.5"),
    # The same valid number several times may be read as that number; anything else is an error.
    (_TOLERATED, "length_repeated", "Content-Length is given more than once, with one value", "RFC 9112, 6.3"),
    # A sender must not send both, and to a recipient Transfer-Encoding takes precedence.
    (_TOLERATED, "length_with_chunked", "there is a Content-Length besides Transfer-Encoding", "RFC 9112, 6.2 and 6.3"),
    # A server must not send one with 1xx or 204.
    (_TOLERATED, "length_without_body", "a response that has no body has a Content-Length", "RFC 9110, 8.6"),
    # A server must not send one with 1xx or 204.
    (_TOLERATED, "chunked_without_body", "a response that has no body has a Transfer-Encoding", "RFC 9112, 6.1"),
    # A client has to take the framing for faulty, and close the connection after the response.
    (_TOLERATED, "chunked_1_0", "an HTTP/1.0 response has a Transfer-Encoding", "RFC 9112, 6.1"),
    # Only headers that are lists may be sent more than once.
    (_TOLERATED, "content_type_repeated", "Content-Type is given more than once, with one value", "RFC 9110, 5.3"),
    # Recipients often take the last valid one, and differ in that, which is a risk.
    (_TOLERATED, "content_type_conflict", "Content-Type is given with different values", "RFC 9110, 8.3"),
    # Where no coding is acceptable a server should send none; requests of ours accept `identity` alone.
    (_TOLERATED, "content_coding", "there is a Content-Encoding that was not asked for", "RFC 9110, 12.5.3"),
    # The value is one origin or `*`; browsers take a list for a failure.
    (_TOLERATED, "allow_origin_repeated", "Access-Control-Allow-Origin is given more than once", "Fetch, 3.3.3"),
    # chunk = chunk-size [ chunk-ext ] CRLF: no white space without an extension behind it. Old servers pad sizes.
    (_TOLERATED, "chunk_size_blanks", "a chunk's size is followed by white space", "RFC 9112, 7.1"),
    # The chunk of size zero makes the body complete, even if the line after it is missing.
    (
        _TOLERATED,
        "trailer_end_missing",
        "the connection was closed before the blank line behind the last chunk",
        "RFC 9112, 8",
    ),
    # A client may drop the rest, or ask itself if the length was wrong; it must not take it for another response.
    (_TOLERATED, "surplus", "bytes follow the end of the response", "RFC 9112, 6.3"),
    # -- what a connection shows between two responses ----------------------------------------------------------------
    # Data that nobody asked for is no response; the client should close the connection.
    (_TOLERATED, "unasked", "bytes came on an idle connection", "RFC 9112, 9.2"),
    # A server that keeps no connections has to say so in each response (9.3); idle ones may be closed at any time.
    (_TOLERATED, UNANNOUNCED_CLOSE, "a connection that was to be kept was closed without a word", "RFC 9112, 9.3"),
    # -- what leaves nothing to rely on -------------------------------------------------------------------------------
    # status-line = HTTP-version SP status-code SP [ reason-phrase ]
    (_FATAL, "not_http", "the first line is no status line", "RFC 9112, 4"),
    # status-code = 3DIGIT
    (_FATAL, "status_code", "the status code does not have three digits", "RFC 9112, 4"),
    # HTTP-version = HTTP-name "/" DIGIT "." DIGIT, in capitals
    (_FATAL, "version_unknown", "the version is not one of HTTP/1", "RFC 9112, 2.3"),
    # A server may only change to a protocol that the request named in Upgrade.
    (_FATAL, "switched", "the server changed the protocol", "RFC 9110, 7.8"),
    # field-line = field-name ":" OWS field-value OWS; field-name = token
    (_FATAL, "header_line", "a line of the head is no header field", "RFC 9112, 5"),
    # A recipient has to refuse the message, or pass over such lines.
    (_FATAL, "head_blank", "white space stands before the first header field", "RFC 9112, 2.2"),
    # Without Transfer-Encoding nobody can tell where the body ends: the client has to drop the response and close the
    # connection.
    (_FATAL, "length_invalid", "Content-Length is not a number of bytes", "RFC 9112, 6.3; RFC 9110, 8.6"),
    (_FATAL, "length_conflict", "Content-Length is given with different values", "RFC 9112, 6.3"),
    # `chunked` may be applied once; other codings want to be asked for by TE (RFC 9110, 10.1.4), which no request of ours
    # has.
    (_FATAL, "transfer_coding", "Transfer-Encoding is not `chunked`", "RFC 9112, 6.1 and 7"),
    # chunk-size = 1*HEXDIG, of any length: a reader must not overflow.
    (_FATAL, "chunk_size", "a chunk's size is not a hexadecimal number", "RFC 9112, 7.1"),
    # chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
    (_FATAL, "chunk_end", "a chunk does not end where its size says", "RFC 9112, 7.1"),
    # The standard sets no limit, and lets a client have one: it is ours.
    (_FATAL, "head_too_large", "the head does not end within the limit", "RFC 9110, 5.4"),
    (_FATAL, "chunk_line_too_large", "a chunk's size line does not end within the limit", "RFC 9112, 7.1.1"),
)

FRAMING_RULES: Final = {
    code: FramingRule(code=code, effect=effect, words=words, clause=clause) for effect, code, words, clause in _TABLE
}
"""Every rule by its code."""
