"""A user's own checks: the one of docs/CHECKS.md, and files that have none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from sora_stats_harness.api import edition
from sora_stats_harness.api.errors import UsageError
from sora_stats_harness.api.exchange import Target
from sora_stats_harness.judge.check import Check, Observed, Violation
from sora_stats_harness.judge.checks import load_user_checks
from sora_stats_harness.judge.evidence import EvidenceExchange
from sora_stats_harness.judge.pipeline import Judge
from sora_stats_harness.judge.requirement import Finding, Level, RequiredCapability, Requirement
from sora_stats_harness.judge.state import State
from sora_stats_harness.judge.verdict_decision import RunScope, decide_verdict

from .test_pipeline import ASK, CONNECTION, LIST, response, sample

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "CHECKS.md"
ID: Final = "mine.rtx_within_rtp"
SCOPE: Final = RunScope(observes=frozenset(RequiredCapability))


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The file that the documentation shows."""
    (text,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in text.splitlines() if line]) <= 25
    path = tmp_path / "my_rules.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_documented_check_finds_what_it_is_about(rules: Path) -> None:
    """Its requirement has a row in the verdict, its finding the words of the row; the server's own are as before."""
    heard: list[Finding] = []
    judge = Judge(edition.load_edition(), on_finding=heard.append, checks=load_user_checks(rules))
    judge.begin_exchange(ASK).complete(response(sample(rtp__total_received_rtp_rtx=0)))
    judge.begin_exchange(ASK).complete(response(sample(rtp__total_received_rtp_rtx=10**9)))
    mine = [finding for finding in heard if finding.requirement == ID]
    assert [(each.field, each.message, each.level) for each in mine] == [
        (
            "/rtp/total_received_rtp_rtx",
            "rtp.total_received_rtp_rtx exceeds the number of all packets",
            Level.HABIT,
        )
    ]
    result = judge.result()
    assert result.checked[ID] == 2
    decision = decide_verdict(result, SCOPE)
    assert [(row.status, row.violated_level, row.violations) for row in decision.requirements if row.id == ID] == [
        ("violated", "HABIT", 1)
    ]


def test_a_value_that_cannot_be_used_is_not_checked(rules: Path) -> None:
    """A counter that is absent, or a string, makes the rule unobserved, never passed."""
    judge = Judge(edition.load_edition(), checks=load_user_checks(rules))
    judge.begin_exchange(ASK).complete(response(sample(rtp__total_received_rtp_rtx="1")))
    assert judge.result().checked[ID] == 0
    decision = decide_verdict(judge.result(), SCOPE)
    assert [row.status for row in decision.requirements if row.id == ID] == ["not_checked"]


def test_a_body_from_a_file_is_checked_too(rules: Path) -> None:
    """The rule needs nothing but a body."""
    judge = Judge(edition.load_edition(), checks=load_user_checks(rules))
    body = json.dumps(sample(rtp__total_received_rtp_rtx=10**9)).encode()
    judge.judge_bare_body(Target.CONNECTION, body, "body.json")
    assert ID in {entry.requirement for entry in judge.result().findings}


def test_a_check_that_crashes_leaves_the_others_alone(tmp_path: Path) -> None:
    """Only its own requirement is marked, also where it raises in the middle of its violations."""
    path = tmp_path / "rules.py"
    path.write_text(
        "from sora_stats_harness.judge.checks import Check, Level, Requirement\n"
        "class Broken(Check):\n"
        "    requirements = (Requirement(id='mine.broken', level=Level.MUST, title='', reason='', source=''),)\n"
        "    def observe(self, seen, state):\n"
        "        yield from ()\n"
        "        raise RuntimeError('oh')\n"
        "    def finish(self, state):\n"
        "        raise RuntimeError('again')\n",
        encoding="utf-8",
    )
    heard: list[Finding] = []
    judge = Judge(edition.load_edition(), on_finding=heard.append, checks=load_user_checks(path))
    judge.begin_exchange(ASK).complete(response(sample(dtls__total_received_dtls=12)))
    judge.begin_exchange(ASK).complete(response(sample(dtls__total_received_dtls=11)))
    judge.finish()
    assert judge.result().crashed == {"mine.broken": "RuntimeError: oh"}
    assert [each.requirement for each in heard if each.level is Level.MUST] == ["counter.monotonic"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "defines no check"),
        ("1 +", "can't be run: SyntaxError"),
        ("raise ValueError('no')", "can't be run: ValueError: no"),
        ("CHECK('http.json')", "'http.json' is taken"),
        ("CHECK('rule')", "must have a family"),
    ],
)
def test_a_file_without_a_sound_check_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """In one line, before anything is sent."""
    path = tmp_path / "rules.py"
    row = "Requirement(id={}, level=Level.MUST, title='', reason='', source='')"
    made = re.sub(
        r"CHECK\((.*)\)", lambda found: f"class Rule(Check):\n    requirements = ({row.format(found[1])},)", text
    )
    path.write_text(f"from sora_stats_harness.judge.checks import *\n{made}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(said)):
        load_user_checks(path)


def test_checks_that_a_file_only_imports_are_not_its_own(tmp_path: Path) -> None:
    """It may inherit from one of another module, and name it."""
    path = tmp_path / "rules.py"
    path.write_text(
        "from sora_stats_harness.judge.checks import Level, Requirement\n"
        "from sora_stats_harness.judge.checks.identity import FormCheck\n"
        "class Mine(FormCheck):\n"
        "    requirements = (Requirement(id='mine.form', level=Level.MUST, title='', reason='', source=''),)\n",
        encoding="utf-8",
    )
    assert [type(each).__name__ for each in load_user_checks(path)] == ["Mine"]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As is one that is no Python file."""
    for name in ("missing.py", "rules.txt"):
        with pytest.raises(UsageError, match=re.escape(name)):
            load_user_checks(tmp_path / name)


MIXED: Final = Requirement(id="mine.mixed", level=Level.HABIT, title="", reason="", source="")


class Mixed(Check):
    """Accuses each single connection in two ways: alone, and by the listing."""

    requirements = (MIXED,)

    def __init__(self) -> None:
        self._listing: tuple[EvidenceExchange, ...] = ()

    def observe(self, seen: Observed, state: State) -> Iterable[Violation]:
        """See the class."""
        if seen.exchange.request.target is Target.ALL:
            self._listing = (seen.evidence,)
            return
        for name, proof in (("alone", ()), ("listed", (*self._listing, seen.evidence))):
            yield Violation(
                requirement=MIXED,
                exchange=seen.evidence,
                expected="",
                actual="",
                fault="",
                field=(name,),
                connection_id=CONNECTION,
                proof=proof,
            )


def test_a_violation_counts_for_the_response_that_proves_it_whatever_stood_before_it() -> None:
    """One without a proof is compared with the connection's last response; the next one has a proof of its own."""
    judge = Judge(edition.load_edition(), checks=(Mixed(),))
    judge.begin_exchange(LIST).complete(response([sample()]))
    judge.begin_exchange(ASK).complete(response(sample()))
    judge.begin_exchange(ASK).complete(response(sample()))
    judge.finish()
    compared = {entry.field: entry.compared for entry in judge.result().findings if entry.requirement == MIXED.id}
    assert compared["/listed"] == {Target.ALL.operation: 2}
    assert compared["/alone"] == {Target.ALL.operation: 1, Target.CONNECTION.operation: 1}
