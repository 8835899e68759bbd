"""The strategies: what they draw is legal, shrinks to one change, and prints in a line."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from sora_stats_harness.api import edition
from sora_stats_harness.api import edition_schemas as schemas
from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.exchange import TARGET_OF_OPERATION, Target
from sora_stats_harness.api.request_guard import check_request_allowed
from sora_stats_harness.simulator import strategies

from ..examples import some_of
from ..oracle import reference
from ..oracle.histories import SMALL

EDITION = edition.load_edition()
VALIDATOR = jsonschema.Draft202012Validator(schemas.connection_schema(EDITION))
SEARCH = settings(database=None, derandomize=True)
few = settings(max_examples=some_of(40), deadline=None, derandomize=True, database=None)


def shape_and_relations(document: Any) -> list[tuple[str, str]]:  # Any: whatever JSON can hold
    return sorted(
        reference.document_findings(EDITION, json.dumps(document).encode(), many=False)
    ) + reference.missed_relations(document)


@pytest.mark.parametrize("base", ["quiet", "busy"])
def test_a_base_is_legal_in_every_respect(base: strategies.BaseName) -> None:
    """Each base has the documented shape, satisfies the schema and keeps every relation."""
    document = strategies.make_connection(base)
    assert shape_and_relations(document) == []
    VALIDATOR.validate(document)


def test_the_busy_base_has_every_leaf_and_moves_every_counter_that_may_move() -> None:
    """All 374 leaves but the twelve conditional ones are there, and only three counters stand at 0."""
    document = strategies.make_connection("busy")
    leaves = reference.leaves(document)
    assert len(leaves) == 362
    assert sorted(path[-1] for path, value in leaves.items() if value == 0 and path[-1].startswith("total_")) == [
        "total_dropped_received_rtp",
        "total_dropped_sent_rtp",
        "total_received_srtp_invalid",
    ]


@few
@given(strategies.connections())
def test_drawn_connections_are_legal(document: strategies.GeneratedConnection) -> None:
    """Whatever is changed, shape, ids and relations hold."""
    assert shape_and_relations(document) == []


def test_what_connections_are_like() -> None:
    """Of a few hundred, some have each of what an exporter may stumble over; none has both limits of a channel."""
    drawn: list[strategies.GeneratedConnection] = []

    @settings(max_examples=250, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(strategies.connections())
    def draw(document: strategies.GeneratedConnection) -> None:
        drawn.append(document)

    draw()
    digits = Counter(len(each["timestamp"].partition(".")[2].rstrip("Z")) for each in drawn)
    assert set(digits) == {0, 6, 9} and min(digits.values()) > 20, digits
    levels = Counter(each["network_status"]["unstable_level"] for each in drawn)
    assert set(levels) == {0, 1, 2, 3} and min(levels.values()) > 20, levels
    channels = [each.get("data_channel", {}) for each in drawn]
    labels = [[label for label in channel if label.startswith("#")] for channel in channels]
    assert sum(not names for names in labels) > 20 and sum(len(names) >= 24 for names in labels) > 10
    texts = {label for names in labels for label in names}
    assert any("/" in text for text in texts) and any("~" in text for text in texts) and "#" in texts
    assert any(not text.isascii() for text in texts) and any(not text.isprintable() for text in texts)
    busy = [each for each in drawn if each.base == "busy"]
    for group in ("signaling", "notify", "push", "stats", "e2ee"):
        assert sum(group not in each.get("data_channel", {}) for each in busy) > 3, group
    assert any("data_channel" not in each for each in busy)
    limits = Counter(
        tuple(name for name in ("max_packet_life_time", "max_retransmits") if name in leaves)
        for channel in channels
        for leaves in channel.values()
    )
    assert {("max_packet_life_time",), ("max_retransmits",), ()} == set(limits), limits
    counters = [max(value for path, value in reference.leaves(each).items() if is_counter(path)) for each in drawn]
    assert sum(most > 2**32 for most in counters) > 20 and sum(most > 2**53 for most in counters) > 20


def test_any_connection_of_a_listing_or_a_history_differs_as_one_alone_does() -> None:
    """
    Not the first only: others have another level, many labels or none, and lack a group, in some of a few hundred.
    """
    seen: dict[str, Counter[str]] = {"listing": Counter(), "history": Counter()}

    @settings(max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(strategies.responses(Target.ALL), strategies.histories(max_calls=3))
    def draw(listing: Any, history: strategies.CallHistory) -> None:  # Any: whatever JSON can hold
        for kind, body in (("listing", listing), *(("history", call.response) for call in history.calls)):
            for other in body[1:] if isinstance(body, list) else ():
                labels = other.get("data_channel", {})
                seen[kind][f"level {other['network_status']['unstable_level']}"] += 1
                seen[kind]["many labels"] += len(labels) >= strategies.MANY_LABELS
                seen[kind]["no channel"] += not labels
                seen[kind]["no signaling"] += bool(labels) and "signaling" not in labels
                seen[kind]["large"] += any(is_counter(p) and v > 2**53 for p, v in reference.leaves(other).items())
                assert len(other["timestamp"]) == len(body[0]["timestamp"])

    draw()
    assert all(len(counts) == 8 and min(counts.values()) > 0 for counts in seen.values()), seen


def is_counter(path: tuple[str, ...]) -> bool:
    """By its name."""
    return path[-1].startswith("total_")


def test_histories_have_stamps_of_every_form() -> None:
    """Whole seconds, microseconds and nanoseconds, each in some; one form throughout a history."""
    seen: set[int] = set()

    @settings(few, max_examples=60)
    @given(strategies.histories())
    def check(history: strategies.CallHistory) -> None:
        bodies = [call.response if isinstance(call.response, list) else [call.response] for call in history.calls]
        digits = {len(each["timestamp"].partition(".")[2].rstrip("Z")) for body in bodies for each in body}
        assert len(digits) <= 1
        seen.update(digits)

    check()
    assert seen == {0, 6, 9}


@few
@given(strategies.connections())
def test_a_connection_prints_as_what_makes_it_again(document: strategies.GeneratedConnection) -> None:
    """The repr is a call that gives the same document."""
    assert eval(repr(document), {"make_connection": strategies.make_connection}) == document  # our own text


@pytest.mark.parametrize(
    ("strategy", "shown"),
    [
        (strategies.connections(), "make_connection('quiet', {})"),
        (strategies.responses("GetStatsConnection"), "make_connection('quiet', {})"),
        (strategies.histories(), "CallHistory([])"),
        (
            strategies.mutations(),
            "Mutation(operator='drop', pointer='/timestamp', requirement='shape.required', value=None)",
        ),
        (strategies.valid_requests(Target.ALL), "WireRequest(method='POST', path='/', headers=(('x-sora-target', "),
        (strategies.wrong_requests(Target.ALL), "WireRequest(method='POST', path='/sora-harness-no-such-path', "),
    ],
)
def test_a_failing_example_is_shown_as_what_it_is(strategy: st.SearchStrategy[Any], shown: str) -> None:
    """Not as the call inside of the strategies that made it, which nobody could repeat; the simplest are short."""

    @few
    @given(strategy)
    def check(example: Any) -> None:  # Any: whatever the strategy draws
        raise Failed

    with pytest.raises(Failed) as caught:
        check()
    text = caught.value.__notes__[0]  # in CI another one tells how to run it again
    told = " ".join(text.split()).replace("( ", "(").replace(", )", ")")
    assert shown in told or shown in told.replace(",)", ")")
    assert len(told) < 300


class Failed(Exception):
    """A planted bug shows."""


def smallest(strategy: st.SearchStrategy[Any], sound: Callable[[Any], bool]) -> Any:
    """What is left of a failing example, with every health check on."""
    failing = []

    @settings(database=None, derandomize=True, deadline=None, max_examples=3000)
    @given(strategy)
    def check(example: Any) -> None:  # Any: whatever the strategy draws
        if not sound(example):
            failing.append(example)
            raise Failed

    with pytest.raises(Failed):
        check()
    return failing[-1]


@pytest.mark.parametrize(
    ("sound", "group", "of"),
    [
        pytest.param(
            lambda found: all(float(value) == value for value in found["turn"].values()),
            "turn",
            EDITION,
            id="counters as floats",
        ),
        pytest.param(
            lambda found: all(value < 2**31 for value in found["sctp"].values()),
            "sctp",
            EDITION,
            id="counters of 32 bits",
        ),
        pytest.param(lambda found: found["outer"]["inner"]["gauge"] >= 0, "outer/inner", SMALL, id="unsigned gauges"),
        pytest.param(
            lambda found: all(label["ordered"] for label in found.get("data_channel", {}).values()),
            "data_channel",
            SMALL,
            id="channels are taken for ordered",
        ),
    ],
)
def test_the_smallest_example_of_a_planted_bug_has_one_change(
    sound: Callable[[strategies.GeneratedConnection], bool], group: str, of: edition.Edition
) -> None:
    """Whatever a reader gets wrong, what is shown is the one change that matters, in less than a line."""
    example = smallest(strategies.connections(of), sound)
    [place] = example.changes
    assert place.startswith(f"/{group}/")
    assert len(repr(example)) < 110


def test_a_failing_example_shrinks_to_one_change() -> None:
    """However many fields were changed, the smallest example has the one that matters, at its smallest."""
    smallest = find(
        strategies.connections(),
        lambda document: max(document["turn"].values()) > 100_000,
        settings=settings(database=None, derandomize=True, max_examples=20_000),
    )
    assert re.fullmatch(r"make_connection\('quiet', \{'/turn/total_\w+': 100001\}\)", repr(smallest))


@pytest.mark.parametrize("target", list(Target), ids=lambda target: target.operation)
def test_responses_are_legal_bodies_of_their_target(target: Target) -> None:
    """A response satisfies the response's schema, repeats no connection, and a client's connections share its ids."""
    validator = jsonschema.Draft202012Validator(schemas.response_schema(EDITION, target))

    @few
    @given(strategies.responses(target))
    def check(body: Any) -> None:  # Any: whatever JSON can hold
        validator.validate(body)
        connections = body if target.many else [body]
        assert all(shape_and_relations(document) == [] for document in connections)
        assert len({document["connection_id"] for document in connections}) == len(connections)
        if target is Target.CLIENT:
            assert len({(document["channel_id"], document["client_id"]) for document in connections}) <= 1

    check()


def test_histories_are_legal_to_the_all_pairs_reference() -> None:
    """No counter falls from a call to one that was sent later, in any history drawn; every operation is drawn."""
    operations: set[str] = set()

    @few
    @given(strategies.histories())
    def check(history: strategies.CallHistory) -> None:
        calls = [
            reference.Seen(
                run="r", clock="c", seq=seq, sent_ns=call.sent_ns, received_ns=call.received_ns, body=call.response
            )
            for seq, call in enumerate(history.calls)
        ]
        assert reference.falls(EDITION, calls) == set()
        assert all(call.sent_ns <= call.received_ns for call in history.calls)
        operations.update(call.operation for call in history.calls)

    check()
    assert operations == set(TARGET_OF_OPERATION)


def test_an_overlap_shrinks_to_two_calls() -> None:
    """The smallest history in which two calls overlap has just these two."""

    def overlapping(history: strategies.CallHistory) -> bool:
        return any(
            a.sent_ns <= b.received_ns and b.sent_ns < a.received_ns
            for i, a in enumerate(history.calls)
            for b in history.calls[:i]
        )

    smallest = find(strategies.histories(SMALL, max_calls=3), overlapping, settings=SEARCH)
    assert len(smallest.steps) == 2


@pytest.mark.parametrize("target", list(Target), ids=lambda target: target.operation)
def test_requests_carry_the_target_and_satisfy_its_schema(target: Target) -> None:
    """A valid request is a POST to `/` with the target's header and a documented body, or none where none is needed."""
    validator = jsonschema.Draft202012Validator(schemas.request_schema(EDITION, target))

    @few
    @given(strategies.valid_requests(target))
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
    """Each is wrong in the way it says, and may be sent; the header holds the target, or isn't there."""
    validator = jsonschema.Draft202012Validator(schemas.request_schema(EDITION, target))

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

    @settings(few, max_examples=some_of(240))
    @given(strategies.wrong_requests(target))
    def check(request: strategies.WireRequest) -> None:
        assert request.wrong is not None
        seen.add(request.wrong)
        names = [value for name, value in request.headers if name.lower() == "x-sora-target"]
        assert names in ([], [target.value])
        check_request_allowed(request.method, request.path, request.headers)
        assert checks.get(request.wrong, lambda request: wrong_body(request.body))(request)

    check()
    rows = {"path", "method", "no_target", "invalid_json", "wrong_type"}
    assert seen == (rows if target is Target.ALL else rows | {"no_body", "missing_key"})


