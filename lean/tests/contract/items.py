"""What a receiver got as comparable items: ids, times, ports and addresses of objects are masked, nothing else."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

MASKED_ATTRIBUTES = {"service.instance.id", "client.port", "process.pid", "duration_ms", "telemetry.sdk.version"}
MASKS = (
    (re.compile(r"\b[0-9a-f]{32}-[0-9a-f]{16}\b"), "<trace>-<span>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"0x[0-9a-f]{6,}"), "<address>"),
    (re.compile(r"\bline \d+\b"), "line <n>"),
    (re.compile(r"\bpid: \d+\b"), "pid: <n>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(\+00:00|Z)?"), "<time>"),
)
INSTRUMENTATION = re.compile(r'File "[^"]*/(opentelemetry|waybill_lean|wrapt|contextlib)\b')

Item = tuple[Any, ...]


def items(requests: Iterable[Any]) -> Counter[Item]:
    """Count the spans, events, links, log records, points and exemplars; the first part of an item is its kind."""
    requests = list(requests)
    spans = {span.span_id: span for *_, span in _spans(requests)}
    found: Counter[Item] = Counter()
    found.update(item for group in _spans(requests) for item in _span_items(*group, spans))
    found.update(_log_item(resource, scope, record, spans) for resource, scope, record in _logs(requests))
    found.update(item for group in _metrics(requests) for item in _metric_items(*group, spans))
    return found


def totals(found: Counter[Item]) -> dict[str, int]:
    """Return the number of items of each kind."""
    counts: Counter[str] = Counter()
    for item, n in found.items():
        counts[item[0]] += n
    return dict(counts)


def difference(official: Counter[Item], lean: Counter[Item]) -> str:
    """Return what only one of the two has, a line for each item."""
    lines = [f"- {n} x {item}" for item, n in (official - lean).items()]
    return "\n".join([*lines, *(f"+ {n} x {item}" for item, n in (lean - official).items())])


def _spans(requests: list[Any]) -> Iterator[tuple[str, str, Span]]:
    for request in requests:
        for group in getattr(request, "resource_spans", ()):
            for scope in group.scope_spans:
                yield from ((_resource(group), _scope(scope), span) for span in scope.spans)


def _logs(requests: list[Any]) -> Iterator[tuple[str, str, Any]]:
    for request in requests:
        for group in getattr(request, "resource_logs", ()):
            for scope in group.scope_logs:
                yield from ((_resource(group), _scope(scope), record) for record in scope.log_records)


def _metrics(requests: list[Any]) -> Iterator[tuple[str, str, Any]]:
    for request in requests:
        for group in getattr(request, "resource_metrics", ()):
            for scope in group.scope_metrics:
                yield from ((_resource(group), _scope(scope), metric) for metric in scope.metrics)


def _span_items(resource: str, scope: str, span: Span, spans: dict[bytes, Span]) -> Iterator[Item]:
    assert len(span.trace_id) == 16
    assert len(span.span_id) == 8
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
    path = _path(span.span_id, spans)
    yield (
        *("span", resource, scope, path, Span.SpanKind.Name(span.kind), _attributes(span.attributes)),
        *(span.status.code, _masked(span.status.message), hex(span.flags), span.trace_state),
        *(span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count),
        *(len(span.events), len(span.links)),
    )
    for event in span.events:
        assert span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano
        yield "event", path, event.name, _attributes(event.attributes), event.dropped_attributes_count
    for link in span.links:
        yield "link", path, len(link.trace_id), hex(link.flags), link.trace_state, _attributes(link.attributes)


def _log_item(resource: str, scope: str, record: Any, spans: dict[bytes, Span]) -> Item:
    assert record.observed_time_unix_nano > 0
    return (
        *("log", resource, scope, record.severity_number, record.severity_text, _json(_value(record.body))),
        *(_attributes(record.attributes), hex(record.flags), record.event_name),
        *(_path(record.span_id, spans), bool(record.time_unix_nano), record.dropped_attributes_count),
    )


def _metric_items(resource: str, scope: str, metric: Any, spans: dict[bytes, Span]) -> Iterator[Item]:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    for point in data.data_points:
        series = (resource, scope, metric.name, metric.unit, metric.description, kind, _attributes(point.attributes))
        how = (getattr(data, "aggregation_temporality", 0), getattr(data, "is_monotonic", None), point.flags)
        if kind == "histogram":
            assert sum(point.bucket_counts) == point.count
            value: Any = (point.count, tuple(point.explicit_bounds), point.sum > 0, point.min <= point.max)
            single = point.count == 1
        else:
            value, single = (point.WhichOneof("value"), point.as_int or point.as_double), False
        yield ("point", *series, *how, value, bool(point.exemplars))
        for exemplar in point.exemplars:
            assert exemplar.time_unix_nano > 0
            # Which of several measurements is kept is a matter of chance.
            of = _path(exemplar.span_id, spans) if single else (len(exemplar.trace_id), len(exemplar.span_id))
            if single or exemplar is point.exemplars[0]:
                yield "exemplar", *series, of, _attributes(exemplar.filtered_attributes), exemplar.WhichOneof("value")


def _path(span_id: bytes, spans: dict[bytes, Span]) -> str:
    """Return the names of the span and those above it; `?` is a span of another process."""
    if not span_id:
        return ""
    if span_id not in spans:
        return "?"
    span = spans[span_id]
    above = _path(span.parent_span_id, spans)
    return f"{above} > {_masked(span.name)}" if above else _masked(span.name)


def _resource(group: Any) -> str:
    return f"{_attributes(group.resource.attributes)} {group.schema_url}"


def _scope(group: Any) -> str:
    scope = group.scope
    return f"{scope.name} {scope.version} {_attributes(scope.attributes)} {group.schema_url}"


def _attributes(attributes: Iterable[KeyValue]) -> str:
    return _json({item.key: _attribute(item.key, _value(item.value)) for item in attributes})


def _attribute(key: str, value: Any) -> Any:
    if key in MASKED_ATTRIBUTES:
        return "*"
    if key == "exception.stacktrace":
        return _frames(value)
    return value


def _frames(stacktrace: str) -> list[str]:
    """Return the stack trace without the frames of the instrumentation, which are its own affair."""
    kept: list[str] = []
    inside = False
    for line in stacktrace.splitlines():
        if line.startswith("  File "):
            inside = INSTRUMENTATION.search(line) is not None
        elif not line.startswith("    "):
            inside = False
        if not inside:
            kept.append(line)
    return kept


def _value(any_value: AnyValue) -> Any:
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in any_value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _value(item.value) for item in any_value.kvlist_value.values}
    value = getattr(any_value, kind)
    return value.hex() if kind == "bytes_value" else value


def _json(value: Any) -> str:
    return _masked(json.dumps(value, sort_keys=True))


def _masked(text: str) -> str:
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return text
