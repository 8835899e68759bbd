"""
Recognises the one cause behind many findings: a restart, a stale cache, a gateway's error page.

Rules run after all checks and change no status. A finding belongs to at most one incident, that of the first rule.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from statistics import median
from typing import Final

from ..api.exchange import TARGET_HEADER, TARGET_OF_OPERATION, Exchange, Request, header_values
from .checks.clock import FROZEN, OFFSET
from .checks.clock import ORDER as CLOCK_ORDER
from .checks.cluster import UNION
from .checks.http import COMPLETE, CONTENT_TYPE, STATUS, VIOLATING_ERRORS_AFTER_RESPONSE
from .checks.identity import ASKED, CLIENT
from .checks.monotonic import MONOTONIC
from .checks.presence import LISTED, PRESENT
from .checks.shape import GROUP, REQUIRED, TYPE, UNDOCUMENTED, UNKNOWN
from .incident_evidence import IncidentEvidence, cache_headers, is_page, is_repeated, is_stamped_earlier
from .lone_targets import compared_targets, find_lone_counter_target, find_lone_targets
from .shared_faults import group_shared_faults
from .verdict import FindingEntry, Incident

MIN_FALLEN_FIELDS: Final = 20
"""How many different counters must fall at once to suggest a restart; a connection has some 300."""

MIN_OCCURRENCES: Final = 3
"""How often a target must be wrong, and the others right, before it counts as the only one."""

MAX_NAMES_CHARACTERS: Final = 80
"""How long the names of one to three fields may be: reports cut long sentences, which would hide how many there are."""

GATEWAY_STATUSES: Final = {
    401: "it asks for credentials",
    403: "it forbids the request",
    405: "it forbids the method",
    407: "it asks for credentials",
    413: "the request is too large for it",
    429: "it limits the rate",
    502: "it gets no valid response from the server behind it",
    503: "it has no server behind it",
    504: "the server behind it did not respond in time",
}
"""Statuses that the API itself never uses, and what a gateway means by them."""

_GATEWAY_ADVICE: Final = (
    "Compare the URL and the headers (--url, -H) with what the gateway expects, or ask the server without the gateway."
)

_SIGNS_OF_OLD_RESPONSES: Final = (CLOCK_ORDER.id, FROZEN.id, OFFSET.id, MONOTONIC.id, PRESENT.id, LISTED.id)

MIN_SAMPLE_BYTES: Final = 200
"""A body of this size contains a sample, and so a timestamp: the next response must have other bytes."""

MIN_STALE_FIELDS: Final = 3
"""How many different counters must fall in samples whose timestamp goes back; in an old sample most moving ones do."""

WRAP: Final = 2**32
MAX_WRAP_DISTANCE: Final = 2**28
"""How far from 2^32 or 0 the samples around a wrap may be."""

_Rule = Callable[[IncidentEvidence], Iterable[Incident]]


def recognize_incidents(evidence: IncidentEvidence) -> list[Incident]:
    """Apply every rule; findings that one explains are hidden from later rules."""
    found: list[Incident] = []
    for rule in _RULES:
        for incident in rule(evidence):
            found.append(incident)
            evidence.explained.update(incident.explains)
    return found


def _incident(
    id: str, summary: str, advice: str, explained: Iterable[FindingEntry], exchanges: Sequence[tuple[str, int]] = ()
) -> Incident:
    entries = list(explained)
    proof = exchanges or next((entry.exchanges for entry in entries if entry.exchanges), [])
    shown = [proof[0], proof[-1]] if len(proof) > 1 else list(proof)
    return Incident(
        id=id, summary=summary, advice=advice, explains=[each.fingerprint for each in entries], exchanges=shown
    )


def _occurrences(entries: Iterable[FindingEntry]) -> int:
    return sum(entry.count for entry in entries)


def _times(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _name_fields(paths: Collection[str]) -> str:
    names = [path.lstrip("/").replace("/", ".") for path in sorted(paths)]
    shown = max(
        1, sum(len(", ".join(names[:count])) <= MAX_NAMES_CHARACTERS for count in (1, 2, 3) if count <= len(names))
    )
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more" if more else "")


def _target_outage(seen: IncidentEvidence) -> Iterator[Incident]:
    """One target fails while the others respond."""
    entries = [each for each in seen.findings(COMPLETE.id, STATUS.id) if _is_failure(each, seen)]
    targets = {entry.target for entry in entries}
    count = _occurrences(entries)
    if len(targets) != 1 or count < MIN_OCCURRENCES:
        return
    (target,) = targets
    others = compared_targets(target, entries) if target is not None else []
    responded = sum(entry.compared.get(each, 0) for entry in entries for each in others)
    if target is None or responded < MIN_OCCURRENCES:
        return  # the others were not requested meanwhile
    yield _incident(
        "target-outage",
        f"{target} alone failed: {_times(count, 'request')} without a usable response, while {' and '.join(others)} "
        "responded.",
        f"Look at what {target} needs on the server that the other targets do not; repeat the request below.",
        entries,
    )


def _is_failure(entry: FindingEntry, seen: IncidentEvidence) -> bool:
    return entry.requirement == COMPLETE.id or (seen.status(entry) or 0) >= 500


def _redirect(seen: IncidentEvidence) -> Iterator[Incident]:
    """The server redirects requests; redirects are never followed."""
    entries = [each for each in seen.findings(STATUS.id) if 300 <= (seen.status(each) or 0) < 400]
    if not entries:
        return
    exchange = seen.last(entries[0])
    response = exchange.response if exchange is not None else None
    place = (response.header("location") if response is not None else None) or "a place that it does not name"
    status = seen.status(entries[0])
    yield _incident(
        "redirect",
        f"{_times(_occurrences(entries), 'request')} got {status}, a redirect to {place[:200]}.",
        "Give the URL that the redirect leads to, if that is the API; redirects are never followed.",
        [*entries, *_same_page(seen, {status})],
    )


def _gateway_page(seen: IncidentEvidence) -> Iterator[Incident]:
    """A gateway in front of the server responds in its place."""
    pages: dict[int, list[FindingEntry]] = {}
    for entry in [*seen.findings(STATUS.id, CONTENT_TYPE.id), *seen.family("request")]:
        status = seen.status(entry)
        page = entry.target is not None and is_page(seen.last(entry))
        if status is not None and (status in GATEWAY_STATUSES or page):
            pages.setdefault(status, []).append(entry)
    for status, entries in pages.items():
        count = _occurrences(each for each in entries if each.target is None) + max(
            _occurrences(each for each in entries if each.requirement == row.id) for row in (STATUS, CONTENT_TYPE)
        )
        why = GATEWAY_STATUSES.get(status, "its body is a page for people")
        targets = {entry.target for entry in entries}
        about = (
            f" of {_targets_of([entries])}"
            if None not in targets and targets < seen.result.coverage.by_target.keys()
            else ""
        )
        yield _incident(
            "gateway-page",
            f"A gateway responded {status} to {_times(count, 'request')}{about}: {why}.",
            _GATEWAY_ADVICE,
            [*entries, *_same_page(seen, {status}, besides=entries)],
        )


def _same_page(
    seen: IncidentEvidence, statuses: Collection[int | None], besides: Sequence[FindingEntry] = ()
) -> list[FindingEntry]:
    """Other findings about responses with the same status: their bodies, and requests that are wrong on purpose."""
    known = {entry.fingerprint for entry in besides}
    return [
        entry
        for entry in seen.findings()
        if entry.requirement.startswith(("http.", "request."))
        and entry.requirement != STATUS.id
        and entry.fingerprint not in known
        and seen.status(entry) in statuses
        and (seen.status(entry) != 200 or is_page(seen.last(entry)))
    ]


def _two_servers(seen: IncidentEvidence) -> Iterator[Incident]:
    """Listings without a common connection alternate."""
    for change in seen.result.listing_changes:
        if change.alternations:
            yield _incident(
                "two-servers",
                f"Several servers respond at {change.server}: listings without a common connection took turns "
                f"{_times(change.alternations, 'time')}.",
                "Name each server with --node, or ask one of them by its own URL.",
                [
                    *seen.findings(PRESENT.id, LISTED.id, UNION.id, OFFSET.id, CLOCK_ORDER.id),
                    *seen.findings(MONOTONIC.id),
                ],
                change.exchanges,
            )


def _cache_key(seen: IncidentEvidence) -> Iterator[Incident]:
    """A response has the bytes of the response to another request."""
    by_body: dict[str, list[Exchange]] = {}
    for proof in seen.proof.values():
        for exchange in proof:
            if exchange.response is not None and exchange.response.body_length >= MIN_SAMPLE_BYTES:
                by_body.setdefault(exchange.response.body_sha256, []).append(exchange)
    mistaken = [
        *seen.findings(ASKED.id, CLIENT.id),
        *(each for each in seen.findings(TYPE.id) if not each.field),
        *(each for each in seen.family("request") if seen.status(each) == 200),
    ]
    for entry in mistaken:
        wrong = seen.last(entry)
        if wrong is None or wrong.response is None:
            continue
        same = by_body.get(wrong.response.body_sha256, ())
        unlike = {id(each): _differing_parts(each.request, wrong.request) for each in same}
        other = next((each for each in same if unlike[id(each)]), None)
        if other is None:
            continue
        pair = sorted((other, wrong), key=lambda each: each.received_ns)
        yield _incident(
            "cache-key",
            f"A cache responds to one request with its response to another: they differ in {unlike[id(other)]}, and "
            f"got the same {wrong.response.body_length:,} bytes.",
            "Turn off caching (proxy_cache, a CDN) for this URL: the target stands in a header and the arguments in "
            "the body, which a cache's key does not have by itself.",
            [*mistaken, *seen.findings(*_SIGNS_OF_OLD_RESPONSES)],
            [each.key for each in pair],
        )
        return


def _differing_parts(one: Request, other: Request) -> str:
    """The parts in which two requests differ and on which the response depends; empty if there is none."""
    targets = [header_values(request.headers, TARGET_HEADER) for request in (one, other)]
    parts = (
        ("the method", one.method != other.method),
        (f"the header {TARGET_HEADER}", targets[0] != targets[1]),
        ("the body", (one.body or b"") != (other.body or b"")),
    )
    return " and ".join(name for name, unlike in parts if unlike)


def _stale_cache(seen: IncidentEvidence) -> Iterator[Incident]:
    """Responses are old: samples repeat, a cache's headers say so, or counters fall as the timestamp goes back."""
    entries = seen.findings(CLOCK_ORDER.id, FROZEN.id)
    stale = [each for each in entries if is_repeated(seen.proof.get(each.fingerprint, ()), each.connection_id)]
    if not stale:
        stale = _falls_in_old_samples(seen)
        if not entries or len({each.field for each in stale}) < MIN_STALE_FIELDS:
            return
    targets = sorted({entry.target for entry in entries if entry.target})
    headers = next((text for entry in stale if (text := cache_headers(seen.proof[entry.fingerprint]))), "")
    connections = max(entry.connections for entry in entries)
    later = [
        entry
        for entry in seen.findings(MONOTONIC.id, PRESENT.id, LISTED.id, OFFSET.id)
        if entry.target in targets or entry.requirement in (PRESENT.id, OFFSET.id)
    ]
    yield _incident(
        "stale-cache",
        f"Responses of {_targets_of([entries])} are stale: they show what was before, on "
        f"{_times(connections, 'connection')}{f' ({headers})' if headers else ''}.",
        "Turn off caching (proxy_cache, a CDN) for this URL: a cache in front of POST requests repeats old statistics.",
        [*entries, *later],
        stale[0].exchanges,
    )


