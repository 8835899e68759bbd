"""The strategies: what they draw is legal, shrinks to one change, and prints in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from sora_stats_harness import edition, schemas, strategies
from sora_stats_harness.errors import UsageError
from sora_stats_harness.exchange import Target

from .oracle import reference

EDITION = edition.load()
VALIDATOR = jsonschema.Draft202012Validator(schemas.connection(EDITION))
few = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def shape_and_relations(document: Any) -> list[tuple[str, str]]:  # Any: whatever JSON can hold
    return sorted(
        reference.document_findings(EDITION, json.dumps(document).encode(), many=False)
    ) + reference.missed_relations(document)


@pytest.mark.parametrize("base", ["quiet", "busy"])
def test_a_base_is_legal_in_every_respect(base: strategies.Base) -> None:
    """Each base has the documented shape, satisfies the schema and keeps every relation."""
    document = strategies.connection(base)
    assert shape_and_relations(document) == []
    VALIDATOR.validate(document)


def test_the_busy_base_has_every_leaf_and_moves_every_counter_that_may_move() -> None:
    """All 374 leaves but the twelve conditional ones are there, and only three counters stand at 0."""
    document = strategies.connection("busy")
    leaves = reference.leaves(document)
    assert len(leaves) == 362
    assert sorted(path[-1] for path, value in leaves.items() if value == 0 and path[-1].startswith("total_")) == [
        "total_dropped_received_rtp", "total_dropped_sent_rtp", "total_received_srtp_invalid",
    ]  # fmt: skip


@few
@given(strategies.connections())
def test_drawn_connections_are_legal(document: strategies.Connection) -> None:
    """Whatever is changed, shape, ids and relations hold."""
    assert shape_and_relations(document) == []


@few
@given(strategies.connections())
def test_a_connection_prints_as_what_makes_it_again(document: strategies.Connection) -> None:
    """The repr is a call that gives the same document."""
    assert eval(repr(document), {"connection": strategies.connection}) == document  # our own text


def test_a_failing_example_shrinks_to_one_change() -> None:
    """However many fields were changed, the smallest example has the one that matters, at its smallest."""
    smallest = find(
        strategies.connections(), lambda document: document["dtls"]["total_sent_dtls"] > 100_000,
        settings=settings(database=None, derandomize=True, max_examples=20_000),
    )  # fmt: skip
    assert repr(smallest) == "connection('quiet', {'/dtls/total_sent_dtls': 100001})"


@pytest.mark.parametrize("target", list(Target), ids=lambda target: target.operation)
def test_answers_are_legal_bodies_of_their_target(target: Target) -> None:
    """An answer satisfies the response's schema, repeats no connection, and a client's connections share its ids."""
    validator = jsonschema.Draft202012Validator(schemas.response(EDITION, target))

    @few
    @given(strategies.answers(target))
    def check(body: Any) -> None:  # Any: whatever JSON can hold
        validator.validate(body)
        connections = body if target.many else [body]
        assert all(shape_and_relations(document) == [] for document in connections)
        assert len({document["connection_id"] for document in connections}) == len(connections)
        if target is Target.CLIENT:
            assert len({(document["channel_id"], document["client_id"]) for document in connections}) <= 1

    check()


@few
@given(strategies.histories())
def test_histories_are_legal_to_the_all_pairs_reference(history: strategies.History) -> None:
    """No counter falls from a call to one that was sent later, in any history drawn."""
    calls = [
        reference.Seen(
            run="r", clock="c", seq=seq, sent_ns=call.sent_ns, received_ns=call.received_ns, body=call.answer
        )
        for seq, call in enumerate(history.calls)
    ]  # fmt: skip
    assert reference.falls(EDITION, calls) == set()
    assert all(call.sent_ns <= call.received_ns for call in calls)


def test_histories_reach_overlaps_and_every_target() -> None:
    """Overlapping calls, and each target, are soon drawn; the smallest overlap has two calls."""

    def overlapping(history: strategies.History) -> bool:
        return any(
            a.sent_ns <= b.received_ns and b.sent_ns < a.received_ns
            for i, a in enumerate(history.calls) for b in history.calls[:i]
        )  # fmt: skip

    smallest = find(strategies.histories(max_calls=3), overlapping, settings=settings(database=None, derandomize=True))
    assert len(smallest.steps) == 2
    for operation in strategies.OPERATIONS:
        find(
            strategies.histories(max_calls=1), lambda history: any(call.operation == operation for call in history.calls),
            settings=settings(database=None, derandomize=True),
        )  # fmt: skip


@pytest.mark.parametrize("target", list(Target), ids=lambda target: target.operation)
def test_requests_carry_the_target_and_satisfy_its_schema(target: Target) -> None:
    """A valid request is a POST to `/` with the target's header and a body as documented, or none where none is needed."""
    validator = jsonschema.Draft202012Validator(schemas.request(EDITION, target))

    @few
    @given(strategies.requests(target))
    def check(request: strategies.WireRequest) -> None:
        assert (request.method, request.path, request.wrong) == ("POST", "/", None)
        assert [(name.lower(), value) for name, value in request.headers] == [("x-sora-target", target.value)]
        if request.body is None:
            assert target is Target.ALL
        else:
            arguments = json.loads(request.body)
            validator.validate(arguments)
            assert all(len(text.encode()) <= 255 for text in arguments.values() if isinstance(text, str))

    check()


