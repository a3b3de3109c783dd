"""The data points of one export and their rows in `series`, `points` and `exemplars`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, DataPointFlags, Metric

from waybill_explorer.decode import compact_json, plain_attributes
from waybill_explorer.ingest import Batch, Ingest, StoredResource, association, stored_resource, too_large

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
ENDED = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK


class PointRow(NamedTuple):
    """A data point: what identifies its series and describes it; its time in µs, 0 for the time of arrival."""

    resource: StoredResource
    identity: tuple[Any, ...]
    description: tuple[Any, ...]
    time: int
    values: tuple[int, float | None, bytes | None]
    exemplars: list[tuple[Any, ...]]


@dataclass
class PointBatch(Batch):
    """The data points of some exports."""

    rows: list[PointRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows) + sum(len(row.exemplars) for row in self.rows)

    def write(self, ingest: Ingest) -> None:
        """Write the points; one of the same series and time replaces what is stored."""
        points, exemplars = [], []
        for row in self.rows:
            series = _series(ingest, row)
            point = ingest.next_id()
            points.append((point, series, row.time or point, *row.values))
            exemplars += [(ingest.next_id(), series, *exemplar) for exemplar in row.exemplars]
        ingest.db.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?)", points)
        ingest.db.executemany(
            "INSERT OR IGNORE INTO exemplars (id, series, time, value, trace_id, span_id, attributes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            exemplars,
        )


def _series(ingest: Ingest, row: PointRow) -> int:
    return ingest.id_of(
        "INSERT INTO series (resource, name, type, delta, scope, attributes, unit, description, monotonic)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET unit = excluded.unit RETURNING id",
        (ingest.resource(row.resource), *row.identity, *row.description),
    )


def read_points(request: ExportMetricsServiceRequest, item_limit: int) -> PointBatch:
    """Read the data points of an export; those that cannot be stored are counted in `rejected`."""
    batch = PointBatch()
    for r, resource_metrics in enumerate(request.resource_metrics):
        resource = stored_resource(resource_metrics.resource)
        large_resource = too_large(len(resource.body), item_limit)
        for s, scope_metrics in enumerate(resource_metrics.scope_metrics):
            scope = scope_metrics.scope.name
            for m, metric in enumerate(scope_metrics.metrics):
                place = f"resourceMetrics[{r}].scopeMetrics[{s}].metrics[{m}]"
                kind = metric.WhichOneof("data") or ""
                texts = len(metric.name) + len(metric.description) + len(metric.unit) + len(scope)
                for i, point in enumerate(getattr(metric, kind).data_points if kind else ()):
                    problem = large_resource or too_large(point.ByteSize() + texts, item_limit)
                    if problem := problem or problem_of(metric.name, kind, point):
                        path = f"resourceMetrics[{r}].resource" if large_resource else f"{place}.dataPoints[{i}]"
                        batch.rejected.add(path, f"{problem} (metric {metric.name!r:.80})")
                        continue
                    batch.rows.append(_row(metric, kind, point, resource, scope))
                    batch.is_dated &= bool(point.time_unix_nano)
    return batch


def _row(metric: Metric, kind: str, point: Any, resource: StoredResource, scope: str) -> PointRow:
    data = getattr(metric, kind)
    is_delta = getattr(data, "aggregation_temporality", 0) == DELTA
    attributes = compact_json(plain_attributes(point.attributes))
    return PointRow(
        resource,
        (metric.name, kind, is_delta, scope, attributes),
        (metric.unit, metric.description, getattr(data, "is_monotonic", None)),
        point.time_unix_nano // 1000,
        _values(point),
        [_exemplar(exemplar) for exemplar in _exemplars(point)],
    )


def problem_of(name: str, kind: str, point: Any) -> str:
    """Return what is wrong with a data point, or nothing."""
    if not name:
        return "a metric needs a name"
    if kind == "histogram" and len(point.bucket_counts) not in (0, len(point.explicit_bounds) + 1):
        return "a histogram needs one bucket more than it has bounds"
    if kind == "exponential_histogram" and not -10 <= point.scale <= 20:
        return f"scale {point.scale} of an exponential histogram is not between -10 and 20"
    return ""


def _values(point: Any) -> tuple[int, float | None, bytes | None]:
    """Return start, value and histogram; no value where the series ended (NO_RECORDED_VALUE): a gap begins there."""
    start = point.start_time_unix_nano // 1000
    if point.flags & ENDED:
        return start, None, None
    if hasattr(point, "as_double"):
        return start, _number(point), None
    histogram = type(point)()
    histogram.CopyFrom(point)
    histogram.ClearField("attributes")
    if hasattr(histogram, "exemplars"):
        histogram.ClearField("exemplars")
    return start, None, histogram.SerializeToString()


def _exemplars(point: Any) -> Iterable[Any]:
    exemplars: Iterable[Any] = getattr(point, "exemplars", ())
    return exemplars


def _number(point: Any) -> float | None:
    kind = point.WhichOneof("value")
    return float(getattr(point, kind)) if kind else None


def _exemplar(exemplar: Any) -> tuple[Any, ...]:
    attributes = compact_json(plain_attributes(exemplar.filtered_attributes))
    ids = association(exemplar.trace_id, exemplar.span_id)
    return (exemplar.time_unix_nano // 1000, _number(exemplar), *ids, attributes)
