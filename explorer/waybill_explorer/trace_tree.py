"""A trace in Jaeger's JSON -> a tree of spans and its critical path: pure functions, times in µs."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from waybill_explorer.outcome import Outcome, Problem, outcomes, own_outcome

SENT_ID = "otel.span_id"
"""The tag with the id that a span was sent with, where another span of the trace has the same one."""
Section = tuple[int, int]
"""A stretch of time, start and end in µs since the epoch."""


class Link(NamedTuple):
    """A span that another one points at without being its child."""

    trace_id: str
    span_id: str


class Process(NamedTuple):
    """What sent spans: its service and the attributes of its resource."""

    service: str
    tags: dict[str, Any]


class Event(NamedTuple):
    """Something that happened inside a span at one moment (µs): its name and attributes."""

    timestamp: int
    name: str
    attributes: dict[str, Any]


@dataclass(slots=True, eq=False)
class Span:
    """One span; `shift` is what was added to its clock (µs), `links` are what it points at beside its parent.

    `warnings` say what the backend found odd about it.
    """

    span_id: str
    parent_id: str | None
    service: str
    name: str
    start: int
    duration: int
    tags: dict[str, Any]
    events: list[Event]
    links: list[Link]
    asynchronous: bool
    process: str
    warnings: list[str]
    outcome: Outcome = Outcome.OK
    shift: int = 0
    children: list["Span"] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + self.duration

    @property
    def kind(self) -> str:
        return str(self.tags.get("span.kind", "internal"))

    @property
    def failed(self) -> bool:
        return self.outcome is Outcome.FAILED

    @property
    def refused(self) -> bool:
        return self.outcome is Outcome.REFUSED

    @property
    def has_error_status(self) -> bool:
        return self.tags.get("error") in (True, "true") or self.tags.get("otel.status_code") == "ERROR"

    @property
    def status_description(self) -> str:
        return str(self.tags.get("otel.status_description", ""))


@dataclass(slots=True, eq=False)
class Trace:
    """A trace as a forest, from its first `start` to its last `end`.

    `root` is the request itself, `missing` are the parents that are named but not there.
    """

    trace_id: str
    processes: dict[str, Process]
    spans: list[Span]
    roots: list[Span]
    root: Span
    missing: set[str]
    start: int
    end: int
    warnings: list[str]

    @property
    def services(self) -> list[str]:
        """Service names in the order in which the request reached them."""
        return list(dict.fromkeys(span.service for span in walk(self.roots)))

    def owners(self) -> dict[tuple[str, str], Span]:
        """Map (span id, service) of log records to spans, by the id with which a span was sent."""
        spans = [*walk(self.roots)]
        return {(str(span.tags.get(SENT_ID, span.span_id)), span.service): span for span in reversed(spans)}


def walk(roots: Iterable[Span]) -> Iterator[Span]:
    """Each span before its children. Iterative: a hostile trace may be deeper than Python's stack."""
    stack = list(roots)[::-1]
    while stack:
        span = stack.pop()
        yield span
        stack.extend(reversed(span.children))


def read_trace(data: Mapping[str, Any]) -> Trace:
    """One element of `/api/traces` -> `Trace`, children in order of time. Raises ValueError when it has no span."""
    processes = {
        process_id: Process(str(process.get("serviceName", "unknown")), _read_tags(process.get("tags")))
        for process_id, process in data.get("processes", {}).items()
    }
    spans: dict[str, Span] = {}
    for span in (_read_span(raw, processes) for raw in data.get("spans", [])):
        while span.span_id in spans:  # not every backend makes ids unique, and no span may get lost by it
            span.span_id += "-2"
        spans[span.span_id] = span
    if not spans:
        raise ValueError("the trace has no spans")
    roots: list[Span] = []
    for span in spans.values():
        parent = spans.get(span.parent_id or "")
        (parent.children if parent else roots).append(span)
    _break_cycles(spans, roots)
    root = _request(spans.values())
    _align_clocks(roots)
    _find_outcomes(spans)
    for span in spans.values():
        span.children.sort(key=lambda child: (child.start, -child.duration))
    return Trace(
        trace_id=str(data.get("traceID", "")),
        processes=processes,
        spans=list(spans.values()),
        roots=sorted(roots, key=lambda root: root.start),
        root=root,
        missing={root.parent_id for root in roots if root.parent_id and root.parent_id not in spans},
        start=min(span.start for span in spans.values()),
        end=max(span.end for span in spans.values()),
        warnings=[str(text) for text in data.get("warnings") or []],
    )


def _read_tags(raw: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in raw or ()}


def _read_span(raw: Mapping[str, Any], processes: dict[str, Process]) -> Span:
    tags = _read_tags(raw.get("tags"))
    references = raw.get("references") or []
    # Jaeger writes a span link as FOLLOWS_FROM; only a reference inside this trace can be a parent.
    parents = [ref for ref in references if ref["traceID"] == raw["traceID"]]
    parent = next((ref for ref in parents if ref["refType"] == "CHILD_OF"), parents[0] if parents else None)
    process = str(raw.get("processID"))
    return Span(
        span_id=raw["spanID"],
        parent_id=parent["spanID"] if parent else None,
        service=processes.setdefault(process, Process("unknown", {})).service,
        name=str(raw.get("operationName", "")),
        start=int(raw["startTime"]),
        duration=max(0, int(raw["duration"])),
        tags=tags,
        events=[_read_event(event) for event in raw.get("logs") or []],
        links=[Link(ref["traceID"], ref["spanID"]) for ref in references if ref is not parent],
        asynchronous=bool(parent and parent["refType"] != "CHILD_OF") or tags.get("span.kind") == "consumer",
        process=process,
        warnings=[str(text) for text in raw.get("warnings") or []],
    )


