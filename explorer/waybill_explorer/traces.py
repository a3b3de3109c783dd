"""The spans of one export: which of them are new, and their rows in `traces`, `chunks`, `matches` and `spans`.

Those that did not succeed have a row in `problems` too, by which the failed and the refused of a trace are counted
again whenever one more arrives (outcome.py).
"""

import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer.ingest import (
    Batch,
    Ingest,
    Rejected,
    StoredResource,
    encoded,
    is_span_id,
    is_trace_id,
    stored_resource,
    too_large,
    wire_header,
)
from waybill_explorer.outcome import Outcome, Problem, outcomes, response_status, sent_outcome
from waybill_explorer.texts import Sent, texts_of_span

NO_NAME = "empty-span-name"
ANY = ""
"""In `operations`: whatever the operation, whatever the service."""
NEVER = 2**62
"""The start of a trace none of whose spans has a time."""
IS_INNER, UNTIMED_ROOT, HAS_PARENT = 2**58, 2**60, 2**61
"""Added to a start to rank the candidates for a trace's root, lowest first; trace_tree.py has the same rule."""
ENTRY_KINDS = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)
MAX_PROBLEMS = 1_000
"""Spans of one trace that did not succeed whose children are considered; others count by what they say themselves."""
SUCCEEDED = re.compile(
    rb"http\.(response\.)?status_code\x12\x03\x18([\xc8-\xff]\x01|[\x80-\xff]\x02|[\x80-\x8f]\x03)", re.DOTALL
)
"""An attribute with a status from 200 to 399, as protobuf encodes it: the key, then an `int_value` of two bytes."""
MAX_TEXT = 300
"""Characters that the list shows of what a failed span says."""
LOOKED_UP_TOGETHER = 400

UPSERT_TRACE = """
INSERT INTO traces (id, trace_id, start, end, spans, root_rank, root_service, root_name)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
    start = min(start, excluded.start), end = max(end, excluded.end),
    spans = spans + excluded.spans,
    root_rank = min(root_rank, excluded.root_rank),
    root_service = iif(excluded.root_rank < root_rank, excluded.root_service, root_service),
    root_name = iif(excluded.root_rank < root_rank, excluded.root_name, root_name)"""
UPSERT_MATCH = """
INSERT INTO matches VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    longest = max(longest, excluded.longest), failed = max(failed, excluded.failed)"""


class SpanRow(NamedTuple):
    """What is needed of a span to store it; times in microseconds, `start` is None where the span has no time."""

    trace_id: bytes
    key: int
    resource: StoredResource
    schema: bytes
    scope: bytes
    """Both encoded as fields of ResourceSpans and ScopeSpans, without what is in them."""
    data: bytes
    name: str
    start: int | None
    end: int
    failed: int
    """Whether its status is ERROR."""
    rank: int
    """Of the candidates for the root of its trace the lowest is it."""
    problem: "ProblemRow | None"
    texts: list[Sent]
    """What a search may look for (texts.py)."""


class ProblemRow(NamedTuple):
    """A row of `problems` without its trace: a span that did not succeed and its status text or exception.

    `is_told` is whether the text is the sender's.
    """

    key: int
    span_id: bytes
    parent_id: bytes
    own: int
    end: int
    is_told: int
    text: str


class Match:
    """When an operation first occurs in a trace, how long it takes at most (microseconds), whether it failed (0, 1)."""

    __slots__ = ("failed", "longest", "start")

    def __init__(self, start: int, longest: int, failed: int) -> None:
        self.start = start
        self.longest = longest
        self.failed = failed

    def add(self, start: int, longest: int, failed: int) -> None:
        self.start = min(self.start, start)
        self.longest = max(self.longest, longest)
        self.failed |= failed


