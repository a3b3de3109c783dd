"""From the bytes of an OTLP export to its protobuf message, and from OTLP's attribute values to JSON's."""

import base64
import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from pydantic_core import from_json, to_json

MAX_BODY = 8 * 1024 * 1024
"""Bytes of one export, uncompressed; the specification recommends senders to stay under 4 MiB."""
MAX_ITEMS = 20_000
"""Resources, scopes and spans (metrics, points and exemplars; log records) of one export together.

It bounds the time for which one export keeps the others waiting. A Collector's batch has 8,192 by default.
"""
MAX_GZIP_MEMBERS = 1000
MAX_JSON_VALUES = 500_000
"""Commas in a JSON export, which bound its values: Python decodes about 100,000 a second."""
LARGE_JSON = 256 * 1024
"""Bytes from which JSON exports are decoded one at a time, so that their memory does not add up."""

REQUESTS: dict[str, type[Message]] = {
    "traces": trace.ExportTraceServiceRequest,
    "metrics": metrics.ExportMetricsServiceRequest,
    "logs": logs.ExportLogsServiceRequest,
}
HEX_FIELDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


MAX_SAFE_INTEGER = 2**53 - 1
"""JavaScript cannot hold a larger integer exactly, so Jaeger sends its digits."""


class BadData(Exception):
    """The data cannot be read, so sending it again would not help."""


class TooLarge(Exception):
    """The export has more bytes or items than one may have; the message says which, and what to do."""


TOO_MANY_BYTES = f"a body may have {MAX_BODY:,} bytes uncompressed: send smaller batches"
Nesting = dict[int, "Nesting"]
"""Field numbers of the messages to count inside a message, and what to count inside those."""
_POINTS: Nesting = {5: {1: {5: {}}}, 7: {1: {5: {}}}, 9: {1: {8: {}}}, 10: {1: {11: {}}}, 11: {1: {}}}
COUNTED: dict[str, Nesting] = {
    "traces": {1: {2: {2: {}}}},
    "logs": {1: {2: {2: {}}}},
    "metrics": {1: {2: {2: _POINTS}}},
}


def gunzip(body: bytes) -> bytes:
    """Decompress a gzip body of one or several members (RFC 1952, 2.2) to MAX_BODY bytes at most.

    Raises BadData and TooLarge.
    """
    view, at, data = memoryview(body), 0, bytearray()
    for _ in range(MAX_GZIP_MEMBERS):
        gzip = zlib.decompressobj(wbits=31)
        while not gzip.eof:
            piece = view[at : at + 65_536]
            if not piece:
                raise BadData("the gzip body ends too early")
            try:
                data += gzip.decompress(piece, MAX_BODY + 1 - len(data))
            except zlib.error as error:
                raise BadData(f"the body is not gzip from byte {at} on: {error}") from error
            if len(data) > MAX_BODY:
                raise TooLarge(TOO_MANY_BYTES)
            at += len(piece) - len(gzip.unused_data)
        if at == len(view):
            return bytes(data)
    raise BadData(f"the body has more than {MAX_GZIP_MEMBERS:,} gzip members")


def check_items(signal: str, body: bytes) -> None:
    """Raise TooLarge for an export of more than MAX_ITEMS items, before memory is spent on them.

    2 bytes make an empty message of 160 bytes: 8 MiB of them take 330 MB. What is not protobuf passes: the parser says
    more about it.
    """
    if len(body) > 2 * MAX_ITEMS:
        for number, _ in enumerate(_messages(body, 0, len(body), COUNTED[signal])):
            if number == MAX_ITEMS:
                raise TooLarge(f"an export may have {MAX_ITEMS:,} resources, scopes and items: send smaller batches")


def _messages(body: bytes, at: int, end: int, nesting: Nesting) -> Iterator[int]:
    """Yield where each nested message starts, following the wire format of protobuf."""
    while at < end:
        tag, at = _varint(body, at, end)
        wire_type = tag & 7
        if wire_type == 2:
            length, at = _varint(body, at, end)
            inside = nesting.get(tag >> 3)
            if inside is not None:
                yield at
                if inside:
                    yield from _messages(body, at, min(end, at + length), inside)
            at += length
        elif wire_type == 0:
            _, at = _varint(body, at, end)
        elif wire_type in (1, 5):
            at += 8 if wire_type == 1 else 4
        else:
            return


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, at


def parse_export(signal: str, body: bytes) -> Message:
    """Read an Export*ServiceRequest from protobuf; raises BadData and TooLarge."""
    check_items(signal, body)
    request = REQUESTS[signal]()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise BadData(f"the body is not an {request.DESCRIPTOR.name} in protobuf: {error}") from error
    return request


