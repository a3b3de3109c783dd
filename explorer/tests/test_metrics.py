"""Metric series: rates over resets and processes, percentiles from buckets, exemplars."""

import secrets
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from .conftest import SECOND, START, Backend, attributes, metrics

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
US = START // 1000
WINDOW = {"start": US, "end": US + 60_000_000, "step": 10}


@pytest.fixture
def name() -> str:
    return f"metric.{secrets.token_hex(4)}"


def counter(backend: Backend, name: str, points: list[tuple[Any, ...]], instance: str = "1", **options: Any) -> None:
    """Send points (seconds after START, value, attributes, start in seconds) of a sum."""
    request, found = metrics("metered", instance)
    metric = found.add(name=name, unit="1", description="Things that happened")
    metric.sum.aggregation_temporality = options.get("temporality", CUMULATIVE)
    metric.sum.is_monotonic = options.get("monotonic", True)
    for at, value, labels, start in points:
        metric.sum.data_points.add(
            time_unix_nano=START + at * SECOND,
            start_time_unix_nano=START + start * SECOND,
            as_int=value,
            attributes=attributes(labels),
        )
    backend.send(request)


def values(backend: Backend, name: str, stat: str, **parameters: Any) -> list[float | None]:
    (line,) = backend.get("/api/series", name=name, stat=stat, **WINDOW | parameters)
    assert [at for at, _ in line["points"]] == [US + (i + 1) * 10_000_000 for i in range(6)]
    return [None if value is None else round(value, 6) for _, value in line["points"]]


def test_the_rate_of_a_counter_survives_a_reset_and_adds_up_processes(backend: Backend, name: str) -> None:
    counter(backend, name, [(10, 10, {}, 0), (20, 30, {}, 0), (30, 5, {}, 20), (40, 25, {}, 20)])
    counter(backend, name, [(20, 100, {}, 10)], instance="2")
    assert values(backend, name, "count") == [10, 120, 5, 20, None, None]
    assert values(backend, name, "rate") == [1, 12, 0.5, 2, None, None]


def test_a_counter_that_begins_late_in_a_step_was_not_fast(backend: Backend, name: str) -> None:
    counter(backend, name, [(10, 2, {}, 9), (20, 2, {}, 9)])
    assert values(backend, name, "rate") == [0.2, 0, None, None, None, None]


def test_an_increase_is_spread_over_the_steps_it_lasted(backend: Backend, name: str) -> None:
    counter(backend, name, [(5, 0, {}, 0), (35, 60, {}, 0)])
    assert values(backend, name, "count") == [10, 20, 20, 10, None, None]


def test_delta_sums_are_added_as_they_are(backend: Backend, name: str) -> None:
    counter(backend, name, [(10, 3, {}, 0), (20, 4, {}, 10), (30, 4, {}, 20)], temporality=DELTA)
    assert values(backend, name, "count") == [3, 4, 4, None, None, None]


def test_series_are_grouped_by_the_attributes_asked_for(backend: Backend, name: str) -> None:
    counted = {("success", "eu"): 1, ("success", "us"): 2, ("failed", "eu"): 4}
    points = [(10, count, {"status": status, "region": region}, 0) for (status, region), count in counted.items()]
    counter(backend, name, points)
    lines = backend.get("/api/series", name=name, stat="count", by="status", **WINDOW)
    assert [(line["attributes"], line["points"][0][1]) for line in lines] == [
        ({"status": "failed"}, 4),
        ({"status": "success"}, 3),
    ]
    instances = backend.get("/api/series", name=name, stat="count", by="service.instance.id", **WINDOW)
    assert [line["attributes"] for line in instances] == [{"service.instance.id": "1"}]


def test_the_value_of_an_up_down_counter_is_the_sum_of_its_processes(backend: Backend, name: str) -> None:
    counter(backend, name, [(5, 2, {}, 0), (25, 1, {}, 0)], monotonic=False)
    counter(backend, name, [(15, 5, {}, 0)], monotonic=False, instance="2")
    assert values(backend, name, "value") == [2, 7, 6, 6, 6, 6]
    assert "goes up and down" in backend.ask("/api/series", name=name, stat="rate").json()["errors"][0]["msg"]


