"""
Diagnoses what is at a URL, from at most three polite requests: in ten lines, what is wrong and what to do next.

The first request is a listing, as in every run. The diagnosis doesn't decide anything; the judge does that. But if a
run ends before it saw anything of Sora, these lines are all that a person needs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..api.errors import UsageError
from ..api.exchange import ErrorCode, Exchange, Request, Response, Target, make_valid_request
from ..api.server_address import NO_PEER, Peer
from ..api.server_url import normalize_server_url
from .discovery import KnownConnection, connections_in_response
from .edition_detection import describe_nearness

GATEWAY_STATUSES: Final = frozenset({502, 503, 504})
"""Statuses with which a gateway says that the server behind it does not respond."""

PROXY_HEADERS: Final = ("via", "x-cache", "cf-ray", "x-served-by", "x-varnish", "x-amz-cf-id", "age")
PROXY_SERVERS: Final = re.compile(
    r"nginx|openresty|envoy|haproxy|caddy|cloudflare|varnish|apache|traefik|squid|awselb|kong|litespeed", re.IGNORECASE
)
"""Names in the header Server of software in front of servers."""

_TITLE: Final = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_MAX_TEXT: Final = 120
_MAX_EXCERPT: Final = 60

_INCOMPLETE_ADVICE: Final = {
    ErrorCode.PROTOCOL: "check host and port: what listens there does not speak HTTP as Sora does",
    ErrorCode.TOO_LARGE: "check host and port: no list of connections is that large",
}
"""What to do if an incomplete response came."""

_CUT_ADVICE: Final = "look at the server's log, and at what stands in between: the response began, and did not end"

Ask = Callable[[Request], Exchange | None]
"""Sends one request; returns None if the user interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What prevents a run from starting."""

    row: str
    """The row of the diagnosis that shows it."""
    text: str
    advice: str
    ends_early: bool = True
    """Whether a run would see nothing of Sora; if it sees something, its findings say more than a diagnosis."""
    is_empty: bool = False
    """Whether the only problem is that nobody is connected."""
    may_pass: bool = False
    """Whether it may go away, since a server that is starting has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one listing shows of a server."""

    server: str
    command: str
    """What to type next: the command and its options, without the URL."""
    listing: Exchange
    problem: Problem | None
    peer: Peer = NO_PEER
    proxy: str | None = None

    @property
    def connections(self) -> list[KnownConnection]:
        """The connections in the listing."""
        response = self.listing.response
        return [] if response is None else connections_in_response(self.server, response) or []

    @property
    def is_empty(self) -> bool:
        """Whether it is a Sora to which nobody is connected."""
        return self.problem is not None and self.problem.is_empty

    @property
    def reason(self) -> str:
        """Why nothing was seen of Sora, for the verdict's reason."""
        error = self.listing.error
        if error is not None:
            return f"{self.server} gives no complete response: {error.code.value}: {error.detail}"
        if self.is_empty:
            return f"nobody is connected to {self.server}"
        text = "" if self.problem is None else self.problem.text.removeprefix("no: ")
        return f"{self.server} does not respond as Sora: {text}"

    @property
    def ends_early(self) -> bool:
        """Whether a run would see nothing of Sora."""
        return self.problem is not None and self.problem.ends_early

    @property
    def ends_search(self) -> bool:
        """Whether a search of minutes would see no connection."""
        return self.ends_early or self.is_empty


def visit_server(listing: Exchange, ask: Ask, *, command: str, peer: Peer = NO_PEER, proxy: str | None = None) -> Visit:
    """
    Interpret a listing, and find what is wrong.

    Args:
        ask: Sends one request by the other scheme, if the first one got no response.
        command: What to type next, without the URL.
        proxy: The proxy that the user named.
    """
    server = listing.request.server
    problem = None
    if listing.error is not None:
        problem = _transport_problem(listing, ask, command, is_connected=peer.address is not None)
        if proxy is not None and problem.row == "reachable":
            text = f"no, by the proxy {proxy}: {listing.error.detail}"
            problem = replace(problem, text=text, advice="check --proxy, and whether it lets this host and port pass")
    if problem is None and listing.response is not None:
        problem = _response_problem(listing, command)
    return Visit(server=server, command=command, listing=listing, problem=problem, peer=peer, proxy=proxy)


