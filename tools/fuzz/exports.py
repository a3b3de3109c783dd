"""OTLP exports for the explorer, right and wrong: three signals, protobuf and JSON, gzip or not."""

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_INFO
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric, SummaryDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tools.fuzz import oddities

SECOND = 10**9
SIGNALS = ("traces", "metrics", "logs")
LIMIT = 8 * 2**20
"""Bytes of an export that the explorer takes, uncompressed."""
NUMBERS = (0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1)
ID_LENGTHS = (0, 1, 3, 7, 8, 9, 15, 16, 17, 32, 300)


@dataclass(frozen=True)
class Export:
    """One export as it goes out. `grpc` sends the body over gRPC, else over HTTP with these headers."""

    signal: str
    body: bytes
    content_type: str = "application/x-protobuf"
    content_encoding: str | None = None
    grpc: bool = False
    mutation: str = "valid"


def export(seed: int, number: int) -> Export:
    """Return the export of a number; the same seed and number bring the same."""
    chance = random.Random(f"{seed}/export/{number}")
    signal = chance.choice(SIGNALS)
    message = _message(signal, chance)
    mutate = chance.choice(MUTATIONS)
    if number % HUGE_EVERY >= HUGE_EVERY - 2:
        mutate = _huge if number % 2 else _over_the_limit
    one = replace(mutate(signal, message, chance), mutation=mutate.__name__.strip("_").replace("_", " "))
    if one.content_type == "application/x-protobuf" and one.content_encoding is None and chance.random() < 0.4:
        return replace(one, grpc=True)
    if one.content_encoding is None and chance.random() < 0.25:
        return replace(one, body=gzip.compress(one.body, 1), content_encoding="gzip")
    return one


# Messages that are right.


def _attributes(chance: random.Random) -> list[KeyValue]:
    inner = AnyValue(int_value=1)
    values = (
        AnyValue(),
        AnyValue(string_value="text"),
        AnyValue(int_value=chance.randrange(10**6)),
        AnyValue(double_value=0.5),
        AnyValue(bool_value=True),
        AnyValue(bytes_value=b"\x00\xff"),
        AnyValue(array_value=ArrayValue(values=[inner, AnyValue(string_value="a")])),
        AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=inner)])),
    )
    return [KeyValue(key=f"key.{number}", value=chance.choice(values)) for number in range(chance.randrange(5))]


def _resource(chance: random.Random) -> Resource:
    name = AnyValue(string_value=f"fuzz-{chance.randrange(SERVICE_NAMES)}")
    return Resource(attributes=[KeyValue(key="service.name", value=name), *_attributes(chance)])


def _message(signal: str, chance: random.Random) -> Message:
    now = 1_790_000_000 * SECOND + chance.randrange(10**12)
    makers = {"traces": _traces, "metrics": _metrics, "logs": _logs}
    return makers[signal](now, chance)


def _traces(now: int, chance: random.Random) -> Message:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add(resource=_resource(chance)).scope_spans.add()
    trace_id, parent = chance.randbytes(16), b""
    for number in range(chance.randrange(1, 5)):
        span = scope.spans.add(
            trace_id=trace_id,
            span_id=chance.randbytes(8),
            parent_span_id=parent,
            name=f"work {number}",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=now,
            end_time_unix_nano=now + chance.randrange(SECOND),
            attributes=_attributes(chance),
        )
        span.events.add(time_unix_nano=now, name="event", attributes=_attributes(chance))
        span.links.add(trace_id=chance.randbytes(16), span_id=chance.randbytes(8))
        parent = span.span_id
    return request


def _metrics(now: int, chance: random.Random) -> Message:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add(resource=_resource(chance)).scope_metrics.add()
    for _ in range(chance.randrange(1, 4)):
        _add_metric(scope.metrics.add(unit="ms"), now, chance)
    return request


def _logs(now: int, chance: random.Random) -> Message:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add(resource=_resource(chance)).scope_logs.add()
    for _ in range(chance.randrange(1, 4)):
        scope.log_records.add(
            time_unix_nano=now,
            severity_number=SEVERITY_NUMBER_INFO,
            body=AnyValue(string_value="something happened"),
            trace_id=chance.randbytes(16),
            span_id=chance.randbytes(8),
            attributes=_attributes(chance),
        )
    return request


METRICS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
NAMES = 4
SERVICE_NAMES = 30