def _falls_in_old_samples(seen: IncidentEvidence) -> list[FindingEntry]:
    """Falls from one sample to another that is stamped earlier."""
    by_pair: defaultdict[tuple[object, ...], list[FindingEntry]] = defaultdict(list)
    for entry in seen.findings(MONOTONIC.id):
        by_pair[(*map(tuple, entry.exchanges), entry.connection_id)].append(entry)
    return [
        entry
        for entries in by_pair.values()
        if is_stamped_earlier(seen.proof.get(entries[0].fingerprint, ()), entries[0].connection_id)
        for entry in entries
    ]


def _counter_wrap(seen: IncidentEvidence) -> Iterator[Incident]:
    """Counters wrap at 2^32; after a restart, few of the counters that fall would have been so close to it."""
    falls = seen.findings(MONOTONIC.id)
    wrapped = [entry for entry in falls if _has_wrapped(entry)]
    if not wrapped or 2 * len(wrapped) < len(falls):
        return
    fields = {entry.field for entry in wrapped}
    what = (
        "counter began again at 0 after 2^32: it has"
        if len(fields) == 1
        else "counters began again at 0 after 2^32: they have"
    )
    yield _incident(
        "counter-wrap",
        f"{len(fields):,} {what} 32 bits ({_name_fields(fields)}).",
        "Give these counters 64 bits on the server: whoever subtracts two samples takes a wrap for a restart.",
        wrapped,
    )