def diagnose(visit: Visit, *, about: Sequence[Exchange] = (), pace: str | None = None) -> dict[str, str]:
    """
    Format a visit as at most ten rows; the last one says what to type next.

    Args:
        about: Exchanges of requests about one connection.
        pace: What `conform` would send.
    """
    problem, response = visit.problem, visit.listing.response
    rows = {
        "reachable": f"yes: {visit.peer.address or visit.server}",
        "TLS": f"yes: {visit.peer.tls}" if visit.peer.tls else "none: plain http",
    }
    if response is not None:
        rows |= {
            "credentials": _credentials_text(visit.listing.request),
            "gateway": "no redirect, and no page of a gateway",
            "proxy": _proxy_text(response, visit.proxy),
            "Sora": _targets_text([visit.listing, *about]),
        }
        if found := visit.connections:
            took_ms = (visit.listing.received_ns - visit.listing.sent_ns) / 1e6
            rows |= {
                "edition": describe_nearness(response.body),
                "listing": f"{len(found):,} connection{'s' if len(found) > 1 else ''}, "
                f"{len(response.body):,} bytes in {took_ms:.0f} ms",
            }
    if problem is not None:
        order = list(rows)
        if problem.row in order:
            rows = {name: rows[name] for name in order[: order.index(problem.row)]}
        return rows | {problem.row: problem.text, "next": problem.advice}
    if pace is not None:
        rows["conform"] = pace
    return rows | {"next": f"{visit.command} {_shell(visit.server)}"}


def other_scheme(server: str) -> str:
    """
    The same host and port with the other scheme.

    >>> other_scheme("https://127.0.0.1:3000")
    'http://127.0.0.1:3000'
    """
    scheme, _, rest = server.partition("://")
    return f"{'http' if scheme == 'https' else 'https'}://{rest}"


def requests_about(visit: Visit) -> list[Request]:
    """The requests for one connection of the listing, by each of the other targets."""
    known = next(iter(visit.connections), None)
    if known is None:
        return []
    headers = visit.listing.request.headers[1:]
    asked = [
        (Target.CONNECTION, {"connection_id": known.connection_id}),
        (Target.CLIENT, {"client_id": known.client_id}),
    ]
    return [
        make_valid_request(target, server=visit.server, headers=headers, channel_id=known.channel_id, **ids)  # type: ignore[arg-type]
        for target, ids in asked
        if None not in ids.values()
    ]


# Problems.


def _transport_problem(listing: Exchange, ask: Ask, command: str, *, is_connected: bool) -> Problem:
    error, server = listing.error, listing.request.server
    assert error is not None
    said = f"no: {error.code.value}: {error.detail}"
    here = _shell(server)
    if error.code is ErrorCode.DNS:
        return Problem(
            row="reachable", text=said, advice="check the name in the URL, and this machine's DNS", may_pass=True
        )
    waits_for_tls = error.code is ErrorCode.TIMEOUT and is_connected and server.startswith("https:")
    away = (ErrorCode.REFUSED, ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT, ErrorCode.LOCAL)
    silent = error.code in away and listing.response is None
    if silent and not waits_for_tls:
        advice = f"start Sora, or check host and port; to wait for it: {command} {here} --wait 30s"
        return Problem(row="reachable", text=said, advice=advice, may_pass=error.code is not ErrorCode.LOCAL)
    if listing.response is None and _responds(ask, listing, other_scheme(server)):
        other = other_scheme(server)
        scheme = other.partition("://")[0]
        text = f"no: this port speaks {scheme}, and the URL says {server.partition('://')[0]}"
        return Problem(row="TLS", text=text, advice=f"try {scheme}://: {command} {_shell(other)}")
    if error.code in (ErrorCode.TLS, ErrorCode.TIMEOUT) and listing.response is None:
        advice = f"trust it: {command} {here} --ca-file FILE (or --insecure)"
        if "certificate" not in error.detail or "required" in error.detail:
            advice = "compare --ca-file, --client-cert and the scheme with what the server expects"
        return Problem(row="TLS", text=f"no: {error.detail}", advice=advice)
    if error.code is ErrorCode.RESET and listing.response is None:
        advice = f"look at what listens there: it takes connections, and gives no response; {command} {here} --wait 30s waits"
        return Problem(row="reachable", text=said, advice=advice, may_pass=True)
    return Problem(row="Sora", text=said, advice=_INCOMPLETE_ADVICE.get(error.code, _CUT_ADVICE), ends_early=False)


