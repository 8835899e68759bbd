"""What holds: the command line, else the environment, else the configuration, else the default."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api.errors import ConfigError, UsageError
from sora_stats_harness.cli import command_support as common
from sora_stats_harness.cli import main
from sora_stats_harness.cli.argument_parser import CommandArgumentParser

Capture = pytest.CaptureFixture[str]

WHOLE = """\
url = "http://sora.example:3000"
edition = "mine.toml"
strict = true
require = ["counter.monotonic"]
ca_file = "ca.pem"
insecure = true
timeout = 2
slos = ["p99<50ms"]

[headers]
Authorization = "env:SORA_TOKEN"
X-Trace = "@trace"

[labels]
build = "123"
region = "tokyo"

[[waivers]]
requirement = "shape.unknown"
field = "/rtp/*"
reason = "announced"
by = "Mori"
until = 2020-01-31
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no URL in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SORA_URL", raising=False)
    return tmp_path


def parse(*words: str, edition: str | None = "doc-2024") -> argparse.Namespace:
    """A command with all common options and one of its own that a configuration may hold."""
    parser = CommandArgumentParser(prog="sora-harness test", allow_abbrev=False)
    common.add_server_options(parser)
    common.add_judging_options(parser)
    parser.add_argument("--slo", action="append", default=[], type=str.upper)
    parser.set_defaults(edition=edition)
    return parser.parse_args(words)


def holds(arguments: argparse.Namespace) -> dict[str, Any]:  # Any: whatever an option holds
    """The options that a configuration may hold."""
    names = ("edition", "strict", "require", "header", "ca_file", "insecure", "timeout", "slo", "label")
    return {name: getattr(arguments, name) for name in names}


NOTHING = {
    "edition": "doc-2024",
    "strict": False,
    "require": [],
    "header": [],
    "ca_file": None,
    "insecure": False,
    "timeout": 5.0,
    "slo": [],
    "label": [],
}


def test_without_a_configuration_the_defaults_hold() -> None:
    """Those that a command has set last, too; and they are the same at the second parsing."""
    assert holds(parse()) == NOTHING
    assert holds(parse(edition=None)) == NOTHING | {"edition": None}
    assert set(parse().origins.values()) == {"default"}
    assert parse().waivers == []


def test_the_configuration_fills_in_what_was_not_given(folder: Path) -> None:
    """By the types of the options, and for options of a command's own as well."""
    (folder / "sora-harness.toml").write_text(WHOLE, encoding="utf-8")
    found = parse()
    assert holds(found) == {
        "edition": "mine.toml",
        "strict": True,
        "require": ["counter.monotonic"],
        "ca_file": "ca.pem",
        "insecure": True,
        "header": ["Authorization: env:SORA_TOKEN", "X-Trace: @trace"],
        "timeout": 2.0,
        "slo": ["P99<50MS"],
        "label": [("build", "123"), ("region", "tokyo")],
    }
    assert set(found.origins.values()) == {"sora-harness.toml"}
    assert [waiver.by for waiver in found.waivers] == ["Mori"]
    assert common.server_url(found) == "http://sora.example:3000"


def test_the_command_line_wins(folder: Path) -> None:
    """Headers and labels name by name; what is required is added; any other list takes the place of the file's."""
    (folder / "sora-harness.toml").write_text(WHOLE, encoding="utf-8")
    words = [
        "http://a:1",
        "--edition",
        "doc-2024",
        "--no-strict",
        "--require",
        "http.json",
        "--ca-file",
        "b",
        "--no-insecure",
        "--timeout",
        "7",
        "--slo",
        "p50<1ms",
        "--label",
        "build=9",
        "--header",
        "authorization: Basic x",
    ]
    found = parse(*words)
    assert holds(found) == {
        "edition": "doc-2024",
        "strict": False,
        "require": ["counter.monotonic", "http.json"],
        "ca_file": "b",
        "insecure": False,
        "header": ["X-Trace: @trace", "authorization: Basic x"],
        "timeout": 7.0,
        "slo": ["P50<1MS"],
        "label": [("region", "tokyo"), ("build", "9")],
    }
    assert found.origins["strict"] == found.origins["slos"] == "command line"
    assert found.origins["headers"] == found.origins["require"] == "sora-harness.toml, command line"


