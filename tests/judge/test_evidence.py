"""What is kept of responses to prove findings: which bytes, of what, and how many at most."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tracemalloc
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from sora_stats_harness.api.exchange import Exchange, Response, Target
from sora_stats_harness.api.secret_redaction import Secrets
from sora_stats_harness.api.zstd import ZstdCompressor, ZstdDict
from sora_stats_harness.judge import evidence
from sora_stats_harness.judge.evidence import (
    OVERHEAD_BYTES,
    PIECE_BYTES,
    SHARED_PROOFS,
    EvidenceExchange,
    EvidenceStore,
    PackedBody,
)
from sora_stats_harness.judge.findings import FindingAggregator
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.judge.verdict import FindingEntry
from sora_stats_harness.reports.evidence_files import redact_exchanges

from ..falling_listings import DOC, connection_id, listings
from .build import IDS, MS, SECOND, Talk, ask, connection, list_all

KIB = 1 << 10


def judged(exchanges: Iterable[Exchange], evidence_bytes: int = 64 << 20) -> Judge:
    """A judge that was shown exchanges, and has finished."""
    judge = Judge(DOC, options=JudgeOptions(evidence_bytes=evidence_bytes))
    for each in exchanges:
        judge.judge_recorded(each, open_sent_ns=())
    judge.finish()
    return judge


def found(judge: Judge, requirement: str) -> FindingEntry:
    """The only finding of a requirement."""
    (entry,) = [each for each in judge.result().findings if each.requirement == requirement]
    return entry


def excerpts(proof: Sequence[Exchange]) -> list[Response]:
    """Responses of which only parts were kept."""
    responses = [each.response for each in proof]
    assert all(each is not None and each.excerpt is not None for each in responses)
    return [each for each in responses if each is not None]


def test_of_a_listing_the_connections_own_bytes_are_kept() -> None:
    """Of both responses, with the offset of each part, and the length and hash of the whole."""
    shown = list(listings(30, 2))
    judge = judged(shown)
    entry = found(judge, "counter.monotonic")
    proof = judge.evidence(entry.fingerprint)
    assert [each.seq for each in proof] == [0, 1]
    for original, kept in zip(shown, excerpts(proof), strict=True):
        assert original.response is not None
        assert kept.excerpt is not None
        whole = original.response.body
        (part,) = kept.excerpt.parts
        own = whole[part.offset : part.offset + part.length]
        assert kept.body == b"[" + own + b"]"
        assert json.loads(own)["connection_id"] == entry.connection_id
        assert str(part.element) == entry.pointer.split("/")[1]
        assert (kept.excerpt.length, kept.excerpt.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
        assert (kept.status, kept.headers) == (200, original.response.headers)


def test_memory_is_that_of_the_evidence_alone() -> None:
    """A fall in each of 30 listings of a quarter megabyte: one megabyte is kept at any time, and each finding's proof."""
    limit = 1 << 20
    judge = Judge(DOC, options=JudgeOptions(evidence_bytes=limit))
    after: list[int] = []
    tracemalloc.start()
    try:
        for each in listings(20, 30):
            judge.judge_recorded(each, open_sent_ns=())
            assert judge._evidence.size <= limit
            del each
            after.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    judge.finish()
    assert max(after) - after[0] < 2 * limit, "thirty listings take eight megabytes"
    entries = judge.result().findings
    assert len(entries) > 25
    for entry in entries:
        for proof in excerpts(judge.evidence(entry.fingerprint)):
            assert proof.excerpt is not None
            assert len(proof.body) < 20_000 < proof.excerpt.length


def test_every_kind_keeps_its_proof_where_proofs_are_many() -> None:
    """Whatever is beyond the first quarter gets a part around the fault; all of them together stay within five eighths."""
    limit = 8 << 20
    store = EvidenceStore(limit)
    texts = []
    for number in range(1200):
        body = b'{"a":"%b","fault":%d,"b":"%b"}' % (b"x" * 20_000, number, b"y" * 20_000)
        held = store.add_exchange(made(body, number))
        (proof,) = store.prove((held,), held, place=("fault",))
        store.settle(lambda: None)
        assert proof.response is not None
        texts.append(proof.response)
        assert store.size <= limit
    assert len(texts[0].body) == texts[0].body_length
    for number, kept in enumerate(texts):
        assert b'"fault":%d' % number in kept.body
        assert kept.body_length > 40_000
    assert sum(len(each.body) for each in texts) <= limit * 5 // 8


