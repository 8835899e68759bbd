"""Which stages an exchange comes to, in which order, and what is counted of it on the way."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sora_stats_harness.api.exchange import (
    ErrorCode,
    Excerpt,
    ExcerptPart,
    Exchange,
    Request,
    Response,
    Target,
    TransportError,
)
from sora_stats_harness.judge import findings, state
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions

from .build import DOC, IDS, MS, SECOND, SERVER, Talk, ask, connection, list_all

JSON = (("content-type", "application/json"),)
MANY = [f"{number:025d}0" for number in range(60)]


def kept_ids(*ids: str) -> Response:
    """A listing of which nothing but the ids is left."""
    body = json.dumps([{"connection_id": each} for each in ids]).encode()
    parts = tuple(ExcerptPart(100 * place, 10, place) for place in range(len(ids)))
    return Response(status=200, headers=JSON, body=body, excerpt=Excerpt(of="ids", length=9999, sha256="", parts=parts))


def test_of_a_withheld_body_only_the_rest_is_judged() -> None:
    """It is counted, and what can't be told without it is named."""
    talk = Talk()
    talk.take(list_all(), 0, MS, Response(status=200, headers=JSON, body=b"", withheld=True))
    told = Excerpt(of="text", length=9999, sha256="")
    talk.take(list_all(), 2 * MS, 3 * MS, Response(status=200, headers=JSON, body=b"[{", excerpt=told))
    result = talk.end()
    assert (result.coverage.withheld, result.coverage.samples, talk.findings) == (2, 0, [])
    assert {"http.json", "shape.type", "counter.monotonic", "identity.present"} <= set(result.withheld)
    assert Talk().end().withheld == ()


def test_listings_of_which_the_ids_are_left_say_who_was_there() -> None:
    """One that was listed before and after is missing in between; nothing is said of the shape of what is not there."""
    talk = Talk()
    talk.take(list_all(), 0, MS, kept_ids(*IDS[:2]))
    talk.add(ask(), 10 * MS, 11 * MS, {"error_type": "NotFound"}, status=400)
    talk.take(list_all(), 20 * MS, 21 * MS, kept_ids(*IDS[:2]))
    assert talk.end().coverage.samples == 0
    assert [(each.requirement, each.connection_id) for each in talk.findings] == [("identity.present", IDS[0])]


def test_a_wrong_request_s_status_counts_though_its_response_was_cut() -> None:
    """A crash that closes the connection is one all the same."""
    talk = Talk()
    request = Request(server=SERVER, headers=(), body=b"{}", target=None, probe="request.no_5xx")
    cut = Response(status=502, headers=(), body=b"<", complete=False)
    talk.take(request, 0, MS, cut, TransportError(code=ErrorCode.CUT, detail="cut"))
    assert "request.no_5xx" in talk.told()


def test_an_exchange_without_a_response_is_no_strict_json() -> None:
    """An observer may ask of any."""
    known: list[bool] = []
    judge = Judge(DOC, observer=lambda exchange: known.append(judge.is_known_strict_json(exchange)))
    talk = Talk(judge)
    talk.add(ask(), 0, MS, error=ErrorCode.REFUSED)
    assert known == [False]


def test_a_length_in_digits_of_another_script_is_none() -> None:
    """Though Python takes it for the number that it happens to be."""
    talk = Talk()
    for place, length in enumerate(("2", "２")):
        talk.take(
            list_all(),
            2 * place * MS,
            (2 * place + 1) * MS,
            Response(status=200, headers=(*JSON, ("content-length", length)), body=b"[]"),
        )
    assert talk.told() == ["http.length"]


def test_findings_of_too_many_kinds_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note says how many are not listed; another requirement's are listed all the same."""
    monkeypatch.setattr(findings, "MAX_FINGERPRINTS", 2)
    talk = Talk()
    names = [f"{group}__total_{way}_{group}" for group in ("dtls", "sctp") for way in ("received", "sent")]
    talk.add(ask(), 0, MS, connection(IDS[0], 0, **dict.fromkeys(names, "1"), turn__total_sent_turn_unknown=-1))
    listed = sorted(each.requirement for each in talk.judge.result().findings)
    assert listed == ["shape.range", *["shape.type"] * 3]
    assert "2 findings of further kinds are counted, but not listed" in talk.end().coverage.notes


def test_bodies_by_themselves_are_counted_with_all_that_is_in_them() -> None:
    """Each is an exchange and a connection; its labels are seen."""
    judge = Judge(DOC)
    for name in ("a.json", "b.json"):
        judge.judge_bare_body(Target.CONNECTION, json.dumps(connection()).encode(), name)
    judge.finish()
    result = judge.result()
    coverage = result.coverage
    assert (coverage.exchanges, coverage.samples, coverage.connections) == (2, 2, 1)
    assert not [name for name in coverage.never_seen if name.startswith("data_channel.signaling.total_")]
    assert (result.checked["shape.type"], result.checked["http.status"]) == (2, 0)
    assert result.checked_by_target["identity.form"] == {"GetStatsConnection": 2}


