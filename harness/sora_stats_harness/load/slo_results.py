"""
Decides the status of each SLO in a load run: met, violated, or not checked.

An SLO is judged like a window of a capacity search: by the requests that were due, where those without a complete
response count as slower than any time. It is not checked if there are too few requests for the figure, or the generator
affected it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..judge.measured_results import SloResult, SloStatus
from ..judge.verdict_decision import RunEnding
from .capacity.load_window import LoadWindow, violated_slos, void_reason
from .request_metrics import FAILED_WAIT
from .run_measurements import RunMeasurements
from .slo import Slo

MIN_REQUESTS: Final = 10
"""With fewer requests, not even an obvious violation counts."""

MIN_ERRORS: Final = 2
"""How many errors among too few requests show a violation; a single one may be chance."""


def judge_slos(slos: Sequence[Slo], measured: RunMeasurements) -> list[SloResult]:
    """Judge each SLO by the measurements after the warm-up."""
    if not slos:
        return []
    window = _whole_run(measured)
    unsent = Counter[str]()
    for each in measured.metrics.failure_counts():
        if each.whose == "generator":
            unsent[each.target] += each.count
    return [_judge_slo(slo, window, unsent.total() if slo.target is None else unsent[slo.target]) for slo in slos]


def end_with_slos(ending: RunEnding, results: Sequence[SloResult]) -> RunEnding:
    """Add the SLOs to the ending: a violated one fails the verdict, an unchecked one makes it inconclusive."""
    violated = [each for each in results if each.status == "violated"]
    unchecked = [each for each in results if each.status == "not_checked"]
    return replace(
        ending,
        violated_slo=f"{violated[0].slo} is violated: {violated[0].actual}{_others(violated)}" if violated else None,
        unchecked_slo=f"{unchecked[0].slo} was not checked: {unchecked[0].reason}{_others(unchecked)}"
        if unchecked
        else None,
    )


def _others(results: Sequence[SloResult]) -> str:
    return f", and {len(results) - 1} more" if len(results) > 1 else ""


def _whole_run(measured: RunMeasurements) -> LoadWindow:
    metrics = measured.metrics
    times = {name: kinds["response"] for name, kinds in metrics.times.items()}
    services = {name: kinds["service"] for name, kinds in metrics.times.items()}
    errors = {name: kinds[FAILED_WAIT].count for name, kinds in metrics.times.items()}
    is_open = (
        measured.scheduled is not None
    )  # otherwise times count from the sending, and the generator doesn't affect them
    unsent = max(0, (measured.scheduled or 0) - metrics.sent)
    return LoadWindow(
        rate=0.0,
        lasts_s=measured.lasted_s,
        due=sum(each.count for each in times.values()) + sum(errors.values()) + unsent,
        times=times,
        service_times=services,
        server_errors=metrics.server_errors,
        errors=errors,
        receive_delay_p99_us=(metrics.all_operations("receive delay").percentile(99) or 0) if is_open else 0,
        send_delay_p99_us=(metrics.ready_user_send_delay.percentile(99) or 0) if is_open else 0,
    )


def _judge_slo(slo: Slo, window: LoadWindow, unsent: int) -> SloResult:
    """Judge an SLO by the requests that were sent; those that the generator could not send might have violated it."""
    requests = window.requests_for(slo)
    status: SloStatus = "violated" if violated_slos(window, [slo]) else "met"
    reason = None
    if not requests:
        reason = f"no {slo.target or 'request'} was sent"
    elif requests < slo.requests_carrying and not _is_plainly_violated(slo, window, requests):
        reason = f"{requests:,} requests are too few, {slo.requests_carrying:,} are needed"
    elif status == "violated":
        reason = void_reason(window, [slo])
    elif unsent and unsent >= slo.allowed_share * (requests + unsent) - 1e-9:
        reason = f"the generator could not send {unsent:,} requests"
    return SloResult(
        slo=slo.text,
        target=slo.target,
        status=status if reason is None else "not_checked",
        actual=_actual_text(slo, window, requests),
        requests=requests,
        reason=reason,
    )


def _is_plainly_violated(slo: Slo, window: LoadWindow, requests: int) -> bool:
    """
    Whether too few requests violate even the quantile that they allow, such as p90 of ten requests for an SLO on p99.
    """
    if requests < MIN_REQUESTS:
        return False
    if slo.errors is not None:
        return window.error_count(slo) >= MIN_ERRORS
    return bool(violated_slos(window, [replace(slo, quantile=_carried_quantile(requests))]))


def _carried_quantile(requests: int) -> float:
    """The highest quantile for this number of requests."""
    return 100 - 100 / requests


def _actual_text(slo: Slo, window: LoadWindow, requests: int) -> str:
    if requests < min(MIN_REQUESTS, slo.requests_carrying) or not requests:
        return "-"
    if slo.quantile is None:
        return f"{100 * window.error_count(slo) / requests:.3g}%"
    quantile, label = slo.quantile, ""
    if requests < slo.requests_carrying:
        quantile = _carried_quantile(requests)
        label = f" (p{quantile:.4g})"
    reached_us = window.quantile_us(slo, quantile)
    return f"no complete response{label}" if reached_us is None else f"{reached_us / 1000:.4g} ms{label}"
