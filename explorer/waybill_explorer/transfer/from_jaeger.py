"""Jaeger's JSON, as its UI downloads it and its API gives it, as items: the reverse of jaeger.py.

By the rules of opentelemetry-collector-contrib's pkg/translator/jaeger: tags such as `span.kind` and `error` become
the fields of a span, a second parent and a reference to another trace become links, logs become events.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer.jaeger import KINDS
from waybill_explorer.transfer.items import Item, Origin, Unreadable

Json = dict[str, Any]
KIND_BY_NAME = {name: kind for kind, name in KINDS.items()}
SCOPE_NAMES = ("otel.scope.name", "otel.library.name")
SCOPE_VERSIONS = ("otel.scope.version", "otel.library.version")
MAX_INT64 = 2**63


class _Bad(Exception):
    """A field cannot be read; its path and what is wrong with it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def traces_of(value: Any) -> list[tuple[str, Json]] | None:
    """Return the traces of a value with their paths, or None if it is not Jaeger's JSON.

    That is the API's `{"data": [trace]}`, a list of traces, or one trace.
    """
    if isinstance(value, dict) and "data" in value and "spans" not in value:
        return _listed(value["data"], "data")
    if isinstance(value, list):
        return _listed(value, "")
    return [("", value)] if _is_trace(value) else None


def _listed(value: Any, place: str) -> list[tuple[str, Json]] | None:
    if not isinstance(value, list) or not value or not all(_is_trace(one) for one in value):
        return None
    return [(f"{place}[{index}]", one) for index, one in enumerate(value)]


def _is_trace(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("spans"), list) and "traceID" in value


def read(trace: Json, place: str) -> Iterator[Item | Unreadable]:
    """Yield the spans of one trace."""
    origins: dict[tuple[str, str, str], Origin] = {}
    for index, raw in enumerate(trace["spans"]):
        at = ".".join(filter(None, (place, f"spans[{index}]")))
        try:
            span, scope = _span(_object(raw, ""))
            name = str(raw.get("processID", ""))
            key = (name if name else at, scope.name, scope.version)
            if key not in origins:
                origins[key] = Origin(_resource(_process(trace, raw)), scope)
            yield Item("traces", origins[key], span, at)
        except _Bad as error:
            yield Unreadable("traces", ".".join(filter(None, (at, error.path))), error.problem)


def _process(trace: Json, raw: Json) -> Json:
    if "process" in raw:
        return _object(raw["process"], "process")
    processes = _object(trace.get("processes") or {}, "processes")
    name = str(raw.get("processID", ""))
    if name not in processes:
        raise _Bad("processID", f"{name!r:.80} is not one of the trace's processes")
    return _object(processes[name], f"processes.{name}")


def _resource(process: Json) -> Resource:
    resource = Resource()
    if service := process.get("serviceName"):
        resource.attributes.add(key="service.name").value.string_value = str(service)
    resource.attributes.extend(_attribute(tag, path) for path, tag in _tags(process.get("tags"), "process.tags"))
    return resource


def _span(raw: Json) -> tuple[Span, InstrumentationScope]:
    start = _whole(raw.get("startTime"), "startTime")
    span = Span(
        trace_id=_id(raw.get("traceID"), 16, "traceID"),
        span_id=_id(raw.get("spanID"), 8, "spanID"),
        name=str(raw.get("operationName", "")),
        start_time_unix_nano=start * 1000,
        end_time_unix_nano=(start + max(0, _whole(raw.get("duration", 0), "duration"))) * 1000,
    )
    scope = InstrumentationScope()
    for path, tag in _tags(raw.get("tags"), "tags"):
        if not _is_field(span, scope, tag):
            span.attributes.append(_attribute(tag, path))
    _add_references(span, raw)
    for index, event in enumerate(_array(raw.get("logs"), "logs")):
        _add_event(span, _object(event, f"logs[{index}]"), f"logs[{index}]")
    return span, scope


