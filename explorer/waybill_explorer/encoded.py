"""Spans as protobuf messages whose attributes stay encoded: to compare and count them, no value is needed.

OTLP's messages are declared here once more, with only the fields that are read and with each attribute as bytes, which
is the same on the wire. Equal attributes are equal bytes, since the store encodes every span itself. A set takes them
in one call, without a step in Python for each of them.

Encoded messages that are joined are one message: it has the repeated fields of all, and of the others the last. So
`JoinedSpans` declares what a span has once as repeated, and reads what many spans have without a step for each span.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from waybill_explorer.decode import plain_value

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "waybill_explorer.encoded"
_FIELDS: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "ResourceSpans": (("scope_spans", 2, "ScopeSpans", True),),
    "ScopeSpans": (("spans", 2, "Span", True),),
    "Span": (
        ("name", 5, "string", False),
        ("start_time_unix_nano", 7, "fixed64", False),
        ("end_time_unix_nano", 8, "fixed64", False),
        ("attributes", 9, "bytes", True),
        ("events", 11, "Event", True),
    ),
    "Event": (("attributes", 3, "bytes", True),),
    "Resource": (("attributes", 1, "bytes", True),),
    "SplitResource": (("scope_spans", 2, "SplitScope", True),),
    "SplitScope": (("spans", 2, "bytes", True),),
    "JoinedSpans": (
        ("trace_state", 3, "string", True),
        ("kind", 6, "int32", True),
        ("attributes", 9, "bytes", True),
        ("events", 11, "bytes", True),
        ("links", 13, "bytes", True),
        ("status", 15, "bytes", True),
    ),
    "JoinedEvents": (("name", 2, "string", True), ("attributes", 3, "bytes", True)),
    "JoinedLinks": (("attributes", 4, "bytes", True),),
    "JoinedStatus": (("message", 2, "string", True),),
    "JoinedAttributes": (("key", 1, "bytes", True), ("value", 2, "bytes", True)),
    "JoinedValues": (("string_value", 1, "bytes", True), ("int_value", 3, "int64", True)),
}
"""Each message's fields: name, number as in OTLP, type, and whether it is repeated."""


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="waybill_explorer/encoded.proto", package=_PACKAGE, syntax="proto3")
    scalars = {
        "string": _Field.TYPE_STRING,
        "bytes": _Field.TYPE_BYTES,
        "fixed64": _Field.TYPE_FIXED64,
        "int32": _Field.TYPE_INT32,
        "int64": _Field.TYPE_INT64,
    }
    for message, fields in _FIELDS.items():
        declared = file.message_type.add(name=message)
        for name, number, kind, is_repeated in fields:
            field = declared.field.add(name=name, number=number)
            field.label = _Field.LABEL_REPEATED if is_repeated else _Field.LABEL_OPTIONAL
            field.type = scalars.get(kind, _Field.TYPE_MESSAGE)
            if kind not in scalars:
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


_classes = _messages()
EncodedSpans = _classes["ResourceSpans"]
"""A row of `chunks`."""
EncodedResource = _classes["Resource"]
"""A row of `resources`."""
SplitResource = _classes["SplitResource"]
"""A row of `chunks` whose spans stay encoded."""
JoinedSpans = _classes["JoinedSpans"]
JoinedEvents = _classes["JoinedEvents"]
JoinedLinks = _classes["JoinedLinks"]
JoinedStatus = _classes["JoinedStatus"]
JoinedAttributes = _classes["JoinedAttributes"]
JoinedValues = _classes["JoinedValues"]


def decoded(attribute: bytes) -> tuple[str, Any]:
    """Return the key of an encoded attribute and its value as plain Python."""
    pair = KeyValue.FromString(attribute)
    return pair.key, plain_value(pair.value)
