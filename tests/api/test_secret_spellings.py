"""A secret that a server repeats, whole or in part and however it spells it, gets into nothing that is kept or shown."""

from __future__ import annotations

import base64
import html
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sora_stats_harness.api.secret_redaction import Secrets
from sora_stats_harness.api.secret_spellings import split_secret
from sora_stats_harness.cli import main

SECRET = 'q7"Zx/<T>&+9ü'
"""A password with a character for each escape."""
PLAIN = SECRET.encode()

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON with every character escaped": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "JSON with upper-case digits": lambda text: "".join(f"\\u{ord(char):04X}" for char in text),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "HTML": html.escape,
    "HTML by number": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML in hexadecimal": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "HTML of JSON": lambda text: html.escape(json.dumps(text)[1:-1]),
    "a URL": lambda text: quote(text, safe=""),
    "a URL in lower case": lambda text: "".join(
        part.lower() if part[0] == "%" else part for part in (quote(char, safe="") for char in text)
    ),
    "a URL with every character escaped": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "a URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "a URL in JSON in HTML": lambda text: html.escape(json.dumps(quote(text, safe=""))),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal in upper case": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 with a user": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "base64 within something longer": lambda text: base64.b64encode(f'{{"t":"{text}"}}'.encode()).decode().rstrip("="),
}

JWT = ".".join(
    base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
    for part in ('{"alg":"HS256"}', '{"sub":"somebody-9"}', "signature-of-it")
)

PARTS = {
    "Bearer zTq81xx92": ["zTq81xx92"],
    f"Bearer {JWT}": [*JWT.split("."), '{"sub":"somebody-9"}'],
    "Basic " + base64.b64encode(b"user:pa55word").decode(): ["pa55word", "user:pa55word"],
    "Basic " + base64.b64encode(b"user:pa55wor").decode().rstrip("="): ["pa55wor"],
    "id-1:s3cr3t": ["s3cr3t"],
    "HMAC id-1:s3cr3t": ["id-1:s3cr3t", "s3cr3t"],
    'Token token="zTq8", name=x': ["zTq8"],
    "sid=zTq8; theme=dark; csrf=abcdefgh01": ["zTq8", "abcdefgh01"],
    'Digest username="u", realm="sora", uri="/", nonce="n0nce", response="0f1e2d", cnonce="abc1"': ["0f1e2d", "n0nce"],
    "AWS4-HMAC-SHA256 Credential=AKIA99/20260101/eu/s3/aws4_request, SignedHeaders=host, Signature=fe5f80": [
        "AKIA99",
        "fe5f80",
    ],
}


@pytest.mark.parametrize("value", PARTS)
def test_a_value_is_taken_apart(value: str) -> None:
    """The credential is a secret by itself; what names no secret, such as a realm, is none."""
    parts = split_secret(value)
    assert set(PARTS[value]) <= parts
    assert not parts & {"sora", "dark", "host", "aws4_request", "user", "HS256", "20260101"}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_secret_is_found_in_any_spelling(name: str) -> None:
    """In bytes and in text; what stands around it stays."""
    secrets = Secrets([SECRET])
    spelled = SPELLINGS[name](SECRET)
    text = f"before, {spelled}, after"
    assert secrets.occur_in(text.encode())
    found = secrets.redact(text)
    assert found.startswith("before, ")
    assert found.endswith(", after")
    assert "[redacted]" in found
    for round_ in (spelled, SECRET):
        assert round_ not in found
    assert not Secrets([SECRET]).occur_in(found.encode())


def test_other_text_stays() -> None:
    """Escapes that hold no secret are as they were."""
    text = r'{"a":"b\u0020%41&amp;\\","x":"ü"}'
    assert Secrets([SECRET]).redact(text) == text
    assert Secrets([SECRET]).redact(f"{text}{SECRET}{text}") == f"{text}[redacted]{text}"


@pytest.mark.parametrize("end", ["", "… (300 characters)"])
def test_a_secret_that_a_report_has_cut_is_found(end: str) -> None:
    """A value is shown up to 200 characters, and its last ones may be the first of a secret."""
    secrets = Secrets(["Bearer abcdefghijkl"])
    assert secrets.redact(f"token abcdefgh{end}") == f"token [redacted]{end}"
    assert secrets.redact(f"token abcde{end}") == f"token abcde{end}"


@pytest.fixture
def echo() -> Iterator[str]:
    """The URL of a server that repeats the secret in all spellings: in headers, JSON, HTML and bytes that are no text."""
    spelled = [spell(SECRET) for spell in SPELLINGS.values()]
    bodies = [
        json.dumps([{"connection_id": text, text: text, "channel_id": {text: 1}} for text in spelled]),
        json.dumps({"error": spelled}, ensure_ascii=False),
        "<p>" + "</p><p>".join(spelled) + "</p>",
        "\0".join(spelled) + SECRET[:-2],
    ]
    numbers = iter(range(10**9))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            body = bodies[next(numbers) % len(bodies)].encode()
            field = quote(SECRET, safe="")
            head = f"HTTP/1.1 200 {field}\r\nServer: {field}\r\n{field}: {field}\r\nContent-Type: text/{field}\r\n"
            self.wfile.write(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_nothing_that_is_kept_or_shown_has_it(
    echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reports, evidence, recording, stdout and stderr; and report.html is as private as the evidence."""
    monkeypatch.setenv("LOGIN", "Basic " + base64.b64encode(b"user:" + PLAIN).decode())
    output, recording = tmp_path / "out", tmp_path / "run.jsonl"
    words = [
        "conform",
        echo,
        "--header",
        "Authorization: env:LOGIN",
        "--duration",
        "1s",
        "--max-duration",
        "2s",
    ]
    assert main([*words, "--output", str(output), "--record", str(recording)]) == 1
    shown = capsys.readouterr()
    files = [path for path in output.rglob("*") if path.is_file()] + [recording]
    assert {path.name for path in files} >= {"verdict.json", "junit.xml", "report.html", "summary.md", "run.jsonl"}
    assert "[redacted]" in (output / "verdict.json").read_text(encoding="utf-8")
    assert '"withheld":true' in recording.read_text(encoding="utf-8")
    spelled = {spell(SECRET).encode() for spell in SPELLINGS.values()} - {
        SPELLINGS["base64 with a user"](SECRET).encode()
    }
    secrets = Secrets([SECRET])
    for name, data in [("stdout", shown.out.encode()), ("stderr", shown.err.encode())] + [
        (path.name, path.read_bytes()) for path in files
    ]:
        assert [spelling for spelling in spelled if spelling in data] == [], name
        assert not secrets.occur_in(data), name
    assert {path.stat().st_mode & 0o777 for path in files if path.suffix in {".html", ".jsonl"}} == {0o600}
