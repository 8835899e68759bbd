"""What holds: the command line, else the environment, else the configuration, else the default."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from sora_stats_harness.api.errors import ConfigError, UsageError
from sora_stats_harness.cli import main, options
from sora_stats_harness.cli.framework import Arguments, Command, Option
from sora_stats_harness.judge.requirements import Level, Severity
from sora_stats_harness.probe.run_settings import RunSettings

Capture = pytest.CaptureFixture[str]

WHOLE = """\
url = "http://sora.example:3000"
edition = "mine.toml"
fail_on = "habit"
require = ["counter.monotonic"]
ca_file = "ca.pem"
insecure = true
timeout = 2
tear = "60ms"
slos = ["p99<50ms"]
no_worse_than = "10%"

[headers]
Authorization = "env:SORA_TOKEN"
X-Trace = "@trace"

[severity]
"shape.unknown" = "must"
"http.status" = "info"

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


def resolve(*words: str) -> RunSettings:
    """What a command with all common options makes of its words."""
    params = [*options.server_options(), *options.judging_options(), Option(["--slo"], multiple=True)]
    context = Command("test", params, examples="", run=lambda arguments: 0).make_context("test", list(words))
    return options.read_settings(Arguments(**context.params))


CHOSEN: Final = {"shape.unknown": Level.MUST, "http.status": Level.INFO}

NOTHING: dict[str, Any] = {
    "url": None,
    "edition": "doc-2024",
    "severity": Severity(),
    "require": (),
    "headers": (),
    "ca_file": None,
    "insecure": False,
    "timeout_s": 5.0,
    "tear_s": None,
    "slos": (),
    "no_worse_than": None,
    "labels": {},
    "waivers": [],
}


def held(settings: RunSettings) -> dict[str, Any]:  # Any: whatever a setting holds
    """Every setting by its name, but for where it comes from."""
    return {name: getattr(settings, name) for name in NOTHING}


def test_without_a_configuration_the_defaults_hold() -> None:
    """And it is said of each that it is one."""
    found = resolve()
    assert held(found) == NOTHING
    assert set(found.origins.values()) == {"default"}


def test_the_configuration_fills_in_what_was_not_given(folder: Path) -> None:
    """Each value as the option would read it."""
    (folder / "sora-harness.toml").write_text(WHOLE, encoding="utf-8")
    found = resolve("--trust-config")
    assert held(found) | {"waivers": []} == {
        "url": "http://sora.example:3000",
        "edition": "mine.toml",
        "severity": Severity(fail_on=Level.HABIT, by_requirement=CHOSEN),
        "require": ("counter.monotonic",),
        "ca_file": "ca.pem",
        "insecure": True,
        "headers": ("Authorization: env:SORA_TOKEN", "X-Trace: @trace"),
        "timeout_s": 2.0,
        "tear_s": 0.06,
        "slos": ("p99<50ms",),
        "no_worse_than": 0.1,
        "labels": {"build": "123", "region": "tokyo"},
        "waivers": [],
    }
    assert {found.origins[key.removesuffix("_s")] for key in NOTHING if key not in ("url", "waivers")} == {
        "sora-harness.toml"
    }
    assert [waiver.by for waiver in found.waivers] == ["Mori"]


def test_the_command_line_wins(folder: Path) -> None:
    """Headers and labels name by name; what is required is added; any other list replaces that of the file."""
    (folder / "sora-harness.toml").write_text(WHOLE, encoding="utf-8")
    text = (
        "http://a:1 --edition doc-2024 --fail-on must --require http.json --ca-file b --no-insecure --timeout 7 "
        "--tear 100ms "
        "--slo p50<1ms --label build=9"
    )
    found = resolve(*text.split(), "--header", "authorization: Basic x")
    assert held(found) | {"waivers": []} == {
        "url": "http://a:1",
        "edition": "doc-2024",
        "severity": Severity(fail_on=Level.MUST, by_requirement=CHOSEN),
        "require": ("counter.monotonic", "http.json"),
        "ca_file": "b",
        "insecure": False,
        "headers": ("X-Trace: @trace", "authorization: Basic x"),
        "timeout_s": 7.0,
        "tear_s": 0.1,
        "slos": ("p50<1ms",),
        "no_worse_than": 0.1,
        "labels": {"region": "tokyo", "build": "9"},
        "waivers": [],
    }
    assert found.origins["fail_on"] == found.origins["slos"] == "command line"
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
    assert resolve(*([argument] if argument else [])).url == url


