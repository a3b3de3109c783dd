"""Log records and metrics of a time as OTLP/JSON, and into another explorer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, DataPointFlags

from .conftest import SECOND, START, Backend, attributes, logs, metrics, start

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
US = START // 1000
TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(8))
TIME = {"start": US - 1, "end": US + 60_000_000}


def send_all(backend: Backend) -> None:
    """Send a metric of each kind, with exemplars and a gap, and records with and without a trace."""
    request, found = metrics("measured")
    total = found.add(name="things", unit="1", description="Things").sum
    total.aggregation_temporality, total.is_monotonic = CUMULATIVE, True
    for n in (1, 2):
        labels = attributes({"region": "eu", "big": True, "size": 2.5, "list": ["a", 1]})
        total.data_points.add(
            time_unix_nano=START + n * SECOND, start_time_unix_nano=START, as_int=n, attributes=labels
        )
    total.data_points.add(
        time_unix_nano=START + 3 * SECOND, flags=DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
    )
    found.add(name="level").gauge.data_points.add(time_unix_nano=START, as_double=0.5)
    times = found.add(name="times", unit="ms").histogram
    times.aggregation_temporality = DELTA
    point = times.data_points.add(
        time_unix_nano=START + SECOND, count=3, sum=60, bucket_counts=[1, 2], explicit_bounds=[10]
    )
    point.exemplars.add(time_unix_nano=START, as_double=40, trace_id=TRACE_ID, span_id=SPAN_ID)
    exponential = found.add(name="sizes").exponential_histogram
    exponential.aggregation_temporality = CUMULATIVE
    size = exponential.data_points.add(time_unix_nano=START, count=1, sum=4, scale=0)
    size.positive.bucket_counts.append(1)
    found.add(name="quantiles").summary.data_points.add(time_unix_nano=START, count=1, sum=4)
    late = found.add(name="later").gauge
    late.data_points.add(time_unix_nano=START + 3600 * SECOND, as_int=1)
    backend.send(request)
    backend.send(
        logs(
            "told",
            {"time_unix_nano": START, "trace_id": TRACE_ID, "span_id": SPAN_ID, "severity_number": 9},
            {"time_unix_nano": START + SECOND, "attributes": {"deployment.id": "7"}},
        )
    )


def exported(backend: Backend, signal: str, **parameters: Any) -> str:
    response = backend.ask(f"/api/export/{signal}", **{**TIME, **parameters})
    assert response.status_code == 200, response.text
    return response.text


def test_what_is_exported_is_imported_elsewhere_and_exported_from_there_as_the_same_text(
    launch: Callable[..., Backend], tmp_path: Path
) -> None:
    first = launch()
    send_all(first)
    (tmp_path / "second").mkdir()
    second = start(tmp_path / "second")
    try:
        for signal, stored in (("metrics", "7 data points stored"), ("logs", "2 log records stored")):
            text = exported(first, signal)
            url = f"http://127.0.0.1:{second.traces_port}/api/import"
            assert requests.post(url, text, timeout=120).json()["data"]["summary"] == stored
            assert exported(second, signal) == text
        for name, stat in (("things", "rate"), ("times", "p99"), ("sizes", "p99"), ("level", "value")):
            asked = {"name": name, "stat": stat, "step": 10, **TIME}
            assert second.get("/api/series", **asked) == first.get("/api/series", **asked)
        (instrument,) = second.get("/api/instruments", text="things")
        assert (instrument["monotonic"], instrument["unit"], instrument["description"]) == (True, "1", "Things")
    finally:
        second.stop()


def test_only_what_is_of_the_time_is_exported(launch: Callable[..., Backend]) -> None:
    backend = launch()
    send_all(backend)
    assert "later" not in exported(backend, "metrics")
    assert "later" in exported(backend, "metrics", end="")
    assert exported(backend, "metrics", start=1, end=2) == '{"resourceMetrics":[]}'
    assert exported(backend, "logs", start=1, end=2) == '{"resourceLogs":[]}'
    assert backend.ask("/api/export/logs", start="yesterday").status_code == 400