@dataclass
class TraceRows:
    """What one export says of one trace."""

    start: int = NEVER
    end: int = 0
    spans: int = 0
    root_rank: int = 2**63 - 1
    root: tuple[str, str] = ("", "")
    problems: list[ProblemRow] = field(default_factory=list)
    parts: dict[tuple[StoredResource, bytes, bytes], list[bytes]] = field(default_factory=dict)
    """Encoded spans by resource, its schema and scope."""
    texts: set[Sent] = field(default_factory=set)
    matches: dict[tuple[str, str], Match] = field(default_factory=dict)

    def add(self, row: SpanRow) -> None:
        """Add a span."""
        self.spans += 1
        if row.problem:
            self.problems.append(row.problem)
        if row.start is not None:
            self.start, self.end = min(self.start, row.start), max(self.end, row.end)
        self.texts.update(row.texts)
        service = row.resource.service
        if row.rank < self.root_rank:
            self.root_rank, self.root = row.rank, (service, row.name)
        parts = self.parts.setdefault((row.resource, row.schema, row.scope), [])
        parts += (wire_header(2, len(row.data)), row.data)
        start, longest = (NEVER, 0) if row.start is None else (row.start, row.end - row.start)
        match = self.matches.get((service, row.name))
        if match is None:
            self.matches[service, row.name] = Match(start, longest, row.failed)
        else:
            match.add(start, longest, row.failed)

    def all_matches(self, untimed: int) -> dict[tuple[str, str], Match]:
        """Return the matches, with those of any operation and of any service; `untimed` stands in for no start."""
        everything = Match(NEVER, 0, 0)
        found: dict[tuple[str, str], Match] = {(ANY, ANY): everything}
        for (service, name), match in self.matches.items():
            values = (min(match.start, untimed) if match.start == NEVER else match.start, match.longest, match.failed)
            everything.add(*values)
            found[service, name] = Match(*values)
            found.setdefault((service, ANY), Match(*values)).add(*values)
        return found

    def chunks(self) -> Iterator[tuple[StoredResource, bytes]]:
        """Yield the ScopeSpans that go into one row of `chunks`, as the bytes of a ResourceSpans."""
        of_resource: dict[tuple[StoredResource, bytes], list[bytes]] = {}
        for (resource, schema, scope), parts in self.parts.items():
            body = b"".join((scope, *parts))
            of_resource.setdefault((resource, schema), [schema]).extend((wire_header(2, len(body)), body))
        for (resource, _), bodies in of_resource.items():
            yield resource, b"".join(bodies)


@dataclass
class SpanBatch:
    """The spans of one export."""

    rows: list[SpanRow] = field(default_factory=list)
    rejected: Rejected = field(default_factory=Rejected)
    is_dated: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self, size: int) -> list[Batch]:
        """Return the spans in parts: one that is written again is not stored again."""
        return [SpanBatch(self.rows[i : i + size]) for i in range(0, len(self.rows), size)]

    def write(self, ingest: Ingest) -> None:
        """Write the spans that are not stored yet: one that is sent again counts once."""
        keys = [(ingest.trace(row.trace_id), row.key) for row in self.rows]
        new = _insert_keys(ingest, keys)
        traces: dict[int, TraceRows] = {}
        ids: dict[int, bytes] = {}
        for key, row in zip(keys, self.rows, strict=True):
            if key in new:
                new.remove(key)
                trace = key[0]
                if trace not in traces:
                    traces[trace], ids[trace] = TraceRows(), row.trace_id
                traces[trace].add(row)
        rows, chunks, matches = [], [], []
        texts: dict[int, set[Sent]] = {}
        for trace, t in traces.items():
            rows.append((trace, ids[trace], t.start, t.end, t.spans, t.root_rank, *t.root))
            chunks += [(trace, ingest.resource(resource), data) for resource, data in t.chunks()]
            segment = texts.setdefault(ingest.trace_texts.segment(trace), set())
            segment.update(t.texts, *(resource.texts for resource, *_ in t.parts))
            untimed = min(t.start, trace)  # the id of a trace is the time at which it arrived
            for operation, m in t.all_matches(untimed).items():
                matches.append((ingest.operation(*operation), m.start, trace, m.longest, m.failed))
        ingest.db.executemany(UPSERT_TRACE, rows)
        for trace, t in traces.items():
            if t.problems:
                _count_problems(ingest.db, trace, t.problems)
        ingest.db.executemany("INSERT INTO chunks (trace, resource, data) VALUES (?, ?, ?)", chunks)
        ingest.db.executemany(UPSERT_MATCH, matches)
        for number, sent in texts.items():
            ingest.trace_texts.add(number, sent)


