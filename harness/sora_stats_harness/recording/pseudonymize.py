"""
Redacting a recording so that it can be passed on: ids, labels and hosts are replaced, and its verdict stays the same.

What the judge looks at must survive: how a number was written, repeated keys, text that is no JSON. So bodies are not
parsed and written again. Only strings in their text are replaced, and everything else stays byte for byte. A body that
is no JSON may hold an id anywhere, so only its punctuation is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..api import strict_json
from ..api.errors import RecordingError, UsageError
from ..api.exchange import TARGET_HEADER
from ..api.http1_faults import FRAMING_RULES, FramingFault
from . import format as lines
from .format import (
    DamagedLineError,
    HeaderField,
    RecordedError,
    RecordedExchange,
    RecordedRequest,
    RecordedResponse,
    RecordingEnd,
    RecordingHeader,
)
from .input_file import InputFile, UnreadablePart
from .json_strings import ID_SUFFIX, mask_base64, mask_text, replace_strings
from .output_file import open_recording_file
from .pseudonyms import LABEL_PREFIX, PseudonymGenerator

KEPT_HEADERS: Final = frozenset(
    {
        TARGET_HEADER,
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "server",
        "date",
        "age",
        "x-cache",
    }
)
"""Headers whose values are kept: checks look at them, and they name neither hosts nor people."""

KEPT_OPTIONS: Final = frozenset({"observes", "excluded", "targets"})
"""Options of a header line that hold only words of the harness."""

DAMAGED_LINE: Final = b'{"damaged":true}\n'
"""Replaces a line that could not be read, and cannot be read either."""

MIN_FREE_TEXT_LENGTH: Final = 8
"""The least length of an id that is also replaced inside other strings; a shorter one would be found in any word."""

DOCUMENTED_VALUES: Final = frozenset({"sendrecv", "sendonly", "recvonly"})
"""Values of the API itself, which are kept even if a channel has such a name."""

_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]+(?:[Zz]|[+-][0-9:]+)")


class RedactionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was replaced."""

    exchanges: int
    ids: int
    labels: int
    hosts: int
    damaged: int
    """Lines that could not be read; a damaged line replaces each, so that they still count."""


