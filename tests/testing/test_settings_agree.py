"""One server, one way to ask it: whoever names the URL, every command and the plugin send the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import configargparse
import pytest

from sora_stats_harness.api.errors import ConfigError, UsageError
from sora_stats_harness.cli import capacity, conform, estimate, load, main, options
from sora_stats_harness.cli import config as config_command
from sora_stats_harness.cli.framework import Arguments, Command
from sora_stats_harness.load.locust_settings import add_locust_options, read_locust_settings
from sora_stats_harness.probe.run_settings import RunSettings
from sora_stats_harness.simulator.server import Simulator
from sora_stats_harness.testing.options import PluginSettings, read_settings

pytest_plugins = ["pytester"]

CONFIGURATION: Final = """
edition = "doc-2025"
timeout = "500ms"
tear = "60ms"
insecure = true
headers = {X-Key = "env:KEY", X-Other = "env:KEY"}
"""
CONFIGURED: Final = {
    "edition": "doc-2025",
    "timeout_s": 0.5,
    "tear_s": 0.06,
    "insecure": True,
    "headers": ("X-Key: env:KEY", "X-Other: env:KEY"),
}
DEFAULTS: Final[dict[str, Any]] = {  # Any: whatever a setting holds
    "edition": "doc-2024",
    "timeout_s": 5.0,
    "tear_s": None,
    "insecure": False,
    "headers": (),
}
FOR_SIMULATOR: Final = CONFIGURED | {"headers": ()}
"""What a simulator gets of the configuration: nothing that is meant for a server."""

COMMANDS: Final = {
    "conform": conform.command,
    "load": load.command,
    "capacity": capacity.command,
    "estimate": estimate.command,
    "config": config_command.command,
}
ENTRIES: Final = (*COMMANDS, "pytest", "locust")

Plugin = Callable[..., PluginSettings]


class LocustParser(configargparse.ArgumentParser):
    """What Locust hands out, without importing Locust, which replaces sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.add_argument("--host")
        add_locust_options(self)

    def add_argument(self, *names: str, include_in_web_ui: bool = True, **given: Any) -> Any:
        """As Locust's."""
        return super().add_argument(*names, **given)


@pytest.fixture(autouse=True)
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a configuration, its secret, and no URL in the environment."""
    monkeypatch.delenv("SORA_URL", raising=False)
    monkeypatch.setenv("KEY", "sesame")
    (pytester.path / "sora-harness.toml").write_text(CONFIGURATION, encoding="utf-8")
    return pytester.path


@pytest.fixture
def plugin(pytester: pytest.Pytester, folder: Path) -> Plugin:
    """Reads the plugin's settings in that folder."""

    def read(*words: str) -> PluginSettings:
        return read_settings(pytester.parseconfig("--rootdir", str(folder), *words))

    return read


def resolve(entry: str, plugin: Plugin, *, url: str | None, words: tuple[str, ...] = ()) -> RunSettings:
    """What an entry makes of a URL as its argument or option, and of options by the name that the commands give them."""
    if entry == "pytest":
        own = [word.replace("--", "--sora-", 1) for word in words]
        return plugin(*([f"--sora-url={url}"] if url is not None else []), *own).server
    if entry == "locust":
        own = [word.replace("--", "--sora-", 1) for word in words]
        given = LocustParser().parse_args([*own, *(["--host", url] if url is not None else [])])
        return read_locust_settings(SimpleNamespace(parsed_options=given, host=given.host)).run
    command: Command = COMMANDS[entry]
    params = command.make_context(entry, [*([url] if url is not None else []), *words]).params
    return options.read_settings(Arguments(**params))


def held(settings: RunSettings) -> dict[str, Any]:  # Any: as above
    """How a server is asked."""
    return {key: getattr(settings, key) for key in DEFAULTS}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("source", ["argument", "environment", "configuration", "simulator", "another file"])
