"""
What a judge makes of mutants: which it kills, which survive, and what it says besides.

A mutant is killed where everything declared is found. A MUST finding that was not declared is collateral, and counts as
a failure: who is told of two faults where there is one looks in the wrong place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sora_stats_harness.api.edition import Edition
from sora_stats_harness.judge.requirements import REQUIREMENTS, Level

from . import crossed, judged
from .mutants import Mutant, ceiling


@dataclass(kw_only=True)
class Score:
    """What became of some mutants."""

    mutants: int = 0
    equivalent: int = 0
    killed: int = 0
    survivors: list[str] = field(default_factory=list)
    collateral: list[str] = field(default_factory=list)


def found(edition: Edition, mutant: Mutant) -> dict[tuple[str, str], Level]:
    """Every requirement and field that a judge finds missed with at least HABIT, and how badly."""
    judge, heard = judged.listen(edition, nodes=mutant.nodes, tear_s=mutant.tear_s)
    exchanges = sorted((shot.exchange for shot in mutant.shots), key=lambda one: (one.received_ns, one.seq))
    judged.replay(judge, exchanges, horizon=True)
    judge.finish()
    crashed = judge.result().crashed
    assert not crashed, f"{mutant.name}: {crashed}"
    levels: dict[tuple[str, str], Level] = {}
    for finding in heard.findings:
        key = (finding.requirement, finding.field)
        levels[key] = max(levels.get(key, Level.INFO), finding.level)
    return {key: level for key, level in levels.items() if level > Level.INFO}


def judge_all(edition: Edition, population: Iterable[Mutant]) -> dict[str, Score]:
    """Judge mutants; the scores by operator."""
    scores: dict[str, Score] = {}
    for mutant in population:
        score = scores.setdefault(mutant.operator, Score())
        score.mutants += 1
        levels = found(edition, mutant)
        extra = sorted(key for key, level in levels.items() if level is Level.MUST and key not in mutant.declared)
        if extra:
            score.collateral.append(f"{mutant.name}: {extra[0][0]} {extra[0][1]}")
        if not mutant.declared:
            score.equivalent += 1
        elif mutant.declared <= levels.keys():
            score.killed += 1
        else:
            missing = sorted(mutant.declared - levels.keys())[0]
            score.survivors.append(f"{mutant.name}: {missing[0]} {missing[1]}")
    return scores


def failures(scores: dict[str, Score]) -> list[str]:
    """What must not be: survivors and collateral findings by name, and operators with too many equivalents."""
    found_ = []
    for operator, score in scores.items():
        found_ += [f"survived: {name}" for name in score.survivors]
        found_ += [f"collateral: {name}" for name in score.collateral]
        if score.equivalent > ceiling(operator):
            found_.append(f"{operator}: {score.equivalent} equivalents, and at most {ceiling(operator)} are allowed")
    return found_


def table(scores: dict[str, Score]) -> list[str]:
    """The scores as a table in Markdown."""
    lines = [
        "| operator | mutants | equivalent | at most | killed | survivors | collateral |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    totals = Counter[int]()
    for operator, score in scores.items():
        row = (
            score.mutants,
            score.equivalent,
            ceiling(operator),
            score.killed,
            len(score.survivors),
            len(score.collateral),
        )
        totals.update(dict(enumerate(row)))
        lines.append(f"| {operator} | " + " | ".join(f"{number:,}" for number in row) + " |")
    lines.append("| **all** | " + " | ".join(f"{totals[column]:,}" for column in range(6)) + " |")
    return lines


def of_level(level: Level) -> set[str]:
    """The requirements of a level."""
    return {rule.id for rule in REQUIREMENTS.values() if rule.level is level}


def judge_crossings(edition: Edition, crossings: Iterable[Mutant]) -> list[str]:
    """What is wrong with what a judge makes of two defects at once: a MUST that is lost, or one too many, by name."""
    wrong = []
    for mutant in crossings:
        judge, heard = judged.listen(edition, nodes=mutant.nodes, tear_s=mutant.tear_s)
        exchanges = sorted((shot.exchange for shot in mutant.shots), key=lambda one: (one.received_ns, one.seq))
        judged.replay(judge, exchanges, horizon=True)
        judge.finish()
        result = judge.result()
        assert not result.crashed, f"{mutant.name}: {result.crashed}"
        found_ = {(finding.requirement, finding.field): finding.level for finding in heard.findings if finding.level}
        wrong += [f"lost: {mutant.name}: {' '.join(key)}" for key in mutant.declared - found_.keys()]
        musts = {key for key, level in found_.items() if level is Level.MUST}
        wrong += [f"too many: {mutant.name}: {' '.join(key)}" for key in musts - mutant.declared]
        unused = crossed.uncountable(edition, mutant.shots) & set(result.coverage.never_grew)
        wrong += [f"said never to have moved: {mutant.name}: {field}" for field in unused]
    return wrong