_one_large_json = threading.Lock()


def protobuf_of_json(signal: str, body: bytes) -> bytes:
    """Translate an OTLP/JSON export to protobuf; raises BadData, whose message names the field, and TooLarge."""
    if body.count(b",") > MAX_JSON_VALUES:
        raise TooLarge(f"a JSON export may have {MAX_JSON_VALUES:,} values: send smaller batches or protobuf")
    if len(body) < LARGE_JSON:
        return _protobuf_of_json(signal, body)
    with _one_large_json:
        return _protobuf_of_json(signal, body)


def _protobuf_of_json(signal: str, body: bytes) -> bytes:
    request = REQUESTS[signal]()
    name = request.DESCRIPTOR.name
    try:
        fields = from_json(body)  # unlike json.loads it refuses half a surrogate pair, on which protobuf fails
        if not isinstance(fields, dict):
            raise ValueError("an object is expected")
        for path, value in bad_ids(fields):
            raise BadData(f"the body is not an {name} in OTLP/JSON: {path}: {value!r:.100} is not an id in hex")
        json_format.ParseDict(ids_to_base64(fields), request, ignore_unknown_fields=True)
        return request.SerializeToString()
    except json_format.ParseError as error:
        raise BadData(f"the body is not an {name} in OTLP/JSON: {field_error(str(error))}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadData(f"the body is not an {name} in OTLP/JSON: {error}") from error
    except RecursionError as error:
        raise BadData(f"the body is not an {name} in OTLP/JSON: it is nested too deeply") from error


PYTHON_TEXTS = (
    (r"expected string or bytes-like object.*|.*has no attribute 'encode'.*", "text is expected"),
    (r".*object is not iterable.*|.*has no attribute.*", "an object is expected"),
    (r"invalid literal for int\(\).*?: (.*)", r"\1 is not a whole number"),
    (r"could not convert string to float: (.*)", r"\1 is not a number"),
)


def field_error(text: str) -> str:
    """Turn protobuf's "Failed to parse a field: Failed to parse b field: why at Type.a[0].b." into "a[0].b: why"."""
    *names, why = re.split(r"Failed to parse (?=\w+ field: )", text)
    names = [part.partition(" ")[0] for part in [*names, why] if " field: " in part]
    why = why.partition(" field: ")[2] or why
    path = ".".join(names)
    if place := re.search(
        r" at \"?(?:Export\w+|Span|LogRecord|Metric|Resource|InstrumentationScope)\b\.?(.*?)\"?\.*$", why
    ):
        path, why = place[1] or path, why[: place.start()]
    for pattern, replacement in PYTHON_TEXTS:
        why = re.sub(f"^(?:{pattern})$", replacement, why.rstrip("."))
    return f"{path}: {why}"


def bad_ids(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each id that is not hex."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            if isinstance(item, list | dict):
                yield from bad_ids(item, f"{path}[{index}]")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in HEX_FIELDS and isinstance(value, str) and not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", value):
                yield f"{path}.{key}".lstrip("."), value
            elif isinstance(value, list | dict):
                yield from bad_ids(value, f"{path}.{key}".lstrip("."))


def ids_to_base64(node: Any) -> Any:
    """Write ids in base64, as protobuf's JSON mapping expects them, where OTLP/JSON has hex."""
    if isinstance(node, list):
        return [ids_to_base64(item) for item in node]
    if isinstance(node, dict):
        return {
            key: base64.b64encode(bytes.fromhex(value)).decode()
            if key in HEX_FIELDS and isinstance(value, str)
            else ids_to_base64(value)
            for key, value in node.items()
        }
    return node


def plain_value(value: AnyValue) -> Any:
    """Return an attribute's value as plain Python; bytes in base64."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return plain_attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind) if kind else None


def plain_attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Return OTLP attributes as a plain dictionary, sorted by key so that equal sets have equal JSON."""
    pairs = ((item.key, plain_value(item.value)) for item in attributes)
    return dict(sorted(pairs, key=itemgetter(0)))  # by key alone: a key may be there twice, and values have no order


def compact_json(value: Any) -> str:
    """Write JSON without spaces; NaN and infinities, which JSON lacks, become text."""
    return to_json(value, inf_nan_mode="strings").decode()


def exact_for_browsers(value: Any) -> Any:
    """Return integers beyond 2^53, which JavaScript would round, as their digits; at any depth."""
    if isinstance(value, dict):
        return {key: exact_for_browsers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact_for_browsers(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INTEGER:
        return str(value)
    return value