def _add_metric(metric: Metric, now: int, chance: random.Random) -> None:
    kind = chance.choice(METRICS)
    metric.name = f"fuzz.{kind}.{chance.randrange(NAMES)}"
    times: dict[str, Any] = {
        "time_unix_nano": now,
        "start_time_unix_nano": now - SECOND,
        "attributes": _attributes(chance),
    }
    match kind:
        case "gauge":
            metric.gauge.data_points.add(as_double=chance.random(), **times)
        case "sum":
            metric.sum.data_points.add(as_int=chance.randrange(100), **times)
            metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.sum.is_monotonic = True
        case "histogram":
            metric.histogram.data_points.add(count=3, sum=6, bucket_counts=[1, 1, 1], explicit_bounds=[1, 2], **times)
            metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        case "exponential_histogram":
            point = metric.exponential_histogram.data_points.add(count=3, sum=6, scale=2, zero_count=1, **times)
            point.positive.offset = 1
            point.positive.bucket_counts.extend([1, 1])
            metric.exponential_histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        case "summary":
            quantiles = [SummaryDataPoint.ValueAtQuantile(quantile=0.5, value=2)]
            metric.summary.data_points.add(count=3, sum=6, quantile_values=quantiles, **times)


def otlp_json(message: Message) -> dict[str, Any]:
    """Return the message as OTLP/JSON: as protobuf's JSON, but ids are in hex."""
    document: dict[str, Any] = json_format.MessageToDict(message)

    def ids_in_hex(value: Any) -> None:
        if isinstance(value, dict):
            for key, member in value.items():
                if key in ("traceId", "spanId", "parentSpanId"):
                    value[key] = base64.b64decode(member).hex()
                ids_in_hex(member)
        elif isinstance(value, list):
            for member in value:
                ids_in_hex(member)

    ids_in_hex(document)
    return document


# What can be wrong with them.


def _valid(signal: str, message: Message, _chance: random.Random) -> Export:
    return Export(signal, message.SerializeToString())


def _odd_fields(signal: str, message: Message, chance: random.Random) -> Export:
    """Values that protobuf allows and OTLP does not: half ids, times before 1970 or in 2554, unknown kinds."""
    for _ in range(chance.choice((1, 2, 5))):
        _spoil_a_field(chance.choice(_messages(message)), chance)
    return Export(signal, message.SerializeToString())


def _messages(message: Message) -> list[Message]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]:
                found += _messages(child)
    return found


def _spoil_a_field(message: Message, chance: random.Random) -> None:
    field: Any = chance.choice(message.DESCRIPTOR.fields)
    many = hasattr(getattr(message, field.name), "append")
    value: Any
    if field.message_type is not None:
        if chance.random() < 0.5:
            message.ClearField(field.name)
        elif many:
            for _ in range(chance.choice((1, 3, 300))):
                getattr(message, field.name).add()
        else:
            getattr(message, field.name).SetInParent()
        return
    match field.cpp_type:
        case field.CPPTYPE_STRING if field.type == field.TYPE_BYTES:
            value = (
                chance.randbytes(chance.choice(ID_LENGTHS))
                if chance.random() < 0.7
                else bytes(chance.choice(ID_LENGTHS))
            )
        case field.CPPTYPE_STRING:
            value = chance.choice(
                ("", "\x00", "a" * 20_000, "\U0001f375" * 50, "service.name", "'; --", "<script>", "\u202e")
            )
        case field.CPPTYPE_DOUBLE | field.CPPTYPE_FLOAT:
            value = chance.choice((float("nan"), float("inf"), float("-inf"), -0.0, 1e308, 5e-324, -1.0))
        case field.CPPTYPE_BOOL:
            value = chance.random() < 0.5
        case field.CPPTYPE_INT64:
            value = chance.choice((*NUMBERS, -1, -(2**63)))
        case field.CPPTYPE_UINT64:
            value = chance.choice((*NUMBERS, 2**64 - 1))
        case field.CPPTYPE_UINT32:
            value = chance.choice((0, 1, 2**32 - 1))
        case _:
            value = chance.choice((0, 1, 99, -1, 2**31 - 1, -(2**31)))
    if many:
        getattr(message, field.name).extend([value] * chance.choice((1, 2, 500)))
    else:
        setattr(message, field.name, value)


def _flipped_bits(signal: str, message: Message, chance: random.Random) -> Export:
    body = bytearray(message.SerializeToString())
    for _ in range(chance.choice((1, 1, 2, 10))):
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    return Export(signal, bytes(body))


def _cut(signal: str, message: Message, chance: random.Random) -> Export:
    body = message.SerializeToString()
    return Export(signal, body[: chance.randrange(len(body))])


def _wrong_lengths(signal: str, message: Message, chance: random.Random) -> Export:
    body = bytearray(message.SerializeToString())
    at = chance.randrange(len(body))
    body[at : at + 1] = chance.choice((b"\xff" * 9 + b"\x01", b"\xff" * 11, b"\x80\x80\x80\x80\x08", b"\x00", b"\x7f"))
    return Export(signal, bytes(body))


def _pieces_moved(signal: str, message: Message, chance: random.Random) -> Export:
    body = message.SerializeToString()
    first, last = sorted(chance.randrange(len(body) + 1) for _ in range(2))
    piece = body[first:last]
    return Export(
        signal,
        chance.choice(
            (body[:first] + body[last:], body + piece, body[:first] + piece * 3 + body[last:], piece, body * 2)
        ),
    )


