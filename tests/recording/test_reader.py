"""Recordings come back in order of receipt, whatever has happened to the file."""

from __future__ import annotations

import random
import subprocess
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sora_stats_harness.api.errors import RecordingError
from sora_stats_harness.api.exchange import Exchange
from sora_stats_harness.api.secret_redaction import Secrets
from sora_stats_harness.recording import format as lines
from sora_stats_harness.recording import reader
from sora_stats_harness.recording.reader import LATEST_NS, open_recordings

from ..examples import some_of
from .build import RUN, compress_frame, exchange, pipe_to_stdin, record

HEADER = lines.RecordingHeader(
    format=lines.RECORDING_FORMAT,
    run=RUN,
    subject_kind="server",
    subject="http://127.0.0.1",
    edition="doc-2024",
    harness_version="0",
)


def line(item: Exchange) -> bytes:
    return lines.encode_line(lines.exchange_to_line(item, Secrets()))


def file_of(items: Iterable[Exchange], run: str = RUN) -> bytes:
    """A whole recording; its lines in the order given."""
    parts = [line(item) for item in items]
    header = lines.encode_line(
        lines.RecordingHeader(**{name: getattr(HEADER, name) for name in HEADER.__struct_fields__} | {"run": run})
    )
    end = lines.encode_line(lines.RecordingEnd(end=run, sent=len(parts), judged=len(parts), errors=0, abandoned=0))
    return header + b"".join(parts) + end


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=40)


@st.composite
def histories(draw: st.DrawFn) -> list[list[list[Exchange]]]:
    """Files of lines, as blocks: exchanges of two runs and two clocks, with ties, in any order."""
    items = [
        exchange(seq, sent_ns=sent, received_ns=sent + length, clock=clock)
        for seq, ((sent, length), clock) in enumerate(
            zip(draw(spans), draw(st.lists(st.sampled_from("ab"), min_size=40, max_size=40)), strict=False)
        )
    ]
    order = draw(st.permutations(items)) if draw(st.booleans()) else sorted(items, key=lambda item: item.received_ns)
    cut = draw(st.integers(0, len(items)))
    return [[order[:cut]], [order[cut:]]]


@settings(deadline=None, max_examples=some_of(200))
@given(histories(), st.integers(1, 5))
def test_the_order_is_that_of_receipt_and_what_is_to_come_is_known(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[list[Exchange]]], block: int
) -> None:
    """Against the obvious way: sort all, and look at the rest of the list; files, ties and block sizes at random."""
    folder = tmp_path_factory.mktemp("files")
    paths = []
    for number, ((part,),) in enumerate(zip(history, strict=True)):
        paths.append(folder / f"{number}.jsonl")
        paths[-1].write_bytes(file_of(part))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_LINES", block)
        steps = [(step.exchange, step.horizon_ns, list(step.open_sent_ns)) for step in open_recordings(paths)]
    everything = [item for (part,) in history for item in part]
    assert sorted(item.seq for item, _, _ in steps) == sorted(item.seq for item in everything)
    for clock in "ab":
        mine = [step for step in steps if step[0].clock == clock]
        received = [item.received_ns for item, _, _ in mine]
        assert received == sorted(received)
        for index, (item, horizon_ns, open_sent_ns) in enumerate(mine):
            to_come = sorted(later.sent_ns for later, _, _ in mine[index + 1 :])
            assert horizon_ns == (to_come[0] if to_come else LATEST_NS)
            assert open_sent_ns == [sent for sent in to_come if sent <= item.received_ns]


def test_runs_and_clocks_are_read_one_after_the_other(tmp_path: Path) -> None:
    """Their times have nothing to do with each other; several runs may stand in one file, or in several."""
    one = [exchange(seq, sent_ns=seq, received_ns=seq + 1) for seq in range(3)]
    two = [exchange(seq, run="two", sent_ns=seq, received_ns=seq + 1) for seq in range(3)]
    (tmp_path / "both.jsonl").write_bytes(file_of(one[:2]) + file_of(two[:2], "two"))
    (tmp_path / "rest.jsonl").write_bytes(file_of(two[2:], "two") + file_of(one[2:]))
    found = open_recordings([tmp_path / "both.jsonl", tmp_path / "rest.jsonl"])
    assert [step.exchange for step in found] == one + two
    assert found.notes == []


