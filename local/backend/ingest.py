"""Turns OTLP messages into rows. Runs on the writer's thread only, inside the writer's transaction."""

import sqlite3
import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from local.backend.decode import compact_json, plain_attributes, plain_value

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""OpenTelemetry's severity ranges, four numbers each, from 1 (TRACE) to 24 (FATAL4)."""
NO_SERVICE = "OTLPResourceNoServiceName"
"""The service of a resource without attributes, as Jaeger names it."""
NO_NAME = "empty-span-name"
ANY = ""
"""In `operations`: whatever the operation, whatever the service."""
CACHED = 20_000
SHRINK_TO = 0.95

UPSERT_TRACE = """
INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
    start = min(start, excluded.start), end = max(end, excluded.end),
    spans = spans + excluded.spans, errors = errors + excluded.errors,
    root_rank = min(root_rank, excluded.root_rank),
    root_service = iif(excluded.root_rank < root_rank, excluded.root_service, root_service),
    root_name = iif(excluded.root_rank < root_rank, excluded.root_name, root_name)"""
UPSERT_MATCH = """
INSERT INTO matches VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    longest = max(longest, excluded.longest), failed = max(failed, excluded.failed)"""


@dataclass
class Rejected:
    """What a request held that was not stored: how many items, and why the first of them was not."""

    count: int = 0
    reason: str = ""

    def add(self, reason: str) -> None:
        self.count += 1
        self.reason = self.reason or reason


class Match:
    """When an operation first occurs in a trace, how long it takes at most (microseconds), whether it failed (0, 1)."""

    __slots__ = ("failed", "longest", "start")

    def __init__(self, start: int, longest: int, failed: int) -> None:
        self.start = start
        self.longest = longest
        self.failed = failed

    def add(self, start: int, longest: int, failed: int) -> None:
        self.start = min(self.start, start)
        self.longest = max(self.longest, longest)
        self.failed |= failed


@dataclass
class TraceRows:
    """What one request says of one trace."""

    end: int = 0
    spans: int = 0
    errors: int = 0
    root_rank: int = 2**63 - 1
    root: tuple[str, str] = ("", "")
    chunks: dict[int, bytearray] = field(default_factory=dict)
    matches: dict[tuple[str, str], Match] = field(default_factory=dict)

    def match_any(self) -> Match:
        """Add what matches any operation of a service; give what matches any service."""
        everything = Match(2**62, 0, 0)
        for (service, _), match in list(self.matches.items()):
            values = (match.start, match.longest, match.failed)
            everything.add(*values)
            self.matches.setdefault((service, ANY), Match(*values)).add(*values)
        self.matches[ANY, ANY] = everything
        return everything