def _other_signal(_signal: str, message: Message, chance: random.Random) -> Export:
    return Export(chance.choice(SIGNALS), message.SerializeToString())


def _nested_values(signal: str, message: Message, chance: random.Random) -> Export:
    """A value within a value within a value: protobuf's own limit is a depth of 100."""
    value = b""
    for _ in range(chance.choice((10, 40, 48, 200, 3000))):
        inner = _field(1, value)
        value = _field(5, inner) if chance.random() < 0.5 else _field(6, _field(1, _field(2, value)))
    attribute = _field(1, b"deep") + _field(2, value)
    return Export(signal, message.SerializeToString() + _field(1, _field(1, _field(1, attribute))))


def _field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field: https://protobuf.dev/programming-guides/encoding/"""
    length, varint = len(payload), bytearray()
    while length > 0x7F:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *varint, length]) + payload


HUGE_EVERY = 250


def _huge(signal: str, _message: Message, chance: random.Random) -> Export:
    """Counts within the limit of bytes that a reader did not think of."""
    number = chance.choice((10_000, 100_000, 1_000_000, 2_000_000))
    resource = b"\x0a\x00"
    match chance.randrange(5):
        case 0:
            body = resource * number
        case 1:
            body = _field(1, b"\x12\x00" * number)  # empty scopes
        case 2:
            body = _field(1, _field(2, b"\x12\x00" * number))  # empty items
        case 3:
            attributes = b"".join(_field(1, _field(1, b"k%d" % index)) for index in range(min(number, 400_000)))
            body = _field(1, _field(1, attributes))
        case _:
            body = _field(1, _field(2, b"".join(_one_span_of_a_trace(chance) for _ in range(min(number, 150_000)))))
            signal = "traces"
    return Export(signal, body[: LIMIT - 1])


def _one_span_of_a_trace(chance: random.Random) -> bytes:
    return _field(2, _field(1, chance.randbytes(16)) + _field(2, chance.randbytes(8)) + _field(5, b"one"))


def _over_the_limit(signal: str, message: Message, chance: random.Random) -> Export:
    body = message.SerializeToString() + bytes(LIMIT)
    if chance.random() < 0.5:
        return Export(signal, body)
    return Export(signal, gzip.compress(body, 1), content_encoding="gzip")


def _json(signal: str, message: Message, _chance: random.Random) -> Export:
    return Export(signal, oddities.encode(otlp_json(message)), "application/json")


def _odd_json(signal: str, message: Message, chance: random.Random) -> Export:
    return Export(signal, oddities.encode(oddities.change(otlp_json(message), chance)), "application/json")


def _nearly_json(signal: str, message: Message, chance: random.Random) -> Export:
    return Export(signal, oddities.spoil(otlp_json(message), chance), "application/json")


def _flipped_json(signal: str, message: Message, chance: random.Random) -> Export:
    body = bytearray(json.dumps(otlp_json(message)).encode())
    for _ in range(chance.choice((1, 2, 5))):
        body[chance.randrange(len(body))] = chance.randrange(256)
    return Export(signal, bytes(body), "application/json")


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(50 * 2**20), 9)


def _odd_gzip(signal: str, message: Message, chance: random.Random) -> Export:
    body = message.SerializeToString()
    packed = gzip.compress(body)
    bodies = (
        packed[: chance.randrange(len(packed))], packed + b"garbage", packed * 2, packed[:-8] + chance.randbytes(8),
            body, b"", gzip.compress(b""),
        zlib.compress(body), gzip.compress(packed),
            gzip.compress(body[: len(body) // 2]) + gzip.compress(body[len(body) // 2 :]), packed + bytes(100),
        _bomb(),
    )  # fmt: skip
    return Export(signal, chance.choice(bodies), content_encoding="gzip")


def _odd_type(signal: str, message: Message, chance: random.Random) -> Export:
    kinds = (
        "",
        "text/plain",
        "application/json; charset=utf-16",
        "application/x-protobuf; a=b",
        "APPLICATION/JSON",
        "application/grpc",
        "a" * 300,
    )
    encodings = (None, "", "br", "deflate", "gzip, gzip", "GZIP", "identity")
    return Export(signal, message.SerializeToString(), chance.choice(kinds), chance.choice(encodings))


Mutation = Callable[[str, Any, random.Random], Export]
MUTATIONS: tuple[Mutation, ...] = (
    _valid, *[_odd_fields] * 5, *[_flipped_bits] * 4, *[_cut] * 2, *[_wrong_lengths] * 2, *[_pieces_moved] * 2,
    _other_signal, _nested_values,
    _json, *[_odd_json] * 5, *[_nearly_json] * 2, *[_flipped_json] * 2, *[_odd_gzip] * 2, _odd_type,
)  # fmt: skip
