"""The rules on spans, applied trace by trace."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from waybill_explorer.decode import plain_value
from waybill_explorer.score import sensitive
from waybill_explorer.score.conventions import RESOURCE_KEYS
from waybill_explorer.score.findings import Findings
from waybill_explorer.score.query import MAX_SPANS, SETTLING, ScoreQuery
from waybill_explorer.score.resources import Sender, Senders
from waybill_explorer.score.rules import MAX_INTERNAL_SPANS, MAX_SHORT_SPANS, SHORT_NS
from waybill_explorer.traces import ANY

INTERNAL, CLIENT = Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_CLIENT


@dataclass
class Trace:
    """What is counted in one trace."""

    trace_id: str
    ids: set[bytes] = field(default_factory=set)
    children: list[tuple[bytes, str, str]] = field(default_factory=list)
    """Of each span with a parent: the parent's id, its own service and its name."""
    spans: Counter[str] = field(default_factory=Counter)
    internal: Counter[str] = field(default_factory=Counter)
    short: Counter[str] = field(default_factory=Counter)
    """Per service."""


def check_spans(db: sqlite3.Connection, query: ScoreQuery, senders: Senders, findings: Findings) -> tuple[int, int]:
    """Apply SPA-001 to SPA-006, and RES-004 to spans. Return how many traces and spans were read."""
    traces = spans = 0
    for number in _newest(db, query):
        if traces >= query.traces or spans >= MAX_SPANS:
            break
        trace_id, end = db.execute("SELECT trace_id, end FROM traces WHERE id = ?", (number,)).fetchone()
        trace = Trace(trace_id.hex())
        for resource, data in db.execute("SELECT resource, data FROM chunks WHERE trace = ? ORDER BY id", (number,)):
            _read(trace, senders.note(resource, trace_id=trace.trace_id), ResourceSpans.FromString(data), findings)
        _check_counts(trace, findings)
        if end < query.end - SETTLING:
            _check_parents(trace, findings)
        traces, spans = traces + 1, spans + trace.spans.total()
    return traces, spans


def trace_count(db: sqlite3.Connection, query: ScoreQuery) -> int:
    """Return how many traces there are to read."""
    return sum(1 for _ in _newest(db, query))


def _newest(db: sqlite3.Connection, query: ScoreQuery) -> Iterator[int]:
    """Yield the traces of a service in a time, newest first, each once."""
    rows = db.execute(
        "SELECT trace FROM matches WHERE operation = (SELECT id FROM operations WHERE (service, name) = (?, ?))"
        " AND start BETWEEN ? AND ? ORDER BY start DESC",
        (query.service or ANY, ANY, query.start, query.end),
    )
    seen = set()
    for (trace,) in rows:
        if trace not in seen:
            seen.add(trace)
            yield trace


def _read(trace: Trace, sender: Sender, part: ResourceSpans, findings: Findings) -> None:
    service = sender.service
    is_browser = sender.attributes.get("telemetry.sdk.language") == "webjs"
    for scope_spans in part.scope_spans:
        if problem := scope_problem(scope_spans.scope):
            findings.fail(service, "SPA-006", f"an instrumentation scope has {problem}", {"trace_id": trace.trace_id})
        for span in scope_spans.spans:
            trace.ids.add(span.span_id)
            trace.spans[service] += 1
            duration = span.end_time_unix_nano - span.start_time_unix_nano
            trace.short[service] += 0 <= duration < SHORT_NS
            trace.internal[service] += span.kind == INTERNAL
            if span.parent_span_id:
                trace.children.append((span.parent_span_id, service, span.name))
            elif span.kind == CLIENT and not is_browser:
                seen = f"the root span {span.name!r:.80} has kind CLIENT"
                findings.fail(service, "SPA-004", seen, {"trace_id": trace.trace_id, "span_id": span.span_id.hex()})
            for rule, seen in _problems(span):
                findings.fail(service, rule, seen, {"trace_id": trace.trace_id, "span_id": span.span_id.hex()})


def _problems(span: Span) -> Iterator[tuple[str, str]]:
    """Yield the rules that one span breaks by itself, each with what was seen."""
    name = span.name
    if problem := sensitive.problem("", name):
        yield "SPA-006", f"the name of a span has {problem}"
    if span.status.message and (problem := sensitive.problem("", span.status.message)):
        yield "SPA-006", f"a status message of {name!r:.80} has {problem}"
    for attribute in span.attributes:
        key = attribute.key
        if key in RESOURCE_KEYS:
            yield "RES-004", f"{key} is an attribute of the span {name!r:.80}"
        if problem := _problem(key, attribute.value):
            yield "SPA-006", f"attribute {key} of the span {name!r:.80} has {problem}"
    for event in span.events:
        if problem := sensitive.problem("", event.name):
            yield "SPA-006", f"the name of an event of {name!r:.80} has {problem}"
        for key, problem in leaks(event.attributes):
            yield "SPA-006", f"attribute {key} of the event {event.name!r:.80} has {problem}"
    for link in span.links:
        for key, problem in leaks(link.attributes):
            yield "SPA-006", f"attribute {key} of a link of {name!r:.80} has {problem}"


def leaks(attributes: Iterable[KeyValue]) -> Iterator[tuple[str, str]]:
    """Yield the keys of sensitive attributes, each with what kind of data it has."""
    for attribute in attributes:
        if problem := _problem(attribute.key, attribute.value):
            yield attribute.key, problem


def _problem(key: str, value: AnyValue) -> str:
    return sensitive.problem(key, value.string_value or plain_value(value))  # by far the most attributes are text


def scope_problem(scope: InstrumentationScope) -> str:
    """Return what kind of sensitive data an instrumentation scope has, or nothing."""
    texts = (sensitive.problem("", text) for text in (scope.name, scope.version) if text)
    return next(filter(None, texts), "") or next((problem for _, problem in leaks(scope.attributes)), "")


def _check_counts(trace: Trace, findings: Findings) -> None:
    """Apply SPA-001 to each service, and SPA-005 to the whole trace: every service in it shares the result."""
    for service, count in trace.internal.items():
        if count > MAX_INTERNAL_SPANS:
            seen = f"trace {trace.trace_id} has {count:,} INTERNAL spans of {service:.80}"
            findings.fail(service, "SPA-001", seen, {"trace_id": trace.trace_id}, count)
    total = trace.short.total()
    if total > MAX_SHORT_SPANS:
        for service in trace.spans:
            own = trace.short[service]
            seen = f"trace {trace.trace_id} has {total:,} spans under 5 ms, {own:,} of them of {service:.80}"
            findings.fail(service, "SPA-005", seen, {"trace_id": trace.trace_id}, total)


def _check_parents(trace: Trace, findings: Findings) -> None:
    """Apply SPA-002."""
    orphans: dict[str, list[str]] = defaultdict(list)
    for parent, service, name in trace.children:
        if parent not in trace.ids:
            orphans[service].append(name)
    for service, names in orphans.items():
        seen = f"the parent of {len(names):,} spans of trace {trace.trace_id} is missing, of {names[0]!r:.80} first"
        findings.fail(service, "SPA-002", seen, {"trace_id": trace.trace_id}, len(names))