def made(body: bytes, seq: int = 0, request: object = None) -> Exchange:
    """An exchange with some bytes for a body."""
    return Exchange(
        run="r",
        seq=seq,
        request=list_all() if request is None else ask(),
        clock="c",
        sent_ns=seq * SECOND,
        received_ns=seq * SECOND + MS,
        sent_at="",
        response=Response(status=200, headers=(("Content-Type", "application/json"),), body=body),
    )


def add(store: EvidenceStore, body: bytes) -> EvidenceExchange:
    """A body that was judged, and that the caller holds."""
    held = store.add_exchange(made(body))
    store.settle(lambda: None)
    return held


def test_packed_bodies_are_read_again() -> None:
    """A body that somebody still holds is packed when many came after it, and let go last of all, which is counted."""
    bodies = [each.response.body for each in listings(6, 3) if each.response is not None]
    store = EvidenceStore(1 << 20)
    held = [add(store, body) for body in bodies]
    others = [add(store, bytes(PIECE_BYTES)) for _ in range(40)]
    assert [(each.is_whole, each.packed is not None) for each in held] == [(True, True)] * 3
    assert others[-1].packed is None
    for each, body in zip(held, bodies, strict=True):
        kept = store.cut(each, connection_id(4)).response
        assert kept is not None
        assert kept.excerpt is not None
        assert json.loads(kept.body) == [json.loads(body)[4]]
        assert kept.excerpt.sha256 == hashlib.sha256(body).hexdigest()
    noise = [add(store, hashlib.shake_128(bytes([number])).digest(60_000)) for number in range(80)]
    assert noise[-1].is_whole
    assert store.size <= 1 << 20
    assert not held[0].is_whole
    assert store.released > 0
    told = store.cut(held[0], connection_id(4)).response
    assert told is not None
    assert told.excerpt is not None
    assert (told.body, told.excerpt.length) == (b"", len(bodies[0]))