def large(last: str) -> Response:
    """A listing that is judged in slices, with this at its end."""
    members = ",".join(json.dumps(connection(each)) for each in MANY)
    return Response(status=200, headers=JSON, body=f"[{members},{last}]".encode())


def test_reading_pauses_as_well_as_judging() -> None:
    """Of a body whose last element is beyond our limits nothing is judged, and the sockets have had their turn."""
    events: list[str] = []
    judge = Judge(DOC, on_finding=lambda finding: events.append(finding.requirement))
    judge.begin_exchange(list_all()).complete_in_slices(large("9" * 5000), lambda: events.append("pause"))
    assert events == ["pause"] * 3 + ["http.json_limits"]


def test_what_ends_in_a_pause_waits_until_the_large_response_is_judged() -> None:
    """Whoever has it judged; another large one is judged as well, after it."""
    response = large(json.dumps(connection()))
    shown: list[int] = []
    soon: list[Callable[[], None]] = []
    judge = Judge(DOC, observer=lambda each: shown.append(each.seq), options=JudgeOptions(soon=soon.append))
    first, small, second = (judge.begin_exchange(each) for each in (list_all(), ask(), list_all()))
    ended: list[Exchange] = []

    def pause() -> None:
        if not ended:
            ended.append(small.complete(Response(status=200, headers=JSON, body=json.dumps(connection()).encode())))
            ended.append(second.complete_in_slices(response, pause))
        judge.judge_pending()

    first.complete_in_slices(response, pause)
    assert shown == [first.seq, small.seq, second.seq]


def last_stamps(talk: Talk) -> list[tuple[str, int]]:
    """Of each connection, who it is and its newest stamp, in milliseconds from the first exchange."""
    origin = 1_795_521_600 * SECOND
    return [(each.connection_id, (each.stamp_ns - origin) // MS) for each in talk.judge.last_samples()]


def test_the_newest_sample_is_one_that_its_own_node_has_stamped() -> None:
    """Not what another node may have stamped, nor of a connection whose counters fell."""
    talk = Talk()
    talk.add(ask(), 0, 10 * MS, connection(stamp_ns=5 * MS))
    assert last_stamps(talk) == [(IDS[0], 5)]
    talk.add(list_all(local=False), 20 * MS, 30 * MS, [connection(stamp_ns=25 * MS)])
    assert last_stamps(talk) == []
    talk.add(list_all(local=True), 40 * MS, 50 * MS, [connection(stamp_ns=45 * MS)])
    assert last_stamps(talk) == [(IDS[0], 45)]
    talk.add(ask(), 60 * MS, 70 * MS, connection(stamp_ns=65 * MS, rtp__total_received_rtp=0))
    assert last_stamps(talk) == []


def test_what_moved_in_a_connection_that_is_forgotten_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for after so many exchanges, however fast these come."""
    monkeypatch.setattr(state, "MAX_SILENT_CONNECTIONS", 0)
    monkeypatch.setattr(state, "EXPIRY_CHECK_EXCHANGES", 4)
    talk = Talk()
    for step in range(16):
        gone = step < 4
        sample = connection(IDS[0 if gone else 1], step * MS, dtls__total_received_dtls=step if gone else 9)
        talk.add(ask(sample["connection_id"]), step * MS, step * MS + 1, sample)
    assert [*talk.judge._states["r", "c"].connections] == [IDS[1]]
    assert "dtls.total_received_dtls" not in talk.end().coverage.never_grew


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_channels_that_were_reopened_are_counted_once(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether their connection is forgotten or not; two were."""
    monkeypatch.setattr(state, "MAX_SILENT_CONNECTIONS", 0)
    monkeypatch.setattr(state, "EXPIRY_CHECK_EXCHANGES", 4)
    talk = Talk()
    for step in range(24):
        listed = [connection(each, step * MS) for each in IDS[:2]] if step < 4 else [connection(IDS[2], step * MS)]
        for document in listed + [connection(each, step * MS) for each in IDS[gone:2] if step >= 4]:
            label = next(iter(connection()["data_channel"].values()))
            document["data_channel"] = {
                "#chat": {
                    key: (9 if step < 2 else 1) if key.startswith("total_") else each for key, each in label.items()
                }
            }
            talk.add(ask(document["connection_id"]), step * MS, step * MS + 1, document)
    assert len(talk.judge._states["r", "c"].connections) == 3 - gone
    assert "a data channel was closed and reopened between two samples 2 times" in talk.end().coverage.notes


@pytest.mark.parametrize(("every", "scanned"), [(0, 0), (1, 6), (2, 3), (4, 2)])
def test_repeated_keys_are_looked_for_in_every_so_many_th_response(every: int, scanned: int) -> None:
    """Which is counted; an escape in a string is what the accelerator leaves to Python."""
    talk = Talk(Judge(DOC, options=JudgeOptions(scan_every=every)))
    for step in range(6):
        talk.add(ask(), 20 * step * MS, (20 * step + 10) * MS, connection(stamp_ns=20 * step * MS, bundle_id="ä"))
    assert talk.end().checked["http.duplicate_key"] == scanned
