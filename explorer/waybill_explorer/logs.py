"""The log records of one export and their rows in `logs`."""

import time
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from waybill_explorer.decode import compact_json, plain_attributes, plain_value
from waybill_explorer.ingest import Batch, Ingest, Rejected, StoredResource, association, stored_resource, too_large
from waybill_explorer.texts import Sent, texts_of_log

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""OpenTelemetry's severity ranges, four numbers each, from 1 (TRACE) to 24 (FATAL4)."""


@dataclass
class LogBatch:
    """The log records of one export: each with its resource, its row of `logs` without id and resource, its texts."""

    rows: list[tuple[StoredResource, tuple[Any, ...], list[Sent]]] = field(default_factory=list)
    rejected: Rejected = field(default_factory=Rejected)
    is_dated: bool = True

    def __len__(self) -> int:
        return len(self.rows)

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
            " (id, resource, service, time, severity, level, body, trace_id, span_id, attributes, logger)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        for segment, new in texts.items():
            ingest.log_texts.add(segment, new)


def read_logs(request: ExportLogsServiceRequest, item_limit: int) -> LogBatch:
    """Read the log records of an export; those that cannot be stored are counted in `rejected`."""
    batch = LogBatch()
    for r, resource_logs in enumerate(request.resource_logs):
        resource = stored_resource(resource_logs.resource)
        large_resource = too_large(len(resource.body), item_limit)
        for s, scope_logs in enumerate(resource_logs.scope_logs):
            logger = scope_logs.scope.name
            for i, record in enumerate(scope_logs.log_records):
                problem = large_resource or too_large(record.ByteSize() + len(logger), item_limit)
                if problem:
                    place = "resource" if large_resource else f"scopeLogs[{s}].logRecords[{i}]"
                    batch.rejected.add(f"resourceLogs[{r}].{place}", problem)
                else:
                    batch.rows.append((resource, *_row(record, logger)))
                    batch.is_dated &= bool(record.time_unix_nano or record.observed_time_unix_nano)
    return batch


def _row(record: LogRecord, logger: str) -> tuple[tuple[Any, ...], list[Sent]]:
    at = (record.time_unix_nano or record.observed_time_unix_nano or time.time_ns()) // 1000
    body = plain_value(record.body)
    attributes = plain_attributes(record.attributes)
    if record.event_name:
        attributes["event.name"] = record.event_name
    text = body if isinstance(body, str) else ("" if body is None else compact_json(body))
    level = level_of(record.severity_number, record.severity_text)
    ids = association(record.trace_id, record.span_id)
    row = (at, record.severity_number, level, text, *ids, compact_json(attributes), logger)
    return row, texts_of_log(text, level, logger, attributes)


def level_of(severity: int, text: str) -> str:
    """Return one of LEVELS for a severity number, or the sender's own text where it gave no number."""
    return LEVELS[min((severity - 1) // 4, 5)] if severity > 0 else text.upper()
