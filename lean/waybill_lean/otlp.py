"""Spans and log records as the bytes of OTLP requests."""

from collections.abc import Sequence
from struct import Struct
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from . import wire
from .attributes import FixedAttributes
from .wire import CACHED_TEXT, MAX_UINT64, attributes, field, remember, text, varint

UNSET = Status(StatusCode.UNSET)
"""That of a lean span unless it is set."""

_times = Struct("<BQBQ").pack
_KINDS = {
    SpanKind.INTERNAL: b"\x30\x01",
    SpanKind.SERVER: b"\x30\x02",
    SpanKind.CLIENT: b"\x30\x03",
    SpanKind.PRODUCER: b"\x30\x04",
    SpanKind.CONSUMER: b"\x30\x05",
}
_LOCAL, _REMOTE = (0x100).to_bytes(4, "little"), (0x300).to_bytes(4, "little")


def spans_request(spans: Sequence[ReadableSpan]) -> bytes:
    """Encode an ExportTraceServiceRequest."""
    return wire.request(wire.group(spans, span_message))


def logs_request(records: Sequence[ReadableLogRecord]) -> bytes:
    """Encode an ExportLogsServiceRequest."""
    return wire.request(wire.group(records, log_message))


def span_message(span: ReadableSpan) -> bytes:
    """Encode a Span: a lean one, or any that the SDK made."""
    context: Any = span._context
    parent: Any = span._parent
    parts = [
        b"\x0a\x10",
        context[0].to_bytes(16, "big"),
        b"\x12\x08",
        context[1].to_bytes(8, "big"),
        _name_and_kind(span._name, span._kind),
        _start_and_end(span),
    ]
    if context[4]:
        state = ",".join([f"{key}={value}" for key, value in context[4].items()])
        parts.append(field(b"\x1a", text(state)))
    if parent:
        parts += (b"\x22\x08", parent[1].to_bytes(8, "big"))
    own: Any = span._attributes
    if type(own) is FixedAttributes:
        if not own.encoded:
            own.encoded = attributes(b"\x4a", own.items())
        parts.append(own.encoded)
    elif own:
        parts.append(attributes(b"\x4a", own.items()))
    if dropped := span.dropped_attributes:
        parts.append(b"\x50" + varint(dropped))
    # Read by the properties, since asking a lean span for the fields would make empty lists.
    if getattr(span, "_event_list", True) is not None:
        parts += [field(b"\x5a", _event(event)) for event in span.events]
        if dropped := span.dropped_events:
            parts.append(b"\x60" + varint(dropped))
    if getattr(span, "_link_list", True) is not None:
        parts += [field(b"\x6a", _link(link)) for link in span.links]
        if dropped := span.dropped_links:
            parts.append(b"\x70" + varint(dropped))
    status = span._status
    if status is UNSET:
        parts.append(b"\x7a\x00")
    elif status is not None:
        parts.append(field(b"\x7a", _status(status)))
    parts += (b"\x85\x01", _REMOTE if parent and parent[2] else _LOCAL)
    return b"".join(parts)


_names: dict[tuple[str, int], bytes] = {}


def _name_and_kind(name: Any, kind: SpanKind) -> bytes:
    """Encode both; spans have few names."""
    key = (name, id(kind))  # the hash of a member of an enum is a function in Python
    known = _names.get(key) if type(name) is str else None
    if known is None:
        known = field(b"\x2a", text(name)) + _KINDS.get(kind, b"\x30\x01")
        if type(name) is str and len(name) <= CACHED_TEXT and kind in _KINDS:
            remember(_names, key, known)
    return known


def _start_and_end(span: ReadableSpan) -> bytes:
    try:
        return _times(0x39, span._start_time or 0, 0x41, span._end_time or 0)
    except Exception:
        return _times(0x39, _nanoseconds(span._start_time), 0x41, _nanoseconds(span._end_time))


def _nanoseconds(moment: Any) -> int:
    """Return a moment of any number's type as one that the field can hold."""
    try:
        return min(max(int(moment or 0), 0), MAX_UINT64)
    except Exception:
        return 0


def _moment(tag: bytes, moment: Any) -> bytes:
    return tag + _nanoseconds(moment).to_bytes(8, "little")


def _event(event: Event) -> bytes:
    message = _moment(b"\x09", event.timestamp) + field(b"\x12", text(event.name))
    if event.attributes:
        message += attributes(b"\x1a", event.attributes.items())
    if event.dropped_attributes:
        message += b"\x20" + varint(event.dropped_attributes)
    return message


def _link(link: Link) -> bytes:
    context: SpanContext = link.context
    message = b"\x0a\x10" + context.trace_id.to_bytes(16, "big") + b"\x12\x08" + context.span_id.to_bytes(8, "big")
    if link.attributes:
        message += attributes(b"\x22", link.attributes.items())
    if link.dropped_attributes:
        message += b"\x28" + varint(link.dropped_attributes)
    return message + b"\x35" + (_REMOTE if context.is_remote else _LOCAL)


def _status(status: Status) -> bytes:
    code = status.status_code.value
    message = b"\x18" + varint(code) if code else b""
    if status.description:
        message += field(b"\x12", text(status.description))
    return message


def log_message(readable: ReadableLogRecord) -> bytes:
    """Encode a LogRecord."""
    record = readable.log_record
    parts = [_moments(record), _severity(record.severity_number, record.severity_text)]
    parts.append(field(b"\x2a", _body(record.body)))
    if record.attributes:
        parts.append(attributes(b"\x32", record.attributes.items()))
    if dropped := readable.dropped_attributes:
        parts.append(b"\x38" + varint(dropped))
    if flags := int(record.trace_flags or 0):
        parts.append(b"\x45" + flags.to_bytes(4, "little"))
    if record.trace_id:
        parts.append(b"\x4a\x10" + record.trace_id.to_bytes(16, "big"))
    if record.span_id:
        parts.append(b"\x52\x08" + record.span_id.to_bytes(8, "big"))
    if record.event_name:
        parts.append(field(b"\x62", text(record.event_name)))
    return b"".join(parts)


def _moments(record: Any) -> bytes:
    try:
        return _times(0x09, record.timestamp or 0, 0x59, record.observed_timestamp or 0)
    except Exception:
        return _moment(b"\x09", record.timestamp) + _moment(b"\x59", record.observed_timestamp)


_severities: dict[tuple[int, str], bytes] = {}


def _severity(number: Any, name: Any) -> bytes:
    """Encode number and text; records have few of them."""
    key = (id(number), name)  # the hash of a member of an enum is a function in Python
    known = _severities.get(key) if type(name) is str else None
    if known is None:
        value = getattr(number, "value", None)
        known = b"\x10" + varint(value) if value else b""
        if name:
            known += field(b"\x1a", text(name))
        if type(name) is str and len(name) <= CACHED_TEXT and isinstance(number, SeverityNumber):
            remember(_severities, key, known)
    return known


def _body(body: Any) -> bytes:
    """Encode the body; one that OTLP cannot hold as its text, so that it does not cost the record."""
    try:
        return wire.any_value(body)
    except Exception:
        return field(b"\x0a", text(body))
