"""Recording beside a run: whole, private, and never in the way."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.exchange import ErrorCode, Exchange, TransportError
from sora_stats_harness.api.secret_redaction import NO_SECRETS, Secrets
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.recording import writer
from sora_stats_harness.recording.reader import open_recordings
from sora_stats_harness.recording.writer import RecordingLimits, RecordingWriter

from .build import RUN, exchange, record, recorded_run


def recorder(path: Path, **options: Any) -> RecordingWriter:
    """A writer; options are those of the run and the limits."""
    limits = {name: options.pop(name) for name in ("file_bytes", "queue_count", "queue_bytes") if name in options}
    secrets = options.pop("secrets", NO_SECRETS)
    return RecordingWriter(path, recorded_run(**options), secrets=secrets, limits=RecordingLimits(**limits))


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.zst"])
def test_what_was_added_is_read_back(tmp_path: Path, name: str) -> None:
    """Header, exchanges and the end line with its counts."""
    items = [exchange(seq, sent_ns=seq * 10, received_ns=seq * 10 + 5) for seq in range(300)]
    items[3] = exchange(3, body=None, sent_ns=30, received_ns=35, error=_error(ErrorCode.RESET))
    items[4] = exchange(4, body=None, sent_ns=40, received_ns=45, error=_error(ErrorCode.ABANDONED))
    found = open_recordings([record(tmp_path / name, items)])
    assert [step.exchange for step in found] == items
    assert (found.notes, found.truncated, found.damaged, found.exchanges) == ([], False, 0, 300)
    assert found.headers[0].run == RUN
    if not name.endswith(".zst"):
        end = msgspec.json.decode((tmp_path / name).read_bytes().splitlines()[-1])
        assert end == {"end": RUN, "sent": 300, "judged": 298, "errors": 1, "abandoned": 1}


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Also where it was there before, with more rights, and whatever the umask."""
    path = tmp_path / "run.jsonl"
    path.write_text("older and longer than what follows" * 100)
    path.chmod(0o644)
    before = os.umask(0)
    try:
        record(path, [exchange()])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_recordings([path]).notes == []


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.zst"])
def test_what_was_written_is_readable_before_the_end(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash costs no more than the last frame."""
    monkeypatch.setattr(writer, "FRAME_INTERVAL_S", 0.0)
    path = tmp_path / name
    with recorder(path) as recording:
        recording.add_exchange(exchange())
        wait_for(lambda: path.stat().st_size > 100)
        found = open_recordings([path])
        assert [step.exchange for step in found] == [exchange()]
        assert found.truncated


def test_a_run_without_exchanges_is_a_whole_recording(tmp_path: Path) -> None:
    """A server that was never reached leaves a header and an end."""
    with recorder(tmp_path / "run.jsonl", id=RUN):
        pass
    found = open_recordings([tmp_path / "run.jsonl"])
    assert (found.headers[0].run, found.exchanges, found.truncated) == (RUN, 0, False)


def test_a_secret_in_subject_or_options_is_replaced(tmp_path: Path) -> None:
    """They are what a user typed, tokens included."""
    with recorder(tmp_path / "run.jsonl", options={"header": ["A: q7f1c2e9"]}, secrets=Secrets(["q7f1c2e9"])):
        pass
    assert b"q7f1c2e9" not in (tmp_path / "run.jsonl").read_bytes()
    assert open_recordings([tmp_path / "run.jsonl"]).headers[0].options == {"header": ["A: [redacted]"]}


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.zst"])
def test_a_limit_ends_the_recording_and_not_the_run(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had been written by then can be read, and counts as truncated."""
    monkeypatch.setattr(writer, "FRAME_INTERVAL_S", 0.0)
    path = tmp_path / name
    with recorder(path, file_bytes=200_000) as recording:
        for seq in range(200):
            recording.add_exchange(exchange(seq, body=os.urandom(5_000)))
    assert recording.problem is not None
    assert "limit of 200,000 bytes" in recording.problem
    assert 200_000 <= path.stat().st_size < 500_000
    found = open_recordings([path])
    assert 20 < found.exchanges < 200
    assert found.notes == [f"{path}: run {RUN} has no end line: it was still being written, or was cut off"]


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.zst"])
def test_a_limit_is_kept_also_where_large_responses_wait_for_the_thread(tmp_path: Path, name: str) -> None:
    """What waits behind the one that reaches it is not written."""
    body = os.urandom(300_000)
    recording = recorder(tmp_path / name, file_bytes=1_000_000)
    for seq in range(20):
        recording.add_exchange(exchange(seq, body=body if seq % 4 else b"[]"))
    with recording:
        wait_for(lambda: recording.problem is not None)
        recording.add_exchange(exchange(20))
    assert "limit of 1,000,000 bytes" in (recording.problem or "")
    assert 1_000_000 <= (tmp_path / name).stat().st_size < 1_500_000
    found = open_recordings([tmp_path / name])
    assert [step.exchange.seq for step in found] == list(range(found.exchanges))
    assert 3 <= found.exchanges <= 6
    assert not found.damaged


@pytest.mark.parametrize("bound", [{"queue_count": 5}, {"queue_bytes": 6000}])
def test_a_full_queue_ends_the_recording_and_not_the_run(
    tmp_path: Path, bound: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`add` neither waits nor raises; what was queued by then is written."""
    release = threading.Event()
    take = RecordingWriter._take_batch
    monkeypatch.setattr(RecordingWriter, "_take_batch", lambda self: take(self) if release.is_set() else [])
    with recorder(tmp_path / "run.jsonl", **bound) as recording:
        for seq in range(20):
            recording.add_exchange(exchange(seq))
        wait_for(lambda: recording.problem is not None)
        assert recording.problem is not None
        assert "waiting to be written" in recording.problem
        release.set()
    found = open_recordings([tmp_path / "run.jsonl"])
    assert 5 <= found.exchanges < 20
    assert found.truncated


def test_json_of_any_depth_can_be_read_from_any_depth(tmp_path: Path) -> None:
    """Python counts calls and containers together, so what is put down as JSON has a bound of its own."""
    items = [exchange(seq, body=b"[" * depth + b"]" * depth) for seq, depth in enumerate((100, 101, 940))]
    path = record(tmp_path / "run.jsonl", items)
    assert path.read_bytes().count(b'"json":[[[') == 1

    def read_from(depth: int) -> list[Exchange]:
        return read_from(depth - 1) if depth else [step.exchange for step in open_recordings([path])]

    assert read_from(300) == items


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.zst"])
def test_large_responses_are_left_to_the_thread_and_keep_their_place(tmp_path: Path, name: str) -> None:
    """What is small is encoded where it is added; whatever the mixture, all of it is in the file, in order."""
    large = b'"' + b"x" * writer.THREAD_ENCODED_BYTES + b'"'
    items = [exchange(seq, body=large if seq % 7 == 3 else b"[%d]" % seq) for seq in range(60)]
    recording = recorder(tmp_path / name)
    for item in items[:4]:
        recording.add_exchange(item)
    assert type(recording._queue.items[-1]) is Exchange
    assert [type(item) for item in recording._queue.items][:-1] == [bytes] * (len(recording._queue.items) - 1)
    with recording:
        for item in items[4:]:
            recording.add_exchange(item)
    assert recording.problem is None
    found = open_recordings([tmp_path / name])
    assert [step.exchange for step in found] == items
    assert not found.truncated


def test_a_frame_ends_in_time_also_where_nothing_more_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed within a quiet stretch has lost nothing."""
    monkeypatch.setattr(writer, "FRAME_INTERVAL_S", 0.1)
    path = tmp_path / "run.jsonl.zst"
    with recorder(path) as recording:
        recording.add_exchange(exchange())
        wait_for(lambda: path.stat().st_size > 0)
        assert [step.exchange for step in open_recordings([path])] == [exchange()]


def test_one_response_larger_than_the_queue_is_recorded(tmp_path: Path) -> None:
    """The bound is on what waits, not on what a server may respond."""
    with recorder(tmp_path / "run.jsonl", queue_bytes=1000) as recording:
        recording.add_exchange(exchange(body=b'"' + b"x" * 5000 + b'"'))
    assert recording.problem is None
    assert open_recordings([tmp_path / "run.jsonl"]).exchanges == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_ends_the_recording_and_not_the_run() -> None:
    """The reason is the operating system's own."""
    with recorder(Path("/dev/full")) as recording:
        recording.add_exchange(exchange(body=b'"' + b"x" * 1_000_000 + b'"'))
        wait_for(lambda: recording.problem is not None)
        recording.add_exchange(exchange(1))
    assert recording.problem is not None
    assert "No space left" in recording.problem


def test_a_pipe_whose_reader_does_not_read_ends_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is waited for as long as anything is taken, and no longer."""
    monkeypatch.setattr(writer, "STALL_S", 0.05)
    pipe = tmp_path / "run.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with recorder(pipe) as recording:
        for seq in range(3):
            recording.add_exchange(exchange(seq, body=b'"%b"' % (b"x" * 100_000)))
    os.close(reader)
    assert recording.problem is not None
    assert recording.problem.endswith("nothing of it could be written for 0.05 s")


def test_an_exchange_of_another_run_ends_the_recording(tmp_path: Path) -> None:
    """Under this run's header it would be compared with what it has nothing to do with."""
    with recorder(tmp_path / "run.jsonl") as recording:
        recording.add_exchange(exchange(0))
        recording.add_exchange(exchange(1, run="other"))
    assert recording.problem is not None
    assert "other" in recording.problem
    assert open_recordings([tmp_path / "run.jsonl"]).exchanges == 1


def test_a_file_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    """Before anything is sent, in one line."""
    with pytest.raises(UsageError, match="cannot be written: No such file"), recorder(tmp_path / "no" / "run.jsonl"):
        pass


def test_many_threads_may_add(tmp_path: Path) -> None:
    """Nothing is lost and nothing written twice."""
    with recorder(tmp_path / "run.jsonl.zst") as recording:
        threads = [
            threading.Thread(target=add_all, args=(recording, range(part, part + 250))) for part in range(0, 1000, 250)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = open_recordings([tmp_path / "run.jsonl.zst"])
    assert sorted(step.exchange.seq for step in found) == list(range(1000))
    assert not found.truncated


def test_under_gevent_the_functions_from_before_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A patched thread would live in the very loop that the recorder is to relieve."""

    class Monkey:
        @staticmethod
        def get_original(module: str, name: str) -> str:
            return f"{module}.{name} as it was"

    monkeypatch.setitem(sys.modules, "gevent.monkey", Monkey)
    assert writer._unpatched_function("time", "sleep") == "time.sleep as it was"
    monkeypatch.delitem(sys.modules, "gevent.monkey")
    assert callable(writer._unpatched_function("time", "sleep"))


def add_all(recording: RecordingWriter, numbers: Iterable[int]) -> None:
    for seq in numbers:
        recording.add_exchange(exchange(seq))


def wait_for(condition: Callable[[], bool]) -> None:
    """Until a condition holds; the test run's own time-out ends one that never does."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.005)


def _error(code: ErrorCode) -> TransportError:
    return TransportError(code=code, detail="for the test")


def test_add_is_an_observer(tmp_path: Path) -> None:
    """The judge calls it with each exchange, and nothing else."""
    with recorder(tmp_path / "run.jsonl") as recording:
        judge = Judge(edition.load_edition(), observer=recording.add_exchange)
        judge.begin_exchange(exchange().request).complete(response=exchange().response)
    (step,) = open_recordings([tmp_path / "run.jsonl"])
    assert (step.exchange.seq, step.exchange.response) == (0, exchange().response)


@pytest.mark.parametrize(
    "count",
    [
        writer.ENCODE_BATCH_EXCHANGES - 1,
        writer.ENCODE_BATCH_EXCHANGES,
        writer.ENCODE_BATCH_EXCHANGES + 1,
        3 * writer.ENCODE_BATCH_EXCHANGES,
    ],
)
def test_what_is_taken_together_keeps_its_order_and_its_counts(tmp_path: Path, count: int) -> None:
    """Nothing waits for a whole batch when the recording ends, and what comes later is not in it."""
    recording = recorder(tmp_path / "run.jsonl")
    for seq in range(count):
        recording.add_exchange(exchange(seq))
    assert len(recording._added) == count % writer.ENCODE_BATCH_EXCHANGES
    with recording:
        recording.add_exchange(exchange(count, body=None, error=_error(ErrorCode.RESET)))
    for seq in range(count + 1, count + 2 * writer.ENCODE_BATCH_EXCHANGES):
        recording.add_exchange(exchange(seq))
    assert recording.problem is None
    assert [step.exchange.seq for step in open_recordings([tmp_path / "run.jsonl"])] == list(range(count + 1))
    end = msgspec.json.decode((tmp_path / "run.jsonl").read_bytes().splitlines()[-1])
    assert end == {"end": RUN, "sent": count + 1, "judged": count, "errors": 1, "abandoned": 0}


def test_a_large_response_is_not_waited_with(tmp_path: Path) -> None:
    """What waits takes little memory."""
    recording = recorder(tmp_path / "run.jsonl")
    recording.add_exchange(exchange(0))
    assert len(recording._added) == 1
    recording.add_exchange(exchange(1, body=b'"' + b"x" * writer.MAX_BATCHED_BODY_BYTES + b'"'))
    assert len(recording._added) == 0
