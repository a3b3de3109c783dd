"""Requests, errors and durations per service and per call between two services, read from spans alone.

A *request* of a service is a span whose parent is not in the same service: a call that came in, or work it began.
Where the parent has not arrived (yet), only the span's kind can say that it came from elsewhere.
What came of a request is said by outcome.py: `errors` is the share of those that failed, `refused` of those refused.
Beyond MAX_TRACES traces an even sample is read; rates are scaled up to all of them. They are over time that has data.
"""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from waybill_explorer.jaeger import Json
from waybill_explorer.outcome import Outcome, Problem, outcomes, sent_outcome
from waybill_explorer.traces import ANY, NEVER, NO_NAME

MAX_TRACES = 2000
SLOWEST = 10
LEAST_TIME = 10_000_000
"""Microseconds that a rate is over at least: one request a moment ago is not a hundred per second."""
FROM_ELSEWHERE = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)


@dataclass(slots=True)
class Request:
    """One request of a service: which service called it ("" if none), microseconds it took, what came of it."""

    caller: str
    service: str
    operation: str
    start: int
    duration: int
    outcome: Outcome


@dataclass
class Requests:
    """Requests that belong together; `weight` is how many each stands for."""

    weight: float
    durations: list[int] = field(default_factory=list)
    failed: int = 0
    refused: int = 0

    def add(self, request: Request) -> None:
        self.durations.append(request.duration)
        self.failed += request.outcome is Outcome.FAILED
        self.refused += request.outcome is Outcome.REFUSED

    def summary(self, seconds: float | None) -> Json:
        """Return requests per second, shares of failed and refused ones (0 to 1) and percentiles in microseconds."""
        count = len(self.durations)
        self.durations.sort()
        return {
            "count": round(count * self.weight),
            "rate": count * self.weight / seconds if seconds else None,
            "errors": self.failed / count if count else 0.0,
            "refused": self.refused / count if count else 0.0,
            **{f"p{q}": percentile(self.durations, q) for q in (50, 95, 99)},
        }


def service_map(db: sqlite3.Connection, start: int, end: int) -> Json:
    """Return `services` and `calls` (parent, child), each with its rate, errors and percentiles."""
    weight, requests = _requests(db, start, end)
    nodes: dict[str, Requests] = defaultdict(lambda: Requests(weight))
    edges: dict[tuple[str, str], Requests] = defaultdict(lambda: Requests(weight))
    for request in requests:
        nodes[request.service].add(request)
        if request.caller:
            edges[request.caller, request.service].add(request)
    seconds = _seconds(_since(db, start, end), end)
    return {
        "services": [{"service": name} | nodes[name].summary(seconds) for name in sorted(nodes)],
        "calls": [{"parent": p, "child": c} | edges[p, c].summary(seconds) for p, c in sorted(edges)],
    }


def service_detail(db: sqlite3.Connection, service: str, start: int, end: int, step: int) -> Json:
    """Return a service's `operations`, its `points` (one per `step`, at its end) and its `slowest` traces."""
    weight, requests = _requests(db, start, end)
    operations: dict[str, Requests] = defaultdict(lambda: Requests(weight))
    since = _since(db, start, end)
    seconds = _seconds(since, end)
    steps = [Requests(weight) for _ in range(-(-(end - start) // step))]
    for request in requests:
        if request.service == service:
            operations[request.operation].add(request)
            steps[min(len(steps) - 1, max(0, request.start - start) // step)].add(request)
    return {
        "operations": [{"operation": name} | operations[name].summary(seconds) for name in operations],
        "points": [
            {"time": left + step} | one.summary(_seconds(max(since, left), min(end, left + step), step // 2))
            for left, one in zip(range(start, end, step), steps, strict=True)
        ],
        "slowest": _slowest(db, service, start, end),
    }


def _since(db: sqlite3.Connection, start: int, end: int) -> int:
    """Return when in the time from `start` to `end` the data begin: what was before the first trace is not known."""
    first = db.execute("SELECT min(start) FROM traces WHERE start < ?", (NEVER,)).fetchone()[0]
    return max(start, min(first or start, end - LEAST_TIME))


def _seconds(start: int, end: int, least: int = 0) -> float | None:
    """Return the seconds from one time (µs) to another, or None if they are too few for a rate."""
    return (end - start) / 1e6 if end - start >= max(1, least) else None


def _requests(db: sqlite3.Connection, start: int, end: int) -> tuple[float, Iterator[Request]]:
    ids = [row[0] for row in db.execute("SELECT id FROM traces WHERE start BETWEEN ? AND ?", (start, end))]
    sample = ids[:: math.ceil(len(ids) / MAX_TRACES) or 1]
    return len(ids) / max(1, len(sample)), _read(db, sample)


def _read(db: sqlite3.Connection, traces: Iterable[int]) -> Iterator[Request]:
    for trace in traces:
        spans: list[tuple[str, Any]] = []
        for row in db.execute(
            "SELECT data, service FROM chunks JOIN resources ON resources.id = resource WHERE trace = ?", (trace,)
        ):
            for scope_spans in ResourceSpans.FromString(row["data"]).scope_spans:
                spans += [(row["service"], span) for span in scope_spans.spans]
        services_of: dict[bytes, list[str]] = defaultdict(list)
        for service, span in spans:
            services_of[span.span_id].append(service)
        errors = [span for _, span in spans if span.status.code == Status.STATUS_CODE_ERROR]
        problems = [
            Problem(one.span_id, one.parent_span_id, sent_outcome(one), one.end_time_unix_nano) for one in errors
        ]
        known = dict(zip(map(id, errors), outcomes(problems), strict=True))
        for service, span in spans:
            callers = services_of.get(span.parent_span_id, [""])
            caller = service if service in callers else callers[0]  # a client and a server may share an id
            is_orphan = span.parent_span_id and not caller
            if caller != service and (not is_orphan or span.kind in FROM_ELSEWHERE):
                began = span.start_time_unix_nano
                yield Request(
                    caller,
                    service,
                    span.name or NO_NAME,
                    began // 1000,
                    max(0, span.end_time_unix_nano - began) // 1000,
                    known.get(id(span)) or sent_outcome(span),
                )


def _slowest(db: sqlite3.Connection, service: str, start: int, end: int) -> list[Json]:
    rows = db.execute(
        "SELECT traces.*, matches.start AS began, longest FROM matches"
        " JOIN operations ON operations.id = operation JOIN traces ON traces.id = trace"
        " WHERE (service, name) = (?, ?) AND matches.start BETWEEN ? AND ? ORDER BY longest DESC LIMIT ?",
        (service, ANY, start, end, SLOWEST),
    ).fetchall()
    return [
        {
            "traceID": row["trace_id"].hex(),
            "operation": row["root_name"],
            "startTime": row["began"],
            "duration": row["longest"],
            "outcome": _outcome(db, row["id"], service).name.lower(),
        }
        for row in rows
    ]


def _outcome(db: sqlite3.Connection, trace: int, service: str) -> Outcome:
    """Return what came of the requests of a service in a trace: the worst of it."""
    of_service = (request.outcome for request in _read(db, [trace]) if request.service == service)
    return max(of_service, default=Outcome.OK)


def percentile(ordered: list[int], percent: int) -> int | None:
    """Return a percentile of values in order, one of them; None of no values."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else None
