"""The log records and the metrics of a time as OTLP/JSON: `GET /api/export/logs` and `/api/export/metrics`.

Log records are as they were sent. Of a data point there is what the store keeps: its time to the microsecond, its value
as a double, and no flags. What is exported is imported again without a change.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Exemplar,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    SummaryDataPoint,
)

from waybill_explorer import queries
from waybill_explorer.decode import compact_json
from waybill_explorer.otlp_json import TooLargeToExport, ids_to_hex, resource_logs

MAX_ITEMS = 200_000
"""Log records or data points of one export."""
HISTOGRAMS: dict[str, Any] = {
    "histogram": HistogramDataPoint,
    "exponential_histogram": ExponentialHistogramDataPoint,
    "summary": SummaryDataPoint,
}
ENDED = 1
"""The flag NO_RECORDED_VALUE."""


def export_logs(db: sqlite3.Connection, start: int, end: int) -> Iterator[str]:
    """Return the text of `{"resourceLogs": [...]}` in pieces: all records from `start` to `end` (µs).

    Raise TooLargeToExport before the first piece.
    """
    _check(db, "logs", start, end)
    return _document("resourceLogs", resource_logs(db, "time BETWEEN ? AND ?", start, end))


def export_metrics(db: sqlite3.Connection, start: int, end: int) -> Iterator[str]:
    """Return the text of `{"resourceMetrics": [...]}` in pieces: all data points from `start` to `end` (µs).

    Raise TooLargeToExport before the first piece.
    """
    _check(db, "points", start, end)
    return _document("resourceMetrics", _resource_metrics(db, start, end))


def _check(db: sqlite3.Connection, table: str, start: int, end: int) -> None:
    query = f"SELECT count(*) FROM {table} WHERE time BETWEEN ? AND ?"  # noqa: S608 - a table of ours
    (count,) = db.execute(query, (start, end)).fetchone()
    if count > MAX_ITEMS:
        raise TooLargeToExport(f"{count:,} {table} are in this time: up to {MAX_ITEMS:,} are exported, so shorten it")


def _document(name: str, parts: Iterable[Any]) -> Iterator[str]:
    yield f'{{"{name}":['
    comma = ""
    for part in parts:
        yield comma + compact_json(part)
        comma = ","
    yield "]}"


def _resource_metrics(db: sqlite3.Connection, start: int, end: int) -> Iterator[Any]:
    rows = db.execute(
        "SELECT series.*, resources.body AS body FROM series JOIN resources ON resources.id = series.resource"
        " ORDER BY resources.body, scope, name, type, delta, attributes"
    ).fetchall()
    for body, of_resource in groupby(rows, key=lambda row: row["body"]):
        part = ResourceMetrics(resource=queries.resource_of(body))
        for scope, of_scope in groupby(of_resource, key=lambda row: row["scope"]):
            metrics = [
                metric
                for _, series in groupby(of_scope, key=lambda row: (row["name"], row["type"], row["delta"]))
                if (metric := _metric(db, list(series), start, end))
            ]
            if metrics:
                inside = part.scope_metrics.add(metrics=metrics)
                inside.scope.name = scope
        if part.scope_metrics:
            yield ids_to_hex(json_format.MessageToDict(part, use_integers_for_enums=True))


def _metric(db: sqlite3.Connection, series: list[sqlite3.Row], start: int, end: int) -> Metric | None:
    """Return a metric with the points of its series, or None if none is of this time."""
    first = series[0]
    metric = Metric(name=first["name"], unit=first["unit"], description=first["description"])
    data = getattr(metric, first["type"])
    for one in series:
        data.data_points.extend(_points(db, one, start, end))
    if not data.data_points:
        return None
    if hasattr(data, "aggregation_temporality"):
        temporality = "DELTA" if first["delta"] else "CUMULATIVE"
        data.aggregation_temporality = AggregationTemporality.Value(f"AGGREGATION_TEMPORALITY_{temporality}")
    if hasattr(data, "is_monotonic"):
        data.is_monotonic = bool(first["monotonic"])
    return metric


def _points(db: sqlite3.Connection, series: sqlite3.Row, start: int, end: int) -> Iterator[Any]:
    """Yield the points of a series; each exemplar is with the first point that was taken at its time or later."""
    attributes = _key_values(json.loads(series["attributes"]))
    exemplars = db.execute(
        "SELECT * FROM exemplars WHERE series = ? AND time BETWEEN ? AND ? ORDER BY time, id",
        (series["id"], start, end),
    ).fetchall()
    for row in db.execute(
        "SELECT * FROM points WHERE series = ? AND time BETWEEN ? AND ? ORDER BY time", (series["id"], start, end)
    ):
        point = _point(series["type"], row)
        point.attributes.extend(attributes)
        point.time_unix_nano, point.start_time_unix_nano = row["time"] * 1000, row["start"] * 1000
        while exemplars and exemplars[0]["time"] <= row["time"] and hasattr(point, "exemplars"):
            point.exemplars.append(_exemplar(exemplars.pop(0)))
        yield point


def _point(kind: str, row: sqlite3.Row) -> Any:
    if row["histogram"] is not None:
        return HISTOGRAMS[kind].FromString(row["histogram"])
    point = HISTOGRAMS.get(kind, NumberDataPoint)()
    if row["value"] is None:
        point.flags = ENDED
    else:
        point.as_double = row["value"]
    return point


def _exemplar(row: sqlite3.Row) -> Exemplar:
    exemplar = Exemplar(
        time_unix_nano=row["time"] * 1000, trace_id=row["trace_id"] or b"", span_id=row["span_id"] or b""
    )
    if row["value"] is not None:
        exemplar.as_double = row["value"]
    exemplar.filtered_attributes.extend(_key_values(json.loads(row["attributes"])))
    return exemplar


def _key_values(plain: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in plain.items()]


def _any_value(value: Any) -> AnyValue:
    found = AnyValue()
    match value:
        case bool():
            found.bool_value = value
        case int():
            found.int_value = value
        case float():
            found.double_value = value
        case list():
            found.array_value.values.extend(_any_value(item) for item in value)
        case dict():
            found.kvlist_value.values.extend(_key_values(value))
        case None:
            pass
        case _:
            found.string_value = str(value)
    return found