def test_packed_bodies_take_the_memory_that_is_counted() -> None:
    """Not that of the block which each was packed in: ten minutes of a gate would take a gigabyte."""
    body = json.dumps(connection()).encode()
    store = EvidenceStore(1 << 20)
    held = [add(store, body) for _ in range(60)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        others = [add(store, bytes(PIECE_BYTES)) for _ in range(40)]
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert all(each.packed is not None for each in held)
    counted = sum(each.packed.size for each in [*held, *others] if each.packed is not None)
    raw = sum(PIECE_BYTES for each in others if each.packed is None)
    assert taken < 2 * counted + raw + 2 * PIECE_BYTES, (taken, counted)


def test_what_nobody_holds_costs_nothing() -> None:
    """It is neither packed nor counted once many came after it, and what is held need not be packed for its sake."""
    store = EvidenceStore(1 << 20)
    held = add(store, bytes(PIECE_BYTES))
    for _ in range(100):
        add(store, bytes(PIECE_BYTES))
    assert (store._packed, held.packed) == ({}, None)
    assert store.size <= (1 << 20) // 2


def test_adding_a_finding_again_costs_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand findings of one kind one is proven, and all are counted."""
    proven: list[object] = []
    prove = EvidenceStore.prove

    def counted(self: EvidenceStore, *args: Any, **named: Any) -> tuple[Exchange, ...]:  # Any: as `prove` has them
        proven.append(args)
        return prove(self, *args, **named)

    monkeypatch.setattr(EvidenceStore, "prove", counted)
    talk = Talk(Judge(DOC))
    for step in range(100):
        talk.add(
            ask(), step * SECOND, step * SECOND + MS, connection(stamp_ns=step * SECOND, dtls__total_received_dtls="1")
        )
    entry = found(talk.judge, "shape.type")
    assert (entry.count, len(proven)) == (100, 1)


def test_a_listing_that_lacks_a_connection_is_kept_as_ids() -> None:
    """With all three responses; the listing's own bytes are not kept, only who was in it."""
    talk = Talk(Judge(DOC))
    others = [connection(each, stamp_ns=3 * SECOND) for each in IDS[1:]]
    talk.add(ask(), 0, MS, connection(IDS[0], stamp_ns=0))
    talk.add(list_all(), SECOND, SECOND + MS, others)
    talk.add(ask(), 2 * SECOND, 2 * SECOND + MS, connection(IDS[0], stamp_ns=2 * SECOND))
    entry = found(talk.judge, "identity.listed")
    before, listing, after = (each.response for each in talk.judge.evidence(entry.fingerprint))
    assert before is not None
    assert after is not None
    assert json.loads(before.body)["connection_id"] == json.loads(after.body)["connection_id"] == IDS[0]
    assert listing is not None
    assert listing.excerpt is not None
    assert listing.excerpt.of == "ids"
    assert json.loads(listing.body) == [{"connection_id": each} for each in IDS[1:]]


@pytest.mark.parametrize(
    ("fault", "requirement", "shown"),
    [
        (b"\xff", "http.json", b"\xff"),
        (b'"a" "b"', "http.json", b'"a" "b"'),
        (b"1" * 5000, "http.json_limits", b"1" * 5000),
        (b"[" * 110 + b"]" * 110, "http.json_limits", b"[" * 110),
    ],
)
def test_a_fault_of_the_body_is_kept_with_what_is_around_it(fault: bytes, requirement: str, shown: bytes) -> None:
    """In a long body: at most 64 KiB, with the offset; in each case the fault itself is in it."""
    filler = b",".join(b'"k%d":%d' % (number, number) for number in range(20_000))
    body = b"{" + filler + b',"x":' + fault + b"," + filler.replace(b"k", b"l") + b"}"
    judge = judged([made(body, request=ask())])
    entry = found(judge, requirement)
    (proof,) = judge.evidence(entry.fingerprint)
    (kept,) = excerpts((proof,))
    assert kept.excerpt is not None
    (part,) = kept.excerpt.parts
    assert kept.body == body[part.offset : part.offset + part.length]
    assert shown in kept.body
    assert len(kept.body) <= PIECE_BYTES
    assert kept.excerpt.of == "text"


def test_a_connection_beyond_all_measure_is_kept_around_the_fault() -> None:
    """Of a connection with a megabyte of something, what is around the field."""
    document = connection(dtls__total_received_dtls="12")
    document["channel_id"] = "c" * (1 << 20)
    judge = judged([made(json.dumps([document]).encode())])
    (proof,) = judge.evidence(
        next(each.fingerprint for each in judge.result().findings if each.field == "/dtls/total_received_dtls")
    )
    (kept,) = excerpts((proof,))
    assert b'"total_received_dtls": "12"' in kept.body
    assert len(kept.body) <= PIECE_BYTES


def test_a_head_of_millions_of_fields_is_bounded() -> None:
    """As many of the first fields as there is room for."""
    held = EvidenceExchange(made(b"<html>"))
    response = Response(status=500, headers=tuple((f"h{number}", "x" * 20) for number in range(50_000)), body=b"<html>")
    large = EvidenceExchange(
        Exchange(
            run="r", seq=1, request=held.request, clock="c", sent_ns=0, received_ns=1, sent_at="", response=response
        )
    )
    store = EvidenceStore()
    (proof,) = store.prove((large,), large)
    assert proof.response is not None
    assert 1000 < len(proof.response.headers) < 5000
    assert store.size < 64 * KIB + 100 * len(proof.response.headers) + OVERHEAD_BYTES + 1000


def test_targets_of_one_connection_are_kept_whole() -> None:
    """A response about one connection is its own bytes already."""
    talk = Talk(Judge(DOC))
    for step, count in enumerate((5, 4)):
        talk.add(
            ask(),
            step * SECOND,
            step * SECOND + MS,
            connection(stamp_ns=step * SECOND, dtls__total_received_dtls=count),
        )
    entry = found(talk.judge, "counter.monotonic")
    proof = talk.judge.evidence(entry.fingerprint)
    assert [each.request.target for each in proof] == [Target.CONNECTION] * 2
    assert [each.response is not None and each.response.excerpt is None for each in proof] == [True, True]


def test_no_secret_is_in_a_part_and_none_is_cut_in_two() -> None:
    """What stands in another connection is not kept at all; a part with a secret is withheld, with hash and length."""
    secret = "s3cr3t-token-of-forty-characters-0123456"
    secrets = Secrets([secret])
    documents = [connection(each, channel_id=secret if place == 1 else "sora") for place, each in enumerate(IDS[:3])]
    store = EvidenceStore()
    held = add(store, json.dumps(documents).encode())
    clean, leaking = (store.cut(held, each) for each in IDS[:2])
    (kept, withheld) = (each.response for each in redact_exchanges((clean, leaking), secrets))
    assert kept is not None
    assert json.loads(kept.body) == [documents[0]]
    assert withheld is not None
    assert (withheld.body, withheld.withheld, withheld.excerpt) == (b"", True, None)
    for offset in range(PIECE_BYTES // 2 - 100, PIECE_BYTES // 2 + 100, 7):
        body = b"x " * 40_000 + secret.encode() + b" y" * 40_000
        at = 80_000 + offset
        (proof,) = store.prove((made(body, offset),), made(body, offset), offset=at)
        (shown,) = redact_exchanges((proof,), secrets)
        assert shown.response is not None
        assert b"characters" not in shown.response.body
        assert b"s3cr3t" not in shown.response.body


def test_any_part_of_a_packed_body_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a block, across several, and to the end."""
    monkeypatch.setattr(evidence, "BLOCK_BYTES", 16)
    body = bytes(range(70))
    known = ZstdDict(body, is_raw=True)
    packed = PackedBody(body, ZstdCompressor(zstd_dict=known.as_digested_dict), known, lambda: None)
    parts = [(start, stop) for start in range(0, 70, 3) for stop in range(start, 71)]
    assert [packed.read(*part) for part in parts] == [body[slice(*part)] for part in parts]


def test_exchanges_without_a_body_are_not_packed_nor_let_go() -> None:
    """However many somebody holds: there is nothing to let go of."""
    store = EvidenceStore(64 << 10)
    held = [add(store, b"") for _ in range(200)]
    assert all(each.is_whole for each in held)
    assert (store._packed, store.released) == ({}, 0)


def test_where_proofs_are_many_two_exchanges_share_what_one_may_take() -> None:
    """Around the fault in the one that went wrong; of the other the same bytes are no proof."""
    limit = 8 << 20
    store = EvidenceStore(limit)
    number = 0
    while store._proof_bytes < limit // 4:
        number += 1
        held = store.add_exchange(made(b"x" * PIECE_BYTES, number))
        store.prove((held,), held)
        store.settle(lambda: None)
    body = b'{"a":"%b","fault":1,"b":"%b"}' % (b"x" * 20_000, b"y" * 20_000)
    earlier, wrong = (store.add_exchange(made(body, seq)) for seq in (number + 1, number + 2))
    first, second = (each.response for each in store.prove((earlier, wrong), wrong, place=("fault",)))
    assert first is not None
    assert second is not None
    assert (b'"fault":1' in first.body, b'"fault":1' in second.body) == (False, True)
    assert len(first.body) + len(second.body) <= limit * 3 // 8 // SHARED_PROOFS


def test_a_large_request_is_kept_while_there_is_room() -> None:
    """Its proof is the response; how the request was made is told by its probe."""
    sent = msgspec.structs.replace(list_all(), body=bytes(1 << 20))
    kept = []
    for limit in (8 << 20, 1 << 20):
        exchange = msgspec.structs.replace(made(b"<html>"), request=sent)
        (proof,) = EvidenceStore(limit).prove((exchange,), exchange)
        kept.append(proof.request.body)
    assert [body == sent.body for body in kept] == [True, False]
    assert kept[1] is None


@pytest.mark.parametrize(("last_lasts", "proof"), [(9, [0, 1, 2]), (10, [0, 2])])
def test_where_the_first_to_have_a_value_was_let_go_the_last_one_proves_it(
    monkeypatch: pytest.MonkeyPatch, last_lasts: int, proof: list[int]
) -> None:
    """It had the value too, unless it overlaps the response that fell."""
    monkeypatch.setattr(EvidenceExchange, "is_whole", property(lambda held: held.key[1] != 0))
    talk = Talk()
    for step, (count, lasts) in enumerate(((7, 5), (7, last_lasts), (6, 20))):
        sample = connection(stamp_ns=(10 * step + 1) * MS, dtls__total_received_dtls=count)
        talk.add(ask(), 10 * step * MS, (10 * step + lasts) * MS, sample)
    assert [[each.seq for each in finding.exchanges] for finding in talk.findings] == [proof]


def test_a_finding_of_another_process_is_kept_with_its_proof() -> None:
    """It is in words already, and counts as any."""
    talk = Talk()
    for step, count in enumerate((7, 6)):
        sample = connection(stamp_ns=step * SECOND, dtls__total_received_dtls=count)
        talk.add(ask(), step * SECOND, step * SECOND + MS, sample)
    (finding,) = talk.findings
    merged = FindingAggregator(EvidenceStore())
    for _ in range(2):
        merged.add_finding(finding)
    merged.add_finding(dataclasses.replace(finding, field="/rtp/other", exchanges=()))
    assert [(each.count, len(merged.evidence_of(each.fingerprint))) for each in merged.entries()] == [(2, 2), (1, 0)]
