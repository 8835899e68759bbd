"""A redacted recording tells nothing of whom it was made with, and everything that a judge looks at."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from sora_stats_harness.api.errors import HarnessError, RecordingError, UsageError
from sora_stats_harness.api.exchange import (
    ErrorCode,
    Exchange,
    Request,
    Response,
    Target,
    TransportError,
    make_valid_request,
)
from sora_stats_harness.api.request_guard import UNKNOWN_OPERATION_TARGET, UNKNOWN_PATH
from sora_stats_harness.cli import main
from sora_stats_harness.recording.json_strings import mask_text
from sora_stats_harness.recording.pseudonymize import redact_recording
from sora_stats_harness.recording.reader import open_recordings

from .build import JSON_HEADERS, exchange, record

CHANNEL = "weekly-call-with-bob"
CONNECTION = "KP8VZZ321D0A90RSVJC4RMGJ08"
UUID = "f3b1c0de-1234-4321-8765-0123456789ab"
HOST = "sora7.corp.example"
LABEL = "#patient-records"
ORIGINALS = [CHANNEL, CONNECTION, UUID, HOST, LABEL, LABEL[1:], "小さな会議", "bob"]


def body(text: str) -> Response:
    data = text.encode()
    return Response(status=200, headers=(*JSON_HEADERS, ("Content-Length", str(len(data)))), body=data)


def asking(response: Response | None = None, error: TransportError | None = None, seq: int = 0) -> Exchange:
    request = make_valid_request(
        Target.CONNECTION, server=f"http://{HOST}:3000", channel_id=CHANNEL, connection_id=CONNECTION
    )
    return exchange(seq, request=request, response=response, error=error, body=None)


def redacted(tmp_path: Path, *items: Exchange) -> list[Exchange]:
    """Record, redact, and read again; no original may be left anywhere in the file."""
    out = tmp_path / "out.jsonl"
    redact_recording(record(tmp_path / "in.jsonl.zst", items), out)
    text = out.read_text(encoding="utf-8")
    for name in ORIGINALS:
        assert name not in text
        assert json.dumps(name)[1:-1] not in text
    return [step.exchange for step in open_recordings([out])]


def test_ids_are_replaced_in_request_and_response_alike(tmp_path: Path) -> None:
    """What was asked for is what got a response, before and after; one id has one pseudonym under any key."""
    response = body(
        f'{{"channel_id":"{CHANNEL}","client_id":"{UUID}","bundle_id":"{CONNECTION}","connection_id":"{CONNECTION}"}}'
    )
    (item,) = redacted(tmp_path, asking(response))
    assert item.response is not None
    document = json.loads(item.response.body)
    assert document["connection_id"] == document["bundle_id"] == item.request.asked.connection_id
    assert document["channel_id"] == item.request.asked.channel_id
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{25}[048CGMRW]", document["connection_id"])
    assert item.response.header("content-length") == str(len(item.response.body))


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        (
            '{"rtp" : 1.0,"rtp":-0, "cc":1e400,\t"turn":[ ]}',
            '{"rtp" : 1.0,"rtp":-0, "cc":1e400,\t"turn":[ ]}',
            "numbers, repeated keys and white space",
        ),
        (
            f'{{"data_channel":{{"{LABEL}":{{"total_received_x":1}},"signaling":{{}}}}}}',
            r'{"data_channel":{"#label-[0-9a-f]{16}":{"id-[0-9a-f]{16}":1},"signaling":{}}}',
            "a label stays a label",
        ),
        (
            '{"data_channel":{"#patient\\u002drecords":0}}',
            r'{"data_channel":{"#label-[0-9a-f]{16}":0}}',
            "however it was escaped",
        ),
        (
            '{"direction":"sendrecv","timestamp":"2026-11-24T03:15:00.000000Z","protocol":"bob\\u002fs"}',
            '{"direction":"sendrecv","timestamp":"2026-11-24T03:15:00.000000Z","protocol":"id-[0-9a-f]{16}"}',
            "what names nobody",
        ),
        (
            f'{{"error_type":"NotFound","error_reason":"no {CONNECTION} in {CHANNEL}"}}',
            '{"error_type":"NotFound","error_reason":"id-[0-9a-fx]{50}"}',
            "a sentence",
        ),
        (
            f'{{"{CONNECTION}":["{CHANNEL}"]}}',
            r'{"[0-9A-Z]{26}":["id-[0-9a-fx]{17}"]}',
            "an id as a key, or in an array",
        ),
        (
            '{"channel_id":["bob",null],"client_id":17}',
            r'{"channel_id":["id-[0-9a-f]{16}",null],"client_id":17}',
            "ids of a wrong type",
        ),
        (
            '{"channel_id":"","x":"小さな会議","client_id":"\\u5c0f\\u3055\\u306a\\u4f1a\\u8b70"}',
            r'{"channel_id":"","id-[0-9a-f]{16}":"id-[0-9a-f]{16}","client_id":"id-[0-9a-f]{16}"}',
            "escaped and not, or none at all",
        ),
        ('["\\u0074imestamp",{"cc\\u003a":1}]', '["id-[0-9a-f]{16}",{"id-[0-9a-f]{16}":1}]', "escapes"),
    ],
)
def test_only_names_change(tmp_path: Path, text: str, expected: str, why: str) -> None:
    """All else in a body stays byte for byte."""
    (item,) = redacted(tmp_path, asking(body(text)))
    assert item.response is not None
    parts = re.split(r"(\[[0-9a-zA-Z-]+\]\{\d+\})", expected)  # literal text, and the character sets in it
    pattern = "".join(part if index % 2 else re.escape(part) for index, part in enumerate(parts))
    assert re.fullmatch(pattern, item.response.body.decode()), (item.response.body, why)


def test_a_wrong_content_length_stays_as_wrong(tmp_path: Path) -> None:
    """It grows with the body, by what the body grows."""
    data = b'{"channel_id":"bob"}'
    response = Response(status=200, headers=(*JSON_HEADERS, ("content-length", str(len(data) + 3))), body=data)
    (item,) = redacted(tmp_path, asking(response))
    assert item.response is not None
    assert item.response.header("content-length") == str(len(item.response.body) + 3)
    assert len(item.response.body) != len(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f'{{"channel_id":"{CHANNEL[:12]}'.encode(), b'{"xxxxxxxxxx":"xxxxxx-xxxx-'),
        (b"\xef\xbb\xbf{}", b"\xef\xbb\xbf{}"),
        (b"<h1>bob</h1>", b"<xx>xxx</xx>"),
        (b"b\x00o\x00b\x00\xff", b"x\x00x\x00x\x00\xff"),
        ("会議".encode() + b"\xff", b"\xff" * 7),
        (b"", b""),
    ],
)
def test_of_a_body_that_is_no_json_only_punctuation_is_left(tmp_path: Path, data: bytes, expected: bytes) -> None:
    """An id could stand anywhere in it, in part or in another encoding; it stays what it is not."""
    (item,) = redacted(tmp_path, asking(Response(status=500, headers=(), body=data, complete=False)))
    assert item.response is not None
    assert (item.response.body, item.response.complete) == (expected, False)


def test_hosts_go_from_urls_and_errors_and_loopback_stays(tmp_path: Path) -> None:
    """Nodes stay apart from each other; names of our own machine tell nothing."""
    error = TransportError(code=ErrorCode.REFUSED, detail=f"connect to {HOST} port 3000: refused")
    other = exchange(1, server="http://127.0.0.1:3000")
    first, second = redacted(tmp_path, asking(error=error), other)
    assert re.fullmatch(r"http://host-[0-9a-f]{10}:3000", first.request.server)
    assert first.error is not None
    assert first.error == TransportError(code=ErrorCode.REFUSED, detail="redacted")
    assert second.request.server == "http://127.0.0.1:3000"


def test_only_headers_that_name_nobody_keep_their_values(tmp_path: Path) -> None:
    """The simulator's name stays, so that nobody takes a self-test for a Sora."""
    headers = (
        ("Server", "sora-harness-simulator/1"),
        ("Via", f"1.1 {HOST}"),
        ("Access-Control-Allow-Origin", HOST),
        ("Date", "Tue, 24 Nov 2026 03:15:00 GMT"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("Server", f"nginx on {HOST}"),
        ("Content-Type", "text/bob"),
        ("X-Bob", "1"),
    )
    (item,) = redacted(tmp_path, asking(Response(status=200, headers=headers, body=b"[]")))
    assert item.response is not None
    *known, (name, value) = item.response.headers
    assert known == [
        *headers[:1],
        ("Via", ""),
        (headers[2][0], ""),
        *headers[3:5],
        ("Server", ""),
        ("Content-Type", ""),
    ]
    assert re.fullmatch("x-id-[0-9a-f]{16}", name)
    assert value == ""


def test_wrong_requests_are_redacted_too(tmp_path: Path) -> None:
    """They hold the id of whoever was there; what is wrong with them stays."""
    broken = f'{{"channel_id":"{CHANNEL}","connection_id":'.encode()
    wrong = [
        Request(server=f"http://{HOST}", headers=(), body=data, target=None, probe="request.shape.invalid_json")
        for data in (broken, b"\xff" + CHANNEL.encode(), f'{{"channel_id":"{CHANNEL}"}}'.encode(), None)
    ]
    items = redacted(tmp_path, *(exchange(seq, request=request) for seq, request in enumerate(wrong)))
    bodies = [item.request.body for item in items]
    assert bodies[0] == mask_text(broken.decode()).encode()
    assert bodies[1] == b"\xff" + mask_text(CHANNEL).encode()
    assert bodies[2] is not None
    assert re.fullmatch(rb'\{"channel_id":"id-[0-9a-fx]{17}"\}', bodies[2])
    assert bodies[3] is None


def test_times_order_and_what_is_missing_stay(tmp_path: Path) -> None:
    """A damaged line still counts, a recording that broke off still has no end."""
    path = record(tmp_path / "in.jsonl", [exchange(seq, sent_ns=seq, received_ns=9 - seq) for seq in range(3)])
    pieces = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((*pieces[:2], b"broken\n", *pieces[2:-1], b'{"seq":')))
    summary = redact_recording(path, tmp_path / "out.jsonl")
    assert (summary.exchanges, summary.damaged) == (3, 1)
    before, after = open_recordings([path]), open_recordings([tmp_path / "out.jsonl"])
    assert (after.damaged, after.truncated) == (before.damaged, before.truncated) == (1, True)
    assert [(step.exchange.seq, step.exchange.received_ns) for step in after] == [(2, 7), (1, 8), (0, 9)]
    assert len({step.exchange.clock for step in after}) == 1
    assert next(iter(after)).exchange.clock != "clock"