def _responds(ask: Ask, listing: Exchange, server: str) -> bool:
    """Whether there is any response, or at least a handshake, by the other scheme."""
    request = make_valid_request(Target.ALL, server=server, headers=listing.request.headers[1:])
    exchange = ask(request)
    if exchange is None:
        return False
    if exchange.error is not None and exchange.error.code is ErrorCode.TLS:
        return "certificate" in exchange.error.detail
    return exchange.response is not None


def _response_problem(listing: Exchange, command: str) -> Problem | None:
    response, server = listing.response, listing.request.server
    assert response is not None
    status, here = response.status, _shell(server)
    kind = (response.header("content-type") or "no Content-Type").partition(";")[0].strip().lower()
    if 300 <= status < 400:
        return _redirect_problem(response, command)
    if problem := _credentials_problem(listing, command):
        return problem
    if status in (404, 405, 410):
        advice = "check the URL: is there a path at which a proxy has the API, or another server on this port?"
        text = (
            f"{status}: {'this URL takes no POST' if status == 405 else 'nothing at this URL'}{_page_title(response)}"
        )
        return Problem(row="gateway", text=text, advice=advice)
    if status in GATEWAY_STATUSES:
        text = f"{status}: a gateway responds, and the server behind it does not{_page_title(response)}"
        advice = f"start Sora behind the gateway; to wait for it: {command} {here} --wait 30s"
        return Problem(row="gateway", text=text, advice=advice, may_pass=True)
    if status == 400 and b"https" in response.body.lower():
        return Problem(
            row="TLS",
            text="no: this port speaks https, and the URL says http",
            advice=f"try https://: {command} {_shell(other_scheme(server))}",
        )
    if status == 429:
        advice = f"ask later, or more slowly: {command} {here} --wait 30s"
        return Problem(
            row="gateway", text=f"429: too many requests{_page_title(response)}", advice=advice, may_pass=True
        )
    if status >= 500:
        text = f"no: status {status}, an error of the server{_excerpt(response)}"
        advice = f"look at the server's log; to wait until it is over: {command} {here} --wait 30s"
        return Problem(row="Sora", text=text, advice=advice, may_pass=True)
    if "html" in kind or response.body[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        text = f"status {status} with a page for people{_page_title(response)}, in place of JSON"
        advice = "check host and port: Sora's API has a port of its own (the documentation's example has 3000)"
        return Problem(row="gateway", text=text, advice=advice)
    return _listing_problem(listing, kind, f"{command} {here}")


def _listing_problem(listing: Exchange, kind: str, again: str) -> Problem | None:
    """What is wrong with a response that no gateway gave."""
    response, server = listing.response, listing.request.server
    assert response is not None
    wanted = "a list of connections" if listing.request.target is Target.ALL else "a connection"
    found = connections_in_response(server, response)
    if found is None:
        text = f"no: not {wanted}: status {response.status}, {_printable(kind)}, {len(response.body):,} bytes{_excerpt(response)}"
        return Problem(row="Sora", text=text, advice=f"check host and port: {wanted} is expected here")
    if found and listing.request.target is Target.ALL and response.body.lstrip().startswith(b"{"):
        text, advice = "no: one connection, where a list is expected", "check host and port, and the path"
        return Problem(row="Sora", text=text, advice=advice, ends_early=False)
    if found:
        return None
    if response.body.strip() != b"[]":
        text = "no: a list, but nothing in it has the ids of a connection"
        advice = "check that this is Sora: each connection in its list has ids"
        return Problem(row="Sora", text=text, advice=advice, ends_early=False)
    text = "yes: status 200, JSON; but nobody is connected"
    advice = f"connect a client, e.g. by Sora DevTools in a browser, or Zakuro; then {again}"
    return Problem(row="Sora", text=text, advice=advice, ends_early=False, is_empty=True)


def _redirect_problem(response: Response, command: str) -> Problem:
    location = response.header("location") or ""
    advice = "give the URL that it leads to"
    try:
        advice = f"give the URL that it leads to: {command} {_shell(normalize_server_url(location))}"
    except UsageError:
        pass
    text = f"{response.status}: redirected to {_printable(location) or 'nowhere'}; no redirect is followed"
    return Problem(row="gateway", text=text, advice=advice)


def _credentials_problem(listing: Exchange, command: str) -> Problem | None:
    response = listing.response
    assert response is not None
    sent, here = _credential_names(listing.request), _shell(listing.request.server)
    example = f"{command} {here} --header 'Authorization: env:SORA_TOKEN'"
    match response.status:
        case 401 if sent:
            return Problem(
                row="credentials",
                text=f"401: {sent} was sent, and is refused",
                advice=f"check {sent}, and whether it has expired",
            )
        case 401:
            return Problem(row="credentials", text="401: none were sent, and some are wanted", advice=example)
        case 403:
            advice = f"check {sent}" if sent else f"ask from an address that is allowed, or send credentials: {example}"
            return Problem(row="credentials", text=f"403: forbidden{f' with {sent}' if sent else ''}", advice=advice)
        case 407:
            advice = f"{command} {here} --proxy env:PROXY_URL, with http://USER:PASSWORD@HOST:PORT in PROXY_URL"
            return Problem(row="credentials", text="407: the proxy wants credentials", advice=advice)
    return None


# The rows if nothing is wrong.


def _credential_names(request: Request) -> str:
    usual = {"content-type", "x-sora-target"}
    return ", ".join(name for name, _ in request.headers if name.lower() not in usual)


def _credentials_text(request: Request) -> str:
    names = _credential_names(request)
    return f"accepted, with the header {names}" if names else "none sent, and none asked for"


def _proxy_text(response: Response, named: str | None) -> str:
    seen = [f"{name}: {_printable(value)}" for name, value in response.headers if name.lower() in PROXY_HEADERS]
    server = response.header("server") or ""
    if PROXY_SERVERS.search(server):
        seen.append(f"Server: {_printable(server)}")
    signs = (
        f"seen: {', '.join(seen)}" if seen else f"no sign of any{f' (Server: {_printable(server)})' if server else ''}"
    )
    return signs if named is None else f"{named}, as asked; {signs}"


def _targets_text(exchanges: Sequence[Exchange]) -> str:
    responded: list[str] = []
    failed: list[str] = []
    for each in exchanges:
        name = each.request.target.operation if each.request.target is not None else "?"
        if each.response is None or each.error is not None:
            failed.append(f"{name} (no complete response)")
        elif each.response.status != 200:
            failed.append(f"{name} (status {each.response.status:d})")
        elif not connections_in_response(each.request.server, each.response):
            failed.append(f"{name} (no connection in it)")
        else:
            responded.append(name)
    text = f"yes: status 200, JSON from {', '.join(responded)}"
    return text + (f"; not from {', '.join(failed)}" if failed else "")


def _page_title(response: Response) -> str:
    found = _TITLE.search(response.body[:65536])
    return f' "{_printable(found[1].decode("utf-8", "replace"))}"' if found else ""


def _excerpt(response: Response) -> str:
    """What the server said, where it is text."""
    if b"<html" in response.body[:1024].lower():
        return _page_title(response)
    text = _printable(response.body[:_MAX_TEXT].decode("utf-8", "replace"))
    return f": {text if len(text) <= _MAX_EXCERPT else f'{text[: _MAX_EXCERPT - 1]}…'}" if text else ""


def _printable(text: str) -> str:
    words = "".join(char if char.isprintable() else " " for char in text).split()
    line = " ".join(words)
    return line if len(line) <= _MAX_TEXT else f"{line[: _MAX_TEXT - 1]}…"


def _shell(url: str) -> str:
    return shlex.quote(url)