def _has_wrapped(entry: FindingEntry) -> bool:
    values = _fall_of(entry)
    return values is not None and WRAP - MAX_WRAP_DISTANCE <= values[0] < WRAP and values[1] < MAX_WRAP_DISTANCE


def _fall_of(entry: FindingEntry) -> tuple[int, int] | None:
    """The values before and after; None if they are unknown."""
    try:
        return int(entry.expected.rpartition(" ")[2]), int(entry.actual)
    except ValueError:
        return None


def _restart_with_same_ids(seen: IncidentEvidence) -> Iterator[Incident]:
    """All counters of all connections fall at once."""
    falls = seen.findings(MONOTONIC.id)
    fields = {entry.field for entry in falls}
    connections = max((entry.connections for entry in falls), default=0)
    if len(fields) < MIN_FALLEN_FIELDS or 2 * connections < seen.result.coverage.connections:
        return
    pairs = [proof for entry in falls if len(proof := seen.proof.get(entry.fingerprint, ())) > 1]
    if not pairs or max(pair[0].received_ns for pair in pairs) >= min(pair[-1].received_ns for pair in pairs):
        return
    if median(_remaining_share(entry) for entry in falls) > 0.5:
        return
    yield _incident(
        "restart-same-ids",
        f"The counters of {_times(connections, 'connection')} began again at once ({len(fields):,} different counters "
        "fell between two moments): the server was restarted, and kept the connection ids.",
        "Find out why the server was restarted; connections that go on after a restart need new ids.",
        [*falls, *_silence(seen)],
    )


