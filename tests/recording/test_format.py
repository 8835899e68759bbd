"""The format of a recording: what is written is what is read."""

from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_stats_harness.api.exchange import (
    ErrorCode,
    Exchange,
    Request,
    RequestArguments,
    Response,
    Target,
    TransportError,
    make_valid_request,
)
from sora_stats_harness.api.http1_faults import FRAMING_RULES, FramingFault
from sora_stats_harness.api.secret_redaction import (
    ALLOWED_REQUEST_HEADERS,
    ALLOWED_RESPONSE_HEADERS,
    Secrets,
    redact_headers,
)
from sora_stats_harness.api.strict_json import StrictJsonError, parse_strict_json
from sora_stats_harness.recording import exchange_encoder
from sora_stats_harness.recording import format as lines
from sora_stats_harness.recording.exchange_encoder import ExchangeEncoder
from sora_stats_harness.recording.format import recording_schema

from .build import JSON_HEADERS, RUN, SERVER, exchange

NONE = Secrets()

ODD_BODIES = [
    (b"", "body", "empty"),
    (b'{"a":1}', "json", "strict JSON on one line"),
    (b'{"a": 1.0, "a": 1e400, "b": -0}', "json", "numbers and repeated keys as they were written"),
    ('["\u2028\u2029\x85"]'.encode(), "json", "line breaks that are none of JSON's or ours"),
    (b' {"a":1}', "body", "white space before"),
    (b'{"a":1}\t', "body", "white space after"),
    (b'{\n "a": 1\n}', "body", "line breaks"),
    (b'{"a":1}\r', "body", "a carriage return"),
    (b"\xef\xbb\xbf{}", "body", "a byte order mark"),
    (b"[NaN]", "body", "NaN"),
    (b'"\\ud800"', "body", "half of a surrogate pair"),
    (b'{"a":1', "body", "cut off"),
    (b"[" * 2000 + b"]" * 2000, "body", "deeper than a reader's stack"),
    (b"[" * 100 + b"]" * 100, "json", "as deep as JSON is read"),
    (b"[" * 101 + b"]" * 101, "body", "one deeper"),
    (b"[" + b'{"[":[]},' * 300 + b"0]", "json", "many brackets, in strings as well, but not deep"),
    (b"<html>\x00</html>", "body", "no JSON at all"),
    (b'"\xff"', "body_base64", "JSON but for its encoding"),
    (b"\xff\xfe{\x00}\x00", "body_base64", "UTF-16"),
]


@pytest.mark.parametrize(("body", "key", "why"), ODD_BODIES)
def test_a_body_goes_where_it_can_be_kept_byte_for_byte(body: bytes, key: str, why: str) -> None:
    """Strict JSON stays JSON, other text is a string, the rest is base64; all of them come back as they were."""
    line = lines.encode_line(lines.exchange_to_line(exchange(body=body), NONE))
    assert line.count(b"\n") == 1, why
    assert f'"{key}":'.encode() in line.partition(b'"response":')[2], why
    assert _again(exchange(body=body)) == exchange(body=body), why


bodies = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(str.encode),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ).flatmap(lambda value: st.sampled_from([None, 1]).map(lambda indent: json.dumps(value, indent=indent).encode())),
    st.sampled_from([body for body, _, _ in ODD_BODIES]),
)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
headers = st.lists(st.tuples(st.sampled_from(["Content-Type", "server", "Set-Cookie", "X-A"]), texts), max_size=3).map(
    tuple
)
times = st.integers(-(2**40), 2**62)
responses = st.builds(Response, status=st.integers(100, 599), headers=headers, body=bodies, complete=st.booleans())
errors = st.builds(TransportError, code=st.sampled_from(ErrorCode), detail=texts)
requests = st.one_of(
    st.builds(make_valid_request, st.just(Target.ALL), server=texts, local=st.sampled_from([None, True, False])),
    st.builds(make_valid_request, st.just(Target.CONNECTION), server=texts, channel_id=texts, connection_id=texts),
    st.builds(make_valid_request, st.just(Target.CLIENT), server=texts, channel_id=texts, client_id=texts),
    st.builds(
        Request,
        server=texts,
        headers=headers,
        body=st.none() | st.binary(max_size=20),
        target=st.none(),
        probe=st.just("request.shape.method"),
        method=texts,
        path=texts,
    ),
)


faults = st.builds(FramingFault, code=st.sampled_from(list(FRAMING_RULES)), text=texts)


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    sent_ns = draw(times)
    return Exchange(
        run=RUN,
        seq=draw(st.integers(0, 2**40)),
        request=draw(requests),
        clock=draw(texts),
        sent_ns=sent_ns,
        received_ns=draw(st.integers(sent_ns, 2**63 - 1)),
        sent_at="2026-11-24T03:15:00.000000Z",
        response=draw(st.none() | responses),
        error=draw(st.none() | errors),
        intended_ns=draw(st.none() | times),
        arrived_ns=draw(st.none() | times),
        faults=draw(st.just(()) | st.lists(faults, max_size=2).map(tuple)),
    )