def test_a_server_is_asked_alike_whoever_names_it(
    entry: str, source: str, plugin: Plugin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers, certificates, edition and times of the configuration hold for every server, and for a simulator its own."""
    url = "http://a:1"
    words: tuple[str, ...] = ()
    argument: str | None = None
    if source == "argument":
        argument = f"{url}/"
    elif source == "environment":
        monkeypatch.setenv("SORA_URL", "HTTP://A:1")
    elif source == "simulator":
        argument = "simulator"
    else:
        named = folder / ("sora-harness.toml" if source == "configuration" else "other.toml")
        named.write_text(f"url = '{url}'\n{CONFIGURATION}", encoding="utf-8")
        words = ("--trust-config",) if source == "configuration" else ("--config", "other.toml")
    found = resolve(entry, plugin, url=argument, words=words)
    assert (found.url, found.names_simulator) == ((None, True) if source == "simulator" else (url, False))
    assert held(found) == (FOR_SIMULATOR if source == "simulator" else CONFIGURED)


OPTIONS: Final = [
    (("--header", "x-key: mine"), {"headers": ("X-Other: env:KEY", "x-key: mine")}),
    (("--edition", "doc-2026"), {"edition": "doc-2026"}),
    (("--timeout", "2s", "--tear", "1s"), {"timeout_s": 2.0, "tear_s": 1.0}),
]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(("words", "changed"), OPTIONS)
def test_options_win_alike(entry: str, words: tuple[str, ...], changed: dict[str, Any], plugin: Plugin) -> None:
    """Over the configuration, in every command and in the plugin."""
    assert held(resolve(entry, plugin, url="http://a:1", words=words)) == CONFIGURED | changed


WRONG: Final = [
    ("", (), "is set but empty"),
    ("sora", (), "is not an http or https URL"),
    ("http://a:99999", (), "its port must be an integer from 1 to 65535"),
    ("http://me:secret@a", (), "must not hold credentials"),
    ("http://a:1", ("--timeout", "0"), "timeout: '0' must be a time greater than 0"),
    ("http://a:1", ("--timeout", ""), "timeout: '' must be a time greater than 0"),
    ("http://a:1", ("--require", "order"), "there is no requirement 'order'"),
    ("http://a:1", ("--label", "x"), "label: 'x' must have the form KEY=VALUE"),
]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(("url", "words", "complaint"), WRONG)
def test_mistakes_are_refused_alike(
    entry: str, url: str, words: tuple[str, ...], complaint: str, plugin: Plugin
) -> None:
    """In the same words, before anything is sent."""
    with pytest.raises(UsageError, match=re.escape(complaint)):
        resolve(entry, plugin, url=url, words=words)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_found_file_cannot_send_secrets_where_it_likes(entry: str, plugin: Plugin, folder: Path) -> None:
    """A URL and a secret of one file that nobody has named: refused everywhere."""
    (folder / "sora-harness.toml").write_text(f"url = 'http://a:1'\n{CONFIGURATION}", encoding="utf-8")
    with pytest.raises(ConfigError, match="names who gets a secret as well as the secret, in the header X-Key"):
        resolve(entry, plugin, url=None)


def test_what_only_the_plugin_has(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest's own setting comes after SORA_URL; the URL of a fixture is one of a server like any other."""
    found = plugin("-o", "sora_url=http://a:1").server
    assert (found.url, held(found)) == ("http://a:1", CONFIGURED)
    monkeypatch.setenv("SORA_URL", "http://b:2")
    settings = plugin("-o", "sora_url=http://a:1")
    assert settings.server.url == "http://b:2"
    fixture = settings.settings_for("http://c:3/")
    assert (fixture.url, fixture.origins["url"]) == ("http://c:3", "the fixture sora_url")
    assert held(fixture) == CONFIGURED
    assert settings.settings_for("http://b:2") is settings.server
    assert held(settings.no_server) == FOR_SIMULATOR and settings.no_server.url is None
    with pytest.raises(UsageError, match="the fixture sora_url gives 'simulator': give the URL of a server"):
        settings.settings_for("simulator")


def test_every_request_of_a_command_and_of_the_plugin_has_the_headers(pytester: pytest.Pytester, folder: Path) -> None:
    """On the wire: conform, estimate, the gate, a client, and a client of a suite with a fixture `sora_url` of its own."""
    (folder / "sora-harness.toml").write_text("headers = {X-Key = 'env:KEY'}", encoding="utf-8")
    pytester.makepyfile(
        test_client="def test_client(sora_client): sora_client.get_stats_all_connections()",
        test_own="""
        import pytest
        @pytest.fixture
        def sora_url(other_url): return other_url
        def test_own(sora_client): sora_client.get_stats_all_connections()
        """,
    )
    with Simulator(connections=2, churn=False) as simulator, Simulator(connections=2, churn=False) as other:
        pytester.makeconftest(f"import pytest\n@pytest.fixture\ndef other_url(): return {other.url!r}\n")
        sent = 0
        for words in (["estimate"], ["conform", "--duration", "0.1", "--max-duration", "0.1"]):
            main([words[0], simulator.url, *words[1:], "--output", words[0]])
            assert len(simulator.requests) > sent
            sent = len(simulator.requests)
        pytester.runpytest_inprocess(f"--sora-url={simulator.url}", "--sora-conformance", "--sora-duration=0.1")
        assert len(simulator.requests) > sent and len(other.requests) == 1
        for each in (simulator, other):
            assert {dict(seen.headers).get("x-key") for seen in each.requests} == {"sesame"}


def test_the_page_has_every_option_of_plain_locust() -> None:
    """Locust's own help has none of them."""
    ours = {word for action in LocustParser()._actions for word in action.option_strings if word.startswith("--sora-")}
    for name in ("LOAD.md", "LOAD.ja.md"):
        page = (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
        hidden = {"--sora-run", "--sora-spool", "--sora-clock", "--sora-workers"}
        assert {word for word in ours if f"`{word}" not in page} == hidden
