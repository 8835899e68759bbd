"""
Writes and reads the evidence of findings: a small recording for each.

A report that says "this counter fell" has to prove it with both responses, byte for byte; for a listing, with the
connection's own bytes, and the length and hash of the whole. Evidence is in the format of recordings. So `sora-harness
check evidence/001-counter.monotonic.jsonl` judges it again and reaches the same finding, and whatever recordings leave
out (secrets, unknown headers) is left out here as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ..api.errors import UsageError
from ..api.exchange import Exchange
from ..api.input_budget import MAX_EVIDENCE_BYTES, read_small_file
from ..api.secret_redaction import NO_SECRETS, Secrets
from ..judge.verdict import FindingEntry, Verdict
from ..recording import format as lines
from .escaping import safe_file_name

EVIDENCE_FOLDER: Final = "evidence"


def name_evidence_files(entries: Iterable[FindingEntry], evidence: Mapping[str, Sequence[Exchange]]) -> None:
    """
    Give each finding that has evidence the name of its file; the judge has bounded the size of evidence.

    The names use a fixed alphabet, are relative to verdict.json, and go into `entry.evidence`.
    """
    for place, entry in enumerate(entries, start=1):
        name = f"{EVIDENCE_FOLDER}/{place:03}-{safe_file_name(entry.requirement)}.jsonl"
        entry.evidence = [name] if evidence.get(entry.fingerprint) else []


def redact_exchanges(exchanges: Sequence[Exchange], secrets: Secrets) -> tuple[Exchange, ...]:
    """The exchanges as read from a recording: without secrets, and without the values of unknown headers."""
    return tuple(
        lines.line_to_exchange(lines.exchange_to_line(exchange, secrets), exchange.run) for exchange in exchanges
    )


def encode_evidence(verdict: Verdict, exchanges: Sequence[Exchange]) -> bytes:
    """
    Encode redacted exchanges as a complete recording.

    Raises:
        ValueError: There are no exchanges.
    """
    if not exchanges:
        raise ValueError("evidence needs at least one exchange")
    runs = list(dict.fromkeys(exchange.run for exchange in exchanges))
    # Several recordings may have been judged together, but a finding's evidence is of one run, since runs are never
    # compared.
    run = runs[-1]
    header = lines.RecordingHeader(
        format=lines.RECORDING_FORMAT,
        run=run,
        subject_kind=verdict.subject_kind,
        subject=verdict.subject,
        edition=verdict.edition,
        harness_version=verdict.harness_version,
    )
    own = [exchange for exchange in exchanges if exchange.run == run]
    errors = sum(exchange.error is not None for exchange in own)
    end = lines.RecordingEnd(end=run, sent=len(own), judged=len(own) - errors, errors=errors, abandoned=0)
    return b"".join(
        (
            lines.encode_line(header),
            *(lines.encode_line(lines.exchange_to_line(exchange, NO_SECRETS)) for exchange in own),
            lines.encode_line(end),
        )
    )


def decode_evidence(data: bytes) -> tuple[Exchange, ...]:
    """
    Read an evidence file.

    Raises:
        ValueError: A line is damaged.
    """
    run = ""
    exchanges = []
    for text in data.split(b"\n"):
        if not text:
            continue
        line = lines.decode_line(text)
        if isinstance(line, lines.RecordingHeader):
            run = line.run
        elif isinstance(line, lines.RecordedExchange):
            exchanges.append(lines.line_to_exchange(line, run))
    return tuple(exchanges)


def read_evidence_folder(folder: Path, verdict: Verdict) -> dict[str, tuple[Exchange, ...]]:
    """
    Read the evidence beside a verdict.json, by fingerprint.

    Files that are missing, damaged, or have an unexpected name are skipped: a report can do without them.
    """
    found = {}
    for entry in verdict.findings:
        for name in entry.evidence:
            own, _, rest = name.partition("/")
            if own != EVIDENCE_FOLDER or safe_file_name(rest) != rest:
                continue
            try:
                data = read_small_file(folder / EVIDENCE_FOLDER / rest, limit=MAX_EVIDENCE_BYTES, name=name)
                found[entry.fingerprint] = decode_evidence(data)
            except (UsageError, ValueError):
                continue
    return found