def _is_field(span: Span, scope: InstrumentationScope, tag: Json) -> bool:
    """Set the field of a span that a tag stands for; return whether it does."""
    key, value = tag["key"], tag.get("value")
    if key == "span.kind" and value in KIND_BY_NAME:
        span.kind = KIND_BY_NAME[value]
    elif key == "otel.status_code" and value in ("OK", "ERROR"):
        span.status.code = Status.STATUS_CODE_OK if value == "OK" else Status.STATUS_CODE_ERROR
    elif key == "error" and value in (True, "true"):
        span.status.code = Status.STATUS_CODE_ERROR
    elif key == "otel.status_description":
        span.status.message = str(value)
    elif key == "w3c.tracestate":
        span.trace_state = str(value)
    elif key in SCOPE_NAMES:
        scope.name = str(value)
    elif key in SCOPE_VERSIONS:
        scope.version = str(value)
    else:
        return False
    return True


def _add_references(span: Span, raw: Json) -> None:
    """Take the first parent of the same trace; all other references are links."""
    parent = raw.get("parentSpanID")
    if parent:
        span.parent_span_id = _id(parent, 8, "parentSpanID")
    for index, reference in enumerate(_array(raw.get("references"), "references")):
        path = f"references[{index}]"
        one = _object(reference, path)
        trace_id = _id(one.get("traceID"), 16, f"{path}.traceID")
        span_id = _id(one.get("spanID"), 8, f"{path}.spanID")
        is_child = one.get("refType") == "CHILD_OF"
        if is_child and trace_id == span.trace_id and span.parent_span_id in (b"", span_id):
            span.parent_span_id = span_id
            continue
        link = span.links.add(trace_id=trace_id, span_id=span_id)
        if is_child:
            link.attributes.add(key="opentracing.ref_type").value.string_value = "child_of"


def _add_event(span: Span, raw: Json, path: str) -> None:
    event = span.events.add(time_unix_nano=_whole(raw.get("timestamp"), f"{path}.timestamp") * 1000)
    for place, tag in _tags(raw.get("fields"), f"{path}.fields"):
        if tag["key"] == "event" and not event.name:
            event.name = str(tag.get("value", ""))
        else:
            event.attributes.append(_attribute(tag, place))


def _tags(raw: Any, path: str) -> Iterator[tuple[str, Json]]:
    for index, tag in enumerate(_array(raw, path)):
        place = f"{path}[{index}]"
        if not isinstance(tag, dict) or not isinstance(tag.get("key"), str):
            raise _Bad(place, "an object with a key is expected")
        yield place, tag


def _attribute(tag: Json, path: str) -> KeyValue:
    value: Any = tag.get("value")
    kind = str(tag.get("type", "")).lower()
    result = AnyValue()
    try:
        if kind == "binary" and isinstance(value, str):
            result.bytes_value = base64.b64decode(value, validate=True)
        elif kind in ("int64", "int", "long") and _is_int64(value):
            result.int_value = int(value)
        elif kind in ("float64", "double") and not isinstance(value, bool):
            result.double_value = float(value)
        elif isinstance(value, bool) or kind == "bool":
            result.bool_value = value in (True, "true")
        elif not kind and isinstance(value, int | float):
            _set_number(result, value)
        else:
            result.string_value = "" if value is None else str(value)
    except (binascii.Error, ValueError, TypeError) as error:
        raise _Bad(f"{path}.value", f"{value!r:.80} is not {kind}") from error
    return KeyValue(key=tag["key"], value=result)


def _is_int64(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?\d{1,19}", value) is not None and -MAX_INT64 <= int(value) < MAX_INT64
    return isinstance(value, int) and not isinstance(value, bool) and -MAX_INT64 <= value < MAX_INT64


def _set_number(result: AnyValue, value: float) -> None:
    if _is_int64(value):
        result.int_value = int(value)
    else:
        result.double_value = float(value)


def _id(value: Any, size: int, path: str) -> bytes:
    """Read an id in hex; leading zeros may be missing, as in the 64-bit trace ids of older clients."""
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{1,{2 * size}}}", value):
        raise _Bad(path, f"{value!r:.80} is not an id of up to {2 * size} hex digits")
    return bytes.fromhex(value.zfill(2 * size))


def _whole(value: Any, path: str) -> int:
    """Read a time or a duration in µs that fits OTLP's nanoseconds."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise _Bad(path, f"{value!r:.80} is not a whole number of microseconds") from None
    if not 0 <= number < MAX_INT64 // 1000:
        raise _Bad(path, f"{number} is not between 0 and {MAX_INT64 // 1000}")
    return number


def _object(value: Any, path: str) -> Json:
    if not isinstance(value, dict):
        raise _Bad(path, "an object is expected")
    return value


def _array(value: Any, path: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Bad(path, "a list is expected")
    return value