def test_mutations_miss_exactly_what_they_say() -> None:
    """Applied to the busy base, each breaks its requirement at its pointer and nothing else."""
    base = strategies.make_connection("busy")
    table = strategies.all_mutations(EDITION)
    first = {(mutation.requirement, mutation.operator): mutation for mutation in reversed(table)}
    for mutation in [*first.values(), *table[::97]]:
        body = json.dumps(mutation.apply_to(base)).encode()
        assert reference.document_findings(EDITION, body, many=False) == {(mutation.requirement, mutation.pointer)}
    assert len({requirement for requirement, _ in first}) == 9


def test_a_mutation_is_one_of_the_table_and_prints_in_a_line() -> None:
    """What is drawn is a place in one table; its repr is short."""
    table = strategies.all_mutations(EDITION)
    drawn = find(strategies.mutations(), lambda mutation: mutation.requirement == "shape.lexical", settings=SEARCH)
    assert drawn in table
    assert len(repr(drawn)) < 200


def test_what_is_no_target_or_no_field_is_refused() -> None:
    """A mistyped target or pointer is a usage error that says what there is."""
    with pytest.raises(UsageError, match="use one of GetStatsConnection"):
        strategies.responses("GetStats")
    with pytest.raises(UsageError, match="no field /rtp/total_sentt"):
        strategies.make_connection("busy", {"/rtp/total_sentt": 1})


