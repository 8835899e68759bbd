"""The plugin speaks the language of the environment; ids, properties and files for programs stay English."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

FALLS = """
import pytest
@pytest.mark.sora_simulator(faults=["counter-falls:every=2"])
def test_falls(sora_client, sora_simulator):
    for _ in range(6):
        sora_client.get_stats_all_connections()

@pytest.mark.sora_simulator(falts=[])
def test_mistyped(sora_client, sora_simulator):
    pass
"""


@pytest.fixture
def japanese(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment whose messages are Japanese."""
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("SORA_URL", raising=False)
    monkeypatch.setenv("LC_MESSAGES", "ja_JP.UTF-8")


@pytest.mark.usefixtures("japanese")
def test_findings_and_mistakes_are_told_in_japanese(pytester: pytest.Pytester) -> None:
    """The requirement's id stays what it is."""
    pytester.makepyfile(FALLS)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    text = done.stdout.str()
    assert re.search(r"counter\.monotonic \(MUST\): \S+ が [0-9]+ 減った", text)
    assert "シミュレーターにその設定はありません (もしかして 'faults' ですか?)" in text
    assert "  期待         " in text and "expected" not in text


@pytest.mark.usefixtures("japanese")
def test_the_gate_is_told_in_japanese_and_written_in_english(pytester: pytest.Pytester) -> None:
    """Header, diagnosis, reasons and the verdict's line; verdict.json and the names of items don't change."""
    done = pytester.runpytest_subprocess(
        "--sora-conformance",
        "--sora-url",
        "http://127.0.0.1:1",
        "--sora-report",
        "out",
        "-rfs",
        "-p",
        "no:cacheprovider",
    )
    text = done.stdout.str()
    assert "sora: http://127.0.0.1:1、エディション doc-2024、10 秒" in text
    assert "到達  いいえ: 接続拒否" in text and "INCONCLUSIVE  http://127.0.0.1:1 が完全な応答を返しません" in text
    assert "FAILED sora-harness.toml::verdict" in text
    verdict = json.loads(Path(pytester.path, "out", "verdict.json").read_text(encoding="utf-8"))
    assert list(verdict["diagnosis"]) == ["reachable", "next"] and verdict["diagnosis"]["next"].startswith("start Sora")
    assert 'lang="ja"' in Path(pytester.path, "out", "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("japanese")
def test_help_marks_and_refusals_are_in_japanese(pytester: pytest.Pytester) -> None:
    """What is typed stays as it is."""
    text = pytester.runpytest_subprocess("--help").stdout.str()
    assert "--sora-conformance" in text and "規則ごとに 1 項目" in text and "`simulator`" in text
    assert "フィクスチャ sora_simulator の設定" in pytester.runpytest_subprocess("--markers").stdout.str()
    refused = pytester.runpytest_subprocess("--sora-conformance", "--sora-url", "http://127.0.0.1:0")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert "ポートは 1 から 65535 の整数でなければなりません" in refused.stderr.str()
