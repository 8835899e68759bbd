"""Files that a user names keep within limits, whatever they hold."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.input_budget import (
    parse_toml,
    read_input_budget,
    read_pipe,
    read_small_file,
    read_small_text,
)
from sora_stats_harness.cli import main

READERS = {
    "--baseline": ("conform", "--baseline"),
    "--ca-file": ("conform", "http://127.0.0.1:9", "--ca-file"),
    "--config": ("config", "--config"),
    "--edition": ("fields", "--edition"),
    "--header": ("conform", "http://127.0.0.1:9", "--header"),
    "check": ("check",),
    "compare": ("compare",),
    "fields import": ("fields", "import"),
    "redact": ("redact",),
    "report": ("report",),
    "simulate --play": ("simulate", "--play"),
}
"""The beginning of a command line that ends with the name of a file."""

MORE_WORDS = {"compare": ("verdict.json",), "redact": ("out.jsonl",)}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with little patience for pipes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SORA_HARNESS_INPUT_TIMEOUT", "50ms")


def make_device(path: Path) -> None:
    """A file without an end."""
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    """A socket that nobody listens at."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_sparse_file(path: Path) -> None:
    """A terabyte that takes no space."""
    path.touch()
    os.truncate(path, 1 << 40)


KINDS: dict[str, Callable[[Path], None]] = {
    "a device": make_device,
    "a pipe that nobody writes to": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": make_socket,
    "a file of 1 TB": make_sparse_file,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_by_every_reader(reader: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line and exit code 2; nothing is waited for."""
    KINDS[kind](Path("input.toml"))
    argument = "X-Token: @input.toml" if reader == "--header" else "input.toml"
    assert main([*READERS[reader], argument, *MORE_WORDS.get(reader, ())]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert any(word in err for word in ("input.toml", "X-Token"))
    assert "there is no option" not in err


def test_a_pipe_with_something_in_it_is_read(tmp_path: Path) -> None:
    """As a shell's `<(...)` gives it; and a pipe without an end only up to the limit."""
    with subprocess.Popen(["printf", "X: y"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert read_small_file(f"/dev/fd/{process.stdout.fileno()}", limit=10, name="x") == b"X: y"
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with pytest.raises(UsageError, match="x is larger than 10 bytes"):
            read_small_file(f"/dev/fd/{process.stdout.fileno()}", limit=10, name="x")


def test_a_text_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """It is no part of the text; bytes that are no UTF-8 are refused."""
    file = tmp_path / "text"
    for data, text in ((b"X: y", "X: y"), (b"\xef\xbb\xbfX: y", "X: y")):
        file.write_bytes(data)
        assert read_small_text(file, limit=10, name="x") == text
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"^x cannot be read: not UTF-8 text$"):
        read_small_text(file, limit=10, name="x")


@pytest.mark.parametrize("reader", READERS)
def test_a_name_that_no_file_can_have_is_refused_by_every_reader(
    reader: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a file that is not there: one line and exit code 2."""
    name = "x" * 5_000
    argument = f"X-Token: @{name}" if reader == "--header" else name
    assert main([*READERS[reader], argument, *MORE_WORDS.get(reader, ())]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_pipe_that_drips_comes_to_an_end() -> None:
    """There is always a next byte, so no single wait is long; all of them together are."""
    read, write = os.pipe()
    os.write(write, b".")
    with os.fdopen(read, "rb") as file:
        chunks = map(partial(os.write, write), read_pipe(file, 60, 0.05))
        with pytest.raises(OSError, match=r"did not end within 0\.05 s"):
            all(chunks)
    os.close(write)


def test_a_file_that_gives_nothing_yet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some files in /proc are regular by name, and never end: their next bytes are not waited for."""
    Path("odd").touch()

    def empty(handle: int, mode: str) -> io.FileIO:
        read, _ = os.pipe()
        os.close(handle)
        os.set_blocking(read, False)
        return io.FileIO(read, mode)

    monkeypatch.setattr(os, "fdopen", empty)
    with pytest.raises(UsageError, match="odd cannot be read: Resource temporarily unavailable"):
        read_small_file("odd", limit=10, name="odd")


@pytest.mark.parametrize("name", ["SORA_HARNESS_MAX_INPUT", "SORA_HARNESS_INPUT_TIMEOUT"])
def test_limits_come_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty is as unset; what is no size or time is refused in one line that names the variable."""
    default = read_input_budget()
    monkeypatch.setenv(name, "7")
    assert 7 in (read_input_budget().file_bytes, read_input_budget().idle_s)
    monkeypatch.setenv(name, "")
    assert read_input_budget().file_bytes == default.file_bytes
    monkeypatch.setenv(name, "much")
    with pytest.raises(UsageError, match=f"{name}: 'much' must be a"):
        read_input_budget()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a." * 200_000, "more than 64 parts"),
        ('"a".' * 90_000, "more than 64 parts"),
        ("a" * 390_000, "Expected '='"),
        ("x=" + "[" * 390_000, "nested too deeply"),
        ("x={" + "a={" * 120_000, "nested too deeply"),
        ("x=" + "9" * 390_000, "4300 digits"),
    ],
)
def test_toml_takes_linear_time(text: str, problem: str) -> None:
    """Whatever somebody has put into a file that is small enough to be read; otherwise this takes minutes."""
    with pytest.raises(tomllib.TOMLDecodeError, match=problem):
        parse_toml(text)
