"""From stored OTLP to the JSON of Jaeger's query API, by the rules of Jaeger v2's own translation.

Those are opentelemetry-collector-contrib's pkg/translator/jaeger and Jaeger's jaegerquery adjusters: attributes sorted
by key, spans sent twice shown once.
"""

import base64
import math
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from local.backend.decode import compact_json, plain_value
from local.backend.ingest import NO_NAME, service_of

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
MAX_SAFE_INTEGER = 2**53 - 1
"""JavaScript cannot hold a larger integer exactly, so Jaeger sends its digits."""


def trace_json(parts: Iterable[tuple[ResourceSpans, Resource]]) -> Json:
    """Give one trace as Jaeger's UI model, its spans in order of their start."""
    processes: dict[str, str] = {}
    process_bodies: dict[str, Json] = {}
    spans: dict[tuple[Any, ...], tuple[int, Json]] = {}
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
            for span in scope_spans.spans:
                identity = (process_id, span.span_id, span.name, span.start_time_unix_nano, span.end_time_unix_nano)
                if identity not in spans:
                    spans[identity] = (span.start_time_unix_nano, _span(span, scope_tags, process_id))
    ordered = [span for _, span in sorted(spans.values(), key=lambda item: item[0])]
    return {
        "traceID": ordered[0]["traceID"] if ordered else "",
        "spans": ordered,
        "processes": process_bodies,
        "warnings": None,
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
    start = span.start_time_unix_nano
    return {
        "traceID": trace_id,
        "spanID": span.span_id.hex(),
        "operationName": span.name or NO_NAME,
        "references": _references(span, trace_id),
        "startTime": start // 1000,
        "duration": max(0, span.end_time_unix_nano - start) // 1000,
        "tags": tags,
        "logs": [_event(event) for event in sorted(span.events, key=lambda e: e.time_unix_nano)],
        "processID": process_id,
        "warnings": None,
    }


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
    if kind == "int64" and abs(plain) > MAX_SAFE_INTEGER:
        return kind, str(plain)
    return kind, base64.b64encode(plain).decode() if kind == "binary" else plain


def has_tag(tags: Iterable[Json], key: str, value: str) -> bool:
    """Tell whether a tag of that key has that value, both read as text as Jaeger's search does."""
    return any(tag["key"] == key and _as_text(tag["value"]) == value for tag in tags)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return format(value, ".10g")
    return str(value)