def _read_event(raw: Mapping[str, Any]) -> Event:
    attributes = _read_tags(raw.get("fields"))
    return Event(int(raw["timestamp"]), str(attributes.pop("event", "event")), attributes)


def _request(spans: Iterable[Span]) -> Span:
    """Return the span that is the request itself: the first without a parent, by the clock of its sender.

    Until that has arrived: the first that served a call or took a message, else the first. The store ranks by the same
    rule (traces.py).
    """

    def rank(span: Span) -> tuple[bool, bool, int]:
        has_parent = span.parent_id is not None
        return has_parent, has_parent and span.kind not in ("server", "consumer"), span.start

    return min(spans, key=rank)


def _find_outcomes(spans: Mapping[str, Span]) -> None:
    problems = []
    for span in spans.values():
        own = own_outcome(span.has_error_status, span.tags)
        if own is not Outcome.OK:
            problems.append(Problem(span.span_id, span.parent_id, own, span.end))
    for problem, outcome in zip(problems, outcomes(problems), strict=True):
        spans[str(problem.span_id)].outcome = outcome


def _break_cycles(spans: Mapping[str, Span], roots: list[Span]) -> None:
    reached = {span.span_id for span in walk(roots)}
    for span in spans.values():
        if span.span_id not in reached:
            spans[span.parent_id or ""].children.remove(span)
            roots.append(span)
            reached.update(below.span_id for below in walk([span]))


def _align_clocks(roots: Iterable[Span]) -> None:
    """Center a SERVER span within its CLIENT span if it exceeds it: a completed call cannot outlast its caller.

    What does not fit (the caller gave up waiting) is left as it is and clipped by the critical path.
    """
    for parent in walk(roots):
        for child in parent.children:
            if child.process == parent.process:
                child.shift = parent.shift
            elif child.kind == "server" and parent.kind == "client" and child.duration <= parent.duration:
                inside = parent.start <= child.start and child.end <= parent.end
                centered = parent.start + (parent.duration - child.duration) // 2
                child.shift = 0 if inside else centered - child.start
            child.start += child.shift


def critical_path(root: Span) -> dict[str, list[Section]]:
    """Return span id -> its sections of the critical path; together they cover `root` exactly once.

    The algorithm of Jaeger's UI and of Uber's CRISP (USENIX ATC 2022): walk back from the end through the child
    that finished last. Children are clipped to their parent; asynchronous ones delay no span.
    """
    path: dict[str, list[Section]] = {}
    stack = [(root, root.start, root.end)]
    while stack:
        span, start, cursor = stack.pop()
        windows = [
            (-min(child.end, cursor), max(child.start, start), child)
            for child in span.children
            if not child.asynchronous
        ]
        windows.sort(key=itemgetter(0, 1))
        own = []
        for minus_end, child_start, child in windows:
            # A child still running when its sibling on the path began cannot have caused that beginning.
            if child_start < -minus_end <= cursor:
                own.append((-minus_end, cursor))
                stack.append((child, child_start, -minus_end))
                cursor = child_start
        own.append((start, cursor))
        path[span.span_id] = [section for section in reversed(own) if section[0] < section[1]]
    return path


def total(sections: Iterable[Section]) -> int:
    """Return the total length of sections, in µs."""
    length = 0
    for start, end in sections:  # twice as fast as `sum`, and called for every span
        length += end - start
    return length


def self_time(span: Span) -> int:
    """Return the time of a span that none of its children covers, in µs; asynchronous ones do not count."""
    covered, at = 0, span.start
    for child in span.children:
        begin, end = max(child.start, at), min(child.end, span.end)
        if begin < end and not child.asynchronous:
            covered += end - begin
            at = end
    return span.duration - covered


def time_by_service(trace: Trace, path: Mapping[str, list[Section]]) -> dict[str, int]:
    """Return the time of each service on the critical path (µs), in the order in which the request reached them."""
    times = dict.fromkeys(trace.services, 0)
    for span in trace.spans:
        times[span.service] += total(path.get(span.span_id, ()))
    return times


def unfinished(trace: Trace, logged_services: Collection[str] | None) -> tuple[bool, bool]:
    """Return what has yet to arrive, (surely, perhaps); `logged_services` is None if the backend has no logs.

    Surely: the request's own span, or a parent that spans name. Perhaps: the other side of an answered HTTP call (it
    may not be traced), or the logs of a service (it may not log).
    """
    surely = bool(trace.missing) or trace.root.parent_id is not None or trace.root.kind != "server"
    unanswered = any(
        span.kind == "client" and "http.response.status_code" in span.tags and not span.children for span in trace.spans
    )
    return surely, unanswered or (logged_services is not None and not set(trace.services) <= set(logged_services))
