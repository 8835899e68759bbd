"""
The ways in which a response can deviate from HTTP/1.1, as data: a stable code, plain words, and the clause.

A fault says what was on the wire and what RFC 9112 or RFC 9110 thinks of it; how much that weighs is the judge's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec


class Effect(Enum):
    """What a fault means for whoever reads the response."""

    ALLOWED = "allowed"
    """The standard lets a server send it; it is only worth knowing."""
    TOLERATED = "tolerated"
    """A server must not send it, but the response can be read, and the standard lets a client go on."""
    FATAL = "fatal"
    """Nobody can say for certain what the response is, or where it ends."""


class FramingFault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fault of one response: which rule, and what there was, in one printable line."""

    code: str
    """A key of `FRAMING_RULES`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FramingRule:
    """One row of the table; `words` say what a server did that broke it, `clause` who forbids or allows that."""

    code: str
    effect: Effect
    words: str
    clause: str


def _allowed(code: str, words: str, clause: str) -> FramingRule:
    return FramingRule(code=code, effect=Effect.ALLOWED, words=words, clause=clause)


def _tolerated(code: str, words: str, clause: str) -> FramingRule:
    return FramingRule(code=code, effect=Effect.TOLERATED, words=words, clause=clause)


def _fatal(code: str, words: str, clause: str) -> FramingRule:
    return FramingRule(code=code, effect=Effect.FATAL, words=words, clause=clause)


UNANNOUNCED_CLOSE: Final = "closed_unannounced"
"""The one fault that a client notes, not the reader: only it knows that the connection was used before."""

_TABLE: Final = (
    # -- what the standard allows -------------------------------------------------------------------------------------
    # "A server MAY send an HTTP/1.0 response to an HTTP/1.1 request if it is known or suspected that the client
    # incorrectly implements the HTTP specification". Simple proxies always do.
    _allowed("version_1_0", "the response is HTTP/1.0", "RFC 9112, 2.3"),
    # "A recipient that receives a message with a major version number that it implements and a minor version number
    # higher than what it implements SHOULD process the message as if it was in the highest minor version".
    _allowed("version_newer", "the version is newer than HTTP/1.1", "RFC 9110, 6.2"),
    # "Otherwise, this is a response message without a declared message body length, so the message body length is
    # determined by the number of octets received prior to the server closing the connection."
    _allowed("until_close", "the body ends where the connection is closed", "RFC 9112, 6.3"),
    # "A client MUST be able to parse one or more 1xx responses received prior to a final response, even if the client
    # does not expect one."
    _allowed("interim", "an interim response came first", "RFC 9110, 15.2"),
    # "A recipient MUST ignore unrecognized chunk extensions."
    _allowed("chunk_extension", "a chunk has an extension", "RFC 9112, 7.1.1"),
    # "A trailer section allows the sender to include additional fields at the end of a chunked message".
    _allowed("trailers", "there are trailer fields behind the body", "RFC 9112, 7.1.2"),
    # "A recipient SHOULD treat other allowed octets in field content (i.e., obs-text) as opaque data."
    _allowed("obs_text", "a header value holds bytes beyond ASCII", "RFC 9110, 5.5"),
    # -- what it forbids a server, and lets a client put up with ------------------------------------------------------
    # Of data between responses: "the client SHOULD close the connection, since message delimitation is now ambiguous,
    # unless the data consists only of one or more CRLF (which can be discarded per Section 2.2)" (9.2).
    _tolerated("blank_line", "a blank line stands outside of the response", "RFC 9112, 2.1 and 9.2"),
    # "Although the line terminator for the start-line and fields is the sequence CRLF, a recipient MAY recognize a
    # single LF as a line terminator and ignore any preceding CR."
    _tolerated("bare_lf", "a line ends with LF alone", "RFC 9112, 2.2"),
    # "A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR with SP before
    # processing the element or forwarding the message."
    _tolerated("bare_cr", "a CR stands within a line", "RFC 9112, 2.2"),
    # "recipients MAY instead parse on whitespace-delimited word boundaries and, aside from the line terminator, treat
    # any form of whitespace as the SP separator while ignoring preceding or trailing whitespace".
    _tolerated("status_line_blanks", "the status line is not divided by single spaces", "RFC 9112, 4"),
    # "A server MUST send the space that separates the status-code from the reason-phrase even when the reason-phrase
    # is absent".
    _tolerated("status_line_short", "no space follows the status code", "RFC 9112, 4"),
    # "No whitespace is allowed between the field name and colon. […] A proxy MUST remove any such whitespace from a
    # response message before forwarding the message downstream."
    _tolerated("blank_before_colon", "there is white space between a header's name and the colon", "RFC 9112, 5.1"),
    # "A user agent that receives an obs-fold in a response message that is not within a "message/http" container MUST
    # replace each received obs-fold with one or more SP octets prior to interpreting the field value."
    _tolerated("folded_header", "a header is folded over several lines", "RFC 9112, 5.2"),
    # "a recipient of CR, LF, or NUL within a field value MUST either reject the message or replace each of those
    # characters with SP before further processing or forwarding of that message. Field values containing other CTL
    # characters are also invalid; however, recipients MAY retain such characters for the sake of robustness".
    _tolerated("control_character", "a control character stands in the head", "RFC 9110, 5.5"),
    # "unless the field value can be successfully parsed as a comma-separated list, all values in the list are valid,
    # and all values in the list are the same (in which case, the message is processed with that single value".
    _tolerated("length_repeated", "Content-Length is given more than once, with one value", "RFC 9112, 6.3"),
    # "A sender MUST NOT send a Content-Length header field in any message that contains a Transfer-Encoding header
    # field" (6.2); "the Transfer-Encoding overrides the Content-Length" (6.3).
    _tolerated("length_with_chunked", "there is a Content-Length besides Transfer-Encoding", "RFC 9112, 6.2 and 6.3"),
    # "A server MUST NOT send a Content-Length header field in any response with a status code of 1xx (Informational)
    # or 204 (No Content)."
    _tolerated("length_without_body", "a response that has no body has a Content-Length", "RFC 9110, 8.6"),
    # "A server MUST NOT send a Transfer-Encoding header field in any response with a status code of 1xx (Informational)
    # or 204 (No Content)."
    _tolerated("chunked_without_body", "a response that has no body has a Transfer-Encoding", "RFC 9112, 6.1"),
    # "A client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat the message as
    # if the framing is faulty, even if a Content-Length is present, and close the connection after processing".
    _tolerated("chunked_1_0", "an HTTP/1.0 response has a Transfer-Encoding", "RFC 9112, 6.1"),
    # "a sender MUST NOT generate multiple field lines with the same name in a message […] unless that field's
    # definition allows multiple field line values to be recombined as a comma-separated list".
    _tolerated("content_type_repeated", "Content-Type is given more than once, with one value", "RFC 9110, 5.3"),
    # "Recipients often attempt to handle this error by using the last syntactically valid member of the list, leading
    # to potential interoperability and security issues if different implementations have different error handling".
    _tolerated("content_type_conflict", "Content-Type is given with different values", "RFC 9110, 8.3"),
    # "none of the available representations for the response have a content coding that is listed as acceptable, the
    # origin server SHOULD send a response without any content coding": requests of ours accept `identity` alone.
    _tolerated("content_coding", "there is a Content-Encoding that was not asked for", "RFC 9110, 12.5.3"),
    # "The header's value is a single origin or *": browsers take a list for a failure.
    _tolerated("allow_origin_repeated", "Access-Control-Allow-Origin is given more than once", "Fetch, 3.3.3"),
    # chunk = chunk-size [ chunk-ext ] CRLF: no white space without an extension behind it. Old servers pad sizes.
    _tolerated("chunk_size_blanks", "a chunk's size is followed by white space", "RFC 9112, 7.1"),
    # "A message body that uses the chunked transfer coding is incomplete if the zero-sized chunk that terminates the
    # encoding has not been received": with it, the body is complete, even if the line after it is missing.
    _tolerated(
        "trailer_end_missing", "the connection was closed before the blank line behind the last chunk", "RFC 9112, 8"
    ),
    # "If the final response to the last request on a connection has been completely received and there remains
    # additional data to read, a user agent MAY discard the remaining data or attempt to determine if that data belongs
    # as part of the prior message body, which might be the case if the prior message's Content-Length value is
    # incorrect. A client MUST NOT process, cache, or forward such extra data as a separate response" (6.3).
    _tolerated("surplus", "bytes follow the end of the response", "RFC 9112, 6.3"),
    # -- what a connection shows between two responses ----------------------------------------------------------------
    # "A client that receives data on a connection that does not have any outstanding requests MUST NOT consider that
    # data to be a valid response; the client SHOULD close the connection, since message delimitation is now ambiguous".
    _tolerated("unasked", "bytes came on an idle connection", "RFC 9112, 9.2"),
    # "A server that does not support persistent connections MUST send the "close" connection option in every response
    # message that does not have a 1xx (Informational) status code" (9.3). Idle connections may be closed at any time.
    _tolerated(UNANNOUNCED_CLOSE, "a connection that was to be kept was closed without a word", "RFC 9112, 9.3"),
    # -- what leaves nothing to rely on -------------------------------------------------------------------------------
    # status-line = HTTP-version SP status-code SP [ reason-phrase ]
    _fatal("not_http", "the first line is no status line", "RFC 9112, 4"),
    # status-code = 3DIGIT
    _fatal("status_code", "the status code does not have three digits", "RFC 9112, 4"),
    # HTTP-version = HTTP-name "/" DIGIT "." DIGIT; "HTTP-version is case-sensitive."
    _fatal("version_unknown", "the version is not one of HTTP/1", "RFC 9112, 2.3"),
    # "A server MUST NOT switch to a protocol that was not indicated by the client in the corresponding request's
    # Upgrade header field."
    _fatal("switched", "the server changed the protocol", "RFC 9110, 7.8"),
    # field-line = field-name ":" OWS field-value OWS; field-name = token
    _fatal("header_line", "a line of the head is no header field", "RFC 9112, 5"),
    # "A recipient that receives whitespace between the start-line and the first header field MUST either reject the
    # message as invalid or consume each whitespace-preceded line without further processing".
    _fatal("head_blank", "white space stands before the first header field", "RFC 9112, 2.2"),
    # "If a message is received without Transfer-Encoding and with an invalid Content-Length header field, then the
    # message framing is invalid and the recipient MUST treat it as an unrecoverable error […] the user agent MUST close
    # the connection to the server and discard the received response."
    _fatal("length_invalid", "Content-Length is not a number of bytes", "RFC 9112, 6.3; RFC 9110, 8.6"),
    _fatal("length_conflict", "Content-Length is given with different values", "RFC 9112, 6.3"),
    # "chunked […] A sender MUST NOT apply the chunked transfer coding more than once to a message body"; other codings
    # want to be asked for by TE (RFC 9110, 10.1.4), which no request of ours has.
    _fatal("transfer_coding", "Transfer-Encoding is not `chunked`", "RFC 9112, 6.1 and 7"),
    # chunk-size = 1*HEXDIG; "A recipient MUST anticipate potentially large hexadecimal numerals and prevent parsing
    # errors due to integer conversion overflows".
    _fatal("chunk_size", "a chunk's size is not a hexadecimal number", "RFC 9112, 7.1"),
    # chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
    _fatal("chunk_end", "a chunk does not end where its size says", "RFC 9112, 7.1"),
    # "HTTP does not place a predefined limit on the length of each field line […] or on the length of a header or
    # trailer section as a whole"; "A client MAY discard or truncate received field lines that are larger than the
    # client wishes to process" (RFC 9110, 5.4): the limit is ours.
    _fatal("head_too_large", "the head does not end within the limit", "RFC 9110, 5.4"),
    _fatal("chunk_line_too_large", "a chunk's size line does not end within the limit", "RFC 9112, 7.1.1"),
)

FRAMING_RULES: Final = {rule.code: rule for rule in _TABLE}
"""Every rule by its code."""
