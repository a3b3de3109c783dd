"""Takes a file into the store, in exports under the receiver's limits, and counts what came of each item.

A span that is stored already is not stored again, whatever trace it is of. Nor is a log record: of records that are
equal in everything that is stored, as many are new as the file has more than the store.
"""

import hashlib
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Any

from google.protobuf.message import Message
from typing_extensions import TypedDict

from waybill_explorer import logs, metrics, traces
from waybill_explorer.decode import REQUESTS, BadData, TooLarge
from waybill_explorer.ingest import stored_resource, too_large
from waybill_explorer.store import Sender, Unavailable, Writer, reading
from waybill_explorer.transfer import from_jaeger, from_otlp
from waybill_explorer.transfer.files import BadFile, Value, read_values
from waybill_explorer.transfer.items import Item, Origin, Unreadable

BATCH_BYTES = 2 * 2**20
BATCH_ITEMS = 2_000
"""An export is sent at either; both are far below the receiver's limits, so that progress is seen."""
PATIENCE = 60.0
"""Seconds for which an export is sent again while the store's queue is full."""
MAX_PROBLEMS = 20
MAX_TRACES = 100
SAME_LOG = """
SELECT count(*) FROM logs JOIN resources ON resources.id = logs.resource WHERE logs.time = ? AND severity = ?
    AND level = ? AND logs.body = ? AND trace_id IS ? AND span_id IS ? AND attributes = ? AND logger = ?
    AND logs.service = ? AND resources.body = ?"""
COUNTED = {"traces": "spans", "logs": "logs", "metrics": "points"}


class Counts(TypedDict):
    """How many items were stored, were stored already, and could not be."""

    stored: int
    known: int
    refused: int


class ImportedTrace(TypedDict):
    """A trace of the file: its spans there, and how many of them are new."""

    traceID: str
    spans: int
    stored: int


class ImportJson(TypedDict):
    """What came of a file: the first MAX_TRACES of `traceCount` traces, and what was refused and why.

    `unread` are lines that are no telemetry. `summary` says it in words. `problems` are the first MAX_PROBLEMS, each
    with its place in the file.
    """

    traces: list[ImportedTrace]
    traceCount: int
    spans: Counts
    logs: Counts
    points: Counts
    unread: int
    summary: str
    problems: list[str]


@dataclass
class Export:
    """An export that is being filled: one entry per resource, and in it one per scope."""

    signal: str
    request: Any
    origins: dict[bytes, Any] = field(default_factory=dict)
    size: int = 0
    count: int = 0
    first: str = ""

    def add(self, item: Item, count: int, place: str) -> None:
        items = self._items(item.origin)
        items.append(item.message)
        self.size += item.message.ByteSize()
        self.count += count
        self.first = self.first or place

    def _items(self, origin: Origin) -> Any:
        resource = origin.resource.SerializeToString(deterministic=True) + origin.resource_schema.encode()
        parts, scopes, items = FIELDS[self.signal]
        if resource not in self.origins:
            self.origins[resource] = getattr(self.request, parts).add(schema_url=origin.resource_schema)
            self.origins[resource].resource.CopyFrom(origin.resource)
            self.size += len(resource)
        key = resource + b"\0" + origin.scope.SerializeToString(deterministic=True) + origin.scope_schema.encode()
        if key not in self.origins:
            self.origins[key] = getattr(self.origins[resource], scopes).add(schema_url=origin.scope_schema)
            self.origins[key].scope.CopyFrom(origin.scope)
        return getattr(self.origins[key], items)


