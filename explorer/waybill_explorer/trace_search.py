"""Which traces fit a query, and what of it an index or the database can decide.

A trace fits if one of its spans fits: all terms of one conjunction hold for the same span. Three kinds of terms are of
the whole trace: a text, which may be in any span or log line; what `not` excludes, which no span may have; and the
terms of log lines, which must hold for one line of the trace.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, lru_cache

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from waybill_explorer.index import ANYWHERE, Possible, segments_with
from waybill_explorer.log_search import (
    NO_CONDITION,
    SELECT,
    LogLine,
    Sql,
    condition,
    has_words,
    holds,
    is_part_of_id,
    leaves,
    lines_of_segments,
    passes,
    possible,
    resource_values,
    trace_id_begins,
)
from waybill_explorer.needles import Narrowing
from waybill_explorer.outcome import Outcome, Problem, outcomes, sent_outcome
from waybill_explorer.query_language import ATTRIBUTE, All, Either, Leaf, Logged, Node, Not, Term, Words
from waybill_explorer.texts import (
    KINDS,
    LOGS,
    TRACES,
    folded,
    segment_starts,
    texts_of_resource,
    texts_of_span,
    value_text,
)
from waybill_explorer.traces import NO_NAME, duration_of, span_key
from waybill_explorer.value_tests import Begins, Compares, OneOf, fold

OF_LOGS = ("level", "logger", "body")
OUTCOMES = {Outcome.OK: "ok", Outcome.REFUSED: "refused", Outcome.FAILED: "error"}
KEPT_SPANS = 1_000
"""Spans of a trace that are kept between two terms; those of a larger one are read again, so that memory is bounded."""
MAX_LOG_SEGMENTS = 64
"""Segments of log lines that are read to find their traces. A text that is in more of them is soon found in traces."""
MAX_RANGES = 50
"""Ranges of ids that the database compares; of more of them most traces are in one."""
TOTAL = "max(traces.end - traces.start, 0)"


class StoredSpan:
    """A span as a query looks at it."""

    __slots__ = ("resource", "scope", "service", "span")

    def __init__(self, span: Span, resource: bytes, service: str, scope: str) -> None:
        self.span = span
        self.resource = resource
        self.service = service
        self.scope = scope

    @property
    def name(self) -> str:
        return self.span.name or NO_NAME

    @property
    def duration(self) -> int:
        return duration_of(self.span)

    def texts(self) -> Iterator[str]:
        for sent in texts_of_span(self.span, self.name, self.scope):
            yield folded(sent)
        yield from _texts_of_resource(self.resource, self.service)

    def values(self, key: str) -> list[str]:
        """Return the values of an attribute of the span, its events and its resource."""
        found = [value_text(item.value) for item in self.span.attributes if item.key == key]
        for event in self.span.events:
            found += [value_text(item.value) for item in event.attributes if item.key == key]
        return found + resource_values(self.resource, key)


@lru_cache(maxsize=64)
def _texts_of_resource(body: bytes, service: str) -> list[str]:
    return [folded(sent) for sent in texts_of_resource(Resource.FromString(body), service)]


class Chunk:
    """Spans of a trace that arrived together from one resource; decoded when they are looked at."""

    def __init__(self, data: bytes, resource: bytes, service: str) -> None:
        self.data = data
        self.resource = resource
        self.service = service

    @cached_property
    def spans(self) -> list[StoredSpan]:
        return [
            StoredSpan(span, self.resource, self.service, scope_spans.scope.name)
            for scope_spans in ResourceSpans.FromString(self.data).scope_spans
            for span in scope_spans.spans
        ]


class StoredTrace:
    """A trace as a query looks at it; what is found out once is kept for the other terms."""

    def __init__(self, db: sqlite3.Connection, number: int) -> None:
        self._db = db
        self._number = number
        self._row = db.execute(f"SELECT *, {TOTAL} AS total FROM traces WHERE id = ?", (number,)).fetchone()  # noqa: S608
        self.total: int = self._row["total"]
        self.trace_id: str = self._row["trace_id"].hex()
        self.known: dict[Node, bool] = {}
        self._kept: list[Chunk] | None = None

    def chunks(self) -> Iterator[Chunk]:
        if self._row["spans"] > KEPT_SPANS:
            return self._read()
        if self._kept is None:
            self._kept = list(self._read())
        return iter(self._kept)

    def _read(self) -> Iterator[Chunk]:
        for row in self._db.execute(
            "SELECT data, body, service FROM chunks JOIN resources ON resources.id = resource WHERE trace = ?",
            (self._number,),
        ):
            yield Chunk(*row)

    @cached_property
    def lines(self) -> list[LogLine]:
        rows = self._db.execute(f"{SELECT} WHERE trace_id = ?", (self._row["trace_id"],))
        return [LogLine(row) for row in rows]

    @cached_property
    def _problems(self) -> dict[int, Outcome]:
        rows = self._db.execute(
            "SELECT key, span_id, parent_id, own, end FROM problems WHERE trace = ?", (self._number,)
        ).fetchall()
        found = outcomes([Problem(span_id, parent, Outcome(own), end) for _, span_id, parent, own, end in rows])
        return dict(zip((row["key"] for row in rows), found, strict=True))

    def outcome(self, stored: StoredSpan) -> Outcome:
        """Return what came of a span, as the errors and refusals of its trace are counted."""
        if not self._problems:
            return Outcome.OK
        outcome = self._problems.get(span_key(stored.span, stored.service))
        if outcome is not None:
            return outcome
        own = sent_outcome(stored.span)  # of a trace with very many problems only some are kept
        return Outcome.FAILED if own is Outcome.UNEXPLAINED else own


def fits(node: Node, trace: StoredTrace) -> bool:
    """Return whether a span of the trace fits."""
    known = trace.known.get(node)
    if known is None:
        known = trace.known[node] = _of_trace(node, trace)
    return known


def _of_trace(node: Node, trace: StoredTrace) -> bool:
    if isinstance(node, Words):
        return _has_words(node.text, trace)
    if isinstance(node, Logged):
        return any(holds(node.node, line) for line in trace.lines)
    return any(_holds(node, trace, span) for chunk in trace.chunks() if _may_hold(node, chunk) for span in chunk.spans)


def _may_hold(node: Node, chunk: Chunk) -> bool:
    """Return whether a span of the chunk may fit: it must have the keys, which are in its bytes as they are."""
    if isinstance(node, All):
        return all(_may_hold(one, chunk) for one in node.nodes)
    if isinstance(node, Either):
        return any(_may_hold(one, chunk) for one in node.nodes)
    if not isinstance(node, Term):
        return True
    if node.field == "service":
        return passes(node.test, [chunk.service])
    key = node.key.encode(errors="replace")
    return key in chunk.data or key in chunk.resource


def _holds(node: Node, trace: StoredTrace, span: StoredSpan) -> bool:
    if isinstance(node, All):
        return all(_holds(one, trace, span) for one in node.nodes)
    if isinstance(node, Either):
        return any(_holds(one, trace, span) for one in node.nodes)
    if isinstance(node, Not):
        return not fits(node.node, trace)
    if isinstance(node, Term):
        return _passes(node, trace, span)
    return fits(node, trace)


def _passes(term: Term, trace: StoredTrace, span: StoredSpan) -> bool:
    test = term.test
    match term.field:
        case "duration" | "total":
            given = span.duration if term.field == "duration" else trace.total
            return not isinstance(test, Compares) or test.compare(given)
        case "service":
            values = [span.service]
        case "operation":
            values = [span.name]
        case "kind":
            values = [KINDS[span.span.kind][1:]]
        case "status":
            values = [OUTCOMES[trace.outcome(span)]]
        case "trace":
            values = [trace.trace_id]
        case _:
            values = span.values(term.key)
    return passes(test, values)


def _has_words(text: str, trace: StoredTrace) -> bool:
    wanted = fold(text)
    return (
        (is_part_of_id(text) and trace.trace_id.startswith(wanted))
        or any(wanted in one for chunk in trace.chunks() for span in chunk.spans for one in span.texts())
        or any(has_words(text, line) for line in trace.lines)
    )


def for_traces(node: Node) -> Node:
    """Return a query with the terms of log lines of each conjunction joined: they must hold for one line."""
    if isinstance(node, Term):
        return Logged(node) if node.field in OF_LOGS else node
    if isinstance(node, Not):
        return Not(for_traces(node.node))
    if isinstance(node, Either):
        return Either(tuple(map(for_traces, node.nodes)))
    if isinstance(node, All):
        of_lines = [one for one in node.nodes if isinstance(one, Term) and one.field in OF_LOGS]
        others = [for_traces(one) for one in node.nodes if one not in of_lines]
        joined = [Logged(All(tuple(of_lines)))] if of_lines else []
        return All(tuple(sorted([*others, *joined], key=_cost)))
    return node


def _cost(node: Node) -> int:
    """Return what to look at first: what needs no reading, then what needs the span alone."""
    if isinstance(node, Term):
        return 1 if node.field == ATTRIBUTE else 0
    return 3 if isinstance(node, Not | Words | Logged) else 2


class TraceSearch:
    """What of the traces fits a query, prepared on one view of the data."""

    def __init__(self, db: sqlite3.Connection, node: Node) -> None:
        self.node = for_traces(node)
        self._db = db
        self.sql = condition(self.node, _condition_of_leaf)
        self._possible = ANYWHERE
        self._starts: list[int] = []
        self._narrowing: Narrowing | None = None
        if not self.sql.exact:
            spans = segments_with(db, TRACES, [leaf for leaf in leaves(node) if not _is_of_logs(leaf)])
            logs = segments_with(db, LOGS, [leaf for leaf in leaves(node) if _is_of_logs(leaf) or _is_text(leaf)])
            maybe_logged: set[Leaf | Logged] = set()
            self._possible = possible(self.node, lambda leaf: self._where(leaf, spans, logs, maybe_logged))
            self._starts = segment_starts(db, TRACES)
            if self._possible.segments is not None:
                in_them = _ids_between(self._ranges(self._possible.segments), self._possible.members)
                self.sql = replace(self.sql, condition=f"({self.sql.condition}) AND ({in_them})")
            self._narrowing = Narrowing(db, self.node, spans.keys() - maybe_logged)

    @property
    def is_nowhere(self) -> bool:
        return self._possible.is_nowhere

    def may_have(self, number: int) -> bool:
        """Return whether the trace of this id can fit."""
        place = bisect_right(self._starts, number)
        if number in self._possible.members or not place or not self._narrowing:
            return True
        segment = self._starts[place - 1]
        if self._possible.segments is not None and segment not in self._possible.segments:
            return False
        narrowed = self._narrowing.traces(segment, self._end(place))
        return narrowed is None or number in narrowed

    def _end(self, place: int) -> int:
        return self._starts[place] if place < len(self._starts) else 2**63 - 1

    def _ranges(self, segments: frozenset[int]) -> list[tuple[int, int]]:
        """Return the ids at which consecutive segments begin and end."""
        ranges: list[tuple[int, int]] = []
        for place, segment in enumerate(self._starts, start=1):
            if segment in segments:
                begin = ranges.pop()[0] if ranges and ranges[-1][1] == segment else segment
                ranges.append((begin, self._end(place)))
        return ranges

    def fits(self, number: int) -> bool:
        """Return whether a trace, for which the condition holds, fits."""
        return self.sql.exact or fits(self.node, StoredTrace(self._db, number))

    def _where(
        self,
        node: Leaf | Logged,
        spans: dict[Leaf, Possible],
        logs: dict[Leaf, Possible],
        maybe_logged: set[Leaf | Logged],
    ) -> Possible:
        """Return where a leaf may be; texts that may be in log lines of any trace are added to `maybe_logged`."""
        if isinstance(node, Logged):
            in_logs = possible(
                node.node, lambda leaf: ANYWHERE if isinstance(leaf, Logged) else logs.get(leaf, ANYWHERE)
            )
            return self._traces_of_lines(node.node, in_logs)
        if isinstance(node, Words):
            logged = self._traces_of_lines(node, logs.get(node, ANYWHERE))
            if logged == ANYWHERE:
                maybe_logged.add(node)
            return spans.get(node, ANYWHERE) | self._by_id(node.text) | logged
        return spans.get(node, ANYWHERE)

    def _by_id(self, text: str) -> Possible:
        if not is_part_of_id(text):
            return Possible(frozenset())
        begins = trace_id_begins("trace_id", Begins(text.lower()))
        rows = self._db.execute(f"SELECT id FROM traces WHERE {begins.condition}", begins.parameters)  # noqa: S608
        return Possible(frozenset(), frozenset(row[0] for row in rows))

    def _traces_of_lines(self, node: Node, where: Possible) -> Possible:
        """Return the traces that have a log line which fits."""
        if where.segments is None or len(where.segments) > MAX_LOG_SEGMENTS:
            return ANYWHERE
        ids = {line.row["trace_id"] for line in lines_of_segments(self._db, where.segments) if holds(node, line)}
        numbers = (self._db.execute("SELECT id FROM traces WHERE trace_id = ?", (one,)).fetchone() for one in ids)
        return Possible(frozenset(), frozenset(row[0] for row in numbers if row))


def _ids_between(ranges: list[tuple[int, int]], members: frozenset[int]) -> str:
    """Return the condition that a trace is in one of some ranges of ids or one of some; if they are many, none."""
    if len(ranges) > MAX_RANGES or len(members) > MAX_RANGES:
        return "1"
    between = [f"trace >= {begin} AND trace < {end}" for begin, end in ranges]
    return " OR ".join([*between, f"trace IN ({','.join(map(str, members))})"])


def _is_of_logs(leaf: Leaf) -> bool:
    return isinstance(leaf, Term) and leaf.field in OF_LOGS


def _is_text(leaf: Leaf) -> bool:
    return isinstance(leaf, Words)


def _condition_of_leaf(leaf: Leaf) -> Sql:
    if not isinstance(leaf, Term):
        return NO_CONDITION
    test = leaf.test
    match leaf.field:
        case "total" if isinstance(test, Compares):
            return Sql(f"{TOTAL} {test.operator} ?", (test.limit,))
        case "duration" if isinstance(test, Compares) and test.operator in (">", ">="):
            return Sql(f"{TOTAL} {test.operator} ?", (test.limit,), exact=False)
        case "trace" if isinstance(test, Begins):
            return trace_id_begins("traces.trace_id", test)
        case "status" if isinstance(test, OneOf) and "ok" not in test.words:
            counts = [column for word, column in (("error", "errors"), ("refused", "refusals")) if word in test.words]
            return Sql(" OR ".join(f"traces.{column} > 0" for column in counts), exact=False)
    return NO_CONDITION
