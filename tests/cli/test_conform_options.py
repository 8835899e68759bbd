"""`conform` refuses options that make no sense, with one line and exit code 2, before anything is sent."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import resources
from pathlib import Path

import pytest

from sora_stats_harness.api.project_config import GivenConnection
from sora_stats_harness.cli import conform, main, options
from sora_stats_harness.cli.framework import Arguments

from ..simulator.raw import listing

URL = "http://127.0.0.1:9"
ONLY_CONNECTION = ["--targets", "GetStatsConnection"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([URL, "--targets", "GetStatsAllConnection"], "'GetStatsAllConnection' must be one of"),
        ([URL, "--targets", ""], "'' must be one of"),
        ([URL, *ONLY_CONNECTION], "give --channel-id"),
        ([URL, *ONLY_CONNECTION, "--channel-id", "a", "--client-id", "b"], "needs GetStatsClient"),
        ([URL, "--connection-id", "x"], "name its --channel-id before it"),
        ([URL, "--channel-id", "a"], "name its --connection-id or --client-id after it"),
        ([URL, "--channel-id", "a", "--channel-id", "b", "--client-id", "c"], "--channel-id a: name its"),
        ([URL, "--seed", "2"], "--seed is for the embedded simulator"),
        ([URL, "--concurrency", "33"], "--concurrency: '33' must be an integer from 1 to 32"),
        ([URL, "--duration", "0"], "'0' must be a time"),
        ([URL, "--node", "http://10.0.0.2:3000/?x"], "has a query"),
        ([URL, "--ca-file", "/nowhere.pem"], "/nowhere.pem cannot be read"),
        ([URL, "--record", "/nowhere/run.jsonl"], "/nowhere/run.jsonl cannot be written"),
        ([URL, "--header", "x_sora_target: a"], "x_sora_target"),
        (["127.0.0.1:3000"], "is not an http or https URL"),
        ([""], "is set but empty"),
        (["--node", URL], "go with a URL"),
        (["--channel-id", "a", "--client-id", "b"], "go with a URL"),
        ([URL, "--dur", "1"], "there is no option '--dur' (did you mean '--duration'?)"),
    ],
)
def test_wrong_usage(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr, nothing on stdout."""
    assert main(["conform", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sora-harness: ") and captured.err.count("\n") == 1
    assert told in captured.err


def test_an_empty_variable_is_no_invitation_for_the_simulator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unset CI secret must not turn into a green self-test."""
    monkeypatch.setenv("SORA_URL", "")
    assert main(["conform"]) == 2
    assert "SORA_URL is set but empty" in capsys.readouterr().err


def test_connections_and_clients_belong_to_the_channel_before_them() -> None:
    """Any number of each, in the order in which they were given."""
    words = [
        "--channel-id",
        "a",
        "--connection-id",
        "1",
        "--client-id",
        "2",
        "--channel-id",
        "b",
        "--connection-id",
        "3",
    ]
    assert conform.command.make_context("conform", [URL, *words]).params["given_connections"] == [
        GivenConnection(channel_id="a", connection_id="1"),
        GivenConnection(channel_id="a", client_id="2"),
        GivenConnection(channel_id="b", connection_id="3"),
    ]


def test_the_embedded_simulator_serves_the_edition_that_judges(tmp_path: Path) -> None:
    """Else a self-test with an edition of one's own would find nothing but the difference between the two."""
    text = (resources.files("sora_stats_harness.api") / "editions" / "doc-2024.toml").read_text(encoding="utf-8")
    own = tmp_path / "own.toml"
    own.write_text(text.replace("turn_binding_error", "turn_binding_errror"), encoding="utf-8")
    context = conform.command.make_context("conform", ["--edition", str(own), "--connections", "1"])
    arguments = Arguments(**context.params)
    options.read_settings(arguments)
    with ExitStack() as stack:
        (url,) = conform._resolve_servers(arguments, stack)
        (connection,) = listing(url)
    assert "total_received_turn_binding_errror" in connection["turn"]
    assert "total_received_turn_binding_error" not in connection["turn"]
