"""
Says what is kept in a redacted recording. Everything else is replaced, so nothing has to be recognised as private.

Only the API's own words are kept: documented keys and enumerations, times, operations, and headers whose values have a
form that can't identify anybody.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from ..api.edition import load_edition, shipped_edition_names
from ..api.exchange import TARGET_HEADER, TARGET_OF_OPERATION, ErrorCode, Target
from ..api.http1_faults import FRAMING_RULES
from ..api.request_guard import INVENTED_TARGETS
from ..api.secret_redaction import ALLOWED_REQUEST_HEADERS, ALLOWED_RESPONSE_HEADERS
from . import format as lines

TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]+(?:[Zz]|[+-][0-9:]+)")

IDENTIFIER: Final = re.compile(r"[a-z]{2,12}(?:\.[a-z_]{2,24}){0,3}")
"""The form of requirement ids and capabilities: `request.shape.invalid_json`, `probes`."""

UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}(?:[ab.]?(?:dev|rc)?[0-9]+)?")

URL: Final = re.compile(r"https?://(?:\[[^\]]*\]|[^\s/:,;]*)(?::[0-9]+)?")

ENDING: Final = re.compile(
    rf"{URL.pattern}|aborted at (?:errors|violations|findings)[<>=]+[0-9.]+%?|gives no complete response"
    r"|stopped responding|the run (?:was cut off|ended early)"
)
"""The parts that are kept of the reason for which a run ended itself."""

METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})

SCOPE_OPTIONS: Final = ("observes", "excluded")
"""Options of a header line that say what its run could see: values of `RequiredCapability`, and requirement ids."""

ERROR_TYPES: Final = frozenset(
    {
        "InternalError",
        "InvalidJSON",
        "InvalidTarget",
        "MissingHeaderName",
        "MissingService",
        "MissingTarget",
        "MissingTargetFunction",
        "NotFound",
        "NotRecorded",
        "SchemaNotFound",
        "UnexpectedMethod",
    }
)

_REFUSAL_KEYS: Final = frozenset(
    ["type", "data", "error", "invalid", "path", "schema", "service", "version", "operation", "properties", "required"]
)
_JSON_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_REFUSAL_WORDS: Final = _JSON_TYPES | {"data", "parse", "wrong_type", "missing_required_property"}
"""Words in the bodies of refusals, besides the error types."""

_TARGET_NAMES: Final = (*(target.value for target in Target), *sorted(INVENTED_TARGETS))

_REQUEST_KEYS: Final = frozenset({"channel_id", "client_id", "connection_id", "local", "error_type", "error_reason"})

_HTTP_DATE: Final = r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"

_HEADER_VALUES: Final = {
    TARGET_HEADER: "|".join(map(re.escape, _TARGET_NAMES)),
    "content-type": r"(?:application/(?:json|xml|octet-stream|problem\+json)|text/(?:html|plain|xml))"
    r"(?: *; *charset=\"?(?:utf-8|us-ascii|iso-8859-1)\"?)?",
    "content-length": "[0-9]+",
    "content-encoding": "gzip|deflate|br|zstd|identity",
    "transfer-encoding": "chunked|identity",
    "connection": "close|keep-alive",
    "server": r"(?:Apache|Cowboy|envoy|nginx|sora-harness-simulator|uvicorn|Caddy|HAProxy)(?:/[0-9.]+)?",
    "date": _HTTP_DATE,
    "expires": _HTTP_DATE,
    "last-modified": _HTTP_DATE,
    "age": "[0-9]+",
    "retry-after": "[0-9]+",
    "x-cache": "HIT|MISS|BYPASS|EXPIRED|STALE|UPDATING|REVALIDATED",
}
"""The form of the values that are kept, by header name; both are case-insensitive."""


@cache
def documented_keys() -> frozenset[str]:
    """The keys of all shipped editions, and those of requests and errors."""
    editions = map(load_edition, shipped_edition_names())
    fields = [field for edition in editions for field in (*edition.fields, *edition.undocumented)]
    return _REQUEST_KEYS | _REFUSAL_KEYS | {part for field in fields for part in field.path}


@cache
def documented_values() -> frozenset[str]:
    """The enumerations of all shipped editions, and the words of refusals."""
    editions = map(load_edition, shipped_edition_names())
    named = {word for name in _TARGET_NAMES for word in re.split(r"[_.]", name)} - {""}
    words = ERROR_TYPES | _REFUSAL_WORDS | _REQUEST_KEYS | named
    return words | {value for edition in editions for field in edition.fields for value in field.values or ()}


@cache
def format_words() -> frozenset[str]:
    """The words of the recording's format itself."""
    structs = (
        lines.RecordingHeader,
        lines.RecordedExchange,
        lines.RecordedRequest,
        lines.RecordedResponse,
        lines.RecordedError,
        lines.RecordingEnd,
    )
    names = {name for struct in structs for name in struct.__struct_fields__}
    editions = set(shipped_edition_names())
    codes = {code.value for code in ErrorCode} | {
        word for code, rule in FRAMING_RULES.items() for word in (code, rule.words)
    }
    return frozenset(
        names | editions | set(TARGET_OF_OPERATION) | METHODS | codes | {lines.RECORDING_FORMAT, "damaged"}
    )


def keeps_header_name(name: str) -> bool:
    """Whether a header's name is a standard one."""
    known = ALLOWED_REQUEST_HEADERS | ALLOWED_RESPONSE_HEADERS | _HEADER_VALUES.keys()
    return name.lower() in known | {"location", "set-cookie", "www-authenticate"}


def keeps_header_value(name: str, value: str) -> bool:
    """Whether a header's value has a form that can't identify anybody."""
    form = _HEADER_VALUES.get(name.lower())
    return form is not None and re.fullmatch(form, value, re.IGNORECASE) is not None