@given(exchanges())
def test_an_exchange_comes_back_as_it_was(item: Exchange) -> None:
    """Bodies, times, arguments, errors beside partial responses: all but the values of headers that are not kept."""
    request = msgspec.structs.replace(item.request, headers=_kept(item.request.headers, ALLOWED_REQUEST_HEADERS))
    response = item.response
    if response is not None:
        response = msgspec.structs.replace(response, headers=_kept(response.headers, ALLOWED_RESPONSE_HEADERS))
    assert _again(item) == msgspec.structs.replace(item, request=request, response=response)


@given(
    st.lists(exchanges(), min_size=1, max_size=4),
    st.sampled_from([(), ("token-7af3",), ("Content-Type",), ("[1]",)]),
)
def test_an_encoder_makes_the_lines_that_the_slow_way_makes(items: list[Exchange], values: tuple[str, ...]) -> None:
    """Whatever it remembers of requests and headers, and whichever secrets there are."""
    secrets = Secrets(values)
    encoder = ExchangeEncoder(secrets)
    for item in (*items, *items):
        response = item.response
        strict = response is not None and _is_strict(response.body)
        slowly = lines.encode_line(lines.exchange_to_line(item, secrets))
        assert b"".join(encoder.encode(item)) == slowly
        assert b"".join(encoder.encode(item, strict)) == slowly


def test_what_an_encoder_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it has forgotten it works out again: another request in the place of one that is gone is another one."""
    monkeypatch.setattr(exchange_encoder, "MAX_CACHED_REQUESTS", 3)
    monkeypatch.setattr(exchange_encoder, "MAX_CACHED_RESPONSE_HEADERS", 3)
    encoder = ExchangeEncoder(NONE)
    for number in range(40):
        response = Response(status=200 + number, headers=(("server", f"x{number}"),), body=b"[]")
        item = exchange(number, response=response, request=make_valid_request(Target.ALL, server=f"http://s{number}"))
        assert b"".join(encoder.encode(item)) == lines.encode_line(lines.exchange_to_line(item, NONE))
        assert len(encoder._requests) <= 3
        assert len(encoder._responses) <= 3
    large = make_valid_request(
        Target.CONNECTION, server="http://s", channel_id="x" * exchange_encoder.MAX_CACHED_PART_BYTES, connection_id="C"
    )
    encoder.encode(exchange(1, request=large))
    assert id(large) not in encoder._requests


def _is_strict(body: bytes) -> bool:
    try:
        parse_strict_json(body)
    except StrictJsonError:
        return False
    return True


@given(bodies)
def test_what_is_put_down_as_json_is_strict_json_on_one_line(body: bytes) -> None:
    """And, but for the place of its white space, every strict JSON is put down as such."""
    as_json = "json" in lines.encode_response_body(body)
    strict = _is_strict(body)
    one_line = body.strip() == body and b"\n" not in body and b"\r" not in body
    assert as_json == (strict and one_line)


@given(exchanges())
def test_every_line_is_what_the_schema_says(item: Exchange) -> None:
    """schemas/recording.json is the format's published description."""
    line = lines.encode_line(lines.exchange_to_line(item, NONE))
    try:
        document = json.loads(line)
    except ValueError:
        return  # more digits than Python's own parser takes
    VALIDATOR.validate(document)


VALIDATOR = jsonschema.Draft202012Validator(recording_schema())


def test_the_schema_is_one_and_refuses_what_the_reader_refuses() -> None:
    """A schema that accepts everything describes nothing."""
    VALIDATOR.check_schema(VALIDATOR.schema)
    good = json.loads(lines.encode_line(lines.exchange_to_line(exchange(), NONE)))
    assert VALIDATOR.is_valid(good)
    assert VALIDATOR.is_valid({"end": RUN, "sent": 1, "judged": 1, "errors": 0, "abandoned": 0})
    for key in ("seq", "server", "request", "clock", "sent_ns"):
        assert not VALIDATOR.is_valid({name: value for name, value in good.items() if name != key}), key
    assert not VALIDATOR.is_valid(good | {"response": good["response"] | {"body": "twice"}})


SECRET = "q7f1c2e9-secret"
WITH_SECRET = Secrets([f"Bearer {SECRET}"])


