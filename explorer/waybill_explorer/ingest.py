"""From the message of an OTLP export to rows, and from rows to the file, whatever the signal.

An export becomes a *batch* first (`read_export`), with no database at hand, and is written later by the thread that
owns the connection (`Ingest`). What each signal's batch holds is in traces.py, logs.py and metrics.py.
"""

import hashlib
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from waybill_explorer.texts import LOGS, TRACES, Sent, Texts, texts_of_resource

MAX_ITEM = 1024 * 1024
"""Bytes of one span, log record, data point or resource: one of them cannot push all others out of the file."""
NO_SERVICE = "OTLPResourceNoServiceName"
"""The service of a resource without attributes, as Jaeger names it."""
NO_TRACE_ID, NO_SPAN_ID = bytes(16), bytes(8)
CACHED = 20_000
CACHED_TEXT = 2_000
"""Ids by longer texts are looked up each time: 20,000 of them would take too much memory."""


@dataclass
class Rejected:
    """What a request held that was not stored: how many items, and why the first of them was not."""

    count: int = 0
    reason: str = ""

    def add(self, field: str, reason: str, count: int = 1) -> None:
        """Count items that are not stored; `field` is the path of the first, as OTLP/JSON names it."""
        self.count += count
        self.reason = self.reason or f"{field}: {reason}"


@dataclass
class Batch(ABC):
    """What is to be stored of one export, or of several of one signal."""

    rows: list[Any] = field(default_factory=list)
    rejected: Rejected = field(default_factory=Rejected)
    is_dated: bool = True
    """Every item has a time of its own, so the same bytes again are the same items."""

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self, size: int) -> "list[Batch]":
        """Return batches of `size` rows that may be written one after the other, each in a transaction of its own.

        A row of a part that is written again is not stored again: if a later part fails, the export is sent again.
        """
        return [type(self)(self.rows[i : i + size]) for i in range(0, len(self.rows), size)]

    def joined(self, others: "list[Batch]") -> "Batch":
        """Return a batch with the rows of others too, which is written in fewer steps than each of them."""
        return type(self)([row for batch in (self, *others) for row in batch.rows])

    @abstractmethod
    def write(self, ingest: "Ingest") -> None:
        """Write the rows, inside the transaction of `ingest`."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredResource:
    """A resource as it is stored: its deterministic bytes, and the service that it names."""

    service: str
    body: bytes
    digest: bytes
    texts: tuple[Sent, ...]


class Ingest:
    """A writing connection and the ids it knows; discarded with its connection when a transaction fails."""

    def __init__(self, db: sqlite3.Connection, max_texts: int) -> None:
        self.db = db
        self._ids: dict[Hashable, int] = {}
        tables = ("traces", "logs", "points", "exemplars")
        self._last_id: int = max(db.execute(f"SELECT ifnull(max(id), 0) FROM {t}").fetchone()[0] for t in tables)  # noqa: S608
        self.trace_texts = Texts(db, TRACES, self._last_id, max_texts)
        self.log_texts = Texts(db, LOGS, self._last_id, max_texts)

    def next_id(self) -> int:
        """Ids are arrival times in microseconds since 1970, made unique, so ids of all tables compare by age."""
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        return self._last_id

    def trace(self, trace_id: bytes) -> int:
        """Return the id of a trace, a new one if nothing of it is stored."""
        known = self._ids.get(trace_id)
        if known is None:
            row = self.db.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
            known = self._remember(trace_id, row[0] if row else self.next_id())
        return known

    def operation(self, service: str, name: str) -> int:
        """Return the id of a service's operation, which is stored if it is new."""
        return self.id_of(
            "INSERT INTO operations (service, name) VALUES (?, ?) ON CONFLICT DO UPDATE SET name = name RETURNING id",
            (service, name),
        )

    def resource(self, resource: StoredResource) -> int:
        """Return the id of a resource, which is stored if it is new."""
        return self._ids.get(resource.digest) or self._remember(
            resource.digest,
            self.db.execute(
                "INSERT INTO resources (service, body) VALUES (?, ?)"
                " ON CONFLICT (body) DO UPDATE SET service = service RETURNING id",
                (resource.service, resource.body),
            ).fetchone()[0],
        )

    def id_of(self, upsert: str, row: tuple[Any, ...]) -> int:
        """Return the id that an upsert of `row` returns, from memory where it is known."""
        known = self._ids.get(row)
        if known is None:
            known = self.db.execute(upsert, row).fetchone()[0]
            if sum(len(part) for part in row if isinstance(part, str)) < CACHED_TEXT:
                self._remember(row, known)
        return known

    def forget(self) -> None:
        """Forget the ids, after rows were deleted."""
        self._ids.clear()
        self.trace_texts.forget()
        self.log_texts.forget()

    def _remember(self, key: Hashable, number: int) -> int:
        if len(self._ids) >= CACHED:
            self._ids.clear()
        self._ids[key] = number
        return number


def stored_resource(resource: Resource) -> StoredResource:
    """Return what is stored of a resource."""
    body = resource.SerializeToString(deterministic=True)
    return _repeated_resource(body) if len(body) < CACHED_TEXT else _stored_resource(body)


def _stored_resource(body: bytes) -> StoredResource:
    resource = Resource.FromString(body)
    service = service_of(resource)
    digest = hashlib.blake2b(body, digest_size=16).digest()
    return StoredResource(service, body, digest, texts_of_resource(resource, service))


_repeated_resource = lru_cache(maxsize=256)(_stored_resource)
"""Nearly every export has a resource that another one had."""


def service_of(resource: Resource) -> str:
    """Return `service.name`, or what Jaeger shows when it is missing."""
    for attribute in resource.attributes:
        if attribute.key == "service.name" and attribute.value.string_value:
            return attribute.value.string_value
    return NO_SERVICE


def too_large(size: int, limit: int) -> str:
    """Return that an item is too large, or nothing."""
    return f"{size:,} bytes; at most {limit:,} are stored of one" if size > limit else ""


def is_trace_id(trace_id: bytes) -> bool:
    """Return whether an id is one of W3C Trace Context: 16 bytes, not all zero."""
    return len(trace_id) == 16 and trace_id != NO_TRACE_ID


def is_span_id(span_id: bytes) -> bool:
    """Return whether an id is one of W3C Trace Context: 8 bytes, not all zero."""
    return len(span_id) == 8 and span_id != NO_SPAN_ID


def association(trace_id: bytes, span_id: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the trace and span that a log record or exemplar belongs to.

    An invalid id means "not associated" (logs.proto); a span id means nothing without its trace.
    """
    if not is_trace_id(trace_id):
        return None, None
    return trace_id, span_id if is_span_id(span_id) else None


@lru_cache(maxsize=4096)
def wire_header(number: int, length: int) -> bytes:
    """Start a length-delimited protobuf field: messages are joined from encoded parts, not encoded again."""
    header = bytearray([number << 3 | 2])
    while length > 0x7F:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header)


def encoded(number: int, data: bytes) -> bytes:
    """Return a length-delimited protobuf field, or nothing where it is empty."""
    return wire_header(number, len(data)) + data if data else b""
