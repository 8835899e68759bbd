"""What commands share: options, URL, headers, and how a run ends."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import click
import pytest

from sora_stats_harness.api.errors import OutputError, UsageError
from sora_stats_harness.api.request_headers import read_headers
from sora_stats_harness.cli import command_support as common
from sora_stats_harness.cli import options
from sora_stats_harness.cli.framework import Arguments, Command, describe_click_error
from sora_stats_harness.reports import report_folder as files

from ..reports import verdicts

Capture = pytest.CaptureFixture[str]


def parse(*words: str) -> Arguments:
    """What a command with all common options makes of its words."""
    params = [*options.server_options(), *options.judging_options(), *options.simulator_options()]
    context = Command("test", params, examples="", run=lambda arguments: 0).make_context("test", list(words))
    arguments = Arguments(**context.params)
    options.read_settings(arguments)
    return arguments


def finish(*words: str, judge: verdicts.Counted | None = None, **given: Any) -> int:  # Any: what is known of the run
    """End a run of ten seconds."""
    write = given.pop("write", True)
    return common.report_and_exit_code(parse(*words), judge or verdicts.Counted(), verdicts.facts(**given), write=write)


def test_quiet_prints_the_verdict_alone(tmp_path: Path, capsys: Capture) -> None:
    """The reports are written all the same."""
    assert finish("--quiet", "--output", str(tmp_path / "out")) == 0
    assert capsys.readouterr() == ("PASS  all MUST and PROVEN requirements were met  (exit 0)\n", "")
    assert (tmp_path / "out" / "verdict.json").exists()


def test_quiet_and_verbose_exclude_each_other() -> None:
    """Whoever gives both, by an alias for example, is told so."""
    with pytest.raises(UsageError, match="exclude"):
        parse("-q", "-v")


def finding(requirement: str = "counter.monotonic") -> verdicts.Counted:
    """A judge with one finding and its evidence."""
    entry = verdicts.entry(requirement)
    return verdicts.Counted([entry], evidence={entry.fingerprint: verdicts.EARLIER_AND_LATER})


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--require", "counter.monotonc"], "no requirement 'counter.monotonc' (did you mean 'counter.monotonic'?)"),
        (["--label", "build"], "'build' must have the form KEY=VALUE"),
        (["--label", "=1"], "'=1' must have the form KEY=VALUE"),
        (["--timeout", "soon"], "--timeout: 'soon' must be a time"),
        (["--nodes", "0"], "'0' must be an integer of 1 or more"),
        (["--connections", "-1"], "'-1' must be an integer of 1 or more"),
        (["--output", ""], "--output is empty"),
        (["--fail-of", "must"], "did you mean '--fail-on'?"),
    ],
)
def test_options_are_checked_at_once(words: list[str], complaint: str) -> None:
    """Before anything runs; an abbreviated option is none."""
    with pytest.raises((UsageError, click.UsageError)) as caught:
        parse(*words)
    error = caught.value
    assert complaint in (describe_click_error(error) if isinstance(error, click.UsageError) else str(error))


def test_a_foreign_output_folder_is_refused_before_the_run(tmp_path: Path) -> None:
    """Not after ten minutes of probing."""
    (tmp_path / "mine.txt").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="contains other files"):
        parse("--output", str(tmp_path))


@pytest.mark.parametrize(
    ("argument", "variable", "url"),
    [
        (None, None, None),
        ("http://a:1", None, "http://a:1"),
        (None, "http://b:2", "http://b:2"),
        ("http://a:1", "http://b:2", "http://a:1"),
        ("http://a:1", "", "http://a:1"),
    ],
)
def test_the_url_is_the_argument_else_the_environment(
    argument: str | None, variable: str | None, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where neither is set may the simulator stand in."""
    monkeypatch.delenv("SORA_URL", raising=False)
    if variable is not None:
        monkeypatch.setenv("SORA_URL", variable)
    assert parse(*([argument] if argument is not None else [])).settings.url == url


