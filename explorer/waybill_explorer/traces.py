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
from itertools import chain
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer.ingest import (
    NO_SPAN_ID,
    Batch,
    Ingest,
    StoredResource,
    encoded,
    is_span_id,
    is_trace_id,
    stored_resource,
    too_large,
    wire_header,
)
from waybill_explorer.outcome import Outcome, Problem, outcomes, response_status, sent_outcome
from waybill_explorer.texts import NAME, TEXT, Sent, texts_of_spans

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


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The resource and scope that spans of one export have in common."""

    resource: StoredResource
    schema: bytes
    scope: bytes
    """Both encoded as fields of ResourceSpans and ScopeSpans, without what is in them."""
    texts: tuple[Sent, ...]


class SpanRow(NamedTuple):
    """What is needed of a span to store it; times in microseconds, `start` is None where the span has no time."""

    trace_id: bytes
    key: int
    origin: Origin
    data: bytes
    name: str
    start: int | None
    end: int
    failed: int
    """Whether its status is ERROR."""
    rank: int
    """Of the candidates for the root of its trace the lowest is it."""
    problem: "ProblemRow | None"


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
        if start < self.start:
            self.start = start
        if longest > self.longest:
            self.longest = longest
        self.failed |= failed


@dataclass
class TraceRows:
    """What some exports say of one trace."""

    trace_id: bytes
    start: int = NEVER
    end: int = 0
    spans: int = 0
    root_rank: int = 2**63 - 1
    root: tuple[str, str] = ("", "")
    problems: list[ProblemRow] = field(default_factory=list)
    parts: dict[Origin, list[bytes]] = field(default_factory=dict)
    """Spans as fields of ScopeSpans: of each the header and then its bytes."""
    matches: dict[tuple[str, str], Match] = field(default_factory=dict)

    def add(self, row: SpanRow) -> None:
        """Add a span."""
        _, _, origin, data, name, start, end, failed, rank, problem = row
        operation = (origin.resource.service, name)
        self.spans += 1
        if problem:
            self.problems.append(problem)
        if rank < self.root_rank:
            self.root_rank, self.root = rank, operation
        if start is None:
            start, longest = NEVER, 0
        else:
            longest = end - start
            self.start, self.end = min(self.start, start), max(self.end, end)
        parts = self.parts.get(origin)
        if parts is None:
            self.parts[origin] = [wire_header(2, len(data)), data]
        else:
            parts += (wire_header(2, len(data)), data)
        match = self.matches.get(operation)
        if match is None:
            self.matches[operation] = Match(start, longest, failed)
        else:
            match.add(start, longest, failed)

    def all_matches(self, untimed: int) -> dict[tuple[str, str], Match]:
        """Return the matches, with those of any operation and of any service; `untimed` stands in for no start."""
        everything = Match(NEVER, 0, 0)
        found: dict[tuple[str, str], Match] = {(ANY, ANY): everything}
        for operation, match in self.matches.items():
            values = (untimed if match.start == NEVER else match.start, match.longest, match.failed)
            everything.add(*values)
            found[operation] = Match(*values)
            of_service = (operation[0], ANY)
            if of_service in found:
                found[of_service].add(*values)
            else:
                found[of_service] = Match(*values)
        return found

    def chunks(self) -> Iterator[tuple[StoredResource, bytes]]:
        """Yield the ScopeSpans that go into one row of `chunks`, as the bytes of a ResourceSpans."""
        of_resource: dict[tuple[StoredResource, bytes], list[bytes]] = {}
        for origin, parts in self.parts.items():
            body = b"".join((origin.scope, *parts))
            of_resource.setdefault((origin.resource, origin.schema), [origin.schema]).extend(
                (wire_header(2, len(body)), body)
            )
        for (resource, _), bodies in of_resource.items():
            yield resource, b"".join(bodies)


@dataclass
class SpanBatch(Batch):
    """The spans of some exports."""

    rows: list[SpanRow] = field(default_factory=list)

    def write(self, ingest: Ingest) -> None:
        """Write the spans that are not stored yet: one that is sent again counts once."""
        traces: dict[int, TraceRows] = {}
        for trace, row in _not_stored(ingest, self.rows):
            if trace not in traces:
                traces[trace] = TraceRows(row.trace_id)
            traces[trace].add(row)
        rows, chunks, matches = [], [], []
        segments: dict[int, list[TraceRows]] = {}
        operations: dict[tuple[str, str], int] = {}
        for trace, t in traces.items():
            rows.append((trace, t.trace_id, t.start, t.end, t.spans, t.root_rank, *t.root))
            chunks += [(trace, ingest.resource(resource), data) for resource, data in t.chunks()]
            segments.setdefault(ingest.trace_texts.segment(trace), []).append(t)
            untimed = min(t.start, trace)  # the id of a trace is the time at which it arrived
            for operation, m in t.all_matches(untimed).items():
                if operation not in operations:
                    operations[operation] = ingest.operation(*operation)
                matches.append((operations[operation], m.start, trace, m.longest, m.failed))
        ingest.db.executemany(UPSERT_TRACE, rows)
        for trace, t in traces.items():
            if t.problems:
                _count_problems(ingest.db, trace, t.problems)
        ingest.db.executemany("INSERT INTO chunks (trace, resource, data) VALUES (?, ?, ?)", chunks)
        ingest.db.executemany(UPSERT_MATCH, matches)
        for segment, members in segments.items():
            ingest.trace_texts.add(segment, _texts(members))


def _texts(traces: list[TraceRows]) -> set[Sent]:
    """Return what a search may look for in traces."""
    texts = texts_of_spans([span for t in traces for parts in t.parts.values() for span in parts[1::2]])
    texts.update(*{origin.texts for t in traces for origin in t.parts})
    texts.update({NAME + name for t in traces for _, name in t.matches})
    return texts


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


def _not_stored(ingest: Ingest, rows: list[SpanRow]) -> Iterator[tuple[int, SpanRow]]:
    """Insert the keys of spans; yield those that were not there yet, each once, with the id of their trace."""
    traces = {trace_id: ingest.trace(trace_id) for trace_id in dict.fromkeys(row.trace_id for row in rows)}
    by_key = {(traces[row.trace_id], row.key): row for row in rows}
    keys = list(by_key)
    for first in range(0, len(keys), LOOKED_UP_TOGETHER):
        some = keys[first : first + LOOKED_UP_TOGETHER]
        marks = ",".join(["(?,?)"] * len(some))
        new = ingest.db.execute(
            f"INSERT INTO spans VALUES {marks} ON CONFLICT DO NOTHING RETURNING trace, key",  # noqa: S608
            [*chain.from_iterable(some)],
        ).fetchall()
        for key in new:
            yield key[0], by_key[key]


def read_spans(request: ExportTraceServiceRequest, item_limit: int) -> SpanBatch:
    """Read the spans of an export; those that cannot be stored are counted in `rejected`."""
    batch = SpanBatch()
    for r, resource_spans in enumerate(request.resource_spans):
        resource = stored_resource(resource_spans.resource)
        schema = encoded(3, resource_spans.schema_url.encode())
        large_resource = too_large(len(resource.body), item_limit)
        for s, scope_spans in enumerate(resource_spans.scope_spans):
            scope = encoded(1, scope_spans.scope.SerializeToString()) + encoded(3, scope_spans.schema_url.encode())
            origin = Origin(resource, schema, scope, (*resource.texts, TEXT + scope_spans.scope.name))
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
                    batch.rows.append(_row(span, origin, data))
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
    if span.parent_span_id == NO_SPAN_ID:
        span.parent_span_id = b""  # some senders write eight zero bytes where there is no parent
    return span.SerializeToString()


def _row(span: Span, origin: Origin, data: bytes) -> SpanRow:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    name = span.name or NO_NAME
    begins = (start or end) // 1000
    ends = max(begins, end // 1000)
    number = span_key(span, origin.resource.service)
    is_error = span.status.code == Status.STATUS_CODE_ERROR
    return SpanRow(
        span.trace_id,
        number,
        origin,
        data,
        name,
        begins or None,
        ends,
        int(is_error),
        _rank(span, begins),
        _problem_row(span, data, number, ends, is_error),
    )


def span_key(span: Span, service: str) -> int:
    """Return what a span is known by.

    One that is sent again is the same in all of this. A client and a server may share an id (Zipkin, B3), and what a
    faulty sender gives the same id to is kept as well.
    """
    identity = (
        span.span_id,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        service.encode(),
        (span.name or NO_NAME).encode(),
    )
    digest = hashlib.blake2b(b"%b%d %d %d %b\0%b" % identity, digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def _rank(span: Span, begins: int) -> int:
    """Return the place of a span among the candidates for the root: a span without a parent is it.

    Until it arrives, its place is taken by the first span that served a call, or else by the first span.
    """
    rank = begins or UNTIMED_ROOT
    if span.parent_span_id:
        rank += HAS_PARENT + (0 if span.kind in ENTRY_KINDS else IS_INNER)
    return rank


def _problem_row(span: Span, data: bytes, key: int, end: int, is_error: bool) -> ProblemRow | None:
    if not is_error and (b"status_code" not in data or SUCCEEDED.search(data)):
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
