"""The frame: one line and an exit code, whatever happens inside a command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from sora_stats_harness import __version__, cli
from sora_stats_harness.api.errors import RecordingError, RequestRefusedError, SimulatorError, UsageError
from sora_stats_harness.judge import accelerator

COMMAND = [sys.executable, "-m", "sora_stats_harness"]
HEAVY = (
    "rich",
    "asyncio",
    "msgspec",
    "httpx",
    "jsonschema",
    "backports.zstd",
    "locust",
    "gevent",
    "hypothesis",
    "pytest",
    "orjson",
    "uvicorn",
)

SEE = "see sora-harness fields --help"
KINDS = "counter, gauge, configuration, identity, time"
FAULT = "(a fault of the harness; SORA_HARNESS_DEBUG=1 shows where)"

Capture = pytest.CaptureFixture[str]


def test_the_table_is_what_there_is() -> None:
    """Each module that has a command is in the overview, and no line of it is without its module."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in Path(cli.__file__).parent.glob("*.py")}
    assert {name for name, text in texts.items() if re.search(r"^command = ", text, re.MULTILINE)} == set(cli.COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    """The overview and every command's help: neither parser nor client nor schema library is loaded."""
    code = (
        "import sys; from sora_stats_harness.cli import main, COMMANDS\n"
        "codes = [main(['--help'])] + [main([name, '--help']) for name in COMMANDS]\n"
        f"print(codes, sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == f"{[0] * (len(cli.COMMANDS) + 1)} []"
    assert done.stdout.count("examples:") == len(cli.COMMANDS) + 1


def test_every_example_in_a_help_text_is_understood(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Each line that shows a command of ours parses; what it would do is not done."""
    for name in cli.COMMANDS:
        monkeypatch.setattr(import_module(f"{cli.__name__}.{name}").command, "callback", lambda **values: 0)
    seen = Counter[str]()
    for name in cli.COMMANDS:
        assert cli.main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert cli.COMMANDS[name][1:] in " ".join(text.split())
        examples = text.partition("examples:")[2].replace("\\\n", " ")
        for line in re.findall(r"sora-harness ([^|&\n]+)", examples):
            # Two blanks begin a remark.
            words = shlex.split(re.split(r" {2,}(?=[A-Za-z][^']*$)", line)[0])
            assert cli.main(words) == 0, (line, capsys.readouterr().err)
            seen[words[0]] += 1
    assert set(seen) == set(cli.COMMANDS)


def test_version(capsys: Capture) -> None:
    """On stdout, with the program's name, and by what responses are read."""
    assert cli.main(["--version"]) == 0
    how = "by the accelerator" if accelerator.is_available() else "in Python alone"
    assert capsys.readouterr().out == f"sora-harness {__version__} (responses are read {how})\n"


def test_no_command_is_wrong_usage(capsys: Capture) -> None:
    """The overview, on stderr."""
    assert cli.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Commands:" in captured.err


def test_help_of_a_command(capsys: Capture) -> None:
    """`help COMMAND` is `COMMAND --help`, and `help` alone the overview."""
    for words, same in (
        (["help"], ["--help"]),
        (["help", "load"], ["load", "--help"]),
        (["load", "-h"], ["help", "load"]),
    ):
        assert cli.main(words) == 0
        first = capsys.readouterr().out
        assert cli.main(same) == 0
        assert capsys.readouterr().out == first


def test_shells_get_completions() -> None:
    """Commands, options and choices; the script that asks for them is click's."""
    for words, expected in (
        ("con", "conform\nplain,config"),
        ("report --for", "--format"),
        ("report --format h", "html"),
    ):
        environment = {
            "_SORA_HARNESS_COMPLETE": "bash_complete",
            "COMP_WORDS": f"sora-harness {words}",
            "COMP_CWORD": str(len(words.split())),
        }
        done = subprocess.run(COMMAND, capture_output=True, text=True, check=True, env=os.environ | environment)
        assert done.stdout == f"plain,{expected}\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["confrom"], "there is no command 'confrom' (did you mean 'conform'?); see sora-harness --help"),
        (["\x1b[2J"], "there is no command '\\x1b[2J'; see sora-harness --help"),
        (["--versoin"], "there is no option '--versoin' (did you mean '--version'?); see sora-harness --help"),
        (["fields", "--grop", "rtp"], f"there is no option '--grop' (did you mean '--group'?); {SEE}"),
        (["fields", "--gro", "rtp"], f"there is no option '--gro' (did you mean '--group'?); {SEE}"),
        (["fields", "--kind"], "option --kind needs a value"),
        (["fields", "--kind", "gaug"], f"--kind: 'gaug' must be one of {KINDS} (did you mean 'gauge'?); {SEE}"),
        (["redact", "a", "b", "c"], "got unexpected extra argument (c); see sora-harness redact --help"),
        (["help", "lod"], "there is no command 'lod' (did you mean 'load'?); see sora-harness --help"),
        (["report"], "VERDICT is missing; see sora-harness report --help"),
    ],
)
def test_wrong_usage_is_one_line(words: list[str], complaint: str, capsys: Capture) -> None:
    """With the nearest name, exit 2; an abbreviation is no option."""
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.err == f"sora-harness: {complaint}\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no such file"), 2, "no such file"),
        (RecordingError("two\nlines"), 2, "two\\nlines"),
        (SimulatorError("it died"), 4, "it died"),
        (RequestRefusedError("refused"), 4, "refused"),
        (KeyboardInterrupt(), 3, "interrupted"),
        (ValueError("odd\n  thing"), 4, f"ValueError: odd thing {FAULT}"),
        (BrokenPipeError(32, "Broken pipe"), 4, f"BrokenPipeError: [Errno 32] Broken pipe {FAULT}"),
    ],
)
def test_whatever_happens_is_one_line(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Our own errors give their code, all others 4, and a broken pipe that isn't our output's is no excuse."""
    monkeypatch.delenv("SORA_HARNESS_DEBUG", raising=False)
    _fields_raises(monkeypatch, error)
    assert cli.main(["fields"]) == code
    assert capsys.readouterr().err == f"sora-harness: {line}\n"


def test_a_developer_sees_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """With SORA_HARNESS_DEBUG the exception comes through."""
    monkeypatch.setenv("SORA_HARNESS_DEBUG", "1")
    _fields_raises(monkeypatch, ValueError("odd"))
    with pytest.raises(ValueError, match="odd"):
        cli.main(["fields"])


def _fields_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the command `fields` end by an exception."""

    def run(**values: object) -> int:
        raise error

    monkeypatch.setattr(import_module(f"{cli.__name__}.fields").command, "callback", run)


@pytest.mark.parametrize(
    "words", [["fields"], ["fields", "--json"], ["requirements"], ["fields", "--help"], ["--help"]]
)
def test_a_reader_who_has_seen_enough_is_no_error(words: list[str]) -> None:
    """`| head -1` gets its line, and nobody complains."""
    read, write = os.pipe()
    with subprocess.Popen([*COMMAND, *words], stdout=write, stderr=subprocess.PIPE) as process:
        os.close(read)
        os.close(write)
        assert process.communicate()[1] == b""
        assert process.returncode == 0


def test_an_old_terminal_still_shows_everything() -> None:
    """Where stdout is ASCII, what it cannot show is spelled."""
    code = "import sys; from sora_stats_harness.cli import main, output\nmain(['--version']); output.write_output('\\u4f1a\\n')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert done.stdout.endswith(b"\\u4f1a\n")
