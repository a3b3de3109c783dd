"""Searches for traces: the newest that fit, page by page."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from waybill_explorer.jaeger import Json, has_tag
from waybill_explorer.paging import Cursor, Deadline, Page
from waybill_explorer.queries import TIME_MAX, Budget, summary, trace_body
from waybill_explorer.query_language import ATTRIBUTE, EVERYTHING, All, Node, Term, Words
from waybill_explorer.trace_search import TraceSearch
from waybill_explorer.traces import ANY
from waybill_explorer.value_tests import Equals

DERIVED_TAGS = ("span.kind", "error", "otel.", "w3c.tracestate", "event")
"""Tags that are made when a span is read: they are no attributes, which a search could look for."""


@dataclass
class TraceQuery:
    """What a trace must hold: one span that fits all of it. Times and durations in microseconds."""

    service: str = ANY
    operation: str = ANY
    tags: dict[str, str] = field(default_factory=dict)
    min_duration: int = 0
    max_duration: int = TIME_MAX
    start: int = 0
    end: int = TIME_MAX
    limit: int = 100
    text: str = ""
    """Somewhere in the trace: its id, names, attributes, events, log lines; capitals do not matter."""
    failed: bool = False
    """A span failed, by the definition of outcome.py."""
    refused: bool = False
    min_total: int = 0
    max_total: int = TIME_MAX
    """The whole trace, from its first start to its last end."""
    query: Node = EVERYTHING
    cursor: Cursor | None = None

    @property
    def needs_spans(self) -> bool:
        """Return whether only its spans in Jaeger's form can decide."""
        return bool(self.tags) or self.max_duration < TIME_MAX

    @property
    def node(self) -> Node:
        """What all parameters require, as far as the language can say it."""
        tags = ((key, value) for key, value in self.tags.items() if not key.startswith(DERIVED_TAGS))
        terms: list[Node] = [Term(ATTRIBUTE, key, Equals(value), 0) for key, value in tags]
        if self.text:
            terms.append(Words(self.text.replace("\0", " ")))
        return All((self.query, *terms)) if terms else self.query


def find_traces(db: sqlite3.Connection, query: TraceQuery) -> list[Json]:
    """Return the newest traces that fit, in Jaeger's JSON, newest first."""
    found: list[Json] = []
    budget = Budget()
    for trace in Candidates(db, query):
        before = budget.left
        body = trace_body(db, trace, budget)
        if _fits(body, query):
            found.append(body)
            if len(found) == query.limit or budget.is_spent:
                break
        else:
            budget.left = before
    return found


def find_summaries(db: sqlite3.Connection, query: TraceQuery) -> Page:
    """Return the newest traces that fit, each as one line of a list, newest first."""
    candidates = Candidates(db, query, Deadline())
    return Page([summary(db, trace) for trace in _fitting(db, query, candidates)], candidates.rest())


def find_ids(db: sqlite3.Connection, query: TraceQuery) -> list[int]:
    """Return the rows of the traces that fit, the newest first, up to the query's limit."""
    return list(_fitting(db, query, Candidates(db, query)))


def _fitting(db: sqlite3.Connection, query: TraceQuery, candidates: Iterable[int]) -> Iterator[int]:
    """Yield those that fit, up to the query's limit, and look at no candidate after the last."""
    fitting = (t for t in candidates if not query.needs_spans or _fits(trace_body(db, t, Budget()), query))
    return islice(fitting, query.limit)


class Candidates:
    """The traces that fit, as far as that shows without their spans in Jaeger's form: newest first, each once."""

    def __init__(self, db: sqlite3.Connection, query: TraceQuery, deadline: Deadline | None = None) -> None:
        self._db = db
        self._query = query
        self._deadline = deadline
        self._search = TraceSearch(db, query.node)
        self._conditions, self._parameters = self._rows_that_fit()
        self._at = query.cursor
        before = query.cursor or Cursor(TIME_MAX, TIME_MAX)
        # CROSS JOIN, so that the rows come in the order of `matches`, which is that of the answer.
        sql = (
            f"SELECT matches.start, trace FROM matches CROSS JOIN traces ON traces.id = trace"  # noqa: S608
            f" WHERE {self._conditions} AND (matches.start, trace) < (?, ?) ORDER BY matches.start DESC, trace DESC"
        )
        self._rows = db.execute(sql, (*self._parameters, before.time, before.number))

    def __iter__(self) -> Iterator[int]:
        seen = set()
        while not self._search.is_nowhere and not (self._deadline and self._deadline.is_over):
            row = self._rows.fetchone()
            if row is None:
                return
            start, trace = row
            self._at = Cursor(start, trace)
            if trace in seen or not self._search.may_have(trace) or not self._search.fits(trace):
                continue
            seen.add(trace)
            if not self._is_on_earlier_page(trace):
                yield trace

    def rest(self) -> Cursor | None:
        """Return where the search goes on, or None if no trace is left."""
        return self._at if not self._search.is_nowhere and self._rows.fetchone() else None

    def _rows_that_fit(self) -> tuple[str, tuple[Any, ...]]:
        query = self._query
        operation = self._db.execute(
            "SELECT id FROM operations WHERE (service, name) = (?, ?)", (query.service, query.operation)
        ).fetchone()
        conditions = [
            "operation = ?",
            "matches.start BETWEEN ? AND ?",
            "longest >= ?",
            f"({self._search.sql.condition})",
        ]
        parameters = [operation["id"] if operation else -1, query.start, query.end, query.min_duration]
        parameters += self._search.sql.parameters
        if query.tags.get("error") == "true":
            conditions.append("failed")
        conditions += ["traces.errors > 0"] * query.failed + ["traces.refusals > 0"] * query.refused
        if query.min_total:
            conditions.append("traces.end - traces.start >= ?")
            parameters.append(query.min_total)
        if query.max_total < TIME_MAX:
            conditions.append("traces.end - traces.start <= ?")
            parameters.append(query.max_total)
        return " AND ".join(conditions), tuple(parameters)

    def _is_on_earlier_page(self, trace: int) -> bool:
        """Return whether the trace has a row before the cursor: it gets a second one when an earlier span arrives."""
        cursor = self._query.cursor
        if not cursor:
            return False
        end = self._db.execute("SELECT end FROM traces WHERE id = ?", (trace,)).fetchone()["end"]
        sql = (
            f"SELECT 1 FROM matches CROSS JOIN traces ON traces.id = trace WHERE {self._conditions} AND trace = ?"  # noqa: S608
            " AND (matches.start, trace) >= (?, ?) AND matches.start <= ?"
        )
        parameters = (*self._parameters, trace, cursor.time, cursor.number, end)
        return self._db.execute(sql, parameters).fetchone() is not None


def _fits(body: Json, query: TraceQuery) -> bool:
    return any(_span_fits(span, body["processes"], query) for span in body["spans"])


def _span_fits(span: Json, processes: dict[str, Json], query: TraceQuery) -> bool:
    process = processes[span["processID"]]
    return (
        query.service in (ANY, process["serviceName"])
        and query.operation in (ANY, span["operationName"])
        and query.min_duration <= span["duration"] <= query.max_duration
        and query.start <= span["startTime"] <= query.end
        and all(
            has_tag(span["tags"], key, value)
            or has_tag(process["tags"], key, value)
            or any(has_tag(event["fields"], key, value) for event in span["logs"])
            for key, value in query.tags.items()
        )
    )
