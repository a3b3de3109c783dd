"""The log records of one export and their rows in `logs`."""

import time
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs

from waybill_explorer.decode import compact_json, plain_attributes, plain_value
from waybill_explorer.ingest import (
    Batch,
    Ingest,
    StoredResource,
    association,
    encoded,
    stored_resource,
    too_large,
    wire_header,
)
from waybill_explorer.texts import Sent, texts_of_log

LEVEL, BODY = 2, 3
"""Columns of a row."""
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""OpenTelemetry's severity ranges, four numbers each, from 1 (TRACE) to 24 (FATAL4)."""


@dataclass
class LogBatch(Batch):
    """The log records of some exports: each with its resource, its row of `logs` without id and resource, its texts."""

    rows: list[tuple[StoredResource, tuple[Any, ...], list[Sent]]] = field(default_factory=list)

    def parts(self, size: int) -> list[Batch]:  # noqa: ARG002
        """Return one part: a record has nothing that tells it from a second one like it, and 20,000 take 0.2 s."""
        return [self]

    def write(self, ingest: Ingest) -> None:
        """Write the records."""
        rows = []
        texts: dict[int, set[Sent]] = {}
        for resource, row, sent in self.rows:
            number = ingest.next_id()
            rows.append((number, ingest.resource(resource), resource.service, *row))
            texts.setdefault(ingest.log_texts.segment(number), set()).update(resource.texts, sent)
        ingest.db.executemany(
            "INSERT INTO logs"
            " (id, resource, service, time, severity, level, body, trace_id, span_id, attributes, logger, rest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        for segment, new in texts.items():
            ingest.log_texts.add(segment, new)


def read_logs(request: ExportLogsServiceRequest, item_limit: int) -> LogBatch:
    """Read the log records of an export; those that cannot be stored are counted in `rejected`."""
    batch = LogBatch()
    for r, resource_logs in enumerate(request.resource_logs):
        resource = stored_resource(resource_logs.resource)
        schema = encoded(3, resource_logs.schema_url.encode())
        large_resource = too_large(len(resource.body), item_limit)
        for s, scope_logs in enumerate(resource_logs.scope_logs):
            logger = scope_logs.scope.name
            scope = encoded(1, scope_logs.scope.SerializeToString()) + encoded(3, scope_logs.schema_url.encode())
            for i, record in enumerate(scope_logs.log_records):
                problem = large_resource or too_large(record.ByteSize() + len(logger), item_limit)
                if problem:
                    place = "resource" if large_resource else f"scopeLogs[{s}].logRecords[{i}]"
                    batch.rejected.add(f"resourceLogs[{r}].{place}", problem)
                else:
                    row, attributes = _columns(record)
                    sent = texts_of_log(row[BODY], row[LEVEL], logger, attributes)
                    batch.rows.append((resource, (*row, logger, schema + _rest(record, scope)), sent))
                    batch.is_dated &= bool(record.time_unix_nano or record.observed_time_unix_nano)
    return batch


def row_of(record: LogRecord) -> tuple[Any, ...]:
    """Return time, severity, level, body, trace id, span id and attributes of a record, as they are stored."""
    return _columns(record)[0]


def _columns(record: LogRecord) -> tuple[tuple[Any, ...], dict[str, Any]]:
    at = (record.time_unix_nano or record.observed_time_unix_nano or time.time_ns()) // 1000
    body = plain_value(record.body)
    attributes = plain_attributes(record.attributes)
    if record.event_name:
        attributes["event.name"] = record.event_name
    level = level_of(record.severity_number, record.severity_text)
    text = body if isinstance(body, str) else ("" if body is None else compact_json(body))
    ids = association(record.trace_id, record.span_id)
    return (at, record.severity_number, level, text, *ids, compact_json(attributes)), attributes


def _rest(record: LogRecord, scope: bytes) -> bytes:
    """Return the record in its scope as a field of ResourceLogs, without what columns hold as it was sent.

    With the columns it is the record to the byte. Its text and ids are taken out of `record`.
    """
    trace_id, span_id = association(record.trace_id, record.span_id)
    if record.body.string_value:
        record.ClearField("body")
    if trace_id:
        record.ClearField("trace_id")
    if span_id:
        record.ClearField("span_id")
    return encoded(2, scope + wire_header(2, record.ByteSize()) + record.SerializeToString())


def whole_record(rest: ResourceLogs, body: str, trace_id: bytes | None, span_id: bytes | None) -> LogRecord:
    """Return a record as it was sent, by its `rest` and those of its columns that are not in that."""
    record = rest.scope_logs[0].log_records[0]
    if body and not record.HasField("body"):
        record.body.string_value = body
    record.trace_id = trace_id or record.trace_id
    record.span_id = span_id or record.span_id
    return record


def level_of(severity: int, text: str) -> str:
    """Return one of LEVELS for a severity number, or the sender's own text where it gave no number."""
    return LEVELS[min((severity - 1) // 4, 5)] if severity > 0 else text.upper()