def test_subject_and_options_are_redacted(tmp_path: Path) -> None:
    """The header line holds what a user typed."""
    path = record(tmp_path / "in.jsonl", [asking()])
    options = f'"nodes":["http://{HOST}"],"channel_id":"{CHANNEL}","observes":["bodies","{HOST}"],"bob":1'
    text = path.read_text().replace('"options":{}', f'"options":{{{options}}}')
    path.write_text(text.replace('"subject":"http://127.0.0.1:3000"', f'"subject":"http://{HOST}:3000"'))
    redact_recording(path, tmp_path / "out.jsonl")
    (header,) = open_recordings([tmp_path / "out.jsonl"]).headers
    assert re.fullmatch(r"http://host-[0-9a-f]{10}:3000", header.subject)
    assert header.options["nodes"][0] in header.subject
    assert header.options.keys() == {"nodes", "observes"}
    assert header.options["observes"][0] == "bodies"


def test_the_same_key_gives_the_same_file(tmp_path: Path) -> None:
    """For those who redact two recordings of one system and want to compare them."""
    path = record(tmp_path / "in.jsonl", [asking(body(f'{{"channel_id":"{CHANNEL}"}}'))])
    outs = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for out, key in zip(outs, (b"one", b"one", None), strict=True):
        redact_recording(path, out, key=key)
    assert outs[0].read_bytes() == outs[1].read_bytes() != outs[2].read_bytes()