def test_header_and_end_may_stand_anywhere_too(tmp_path: Path) -> None:
    """A file whose lines were sorted by some tool is the same recording."""
    items = [exchange(seq, sent_ns=seq, received_ns=seq + 1) for seq in range(5)]
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(sorted(file_of(items).splitlines(keepends=True), reverse=True)))
    found = open_recordings([path])
    assert [step.exchange for step in found] == items
    assert found.notes == []


@pytest.mark.parametrize("compressed", [False, True])
def test_a_recording_cut_at_any_byte_leaves_what_was_whole(tmp_path: Path, compressed: bool) -> None:
    """All whole lines of a plain file, all ended frames of a compressed one; part of a line is dropped with a note."""
    items = [exchange(seq, sent_ns=seq, received_ns=seq + 1) for seq in range(4)]
    pieces = file_of(items).splitlines(keepends=True)
    if compressed:
        pieces = [compress_frame(piece) for piece in pieces]
    whole = b"".join(pieces)
    path = tmp_path / "run.jsonl"
    ends = [sum(map(len, pieces[: n + 1])) for n in range(len(pieces))]
    sizes = [size for size in range(ends[0], len(whole)) if size % 7 == 0 or min(abs(size - end) for end in ends) < 12]
    for size in sizes:
        path.write_bytes(whole[:size])
        found = open_recordings([path])
        seen = [step.exchange for step in found]
        ended = next(n for n in range(len(pieces)) if sum(map(len, pieces[: n + 1])) > size) - 1
        assert seen[:ended] == items[:ended]
        assert len(seen) <= ended + 1
        assert found.damaged == 0
        assert found.truncated or len(seen) == len(items)
    for size in range(1, len(pieces[0]) - 5, 3):  # all but the line break, and a frame's checksum of four bytes
        path.write_bytes(whole[:size])
        with pytest.raises(RecordingError):
            open_recordings([path])


def test_a_damaged_line_is_skipped_and_counted(tmp_path: Path) -> None:
    """The rest is judged; that something is missing stays known."""
    items = [exchange(seq, sent_ns=seq, received_ns=seq + 1) for seq in range(4)]
    pieces = file_of(items).splitlines(keepends=True)
    pieces[2] = pieces[2][:40] + b"\n"
    pieces.insert(4, b"\xff\n")
    pieces.insert(4, b"\n")
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(pieces))
    found = open_recordings([path])
    assert [step.exchange.seq for step in found] == [0, 2, 3]
    assert (found.damaged, found.truncated) == (2, True)
    assert found.notes == [
        f"{path}: 1 of the 4 exchanges of run {RUN} are missing",
        f"{path}: 2 damaged lines were skipped",
    ]


def test_a_frame_with_one_wrong_byte_is_skipped_whole(tmp_path: Path) -> None:
    """Its checksum stands at its end: none of its lines may be held against a server."""
    frames = [
        compress_frame(piece)
        for piece in file_of([exchange(seq, sent_ns=seq, received_ns=seq + 1) for seq in range(4)]).splitlines(True)
    ]
    path = tmp_path / "run.jsonl.zst"
    for place in range(4, len(frames[2])):
        broken = bytearray(frames[2])
        broken[place] ^= 0x01
        path.write_bytes(b"".join((*frames[:2], broken, *frames[3:])))
        found = open_recordings([path])
        assert [step.exchange.seq for step in found] == [0, 2, 3], place
        assert found.damaged == 1
        assert found.truncated