def test_a_gauge_gives_its_last_value(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    points = found.add(name=name).gauge.data_points
    points.add(time_unix_nano=START + 12 * SECOND, as_double=0.5)
    points.add(time_unix_nano=START + 18 * SECOND, as_double=0.75)
    backend.send(request)
    assert values(backend, name, "value") == [None, 0.75, 0.75, 0.75, 0.75, 0.75]


def test_a_series_that_ends_leaves_a_gap(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    gauge, total = found.add(name=name).gauge, found.add(name=f"{name}.total").sum
    total.aggregation_temporality, total.is_monotonic = CUMULATIVE, True
    for points in (gauge.data_points, total.data_points):
        for at, value in ((10, 5), (20, 6), (50, 9), (60, 12)):
            points.add(time_unix_nano=START + at * SECOND, start_time_unix_nano=START, as_int=value)
        points.add(time_unix_nano=START + 25 * SECOND, flags=1)
    backend.send(request)
    assert values(backend, name, "value") == [5, 6, None, None, 9, 12]
    assert values(backend, f"{name}.total", "count") == [5, 1, None, None, None, 3]


def test_points_without_a_time_are_all_kept(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    for _ in range(3):
        found.add(name=name).gauge.data_points.add(as_int=1)
    before = backend.get("/api/stats")["points"]
    backend.send(request)
    backend.send(request)
    assert backend.get("/api/stats")["points"] == before + 6


def test_a_summary_gives_its_rate_and_mean(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    points = found.add(name=name, unit="s").summary.data_points
    for at, count, total in ((10, 4, 8.0), (20, 8, 20.0)):
        point = points.add(time_unix_nano=START + at * SECOND, start_time_unix_nano=START, count=count, sum=total)
        point.quantile_values.add(quantile=0.5, value=2.0)
    backend.send(request)
    assert values(backend, name, "count") == [4, 4, None, None, None, None]
    assert values(backend, name, "value") == [2, 3, None, None, None, None]
    assert "needs a histogram" in backend.ask("/api/series", name=name, stat="p95").json()["errors"][0]["msg"]


def test_a_name_that_stands_for_two_types_has_no_one_value(backend: Backend, name: str) -> None:
    histogram(backend, name, [[1, 0]], [10], DELTA)
    request, found = metrics("other")
    found.add(name=name).gauge.data_points.add(time_unix_nano=START + 10 * SECOND, as_int=1)
    backend.send(request)
    refused = backend.ask("/api/series", name=name, **WINDOW)
    assert refused.status_code == 400
    assert "is sent as gauge and histogram" in refused.json()["errors"][0]["msg"]
    assert values(backend, name, "value", service="other") == [1] * 6


def histogram(backend: Backend, name: str, counts: list[list[int]], bounds: list[float], temporality: int) -> None:
    request, found = metrics("metered")
    metric = found.add(name=name, unit="ms")
    metric.histogram.aggregation_temporality = temporality
    for i, bucket_counts in enumerate(counts):
        begin = 0 if temporality == CUMULATIVE else i * 10
        metric.histogram.data_points.add(
            time_unix_nano=START + (i + 1) * 10 * SECOND,
            start_time_unix_nano=START + begin * SECOND,
            count=sum(bucket_counts),
            sum=10.0 * sum(bucket_counts),
            bucket_counts=bucket_counts,
            explicit_bounds=bounds,
        )
    backend.send(request)


def test_percentiles_are_those_of_histogram_quantile(backend: Backend, name: str) -> None:
    histogram(backend, name, [[0, 10, 0, 0], [0, 10, 10, 0], [0, 10, 10, 5]], [100, 200, 400], CUMULATIVE)
    assert values(backend, name, "p50") == [150, 300, 400, None, None, None]  # beyond the last bound: the bound
    assert values(backend, name, "p95") == [195, 390, 400, None, None, None]
    assert values(backend, name, "rate") == [1, 1, 0.5, None, None, None]
    assert values(backend, name, "value") == [10, 10, 10, None, None, None]  # the mean


def test_delta_histograms_and_the_first_bucket_count_from_zero(backend: Backend, name: str) -> None:
    histogram(backend, name, [[4, 0, 0], [0, 4, 0]], [100, 200], DELTA)
    assert values(backend, name, "p50") == [50, 150, None, None, None, None]


def test_exponential_histograms_are_brought_to_one_scale(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    metric = found.add(name=name)
    metric.exponential_histogram.aggregation_temporality = CUMULATIVE
    for at, scale, offset, bucket_counts in ((10, 1, 4, [4, 4]), (20, 0, 2, [8, 8])):
        point = metric.exponential_histogram.data_points.add(
            time_unix_nano=START + at * SECOND,
            start_time_unix_nano=START,
            count=sum(bucket_counts),
            scale=scale,
        )
        point.positive.offset = offset
        point.positive.bucket_counts.extend(bucket_counts)
    backend.send(request)
    # At scale 0 the buckets are (4, 8] and (8, 16]: first 8 in the lower one, then 8 more in the upper one.
    assert values(backend, name, "p50") == [6, 12, None, None, None, None]


def test_exemplars_lead_to_their_traces(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    metric = found.add(name=name)
    metric.histogram.aggregation_temporality = CUMULATIVE
    point = metric.histogram.data_points.add(time_unix_nano=START + 10 * SECOND, count=1, sum=7, bucket_counts=[1])
    trace_id = secrets.token_bytes(16)
    point.exemplars.add(
        time_unix_nano=START + 9 * SECOND,
        as_double=7.0,
        trace_id=trace_id,
        span_id=b"12345678",
        filtered_attributes=attributes({"order.id": "o-1"}),
    )
    backend.send(request)
    (line,) = backend.get("/api/series", name=name, stat="p95", **WINDOW)
    assert line["exemplars"] == [
        {
            "timestamp": US + 9_000_000,
            "value": 7.0,
            "trace_id": trace_id.hex(),
            "span_id": b"12345678".hex(),
            "attributes": {"order.id": "o-1"},
        }
    ]


def test_an_exemplar_with_an_invalid_id_belongs_to_no_trace(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    point = found.add(name=name).gauge.data_points.add(time_unix_nano=START + 10 * SECOND, as_int=1)
    point.exemplars.add(time_unix_nano=START + SECOND, as_int=1, trace_id=bytes(16), span_id=b"12345678")
    point.exemplars.add(time_unix_nano=START + 11 * SECOND, as_int=2, trace_id=b"half", span_id=bytes(8))
    backend.send(request)
    (line,) = backend.get("/api/series", name=name, **WINDOW)
    assert [(one["value"], one["trace_id"], one["span_id"]) for one in line["exemplars"]] == [(2, "", ""), (1, "", "")]


def exemplars(backend: Backend, name: str, values: Sequence[tuple[float, float]], bounds: list[float]) -> None:
    """Send one point of a histogram with exemplars (seconds after START, value), each of a trace."""
    request, found = metrics("metered")
    metric = found.add(name=name)
    metric.histogram.aggregation_temporality = CUMULATIVE
    point = metric.histogram.data_points.add(
        time_unix_nano=START + 60 * SECOND,
        start_time_unix_nano=START,
        count=len(values),
        bucket_counts=[len(values), *[0 for _ in bounds]],
        explicit_bounds=bounds,
    )
    for at, value in values:
        ids = {"trace_id": secrets.token_bytes(16), "span_id": secrets.token_bytes(8)}
        point.exemplars.add(time_unix_nano=START + int(at * SECOND), as_double=value, **ids)
    backend.send(request)


def test_each_step_and_bucket_has_its_largest_exemplar_and_the_largest_come_first(backend: Backend, name: str) -> None:
    sent = [(1, 5), (2, 9), (3, 30), (4, 700), (5, 650), (15, 7), (16, 8)]
    exemplars(backend, name, sent, [10, 100])
    (line,) = backend.get("/api/series", name=name, stat="p95", **WINDOW)
    assert [one["value"] for one in line["exemplars"]] == [700, 30, 9, 8]


def test_a_peak_long_ago_has_an_exemplar_however_many_came_later(backend: Backend, name: str) -> None:
    later = [(10 + n / 100, 1 + n / 10_000) for n in range(4_000)]
    exemplars(backend, name, [(5, 900), *later], [10, 100])
    (line,) = backend.get("/api/series", name=name, stat="p95", **WINDOW)
    assert line["exemplars"][0]["value"] == 900
    assert len(line["exemplars"]) == 5  # of the peak, and one of each of the four steps after it


def test_of_too_many_exemplars_those_of_the_highest_buckets_are_kept(backend: Backend, name: str) -> None:
    bounds = [float(bound) for bound in range(1, 40)]
    sent = [(step + 0.5, bucket + 0.5) for step in range(60) for bucket in range(40)]
    exemplars(backend, name, sent, bounds)
    (line,) = backend.get("/api/series", name=name, stat="p95", **WINDOW | {"step": 1})
    kept = [one["value"] for one in line["exemplars"]]
    assert len(kept) == 1_000
    assert kept.count(39.5) == 60


def test_exemplars_can_be_left_out(backend: Backend, name: str) -> None:
    exemplars(backend, name, [(5, 9)], [10])
    (line,) = backend.get("/api/series", name=name, stat="p95", exemplars=0, **WINDOW)
    assert line["exemplars"] == []


def test_what_is_counted_has_no_fractions_and_keeps_its_sum(backend: Backend, name: str) -> None:
    counter(backend, name, [(0, 0, {}, 0), (60, 100, {}, 0)])
    counts = values(backend, name, "count")
    assert counts == [17, 16, 17, 17, 16, 17]
    assert sum(count or 0 for count in counts) == 100


def test_seconds_that_are_counted_keep_their_fractions(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    metric = found.add(name=name, unit="s")
    metric.sum.aggregation_temporality, metric.sum.is_monotonic = CUMULATIVE, True
    metric.sum.data_points.add(time_unix_nano=START + 20 * SECOND, start_time_unix_nano=START, as_double=0.5)
    backend.send(request)
    assert values(backend, name, "count") == [0.25, 0.25, None, None, None, None]


def test_a_heat_map_has_whole_requests(backend: Backend, name: str) -> None:
    histogram(backend, name, [[1, 4, 0], [2, 9, 0]], [100, 200], CUMULATIVE)
    steps = backend.get("/api/heatmap", name=name, **WINDOW | {"step": 3})
    counts = [count for step in steps for _, _, count in step["buckets"]]
    assert all(count == int(count) and count > 0 for count in counts)
    assert sum(counts) == 11


def test_instruments_are_listed_with_what_they_are(backend: Backend, name: str) -> None:
    counter(backend, name, [(10, 1, {"status": "success"}, 0), (10, 1, {"region": "eu"}, 0)])
    assert backend.get("/api/instruments", text=name) == [
        {
            "name": name,
            "type": "sum",
            "unit": "1",
            "description": "Things that happened",
            "monotonic": True,
            "services": ["metered"],
            "attributes": ["region", "status"],
        }
    ]


def test_a_histogram_whose_buckets_do_not_fit_is_refused(backend: Backend, name: str) -> None:
    request, found = metrics("metered")
    found.add(name=name).histogram.data_points.add(
        time_unix_nano=START, count=1, bucket_counts=[1], explicit_bounds=[1, 2]
    )
    answer = backend.post("metrics", request.SerializeToString())
    assert answer.status_code == 200
    assert b"one bucket more than it has bounds" in answer.content
    assert backend.get("/api/instruments", text=name) == []