class Ingest:
    """A writing connection and the ids it knows; thrown away with its connection when a transaction fails."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._ids: dict[Hashable, int] = {}
        tables = ("traces", "logs", "points")
        self._last_id: int = max(db.execute(f"SELECT ifnull(max(id), 0) FROM {t}").fetchone()[0] for t in tables)  # noqa: S608

    def next_id(self) -> int:
        """Ids are arrival times in microseconds since 1970, made unique, so ids of all tables compare by age."""
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        return self._last_id

    def add(self, request: Message) -> Rejected | None:
        """Write one decoded request; what is returned was left out of it."""
        rejected = Rejected()
        if isinstance(request, ExportTraceServiceRequest):
            self._add_traces(request, rejected)
        elif isinstance(request, ExportMetricsServiceRequest):
            self._add_metrics(request, rejected)
        elif isinstance(request, ExportLogsServiceRequest):
            self._add_logs(request, rejected)
        return rejected if rejected.count else None

    # ------------------------------------------------------------------------------------------------------- traces

    def _add_traces(self, request: ExportTraceServiceRequest, rejected: Rejected) -> None:
        traces: dict[bytes, TraceRows] = {}
        for resource_spans in request.resource_spans:
            resource, service = self._resource(resource_spans.resource)
            for scope_spans in resource_spans.scope_spans:
                parts_of_trace: dict[bytes, list[bytes]] = {}
                for span in scope_spans.spans:
                    trace_id, parent = span.trace_id, span.parent_span_id
                    if problem := _bad_ids(trace_id, span.span_id) or _bad_parent(parent):
                        rejected.add(problem)
                        continue
                    data = span.SerializeToString()
                    parts_of_trace.setdefault(trace_id, []).extend((_wire_header(2, len(data)), data))
                    trace = traces.get(trace_id)
                    if trace is None:
                        trace = traces[trace_id] = TraceRows()
                    name = span.name or NO_NAME
                    start = span.start_time_unix_nano // 1000
                    end = max(start, span.end_time_unix_nano // 1000)
                    failed = int(span.status.code == Status.STATUS_CODE_ERROR)
                    trace.spans += 1
                    trace.errors += failed
                    if end > trace.end:
                        trace.end = end
                    # A span without a parent is the root; until it arrives, the earliest one stands in for it.
                    rank = start + 2**61 if parent else start
                    if rank < trace.root_rank:
                        trace.root_rank, trace.root = rank, (service, name)
                    match = trace.matches.get((service, name))
                    if match is None:
                        trace.matches[service, name] = Match(start, end - start, failed)
                    else:
                        match.add(start, end - start, failed)
                scope = scope_spans.scope.SerializeToString()
                for trace_id, parts in parts_of_trace.items():
                    body = b"".join((_wire_header(1, len(scope)), scope, *parts))
                    chunk = traces[trace_id].chunks.setdefault(resource, bytearray())
                    chunk += _wire_header(2, len(body)) + body
        self._insert_traces(traces)

    def _insert_traces(self, traces: dict[bytes, TraceRows]) -> None:
        rows, chunks, matches = [], [], []
        for trace_id, t in traces.items():
            trace = self._trace(trace_id)
            rows.append((trace, trace_id, t.match_any().start, t.end, t.spans, t.errors, t.root_rank, *t.root))
            chunks += [(trace, resource, data) for resource, data in t.chunks.items()]
            matches += [(self._operation(*op), m.start, trace, m.longest, m.failed) for op, m in t.matches.items()]
        self.db.executemany(UPSERT_TRACE, rows)
        self.db.executemany("INSERT INTO chunks (trace, resource, data) VALUES (?, ?, ?)", chunks)
        self.db.executemany(UPSERT_MATCH, matches)

    def _trace(self, trace_id: bytes) -> int:
        known = self._ids.get(trace_id)
        if known is None:
            row = self.db.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
            known = self._remember(trace_id, row[0] if row else self.next_id())
        return known

    def _operation(self, service: str, name: str) -> int:
        return self._id_of(
            ("operations", service, name),
            "INSERT INTO operations (service, name) VALUES (?, ?) ON CONFLICT DO UPDATE SET name = name RETURNING id",
            (service, name),
        )

    def _resource(self, resource: Resource) -> tuple[int, str]:
        """Give the id and the service of a resource; its `used` time follows to the minute, for retention."""
        body = resource.SerializeToString(deterministic=True)
        service = service_of(resource)
        minute = time.time_ns() // 60_000_000_000
        return self._id_of(
            ("resources", body, minute),
            "INSERT INTO resources (service, used, body) VALUES (?, ?, ?)"
            " ON CONFLICT (body) DO UPDATE SET used = excluded.used RETURNING id",
            (service, minute * 60_000_000, body),
        ), service

    def _id_of(self, key: tuple[Any, ...], upsert: str, row: tuple[Any, ...]) -> int:
        return self._ids.get(key) or self._remember(key, self.db.execute(upsert, row).fetchone()[0])

    def _remember(self, key: Hashable, number: int) -> int:
        if len(self._ids) >= CACHED:
            self._ids.clear()
        self._ids[key] = number
        return number

    # --------------------------------------------------------------------------------------------------------- logs

    def _add_logs(self, request: ExportLogsServiceRequest, rejected: Rejected) -> None:
        rows = []
        for resource_logs in request.resource_logs:
            service = service_of(resource_logs.resource)
            for scope_logs in resource_logs.scope_logs:
                for record in scope_logs.log_records:
                    if (record.trace_id or record.span_id) and (problem := _bad_ids(record.trace_id, record.span_id)):
                        rejected.add(problem)
                    else:
                        rows.append((self.next_id(), *_log_row(record), service, scope_logs.scope.name))
        self.db.executemany(
            "INSERT INTO logs (id, time, severity, level, body, trace_id, span_id, attributes, service, logger)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    # ------------------------------------------------------------------------------------------------------ metrics

    def _add_metrics(self, request: ExportMetricsServiceRequest, rejected: Rejected) -> None:
        points, exemplars = [], []
        for resource_metrics in request.resource_metrics:
            resource, _ = self._resource(resource_metrics.resource)
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    for point in _data_points(metric):
                        if problem := _bad_point(metric, point):
                            rejected.add(f"{metric.name}: {problem}")
                            continue
                        series = self._series(metric, point, resource, scope_metrics.scope.name)
                        at = (point.time_unix_nano or time.time_ns()) // 1000
                        if not point.flags & 1:  # NO_RECORDED_VALUE: the series ended here
                            points.append((self.next_id(), series, at, *_point_row(point)))
                        exemplars += [_exemplar_row(series, exemplar) for exemplar in getattr(point, "exemplars", ())]
        self.db.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?)", points)
        self.db.executemany(
            "INSERT OR IGNORE INTO exemplars (series, time, value, trace_id, span_id, attributes)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            exemplars,
        )

    def _series(self, metric: Metric, point: Any, resource: int, scope: str) -> int:
        kind = metric.WhichOneof("data")
        data = getattr(metric, str(kind))
        delta = getattr(data, "aggregation_temporality", 0) == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        attributes = compact_json(plain_attributes(point.attributes))
        identity = (metric.name, kind, delta, resource, scope, attributes)
        return self._id_of(
            ("series", *identity),
            "INSERT INTO series (name, type, delta, resource, scope, attributes, unit, description, monotonic)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET unit = excluded.unit RETURNING id",
            (*identity, metric.unit, metric.description, getattr(data, "is_monotonic", None)),
        )

    # ---------------------------------------------------------------------------------------------------- retention

    def keep_under(self, limit: int) -> None:
        """Drop the oldest data of all signals, a twentieth at a time, once the file holds more than `limit` bytes."""
        if self._used_bytes() <= limit:
            return
        while self._used_bytes() > limit * SHRINK_TO and (cutoff := self._cutoff()):
            self.db.execute("BEGIN IMMEDIATE")
            for condition in (
                "chunks WHERE trace < :cutoff",
                "matches WHERE trace < :cutoff",
                "traces WHERE id < :cutoff",
                "logs WHERE id < :cutoff",
                "points WHERE id < :cutoff",
                "exemplars WHERE time < :cutoff",
                "operations WHERE NOT EXISTS (SELECT 1 FROM matches WHERE operation = operations.id)",
                "series WHERE NOT EXISTS (SELECT 1 FROM points WHERE series = series.id)",
                "resources WHERE used < :cutoff - 120000000",
            ):
                self.db.execute(f"DELETE FROM {condition}", {"cutoff": cutoff})  # noqa: S608
            self.db.execute("COMMIT")
            self._ids.clear()

    def _used_bytes(self) -> int:
        pages, free, size = (
            self.db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _cutoff(self) -> int | None:
        """The id below which the oldest twentieth of one signal lies, of the signal where that is longest ago."""
        cutoffs = [
            self.db.execute(
                f"SELECT id FROM {t} ORDER BY id LIMIT 1 OFFSET (SELECT max(count(*) / 20, 1) FROM {t})"  # noqa: S608
            ).fetchone()
            for t in ("traces", "logs", "points")
        ]
        return min((row[0] for row in cutoffs if row), default=None)


def service_of(resource: Resource) -> str:
    """Give `service.name`, or what Jaeger shows when it is missing."""
    for attribute in resource.attributes:
        if attribute.key == "service.name" and attribute.value.string_value:
            return attribute.value.string_value
    return NO_SERVICE


def level_of(severity: int, text: str) -> str:
    """Give one of LEVELS for a severity number, or the sender's own text where it gave no number."""
    return LEVELS[min((severity - 1) // 4, 5)] if severity > 0 else text.upper()


@lru_cache(maxsize=4096)
def _wire_header(number: int, length: int) -> bytes:
    """Start a length-delimited protobuf field: messages are put together from parts, not copied and encoded anew."""
    header = bytearray([number << 3 | 2])
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header)


def _bad_ids(trace_id: bytes, span_id: bytes) -> str:
    if len(trace_id) != 16 or trace_id == bytes(16):
        return f"trace id {trace_id.hex()!r} is not 16 bytes with one that is not zero"
    if len(span_id) != 8 or span_id == bytes(8):
        return f"span id {span_id.hex()!r} is not 8 bytes with one that is not zero"
    return ""


def _bad_parent(parent_span_id: bytes) -> str:
    return "" if len(parent_span_id) in (0, 8) else f"parent span id {parent_span_id.hex()!r} is not 8 bytes"


def _log_row(record: LogRecord) -> tuple[Any, ...]:
    at = (record.time_unix_nano or record.observed_time_unix_nano or time.time_ns()) // 1000
    body = plain_value(record.body)
    attributes = plain_attributes(record.attributes)
    if record.event_name:
        attributes["event.name"] = record.event_name
    return (
        at,
        record.severity_number,
        level_of(record.severity_number, record.severity_text),
        body if isinstance(body, str) else ("" if body is None else compact_json(body)),
        record.trace_id or None,
        record.span_id or None,
        compact_json(attributes),
    )


def _data_points(metric: Metric) -> Iterable[Any]:
    kind = metric.WhichOneof("data")
    points: Iterable[Any] = getattr(metric, kind).data_points if kind else ()
    return points


def _bad_point(metric: Metric, point: Any) -> str:
    kind = metric.WhichOneof("data")
    if not metric.name:
        return "a metric needs a name"
    if kind == "histogram" and len(point.bucket_counts) not in (0, len(point.explicit_bounds) + 1):
        return "a histogram needs one bucket more than it has bounds"
    if kind == "exponential_histogram" and not -10 <= point.scale <= 20:
        return "an exponential histogram's scale lies between -10 and 20"
    return ""


def _number(point: Any) -> float | None:
    kind = point.WhichOneof("value")
    return float(getattr(point, kind)) if kind else None


def _point_row(point: Any) -> tuple[int, float | None, bytes | None]:
    start = point.start_time_unix_nano // 1000
    if hasattr(point, "as_double"):
        return start, _number(point), None
    histogram = type(point)()
    histogram.CopyFrom(point)
    histogram.ClearField("attributes")
    if hasattr(histogram, "exemplars"):
        histogram.ClearField("exemplars")
    return start, None, histogram.SerializeToString()


def _exemplar_row(series: int, exemplar: Any) -> tuple[Any, ...]:
    attributes = compact_json(plain_attributes(exemplar.filtered_attributes))
    ids = (exemplar.trace_id or None, exemplar.span_id or None)
    return (series, exemplar.time_unix_nano // 1000, _number(exemplar), *ids, attributes)