def _remaining_share(entry: FindingEntry) -> float:
    """The share of a counter that is left after its fall; 1 if it is unknown."""
    values = _fall_of(entry)
    return values[1] / values[0] if values is not None and values[0] else 1


def _restart_with_new_ids(seen: IncidentEvidence) -> Iterator[Incident]:
    """All connections are replaced by others, and the old ones don't come back."""
    for change in seen.result.listing_changes:
        if change.replacements and not change.alternations:
            yield _incident(
                "restart-new-ids",
                f"All connections of {change.server} were replaced at once {_times(change.replacements, 'time')}: the "
                "server was restarted, and its clients came back with new ids.",
                "Find out why the server was restarted; if several servers respond at this URL, name each with --node.",
                _silence(seen),
                change.exchanges,
            )


def _silence(seen: IncidentEvidence) -> list[FindingEntry]:
    """Requests to a server that was away."""
    return [each for each in seen.findings(COMPLETE.id) if seen.last_error(each) in VIOLATING_ERRORS_AFTER_RESPONSE]


def _target_disagrees(seen: IncidentEvidence) -> Iterator[Incident]:
    """One target disagrees with the others."""
    alone = [("counter", *find_lone_counter_target(seen.family("counter")))]
    for family in ("relation", "shape"):
        alone += [(family, target, entries) for target, entries in find_lone_targets(seen.family(family))]
    for family, target, entries in alone:
        if target is None or not (others := compared_targets(target, entries)):
            continue
        others_of_target = seen.findings(CLOCK_ORDER.id, FROZEN.id, ASKED.id, CLIENT.id) if family == "counter" else []
        yield _incident(
            "target-disagrees",
            f"{target} alone disagrees with {' and '.join(others)}: {_times(len(entries), 'finding')} of the family "
            f"{family} involve{'s' if len(entries) == 1 else ''} it, and none involves the others alone.",
            f"Look at how {target} collects its statistics, not at the targets that it is compared with.",
            [*entries, *(each for each in others_of_target if each.target == target)],
        )