def test_a_url_that_is_set_but_empty_is_not_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset CI secret must not turn a gate of the configured server into one of nobody knows what."""
    (folder / "sora-harness.toml").write_text("url = 'http://c:3'", encoding="utf-8")
    monkeypatch.setenv("SORA_URL", "")
    with pytest.raises(UsageError, match="SORA_URL is set but empty"):
        resolve()


def test_a_configured_url_is_a_url(folder: Path, capsys: Capture) -> None:
    """Options of the simulator beside it are wrong usage."""
    (folder / "sora-harness.toml").write_text("url = 'http://c:3'", encoding="utf-8")
    assert main(["conform", "--fault", "null"]) == 2
    assert "--fault is for the embedded simulator, and http://c:3 was given" in capsys.readouterr().err


def test_headers_are_for_a_server(folder: Path) -> None:
    """A self-test needs no secret: without a URL none is looked up."""
    (folder / "sora-harness.toml").write_text("headers = {Authorization = 'env:NOT_SET'}", encoding="utf-8")
    assert resolve().headers == ()
    assert resolve("http://a:1").headers == ("Authorization: env:NOT_SET",)


def test_another_file_may_be_named(folder: Path) -> None:
    """Instead of the one that is there; a file that is missing, or no name, is wrong usage."""
    (folder / "sora-harness.toml").write_text("fail_on = 'habit'", encoding="utf-8")
    (folder / "other.toml").write_text("insecure = true", encoding="utf-8")
    found = resolve("--config", "other.toml")
    assert (found.severity, found.insecure, found.origins["insecure"]) == (Severity(), True, "other.toml")
    with pytest.raises(UsageError, match="--config is empty"):
        resolve("--config", "")
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        resolve("--config", "none.toml")


def test_values_that_an_option_refuses_name_the_file(folder: Path) -> None:
    """As the option would, but it was not the command line that said it."""
    (folder / "sora-harness.toml").write_text("timeout = '0s'", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"sora-harness.toml: timeout: '0s' must be a time greater than 0"):
        resolve()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fail_on = 'prooven'", "fail_on: 'prooven' must be one of must, proven, habit (did you mean 'proven'?)"),
        ("fail_on = 'info'", "fail_on: 'info' must be one of must, proven, habit"),
        (
            "[severity]\n'shape.unknown' = 'shuold'",
            "severity: shape.unknown: 'shuold' must be one of must, proven, habit, info",
        ),
        (
            "[severity]\n'shape.unknwon' = 'must'",
            "severity: there is no requirement 'shape.unknwon' (did you mean 'shape.unknown'?)",
        ),
        (
            "[severity]\nshape.unknown = 'must'",
            'severity: an id needs quotation marks, as in "family.name" = "info"',
        ),
    ],
)
def test_levels_that_there_are_not_are_refused(text: str, complaint: str, folder: Path, capsys: Capture) -> None:
    """And ids that there are not; a mistyped one would weaken the gate in silence."""
    (folder / "sora-harness.toml").write_text(text, encoding="utf-8")
    assert main(["config"]) == 2
    assert capsys.readouterr().err == f"sora-harness: sora-harness.toml: {complaint}\n"


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
    (folder / "pyproject.toml").write_text("[tool.sora-harness]\nfail_on = \n", encoding="utf-8")
    assert main([command, *(["x.json"] if command == "check" else [])]) == 2
    assert capsys.readouterr().err == "sora-harness: pyproject.toml is not TOML: line 2: Invalid value\n"


def test_config_shows_what_holds_and_where_from(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """For people and for programs; of a header its reference, and of one that was given whole nothing."""
    monkeypatch.setenv("SORA_TOKEN", "sesame")
    monkeypatch.setenv("SORA_URL", "http://b:2")
    (folder / "sora-harness.toml").write_text(WHOLE, encoding="utf-8")
    (folder / "pyproject.toml").write_text("[tool.sora-harness]\n", encoding="utf-8")
    words = ["--fail-on", "must", "--header", "X-Key: sesame", "--header", "@lines"]
    assert main(["config", *words]) == 0
    text = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "configuration: sora-harness.toml" in lines
    assert "ignored: pyproject.toml, because sora-harness.toml exists" in lines
    assert "url http://b:2 SORA_URL" in lines
    assert "fail_on must command line" in lines
    assert "severity shape.unknown: must, http.status: info sora-harness.toml" in lines
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
    assert re.search(r"url +- +default", out)


def test_config_refuses_what_a_run_would(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """An empty URL is no URL."""
    monkeypatch.setenv("SORA_URL", "")
    assert main(["config"]) == 2
    assert "SORA_URL is set but empty" in capsys.readouterr().err


BAD_SETTINGS = {
    "edition": ("edition = 'doc-1999'", "there is no edition 'doc-1999'"),
    "ca_file": (
        "url = 'http://c:3'\nca_file = 'none.pem'",
        "the certificates in none.pem cannot be read: No such file",
    ),
    "headers": ("url = 'http://c:3'\nheaders = {X = 'env:NOT_SET'}", "the environment variable NOT_SET is not set"),
    "slos": ("slos = ['p99']", "sora-harness.toml: slos: 'p99'"),
    "client_cert": (
        "url = 'http://c:3'\nclient_cert = 'none.pem'",
        "--client-cert none.pem can't be used: No such file",
    ),
    "client_key": ("url = 'http://c:3'\nclient_key = 'key.pem'", "--client-key goes with --client-cert"),
    "proxy": ("url = 'http://c:3'\nproxy = 'env:NOT_SET'", "the environment variable NOT_SET is not set"),
    "max_duration": (
        "duration = 30\nmax_duration = 10",
        "--max-duration (10 s) must not be shorter than --duration (30 s)",
    ),
    "connections": ("url = 'http://c:3'\ntargets = ['GetStatsClient']", "give --channel-id with --connection-id"),
    "baseline": ("url = 'http://c:3'\nbaseline = 'old.json'", "old.json"),
}


@pytest.mark.parametrize("key", BAD_SETTINGS)
def test_check_looks_up_what_settings_refer_to(key: str, folder: Path, capsys: Capture) -> None:
    """As a command does before it sends anything; without --check they are only shown."""
    text, complaint = BAD_SETTINGS[key]
    (folder / "sora-harness.toml").write_text(text, encoding="utf-8")
    assert main(["config", "--trust-config"]) == 0
    capsys.readouterr()
    assert main(["config", "--check", "--trust-config"]) == 2
    assert complaint in capsys.readouterr().err


REFUSED_FILES = {
    "targets": ("sora-harness.toml", "targets = ['GetStats']", "'GetStats' must be one of"),
    "nodes": (
        "sora-harness.toml",
        "url = 'http://c:3'\nnodes = ['http://d:0']",
        "its port must be an integer from 1 to 65535",
    ),
    "rate": ("sora-harness.toml", "rate = 5000.0", "rate"),
    "wait": ("sora-harness.toml", "wait = 'soon'", "wait: it must be a time"),
    "proxy": ("sora-harness.toml", "proxy = 'http://u:sesame@p:1'", "proxy has credentials in the file"),
    "a mistyped table": ("pyproject.toml", "[tool.sora_harness]", "unknown table [tool.sora_harness] (did you mean"),
    "the name of the distribution": (
        "pyproject.toml",
        "[tool.sora-stats-harness]",
        "did you mean [tool.sora-harness]?",
    ),
    "a folder": ("sora-harness.toml", None, "the configuration sora-harness.toml cannot be read: Is a directory"),
}


@pytest.mark.parametrize("file", REFUSED_FILES)
def test_what_no_command_can_use_is_refused_by_each(file: str, folder: Path, capsys: Capture) -> None:
    """A gate that was weakened by a mistake would be green."""
    name, text, complaint = REFUSED_FILES[file]
    if text is None:
        (folder / name).mkdir()
    else:
        (folder / name).write_text(text, encoding="utf-8")
    for words in (["config", "--check"], ["conform", "--dry-run"]):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert complaint in error and "sesame" not in error and error.count("\n") == 1


def test_the_gate_is_configured_whole(folder: Path, capsys: Capture) -> None:
    """Every option of `conform` that says what is sent, and the command line wins over each."""
    (folder / "sora-harness.toml").write_text(
        """\