def test_no_line_holds_a_secret_wherever_it_stood() -> None:
    """In headers, in the URL, in what a server echoes, in an error's text."""
    item = exchange(
        request=make_valid_request(
            Target.ALL, server=f"http://127.0.0.1/{SECRET}", headers=(("Authorization", f"Bearer {SECRET}"),)
        ),
        response=Response(
            status=400,
            headers=(("Server", SECRET), ("X-Echo", SECRET)),
            body=b'{"error_type":"x","token":"' + SECRET.encode() + b'"}',
        ),
        error=TransportError(code=ErrorCode.CUT, detail=f"after {SECRET}"),
    )
    line = lines.encode_line(lines.exchange_to_line(item, WITH_SECRET))
    assert SECRET.encode() not in line
    again = _again(item, WITH_SECRET)
    assert again.response is not None
    assert again.response.withheld
    assert again.response.body == b""
    assert again.response.status == 400


def test_a_secret_in_a_request_withholds_its_response_too() -> None:
    """Without what was asked for, the response cannot be judged."""
    request = make_valid_request(Target.CLIENT, server=SERVER, channel_id="c", client_id=SECRET)
    again = _again(exchange(request=request), WITH_SECRET)
    assert again.request.body is None
    assert again.request.asked == RequestArguments()
    assert again.response is not None
    assert again.response.withheld


def test_a_withheld_response_stays_withheld() -> None:
    """Copying a recording does not turn it into an empty body."""
    response = Response(status=200, headers=JSON_HEADERS, body=b"", withheld=True)
    assert _again(exchange(response=response)) == exchange(response=response)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seq": None}, "no number"),
        ({"sent_ns": 11}, "received before it was sent"),
        ({"received_ns": None}, "a response that was never received"),
        ({"target": "DisconnectChannel"}, "an operation that is none of the three"),
        ({"sent_ns": 2**63}, "a time that no clock gives"),
        ({"response": {"status": 200, "headers": []}}, "a response with neither body nor reason"),
        ({"response": {"status": 200, "headers": [], "json": 1, "body": "1"}}, "two bodies"),
        ({"response": {"status": 200, "headers": [], "withheld": False}}, "neither withheld nor there"),
        ({"response": {"status": 200, "headers": [], "body_base64": "!"}}, "no base64"),
        ({"error": {"code": "bored", "detail": ""}}, "an unknown error"),
        ({"faults": [{"code": "bored", "text": ""}]}, "an unknown deviation from HTTP"),
    ],
)
def test_a_line_that_contradicts_the_format_is_damaged(change: dict[str, object], why: str) -> None:
    """It is never half believed."""
    document = msgspec.json.decode(lines.encode_line(lines.exchange_to_line(exchange(), NONE))) | change
    text = json.dumps(document).encode()
    try:
        read = _read(text)
    except lines.DamagedLineError:
        return
    pytest.fail(f"{why}, and yet read as {read}")


def test_a_line_with_broken_text_inside_its_json_is_damaged() -> None:
    """The writer never puts such bytes there: it is the file that broke, not the server's response."""
    line = lines.encode_line(lines.exchange_to_line(exchange(body=b'{"a":"bc"}'), NONE))
    with pytest.raises(lines.DamagedLineError):
        lines.decode_line(line.replace(b"bc", b"b\xff"))


def test_a_request_that_was_given_up_needs_no_time_of_receipt() -> None:
    """Other tools may write null there; nothing is read from a response that never came."""
    document = msgspec.json.decode(lines.encode_line(lines.exchange_to_line(exchange(body=None, sent_ns=5), NONE)))
    item = _read(json.dumps(document | {"received_ns": None}).encode())
    assert (item.sent_ns, item.received_ns, item.response) == (5, 5, None)


def test_unknown_keys_are_passed_over() -> None:
    """A later version may add to a line without making it unreadable."""
    document = msgspec.json.decode(lines.encode_line(lines.exchange_to_line(exchange(), NONE)))
    assert _read(json.dumps(document | {"mood": "fine"}).encode()) == exchange()


def test_bytes_that_no_text_can_hold_do_not_break_a_line() -> None:
    """A header may bear what a client library could only keep as lone surrogates."""
    response = Response(status=200, headers=(("server", "\udcff"),), body=b"[]")
    again = _again(exchange(response=response))
    assert again.response is not None
    assert again.response.header("server") == "?"


def _kept(sent: tuple[tuple[str, str], ...], allowed: frozenset[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value or "") for name, value in redact_headers(sent, allowed))


def _again(item: Exchange, secrets: Secrets = NONE) -> Exchange:
    return _read(lines.encode_line(lines.exchange_to_line(item, secrets)))


def _read(line: bytes) -> Exchange:
    decoded = lines.decode_line(line)
    assert isinstance(decoded, lines.RecordedExchange)
    return lines.line_to_exchange(decoded, RUN)
