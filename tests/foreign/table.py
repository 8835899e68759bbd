"""The foreign server in full: many that are correct, and each fault, with the time until it was found."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from .faults import FAULTS
from .running import run_on_foreign_server

CORRECT: Final[tuple[dict[str, Any], ...]] = (  # Any: as Manners
    {},
    {"stamp_first": False},
    {"late_s": 0.3},
    {"late_s": 0.3, "stamp_first": False, "changes_per_s": 5},
    {"nodes": 2, "step_s": 0.4},
    {"nodes": 2, "step_s": 0.4, "stamp_first": False, "late_s": 0.3, "connections": 12},
    {"connections": 40, "packets_per_s": 8000, "listing_s": 0.2},
    {"connections": 2, "packets_per_s": 5, "changes_per_s": 0.2},
)


def correct_lines(seeds: Iterable[int]) -> Iterator[str]:
    """Every kind of correct server, through both commands; raises AssertionError where anything is found."""
    samples = runs = 0
    for seed in seeds:
        for manners in CORRECT:
            for command in ("conform", "load"):
                with tempfile.TemporaryDirectory() as folder:
                    outcome = run_on_foreign_server(command, "none", Path(folder), manners=manners | {"seed": seed})
                found = outcome.requirements("MUST", "PROVEN", "HABIT")
                assert not found, f"{command}, seed {seed}, {manners}: {', '.join(sorted(found))}"
                samples += outcome.verdict["coverage"]["samples"]
                runs += 1
    yield (
        f"- {runs:,} runs on {len(CORRECT)} kinds of correct servers whose counters threads move one by one, which put a "
        f"listing together over up to 200 ms, stamp samples before or after they read them, respond up to 300 ms late, "
        f"whose connections and labels come and go, whose two nodes' clocks are 30 ms apart, slewed, and set forward and "
        f"back by 400 ms: {samples:,} samples. MUST, PROVEN or HABIT findings: 0."
    )


def fault_lines(names: Iterable[str]) -> Iterator[str]:
    """Each fault by itself; raises AssertionError where one is not found, or one that nobody can tell is."""
    yield "| fault | command | found as | after |"
    yield "| --- | --- | --- | ---: |"
    for name in names:
        planted = FAULTS[name]
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_on_foreign_server(planted.command, name, Path(folder))
        found = outcome.requirements("MUST", "PROVEN", "HABIT")
        row = f"| {name.replace('-', ' ')} | {planted.command} |"
        if not planted.found_by:
            assert not found, f"{name}: {', '.join(sorted(found))}"
            yield f"{row} nobody can tell | |"
            continue
        assert found & set(planted.found_by), f"{name}: found are only {', '.join(sorted(found)) or 'none'}"
        named = ", ".join(f"`{id_}`" for id_ in planted.found_by if id_ in found)
        yield f"{row} {named} | {outcome.found_after_s or 0:.2f} s |"
