"""sora-harness.toml and its table in pyproject.toml: read whole, or refused with one line that says where and what."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sora_stats_harness.api import project_config as config
from sora_stats_harness.api.errors import ConfigError, ExitCode
from sora_stats_harness.api.project_config import ConfigValues, LoadedConfig, Waiver
from sora_stats_harness.judge.requirements import REQUIREMENTS
from sora_stats_harness.probe.run_settings import SettingSources, resolve_settings

WHOLE = """\
url = "http://sora.example:3000"
edition = "doc-2024"
fail_on = "habit"
require = ["counter.monotonic"]
ca_file = "ca.pem"
insecure = false
timeout = "500ms"
slos = ["p99<50ms"]

[headers]
Authorization = "env:SORA_TOKEN"
X-Api-Key = "@key"

[labels]
build = "123"

[severity]
"shape.unknown" = "info"

[[waivers]]
requirement = "shape.unknown"
field = "/rtp/*"
reason = "announced for the next release"
by = "Mori"
until = 2026-12-31
"""


def read(file: Path | None = None, **given: Any) -> LoadedConfig:  # Any: the reader's own
    """The configuration."""
    return config.read_config(file, **given)


def put(folder: Path, text: str, name: str = config.CONFIG_FILE) -> Path:
    """Write a file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    """Files stand relative to the configuration, and dates may be dates or texts."""
    path = put(tmp_path, WHOLE)
    waiver = Waiver(
        requirement="shape.unknown",
        field="/rtp/*",
        reason="announced for the next release",
        by="Mori",
        until=date(2026, 12, 31),
    )
    expected = LoadedConfig(
        source=str(path),
        was_found=True,
        values=ConfigValues(
            url="http://sora.example:3000",
            edition="doc-2024",
            fail_on="habit",
            severity={"shape.unknown": "info"},
            require=["counter.monotonic"],
            ca_file=str(tmp_path / "ca.pem"),
            insecure=False,
            timeout="500ms",
            slos=["p99<50ms"],
            headers={"Authorization": "env:SORA_TOKEN", "X-Api-Key": f"@{tmp_path / 'key'}"},
            labels={"build": "123"},
            waivers=[waiver],
        ),
    )
    assert read(folder=tmp_path) == expected
    put(tmp_path, WHOLE.replace("2026-12-31", '"2026-12-31"'))
    assert read(folder=tmp_path) == expected


def test_an_edition_of_ones_own_stands_beside_the_configuration(tmp_path: Path) -> None:
    """A name is a name, anything else a file."""
    path = put(tmp_path, 'edition = "mine.toml"', "gate/gate.toml")
    assert read(path).values.edition == str(tmp_path / "gate" / "mine.toml")


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sora-harness.toml, else the table in pyproject.toml, of the current folder and of none above."""
    monkeypatch.chdir(tmp_path)
    assert read() == LoadedConfig()
    put(tmp_path, "[project]\nname = 'x'\n", config.PYPROJECT)
    assert read() == LoadedConfig()
    put(tmp_path, "[tool.sora-harness]\nfail_on = 'must'\n", config.PYPROJECT)
    found = read()
    assert (found.source, found.values.fail_on, config.ignored_pyproject(found)) == ("pyproject.toml", "must", None)
    put(tmp_path, "insecure = true\n")
    found = read()
    assert (found.source, found.values.fail_on, found.values.insecure) == ("sora-harness.toml", None, True)
    assert config.ignored_pyproject(found) == "pyproject.toml"
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert read() == LoadedConfig()
    assert read(tmp_path / config.PYPROJECT).values.fail_on == "must"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a = 1\nb = \nc = 3\n", "is not TOML: line 2: Invalid value"),
        ('a = """\n\n', "is not TOML: line 2: Unterminated string"),
        ("urll = 'x'", "unknown key 'urll' (did you mean 'url'?)"),
        ("ca-file = 'x'", "unknown key 'ca-file' (did you mean 'ca_file'?)"),
        ("[tool.sora-harness]\nfail_on = 'must'", "unknown key 'tool'"),
        ("insecure = 'yes'", "insecure: Expected `bool"),
        ("timeout = 0", "timeout: Expected `float` > 0"),
        ("timeout = 'soon'", "timeout: it must be a time: seconds"),
        ("url = ''", "is set but empty"),
        ("url = '  '", "is set but empty"),
        ("url = 'http://me:sesame@host'", "must not hold credentials"),
        ("url = 'http://[::1'", "is not a URL"),
        ("headers = ['x']", "headers: Expected `object`"),
        ("[headers]\nAuthorization = 'Bearer sesame'", "Authorization has its value in the file"),
        ("[headers]\nAuthorization = 'Bearer env:sesame'", "Authorization has its value in the file"),
        ("[headers]\n'X Y' = 'env:A'", "headers: it must be the name of a header"),
        ("[headers]\nX = 3", "Expected `str`, got `int`"),
        ("[labels]\nbuild = 3", "labels"),
        ("waivers = 3", "waivers: Expected `array`"),
        ("[[waivers]]\nuntill = 2026-01-01", "waiver 1: unknown key 'untill' (did you mean 'until'?)"),
        (
            WHOLE.replace('reason = "announced for the next release"\n', ""),
            "waiver 1: Object missing required field `reason`",
        ),
        (WHOLE.replace('by = "Mori"', 'by = " "'), "waiver 1: by: it is blank"),
        (WHOLE.replace("2026-12-31", '"next year"'), "Invalid RFC3339"),
        (WHOLE.replace("2026-12-31", '"2026-02-30"'), "Invalid RFC3339"),
        ("x = " + "[" * 3000, "sora-harness.toml"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    """One line that names the file and the key; exit code 2; and no secret in it."""
    put(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read(folder=tmp_path)
    told = str(caught.value)
    assert complaint in told and config.CONFIG_FILE in told
    assert "\n" not in told and "sesame" not in told
    assert caught.value.exit_code is ExitCode.USAGE


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A file that was named has to be there; so has the table in a pyproject.toml that was named."""
    for path, complaint in (
        (tmp_path / "none.toml", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (put(tmp_path, "x = 1", config.PYPROJECT), "has no table [tool.sora-harness]"),
        (put(tmp_path / "a", "[tool]\nsora-harness = 3", config.PYPROJECT), "tool.sora-harness is not a table"),
    ):
        with pytest.raises(ConfigError) as caught:
            read(path)
        assert complaint in str(caught.value)
    (tmp_path / "latin.toml").write_bytes(b"url = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        read(tmp_path / "latin.toml")


def plain(table: Any) -> Any:  # Any: TOML, then JSON
    """As editors hold TOML against a schema: dates are texts."""
    return json.loads(json.dumps(table, default=str))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (WHOLE, True),
        ("", True),
        ("timeout = 2.5", True),
        ("urll = 'x'", False),
        ("require = ['counter.monotonc']", False),
        ("[headers]\nAuthorization = 'Bearer sesame'", False),
        ("timeout = -1", False),
        ("[[waivers]]\nrequirement = 'shape.unknown'", False),
        (WHOLE.replace("shape.unknown", "shape.unknwn"), False),
    ],
)
def test_the_schema_says_what_the_reader_says(text: str, valid: bool, tmp_path: Path) -> None:
    """An editor marks what the command line would refuse."""
    schema = config.config_schema(REQUIREMENTS)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(plain(tomllib.loads(text))) is valid
    put(tmp_path, text)
    if valid:
        assert read(folder=tmp_path).source is not None
    else:
        with pytest.raises(ConfigError):
            resolve_settings(SettingSources(folder=tmp_path, asks_server=False))
