r"""
Turns a request into a command line that sends it again.

A finding convinces a reader who can repeat the request, so each has a curl command for a POSIX shell. It may contain
ids that users of the tested system chose, so everything is quoted. Bytes that a shell word can't contain (NUL, a
terminal escape, a torn UTF-8 sequence) go through printf. Header values that may be secret come from environment
variables.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from ..api.secret_redaction import ALLOWED_REQUEST_HEADERS

if TYPE_CHECKING:  # every `--help` imports this
    from ..api.exchange import Request

MAX_PRINTED_BODY_BYTES: Final = 8192
"""The longest body that a command line shows; a longer one is only described."""

_LONG_RUN: Final = re.compile(rb"(.)\1{255,}", re.DOTALL)
"""A long run of one byte, as in probes of size limits; it is written as the byte and a length."""

RUNNER_COMMAND_REGEX: Final = re.compile(r"##(?=[A-Za-z]*\[)|(?<!\S)::(?=[a-z-]+[ :])")
"""
The beginning of what the runner of a CI server takes for a command when it is printed: `##[add-mask]`, `##vso[`,
`::error::`.

Reports show it escaped, so a command line that is meant to be copied must not contain it unchanged.
"""

_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")


def curl_command(request: Request) -> str:
    r"""
    Write the curl command that sends a request again: one line of printable ASCII.

    The status and headers of the response are shown too. A header whose value may be secret is `$NAME`, to be set
    before. If a body is too long to be shown, the command reads it from the file BODY.

    >>> from ..api.exchange import Target, make_valid_request
    >>> request = make_valid_request(Target.ALL, server="http://127.0.0.1:3000", local=False)
    >>> print(curl_command(request))  # doctest: +NORMALIZE_WHITESPACE
    curl -gsSi -H 'x-sora-target: Sora_20171101.GetStatsAllConnections' -H 'Content-Type: application/json'
    --data-raw '{"local":false}' http://127.0.0.1:3000/
    """
    url = request.server.rstrip("/") + request.path
    words = ["curl", "-gsSi", *_method_options(request), *_headers(request)]
    body = request.body
    if body is None:
        return " ".join((*words, _shell_word(url)))
    if len(body) <= MAX_PRINTED_BODY_BYTES and _is_printable(text := body.decode("latin-1")):
        # --data-raw does not interpret a leading @, and keeps everything else as well.
        return " ".join((*words, "--data-raw", _shell_word(text), _shell_word(url)))
    source = _body_command(body)
    data = "@-" if source else "@BODY"
    return source + " ".join((*words, "--data-binary", data, _shell_word(url)))


def _method_options(request: Request) -> list[str]:
    if request.body is not None:
        return [] if request.method == "POST" else ["-X", _shell_word(request.method)]
    # Without data curl sends no Content-Length; the documentation's examples send 0, and some proxies require it.
    length = ["-H", "'Content-Length: 0'"] if request.method == "POST" else []
    return ["-X", _shell_word(request.method), *length]


def _headers(request: Request) -> list[str]:
    words = []
    for name, value in request.headers:
        if name.lower() == "content-length":
            continue
        if name.lower() not in ALLOWED_REQUEST_HEADERS:
            words += ["-H", f'"{_quoted_header_name(name)}: ${_environment_variable(name)}"']
        elif value:
            words += ["-H", _shell_word(f"{name}: {value}")]
        else:
            words += ["-H", _shell_word(f"{name};")]  # curl's syntax for an empty value
    given = {name.lower() for name, _ in request.headers}
    if request.body is not None:
        # curl would add both by itself.
        words += ["-H", "Content-Type:"] if "content-type" not in given else []
        words += ["-H", "Expect:"] if len(request.body) > 1_000_000 else []
    return words


def _quoted_header_name(name: str) -> str:
    """A header's name for use within double quotes, where `$` and backticks have a meaning."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _environment_variable(name: str) -> str:
    """
    The environment variable that stands for a header's value.

    >>> _environment_variable("X-Api-Key")
    'X_API_KEY'
    """
    variable = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return f"_{variable}" if variable[:1].isdigit() else variable or "VALUE"


def _shell_word(text: str) -> str:
    """One word of a POSIX shell, in printable ASCII."""
    if _is_printable(text):
        return shlex.quote(text)
    return f'"$({_printf_command(text.encode("utf-8", "surrogateescape"))})"'


def _is_printable(text: str) -> bool:
    return _PRINTABLE.fullmatch(text) is not None and not RUNNER_COMMAND_REGEX.search(text)


def _body_command(body: bytes) -> str:
    """The part of the command before curl that writes the body; empty if it would be too long."""
    parts = []
    end = 0
    for run in _LONG_RUN.finditer(body):
        if run.start() > end:
            parts.append(_printf_command(body[end : run.start()]))
        parts.append(f"head -c {len(run[0])} /dev/zero | tr '\\000' '\\{run[1][0]:03o}'")
        end = run.end()
    if end < len(body):
        parts.append(_printf_command(body[end:]))
    line = parts[0] if len(parts) == 1 else f"{{ {'; '.join(parts)}; }}"
    return f"{line} | " if len(line) <= 4 * MAX_PRINTED_BODY_BYTES else ""


def _printf_command(data: bytes) -> str:
    r"""
    A printf command that writes the bytes.

    >>> print(_printf_command(b"50% o'clock\x00\\"))
    printf '50%% o\047clock\000\\'
    """
    text = RUNNER_COMMAND_REGEX.sub(
        lambda found: f"\\{ord(found[0][0]):03o}{found[0][1]}", "".join(_octal_escape(byte) for byte in data)
    )
    if text.startswith("-"):
        text = f"\\055{text[1:]}"  # printf would interpret it as an option
    return f"printf '{text}'"


def _octal_escape(byte: int) -> str:
    if byte in b"%\\":
        return chr(byte) * 2
    if byte == 0x27 or not 0x20 <= byte <= 0x7E:
        return f"\\{byte:03o}"
    return chr(byte)