FIELDS = {
    "traces": ("resource_spans", "scope_spans", "spans"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
    "metrics": ("resource_metrics", "scope_metrics", "metrics"),
}


class Import:
    """One file on its way into the store."""

    def __init__(self, writer: Writer, db: sqlite3.Connection) -> None:
        """Take a reading connection on the data before the import."""
        self.writer = writer
        self.before = db
        db.execute("SELECT 1 FROM traces LIMIT 1").fetchone()  # what a connection sees is fixed by its first read
        self.counts: dict[str, Counts] = {name: {"stored": 0, "known": 0, "refused": 0} for name in COUNTED.values()}
        self.problems: list[str] = []
        self.unread = 0
        self.trace_spans: Counter[bytes] = Counter()
        self._exports: dict[str, Export] = {}
        self._known_logs: dict[bytes, int] = {}
        # A connection of its own: no export is taken for another one that is sent again.
        self._sender = Sender("import", secrets.token_hex(8))

    def run(self, file: IO[bytes]) -> Iterator[float]:
        """Store what the file holds; yield how much of it is done, 0 to 1. Raise BadFile and Unavailable."""
        for value in read_values(file):
            if value.problem:
                self._skip(value.place, value.problem)
                continue
            found, total = _items(value)
            if found is None:
                self._skip(value.place, WHAT_IS_READ)
                continue
            for done, item in enumerate(found, 1):
                if self._take(item, value.place):
                    yield value.begin + (value.end - value.begin) * min(1.0, done / max(1, total))
        for signal in list(self._exports):
            self._send(signal)
        if not self.trace_spans and not any(any(counts.values()) for counts in self.counts.values()):
            raise BadFile(self.problems[0] if self.problems else "the file has no spans, log records or data points")
        yield 1.0

    def result(self) -> ImportJson:
        """Return what came of it, once it is done."""
        imported: list[ImportedTrace] = []
        with reading(self.writer.path) as after:
            for trace_id, sent in self.trace_spans.items():
                new = min(sent, max(0, _span_count(after, trace_id) - _span_count(self.before, trace_id)))
                self.counts["spans"]["stored"] += new
                self.counts["spans"]["known"] += sent - new
                if len(imported) < MAX_TRACES:
                    imported.append({"traceID": trace_id.hex(), "spans": sent, "stored": new})
        result: ImportJson = {
            "traces": imported,
            "traceCount": len(self.trace_spans),
            "spans": self.counts["spans"],
            "logs": self.counts["logs"],
            "points": self.counts["points"],
            "unread": self.unread,
            "summary": "",
            "problems": self.problems,
        }
        result["summary"] = _sentence(result)
        return result

    def _skip(self, place: str, problem: str) -> None:
        self.unread += 1
        self._complain(place, problem)

    def _complain(self, place: str, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{place}: {problem}" if place else problem)

    def _refuse(self, signal: str, place: str, problem: str, count: int = 1) -> None:
        if count:
            self.counts[COUNTED[signal]]["refused"] += count
            self._complain(place, problem)

    def _take(self, item: Item | Unreadable, line: str) -> bool:
        """Add an item to the next export of its signal; return whether one was sent for it."""
        place = ", ".join(filter(None, (line, item.place)))
        if isinstance(item, Unreadable):
            self._refuse(item.signal, place, item.problem, item.count)
            return False
        count = self._checked(item, place)
        if not count:
            return False
        export = self._exports.get(item.signal)
        is_full = export is not None and (
            export.count + count > BATCH_ITEMS or export.size + item.message.ByteSize() > BATCH_BYTES
        )
        if is_full:
            self._send(item.signal)
        export = self._exports.setdefault(item.signal, Export(item.signal, REQUESTS[item.signal]()))
        export.add(item, count, place)
        return is_full

    def _checked(self, item: Item, place: str) -> int:
        """Return how many spans, log records or points of an item are to be stored; 0 for one that is known."""
        limit = self.writer.item_limit
        message = item.message
        if problem := too_large(item.origin.resource.ByteSize(), limit):
            self._refuse(item.signal, f"{place} (its resource)", problem, _size_of(item))
            return 0
        if item.signal == "metrics":
            return self._checked_points(message, place, limit)
        bad_field, problem = traces.problem_of(message) if item.signal == "traces" else ("", "")
        if problem := problem or too_large(message.ByteSize(), limit):
            self._refuse(item.signal, f"{place}{bad_field}", problem)
            return 0
        if item.signal == "traces":
            self.trace_spans[message.trace_id] += 1
            return 1
        if self._is_known(item):
            self.counts["logs"]["known"] += 1
            return 0
        return 1

    def _checked_points(self, metric: Any, place: str, limit: int) -> int:
        kind = metric.WhichOneof("data") or ""
        if not kind:
            self._refuse("metrics", place, "a metric needs a sum, gauge, histogram or summary")
            return 0
        points = getattr(metric, kind).data_points
        for index in reversed(range(len(points))):
            problem = metrics.problem_of(metric.name, kind, points[index]) or too_large(points[index].ByteSize(), limit)
            if problem:
                self._refuse("metrics", f"{place}.{kind}.dataPoints[{index}] of {metric.name!r:.80}", problem)
                del points[index]
        if len(points) > BATCH_ITEMS:
            self._refuse("metrics", place, f"a metric of a file may have {BATCH_ITEMS:,} points", len(points))
            return 0
        return len(points)

    def _is_known(self, item: Item) -> bool:
        """Return whether a log record is one of those that were stored before the import."""
        resource = stored_resource(item.origin.resource)
        row = (*logs.row_of(item.message), item.origin.scope.name, resource.service, resource.body)
        digest = hashlib.blake2b(repr(row).encode(), digest_size=16).digest()
        if digest not in self._known_logs:
            self._known_logs[digest] = self.before.execute(SAME_LOG, row).fetchone()[0]
        if self._known_logs[digest] == 0:
            return False
        self._known_logs[digest] -= 1
        return True

    def _send(self, signal: str) -> None:
        export = self._exports.pop(signal)
        body = export.request.SerializeToString()
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                rejected = self.writer.store(signal, body, self._sender)
                break
            except (BadData, TooLarge) as error:
                self._refuse(signal, f"from {export.first} on", str(error), export.count)
                return
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        counts = self.counts[COUNTED[signal]]
        refused = rejected.count if rejected else 0
        if rejected and refused:
            self._refuse(signal, f"from {export.first} on", rejected.reason, refused)
        if signal != "traces":
            counts["stored"] += export.count - refused


WHAT_IS_READ = (
    "this is neither OTLP/JSON (resourceSpans, resourceLogs, resourceMetrics)"
    " nor Jaeger's JSON (data, or traceID and spans)"
)


def _items(value: Value) -> tuple[Iterator[Item | Unreadable] | None, int]:
    """Return the items of a value and about how many there are; None if its format is not known."""
    content = value.content
    if from_otlp.is_otlp(content):
        return from_otlp.read(content), from_otlp.count(content)
    if isinstance(content, list) and content and all(from_otlp.is_otlp(one) for one in content):
        return chain.from_iterable(map(from_otlp.read, content)), sum(map(from_otlp.count, content))
    found = from_jaeger.traces_of(content)
    if found is None:
        return None, 0
    total = sum(len(trace["spans"]) for _, trace in found)
    return chain.from_iterable(from_jaeger.read(trace, place) for place, trace in found), total


def _size_of(item: Item) -> int:
    if item.signal != "metrics":
        return 1
    message: Message | Any = item.message
    kind = message.WhichOneof("data")
    return len(getattr(message, kind).data_points) if kind else 1


def _span_count(db: sqlite3.Connection, trace_id: bytes) -> int:
    row = db.execute("SELECT spans FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
    return int(row["spans"]) if row else 0


def _sentence(result: ImportJson) -> str:
    """Return what came of a file in words; of several outcomes only those that occurred."""
    kinds = (("span", result["spans"]), ("log record", result["logs"]), ("data point", result["points"]))
    told = []
    for outcome, verb in (("stored", "stored"), ("known", "already stored"), ("refused", "refused")):
        amounts = [_amount(counts[outcome], name) for name, counts in kinds if counts[outcome]]  # type: ignore[literal-required]
        if amounts:
            told.append(f"{' and '.join(filter(None, (', '.join(amounts[:-1]), amounts[-1])))} {verb}")
    if result["unread"]:
        told.append(f"{_amount(result['unread'], 'part')} of the file not read")
    return "; ".join(told)


def _amount(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
