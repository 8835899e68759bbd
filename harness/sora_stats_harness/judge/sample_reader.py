"""
Reads the samples in a response's body, and finds where their shape deviates.

Three paths give the same result. A body of the documented shape is decoded, and nothing more. One that deviates as the
server did before is decoded as well, since the codec has learned to let those places through, and each is judged alone.
Any other is parsed strictly and surveyed; what deviates there is learned for the next time. Where there is the
accelerator, it does the decoding of the first two, and looks for repeated keys in passing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from ..api.edition import Edition
from ..api.strict_json import JsonLimitError, StrictJsonError, parse_strict_json
from . import shape_deviations as shape
from .accelerator import REPEATED_KEY
from .checks.relations import resolve_relations
from .checks.shape import TYPE
from .edition_decoder import EditionDecoder
from .lenient_values import NeedsSlowPath
from .sample import ParsedBody, Sample
from .sample_builder import SampleBuilder
from .shape_deviations import ShapeDeviation
from .surveyed_sample import is_learnable, survey_sample

CONNECTIONS_PER_SLICE: Final = 16
"""Connections of an array that are decoded between two looks at the network."""

SLICE_BYTES: Final = 256 << 10
"""Bytes of connections that are read between two of them, where these are large."""

ALWAYS_DECODED_BYTES: Final = 4 << 20
"""Bodies up to this size are taken apart whatever is in them."""

MAX_CONNECTION_BYTES: Final = 16 << 20
"""A single connection beyond this is not looked into: a thousand times what one takes."""

_REJECTIONS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, StrictJsonError, NeedsSlowPath)
"""What says that a body has to be surveyed."""


class SampleReader:
    """
    Reads bodies of one edition, and learns as it goes. For one thread.

    Args:
        edition: The documented field list.
        accelerated: Whether to use the accelerator, where there is one.
    """

    def __init__(self, edition: Edition, *, accelerated: bool = True) -> None:
        self.edition = edition
        self.codec = EditionDecoder(edition)
        self.relations = resolve_relations(self.codec.blocks)
        """Those that this edition has all the counters for."""
        self._builder: SampleBuilder | None = None
        """None where every connection is surveyed."""
        if self.codec.is_usable:
            self._builder = SampleBuilder(self.codec, self.relations, accelerated=accelerated)

    def read(self, body: bytes, many: bool, scan: bool) -> ParsedBody:
        """
        Read a whole body.

        Args:
            body: A response's bytes.
            many: Whether it should be an array of connections, rather than one.
            scan: Whether to look for repeated keys where the decoder accepts it, which costs a second parsing; otherwise
                they are found only where something else deviates. The accelerator always looks for them.
        """
        builder = self._builder
        parsed: ParsedBody | None = None
        if builder is not None:
            taken = builder.scan(body, many) if builder.scan is not None else 0
            if isinstance(taken, list):
                try:
                    return ParsedBody(builder.from_scan(taken, 0 if many else None), True, True)  # scanned, strict
                except (StrictJsonError, NeedsSlowPath):
                    pass
            parsed = self._decode(builder, body, many, scan or taken == REPEATED_KEY)
        if parsed is None:
            *_, parsed = self.read_in_slices(body, many=many, scan=scan)
        assert parsed is not None, "it ends with a result"
        return parsed

    def _decode(self, builder: SampleBuilder, body: bytes, many: bool, scan: bool) -> ParsedBody | None:
        """A body that the decoder accepts; None where it has to be looked at more closely."""
        try:
            decoded = self.codec.many.decode(body) if many else [self.codec.one.decode(body)]
            samples = [builder.from_struct(value, index if many else None) for index, value in enumerate(decoded)]
            if not scan or not parse_strict_json(body).duplicates:
                return ParsedBody(samples=samples, scanned=scan)
        except _REJECTIONS:
            pass
        return None

    def read_in_slices(self, body: bytes, *, many: bool, scan: bool) -> Iterator[ParsedBody | None]:
        """As `read`, connection by connection: gives None after every few, and the result at last."""
        if _is_implausibly_dense(body):
            yield ParsedBody(deviations=[_density_deviation(body)], scanned=True, slow=1)
            return
        try:
            pieces = list(map(bytes, self.codec.split.decode(body))) if many else [body]
        except (msgspec.MsgspecError, RecursionError):
            yield _explain_rejected_array(body)
            return
        result = ParsedBody(scanned=True)
        exceeded: ParsedBody | None = None
        taken = 0
        for index, piece in enumerate(pieces):
            try:
                self._read_element(piece, index if many else None, scan, result)
            except StrictJsonError as error:
                place = f" (in element {index} of the array)" if many else ""
                fault = ParsedBody(fault=f"{error}{place}", exceeded=isinstance(error, JsonLimitError), scanned=True)
                if not fault.exceeded:
                    yield fault
                    return
                exceeded = exceeded or fault  # another element may be no JSON at all
            taken += len(piece)
            if index % CONNECTIONS_PER_SLICE == CONNECTIONS_PER_SLICE - 1 or taken >= SLICE_BYTES:
                taken = 0
                yield None
        yield exceeded or result

    def _read_element(self, piece: bytes, index: int | None, scan: bool, result: ParsedBody) -> None:
        """
        Read one connection into a result.

        Raises:
            StrictJsonError: It is no strict JSON.
        """
        builder = self._builder
        known: Sample | None = None
        if builder is not None:
            taken = builder.scan(piece, False) if builder.scan is not None else 0
            if isinstance(taken, list):
                try:
                    result.samples += builder.from_scan(taken, index)
                    return
                except (StrictJsonError, NeedsSlowPath):
                    pass
            scan = scan or taken == REPEATED_KEY
            try:
                known = builder.from_struct(self.codec.one.decode(piece), index)
            except _REJECTIONS:
                pass
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
        learned = [self.codec.accept_deviation(each.path) for each in sample.deviations if is_learnable(each)]
        if any(learned) and builder is not None:
            builder.bind()


def _explain_rejected_array(body: bytes) -> ParsedBody:
    """Why the decoder did not accept it."""
    try:
        document = parse_strict_json(body)
    except StrictJsonError as error:
        return ParsedBody(fault=str(error), exceeded=isinstance(error, JsonLimitError), scanned=True)
    deviation = msgspec.structs.replace(shape.not_an_object_deviation((), (), document.value), expected="array")
    return ParsedBody(deviations=[deviation], duplicates=list(document.duplicates), scanned=True, slow=1)


def _is_implausibly_dense(body: bytes) -> bool:
    """
    Whether a large body has far more values or objects than connections of its size can have.

    Taking such a body apart would cost many times its size in memory. A response has a comma every 35 bytes, and 14 for
    each object of some 480 bytes.
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