@pytest.mark.parametrize("where", ["argument", "environment"])
@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "is set but empty"),
        ("  ", "is set but empty"),
        ("http://user:secret@host:3000", "must not hold credentials"),
        ("http://[::1", "is not a URL"),
    ],
)
def test_a_url_that_cannot_be_meant_is_wrong_usage(
    where: str, url: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unset CI secret must not turn into a green self-test, and a password not into a report."""
    monkeypatch.delenv("SORA_URL", raising=False)
    if where == "environment":
        monkeypatch.setenv("SORA_URL", url)
    with pytest.raises(UsageError, match=complaint) as caught:
        parse(*([url] if where == "argument" else []))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "headers", "secret"),
    [
        (["X-Trace: 12345"], [("X-Trace", "12345")], False),
        (["Authorization: Bearer 12345"], [("Authorization", "Bearer 12345")], True),
        (["X-Api-Key:12345"], [("X-Api-Key", "12345")], True),
        (["X-Trace: env:TRACE"], [("X-Trace", "12345")], True),
        (["X-Trace: @value"], [("X-Trace", "12345")], True),
        (["@lines"], [("X-One", "12345"), ("X-Two", "67890")], True),
        (["env:LINE", "X-B: b"], [("X-Line", "12345"), ("X-B", "b")], True),
        ([], [], False),
    ],
)
def test_headers_come_from_the_command_line_the_environment_or_a_file(
    values: list[str],
    headers: list[tuple[str, str]],
    secret: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came from elsewhere, or is named like a secret, is looked for in all that is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACE", "12345")
    monkeypatch.setenv("LINE", "X-Line: 12345")
    (tmp_path / "value").write_text("12345\n", encoding="utf-8")
    (tmp_path / "lines").write_text("X-One: 12345\n\nX-Two: 67890\n", encoding="utf-8")
    read, secrets = read_headers(values)
    assert list(read) == headers
    assert secrets.occur_in(b"token 12345 here") is secret


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("secret-token", "not of the form"),
        ("na me: secret-token", "not of the form"),
        ("X-Trace:", "the value is empty"),
        ("X-Trace: secret-token\r\nX-Sora-Target: other", "control character"),
        ("x-SORA-target: secret-token", "sets this one itself"),
        ("Content-Length: 5", "sets this one itself"),
        ("X-Trace: env:NOT_SET", "NOT_SET is not set, or empty"),
        ("env:EMPTY", "EMPTY is not set, or empty"),
        ("@no-such-file", "cannot be read: No such file"),
        ("@binary", "not UTF-8 text"),
    ],
)
def test_a_header_that_cannot_be_sent_is_wrong_usage(
    value: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the complaint never repeats what may be a secret in the wrong place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=complaint) as caught:
        read_headers([value])
    assert "secret" not in str(caught.value)


def test_simulator_options_are_for_the_simulator() -> None:
    """Beside a URL they are wrong usage; what was not given is left to the simulator."""
    words = ["--fault", "a", "--fault", "b:x=1", "--seed", "7", "--nodes", "3"]
    assert options.simulator_parameters(parse(*words)) == {"faults": ("a", "b:x=1"), "seed": 7, "nodes": 3}
    assert options.simulator_parameters(parse()) == {}
    assert options.simulator_parameters(parse("http://a:1")) == {}
    with pytest.raises(UsageError, match="--fault is for the embedded simulator, and http://a:1 was given"):
        parse("http://a:1", *words)


@pytest.mark.parametrize(
    ("judge", "words", "given", "code"),
    [
        (verdicts.Counted(), [], {}, 0),
        (finding(), [], {}, 1),
        (finding("shape.unknown"), [], {}, 0),
        (finding("shape.unknown"), ["--fail-on", "habit"], {}, 1),
        (verdicts.Counted(), ["--require", "cluster.once"], {}, 3),
        (verdicts.Counted(), [], {"interrupted": True}, 3),
        (verdicts.Counted(), [], {"aborted": "the server stopped responding"}, 3),
        (finding(), [], {"interrupted": True}, 1),
    ],
)
def test_the_exit_code_is_the_verdicts(
    judge: verdicts.Counted, words: list[str], given: dict[str, Any], code: int, tmp_path: Path, capsys: Capture
) -> None:
    """Options that decide reach the rule, and the code stands in the file as well."""
    assert finish("--output", str(tmp_path), *words, judge=judge, **given) == code
    written = files.read_report(tmp_path / "verdict.json").verdict
    assert written.exit_code == code
    assert f"(exit {code})" in capsys.readouterr().out


def test_json_alone_is_on_stdout(tmp_path: Path, capsys: Capture) -> None:
    """The whole verdict, the same as in the file; the summary for people goes to stderr."""
    finish("--json", "--output", str(tmp_path), "--label", "build=1", judge=finding())
    captured = capsys.readouterr()
    assert captured.out == (tmp_path / "verdict.json").read_text(encoding="ascii")
    assert json.loads(captured.out)["labels"] == {"build": "1"}
    assert "FAIL" in captured.err


def test_files_are_written_where_they_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """By default to a new folder below reports/, with write=False only where --output says so."""
    monkeypatch.chdir(tmp_path)
    finish(judge=finding())
    (folder,) = (tmp_path / "reports").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "evidence",
        "junit.xml",
        "report.html",
        "summary.md",
        "verdict.json",
    ]
    assert f"reports in reports/{folder.name}/: evidence/, junit.xml" in capsys.readouterr().out
    finish(write=False)
    assert len(list((tmp_path / "reports").iterdir())) == 1
    finish("--output", "here", write=False)
    assert (tmp_path / "here" / "verdict.json").is_file()


@pytest.mark.parametrize(("judge", "code"), [(verdicts.Counted(), None), (finding(), 1)])
def test_reports_that_cannot_be_written(
    judge: verdicts.Counted, code: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The summary is shown all the same, without PASS; wrong usage, unless a finding outranks that."""
    monkeypatch.chdir(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_reports", fail)
    if code is None:
        with pytest.raises(OutputError, match="cannot be written: No space left"):
            finish(judge=judge)
        shown = capsys.readouterr().out
        assert "PASS" not in shown and "INCONCLUSIVE  the reports cannot be written: No space left" in shown
    else:
        assert finish(judge=judge) == code
        assert "cannot be written" in capsys.readouterr().err
