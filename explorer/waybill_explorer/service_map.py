"""Requests, errors and durations per service and per call between two services, read from spans alone.

A *request* of a service is a span whose parent is not in the same service: a call that came in, or work it began.
Where the parent has not arrived (yet), only the span's kind can say that it came from elsewhere.
Beyond MAX_TRACES traces an even sample is read; rates are scaled up to all of them.
"""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from waybill_explorer.jaeger import Json
from waybill_explorer.traces import ANY, NO_NAME

MAX_TRACES = 2000
SLOWEST = 10
FROM_ELSEWHERE = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)


@dataclass(slots=True)
class Request:
    """One request of a service: which service called it ("" if none), microseconds it took, whether it failed."""

    caller: str
    service: str
    operation: str
    start: int
    duration: int
    failed: bool


@dataclass
class Requests:
    """Requests that belong together; `weight` is how many each stands for."""

    weight: float
    durations: list[int] = field(default_factory=list)
    failed: int = 0

    def add(self, request: Request) -> None:
        self.durations.append(request.duration)
        self.failed += request.failed

    def summary(self, seconds: float) -> Json:
        """Return requests per second, share of errors (0 to 1) and percentiles in microseconds."""
        count = len(self.durations)
        self.durations.sort()
        return {
            "count": round(count * self.weight),
            "rate": count * self.weight / seconds,
            "errors": self.failed / count if count else 0.0,
            **{f"p{q}": _percentile(self.durations, q) for q in (50, 95, 99)},
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
    seconds = max(1, end - start) / 1e6
    return {
        "services": [{"service": name} | nodes[name].summary(seconds) for name in sorted(nodes)],
        "calls": [{"parent": p, "child": c} | edges[p, c].summary(seconds) for p, c in sorted(edges)],
    }


def service_detail(db: sqlite3.Connection, service: str, start: int, end: int, step: int) -> Json:
    """Return a service's `operations`, its `points` (one per `step`, at its end) and its `slowest` traces."""
    weight, requests = _requests(db, start, end)
    operations: dict[str, Requests] = defaultdict(lambda: Requests(weight))
    steps = [Requests(weight) for _ in range(-(-(end - start) // step))]
    for request in requests:
        if request.service == service:
            operations[request.operation].add(request)
            steps[min(len(steps) - 1, max(0, request.start - start) // step)].add(request)
    return {
        "operations": [{"operation": name} | operations[name].summary((end - start) / 1e6) for name in operations],
        "points": [{"time": start + (i + 1) * step} | one.summary(step / 1e6) for i, one in enumerate(steps)],
        "slowest": _slowest(db, service, start, end),
    }


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
                    span.status.code == Status.STATUS_CODE_ERROR,
                )


def _slowest(db: sqlite3.Connection, service: str, start: int, end: int) -> list[Json]:
    rows = db.execute(
        "SELECT traces.*, matches.start AS began, longest, failed FROM matches"
        " JOIN operations ON operations.id = operation JOIN traces ON traces.id = trace"
        " WHERE (service, name) = (?, ?) AND matches.start BETWEEN ? AND ? ORDER BY longest DESC LIMIT ?",
        (service, ANY, start, end, SLOWEST),
    )
    return [
        {
            "traceID": row["trace_id"].hex(),
            "operation": row["root_name"],
            "startTime": row["began"],
            "duration": row["longest"],
            "failed": bool(row["failed"]),
        }
        for row in rows
    ]


def _percentile(ordered: list[int], percent: int) -> int | None:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else None
