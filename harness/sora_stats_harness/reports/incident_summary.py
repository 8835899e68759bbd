"""Texts about incidents that all reports share."""

from __future__ import annotations

from collections import Counter

from ..judge.verdict import FindingEntry, Incident, Verdict
from . import summary


def incidents_title(verdict: Verdict) -> str:
    """A title with the number of recognised causes."""
    return f"Cause{'' if len(verdict.incidents) == 1 else 's'} recognised: {len(verdict.incidents)}"


def incidents_by_weight(verdict: Verdict) -> list[Incident]:
    """
    The incidents in order: first those without findings, then by the highest level of the findings that each explains.
    """
    places = {entry.fingerprint: place for place, entry in enumerate(verdict.findings, start=1)}
    return sorted(verdict.incidents, key=lambda each: min((places.get(name, 0) for name in each.explains), default=0))


def incident_note(verdict: Verdict) -> str:
    """How many findings are below an incident; empty if none is."""
    count = len(summary.explained_fingerprints(verdict))
    return f"{summary.count_with_noun(count, 'finding')} explained by the causes above" if count else ""


def incident_findings(verdict: Verdict, incident: Incident) -> list[tuple[int, FindingEntry]]:
    """The findings that an incident explains, each with its number among all findings."""
    explained = set(incident.explains)
    return [(place, each) for place, each in enumerate(verdict.findings, start=1) if each.fingerprint in explained]


def incident_facts(verdict: Verdict, incident: Incident) -> list[tuple[str, str]]:
    """The facts below an incident's sentence: a label and a line each."""
    members = incident_findings(verdict, incident)
    rows = []
    if members:
        counts = Counter(f"{entry.requirement} ({entry.level})" for _, entry in members)
        kinds = ", ".join(f"{count:,} {requirement}" for requirement, count in counts.items())
        rows.append(("explains", f"{summary.count_with_noun(len(members), 'finding')}: {kinds}"))
        first = members[0][1]
        if {entry.requirement for _, entry in members} == {first.requirement}:
            rows += [("expected", first.expected), ("actual", first.actual)]
    if incident.exchanges:
        rows.append(("proof", "exchanges " + " and ".join(f"{run}/{seq}" for run, seq in incident.exchanges)))
    if evidence := next((each for _, entry in members for each in entry.evidence), ""):
        rows.append(("evidence", evidence))
    rows.append(("do", incident.advice))
    if command := next((entry.reproduce for _, entry in members if entry.reproduce), ""):
        rows.append(("reproduce", command))
    return rows
