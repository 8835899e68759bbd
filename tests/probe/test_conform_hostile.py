"""`conform` against servers that misbehave: each ends soon, with one line of reason and the right exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sora_stats_harness.api.exchange import TARGET_HEADER, Target
from sora_stats_harness.api.request_guard import INVENTED_TARGETS
from sora_stats_harness.cli import main

from .. import hostile

FAIL, INCONCLUSIVE = 1, 3


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses after a failure and without connections are shorter than for a real server."""
    monkeypatch.setattr("sora_stats_harness.probe.paced_sender.FAILURE_PAUSE_S", 0.01)
    monkeypatch.setattr("sora_stats_harness.probe.conformance_run._EMPTY_ROUND_PAUSE_S", 0.01)


def conform(url: str, folder: Path, *options: str, timeout_s: float = 5) -> tuple[int, dict[str, Any]]:
    """Run the command until it has seen enough; the verdict it wrote."""
    output = folder / "report"
    words = [
        "conform",
        url,
        "--timeout",
        str(timeout_s),
        "--duration",
        "0.1",
        "--rate",
        "400",
        "--output",
        str(output),
        *options,
    ]
    code = main(words)
    verdict: dict[str, Any] = json.loads((output / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["exit_code"] == code
    return code, verdict


@pytest.mark.parametrize(
    ("behaviour", "code", "reason"),
    [
        (hostile.hang, INCONCLUSIVE, "gives no complete response: timeout: no complete response within 0.3 s"),
        (hostile.slow_headers, INCONCLUSIVE, "gives no complete response: timeout"),
        (hostile.slow_body, INCONCLUSIVE, "gives no complete response: timeout"),
        (hostile.late_response(0.5, hostile.response(b"[]")), INCONCLUSIVE, "gives no complete response: timeout"),
        (
            hostile.close_at_once,
            INCONCLUSIVE,
            "gives no complete response: reset: the connection was closed before a response",
        ),
        (hostile.reset, INCONCLUSIVE, "gives no complete response: reset"),
        (hostile.says(hostile.TWO_RESPONSES), FAIL, "http.length is violated"),
        (hostile.says(hostile.CUT), FAIL, "http.complete is violated"),
        (hostile.says(hostile.CUT_CHUNKED), FAIL, "http.complete is violated"),
        (hostile.says(hostile.GARBAGE), FAIL, "http.complete is violated"),
        (hostile.endless_headers, FAIL, "http.complete is violated"),
        (hostile.says(hostile.UNAVAILABLE), FAIL, "http.status is violated"),
        (hostile.says(hostile.HTML), FAIL, "http.content_type and 1 more are violated"),
        (hostile.says(hostile.DEEP), INCONCLUSIVE, "responds, but not with a list of connections"),
        (hostile.says(hostile.WRONG_TYPE), FAIL, "is violated"),
        (hostile.says(hostile.LENGTH_TOO_SHORT), FAIL, "http.length is violated"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_misbehaviour_has_its_exit_code(
    behaviour: hostile.Behaviour, code: int, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Never a traceback; a server that never responds is inconclusive, one that responds wrongly fails."""
    with hostile.serve(behaviour) as server:
        found, verdict = conform(server.url, tmp_path, timeout_s=0.3 if "timeout" in reason else 5)
    assert found == code, verdict["reason"]
    assert reason in verdict["reason"] and "\n" not in verdict["reason"]
    assert "Traceback" not in capfd.readouterr().err
    assert verdict["subject_kind"] == "server"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (None, "refused: Connection refused"),
        ("http://sora.invalid:3000", "dns: "),
    ],
    ids=["closed port", "unknown name"],
)
def test_nobody_there(url: str | None, reason: str, tmp_path: Path) -> None:
    """Nothing was seen, so nothing is claimed."""
    code, verdict = conform(url or hostile.closed_port(), tmp_path)
    assert code == INCONCLUSIVE
    assert reason in verdict["reason"]
    assert verdict["findings"] == []


def test_tls_that_cannot_be_trusted(tmp_path: Path) -> None:
    """The reason names the certificate; with the certificate as authority the server is asked."""
    with hostile.serve(hostile.says(hostile.UNAVAILABLE), tls=hostile.self_signed()) as server:
        code, verdict = conform(server.url, tmp_path)
        assert code == INCONCLUSIVE and "tls: the certificate is not accepted" in verdict["reason"]
        code, verdict = conform(server.url, tmp_path, "--ca-file", str(hostile.CERTIFICATE))
        assert code == FAIL


def test_a_large_request_may_be_refused_while_it_is_sent(tmp_path: Path) -> None:
    """The server says 413 and closes without reading on; that the reset eats its response accuses nobody."""
    refused: list[bytes] = []

    def behave(talk: hostile.Talk) -> None:
        head = talk.socket.recv(65536)
        if b"Content-Length: 8000001" in head:
            refused.append(head)
            talk.write(hostile.response(b"", status=413))
        else:
            talk.write(hostile.response(b"[]"))

    with hostile.serve(behave, read_request=False) as server:
        _, verdict = conform(server.url, tmp_path, "--large-request")
    assert refused
    assert "http.complete" not in {finding["requirement"] for finding in verdict["findings"]}


def test_a_listening_socket_sees_only_targets_of_ours(tmp_path: Path) -> None:
    """Whatever a whole run writes, each target is a statistics one or an invented one, spelt exactly so."""
    with hostile.serve(hostile.says(hostile.response(b"[]"))) as server:
        conform(server.url, tmp_path, "--large-request")
    allowed = {target.value for target in Target} | INVENTED_TARGETS
    heads = [seen.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n") for seen in server.seen]
    values = [
        line[len(TARGET_HEADER) + 2 :] for lines in heads for line in lines if line.lower().startswith(TARGET_HEADER)
    ]
    assert set(values) == allowed
    assert {lines[0] for lines in heads} == {
        "POST / HTTP/1.1",
        "POST /sora-harness-no-such-path HTTP/1.1",
        "POST /?sora-harness=1 HTTP/1.1",
        "GET / HTTP/1.1",
        "PUT / HTTP/1.1",
        "OPTIONS / HTTP/1.1",
    }
