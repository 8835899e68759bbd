"""
Redacts a recording: everything but the API's own words is replaced, and the verdict stays the same.

What the judge looks at must survive: how a number was written, repeated keys, text that is not JSON. So bodies are not
parsed and written again. Only keys and strings in their text are replaced, and everything else stays byte for byte. Of
a body that is not JSON only the punctuation is kept. `redaction_rules` says what is kept. At the end the file is
searched for whatever was replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..api import strict_json
from ..api.errors import HarnessError, RecordingError, UsageError
from ..api.http1_faults import FRAMING_RULES, FramingFault
from ..api.input_budget import path_exists
from ..api.request_guard import ALLOWED_PATHS
from . import format as lines
from . import redaction_rules as rules
from .input_file import InputFile, UnreadablePart
from .json_strings import mask_base64, mask_text, replace_strings
from .output_file import open_recording_file, write_beside
from .pseudonyms import LABEL_PREFIX, PseudonymGenerator

DAMAGED_LINE: Final = b'{"damaged":true}\n'
"""Replaces a line that could not be read; it can't be read either."""

REDACTED_TEXT: Final = "redacted"
REDACTED_METHOD: Final = "REDACTED"
"""Replaces a sentence."""

NO_HASH: Final = "0" * 64
"""Replaces a hash."""

ID_SUFFIX: Final = "_id"

MIN_SEARCHED_LENGTH: Final = 8
"""The least length of a text that is searched for within other texts; a shorter one occurs by chance."""


S = TypeVar("S", str, None)


class RedactionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was replaced, and which texts were kept."""

    exchanges: int
    replaced: Mapping[str, int]
    """How many different texts were replaced, by kind: ids, labels, keys, hosts, other texts."""
    kept: tuple[str, ...]
    """The different texts that were kept in bodies and headers, except times, in order."""
    damaged: int
    """How many lines could not be read; a damaged line replaces each, so that they still count."""


def redact_recording(
    recording: str | Path, out: str | Path, *, key: bytes | None = None, tick: Callable[[], None] = lambda: None
) -> RedactionSummary:
    """
    Copy a recording, with pseudonyms for all texts except the API's own words.

    Lines keep their order. Memory grows with the number of different texts.

    Args:
        recording: A path, or `-` for the standard input.
        out: The file to write, compressed if its name ends in `.zst`; left as it was if it cannot be finished.
        key: The key of the pseudonyms: the same key gives the same ones; random if None.
        tick: Called at every line that is read or searched; what it raises passes through.

    Raises:
        RecordingError: The recording cannot be read.
        UsageError: `out` is the recording itself, or cannot be written.
        HarnessError: Something that was replaced is still in the result.
    """
    store = InputFile(recording)
    path = Path(out)
    if path_exists(path) and not path.is_file():
        raise UsageError(f"{path} is not a file: name one, since it is searched at the end")
    if path_exists(path) and path_exists(recording) and path.samefile(recording):
        raise UsageError(f"{path} would be written over itself: name another file")
    redactor = _LineRedactor(PseudonymGenerator(key))
    counts = {"lines": 0, "exchanges": 0, "damaged": 0}
    try:
        with write_beside(path) as beside:
            _copy_lines(store, beside, redactor, counts, tick)
            redactor.texts.search_file(beside, tick)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
    return RedactionSummary(
        exchanges=counts["exchanges"],
        replaced={kind: len(texts) for kind, texts in redactor.texts.replaced.items()},
        kept=tuple(sorted(redactor.texts.kept)),
        damaged=counts["damaged"],
    )


def _copy_lines(
    store: InputFile, path: Path, redactor: _LineRedactor, counts: dict[str, int], tick: Callable[[], None]
) -> None:
    sink = open_recording_file(path)
    try:
        for line in _decode_lines(store):
            tick()
            counts["damaged"] += line is None
            counts["lines"] += line is not None
            counts["exchanges"] += isinstance(line, lines.RecordedExchange)
            if isinstance(line, lines.RecordingHeader):
                lines.check_recording_version(line, store.name)
            sink.write(DAMAGED_LINE if line is None else lines.encode_line(redactor.redact_line(line)))
    finally:
        sink.end_frame()
        sink.close()
    if not counts["lines"]:
        raise RecordingError(f"{store.name} is not a recording: it has no line of a recording")


def _decode_lines(store: InputFile) -> Iterator[lines.RecordingLine | None]:
    """Every line; None for one that cannot be read."""
    for piece in store.lines():
        if isinstance(piece, UnreadablePart):
            yield None
        else:
            try:
                yield lines.decode_line(piece)
            except lines.DamagedLineError:
                if piece.endswith(b"\n"):
                    yield None


class _SeenTexts:
    """The texts that were kept and those that were replaced."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.formed: set[str] = set()
        """Texts that were kept because of their form: ids of probes, loopback addresses, names of headers."""
        self.replaced: dict[str, set[str]] = {
            "ids": set(),
            "labels": set(),
            "keys": set(),
            "hosts": set(),
            "texts": set(),
        }
        self._allowed = rules.documented_keys() | rules.documented_values() | rules.format_words()

    def keep(self, text: str) -> str:
        self.kept.add(text)
        return text

    def keep_form(self, text: str) -> str:
        self.formed.add(text)
        return text

    def search_file(self, path: Path, tick: Callable[[], None]) -> None:
        """
        Search the written file for replaced texts.

        Raises:
            HarnessError: One of them is still there; the message doesn't repeat it.
        """
        known = self._allowed | self.kept | self.formed
        replaced = {text for texts in self.replaced.values() for text in texts if len(set(text)) > 1}
        originals = replaced - self._allowed - {REDACTED_TEXT, REDACTED_METHOD}
        beginnings: dict[str, list[str]] = {}
        for text in originals:
            if len(text) >= MIN_SEARCHED_LENGTH:
                beginnings.setdefault(text[:MIN_SEARCHED_LENGTH], []).append(text)

        @lru_cache(1 << 16)
        def search(string: str) -> None:
            if string in known or rules.TIME.fullmatch(string):
                return
            if string in originals or any(
                string.startswith(text, place)
                for place in range(len(string) - MIN_SEARCHED_LENGTH + 1)
                for text in beginnings.get(string[place : place + MIN_SEARCHED_LENGTH], ())
            ):
                raise HarnessError(
                    "the result would still contain a replaced text, so it was not written: please report this"
                )
            if '"' in string:
                replace_strings(string, search_key, search_string)

        def search_key(key: str) -> str:
            search(key)
            return key

        def search_string(_: str | None, string: str) -> str:
            search(string)
            return string

        for piece in InputFile(path).lines():
            tick()
            if isinstance(piece, bytes):
                replace_strings(piece.decode("utf-8"), search_key, search_string)


