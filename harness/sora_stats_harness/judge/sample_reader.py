"""
Reads the samples in a response's body, and finds where their shape deviates.

Three paths give the same result. A body of the documented shape is only decoded. A body that deviates as the server did
before is decoded as well, since the decoder has learned to accept those places unread, and their values are judged one
by one; if only unknown keys are wrong, they are cut out first. Any other body is parsed strictly and surveyed, and its
deviations are learned for the next time. The accelerator, if available, does the decoding of the first two, and finds
repeated keys on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from ..api.edition import Edition
from ..api.strict_json import JsonLimitError, StrictJsonError, parse_strict_json
from . import shape_deviations as shape
from .accelerator import REPEATED_KEY, ScannedConnection
from .checks.relations import RelationFilter, resolve_relations
from .checks.shape import TYPE, UNKNOWN
from .edition_decoder import EditionDecoder
from .lenient_values import NeedsSlowPath, judge_raw_value
from .sample import ParsedBody, Sample
from .sample_builder import SampleBuilder
from .shape_deviations import ShapeDeviation
from .surveyed_sample import is_learnable, survey_sample
from .unknown_keys import cut_unknown_keys

CONNECTIONS_PER_SLICE: Final = 16
"""How many connections of an array are decoded between two pauses."""

SLICE_BYTES: Final = 256 << 10
"""How many bytes of large connections are read between two pauses."""

ALWAYS_DECODED_BYTES: Final = 4 << 20
"""Bodies up to this size are parsed whatever their content."""

MAX_CONNECTION_BYTES: Final = 16 << 20
"""A larger connection is not parsed: a thousand times the usual size."""

MAX_SEEN_ONCE: Final = 1024
"""How many unknown keys are remembered until they come again; learning one costs as much as decoding 100 bodies."""

MAX_PREPARED_EDITIONS: Final = 8

_REJECTIONS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, StrictJsonError, NeedsSlowPath)
"""The exceptions that mean that a body must be surveyed."""


@lru_cache(MAX_PREPARED_EDITIONS)
def _prepare_edition(edition: Edition) -> tuple[EditionDecoder, RelationFilter]:
    """The parts that all judges of an edition share; cached, since each test makes a judge."""
    codec = EditionDecoder(edition)
    return codec, RelationFilter(resolve_relations(codec.blocks))


class SampleReader:
    """Reads bodies by one edition, and learns their deviations. For one thread."""

    def __init__(self, edition: Edition, *, accelerated: bool = True) -> None:
        self.edition = edition
        codec, relations = _prepare_edition(edition)
        self.codec: EditionDecoder = codec.copy()
        self.relations: RelationFilter = relations
        """The relations whose counters this edition has."""
        self._seen_once: set[tuple[str, ...]] = set()
        """Unknown keys that came once."""
        self._builder: SampleBuilder | None = None
        """None if every connection is surveyed."""
        if self.codec.is_usable:
            self._builder = SampleBuilder(self.codec, relations.rows, accelerated=accelerated)

    def read(self, body: bytes, many: bool, scan: bool) -> ParsedBody:
        """
        Read a whole body.

        Args:
            body: A response's bytes.
            many: Whether it should be an array of connections, rather than one.
            scan: Whether to search a body that the decoder accepts for repeated keys, which costs a second parsing.
                Without it they are found only if something else deviates. The accelerator always searches for them.
        """
        builder = self._builder
        parsed: ParsedBody | None = None
        if builder is not None:
            taken = builder.scan(body, many) if builder.scan is not None else 0
            if isinstance(taken, list):
                samples = self._take_scan(builder, taken, 0 if many else None)
                if samples is not None:
                    return ParsedBody(samples, True, True)  # scanned, strict
            parsed = self._decode(builder, body, many, scan or taken == REPEATED_KEY)
        if parsed is None:
            *_, parsed = self.read_in_slices(body, many=many, scan=scan)
        assert parsed is not None, "it ends with a result"
        return parsed

    def _take_scan(
        self, builder: SampleBuilder, taken: list[ScannedConnection], first: int | None
    ) -> list[Sample] | None:
        """Make samples of what the accelerator accepted; None if it must be read in Python after all."""
        unlearned: list[ShapeDeviation] = []
        try:
            samples = builder.from_scan(taken, first, unlearned)
        except (StrictJsonError, NeedsSlowPath):
            return None
        if unlearned:
            self._learn(builder, unlearned)
        return samples

    def _decode(self, builder: SampleBuilder, body: bytes, many: bool, scan: bool) -> ParsedBody | None:
        """Decode a body; None if the decoder doesn't accept it."""
        try:
            decoded = self.codec.many.decode(body) if many else [self.codec.one.decode(body)]
            samples = [builder.from_struct(value, index if many else None) for index, value in enumerate(decoded)]
            if not scan or not parse_strict_json(body).duplicates:
                return ParsedBody(samples=samples, scanned=scan)
        except _REJECTIONS:
            pass
        return None

    def read_in_slices(self, body: bytes, *, many: bool, scan: bool) -> Iterator[ParsedBody | None]:
        """As `read`, but connection by connection: yields None after every few, and finally the result."""
        if is_implausibly_dense(body):
            yield ParsedBody(deviations=[_density_deviation(body)], scanned=True, slow=1)
            return
        try:
            pieces: list[Any] = self.codec.split.decode(body) if many else [body]  # Any: bytes or raw JSON
        except (msgspec.MsgspecError, RecursionError):
            yield _explain_rejected_array(body)
            return
        result = ParsedBody(scanned=True)
        exceeded: ParsedBody | None = None
        taken = 0
        start = 1 if many else 0
        """Approximately where the piece begins: white space between pieces is not counted."""
        for index, raw in enumerate(pieces):
            piece = bytes(raw)
            try:
                self._read_element(piece, index if many else None, scan, result)
            except StrictJsonError as error:
                place = f" (in element {index} of the array)" if many else ""
                fault = _explain_fault(error, place, start)
                if not fault.exceeded:
                    yield fault
                    return
                exceeded = exceeded or fault  # another element may not be JSON at all
            taken += len(piece)
            start += len(piece) + 1
            if index % CONNECTIONS_PER_SLICE == CONNECTIONS_PER_SLICE - 1 or taken >= SLICE_BYTES:
                taken = 0
                yield None
        yield exceeded or result

    def _read_element(self, piece: bytes, index: int | None, scan: bool, result: ParsedBody) -> None:
        """
        Read one connection into a result.

        Raises:
            StrictJsonError: It is not strict JSON.
        """
        builder = self._builder
        known: Sample | None = None
        if builder is not None:
            taken = builder.scan(piece, False) if builder.scan is not None else 0
            if isinstance(taken, list) and (samples := self._take_scan(builder, taken, index)) is not None:
                result.samples += samples
                return
            scan = scan or taken == REPEATED_KEY
            try:
                known = builder.from_struct(self.codec.one.decode(piece), index)
            except _REJECTIONS as error:
                known = self._read_without_unknown_keys(builder, piece, index, error)
        if known is None and len(piece) > MAX_CONNECTION_BYTES:
            result.slow += 1
            wire = () if index is None else (str(index),)
            result.deviations.append(msgspec.structs.replace(_density_deviation(piece), wire=wire))
            return
        if known is not None and not scan:
            result.scanned = False
            result.samples.append(known)
            return
        document = parse_strict_json(piece, depth=0 if index is None else 1)
        if known is not None and not document.duplicates:
            result.samples.append(known)
            return
        at = () if index is None else (index,)
        result.duplicates.extend((*at, *path) for path in document.duplicates)
        result.slow += 1
        if not isinstance(document.value, dict):
            deviation = shape.not_an_object_deviation((), (), document.value)
            result.deviations.append(msgspec.structs.replace(deviation, wire=tuple(map(str, at))))
            return
        sample = survey_sample(self.codec, document, index)
        result.samples.append(sample)
        if builder is not None:
            self._learn(builder, sample.deviations)

    def _read_without_unknown_keys(
        self, builder: SampleBuilder, piece: bytes, index: int | None, error: Exception
    ) -> Sample | None:
        """Read a connection without the keys that the edition does not know; None if anything else is wrong."""
        cut = cut_unknown_keys(self.codec, piece, error)
        if cut is None:
            return None
        try:
            sample = builder.from_struct(self.codec.one.decode(cut.rest), index)
            for path, value in cut.members:
                _, deviation = judge_raw_value(None, True, path, path, value, index)
                if deviation is not None:
                    sample.deviations.append(deviation)
        except _REJECTIONS:
            return None
        self._learn(builder, sample.deviations)
        return sample

    def _learn(self, builder: SampleBuilder, deviations: Sequence[ShapeDeviation]) -> None:
        """Have the decoder accept deviations unread from now on; unknown keys only when they come a second time."""
        learned = False
        for each in deviations:
            if not is_learnable(each):
                continue
            if each.requirement == UNKNOWN.id and each.path not in self._seen_once:
                if len(self._seen_once) >= MAX_SEEN_ONCE:
                    self._seen_once.clear()
                self._seen_once.add(each.path)
                continue
            learned = self.codec.accept_deviation(each.path) or learned
        if learned:
            builder.bind()