@pytest.mark.parametrize(
    ("argument", "variable", "configured", "url"),
    [
        (None, None, None, None),
        (None, None, "http://c:3", "http://c:3"),
        (None, "http://b:2", "http://c:3", "http://b:2"),
        ("http://a:1", "http://b:2", "http://c:3", "http://a:1"),
        ("http://a:1", "", "http://c:3", "http://a:1"),
    ],
)
def test_the_url_comes_from_the_first_that_names_one(
    argument: str | None,
    variable: str | None,
    configured: str | None,
    url: str | None,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The argument, else SORA_URL, else the configuration; the simulator stands in only where none does."""
    if configured is not None:
        (folder / "sora-harness.toml").write_text(f"url = {configured!r}", encoding="utf-8")
    if variable is not None:
        monkeypatch.setenv("SORA_URL", variable)
    assert common.server_url(parse(*([argument] if argument else []))) == url


def test_a_url_that_is_set_but_empty_is_not_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset CI secret must not turn a gate of the configured server into one of nobody knows what."""
    (folder / "sora-harness.toml").write_text("url = 'http://c:3'", encoding="utf-8")
    monkeypatch.setenv("SORA_URL", "")
    with pytest.raises(UsageError, match="SORA_URL is set but empty"):
        common.server_url(parse())


def test_a_configured_url_is_a_url(folder: Path, capsys: Capture) -> None:
    """Options of the simulator beside it are wrong usage."""
    (folder / "sora-harness.toml").write_text("url = 'http://c:3'", encoding="utf-8")
    assert main(["conform", "--fault", "null"]) == 2
    assert "--fault is for the embedded simulator, and http://c:3 was given" in capsys.readouterr().err


def test_headers_are_for_a_server(folder: Path) -> None:
    """A self-test needs no secret: without a URL none is looked up."""
    (folder / "sora-harness.toml").write_text("headers = {Authorization = 'env:NOT_SET'}", encoding="utf-8")
    assert parse().header == []
    assert parse("http://a:1").header == ["Authorization: env:NOT_SET"]


def test_another_file_may_be_named(folder: Path) -> None:
    """Instead of the one that is there; a file that is missing, or no name, is wrong usage."""
    (folder / "sora-harness.toml").write_text("strict = true", encoding="utf-8")
    (folder / "other.toml").write_text("insecure = true", encoding="utf-8")
    found = parse("--config", "other.toml")
    assert (found.strict, found.insecure, found.origins["insecure"]) == (False, True, "other.toml")
    with pytest.raises(UsageError, match="--config is empty"):
        parse("--config", "")
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        parse("--config", "none.toml")


def test_values_that_an_option_refuses_name_the_file(folder: Path) -> None:
    """As the option would, but it was not the command line that said it."""
    (folder / "sora-harness.toml").write_text("timeout = '0s'", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"sora-harness.toml: timeout: '0s' is no time"):
        parse()


def test_help_needs_no_configuration(folder: Path, capsys: Capture) -> None:
    """It is asked for where something is wrong."""
    (folder / "sora-harness.toml").write_text("x = 1", encoding="utf-8")
    assert main(["conform", "--help"]) == 0
    assert main(["conform", "--dry"]) == 2
    assert main(["check", "x.json"]) == 2
    assert "unknown key 'x'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["conform", "load", "check", "config"])
def test_a_malformed_file_is_one_line(command: str, folder: Path, capsys: Capture) -> None:
    """With its number, and exit code 2, whatever the command."""
    (folder / "pyproject.toml").write_text("[tool.sora-harness]\nstrict = \n", encoding="utf-8")
    assert main([command, *(["x.json"] if command == "check" else [])]) == 2
    assert capsys.readouterr().err == "sora-harness: pyproject.toml is not TOML: line 2: Invalid value\n"


def test_config_shows_what_holds_and_where_from(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """For people and for programs; of a header its reference, and of one that was given whole nothing."""
    monkeypatch.setenv("SORA_TOKEN", "sesame")
    monkeypatch.setenv("SORA_URL", "http://b:2")
    (folder / "sora-harness.toml").write_text(WHOLE, encoding="utf-8")
    (folder / "pyproject.toml").write_text("[tool.sora-harness]\n", encoding="utf-8")
    words = ["--no-strict", "--header", "X-Key: sesame", "--header", "@lines"]
    assert main(["config", *words]) == 0
    text = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "configuration: sora-harness.toml" in lines
    assert "passed over: pyproject.toml, since sora-harness.toml is there" in lines
    assert "url http://b:2 SORA_URL" in lines
    assert "strict no command line" in lines
    assert "timeout 2 s sora-harness.toml" in lines
    assert "shape.unknown /rtp/* 2020-01-31 (expired) Mori announced" in lines
    assert main(["config", "--json", *words]) == 0
    printed = capsys.readouterr().out
    document = json.loads(printed)
    assert document["settings"]["url"] == {"value": "http://b:2", "from": "SORA_URL"}
    assert document["settings"]["headers"] == {
        "value": {
            "Authorization": "env:SORA_TOKEN",
            "X-Trace": "@trace",
            "X-Key": "(not shown)",
            "@lines": "whole lines",
        },
        "from": "sora-harness.toml, command line",
    }
    assert document["waivers"][0]["until"] == "2020-01-31"
    assert "sesame" not in text + printed


def test_config_without_any(capsys: Capture) -> None:
    """All from defaults, and it says so."""
    assert main(["config"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("configuration: none\n")
    assert "url       -         default" in out


def test_config_refuses_what_a_run_would(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """An empty URL is no URL."""
    monkeypatch.setenv("SORA_URL", "")
    assert main(["config"]) == 2
    assert "SORA_URL is set but empty" in capsys.readouterr().err
