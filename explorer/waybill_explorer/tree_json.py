"""A trace as the page draws it, all that takes an algorithm computed: order, depth, clocks, critical path, titles."""

from typing_extensions import TypedDict

from waybill_explorer import titles
from waybill_explorer.bottleneck import Bottleneck, bottlenecks
from waybill_explorer.trace_tree import (
    Event,
    Link,
    Section,
    Span,
    Trace,
    critical_path,
    self_time,
    time_by_service,
)

Tags = dict[str, str | int | float | bool]


class ServiceTime(TypedDict):
    """A service and its time on the critical path (µs)."""

    service: str
    time: int


class BottleneckJson(TypedDict):
    """Where the request's time went: `time` of `total` µs, `count` spans; `span` is the index of the longest.

    `where` and `what` are words, as in "in order-service POST /orders" and "waiting for the write lock".
    """

    kind: str
    where: str
    what: str
    count: int
    time: int
    total: int
    span: int


class ProcessJson(TypedDict):
    """What sent spans: its service and the attributes of its resource."""

    service: str
    tags: Tags


class EventJson(TypedDict):
    """Something that happened inside a span, by the span's own clock (µs)."""

    timestamp: int
    name: str
    attributes: Tags


class LinkJson(TypedDict):
    """A span that a span points at, of this trace or of another."""

    traceID: str
    spanID: str


class SpanJson(TypedDict):
    """One span; `parent` and `process` are indexes, times are µs, `start` has `shift` added to its clock.

    `selfTime` is what its children do not cover, `critical` are its sections of the critical path. `peer` says where
    a call went if the title does not.
    """

    spanID: str
    parent: int | None
    depth: int
    process: int
    name: str
    title: str
    peer: str
    kind: str
    failed: bool
    refused: bool
    isSql: bool
    start: int
    duration: int
    selfTime: int
    shift: int
    critical: list[Section]
    tags: Tags
    events: list[EventJson]
    links: list[LinkJson]
    warnings: list[str]


class TreeJson(TypedDict):
    """A trace; `spans` are in the order in which the page shows them, each before its children.

    `root` is the index of the request itself, or, until it arrives (`isRooted`), of the span that takes its place.
    `missing` are parents that are named but not there; the largest of the `bottlenecks` comes first.
    """

    traceID: str
    start: int
    end: int
    root: int
    isRooted: bool
    services: list[ServiceTime]
    missing: list[str]
    bottlenecks: list[BottleneckJson]
    warnings: list[str]
    processes: list[ProcessJson]
    spans: list[SpanJson]


def tree_json(trace: Trace) -> TreeJson:
    """Return a trace as `/api/trees` gives it. Iterative: a hostile trace may be deeper than Python's stack."""
    path = critical_path(trace.root)
    processes = {process: index for index, process in enumerate(trace.processes)}
    spans: list[SpanJson] = []
    indexes: dict[str, int] = {}
    stack: list[tuple[Span, int | None, int]] = [(root, None, 0) for root in reversed(trace.roots)]
    while stack:
        span, parent, depth = stack.pop()
        index = indexes[span.span_id] = len(spans)
        statement = titles.statement(span)
        spans.append(
            {
                "spanID": span.span_id,
                "parent": parent,
                "depth": depth,
                "process": processes[span.process],
                "name": span.name,
                "title": titles.title(span),
                "peer": titles.peer(span),
                "kind": span.kind,
                "failed": span.failed,
                "refused": span.refused,
                "isSql": bool(statement) and titles.is_sql(statement),
                "start": span.start,
                "duration": span.duration,
                "selfTime": self_time(span),
                "shift": span.shift,
                "critical": path.get(span.span_id, []),
                "tags": span.tags,
                "events": [_event(event) for event in span.events],
                "links": [_link(link) for link in span.links],
                "warnings": span.warnings,
            }
        )
        stack += [(child, index, depth + 1) for child in reversed(span.children)]
    return {
        "traceID": trace.trace_id,
        "start": trace.start,
        "end": trace.end,
        "root": indexes[trace.root.span_id],
        "isRooted": trace.root.parent_id is None,
        "services": [{"service": name, "time": time} for name, time in time_by_service(trace, path).items()],
        "missing": sorted(trace.missing),
        "bottlenecks": [_bottleneck(one, indexes) for one in bottlenecks(trace.root, path)],
        "warnings": trace.warnings,
        "processes": [{"service": process.service, "tags": process.tags} for process in trace.processes.values()],
        "spans": spans,
    }


def _bottleneck(one: Bottleneck, indexes: dict[str, int]) -> BottleneckJson:
    return {
        "kind": one.kind,
        "where": one.where,
        "what": one.what,
        "count": one.count,
        "time": one.time,
        "total": one.total,
        "span": indexes[one.span.span_id],
    }


def _event(event: Event) -> EventJson:
    return {"timestamp": event.timestamp, "name": event.name, "attributes": event.attributes}


def _link(link: Link) -> LinkJson:
    return {"traceID": link.trace_id, "spanID": link.span_id}
