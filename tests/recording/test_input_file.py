"""A recording's file keeps within its budget, whatever it holds; what is damaged is counted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.api.errors import RecordingError
from sora_stats_harness.api.exchange import Exchange
from sora_stats_harness.api.input_budget import InputBudget
from sora_stats_harness.recording import input_file
from sora_stats_harness.recording.input_file import InputFile, LineCursor, UnreadablePart
from sora_stats_harness.recording.reader import open_recordings

from .build import compress_frame, exchange
from .test_reader import file_of

SMALL = InputBudget(
    file_bytes=100_000,
    content_bytes=1_000_000,
    expansion=20,
    free_bytes=10_000,
    line_bytes=2_000,
    damaged_parts=10,
    frames=50,
    runs=5,
    passes=3,
    held_bytes=20_000,
)
SKIPPABLE = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"


def pack(content: bytes) -> bytes:
    return compress_frame(content)


def exchanges(count: int, **options: object) -> list[Exchange]:
    return [exchange(seq, sent_ns=seq, received_ns=seq + 1, **options) for seq in range(count)]  # type: ignore[arg-type]


def read(path: Path, content: bytes, budget: InputBudget = SMALL) -> list[bytes | UnreadablePart]:
    path.write_bytes(content)
    return list(InputFile(path, budget).lines())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"x" * 100_001, "is larger than 100,000 bytes: set SORA_HARNESS_MAX_INPUT to read it"),
        (pack(b"\n" * 900_000), "decompresses to more than"),
        (pack(b"a\n" * 3_000) + b"\0" + pack(b"x" * 800_000), "decompresses to more than"),
        (pack(b"") * 60, "more than 50 zstd frames"),
        (SKIPPABLE * 60, "more than 50 zstd frames"),
        (pack(b"") + b"\x28\xb5\x2f\xfd" * 20, "more than 10 parts"),
        ((b"x" * 2_001 + b"\n") * 11, "more than 10 of its lines"),
    ],
    ids=["stored size", "expansion", "expansion after damage", "frames", "skippable frames", "damage", "long lines"],
)
def test_what_exceeds_the_budget_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    """One line."""
    with pytest.raises(RecordingError, match=problem) as caught:
        read(tmp_path / "x.zst", content)
    assert "\n" not in str(caught.value)


def test_a_line_that_is_too_long_is_one_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one piece, over several reads and at the end; its neighbours are read."""
    gap = UnreadablePart.GAP
    for chunk in (64, 1 << 20):
        monkeypatch.setattr(input_file, "PLAIN_CHUNK_BYTES", chunk)
        content = b"a\n" + b"x" * 5_000 + b"\nb\n" + b"y" * 2_000 + b"\n" + b"z" * 1_999 + b"\n" + b"c" * 2_001
        assert read(tmp_path / "x", content) == [b"a\n", gap, b"b\n", gap, b"z" * 1_999 + b"\n", gap]


def test_blank_lines_and_skippable_frames_hold_nothing(tmp_path: Path) -> None:
    """At the beginning, between two lines and at the end."""
    assert read(tmp_path / "x", b"\n" * 9_000 + b"a\n \t\r\n\n b\n" + b"\n" * 9_000) == [b"a\n", b" b\n"]
    content = SKIPPABLE + pack(b"a\n") + SKIPPABLE * 2 + pack(b"b\n") + SKIPPABLE
    assert read(tmp_path / "x", content) == [b"a\n", b"b\n"]


@given(st.lists(st.integers(0, 3000), max_size=12), st.integers(1, 40), st.randoms(use_true_random=False))
def test_a_cursor_goes_to_any_line(
    tmp_path_factory: pytest.TempPathFactory, lengths: Sequence[int], joined: int, chance: random.Random
) -> None:
    """In plain files and in frames of any size, forward and back, it reads what stands there."""
    content = [b"%d" % number * length + b"\n" * (1 + number % 3) for number, length in enumerate(lengths, 1)]
    path = tmp_path_factory.mktemp("files") / "x"
    whole = b"".join(content)
    frames = [pack(whole[start : start + joined * 100]) for start in range(0, len(whole), joined * 100)]
    for stored in (whole, b"".join(frames)):
        path.write_bytes(stored)
        store = InputFile(path)
        lines = list(store.lines_from(0))
        cursor = LineCursor(store)
        for _ in range(8):
            if lines:
                index = chance.randrange(len(lines))
                cursor.seek(lines[index - 1][0] if index else 0)
                assert cursor.read_line() == lines[index][1]


@pytest.mark.parametrize("compressed", ["no", "frame by frame", "as a whole"])
def test_a_file_of_many_runs_is_read_as_often_as_one_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: str
) -> None:
    """The survey reads it from beginning to end; after that each run is read where it stands."""
    runs = [file_of(exchanges(3, run=f"run {number}"), f"run {number}") for number in range(40)]
    path = tmp_path / "runs"
    content = b"".join(map(pack, runs)) if compressed == "frame by frame" else b"".join(runs)
    path.write_bytes(pack(content) if compressed == "as a whole" else content)
    read_bytes = 0
    lines_from = InputFile.lines_from

    def counting(self: InputFile, start: int) -> object:
        nonlocal read_bytes
        for place, piece in lines_from(self, start):
            read_bytes += len(piece) if isinstance(piece, bytes) else 0
            yield place, piece

    monkeypatch.setattr(InputFile, "lines_from", counting)
    found = [(step.exchange.run, step.exchange.seq) for step in open_recordings([path])]
    assert found == [(f"run {number}", seq) for number in range(40) for seq in range(3)]
    assert read_bytes < 2.5 * len(b"".join(runs))


def test_what_would_take_too_long_or_too_much_is_refused(tmp_path: Path) -> None:
    """More runs than the budget has; clocks that alternate, each of which needs a pass; lines far out of order."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(file_of(exchanges(1, run=str(number)), str(number)) for number in range(6)))
    with pytest.raises(RecordingError, match="more than 5 runs"):
        open_recordings([InputFile(path, SMALL)])
    mixed = [exchange(seq, sent_ns=seq, received_ns=seq, clock=str(seq % 5)) for seq in range(100)]
    path.write_bytes(file_of(mixed))
    with pytest.raises(RecordingError, match="5 runs and clocks that alternate: sort its lines by clock"):
        open_recordings([InputFile(path, SMALL)])
    path.write_bytes(file_of(exchanges(100)[::-1]))
    with pytest.raises(RecordingError, match="too far out of order"):
        list(open_recordings([InputFile(path, SMALL)]))


@pytest.mark.parametrize(
    "counts",
    [
        '"sent":-1,"judged":-1,"errors":0,"abandoned":0',
        '"sent":2,"judged":1,"errors":0,"abandoned":0',
        '"sent":1e999,"judged":1,"errors":0,"abandoned":0',
        f'"sent":{10**4000},"judged":{10**4000},"errors":0,"abandoned":0',
    ],
)
def test_an_end_line_with_impossible_counts_is_damaged(tmp_path: Path, counts: str) -> None:
    """So its run has no end, and the verdict can't be a pass."""
    items = exchanges(2)
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(file_of(items).splitlines(keepends=True)[:-1]) + b'{"end":"r",%s}\n' % counts.encode())
    found = open_recordings([path])
    assert [step.exchange for step in found] == items
    assert (found.damaged, found.truncated, found.ends) == (1, True, [])
