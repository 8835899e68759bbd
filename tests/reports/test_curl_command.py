"""The command line that a finding carries sends the same request again, whatever stands in it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sora_stats_harness.api.exchange import TARGET_HEADER, Request, Target, make_valid_request
from sora_stats_harness.reports.curl_command import curl_command
from sora_stats_harness.reports.escaping import escape_invisible

from ..examples import some_of

SERVER = "http://127.0.0.1:3000"


@dataclass
class Call:
    """What curl would have been given."""

    arguments: list[str]
    data: bytes

    def values(self, option: str) -> list[str]:
        """What follows each time an option is given."""
        return [self.arguments[i + 1] for i, word in enumerate(self.arguments) if word == option]


Run = Callable[[str], Call]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command line by a POSIX shell, with a curl that only writes down what it is given."""
    folder = tmp_path_factory.mktemp("curl")
    stub = folder / "curl"
    stub.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > {folder}/arguments\ncat > {folder}/data\n", encoding="utf-8")
    stub.chmod(0o755)

    def call(line: str) -> Call:
        subprocess.run(
            ["/bin/sh", "-c", line],
            check=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={"PATH": f"{folder}{os.pathsep}{os.defpath}", "X_API_KEY": "s3 cret"},
        )
        arguments = (folder / "arguments").read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
        assert sorted(path.name for path in Path(folder).iterdir()) == ["arguments", "curl", "data"]
        return Call(arguments, (folder / "data").read_bytes())

    return call


def request(
    body: bytes | None, headers: tuple[tuple[str, str], ...] = ((TARGET_HEADER, Target.ALL.value),), **given: str
) -> Request:
    """A request by hand."""
    return Request(server=SERVER, headers=headers, body=body, target=None, **given)  # type: ignore[arg-type]  # texts only


def sent(call: Call) -> bytes:
    """The body that curl would send."""
    if call.values("--data-binary") == ["@-"]:
        return call.data
    return call.values("--data-raw")[0].encode("utf-8")


@pytest.mark.parametrize(
    "channel",
    [
        "lobby",
        "it's",
        "会議",
        "$(id)`id`",
        "a\nb",
        "nul\x00",
        "-x",
        "@file",
        '"',
        "\\",
        "%s%n",
        "!",
        "\x1b[2J",
        "😀" * 255,
        "##[add-mask]x",
        "###vso[task] ::error::x ::1 fe80::a",
        "\n::error::##[group]%",
    ],
)
def test_arguments_of_any_kind_arrive(run: Run, channel: str) -> None:
    """The body is the request's to the byte, and the line itself is printable ASCII."""
    given_request = make_valid_request(Target.CONNECTION, server=SERVER, channel_id=channel, connection_id="x")
    line = curl_command(given_request)
    assert line.isascii()
    assert line.isprintable()
    assert escape_invisible(line) == line  # reports show it as it is
    call = run(line)
    assert sent(call) == given_request.body
    assert call.arguments[-1] == f"{SERVER}/"
    assert f"{TARGET_HEADER}: {Target.CONNECTION.value}" in call.values("-H")


@settings(max_examples=some_of(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(body=b"-\x00")
@example(body=b"--\x00")
@given(body=st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_bodies_of_any_bytes_arrive(run: Run, body: bytes) -> None:
    """No JSON, no UTF-8, quotes, line breaks, NUL."""
    assert sent(run(curl_command(request(body)))) == body


def test_a_long_filler_is_spelled_short(run: Run) -> None:
    """A probe of 8 MB is a line of a few hundred characters, and its bytes are the same."""
    body = b'{"channel_id":"' + b"x" * 8_000_001 + b'"}'
    line = curl_command(request(body))
    assert len(line) < 400
    call = run(line)
    assert call.data == body
    assert "Expect:" in call.values("-H")


def test_a_body_that_cannot_be_spelled_is_left_to_a_file() -> None:
    """Nobody copies a line of a hundred thousand characters."""
    line = curl_command(request(os.urandom(100_000)))
    assert "--data-binary @BODY" in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), []),
        (((TARGET_HEADER, ""),), [f"{TARGET_HEADER};"]),
        (((TARGET_HEADER, "A"), (TARGET_HEADER, "B")), [f"{TARGET_HEADER}: A", f"{TARGET_HEADER}: B"]),
        (((TARGET_HEADER, "A "),), [f"{TARGET_HEADER}: A "]),
        ((("Content-Length", "0"),), []),
        ((("X-Api-Key", "sesame"),), ["X-Api-Key: s3 cret"]),
        ((("x$(id)", "sesame"),), ["x__id_: "]),
    ],
)
def test_headers(run: Run, headers: tuple[tuple[str, str], ...], expected: list[str]) -> None:
    """Missing, empty and repeated targets as they were; other values come from the environment."""
    line = curl_command(request(b"{}", headers))
    assert "sesame" not in line
    assert [value for value in run(line).values("-H") if value != "Content-Type:"] == expected


def test_no_content_type_is_invented(run: Run) -> None:
    """curl would say that data is a form; where the request named no type, none is sent."""
    assert "Content-Type:" in run(curl_command(request(b"{}"))).values("-H")
    typed = request(b"{}", (("Content-Type", "application/json"),))
    assert run(curl_command(typed)).values("-H") == ["Content-Type: application/json"]


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "OPTIONS"])
@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_methods(run: Run, method: str, body: bytes | None) -> None:
    """The method is the request's, with and without a body; a POST without one says that its length is 0."""
    call = run(curl_command(request(body, method=method)))
    assert call.values("-X") == ([] if method == "POST" and body is not None else [method])
    assert ("Content-Length: 0" in call.values("-H")) == (method == "POST" and body is None)
    assert call.values("--data-raw") == ([] if body is None else [body.decode()])


def test_a_query_stays_one_word() -> None:
    """Neither the shell nor curl's globbing takes it apart."""
    line = curl_command(request(None, path="/?a=1&b=[2]"))
    assert shlex.split(line)[-1] == f"{SERVER}/?a=1&b=[2]"
    assert line.startswith("curl -g")
