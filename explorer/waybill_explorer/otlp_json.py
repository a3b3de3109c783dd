"""A stored trace and its logs as OTLP/JSON, to the nanosecond: what one backend gives, another takes.

Follows https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hex, enumerations as numbers.
"""

import base64
import json
import sqlite3
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from waybill_explorer import queries
from waybill_explorer.decode import HEX_FIELDS
from waybill_explorer.jaeger import Json
from waybill_explorer.logs import LEVELS


class TooLargeToExport(Exception):
    """The trace has more than MAX_SPANS spans; half of a trace in a file would be taken for the whole."""


def trace_export(db: sqlite3.Connection, trace_id: bytes) -> Json | None:
    """Return `{"resourceSpans": [...], "resourceLogs": [...]}`, or None when there is no such trace.

    Raises TooLargeToExport.
    """
    if (spans := queries.span_count(db, trace_id)) > queries.MAX_SPANS:
        raise TooLargeToExport(f"the trace has {spans:,} spans: traces of up to {queries.MAX_SPANS:,} can be exported")
    resource_spans = []
    for part, resource in queries.trace_parts(db, trace_id):
        part.resource.CopyFrom(resource)
        resource_spans.append(_ids_to_hex(json_format.MessageToDict(part, use_integers_for_enums=True)))
    return {"resourceSpans": resource_spans, "resourceLogs": _resource_logs(db, trace_id)} if resource_spans else None


def _resource_logs(db: sqlite3.Connection, trace_id: bytes) -> list[Json]:
    rows = db.execute("SELECT * FROM logs WHERE trace_id = ? ORDER BY time, id LIMIT ?", (trace_id, queries.MAX_LOGS))
    return [
        {
            "resource": {"attributes": [_attribute("service.name", row["service"])]},
            "scopeLogs": [{"scope": {"name": row["logger"]}, "logRecords": [_record(row)]}],
        }
        for row in rows
    ]


def _record(row: sqlite3.Row) -> Json:
    return {
        "timeUnixNano": str(row["time"] * 1000),
        "severityNumber": row["severity"],
        "severityText": row["level"] if row["severity"] else row["level"] or LEVELS[2],
        "body": {"stringValue": row["body"]},
        "attributes": [_attribute(key, value) for key, value in json.loads(row["attributes"]).items()],
        "traceId": row["trace_id"].hex(),
        "spanId": row["span_id"].hex() if row["span_id"] else "",
    }


def _attribute(key: str, value: Any) -> Json:
    return {"key": key, "value": json_format.MessageToDict(_any_value(value))}


def _any_value(value: Any) -> AnyValue:
    result = AnyValue()
    if isinstance(value, bool):
        result.bool_value = value
    elif isinstance(value, int):
        result.int_value = value
    elif isinstance(value, float):
        result.double_value = value
    elif isinstance(value, list):
        result.array_value.values.extend(_any_value(item) for item in value)
    elif isinstance(value, dict):
        for key, item in value.items():
            result.kvlist_value.values.add(key=key, value=_any_value(item))
    elif value is not None:
        result.string_value = str(value)
    return result


def _ids_to_hex(node: Any) -> Any:
    if isinstance(node, list):
        return [_ids_to_hex(item) for item in node]
    if isinstance(node, dict):
        return {
            key: base64.b64decode(value).hex() if key in HEX_FIELDS and isinstance(value, str) else _ids_to_hex(value)
            for key, value in node.items()
        }
    return node
