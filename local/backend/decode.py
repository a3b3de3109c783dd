"""From the bytes of an OTLP export to its protobuf message, and from OTLP's attribute values to JSON's."""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from pydantic_core import to_json

MAX_BODY = 8 * 1024 * 1024
"""Bytes of one export, uncompressed; the specification recommends senders to stay under 4 MiB."""

REQUESTS: dict[str, type[Message]] = {
    "traces": trace.ExportTraceServiceRequest,
    "metrics": metrics.ExportMetricsServiceRequest,
    "logs": logs.ExportLogsServiceRequest,
}
HEX_FIELDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


class BadData(Exception):
    """The data cannot be read, so sending it again would not help."""


class TooLarge(Exception):
    """The body, once decompressed, is over MAX_BODY bytes."""


def gunzip(body: bytes) -> bytes:
    """Decompress one gzip body without ever holding more than MAX_BODY bytes; raises BadData and TooLarge."""
    gzip = zlib.decompressobj(wbits=31)
    try:
        data = gzip.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise BadData(f"the body is not gzip: {error}") from error
    if len(data) > MAX_BODY:
        raise TooLarge
    if not gzip.eof:
        raise BadData("the gzip body ends too early")
    return data


def parse_export(signal: str, body: bytes, is_json: bool) -> Message:
    """Read an Export*ServiceRequest from protobuf or OTLP/JSON; raises BadData."""
    request = REQUESTS[signal]()
    try:
        if is_json:
            fields = json.loads(body)
            if not isinstance(fields, dict):
                raise ValueError("an object is expected")
            json_format.ParseDict(_ids_to_base64(fields), request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except DecodeError as error:
        raise BadData(f"the body is not an {request.DESCRIPTOR.name} in protobuf: {error}") from error
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadData(f"the body is not an {request.DESCRIPTOR.name} in OTLP/JSON: {error}") from error
    return request


def _ids_to_base64(node: Any) -> Any:
    """OTLP/JSON writes ids in hex where protobuf's JSON mapping expects base64."""
    if isinstance(node, list):
        return [_ids_to_base64(item) for item in node]
    if isinstance(node, dict):
        return {
            key: base64.b64encode(bytes.fromhex(value)).decode()
            if key in HEX_FIELDS and isinstance(value, str)
            else _ids_to_base64(value)
            for key, value in node.items()
        }
    return node


def plain_value(value: AnyValue) -> Any:
    """Give an attribute's value as plain Python; bytes in base64."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return plain_attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind) if kind else None


def plain_attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Give OTLP attributes as a plain dictionary, sorted by key so that equal sets have equal JSON."""
    return dict(sorted((item.key, plain_value(item.value)) for item in attributes))


def compact_json(value: Any) -> str:
    """Write JSON without spaces; NaN and infinities, which JSON lacks, become text."""
    return to_json(value, inf_nan_mode="strings").decode()