def test_what_cannot_be_redacted_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither half a file nor a recording written over."""
    path = record(tmp_path / "in.jsonl", [exchange()])
    with pytest.raises(UsageError, match="over itself"):
        redact_recording(path, path)
    assert open_recordings([path]).exchanges == 1
    (tmp_path / "body.json").write_text("{}")
    (tmp_path / "mine.jsonl").write_text("kept")
    with pytest.raises(RecordingError, match="is not a recording"):
        redact_recording(tmp_path / "body.json", tmp_path / "mine.jsonl")
    assert (tmp_path / "mine.jsonl").read_text() == "kept"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is not a file"):
        redact_recording(path, tmp_path / "pipe")
    with pytest.raises(UsageError, match="cannot be written"):
        redact_recording(path, tmp_path / "no" / "out.jsonl")

    left = [None] * 4
    with pytest.raises(IndexError):
        redact_recording(path, tmp_path / "out.jsonl", tick=left.pop)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["body.json", "in.jsonl", "mine.jsonl", "pipe"]


def test_what_was_kept_is_told_and_all_else_was_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in a recording and where, a text that is not the API's own is not in the result."""
    planted = [f"planted-{number:02}" for number in range(12)]
    items = [
        Exchange(
            run=planted[0],
            seq=0,
            request=Request(
                server=f"http://{planted[1]}@{planted[2]}:3000/",
                headers=((planted[3], "x"), ("x-sora-target", planted[4])),
                body=f'{{"{planted[5]}":"{planted[6]}"}}'.encode(),
                target=None,
                probe=planted[7],
                method=planted[8],
                path=f"/{planted[9]}",
            ),
            clock=planted[10],
            sent_ns=0,
            received_ns=1,
            sent_at=planted[11],
            response=body('{"direction":"recvonly","signaling":1.50}'),
            error=TransportError(code=ErrorCode.CUT, detail=planted[4]),
        )
    ]
    path, out = record(tmp_path / "in.jsonl", items), tmp_path / "out.jsonl"
    assert main(["redact", str(path), str(out)]) == 0
    said = capsys.readouterr().err
    assert "kept: numbers, times, documented keys, application/json, recvonly; " in said
    assert "planted" not in out.read_text(encoding="utf-8") + said
    assert '"direction":"recvonly","signaling":1.50' in out.read_text(encoding="utf-8")


