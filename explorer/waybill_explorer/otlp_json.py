"""Stored traces and their logs as OTLP/JSON, to the byte: what one backend gives, another takes.

Follows https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hex, 64-bit integers as text,
enumerations as numbers, bytes in base64. The order is by resource, scope and time, not of arrival: a trace that is
imported elsewhere is exported from there as the same text.
"""

import base64
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from waybill_explorer import queries
from waybill_explorer.decode import HEX_FIELDS, compact_json
from waybill_explorer.jaeger import Json
from waybill_explorer.logs import whole_record

MAX_RECORDS = 25_000
"""Log records of one trace that are exported."""


class TooLargeToExport(Exception):
    """A trace has more spans or log records than are exported; half of one in a file would be taken for the whole."""


class NotStored(Exception):
    """Some of the traces are not stored."""


def export(db: sqlite3.Connection, trace_ids: list[bytes]) -> Iterator[str]:
    """Return the text of `{"resourceSpans": [...], "resourceLogs": [...]}` in pieces.

    Raise NotStored and TooLargeToExport before the first piece.
    """
    _check(db, trace_ids)
    return _pieces(db, trace_ids)


def _pieces(db: sqlite3.Connection, trace_ids: list[bytes]) -> Iterator[str]:
    first = True
    for name, of_trace in (("resourceSpans", _resource_spans), ("resourceLogs", _resource_logs)):
        yield f'{"{" if first else "],"}"{name}":['
        first, comma = False, ""
        for trace_id in trace_ids:
            for part in of_trace(db, trace_id):
                yield comma + compact_json(part)
                comma = ","
    yield "]}"


def _check(db: sqlite3.Connection, trace_ids: list[bytes]) -> None:
    missing = [trace_id.hex() for trace_id in trace_ids if not queries.span_count(db, trace_id)]
    if missing:
        raise NotStored(f"not stored: {', '.join(missing[:10])}{' and others' if len(missing) > 10 else ''}")
    for trace_id in trace_ids:
        spans = queries.span_count(db, trace_id)
        records = db.execute("SELECT count(*) FROM logs WHERE trace_id = ?", (trace_id,)).fetchone()[0]
        for count, most, what in ((spans, queries.MAX_SPANS, "spans"), (records, MAX_RECORDS, "log records")):
            if count > most:
                raise TooLargeToExport(
                    f"trace {trace_id.hex()} has {count:,} {what}: traces of up to {most:,} can be exported"
                )


def _resource_spans(db: sqlite3.Connection, trace_id: bytes) -> Iterator[Json]:
    parts = Parts(ResourceSpans, "scope_spans", "spans")
    for part, resource in queries.trace_parts(db, trace_id):
        for scope_spans in part.scope_spans:
            for span in scope_spans.spans:
                order = (span.start_time_unix_nano, span.span_id, span.end_time_unix_nano)
                parts.add(order, resource, part.schema_url, scope_spans, span)
    return parts.as_json()


def _resource_logs(db: sqlite3.Connection, trace_id: bytes) -> Iterator[Json]:
    return resource_logs(db, "trace_id = ?", trace_id)


def resource_logs(db: sqlite3.Connection, condition: str, *values: bytes | int) -> Iterator[Json]:
    """Return the log records for which a condition on `logs` holds, as they were sent."""
    parts = Parts(ResourceLogs, "scope_logs", "log_records")
    rows = db.execute(
        "SELECT rest, logs.body AS text, trace_id, span_id, resources.body AS resource FROM logs"  # noqa: S608
        f" JOIN resources ON resources.id = logs.resource WHERE {condition}",
        values,
    )
    for row in rows:
        rest = ResourceLogs.FromString(row["rest"])
        record = whole_record(rest, row["text"], row["trace_id"], row["span_id"])
        order = (record.time_unix_nano or record.observed_time_unix_nano,)
        parts.add(order, queries.resource_of(row["resource"]), rest.schema_url, rest.scope_logs[0], record)
    return parts.as_json()


class Parts:
    """Spans or log records by resource and scope; each of these is in order of its first item."""

    def __init__(self, message: Callable[[], Any], scopes: str, items: str) -> None:
        self.message = message
        self.scopes = scopes
        self.items = items
        self.found: dict[bytes, dict[bytes, list[tuple[Any, Message]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, order: tuple[Any, ...], resource: Message, schema: str, scope: Any, item: Message) -> None:
        part = self.message()
        part.schema_url = schema
        part.resource.CopyFrom(resource)
        inside = type(scope)(schema_url=scope.schema_url)
        inside.scope.CopyFrom(scope.scope)
        key, scope_key = (one.SerializeToString(deterministic=True) for one in (part, inside))
        self.found[key][scope_key].append((order, item))

    def as_json(self) -> Iterator[Json]:
        for key, scopes in sorted(self.found.items(), key=lambda item: (min(map(_first, item[1].values())), item[0])):
            part = self.message()
            part.ParseFromString(key)
            for scope_key, items in sorted(scopes.items(), key=lambda item: (_first(item[1]), item[0])):
                inside = getattr(part, self.scopes).add()
                inside.ParseFromString(scope_key)
                ordered = sorted(items, key=lambda item: (item[0], item[1].SerializeToString(deterministic=True)))
                getattr(inside, self.items).extend(item for _, item in ordered)
            yield ids_to_hex(json_format.MessageToDict(part, use_integers_for_enums=True))


def _first(items: list[tuple[Any, Message]]) -> Any:
    return min(order for order, _ in items)


def ids_to_hex(node: Any) -> Any:
    """Return a message as protobuf writes it in JSON with its ids in hex, as OTLP wants them."""
    if isinstance(node, list):
        return [ids_to_hex(item) for item in node]
    if isinstance(node, dict):
        return {
            key: base64.b64decode(value).hex() if key in HEX_FIELDS and isinstance(value, str) else ids_to_hex(value)
            for key, value in node.items()
        }
    return node
