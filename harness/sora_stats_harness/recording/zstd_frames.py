"""
Finds the zstd frames of a file, checks which can be read, and decompresses them.

A frame's checksum is at its end, so the first line of a frame can only be trusted after reading the whole frame; a
damaged digit must not accuse a server. So all frames are read once when a file is opened. That pass also enforces the
budget: a frame of 131 kB may decompress to 4 GiB.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from ..api.errors import RecordingError
from ..api.input_budget import InputBudget

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
"""The first bytes of every zstd frame."""

SKIPPABLE_MAGIC: Final = b"\x2a\x4d\x18"
"""The second to the fourth byte of a frame without content; the first is 0x50 to 0x5f."""

FRAME_CHUNK_BYTES: Final = 1 << 10
"""
How many compressed bytes are read at a time; four of them may stand for a block of 128 KiB, so this gives up to 32 MiB.
"""

SPAN_CONTENT_BYTES: Final = 1 << 20
"""Frames are joined into a span up to this much content, so that many tiny frames take little memory."""


class ZstdSpan(msgspec.Struct, kw_only=True, gc=False):
    """One or several consecutive frames, by their place in the file and in its content; or an unreadable part."""

    start: int
    stop: int
    content_start: int
    content_bytes: int = 0
    is_sound: bool
    """Whether it can be read; True also if the file's end cuts it short."""


def is_zstd(file: IO[bytes]) -> bool:
    """Whether a file begins with a frame."""
    file.seek(0)
    magic = file.read(len(ZSTD_MAGIC))
    return magic == ZSTD_MAGIC or _is_skippable(magic)


def find_spans(file: IO[bytes], size: int, budget: InputBudget, name: str) -> list[ZstdSpan]:
    """
    Find a file's frames, and check which are sound.

    Raises:
        RecordingError: They exceed the budget.
    """
    from ..api.zstd import ZstdError

    limit = budget.content_limit(size)
    spans: list[ZstdSpan] = []
    start = content = decompressed = gaps = 0
    for _ in range(budget.frames):
        if start >= size:
            return spans
        if (stop := _end_of_skippable(file, start, size)) is not None:
            start = stop
            continue
        span = ZstdSpan(start=start, stop=start, content_start=content, is_sound=True)
        try:
            for made, stop in _decompress_frame(file, start, size):
                decompressed += len(made)  # counts what is in damaged frames as well
                if decompressed > limit:
                    raise RecordingError(
                        f"{name} has {size:,} bytes, and decompresses to more than {limit:,}, too many for a recording"
                    )
                span.content_bytes += len(made)
                span.stop = stop
        except ZstdError:
            span.is_sound, span.content_bytes = False, 0
            span.stop = _find_magic(file, start + 1, size)
            gaps += 1
            if gaps > budget.damaged_parts:
                raise RecordingError(
                    f"{name} is damaged: more than {budget.damaged_parts:,} parts of it cannot be read"
                ) from None
        content += span.content_bytes
        start = span.stop
        last = spans[-1] if spans else None
        if last is not None and span.is_sound and last.is_sound and last.content_bytes < SPAN_CONTENT_BYTES:
            last.stop = span.stop
            last.content_bytes += span.content_bytes
        else:
            spans.append(span)
    raise RecordingError(f"{name} has more than {budget.frames:,} zstd frames, too many for a recording")


def decompress_span(file: IO[bytes], span: ZstdSpan) -> Iterator[bytes]:
    """The content of a sound span."""
    start = span.start
    while start < span.stop:
        if (stop := _end_of_skippable(file, start, span.stop)) is not None:
            start = stop
            continue
        for made, stop in _decompress_frame(file, start, span.stop):
            start = stop
            if made:
                yield made


def read_range(file: IO[bytes], start: int, stop: int, size: int) -> Iterator[bytes]:
    """A part of a file, in chunks of a size."""
    file.seek(start)
    while start < stop and (chunk := file.read(min(size, stop - start))):
        start += len(chunk)
        yield chunk


def _decompress_frame(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[bytes, int]]:
    """The content of one frame, in pieces, each with the place up to which the file was read."""
    from ..api.zstd import ZstdDecompressor

    decompressor = ZstdDecompressor()
    for chunk in read_range(file, start, stop, FRAME_CHUNK_BYTES):
        made = decompressor.decompress(chunk)
        start += len(chunk)
        if decompressor.eof:
            yield made, start - len(decompressor.unused_data)
            return
        yield made, start


def _is_skippable(magic: bytes) -> bool:
    return magic[1:] == SKIPPABLE_MAGIC and magic[0] & 0xF0 == 0x50


def _end_of_skippable(file: IO[bytes], start: int, stop: int) -> int | None:
    """Where a frame without content ends; None if there is no such frame."""
    file.seek(start)
    head = file.read(8)
    if not _is_skippable(head[:4]):
        return None
    return min(stop, start + 8 + int.from_bytes(head[4:], "little"))


def _find_magic(file: IO[bytes], start: int, stop: int) -> int:
    """The place where the next frame may begin; `stop` if there is none."""
    tail = b""
    for chunk in read_range(file, start, stop, io.DEFAULT_BUFFER_SIZE):
        window = tail + chunk
        if (found := window.find(ZSTD_MAGIC)) >= 0:
            return start - len(tail) + found
        start += len(chunk)
        tail = window[-(len(ZSTD_MAGIC) - 1) :]
    return stop
