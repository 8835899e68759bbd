"""
Reads the files of `simulate --answer TARGET=FILE`: a user's responses for targets that are not simulated.

Such a file is a JSON object: `json` (any value) or `body` (text), and optionally `status` and `headers`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ..api.errors import UsageError
from ..api.input_budget import read_small_file
from .fault_interface import SimulatedResponse
from .request_parser import TARGET_PATTERN

MAX_RESPONSE_FILE_BYTES: Final = 64 << 20

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_FRAMING_HEADERS: Final = frozenset({"content-length", "transfer-encoding", "connection"})


class _ResponseFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    json: Raw | UnsetType = UNSET
    body: str | UnsetType = UNSET
    status: Annotated[int, Meta(ge=200, le=599)] = 200
    headers: dict[str, str] = {}


def read_response_file(text: str) -> tuple[str, SimulatedResponse]:
    """
    Read the value of one `--answer`: the target, and its response.

    Raises:
        UsageError: It has another form, or the file cannot be read or says something that can't be sent.
    """
    target, equals, path = text.partition("=")
    if not equals or not path or TARGET_PATTERN.fullmatch(target) is None:
        raise UsageError(f"--answer takes TARGET=FILE, such as Sora_20171010.GetLicense=license.json, not {text!r}")
    name = f"the response file {path}"
    data = read_small_file(Path(path), limit=MAX_RESPONSE_FILE_BYTES, name=name)
    try:
        read = msgspec.json.decode(data, type=_ResponseFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f'{name} is not {{"json": …, "status": …, "headers": …}}: {error}') from None
    if (read.json is UNSET) == (read.body is UNSET):
        raise UsageError(f"{name} needs one of json and body")
    for header, value in read.headers.items():
        if header.lower() in _FRAMING_HEADERS:
            raise UsageError(f"{name}: the header {header} is the server's own")
        if _HEADER_NAME.fullmatch(header) is None or _HEADER_VALUE.fullmatch(value) is None:
            raise UsageError(f"{name}: the header {header!r} cannot be sent as it is")
    headers = dict(read.headers)
    if "content-type" not in {header.lower() for header in headers}:
        headers["content-type"] = "application/json" if read.body is UNSET else "text/plain; charset=utf-8"
    body = read.body.encode() if isinstance(read.body, str) else bytes(read.json or b"")
    return target, SimulatedResponse(status=read.status, headers=tuple(headers.items()), body=body)
