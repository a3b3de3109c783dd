"""From stored OTLP to the JSON of Jaeger's query API, by the rules of Jaeger v2's own translation.

Those are opentelemetry-collector-contrib's pkg/translator/jaeger and Jaeger's jaegerquery adjusters (adjust.py):
attributes sorted by key, unique span ids, and warnings that say what is odd.
"""

import base64
import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from waybill_explorer.adjust import adjust
from waybill_explorer.decode import compact_json, exact_for_browsers, plain_value
from waybill_explorer.ingest import service_of
from waybill_explorer.traces import NO_NAME

Json = dict[str, Any]

KINDS = {
    Span.SPAN_KIND_INTERNAL: "internal",
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_PRODUCER: "producer",
    Span.SPAN_KIND_CONSUMER: "consumer",
}
TYPES = {
    "string_value": "string",
    "int_value": "int64",
    "bool_value": "bool",
    "double_value": "float64",
    "bytes_value": "binary",
}


@dataclass(frozen=True)
class Arrival:
    """When the first span of a trace arrived (µs), and how many spans are stored of it."""

    time: int
    spans: int


def trace_json(parts: Iterable[tuple[ResourceSpans, Resource]], max_spans: int, arrival: Arrival) -> Json:
    """Return one trace as Jaeger's UI model, its spans in order of their start; of more than `max_spans` the first."""
    processes: dict[str, str] = {}
    process_bodies: dict[str, Json] = {}
    spans: list[tuple[int, Json]] = []
    for part, resource in parts:
        process = {"serviceName": service_of(resource), "tags": _tags(resource.attributes, skip="service.name")}
        process_id = processes.setdefault(compact_json(process), f"p{len(processes) + 1}")
        process_bodies[process_id] = process
        for scope_spans in part.scope_spans:
            scope = scope_spans.scope
            scope_tags = [
                _text(key, value)
                for key, value in (("otel.scope.name", scope.name), ("otel.scope.version", scope.version))
                if value
            ]
            for span in scope_spans.spans[: max_spans - len(spans)]:
                spans.append((span.start_time_unix_nano, _span(span, scope_tags, process_id)))
        if len(spans) == max_spans:
            break
    ordered = [span for _, span in sorted(spans, key=lambda item: item[0])]
    adjust(ordered, process_bodies, arrival.time)
    left_out = arrival.spans - len(ordered)
    return {
        "traceID": ordered[0]["traceID"] if ordered else "",
        "spans": ordered,
        "processes": process_bodies,
        "warnings": [f"{left_out:,} of its {arrival.spans:,} spans are left out"] if left_out > 0 else None,
    }


def _span(span: Span, scope_tags: list[Json], process_id: str) -> Json:
    trace_id = span.trace_id.hex()
    tags = scope_tags + _tags(span.attributes)
    if kind := KINDS.get(span.kind):
        tags.append(_text("span.kind", kind))
    if span.HasField("status"):
        status = span.status
        if status.code == Status.STATUS_CODE_OK:
            tags.append(_text("otel.status_code", "OK"))
        elif status.code == Status.STATUS_CODE_ERROR:
            tags += (_text("otel.status_code", "ERROR"), {"key": "error", "type": "bool", "value": True})
        if status.message:
            tags.append(_text("otel.status_description", status.message))
    if span.trace_state:
        tags.append(_text("w3c.tracestate", span.trace_state))
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    return {
        "traceID": trace_id,
        "spanID": span.span_id.hex(),
        "operationName": span.name or NO_NAME,
        "references": _references(span, trace_id),
        "startTime": (start or end) // 1000,
        "duration": max(0, end - start) // 1000 if start else 0,
        "tags": tags,
        "logs": [_event(event) for event in sorted(span.events, key=lambda e: e.time_unix_nano)],
        "processID": process_id,
        "warnings": _time_warnings(start, end),
    }


def _time_warnings(start: int, end: int) -> list[str] | None:
    if start and not end:
        return ["The span has no end: shown with no duration."]
    if end and not start:
        return ["The span has no start: shown at its end."]
    if end < start:
        return [f"The span ends {(start - end) // 1000:,} µs before it starts: shown with no duration."]
    return None


def _references(span: Span, trace_id: str) -> list[Json]:
    references = {}
    if span.parent_span_id:
        references[trace_id, span.parent_span_id.hex()] = "CHILD_OF"
    for link in span.links:
        opentracing = next((a.value.string_value for a in link.attributes if a.key == "opentracing.ref_type"), "")
        kind = "CHILD_OF" if opentracing == "child_of" else "FOLLOWS_FROM"
        references[link.trace_id.hex(), link.span_id.hex()] = kind
    return [{"refType": kind, "traceID": t, "spanID": s} for (t, s), kind in references.items()]


def _event(event: Span.Event) -> Json:
    fields = _tags(event.attributes)
    if event.name and not any(tag["key"] == "event" for tag in fields):
        fields.insert(0, _text("event", event.name))
    return {"timestamp": event.time_unix_nano // 1000, "fields": fields}


def _text(key: str, value: str) -> Json:
    return {"key": key, "type": "string", "value": value}


def _tags(attributes: Iterable[KeyValue], skip: str = "") -> list[Json]:
    tags = []
    for item in attributes:
        if item.key != skip:
            kind, value = _typed(item.value)
            tags.append({"key": item.key, "type": kind, "value": value})
    tags.sort(key=itemgetter("key"))
    return tags


def _typed(value: AnyValue) -> tuple[str, Any]:
    field = value.WhichOneof("value")
    if field is None:
        return "string", ""
    kind = TYPES.get(field)
    if kind is None:
        return "string", compact_json(plain_value(value))
    plain = getattr(value, field)
    if kind == "int64":
        return kind, exact_for_browsers(plain)
    return kind, base64.b64encode(plain).decode() if kind == "binary" else plain


def has_tag(tags: Iterable[Json], key: str, value: str) -> bool:
    """Return whether a tag of that key has that value, both read as text as Jaeger's search does."""
    return any(tag["key"] == key and _as_text(tag["value"]) == value for tag in tags)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return format(value, ".10g")
    return str(value)
