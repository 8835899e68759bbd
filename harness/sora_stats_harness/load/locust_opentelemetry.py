"""Exports findings to OpenTelemetry if Locust's `--otel` is given; Locust itself exports the times of requests."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, Final

from .live_findings import LiveFindings

COUNTER_NAME: Final = "sora.findings"


def export_findings(environment: Any, findings: LiveFindings) -> None:  # Any: locust.env.Environment
    """
    Export the number of findings by requirement and level; no effect if OpenTelemetry is not requested or installed.
    """
    if not getattr(environment.parsed_options, "otel", False) or find_spec("opentelemetry") is None:
        return
    from opentelemetry import metrics

    def observe(_: object) -> Iterable[metrics.Observation]:
        for (requirement, level), count in list(findings.requirement_counts.items()):
            yield metrics.Observation(count, {"requirement": requirement, "level": level})

    metrics.get_meter("sora-harness").create_observable_counter(
        COUNTER_NAME, callbacks=[observe], unit="{finding}", description="Violations found so far"
    )
