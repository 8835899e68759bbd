"""
What may be sent at all, decided in one place.

The port that responses for statistics also disconnects users (`DisconnectChannel` and others). So whoever writes to a
socket first asks `check_request_allowed`, which knows the three statistics targets and a short fixed list of invented ones, and
refuses everything else: real other operations, and near misses that a lenient server might read as one of them.

The invented names are letters only and say whose they are; no operation of Sora is documented under any of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .errors import RequestRefusedError
from .exchange import TARGET_HEADER, Target

UNKNOWN_SERVICE_TARGET: Final = "SoraHarness_20200101.NoSuchOperation"
"""Well-formed, of a service that does not exist."""

UNKNOWN_OPERATION_TARGET: Final = "Sora_20170529.SoraHarnessNoSuchOperation"
"""The service and a version of it exist, the operation does not."""

UNKNOWN_VERSION_TARGET: Final = "Sora_19700101.SoraHarnessNoSuchOperation"
"""The service exists, neither the version nor the operation does."""

MALFORMED_TARGETS: Final = ("", "SoraHarnessMalformed", "SoraHarness_20200101", "SoraHarness.NoSuchOperation")
"""Not of the form Service_Version.Operation."""

INVENTED_TARGETS: Final = frozenset(
    {UNKNOWN_SERVICE_TARGET, UNKNOWN_OPERATION_TARGET, UNKNOWN_VERSION_TARGET, *MALFORMED_TARGETS}
)

UNKNOWN_PATH: Final = "/sora-harness-no-such-path"
QUERY_PATH: Final = "/?sora-harness=1"

ALLOWED_METHODS: Final = frozenset({"POST", "GET", "PUT", "OPTIONS"})
ALLOWED_PATHS: Final = frozenset({"/", UNKNOWN_PATH, QUERY_PATH})

_STATISTICS_TARGET_NAMES: Final = frozenset(target.value for target in Target)


def check_request_allowed(
    method: str | bytes, path: str | bytes, headers: Iterable[tuple[str | bytes, str | bytes]]
) -> None:
    """
    Refuse whatever the harness has no business sending.

    Allowed is a method and a path that valid requests or probes use, with the target header absent, or once with one of
    the three statistics targets, or with nothing but invented targets. Values are compared as they are: other case, blanks
    around, and anything beside are refused. A header counts as the target header in any case, with blanks around it, and
    with `_` for `-`, since servers behind gateways read those as the same.

    Raises:
        RequestRefusedError: The request may not be sent; nothing of it has been.

    >>> check_request_allowed("POST", "/", [("x-sora-target", "Sora_20171101.GetStatsAllConnections")])
    >>> check_request_allowed("POST", "/", [("x-sora-target", "Sora_20171101.DisconnectEverybody")])
    Traceback (most recent call last):
    ...
    sora_stats_harness.api.errors.RequestRefusedError: refused to send the target 'Sora_20171101.DisconnectEverybody': ...
    """
    if _decode_text(method) not in ALLOWED_METHODS:
        raise RequestRefusedError(
            f"refused to send the method {_decode_text(method)!r}: only {', '.join(sorted(ALLOWED_METHODS))} are ever sent"
        )
    if _decode_text(path) not in ALLOWED_PATHS:
        raise RequestRefusedError(
            f"refused to send the path {_decode_text(path)!r}: only {', '.join(sorted(ALLOWED_PATHS))} are ever sent"
        )
    values = [
        _decode_text(value)
        for name, value in headers
        if _decode_text(name).strip().lower().replace("_", "-") == TARGET_HEADER
    ]
    for value in values:
        if value not in _STATISTICS_TARGET_NAMES and value not in INVENTED_TARGETS:
            raise RequestRefusedError(
                f"refused to send the target {value!r}: it is neither one of the three statistics targets "
                "nor on the list of invented ones"
            )
    if len(values) > 1 and not INVENTED_TARGETS.issuperset(values):
        raise RequestRefusedError(f"refused to send {len(values)} target headers of which one names a real operation")


def _decode_text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