def _explain_fault(error: StrictJsonError, place: str = "", start: int = 0) -> ParsedBody:
    """The result for a body that is not strict JSON from some byte on."""
    return ParsedBody(
        fault=f"{error}{place}",
        fault_offset=None if error.offset is None else start + error.offset,
        exceeded=isinstance(error, JsonLimitError),
        scanned=True,
    )


def _explain_rejected_array(body: bytes) -> ParsedBody:
    """Why the decoder did not accept an array."""
    try:
        document = parse_strict_json(body)
    except StrictJsonError as error:
        return _explain_fault(error)
    deviation = msgspec.structs.replace(shape.not_an_object_deviation((), (), document.value), expected="array")
    return ParsedBody(deviations=[deviation], duplicates=list(document.duplicates), scanned=True, slow=1)


def is_implausibly_dense(body: bytes) -> bool:
    """
    Whether a large body has far more values or objects than connections of that size can have.

    Parsing such a body would take many times its size in memory. A normal response has a comma every 35 bytes, and an
    object every 480 bytes.
    """
    if len(body) <= ALWAYS_DECODED_BYTES:
        return False
    objects = body.count(b"{")
    return objects > len(body) // 64 or body.count(b",") > 100 * objects + 1000


def _density_deviation(body: bytes) -> ShapeDeviation:
    return ShapeDeviation(
        requirement=TYPE.id,
        path=(),
        wire=(),
        expected="connections of some 13 KB each",
        actual=f"{len(body)} bytes of something else",
        fault="too much of something else",
    )