def test_a_recording_without_its_header_is_read_all_the_same(tmp_path: Path) -> None:
    """Its exchanges belong to one run of no name; that something is missing is said."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"{broken\n" + line(exchange(0)) + line(exchange(1)))
    found = open_recordings([path])
    assert len({step.exchange.run for step in found}) == 1
    assert (found.exchanges, found.damaged, found.truncated) == (2, 1, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a header line nor an exchange"),
        (b"hello\n", "neither a header line nor an exchange"),
        (
            b'{"v":1,"run":"r","subject_kind":"server","subject":"","edition":"","harness_version":""}\n',
            "has the format 'sora-harness/recording/1'",
        ),
        (
            b'{"format":"sora-harness/recording/3","run":"r","subject_kind":"server","subject":"","edition":"",'
            b'"harness_version":""}\n',
            "has the format 'sora-harness/recording/3', and this version reads 'sora-harness/recording/2'",
        ),
    ],
)
def test_what_is_no_recording_is_wrong_usage(tmp_path: Path, content: bytes, message: str) -> None:
    """One line that says what was found."""
    (tmp_path / "run.jsonl").write_bytes(content)
    with pytest.raises(RecordingError, match=message):
        open_recordings([tmp_path / "run.jsonl"])


def test_a_missing_file_and_a_folder_are_wrong_usage(tmp_path: Path) -> None:
    """One line, with the operating system's reason."""
    with pytest.raises(RecordingError, match="No such file"):
        open_recordings([tmp_path / "none.jsonl"])
    with pytest.raises(RecordingError, match="cannot be read"):
        open_recordings([tmp_path])


def test_the_standard_input_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe cannot go back, so it is copied to a file that goes away."""
    content = record(tmp_path / "run.jsonl.zst", [exchange()]).read_bytes()
    with pipe_to_stdin(monkeypatch, content):
        assert [step.exchange for step in open_recordings(["-"])] == [exchange()]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no file names for pipes here")
def test_a_pipe_given_as_a_file_is_read_twice(tmp_path: Path) -> None:
    """As a shell's `<(...)` gives it."""
    path = record(tmp_path / "run.jsonl", [exchange()])
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = open_recordings([f"/dev/fd/{process.stdout.fileno()}"])
        assert [step.exchange for step in found] == [exchange()]


def test_what_is_written_meanwhile_is_not_seen(tmp_path: Path) -> None:
    """Both samples see the same file."""
    path = record(tmp_path / "run.jsonl", [exchange()])
    found = open_recordings([path])
    with path.open("ab") as file:
        file.write(line(exchange(1)))
    assert [step.exchange.seq for step in found] == [0]


def test_a_file_that_shrank_meanwhile_is_said(tmp_path: Path) -> None:
    """Rather than judged in part."""
    path = record(tmp_path / "run.jsonl", [exchange(), exchange(1)])
    found = open_recordings([path])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(RecordingError, match="changed while it was read"):
        list(found)


def test_a_tick_can_stop_both_samples(tmp_path: Path) -> None:
    """Ctrl-C during the first look at a large file, too."""
    path = record(tmp_path / "run.jsonl", [exchange(seq) for seq in range(10)])
    with pytest.raises(InterruptedError):
        open_recordings([path], tick=_Stop(3))
    with pytest.raises(InterruptedError):
        list(open_recordings([path], tick=_Stop(14)))


class _Stop:
    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise InterruptedError


def test_memory_grows_with_disorder_and_not_with_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the lines take hardly more, with one exchange in flight all the time and others out of order."""
    monkeypatch.setattr(reader, "BLOCK_LINES", 25)  # so that several blocks are alive in the short one already
    peaks = {}
    random_ = random.Random(1)
    for count in (1_500, 4_500):
        items = [
            exchange(seq, sent_ns=seq * 10, received_ns=seq * 10 + random_.randrange(1, 300)) for seq in range(count)
        ]
        items.append(exchange(count, sent_ns=0, received_ns=count * 10 + 1000))
        path = record(tmp_path / f"{count}.jsonl.zst", items)
        del items
        tracemalloc.start()
        steps = sum(1 for _ in open_recordings([path]))
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert steps == count + 1
    assert peaks[4_500] < 1.2 * peaks[1_500]