url = "http://a:3000"
nodes = ["http://b:3000"]
targets = ["GetStatsConnection", "GetStatsAllConnections"]
duration = "5s"
max_duration = 20
rate = 20
concurrency = 4
valid_only = true
wait = "10s"

[[connections]]
channel_id = "lobby"
connection_id = "one"
""",
        encoding="utf-8",
    )
    assert main(["conform", "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "plan: conform on http://a:3000 and http://b:3000: at most 20 requests/s" in said
    assert "no wrong requests, for 5 to 20 s" in said
    assert main(["conform", "--dry-run", "--no-valid-only", "--rate", "10", "--duration", "20s"]) == 0
    said = capsys.readouterr().err
    assert "at most 10 requests/s" in said and "no wrong requests" not in said and "for 20 s, until" in said
    assert main(["config"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "connections lobby: one sora-harness.toml" in lines and "rate 20 requests/s sora-harness.toml" in lines


@pytest.mark.parametrize("reference", ["env:SORA_TOKEN", "@../token"])
def test_a_found_file_cannot_send_secrets_where_it_likes(folder: Path, reference: str, capsys: Capture) -> None:
    """
    One of a fork could have a build send it any variable or file; one that the user names, or a URL of theirs, may.
    """
    path = folder / "sora-harness.toml"
    path.write_text(f"url = 'http://c:3'\nheaders = {{X-Key = '{reference}'}}", encoding="utf-8")
    assert main(["config"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "in the header X-Key: give the URL yourself, or say --trust-config" in err
    for words in (["--trust-config"], ["--config", str(path)], ["http://a:1"], ["--header", "x-key: 1"]):
        assert len(resolve(*words).headers) == 1


def test_check_of_a_good_configuration(folder: Path, capsys: Capture) -> None:
    """One line, exit 0."""
    (folder / "sora-harness.toml").write_text("fail_on = 'must'", encoding="utf-8")
    assert main(["config", "--check"]) == 0
    assert capsys.readouterr().out == "sora-harness.toml: every setting can be used\n"
