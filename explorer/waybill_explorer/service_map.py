"""Requests, errors and durations per service and per call between two services, read from spans alone.

A *request* of a service is a span whose parent is not in the same service: a call that came in, or work it began.
Where the parent has not arrived (yet), only the span's kind can say that it came from elsewhere.
A *dependency* is what sends no spans itself: a database, a cache, another system (dependencies.py).
What came of a request is said by outcome.py: `errors` is the share of those that failed, `refused` of those refused.
Beyond MAX_TRACES traces an even sample is read; rates are scaled up to all of them. They are over time that has data.
"""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waybill_explorer.dependencies import Address, Dependency, OutgoingCall, outgoing_calls
from waybill_explorer.jaeger import Json
from waybill_explorer.outcome import Outcome, Problem, outcomes, sent_outcome
from waybill_explorer.queries import spans_of
from waybill_explorer.traces import ANY, NEVER, NO_NAME, duration_of

MAX_TRACES = 2000
SLOWEST = 10
LEAST_TIME = 10_000_000
"""Microseconds that a rate is over at least: one request a moment ago is not a hundred per second."""
FROM_ELSEWHERE = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)
REMOTE = ("http", "rpc", "other")
"""The kinds of dependencies at whose address there may be a service instead."""


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

    def add(self, duration: int, outcome: Outcome) -> None:
        self.durations.append(duration)
        self.failed += outcome is Outcome.FAILED
        self.refused += outcome is Outcome.REFUSED

    def merge(self, other: "Requests") -> None:
        self.durations += other.durations
        self.failed += other.failed
        self.refused += other.refused

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


@dataclass
class Spans:
    """The spans of one trace with their services, and what came of each."""

    members: list[tuple[str, Span]]
    services_of: dict[bytes, list[str]]
    outcome: Callable[[Span], Outcome]


def service_map(db: sqlite3.Connection, start: int, end: int) -> Json:
    """Return `services`, `calls` (parent, child) and `dependencies`, each with its rate, errors and percentiles."""
    weight, traces = _sample(db, start, end)
    nodes: dict[str, Requests] = defaultdict(lambda: Requests(weight))
    edges: dict[tuple[str, str], Requests] = defaultdict(lambda: Requests(weight))
    outgoing = _Outgoing(weight)
    for trace in traces:
        for request in _requests(trace):
            nodes[request.service].add(request.duration, request.outcome)
            if request.caller:
                edges[request.caller, request.service].add(request.duration, request.outcome)
        for call in outgoing_calls(trace.members, trace.services_of):
            outgoing.add(call, trace.outcome(call.span))
    seconds = _seconds(_since(db, start, end), end)
    return {
        "services": [{"service": name} | nodes[name].summary(seconds) for name in sorted(nodes)],
        "calls": [{"parent": p, "child": c} | edges[p, c].summary(seconds) for p, c in sorted(edges)],
        "dependencies": outgoing.summary(set(nodes), seconds),
    }


class _Outgoing:
    """The calls that leave services, by what they call and who calls."""

    def __init__(self, weight: float) -> None:
        self.calls: dict[Dependency, dict[str, Requests]] = defaultdict(lambda: defaultdict(lambda: Requests(weight)))
        self.weight = weight
        self.addresses: set[Address] = set()
        """Where services respond: a call that leads there is not one of a dependency."""

    def add(self, call: OutgoingCall, outcome: Outcome) -> None:
        if call.is_answered and any(call.dependency.address):
            self.addresses.add(call.dependency.address)
        if not call.is_answered:
            self.calls[call.dependency][call.service].add(duration_of(call.span), outcome)

    def summary(self, services: set[str], seconds: float | None) -> list[Json]:
        found = []
        for dependency, callers in sorted(self.calls.items()):
            if dependency.name in services or (dependency.address in self.addresses and dependency.kind in REMOTE):
                continue
            total = Requests(self.weight)
            for requests in callers.values():
                total.merge(requests)
            found.append(
                {
                    "id": " ".join(filter(None, (dependency.system, dependency.name, *dependency.address))),
                    **{key: getattr(dependency, key) for key in ("kind", "system", "name", "query")},
                    "address": ":".join(filter(None, dependency.address)),
                    **total.summary(seconds),
                    "callers": [{"service": name} | callers[name].summary(seconds) for name in sorted(callers)],
                }
            )
        return found