def _count_problems(db: sqlite3.Connection, trace: int, new: list[ProblemRow]) -> None:
    """Count what failed and what was refused in a trace, and keep what the first of it says."""
    columns = "key, span_id, parent_id, own, end, is_told, text"
    known = [ProblemRow(*row) for row in db.execute(f"SELECT {columns} FROM problems WHERE trace = ?", (trace,))]  # noqa: S608
    kept = new[: max(0, MAX_PROBLEMS - len(known))]
    if kept:
        db.executemany("INSERT INTO problems VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(trace, *row) for row in kept])
        rows = known + kept
        found = outcomes([Problem(row.span_id, row.parent_id, Outcome(row.own), row.end) for row in rows])
        failed, refused = found.count(Outcome.FAILED), found.count(Outcome.REFUSED)
        worst = Outcome.FAILED if failed else Outcome.REFUSED
        first = min(
            (row for row, outcome in zip(rows, found, strict=True) if outcome is worst),
            key=lambda row: (not row.is_told, row.own == Outcome.UNEXPLAINED, row.end),
        )
        db.execute(
            "UPDATE traces SET errors = ?, refusals = ?, problem = ? WHERE id = ?", (failed, refused, first.text, trace)
        )
    if rest := new[len(kept) :]:
        own = Counter(row.own == Outcome.REFUSED for row in rest)
        db.execute(
            "UPDATE traces SET errors = errors + ?, refusals = refusals + ? WHERE id = ?",
            (own[False], own[True], trace),
        )


def _insert_keys(ingest: Ingest, keys: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """Insert the keys of spans and give those that were not there yet."""
    new: set[tuple[int, int]] = set()
    for first in range(0, len(keys), LOOKED_UP_TOGETHER):
        some = keys[first : first + LOOKED_UP_TOGETHER]
        marks = ",".join(["(?,?)"] * len(some))
        values = [number for key in some for number in key]
        new.update(
            ingest.db.execute(
                f"INSERT INTO spans VALUES {marks} ON CONFLICT DO NOTHING RETURNING trace, key",  # noqa: S608
                values,
            ).fetchall()
        )
    return new


def read_spans(request: ExportTraceServiceRequest, item_limit: int) -> SpanBatch:
    """Read the spans of an export; those that cannot be stored are counted in `rejected`."""
    batch = SpanBatch()
    for r, resource_spans in enumerate(request.resource_spans):
        resource = stored_resource(resource_spans.resource)
        schema = encoded(3, resource_spans.schema_url.encode())
        large_resource = too_large(len(resource.body), item_limit)
        for s, scope_spans in enumerate(resource_spans.scope_spans):
            scope = encoded(1, scope_spans.scope.SerializeToString()) + encoded(3, scope_spans.schema_url.encode())
            place = f"resourceSpans[{r}].scopeSpans[{s}]"
            if problem := large_resource or too_large(len(scope), item_limit):
                if scope_spans.spans:
                    field_name = f"resourceSpans[{r}].resource" if large_resource else f"{place}.scope"
                    batch.rejected.add(field_name, problem, len(scope_spans.spans))
                continue
            for i, span in enumerate(scope_spans.spans):
                bad_field, problem = problem_of(span)
                data = b"" if problem else _encoded(span)
                if problem := problem or too_large(len(data), item_limit):
                    batch.rejected.add(f"{place}.spans[{i}]{bad_field}", problem)
                else:
                    batch.rows.append(_row(span, resource, schema, scope, scope_spans.scope.name, data))
    batch.is_dated = all(row.start is not None for row in batch.rows)
    return batch


def duration_of(span: Span) -> int:
    """Return the duration of a span in microseconds, as all views show it: none without a start."""
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    return max(0, end - start) // 1000 if start else 0


def problem_of(span: Span) -> tuple[str, str]:
    """Return the field of a span that is wrong and what is wrong with it, or nothing."""
    if not is_trace_id(span.trace_id):
        return ".traceId", f"{span.trace_id.hex()!r:.80} is not 16 bytes with one that is not zero"
    if not is_span_id(span.span_id):
        return ".spanId", f"{span.span_id.hex()!r:.80} is not 8 bytes with one that is not zero"
    if len(span.parent_span_id) not in (0, 8):
        return ".parentSpanId", f"{span.parent_span_id.hex()!r:.80} is not 8 bytes"
    return "", ""


def _encoded(span: Span) -> bytes:
    if span.parent_span_id and not any(span.parent_span_id):
        span.parent_span_id = b""  # some senders write eight zero bytes where there is no parent
    return span.SerializeToString()


def _row(span: Span, resource: StoredResource, schema: bytes, scope: bytes, scope_name: str, data: bytes) -> SpanRow:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    name = span.name or NO_NAME
    begins = (start or end) // 1000
    ends = max(begins, end // 1000)
    number = span_key(span, resource.service)
    return SpanRow(
        span.trace_id,
        number,
        resource,
        schema,
        scope,
        data,
        name,
        begins or None,
        ends,
        int(span.status.code == Status.STATUS_CODE_ERROR),
        _rank(span, begins),
        _problem_row(span, data, number, ends),
        texts_of_span(span, name, scope_name),
    )


def span_key(span: Span, service: str) -> int:
    """Return what a span is known by.

    One that is sent again is the same in all of this. A client and a server may share an id (Zipkin, B3), and what a
    faulty sender gives the same id to is kept as well.
    """
    times = f"{span.start_time_unix_nano} {span.end_time_unix_nano}"
    identity = f"{span.kind} {times} {service}\0{span.name or NO_NAME}".encode()
    return int.from_bytes(hashlib.blake2b(span.span_id + identity, digest_size=8).digest(), signed=True)


def _rank(span: Span, begins: int) -> int:
    """Return the place of a span among the candidates for the root: a span without a parent is it.

    Until it arrives, its place is taken by the first span that served a call, or else by the first span.
    """
    rank = begins or UNTIMED_ROOT
    if span.parent_span_id:
        rank += HAS_PARENT + (0 if span.kind in ENTRY_KINDS else IS_INNER)
    return rank


def _problem_row(span: Span, data: bytes, key: int, end: int) -> ProblemRow | None:
    if span.status.code != Status.STATUS_CODE_ERROR and (b"status_code" not in data or SUCCEEDED.search(data)):
        return None  # to read each attribute of each span would take as long as all the rest
    own = sent_outcome(span)
    if own is Outcome.OK:
        return None
    told = span.status.message or _exception(span)
    text = told or f"{span.name} {response_status(span)}"
    text = " ".join(text[: 4 * MAX_TEXT].split())[:MAX_TEXT]
    return ProblemRow(key, span.span_id, span.parent_span_id, own, end, int(bool(told)), text)


def _exception(span: Span) -> str:
    """Return type and message of the last exception that a span recorded."""
    for event in reversed(span.events):
        if event.name == "exception":
            texts = {item.key: item.value.string_value for item in event.attributes}
            return ": ".join(filter(None, (texts.get("exception.type"), texts.get("exception.message"))))
    return ""