def _missing_field(seen: IncidentEvidence) -> Iterator[Incident]:
    """Fields that no sample has."""
    samples = seen.result.coverage.samples
    entries: dict[str, list[FindingEntry]] = {}
    for entry in seen.findings(REQUIRED.id, GROUP.id):
        entries.setdefault(entry.field, []).append(entry)
    missing = {path: rows for path, rows in entries.items() if samples > 0 and _occurrences(rows) >= samples}
    if not missing or sum(map(len, missing.values())) < 2:
        return
    drift = seen.drift
    nearest = f" ({drift.headline})" if drift is not None and drift.headline else ""
    what = "field or group is" if len(missing) == 1 else "fields or groups are"
    yield _incident(
        "missing-field",
        f"{len(missing):,} documented {what} missing in all {_times(samples, 'sample')}: {_name_fields(missing)}.",
        f"Check that the edition is that of the server's version{nearest}: --edition auto takes the nearest one.",
        [entry for rows in missing.values() for entry in rows],
    )


def _undocumented_field(seen: IncidentEvidence) -> Iterator[Incident]:
    """Undocumented fields that another edition documents, or that several targets have."""
    entries: dict[str, list[FindingEntry]] = {}
    for entry in seen.findings(UNKNOWN.id, UNDOCUMENTED.id):
        entries.setdefault(entry.field, []).append(entry)
    known = {each.field: each.known_from for each in (seen.drift.entries if seen.drift else ()) if each.known_from}
    shared = {path: rows for path, rows in entries.items() if len(rows) > 1 or path in known}
    if not shared:
        return
    editions = sorted({known[path] for path in shared if path in known} - {None}, key=str)
    of = f", documented in {' and '.join(map(str, editions))}" if editions else ""
    what = "undocumented field stands" if len(shared) == 1 else "undocumented fields stand"
    yield _incident(
        "undocumented-field",
        f"{len(shared):,} {what} in the responses of {_targets_of(shared.values())}: {_name_fields(shared)}{of}.",
        "Take the edition that has them (--edition), extend yours, or waive shape.unknown for these fields.",
        [entry for rows in shared.values() for entry in rows],
    )


def _another_connection(seen: IncidentEvidence) -> Iterator[Incident]:
    """A target responds about another connection or client, and has old samples of the right one."""
    for rule, noun in ((ASKED, "connection"), (CLIENT, "client")):
        mistaken = seen.findings(rule.id)
        targets = {entry.target for entry in mistaken}
        old = [entry for entry in seen.findings(*_SIGNS_OF_OLD_RESPONSES) if entry.target in targets]
        if mistaken and old:
            yield _incident(
                "another-connection",
                f"{_targets_of([mistaken])} responded {_times(_occurrences(mistaken), 'time')} about another {noun} "
                "than was asked for, and at other times with what was true before.",
                "Look for a cache, or a lookup, whose key lacks the arguments of the request.",
                [*mistaken, *old],
            )


def _one_fault(seen: IncidentEvidence) -> Iterator[Incident]:
    """Findings of several targets, or of several relations, that are one fault."""
    entries = [each for each in seen.findings() if each.level != "INFO" or each.requirement.startswith("relation.")]
    for group in group_shared_faults([each for each in entries if each.status == "new"]):
        if len(group) < 2 or all(each.level == "INFO" for each in group):
            continue
        first = group[0]
        others = {each.field for each in group} - {first.field}
        more = f"; likewise {_name_fields(others)}" if others else ""
        told, targets = f"{first.message}{more}.", _targets_of([group])
        yield _incident(
            "one-fault",
            f"In responses of {targets}: {told}" if targets else f"In responses to wrong requests: {told}",
            "Look at what the targets share: the fault does not depend on which of them is asked."
            if len({each.target for each in group}) > 1
            else "Look at the first of these findings: the others most likely follow from it.",
            group,
        )


def _targets_of(groups: Iterable[Sequence[FindingEntry]]) -> str:
    targets = Counter(entry.target for rows in groups for entry in rows if entry.target)
    return "all targets" if len(targets) == len(TARGET_OF_OPERATION) else " and ".join(sorted(targets))


_RULES: Final[tuple[_Rule, ...]] = (
    _redirect,
    _target_outage,
    _gateway_page,
    _two_servers,
    _cache_key,
    _stale_cache,
    _counter_wrap,
    _restart_with_same_ids,
    _restart_with_new_ids,
    _missing_field,
    _target_disagrees,
    _undocumented_field,
    _another_connection,
    _one_fault,
)
"""The rules: the more specific ones first, those that may be no problem last."""