def redact_recording(
    recording: str | Path, out: str | Path, *, key: bytes | None = None, tick: Callable[[], None] = lambda: None
) -> RedactionSummary:
    """
    Copy a recording with pseudonyms for connection, client, channel and bundle ids, labels, and hosts.

    Lines keep their order. The recording is read twice: ids are also replaced inside other strings, so all of them must
    be known first. Memory grows with the number of different ids.

    Args:
        recording: A path, or `-` for the standard input.
        out: The file to write, compressed if its name ends in `.zst`; deleted again if it cannot be finished.
        key: The same key gives the same pseudonyms; random if None.
        tick: Called at every line; what it raises passes through.

    Raises:
        RecordingError: The recording cannot be read.
        UsageError: `out` is the recording itself, or cannot be written.
    """
    store = InputFile(recording)
    path = Path(out)
    if path.exists() and Path(recording).exists() and path.samefile(recording):
        raise UsageError(f"{path} would be written over itself: name another file")
    names = _collect_names(store, tick)
    if not names.lines:
        raise RecordingError(f"{store.name} is no recording: none of its lines is one of a recording's")
    redactor = _LineRedactor(names, PseudonymGenerator(key))
    try:
        sink = open_recording_file(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
    try:
        try:
            for line in _decode_lines(store):
                tick()
                sink.write(DAMAGED_LINE if line is None else lines.encode_line(redactor.redact_line(line)))
        finally:
            sink.end_frame()
            sink.close()
    except BaseException as error:
        if path.is_file():
            path.unlink()
        if isinstance(error, OSError):
            raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
        raise
    return RedactionSummary(
        exchanges=names.exchanges,
        ids=len(names.ids),
        labels=len(names.labels),
        hosts=len(names.hosts),
        damaged=names.damaged,
    )


class _RecordedNames:
    """The names that were found in a recording."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.labels: set[str] = set()
        self.hosts: set[str] = set()
        self.lines = 0
        self.exchanges = 0
        self.damaged = 0


def _collect_names(store: InputFile, tick: Callable[[], None]) -> _RecordedNames:
    names = _RecordedNames()

    def note(key: str | None, text: str) -> str:
        for string in (key, text):
            if string is not None and string.startswith(LABEL_PREFIX):
                names.labels.add(string)
        if key is not None and key.endswith(ID_SUFFIX) and text:
            names.ids.add(text)
        return text

    for line in _decode_lines(store):
        tick()
        if line is None:
            names.damaged += 1
            continue
        names.lines += 1
        if isinstance(line, RecordingHeader):
            lines.check_recording_version(line, store.name)
            names.hosts.update(_hosts_of_server(line.subject))
        if not isinstance(line, RecordedExchange):
            continue
        names.exchanges += 1
        names.hosts.update(_hosts_of_server(line.server))
        for text in _json_bodies(line):
            replace_strings(text, note)
    return names


def _decode_lines(store: InputFile) -> Iterator[lines.RecordingLine | None]:
    """Every line; None for one that cannot be read."""
    for piece in store.lines():
        if isinstance(piece, UnreadablePart):
            yield None
        elif piece.strip():
            try:
                yield lines.decode_line(piece)
            except DamagedLineError:
                if piece.endswith(b"\n"):
                    yield None


def _json_bodies(line: RecordedExchange) -> Iterator[str]:
    """The bodies of an exchange that are JSON."""
    if isinstance(line.request.body, str) and _is_json(line.request.body):
        yield line.request.body
    if line.response is not None:
        if isinstance(line.response.json, Raw):
            yield bytes(line.response.json).decode("utf-8")
        elif isinstance(line.response.body, str) and _is_json(line.response.body):
            yield line.response.body


def _hosts_of_server(server: str) -> Iterable[str]:
    found = re.match(r"[a-z]+://(\[[^\]]*\]|[^/:?#]*)", server)
    return (found[1].strip("[]"),) if found is not None and found[1] else ()


class _LineRedactor:
    """Puts pseudonyms into lines."""

    def __init__(self, names: _RecordedNames, pseudonyms: PseudonymGenerator) -> None:
        self._names = names
        self._pseudonyms = pseudonyms
        self._inner = sorted(
            (name for name in names.ids | names.labels if len(name.encode()) >= MIN_FREE_TEXT_LENGTH),
            key=len,
            reverse=True,
        )
        self._hosts = [
            host for host in sorted(names.hosts, key=len, reverse=True) if pseudonyms.pseudonym_of_host(host) != host
        ]
        self.free = lru_cache(1 << 14)(self._redact_free_text)

    def redact_line(self, line: lines.RecordingLine) -> lines.RecordingLine:
        if isinstance(line, RecordingHeader):
            return msgspec.structs.replace(
                line, subject=self._redact_url(line.subject), options=self._redact_option(line.options)
            )
        if isinstance(line, RecordingEnd):
            return msgspec.structs.replace(line, why=self.free(line.why)) if line.why is not None else line
        return msgspec.structs.replace(
            line,
            server=self._redact_url(line.server),
            clock=self._pseudonyms.pseudonym_of_clock(line.clock),
            request=self._redact_request(line.request),
            response=self._redact_response(line.response) if line.response is not None else None,
            error=self._redact_error(line.error) if line.error is not None else None,
            faults=UNSET if line.faults is UNSET else tuple(map(_redact_fault, line.faults)),
        )

    def _redact_request(self, part: RecordedRequest) -> RecordedRequest:
        body: str | None = None
        if part.body is not None:
            body = self._redact_body_text(part.body)
        packed: str | UnsetType = UNSET
        if part.body_base64 is not UNSET:
            packed = mask_base64(part.body_base64)
        return msgspec.structs.replace(
            part, path=self.free(part.path), headers=_headers(part.headers, 0), body=body, body_base64=packed
        )

    def _redact_response(self, part: RecordedResponse) -> RecordedResponse:
        if isinstance(part.json, Raw):
            old = bytes(part.json)
            new = replace_strings(old.decode("utf-8"), self._redact_string).encode("utf-8")
            return msgspec.structs.replace(part, json=Raw(new), headers=_headers(part.headers, len(new) - len(old)))
        if isinstance(part.body, str):
            text = self._redact_body_text(part.body)
            grown = len(text.encode("utf-8")) - len(part.body.encode("utf-8"))
            return msgspec.structs.replace(part, body=text, headers=_headers(part.headers, grown))
        if isinstance(part.body_base64, str):
            return msgspec.structs.replace(
                part, body_base64=mask_base64(part.body_base64), headers=_headers(part.headers, 0)
            )
        return msgspec.structs.replace(part, headers=_headers(part.headers, 0))

    def _redact_error(self, part: RecordedError) -> RecordedError:
        return msgspec.structs.replace(part, detail=self.free(part.detail))

    def _redact_body_text(self, text: str) -> str:
        """Redact a body that is text: its strings where it is JSON, else everything but its punctuation."""
        return replace_strings(text, self._redact_string) if _is_json(text) else mask_text(text)

    def _redact_string(self, key: str | None, text: str) -> str:
        if text.startswith(LABEL_PREFIX):
            return self._pseudonyms.pseudonym_of_label(text)
        if key is not None and key.endswith(ID_SUFFIX):
            return self._pseudonyms.pseudonym_of_id(text)
        if text in DOCUMENTED_VALUES or _TIME.fullmatch(text):
            return text
        if text in self._names.ids:
            return self._pseudonyms.pseudonym_of_id(text)
        return self.free(text)

    def _redact_free_text(self, text: str) -> str:
        """Replace ids, labels and hosts of this recording anywhere in a text."""
        found = [name for name in self._inner if name in text]
        found += [host for host in self._hosts if host in text]
        if not found:
            return text
        return re.sub("|".join(map(re.escape, found)), lambda match: self._redact_name(match[0]), text)

    def _redact_name(self, name: str) -> str:
        if name.startswith(LABEL_PREFIX):
            return self._pseudonyms.pseudonym_of_label(name)
        return (
            self._pseudonyms.pseudonym_of_host(name)
            if name in self._names.hosts
            else self._pseudonyms.pseudonym_of_id(name)
        )

    def _redact_url(self, text: str) -> str:
        return self._pseudonyms.pseudonym_of_url(text) if "://" in text else self.free(text)

    def _redact_option(self, value: Any, key: str | None = None) -> Any:  # Any: JSON
        if isinstance(value, str):
            if key in KEPT_OPTIONS:
                return value
            return self._pseudonyms.pseudonym_of_url(value) if "://" in value else self._redact_string(key, value)
        if isinstance(value, Mapping):
            return {name: self._redact_option(below, str(name)) for name, below in value.items()}
        if isinstance(value, list):
            return [self._redact_option(below, key) for below in value]
        return value


def _is_json(text: str) -> bool:
    try:
        strict_json.parse_strict_json(text.encode("utf-8"))
    except strict_json.StrictJsonError:
        return False
    return True


def _headers(headers: Iterable[HeaderField], grown: int) -> tuple[HeaderField, ...]:
    """Headers with the values that are kept; Content-Length grows with the body, whether it was right or wrong."""
    kept: list[HeaderField] = []
    for name, value in headers:
        lower = name.lower()
        if value is None or lower not in KEPT_HEADERS:
            kept.append((name, None))
        elif lower == "content-length" and grown and value.isascii() and value.isdecimal():
            kept.append((name, str(max(0, int(value) + grown))))
        else:
            kept.append((name, value))
    return tuple(kept)


def _redact_fault(fault: FramingFault) -> FramingFault:
    """The same fault in its rule's words: the text may quote bytes of the server's."""
    return FramingFault(code=fault.code, text=FRAMING_RULES[fault.code].words)