def service_detail(db: sqlite3.Connection, service: str, start: int, end: int, step: int) -> Json:
    """Return a service's `operations`, its `points` (one per `step`, at its end) and its `slowest` traces."""
    weight, traces = _sample(db, start, end)
    operations: dict[str, Requests] = defaultdict(lambda: Requests(weight))
    since = _since(db, start, end)
    seconds = _seconds(since, end)
    steps = [Requests(weight) for _ in range(-(-(end - start) // step))]
    for request in (request for trace in traces for request in _requests(trace)):
        if request.service == service:
            operations[request.operation].add(request.duration, request.outcome)
            steps[min(len(steps) - 1, max(0, request.start - start) // step)].add(request.duration, request.outcome)
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


def _sample(db: sqlite3.Connection, start: int, end: int) -> tuple[float, Iterator[Spans]]:
    """Return how many traces each one of a sample represents, and the sample."""
    ids = [row[0] for row in db.execute("SELECT id FROM traces WHERE start BETWEEN ? AND ?", (start, end))]
    sample = ids[:: math.ceil(len(ids) / MAX_TRACES) or 1]
    return len(ids) / max(1, len(sample)), read_spans(db, sample)


def read_spans(db: sqlite3.Connection, traces: Iterable[int]) -> Iterator[Spans]:
    """Yield the spans of each trace."""
    for trace in traces:
        members = list(spans_of(db, trace))
        services_of: dict[bytes, list[str]] = defaultdict(list)
        for service, span in members:
            services_of[span.span_id].append(service)
        yield Spans(members, services_of, _outcomes([span for _, span in members]))


def _outcomes(spans: Sequence[Span]) -> Callable[[Span], Outcome]:
    """Return a function that says what came of a span. A span without an error may explain one: a response with 402."""
    errors = [span for span in spans if span.status.code == Status.STATUS_CODE_ERROR]
    ids = {span.span_id for span in errors}
    parents = {span.parent_span_id for span in errors}
    explaining = (span for span in spans if span.span_id in parents or span.parent_span_id in ids) if errors else ()
    unsuccessful = [
        (span, outcome)
        for span in {id(one): one for one in (*errors, *explaining)}.values()
        if (outcome := sent_outcome(span)) is not Outcome.OK
    ]
    problems = [Problem(one.span_id, one.parent_span_id, own, one.end_time_unix_nano) for one, own in unsuccessful]
    known = dict(zip((id(span) for span, _ in unsuccessful), outcomes(problems), strict=True))
    return lambda span: known.get(id(span)) or sent_outcome(span)


def _requests(trace: Spans) -> Iterator[Request]:
    for service, span in trace.members:
        callers = trace.services_of.get(span.parent_span_id, [""])
        caller = service if service in callers else callers[0]  # a client and a server may share an id
        is_orphan = span.parent_span_id and not caller
        if caller != service and (not is_orphan or span.kind in FROM_ELSEWHERE):
            name, began = span.name or NO_NAME, span.start_time_unix_nano // 1000
            yield Request(caller, service, name, began, duration_of(span), trace.outcome(span))


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
    requests = (request for spans in read_spans(db, [trace]) for request in _requests(spans))
    of_service = (request.outcome for request in requests if request.service == service)
    return max(of_service, default=Outcome.OK)


def percentile(ordered: list[int], percent: int) -> int | None:
    """Return a percentile of values in order, one of them; None of no values."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else None