@given(st.integers(0, 2**64))
def test_a_connection_id_has_the_documented_form(number: int) -> None:
    """26 characters of Clockwork Base32, the last one of eight."""
    text = strategies.make_connection_id(number)
    assert len(text) == 26
    assert set(text) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert text[-1] in "048CGMRW"


PAGE = (Path(__file__).parents[2] / "docs" / "STRATEGIES.md").read_text(encoding="utf-8")


def test_the_page_names_every_strategy() -> None:
    """docs/STRATEGIES.md lists what the module offers, and nothing else."""
    offered = {
        name
        for name, value in vars(strategies).items()
        if callable(value)
        and not name.startswith("_")
        and value.__module__ == strategies.__name__
        and "SearchStrategy" in str(getattr(value, "__annotations__", {}).get("return"))
    }
    assert set(re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE)) == offered


@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
def test_the_examples_of_the_page_run(block: str) -> None:
    """Those of sound readers pass; the one of a bug fails in the way shown below it."""
    names: dict[str, Any] = {}
    exec(compile(block, "docs/STRATEGIES.md", "exec"), names)  # our own page
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test = settings(
            max_examples=300 if "A bug" in block else some_of(30), derandomize=True, database=None, deadline=None
        )(test)
        if "A bug" in block:
            with pytest.raises(AssertionError) as caught:
                test()
            [shown] = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
            form = re.escape(shown.strip()).replace("quiet", "(quiet|busy)").replace("9007199254740993", r"\d{16,}")
            form = re.sub(r"/turn/\w+", r"/turn/\\w+", form)  # which counter, and where shrinking ends, is chance
            assert re.search(form, "\n".join(caught.value.__notes__))
        else:
            test()