def test_a_text_that_is_left_ends_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is searched for whatever was replaced, also within other texts and in text within text."""
    path = record(tmp_path / "in.jsonl", [asking(body(f'{{"channel_id":"{CHANNEL}"}}'))])
    for leak in (f'{{"cc":"{CHANNEL}"}}', f'{{"cc":"x{CHANNEL}x"}}', '{"weekly\\u002dcall-with-bob":1}'):
        with monkeypatch.context() as patch:
            patch.setattr("sora_stats_harness.recording.pseudonymize.mask_text", lambda text, leak=leak: leak)
            items = [
                asking(body(f'{{"channel_id":"{CHANNEL}"}}')),
                asking(Response(status=500, headers=(), body=b"{x")),
            ]
            path = record(tmp_path / "in.jsonl", items)
            with pytest.raises(HarnessError, match="was not written") as caught:
                redact_recording(path, tmp_path / "out.jsonl")
        assert CHANNEL not in str(caught.value)
        assert not (tmp_path / "out.jsonl").exists()


def test_a_text_that_something_kept_holds_by_chance_is_no_leak(tmp_path: Path) -> None:
    """A server may say the name of a probe, of a header, or its own loopback address; a redacted recording as well."""
    said = [
        "request.shape.wrong_type",
        "shape.wrong",
        "content-type",
        "127.0.0.1",
        "127.0.0.1:3000",
        exchange().run,
        exchange().run[:12],
        "2026-11-24",
        "redacted",
        "REDACTED",
        "application/json",
    ]
    request = Request(
        server="http://127.0.0.1:3000",
        headers=(("Content-Type", "application/json"),),
        body=None,
        target=None,
        probe=said[0],
        method="BREW",
        path="/pot",
    )
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    redact_recording(record(tmp_path / "in.jsonl", [exchange(body=json.dumps(said).encode(), request=request)]), once)
    redact_recording(once, twice)
    (step,) = open_recordings([twice])
    assert step.exchange.request.probe == said[0]
    assert step.exchange.response is not None
    assert not set(said) & set(json.loads(step.exchange.response.body))


def test_a_refusal_in_the_words_of_the_api_stays_as_it_is(tmp_path: Path) -> None:
    """So that a wrong request is judged as before; what was wrong about it is replaced."""
    reason = {"invalid": "data", "error": "wrong_type", "path": ["channel_id"], "schema": {"type": "string"}}
    text = {"error_type": "InvalidJSON", "error_reason": [reason | {"data": CHANNEL}]}
    request = Request(
        server="http://127.0.0.1:3000",
        headers=(("x-sora-target", UNKNOWN_OPERATION_TARGET),),
        body=None,
        target=None,
        probe="request.shape.path",
        path=UNKNOWN_PATH,
    )
    (left,) = redacted(tmp_path, exchange(body=json.dumps(text).encode(), request=request))
    assert left.request.path == UNKNOWN_PATH
    assert left.request.headers == request.headers
    assert left.response is not None
    body = json.loads(left.response.body)
    assert body["error_reason"][0].pop("data") != CHANNEL
    assert body == {"error_type": "InvalidJSON", "error_reason": [reason]}
