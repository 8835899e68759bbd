"""
Exports a run's measurements so far to Prometheus: counters, and times as histograms.

Prometheus accepts native histograms, whose buckets are 2.2 % wide here, only in its protobuf format, which it requests
if its feature `native-histograms` is on. Any other scraper gets the text format, with classic buckets.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .histogram import Histogram, merge_histograms
from .live_findings import LiveState, merge_requirement_counts
from .request_metrics import FAILED_WAIT, RequestMetrics

PROTOBUF_TYPE: Final = "application/vnd.google.protobuf"
PROTOBUF_CONTENT_TYPE: Final = f"{PROTOBUF_TYPE}; proto=io.prometheus.client.MetricFamily; encoding=delimited"
TEXT_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

NATIVE_SCHEMA: Final = 5
"""Buckets of a native histogram grow by a factor of 2 ** (2 ** -5)."""

ZERO_THRESHOLD_S: Final = 1e-9
"""Times up to this are in the zero bucket; our times are whole microseconds."""

CLASSIC_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFamily:
    """One metric with all its series: counters, or histograms of times."""

    name: str
    about: str
    counters: Sequence[tuple[Labels, int]] = ()
    histograms: Sequence[tuple[Labels, Histogram]] = ()

    @property
    def kind(self) -> str:
        """The metric's type in Prometheus."""
        return "counter" if self.name.endswith("_total") else "histogram"


def metric_families(states: Sequence[LiveState]) -> list[MetricFamily]:
    """The metrics of a run, from the states of its processes."""
    metrics = RequestMetrics()
    for each in states:
        metrics.add(each.metrics)
    traffic = sorted(metrics.traffic_by_target().items())
    findings = merge_requirement_counts(each.findings for each in states)

    def times(*kinds: str) -> list[tuple[Labels, Histogram]]:
        rows = [(name, merge_histograms(own[kind] for kind in kinds)) for name, own in sorted(metrics.times.items())]
        return [({"target": name}, histogram) for name, histogram in rows if histogram.count]

    return [
        MetricFamily(
            name="sora_harness_responses_total",
            about="Complete responses.",
            counters=[({"target": name}, each.responses) for name, each in traffic],
        ),
        MetricFamily(
            name="sora_harness_errors_total",
            about="Requests without a complete response, and responses of status 500 and above.",
            counters=[
                ({"target": each.target, "code": each.code, "whose": each.whose}, each.count)
                for each in metrics.failure_counts()
            ],
        ),
        MetricFamily(
            name="sora_harness_body_bytes_total",
            about="Bytes of complete responses' bodies.",
            counters=[({"target": name}, each.bytes) for name, each in traffic],
        ),
        MetricFamily(
            name="sora_harness_findings_total",
            about="Violations found so far.",
            counters=[({"requirement": id, "level": level}, count) for (id, level), count in sorted(findings.items())],
        ),
        MetricFamily(
            name="sora_harness_response_time_seconds",
            about="Response times of complete responses.",
            histograms=times("response"),
        ),
        MetricFamily(
            name="sora_harness_request_time_seconds",
            about="The same of all requests; one without a complete response counts with its wait.",
            histograms=times("response", FAILED_WAIT),
        ),
        MetricFamily(
            name="sora_harness_service_time_seconds",
            about="Times from sending to arrival of complete responses.",
            histograms=times("service"),
        ),
    ]


def encode_metrics(families: Sequence[MetricFamily], accept: str) -> tuple[bytes, str]:
    """Encode metrics for a scraper's Accept header; returns the body and its Content-Type."""
    if PROTOBUF_TYPE in accept:
        return b"".join(_delimited(_encode_family(each)) for each in families), PROTOBUF_CONTENT_TYPE
    return "".join(line + "\n" for each in families for line in _text_lines(each)).encode(), TEXT_CONTENT_TYPE


# The text format.


def _text_lines(family: MetricFamily) -> Iterator[str]:
    name = family.name
    yield f"# HELP {name} {family.about}"
    yield f"# TYPE {name} {family.kind}"
    for labels, value in family.counters:
        yield f"{name}{_label_text(labels)} {value}"
    for labels, times in family.histograms:
        buckets = times.buckets
        for bound_s in CLASSIC_BOUNDS_S:
            below = sum(count for upper_us, count in buckets if upper_us <= bound_s * 1e6)
            yield f"{name}_bucket{_label_text({**labels, 'le': f'{bound_s:g}'})} {below}"
        yield f"{name}_bucket{_label_text({**labels, 'le': '+Inf'})} {times.count}"
        yield f"{name}_sum{_label_text(labels)} {times.sum_us / 1e6}"
        yield f"{name}_count{_label_text(labels)} {times.count}"


def _label_text(labels: Labels) -> str:
    def escape(text: str) -> str:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in labels.items()) + "}"


# The protobuf format: io.prometheus.client.MetricFamily. A field is encoded as its number and type, then its value.

_VARINT, _DOUBLE, _BYTES = 0, 1, 2
_KINDS: Final = {"counter": 0, "histogram": 4}


def _encode_family(family: MetricFamily) -> bytes:
    metrics = [(labels, _field(3, _double(1, value))) for labels, value in family.counters]
    metrics += [(labels, _field(7, _encode_native(times))) for labels, times in family.histograms]
    return b"".join(
        (
            _field(1, family.name.encode()),
            _field(2, family.about.encode()),
            _integer(3, _KINDS[family.kind]),
            *(_field(4, _encode_labels(labels) + value) for labels, value in metrics),
        )
    )


def _encode_labels(labels: Labels) -> bytes:
    pairs = (_field(1, name.encode()) + _field(2, value.encode()) for name, value in labels.items())
    return b"".join(_field(1, pair) for pair in pairs)


def native_buckets(times: Histogram) -> tuple[int, dict[int, int]]:
    """The number of zero times, and the counts of a native histogram's buckets, ascending."""
    zeros, counts = 0, dict[int, int]()
    for upper_us, count in times.buckets:
        if not upper_us:
            zeros += count
            continue
        index = math.ceil(math.log2(upper_us / 1e6) * 2**NATIVE_SCHEMA)
        counts[index] = counts.get(index, 0) + count
    return zeros, counts


def _encode_native(times: Histogram) -> bytes:
    zeros, counts = native_buckets(times)
    spans: list[list[int]] = []  # the gap after the previous span, and the number of buckets
    deltas = bytearray()
    end, before = 0, 0
    for index, count in counts.items():
        if spans and index == end:
            spans[-1][1] += 1
        else:
            spans.append([index - end, 1])
        end = index + 1
        deltas += _integer(13, _zigzag(count - before))
        before = count
    return b"".join(
        (
            _integer(1, times.count),
            _double(2, times.sum_us / 1e6),
            _integer(5, _zigzag(NATIVE_SCHEMA)),
            _double(6, ZERO_THRESHOLD_S),
            _integer(7, zeros),
            *(_field(12, _integer(1, _zigzag(offset)) + _integer(2, length)) for offset, length in spans),
            bytes(deltas),
        )
    )


def _delimited(message: bytes) -> bytes:
    return _varint(len(message)) + message


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _delimited(value)


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | _DOUBLE) + struct.pack("<d", value)


def _zigzag(value: int) -> int:
    """A signed number in protobuf's sint64 encoding: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return value * 2 if value >= 0 else -value * 2 - 1


def _varint(value: int) -> bytes:
    """Encode with seven bits per byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
