"""Several nodes: what each lists, what any lists of all, and what a response proves that is not sound in every sample."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sora_stats_harness.api.exchange import Request
from sora_stats_harness.judge.cluster_listings import ClusterListings
from sora_stats_harness.judge.pipeline import Judge, JudgeOptions
from sora_stats_harness.judge.requirements import Finding

from .build import DOC, IDS, MS, SERVER, Talk, ask, ask_client, connection, list_all
from .test_presence import exchange

OTHER = "http://127.0.0.1:3001"
STRANGER = "http://127.0.0.1:3009"
A, B, C = IDS[:3]
UNSOUND = "unsound"
"""A sample without a sound connection_id."""

Step = tuple[Request, Sequence[str]]
"""A request, and the connections in its response."""

ONE, TWO = list_all(server=SERVER), list_all(server=OTHER)
ALL = list_all(local=False, server=SERVER)
ALL_OF_TWO = list_all(local=False, server=OTHER)


def told(
    *steps: Step, nodes: Sequence[str] = (SERVER, OTHER), every: int = 10, lasts: int = 5
) -> tuple[list[Finding], dict[str, int]]:
    """What is said of presence and clusters in responses that follow each other, and how often each was checked."""
    findings: list[Finding] = []
    talk = Talk(Judge(DOC, on_finding=findings.append, options=JudgeOptions(nodes=nodes)))
    for place, (request, ids) in enumerate(steps):
        sent = place * every
        samples = [
            connection(each, stamp_ns=(sent + 1) * MS) if each != UNSOUND else connection() | {"connection_id": 7}
            for each in ids
        ]
        talk.add(request, sent * MS, (sent + lasts) * MS, samples)
    checked = talk.end().checked
    names = ("identity.present", "cluster.union", "cluster.once")
    return [each for each in findings if each.requirement in names], {name: checked[name] for name in names}


def names(*steps: Step, nodes: Sequence[str] = (SERVER, OTHER)) -> list[tuple[str, str | None]]:
    """The requirements that are violated, and the connections."""
    return [(each.requirement, each.connection_id) for each in told(*steps, nodes=nodes)[0]]


# -- on two nodes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "doubles"),
    [
        pytest.param([(ONE, [A]), (TWO, [B])], [], id="each has its own"),
        pytest.param([(ONE, [A]), (TWO, [A])], [A], id="both list it"),
        pytest.param([(ONE, [A]), (ONE, [A])], [], id="one lists it twice"),
        pytest.param([(ONE, [A]), (TWO, [A]), (ONE, [A]), (TWO, [A])], [A], id="told once"),
        pytest.param([(ONE, [A, B]), (TWO, [B, A])], [B, A], id="each of them"),
        pytest.param([(ONE, [A]), (list_all(server=STRANGER), [A])], [], id="a server that is no node"),
        pytest.param([(ONE, [A]), (ALL_OF_TWO, [A])], [], id="what it lists of all"),
        pytest.param([(ONE, [UNSOUND, A]), (TWO, [A, UNSOUND])], [A], id="beside samples that are not sound"),
    ],
)
def test_no_connection_is_on_two_nodes(steps: Sequence[Step], doubles: list[str]) -> None:
    """Whatever a node lists of itself is its own."""
    assert names(*steps) == [("cluster.once", each) for each in doubles]


def test_the_first_listing_and_the_second_are_shown() -> None:
    """The node that has it is named."""
    (found,), checked = told((ONE, [A]), (ONE, [A]), (TWO, [A]))
    assert [each.seq for each in found.exchanges] == [0, 2]
    assert found.expected == f"only {SERVER}"
    assert checked["cluster.once"] == 1


def test_one_server_is_no_cluster() -> None:
    """Nothing is compared."""
    found, checked = told((ONE, [A]), (ALL, [A, B]), (ONE, [A]), (ALL, [A, B]), nodes=(SERVER,))
    assert (found, checked["cluster.union"], checked["cluster.once"]) == ([], 0, 0)


# -- on no node ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "strays", "checked"),
    [
        pytest.param([(ALL, [A, B]), (ONE, [A]), (TWO, [B]), (ALL, [A, B])], [], 1, id="all are somewhere"),
        pytest.param([(ALL, [A, B]), (ONE, [A]), (TWO, []), (ALL, [A, B])], [B], 1, id="one is nowhere"),
        pytest.param([(ALL, [A, B]), (TWO, []), (ONE, [A]), (ALL_OF_TWO, [A, B])], [B], 1, id="whichever is asked"),
        pytest.param([(ALL, [A, B]), (ONE, [A]), (ALL, [A, B])], [], 0, id="one node was not asked"),
        pytest.param(
            [(ALL, [A, B]), (ONE, [A]), (ALL, [A, B]), (TWO, []), (ALL, [A, B])],
            [B],
            1,
            id="nor by the next, but later",
        ),
        pytest.param([(ALL, [A]), (ONE, [A]), (TWO, []), (ALL, [A, B])], [], 1, id="it has just come"),
        pytest.param([(ALL, [A, B]), (ONE, [A]), (TWO, []), (ALL, [A])], [], 1, id="it has just left"),
        pytest.param([(ONE, [A]), (TWO, []), (ALL, [A, B]), (ALL, [A, B])], [], 0, id="asked before both"),
        pytest.param(
            [(ALL, [A, B, UNSOUND]), (ONE, [A]), (TWO, []), (ALL, [A, B])], [], 0, id="one sample is not sound, before"
        ),
        pytest.param(
            [(ALL, [A, B]), (ONE, [A]), (TWO, []), (ALL, [A, B, UNSOUND])], [], 0, id="one sample is not sound, after"
        ),
        pytest.param(
            [(ALL, [A, B]), (ONE, [A]), (TWO, [B]), (ALL, [A, B]), (ONE, [A]), (TWO, []), (ALL, [A, B])],
            [B],
            2,
            id="in the second round",
        ),
        pytest.param(
            [(ALL, [A, B]), (ONE, [A]), (TWO, []), (list_all(local=False, server=STRANGER), [A, B])],
            [],
            0,
            id="as a server says that is no node",
        ),
    ],
)
def test_what_is_listed_of_all_is_on_one_of_the_nodes(steps: Sequence[Step], strays: list[str], checked: int) -> None:
    """In between two such listings that both have it."""
    found, counts = told(*steps)
    assert [(each.requirement, each.connection_id) for each in found] == [("cluster.union", each) for each in strays]
    assert counts["cluster.union"] == checked


@pytest.mark.parametrize(("lasts", "checked"), [(9, 1), (10, 0)])
def test_listings_that_overlap_prove_nothing(lasts: int, checked: int) -> None:
    """Received at the very moment at which the other is sent is not before it."""
    steps: tuple[Step, ...] = ((ALL, [A, B]), (ONE, [A]), (TWO, []), (ALL, [A, B]))
    found, counts = told(*steps, lasts=lasts)
    assert (len(found), counts["cluster.union"]) == (checked, checked)


@pytest.mark.parametrize(
    ("request_", "body", "status"),
    [
        pytest.param(TWO, [connection(C)], 500, id="one that fails"),
        pytest.param(TWO, b"[", 200, id="one that is no JSON"),
        pytest.param(ask(C, OTHER), connection(C), 200, id="one about a connection"),
    ],
)
def test_what_is_no_listing_stands_for_none(request_: Request, body: object, status: int) -> None:
    """A node that was not asked for one in between may have the connection."""
    talk = Talk(judge := Judge(DOC, options=JudgeOptions(nodes=(SERVER, OTHER))))
    steps: list[tuple[Request, object, int]] = [
        (ALL, [connection(A), connection(B)], 200),
        (ONE, [connection(A)], 200),
        (request_, body, status),
        (ALL, [connection(A), connection(B)], 200),
    ]
    for place, (request, answer, code) in enumerate(steps):
        talk.add(request, 10 * place * MS, (10 * place + 5) * MS, answer, status=code)
    assert talk.end().checked["cluster.union"] == 0
    assert "cluster.union" not in {each.requirement for each in judge.result().findings}


# -- missing from what a node lists of all ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        pytest.param([(ONE, [A]), (ALL, [A]), (ONE, [A])], [], id="there"),
        pytest.param([(ONE, [A]), (ALL, [B]), (ONE, [A])], [("identity.present", A)], id="missing on the same node"),
        pytest.param(
            [(ONE, [A]), (ALL_OF_TWO, [B]), (ONE, [A])], [("cluster.union", A)], id="a node that has listed nothing yet"
        ),
        pytest.param(
            [(TWO, [C]), (ONE, [A]), (ALL_OF_TWO, [C]), (ONE, [A])],
            [("cluster.union", A)],
            id="missing on another node",
        ),
        pytest.param([(ONE, [A]), (ALL, [B, UNSOUND]), (ONE, [A])], [], id="one sample is not sound: it may be that"),
        pytest.param([(ONE, [A]), (ALL, []), (ONE, [A])], [("identity.present", A)], id="an empty listing"),
        pytest.param([(ONE, [A]), (ALL, [B])], [], id="it may have left"),
        pytest.param([(ALL, [B]), (ONE, [A])], [], id="it may have come"),
    ],
)
def test_what_a_node_lists_of_itself_is_in_what_is_listed_of_all(
    steps: Sequence[Step], missing: list[tuple[str, str]]
) -> None:
    """Before it was asked for, and after it had arrived."""
    assert [each for each in names(*steps) if each != ("cluster.once", C)] == missing


@pytest.mark.parametrize(
    ("ids", "missing"),
    [([A, B], []), ([A], [B]), ([], [A, B]), ([A, UNSOUND], []), ([UNSOUND], [])],
)
def test_a_client_has_all_of_its_connections(ids: list[str], missing: list[str]) -> None:
    """Where each sample of the response is sound; else the one that is missing may be the one that is not."""
    found = names((ONE, [A, B]), (ask_client(), ids), (ONE, [A, B]), nodes=())
    assert sorted(found) == [("identity.present", each) for each in sorted(missing)]


def test_another_client_s_connections_are_not_missed() -> None:
    """Only those that were listed for this client and this channel."""
    steps: tuple[Step, ...] = ((ONE, [A]), (ask_client("somebody else"), []), (ONE, [A]))
    assert names(*steps, nodes=()) == []


def test_a_response_that_has_it_was_checked_as_well() -> None:
    """Between two listings, each once."""
    _, checked = told((ONE, [A, B]), (ask_client(), [A, B]), (ONE, [A, B]), (ONE, [A, B]), nodes=())
    assert checked["identity.present"] == 2
    _, checked = told((ONE, [A]), (ALL, [A]), (ONE, [A]), (ALL, [A]), (ONE, [A]))
    assert checked["identity.present"] == 2
    _, checked = told((ONE, [A]), (ask_client(), [A]), nodes=())
    assert checked["identity.present"] == 0


def test_the_proof_of_a_gap() -> None:
    """The listing before, the response that lacks it, the listing after; the node is named."""
    (found,), _ = told((ONE, [A]), (ONE, [A]), (ALL, [B]), (ONE, [A]))
    assert [each.seq for each in found.exchanges] == [0, 2, 3]
    assert found.expected == f"listed by {SERVER}"


def test_a_connection_that_was_asked_for_by_its_id_is_missing() -> None:
    """By an empty error, and not where the response is about another one."""
    talk = Talk()
    for place, (request, body, status) in enumerate(
        (
            (ONE, [connection(A), connection(B)], 200),
            (ask(A), {"error_type": "NotFound"}, 400),
            (ask(B), {"error": "NotFound"}, 400),
            (ONE, [connection(A), connection(B)], 200),
        )
    ):
        talk.add(request, 10 * place * MS, (10 * place + 5) * MS, body, status=status)
    talk.end()
    found = [each for each in talk.findings if each.requirement == "identity.present"]
    assert [each.connection_id for each in found] == [A]


def test_a_listing_with_a_sample_that_is_not_sound_lacks_nothing_for_certain() -> None:
    """The sample without a sound connection_id may be the very connection that was found before and after."""
    talk = Talk()
    unsound = connection() | {"connection_id": 7}
    steps: list[tuple[Request, object]] = [(ask(A), connection(A)), (ALL, [unsound]), (ask(A), connection(A))]
    for place, (request, body) in enumerate(steps):
        talk.add(request, 10 * place * MS, (10 * place + 5) * MS, body)
    assert talk.end().checked["identity.listed"] == 0
    assert "identity.listed" not in {each.requirement for each in talk.findings}


def test_at_the_end_of_a_run_nobody_is_forgotten() -> None:
    """A live judge may be finished, and told more: what was listed before still counts."""
    talk = Talk()
    talk.add(ONE, 0, 10, [connection(A)])
    talk.end()
    talk.add(ask(A), 20, 30, {"error_type": "NotFound"}, status=400)
    talk.add(ONE, 40, 50, [connection(A, MS)])
    assert talk.told() == ["identity.present"]


def test_one_node_is_no_cluster() -> None:
    """Where it is the only one that was named, others may have what it does not list of itself."""
    steps: list[Step] = [(ALL, (A,)), (ONE, ()), (ALL, (A,))]
    assert [each.requirement for each in told(*steps, (TWO, ()), (ALL, (A,)), nodes=(SERVER,))[0]] == []


@pytest.mark.parametrize(("overlapping", "checked"), [(3, 1), (4, 0)])
def test_of_each_node_the_last_four_listings_are_remembered(overlapping: int, checked: int) -> None:
    """One lies between two listings of all, those after it overlap the second."""
    listings = ClusterListings([SERVER])
    listings.add_cluster_listing(exchange(0, 0, 1), ("a",))
    listings.add_node_listing(exchange(1, 2, 3), ("b",))
    for step in range(overlapping):
        listings.add_node_listing(exchange(2 + step, 10 + step, 40 + step), ("a",))
    strays = listings.add_cluster_listing(exchange(9, 30, 50), ("a",))
    assert (len(strays), listings.union_checked) == (checked, checked)