class _LineRedactor:
    """Puts pseudonyms into lines."""

    def __init__(self, pseudonyms: PseudonymGenerator) -> None:
        self._pseudonyms = pseudonyms
        self.texts = _SeenTexts()
        self._keys = rules.documented_keys()
        self._values = rules.documented_values()

    def redact_line(self, line: lines.RecordingLine) -> lines.RecordingLine:
        if isinstance(line, lines.RecordingHeader):
            return msgspec.structs.replace(
                line,
                run=self._redact_run(line.run),
                subject=self._redact_url(line.subject),
                edition=line.edition
                if line.edition in rules.format_words()
                else self._redact_string(None, line.edition),
                harness_version=self._keep_or_replace(line.harness_version, rules.VERSION, "0"),
                options=self._redact_options(line.options),
            )
        if isinstance(line, lines.RecordingEnd):
            why = self._redact_reason(line.why) if line.why is not None else None
            return msgspec.structs.replace(line, end=self._redact_run(line.end), why=why)
        return msgspec.structs.replace(
            line,
            server=self._redact_url(line.server),
            probe=self._keep_or_replace(line.probe, rules.IDENTIFIER, REDACTED_TEXT)
            if line.probe is not None
            else None,
            clock=self._replace("texts", line.clock, self._pseudonyms.pseudonym_of_clock(line.clock)),
            sent_at=self._keep_or_replace(line.sent_at, rules.TIME, ""),
            request=self._redact_request(line.request),
            response=self._redact_response(line.response) if line.response is not None else None,
            error=self._redact_error(line.error) if line.error is not None else None,
            faults=UNSET if line.faults is UNSET else tuple(map(self._redact_fault, line.faults)),
        )

    def _redact_request(self, part: lines.RecordedRequest) -> lines.RecordedRequest:
        packed: str | UnsetType = UNSET
        if part.body_base64 is not UNSET:
            packed = mask_base64(part.body_base64)
        return msgspec.structs.replace(
            part,
            method=part.method
            if part.method in rules.METHODS
            else self._replace("texts", part.method, REDACTED_METHOD),
            path=self.texts.keep_form(part.path)
            if part.path in ALLOWED_PATHS
            else self._replace("texts", part.path, f"/{REDACTED_TEXT}"),
            headers=self._redact_headers(part.headers, 0),
            body=self._redact_body(part.body) if part.body is not None else None,
            body_base64=packed,
        )

    def _redact_response(self, part: lines.RecordedResponse) -> lines.RecordedResponse:
        changes: dict[str, Any] = {}  # Any: what the struct's keys hold
        grown = 0
        if isinstance(part.json, Raw):
            old = bytes(part.json)
            new = self._redact_body(old.decode("utf-8")).encode("utf-8")
            changes, grown = {"json": Raw(new)}, len(new) - len(old)
        elif isinstance(part.body, str):
            text = self._redact_body(part.body)
            changes, grown = {"body": text}, len(text.encode("utf-8")) - len(part.body.encode("utf-8"))
        elif isinstance(part.body_base64, str):
            changes = {"body_base64": mask_base64(part.body_base64)}
        if part.excerpt is not UNSET:  # the hash would let anybody test a guess of the whole body
            excerpt = part.excerpt
            changes["excerpt"] = msgspec.structs.replace(excerpt, length=excerpt.length + grown, sha256=NO_HASH)
        return msgspec.structs.replace(part, headers=self._redact_headers(part.headers, grown), **changes)

    def _redact_error(self, part: lines.RecordedError) -> lines.RecordedError:
        return msgspec.structs.replace(part, detail=self._replace("texts", part.detail, REDACTED_TEXT))

    def _redact_fault(self, fault: FramingFault) -> FramingFault:
        """The same fault in its rule's words, since its text may quote bytes from the server."""
        rule = FRAMING_RULES.get(fault.code)
        words = REDACTED_TEXT if rule is None else rule.words
        code = REDACTED_TEXT if rule is None else fault.code
        return FramingFault(
            code=self._replace("texts", fault.code, code), text=self._replace("texts", fault.text, words)
        )

    def _redact_body(self, text: str) -> str:
        """Redact a body that is text: its keys and strings if it is JSON, else everything but its punctuation."""
        return replace_strings(text, self._redact_key, self._redact_string) if _is_json(text) else mask_text(text)

    def _redact_key(self, key: str) -> str:
        if key in self._keys:
            return key
        if key.startswith(LABEL_PREFIX):
            return self._replace("labels", key, self._pseudonyms.pseudonym_of_label(key))
        return self._replace("keys", key, self._pseudonyms.pseudonym_of_id(key))

    def _redact_string(self, key: str | None, text: str) -> str:
        is_id = key is not None and key.endswith(ID_SUFFIX)
        if not is_id:
            if rules.TIME.fullmatch(text):
                return text
            if text in self._values:
                return self.texts.keep(text)
        if text.startswith(LABEL_PREFIX):
            return self._replace("labels", text, self._pseudonyms.pseudonym_of_label(text))
        return self._replace("ids" if is_id else "texts", text, self._pseudonyms.pseudonym_of_id(text))

    def _redact_headers(self, headers: Iterable[lines.HeaderField], grown: int) -> tuple[lines.HeaderField, ...]:
        """Redact headers; Content-Length grows with the body, whether it was right or wrong."""
        kept: list[lines.HeaderField] = []
        for name, value in headers:
            if not rules.keeps_header_name(name):
                name = self._replace("keys", name, f"x-{self._pseudonyms.pseudonym_of_id(name)}")
                value = self._replace("texts", value, None) if value else value
            elif value and not rules.keeps_header_value(name, value):
                value = self._replace("texts", value, None)
            elif value and name.lower() == "content-length":
                value = str(max(0, int(value) + grown))
            elif value:
                self.texts.keep(value)
            kept.append((self.texts.keep_form(name), value))
        return tuple(kept)

    def _redact_url(self, text: str) -> str:
        new = self._pseudonyms.pseudonym_of_url(text)
        if new == text:
            return self.texts.keep_form(text)
        if (host := re.match(r"[a-z]+://(?:[^@/]*@)?(\[[^\]]*\]|[^/:?#]*)", text)) and host[1]:
            self.texts.replaced["hosts"].add(host[1].strip("[]"))
        return self._replace("texts", text, new)

    def _redact_reason(self, text: str) -> str:
        """Keep the known parts of the reason for which a run ended itself."""
        parts = [self._redact_url(part) if "://" in part else part for part in rules.ENDING.findall(text)]
        return self._replace("texts", text, self.texts.keep_form(" ".join(parts) or REDACTED_TEXT))

    def _redact_run(self, run: str) -> str:
        return self.texts.keep_form(run) if rules.UUID.fullmatch(run) else self._redact_string("run_id", run)

    def _redact_options(self, options: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
        """The options of a header line that say what its run could see; the others are dropped."""
        kept: dict[str, Any] = {
            key: [
                self.texts.keep_form(word)
                for word in options[key]
                if isinstance(word, str) and rules.IDENTIFIER.fullmatch(word)
            ]
            for key in rules.SCOPE_OPTIONS
            if isinstance(options.get(key), list)
        }
        if isinstance(nodes := options.get("nodes"), list):
            kept["nodes"] = [self._redact_url(node) for node in nodes if isinstance(node, str)]
        return kept

    def _keep_or_replace(self, text: str, form: re.Pattern[str], new: str) -> str:
        return self.texts.keep_form(text) if form.fullmatch(text) else self._replace("texts", text, new)

    def _replace(self, kind: str, old: str, new: S) -> S:
        if old and new != old:
            self.texts.replaced[kind].add(old)
        return new


def _is_json(text: str) -> bool:
    try:
        strict_json.parse_strict_json(text.encode("utf-8"))
    except strict_json.StrictJsonError:
        return False
    return True