@pytest.mark.parametrize("target", list(Target), ids=lambda target: target.operation)
def test_wrong_requests_are_wrong_and_never_name_another_operation(target: Target) -> None:
    """Each is wrong in the way it says; the header holds the target, or isn't there."""
    validator = jsonschema.Draft202012Validator(schemas.request(EDITION, target))

    def wrong_body(body: bytes | None) -> bool:
        try:
            return body is None or not validator.is_valid(json.loads(body.decode("utf-8")))
        except ValueError:
            return True

    checks: dict[str, Callable[[strategies.WireRequest], bool]] = {
        "path": lambda request: request.path != "/",
        "method": lambda request: request.method != "POST",
        "no_target": lambda request: request.headers == (),
    }
    seen = set()

    @settings(few, max_examples=120)
    @given(strategies.wrong_requests(target))
    def check(request: strategies.WireRequest) -> None:
        assert request.wrong is not None
        seen.add(request.wrong)
        names = [value for name, value in request.headers if name.lower() == "x-sora-target"]
        assert names in ([], [target.value])
        assert checks.get(request.wrong, lambda request: wrong_body(request.body))(request)

    check()
    rows = {"path", "method", "no_target", "invalid_json", "wrong_type"}
    assert seen == (rows if target is Target.ALL else rows | {"no_body", "missing_key"})


def test_every_mutation_is_missed_by_exactly_what_it_says() -> None:
    """Each of the mutations, applied to the busy base, breaks its requirement at its pointer and nothing else."""
    base = strategies.connection("busy")
    counted: dict[str, int] = {}

    @settings(few, max_examples=120)
    @given(strategies.mutations())
    def check(mutation: strategies.Mutation) -> None:
        body = json.dumps(mutation.apply(base)).encode()
        expected = {(mutation.requirement, mutation.pointer)}
        assert reference.document_findings(EDITION, body, many=False) == expected
        counted[mutation.requirement] = counted.get(mutation.requirement, 0) + 1

    check()
    assert set(counted) >= {"shape.required", "shape.type", "shape.range", "shape.lexical", "shape.unknown"}


def test_what_is_no_target_or_no_field_is_refused() -> None:
    """A mistyped target or pointer is a usage error that says what there is."""
    with pytest.raises(UsageError, match="take one of GetStatsConnection"):
        strategies.answers("GetStats")
    with pytest.raises(UsageError, match="no field /rtp/total_sentt"):
        strategies.connection("busy", {"/rtp/total_sentt": 1})


@given(st.integers(0, 2**64))
def test_a_connection_id_has_the_documented_form(number: int) -> None:
    """26 characters of Clockwork Base32, the last one of eight."""
    text = strategies.connection_id(number)
    assert len(text) == 26
    assert set(text) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert text[-1] in "048CGMRW"
